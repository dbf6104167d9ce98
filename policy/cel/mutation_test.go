package cel_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/parser"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	v1alpha1 "github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/policy/cel"
	"github.com/cloudcwfranck/kspec/render"
)

// A rule may be there and say less than it should: what each part of it is for
// must be told by an object. (Of a whole rule another test tells.)

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
	default:
		return nil
	}
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
	var tried atomic.Int64
	t.Run("templates", func(t *testing.T) {
		for _, name := range v1alpha1.BuiltinTemplates() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := suite(t, name)
				for _, p := range s.Policies {
					if p.GetKind() == "ValidatingAdmissionPolicy" {
						tried.Add(int64(mutate(t, c, s, p)))
					}
				}
			})
		}
	})
	if n := tried.Load(); n < 500 {
		t.Errorf("tried %d changes only", n)
	}
}

// mutate tries all mutants of a policy, and fails for each that judges all
// fixtures as the policy does.
func mutate(t *testing.T, c *cel.Compiler, s render.Suite, policy *unstructured.Unstructured) int {
	t.Helper()
	const same = "variables.samePods || (\n"
	validations, _, err := unstructured.NestedSlice(policy.Object, "spec", "validations")
	if err != nil {
		t.Fatal(err)
	}
	text, found := strings.CutPrefix(validations[0].(map[string]any)["expression"].(string), same)
	if !found {
		t.Fatalf("%s: %s", policy.GetName(), text)
	}
	rule := policy.GetAnnotations()["kspec.io/rule"]
	all := mutants(t, strings.TrimSuffix(text, "\n)"))
	for _, mutant := range all {
		changed := policy.DeepCopy()
		if err := unstructured.SetNestedSlice(changed.Object, []any{map[string]any{"expression": same + mutant + "\n)"}}, "spec", "validations"); err != nil {
			t.Fatal(err)
		}
		set, err := c.Compile(changed, bindingOf(policy, s))
		if err != nil {
			continue // what does not compile is missed at once
		}
		missed := slices.ContainsFunc(s.Fixtures, func(f render.Fixture) bool {
			if f.Rule != "" && f.Rule != rule {
				return false
			}
			return (set.Evaluate(t.Context(), f.Object, nil)[0].Verdict == cel.Pass) != (f.Rule == "")
		})
		if !missed && !equals(text, mutant) {
			t.Errorf("%s, %s: no fixture tells it from %s", s.Template, rule, mutant)
		}
	}
	return len(all)
}

// bindingOf returns the binding of a policy.
func bindingOf(policy *unstructured.Unstructured, s render.Suite) *unstructured.Unstructured {
	i := slices.IndexFunc(s.Policies, func(u *unstructured.Unstructured) bool {
		of, _, _ := unstructured.NestedString(u.Object, "spec", "policyName")
		return of == policy.GetName()
	})
	return s.Policies[i]
}
