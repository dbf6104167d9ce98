package render

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
)

// Suite is a template with the objects that it ships to be tested with. They lie
// beside the template, in tests/pass/*.yaml and in tests/fail/RULE/*.yaml, and
// tests/parameters.yaml has the parameters that they are tested with.
type Suite struct {
	Template string
	// Policies is what the template renders to in mode enforce, for all
	// namespaces.
	Policies []*unstructured.Unstructured
	Fixtures []Fixture
}

// Fixture is an object that a template passes or fails.
type Fixture struct {
	// File is the path in the tree, or among the templates that come with kspec.
	File string
	// Rule is the one that must fail the object, others may; empty for an
	// object that all rules pass.
	Rule   string
	Object *unstructured.Unstructured
}

// Suite returns the tests of a template, the fixtures in the order of their
// files. The error names what cannot be rendered, or read.
func (r *Renderer) Suite(ctx context.Context, tree kspec.Tree, name string) (Suite, error) {
	j := &job{Renderer: r, tree: tree.FS}
	t, err := j.template(name)
	if err != nil {
		return Suite{}, err
	}
	v := newView(t.fsys, r.limits)
	parameters, err := testParameters(v, t.dir)
	if err != nil {
		return Suite{}, err
	}
	want, err := r.Render(ctx, kspec.Target{
		Name: "test", Enforcement: kspec.Enforce, Source: kspec.Source{File: t.file, Line: t.line},
		Templates: []kspec.TemplateUse{{Name: name, Parameters: parameters}},
	}, tree)
	if err != nil {
		return Suite{}, err
	}
	if len(want.Unknown) > 0 {
		return Suite{}, errors.New(want.Unknown[0].Reason)
	}
	s := Suite{Template: name}
	for _, o := range want.Objects {
		s.Policies = append(s.Policies, o.Unstructured)
	}
	if s.Fixtures, err = fixturesIn(v, path.Join(t.dir, "tests", "pass"), ""); err != nil {
		return Suite{}, err
	}
	rules, err := fs.ReadDir(t.fsys, path.Join(t.dir, "tests", "fail"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Suite{}, err
	}
	for _, rule := range rules {
		failing, err := fixturesIn(v, path.Join(t.dir, "tests", "fail", rule.Name()), rule.Name())
		if err != nil {
			return Suite{}, err
		}
		s.Fixtures = append(s.Fixtures, failing...)
	}
	return s, nil
}

// testParameters reads the parameters of the tests of a template, if it has any.
func testParameters(v *view, dir string) (map[string]any, error) {
	file := path.Join(dir, "tests", "parameters.yaml")
	data, err := v.file(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var parameters map[string]any
	if err := yaml.Unmarshal(data, &parameters); err != nil {
		return nil, at(file, 1, fmt.Errorf("want parameters by name: %w", err))
	}
	return parameters, nil
}

// fixturesIn reads the objects in the YAML files of a folder.
func fixturesIn(v *view, dir, rule string) ([]Fixture, error) {
	entries, err := fs.ReadDir(v.fsys, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var fixtures []Fixture
	for _, e := range entries {
		file := path.Join(dir, e.Name())
		if e.IsDir() || !slices.Contains([]string{".yaml", ".yml"}, path.Ext(file)) {
			continue
		}
		data, err := v.file(file)
		if err != nil {
			return nil, err
		}
		docs, err := parse(file, data, v.lim)
		if err != nil {
			return nil, err
		}
		for _, d := range docs {
			object, err := d.object()
			if err != nil {
				return nil, at(file, d.line, err)
			}
			fixtures = append(fixtures, Fixture{File: file, Rule: rule, Object: object})
		}
	}
	return fixtures, nil
}
