package render_test

import (
	"io/fs"
	"testing"

	"github.com/cloudcwfranck/kspec"
	v1alpha1 "github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/fixtures"
	"github.com/cloudcwfranck/kspec/render"
)

// targetOf makes the target of the only ClusterSpec of a repo.
func targetOf(t testing.TB, repo fs.FS) kspec.Target {
	t.Helper()
	set, errs := v1alpha1.Load(repo)
	if len(errs) > 0 || len(set.Specs) != 1 {
		t.Fatalf("want one ClusterSpec, got %d: %v", len(set.Specs), errs)
	}
	target, err := set.Specs[0].Doc.Target(set.Specs[0].Source, kspec.Revision{})
	if err != nil {
		t.Fatal(err)
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
