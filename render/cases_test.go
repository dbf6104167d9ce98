package render_test

import (
	"io/fs"
	"path"
	"testing"

	"github.com/cloudcwfranck/kspec"
	v1alpha1 "github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/fixtures"
	"github.com/cloudcwfranck/kspec/render"
	"sigs.k8s.io/yaml"
)

// targetOf makes the target of the only ClusterSpec below clusters.
func targetOf(t testing.TB, repo fs.FS) kspec.Target {
	t.Helper()
	files, err := fs.Glob(repo, "clusters/*/clusterspec.yaml")
	if err != nil || len(files) != 1 {
		t.Fatalf("want one clusterspec.yaml, got %v, %v", files, err)
	}
	data, err := fs.ReadFile(repo, files[0])
	if err != nil {
		t.Fatal(err)
	}
	var spec v1alpha1.ClusterSpec
	if err := yaml.UnmarshalStrict(data, &spec); err != nil {
		t.Fatal(err)
	}
	engine := kspec.Engine(spec.Spec.Delivery.Engine)
	target := kspec.Target{Name: spec.Name, Source: kspec.Source{File: files[0], Line: 1}, Delivery: kspec.Delivery{
		Engine: engine, Path: spec.Spec.Delivery.Path, FieldManager: engine.DefaultFieldManager(),
	}}
	for _, m := range spec.Spec.Manifests {
		target.Overlays = append(target.Overlays, kspec.Overlay{Path: path.Clean(m.Path), FieldManager: engine.DefaultFieldManager(), Namespace: m.Namespace})
	}
	return target
}

func TestEveryCaseRendersWhatItWants(t *testing.T) {
	for _, c := range fixtures.Cases(t) {
		t.Run(c.Name, func(t *testing.T) {
			repo := c.FS("repo")
			want, err := render.New(render.Options{}).Render(t.Context(), targetOf(t, repo), kspec.Tree{FS: repo})
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range want.Unknown {
				t.Errorf("unknown: %+v", u)
			}
			got, err := render.YAML(want.Objects)
			if err != nil {
				t.Fatal(err)
			}
			c.Golden(t, "want/objects.yaml", string(got))
		})
	}
}
