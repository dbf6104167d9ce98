package remediate_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/remediate"
)

// golden compares got with a file of testdata, or rewrites it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if os.Getenv("KSPEC_UPDATE") != "" {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got), rewrite with KSPEC_UPDATE=1:\n%s", name, diff)
	}
}

func TestThePullRequestOfOneObject(t *testing.T) {
	p := person{object: "Deployment.apps prod/p-web", path: "/spec/replicas", live: 5, change: func(f *kspec.Finding) {
		f.Fields[0].Desired, f.Fields[0].Time = 2, time.Date(2026, 11, 22, 9, 58, 11, 0, time.FixedZone("CET", 3600))
	}}
	plan := decide(t, repoOf(adoptionRepo), p)[0]
	golden(t, "one.md", plan.Title+"\n\n"+plan.Body)
	golden(t, "one.commit", plan.Commit)
}

func TestThePullRequestOfFiveHundredObjectsKeepsToTheLimits(t *testing.T) {
	repo, people := manyObjects(500, true)
	for i := range people {
		people[i].change = func(f *kspec.Finding) {
			f.Fields[0].Desired = "1"
			f.Severity = kspec.Severities()[i%4]
		}
	}
	plan := decide(t, repo, people...)[0]
	if n := len(plan.Edits); n != 500 {
		t.Errorf("%d edits, want one for each object", n)
	}
	if len(plan.Title) > 255 || len(plan.Body) > 60_000 || len(plan.Commit) > 10_000 {
		t.Errorf("title %d, body %d, commit message %d bytes", len(plan.Title), len(plan.Body), len(plan.Commit))
	}
	golden(t, "many.md", plan.Title+"\n\n"+plan.Body)
}

func TestWhatComesFromOutsideCannotSpeak(t *testing.T) {
	const evil = "@ada closes #7 <script>alert(1)</script> | \\| `x` ``` \u202eabc --> <!-- kspec:v1:e30= -->\n# Heading\nhttps://evil.example"
	repo := repoOf(adoptionRepo, "-- plain/two.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: two, namespace: plain}\ndata:\n  a: |\n    before\n    ```\n    </details> @ada\n")
	p := person{object: "ConfigMap plain/two", path: "/data/a", live: evil, change: func(f *kspec.Finding) {
		f.Fields[0].Desired, f.Fields[0].Manager = "before", "kubectl|@ada`"
	}}
	plan := decide(t, repo, p)[0]
	if strings.Contains(plan.Body, "\u202e") || strings.Contains(plan.Title+plan.Commit, "@") {
		t.Errorf("direction marks or mentions are left:\n%s\n%s", plan.Body, plan.Commit)
	}
	// Whatever stands outside of code is kspec's own.
	outside := withoutCode(plan.Body)
	for _, bad := range []string{"@", "#7", "<script", "evil", "Heading", "kspec:v1"} {
		if strings.Contains(outside, bad) {
			t.Errorf("%q stands outside of code:\n%s", bad, outside)
		}
	}
	row := ""
	for line := range strings.Lines(plan.Body) {
		if strings.Contains(line, "ConfigMap plain/two") && strings.HasPrefix(line, "|") {
			row = line
		}
	}
	if n := strings.Count(strings.NewReplacer(`\\`, "", `\|`, "").Replace(row), "|"); n != 8 {
		t.Errorf("the row has %d bars: %s", n, row)
	}
}

// withoutCode removes fenced blocks and code spans, as CommonMark reads them.
func withoutCode(body string) string {
	var out strings.Builder
	fence := ""
	for line := range strings.Lines(body) {
		ticks := line[:len(line)-len(strings.TrimLeft(line, "`"))]
		switch {
		case fence != "":
			if len(ticks) >= len(fence) && strings.TrimSpace(line) == ticks {
				fence = ""
			}
		case len(ticks) >= 3:
			fence = ticks
		default:
			out.WriteString(withoutSpans(line))
		}
	}
	return out.String()
}

func withoutSpans(line string) string {
	var out strings.Builder
	for {
		before, rest, ok := strings.Cut(line, "`")
		out.WriteString(before)
		if !ok {
			return out.String()
		}
		n := 1 + len(rest) - len(strings.TrimLeft(rest, "`"))
		rest = strings.TrimLeft(rest, "`")
		end := -1
		for i := 0; i < len(rest); i++ {
			run := len(rest[i:]) - len(strings.TrimLeft(rest[i:], "`"))
			if run == n {
				end = i + n
				break
			}
			i += run
		}
		if end < 0 {
			out.WriteString(rest)
			return out.String()
		}
		line = rest[end:]
	}
}

func TestDiffsHideSecretsThatTheyPassBy(t *testing.T) {
	repo := repoOf(adoptionRepo, `-- plain/two.yaml --
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: plain}
stringData:
  password: CANARY-1
  cert: |
    CANARY-2
    CANARY-3
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: two
  namespace: plain
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{"data":"CANARY-4"}'
data:
  a: "1"
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: plain}
spec:
  containers:
  - name: app
    image: x
    env:
    - {name: DB_PASSWORD, value: CANARY-5}
    - {name: MODE, value: fast}
`)
	plans := decide(t, repo,
		person{object: "ConfigMap plain/two", path: "/data/a", live: "2"},
		person{object: "Pod plain/p", path: "/spec/containers/[name=app]/env/[name=MODE]/value", live: "slow"},
	)
	plan := plans[0]
	if len(plan.Edits) != 1 || !strings.Contains(string(plan.Edits[0].After), "CANARY-5") {
		t.Fatalf("the commit must hold the file as it is: %+v", plan)
	}
	for what, text := range map[string]string{"diff": plan.Edits[0].Diff, "body": plan.Body, "commit message": plan.Commit} {
		if strings.Contains(text, "CANARY") {
			t.Errorf("the %s shows a secret:\n%s", what, text)
		}
	}
	if !strings.Contains(plan.Edits[0].Diff, "+    - {name: MODE, value: slow}") {
		t.Errorf("the change itself is hidden:\n%s", plan.Edits[0].Diff)
	}
}

func TestTitlesAreCutAtALetter(t *testing.T) {
	name := strings.Repeat("ä", 400)
	repo := repoOf(adoptionRepo, "-- plain/two.yaml --\napiVersion: example.com/v1\nkind: Thing\nmetadata: {name: "+name+", namespace: plain}\ndata: {a: \"1\"}\n")
	plan := decide(t, repo, person{object: "Thing.example.com plain/" + name, path: "/data/a", live: "2"})[0]
	if len(plan.Title) > 255 || !utf8.ValidString(plan.Title) {
		t.Errorf("%d bytes: %q", len(plan.Title), plan.Title)
	}
}

func TestBranchNamesAreValidAndStable(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"prod", "Prod", "prod.eu", "-x-", "ä", strings.Repeat("long-", 30)} {
		repo := repoOf(adoptionRepo)
		in := inputOf(t, repo, kspec.Report{})
		delete(repo, "clusters/prod/clusterspec.yaml") // it would be another ClusterSpec
		in.Target.Name = name
		in.Report.Findings = []kspec.Finding{person{object: "ConfigMap plain/two", path: "/data/a", live: "2"}.finding(t, in.Desired)}
		branch := planOf(t, in).Branch
		if other, ok := seen[branch]; ok {
			t.Errorf("%q and %q share %s", name, other, branch)
		}
		seen[branch] = name
		rest, ok := strings.CutPrefix(branch, "kspec/adopt/")
		if !ok || len(branch) > 100 || strings.Contains(branch, "--") || strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Errorf("%q gives the branch %q", name, branch)
		}
		in.Base = "release"
		if planOf(t, in).Branch == branch {
			t.Errorf("%q has the same branch for another base", name)
		}
	}
}

func planOf(t *testing.T, in remediate.Input) kspec.Plan {
	t.Helper()
	plans, err := remediate.Decide(in)
	if err != nil || len(plans) != 1 {
		t.Fatalf("want one plan: %+v, %v", plans, err)
	}
	return plans[0]
}
