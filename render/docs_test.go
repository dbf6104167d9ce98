package render_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
	v1alpha1 "github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/fixtures"
	"github.com/cloudcwfranck/kspec/policy/cel"
)

func TestTheTemplateInTheDocsRenders(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(fixtures.Dir(), "..", "docs", "templates.md"))
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	blocks := regexp.MustCompile("(?s)```yaml\n# (templates/quota/[a-z]+\\.yaml)[^\n]*\n(.*?)```").FindAllStringSubmatch(string(doc), -1)
	for _, b := range blocks {
		files[b[1]] = &fstest.MapFile{Data: []byte(b[2])}
	}
	if len(files) != 2 {
		t.Fatalf("the docs have %d files of the template", len(files))
	}
	target := using("quota", map[string]any{"pods": 10})
	target.Scope = kspec.Scope{Include: []string{"shop", "web"}}
	want := doRender(t, compiled(), target, files)
	if len(want.Unknown) > 0 {
		t.Fatal(reasons(want))
	}
	got := map[string]any{}
	var policies []*unstructured.Unstructured
	for _, o := range want.Objects {
		if policies = append(policies, o.Unstructured); o.GetKind() == "ResourceQuota" {
			got[o.ID().String()], _, _ = unstructured.NestedMap(o.Object, "spec", "hard")
		}
	}
	hard := map[string]any{"limits.memory": "8Gi", "pods": int64(10)}
	if diff := cmp.Diff(map[string]any{"ResourceQuota shop/kspec-prod-quota": hard, "ResourceQuota web/kspec-prod-quota": hard}, got); diff != "" {
		t.Error(diff)
	}
	set, err := cel.New().Compile(policies...)
	if err != nil {
		t.Fatal(err)
	}
	for image, verdict := range map[string]cel.Verdict{"registry.example/app": cel.Pass, "elsewhere.example/app": cel.Fail} {
		pod := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "a", "namespace": "shop"},
			"spec": map[string]any{"containers": []any{map[string]any{"image": image, "resources": map[string]any{"limits": map[string]any{"memory": "8Gi"}}}}},
		}}
		results := set.Evaluate(t.Context(), pod, nil)
		if len(results) != 2 || results[0].Rule != "memory-limit" || results[0].Verdict != cel.Pass || results[1].Verdict != verdict {
			t.Errorf("%s: %+v", image, results)
		}
	}
}

func TestTheDocsNameEveryParameterOfTheTemplatesThatComeWithKspec(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(fixtures.Dir(), "..", "docs", "templates.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range v1alpha1.BuiltinTemplates() {
		data, err := os.ReadFile(filepath.Join("templates", name, "template.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		docs, errs := v1alpha1.Decode("template.yaml", data)
		if len(errs) > 0 || len(docs) != 1 {
			t.Fatalf("%s: %v", name, errs)
		}
		for parameter, p := range docs[0].Object.(*v1alpha1.PolicyTemplate).Spec.Parameters {
			row := regexp.MustCompile("\\| `" + parameter + "` \\| " + p.Type + " \\| `" + string(p.Default.Raw) + "` \\|")
			if !row.Match(doc) {
				t.Errorf("%s: the docs have no row %s", name, row)
			}
		}
	}
}

func TestTheAPIKnowsTheTemplatesThatComeWithKspec(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("templates", "*", "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		names = append(names, filepath.Base(filepath.Dir(file)))
	}
	if diff := cmp.Diff(names, v1alpha1.BuiltinTemplates()); diff != "" {
		t.Errorf("templates in the folder (-) and in BuiltinTemplates (+):\n%s", diff)
	}
}
