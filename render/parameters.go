package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	v1alpha1 "github.com/cloudcwfranck/kspec/api/v1alpha1"
)

// value is a parameter with its type: a JSON value, with int64 for numbers.
type value struct {
	typ  string
	data any
}

// parameters gives every parameter of a template its value. Errors name the
// parameter.
func parameters(declared map[string]v1alpha1.Parameter, given map[string]any) (map[string]value, error) {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, ok := declared[name]; !ok {
			return nil, fmt.Errorf("parameter %q: the template has no such parameter, but %s", name, known(declared))
		}
	}
	values := map[string]value{}
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		v, err := parameter(declared[name], given, name)
		if err != nil {
			return nil, fmt.Errorf("parameter %q: %w", name, err)
		}
		values[name] = v
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
		if err := json.Unmarshal(p.Default.Raw, &raw); err != nil {
			return value{}, fmt.Errorf("default: %w", err)
		}
	default:
		return value{}, fmt.Errorf("no value is given, and the template has no default")
	}
	v, err := typed(p.Type, raw)
	if err != nil {
		return value{}, err
	}
	return v, allowed(p, v)
}

// allowed checks a value against the list.
func allowed(p v1alpha1.Parameter, v value) error {
	var names []string
	for _, a := range p.Allowed {
		data, err := plainJSON(a.Raw)
		if err != nil {
			return fmt.Errorf("allowed: %w", err)
		}
		if reflect.DeepEqual(data, v.data) {
			return nil
		}
		names = append(names, literal(data))
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%s is not allowed: want %s", literal(v.data), strings.Join(names, ", "))
}

// typed reads a value as the type that the template declares. Nothing is
// converted: the text "true" is not a bool.
func typed(typ string, raw any) (value, error) {
	text, err := json.Marshal(raw)
	if err != nil {
		return value{}, err
	}
	data, err := plainJSON(text)
	if err != nil {
		return value{}, err
	}
	wrong := fmt.Errorf("%s is not of type %s", literal(data), typ)
	switch typ {
	case "string":
		_, ok := data.(string)
		return value{typ, data}, unless(ok, wrong)
	case "bool":
		_, ok := data.(bool)
		return value{typ, data}, unless(ok, wrong)
	case "int":
		_, ok := data.(int64)
		return value{typ, data}, unless(ok, wrong)
	case "quantity":
		if n, ok := data.(int64); ok {
			data = strconv.FormatInt(n, 10)
		}
		s, _ := data.(string)
		_, err := resource.ParseQuantity(s)
		return value{typ, data}, unless(err == nil, wrong)
	case "duration":
		s, ok := data.(string)
		_, err := v1alpha1.ParseDuration(s)
		return value{typ, data}, unless(ok && err == nil, wrong)
	case "array":
		list, ok := data.([]any)
		return value{typ, data}, unless(ok && !slices.ContainsFunc(list, composite), wrong)
	default:
		return value{}, fmt.Errorf("the template gives it the unknown type %q", typ)
	}
}

func unless(ok bool, err error) error {
	if ok {
		return nil
	}
	return err
}

func composite(v any) bool {
	switch v.(type) {
	case map[string]any, []any, nil:
		return true
	}
	return false
}

// plainJSON decodes JSON with int64 for whole numbers.
func plainJSON(text []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	return whole(v), nil
}

func whole(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = whole(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = whole(v[k])
		}
	}
	return v
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
