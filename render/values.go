package render

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/resource"
)

// decodeResource returns what Kustomize made as an object, and how long it is
// as JSON.
//
// Kustomize gets from its YAML nodes to JSON by way of YAML as text, which takes
// longer than most of what it does to an object, and which can change a value
// on the way. Nodes of which no text could be in doubt are read as they are; an
// object that has any other goes the way of Kustomize.
func decodeResource(r *resource.Resource) (*unstructured.Unstructured, int64, error) {
	var p plainReader
	if value, ok := p.value(r.YNode()); ok {
		object, _ := value.(map[string]any)
		u := &unstructured.Unstructured{Object: object}
		return u, p.size, named(u.GetAPIVersion(), u.GetKind(), u.GetName(), u.GetGenerateName())
	}
	data, err := r.MarshalJSON()
	if err != nil {
		return nil, 0, err
	}
	u, err := decodeObject(data)
	return u, int64(len(data)), err
}

// plainReader makes values of nodes that mean what they say, and measures them
// as JSON.
type plainReader struct{ size int64 }

// value returns the value of a node; false when it may be another as text.
func (p *plainReader) value(n *yaml.Node) (any, bool) {
	switch {
	case n == nil:
		return nil, false
	case n.Kind == yaml.MappingNode && (n.Tag == "" || n.Tag == "!!map"):
		return p.mapping(n)
	case n.Kind == yaml.SequenceNode && (n.Tag == "" || n.Tag == "!!seq"):
		return p.sequence(n)
	case n.Kind == yaml.ScalarNode:
		return p.scalar(n)
	}
	return nil, false
}

func (p *plainReader) mapping(n *yaml.Node) (any, bool) {
	p.separated(len(n.Content) / 2)
	object := make(map[string]any, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" || !p.text(key) {
			return nil, false
		}
		value, ok := p.value(n.Content[i+1])
		if !ok {
			return nil, false
		}
		object[key.Value] = value
		p.size++ // the colon
	}
	return object, len(object) == len(n.Content)/2
}

func (p *plainReader) sequence(n *yaml.Node) (any, bool) {
	p.separated(len(n.Content))
	list := make([]any, len(n.Content))
	for i, item := range n.Content {
		value, ok := p.value(item)
		if !ok {
			return nil, false
		}
		list[i] = value
	}
	return list, true
}

// separated counts brackets and commas.
func (p *plainReader) separated(items int) { p.size += int64(2 + max(items-1, 0)) }

func (p *plainReader) scalar(n *yaml.Node) (any, bool) {
	tag := n.ShortTag()
	if tag == "!!str" {
		return n.Value, p.text(n)
	}
	p.size += int64(len(n.Value))
	switch {
	case n.Style != 0:
	case tag == "!!null":
		return nil, n.Value == "null"
	case tag == "!!bool":
		return n.Value == "true", n.Value == "true" || n.Value == "false"
	case tag == "!!int":
		i, err := strconv.ParseInt(n.Value, 10, 64)
		return i, err == nil && strconv.FormatInt(i, 10) == n.Value
	}
	return nil, false
}

// text reports whether a text stays as it is: printable ASCII in one line. It
// counts what JSON makes of it.
func (p *plainReader) text(n *yaml.Node) bool {
	if n.Style&^(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 || n.Value == "<<" {
		return false
	}
	p.size += int64(2 + len(n.Value))
	for i := range len(n.Value) {
		switch c := n.Value[i]; {
		case c < ' ' || c > '~':
			return false
		case c == '"' || c == '\\':
			p.size++
		case strings.IndexByte("<>&", c) >= 0:
			p.size += int64(len(`\u003c`) - 1)
		}
	}
	return true
}
