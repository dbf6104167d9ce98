package cel_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec"
	v1alpha1 "github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/policy/cel"
	"github.com/cloudcwfranck/kspec/render"
	"testing/fstest"
)

// read decodes an object.
func read(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

// suite returns the tests of a template that comes with kspec.
func suite(t testing.TB, name string) render.Suite {
	t.Helper()
	s, err := render.New(render.Options{}).Suite(t.Context(), kspec.Tree{FS: fstest.MapFS{}}, name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// failed lists the rules that fail an object, and those that cannot be told.
func failed(t testing.TB, set *cel.Set, object *unstructured.Unstructured) map[string]bool {
	t.Helper()
	fails := map[string]bool{}
	for _, r := range set.Evaluate(t.Context(), object, nil) {
		switch r.Verdict {
		case cel.Fail:
			fails[r.Rule] = true
		case cel.Error, cel.Skip:
			t.Errorf("%s: %s: %s", r.Rule, r.Verdict, r.Reason)
		}
	}
	return fails
}

func TestFixturesOfBuiltinTemplatesAreJudgedAsTheirFoldersSay(t *testing.T) {
	for _, name := range v1alpha1.BuiltinTemplates() {
		s := suite(t, name)
		set, err := cel.New().Compile(s.Policies...)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range s.Fixtures {
			t.Run(f.File, func(t *testing.T) {
				fails := failed(t, set, f.Object)
				if f.Rule == "" && len(fails) > 0 || f.Rule != "" && !fails[f.Rule] {
					t.Errorf("rule %q: fails %v", f.Rule, fails)
				}
			})
		}
	}
}
