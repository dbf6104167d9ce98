package require_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
)

func clusterRole(name, rules string) string {
	return fmt.Sprintf("---\n{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: '%s'}, rules: [%s]}\n", name, rules)
}

func bind(kind, name, ref, subjects string) string {
	at := ""
	if kind == "RoleBinding" {
		at = ", namespace: web"
	}
	return fmt.Sprintf("---\n{apiVersion: rbac.authorization.k8s.io/v1, kind: %s, metadata: {name: '%s'%s}, roleRef: {%s}, subjects: [%s]}\n", kind, name, at, ref, subjects)
}

const (
	all     = "{apiGroups: ['*'], resources: ['*'], verbs: ['*']}"
	secrets = "{apiGroups: [''], resources: [secrets], verbs: [get]}"
	bob     = "{kind: User, name: bob}"
)

func TestForbiddenRules(t *testing.T) {
	forbid := func(rule string) string { return "{rbac: {forbiddenRules: [" + rule + "]}}" }
	everything := forbid("{apiGroup: '*', resource: '*', verbs: ['*']}")
	reads := forbid("{apiGroup: '', resource: secrets, verbs: [get, list]}")
	const ref = "kind: ClusterRole, name: r"
	for _, tt := range []expectation{
		{"a role of everything", everything, clusterRole("r", all) + bind("ClusterRoleBinding", "b", ref, bob), []string{
			"high ClusterRole.rbac.authorization.k8s.io r: grants * on *.*, which rbac.forbiddenRules forbids",
		}},
		{"a narrow role", everything, clusterRole("r", secrets) + bind("ClusterRoleBinding", "b", ref, bob), nil},
		{"a role that nobody holds", reads, clusterRole("r", secrets), []string{
			"low ClusterRole.rbac.authorization.k8s.io r: grants get on secrets, which rbac.forbiddenRules forbids",
		}},
		{"a binding without subjects", reads, clusterRole("r", secrets) + bind("ClusterRoleBinding", "b", ref, ""), []string{
			"low ClusterRole.rbac.authorization.k8s.io r: grants get on secrets, which rbac.forbiddenRules forbids",
		}},
		{"a wildcard grants what is named", reads, clusterRole("r", all) + bind("ClusterRoleBinding", "b", ref, bob), []string{
			"high ClusterRole.rbac.authorization.k8s.io r: grants get, list on secrets, which rbac.forbiddenRules forbids",
		}},
		{"held in a namespace", reads, clusterRole("r", secrets) + bind("RoleBinding", "b", ref, bob), []string{
			"high ClusterRole.rbac.authorization.k8s.io r: grants get on secrets, which rbac.forbiddenRules forbids",
		}},
		{"another group", reads, clusterRole("r", "{apiGroups: [example.com], resources: [secrets], verbs: [get]}"), nil},
		{"another verb", reads, clusterRole("r", "{apiGroups: [''], resources: [secrets], verbs: [create]}"), nil},
		{"a subresource", forbid("{apiGroup: '', resource: pods/exec, verbs: [create]}"), clusterRole("r", "{apiGroups: [''], resources: [pods], verbs: ['*']}"), nil},
		{"a subresource by wildcard", forbid("{apiGroup: '', resource: pods/exec, verbs: [create]}"), clusterRole("r", "{apiGroups: [''], resources: ['*/exec'], verbs: ['*']}") + bind("ClusterRoleBinding", "b", ref, bob), []string{
			"high ClusterRole.rbac.authorization.k8s.io r: grants create on pods/exec, which rbac.forbiddenRules forbids",
		}},
		{"by name alone", reads, clusterRole("r", "{apiGroups: [''], resources: [secrets], resourceNames: [b, a], verbs: [get]}") + bind("ClusterRoleBinding", "b", ref, bob), []string{
			"medium ClusterRole.rbac.authorization.k8s.io r: grants get on secrets named a, b, which rbac.forbiddenRules forbids",
		}},
		{"by name, and for all by another rule", reads, clusterRole("r", "{apiGroups: [''], resources: [secrets], resourceNames: [a], verbs: [get]}, {apiGroups: [''], resources: [secrets], verbs: [list]}") + bind("ClusterRoleBinding", "b", ref, bob), []string{
			"high ClusterRole.rbac.authorization.k8s.io r: grants list on secrets, which rbac.forbiddenRules forbids",
		}},
		{"all verbs by name are all", everything, clusterRole("r", "{apiGroups: ['*'], resources: ['*'], verbs: [create, delete, deletecollection]}, {apiGroups: ['*'], resources: ['*'], verbs: [get, list, patch, update, watch]}") + bind("ClusterRoleBinding", "b", ref, bob), []string{
			"high ClusterRole.rbac.authorization.k8s.io r: grants * on *.*, which rbac.forbiddenRules forbids",
		}},
		{"most verbs are not all", everything, clusterRole("r", "{apiGroups: ['*'], resources: ['*'], verbs: [create, delete, get, list, patch, update, watch]}") + bind("ClusterRoleBinding", "b", ref, bob), nil},
		{"a resource of any group", forbid("{apiGroup: '*', resource: secrets, verbs: [get]}"), clusterRole("r", secrets) + bind("ClusterRoleBinding", "b", ref, bob), []string{
			"high ClusterRole.rbac.authorization.k8s.io r: grants get on secrets.*, which rbac.forbiddenRules forbids",
		}},
		{"another resource of any group", forbid("{apiGroup: '*', resource: pods, verbs: [get]}"), clusterRole("r", secrets) + bind("ClusterRoleBinding", "b", ref, bob), nil},
		{"any subresource", forbid("{apiGroup: '', resource: pods/*, verbs: [create]}"), clusterRole("r", "{apiGroups: [''], resources: [pods/exec], verbs: [create]}") + bind("ClusterRoleBinding", "b", ref, bob), []string{
			"high ClusterRole.rbac.authorization.k8s.io r: grants create on pods/*, which rbac.forbiddenRules forbids",
		}},
		{"any subresource is not the resource", forbid("{apiGroup: '', resource: pods/*, verbs: [create]}"), clusterRole("r", "{apiGroups: [''], resources: [pods, services/proxy], verbs: [create]}"), nil},
		{"a subresource of any resource", forbid("{apiGroup: apps, resource: '*/scale', verbs: [patch]}"), clusterRole("r", "{apiGroups: [apps], resources: [deployments/scale], verbs: ['*']}") + bind("ClusterRoleBinding", "b", ref, bob), []string{
			"high ClusterRole.rbac.authorization.k8s.io r: grants patch on */scale.apps, which rbac.forbiddenRules forbids",
		}},
		{"a wildcard that RBAC does not know", forbid("{apiGroup: '', resource: pods/exec, verbs: [create]}"), clusterRole("r", "{apiGroups: [''], resources: ['pods/*'], verbs: ['*']}"), nil},
		{"a role that others make up", everything, "---\n{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: r}, aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: b}}]}, rules: [" + all + "]}\n" + bind("ClusterRoleBinding", "b", ref, bob), []string{
			"high ClusterRole.rbac.authorization.k8s.io r: grants * on *.*, which rbac.forbiddenRules forbids",
		}},
		{"what anybody may", reads, clusterRole("r", secrets) + bind("ClusterRoleBinding", "b", ref, "{kind: Group, name: 'system:unauthenticated'}"), []string{
			"high ClusterRole.rbac.authorization.k8s.io r: grants get on secrets, which rbac.forbiddenRules forbids",
		}},
		{"URLs are no resources", everything, clusterRole("r", "{nonResourceURLs: ['*'], verbs: ['*']}"), nil},
		{"cluster-admin of system:masters", everything, clusterRole("cluster-admin", all) + bind("ClusterRoleBinding", "cluster-admin", "kind: ClusterRole, name: cluster-admin", "{kind: Group, name: 'system:masters'}"), nil},
		{"cluster-admin of a person", everything, clusterRole("cluster-admin", all) + bind("ClusterRoleBinding", "b", "kind: ClusterRole, name: cluster-admin", bob), []string{
			"high ClusterRoleBinding.rbac.authorization.k8s.io b: gives ClusterRole cluster-admin to User bob: it grants * on *.*, which rbac.forbiddenRules forbids",
		}},
		{"cluster-admin of everybody", everything, clusterRole("cluster-admin", all) + bind("ClusterRoleBinding", "b", "kind: ClusterRole, name: cluster-admin", "{kind: Group, name: 'system:authenticated'}"), []string{
			"high ClusterRoleBinding.rbac.authorization.k8s.io b: gives ClusterRole cluster-admin to Group system:authenticated: it grants * on *.*, which rbac.forbiddenRules forbids",
		}},
		{"a role that calls itself the system's", everything, clusterRole("system:evil", all) + bind("ClusterRoleBinding", "system:evil", "kind: ClusterRole, name: 'system:evil'", "{kind: ServiceAccount, name: a, namespace: web}, {kind: ServiceAccount, name: b, namespace: kube-system}"), []string{
			"high ClusterRoleBinding.rbac.authorization.k8s.io system:evil: gives ClusterRole system:evil to ServiceAccount web/a: it grants * on *.*, which rbac.forbiddenRules forbids",
		}},
		{"a Role", reads, "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: r, namespace: web}, rules: [" + secrets + "]}\n" + bind("RoleBinding", "b", "kind: Role, name: r", bob), []string{
			"high Role.rbac.authorization.k8s.io web/r: grants get on secrets, which rbac.forbiddenRules forbids",
		}},
		{"a Role of the system", reads, "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: r, namespace: kube-system}, rules: [" + secrets + "]}", nil},
		{"a binding of the system", reads, clusterRole("r", secrets) + "---\n{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: b, namespace: kube-system}, roleRef: {" + ref + "}, subjects: [" + bob + "]}", []string{
			"low ClusterRole.rbac.authorization.k8s.io r: grants get on secrets, which rbac.forbiddenRules forbids",
		}},
	} {
		tt.run(t, kspec.CheckRBAC, namespaces("web", "kube-system"))
	}
}

func TestWhoHoldsARoleIsEvidence(t *testing.T) {
	m := cluster(t, namespaces("web"), clusterRole("r", secrets),
		bind("ClusterRoleBinding", "b", "kind: ClusterRole, name: r", bob+", {kind: ServiceAccount, name: ci, namespace: web}"), clusterRole("cluster-admin", all))
	rep := look(t, m, "{rbac: {forbiddenRules: [{apiGroup: '', resource: secrets, verbs: [get]}]}}")
	if len(rep.Findings) != 1 {
		t.Fatal(lines(rep))
	}
	want := map[string]any{
		"rule":  map[string]any{"apiGroup": "", "resource": "secrets", "verbs": []string{"get"}},
		"verbs": []string{"get"},
		"heldBy": []map[string]any{{
			"binding": "ClusterRoleBinding.rbac.authorization.k8s.io b", "subjects": []string{"ServiceAccount web/ci", "User bob"},
		}},
	}
	if diff := cmp.Diff(want, rep.Findings[0].Evidence); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"ClusterRole cluster-admin"}, rep.Checks[0].Apart); diff != "" {
		t.Errorf("apart (-want +got):\n%s", diff)
	}
}

func TestMinimumRules(t *testing.T) {
	const spec = "{rbac: {minimumRules: [{apiGroup: '', resource: pods, verbs: [get, list]}]}}"
	const ref = "kind: ClusterRole, name: r"
	missing := []string{"medium ClusterSpec.kspec.io prod: nobody but Kubernetes itself is granted get, list on pods"}
	for _, tt := range []expectation{
		{"granted", spec, clusterRole("r", "{apiGroups: [''], resources: [pods], verbs: [get, list, watch]}") + bind("ClusterRoleBinding", "b", ref, bob), nil},
		{"granted by wildcards", spec, clusterRole("r", all) + bind("RoleBinding", "b", ref, bob), nil},
		{"granted by two rules", spec, clusterRole("r", "{apiGroups: [''], resources: [pods], verbs: [get]}, {apiGroups: ['*'], resources: [pods], verbs: [list]}") + bind("ClusterRoleBinding", "b", ref, bob), nil},
		{"granted in part", spec, clusterRole("r", "{apiGroups: [''], resources: [pods], verbs: [get]}") + bind("ClusterRoleBinding", "b", ref, bob), missing},
		{"granted by name", spec, clusterRole("r", "{apiGroups: [''], resources: [pods], resourceNames: [a], verbs: ['*']}") + bind("ClusterRoleBinding", "b", ref, bob), missing},
		{"granted to nobody", spec, clusterRole("r", all), missing},
		{"granted by a role of Kubernetes", spec, clusterRole("view", all) + bind("ClusterRoleBinding", "b", "kind: ClusterRole, name: view", bob), nil},
		{"granted to Kubernetes", spec, clusterRole("cluster-admin", all) + bind("ClusterRoleBinding", "b", "kind: ClusterRole, name: cluster-admin", "{kind: Group, name: 'system:masters'}"), missing},
		{"nothing", spec, "", missing},
		{"a subresource is asked, and another granted", "{rbac: {minimumRules: [{apiGroup: apps, resource: '*/scale', verbs: [get]}]}}", clusterRole("r", "{apiGroups: [apps], resources: [deployments/scale], verbs: [get]}") + bind("ClusterRoleBinding", "b", ref, bob), []string{
			"medium ClusterSpec.kspec.io prod: nobody but Kubernetes itself is granted get on */scale.apps",
		}},
		{"all is asked, and much is granted", "{rbac: {minimumRules: [{apiGroup: '*', resource: '*', verbs: ['*']}]}}", clusterRole("r", "{apiGroups: ['*'], resources: ['*'], verbs: [get]}") + bind("ClusterRoleBinding", "b", ref, bob), []string{
			"medium ClusterSpec.kspec.io prod: nobody but Kubernetes itself is granted * on *.*",
		}},
	} {
		tt.run(t, kspec.CheckRBAC, namespaces("web"))
	}
}

func TestAdmission(t *testing.T) {
	object := func(group, kind, name, rest string) string {
		return fmt.Sprintf("---\n{apiVersion: %s, kind: %s, metadata: {name: %s}%s}\n", group, kind, name, rest)
	}
	const v1 = "admissionregistration.k8s.io/v1"
	hook := func(name string) string {
		return object(v1, "ValidatingWebhookConfiguration", name, ", webhooks: [{name: a.example.com}]")
	}
	vap := func(name string) string { return object(v1, "ValidatingAdmissionPolicy", name, "") }
	bound := func(name string) string {
		return vap(name) + object(v1, "ValidatingAdmissionPolicyBinding", name+"-b", ", spec: {policyName: "+name+", validationActions: [Audit]}")
	}
	required := func(kind, pattern string, n int) string {
		return fmt.Sprintf("{admission: {required: [{type: %s, namePattern: '%s', minCount: %d}]}}", kind, pattern, n)
	}
	for _, tt := range []expectation{
		{"enough", required("ValidatingWebhookConfiguration", "^kyverno-", 2), hook("kyverno-a") + hook("kyverno-b") + hook("x"), nil},
		{"part of the name", required("ValidatingWebhookConfiguration", "verno", 1), hook("kyverno-a"), nil},
		{"too few", required("ValidatingWebhookConfiguration", "^kyverno-", 2), hook("kyverno-a") + hook("not-kyverno-"), []string{
			`high ClusterSpec.kspec.io prod: 1 ValidatingWebhookConfiguration match "^kyverno-", want 2 or more`,
		}},
		{"one that calls nothing", required("ValidatingWebhookConfiguration", "^kyverno-", 1), object(v1, "ValidatingWebhookConfiguration", "kyverno-a", ", webhooks: []"), []string{
			`high ClusterSpec.kspec.io prod: 0 ValidatingWebhookConfiguration match "^kyverno-", want 1 or more`,
		}},
		{"of another type", required("MutatingWebhookConfiguration", ".", 1), hook("a"), []string{
			`high ClusterSpec.kspec.io prod: 0 MutatingWebhookConfiguration match ".", want 1 or more`,
		}},
		{"a policy without a binding", required("ValidatingAdmissionPolicy", ".", 1), vap("a"), []string{
			`high ClusterSpec.kspec.io prod: 0 ValidatingAdmissionPolicy match ".", want 1 or more`,
		}},
		{"a policy with a binding", required("ValidatingAdmissionPolicy", ".", 1), bound("a"), nil},
		{"none will do", required("MutatingAdmissionPolicy", ".", 0), "", nil},
		{"policies", "{admission: {policies: {minCount: 2, requiredPolicies: [{name: a}]}}}", bound("a") + object("kyverno.io/v1", "ClusterPolicy", "k", ""), nil},
		{"policies of Kyverno", "{admission: {policies: {minCount: 2}}}", object("policies.kyverno.io/v1", "ValidatingPolicy", "k", "") + object("policies.kyverno.io/v1", "ImageValidatingPolicy", "i", ""), nil},
		{"too few policies", "{admission: {policies: {minCount: 2, requiredPolicies: [{name: b, description: no latest}]}}}", bound("a") + vap("b"), []string{
			"high ClusterSpec.kspec.io prod: there are 1 admission policies, want 2 or more",
			"high ClusterSpec.kspec.io prod: there is no admission policy b (no latest)",
		}},
	} {
		tt.run(t, kspec.CheckAdmission, namespaces("web"))
	}
}

func TestObservability(t *testing.T) {
	apiServer := func(flags string) string {
		return "---\n{apiVersion: v1, kind: Pod, metadata: {name: kube-apiserver-a, namespace: kube-system, labels: {component: kube-apiserver}, annotations: {kubernetes.io/config.mirror: x}}," +
			"spec: {containers: [{name: kube-apiserver, image: a, command: [kube-apiserver, " + flags + "]}]}}\n"
	}
	labelled := func(label string) string {
		return "---\n{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: monitoring, labels: {" + label + "}}, spec: {containers: [{name: c, image: a}]}}\n"
	}
	const metrics = "{observability: {metrics: {required: true, providers: [prometheus, vector]}}}"
	none := []string{"medium ClusterSpec.kspec.io prod: nothing collects metrics: none of prometheus, vector is there"}
	for _, tt := range []expectation{
		{"nothing", metrics, "", none},
		{"a pod", metrics, labelled("app.kubernetes.io/name: prometheus"), nil},
		{"a pod by an older label", metrics, labelled("k8s-app: vector"), nil},
		{"a pod that has ended", metrics, `{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: m, labels: {app: vector}}, spec: {containers: []}, status: {phase: Failed}}`, none},
		{"another pod", metrics, labelled("app: prometheus-adapter"), none},
		{"an object of the operator", metrics, "{apiVersion: monitoring.coreos.com/v1, kind: Prometheus, metadata: {name: p, namespace: m}}", nil},
		{"the default", "{observability: {metrics: {required: true}}}", "{apiVersion: metrics.k8s.io/v1beta1, kind: NodeMetrics, metadata: {name: n}}", nil},
		{"nothing of the default", "{observability: {metrics: {required: true}}}", "", []string{
			"medium ClusterSpec.kspec.io prod: nothing collects metrics: none of metrics-server, prometheus is there",
		}},
	} {
		tt.run(t, kspec.CheckMetrics, namespaces("web"))
	}
	const audit = "{observability: {logging: {auditLog: {required: true, minRetentionDays: 30}}}}"
	const to = "--audit-policy-file=/p, --audit-log-path=/l"
	found := func(text string) []string { return []string{"medium Pod kube-system/kube-apiserver-a: " + text} }
	for _, tt := range []expectation{
		{"no pod", audit, "", []string{"unknown: observability.auditlog: the API server runs where its arguments cannot be seen; ask whoever runs it"}},
		{"a pod that says to be it", audit, "{apiVersion: v1, kind: Pod, metadata: {name: kube-apiserver-a, namespace: web, labels: {component: kube-apiserver}}, spec: {containers: [{name: kube-apiserver, image: a}]}}", []string{
			"unknown: observability.auditlog: the API server runs where its arguments cannot be seen; ask whoever runs it",
		}},
		{"no policy", audit, apiServer("--v=2"), found("kube-apiserver has no --audit-policy-file: nothing is recorded")},
		{"no log", audit, apiServer("--audit-policy-file=/p"), found("kube-apiserver has neither --audit-log-path nor --audit-webhook-config-file: nothing is recorded")},
		{"long enough", audit, apiServer(to + ", --audit-log-maxage=30"), nil},
		{"in two words", audit, apiServer("--audit-policy-file, /p, --audit-log-path, /l, --audit-log-maxage, '60'"), nil},
		{"by a shell", audit, apiServer("'exec kube-apiserver --audit-policy-file=\"/p\" --audit-log-path=/l --audit-log-maxage=60 2>&1'"), nil},
		{"too short", audit, apiServer(to + ", --audit-log-maxage=7"), found("kube-apiserver keeps its audit log for 7 days, want 30")},
		{"for ever", audit, apiServer(to), nil},
		{"by number of files", audit, apiServer(to + ", --audit-log-maxage=30, --audit-log-maxbackup=5"), []string{
			"unknown: observability.auditlog: Pod kube-system/kube-apiserver-a: --audit-log-maxbackup=5 may remove files that are younger than 30 days",
		}},
		{"elsewhere", audit, apiServer("--audit-policy-file=/p, --audit-webhook-config-file=/w"), []string{
			"unknown: observability.auditlog: Pod kube-system/kube-apiserver-a: the audit log is kept elsewhere, for how long nobody here can tell",
		}},
		{"any time will do", "{observability: {logging: {auditLog: {required: true}}}}", apiServer("--audit-policy-file=/p, --audit-log-path=-"), nil},
	} {
		tt.run(t, kspec.CheckAuditLog, namespaces("web"))
	}
}
