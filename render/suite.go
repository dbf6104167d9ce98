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
// tests/parameters.yaml has the parameters that they are tested with. No other
// YAML may lie there, as nothing would look at it.
type Suite struct {
	Template string
	// Policies is what the template renders to in mode enforce, for all
	// namespaces.
	Policies []*unstructured.Unstructured
	Fixtures []Fixture
	// Partial names the rules that only change one of another template. With
	// any, nothing can be rendered of the template by itself.
	Partial []string
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
	s := Suite{Template: name}
	for _, rule := range t.Spec.Rules {
		if rule.Expression == "" || len(rule.Subjects) == 0 {
			s.Partial = append(s.Partial, rule.Name)
		}
	}
	if len(s.Partial) > 0 {
		return s, nil
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
	for _, o := range want.Objects {
		s.Policies = append(s.Policies, o.Unstructured)
	}
	s.Fixtures, err = fixtures(v, path.Join(t.dir, "tests"))
	return s, err
}

// fixtures reads the objects in the folder of the tests of a template.
func fixtures(v *view, dir string) ([]Fixture, error) {
	entries, err := readDir(v, dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if (e.IsDir() || isYAML(name)) && !slices.Contains([]string{"pass", "fail", "parameters.yaml"}, e.Name()) {
			return nil, at(name, 1, errors.New("tests hold pass, fail and parameters.yaml, and nothing looks at this"))
		}
	}
	all, err := fixturesIn(v, path.Join(dir, "pass"), "")
	if err != nil {
		return nil, err
	}
	rules, err := readDir(v, path.Join(dir, "fail"))
	if err != nil {
		return nil, err
	}
	for _, rule := range rules {
		name := path.Join(dir, "fail", rule.Name())
		if !rule.IsDir() {
			return nil, at(name, 1, errors.New("want it in a folder with the name of the rule that it breaks"))
		}
		failing, err := fixturesIn(v, name, rule.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, failing...)
	}
	return all, nil
}

// readDir lists a folder, and nothing for one that is not there.
func readDir(v *view, dir string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(v.fsys, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return entries, err
}

func isYAML(name string) bool { return slices.Contains([]string{".yaml", ".yml"}, path.Ext(name)) }

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
	entries, err := readDir(v, dir)
	if err != nil {
		return nil, err
	}
	var fixtures []Fixture
	for _, e := range entries {
		file := path.Join(dir, e.Name())
		if e.IsDir() || !isYAML(file) {
			continue
		}
		data, err := v.file(file)
		if err != nil {
			return nil, err
		}
		objects, bad := Manifests(file, data, v.lim)
		if len(bad) > 0 {
			return nil, at(file, bad[0].Source.Line, errors.New(bad[0].Reason))
		}
		for _, o := range objects {
			fixtures = append(fixtures, Fixture{File: file, Rule: rule, Object: o.Unstructured})
		}
	}
	return fixtures, nil
}
