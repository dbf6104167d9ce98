package render

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	v1alpha1 "github.com/cloudcwfranck/kspec/api/v1alpha1"
)

//go:embed templates
var builtin embed.FS

// template is a folder with a PolicyTemplate in it.
type template struct {
	v1alpha1.PolicyTemplate
	fsys fs.FS
	dir  string
	// file and line are of the PolicyTemplate; file is "" for a template that
	// comes with kspec.
	file string
	line int
	// document tells the lines of its fields.
	document *v1alpha1.Document
}

// template finds a template by name: in templates/<name>, among those that come
// with kspec, or anywhere in the tree.
func (j *job) template(name string) (template, error) {
	usual := path.Join("templates", name)
	ours, err := j.templateIn(j.tree, usual, name)
	if err != nil {
		return template{}, err
	}
	own, err := j.templateIn(builtin, usual, name)
	switch {
	case err != nil:
		return template{}, err
	case ours != nil && own != nil:
		return template{}, at(ours.file, ours.line, fmt.Errorf("template %q: a template of that name comes with kspec: choose another", name))
	case ours != nil:
		return *ours, nil
	case own != nil:
		own.file = ""
		return *own, nil
	}
	found, err := j.templatesNamed(name)
	if err != nil {
		return template{}, err
	}
	switch len(found) {
	case 0:
		return template{}, fmt.Errorf("template %q: the repo has no PolicyTemplate of that name, and with kspec come %s", name, strings.Join(v1alpha1.BuiltinTemplates(), ", "))
	case 1:
		return found[0], nil
	default:
		return template{}, at(found[0].file, found[0].line, fmt.Errorf("template %q: there is another in %s", name, found[1].file))
	}
}

// templatesNamed searches the whole tree.
func (j *job) templatesNamed(name string) ([]template, error) {
	var found []template
	err := fs.WalkDir(j.tree, ".", func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if dir != "." && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		t, err := j.templateIn(j.tree, dir, name)
		if t != nil {
			found = append(found, *t)
		}
		return err
	})
	return found, err
}

// templateIn returns the template of that name in a folder, nil when there is
// none.
func (j *job) templateIn(fsys fs.FS, dir, name string) (*template, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v := newView(fsys, j.limits)
	for _, e := range entries {
		file := path.Join(dir, e.Name())
		if e.IsDir() || isKustomization(file) || !isYAML(file) {
			continue
		}
		t, err := templateOf(v, file, name)
		if err != nil || t != nil {
			if t != nil {
				t.fsys, t.dir = fsys, dir
			}
			return t, err
		}
	}
	return nil, nil
}

// templateOf returns the PolicyTemplate of that name in a file. What else is
// wrong in the file is for others to say.
func templateOf(v *view, file, name string) (*template, error) {
	data, err := v.file(file)
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(data, []byte("PolicyTemplate")) || !bytes.Contains(data, []byte(name)) {
		return nil, nil
	}
	docs, errs := v1alpha1.Decode(file, data)
	for _, d := range docs {
		if t, ok := d.Object.(*v1alpha1.PolicyTemplate); ok && t.Name == name {
			return &template{PolicyTemplate: *t, file: file, line: d.Source.Line, document: &d}, nil
		}
	}
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return nil, nil
}

func isTemplate(apiVersion, kind string) bool {
	return kind == "PolicyTemplate" && strings.HasPrefix(apiVersion, "kspec.io/")
}

// build makes the objects of a template, before parameters.
func (j *job) build(ctx context.Context, t template) ([]made, error) {
	fsys, err := j.listed(t)
	if err != nil || fsys == nil {
		return nil, err
	}
	r, known := j.kustomized(ctx, fsys, t.dir)
	j.kustomization(Build{Path: t.dir, Template: t.Name}, r, known)
	if r.err != nil {
		return nil, r.err
	}
	return slices.DeleteFunc(unpack(r.objects), func(o made) bool {
		return isTemplate(o.object.GetAPIVersion(), o.object.GetKind())
	}), nil
}
