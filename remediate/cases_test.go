package remediate_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	v1alpha1 "github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/fixtures"
	"github.com/cloudcwfranck/kspec/remediate"
	"github.com/cloudcwfranck/kspec/render"
)

// inputOf makes the input of the only ClusterSpec of a repo and a report.
func inputOf(t testing.TB, repo fs.FS, rep kspec.Report) remediate.Input {
	t.Helper()
	set, errs := v1alpha1.Load(repo)
	if len(errs) > 0 || len(set.Specs) == 0 {
		t.Fatalf("want a ClusterSpec, got %d: %v", len(set.Specs), errs)
	}
	rev := kspec.Revision{Branch: "main", Commit: strings.Repeat("a", 40), Time: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	target, err := set.Specs[0].Doc.Target(set.Specs[0].Source, rev)
	if err != nil {
		t.Fatal(err)
	}
	r := render.New(render.Options{})
	in := remediate.Input{Target: target, Report: rep, Render: func(tree kspec.Tree) (kspec.Desired, error) {
		return r.Render(t.Context(), target, tree)
	}}
	if in.Desired, err = in.Render(kspec.Tree{Revision: rev, FS: repo}); err != nil {
		t.Fatal(err)
	}
	return in
}

// reportOf reads the findings of a report in JSON.
func reportOf(t testing.TB, text string) kspec.Report {
	t.Helper()
	var r struct {
		Findings []kspec.Finding
		Unknown  []kspec.Unknown
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	return kspec.Report{Findings: r.Findings, Unknown: r.Unknown}
}

func TestEveryCaseHasItsPlan(t *testing.T) {
	for _, c := range fixtures.Cases(t, "want/report.json") {
		t.Run(c.Name, func(t *testing.T) {
			in := inputOf(t, c.FS("repo"), reportOf(t, c.Section("want/report.json")))
			plans, err := remediate.Decide(in)
			if err != nil {
				t.Fatal(err)
			}
			if plans == nil {
				plans = []kspec.Plan{}
			}
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			if err := enc.Encode(plans); err != nil {
				t.Fatal(err)
			}
			c.Golden(t, "want/plan.json", b.String())
			patch := ""
			for _, p := range plans {
				for _, e := range p.Edits {
					patch += e.Diff
				}
				appliesWithGit(t, in.Desired.Tree.FS, p)
			}
			c.Golden(t, "want/patch.diff", patch)
		})
	}
}

// appliesWithGit checks that git makes of the diffs what the edits say.
func appliesWithGit(t *testing.T, repo fs.FS, p kspec.Plan) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, repo); err != nil {
		t.Fatal(err)
	}
	for _, e := range p.Edits {
		cmd := exec.CommandContext(t.Context(), "git", "apply", "-")
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(e.Diff)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git apply: %v: %s\n%s", err, out, e.Diff)
		}
		got, err := os.ReadFile(filepath.Join(dir, e.Path))
		if e.After == nil {
			if !os.IsNotExist(err) {
				t.Errorf("%s is still there", e.Path)
			}
			continue
		}
		if diff := cmp.Diff(string(e.After), string(got)); diff != "" {
			t.Errorf("git makes another %s (-edit +git):\n%s", e.Path, diff)
		}
	}
}

func TestDecideIsDeterministic(t *testing.T) {
	for _, c := range fixtures.Cases(t, "want/report.json") {
		in := inputOf(t, c.FS("repo"), reportOf(t, c.Section("want/report.json")))
		a, err := remediate.Decide(in)
		if err != nil {
			t.Fatal(err)
		}
		b, err := remediate.Decide(in)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%s: the second plan differs:\n%s", c.Name, diff)
		}
	}
}
