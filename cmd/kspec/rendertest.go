package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/policy/cel"
	"github.com/cloudcwfranck/kspec/render"
)

// checker returns what compiles the rules that are rendered.
func checker() func(*unstructured.Unstructured) []render.Mistake {
	compiler := sync.OnceValue(cel.New) // many a repo has no rules
	return func(policy *unstructured.Unstructured) []render.Mistake {
		var mistakes []render.Mistake
		for _, err := range errorsIn(compiler().Check(policy)) {
			if e, ok := errors.AsType[*cel.CompileError](err); ok {
				mistakes = append(mistakes, render.Mistake{Field: e.Field, Line: e.Line, Column: e.Column, Msg: e.Msg})
			} else {
				mistakes = append(mistakes, render.Mistake{Field: "spec", Line: 1, Column: 1, Msg: err.Error()})
			}
		}
		return mistakes
	}
}

// errorsIn lists the errors that were joined.
func errorsIn(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// testTemplates evaluates the objects that templates ship, prints a row for
// each, and says by its error when one is not judged as it should be. A template
// that cannot be tested does not stop the others.
func (f *repoFlags) testTemplates(ctx context.Context, a *app, r *render.Renderer, c *checkout) error {
	names, err := f.templates(c)
	if err != nil {
		return err
	}
	verdict := f.documents(a, c)
	var rows []testRow
	compiler := cel.New()
	for _, name := range names {
		tested, err := testTemplate(ctx, compiler, r, c.tree, name)
		if err != nil {
			a.fail(err)
			verdict = errIncomplete
		}
		rows = append(rows, tested...)
	}
	if len(names) == 0 && verdict == nil {
		return kspec.WithHint(fmt.Errorf("no template in %s at %s", f.repo, c.tree.Revision), "add a PolicyTemplate, or name one in a ClusterSpec")
	}
	table := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "RESULT\tTEMPLATE\tRULE\tOBJECT\tWHY")
	for _, row := range rows {
		switch {
		case row.result == wrong:
			verdict = errDrift
		case row.result == skipped && verdict == nil:
			verdict = errIncomplete
		}
		_, _ = fmt.Fprintln(table, inertLine(row.String()))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return verdict
}

// templates names the templates of the repo, and those that the selected
// ClusterSpecs use.
func (f *repoFlags) templates(c *checkout) ([]string, error) {
	targets := c.targets // none, in a repo of templates
	if len(f.specs) > 0 {
		var err error
		if targets, err = f.selected(c); err != nil {
			return nil, err
		}
	}
	names := map[string]bool{}
	for _, t := range c.set.Templates {
		names[t.Doc.Name] = true
	}
	for _, t := range targets {
		for _, use := range t.Templates {
			names[use.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// The results of a test.
const (
	right    = "ok"
	wrong    = "WRONG"
	skipped  = "skip" // it cannot be told without the API server
	untested = "-"
)

// testRow is what became of one fixture, or of a rule that has none.
type testRow struct{ result, template, rule, file, why string }

// String returns the row with tabs between.
func (r testRow) String() string {
	return strings.TrimRight(strings.Join([]string{r.result, r.template, r.rule, r.file, r.why}, "\t"), "\t")
}

func testTemplate(ctx context.Context, compiler *cel.Compiler, r *render.Renderer, tree kspec.Tree, name string) ([]testRow, error) {
	suite, err := r.Suite(ctx, tree, name)
	if err != nil {
		return nil, err
	}
	set, err := compiler.Compile(suite.Policies...)
	if err != nil {
		return nil, fmt.Errorf("template %q: %w", name, err)
	}
	var rows []testRow
	for _, rule := range suite.Partial {
		rows = append(rows, testRow{untested, name, rule, "", "it changes a rule of another template, and is nothing by itself"})
	}
	tested := map[string]bool{}
	for _, f := range suite.Fixtures {
		tested[f.Rule] = true
		result, why := judged(set.Evaluate(ctx, f.Object, nil), f.Rule)
		if why != "" {
			why = fmt.Sprintf("%s %s: %s", f.Object.GetKind(), f.Object.GetName(), why)
		}
		rows = append(rows, testRow{result, name, f.Rule, f.File, why})
	}
	for _, rule := range set.Rules() {
		if !tested[rule] {
			rows = append(rows, testRow{wrong, name, rule, "", "no object in tests/fail/" + rule + " breaks the rule"})
		}
	}
	return rows, nil
}

// judged says whether the results are right for an object that a rule must fail,
// or that all must pass, and if not why.
func judged(results []cel.Result, rule string) (result, why string) {
	switch {
	case rule == "" && len(results) == 0:
		return wrong, "no rule is about this object"
	case rule != "" && !slices.ContainsFunc(results, func(r cel.Result) bool { return r.Rule == rule }):
		return wrong, "the rule is not about this object, or there is no such rule"
	}
	result = right
	for _, r := range results {
		switch {
		case r.Verdict == cel.Error:
			return wrong, "rule " + r.Rule + " cannot be evaluated: " + r.Reason
		case r.Verdict == cel.Fail && rule == "":
			return wrong, "rule " + r.Rule + " says fail: " + r.Message
		case r.Verdict == cel.Pass && rule == r.Rule:
			return wrong, "the rule says pass"
		case r.Verdict == cel.Skip && (rule == "" || rule == r.Rule):
			result, why = skipped, "rule "+r.Rule+" "+r.Reason
		}
	}
	return result, why
}
