package require_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare/require"
)

// everything demands something of every check.
const everything = `{
	kubernetes: {minVersion: '1.30'}, podSecurity: {enforce: baseline},
	network: {defaultDeny: true, requiredPolicies: [{name: dns}], allowedServiceTypes: [ClusterIP], disallowedPorts: [23]},
	workloads: {containers: {forbidden: [{key: hostNetwork}]}, images: {requireDigests: true}},
	rbac: {forbiddenRules: [{apiGroup: '*', resource: '*', verbs: ['*']}]},
	admission: {required: [{type: ValidatingWebhookConfiguration, namePattern: a, minCount: 1}], policies: {minCount: 1}},
	observability: {metrics: {required: true}, logging: {auditLog: {required: true}}}`

// What cannot be read has neither passed nor failed.
func TestWhatCannotBeReadIsUnknown(t *testing.T) {
	for kind, want := range map[string][]string{
		"NetworkPolicy":                  {kspec.CheckNetwork},
		"Service":                        {kspec.CheckServices},
		"Pod":                            {kspec.CheckServices, kspec.CheckContainers, kspec.CheckImages, kspec.CheckMetrics, kspec.CheckAuditLog},
		"ClusterRole":                    {kspec.CheckRBAC},
		"Role":                           {kspec.CheckRBAC},
		"ClusterRoleBinding":             {kspec.CheckRBAC},
		"RoleBinding":                    {kspec.CheckRBAC},
		"ValidatingWebhookConfiguration": {kspec.CheckAdmission},
		"ValidatingAdmissionPolicy":      {kspec.CheckAdmission},
		"ClusterPolicy":                  {kspec.CheckAdmission},
		"NodeMetrics":                    {kspec.CheckMetrics},
		"Namespace":                      {kspec.CheckPodSecurity, kspec.CheckNetwork},
	} {
		m := good(t)
		m.broken[kind] = true
		rep := look(t, m, everything+"}")
		var got []string
		for _, c := range rep.Checks {
			if c.Status == kspec.CheckUnknown && c.Incomplete {
				got = append(got, c.Name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s cannot be listed: unknown checks (-want +got):\n%s", kind, diff)
		}
		if len(rep.Findings) > 0 || len(rep.Unknown) == 0 || rep.InSync() {
			t.Errorf("%s cannot be listed: %v", kind, lines(rep))
		}
	}
}

// good is a cluster that is as everything demands.
func good(t *testing.T) *made {
	t.Helper()
	return cluster(t, "{apiVersion: v1, kind: Namespace, metadata: {name: web, labels: {tier: front, pod-security.kubernetes.io/enforce: restricted}}}",
		"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: dns, namespace: web}, spec: {podSelector: {}, policyTypes: [Ingress, Egress]}}",
		"{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: a}, webhooks: [{name: a.example.com}]}",
		"{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: a}}",
		"{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: a}, spec: {policyName: a}}",
		"{apiVersion: metrics.k8s.io/v1beta1, kind: NodeMetrics, metadata: {name: n}}",
		"{apiVersion: v1, kind: Pod, metadata: {name: kube-apiserver-a, namespace: kube-system, labels: {component: kube-apiserver}, annotations: {kubernetes.io/config.mirror: x}},"+
			"spec: {containers: [{name: kube-apiserver, image: a, command: [kube-apiserver, --audit-policy-file=/p, --audit-log-path=/l]}]}}")
}

func TestAGoodClusterScoresAHundred(t *testing.T) {
	rep := look(t, good(t), everything+"}")
	if score, ok := rep.Score(); score != 100 || !ok || !rep.InSync() || len(rep.Checks) != len(checks()) {
		t.Errorf("score %d, %v, %+v", score, lines(rep), rep.Checks)
	}
}

// Pods come from one listing, whatever is asked of them.
func TestEachKindIsListedOnce(t *testing.T) {
	m := good(t)
	rep := look(t, m, everything+"}")
	if rep.Coverage.Requests.List > 20 {
		t.Errorf("%d lists", rep.Coverage.Requests.List)
	}
	m = good(t)
	look(t, m, "{workloads: {containers: {forbidden: [{key: hostNetwork}]}, images: {requireDigests: true}}, network: {disallowedPorts: [23]}}")
	if m.lists != 3 { // namespaces, services, pods
		t.Errorf("%d lists, want 3", m.lists)
	}
}

// Without the namespaces nobody knows which a selector selects.
func TestAScopeByLabelsNeedsTheNamespaces(t *testing.T) {
	m := good(t)
	m.broken["Namespace"] = true
	rep := look(t, m, everything+", namespaceScope: {namespaceSelector: {matchLabels: {tier: front}}}}")
	for _, name := range []string{kspec.CheckServices, kspec.CheckContainers, kspec.CheckImages, kspec.CheckRBAC} {
		if got := statusOf(t, rep, name); got != kspec.CheckUnknown {
			t.Errorf("%s is %s", name, got)
		}
	}
}

func TestNothingIsDemandedWhileThePoliciesAreOff(t *testing.T) {
	const at = "{podSecurity: {enforce: baseline}, timeBasedActivation: {enabled: true, activePeriods: [{startTime: '13:00', endTime: '14:00'}], outside: %s}}"
	if rep := look(t, cluster(t, namespaces("web")), fmt.Sprintf(at, `"off"`)); len(rep.Findings)+len(rep.Checks) > 0 {
		t.Errorf("off: %v, %+v", lines(rep), rep.Checks)
	}
	if rep := look(t, cluster(t, namespaces("web")), fmt.Sprintf(at, "audit")); len(rep.Findings) != 1 {
		t.Errorf("audit: %v", lines(rep))
	}
}

func TestFindingsCarryTheirControls(t *testing.T) {
	rep := look(t, cluster(t, namespaces("web")), `{podSecurity: {enforce: baseline}, kubernetes: {minVersion: '1.30'}, compliance: {frameworks: [
		{name: NIST-800-53, revision: rev5, controls: [
			{id: CM-7, title: Least functionality, mappings: [{check: podsecurity.standards}, {check: kubernetes.version}]},
			{id: SI-2, title: Flaw remediation, mappings: [{check: kubernetes.version}]},
			{id: AU-2, title: Event logging, mappings: [{check: observability.auditlog}]},
			{id: PE-1, title: Policy}]},
		{name: CIS, controls: [{id: 5.2.1, title: Pods, mappings: [{check: podsecurity.standards}]}]}]}}`)
	if diff := cmp.Diff([]string{"CIS/5.2.1", "NIST-800-53 rev5/CM-7"}, rep.Findings[0].Controls); diff != "" {
		t.Errorf("controls (-want +got):\n%s", diff)
	}
	var got []string
	for _, c := range rep.Controls {
		got = append(got, fmt.Sprintf("%s/%s %s: %s", c.Framework, c.ID, c.Title, c.Status))
	}
	want := []string{
		"NIST-800-53 rev5/CM-7 Least functionality: fail",
		"NIST-800-53 rev5/SI-2 Flaw remediation: pass",
		"NIST-800-53 rev5/AU-2 Event logging: unknown",
		"NIST-800-53 rev5/PE-1 Policy: unknown",
		"CIS/5.2.1 Pods: fail",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("controls of the report (-want +got):\n%s", diff)
	}
}

// Policies that people weaken in the cluster do not count as enforced, whatever
// Git says.
func TestPoliciesAreCountedFromTheCluster(t *testing.T) {
	owned := func(owner, name, actions string) string {
		meta := "metadata: {name: " + name + ", labels: {kspec.io/owner: " + owner + "}}"
		text := "---\n{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, " + meta + "}\n"
		if actions != "" {
			text += "---\n{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, " + meta + ", spec: {policyName: " + name + ", validationActions: [" + actions + "]}}\n"
		}
		return text
	}
	const spec = "{policyTemplate: {name: security-baseline}}"
	m := cluster(t, owned("prod", "a", "Deny, Audit"), owned("prod", "b", "Audit"), owned("prod", "c", ""), owned("other", "d", "Deny"))
	if diff := cmp.Diff(&kspec.PolicyCount{Enforced: 1, Audited: 1}, look(t, m, spec).Policies); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	kyverno := func(api, owner, name, spec string) *made {
		m.objects = append(m.objects, cluster(t, "{apiVersion: "+api+", metadata: {name: "+name+", labels: {kspec.io/owner: "+owner+"}}, spec: {"+spec+"}}").objects...)
		return m
	}
	kyverno("policies.kyverno.io/v1, kind: ValidatingPolicy", "prod", "v1", "validationActions: [Deny]")
	kyverno("policies.kyverno.io/v1, kind: ValidatingPolicy", "prod", "v2", "validationActions: [Audit, Warn]")
	kyverno("policies.kyverno.io/v1, kind: ValidatingPolicy", "other", "v3", "validationActions: [Deny]")
	kyverno("kyverno.io/v1, kind: ClusterPolicy", "prod", "k1", "rules: [{validate: {failureAction: Enforce}}]")
	kyverno("kyverno.io/v1, kind: ClusterPolicy", "prod", "k2", "rules: [{validate: {failureAction: Enforce}}, {validate: {failureAction: Audit}}]")
	kyverno("kyverno.io/v1, kind: ClusterPolicy", "prod", "k3", "validationFailureAction: enforce, rules: [{validate: {}}]")
	if diff := cmp.Diff(&kspec.PolicyCount{Enforced: 4, Audited: 3}, look(t, m, spec).Policies); diff != "" {
		t.Errorf("with Kyverno (-want +got):\n%s", diff)
	}
	for _, kind := range []string{"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingPolicy", "ClusterPolicy"} {
		m.broken = map[string]bool{kind: true}
		if got := look(t, m, spec).Policies; got != nil {
			t.Errorf("%s cannot be listed: counted %+v", kind, got)
		}
	}
	if got := look(t, cluster(t), "{}").Policies; got != nil {
		t.Errorf("nothing is delivered: counted %+v", got)
	}
	long := targetOf(t, spec)
	long.Name = strings.Repeat("long-", 20) + "name"
	m = cluster(t, owned(long.Owner(), "a", "Deny"), owned("prod", "b", "Deny"))
	readers := require.ReadersFunc(func(context.Context, kspec.Target) (require.Reader, error) { return m, nil })
	rep, err := require.New(nil, readers, func() time.Time { return now }).Look(t.Context(), long)
	if diff := cmp.Diff(&kspec.PolicyCount{Enforced: 1}, rep.Policies); diff != "" || err != nil {
		t.Errorf("%v, of a long name (-want +got):\n%s", err, diff)
	}
}

func detect(t *testing.T, m *made, spec string, before kspec.Report, failed error) (kspec.Report, error) {
	t.Helper()
	next := kspec.DetectorFunc(func(context.Context, kspec.Target, kspec.Desired) (kspec.Report, error) { return before, failed })
	readers := require.ReadersFunc(func(context.Context, kspec.Target) (require.Reader, error) {
		if m == nil {
			return nil, errors.New("no way")
		}
		return m, nil
	})
	return require.New(next, readers, nil).Detect(t.Context(), targetOf(t, spec), kspec.Desired{})
}

func TestDetectAddsToWhatIsThere(t *testing.T) {
	drift := kspec.Finding{Type: kspec.TypeConfiguration, Verdict: kspec.Missing, Object: kspec.ObjectID{Kind: "ConfigMap", Namespace: "web", Name: "a"}}
	before := kspec.Report{
		Target: "prod", Findings: []kspec.Finding{drift}, Duration: time.Second,
		Coverage: kspec.Coverage{Objects: 7, Requests: kspec.Requests{List: 2, Patch: 5}},
	}
	rep, err := detect(t, cluster(t, namespaces("web")), "{podSecurity: {enforce: baseline}}", before, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Findings) != 2 || rep.Coverage.Objects != 7 || rep.Coverage.Requests != (kspec.Requests{List: 3, Patch: 5}) ||
		rep.Duration < time.Second || statusOf(t, rep, kspec.CheckPodSecurity) != kspec.CheckFail {
		t.Errorf("got %+v", rep)
	}
}

func TestDetectReadsNothingForNothing(t *testing.T) {
	m := cluster(t)
	rep, err := detect(t, m, "{}", kspec.Report{Target: "prod"}, nil)
	if err != nil || m.lists != 0 || rep.Checks != nil {
		t.Errorf("got %+v, %v, %d lists", rep, err, m.lists)
	}
	if _, ok := rep.Score(); ok {
		t.Error("nothing has a score")
	}
}

func TestALookThatFailsIsAnError(t *testing.T) {
	const spec = "{podSecurity: {enforce: baseline}}"
	if _, err := detect(t, cluster(t), spec, kspec.Report{}, errors.New("down")); err == nil {
		t.Error("the other detector failed")
	}
	if _, err := detect(t, nil, spec, kspec.Report{}, nil); err == nil {
		t.Error("there is no way to the cluster")
	}
	m := cluster(t)
	m.broken["version"] = true
	if _, err := detect(t, m, spec, kspec.Report{}, nil); err == nil {
		t.Error("the cluster does not answer")
	}
}

// What anyone in the cluster may have written makes a check unknown at worst.
func TestObjectsThatCannotBeReadAreUnknown(t *testing.T) {
	for name, object := range map[string]string{
		"namespace": "{apiVersion: v1, kind: Namespace, metadata: {name: web, labels: [a]}}",
		"policy":    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, spec: {podSelector: 3}}",
		"service":   "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: 3}}",
		"pod":       "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: 3}}",
		"role":      "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: a}, rules: 3}",
		"binding":   "{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: a}, subjects: 3}",
		"cluster":   "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a}, rules: 3}",
		"bindings":  "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: a}, subjects: 3}",
		"webhook":   "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: [a]}}",
		"bound":     "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: b}, spec: {policyName: 3}}",
	} {
		m := good(t)
		m.objects = append(m.objects, cluster(t, object).objects...)
		rep := look(t, m, everything+"}")
		if len(rep.Unknown) == 0 || len(rep.Findings) > 0 || strings.Contains(lines(rep)[0], "panic") {
			t.Errorf("%s: %v", name, lines(rep))
		}
	}
}
