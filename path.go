package kspec

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Path is a place inside an object. It is written as a JSON pointer
// (RFC 6901), in which the item of a list may be named by its keys instead of
// its index:
//
//	/spec/replicas
//	/spec/containers/0/image
//	/spec/containers/[name=app]/image
//	/spec/ports/[containerPort=80,protocol=TCP]
//	/metadata/finalizers/[=example.com/guard]
//
// The last form names the item of a list of plain values. A key or a value
// that holds one of , = ] " or begins with a space is written as a JSON string.
type Path []Step

// Step is one element of a [Path]: a field, an index written as a number, or
// the keys of a list item.
type Step struct {
	// Field is the name of a field or the text of an index, unescaped.
	Field string
	// Keys are sorted by name. When there are any, Field is empty.
	Keys []Key
}

// Key is the name and value that tell a list item from the others. The name is
// empty for an item that is a plain value.
type Key struct{ Name, Value string }

// ParsePath reads a path. The empty text is the whole object.
func ParsePath(s string) (Path, error) {
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("path %q is not UTF-8", s)
	}
	var p Path
	for rest := s; rest != ""; {
		if rest[0] != '/' {
			return nil, fmt.Errorf("path %q: want a / before %q", s, rest)
		}
		var step Step
		var err error
		if step, rest, err = parseStep(rest[1:]); err != nil {
			return nil, fmt.Errorf("path %q: %w", s, err)
		}
		p = append(p, step)
	}
	return p, nil
}

// String returns the path in the form that [ParsePath] reads.
func (p Path) String() string {
	var b strings.Builder
	for _, s := range p {
		b.WriteByte('/')
		b.WriteString(s.String())
	}
	return b.String()
}

// Covers reports whether q is the place p or lies below it.
func (p Path) Covers(q Path) bool {
	return len(p) <= len(q) && slices.EqualFunc(p, q[:len(p)], Step.equal)
}

// String returns the step without the slash before it.
func (s Step) String() string {
	if len(s.Keys) == 0 {
		return escapeField(s.Field)
	}
	pairs := make([]string, 0, len(s.Keys))
	for _, k := range s.Keys {
		pairs = append(pairs, quoteKey(k.Name)+"="+quoteKey(k.Value))
	}
	return "[" + strings.Join(pairs, ",") + "]"
}

func (s Step) equal(o Step) bool { return s.Field == o.Field && slices.Equal(s.Keys, o.Keys) }

// escapeField also escapes a leading bracket, by a sequence of our own that a
// JSON pointer cannot hold, so that a field of such a name is not read as keys.
func escapeField(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "~", "~0"), "/", "~1")
	if strings.HasPrefix(s, "[") {
		s = "~2" + s[1:]
	}
	return s
}

func quoteKey(s string) string {
	if !strings.ContainsAny(s, `,=]"`) && !strings.HasPrefix(s, " ") {
		return s
	}
	b, _ := json.Marshal(s) // a string cannot fail
	return string(b)
}

// parseStep reads one step and returns what follows it.
func parseStep(s string) (Step, string, error) {
	if strings.HasPrefix(s, "[") {
		return parseKeys(s[1:])
	}
	text, rest := s, ""
	if i := strings.IndexByte(s, '/'); i >= 0 {
		text, rest = s[:i], s[i:]
	}
	for i := range len(text) {
		if text[i] == '~' && (i+1 == len(text) || !strings.ContainsRune("012", rune(text[i+1]))) {
			return Step{}, "", fmt.Errorf("%q: a ~ is written ~0, and a / within a name ~1", text)
		}
	}
	return Step{Field: strings.NewReplacer("~0", "~", "~1", "/", "~2", "[").Replace(text)}, rest, nil
}

// parseKeys reads the rest of a step after its opening bracket.
func parseKeys(s string) (Step, string, error) {
	var step Step
	for {
		var k Key
		var err error
		if k.Name, s, err = parseToken(s, "="); err != nil {
			return Step{}, "", err
		}
		if k.Value, s, err = parseToken(s[1:], ",]"); err != nil {
			return Step{}, "", err
		}
		step.Keys = append(step.Keys, k)
		end := s[0]
		s = s[1:]
		if end == ',' {
			continue
		}
		if s != "" && s[0] != '/' {
			return Step{}, "", fmt.Errorf("want a / after ], not %q", s)
		}
		slices.SortFunc(step.Keys, func(a, b Key) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Value, b.Value))
		})
		return step, s, nil
	}
}

// parseToken reads a plain or quoted token that ends before one of stops, and
// returns what follows, which begins with the stop.
func parseToken(s, stops string) (token, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, stops)
		if i < 0 {
			return "", "", fmt.Errorf("want %s after %q, as in [name=app]", orList(stops), s)
		}
		return s[:i], s[i:], nil
	}
	dec := json.NewDecoder(strings.NewReader(s))
	if err := dec.Decode(&token); err != nil {
		return "", "", fmt.Errorf("want a closed JSON string: %s", s)
	}
	rest = s[dec.InputOffset():]
	if rest == "" || !strings.ContainsRune(stops, rune(rest[0])) {
		return "", "", fmt.Errorf("want %s after %q, as in [name=app]", orList(stops), token)
	}
	return token, rest, nil
}

func orList(chars string) string { return strings.Join(strings.Split(chars, ""), " or ") }
