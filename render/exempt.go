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
	condition := where.Condition(j.target.Waiving)
	if condition == "" || policy.GetKind() != "ValidatingAdmissionPolicy" {
		return nil
	}
	conditions, _, err := unstructured.NestedSlice(policy.Object, "spec", "matchConditions")
	if err != nil {
		return fmt.Errorf("%s %s: %w", policy.GetKind(), policy.GetName(), err)
	}
	conditions = append(conditions, map[string]any{"name": exemptions, "expression": condition})
	return unstructured.SetNestedSlice(policy.Object, conditions, "spec", "matchConditions")
}
