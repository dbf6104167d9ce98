// Package migrate rewrites documents of kspec v0.3 as documents of today.
//
// It changes single values in the text and leaves every other byte as it is.
// What has no place any more is kept, as JSON in an annotation; what means
// something else now is said; a credential is taken out and named. A document
// that would not be valid afterwards is left as it was, and the reason is an
// error. See docs/migration.md.
package migrate

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/internal/yamledit"
)

// Fate is what became of a field.
type Fate string

// The fates of fields.
const (
	// Moved fields have another name, form or place.
	Moved Fate = "moved"
	// Annotated fields have no place, and are kept as JSON in an annotation.
	Annotated Fate = "annotated"
	// Removed fields said nothing that people wrote.
	Removed Fate = "removed"
	// Redefined fields stand as they were and mean something else, or act for
	// the first time.
	Redefined Fate = "redefined"
	// Secret fields held a credential, of which only a name is left.
	Secret Fate = "secret"
	// Ignored documents are left as they are.
	Ignored Fate = "ignored"
)

// Note tells what became of one field.
type Note struct {
	// Line is that of the old text, from 1.
	Line int `json:"line"`
	// Path leads to the field in the old document; it is empty for the whole.
	Path string `json:"path,omitempty"`
	Fate Fate   `json:"fate"`
	// Message is for people, and holds no secret.
	Message string `json:"message"`
}

// Result is a file after the migration.
type Result struct {
	Text []byte
	// Changed reports whether Text differs from what was read.
	Changed bool
	// Notes are sorted by document, then by line.
	Notes []Note
	// Errs are *[v1alpha1.FieldError], one or more for each document of v0.3
	// that was left as it was because it could not be rewritten.
	Errs []error
}

const bom = "\uFEFF"

// File rewrites the documents of v0.3 in a file, and no others. To rewrite what
// was rewritten changes nothing.
func File(name string, data []byte) Result {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		_, errs := v1alpha1.Decode(name, data) // UTF-16, which it refuses where it matters
		return Result{Text: data, Errs: errs}
	}
	text, marked := strings.CutPrefix(string(data), bom)
	var out strings.Builder
	if marked {
		out.WriteString(bom)
	}
	var r Result
	line := 0
	for _, chunk := range yamledit.Split(text) {
		out.WriteString(r.chunk(name, line, chunk))
		line += strings.Count(chunk, "\n")
	}
	r.Text = []byte(out.String())
	r.Changed = !bytes.Equal(r.Text, data)
	return r
}

// claim matches what is perhaps a document of ours, even if it is no YAML.
var claim = regexp.MustCompile(`apiVersion["']?\s*:\s*["']?kspec\.(io|dev)/`)

// chunk returns what one document of a file becomes. It follows on line lines.
func (r *Result) chunk(file string, line int, text string) string {
	if !strings.Contains(text, "kspec.") {
		return text
	}
	f, err := yamledit.Parse([]byte(text))
	if err != nil {
		if claim.MatchString(text) {
			r.Errs = append(r.Errs, broken(file, line, text, err)...)
		}
		return text
	}
	d := newDocument(line, f.Docs[0])
	switch {
	case d.apiVersion == "" || strings.HasSuffix(d.kind, "List"):
		_, errs := v1alpha1.Decode(file, at(line, text))
		r.Errs = append(r.Errs, errs...)
		return text
	case strings.HasPrefix(d.apiVersion, "kspec.dev/") && d.apiVersion != oldFile:
		r.Errs = append(r.Errs, &v1alpha1.FieldError{
			File: file, Line: d.line(path{"apiVersion"}), Path: "apiVersion", Msg: fmt.Sprintf("%q is unknown: kspec v0.3 had %s", d.apiVersion, oldFile),
		})
		return text
	case d.apiVersion != oldFile && d.apiVersion != crd:
		return text
	case d.apiVersion == crd && (d.kind == "ComplianceReport" || d.kind == "DriftReport"):
		d.note(Ignored, nil, "a "+d.kind+" is left as it is: reports are results, and have no place in the config repo")
		r.Notes = append(r.Notes, d.notes...)
		return text
	case d.apiVersion == crd && d.kind != oldSpec && !d.isOld(file, text):
		return text
	}
	if n, what := unusual(d.old, 0); n != nil {
		r.Errs = append(r.Errs, &v1alpha1.FieldError{File: file, Line: n.Line + line, Column: n.Column, Msg: what})
		return text
	}
	comments := d.Comments()
	d.migrate()
	changed := string(f.Bytes())
	if errs := d.check(file, changed); len(errs) > 0 {
		r.Errs = append(r.Errs, errs...)
		return text
	}
	for _, comment := range comments {
		if before, _, _ := strings.Cut(text, comment); !strings.Contains(changed, comment) {
			if token.MatchString(comment) {
				comment = "it looks like a credential"
			}
			d.notes = append(d.notes, Note{
				Line: line + 1 + strings.Count(before, "\n"), Fate: Removed, Message: "the comment went with what it stood in: " + comment,
			})
		}
	}
	d.sortNotes()
	r.Notes = append(r.Notes, d.notes...)
	return changed
}

// broken returns why a document of ours cannot be read.
func broken(file string, line int, text string, err error) []error {
	_, errs := v1alpha1.Decode(file, at(line, text))
	errs = slices.DeleteFunc(errs, func(err error) bool {
		e, ok := errors.AsType[*v1alpha1.FieldError](err)
		return ok && e.Path != "" // it can be read as YAML, and is of v0.3
	})
	if len(errs) == 0 {
		errs = []error{&v1alpha1.FieldError{File: file, Line: line + 1, Msg: err.Error()}}
	}
	return errs
}

// at returns text as it stands in a file after some lines.
func at(line int, text string) []byte { return []byte(strings.Repeat("\n", line) + text) }

// unusual returns the first node that cannot be rewritten by itself, and why.
func unusual(n *yaml.Node, depth int) (found *yaml.Node, what string) {
	const deepest = 64
	switch {
	case depth > deepest:
		return n, fmt.Sprintf("nested more than %d deep", deepest)
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return n, "anchors and aliases are not rewritten: write the value out where it is used"
	case n.Style&yaml.TaggedStyle != 0:
		return n, "the tag " + n.Tag + " is not read"
	}
	seen := map[string]bool{}
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			switch {
			case child.Kind != yaml.ScalarNode || child.Tag == "!!merge":
				return child, "want plain keys"
			case seen[child.Value]:
				return child, "duplicate key " + child.Value
			}
			seen[child.Value] = true
		}
		if found, what = unusual(child, depth+1); found != nil {
			return found, what
		}
	}
	return nil, ""
}

// isOld reports whether a document of a kind that both versions have is of
// v0.3: it is not valid today.
func (d *document) isOld(file, text string) bool {
	if d.kind != "ClusterTarget" && d.kind != "AlertConfig" {
		return false
	}
	_, errs := v1alpha1.Decode(file, at(d.offset, text))
	return len(errs) > 0
}

// check returns why the document as it is now cannot be used, at the lines of
// the old text.
func (d *document) check(file, changed string) []error {
	if d.err != nil {
		return []error{&v1alpha1.FieldError{File: file, Line: d.line(d.failed), Path: d.failed.String(), Msg: d.err.Error()}}
	}
	_, errs := v1alpha1.Decode(file, []byte(changed))
	for i, err := range errs {
		if e, ok := errors.AsType[*v1alpha1.FieldError](err); ok {
			e.Line, e.Column = d.lineOf(e.Path), 0
			errs[i] = kspec.WithHint(e, "the document is left as it was: put this right, then migrate again")
		}
	}
	return errs
}

const (
	oldFile = "kspec.dev/v1"
	crd     = "kspec.io/v1alpha1"
	oldSpec = "ClusterSpecification"
)

// migrate rewrites the document, whatever it is.
func (d *document) migrate() {
	for _, r := range common() {
		d.apply(r)
	}
	switch d.kind {
	case oldSpec:
		d.set(path{"apiVersion"}, crd)
		d.set(path{"kind"}, "ClusterSpec")
		for _, r := range clusterSpec() {
			d.apply(r)
		}
	case "ClusterTarget":
		d.clusterTarget()
	case "AlertConfig":
		d.alertConfig()
	default:
		d.fail(path{"kind"}, errors.New("kspec v0.3 had no such kind"))
	}
}

// scalarOf returns the text of a plain value, and "" of anything else.
func scalarOf(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}
