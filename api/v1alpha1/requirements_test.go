package v1alpha1_test

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
)

func TestRequirementsThatCannotBe(t *testing.T) {
	const container = "{workloads: {containers: {required: [%]}}}"
	tests := []struct{ name, spec, path, want string }{
		{"a version without a minor", "{kubernetes: {minVersion: '1'}}", "spec.kubernetes.minVersion", "no version of Kubernetes"},
		{"a word for a version", "{kubernetes: {maxVersion: latest}}", "spec.kubernetes.maxVersion", "no version of Kubernetes"},
		{"bounds that cross", "{kubernetes: {minVersion: '1.31', maxVersion: '1.30'}}", "spec.kubernetes.maxVersion", "less than minVersion"},
		{"an excluded version that is none", "{kubernetes: {excludedVersions: ['1.30', '1.x']}}", "spec.kubernetes.excludedVersions[1]", "no version of Kubernetes"},
		{"an empty excluded version", "{kubernetes: {excludedVersions: ['']}}", "spec.kubernetes.excludedVersions[0]", "empty"},
		{"an unknown level", "{podSecurity: {enforce: strict}}", "spec.podSecurity.enforce", "restricted"},
		{"an unknown level of an exemption", "{podSecurity: {exemptions: [{namespace: a, level: none, reason: r}]}}", "spec.podSecurity.exemptions[0].level", "not one of"},
		{"an exemption without a reason", "{podSecurity: {exemptions: [{namespace: a, level: baseline}]}}", "spec.podSecurity.exemptions[0].reason", "required"},
		{"a namespace exempt twice", "{podSecurity: {exemptions: [{namespace: a, level: baseline, reason: r}, {namespace: a, level: privileged, reason: r}]}}", "spec.podSecurity.exemptions[1].namespace", "twice"},
		{"no namespace", "{podSecurity: {exemptions: [{namespace: 'a*', level: baseline, reason: r}]}}", "spec.podSecurity.exemptions[0].namespace", "not a namespace"},
		{"no version of Pod Security", "{podSecurity: {version: '1.30'}}", "spec.podSecurity.version", "does not match"},
		{"an unknown type of Service", "{network: {allowedServiceTypes: [ClusterIp]}}", "spec.network.allowedServiceTypes[0]", "ClusterIP"},
		{"port 0", "{network: {disallowedPorts: [80, 0]}}", "spec.network.disallowedPorts[1]", "no port"},
		{"a port that is too high", "{network: {disallowedPorts: [65536]}}", "spec.network.disallowedPorts[0]", "no port"},
		{"an unknown field", strings.Replace(container, "%", "{key: securityContext.runAsNonroot}", 1), "spec.workloads.containers.required[0].key", `did you mean "securityContext.runAsNonRoot"`},
		{"an unknown resource", strings.Replace(container, "%", "{key: resources.limits.memry}", 1), "spec.workloads.containers.required[0].key", "no resource"},
		{"an item of a list", strings.Replace(container, "%", "{key: env.name}", 1), "spec.workloads.containers.required[0].key", "is a list"},
		{"below a value", strings.Replace(container, "%", "{key: hostNetwork.yes}", 1), "spec.workloads.containers.required[0].key", "has no fields"},
		{"a boolean that is none", strings.Replace(container, "%", "{key: hostNetwork, value: 'yes'}", 1), "spec.workloads.containers.required[0].value", "want true or false"},
		{"a quantity that is none", strings.Replace(container, "%", "{key: resources.limits.memory, value: much}", 1), "spec.workloads.containers.required[0].value", "never"},
		{"a number that is none", strings.Replace(container, "%", "{key: securityContext.runAsUser, value: root}", 1), "spec.workloads.containers.required[0].value", "never"},
		{"a value of a struct", strings.Replace(container, "%", "{key: securityContext, value: strict}", 1), "spec.workloads.containers.required[0].value", "no single value"},
		{"a value of what must not exist", strings.Replace(container, "%", "{key: hostNetwork, value: 'true', exists: false}", 1), "spec.workloads.containers.required[0].value", "of no use"},
		{"a registry with a scheme", "{workloads: {images: {allowedRegistries: ['https://ghcr.io']}}}", "spec.workloads.images.allowedRegistries[0]", "scheme"},
		{"a registry with a tag", "{workloads: {images: {blockedRegistries: ['ghcr.io/acme/web:1.0']}}}", "spec.workloads.images.blockedRegistries[0]", "no registry"},
		{"a registry that ends in a slash", "{workloads: {images: {blockedRegistries: [ghcr.io/]}}}", "spec.workloads.images.blockedRegistries[0]", "no registry"},
		{"a registry with **", "{workloads: {images: {blockedRegistries: ['ghcr.io/**']}}}", "spec.workloads.images.blockedRegistries[0]", "leave the ** out"},
		{"a rule without verbs", "{rbac: {minimumRules: [{apiGroup: '', resource: pods, verbs: []}]}}", "spec.rbac.minimumRules[0].verbs", ""},
		{"an empty verb", "{rbac: {forbiddenRules: [{apiGroup: '', resource: pods, verbs: ['']}]}}", "spec.rbac.forbiddenRules[0].verbs[0]", "empty"},
		{"resources in one text", "{rbac: {forbiddenRules: [{apiGroup: '', resource: 'pods secrets', verbs: [get]}]}}", "spec.rbac.forbiddenRules[0].resource", "no resource"},
		{"a regular expression that is none", "{admission: {required: [{type: MutatingWebhookConfiguration, namePattern: 'a(', minCount: 1}]}}", "spec.admission.required[0].namePattern", "missing closing )"},
		{"an unknown type of admission", "{admission: {required: [{type: kyverno, namePattern: a, minCount: 1}]}}", "spec.admission.required[0].type", "not one of"},
		{"a negative count", "{admission: {policies: {minCount: -1}}}", "spec.admission.policies.minCount", "less than 0"},
		{"an empty provider", "{observability: {metrics: {required: true, providers: [' ']}}}", "spec.observability.metrics.providers[0]", "empty"},
		{"an unknown check", "{compliance: {frameworks: [{name: CIS, controls: [{id: '1', title: t, mappings: [{check: rbac.rule}]}]}]}}", "spec.compliance.frameworks[0].controls[0].mappings[0].check", `did you mean "rbac.rules"`},
		{"a control twice", "{compliance: {frameworks: [{name: CIS, controls: [{id: '1', title: t}, {id: '1', title: u}]}]}}", "spec.compliance.frameworks[0].controls[1].id", "twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, errs := v1alpha1.Decode("f.yaml", []byte(doc("ClusterSpec", "x", tt.spec)))
			if len(errs) != 1 {
				t.Fatalf("got %v, want one error", errs)
			}
			if text := errs[0].Error(); !strings.Contains(text, tt.path) || !strings.Contains(text, tt.want) {
				t.Errorf("got %q, want one about %s: %s", text, tt.path, tt.want)
			}
		})
	}
}

func TestRequirementsThatCanBe(t *testing.T) {
	for _, spec := range []string{
		"{kubernetes: {minVersion: v1.30.1-gke.100, maxVersion: '1.30'}}",
		"{workloads: {containers: {required: [{key: securityContext.capabilities.drop, value: ALL}, {key: resources.limits.nvidia.com/gpu}, {key: nodeSelector.disk}]}}}",
		"{workloads: {containers: {forbidden: [{key: hostPID}, {key: livenessProbe.httpGet.port, exists: true}, {key: securityContext.runAsUser, value: '0'}]}}}",
		"{workloads: {images: {allowedRegistries: ['localhost:5000/a', acme, '*', '*.example.com/team-*/x_y']}}}",
	} {
		if _, errs := v1alpha1.Decode("f.yaml", []byte(doc("ClusterSpec", "x", spec))); len(errs) > 0 {
			t.Errorf("%s is refused: %v", spec, errs)
		}
	}
}

// What a ClusterTarget says of its cluster holds for the specs that name it.
func TestAClusterTargetGoverns(t *testing.T) {
	const login = "authMode: token, tokenSecretRef: {name: t}, apiServerURL: 'https://a.example.com'"
	tests := []struct {
		name, target, spec string
		interval           time.Duration
		mode               kspec.Enforcement
		notes              int
	}{
		{"nothing is said", "{" + login + "}", "clusterRef: {name: c}", 5 * time.Minute, kspec.Monitor, 0},
		{"an interval of the cluster", "{" + login + ", scanInterval: 15m}", "clusterRef: {name: c}", 15 * time.Minute, kspec.Monitor, 0},
		{"an interval of the spec", "{" + login + ", scanInterval: 15m}", "clusterRef: {name: c}, interval: 1m", time.Minute, kspec.Monitor, 0},
		{"a spec of another cluster", "{" + login + ", scanInterval: 15m}", "enforcement: {enabled: true, mode: enforce}", 5 * time.Minute, kspec.Enforce, 0},
		{"enforcement that is not allowed", "{" + login + "}", "clusterRef: {name: c}, enforcement: {enabled: true, mode: enforce}", 5 * time.Minute, kspec.Audit, 1},
		{"enforcement that is allowed", "{" + login + ", allowEnforcement: true}", "clusterRef: {name: c}, enforcement: {enabled: true, mode: enforce}", 5 * time.Minute, kspec.Enforce, 0},
		{"an audit needs no leave", "{" + login + "}", "clusterRef: {name: c}, enforcement: {enabled: true, mode: audit}", 5 * time.Minute, kspec.Audit, 0},
		{"what is off stays off", "{" + login + "}", "clusterRef: {name: c}, enforcement: {mode: enforce}", 5 * time.Minute, kspec.Monitor, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, errs := v1alpha1.Load(fstest.MapFS{
				"c.yaml": {Data: []byte(doc("ClusterTarget", "c", tt.target))},
				"s.yaml": {Data: []byte(doc("ClusterSpec", "s", "{"+tt.spec+"}"))},
			})
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			targets, errs := set.Resolve(kspec.Revision{})
			if len(errs) > 0 || len(targets) != 1 {
				t.Fatal(targets, errs)
			}
			if got := targets[0]; got.Interval != tt.interval || got.Enforcement != tt.mode || len(got.Notes) != tt.notes {
				t.Errorf("got interval %s, mode %s, notes %q", got.Interval, got.Enforcement, got.Notes)
			}
		})
	}
}

func TestAClusterIsNotScannedWithoutPause(t *testing.T) {
	const spec = "{authMode: token, tokenSecretRef: {name: t}, apiServerURL: 'https://a.example.com', scanInterval: 1s}"
	_, errs := v1alpha1.Decode("f.yaml", []byte(doc("ClusterTarget", "x", spec)))
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "spec.scanInterval: 1s is less than 10s") {
		t.Errorf("got %v", errs)
	}
}
