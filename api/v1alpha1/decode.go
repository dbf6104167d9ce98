package v1alpha1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/cloudcwfranck/kspec"
)

const (
	group    = "kspec.io"
	oldGroup = "kspec.dev"
	version  = "v1alpha1"

	migrateHint = "kspec migrate rewrites documents of kspec v0.3"
)

// Object is a document of the group: a *[ClusterSpec], *[ClusterTarget],
// *[AlertConfig] or *[PolicyTemplate].
//
// +kubebuilder:object:generate=false
type Object interface {
	metav1.Object
	runtime.Object
}

// Document is an object and the place it was read from.
//
// +kubebuilder:object:generate=false
type Document struct {
	Object Object
	Source kspec.Source

	lines map[string]int
}

// Decode reads the documents of group kspec.io in one file, YAML or JSON. It
// passes over all other documents, which may hold anything, and over files
// that are neither.
//
// Reading is strict: an unknown field, a key that stands twice, a wrong type
// or a bad value is a *[FieldError], and a document that has any is not
// returned. All mistakes of a document are listed, in the order of the lines,
// and a bad document does not keep the others of the file from being read.
func Decode(file string, data []byte) ([]Document, []error) {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		if claims(bytes.ReplaceAll(data, []byte{0}, nil)) {
			return nil, []error{&FieldError{File: file, Line: 1, Msg: "the file is UTF-16: save it as UTF-8"}}
		}
		return nil, nil
	}
	var docs []Document
	var errs []error
	for _, part := range split(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))) {
		if !mentions(part.text) {
			continue
		}
		d, e := part.decode(file)
		docs, errs = append(docs, d...), append(errs, e...)
	}
	return docs, errs
}

func mentions(text []byte) bool {
	return bytes.Contains(text, []byte(group)) || bytes.Contains(text, []byte(oldGroup))
}

var claim = regexp.MustCompile(`apiVersion["']?\s*:\s*["']?kspec\.(io|dev)/`)

// claims reports whether a text that is perhaps no YAML wants to be ours.
func claims(text []byte) bool { return claim.Match(text) }

// part is one document of a file, or what stands in its place.
//
// +kubebuilder:object:generate=false
type part struct {
	text   []byte
	offset int // lines of the file before it
}

// split cuts a file at the lines that begin with "---", so that a document
// that is not YAML does not hide those after it.
func split(data []byte) []part {
	var parts []part
	from, offset := 0, 0
	for at, line := 0, 0; at < len(data); line++ {
		end := len(data)
		if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		if isMarker(data[at:end]) {
			parts = append(parts, part{data[from:at], offset})
			from, offset = at+len("---"), line
		}
		at = end
	}
	return append(parts, part{data[from:], offset})
}

func isMarker(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || bytes.ContainsRune([]byte(" \t\r\n"), rune(rest[0])))
}

// decode reads the documents of a part: one, unless some end in "...".
func (p part) decode(file string) ([]Document, []error) {
	var docs []Document
	var errs []error
	for dec := yaml.NewDecoder(bytes.NewReader(p.text)); ; {
		node, err := next(dec)
		switch {
		case errors.Is(err, io.EOF):
			return docs, errs
		case err != nil && claims(p.text):
			return docs, append(errs, p.syntaxError(file, err))
		case err != nil:
			return docs, errs
		}
		doc, bad := p.document(file, node)
		if doc != nil {
			docs = append(docs, *doc)
		}
		errs = append(errs, bad...)
	}
}

// next reads one document. A panic of the parser is an error of the document.
func next(dec *yaml.Decoder) (node *yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the parser gave up: %v", p)
		}
	}()
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		return nil, err
	}
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		return doc.Content[0], nil
	}
	return &doc, nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func (p part) syntaxError(file string, err error) error {
	e := &FieldError{File: file, Line: p.offset + 1}
	m := yamlLine.FindStringSubmatch(err.Error())
	if m == nil {
		e.Msg = err.Error()
		return e
	}
	e.Msg = "not YAML: " + err.Error()[len(m[0]):]
	lines := bytes.Split(p.text, []byte("\n"))
	if n, _ := strconv.Atoi(m[1]); n > 0 {
		e.Line = p.offset + n
	}
	// The parser names the line before a tab, or the tab's own.
	for i, line := range lines {
		if bytes.HasPrefix(bytes.TrimLeft(line, " "), []byte("\t")) && strings.Contains(e.Msg, "token") {
			e.Line, e.Msg = p.offset+i+1, "not YAML: a tab in the indentation: use spaces"
			break
		}
	}
	return e
}

// document reads a document of ours; another one gives nothing.
func (p part) document(file string, n *yaml.Node) (*Document, []error) {
	fail := func(at *yaml.Node, path, format string, args ...any) (*Document, []error) {
		c := &checker{file: file, offset: p.offset}
		c.fail(at, path, format, args...)
		return nil, []error{c.errs[0]}
	}
	if list := listed(n); list != nil {
		return fail(list, "", "documents of %s in a list are not read: separate them by ---", group)
	}
	apiVersion, kind := field(n, "apiVersion"), field(n, "kind")
	g, v, _ := strings.Cut(apiVersion.Value, "/")
	if g == oldGroup {
		_, errs := fail(apiVersion, "apiVersion", "%s is of kspec v0.3, this one reads %s/%s", apiVersion.Value, group, version)
		return nil, []error{kspec.WithHint(errs[0], migrateHint)}
	}
	if g != group {
		return nil, nil
	}
	if v != version {
		return fail(apiVersion, "apiVersion", "%q is unknown: want %s/%s", apiVersion.Value, group, version)
	}
	object := newObject(kind.Value)
	if kind.Value == "ComplianceReport" || kind.Value == "DriftReport" {
		return fail(kind, "kind", "a %s is a result, and has no place in the config repo: take the document out", kind.Value)
	}
	if object == nil {
		known := slices.Concat(kinds(), []string{oldSpecKind})
		return fail(kind, "kind", "%q is unknown: want one of %s%s", kind.Value, strings.Join(kinds(), ", "), didYouMean(kind.Value, known))
	}
	return p.object(file, n, object, kind.Value)
}

// listed returns the first document of ours that is the item of a list.
func listed(n *yaml.Node) *yaml.Node {
	items := n
	if n.Kind == yaml.MappingNode {
		if !strings.HasSuffix(field(n, "kind").Value, "List") {
			return nil
		}
		items = field(n, "items")
	}
	if items.Kind != yaml.SequenceNode {
		return nil
	}
	for _, item := range items.Content {
		if g, _, _ := strings.Cut(field(item, "apiVersion").Value, "/"); g == group || g == oldGroup {
			return item
		}
		if item.Kind == yaml.MappingNode && item.Line > 0 {
			if inner := listed(item); inner != nil {
				return inner
			}
		}
	}
	return nil
}

// field returns the value of a key of a map. It is an empty node at the place
// of the map when there is none.
func field(n *yaml.Node, key string) *yaml.Node {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1]
			}
		}
	}
	return &yaml.Node{Line: n.Line, Column: n.Column}
}

func (p part) object(file string, n *yaml.Node, object Object, kind string) (*Document, []error) {
	c := &checker{file: file, offset: p.offset, lines: map[string]int{}}
	if kind == oldSpecKind {
		kind = specKind
	}
	value := c.value(n, schemaOf()[strings.ToLower(kind)+"-"+version+".json"], "", 0)
	doc := &Document{Object: object, Source: kspec.Source{File: file, Line: n.Line + p.offset}, lines: c.lines}
	switch err := fill(object, value, kind); {
	case err == nil:
		c.errs = append(c.errs, besides(c.errs, doc.validate(), kind)...)
	case len(c.errs) == 0:
		c.fail(n, "", "%v", err)
	}
	if len(c.errs) == 0 {
		return doc, nil
	}
	sortErrors(c.errs)
	errs := make([]error, 0, len(c.errs))
	for _, e := range c.errs {
		errs = append(errs, error(e))
	}
	if field(n, "kind").Value == oldSpecKind {
		errs[0] = kspec.WithHint(errs[0], migrateHint)
	}
	return nil, errs
}

// besides returns the mistakes in what a document says that do not come of those
// in its form: of a ClusterSpec those in other sections, of others none.
func besides(form, mistakes []*FieldError, kind string) []*FieldError {
	section := func(e *FieldError) string {
		steps := strings.SplitN(e.Path, ".", 3)
		switch {
		case kind != specKind || len(steps) < 2:
			return ""
		case strings.HasPrefix(steps[1], "manifests"):
			return "delivery" // each must suit the other
		}
		return steps[1] // with the index of an item
	}
	return slices.DeleteFunc(mistakes, func(e *FieldError) bool {
		return slices.ContainsFunc(form, func(f *FieldError) bool { return section(f) == section(e) })
	})
}

func fill(object Object, value any, kind string) error {
	b, err := json.Marshal(value)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(object); err != nil {
		return err
	}
	object.GetObjectKind().SetGroupVersionKind(GroupVersion.WithKind(kind))
	return nil
}

const (
	specKind     = "ClusterSpec"
	oldSpecKind  = "ClusterSpecification"
	targetKind   = "ClusterTarget"
	alertKind    = "AlertConfig"
	templateKind = "PolicyTemplate"
)

func kinds() []string { return []string{specKind, targetKind, alertKind, templateKind} }

func newObject(kind string) Object {
	switch kind {
	case specKind, oldSpecKind:
		return new(ClusterSpec)
	case targetKind:
		return new(ClusterTarget)
	case alertKind:
		return new(AlertConfig)
	case templateKind:
		return new(PolicyTemplate)
	default:
		return nil
	}
}
