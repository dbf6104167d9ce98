package remediate_test

import (
	"strings"
	"testing"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/fixtures"
	"github.com/cloudcwfranck/kspec/remediate"
)

func TestRefusesAddressesThatItMustNotPushTo(t *testing.T) {
	key := kspec.NewSecret("-----BEGIN NOTHING-----")
	for name, o := range map[string]remediate.GitOptions{
		"a path":                     {URL: "/srv/config.git"},
		"a file URL":                 {URL: "file:///srv/config.git"},
		"plain http to another host": {URL: "http://example.com/acme/config.git", Token: kspec.NewSecret(canary)},
		"git's own protocol":         {URL: "git://example.com/acme/config.git"},
		"a token in the address":     {URL: "https://x:" + canary + "@example.com/acme/config.git"},
		"ssh without a key":          {URL: "git@example.com:acme/config.git"},
		"ssh with a broken key":      {URL: "git@example.com:acme/config.git", SSHKey: key, KnownHosts: []byte("example.com ssh-ed25519 AAAA\n")},
		"an option":                  {URL: "--upload-pack=x"},
	} {
		_, err := remediate.NewRepo(o)
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, url := range []string{"https://example.com/acme/config.git", "http://127.0.0.1:3000/acme/config", "http://localhost/acme/config"} {
		if _, err := remediate.NewRepo(remediate.GitOptions{URL: url}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestWritesTreesAsGitDoes pushes the plan of a render: files below new
// folders, one that was executable, and the last one of its folder deleted.
func TestWritesTreesAsGitDoes(t *testing.T) {
	w := newWorld(t)
	files := configRepo()
	spec := files["clusters/prod/clusterspec.yaml"]
	spec.Data = []byte(strings.Replace(string(spec.Data), "spec:\n", "spec:\n  delivery: {path: policies}\n", 1))
	const mark = "# Rendered by kspec\n"
	files["policies/old/gone.yaml"] = file(mark)
	files["policies/run.yaml"] = file(mark)
	files["policies/run.yaml"].Mode = 0o755
	files["policies-of-others/x.yaml"] = file("x: 1\n")
	if err := w.hub.Push(repoName, "main", "Deliver", files); err != nil {
		t.Fatal(err)
	}
	target, want, rep := look(t, w.url, w.now, nil)
	want.Delivery = []kspec.File{
		{Path: "policies/a/b/new.yaml", Content: []byte(mark + "a: 1\n")},
		{Path: "policies/a.yaml", Content: []byte(mark + "a: 2\n")},
		{Path: "policies/run.yaml", Content: []byte(mark + "a: 3\n")},
	}
	out, err := w.r.Remediate(t.Context(), target, want, rep)
	if err != nil || out.Action != kspec.ActionOpened {
		t.Fatalf("got %s %q, %v", out.Action, out.Why, err)
	}
	diff, err := w.hub.Diff(repoName, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"diff --git a/policies/a/b/new.yaml", "diff --git a/policies/a.yaml", "deleted file mode 100644", "\n+a: 3\n",
	} {
		if !strings.Contains(diff, line) {
			t.Errorf("the change lacks %q:\n%s", line, diff)
		}
	}
	if strings.Contains(diff, "new mode") || strings.Contains(diff, "others") || strings.Count(diff, "diff --git") != 4 {
		t.Errorf("more than the plan was changed:\n%s", diff)
	}
	if pr := w.pulls(1)[0]; !strings.HasPrefix(pr.Head, "kspec/render/prod-") {
		t.Errorf("the branch is %s", pr.Head)
	}
}

func TestDoesNotWriteWhereTheForgeRunsThings(t *testing.T) {
	for _, name := range []string{".github/workflows/x.yaml", "policies/.git/config", "policies/../x.yaml", "/x.yaml"} {
		w := newWorld(t)
		target, want, rep := look(t, w.url, w.now, nil)
		target.Delivery.Path = "policies"
		want.Delivery = []kspec.File{{Path: name, Content: []byte("x\n")}}
		out, err := w.r.Remediate(t.Context(), target, want, rep)
		if err == nil {
			t.Errorf("%s was written: %+v", name, out)
		}
		w.pulls(0)
		if len(w.branches()) > 0 {
			t.Errorf("%s: a branch was made", name)
		}
	}
}

func TestRenderAndAdoptAreTwoPullRequests(t *testing.T) {
	w := newWorld(t)
	target, want, rep := look(t, w.url, w.now, scaled)
	target.Delivery.Path = "policies"
	want.Delivery = []kspec.File{{Path: "policies/a.yaml", Content: []byte("# Rendered by kspec\n")}}
	out, err := w.r.Remediate(t.Context(), target, want, rep)
	if err != nil || out.Action != kspec.ActionOpened || len(out.Others) != 1 || out.Others[0].Action != kspec.ActionOpened {
		t.Fatalf("got %+v, %v", out, err)
	}
	if w.pulls(2); len(w.branches()) != 2 {
		t.Errorf("the branches are %v", w.branches())
	}
}

func TestTheFirstPullRequestCountsForTheLimitOfTheSecond(t *testing.T) {
	w := newWorld(t)
	target, want, rep := look(t, w.url, w.now, scaled)
	target.Delivery.Path = "policies"
	target.Remediation.Limits.OpenPullRequests = 1
	want.Delivery = []kspec.File{{Path: "policies/a.yaml", Content: []byte("# Rendered by kspec\n")}}
	out, err := w.r.Remediate(t.Context(), target, want, rep)
	if err != nil || out.Action != kspec.ActionOpened || len(out.Others) != 1 || out.Others[0].Action != kspec.ActionBlocked {
		t.Fatalf("got %+v, %v", out, err)
	}
	w.pulls(1)
}

func TestCasesExist(t *testing.T) {
	if n := len(fixtures.Cases(t, "want/plan.json")); n < 10 {
		t.Errorf("only %d cases have a plan", n)
	}
}
