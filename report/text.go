package report

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cloudcwfranck/kspec"
)

// style is an ANSI sequence that begins a colour.
type style string

const (
	plain  style = ""
	bold   style = "\x1b[1m"
	dim    style = "\x1b[2m"
	red    style = "\x1b[31m"
	green  style = "\x1b[32m"
	yellow style = "\x1b[33m"
	cyan   style = "\x1b[36m"
	reset        = "\x1b[0m"
)

// mostLines is how many lines of a changed text are shown on each side.
const mostLines = 8

// painter writes text. Nothing that came from outside may reach line or paint
// without having gone through clean.
type painter struct {
	b     bytes.Buffer
	color bool
	width int
	now   time.Time
}

func writeText(reports []kspec.Report, o Options) ([]byte, error) {
	p := &painter{color: o.Color, width: o.width()}
	for i, rep := range reports {
		if i > 0 {
			p.line(0, "")
		}
		p.now = o.now(rep)
		p.report(rep)
	}
	if len(reports) > 1 {
		p.line(0, "")
		p.line(0, p.paint(bold, total(reports)))
	}
	return p.b.Bytes(), nil
}

func (p *painter) line(indent int, parts ...string) {
	text := strings.TrimRight(strings.Join(parts, ""), " ")
	if text != "" {
		p.b.WriteString(strings.Repeat(" ", indent))
	}
	p.b.WriteString(text + "\n")
}

func (p *painter) paint(s style, text string) string {
	if !p.color || s == plain || text == "" {
		return text
	}
	return string(s) + text + reset
}

func (p *painter) report(rep kspec.Report) {
	p.line(0, p.paint(bold, heading(rep)))
	for i, f := range rep.Findings {
		if i == 0 || rep.Findings[i-1].Object != f.Object {
			p.line(0, "")
			p.object(rep.Findings[i:])
		}
		p.finding(f)
		if !hintedAgain(rep.Findings[i:]) {
			p.hint(f.Hint)
		}
	}
	p.unknown(rep.Unknown)
	more := besides(rep)
	if len(rep.Findings)+len(rep.Unknown)+len(more) > 0 {
		p.line(0, "")
	}
	for _, line := range more {
		p.line(0, clean(line))
	}
	p.line(0, p.paint(mood(rep), verdict(rep)), p.paint(dim, "; "+cost(rep)))
}

// hintedAgain reports whether the hint of the first of some findings stands
// below the next one of the same object as well.
func hintedAgain(f []kspec.Finding) bool {
	return len(f) > 1 && f[1].Object == f[0].Object && f[1].Hint == f[0].Hint
}

// object writes the line above the findings of one object, which lead the
// given ones.
func (p *painter) object(findings []kspec.Finding) {
	first := findings[0]
	worst := first
	for _, f := range findings {
		if f.Object != first.Object {
			break
		}
		if worst.WaivedBy != nil || f.WaivedBy == nil && f.Severity.Rank() > worst.Severity.Rank() {
			worst = f
		}
	}
	p.line(0, p.paint(colorOf(worst), symbol(worst)+" "+fmt.Sprintf("%-8s", worst.Severity)), " ",
		p.paint(bold, clean(first.Object.String())), "  ", p.paint(dim, place(first.Source)))
}

func (p *painter) finding(f kspec.Finding) {
	p.line(4, string(f.Verdict), ": ", clean(headline(f)), p.paint(dim, aside(standing(f, p.now))+aside(waived(f))))
	if by := deleted(f, p.now); by != "" {
		p.line(6, p.paint(dim, by))
	}
	for i, d := range f.Fields {
		p.field(d)
		by := who(d, p.now)
		last := i == len(f.Fields)-1 || who(f.Fields[i+1], p.now) != by
		if by != "" && last {
			p.line(8, p.paint(dim, by))
		}
	}
}

func (p *painter) hint(hint string) {
	if hint != "" {
		p.line(4, p.paint(cyan, "hint: "), clean(hint))
	}
}

func aside(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// field writes one difference: on one line where it fits, else on a line for
// each side, or as the lines that differ of a long text.
func (p *painter) field(f kspec.Field) {
	path := clean(pathOf(f))
	if multiline(f.Desired) || multiline(f.Live) {
		p.line(6, path)
		p.text(f)
		return
	}
	was, is := p.paint(dim, "(not in Git)"), p.paint(dim, "(gone)")
	desired, live := valuesOf(f)
	if f.Desired != nil {
		was = p.paint(red, desired)
	}
	if f.Live != nil {
		is = p.paint(green, live)
	}
	switch {
	case columns(path)+columns(desired)+columns(live)+24 <= p.width:
		p.line(6, path, "  ", was, " → ", is)
	case f.Desired == nil:
		p.line(6, path, "  ", was)
		p.side(green, "+ ", []string{live})
	case f.Live == nil:
		p.line(6, path, "  ", is)
		p.side(red, "− ", []string{desired})
	default:
		desired, live = clipBoth(desired, live, p.width-10)
		p.line(6, path)
		p.side(red, "− ", []string{desired})
		p.side(green, "+ ", []string{live})
	}
}

// text writes the lines in which two texts differ.
func (p *painter) text(f kspec.Field) {
	h := differ(textOf(f.Desired), textOf(f.Live))
	p.line(8, p.paint(dim, fmt.Sprintf("line %d", h.line)))
	p.side(red, "− ", cleanAll(h.old))
	p.side(green, "+ ", cleanAll(h.new))
}

// side writes lines of one side, clean ones.
func (p *painter) side(s style, sign string, lines []string) {
	for i, l := range lines {
		if i == mostLines {
			p.line(8, p.paint(s, sign+"… "+plural(len(lines)-mostLines, "more line")))
			return
		}
		p.line(8, p.paint(s, sign+clip(l, p.width-10)))
	}
}

func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		return show(v)
	}
}

func (p *painter) unknown(unknown []kspec.Unknown) {
	if len(unknown) == 0 {
		return
	}
	p.line(0, "")
	p.line(0, p.paint(yellow, "Could not look at "+plural(len(unknown), "thing")+":"))
	for _, u := range unknown {
		at := ""
		if u.Object != (kspec.ObjectID{}) {
			at = place(u.Source)
		}
		p.line(2, p.paint(yellow, "? "), nameOf(u), ": ", clean(reasonOf(u)), "  ", p.paint(dim, at))
	}
}

func total(reports []kspec.Report) string {
	var inSync, wrong int
	for _, rep := range reports {
		switch {
		case rep.InSync():
			inSync++
		case len(rep.Open()) > 0:
			wrong++
		}
	}
	return fmt.Sprintf("%s: %d in sync, %d not, %d unknown",
		plural(len(reports), "target"), inSync, wrong, len(reports)-inSync-wrong)
}

func symbol(f kspec.Finding) string {
	if f.WaivedBy != nil {
		return "○"
	}
	switch f.Verdict {
	case kspec.Missing:
		return "−"
	case kspec.ExtraField, kspec.ExtraObject:
		return "+"
	case kspec.Changed:
		return "~"
	case kspec.OwnerConflict:
		return "⇄"
	default:
		return "✗"
	}
}

func colorOf(f kspec.Finding) style {
	if f.WaivedBy != nil {
		return dim
	}
	switch f.Severity {
	case kspec.Critical, kspec.High:
		return red
	case kspec.Medium:
		return yellow
	default:
		return cyan
	}
}

func mood(rep kspec.Report) style {
	switch {
	case rep.InSync():
		return green
	case len(rep.Open()) > 0:
		return red
	default:
		return yellow
	}
}

func columns(s string) int { return utf8.RuneCountInString(s) }
