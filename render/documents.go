package render

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json" // which keeps whole numbers
)

// A placeError is an error with the place in Git that causes it.
type placeError struct {
	file string
	line int
	err  error
}

func (e *placeError) Error() string { return fmt.Sprintf("%s:%d: %v", e.file, e.line, e.err) }
func (e *placeError) Unwrap() error { return e.err }

// at returns err with its place, unless it has one.
func at(file string, line int, err error) error {
	if p := (*placeError)(nil); err == nil || errors.As(err, &p) {
		return err
	}
	return &placeError{file, max(line, 1), err}
}

// document is one YAML document: a mapping, and the line it starts at.
type document struct {
	node *yaml.Node
	line int
}

// parse returns the documents of a YAML or JSON file, without empty ones. Each
// is bounded by the limits, so that it can be expanded without harm.
func parse(file string, data []byte, lim Limits) ([]document, error) {
	if bytes.HasPrefix(data, []byte{0xFE, 0xFF}) || bytes.HasPrefix(data, []byte{0xFF, 0xFE}) {
		return nil, at(file, 1, errors.New("the file is UTF-16: save it as UTF-8"))
	}
	var docs []document
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var node yaml.Node
		err := dec.Decode(&node)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, syntaxError(file, err)
		}
		if len(node.Content) == 0 || isNull(node.Content[0]) {
			continue
		}
		root := node.Content[0]
		if err := (&guard{lim: lim, sizes: map[*yaml.Node]extent{}}).check(root); err != nil {
			return nil, at(file, root.Line, err)
		}
		docs = append(docs, document{root, firstLine(root)})
	}
}

// separator is what Kustomize divides files at.
var separator = regexp.MustCompile(`\n---[ \t]*(?:#.*)?\n`)

// divided returns the documents of a file and the text of each; false if there
// is doubt about how Kustomize divides it, or something wrong with it.
func divided(file string, data []byte, lim Limits) (docs []document, parts []string, ok bool) {
	all := strings.ReplaceAll(string(data), "\r\n", "\n")
	if strings.HasPrefix(all, "%") || strings.Contains(all, "\n%") {
		return nil, nil, false
	}
	texts := separator.Split(all, -1)
	line := 0
	for i, text := range texts {
		if i < len(texts)-1 {
			text += "\n" // as Kustomize does: it may end a text
		}
		own, err := parse(file, []byte(text), lim)
		if err == nil {
			own, err = flatten(file, own)
		}
		if err != nil || len(own) > 1 {
			return nil, nil, false
		}
		if len(own) == 1 {
			own[0].line += line
			docs, parts = append(docs, own[0]), append(parts, text)
		}
		line += strings.Count(text, "\n") + 1
	}
	return docs, parts, true
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntaxError moves the line of a YAML error to where kspec shows lines.
func syntaxError(file string, err error) error {
	text := err.Error()
	m := yamlLine.FindStringSubmatch(text)
	if m == nil {
		return at(file, 1, err)
	}
	line, _ := strconv.Atoi(m[1])
	text = text[len(m[0]):]
	if strings.Contains(text, "cannot start any token") {
		text += " (indent with spaces, not tabs)"
	}
	return at(file, line, errors.New("not YAML: "+text))
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// firstLine returns the line of the first of apiVersion and kind, or where the
// document begins.
func firstLine(n *yaml.Node) int {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if key := n.Content[i].Value; key == "kind" || key == "apiVersion" {
				return n.Content[i].Line
			}
		}
	}
	return n.Line
}

// guard measures a document as if its aliases were expanded, without expanding
// them.
type guard struct {
	lim   Limits
	sizes map[*yaml.Node]extent // zero while a node is being measured
}

type extent struct{ nodes, height int }

func (g *guard) check(root *yaml.Node) error {
	_, err := g.measure(root, 1)
	return err
}

func (g *guard) measure(n *yaml.Node, depth int) (extent, error) {
	if err := within("Depth", depth, g.lim.Depth); err != nil {
		return extent{}, err
	}
	if n.Kind == yaml.AliasNode {
		return g.measure(n.Alias, depth)
	}
	if seen, ok := g.sizes[n]; ok {
		if seen.nodes == 0 {
			return extent{}, fmt.Errorf("line %d: an anchor contains itself", n.Line)
		}
		return seen, within("Depth", depth+seen.height-1, g.lim.Depth)
	}
	g.sizes[n] = extent{}
	if err := duplicateKey(n); err != nil {
		return extent{}, err
	}
	total := extent{nodes: 1}
	for _, child := range n.Content {
		e, err := g.measure(child, depth+1)
		if err != nil {
			return extent{}, err
		}
		total = extent{total.nodes + e.nodes, max(total.height, e.height)}
		if err := within("Nodes", total.nodes, g.lim.Nodes); err != nil {
			return extent{}, err
		}
	}
	total.height++
	g.sizes[n] = total
	return total, nil
}

func duplicateKey(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.Value == "<<" {
			continue
		}
		if first, ok := seen[key.Value]; ok {
			return &duplicateKeyError{key.Value, first, key.Line}
		}
		seen[key.Value] = key.Line
	}
	return nil
}

type duplicateKeyError struct {
	key           string
	first, second int
}

func (e *duplicateKeyError) Error() string {
	return fmt.Sprintf("the key %q stands twice, at lines %d and %d", e.key, e.first, e.second)
}

// field returns the value of a key of a mapping, nil when there is none. A key
// of its own goes before one of a merge.
func field(n *yaml.Node, key string) *yaml.Node {
	n = aliased(n)
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		value := n.Content[i+1]
		switch n.Content[i].Value {
		case key:
			return value
		case "<<":
			if merged = []*yaml.Node{value}; value.Kind == yaml.SequenceNode {
				merged = value.Content
			}
		}
	}
	for _, from := range merged {
		if value := field(from, key); value != nil {
			return value
		}
	}
	return nil
}

// aliased returns what an alias stands for, and any other node as it is.
func aliased(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func text(n *yaml.Node) string {
	if n = aliased(n); n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

// nameOf returns the name of an object.
func nameOf(n *yaml.Node) string { return text(field(field(n, "metadata"), "name")) }

// flatten replaces lists of objects by their items.
func flatten(file string, docs []document) ([]document, error) {
	var flat []document
	for _, d := range docs {
		items := field(d.node, "items")
		if !strings.HasSuffix(text(field(d.node, "kind")), "List") || items == nil || items.Kind != yaml.SequenceNode {
			flat = append(flat, d)
			continue
		}
		var inner []document
		for _, item := range items.Content {
			if isNull(item) {
				return nil, at(file, item.Line, errors.New("an item of the list is null"))
			}
			inner = append(inner, document{item, firstLine(item)})
		}
		inner, err := flatten(file, inner)
		if err != nil {
			return nil, err
		}
		flat = append(flat, inner...)
	}
	return flat, nil
}

// object decodes a document as the Kubernetes API would read it.
func (d document) object() (*unstructured.Unstructured, error) {
	var value any
	if err := d.node.Decode(&value); err != nil {
		found := secrets{}
		found.node(d.node)
		return nil, found.hide(errors.New(strings.TrimPrefix(err.Error(), "yaml: ")))
	}
	m, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("not an object: want a mapping with apiVersion, kind and metadata")
	}
	data, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("not an object: %w", err)
	}
	return decodeObject(data)
}

// readAsKubectl makes plain words mean what they mean to kubectl and Argo CD,
// which read YAML 1.1 where Kustomize, and so Flux, reads YAML 1.2: yes and off
// are booleans, and a date is text.
func readAsKubectl(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Style == 0 {
		plainWord(n)
	}
	for i, child := range n.Content {
		readAsKubectl(child)
		if n.Kind == yaml.MappingNode && i%2 == 0 && child.Tag == "!!bool" {
			child.Tag = "!!str" // the key of a JSON object
		}
	}
}

func plainWord(n *yaml.Node) {
	tag := n.ShortTag()
	switch low := strings.ToLower(n.Value); {
	case tag == "!!timestamp":
		n.Tag = "!!str"
	case tag != "!!str" || n.Value != low && n.Value != strings.ToUpper(low) && n.Value != strings.ToUpper(low[:1])+low[1:]:
	case slices.Contains([]string{"y", "yes", "on"}, low):
		n.Tag, n.Value = "!!bool", "true"
	case slices.Contains([]string{"n", "no", "off"}, low):
		n.Tag, n.Value = "!!bool", "false"
	}
}

// nameable refuses a document that is no object with a name of its own.
func nameable(n *yaml.Node) error {
	meta := field(n, "metadata")
	return named(text(field(n, "apiVersion")), text(field(n, "kind")), text(field(meta, "name")), text(field(meta, "generateName")))
}

func named(apiVersion, kind, name, generateName string) error {
	switch {
	case kind == "":
		return errors.New("the object has no kind")
	case apiVersion == "":
		return errors.New("the object has no apiVersion")
	case generateName != "":
		return errors.New("the object has generateName: an object in Git needs a name of its own")
	case name == "":
		return fmt.Errorf("the %s has no metadata.name", kind)
	}
	return nil
}

// decodeObject reads an object from JSON and checks that it can be named.
func decodeObject(data []byte) (*unstructured.Unstructured, error) {
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("not an object: %w", err)
	}
	u := &unstructured.Unstructured{Object: m}
	return u, named(u.GetAPIVersion(), u.GetKind(), u.GetName(), u.GetGenerateName())
}
