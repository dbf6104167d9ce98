package migrate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/internal/yamledit"
)

// path leads to a field; an item of a list is its index in digits.
type path []string

var (
	digits = regexp.MustCompile(`^[0-9]+$`)
	plain  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)
)

// String returns the path as errors of [v1alpha1.Decode] write it.
func (p path) String() string {
	var b strings.Builder
	for _, step := range p {
		switch {
		case digits.MatchString(step):
			b.WriteString("[" + step + "]")
		case !plain.MatchString(step):
			fmt.Fprintf(&b, "[%q]", step)
		case b.Len() > 0:
			b.WriteString("." + step)
		default:
			b.WriteString(step)
		}
	}
	return b.String()
}

func (p path) to(steps ...string) path { return slices.Concat(p, steps) }

func (p path) edit() kspec.Path {
	steps := make(kspec.Path, 0, len(p))
	for _, field := range p {
		steps = append(steps, kspec.Step{Field: field})
	}
	return steps
}

// document is one that is being rewritten.
type document struct {
	*yamledit.Doc

	apiVersion, kind, name string

	offset int        // lines of the file before it
	old    *yaml.Node // what it was
	lines  map[string]int
	notes  []Note

	// err is why an edit is not possible, at the field failed.
	err    error
	failed path
}

func newDocument(offset int, doc *yamledit.Doc) *document {
	d := &document{Doc: doc, offset: offset, old: doc.Root(), lines: map[string]int{}}
	d.apiVersion, d.kind = scalarOf(field(d.old, "apiVersion")), scalarOf(field(d.old, "kind"))
	d.name = scalarOf(field(field(d.old, "metadata"), "name"))
	if d.old != nil {
		d.number(nil, d.old)
	}
	return d
}

// field returns the value of a key of a map however the map is written, nil
// for none.
func field(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// number records the line of every field.
func (d *document) number(p path, n *yaml.Node) {
	if _, known := d.lines[p.String()]; !known {
		d.lines[p.String()] = n.Line + d.offset
	}
	for i, child := range n.Content {
		switch {
		case n.Kind == yaml.SequenceNode:
			d.number(p.to(strconv.Itoa(i)), child)
		case n.Kind == yaml.MappingNode && i%2 == 1:
			key := p.to(n.Content[i-1].Value)
			d.lines[key.String()] = n.Content[i-1].Line + d.offset
			d.number(key, child)
		}
	}
}

func (d *document) line(p path) int { return d.lineOf(p.String()) }

// lineOf returns the line of a field of the old text, or of what holds it.
func (d *document) lineOf(field string) int {
	for field != "" {
		if line, ok := d.lines[field]; ok {
			return line
		}
		field = field[:max(strings.LastIndexAny(field, ".["), 0)]
	}
	return d.lines[""]
}

func (d *document) note(fate Fate, p path, message string) {
	d.notes = append(d.notes, Note{Line: d.line(p), Path: p.String(), Fate: fate, Message: message})
}

func (d *document) sortNotes() {
	slices.SortStableFunc(d.notes, func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), strings.Compare(a.Path, b.Path))
	})
}

// fail records the first edit that is not possible; what follows is not tried.
func (d *document) fail(p path, err error) {
	if d.err == nil && err != nil {
		d.err, d.failed = err, p
	}
}

func (d *document) get(p path) *yaml.Node { return d.Get(p.edit()) }

func (d *document) has(p path) bool { return d.get(p) != nil }

func (d *document) set(p path, value any) {
	if d.err == nil {
		d.fail(p, d.Set(p.edit(), value))
	}
}

func (d *document) remove(p path) {
	if d.err == nil {
		d.fail(p, d.Cut(p.edit()))
	}
}

func (d *document) rename(p path, name string) {
	if d.err == nil {
		d.fail(p, d.Rename(p.edit(), name))
	}
}

const annotationPrefix = "kspec.io/v0.3-"

// annotate keeps the value at p in an annotation, and takes it away.
func (d *document) annotate(p path, why string) {
	d.keep(p, value(d.get(p)), why)
	d.remove(p)
}

// keep writes a value that stood at p to an annotation.
func (d *document) keep(p path, v any, why string) {
	text, err := json.Marshal(v)
	d.fail(p, err)
	name := annotationPrefix + strings.Join(p, ".")
	d.set(path{"metadata", "annotations", name}, string(text))
	d.note(Annotated, p, fmt.Sprintf("%s; kept in the annotation %s", why, name))
}

// value returns a node as JSON has it, with the text of what JSON has not.
func value(n *yaml.Node) any {
	switch {
	case n == nil || n.Tag == "!!null":
		return nil
	case n.Kind == yaml.MappingNode:
		out := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			out[n.Content[i].Value] = value(n.Content[i+1])
		}
		return out
	case n.Kind == yaml.SequenceNode:
		out := make([]any, 0, len(n.Content))
		for _, item := range n.Content {
			out = append(out, value(item))
		}
		return out
	}
	var v any = n.Value
	if n.Tag == "!!bool" || n.Tag == "!!int" {
		_ = n.Decode(&v) // what cannot be read stays text
	}
	return v
}

// keys returns the keys of the map at p, in order.
func (d *document) keys(p path) []string {
	n := d.get(p)
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	var keys []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		keys = append(keys, n.Content[i].Value)
	}
	return keys
}

// len returns the number of items of the list at p.
func (d *document) len(p path) int { return len(items(d.get(p))) }

// items returns the items of a list, none of anything else.
func items(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// rule says what becomes of the fields at a place, which are written as in
// "spec.policyExemptions[].reason".
type rule struct {
	at string
	do func(d *document, p path)
}

// apply calls the rule for every field at its place that is there, the last
// first, so that one may be taken away.
func (d *document) apply(r rule) { d.each(nil, strings.Split(r.at, "."), r.do) }

func (d *document) each(p path, rest []string, do func(*document, path)) {
	switch {
	case d.err != nil || len(p) > 0 && !d.has(p):
	case len(rest) == 0:
		do(d, p)
	default:
		field, list := strings.CutSuffix(rest[0], "[]")
		if !list {
			d.each(p.to(field), rest[1:], do)
			return
		}
		for i := d.len(p.to(field)) - 1; i >= 0; i-- {
			d.each(p.to(field, strconv.Itoa(i)), rest[1:], do)
		}
	}
}

func annotate(why string) func(*document, path) {
	return func(d *document, p path) { d.annotate(p, why) }
}

func remove(why string) func(*document, path) {
	return func(d *document, p path) {
		d.remove(p)
		d.note(Removed, p, "taken away: "+why)
	}
}

// redefined tells of a field that says something.
func redefined(how string) func(*document, path) {
	return func(d *document, p path) {
		if n := d.get(p); len(n.Content) > 0 || n.Kind == yaml.ScalarNode && value(n) != nil {
			d.note(Redefined, p, how)
		}
	}
}

// quote makes text of what only looks like a number or a boolean, as v0.3 read
// it.
func quote(d *document, p path) {
	n := d.get(p)
	if n.Kind != yaml.ScalarNode || n.Tag == "!!str" || n.Tag == "!!null" {
		return
	}
	d.set(p, n.Value)
	d.note(Moved, p, fmt.Sprintf("quoted: it is the text %q", n.Value))
}
