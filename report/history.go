package report

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/cloudcwfranck/kspec"
)

const kindHistory = "DriftHistory"

// historyWhat is how many columns of text tell what drifted, and historyValue
// how many of them each value may have: a tag of a secret fits.
const (
	historyWhat  = 64
	historyValue = len("[redacted 01234567]")
)

// history is a list of episodes as programs read it. Keys may be added and
// never changed.
type history struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Items      []kspec.Episode `json:"items"`
}

// WriteHistory writes the episodes to w in their order, in the named format:
// one of text, json, yaml and markdown. It writes nothing when it cannot write
// all.
func WriteHistory(w io.Writer, name string, episodes []kspec.Episode, o Options) error {
	var out []byte
	var err error
	switch name {
	case "text":
		out = historyText(episodes, o)
	case "json":
		out, err = marshal(historyOf(episodes))
	case "yaml":
		out, err = marshalYAML(historyOf(episodes))
	case "markdown":
		out = historyMarkdown(episodes, o)
	default:
		return kspec.WithHint(fmt.Errorf("write history: unknown format %q", name), "use one of "+strings.Join(HistoryFormats(), ", "))
	}
	if err != nil {
		return fmt.Errorf("write history as %s: %w", name, err)
	}
	if _, err := w.Write(out); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}

// HistoryFormats returns the names that WriteHistory knows, the one for people
// first.
func HistoryFormats() []string { return []string{"text", "json", "yaml", "markdown"} }

func historyOf(episodes []kspec.Episode) history {
	items := make([]kspec.Episode, len(episodes))
	for i, e := range episodes {
		e.Finding.Controls = append([]string{}, e.Finding.Controls...) // [] and never null
		items[i] = e
	}
	return history{apiVersion, kindHistory, items}
}

// historyText writes a table, and below an episode who fights about it.
func historyText(episodes []kspec.Episode, o Options) []byte {
	p := &painter{color: o.Color, width: o.width()}
	rows := [][]string{{"FIRST SEEN (UTC)", "FOR", "SEVERITY", "SPEC", "OBJECT", "WHAT", "WHO", "SEEN", "BACK", "STATE"}}
	for _, e := range episodes {
		rows = append(rows, cleanAll([]string{
			e.FirstSeen.UTC().Format("2006-01-02 15:04"), lasted(e, o.Now), string(e.Finding.Severity), e.Target,
			e.Finding.Object.String(), clip(what(e.Finding), historyWhat), actor(e.Actor),
			strconv.Itoa(e.Seen), strconv.Itoa(e.Flaps), state(e),
		}))
	}
	if len(episodes) > 0 {
		p.table(rows, episodes)
		p.line(0, "")
	}
	p.line(0, p.paint(bold, countEpisodes(episodes)))
	return p.b.Bytes()
}

// table writes rows in columns, the first as a heading above the episodes.
func (p *painter) table(rows [][]string, episodes []kspec.Episode) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], columns(cell))
		}
	}
	for n, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = cell + strings.Repeat(" ", width[i]-columns(cell))
		}
		if n == 0 {
			p.line(0, p.paint(bold, strings.TrimRight(strings.Join(cells, "  "), " ")))
			continue
		}
		e := episodes[n-1]
		cells[2] = p.paint(colorOf(e.Finding), cells[2])
		p.line(0, strings.Join(cells, "  "))
		if e.Fight != nil {
			p.line(4, p.paint(yellow, clean(e.Fight.String())))
		}
	}
}

func historyMarkdown(episodes []kspec.Episode, o Options) []byte {
	var b bytes.Buffer
	b.WriteString("### Drift history\n\n" + countEpisodes(episodes) + ".\n")
	if len(episodes) > 0 {
		b.WriteString("\n| First seen (UTC) | For | Severity | Spec | Object | What | Who | Seen | Back | State |\n|---|---|---|---|---|---|---|---|---|---|\n")
	}
	table := listing{b: &b, left: markdownTable}
	for _, e := range episodes {
		ended := escape(state(e))
		if e.Fight != nil {
			ended += "<br>" + escape(e.Fight.String())
		}
		table.add("| " + strings.Join([]string{
			e.FirstSeen.UTC().Format("2006-01-02 15:04"), lasted(e, o.Now), string(e.Finding.Severity), escape(e.Target),
			code(e.Finding.Object.String()), code(clip(what(e.Finding), markdownValue)), escape(actor(e.Actor)),
			strconv.Itoa(e.Seen), strconv.Itoa(e.Flaps), ended,
		}, " | ") + " |\n")
	}
	table.end()
	return b.Bytes()
}

// lasted says how long an episode took, or takes until now.
func lasted(e kspec.Episode, now time.Time) string {
	end := e.ClosedAt
	if e.Open() {
		end = now
	}
	if end.IsZero() {
		end = e.LastSeen
	}
	return duration.HumanDuration(max(0, end.Sub(e.FirstSeen)))
}

// what says in a line what is wrong.
func what(f kspec.Finding) string {
	if len(f.Fields) == 0 {
		// The object has a column of its own.
		return string(f.Verdict) + ": " + strings.TrimPrefix(f.Message, f.Object.String()+" is ")
	}
	d := f.Fields[0]
	was, is := valuesOf(d)
	if d.Desired == nil {
		was = "(not in Git)"
	}
	if d.Live == nil {
		is = "(gone)"
	}
	more := ""
	if n := len(f.Fields) - 1; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	was, is = clipBoth(was, is, historyValue)
	return fmt.Sprintf("%s %s → %s%s", pathOf(d), was, is, more)
}

func actor(a kspec.Actor) string {
	switch {
	case a.Principal != "" && a.Manager != "":
		return a.Principal + " by " + a.Manager
	case a.Principal != "":
		return a.Principal
	case a.Manager != "":
		return a.Manager
	default:
		return "–"
	}
}

// state says whether an episode is over, and why.
func state(e kspec.Episode) string {
	if e.Open() {
		return "open"
	}
	switch e.ClosedWhy {
	case kspec.EndGone:
		return "closed: as Git says again"
	case kspec.EndGitMoved:
		return "closed: gone since Git moved"
	case kspec.EndGitChanged:
		return "closed: Git says otherwise now"
	case kspec.EndSuperseded:
		return "closed: differs in another way now"
	case kspec.EndWaived:
		return "closed: waived"
	case kspec.EndClusterChanged:
		return "closed: the spec is about another cluster now"
	case kspec.EndSpecRemoved:
		return "closed: the spec is gone"
	case kspec.EndAbandoned:
		return "closed: not looked at for long"
	default:
		return "closed: " + string(e.ClosedWhy)
	}
}

func countEpisodes(episodes []kspec.Episode) string {
	open := 0
	for _, e := range episodes {
		if e.Open() {
			open++
		}
	}
	return fmt.Sprintf("%s: %d open, %d closed", plural(len(episodes), "episode"), open, len(episodes)-open)
}
