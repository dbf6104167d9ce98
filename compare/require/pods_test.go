package require_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
)

func pod(spec string) string {
	return "---\n{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: web}, spec: {" + spec + "}}\n"
}

func TestContainers(t *testing.T) {
	required := func(demand string) string {
		return "{workloads: {containers: {required: [" + demand + "]}}}"
	}
	forbidden := func(demand string) string {
		return "{workloads: {containers: {forbidden: [" + demand + "]}}}"
	}
	const nonRoot = "{key: securityContext.runAsNonRoot, value: 'true'}"
	const escalate = "securityContext.allowPrivilegeEscalation"
	for _, tt := range []expectation{
		{"a container as asked", required(nonRoot), pod("containers: [{name: c, image: a, securityContext: {runAsNonRoot: true}}]"), nil},
		{"the pod's value", required(nonRoot), pod("securityContext: {runAsNonRoot: true}, containers: [{name: c, image: a}]"), nil},
		{"the container's goes before", required(nonRoot), pod("securityContext: {runAsNonRoot: true}, containers: [{name: c, image: a, securityContext: {runAsNonRoot: false}}]"), []string{
			"high Pod web/p: securityContext.runAsNonRoot must be true: container c",
		}},
		{"and the other way round", required(nonRoot), pod("securityContext: {runAsNonRoot: false}, containers: [{name: c, image: a, securityContext: {runAsNonRoot: true}}]"), nil},
		{"neither", required(nonRoot), pod("containers: [{name: c, image: a}]"), []string{
			"high Pod web/p: securityContext.runAsNonRoot must be true: container c",
		}},
		{"init and ephemeral containers", required(nonRoot), pod("initContainers: [{name: i, image: a}], containers: [{name: c, image: a, securityContext: {runAsNonRoot: true}}], ephemeralContainers: [{name: e, image: a}]"), []string{
			"high Pod web/p: securityContext.runAsNonRoot must be true: ephemeral container e, init container i",
		}},
		{"there, and not false", required("{key: securityContext.runAsNonRoot}"), pod("containers: [{name: c, image: a, securityContext: {runAsNonRoot: false}}]"), []string{
			"high Pod web/p: securityContext.runAsNonRoot must be set: container c",
		}},
		{"there, even if false", required("{key: securityContext.runAsNonRoot, exists: true}"), pod("containers: [{name: c, image: a, securityContext: {runAsNonRoot: false}}]"), nil},
		{"there, but it is not", required("{key: resources.limits.memory, exists: true}"), pod("containers: [{name: c, image: a, resources: {limits: {cpu: 1}}}]"), []string{
			"medium Pod web/p: resources.limits.memory must be there: container c",
		}},
		{"what must not be there", required("{key: securityContext.runAsUser, exists: false}"), pod("containers: [{name: c, image: a, securityContext: {runAsUser: 0}}]"), []string{
			"high Pod web/p: securityContext.runAsUser must not be there: container c",
		}},
		{"an ephemeral container cannot have resources", required("{key: resources.limits.memory}"), pod("containers: [{name: c, image: a, resources: {limits: {memory: 1Gi}}}], ephemeralContainers: [{name: e, image: a}]"), nil},
		{"an init container cannot have probes", required("{key: livenessProbe}"), pod("initContainers: [{name: i, image: a}], containers: [{name: c, image: a, livenessProbe: {httpGet: {port: 80}}}]"), nil},
		{"a sidecar can", required("{key: livenessProbe}"), pod("initContainers: [{name: i, image: a, restartPolicy: Always}], containers: [{name: c, image: a, livenessProbe: {httpGet: {port: 80}}}]"), []string{
			"medium Pod web/p: livenessProbe must be set: init container i",
		}},
		{"quantities are amounts", required("{key: resources.limits.memory, value: 1Gi}"), pod("containers: [{name: c, image: a, resources: {limits: {memory: 1024Mi}}}]"), nil},
		{"the pod's resources", required("{key: resources.limits.memory}"), pod("resources: {limits: {memory: 1Gi}}, containers: [{name: c, image: a}]"), nil},
		{"an item of a list", required("{key: securityContext.capabilities.drop, value: ALL}"), pod("containers: [{name: c, image: a, securityContext: {capabilities: {drop: [NET_RAW, ALL]}}}]"), nil},
		{"no item of a list", required("{key: securityContext.capabilities.drop, value: ALL}"), pod("containers: [{name: c, image: a, securityContext: {capabilities: {drop: [NET_RAW]}}}]"), []string{
			"high Pod web/p: securityContext.capabilities.drop must be ALL: container c",
		}},
		{"a field of the pod alone", forbidden("{key: hostNetwork}, {key: hostPID, value: 'true'}"), pod("hostNetwork: true, hostPID: true, containers: [{name: c, image: a}]"), []string{
			"high Pod web/p: hostNetwork must not be set",
			"high Pod web/p: hostPID must not be true",
		}},
		{"a field that is false", forbidden("{key: hostNetwork}, {key: securityContext.privileged}"), pod("hostNetwork: false, containers: [{name: c, image: a, securityContext: {privileged: false}}]"), nil},
		{"a value that is forbidden", forbidden("{key: securityContext.runAsUser, value: '0'}"), pod("securityContext: {runAsUser: 0}, containers: [{name: c, image: a}, {name: d, image: a, securityContext: {runAsUser: 1}}]"), []string{
			"high Pod web/p: securityContext.runAsUser must not be 0: container c",
		}},
		{"to be there is forbidden", forbidden("{key: lifecycle.preStop, exists: true}"), pod("containers: [{name: c, image: a, lifecycle: {preStop: {sleep: {seconds: 1}}}}]"), []string{
			"high Pod web/p: lifecycle.preStop must not be there: container c",
		}},
		{"not to be there is forbidden", forbidden("{key: imagePullPolicy, exists: false}"), pod("containers: [{name: c, image: a}]"), []string{
			"high Pod web/p: imagePullPolicy must be there: container c",
		}},
		{"what is not said is done", forbidden("{key: " + escalate + ", value: 'true'}"), pod("containers: [{name: c, image: a}]"), []string{
			"high Pod web/p: " + escalate + " must not be true: container c",
		}},
		{"what is not said is not what is asked", required("{key: " + escalate + ", value: 'false'}"), pod("containers: [{name: c, image: a}]"), []string{
			"high Pod web/p: " + escalate + " must be false: container c",
		}},
		{"what is false when nobody says so", required("{key: hostNetwork, value: 'false'}, {key: securityContext.privileged, value: 'false'}"), pod("containers: [{name: c, image: a}]"), nil},
		{"and must not be", forbidden("{key: securityContext.readOnlyRootFilesystem, value: 'false'}"), pod("containers: [{name: c, image: a}]"), []string{
			"high Pod web/p: securityContext.readOnlyRootFilesystem must not be false: container c",
		}},
		{"but it must be written", required("{key: securityContext.privileged, value: 'false', exists: true}"), pod("containers: [{name: c, image: a}]"), []string{
			"high Pod web/p: securityContext.privileged must be false: container c",
		}},
		{"a user that nobody knows", forbidden("{key: securityContext.runAsUser, value: '0'}"), pod("containers: [{name: c, image: a}]"), nil},
		{"all capabilities", required("{key: securityContext.capabilities.drop, value: NET_RAW}"), pod("containers: [{name: c, image: a, securityContext: {capabilities: {drop: [ALL]}}}]"), nil},
		{"all capabilities hold the one", forbidden("{key: securityContext.capabilities.add, value: SYS_ADMIN}"), pod("containers: [{name: c, image: a, securityContext: {capabilities: {add: [all]}}}]"), []string{
			"high Pod web/p: securityContext.capabilities.add must not be SYS_ADMIN: container c",
		}},
		{"a token that the account does not want", forbidden("{key: automountServiceAccountToken, value: 'true'}"), pod("containers: [{name: c, image: a}]"), nil},
		{"a token that the API server gave", forbidden("{key: automountServiceAccountToken, value: 'true'}"), pod("containers: [{name: c, image: a, volumeMounts: [{name: t, mountPath: /var/run/secrets/kubernetes.io/serviceaccount}]}]"), []string{
			"high Pod web/p: automountServiceAccountToken must not be true",
		}},
		{"a Windows pod has no capabilities", required("{key: securityContext.capabilities.drop, value: ALL}, {key: " + escalate + ", value: 'false'}"), pod("os: {name: windows}, containers: [{name: c, image: a}]"), nil},
		{"nor what follows from them", forbidden("{key: " + escalate + ", value: 'true'}"), pod("os: {name: windows}, containers: [{name: c, image: a}]"), nil},
		{"a Windows pod has users", required(nonRoot), pod("os: {name: windows}, containers: [{name: c, image: a}]"), []string{
			"high Pod web/p: securityContext.runAsNonRoot must be true: container c",
		}},
		{"a pod that has failed", required(nonRoot), strings.Replace(pod("containers: [{name: c, image: a}]"), "spec:", "status: {phase: Failed}, spec:", 1), nil},
		{"a pod that has ended", required(nonRoot), strings.Replace(pod("containers: [{name: c, image: a}]"), "spec:", "status: {phase: Succeeded}, spec:", 1), nil},
		{"the system", required(nonRoot), strings.Replace(pod("containers: [{name: c, image: a}]"), "namespace: web", "namespace: kube-system", 1), nil},
		{"another namespace", "{workloads: {containers: {required: [" + nonRoot + "]}}, namespaceScope: {excludeNamespaces: [web]}}", pod("containers: [{name: c, image: a}]"), nil},
	} {
		tt.run(t, kspec.CheckContainers, namespaces("web", "kube-system"))
	}
}

func TestReplicasAreOneFinding(t *testing.T) {
	var objects []string
	for i := range 3 {
		objects = append(objects, fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: web-%d, namespace: web, labels: {team: a}, "+
			"ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: u, controller: true}]}, spec: {containers: [{name: c, image: a}]}}", i))
	}
	rep := look(t, cluster(t, append(objects, namespaces("web"))...), "{workloads: {containers: {forbidden: [{key: securityContext.allowPrivilegeEscalation, value: 'true'}], required: [{key: resources.limits.cpu}]}}}")
	want := []string{
		"medium StatefulSet web/web: resources.limits.cpu must be set: container c",
		"high StatefulSet web/web: securityContext.allowPrivilegeEscalation must not be true: container c",
	}
	if diff := cmp.Diff(want, lines(rep)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if rep.Checks[0].Looked != 1 || rep.Findings[0].Labels["team"] != "a" {
		t.Errorf("looked at %d workloads; labels %v", rep.Checks[0].Looked, rep.Findings[0].Labels)
	}
}

// Programs find in the evidence what is asked, where it is wrong, and what is
// there instead.
func TestEvidenceOfFields(t *testing.T) {
	m := cluster(t, namespaces("web"), pod("hostNetwork: true, containers: [{name: a, image: a, securityContext: {runAsUser: 0}}, {name: b, image: a}]"))
	rep := look(t, m, `{workloads: {containers: {forbidden: [{key: hostNetwork}], required: [{key: securityContext.runAsUser, value: '7'}]}}}`)
	var got []map[string]any
	for _, f := range rep.Findings {
		got = append(got, f.Evidence)
	}
	want := []map[string]any{
		{"key": "hostNetwork", "found": true},
		{"key": "securityContext.runAsUser", "places": []string{"container a", "container b"}, "found": map[string]any{"container a": int64(0), "container b": nil}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is waived of one replica is not waived of the others.
func TestLabelsOfAWorkloadAreThoseOfAllItsPods(t *testing.T) {
	var objects []string
	for i := range 3 {
		objects = append(objects, fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: web-%d, namespace: web, labels: {team: a, index: '%d'}, "+
			"ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: u, controller: true}]}, spec: {hostNetwork: true, containers: [{name: c, image: a}]}}", i, i))
	}
	m := cluster(t, append(objects, namespaces("web"))...)
	for selector, want := range map[string]kspec.CheckStatus{"team: a": kspec.CheckPass, "index: '0'": kspec.CheckFail} {
		rep := look(t, m, `{workloads: {containers: {forbidden: [{key: hostNetwork}]}}, policyExemptions: [{name: old, reason: r, approver: a,
			expiresAt: 2030-01-01T00:00:00Z, resources: [{labelSelector: {matchLabels: {`+selector+`}}}]}]}`)
		if got := statusOf(t, rep, kspec.CheckContainers); got != want {
			t.Errorf("with an exemption of %s the check is %s: %v", selector, got, lines(rep))
		}
	}
}

// What people write into pods freely may be a secret.
func TestEvidenceHoldsNoSecret(t *testing.T) {
	const secret = "CANARY-s3cr3t"
	m := cluster(t, namespaces("web"), pod("nodeSelector: {disk: "+secret+"}, containers: [{name: c, image: a, command: [run, --password="+secret+"], args: ["+secret+
		"], workingDir: /"+secret+", env: [{name: P, value: "+secret+"}], livenessProbe: {exec: {command: ["+secret+"]}}}]"))
	rep := look(t, m, `{workloads: {containers: {forbidden: [
		{key: command}, {key: args}, {key: env}, {key: workingDir}, {key: nodeSelector.disk}, {key: livenessProbe.exec.command}, {key: livenessProbe}, {key: nodeSelector}]}}}`)
	if len(rep.Findings) != 8 {
		t.Fatalf("got %v", lines(rep))
	}
	data, err := json.Marshal(rep)
	if err != nil || strings.Contains(string(data), secret) {
		t.Errorf("the report holds the secret: %s", data)
	}
}

func TestImages(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	rules := func(rules string) string { return "{workloads: {images: {" + rules + "}}}" }
	image := func(ref string) string { return pod("containers: [{name: c, image: '" + ref + "'}]") }
	bad := func(what, ref string) []string { return []string{what + ": " + ref} }
	const (
		other   = "high Pod web/p: runs images from registries that are not among those allowed"
		blocked = "high Pod web/p: runs images from registries that are blocked"
		tagged  = "medium Pod web/p: runs images that are not named by digest"
	)
	for _, tt := range []expectation{
		{"a registry", rules("allowedRegistries: [ghcr.io]"), image("ghcr.io/acme/web:1"), nil},
		{"a path in it", rules("allowedRegistries: [ghcr.io/acme]"), image("ghcr.io/acme/web/x:1"), nil},
		{"whole elements", rules("allowedRegistries: [ghcr.io/acme]"), image("ghcr.io/acme-evil/web"), bad(other, "ghcr.io/acme-evil/web")},
		{"whole hosts", rules("allowedRegistries: [ghcr.io]"), image("ghcr.io.evil.com/web"), bad(other, "ghcr.io.evil.com/web")},
		{"not within a path", rules("allowedRegistries: [ghcr.io]"), image("evil.com/ghcr.io/web"), bad(other, "evil.com/ghcr.io/web")},
		{"Docker Hub is meant", rules("allowedRegistries: [docker.io]"), image("nginx"), nil},
		{"by its other name", rules("allowedRegistries: [docker.io/acme]"), image("index.docker.io/acme/web"), nil},
		{"official images", rules("allowedRegistries: [docker.io/library]"), image("nginx:1"), nil},
		{"an organisation of Docker Hub", rules("allowedRegistries: [acme]"), image("acme/web:1"), nil},
		{"another organisation", rules("allowedRegistries: [acme]"), image("evil/acme:1"), bad(other, "evil/acme:1")},
		{"a port", rules("allowedRegistries: ['localhost:5000']"), image("localhost:5000/web:1"), nil},
		{"another port", rules("allowedRegistries: ['localhost:5000']"), image("localhost:5001/web:1"), bad(other, "localhost:5001/web:1")},
		{"no port is no wildcard", rules("allowedRegistries: [ghcr.io]"), image("ghcr.io:444/web"), bad(other, "ghcr.io:444/web")},
		{"hosts have no case", rules("allowedRegistries: [GHCR.io]"), image("ghcr.IO/acme/web"), nil},
		{"a wildcard", rules("allowedRegistries: ['*.example.com']"), image("eu.example.com/web"), nil},
		{"a wildcard stays in its element", rules("allowedRegistries: ['ghcr.io/*/web']"), image("ghcr.io/a/b/web"), bad(other, "ghcr.io/a/b/web")},
		{"everything", rules("allowedRegistries: ['*']"), image("evil.com/web"), nil},
		{"blocked", rules("blockedRegistries: [docker.io]"), image("nginx"), bad(blocked, "nginx")},
		{"blocked goes first", rules("allowedRegistries: [ghcr.io], blockedRegistries: [ghcr.io/evil]"), image("ghcr.io/evil/web"), bad(blocked, "ghcr.io/evil/web")},
		{"not blocked", rules("blockedRegistries: [docker.io]"), image("ghcr.io/docker.io/web"), nil},
		{"a host that begins like another", rules("allowedRegistries: [registry.example.com]"), image("registry.example.com.evil.com/web"), bad(other, "registry.example.com.evil.com/web")},
		{"localhost is a host", rules("allowedRegistries: [docker.io]"), image("localhost/web"), bad(other, "localhost/web")},
		{"a name with a dot is on Docker Hub", rules("blockedRegistries: [docker.io]"), image("evil.io:1"), bad(blocked, "evil.io:1")},
		{"and is no host", rules("allowedRegistries: [ghcr.io]"), image("ghcr.io"), bad(other, "ghcr.io")},
		{"a host without a dot has a capital", rules("allowedRegistries: [docker.io]"), image("Evil/web"), bad(other, "Evil/web")},
		{"the usual port is no other registry", rules("blockedRegistries: [quay.io]"), image("quay.io:443/web"), bad(blocked, "quay.io:443/web")},
		{"Docker Hub by its oldest name", rules("blockedRegistries: [docker.io]"), image("registry.hub.docker.com/library/nginx"), bad(blocked, "registry.hub.docker.com/library/nginx")},
		{"a tag after a port", rules("allowedRegistries: ['localhost:5000/acme']"), image("localhost:5000/acme/web:1@" + digest), nil},
		{"from elsewhere and by tag", rules("allowedRegistries: [ghcr.io], requireDigests: true"), image("quay.io/web:1"), []string{
			other + ": quay.io/web:1", tagged + ": quay.io/web:1",
		}},
		{"by digest", rules("requireDigests: true"), image("web:1@" + digest), nil},
		{"by tag", rules("requireDigests: true"), image("web:1"), bad(tagged, "web:1")},
		{"by a digest that is cut", rules("requireDigests: true"), image("web@sha256:0123"), bad(tagged, "web@sha256:0123")},
		{"a tag that looks like one", rules("requireDigests: true"), image("web:sha256"), bad(tagged, "web:sha256")},
		{"all sorts of containers, and volumes", rules("requireDigests: true"), pod("initContainers: [{name: i, image: b}], containers: [{name: c, image: c}], ephemeralContainers: [{name: e, image: a}], volumes: [{name: v, image: {reference: d}}]"), []string{
			tagged + ": a, b, c, d",
		}},
		{"a system namespace", rules("requireDigests: true"), strings.ReplaceAll(image("web:1"), "namespace: web", "namespace: kube-system"), nil},
	} {
		tt.run(t, kspec.CheckImages, namespaces("web", "kube-system"))
	}
}
