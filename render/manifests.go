package render

import (
	"bytes"
	"cmp"
	"errors"
	"regexp"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
)

// Manifests returns the objects in a YAML or JSON text as kubectl reads them,
// lists replaced by their items, each with its line in file. What is no object
// is told, and does not stop the others.
func Manifests(file string, data []byte, lim Limits) ([]kspec.Object, []kspec.Unknown) {
	m := manifests{file: file, lim: lim.withDefaults()}
	begin, above := 0, 0
	for _, separator := range append(documentEnd.FindAllIndex(data, -1), []int{len(data), len(data)}) {
		text := data[begin:separator[1]]
		m.document(text, above)
		begin, above = separator[1], above+bytes.Count(text, []byte("\n"))
	}
	return m.objects, m.unknown
}

// documentEnd is where the documents of a stream part.
var documentEnd = regexp.MustCompile(`(?m)^---$|^---[ \t\r]`)

// manifests is what was read of a file.
type manifests struct {
	file    string
	lim     Limits
	objects []kspec.Object
	unknown []kspec.Unknown
}

// document reads one document, before which there are so many lines.
func (m *manifests) document(text []byte, above int) {
	docs, err := m.parse(text)
	if err != nil {
		_, err = m.parse(append(bytes.Repeat([]byte("\n"), above), text...)) // to name the right lines
		m.fail(above+1, err)
	}
	for _, d := range docs {
		line := above + d.line
		u, err := d.manifest()
		if err != nil {
			m.fail(line, err)
			continue
		}
		m.objects = append(m.objects, kspec.Object{Unstructured: u, Source: kspec.Source{File: m.file, Line: line}})
	}
}

func (m *manifests) parse(text []byte) ([]document, error) {
	docs, err := parse(m.file, text, m.lim)
	if err != nil {
		return nil, err
	}
	return flatten(m.file, docs)
}

func (m *manifests) fail(line int, err error) {
	if p := (*placeError)(nil); errors.As(err, &p) {
		line, err = max(line, p.line), p.err // not every error has a line
	}
	m.unknown = append(m.unknown, kspec.Unknown{Source: kspec.Source{File: m.file, Line: line}, Reason: err.Error(), Lasting: true})
}

// manifest decodes a document as kubectl does. An object that the API server is
// to name is named by what its name begins with.
func (d document) manifest() (*unstructured.Unstructured, error) {
	readAsKubectl(d.node)
	u, err := d.object()
	if u == nil || u.GetGenerateName() == "" {
		return u, err
	}
	u.SetName(cmp.Or(u.GetName(), u.GetGenerateName()))
	return u, named(u.GetAPIVersion(), u.GetKind(), u.GetName(), "")
}
