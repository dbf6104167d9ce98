package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

// show spells a JSON value on one line, safe to print. A string stands bare
// when nobody can take it for something else.
func show(v any) string {
	s, ok := v.(string)
	switch {
	case ok && bare(s):
		return clean(s)
	case ok:
		return clean(strconv.Quote(s))
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return clean(fmt.Sprint(v)) // not a JSON value: better shown than lost
	}
	return clean(strings.TrimSpace(b.String()))
}

// valuesOf spells both values of a field; an absent one is "". Tags that stand
// for secrets are said as they are.
func valuesOf(f kspec.Field) (desired, live string) {
	spell := func(v any) string {
		s, ok := v.(string)
		switch {
		case v == nil:
			return ""
		case ok && f.Redacted:
			return clean(s)
		default:
			return show(v)
		}
	}
	return spell(f.Desired), spell(f.Live)
}

func pathOf(f kspec.Field) string { return cmp.Or(f.KeyedPath, f.Path) }

func bare(s string) bool {
	return s != "" && s == strings.TrimSpace(s) && !strings.ContainsAny(s, "\n\"\\") &&
		!strings.ContainsAny(s[:1], "[{(") && !json.Valid([]byte(s))
}

// clip cuts s to width columns.
func clip(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return string(r[:max(width-1, 0)]) + "…"
}

// clipBoth cuts two values to width columns so that the place where they part
// can be seen.
func clipBoth(a, b string, width int) (string, string) {
	x, y := []rune(a), []rune(b)
	if len(x) <= width && len(y) <= width {
		return a, b
	}
	same := 0
	for same < min(len(x), len(y)) && x[same] == y[same] {
		same++
	}
	skip := same - width/3
	if skip <= 1 {
		return clip(a, width), clip(b, width)
	}
	return clip("…"+string(x[skip:]), width), clip("…"+string(y[skip:]), width)
}

// hunk is the part where two texts of many lines differ.
type hunk struct {
	line     int // of the first difference, from 1
	old, new []string
}

// differ returns the lines between the common beginning and the common end.
func differ(a, b string) hunk {
	x, y := lines(a), lines(b)
	start := 0
	for start < min(len(x), len(y)) && x[start] == y[start] {
		start++
	}
	end := 0
	for end < min(len(x), len(y))-start && x[len(x)-1-end] == y[len(y)-1-end] {
		end++
	}
	return hunk{start + 1, x[start : len(x)-end], y[start : len(y)-end]}
}

func lines(s string) []string {
	l := slices.Collect(strings.SplitSeq(s, "\n"))
	if n := len(l); n > 1 && l[n-1] == "" {
		return l[:n-1]
	}
	return l
}

// multiline reports whether v is a text of more than one line.
func multiline(v any) bool {
	s, ok := v.(string)
	return ok && strings.Contains(strings.TrimSuffix(s, "\n"), "\n")
}
