package v1alpha1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Value returns the value that the parameter has when given is said of it: a
// text, bool or int64, or a list of those and of float64. Nothing is converted,
// so the text "true" is no bool, but that a quantity may be said as a number.
// The error says what the type or the list of allowed values does not admit.
func (p Parameter) Value(given any) (any, error) {
	value, err := typed(p.Type, given)
	if err != nil {
		return nil, err
	}
	var allowed []string
	for _, a := range p.Allowed {
		one, err := typed(p.Type, a)
		if err != nil {
			return nil, fmt.Errorf("allowed: %w", err)
		}
		if reflect.DeepEqual(one, value) {
			return value, nil
		}
		allowed = append(allowed, string(a.Raw))
	}
	if len(allowed) == 0 {
		return value, nil
	}
	return nil, fmt.Errorf("%s is not allowed: want %s", plainText(given), strings.Join(allowed, ", "))
}

// typed returns what is given as data of a type.
func typed(typ string, given any) (any, error) {
	text := plainText(given)
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var data any
	if err := dec.Decode(&data); err != nil {
		return nil, err
	}
	var ok bool
	switch typ {
	case "string":
		_, ok = data.(string)
	case "bool":
		_, ok = data.(bool)
	case "int":
		data = plainNumber(data)
		_, ok = data.(int64)
	case "quantity":
		if n, isNumber := data.(json.Number); isNumber {
			data = n.String()
		}
		s, _ := data.(string)
		_, err := resource.ParseQuantity(s)
		ok = err == nil
	case "duration":
		s, _ := data.(string)
		_, err := ParseDuration(s)
		ok = err == nil
	case "array":
		var list []any
		list, ok = data.([]any)
		for i := range list {
			list[i] = plainNumber(list[i])
		}
		ok = ok && !slices.ContainsFunc(list, composite)
	default:
		return nil, fmt.Errorf("the template gives it the unknown type %q", typ)
	}
	if !ok {
		return nil, fmt.Errorf("%s is not of type %s", text, typ)
	}
	return data, nil
}

// plainNumber returns a number as int64 when it is whole, and all else as it is.
func plainNumber(data any) any {
	n, ok := data.(json.Number)
	if !ok {
		return data
	}
	if whole, err := n.Int64(); err == nil {
		return whole
	}
	f, _ := n.Float64()
	return f
}

func composite(v any) bool {
	switch v.(type) {
	case map[string]any, []any, nil:
		return true
	}
	return false
}

// plainText returns a value as JSON that a person can read.
func plainText(v any) string {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprintf("%q", fmt.Sprint(v))
	}
	return strings.TrimSpace(out.String())
}

// check finds mistakes in what a template says of a parameter.
func (p Parameter) check(v *validator, at string) {
	for i, a := range p.Allowed {
		_, err := typed(p.Type, a)
		v.check(fmt.Sprintf("%s.allowed[%d]", at, i), err)
	}
	if p.Default != nil {
		_, err := p.Value(*p.Default)
		v.check(at+".default", err)
	}
	switch {
	case p.Required == nil:
	case *p.Required && p.Default != nil:
		v.check(at+".required", errors.New("a parameter with a default is never required: drop one of the two"))
	case !*p.Required && p.Default == nil:
		v.check(at+".required", errors.New("a parameter without a default is always required: give it a default"))
	}
}
