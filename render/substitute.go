package render

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
)

var placeholder = regexp.MustCompile(`\{\{([A-Za-z][A-Za-z0-9_.-]*)\}\}`)

// substitute returns a copy of an object of a template with each {{name}} in
// its values replaced. What a parameter holds is never looked at again, so it
// stays data whatever it contains. Errors name the path.
func substitute(object map[string]any, values map[string]value) (map[string]any, error) {
	out, err := substituteIn("", object, values)
	if err != nil {
		return nil, err
	}
	return out.(map[string]any), nil
}

func substituteIn(path string, v any, values map[string]value) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if strings.Contains(key, "{{") {
				return nil, fmt.Errorf("%s: the key %q holds {{: parameters can stand in values only", path, key)
			}
			child, err := substituteIn(path+"/"+key, v[key], values)
			if err != nil {
				return nil, err
			}
			out[key] = child
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i := range v {
			child, err := substituteIn(fmt.Sprintf("%s/%d", path, i), v[i], values)
			if err != nil {
				return nil, err
			}
			out[i] = child
		}
		return out, nil
	case string:
		out, err := substituteText(path, v, values)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return out, nil
	default:
		return v, nil
	}
}

func substituteText(path, text string, values map[string]value) (any, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
		if _, ok := values[m[1]]; !ok {
			return nil, fmt.Errorf("unknown parameter %q", m[1])
		}
	}
	if rest := placeholder.ReplaceAllString(text, ""); strings.Contains(rest, "{{") {
		return nil, fmt.Errorf("%q holds {{ that is no parameter: write {{name}} without spaces", text)
	}
	if m := placeholder.FindStringSubmatch(text); m[0] == text {
		v := values[m[1]]
		if isCEL(path) {
			return literal(v.data), nil
		}
		return runtime.DeepCopyJSONValue(v.data), nil
	}
	return splice(path, text, values)
}

// splice replaces placeholders inside a longer string.
func splice(path, text string, values map[string]value) (string, error) {
	var err error
	out := placeholder.ReplaceAllStringFunc(text, func(match string) string {
		name := strings.Trim(match, "{}")
		v := values[name]
		s, ok := v.text()
		switch {
		case !ok:
			err = fmt.Errorf("parameter %q of type %s must be the whole value", name, v.typ)
		case isCEL(path) && v.typ != "bool" && v.typ != "int":
			err = fmt.Errorf("parameter %q of type %s stands inside a CEL expression: make it a variable of the policy, whose whole expression is {{%s}}", name, v.typ, name)
		}
		return s
	})
	return out, err
}

// isCEL reports whether the field at path holds a CEL expression. A parameter
// there becomes a literal of CEL and never a part of the program.
func isCEL(path string) bool {
	key := path[strings.LastIndex(path, "/")+1:]
	return slices.Contains([]string{"expression", "messageExpression", "valueExpression"}, key)
}

// mentions reports whether a value holds {{name}} anywhere.
func mentions(v any, name string) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, "{{"+name+"}}")
	case []any:
		return slices.ContainsFunc(v, func(child any) bool { return mentions(child, name) })
	case map[string]any:
		for _, child := range v {
			if mentions(child, name) {
				return true
			}
		}
	}
	return false
}
