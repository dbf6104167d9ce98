package render

import (
	"slices"
	"strings"
)

// expression is CEL as a template has it, with the names in it that kspec gives
// a meaning to.
type expression struct {
	text  string
	names []name
}

// name is an identifier that is not a field of something else.
type name struct {
	text string
	at   int
	// field is what of it is selected, "" for nothing or what is not plain.
	field string
}

// readExpression finds the names in an expression. It knows just enough of CEL to tell
// names from fields, strings and comments; whether the rest is CEL is for a
// compiler to say.
func readExpression(text string) expression {
	e := expression{text: text}
	selected := false // by the dot before
	for i := 0; i < len(text); {
		start := i
		switch c := text[i]; {
		case c == '\'' || c == '"':
			i = skipString(text, i, false)
		case c == '`':
			i = skipTo(text, i+1, "`")
		case strings.HasPrefix(text[i:], "//"):
			i = skipTo(text, i, "\n")
			continue
		case c == ' ' || c == '\t' || c == '\n' || c == '\r', c == '?' && selected:
			i++
			continue
		case isNameByte(c):
			i = skipName(text, i)
			if i < len(text) && (text[i] == '\'' || text[i] == '"') && isPrefix(text[start:i]) {
				i = skipString(text, i, strings.ContainsAny(text[start:i], "rR"))
			} else if !selected && (c < '0' || c > '9') {
				e.names = append(e.names, name{text[start:i], start, fieldAfter(text, i)})
			}
		case c == '.':
			i++
			selected = true
			continue
		default:
			i++
		}
		selected = false
	}
	return e
}

func isNameByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// isPrefix reports whether a name before a quote is part of the string.
func isPrefix(text string) bool {
	return slices.Contains([]string{"r", "b", "rb", "br"}, strings.ToLower(text))
}

func skipName(text string, i int) int {
	for i < len(text) && isNameByte(text[i]) {
		i++
	}
	return i
}

func skipTo(text string, i int, end string) int {
	n := strings.Index(text[i:], end)
	if n < 0 {
		return len(text)
	}
	return i + n + len(end)
}

// skipString returns where the string that begins at i ends.
func skipString(text string, i int, raw bool) int {
	quote := text[i : i+1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(text[i:], triple) {
		quote = triple
	}
	for i += len(quote); i < len(text); i++ {
		switch {
		case text[i] == '\\' && !raw:
			i++
		case strings.HasPrefix(text[i:], quote):
			return i + len(quote)
		}
	}
	return len(text)
}

// fieldAfter returns the name in ".name" at i.
func fieldAfter(text string, i int) string {
	if i >= len(text) || text[i] != '.' {
		return ""
	}
	return text[i+1 : skipName(text, i+1)]
}

// uses reports whether the expression has that name.
func (e expression) uses(text string) bool {
	return slices.ContainsFunc(e.names, func(n name) bool { return n.text == text })
}

// ofPods reports whether the expression reads nothing of an object but its pods,
// and of its request nothing, so that it says the same for as long as they stay
// as they are.
func (e expression) ofPods() bool {
	return !slices.ContainsFunc(e.names, func(n name) bool {
		return slices.Contains([]string{"object", "oldObject", "request", "authorizer"}, n.text)
	})
}

// qualifier is put before the names of variables.
const qualifier = "variables."

// qualified returns the expression with the names that are variables written as
// the API server wants them.
func (e expression) qualified(isVariable func(string) bool) string {
	var out strings.Builder
	last := 0
	for _, n := range e.names {
		if isVariable(n.text) {
			out.WriteString(e.text[last:n.at] + qualifier)
			last = n.at
		}
	}
	out.WriteString(e.text[last:])
	return out.String()
}

// place returns where in the expression a line and column of what qualified
// returned are; both begin at 1. What is behind it is at its end.
func (e expression) place(isVariable func(string) bool, line, column int) (int, int) {
	if lines := strings.Split(e.text, "\n"); line > len(lines) {
		return len(lines), len(lines[len(lines)-1]) + 1
	}
	begin := 0
	for range line - 1 {
		begin = skipTo(e.text, begin, "\n")
	}
	for _, n := range e.names {
		if !isVariable(n.text) || n.at < begin || strings.Contains(e.text[begin:n.at], "\n") {
			continue
		}
		if own := n.at - begin + 1; column > own {
			column = max(own, column-len(qualifier))
		}
	}
	return line, column
}
