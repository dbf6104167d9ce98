// Package yamledit changes single values in the text of a YAML or JSON file
// and leaves every other byte as it is: comments, blank lines, quoting,
// indentation, line ends and document separators.
//
// An edit is a splice at the position of a node. Each one is checked before it
// counts: the new text is parsed, and must mean exactly what the old text meant
// with that one value changed. What cannot be changed so, such as a value that
// shares an anchor, is refused with [ErrRefused].
package yamledit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cloudcwfranck/kspec"
)

// ErrRefused is wrapped by the error of an edit that the text does not allow.
var ErrRefused = errors.New("the file cannot be edited in place")

// maxSize bounds the files that are read.
const maxSize = 4 << 20

// File is the text of a file, split into its documents.
type File struct {
	bom  string
	Docs []*Doc
}

// Doc is one document of a file.
type Doc struct {
	// Line is the line of the file at which the document begins, from 1.
	Line int

	text  string
	root  *yaml.Node // nil for an empty document
	lines []int      // the offset at which each line begins
}

// Parse reads src, which may hold several documents.
func Parse(src []byte) (*File, error) {
	if len(src) > maxSize {
		return nil, fmt.Errorf("%w: it is larger than %d bytes", ErrRefused, maxSize)
	}
	text := string(src)
	f := &File{}
	if rest, ok := strings.CutPrefix(text, "\uFEFF"); ok {
		f.bom, text = "\uFEFF", rest
	}
	if strings.ContainsAny(strings.ReplaceAll(text, "\r\n", "\n"), "\r\u0085\u2028\u2029") {
		return nil, fmt.Errorf("%w: it holds an unusual line break", ErrRefused)
	}
	line := 1
	for _, chunk := range Split(text) {
		d := &Doc{Line: line}
		if err := d.set(chunk); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		f.Docs = append(f.Docs, d)
		line += strings.Count(chunk, "\n")
	}
	return f, nil
}

// Bytes returns the text with all edits made so far.
func (f *File) Bytes() []byte {
	var b bytes.Buffer
	b.WriteString(f.bom)
	for _, d := range f.Docs {
		b.WriteString(d.text)
	}
	return b.Bytes()
}

// Split cuts a stream before each line that begins with the marker "---",
// which YAML allows nowhere inside a document. Put together the parts are text.
func Split(text string) []string {
	var chunks []string
	start, pos := 0, 0
	for pos < len(text) {
		end := pos + strings.IndexByte(text[pos:], '\n') + 1
		if end == pos {
			end = len(text)
		}
		if l := text[pos:end]; pos > start && strings.HasPrefix(l, "---") && (len(l) == 3 || strings.ContainsRune(" \t\r\n", rune(l[3]))) {
			chunks = append(chunks, text[start:pos])
			start = pos
		}
		pos = end
	}
	return append(chunks, text[start:])
}

// Root returns the top node of the document, or nil when it is empty. It must
// not be changed.
func (d *Doc) Root() *yaml.Node { return d.root }

// Comments returns the lines of all comments of the document, about in their
// order.
func (d *Doc) Comments() []string {
	if d.root == nil {
		return nil
	}
	return commentsIn([]*yaml.Node{d.root})
}

// Empty reports whether the document holds nothing.
func (d *Doc) Empty() bool { return d.root == nil }

// Decode stores the document in v as [yaml.Node.Decode] does.
func (d *Doc) Decode(v any) error {
	if d.root == nil {
		return nil
	}
	return d.root.Decode(v)
}

// Set gives the value at path, and makes what is missing on the way there.
func (d *Doc) Set(path kspec.Path, value any) error {
	if len(path) == 0 {
		return fmt.Errorf("%w: no path", ErrRefused)
	}
	node, err := toNode(value)
	if err != nil {
		return err
	}
	return d.edit(path, func(spots []spot, rest kspec.Path) (splice, error) {
		if len(rest) == 0 {
			return d.replace(spots[len(spots)-1], node)
		}
		return d.add(spots, rest, node)
	}, func(root *yaml.Node) error { return setNode(root, path, node) })
}

// Delete removes the value at path, and the comments within it. That nothing is
// there is an error.
func (d *Doc) Delete(path kspec.Path) error {
	return d.delete(path, func(s splice, _ spot) splice { return s })
}

// Cut is Delete, but leaves the comments within the value, each on a line of its
// own. Those within brackets go with it.
func (d *Doc) Cut(path kspec.Path) error { return d.delete(path, d.comments) }

func (d *Doc) delete(path kspec.Path, keep func(splice, spot) splice) error {
	return d.edit(path, func(spots []spot, rest kspec.Path) (splice, error) {
		if len(rest) > 0 || len(spots) == 0 {
			return splice{}, fmt.Errorf("%w: there is nothing at %s", ErrRefused, path)
		}
		s, err := d.remove(spots)
		return keep(s, spots[len(spots)-1]), err
	}, func(root *yaml.Node) error { return deleteNode(root, path) })
}

// Rename gives the key at path another name. That nothing is there, or that the
// name is taken, is an error.
func (d *Doc) Rename(path kspec.Path, name string) error {
	return d.edit(path, func(spots []spot, rest kspec.Path) (splice, error) {
		if len(rest) > 0 || len(spots) == 0 {
			return splice{}, fmt.Errorf("%w: there is nothing at %s", ErrRefused, path)
		}
		key, err := spots[len(spots)-1].key()
		if err != nil {
			return splice{}, err
		}
		text, err := d.block(quotedLike(key, scalar(name)), 0)
		return splice{d.start(key), d.end(key), text}, err
	}, func(root *yaml.Node) error { return renameNode(root, path, name) })
}

// Get returns the node at path, or nil.
func (d *Doc) Get(path kspec.Path) *yaml.Node {
	if d.root == nil {
		return nil
	}
	spots, rest, err := locate(d.root, path)
	switch {
	case err != nil || len(rest) > 0:
		return nil
	case len(spots) == 0:
		return d.root
	default:
		return spots[len(spots)-1].value()
	}
}

// splice replaces text[from:to].
type splice struct {
	from, to int
	with     string
}

// edit makes the splice that plan computes, and keeps it only when the text
// then means what model makes of the old meaning.
func (d *Doc) edit(path kspec.Path, plan func([]spot, kspec.Path) (splice, error), model func(*yaml.Node) error) error {
	if d.root == nil {
		return fmt.Errorf("%w: the document is empty", ErrRefused)
	}
	spots, rest, err := locate(d.root, path)
	if err != nil {
		return err
	}
	s, err := plan(spots, rest)
	if err != nil {
		return err
	}
	want, err := parse(d.text)
	if err != nil {
		return err
	}
	if err := model(want); err != nil {
		return err
	}
	next := &Doc{Line: d.Line}
	if err := next.set(d.text[:s.from] + s.with + d.text[s.to:]); err != nil {
		return fmt.Errorf("%w: %s: the edited text would not parse", ErrRefused, path)
	}
	if !same(want, next.root) {
		return fmt.Errorf("%w: %s: the edited text would mean something else", ErrRefused, path)
	}
	*d = *next
	return nil
}

func (d *Doc) set(text string) error {
	root, err := parse(text)
	if err != nil {
		return err
	}
	d.text, d.root, d.lines = text, root, []int{0}
	for i := range len(text) {
		if text[i] == '\n' {
			d.lines = append(d.lines, i+1)
		}
	}
	return nil
}

// parse returns the top node of the one document in text, or nil.
func parse(text string) (*yaml.Node, error) {
	dec := yaml.NewDecoder(strings.NewReader(text))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("parse YAML: %w", err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: two documents without a separator", ErrRefused)
	}
	if root := doc.Content[0]; !blank(root) {
		return root, nil
	}
	return nil, nil
}

// spot is the place of a value in its parent: parent.Content[i].
type spot struct {
	parent *yaml.Node
	i      int
}

func (s spot) value() *yaml.Node { return s.parent.Content[s.i] }

func (s spot) key() (*yaml.Node, error) {
	if s.parent.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%w: a list item has no name", ErrRefused)
	}
	return s.parent.Content[s.i-1], nil
}

// locate walks down path as far as it leads and returns the places it passed
// and the steps that remain. It refuses to pass an alias, an anchor, a tag or a
// merge key, because a change there would show elsewhere too.
func locate(root *yaml.Node, path kspec.Path) ([]spot, kspec.Path, error) {
	var spots []spot
	at := root
	for n, step := range path {
		if err := plain(at); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path[:n], err)
		}
		i, err := child(at, step)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path[:n], err)
		}
		if i < 0 {
			return spots, path[n:], nil
		}
		spots = append(spots, spot{at, i})
		at = at.Content[i]
	}
	return spots, nil, plain(at)
}

func plain(n *yaml.Node) error {
	switch {
	case n.Kind == yaml.AliasNode:
		return fmt.Errorf("%w: it is an alias", ErrRefused)
	case n.Anchor != "":
		return fmt.Errorf("%w: it has an anchor that is used elsewhere", ErrRefused)
	case n.Style&yaml.TaggedStyle != 0:
		return fmt.Errorf("%w: it has an explicit tag", ErrRefused)
	}
	return nil
}

// child returns the index in n.Content of the value that step names, or -1.
func child(n *yaml.Node, step kspec.Step) (int, error) {
	switch n.Kind {
	case yaml.MappingNode:
		return field(n, step)
	case yaml.SequenceNode:
		return item(n, step)
	default:
		if blank(n) {
			return -1, nil
		}
		return 0, fmt.Errorf("%w: %s leads into a plain value", ErrRefused, step)
	}
}

func field(n *yaml.Node, step kspec.Step) (int, error) {
	if len(step.Keys) > 0 {
		return 0, fmt.Errorf("%w: %s names a list item, but there is a map", ErrRefused, step)
	}
	found := -1
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch k := n.Content[i]; {
		case k.Tag == "!!merge":
			return 0, fmt.Errorf("%w: it has a merge key", ErrRefused)
		case k.Kind != yaml.ScalarNode:
			return 0, fmt.Errorf("%w: it has a key that is not plain", ErrRefused)
		case k.Value == step.Field && found >= 0:
			return 0, fmt.Errorf("%w: %s stands there twice", ErrRefused, step)
		case k.Value == step.Field:
			found = i + 1
		}
	}
	return found, nil
}

func item(n *yaml.Node, step kspec.Step) (int, error) {
	if len(step.Keys) == 0 {
		i, err := strconv.Atoi(step.Field)
		if err != nil || i < 0 || i > len(n.Content) {
			return 0, fmt.Errorf("%w: the list has no item %s", ErrRefused, step)
		}
		if i == len(n.Content) {
			return -1, nil
		}
		return i, nil
	}
	found := -1
	for i, it := range n.Content {
		if !matches(it, step.Keys) {
			continue
		}
		if found >= 0 {
			return 0, fmt.Errorf("%w: more than one item is %s", ErrRefused, step)
		}
		found = i
	}
	return found, nil
}

// matches reports whether the item has at least one of the keys and none with
// another value: a key that has a default, such as a port's protocol, is often
// left out.
func matches(it *yaml.Node, keys []kspec.Key) bool {
	agree := 0
	for _, k := range keys {
		if k.Name == "" {
			return it.Kind == yaml.ScalarNode && it.Value == k.Value
		}
		if it.Kind != yaml.MappingNode {
			return false
		}
		for i := 0; i+1 < len(it.Content); i += 2 {
			if it.Content[i].Value != k.Name {
				continue
			}
			if it.Content[i+1].Value != k.Value {
				return false
			}
			agree++
		}
	}
	return agree > 0
}

// blank reports whether n is the null that stands for no text at all.
func blank(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Value == "" && n.Style == 0
}
