package cel_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/parser"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	v1alpha1 "github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/policy/cel"
)

// parsed reads an expression without expanding its macros, so that it can be
// written again.
func parsed(t *testing.T, text string) *ast.AST {
	t.Helper()
	p, err := parser.NewParser(parser.EnableOptionalSyntax(true))
	if err != nil {
		t.Fatal(err)
	}
	tree, issues := p.Parse(common.NewTextSource(text))
	if len(issues.GetErrors()) > 0 {
		t.Fatalf("%s: %s", text, issues.ToDisplayString())
	}
	return tree
}

// mutants returns the expression with one of its parts taken away, or turned
// around, each time another.
func mutants(t *testing.T, text string) []string {
	t.Helper()
	var all []string
	for n := 0; ; n++ {
		tree := parsed(t, text)
		left := n
		ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
			if of := changes(e); left >= 0 && left < len(of) {
				of[left]()
				left = -1
			} else {
				left -= len(of)
			}
		}))
		if left >= 0 || n > 1000 {
			return all
		}
		mutant, err := parser.Unparse(tree.Expr(), tree.SourceInfo())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, mutant)
	}
}

// changes lists what can be made of one node.
func changes(e ast.Expr) []func() {
	switch e.Kind() {
	case ast.LiteralKind:
		return changesOfLiteral(e)
	case ast.ListKind:
		return changesOfList(e)
	case ast.CallKind:
		return changesOfCall(e)
	}
	return nil
}

func changesOfLiteral(e ast.Expr) []func() {
	f := ast.NewExprFactory()
	switch v := e.AsLiteral().(type) {
	case types.Bool:
		return []func(){func() { e.SetKindCase(f.NewLiteral(e.ID(), !v)) }}
	case types.Int:
		return []func(){func() { e.SetKindCase(f.NewLiteral(e.ID(), v+1)) }}
	case types.String:
		return []func(){func() { e.SetKindCase(f.NewLiteral(e.ID(), v+"x")) }}
	}
	return nil
}

func changesOfList(e ast.Expr) []func() {
	var all []func()
	elements := e.AsList().Elements()
	for i := range elements {
		all = append(all, func() {
			e.SetKindCase(ast.NewExprFactory().NewList(e.ID(), slices.Delete(slices.Clone(elements), i, i+1), nil))
		})
	}
	return all
}

func changesOfCall(e ast.Expr) []func() {
	f := ast.NewExprFactory()
	call := e.AsCall()
	var all []func()
	switch call.FunctionName() {
	case operators.LogicalAnd, operators.LogicalOr, operators.Add, operators.LogicalNot:
		for _, operand := range call.Args() {
			all = append(all, func() { e.SetKindCase(operand) })
		}
	case operators.Equals:
		all = append(all, func() { e.SetKindCase(f.NewCall(e.ID(), operators.NotEquals, call.Args()...)) })
	case operators.NotEquals:
		all = append(all, func() { e.SetKindCase(f.NewCall(e.ID(), operators.Equals, call.Args()...)) })
	case "all":
		all = append(all, func() { e.SetKindCase(f.NewMemberCall(e.ID(), "exists", call.Target(), call.Args()...)) })
	}
	return all
}

// equals reports whether a mutant says the same of all that the API takes, or of
// all that can be tested with the parameters of the tests.
func equals(text, mutant string) bool {
	if strings.Contains(text, "params.") && !strings.Contains(mutant, "params.") {
		return true // a rule that a parameter turns off
	}
	return slices.ContainsFunc([]string{
		`?name.orValue("x") == "windows"`,               // neither is
		`p.?type.orValue("x")`,                          // a profile must have a type
		`user.orValue(2) != 0`,                          // neither is
		`exists(c, !c.?securityContext.?windowsOptions`, // all containers or none
	}, func(part string) bool { return strings.Contains(mutant, part) })
}

func TestEveryPartOfEveryRuleIsMissedByAFixture(t *testing.T) {
	c := cel.New()
	const same = "variables.samePods || (\n"
	tried := 0
	for _, name := range v1alpha1.BuiltinTemplates() {
		s := suite(t, name)
		isBinding := func(u *unstructured.Unstructured) bool { return u.GetKind() == "ValidatingAdmissionPolicyBinding" }
		bindings := slices.DeleteFunc(slices.Clone(s.Policies), func(u *unstructured.Unstructured) bool { return !isBinding(u) })
		for _, p := range s.Policies {
			if p.GetKind() != "ValidatingAdmissionPolicy" {
				continue
			}
			rule := p.GetAnnotations()["kspec.io/rule"]
			var fixtures []*unstructured.Unstructured
			var want []bool
			for _, f := range s.Fixtures {
				if f.Rule == "" || f.Rule == rule {
					fixtures, want = append(fixtures, f.Object), append(want, f.Rule == "")
				}
			}
			validations, _, err := unstructured.NestedSlice(p.Object, "spec", "validations")
			if err != nil {
				t.Fatal(err)
			}
			text, found := strings.CutPrefix(validations[0].(map[string]any)["expression"].(string), same)
			if !found {
				t.Fatalf("%s: %s", rule, text)
			}
			for _, mutant := range mutants(t, strings.TrimSuffix(text, "\n)")) {
				tried++
				changed := p.DeepCopy()
				validation := map[string]any{"expression": same + mutant + "\n)"}
				if err := unstructured.SetNestedSlice(changed.Object, []any{validation}, "spec", "validations"); err != nil {
					t.Fatal(err)
				}
				set, err := c.Compile(append(bindings, changed)...)
				if err != nil {
					continue // what does not compile is missed at once
				}
				if !slices.ContainsFunc(fixtures, func(o *unstructured.Unstructured) bool {
					results := set.Evaluate(t.Context(), o, nil)
					return (results[0].Verdict == cel.Pass) != want[slices.Index(fixtures, o)]
				}) && !equals(text, mutant) {
					t.Errorf("%s/%s: %s", name, rule, mutant)
				}
			}
		}
	}
	if tried < 200 {
		t.Errorf("tried %d changes only", tried)
	}
}
