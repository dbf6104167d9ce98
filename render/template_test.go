package render_test

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/render"
	"github.com/cloudcwfranck/kspec/test/kube"
)

// using makes a target of one template.
func using(name string, parameters map[string]any) kspec.Target {
	return kspec.Target{
		Name: "prod", Enforcement: kspec.Audit, Source: kspec.Source{File: "clusters/prod/clusterspec.yaml", Line: 1},
		Templates: []kspec.TemplateUse{{Name: name, Parameters: parameters}},
		Delivery:  kspec.Delivery{FieldManager: "kustomize-controller"},
	}
}

// own makes a tree with one template of that object and those parameters.
func own(parameters, object string) fstest.MapFS {
	return tree("-- templates/own/kustomization.yaml --\nresources: [object.yaml]\n-- templates/own/template.yaml --\n" +
		"apiVersion: kspec.io/v1alpha1\nkind: PolicyTemplate\nmetadata: {name: own}\nspec:\n  parameters: " + parameters + "\n-- templates/own/object.yaml --\n" + object)
}

func TestParametersAreTypedAndStayData(t *testing.T) {
	for _, c := range []struct {
		name, declared, field string
		given                 any
		want                  any
	}{
		{"string", "{p: {type: string}}", `"{{p}}"`, "x", "x"},
		{"string that looks like a bool", "{p: {type: string}}", `"{{p}}"`, "true", "true"},
		{"bool", "{p: {type: bool}}", `"{{p}}"`, true, true},
		{"int", "{p: {type: int}}", `"{{p}}"`, int64(3), int64(3)},
		{"int as JSON number", "{p: {type: int}}", `"{{p}}"`, float64(3), int64(3)},
		{"quantity", "{p: {type: quantity}}", `"{{p}}"`, "2Gi", "2Gi"},
		{"quantity as a number", "{p: {type: quantity}}", `"{{p}}"`, int64(2), "2"},
		{"duration", "{p: {type: duration}}", `"{{p}}"`, "7d", "7d"},
		{"array", "{p: {type: array}}", `"{{p}}"`, []any{"a", "b"}, []any{"a", "b"}},
		{"default", "{p: {type: int, default: 5}}", `"{{p}}"`, nil, int64(5)},
		{"allowed", "{p: {type: string, allowed: [a, b]}}", `"{{p}}"`, "b", "b"},
		{"inside text", "{p: {type: int}}", `"a {{p}} b {{p}}"`, int64(3), "a 3 b 3"},
		{"another placeholder", "{p: {type: string}, q: {type: string, default: secret}}", `"{{p}}"`, "{{q}}", "{{q}}"},
		{"another placeholder in text", "{p: {type: string}, q: {type: string, default: secret}}", `"-{{p}}-"`, "{{q}}", "-{{q}}-"},
		{"YAML", "{p: {type: string}}", `"{{p}}"`, "\")\n- op: remove", "\")\n- op: remove"},
		{"YAML in text", "{p: {type: string}}", `"x{{p}}"`, "'\n- a: &b c # d", "x'\n- a: &b c # d"},
		{"shell", "{p: {type: string}}", `"{{p}}"`, "${HOME}$(cat)", "${HOME}$(cat)"},
		{"duration in a longer text", "{p: {type: duration}}", `"for {{p}}"`, "1d12h", "for 1d12h"},
		{"bool inside text", "{p: {type: bool}}", `"is {{p}}"`, false, "is false"},
		{"quantity with an exponent", "{p: {type: quantity}}", `"{{p}}"`, "1e3", "1e3"},
		{"quantity as a broken number", "{p: {type: quantity}}", `"{{p}}"`, 1.5, "1.5"},
		{"empty text", "{p: {type: string}}", `"{{p}}"`, "", ""},
		{"empty array", "{p: {type: array, default: [a]}}", `"{{p}}"`, []any{}, []any{}},
		{"array of all types", "{p: {type: array}}", `"{{p}}"`, []any{"a", true, int64(1), 1.5}, []any{"a", true, int64(1), 1.5}},
		{"whole number beyond those of floating point", "{p: {type: int}}", `"{{p}}"`, int64(9007199254740993), int64(9007199254740993)},
		{"allowed quantity by another spelling", "{p: {type: quantity, allowed: [1, 2]}}", `"{{p}}"`, "2", "2"},
		{"CEL", "{p: {type: string}}", `"{{p}}"`, "' || true || '", "' || true || '"},
		{"template of Go", "{p: {type: string}}", `"{{p}}"`, "{{ .Values.x }}", "{{ .Values.x }}"},
		{"between braces", "{p: {type: int}}", `"{{{p}}}"`, int64(3), "{3}"},
		{"required", "{p: {type: int, required: true}}", `"{{p}}"`, int64(3), int64(3)},
		{"not required", "{p: {type: int, required: false, default: 4}}", `"{{p}}"`, nil, int64(4)},
		{"regexp references", "{p: {type: string}}", `"x{{p}}"`, "$1${0}", "x$1${0}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			given := map[string]any{}
			if c.given != nil {
				given["p"] = c.given
			}
			files := own(c.declared, "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: x}\nspec: {field: "+c.field+"}\n")
			want := mustRender(t, using("own", given), files)
			got, _, _ := unstructured.NestedFieldNoCopy(want.Objects[0].Object, "spec", "field")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if src := want.Objects[0].Source; src.Template != "own" || src.File != "templates/own/template.yaml" || src.Line != 1 {
				t.Errorf("source %+v", src)
			}
		})
	}
}

func TestBadParametersNameTemplateParameterAndPlace(t *testing.T) {
	thing := func(field string) string {
		return "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: x}\nspec: {field: " + field + "}\n"
	}
	policy := func(expression string) string {
		return "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: x}\nspec: {validations: [{expression: " + expression + "}]}\n"
	}
	for _, c := range []struct {
		name, declared, object string
		given                  map[string]any
		want                   []string
	}{
		{"unknown", "{p: {type: int, default: 1}}", thing(`a`), map[string]any{"q": 1}, []string{`parameter "q"`, "no such parameter", "but p"}},
		{"all that is wrong", "{p: {type: int}, q: {type: bool}, r: {type: int, default: 1}}", thing(`a`), map[string]any{"s": 1, "q": 1}, []string{`parameter "s": the template has no such parameter, but p, q, r; parameter "p": no value is given, and the template has no default; parameter "q": 1 is not of type bool`}},
		{"missing", "{p: {type: int}}", thing(`a`), nil, []string{`parameter "p"`, "no value is given"}},
		{"string for bool", "{p: {type: bool}}", thing(`a`), map[string]any{"p": "true"}, []string{`parameter "p"`, `"true" is not of type bool`}},
		{"float for int", "{p: {type: int}}", thing(`a`), map[string]any{"p": 1.5}, []string{`1.5 is not of type int`}},
		{"int for string", "{p: {type: string}}", thing(`a`), map[string]any{"p": 1}, []string{`1 is not of type string`}},
		{"bad quantity", "{p: {type: quantity}}", thing(`a`), map[string]any{"p": "2Gx"}, []string{`"2Gx" is not of type quantity`}},
		{"bad duration", "{p: {type: duration}}", thing(`a`), map[string]any{"p": "5"}, []string{`"5" is not of type duration`}},
		{"nested array", "{p: {type: array}}", thing(`a`), map[string]any{"p": []any{map[string]any{}}}, []string{`is not of type array`}},
		{"bool for string", "{p: {type: string}}", thing(`a`), map[string]any{"p": true}, []string{`true is not of type string`}},
		{"text for int", "{p: {type: int}}", thing(`a`), map[string]any{"p": "3"}, []string{`"3" is not of type int`}},
		{"text for array", "{p: {type: array}}", thing(`a`), map[string]any{"p": "a,b"}, []string{`"a,b" is not of type array`}},
		{"map for string", "{p: {type: string}}", thing(`a`), map[string]any{"p": map[string]any{"a": "<b>"}}, []string{`{"a":"<b>"} is not of type string`}},
		{"null in an array", "{p: {type: array}}", thing(`a`), map[string]any{"p": []any{"a", nil}}, []string{`["a",null] is not of type array`}},
		{"negative duration", "{p: {type: duration}}", thing(`a`), map[string]any{"p": "-5m"}, []string{`"-5m" is not of type duration`}},
		{"required and missing", "{p: {type: int, required: true}}", thing(`a`), nil, []string{`parameter "p"`, "no value is given"}},
		{"left open", "{p: {type: string, default: a}}", thing(`"{{p"`), nil, []string{"/spec/field", "{{ that is no parameter"}},
		{"array as a name", "{p: {type: array, default: [a]}}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{p}}'}\n", nil, []string{`/metadata/name: want text, not ["a"]`}},
		{"array as a label", "{p: {type: array, default: [a]}}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, labels: {a: '{{p}}'}}\n", nil, []string{`/metadata/labels/a: want text, not ["a"]`}},
		{"text in CEL of a CRD", "{p: {type: string, default: a}}", "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: x}\nspec: {x-kubernetes-validations: [{rule: \"self == '{{p}}'\"}]}\n", nil, []string{`parameter "p" of type string stands inside a CEL expression`}},
		{"text in CEL of a message", "{p: {type: string, default: a}}", strings.Replace(policy(`"true"`), "expression: ", "messageExpression: \"'{{p}}' + 'b'\", expression: ", 1), nil, []string{"/spec/validations/0/messageExpression", "stands inside a CEL expression"}},
		{"null", "{p: {type: string}}", thing(`a`), map[string]any{"p": nil}, []string{`null is not of type string`}},
		{"not allowed", "{p: {type: string, allowed: [a, b]}}", thing(`a`), map[string]any{"p": "c"}, []string{`"c" is not allowed: want "a", "b"`}},
		{"array not allowed", "{p: {type: array, allowed: [[a], [b]]}}", thing(`a`), map[string]any{"p": []any{"a", "c"}}, []string{`["a","c"] is not allowed: want ["a"], ["b"]`}},
		{"undeclared in object", "{}", thing(`"{{p}}"`), nil, []string{`Thing "x"`, "/spec/field", `unknown parameter "p"`}},
		{"left over", "{p: {type: string, default: a}}", thing(`"{{ p }}"`), nil, []string{"/spec/field", "without spaces"}},
		{"in a key", "{p: {type: string, default: a}}", thing(`{"{{p}}": a}`), nil, []string{"/spec/field", "in values only"}},
		{"array in text", "{p: {type: array, default: [a]}}", thing(`"a{{p}}"`), nil, []string{`parameter "p" of type array must be the whole value`}},
		{"text in CEL", "{p: {type: string, default: a}}", policy(`"object.x == '{{p}}'"`), nil, []string{"/spec/validations/0/expression", `parameter "p" of type string stands inside a CEL expression`}},
		{"when is text", "{p: {type: string, default: a}}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, annotations: {kspec.io/when: '{{p}}'}}\n", nil, []string{"kspec.io/when: want a parameter of type bool"}},
		{"bad mode", "{}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, annotations: {kspec.io/enforcement: monitor}}\n", nil, []string{"want audit or enforce"}},
	} {
		for _, mode := range []kspec.Enforcement{kspec.Audit, kspec.Monitor} {
			t.Run(c.name+"/"+string(mode), func(t *testing.T) {
				target := using("own", c.given)
				target.Enforcement, target.Delivery.Path = mode, "policies"
				want := doRender(t, render.Options{}, target, own(c.declared, c.object))
				for _, part := range append(c.want, `template "own"`) {
					if !strings.Contains(reasons(want), part) {
						t.Errorf("got %q, want %q", reasons(want), part)
					}
				}
				if len(want.Objects) != 0 || want.Delivery != nil {
					t.Errorf("a broken template gives %d objects and %d files", len(want.Objects), len(want.Delivery))
				}
			})
		}
	}
}

// Kubernetes knows text only in these places, and a parameter must not make it
// lose the others there.
func TestParametersBecomeTextWhereThereIsNoOtherType(t *testing.T) {
	files := own("{n: {type: int, default: 3}, b: {type: bool, default: true}}", `apiVersion: v1
kind: ConfigMap
metadata:
  name: "{{n}}"
  labels: {flag: "{{b}}", other: kept}
  annotations: {count: "{{n}}", kspec.io/when: "{{b}}", other: kept}
data: {max: "{{n}}", flag: "{{b}}", text: a}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: "{{n}}"
  template:
    metadata: {labels: {flag: "{{b}}"}}
---
apiVersion: v1
kind: Secret
metadata: {name: s}
stringData: {max: "{{n}}"}
`)
	want := mustRender(t, using("own", nil), files)
	config := find(t, want, "ConfigMap", "3")
	got := map[string]any{"labels": config.GetLabels(), "annotations": config.GetAnnotations(), "data": config.Object["data"]}
	if diff := cmp.Diff(map[string]any{
		"labels":      map[string]string{"flag": "true", "other": "kept", "kspec.io/owner": "prod"},
		"annotations": map[string]string{"count": "3", "other": "kept"},
		"data":        map[string]any{"max": "3", "flag": "true", "text": "a"},
	}, got); diff != "" {
		t.Error(diff)
	}
	spec := find(t, want, "Deployment", "web").Object["spec"]
	if diff := cmp.Diff(map[string]any{"replicas": int64(3), "template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"flag": "true"}}}}, spec); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]any{"max": "3"}, find(t, want, "Secret", "s").Object["stringData"]); diff != "" {
		t.Error(diff)
	}
}

// CEL has no days.
func TestADurationIsALiteralThatCELReads(t *testing.T) {
	want := mustRender(t, using("own", map[string]any{"p": "7d"}), own("{p: {type: duration}}",
		"apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: x}\nspec: {variables: [{name: p, expression: '{{p}}'}]}\n"))
	variables, _, _ := unstructured.NestedSlice(want.Objects[0].Object, "spec", "variables")
	if diff := cmp.Diff([]any{map[string]any{"name": "p", "expression": `"168h0m0s"`}}, variables); diff != "" {
		t.Error(diff)
	}
}

func TestTextInCELIsALiteralThatTheAPIServerReadsAsText(t *testing.T) {
	evil := "' || true || \"\n\\ '{{q}}' é </script>"
	c := kube.Shared(t).Client(t)
	want := mustRender(t, using("own", map[string]any{"p": evil, "list": []any{"a'b", evil}, "n": int64(2)}), own(
		"{p: {type: string}, list: {type: array}, n: {type: int}}", `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: literal}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
  variables:
  - {name: p, expression: "{{p}}"}
  - {name: list, expression: "{{list}}"}
  validations:
  - {expression: "object.data.text == variables.p && object.data.text in variables.list && size(variables.list) == {{n}}"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: literal}
spec:
  policyName: literal
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: default}}}
`))
	for _, o := range want.Objects {
		if err := c.Create(t.Context(), o.Unstructured); err != nil {
			t.Fatal(err)
		}
	}
	create := func(text string) error {
		cm := &corev1.ConfigMap{Data: map[string]string{"text": text}}
		cm.Name, cm.Namespace = "literal", "default"
		return c.Create(t.Context(), cm, client.DryRunAll)
	}
	eventually(t, "other text", func() error {
		if create("other") == nil {
			return fmt.Errorf("not denied")
		}
		return nil
	})
	if err := create(evil); err != nil {
		t.Errorf("the very text is denied: %v", err)
	}
}

func TestTemplatesAreFoundWhereverTheyStand(t *testing.T) {
	const template = "apiVersion: kspec.io/v1alpha1\nkind: PolicyTemplate\nmetadata: {name: NAME}\nspec: {}\n"
	named := func(name string) string { return strings.Replace(template, "NAME", name, 1) }
	base := "-- x/y/kustomization.yaml --\nresources: [a.yaml, t.yaml]\n-- x/y/a.yaml --\n" + configMap + "-- x/y/t.yaml --\n" + named("deep")
	want := mustRender(t, using("deep", nil), tree(base))
	if len(want.Objects) != 1 || want.Objects[0].Source.File != "x/y/t.yaml" {
		t.Errorf("got %v", places(want))
	}
	for name, c := range map[string]struct{ files, use, want string }{
		"none":                     {base, "other", `template "other": the repo has no PolicyTemplate of that name`},
		"two":                      {base + "-- z/kustomization.yaml --\nnamePrefix: x\n-- z/t.yaml --\n" + named("deep"), "deep", `x/y/t.yaml:1: template "deep": there is another in z/t.yaml`},
		"a name that kspec has":    {"-- templates/security-baseline/kustomization.yaml --\nnamePrefix: x\n-- templates/security-baseline/t.yaml --\n" + named("security-baseline"), "security-baseline", "comes with kspec"},
		"unknown field":            {"-- templates/own/kustomization.yaml --\nnamePrefix: x\n-- templates/own/t.yaml --\n" + named("own") + "extra: 1\n", "own", "templates/own/t.yaml:5"},
		"broken kustomization":     {"-- templates/own/kustomization.yaml --\nresources:\n- https://x\n-- templates/own/t.yaml --\n" + named("own"), "own", `templates/own/kustomization.yaml:2: resources "https://x": remote content is refused`},
		"a path instead of a name": {base, "../x", `template "../x": the repo has no`},
	} {
		t.Run(name, func(t *testing.T) {
			want := doRender(t, render.Options{}, using(c.use, nil), tree(c.files))
			if !strings.Contains(reasons(want), c.want) || len(want.Unknown) != 1 {
				t.Errorf("got %q", reasons(want))
			}
		})
	}
}

// find returns the object of that kind and name.
func find(t *testing.T, want kspec.Desired, kind, name string) kspec.Object {
	t.Helper()
	for _, o := range want.Objects {
		if o.GetKind() == kind && o.GetName() == name {
			return o
		}
	}
	t.Fatalf("no %s %s among %v", kind, name, places(want))
	return kspec.Object{}
}

func TestModeAndScopeDecideWhatIsDelivered(t *testing.T) {
	target := using("security-baseline", nil)
	target.Templates = append(target.Templates, kspec.TemplateUse{Name: "compliance-strict"})
	target.Scope = kspec.Scope{Include: []string{"shop", "web", "kube-system", "shop"}, Exclude: []string{"web"}}
	target.Delivery.Path = "policies"

	target.Enforcement = kspec.Monitor
	if want := mustRender(t, target, fstest.MapFS{}); len(want.Objects) != 0 || want.Delivery != nil {
		t.Errorf("monitor: %d objects, %d files", len(want.Objects), len(want.Delivery))
	}

	target.Enforcement = kspec.Audit
	want := mustRender(t, target, fstest.MapFS{})
	labels := find(t, want, "Namespace", "shop").GetLabels()
	if diff := cmp.Diff(map[string]string{
		"kspec.io/owner":                           "prod",
		"pod-security.kubernetes.io/audit":         "baseline",
		"pod-security.kubernetes.io/audit-version": "v1.37",
		"pod-security.kubernetes.io/warn":          "baseline",
		"pod-security.kubernetes.io/warn-version":  "v1.37",
	}, labels); diff != "" {
		t.Error(diff)
	}
	for _, o := range want.Objects {
		if o.GetKind() == "NetworkPolicy" {
			t.Error("audit delivers a NetworkPolicy, which would deny")
		}
		if o.FieldManager != "kustomize-controller" || o.GetLabels()["kspec.io/owner"] != "prod" {
			t.Errorf("%s: manager %q, labels %v", o.ID(), o.FieldManager, o.GetLabels())
		}
		if !strings.HasPrefix(o.Source.File, "policies/") || o.Source.Line != 2 || o.Source.Template == "" {
			t.Errorf("%s: source %+v", o.ID(), o.Source)
		}
	}

	target.Enforcement = kspec.Enforce
	want = mustRender(t, target, fstest.MapFS{})
	namespace := find(t, want, "Namespace", "shop")
	if namespace.GetLabels()["pod-security.kubernetes.io/enforce"] != "baseline" {
		t.Errorf("enforce: %v", namespace.GetLabels())
	}
	if namespace.GetAnnotations()["kustomize.toolkit.fluxcd.io/prune"] != "disabled" {
		t.Error("Flux would delete the namespace with its file")
	}
	find(t, want, "NetworkPolicy", "kspec-prod-deny-all-but-dns")
	binding := find(t, want, "ValidatingAdmissionPolicyBinding", "kspec-prod-privileged")
	spec, _, _ := unstructured.NestedMap(binding.Object, "spec")
	if diff := cmp.Diff(map[string]any{
		"policyName":        "kspec-prod-privileged",
		"validationActions": []any{"Deny", "Audit"},
		"matchResources": map[string]any{"namespaceSelector": map[string]any{"matchExpressions": []any{
			map[string]any{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": []any{"kspec-system", "kube-node-lease", "kube-public", "kube-system", "web"}},
			map[string]any{"key": "kubernetes.io/metadata.name", "operator": "In", "values": []any{"kube-system", "shop", "web"}},
		}}},
	}, spec); diff != "" {
		t.Error(diff)
	}

	target.Templates[1].Parameters = map[string]any{"defaultDeny": false}
	target.Scope.Include = nil
	for _, o := range mustRender(t, target, fstest.MapFS{}).Objects {
		if o.GetKind() == "NetworkPolicy" || o.GetKind() == "Namespace" {
			t.Errorf("%s is delivered without a namespace to deliver it for", o.ID())
		}
	}
}

func TestLongNamesAreCutAndStayApart(t *testing.T) {
	target := using("security-baseline", nil)
	target.Name = strings.Repeat("long-", 49) + "name"
	want := mustRender(t, target, fstest.MapFS{})
	seen := map[string]bool{}
	for _, o := range want.Objects {
		if len(o.GetName()) > 253 || o.GetLabels()["kspec.io/owner"] != target.Owner() {
			t.Errorf("%d characters: %s, of %q", len(o.GetName()), o.GetName(), o.GetLabels())
		}
		seen[o.GetKind()+o.GetName()] = true
	}
	if len(seen) != len(want.Objects) {
		t.Error("two objects have one name")
	}
	for _, o := range want.Objects {
		if of, _, _ := unstructured.NestedString(o.Object, "spec", "policyName"); of != "" && !seen["ValidatingAdmissionPolicy"+of] {
			t.Errorf("%s is bound to %s, which is not there", o.GetName(), of)
		}
	}
}

// asTree adds files to a tree.
func asTree(files fstest.MapFS, more []kspec.File) fstest.MapFS {
	for _, f := range more {
		files[f.Path] = &fstest.MapFile{Data: f.Content, Mode: 0o644}
	}
	return files
}

// Whoever chooses the names of objects must not choose where files are written.
func TestNamesOfObjectsDoNotLeaveTheDeliveryPath(t *testing.T) {
	for _, object := range []string{
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: '{{p}}'}}",
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: '{{p}}'}}",
		"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: '{{p}}'}}",
	} {
		target := using("own", map[string]any{"p": "a/../../../.github/workflows/x"})
		target.Delivery.Path = "clusters/prod/policies"
		want, err := render.New(render.Options{}).Render(t.Context(), target, kspec.Tree{FS: own("{p: {type: string}}", object)})
		if err != nil {
			t.Fatal(err)
		}
		if len(want.Delivery) != 2 {
			t.Errorf("%s: delivers %d files", object, len(want.Delivery))
		}
		for _, f := range want.Delivery {
			if path.Dir(f.Path) != "clusters/prod/policies" {
				t.Errorf("%s: writes %s", object, f.Path)
			}
		}
	}
}

// Two objects never share a file, whatever they are called.
func TestEveryObjectHasAFileOfItsOwn(t *testing.T) {
	var objects []string
	for _, o := range [][2]string{{"a", "b-c"}, {"a-b", "c"}, {"", "a-b-c"}, {"a", "x"}} {
		objects = append(objects, fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {namespace: '%s', name: '%s'}\n", o[0], o[1]))
	}
	objects = append(objects, "apiVersion: example.com/v1\nkind: ConfigMap\nmetadata: {namespace: a, name: x}\n", "apiVersion: example.com/v1\nkind: ConfigMap\nmetadata: {namespace: a, name: y}\n")
	target := using("own", nil)
	target.Delivery.Path = "policies"
	want := mustRender(t, target, own("{}", strings.Join(objects, "---\n")))
	files := map[string]bool{}
	for _, f := range want.Delivery {
		files[f.Path] = true
	}
	if len(files) != 7 || len(want.Delivery) != 7 || !files["policies/configmap-a-y.yaml"] {
		t.Errorf("%d files for 6 objects and their list: %v", len(files), slices.Sorted(maps.Keys(files)))
	}
	if got := mustRender(t, overlays("policies"), asTree(fstest.MapFS{}, want.Delivery)); len(got.Objects) != 6 {
		t.Errorf("what is delivered has %d objects", len(got.Objects))
	}
}

func TestTemplatesThatComeWithKspecGoTogether(t *testing.T) {
	for _, names := range [][]string{
		{"security-baseline", "pod-security-baseline", "compliance-strict", "network-isolation"},
		{"pod-security-restricted", "compliance-strict", "network-isolation"},
	} {
		target := using(names[0], nil)
		for _, name := range names[1:] {
			target.Templates = append(target.Templates, kspec.TemplateUse{Name: name})
		}
		target.Scope.Include, target.Enforcement = []string{"shop"}, kspec.Enforce
		want := mustRender(t, target, fstest.MapFS{})
		find(t, want, "Namespace", "shop")
		find(t, want, "NetworkPolicy", "kspec-prod-deny-all-but-dns")
		find(t, want, "NetworkPolicy", "kspec-prod-default-deny")
	}
}

// Two templates that make one object: which of them counts is not for kspec to
// say, and nothing is delivered meanwhile.
func TestTwoTemplatesThatMakeOneObjectDeliverNothing(t *testing.T) {
	target := using("security-baseline", nil)
	target.Templates = append(target.Templates, kspec.TemplateUse{Name: "pod-security-restricted"})
	target.Scope.Include = []string{"shop"}
	target.Delivery.Path = "policies"
	want := doRender(t, render.Options{}, target, fstest.MapFS{})
	if !strings.Contains(reasons(want), "declared more than once, in ") || want.Delivery != nil {
		t.Errorf("%d files, %s", len(want.Delivery), reasons(want))
	}
	target.Templates[1].Parameters = map[string]any{"labels": false}
	if want := mustRender(t, target, fstest.MapFS{}); want.Delivery == nil {
		t.Error("nothing is delivered")
	}
}

// Flux would replace ${x} by nothing, if the Kustomization that delivers it has
// substitutions.
func TestFluxLeavesTheTextOfPoliciesAlone(t *testing.T) {
	for text, want := range map[string]string{"${HOME}": "disabled", "a$$b": "disabled", "a$": "", "plain": ""} {
		target := using("own", map[string]any{"p": text})
		target.Delivery = kspec.Delivery{Engine: kspec.Flux, Path: "policies"}
		files := own("{p: {type: string}}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {text: '{{p}}'}\n")
		got := mustRender(t, target, files)
		const annotation = "kustomize.toolkit.fluxcd.io/substitute"
		if got := got.Objects[0].GetAnnotations()[annotation]; got != want {
			t.Errorf("%s: annotation %q, want %q", text, got, want)
		}
		if file := string(got.Delivery[0].Content); strings.Contains(file, annotation) != (want != "") {
			t.Errorf("%s: delivers\n%s", text, file)
		}
	}
}

func TestATemplateForNamespacesSaysWhenThereAreNone(t *testing.T) {
	target := using("network-isolation", nil)
	target.Enforcement = kspec.Enforce
	want := mustRender(t, target, fstest.MapFS{})
	if diff := cmp.Diff([]string{"template network-isolation is for no namespace: namespaceScope.includeNamespaces names none"}, want.Assumed); diff != "" || len(want.Objects) != 0 {
		t.Errorf("%d objects, %s", len(want.Objects), diff)
	}
	target.Scope.Include = []string{"shop"}
	if want := mustRender(t, target, fstest.MapFS{}); len(want.Assumed) != 0 || len(want.Objects) != 4 {
		t.Errorf("%d objects, assumed %v", len(want.Objects), want.Assumed)
	}
}

func TestDeliveryIsAKustomizationThatGivesTheSameObjects(t *testing.T) {
	target := using("security-baseline", nil)
	target.Scope.Include = []string{"shop"}
	target.Delivery.Path = "policies"
	want := mustRender(t, target, fstest.MapFS{})
	for _, f := range want.Delivery {
		if !strings.HasPrefix(string(f.Content), "# Rendered by kspec from template security-baseline; changes are overwritten.\n") {
			t.Errorf("%s has no header", f.Path)
		}
	}
	delivered := mustRender(t, overlays("policies"), asTree(fstest.MapFS{}, want.Delivery))
	show := func(objects []kspec.Object) string {
		for i := range objects {
			objects[i].Source.Template, objects[i].Source.Overlay = "", ""
		}
		data, err := render.YAML(objects)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if diff := cmp.Diff(show(want.Objects), show(delivered.Objects)); diff != "" {
		t.Error(diff)
	}
	again := mustRender(t, target, asTree(fstest.MapFS{}, want.Delivery))
	if diff := cmp.Diff(want.Delivery, again.Delivery); diff != "" {
		t.Errorf("a second rendering differs:\n%s", diff)
	}
}

func TestWhatWasDeliveredIsTakenBackWhenTheModeIsMonitor(t *testing.T) {
	target := using("security-baseline", nil)
	target.Delivery.Path = "policies"
	files := asTree(fstest.MapFS{}, mustRender(t, target, fstest.MapFS{}).Delivery)
	target.Enforcement = kspec.Monitor
	want := mustRender(t, target, files)
	if len(want.Delivery) != 1 || want.Delivery[0].Path != "policies/kustomization.yaml" {
		t.Fatalf("want an empty kustomization, so that the engine deletes, got %v", want.Delivery)
	}
	if empty := mustRender(t, overlays("policies"), asTree(fstest.MapFS{}, want.Delivery)); len(empty.Objects) != 0 {
		t.Errorf("it gives %d objects", len(empty.Objects))
	}
}

func TestDeliveredPoliciesAreNotCountedTwice(t *testing.T) {
	target := using("security-baseline", nil)
	target.Delivery.Path = "clusters/prod/policies"
	files := asTree(fstest.MapFS{}, mustRender(t, target, fstest.MapFS{}).Delivery)
	count := len(mustRender(t, target, files).Objects)
	files["clusters/prod/kustomization.yaml"] = &fstest.MapFile{Data: []byte("resources: [policies]\n")}
	for path, want := range map[string]string{
		"clusters/prod/policies": "lies in delivery.path",
		"clusters":               "holds delivery.path",
		"clusters/prod":          "reaches into delivery.path",
	} {
		t.Run(path, func(t *testing.T) {
			target.Overlays = []kspec.Overlay{{Path: path}}
			got := doRender(t, render.Options{}, target, files)
			if !strings.Contains(reasons(got), want) || len(got.Unknown) != 1 || len(got.Objects) != count {
				t.Errorf("got %q, %d objects of %d", reasons(got), len(got.Objects), count)
			}
		})
	}
}

func TestAnOverlayThatDeclaresTheSameObjectMustSayAsMuch(t *testing.T) {
	target := using("security-baseline", nil)
	target.Scope.Include = []string{"shop"}
	target.Delivery.Path = "policies"
	target.Overlays = []kspec.Overlay{{Path: "infra", FieldManager: "kustomize-controller"}}
	namespace := "-- infra/ns.yaml --\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels:\n    pod-security.kubernetes.io/audit: baseline\n    pod-security.kubernetes.io/audit-version: v1.37\n"
	want := doRender(t, render.Options{}, target, tree(namespace))
	for _, part := range []string{"infra/ns.yaml:1: template security-baseline demands more of this object: add", "pod-security.kubernetes.io/warn: baseline"} {
		if !strings.Contains(reasons(want), part) {
			t.Errorf("got %q", reasons(want))
		}
	}
	want = mustRender(t, target, tree(namespace+"    pod-security.kubernetes.io/warn: baseline\n    pod-security.kubernetes.io/warn-version: v1.37\n"))
	if got := find(t, want, "Namespace", "shop").Source; got.File != "infra/ns.yaml" || got.Template != "" {
		t.Errorf("source %+v", got)
	}
	for _, f := range want.Delivery {
		if strings.Contains(f.Path, "namespace") {
			t.Errorf("%s is delivered besides", f.Path)
		}
	}
}
