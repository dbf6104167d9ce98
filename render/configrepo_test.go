package render_test

import (
	"os"
	"path"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	v1alpha1 "github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/fixtures"
	"github.com/cloudcwfranck/kspec/render"
)

func TestTheExampleConfigRepoHoldsWhatItsSpecsRender(t *testing.T) {
	root := filepath.Join(fixtures.Dir(), "config-repo")
	repo := os.DirFS(root)
	set, errs := v1alpha1.Load(repo)
	for _, err := range errs {
		t.Error(err)
	}
	if len(set.Specs) != 2 || len(set.Alerts) != 1 {
		t.Fatalf("want two ClusterSpecs and one AlertConfig, got %d and %d", len(set.Specs), len(set.Alerts))
	}
	for _, s := range set.Specs {
		t.Run(s.Doc.Name, func(t *testing.T) {
			target, err := s.Doc.Target(s.Source, kspec.Revision{})
			if err != nil {
				t.Fatal(err)
			}
			want, err := render.New(render.Options{}).Render(t.Context(), target, kspec.Tree{FS: repo})
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range want.Unknown {
				t.Error(u.Reason)
			}
			if len(want.Objects) < 15 {
				t.Errorf("only %d objects", len(want.Objects))
			}
			checkDelivered(t, root, target.Delivery.Path, want.Delivery)
		})
	}
}

// checkDelivered compares the files of the delivery path with what they should
// be; with KSPEC_UPDATE=1 it writes them.
func checkDelivered(t *testing.T, root, dir string, want []kspec.File) {
	t.Helper()
	if os.Getenv("KSPEC_UPDATE") != "" {
		files := fstest.MapFS{}
		for _, f := range want {
			files[path.Base(f.Path)] = &fstest.MapFile{Data: f.Content, Mode: 0o644}
		}
		if err := os.RemoveAll(filepath.Join(root, dir)); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(root, dir), files); err != nil {
			t.Fatal(err)
		}
		return
	}
	got := map[string]string{}
	entries, err := os.ReadDir(filepath.Join(root, dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(root, dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got[path.Join(dir, e.Name())] = string(data)
	}
	rendered := map[string]string{}
	for _, f := range want {
		rendered[f.Path] = string(f.Content)
	}
	if diff := cmp.Diff(rendered, got); diff != "" {
		t.Errorf("%s is stale (-rendered +in the repo), rewrite with KSPEC_UPDATE=1:\n%s", dir, diff)
	}
}
