package migrate_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec/api/migrate"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/fixtures"
)

func old(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(fixtures.Dir(), "v0.3", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("KSPEC_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func notes(r migrate.Result) string {
	var b strings.Builder
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "%d %s: %s: %s\n", n.Line, n.Path, n.Fate, n.Message)
	}
	return b.String()
}

func TestDocumentsOfV03BecomeDocumentsOfToday(t *testing.T) {
	for _, name := range []string{"file", "crd", "targets", "alerts", "mixed"} {
		t.Run(name, func(t *testing.T) {
			before := old(t, name)
			r := migrate.File(name+".yaml", before)
			for _, err := range r.Errs {
				t.Errorf("not migrated: %v", err)
			}
			golden(t, name+".yaml", string(r.Text))
			golden(t, name+".notes", notes(r))
			if strings.Contains(string(r.Text)+notes(r), "canary") {
				t.Error("a credential is still there")
			}

			docs, errs := v1alpha1.Decode(name+".yaml", []byte(strings.NewReplacer("kind: ComplianceReport", "kind: ClusterSpec").Replace(string(r.Text))))
			for _, err := range errs {
				if !strings.Contains(err.Error(), "Report") && name != "mixed" {
					t.Errorf("not valid today: %v", err)
				}
			}
			if len(docs) == 0 {
				t.Error("no document is valid today")
			}

			again := migrate.File(name+".yaml", r.Text)
			if again.Changed || len(again.Errs) > 0 {
				t.Errorf("migrating again changes it (-first +second):\n%s%v", cmp.Diff(string(r.Text), string(again.Text)), again.Errs)
			}
		})
	}
}
