package render

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
)

// kyverno renders a ValidatingPolicy. It names every kind itself, so Kyverno
// has nothing to generate.
func (p *program) kyverno(mode kspec.Enforcement, selector map[string]any) ([]*unstructured.Unstructured, error) {
	if p.authorized {
		return nil, errors.New("a ValidatingPolicy of Kyverno knows no authorizer: set delivery.policies to vap")
	}
	actions := []any{"Audit", "Warn"}
	if mode == kspec.Enforce {
		actions = []any{"Deny"}
	}
	spec := map[string]any{
		"autogen":          map[string]any{"podControllers": map[string]any{"controllers": []any{}}},
		"failurePolicy":    "Fail",
		"matchConstraints": map[string]any{"namespaceSelector": selector, "resourceRules": p.resourceRules()},
		"validations":      p.validations(), "validationActions": actions,
	}
	if len(p.variables) > 0 {
		spec["variables"] = p.variables
	}
	return []*unstructured.Unstructured{object("policies.kyverno.io/v1", "ValidatingPolicy", p.rule.Name, spec)}, nil
}

// kyvernoLegacy renders a ClusterPolicy, which names kinds and not resources.
// An object that broke the rule before is no exception: what may stay as it is,
// the rule says itself.
func (p *program) kyvernoLegacy(mode kspec.Enforcement, selector map[string]any) ([]*unstructured.Unstructured, error) {
	if !p.pods {
		return nil, fmt.Errorf("a ClusterPolicy of Kyverno names kinds, which subjects %q do not say: set delivery.policies to vap or kyverno", p.rule.Subjects)
	}
	var kinds []any
	for _, m := range podMakers() {
		kinds = append(kinds, m.kind)
	}
	check := map[string]any{"expressions": p.validations()}
	if len(p.variables) > 0 {
		check["variables"] = p.variables
	}
	action := "Audit"
	if mode == kspec.Enforce {
		action = "Enforce"
	}
	const longestRule = 63
	policy := object("kyverno.io/v1", "ClusterPolicy", p.rule.Name, map[string]any{
		"admission": true, "background": false, "failurePolicy": "Fail",
		"rules": []any{map[string]any{
			"name": kspec.Shorten(p.rule.Name, longestRule),
			"match": map[string]any{"any": []any{map[string]any{"resources": map[string]any{
				"kinds": kinds, "namespaceSelector": selector, "operations": []any{"CREATE", "UPDATE"},
			}}}},
			"validate": map[string]any{"allowExistingViolations": false, "cel": check, "failureAction": action},
		}},
	})
	for _, sign := range []string{"{{", "$("} {
		if mentions(policy.Object, sign) {
			return nil, fmt.Errorf("a ClusterPolicy of Kyverno takes %s for a variable of its own: set delivery.policies to vap or kyverno", sign)
		}
	}
	return []*unstructured.Unstructured{policy}, nil
}
