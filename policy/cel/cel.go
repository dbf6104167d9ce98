// Package cel evaluates ValidatingAdmissionPolicies without a cluster, by the
// CEL libraries, the types and the limits of cost of the API server itself: what
// it says of an object is what the API server says when the object is created.
// What only the API server knows, such as who asks, is never guessed: a policy
// that needs it is skipped, and says why. See docs/templates.md.
//
// This is the only package that is linked with the API server's code.
package cel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/policy"
)

// Verdict is what a policy says of an object.
type Verdict string

// The verdicts, from the best to the worst.
const (
	Pass  Verdict = "pass"
	Skip  Verdict = "skip"  // it cannot be told without the API server: Reason says why
	Error Verdict = "error" // the expression fails; with failurePolicy Fail the API server denies
	Fail  Verdict = "fail"
)

func (v Verdict) rank() int { return slices.Index([]Verdict{Pass, Skip, Error, Fail}, v) }

// Result is what one policy says of one object.
type Result struct {
	// Policy is the name of the ValidatingAdmissionPolicy, and Rule that of the
	// rule it was rendered of, or the same name.
	Policy, Rule string
	Verdict      Verdict
	// Reason says why for [Skip] and [Error].
	Reason string
	// Message is what the API server would tell, for [Fail].
	Message  string
	Severity kspec.Severity
	Controls []string
}

// CompileError is an expression that the API server would not take.
type CompileError struct {
	// Policy is the name of the policy, and Field where the expression stands.
	Policy, Field string
	// Line and Column begin at 1 and are within the expression.
	Line, Column int
	Msg          string
}

// Error implements error.
func (e *CompileError) Error() string {
	return fmt.Sprintf("policy %s: %s: column %d of line %d: %s", e.Policy, e.Field, e.Column, e.Line, e.Msg)
}

// Set is a number of compiled policies. It is safe for concurrent use.
type Set struct {
	policies []*bound
	kinds    *runtime.Scheme
	// resources are the plurals of the kinds that were declared.
	resources map[schema.GroupKind]string
}

// bound is a policy with what binds it.
type bound struct {
	*program
	policy   *admissionv1.ValidatingAdmissionPolicy
	bindings []*admissionv1.ValidatingAdmissionPolicyBinding
}

// Compile compiles the ValidatingAdmissionPolicies among objects, with their
// bindings. It learns the plurals of kinds from CustomResourceDefinitions, and
// passes over everything else. The error holds a [CompileError]
// for every expression that does not compile; the Set is there all the same,
// and what is broken in it has the verdict [Error].
func (c *Compiler) Compile(objects ...*unstructured.Unstructured) (*Set, error) {
	var errs []error
	set := &Set{kinds: c.kinds, resources: map[schema.GroupKind]string{}}
	bindings := map[string][]*admissionv1.ValidatingAdmissionPolicyBinding{}
	for _, u := range objects {
		switch {
		case u.GetKind() == "CustomResourceDefinition":
			of := func(field ...string) string {
				text, _, _ := unstructured.NestedString(u.Object, append([]string{"spec"}, field...)...)
				return text
			}
			set.resources[schema.GroupKind{Group: of("group"), Kind: of("names", "kind")}] = of("names", "plural")
		case u.GroupVersionKind().Group != admissionv1.GroupName:
		case u.GetKind() == "ValidatingAdmissionPolicyBinding":
			b := &admissionv1.ValidatingAdmissionPolicyBinding{}
			if err := convert(u, b); err != nil {
				errs = append(errs, err)
				continue
			}
			bindings[b.Spec.PolicyName] = append(bindings[b.Spec.PolicyName], b)
		case u.GetKind() == "ValidatingAdmissionPolicy":
			b, err := c.bound(u)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			errs = append(errs, b.compileErrors()...)
			set.policies = append(set.policies, b)
		}
	}
	for _, p := range set.policies {
		p.bindings = bindings[p.policy.Name]
	}
	slices.SortStableFunc(set.policies, func(a, b *bound) int { return strings.Compare(a.policy.Name, b.policy.Name) })
	return set, errors.Join(errs...)
}

// bound compiles a policy; what binds it is still missing.
func (c *Compiler) bound(u *unstructured.Unstructured) (*bound, error) {
	b := &bound{policy: &admissionv1.ValidatingAdmissionPolicy{}}
	err := convert(u, b.policy)
	if err == nil {
		b.program, err = c.program(b.policy)
	}
	return b, err
}

// compileErrors are those of the program, with the name of the policy.
func (b *bound) compileErrors() []error {
	var errs []error
	for _, e := range b.errs {
		e.Policy = b.policy.Name
		errs = append(errs, &e)
	}
	return errs
}

// Check returns the error of compiling one object by itself, nil for one that is
// no policy.
func (c *Compiler) Check(u *unstructured.Unstructured) error {
	_, err := c.Compile(u)
	return err
}

func convert(u *unstructured.Unstructured, into any) error {
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, into, true); err != nil {
		return fmt.Errorf("read %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	return nil
}

// Rules names the rules of the policies, sorted.
func (s *Set) Rules() []string {
	var names []string
	for _, p := range s.policies {
		names = append(names, p.rule())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// rule is the name of the rule that a policy was rendered of, or its own.
func (b *bound) rule() string {
	return cmp.Or(b.policy.Annotations[policy.RuleAnnotation], b.policy.Name)
}

// Evaluate returns what the policies say when the object is created in a
// namespace with those labels, in the order of their names. Of labels that are
// nil only the name of the namespace is known; a selector that asks for others
// is assumed to match. A policy that is not for the object, by its constraints,
// conditions or bindings, has no Result.
func (s *Set) Evaluate(ctx context.Context, object *unstructured.Unstructured, namespaceLabels map[string]string) []Result {
	r := s.requestFor(object, namespaceLabels)
	var results []Result
	for _, p := range s.policies {
		if !p.matches(r) {
			continue
		}
		result, applies := p.evaluate(ctx, r)
		if !applies {
			continue
		}
		result.Policy = p.policy.Name
		result.Rule = p.rule()
		result.Severity = kspec.Severity(p.policy.Annotations[policy.SeverityAnnotation])
		if controls := p.policy.Annotations[policy.ControlsAnnotation]; controls != "" {
			result.Controls = strings.Split(controls, ",")
		}
		results = append(results, result)
	}
	return results
}

// evaluate is what one policy says, and whether it says anything. Of several
// validations the worst counts.
func (b *bound) evaluate(ctx context.Context, r *request) (Result, bool) {
	switch {
	case r.err != nil:
		return Result{Verdict: Error, Reason: r.err.Error()}, true
	case len(b.errs) > 0:
		return Result{Verdict: Error, Reason: b.compileErrors()[0].Error()}, true
	case len(b.bindings) == 0:
		return Result{Verdict: Skip, Reason: "no binding makes the policy act"}, true
	case !slices.ContainsFunc(b.bindings, func(o *admissionv1.ValidatingAdmissionPolicyBinding) bool {
		return o.Spec.MatchResources == nil || r.matches(*o.Spec.MatchResources)
	}):
		return Result{}, false
	case b.spec.ParamKind != nil:
		return Result{Verdict: Skip, Reason: "needs parameters that are in the cluster"}, true
	}
	return b.run(ctx, r)
}
