package render

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	where "github.com/cloudcwfranck/kspec/policy"
)

// exemptions is the name of the match condition that lets exempt objects pass.
const exemptions = "kspec-exemptions"

// exempt makes an admission policy pass over what the exemptions in force
// cover.
func (j *job) exempt(policy *unstructured.Unstructured) error {
	text := where.Condition(j.target.Waiving)
	if text == "" {
		return nil
	}
	condition := map[string]any{"name": exemptions, "expression": text}
	switch policy.GetKind() {
	case "ValidatingAdmissionPolicy", "ValidatingPolicy":
		return addCondition(policy, condition, policy.Object, "spec", "matchConditions")
	case "ClusterPolicy":
		rules, _, err := unstructured.NestedSlice(policy.Object, "spec", "rules")
		if err != nil {
			return fmt.Errorf("%s %s: %w", policy.GetKind(), policy.GetName(), err)
		}
		for _, rule := range rules {
			if rule, ok := rule.(map[string]any); ok {
				if err := addCondition(policy, condition, rule, "celPreconditions"); err != nil {
					return err
				}
			}
		}
		return unstructured.SetNestedSlice(policy.Object, rules, "spec", "rules")
	}
	return nil
}

// addCondition adds to the conditions at a path of in.
func addCondition(policy *unstructured.Unstructured, condition, in map[string]any, path ...string) error {
	conditions, _, err := unstructured.NestedSlice(in, path...)
	if err != nil {
		return fmt.Errorf("%s %s: %w", policy.GetKind(), policy.GetName(), err)
	}
	return unstructured.SetNestedSlice(in, append(conditions, condition), path...)
}
