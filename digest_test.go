package kspec_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
)

func web(change func(*kspec.Object)) kspec.Object {
	o := kspec.Object{
		Unstructured: &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apps/v1", "kind": "Deployment",
			"metadata": map[string]any{"name": "web", "namespace": "shop", "labels": map[string]any{"app": "web"}},
			"spec": map[string]any{
				"replicas": int64(3), "paused": false,
				"template": map[string]any{"spec": map[string]any{"containers": []any{
					map[string]any{
						"name": "app", "image": "registry.example/web:1.4.2", "args": []any{"a", "b"},
						"resources": map[string]any{"limits": map[string]any{"memory": "64Mi", "cpu": 0.5}},
					},
				}}},
			},
		}},
		Source: kspec.Source{File: "apps/web.yaml", Line: 3, Overlay: "apps"}, FieldManager: "kustomize-controller",
		Unit: kspec.UnitRef{Namespace: "flux-system", Name: "apps"},
	}
	if change != nil {
		change(&o)
	}
	return o
}

func TestEqualObjectsHaveEqualDigests(t *testing.T) {
	a, b := web(nil), web(func(o *kspec.Object) { o.Unstructured = o.DeepCopy() })
	if kspec.DigestOf(a) != kspec.DigestOf(b) || kspec.DigestOf(a).IsZero() {
		t.Error("a copy has another digest, or none has one")
	}
	for name, change := range map[string]func(*kspec.Object){
		"no":    func(o *kspec.Object) { unstructured.RemoveNestedField(o.Object, "metadata", "namespace") },
		"empty": func(o *kspec.Object) { _ = unstructured.SetNestedField(o.Object, "", "metadata", "namespace") },
	} {
		late := web(change)
		body := kspec.BodyDigest(late.Unstructured)
		late.SetNamespace("shop")
		if kspec.DigestWith(late, body) != kspec.DigestOf(a) {
			t.Errorf("a namespace that is given later, after %s namespace, makes another digest than one that was there", name)
		}
	}
	odd := func() kspec.Object { return web(func(o *kspec.Object) { o.Object["spec"] = json.Number("3") }) }
	if first, second := odd(), odd(); kspec.DigestOf(first) != kspec.DigestOf(second) {
		t.Error("the digest of a value of no decoder changes")
	}
}

func TestAnyDifferenceMakesAnotherDigest(t *testing.T) {
	set := func(v any, path ...string) func(*kspec.Object) {
		return func(o *kspec.Object) { _ = unstructured.SetNestedField(o.Object, v, path...) }
	}
	seen := map[kspec.Digest]string{kspec.DigestOf(web(nil)): "nothing"}
	for name, change := range map[string]func(*kspec.Object){
		"a number":              set(int64(4), "spec", "replicas"),
		"a number as float":     set(float64(3), "spec", "replicas"),
		"a number as text":      set("3", "spec", "replicas"),
		"null":                  func(o *kspec.Object) { o.Object["spec"] = nil },
		"an empty mapping":      func(o *kspec.Object) { o.Object["spec"] = map[string]any{} },
		"an empty list":         func(o *kspec.Object) { o.Object["spec"] = []any{} },
		"no such key":           func(o *kspec.Object) { delete(o.Object, "spec") },
		"a boolean":             set(true, "spec", "paused"),
		"a namespace":           set("other", "metadata", "namespace"),
		"no namespace":          func(o *kspec.Object) { unstructured.RemoveNestedField(o.Object, "metadata", "namespace") },
		"an empty namespace":    set("", "metadata", "namespace"),
		"a namespace elsewhere": func(o *kspec.Object) { o.Object["namespace"] = "shop" },
		"text over a border":    set(map[string]any{"ap": "pweb"}, "metadata", "labels"),
		"a file":                func(o *kspec.Object) { o.Source.File = "apps/other.yaml" },
		"a line":                func(o *kspec.Object) { o.Source.Line = 4 },
		"an overlay":            func(o *kspec.Object) { o.Source.Overlay = "" },
		"a template":            func(o *kspec.Object) { o.Source.Template = "apps" },
		"a field manager":       func(o *kspec.Object) { o.FieldManager = "argocd-controller" },
		"a unit's name":         func(o *kspec.Object) { o.Unit.Name = "infra" },
		"no unit":               func(o *kspec.Object) { o.Unit = kspec.UnitRef{} },
	} {
		d := kspec.DigestOf(web(change))
		if other, ok := seen[d]; ok {
			t.Errorf("%s and %s make the same digest", name, other)
		}
		seen[d] = name
	}
}

// A field that is added to Object, Source or UnitRef must enter the digest.
func TestEveryFieldEntersTheDigest(t *testing.T) {
	for _, c := range []struct {
		of    any
		known int
	}{{kspec.Object{}, 5}, {kspec.Source{}, 4}, {kspec.UnitRef{}, 2}} {
		if n := reflect.TypeOf(c.of).NumField(); n != c.known {
			t.Errorf("%T has %d fields, and DigestWith knows %d", c.of, n, c.known)
		}
	}
}

func TestSortObjectsKeepsTheOrderOfEqualOnes(t *testing.T) {
	var objects []kspec.Object
	for i, name := range []string{"b", "a", "b", "a"} {
		o := web(func(o *kspec.Object) { o.Source.Line = i })
		o.SetName(name)
		objects = append(objects, o)
	}
	kspec.SortObjects(objects)
	got := ""
	for _, o := range objects {
		got += fmt.Sprint(o.GetName(), o.Source.Line, " ")
	}
	if got != "a1 a3 b0 b2 " {
		t.Errorf("sorted: %s", got)
	}
}

func BenchmarkDigestOf(b *testing.B) {
	o := web(nil)
	b.ReportAllocs()
	for b.Loop() {
		kspec.DigestOf(o)
	}
}
