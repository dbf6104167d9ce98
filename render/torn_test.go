package render_test

import (
	"strings"
	"testing"
)

// Each case is an overlay that chunks got wrong, or could.
func TestWhatChunksMustNotTear(t *testing.T) {
	const (
		web      = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n"
		other    = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"
		account  = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: sa, namespace: old}\n"
		unbound  = "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: rb, namespace: old}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}\n"
		pod      = "apiVersion: v1\nkind: Pod\nmetadata: {name: pod}\nspec: {containers: [{name: a, image: web, envFrom: [{configMapRef: {name: web}}]}]}\n"
		hook     = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: hook}\nwebhooks: [{name: a.example.com}]\n"
		service  = "apiVersion: v1\nkind: Service\nmetadata: {name: svc, namespace: old}\n"
		separate = "---\n"
	)
	all := func(docs ...string) string { return strings.Join(docs, separate) }
	for name, c := range map[string]struct {
		kustomization, ops, objects string
		more                        map[string]string
		whole                       string // the reason why, "" when there are chunks
	}{
		"the last line of a text": {objects: all(
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  text: |\n    one\n",
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata:\n  text: |+\n    one\n\n",
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  text: |-\n    one\n",
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: d}\ndata:\n  text: |\n    no end",
		)},
		"a reference that a patch adds": {
			kustomization: "namespace: new\npatches: [{patch: '{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: rb, namespace: old}, subjects: [{kind: ServiceAccount, name: sa, namespace: old}]}'}]",
			objects:       all(web, account, other, unbound),
		},
		"a reference that a patch adds to any": {
			kustomization: "namespace: new\npatches: [{target: {kind: RoleBinding}, patch: '{apiVersion: v1, kind: RoleBinding, metadata: {name: x}, subjects: [{kind: ServiceAccount, name: sa, namespace: old}]}'}]",
			objects:       all(web, account, other, unbound), whole: "a patch that refers",
		},
		"a reference that an operation adds": {
			kustomization: "namespace: new\npatches: [{target: {kind: RoleBinding}, path: ops.yaml}]",
			ops:           "- {op: add, path: /subjects, value: [{kind: ServiceAccount, name: sa, namespace: old}]}\n",
			objects:       all(web, account, other, unbound), whole: "a patch that refers",
		},
		"a name that an operation adds": {
			kustomization: "namespace: new\npatches: [{target: {kind: RoleBinding}, path: ops.yaml}]",
			ops:           "- {op: add, path: /subjects, value: [{kind: ServiceAccount, namespace: old}]}\n- {op: add, path: /subjects/0/name, value: sa}\n",
			objects:       all(web, account, other, unbound), whole: "a patch that refers",
		},
		"a name that an operation copies": {
			kustomization: "namespace: new\npatches: [{target: {kind: RoleBinding}, path: ops.yaml}]",
			ops:           "- {op: add, path: /subjects, value: [{kind: ServiceAccount, namespace: old}]}\n- {op: copy, from: /metadata/labels/sa, path: /subjects/0/name}\n",
			objects:       all(web, account, other, strings.Replace(unbound, "namespace: old}", "namespace: old, labels: {sa: sa}}", 1)), whole: "a patch that copies",
		},
		"a reference within what an operation adds": {
			kustomization: "namespace: new\npatches: [{target: {kind: ValidatingWebhookConfiguration}, path: ops.yaml}]",
			ops:           "- {op: add, path: /webhooks/0/clientConfig, value: {service: {name: svc, namespace: old}}}\n",
			objects:       all(web, hook, other, service), whole: "a patch that refers",
		},
		"a name by an alias": {
			kustomization: "namespace: new",
			objects:       all(web, account, other, unbound+"subjects: [{kind: &sa ServiceAccount, name: sa, namespace: old}]\n", strings.Replace(unbound, "name: rb", "name: rb2, labels: {a: &n sa}", 1)+"subjects: [{kind: ServiceAccount, name: *n, namespace: old}]\n"),
		},
		"a name by a merge": {
			kustomization: "namespace: new",
			objects:       all(web, account, other, strings.Replace(unbound, "roleRef", "x: &m {name: sa, kind: ServiceAccount}\nroleRef", 1)+"subjects: [{<<: *m, namespace: old}]\n"),
		},
		"an operation with a merged path": {
			kustomization: "patches: [{target: {kind: ConfigMap}, path: ops.yaml}]",
			ops:           "- {op: add, path: /data, value: &m {path: /metadata/name}}\n- {op: replace, value: same, <<: *m}\n",
			objects:       all(web, other, pod), whole: "a patch of",
		},
		"an operation by which Kustomize steers itself": {
			kustomization: "patches: [{target: {kind: ConfigMap}, path: ops.yaml}]",
			ops:           "- {op: add, path: /metadata/annotations, value: {}}\n- {op: add, path: /metadata/annotations/internal.config.kubernetes.io~1needsHashSuffix, value: enabled}\n",
			objects:       all(web, other, pod), whole: "a patch with annotations",
		},
		"an escape by which Kustomize steers itself": {
			objects: all(strings.Replace(web, "{name: web}", `{name: web, annotations: {"internal.config.kubernetes\x2eio/needsHashSuffix": enabled}}`, 1), other, pod), whole: "annotations of Kustomize",
		},
		"a base of nothing": {
			kustomization: "- base", objects: all(web, other, pod),
			more: map[string]string{"a/base/kustomization.yaml": "resources: []\npatches: [{target: {name: '('}, patch: '[{op: remove, path: /data}]'}]\n"}, whole: "a kustomization of nothing",
		},
		"a separator with a tag":       {objects: web + "--- !!map\n" + other + separate + pod, whole: "depend"},
		"a separator with a comment":   {objects: web + "--- # more\n" + other + "---\t\n" + pod},
		"a list named like its object": {objects: all("apiVersion: v1\nkind: ConfigMapList\nmetadata: {name: web}\nitems: []\n", "apiVersion: v1\nkind: ConfigMapList\nmetadata: {name: other}\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: web}}\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: other}}\n", pod), whole: "depend"},
		"merged metadata": {
			kustomization: "namespace: new",
			objects:       all(web, other, "apiVersion: v1\nkind: Namespace\nx: &m {name: old}\nmetadata: {<<: *m}\n"), whole: "renames",
		},
		"what one entry of replicas is for": {
			kustomization: "replicas: [{name: web, count: 4}]",
			objects: all(other, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 1}\n",
				account, "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: web}\nspec: {replicas: 1}\n"),
		},
		"one object that is there twice": {objects: all(web, other, account, other), whole: "two objects are"},
		"what one patch is for": {
			kustomization: "patches: [{path: ops.yaml}]",
			ops:           all(strings.Replace(web, "{name: web}", "{name: web, labels: {a: b}}", 1), strings.Replace(pod, "{name: pod}", "{name: pod, labels: {a: b}}", 1)),
			objects:       all(web, other, account, pod),
		},
		"labels in the annotations of transformers": {
			kustomization: "commonLabels: {team: shop}\nbuildMetadata: [transformerAnnotations]",
			objects:       all(web, other, pod), whole: "buildMetadata",
		},
		"labels that are names": {
			kustomization: "namespace: new\nlabels: [{pairs: {name: sa}, fields: [{path: metadata, kind: ConfigMap, create: true}]}]",
			objects:       all(web, account, pod), whole: "labels at",
		},
		"labels at fields of labels": {
			kustomization: "labels: [{pairs: {app.kubernetes.io/name: web}, fields: [{path: spec/selector, kind: Service, create: true}]}]",
			objects:       all(web, service, pod),
		},
		"numbers that are names": {
			kustomization: "namespace: new",
			objects:       all(strings.Replace(web, "name: web", "name: '123'", 1), other, strings.Replace(pod, "configMapRef: {name: web}", "configMapRef: {name: 123}", 1)),
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := textFiles(c.more)
			files["a/kustomization.yaml"] = textFiles(map[string]string{"k": "resources:\n- all.yaml\n" + c.kustomization + "\n"})["k"]
			files["a/all.yaml"] = textFiles(map[string]string{"o": c.objects})["o"]
			files["a/ops.yaml"] = textFiles(map[string]string{"o": c.ops})["o"]
			how, _ := agree(t, files, "a", 1)
			if c.whole == "" && how.Parts < 2 || c.whole != "" && !strings.Contains(how.Whole, c.whole) {
				t.Errorf("%+v", how)
			}
		})
	}
}
