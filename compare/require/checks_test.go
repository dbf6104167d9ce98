package require_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	psa "k8s.io/pod-security-admission/api"

	"github.com/cloudcwfranck/kspec"
)

// expectation is what a spec finds in a cluster.
type expectation struct {
	name, spec, objects string
	want                []string
}

func (e expectation) run(t *testing.T, check, common string) {
	t.Helper()
	t.Run(e.name, func(t *testing.T) {
		rep := look(t, cluster(t, common, e.objects), e.spec)
		if diff := cmp.Diff(e.want, lines(rep)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		want := kspec.CheckPass
		unknown := func(s string) bool { return strings.HasPrefix(s, "unknown: ") }
		switch {
		case slices.ContainsFunc(e.want, unknown):
			want = kspec.CheckUnknown
		case len(e.want) > 0:
			want = kspec.CheckFail
		}
		if got := statusOf(t, rep, check); got != want {
			t.Errorf("the check is %s, want %s", got, want)
		}
		for _, f := range rep.Findings {
			if f.Type != kspec.TypeCompliance || f.Verdict != kspec.Violation || f.Check != check || f.Labels == nil ||
				f.Hint == "" || f.Fingerprint == "" || f.Source.File != "prod.yaml" || f.Evidence == nil || f.Controls == nil {
				t.Errorf("the finding is not complete: %+v", f)
			}
		}
	})
}

func TestVersion(t *testing.T) {
	const spec = "{kubernetes: {minVersion: '1.30', maxVersion: '1.34', excludedVersions: ['1.31', 1.32.1, v1.33.4-gke.100]}}"
	for version, want := range map[string]string{
		"v1.30.0":               "",
		"v1.30.0-rc.1":          "which is older than minVersion 1.30",
		"v1.30.0-gke.1":         "",
		"v1.30.2+k3s1":          "",
		"v1.29.9-eks-a1b2c3":    "which is older than minVersion 1.30",
		"v1.30-eks-4f5ac7a":     "",
		"v1.34+":                "",
		"v1.30.4+rke2r1":        "",
		"v1.30.0-beta.0-gke.5":  "which is older than minVersion 1.30",
		"v1.34.99":              "",
		"v1.34.1-eks-113cf36":   "",
		"v1.35.0-alpha.0":       "which is newer than maxVersion 1.34",
		"v1.35.0":               "which is newer than maxVersion 1.34",
		"v1.31.7-aliyun.1":      "which excludedVersions excludes by 1.31",
		"v1.31.0-beta.1":        "which excludedVersions excludes by 1.31",
		"v1.32.0":               "",
		"v1.32.1":               "which excludedVersions excludes by 1.32.1",
		"v1.32.1-gke.1500":      "which excludedVersions excludes by 1.32.1",
		"v1.32.1-rc.0":          "",
		"v1.33.4-gke.100":       "which excludedVersions excludes by v1.33.4-gke.100",
		"v1.33.4-gke.200":       "",
		"v2.0.0":                "which is newer than maxVersion 1.34",
		"v1.30.14-vmware.2+x.1": "",
	} {
		m := cluster(t)
		m.version = version
		rep := look(t, m, spec)
		switch {
		case want == "" && len(rep.Findings) > 0:
			t.Errorf("%s: %v", version, lines(rep))
		case want != "" && (len(rep.Findings) != 1 || !strings.Contains(rep.Findings[0].Message, want) || rep.Findings[0].Severity != kspec.Critical):
			t.Errorf("%s: got %v, want %q", version, lines(rep), want)
		}
	}
}

func TestAVersionThatIsNoneIsUnknown(t *testing.T) {
	m := cluster(t)
	m.version = "unversioned"
	rep := look(t, m, "{kubernetes: {minVersion: '1.30'}}")
	if statusOf(t, rep, kspec.CheckVersion) != kspec.CheckUnknown || len(rep.Findings) > 0 || len(rep.Unknown) != 1 {
		t.Errorf("got %v", lines(rep))
	}
}

func TestPodSecurity(t *testing.T) {
	ns := func(name, labels string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {%s}}}", name, labels)
	}
	const p = "pod-security.kubernetes.io/"
	const baseline = "{podSecurity: {enforce: baseline}}"
	for _, tt := range []expectation{
		{"as asked", baseline, ns("web", p+"enforce: baseline"), nil},
		{"stricter", baseline, ns("web", p+"enforce: restricted"), nil},
		{"laxer", baseline, ns("web", p+"enforce: privileged"), []string{"high Namespace web: label pod-security.kubernetes.io/enforce is privileged, want baseline"}},
		{"no labels", baseline, namespaces("web"), []string{"high Namespace web: has no label pod-security.kubernetes.io/enforce, want baseline"}},
		{"privileged needs none", "{podSecurity: {enforce: privileged}}", namespaces("web"), nil},
		{"no level", baseline, ns("web", p+"enforce: strict"), []string{`high Namespace web: label pod-security.kubernetes.io/enforce is "strict", which is no level; want baseline`}},
		{"case counts", baseline, ns("web", p+"enforce: Restricted"), []string{`high Namespace web: label pod-security.kubernetes.io/enforce is "Restricted", which is no level; want baseline`}},
		{"audit and warn", "{podSecurity: {audit: restricted, warn: restricted}}", ns("web", p+"warn: baseline"), []string{
			"medium Namespace web: has no label pod-security.kubernetes.io/audit, want restricted",
			"medium Namespace web: label pod-security.kubernetes.io/warn is baseline, want restricted",
		}},
		{"warnings follow what is enforced", "{podSecurity: {enforce: baseline, warn: restricted}}", ns("web", p+"enforce: restricted"), nil},
		{"audits do not", "{podSecurity: {audit: restricted}}", ns("web", p+"enforce: restricted"), []string{
			"medium Namespace web: has no label pod-security.kubernetes.io/audit, want restricted",
		}},
		{"pinned", "{podSecurity: {enforce: baseline, version: v1.34}}", ns("web", p+"enforce: baseline, "+p+"enforce-version: v1.34"), nil},
		{"pinned to another", "{podSecurity: {enforce: baseline, version: v1.34}}", ns("web", p+"enforce: baseline, "+p+"enforce-version: v1.30"), []string{
			"high Namespace web: label pod-security.kubernetes.io/enforce-version is v1.30, want v1.34",
		}},
		{"not pinned", "{podSecurity: {enforce: baseline, version: v1.34}}", ns("web", p+"enforce: baseline"), []string{
			"high Namespace web: label pod-security.kubernetes.io/enforce-version is latest, want v1.34",
		}},
		{"latest needs no label", "{podSecurity: {enforce: baseline, version: latest}}", ns("web", p+"enforce: baseline"), nil},
		{"an exemption", "{podSecurity: {enforce: restricted, audit: restricted, exemptions: [{namespace: storage, level: baseline, reason: r}]}}", ns("storage", p+"enforce: baseline"), nil},
		{"an exemption that is not kept", "{podSecurity: {enforce: restricted, exemptions: [{namespace: storage, level: baseline, reason: r}]}}", namespaces("storage"), []string{
			"high Namespace storage: has no label pod-security.kubernetes.io/enforce, want baseline",
		}},
		{"an exemption of a namespace that is not there", "{podSecurity: {enforce: baseline, exemptions: [{namespace: gone, level: baseline, reason: r}]}}", "", nil},
		{"a namespace of the system", baseline, namespaces("kube-public"), nil},
		{"a namespace of the system that is named", "{podSecurity: {enforce: baseline, exemptions: [{namespace: kube-public, level: baseline, reason: r}]}}", namespaces("kube-public"), []string{
			"high Namespace kube-public: has no label pod-security.kubernetes.io/enforce, want baseline",
		}},
		{"out of scope", "{podSecurity: {enforce: baseline}, namespaceScope: {excludeNamespaces: [web]}}", namespaces("web", "api"), []string{
			"high Namespace api: has no label pod-security.kubernetes.io/enforce, want baseline",
		}},
		{"by labels", "{podSecurity: {enforce: baseline}, namespaceScope: {namespaceSelector: {matchLabels: {tier: front}}}}", ns("web", "tier: front") + "\n---\n" + ns("api", "tier: back"), []string{
			"high Namespace web: has no label pod-security.kubernetes.io/enforce, want baseline",
		}},
	} {
		tt.run(t, kspec.CheckPodSecurity, namespaces("kube-system"))
	}
}

// Labels mean what the API server says that they mean.
func TestPodSecurityAgreesWithTheAPIServer(t *testing.T) {
	const prefix = "pod-security.kubernetes.io/"
	levels := []string{"", "privileged", "baseline", "restricted"}
	versions := []string{"", "latest", "v1.30"}
	var cases []map[string]string
	for _, enforce := range levels {
		for _, warn := range levels {
			for _, pin := range versions {
				for _, warnPin := range versions {
					labels := map[string]string{prefix + "enforce": enforce, prefix + "warn": warn, prefix + "enforce-version": pin, prefix + "warn-version": warnPin}
					maps.DeleteFunc(labels, func(_, value string) bool { return value == "" })
					cases = append(cases, labels)
				}
			}
		}
	}
	for _, want := range []psa.Level{psa.LevelBaseline, psa.LevelRestricted} {
		for _, version := range []string{"", "latest", "v1.30"} {
			spec := fmt.Sprintf("{podSecurity: {enforce: %s, warn: %s%s}}", want, want, map[bool]string{true: ", version: " + version}[version != ""])
			for _, labels := range cases {
				asked, errs := psa.PolicyToEvaluate(labels, psa.Policy{
					Enforce: psa.LevelVersion{Level: psa.LevelPrivileged, Version: psa.LatestVersion()},
					Audit:   psa.LevelVersion{Level: psa.LevelPrivileged, Version: psa.LatestVersion()},
					Warn:    psa.LevelVersion{Level: psa.LevelPrivileged, Version: psa.LatestVersion()},
				})
				if len(errs) > 0 {
					t.Fatal(errs)
				}
				holds := func(is psa.LevelVersion) bool {
					return psa.CompareLevels(is.Level, want) >= 0 && (version == "" || is.Version.String() == version)
				}
				m := cluster(t, "{apiVersion: v1, kind: Namespace, metadata: {name: web}}")
				m.objects[0].SetLabels(labels)
				found := map[any]bool{}
				for _, f := range look(t, m, spec).Findings {
					found[f.Evidence["mode"]] = true
				}
				if found["enforce"] == holds(asked.Enforce) || found["warn"] == holds(asked.Warn) {
					t.Fatalf("%s of %v: found %v, the API server takes them for %s", spec, labels, found, asked.String())
				}
			}
		}
	}
}

func TestWhatIsWaivedDoesNotFail(t *testing.T) {
	m := cluster(t, "{apiVersion: v1, kind: Namespace, metadata: {name: web, labels: {team: legacy}}}")
	rep := look(t, m, `{podSecurity: {enforce: baseline}, policyExemptions: [{name: old, reason: r, approver: a, expiresAt: 2030-01-01T00:00:00Z,
		resources: [{kind: Namespace, labelSelector: {matchLabels: {team: legacy}}}]}]}`)
	if got := lines(rep); len(got) != 1 || !strings.HasSuffix(got[0], "(waived by old)") || statusOf(t, rep, kspec.CheckPodSecurity) != kspec.CheckPass {
		t.Errorf("got %v, %+v", got, rep.Checks)
	}
}

func TestSystemNamespacesAreNamedApart(t *testing.T) {
	rep := look(t, cluster(t, namespaces("kube-system", "kspec-system", "web")), "{podSecurity: {enforce: baseline}}")
	want := []kspec.Check{{Name: kspec.CheckPodSecurity, Status: kspec.CheckFail, Findings: 1, Looked: 1, Apart: []string{"kspec-system", "kube-system"}}}
	if diff := cmp.Diff(want, rep.Checks); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDefaultDeny(t *testing.T) {
	np := func(name, spec string) string {
		return fmt.Sprintf("---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: %s, namespace: web}, spec: {%s}}\n", name, spec)
	}
	const spec = "{network: {defaultDeny: true}}"
	const deny = "podSelector: {}, policyTypes: [Ingress, Egress]"
	open := func(directions, by string) []string {
		text := "high Namespace web: nothing denies " + directions + " by default"
		if by != "" {
			text += ": NetworkPolicy " + by + " lets everything through"
		}
		return []string{text}
	}
	for _, tt := range []expectation{
		{"nothing", spec, "", open("egress, ingress", "")},
		{"both", spec, np("deny", deny), nil},
		{"by two policies", spec, np("in", "podSelector: {}, policyTypes: [Ingress]") + np("out", "podSelector: {}, policyTypes: [Egress]"), nil},
		{"no types is ingress", spec, np("deny", "podSelector: {}"), open("egress", "")},
		{"no types and rules of egress is both", spec, np("deny", "podSelector: {}, egress: [{ports: [{port: 53}]}]"), nil},
		{"egress alone", spec, np("deny", "podSelector: {}, policyTypes: [Egress]"), open("ingress", "")},
		{"some pods", spec, np("deny", "podSelector: {matchLabels: {a: b}}, policyTypes: [Ingress, Egress]"), open("egress, ingress", "")},
		{"some pods by expression", spec, np("deny", "podSelector: {matchExpressions: [{key: a, operator: Exists}]}, policyTypes: [Ingress, Egress]"), open("egress, ingress", "")},
		{"a rule without peers and ports", spec, np("deny", deny+", ingress: [{}]"), open("ingress", "deny")},
		{"another policy that opens", spec, np("deny", deny) + np("any", "podSelector: {}, policyTypes: [Egress], egress: [{}]"), open("egress", "any")},
		{"another policy that opens for some", spec, np("deny", deny) + np("any", "podSelector: {matchLabels: {a: b}}, policyTypes: [Egress], egress: [{}]"), nil},
		{"everywhere by address", spec, np("deny", deny+", egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]"), open("egress", "deny")},
		{"half of all addresses", spec, np("deny", deny+", egress: [{to: [{ipBlock: {cidr: 128.0.0.0/1}}]}]"), open("egress", "deny")},
		{"everywhere in IPv6", spec, np("deny", deny+", egress: [{to: [{podSelector: {}}, {ipBlock: {cidr: '::/0'}}]}]"), open("egress", "deny")},
		{"every pod", spec, np("deny", deny+", ingress: [{from: [{namespaceSelector: {}}]}]"), open("ingress", "deny")},
		{"every pod by two selectors", spec, np("deny", deny+", ingress: [{from: [{namespaceSelector: {}, podSelector: {}}]}]"), open("ingress", "deny")},
		{"some pods of every namespace", spec, np("deny", deny+", ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {a: b}}}]}]"), nil},
		{"every port of a protocol", spec, np("deny", deny+", ingress: [{ports: [{protocol: TCP}]}]"), open("ingress", "deny")},
		{"every port as a range", spec, np("deny", deny+", ingress: [{ports: [{port: 1, endPort: 65535}]}]"), open("ingress", "deny")},
		{"a range of ports", spec, np("deny", deny+", ingress: [{ports: [{port: 1024, endPort: 65535}]}]"), nil},
		{"every port of somebody", spec, np("deny", deny+", ingress: [{from: [{podSelector: {}}], ports: [{protocol: TCP}]}]"), nil},
		{"everywhere but", spec, np("deny", deny+", egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}]"), nil},
		{"everywhere at a port", spec, np("deny", deny+", egress: [{ports: [{port: 53}]}]"), nil},
		{"everything from somewhere", spec, np("deny", deny+", ingress: [{from: [{podSelector: {}}]}]"), nil},
		{"a policy of another namespace", spec, strings.ReplaceAll(np("deny", deny), "namespace: web", "namespace: kube-system"), open("egress, ingress", "")},
		{"out of scope", "{network: {defaultDeny: true}, namespaceScope: {includeNamespaces: [api]}}", "", nil},
		{"a policy that must be", "{network: {requiredPolicies: [{name: dns}]}}", np("dns", deny), nil},
		{"a policy that must be and is not", "{network: {requiredPolicies: [{name: dns, description: pods ask it}]}}", np("deny", deny), []string{
			"high ClusterSpec.kspec.io prod: there is no NetworkPolicy dns (pods ask it)",
		}},
	} {
		tt.run(t, kspec.CheckNetwork, namespaces("kube-system", "web"))
	}
}

func TestANamespaceThatIsGoingNeedsNothing(t *testing.T) {
	m := cluster(t, "{apiVersion: v1, kind: Namespace, metadata: {name: web, deletionTimestamp: '2026-11-22T11:00:00Z'}}")
	if got := lines(look(t, m, "{network: {defaultDeny: true}, podSecurity: {enforce: baseline}}")); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestServices(t *testing.T) {
	service := func(ns, name, spec string) string {
		return fmt.Sprintf("---\n{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: %s}, spec: {%s}}\n", name, ns, spec)
	}
	for _, tt := range []expectation{
		{"a type that is allowed", "{network: {allowedServiceTypes: [ClusterIP]}}", service("web", "a", "type: ClusterIP"), nil},
		{"a type that is not", "{network: {allowedServiceTypes: [ClusterIP, ExternalName]}}", service("web", "a", "type: NodePort"), []string{
			"high Service web/a: is of type NodePort, want ClusterIP, ExternalName",
		}},
		{"a port", "{network: {disallowedPorts: [23, 80]}}", service("web", "a", "type: ClusterIP, ports: [{port: 80}, {port: 443}]"), []string{
			"high Service web/a: opens port 80, which network.disallowedPorts names",
		}},
		{"a port of the nodes", "{network: {disallowedPorts: [30080, 23]}}", service("web", "a", "type: NodePort, ports: [{port: 23, nodePort: 30080}]"), []string{
			"high Service web/a: opens ports 23, 30080, which network.disallowedPorts names",
		}},
		{"a port of the nodes, for health checks", "{network: {disallowedPorts: [30080]}}", service("web", "a", "type: LoadBalancer, healthCheckNodePort: 30080"), []string{
			"high Service web/a: opens port 30080, which network.disallowedPorts names",
		}},
		{"a name for something outside", "{network: {allowedServiceTypes: [ClusterIP]}}", service("web", "a", "type: ExternalName, externalName: evil.com"), []string{
			"high Service web/a: is of type ExternalName, want ClusterIP",
		}},
		{"a port of the target is its own", "{network: {disallowedPorts: [8080]}}", service("web", "a", "type: ClusterIP, ports: [{port: 80, targetPort: 8080}]"), nil},
		{"the API server", "{network: {disallowedPorts: [443]}}", service("default", "kubernetes", "type: ClusterIP, ports: [{port: 443}]"), nil},
		{"the system", "{network: {disallowedPorts: [53]}}", service("kube-system", "kube-dns", "type: ClusterIP, ports: [{port: 53}]"), nil},
		{"out of scope", "{network: {disallowedPorts: [80]}, namespaceScope: {includeNamespaces: [api]}}", service("web", "a", "type: ClusterIP, ports: [{port: 80}]"), nil},
		{
			"a port of the host", "{network: {disallowedPorts: [80]}}",
			"{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: web}, spec: {containers: [{name: c, image: a, ports: [{containerPort: 8080, hostPort: 80}]}]}}",
			[]string{"high Pod web/p: opens port 80 of the host, which network.disallowedPorts names: container c"},
		},
		{
			"a port of the container", "{network: {disallowedPorts: [80]}}",
			"{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: web}, spec: {containers: [{name: c, image: a, ports: [{containerPort: 80}]}]}}", nil,
		},
	} {
		tt.run(t, kspec.CheckServices, namespaces("web", "kube-system", "default"))
	}
}
