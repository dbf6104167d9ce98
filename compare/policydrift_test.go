package compare_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
)

// What makes an admission policy act less is a finding of type policy, and
// grave, whether a template or a plain file of Git says it.
func TestAPolicyThatIsWeakened(t *testing.T) {
	const policy = `
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: NAME, annotations: {kspec.io/controls: "CIS/5.2.1,NIST-800-53/CM-7"}}, spec: {failurePolicy: Fail,
  matchConstraints: {resourceRules: [{apiGroups: [example.com], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [widgets]}]},
  validations: [{expression: "object.metadata.name != 'x'"}]}}
---
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: NAME, annotations: {kspec.io/controls: "CIS/5.2.1,NIST-800-53/CM-7"}}, spec: {policyName: NAME, validationActions: [Deny, Audit]}}
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
			w.deliver(want)
			w.do("kubectl-edit", tt.verb, text(tt.text))
			rep := lookWith(t, clusterOf(t, nil), compare.Options{}, kspec.Target{Name: "test"}, want)
			if len(rep.Findings) != 1 {
				t.Fatalf("got %v", lines(rep))
			}
			f := rep.Findings[0]
			if slices.ContainsFunc(f.Fields, func(d kspec.Field) bool { return d.Manager == want.Objects[0].FieldManager }) {
				t.Errorf("it says that the engine did it: %+v", f.Fields)
			}
			if !slices.Equal(f.Controls, []string{"CIS/5.2.1", "NIST-800-53/CM-7"}) {
				t.Errorf("it breaks the controls %v", f.Controls)
			}
			if f.Type != kspec.TypePolicy || f.Object.Kind != tt.kind || f.Verdict != tt.verdict || f.Severity != tt.severity {
				t.Errorf("got a finding of type %s: %s %s of %s", f.Type, f.Severity, f.Verdict, f.Object)
			}
		})
	}
}

// Until the end of a window is merged, the cluster holds what was to be enforced
// within it: that wakes nobody.
func TestAPolicyThatIsStricterThanGitIsNoEmergency(t *testing.T) {
	const (
		binding = "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: stricter}, spec: {policyName: stricter, validationActions: ["
		labels  = "{apiVersion: v1, kind: Namespace, metadata: {name: stricter-NAME, labels: {pod-security.kubernetes.io/"
	)
	for name, tt := range map[string]struct {
		git, live string
		want      kspec.Severity
	}{
		"denies too":        {binding + "Audit]}}", binding + "Deny, Audit]}}", kspec.Low},
		"denies instead":    {binding + "Warn, Audit]}}", binding + "Deny, Audit]}}", kspec.Medium},
		"warns instead":     {binding + "Deny, Audit]}}", binding + "Warn, Audit]}}", kspec.Critical},
		"denies no longer":  {binding + "Deny, Audit]}}", binding + "Audit]}}", kspec.Critical},
		"holds a level":     {labels + "warn: baseline}}}", labels + "warn: baseline, pod-security.kubernetes.io/enforce: baseline, pod-security.kubernetes.io/enforce-version: v1.37}}}", kspec.Low},
		"holds an old one":  {labels + "enforce: baseline}}}", labels + "enforce: baseline, pod-security.kubernetes.io/enforce-version: v1.0}}}", kspec.High},
		"holds none at all": {labels + "warn: baseline}}}", labels + "warn: baseline, pod-security.kubernetes.io/enforce: privileged}}}", kspec.High},
		"holds a lower one": {labels + "enforce: restricted}}}", labels + "enforce: baseline}}}", kspec.High},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			text := strings.NewReplacer("stricter", "stricter-"+strings.ReplaceAll(name, " ", "-"), "-NAME", "").Replace
			want := desired(t, "", text(tt.git))
			w.deliver(want)
			w.do("kubectl-edit", "patch", text(tt.live))
			rep := lookWith(t, clusterOf(t, nil), compare.Options{}, kspec.Target{Name: "test"}, want)
			if len(rep.Findings) != 1 || rep.Findings[0].Severity != tt.want {
				t.Fatalf("want one finding of severity %s, got %v", tt.want, lines(rep))
			}
		})
	}
}

// What a controller adds to a policy stays when the engine applies Git again.
func TestWhoAddedToAPolicyIsTold(t *testing.T) {
	w := newWorld(t)
	const name = "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: added-to}, spec: {"
	want := desired(t, "", name+`matchConstraints: {resourceRules: [{apiGroups: [example.com], apiVersions: [v1], operations: [CREATE], resources: [widgets]}]},
  validations: [{expression: "object.metadata.name != 'x'"}]}}`)
	w.deliver(want)
	w.do("some-controller", "patch", name+`matchConditions: [{name: never, expression: "false"}]}}`)
	rep := lookWith(t, clusterOf(t, nil), compare.Options{}, kspec.Target{Name: "test"}, want)
	if len(rep.Findings) != 1 || !strings.HasPrefix(rep.Findings[0].Hint, "some-controller set it, and no apply takes it away") {
		t.Errorf("got %+v", rep.Findings)
	}
}

// policies define the kinds of Kyverno, of which this test needs no more.
const policies = `
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: clusterpolicies.kyverno.io}, spec: {group: kyverno.io, scope: Cluster,
  names: {kind: ClusterPolicy, plural: clusterpolicies}, versions: [{name: v1, served: true, storage: true,
  schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}}]}}
---
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: validatingpolicies.policies.kyverno.io}, spec: {group: policies.kyverno.io, scope: Cluster,
  names: {kind: ValidatingPolicy, plural: validatingpolicies}, versions: [{name: v1, served: true, storage: true,
  schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}}]}}
`

// What else guards a cluster: policies of Kyverno, isolation, and the labels by
// which namespaces ask for Pod Security.
func TestWhatGuardsAClusterIsWeakened(t *testing.T) {
	newWorld(t).do(applier, "apply", policies)
	for name, tt := range map[string]struct {
		git, verb, text string
		typ             kspec.FindingType
		verdict         kspec.Verdict
		severity        kspec.Severity
	}{
		"kyverno-to-audit": {
			"{apiVersion: policies.kyverno.io/v1, kind: ValidatingPolicy, metadata: {name: NAME}, spec: {validationActions: [Deny]}}",
			"patch", "{apiVersion: policies.kyverno.io/v1, kind: ValidatingPolicy, metadata: {name: NAME}, spec: {validationActions: [Audit]}}",
			kspec.TypePolicy, kspec.Changed, kspec.Critical,
		},
		"legacy-to-audit": {
			"{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: NAME}, spec: {rules: [{name: a, validate: {failureAction: Enforce}}]}}",
			"patch", "{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: NAME}, spec: {rules: [{name: a, validate: {failureAction: Audit}}]}}",
			kspec.TypePolicy, kspec.Changed, kspec.Critical,
		},
		"legacy-deleted": {
			"{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: NAME}, spec: {rules: [{name: a}]}}",
			"delete", "{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: NAME}}",
			kspec.TypePolicy, kspec.Missing, kspec.High,
		},
		"opened": {
			"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: NAME}, spec: {podSelector: {}, policyTypes: [Ingress]}}",
			"patch", "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: NAME}, spec: {ingress: [{}]}}",
			kspec.TypeConfiguration, kspec.ExtraField, kspec.High,
		},
		"unlabelled": {
			"{apiVersion: v1, kind: Namespace, metadata: {name: NAME-ns, labels: {pod-security.kubernetes.io/enforce: restricted}}}",
			"patch", "{apiVersion: v1, kind: Namespace, metadata: {name: NAME-ns, labels: {pod-security.kubernetes.io/enforce: privileged}}}",
			kspec.TypeConfiguration, kspec.Changed, kspec.High,
		},
	} {
		for _, template := range []string{"", "team-rules"} {
			t.Run(name+template, func(t *testing.T) {
				w := newWorld(t)
				text := strings.NewReplacer("NAME", "guard-"+name+template).Replace
				w.namespace(text("NAME"))
				want := desired(t, "", text(tt.git))
				want.Objects[0].Source.Template = template
				w.deliver(want)
				w.do("kubectl-edit", tt.verb, text(tt.text))
				rep := lookWith(t, clusterOf(t, nil), compare.Options{}, kspec.Target{Name: "test"}, want)
				if len(rep.Findings) != 1 {
					t.Fatalf("got %v", lines(rep))
				}
				typ := tt.typ
				if template != "" {
					typ = kspec.TypePolicy
				}
				if f := rep.Findings[0]; f.Type != typ || f.Verdict != tt.verdict || f.Severity != tt.severity {
					t.Errorf("got a finding of type %s: %s %s of %s", f.Type, f.Severity, f.Verdict, f.Object)
				}
			})
		}
	}
}
