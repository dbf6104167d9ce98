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
// each, and says by its error when one is not judged as it should be.
func (f *repoFlags) testTemplates(ctx context.Context, a *app, r *render.Renderer, c *checkout) error {
	targets := c.targets // none, in a repo of templates
	if len(f.specs) > 0 {
		var err error
		if targets, err = f.selected(c); err != nil {
			return err
		}
	}
	if err := f.documents(a, c); err != nil {
		return err
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
	table := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "RESULT\tTEMPLATE\tRULE\tOBJECT\tWHY")
	compiler, wrong := cel.New(), 0
	for _, name := range slices.Sorted(maps.Keys(names)) {
		rows, err := testTemplate(ctx, compiler, r, c.tree, name)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if row.why != "" {
				wrong++
			}
			_, _ = fmt.Fprintln(table, inert(row.String()))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if wrong > 0 {
		return errDrift
	}
	return nil
}

// testRow is what became of one fixture, or of a rule that has none.
type testRow struct {
	template, rule, file string
	// why is "" for what is as it should be.
	why string
}

// String returns the row with tabs between.
func (r testRow) String() string {
	result := "ok"
	if r.why != "" {
		result = "WRONG"
	}
	return strings.TrimRight(strings.Join([]string{result, r.template, r.rule, r.file, r.why}, "\t"), "\t")
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
	tested := map[string]bool{}
	for _, f := range suite.Fixtures {
		tested[f.Rule] = true
		rows = append(rows, testRow{name, f.Rule, f.File, judged(set.Evaluate(ctx, f.Object, nil), f.Rule)})
	}
	for _, rule := range set.Rules() {
		if !tested[rule] {
			rows = append(rows, testRow{name, rule, "", "no object in tests/fail/" + rule + " breaks the rule"})
		}
	}
	return rows, nil
}

// judged says what is wrong with the results for an object that a rule must
// fail, or that all must pass; "" for nothing.
func judged(results []cel.Result, rule string) string {
	for _, r := range results {
		switch {
		case r.Verdict == cel.Error:
			return "rule " + r.Rule + ": " + r.Reason
		case rule == "" && r.Verdict != cel.Pass:
			return "rule " + r.Rule + " says " + string(r.Verdict) + ": " + r.Reason + r.Message
		}
	}
	of := func(r cel.Result) bool { return r.Rule == rule }
	if i := slices.IndexFunc(results, of); rule != "" && (i < 0 || results[i].Verdict != cel.Fail) {
		if i < 0 {
			return "the rule is not about this object, or there is no such rule"
		}
		return "the rule says " + string(results[i].Verdict) + ": " + results[i].Reason
	}
	return ""
}
