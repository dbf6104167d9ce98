package render

import (
	"errors"
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
	made := out.(map[string]any)
	switch made["kind"] {
	case "ConfigMap":
		return made, texts("/data", made["data"])
	case "Secret":
		return made, texts("/stringData", made["stringData"])
	}
	return made, nil
}

// texts writes the values of a map as text, where Kubernetes knows no other.
func texts(path string, in any) error {
	values, ok := in.(map[string]any)
	if !ok {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		switch v := values[key].(type) {
		case string, nil:
		case map[string]any, []any:
			return fmt.Errorf("%s/%s: want text, not %s", path, key, literal(v))
		default:
			if key != whenParameter {
				values[key] = literal(v)
			}
		}
	}
	return nil
}

// metadataTexts does so in the metadata of an object, or of a pod that it makes.
func metadataTexts(path string, in any) error {
	metadata, ok := in.(map[string]any)
	if !ok {
		return nil
	}
	names := map[string]any{}
	for _, key := range []string{"name", "generateName", "namespace"} {
		if v, ok := metadata[key]; ok {
			names[key] = v
		}
	}
	err := texts(path, names)
	maps.Copy(metadata, names)
	return errors.Join(err, texts(path+"/labels", metadata["labels"]), texts(path+"/annotations", metadata["annotations"]))
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
			if key == "metadata" {
				if err := metadataTexts(path+"/metadata", child); err != nil {
					return nil, err
				}
			}
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
			return literal(v.celData()), nil
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
	return slices.Contains([]string{"expression", "messageExpression", "valueExpression"}, key) ||
		key == "rule" && strings.Contains(path, "/x-kubernetes-validations/")
}

// mentions reports whether a value holds a text anywhere.
func mentions(v any, text string) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, text)
	case []any:
		return slices.ContainsFunc(v, func(child any) bool { return mentions(child, text) })
	case map[string]any:
		for _, child := range v {
			if mentions(child, text) {
				return true
			}
		}
	}
	return false
}
