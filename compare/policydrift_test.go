package compare_test

import (
	"strings"
	"testing"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
)

// What makes a policy of a template act less is a finding of type policy, and
// grave.
func TestAPolicyThatIsWeakened(t *testing.T) {
	const policy = `
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: NAME}, spec: {failurePolicy: Fail,
  matchConstraints: {resourceRules: [{apiGroups: [example.com], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [widgets]}]},
  validations: [{expression: "object.metadata.name != 'x'"}]}}
---
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: NAME}, spec: {policyName: NAME, validationActions: [Deny]}}
`
	const (
		rule    = "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: NAME}"
		binding = "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: NAME}"
	)
	for name, tt := range map[string]struct {
		verb, text string
		kind       string
		verdict    kspec.Verdict
		severity   kspec.Severity
	}{
		"to-audit":  {"patch", binding + ", spec: {validationActions: [Audit]}}", "ValidatingAdmissionPolicyBinding", kspec.Changed, kspec.Critical},
		"to-ignore": {"patch", rule + ", spec: {failurePolicy: Ignore}}", "ValidatingAdmissionPolicy", kspec.Changed, kspec.Critical},
		"to-true":   {"patch", rule + `, spec: {validations: [{expression: "true"}]}}`, "ValidatingAdmissionPolicy", kspec.Changed, kspec.Critical},
		"exempted":  {"patch", rule + `, spec: {matchConditions: [{name: never, expression: "false"}]}}`, "ValidatingAdmissionPolicy", kspec.ExtraField, kspec.Critical},
		"narrowed":  {"patch", binding + ", spec: {matchResources: {objectSelector: {matchLabels: {a: b}}}}}", "ValidatingAdmissionPolicyBinding", kspec.ExtraField, kspec.Critical},
		"unbound":   {"delete", binding + "}", "ValidatingAdmissionPolicyBinding", kspec.Missing, kspec.High},
		"deleted":   {"delete", rule + "}", "ValidatingAdmissionPolicy", kspec.Missing, kspec.High},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			text := strings.NewReplacer("NAME", "weakened-"+name).Replace
			want := desired(t, "", text(policy))
			for i := range want.Objects {
				want.Objects[i].Source.Template = "security-baseline"
			}
			w.deliver(want)
			w.do("kubectl-edit", tt.verb, text(tt.text))
			rep := lookWith(t, clusterOf(t, nil), compare.Options{}, kspec.Target{Name: "test"}, want)
			if len(rep.Findings) != 1 {
				t.Fatalf("got %v", lines(rep))
			}
			f := rep.Findings[0]
			if f.Type != kspec.TypePolicy || f.Object.Kind != tt.kind || f.Verdict != tt.verdict || f.Severity != tt.severity {
				t.Errorf("got a finding of type %s: %s %s of %s", f.Type, f.Severity, f.Verdict, f.Object)
			}
		})
	}
}
