package report

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cloudcwfranck/kspec"
)

// Forges refuse comments of more than 65,536 characters. What is past these
// limits is counted, not listed.
const (
	markdownTable = 48_000 // bytes of a table
	markdownList  = 6_000  // bytes of a list below it
	markdownValue = 120
	markdownText  = 300
)

// writeMarkdown writes tables for pull requests and job summaries. All that
// came from outside stands in code spans or is escaped: no mention, reference,
// link, image or HTML survives.
func writeMarkdown(reports []kspec.Report, o Options) ([]byte, error) {
	var b bytes.Buffer
	for i, rep := range reports {
		if i > 0 {
			b.WriteString("\n")
		}
		markdownReport(&b, rep, o)
	}
	return b.Bytes(), nil
}

func markdownReport(b *bytes.Buffer, rep kspec.Report, o Options) {
	mark := "✅"
	switch {
	case len(rep.Open()) > 0:
		mark = "❌"
	case !rep.Complete():
		mark = "❔"
	}
	fmt.Fprintf(b, "### %s %s\n\n%s.\n\n%s · %s\n", mark, escape(rep.Target), verdict(rep), code(heading(rep)), cost(rep))
	for i, line := range besides(rep) {
		if i == 0 {
			b.WriteString("\n")
		}
		b.WriteString("- " + escape(line) + "\n")
	}
	if len(rep.Findings) > 0 {
		b.WriteString("\n| Severity | Object | Verdict | Field | In Git | Live | Who |\n|---|---|---|---|---|---|---|\n")
	}
	table := listing{b: b, left: markdownTable}
	for _, f := range rep.Findings {
		for _, row := range markdownFinding(f, rep, o) {
			table.add("| " + strings.Join(row, " | ") + " |\n")
		}
	}
	table.end()
	markdownHints(b, rep.Findings)
	markdownUnknown(b, rep.Unknown)
}

// listing writes lines until its room is used up, then counts them.
type listing struct {
	b    *bytes.Buffer
	left int
	rest int
}

func (l *listing) add(line string) {
	if l.left -= len(line); l.left < 0 {
		l.rest++
		return
	}
	l.b.WriteString(line)
}

func (l *listing) end() {
	if l.rest > 0 {
		fmt.Fprintf(l.b, "\n… and %d more.\n", l.rest)
	}
}

// markdownFinding returns one row for each field, or one for the finding.
func markdownFinding(f kspec.Finding, rep kspec.Report, o Options) [][]string {
	severity := string(f.Severity)
	switch {
	case f.Notice:
		severity = "notice"
	case f.WaivedBy != nil:
		severity = "waived by " + code(*f.WaivedBy)
	}
	object := code(f.Object.String())
	if at := place(f.Source); at != "" {
		object += "<br>" + code(at)
	}
	verdict := string(f.Verdict)
	if stands := standing(f, o.now(rep)); stands != "" {
		verdict += "<br>" + stands
	}
	head := []string{severity, object, verdict}
	if len(f.Fields) == 0 {
		return [][]string{append(head, escape(f.Message), "", "", escape(deleted(f, o.now(rep))))}
	}
	var rows [][]string
	for _, d := range f.Fields {
		was, is := markdownValues(d)
		rows = append(rows, []string{
			head[0], head[1], head[2], code(pathOf(d)), was, is, escape(who(d, o.now(rep))),
		})
	}
	return rows
}

func markdownValues(d kspec.Field) (was, is string) {
	was, is = valuesOf(d)
	was, is = clipBoth(was, is, markdownValue)
	was, is = code(was), code(is)
	if d.Desired == nil {
		was = "*not in Git*"
	}
	if d.Live == nil {
		is = "*gone*"
	}
	return was, is
}

// markdownHints lists each hint once, in order.
func markdownHints(b *bytes.Buffer, findings []kspec.Finding) {
	seen := map[string]bool{"": true}
	hints := listing{b: b, left: markdownList}
	for _, f := range findings {
		if seen[f.Hint] {
			continue
		}
		if len(seen) == 1 {
			b.WriteString("\n**What to do**\n\n")
		}
		seen[f.Hint] = true
		begin := "- "
		if r, _ := utf8.DecodeRuneInString(f.Hint); !unicode.IsLetter(r) {
			begin += gap // else it might begin a list in the list, or code
		}
		hints.add(begin + escape(f.Hint) + "\n")
	}
	hints.end()
}

func markdownUnknown(b *bytes.Buffer, unknown []kspec.Unknown) {
	if len(unknown) == 0 {
		return
	}
	b.WriteString("\n**Could not be looked at**\n\n")
	lines := listing{b: b, left: markdownList}
	for _, u := range unknown {
		lines.add("- " + code(nameOf(u)) + ": " + escape(reasonOf(u)) + "\n")
	}
	lines.end()
}

// code returns s as a code span that also holds inside a table. In a code span
// forges resolve no mention and no reference.
func code(s string) string {
	if s == "" {
		return ""
	}
	// A table ends its cell at "\\|", so a backslash must not touch a pipe.
	s = pipes.Replace(clean(clip(s, markdownText)))
	longest, run := 0, 0
	for _, r := range s {
		if r != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	fence := strings.Repeat("`", longest+1)
	if longest > 0 || strings.Trim(s, " ") != s {
		s = " " + s + " "
	}
	return fence + s + fence
}

var pipes = strings.NewReplacer(`\|`, `\ \|`, "|", `\|`)

// escape returns s as plain text in Markdown. Mentions, references and links
// are resolved by forges after Markdown is rendered, so no backslash stops
// them: an invisible space does.
func escape(s string) string {
	return words.ReplaceAllString(signs.Replace(clean(clip(s, markdownText))), "$1"+gap+"$2")
}

const gap = "&#8203;"

var signs = strings.NewReplacer(
	"&", "&amp;"+gap, "<", "&lt;", ">", "&gt;",
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "|", `\|`, "~", `\~`+gap,
	"@", "@"+gap, "#", "#"+gap, "!", "!"+gap, "%", "%"+gap, "://", ":"+gap+"//", "$", `\$`+gap,
)

// words are the beginnings of references and links that hold no sign.
var words = regexp.MustCompile(`(?i)\b(GH|www)([-.])`)
