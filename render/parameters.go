package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1alpha1 "github.com/cloudcwfranck/kspec/api/v1alpha1"
)

// value is a parameter with its type: a JSON value, with int64 for numbers.
type value struct {
	typ  string
	data any
}

// parameters gives every parameter of a template its value. The error names all
// that are wrong.
func parameters(declared map[string]v1alpha1.Parameter, given map[string]any) (map[string]value, error) {
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, ok := declared[name]; !ok {
			wrong = append(wrong, fmt.Sprintf("parameter %q: the template has no such parameter, but %s", name, known(declared)))
		}
	}
	values := map[string]value{}
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		v, err := parameter(declared[name], given, name)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("parameter %q: %v", name, err))
		}
		values[name] = v
	}
	if len(wrong) > 0 {
		return nil, errors.New(strings.Join(wrong, "; "))
	}
	return values, nil
}

func known(declared map[string]v1alpha1.Parameter) string {
	if len(declared) == 0 {
		return "none at all"
	}
	return strings.Join(slices.Sorted(maps.Keys(declared)), ", ")
}

func parameter(p v1alpha1.Parameter, given map[string]any, name string) (value, error) {
	raw, ok := given[name]
	switch {
	case ok:
	case p.Default != nil:
		raw = *p.Default
	default:
		return value{}, errors.New("no value is given, and the template has no default")
	}
	data, err := p.Value(raw)
	return value{p.Type, data}, err
}

// literal returns a value as JSON, which is also a literal of CEL: its strings
// have the same quotes and escapes.
func literal(v any) string {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprintf("%q", fmt.Sprint(v))
	}
	return strings.TrimSpace(out.String())
}

// text returns a value as it stands inside a longer string; false when only
// the whole value of a field can hold it.
func (v value) text() (string, bool) {
	switch data := v.data.(type) {
	case string:
		return data, true
	case bool, int64:
		return fmt.Sprint(data), true
	default:
		return "", false
	}
}
