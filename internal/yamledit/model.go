package yamledit

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/cloudcwfranck/kspec"
)

// toNode makes a node of a JSON value. The names by which people know an
// object or a list item stand first, all others in alphabetical order.
func toNode(v any) (*yaml.Node, error) {
	switch v := v.(type) {
	case *yaml.Node:
		return v, nil
	case string:
		if !utf8.ValidString(v) {
			return nil, fmt.Errorf("write value: %q is not UTF-8", v)
		}
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for _, k := range sortedKeys(v) {
			val, err := toNode(v[k])
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, scalar(k), val)
		}
		return n, nil
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, it := range v {
			val, err := toNode(it)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, val)
		}
		return n, nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return toNode(int64(v))
		}
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return toNode(i)
		}
		f, err := v.Float64()
		if err != nil {
			return nil, fmt.Errorf("write number %q: %w", v, err)
		}
		return toNode(f)
	}
	n := &yaml.Node{}
	if err := n.Encode(v); err != nil {
		return nil, fmt.Errorf("write value: %w", err)
	}
	if n.Kind != yaml.ScalarNode {
		return nil, fmt.Errorf("write value: %T is not a JSON value", v)
	}
	return n, nil
}

func sortedKeys(m map[string]any) []string {
	first := func(k string) int {
		if i := slices.Index([]string{"apiVersion", "kind", "metadata", "name"}, k); i >= 0 {
			return i
		}
		return 4
	}
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		if d := first(a) - first(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
}

// scalar makes the node of a string, quoted where it must be.
func scalar(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	_ = n.Encode(s) // a string cannot fail
	return n
}

// wrap puts value below the steps that nothing in the text leads along yet.
func wrap(path kspec.Path, value *yaml.Node) (*yaml.Node, error) {
	for _, step := range slices.Backward(path) {
		if len(step.Keys) == 0 {
			value = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{scalar(step.Field), value}}
			continue
		}
		it, err := newItem(step, value)
		if err != nil {
			return nil, err
		}
		value = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{it}}
	}
	return value, nil
}

// newItem gives a list item the keys that name it, in front of the rest.
func newItem(step kspec.Step, value *yaml.Node) (*yaml.Node, error) {
	if step.Keys == nil || step.Keys[0].Name == "" {
		return value, nil
	}
	if value.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%w: the item %s is not a map", ErrRefused, step)
	}
	it := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, k := range step.Keys {
		if i, _ := field(value, kspec.Step{Field: k.Name}); i < 0 {
			it.Content = append(it.Content, scalar(k.Name), keyValue(k))
		}
	}
	it.Content = append(it.Content, value.Content...)
	return it, nil
}

// keyValue guesses the type of a key's value: ports are numbers, all other
// list keys of Kubernetes are strings.
func keyValue(k kspec.Key) *yaml.Node {
	if _, err := strconv.Atoi(k.Value); err == nil && strings.HasSuffix(strings.ToLower(k.Name), "port") {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: k.Value}
	}
	return scalar(k.Value)
}

// setNode is Set on nodes instead of text.
func setNode(root *yaml.Node, path kspec.Path, value *yaml.Node) error {
	spots, rest, err := locate(root, path)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		s := spots[len(spots)-1]
		s.parent.Content[s.i] = value
		return nil
	}
	at := root
	if len(spots) > 0 {
		at = spots[len(spots)-1].value()
	}
	if blank(at) {
		if value, err = wrap(rest, value); err == nil {
			*at = *value
		}
		return err
	}
	if value, err = wrap(rest[1:], value); err != nil {
		return err
	}
	if at.Kind == yaml.MappingNode {
		at.Content = append(at.Content, scalar(rest[0].Field), value)
		return nil
	}
	if value, err = newItem(rest[0], value); err != nil {
		return err
	}
	at.Content = append(at.Content, value)
	return nil
}

// deleteNode is Delete on nodes instead of text.
func deleteNode(root *yaml.Node, path kspec.Path) error {
	spots, _, err := locate(root, path)
	if err != nil {
		return err
	}
	s := spots[len(spots)-1]
	from := s.i
	if s.parent.Kind == yaml.MappingNode {
		from--
	}
	s.parent.Content = slices.Delete(s.parent.Content, from, s.i+1)
	return nil
}

// renameNode is Rename on nodes instead of text.
func renameNode(root *yaml.Node, path kspec.Path, name string) error {
	spots, _, err := locate(root, path)
	if err != nil {
		return err
	}
	s := spots[len(spots)-1]
	if i, _ := field(s.parent, kspec.Step{Field: name}); i >= 0 {
		return fmt.Errorf("%w: there is a %s already", ErrRefused, name)
	}
	key, err := s.key()
	if err == nil {
		*key = *scalar(name)
	}
	return err
}

// same reports whether two nodes mean the same, however they are written.
func same(a, b *yaml.Node) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.Kind != b.Kind || a.Anchor != b.Anchor || a.ShortTag() != b.ShortTag() ||
		a.Value != b.Value || len(a.Content) != len(b.Content) {
		return false
	}
	return slices.EqualFunc(a.Content, b.Content, same)
}
