package gitsource_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/gitsource"
)

var someFiles = files("README.md", "# config\n", "apps/web/deploy.yaml", "kind: Deployment\n", "apps/web/kustomization.yaml", "resources: [deploy.yaml]\n")

func TestHeadGivesTheCommitOfTheDefaultBranchAsAnFS(t *testing.T) {
	o := newOrigin(t, someFiles)
	s, _ := open(t, o.url, gitsource.Options{})
	tree := head(t, s)
	if err := fstest.TestFS(tree.FS, "README.md", "apps/web/deploy.yaml", "apps/web/kustomization.yaml"); err != nil {
		t.Error(err)
	}
	if got := read(t, tree, "apps/web/deploy.yaml"); got != "kind: Deployment\n" {
		t.Errorf("content %q", got)
	}
	when, err := time.Parse(time.RFC3339, o.git("log", "-1", "--format=%cI", "main"))
	check(t, err)
	want := kspec.Revision{Branch: "main", Commit: o.git("rev-parse", "main"), Time: when.UTC()}
	if d := cmp.Diff(want, tree.Revision); d != "" {
		t.Errorf("revision (-want +got):\n%s", d)
	}
	if s.Branch() != "main" {
		t.Errorf("branch %q", s.Branch())
	}
}

func TestHeadCostsOneRequestWhenNothingMoved(t *testing.T) {
	o := newOrigin(t, someFiles)
	s, _ := open(t, o.url, gitsource.Options{})
	first := head(t, s)
	requests := o.record()
	if second := head(t, s); second.Revision != first.Revision || second.FS != first.FS {
		t.Errorf("%v is not the same tree as %v", second.Revision, first.Revision)
	}
	if d := cmp.Diff([]string{"GET /acme/config.git/info/refs"}, requests()); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
}

func TestHeadFetchesOnlyWhatIsNew(t *testing.T) {
	many := fstest.MapFS{}
	for i := range 200 {
		many[fmt.Sprintf("apps/a%03d/big.yaml", i)] = &fstest.MapFile{Data: []byte(strings.Repeat(fmt.Sprint(i*7919), 500))}
	}
	o := newOrigin(t, many)
	s, log := open(t, o.url, gitsource.Options{})
	before := head(t, s)
	sent := o.count()
	many["apps/a007/big.yaml"] = &fstest.MapFile{Data: []byte("small: true\n")}
	commit := o.commit(many)
	after := head(t, s)
	if after.Revision.Commit != commit || read(t, after, "apps/a007/big.yaml") != "small: true\n" {
		t.Errorf("got %v, want %s", after.Revision, commit)
	}
	if read(t, before, "apps/a007/big.yaml") == "small: true\n" {
		t.Error("the tree that was handed out before changed")
	}
	if read(t, after, "apps/a100/big.yaml") != read(t, before, "apps/a100/big.yaml") {
		t.Error("a file that did not change did")
	}
	// The three trees on the path to the change have 200 entries at most.
	if n := sent(); n > 12_000 {
		t.Errorf("the server sent %d bytes for one small change", n)
	}
	if log.String() != "" {
		t.Errorf("log: %s", log)
	}
}

func TestManyFetchesStayCorrect(t *testing.T) {
	o := newOrigin(t, files("n", "0"))
	s, log := open(t, o.url, gitsource.Options{CacheDir: t.TempDir()})
	for i := range 40 {
		o.commit(files("n", fmt.Sprint(i), fmt.Sprintf("dir%d/f", i%5), fmt.Sprint(i)))
		tree := head(t, s)
		if got := read(t, tree, "n"); got != fmt.Sprint(i) {
			t.Fatalf("fetch %d gave %s", i, got)
		}
		if got := len(paths(t, tree)); got != 3 {
			t.Fatalf("fetch %d has %d entries", i, got)
		}
	}
	if log.String() != "" {
		t.Errorf("log: %s", log)
	}
}

func TestFetchGivesTheTreeOfTheTargetWithoutTheNetwork(t *testing.T) {
	o := newOrigin(t, someFiles)
	s, _ := open(t, o.url, gitsource.Options{})
	first := head(t, s)
	o.commit(files("new", "x"))
	head(t, s)
	o.http.Close()
	tree, err := s.Fetch(t.Context(), kspec.Target{Name: "prod", Revision: first.Revision})
	check(t, err)
	if d := cmp.Diff(paths(t, first), paths(t, tree)); d != "" || tree.Revision != first.Revision {
		t.Errorf("%v (-want +got):\n%s", tree.Revision, d)
	}
}

func TestFetchAsksTheServerForACommitThatIsNotAtHand(t *testing.T) {
	o := newOrigin(t, files("a", "old"))
	old := o.git("rev-parse", "main")
	o.commit(files("a", "new"))
	s, _ := open(t, o.url, gitsource.Options{})
	tree, err := s.Fetch(t.Context(), kspec.Target{Revision: kspec.Revision{Branch: "main", Commit: old}})
	check(t, err)
	if read(t, tree, "a") != "old" {
		t.Error("not the old commit")
	}
	_, err = s.Fetch(t.Context(), kspec.Target{Name: "prod"})
	fails(t, err, nil, "target prod names no commit", "")
	_, err = s.Fetch(t.Context(), kspec.Target{Revision: kspec.Revision{Commit: "../../etc"}})
	fails(t, err, nil, "is no commit", "")
}

func TestRevisionNamesACommitATagOrABranch(t *testing.T) {
	o := newOrigin(t, files("a", "1"))
	one := o.git("rev-parse", "main")
	o.git("tag", "-a", "-m", "release", "v1", "main")
	o.git("branch", "side", "main")
	two := o.commit(files("a", "2"))
	for revision, want := range map[string]string{one: one, "v1": one, "side": one, "refs/heads/main": two, "main": two} {
		s, _ := open(t, o.url, gitsource.Options{Revision: revision})
		if got := head(t, s).Revision.Commit; got != want {
			t.Errorf("%s: got %s, want %s", revision, got, want)
		}
	}
	s, _ := open(t, o.url, gitsource.Options{Revision: one})
	head(t, s)
	requests := o.record()
	if head(t, s); len(requests()) != 0 {
		t.Errorf("a commit that cannot move was asked for again: %v", requests())
	}
	for _, revision := range []string{"v2", one[:7], "HEAD~1"} {
		s, _ := open(t, o.url, gitsource.Options{Revision: revision})
		_, err := s.Head(t.Context())
		fails(t, err, gitsource.ErrNoRevision, revision, "branches are: main, side")
	}
	s, _ = open(t, o.url, gitsource.Options{Revision: strings.Repeat("1", 40)})
	if _, err := s.Head(t.Context()); err == nil {
		t.Error("a commit that does not exist was read")
	}
}

func TestUnknownBranchNamesThoseThatThereAre(t *testing.T) {
	o := newOrigin(t, someFiles)
	for i := range 12 {
		o.git("branch", fmt.Sprintf("b%02d", i), "main")
	}
	s, _ := open(t, o.url, gitsource.Options{Branch: "mian"})
	_, err := s.Head(t.Context())
	fails(t, err, gitsource.ErrNoRevision, "branch mian", "b00, b01, b02, b03, b04, b05, b06, b07, b08, b09 and 3 more")
}

func TestDeletedBranchIsAnErrorAndTheLastTreeStays(t *testing.T) {
	o := newOrigin(t, someFiles)
	o.git("branch", "prod", "main")
	s, _ := open(t, o.url, gitsource.Options{Branch: "prod"})
	last := head(t, s)
	o.git("branch", "-D", "prod")
	_, err := s.Head(t.Context())
	fails(t, err, gitsource.ErrNoRevision, "branch prod", "main")
	tree, err := s.Fetch(t.Context(), kspec.Target{Revision: last.Revision})
	check(t, err)
	if read(t, tree, "README.md") != "# config\n" {
		t.Error("the last tree is gone")
	}
}

func TestEmptyRepository(t *testing.T) {
	s, _ := open(t, newOrigin(t, nil).url, gitsource.Options{})
	_, err := s.Head(t.Context())
	fails(t, err, gitsource.ErrEmpty, "repository is empty", "push a first commit")
}

func TestHeadOfAServerThatPointsToNoBranch(t *testing.T) {
	o := newOrigin(t, someFiles)
	o.git("symbolic-ref", "HEAD", "refs/heads/gone")
	s, _ := open(t, o.url, gitsource.Options{})
	_, err := s.Head(t.Context())
	fails(t, err, gitsource.ErrNoRevision, "default branch", "there are: main")
}

func TestForcedPushIsNoticed(t *testing.T) {
	tests := []struct {
		name string
		move func(o *origin) // after three commits, of which the source knows the last
		want bool
	}{
		{"one commit more", func(o *origin) { o.commit(files("a", "4")) }, false},
		{"many commits more", func(o *origin) {
			for i := range 5 {
				o.commit(files("a", fmt.Sprint(10+i)))
			}
		}, false},
		{"a merge", func(o *origin) {
			tree := o.git("rev-parse", "main^{tree}")
			o.git("update-ref", "refs/heads/main", o.git("commit-tree", "-m", "Merge", "-p", "main~1", "-p", "main", tree))
			o.commit(files("a", "after the merge"))
		}, false},
		{"back to an older commit", func(o *origin) { o.git("update-ref", "refs/heads/main", "main~2") }, true},
		{"amended", func(o *origin) {
			o.git("update-ref", "refs/heads/main", o.git("commit-tree", "-m", "Other", "-p", "main~1", "main^{tree}"))
		}, true},
		{"without common history", func(o *origin) {
			o.git("update-ref", "refs/heads/main", o.git("commit-tree", "-m", "Other", "main^{tree}"))
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := newOrigin(t, files("a", "1"))
			o.commit(files("a", "2"))
			from := o.commit(files("a", "3"))
			var told []gitsource.Rewrite
			refuse := false
			s, log := open(t, o.url, gitsource.Options{OnRewrite: func(r *gitsource.Rewrite) error {
				told = append(told, *r)
				if refuse {
					return r
				}
				return nil
			}})
			head(t, s)
			tt.move(o)
			to := o.git("rev-parse", "main")
			refuse = true
			_, err := s.Head(t.Context())
			if !tt.want {
				check(t, err)
				if told != nil || log.String() != "" {
					t.Errorf("told %v, log %s", told, log)
				}
				return
			}
			want := gitsource.Rewrite{Branch: "main", From: from, To: to}
			fails(t, err, nil, want.Error(), "")
			if !strings.Contains(log.String(), "history was rewritten") {
				t.Errorf("log: %s", log)
			}
			sent := o.count()
			_, err = s.Head(t.Context())
			fails(t, err, nil, want.Error(), "")
			if sent() > 1500 { // the question after the ancestor, no more
				t.Errorf("what was refused was fetched again: %d bytes", sent())
			}
			refuse = false
			if got := head(t, s); got.Revision.Commit != to {
				t.Errorf("did not follow to %s: %v", to, got.Revision)
			}
			if d := cmp.Diff([]gitsource.Rewrite{want, want, want}, told); d != "" {
				t.Errorf("told (-want +got):\n%s", d)
			}
		})
	}
}

func TestServerThatCanDoLess(t *testing.T) {
	o := newOrigin(t, files("a", "1"))
	o.git("config", "uploadpack.allowFilter", "false")
	o.git("config", "uploadpack.allowReachableSHA1InWant", "false")
	first := o.git("rev-parse", "main")
	s, _ := open(t, o.url, gitsource.Options{Revision: first})
	if got := head(t, s); got.Revision.Commit != first {
		t.Errorf("the head of a branch cannot be had by its name: %v", got.Revision)
	}
	s, log := open(t, o.url, gitsource.Options{OnRewrite: func(r *gitsource.Rewrite) error { return r }})
	head(t, s)
	second := o.commit(files("a", "2"))
	head(t, s)
	if log.String() != "" {
		t.Errorf("one commit more needs no question: %s", log)
	}
	o.commit(files("a", "3"))
	o.commit(files("a", "4"))
	if read(t, head(t, s), "a") != "4" {
		t.Error("not followed")
	}
	if !strings.Contains(log.String(), "cannot tell whether history was rewritten") {
		t.Errorf("log: %s", log)
	}
	s, _ = open(t, o.url, gitsource.Options{Revision: second})
	_, err := s.Head(t.Context())
	fails(t, err, gitsource.ErrNoRevision, second+" is no branch or tag", "local clone")
	_, err = s.Fetch(t.Context(), kspec.Target{Revision: kspec.Revision{Commit: first}})
	fails(t, err, gitsource.ErrNoRevision, first, "local clone")
}

func TestTargetsShareOneSource(t *testing.T) {
	o := newOrigin(t, someFiles)
	for _, dir := range []string{"", t.TempDir()} {
		s, _ := open(t, o.url, gitsource.Options{CacheDir: dir})
		first := head(t, s)
		o.commit(files("README.md", "# config\n", "x"+fmt.Sprint(len(dir)), "y"))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := s.Head(t.Context()); err != nil {
					t.Error(err)
				}
				tree, err := s.Fetch(t.Context(), kspec.Target{Revision: first.Revision})
				if err != nil {
					t.Error(err)
					return
				}
				if err := fstest.TestFS(tree.FS, "README.md"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

// record returns a function that lists the requests since.
func (o *origin) record() func() []string {
	var mu sync.Mutex
	var list []string
	o.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		list = append(list, r.Method+" "+r.URL.Path)
		return false
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return list
	}
}

// count returns a function that tells how many bytes of packs were sent since.
func (o *origin) count() func() int64 {
	var sent atomic.Int64
	next := o.http.Config.Handler
	o.http.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w = &counter{w, &sent}
		}
		next.ServeHTTP(w, r)
	})
	return sent.Load
}

type counter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return c.ResponseWriter.Write(p)
}
