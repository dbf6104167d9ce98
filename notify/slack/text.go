package slack

import (
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// ellipsis ends what was cut.
const ellipsis = "…"

// entities are the three characters that mean something to Slack's parser, and
// with which mentions and links begin.
func entity(r rune) string {
	switch r {
	case '&':
		return "&amp;"
	case '<':
		return "&lt;"
	case '>':
		return "&gt;"
	default:
		return string(r)
	}
}

// escape returns s as mrkdwn that shows s, cut to limit and never inside an
// entity.
func escape(s string, limit int) string { return join(clean(s), limit, entity) }

// code returns s as a code span of one line.
func code(s string, limit int) string {
	span := strings.NewReplacer("`", "'", "\n", " ").Replace(clean(s))
	if strings.TrimSpace(span) == "" {
		return "_none_"
	}
	return "`" + join(span, limit, entity) + "`"
}

// cut returns s cut to limit.
func cut(s string, limit int) string {
	return join(s, limit, func(r rune) string { return string(r) })
}

// join writes each rune as piece says, and stops with an ellipsis before the
// result has more than limit UTF-16 units.
func join(s string, limit int, piece func(rune) string) string {
	var b strings.Builder
	size, fits := 0, 0 // fits: how many bytes leave room for the ellipsis
	for _, r := range s {
		p := piece(r)
		size += units(p)
		if size > limit {
			return b.String()[:fits] + ellipsis
		}
		b.WriteString(p)
		if size < limit {
			fits = b.Len()
		}
	}
	return b.String()
}

func units(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

// clean drops what a person cannot see but a terminal or a screen obeys:
// control characters but the newline, and marks that turn the direction of
// text around.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Cf, r) && r != '\u200d':
			return -1
		default:
			return r
		}
	}, s)
}
