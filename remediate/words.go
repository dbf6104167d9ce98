package remediate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cloudcwfranck/kspec"
)

// Limits of what is written to the forge, in bytes. GitHub cuts titles at 255
// and refuses bodies above 65,536.
const (
	maxTitle = 255
	maxBody  = 60_000
	maxTable = 20_000 // of the table of fields
	maxDiff  = 8_000  // of the diff of one file
	maxCell  = 80     // runes of one value in the table
	maxFiles = 40     // named in the commit message
)

// words writes what people read. All that comes from Git or a cluster is
// written as code or escaped, so that it mentions nobody, closes no issue and
// cannot pass for a word of kspec's own. Equal input gives equal text: nothing
// here depends on the time or the commit of the look, or the pull request would
// change at every look.
type words struct {
	target   kspec.Target
	strategy kspec.Strategy
	edits    []kspec.Edit
	findings []kspec.Finding
	objects  int // that the target has in all
}

func (w words) title() string {
	what := fmt.Sprintf("deliver the rendered policies (%s)", count(len(w.edits), "file"))
	if w.strategy == kspec.StrategyAdopt {
		what = "adopt what was changed in " + w.subject()
	}
	return cut(plainText(w.target.Name+": "+what), maxTitle)
}

// subject names the one object that drifted, or says how many did.
func (w words) subject() string {
	ids := w.ids()
	if len(ids) == 1 {
		return ids[0].String()
	}
	return count(len(ids), "object")
}

func (w words) ids() []kspec.ObjectID {
	var ids []kspec.ObjectID
	for _, f := range w.findings {
		ids = append(ids, f.Object)
	}
	slices.SortFunc(ids, kspec.ObjectID.Compare)
	return slices.Compact(ids)
}

// commit is the commit message. Its trailers say on whose behalf kspec wrote
// the commit and what is in it.
func (w words) commit(drift string) string {
	var b strings.Builder
	b.WriteString(w.title() + "\n\n")
	for i, e := range w.edits {
		if i == maxFiles {
			fmt.Fprintf(&b, "and %d more\n", len(w.edits)-maxFiles)
			break
		}
		fmt.Fprintf(&b, "%s %s\n", verb(e), plainText(e.Path))
	}
	fmt.Fprintf(&b, "\n%s: %s\n%s: %s\n%s: %s\n", trailerTarget, plainText(w.target.Name),
		trailerDrift, drift, trailerContent, contentOf(w.edits))
	return b.String()
}

func verb(e kspec.Edit) string {
	switch {
	case e.Before == nil:
		return "add"
	case e.After == nil:
		return "delete"
	default:
		return "change"
	}
}

// body is the text of the pull request, without the hidden marker. It is cut
// from the bottom: first the diffs give way, then rows of the table.
func (w words) body() string {
	var b strings.Builder
	b.WriteString(w.what() + "\n\n")
	b.WriteString("**If you merge:** " + w.merging() + "\n\n")
	b.WriteString("**If you close:** kspec stays silent about exactly this, and opens another pull request only when it changes.\n\n")
	b.WriteString("**If you push to this branch:** kspec leaves it alone from then on.\n\n")
	foot := w.proof()
	if len(w.findings) > 0 {
		w.table(&b)
	}
	w.diffs(&b, maxBody-len(foot))
	b.WriteString(foot)
	return b.String()
}

func (w words) what() string {
	t := w.target
	cluster := "the cluster of " + code(t.Name)
	if t.Cluster != "" {
		cluster = "the cluster " + code(t.Cluster)
	}
	if w.strategy == kspec.StrategyRender {
		return fmt.Sprintf("**What:** %s below %s differ from what the policies of %s render to (enforcement: %s).",
			count(len(w.edits), "file"), code(t.Delivery.Path), code(t.Name), t.Enforcement)
	}
	return fmt.Sprintf("**What:** people changed %s in %s by hand. This pull request writes to Git what they did (strategy: adopt).",
		count(len(w.ids()), "object"), cluster)
}

func (w words) merging() string {
	if w.strategy == kspec.StrategyRender {
		return map[kspec.Engine]string{
			kspec.Flux:   "Flux applies the files at its next sync, and removes from the cluster what is deleted here if it prunes.",
			kspec.ArgoCD: "Argo CD applies the files when it syncs; without automated sync it shows the application as OutOfSync until somebody does.",
		}[w.target.Delivery.Engine] + unless(w.target.Delivery.Engine != kspec.NoEngine && w.target.Delivery.Engine != "",
			"nothing happens in the cluster until somebody applies the files.")
	}
	return "Git says what the cluster holds already. " + map[kspec.Engine]string{
		kspec.Flux:   "Flux changes nothing at these fields and stops to put the old values back.",
		kspec.ArgoCD: "Argo CD changes nothing at these fields; with automated sync, the new commit makes it put back all other drift of the application.",
	}[w.target.Delivery.Engine] + unless(w.target.Delivery.Engine != kspec.NoEngine && w.target.Delivery.Engine != "",
		"Whoever applies the repository next keeps these values.")
}

func unless(cond bool, s string) string {
	if cond {
		return ""
	}
	return s
}

func (w words) proof() string {
	if w.strategy == kspec.StrategyRender {
		return "\n**Proof:** the files are what `kspec render` gives for this branch, byte for byte.\n"
	}
	fields := 0
	for _, f := range w.findings {
		fields += len(f.Fields)
	}
	return fmt.Sprintf("\n**Proof:** rendered before and after, the change gives %s of %s the values of the cluster and changes nothing else (%s compared).\n\n"+
		"**Measured** by comparing the live objects with the rendered ones field by field; who and when come from the managedFields that the API server keeps.\n",
		count(fields, "field"), count(len(w.ids()), "object"), count(w.objects, "object"))
}

func (w words) table(b *strings.Builder) {
	b.WriteString("| object | field | Git | live | who | when | severity |\n|---|---|---|---|---|---|---|\n")
	rows := w.rows()
	start := b.Len()
	for i, row := range rows {
		if b.Len()-start+len(row) > maxTable {
			fmt.Fprintf(b, "\n… and %s more; the commit has them all.\n", count(len(rows)-i, "field"))
			break
		}
		b.WriteString(row)
	}
	b.WriteString("\n")
}

// rows returns a row for each field, the gravest first.
func (w words) rows() []string {
	findings := slices.Clone(w.findings)
	slices.SortStableFunc(findings, func(a, b kspec.Finding) int {
		return cmp.Or(b.Severity.Rank()-a.Severity.Rank(), a.Object.Compare(b.Object))
	})
	var rows []string
	for _, f := range findings {
		for _, d := range f.Fields {
			when := ""
			if !d.Time.IsZero() {
				when = d.Time.UTC().Format("2006-01-02 15:04:05Z")
			}
			rows = append(rows, fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s |\n",
				cell(f.Object.String()), cell(cmp.Or(d.KeyedPath, d.Path)), value(d, d.Desired), value(d, d.Live),
				cell(d.Manager), when, f.Severity))
		}
	}
	return rows
}

// diffs writes the diff of each file until the room is used up.
func (w words) diffs(b *strings.Builder, room int) {
	const reserve = 200
	for i, e := range w.edits {
		text := e.Diff
		if len(text) > maxDiff {
			text = cut(text, maxDiff) + "\n… cut; the commit has it all\n"
		}
		text = visible(text)
		fence := fenceFor(text)
		part := fmt.Sprintf("<details><summary>%s <code>%s</code></summary>\n\n%sdiff\n%s\n%s\n\n</details>\n",
			verb(e), html.EscapeString(visible(e.Path)), fence, strings.TrimSuffix(text, "\n"), fence)
		if b.Len()+len(part)+reserve > room {
			fmt.Fprintf(b, "\n… and %s more; the commit has them all.\n", count(len(w.edits)-i, "file"))
			return
		}
		b.WriteString(part)
	}
}

// fenceFor returns a fence with one backtick more than the longest run in text.
func fenceFor(text string) string {
	longest, run := 2, 0
	for _, r := range text {
		if run++; r != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	return strings.Repeat("`", longest+1)
}

// value is a cell with a JSON value; secrets arrive here as tags already.
func value(f kspec.Field, v any) string {
	if v == nil {
		return "–"
	}
	if s, ok := v.(string); ok && f.Redacted {
		return cell(s)
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return cell("not a JSON value")
	}
	return cell(strings.TrimSuffix(b.String(), "\n"))
}

// cell is code for a table cell, where a bar must be escaped even in code, and
// where not every forge takes a bar after two backslashes for an escaped one.
func cell(s string) string {
	if s == "" {
		return ""
	}
	if utf8.RuneCountInString(s) > maxCell {
		s = string([]rune(s)[:maxCell-1]) + "…"
	}
	return strings.NewReplacer(`\|`, `\ \|`, "|", `\|`).Replace(code(s))
}

// code writes s as a code span, which neither mentions nor links nor closes
// anything.
func code(s string) string {
	s = strings.Join(strings.Fields(visible(s)), " ")
	fence := strings.TrimPrefix(fenceFor(s), "``")
	if strings.Contains(s, "`") {
		return fence + " " + s + " " + fence
	}
	return fence + s + fence
}

// visible writes out what an editor would not show: control characters and
// those that change the direction of a text.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), unicode.In(r, unicode.Cf), r == unicode.ReplacementChar:
			return '·'
		}
		return r
	}, s)
}

// plainText is for titles and commit messages, which forges read for mentions
// and for issues to close.
func plainText(s string) string {
	s = strings.NewReplacer("@", "＠", "#", "＃", "://", ":/ /", "\n", " ", "\t", " ").Replace(s)
	return visible(s)
}

// cut shortens s to at most n bytes, at a rune.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n -= len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
