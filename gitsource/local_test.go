package gitsource_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/gitsource"
)

// newClone makes a repository with files and one commit of them.
func newClone(t testing.TB, files fs.FS) string {
	t.Helper()
	dir := t.TempDir()
	git(t, dir, "", "init", "-q", "-b", "main")
	check(t, os.CopyFS(dir, files))
	git(t, dir, "", "add", "-A")
	git(t, dir, "", "commit", "-q", "-m", "First")
	return dir
}

func write(t testing.TB, dir string, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		path := filepath.Join(dir, pairs[i])
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		check(t, os.WriteFile(path, []byte(pairs[i+1]), 0o644))
	}
}

func TestCloneIsReadAtHEAD(t *testing.T) {
	dir := newClone(t, someFiles)
	write(t, dir, "README.md", "not committed", "new", "neither")
	s, _ := open(t, dir, gitsource.Options{})
	tree := head(t, s)
	if read(t, tree, "README.md") != "# config\n" {
		t.Error("read what is not committed")
	}
	if got := tree.Revision; got.Branch != "main" || got.Commit != git(t, dir, "", "rev-parse", "HEAD") {
		t.Errorf("revision %v", got)
	}
	check(t, fstest.TestFS(tree.FS, "README.md", "apps/web/deploy.yaml"))
	git(t, dir, "", "commit", "-q", "-a", "-m", "Second")
	second := head(t, s)
	if read(t, second, "README.md") != "not committed" {
		t.Error("the new commit is not read")
	}
	old, err := s.Fetch(t.Context(), kspec.Target{Revision: tree.Revision})
	check(t, err)
	if read(t, old, "README.md") != "# config\n" {
		t.Error("the old commit is gone")
	}
	git(t, dir, "", "checkout", "-q", "--detach")
	if got := head(t, s).Revision; got.Branch != "" || got.Commit != second.Revision.Commit {
		t.Errorf("detached: %v", got)
	}
}

func TestCloneIsFoundTheWayGitFindsIt(t *testing.T) {
	dir := newClone(t, someFiles)
	linked := filepath.Join(t.TempDir(), "linked")
	git(t, dir, "", "branch", "side")
	git(t, dir, "", "worktree", "add", "-q", linked, "side")
	write(t, linked, "side.yaml", "x")
	git(t, linked, "", "add", "-A")
	git(t, linked, "", "commit", "-q", "-m", "Side")
	bare := filepath.Join(t.TempDir(), "bare.git")
	git(t, dir, "", "clone", "-q", "--bare", dir, bare)
	packed := filepath.Join(t.TempDir(), "packed")
	git(t, dir, "", "clone", "-q", dir, packed)
	git(t, packed, "", "gc", "-q")
	shared := filepath.Join(t.TempDir(), "shared")
	git(t, dir, "", "clone", "-q", "--shared", dir, shared)
	link := filepath.Join(t.TempDir(), "link")
	check(t, os.Symlink(dir, link))

	main, side := git(t, dir, "", "rev-parse", "main"), git(t, dir, "", "rev-parse", "side")
	for path, want := range map[string]string{
		dir: main, filepath.Join(dir, "apps", "web"): main, filepath.Join(dir, "README.md"): main,
		linked: side, filepath.Join(linked, "apps"): side,
		bare: main, filepath.Join(bare, "refs"): main, packed: main, shared: main, link: main,
	} {
		s, _ := open(t, path, gitsource.Options{})
		tree := head(t, s)
		if tree.Revision.Commit != want {
			t.Errorf("%s: %v, want %s", path, tree.Revision, want)
		}
		if read(t, tree, "apps/web/deploy.yaml") != "kind: Deployment\n" {
			t.Errorf("%s: the tree is not that of the whole repository", path)
		}
	}
	_, err := gitsource.New(t.TempDir(), gitsource.Options{})
	fails(t, err, nil, "is not in a Git repository", "git init")
}

func TestCloneAtABranchOrRevision(t *testing.T) {
	dir := newClone(t, someFiles)
	first := git(t, dir, "", "rev-parse", "HEAD")
	git(t, dir, "", "tag", "-a", "-m", "release", "v1")
	write(t, dir, "README.md", "2")
	git(t, dir, "", "commit", "-q", "-a", "-m", "Second")
	git(t, dir, "", "update-ref", "refs/remotes/origin/upstream", first)
	second := git(t, dir, "", "rev-parse", "HEAD")
	for want, options := range map[string][]gitsource.Options{
		first: {
			{Revision: "v1"},
			{Revision: "HEAD~1"},
			{Revision: first},
			{Revision: first[:10]},
			{Revision: "main^"},
			{Branch: "upstream"},
			{Revision: "origin/upstream"},
		},
		second: {{Branch: "main"}, {Revision: "main"}, {}},
	} {
		for _, o := range options {
			s, _ := open(t, dir, o)
			if got := head(t, s).Revision; got.Commit != want {
				t.Errorf("%q %q: %v, want %s", o.Branch, o.Revision, got, want)
			}
		}
	}
	s, _ := open(t, dir, gitsource.Options{Branch: "none"})
	_, err := s.Head(t.Context())
	fails(t, err, gitsource.ErrNoRevision, "branch none", "there are: main")
	s, _ = open(t, dir, gitsource.Options{Revision: "v9"})
	_, err = s.Head(t.Context())
	fails(t, err, gitsource.ErrNoRevision, "v9", "main")
	s, _ = open(t, dir, gitsource.Options{})
	_, err = s.Fetch(t.Context(), kspec.Target{Revision: kspec.Revision{Commit: strings.Repeat("1", 40)}})
	fails(t, err, gitsource.ErrNoRevision, "object not found", "fetch it")
}

func TestCloneWithoutCommits(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "", "init", "-q", "-b", "main")
	write(t, dir, "a.yaml", "1")
	s, _ := open(t, dir, gitsource.Options{})
	_, err := s.Head(t.Context())
	fails(t, err, gitsource.ErrEmpty, "HEAD has no commit", "worktree")
	s, _ = open(t, dir, gitsource.Options{Worktree: true})
	if read(t, head(t, s), "a.yaml") != "1" {
		t.Error("the worktree is not read")
	}
}

func TestCloneInAFormatThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "", "init", "-q", "--object-format=sha256")
	_, err := gitsource.New(dir, gitsource.Options{})
	fails(t, err, nil, dir, "SHA-256")
}

func TestWorktreeIsReadAsItIsOnDisk(t *testing.T) {
	dir := newClone(t, files("README.md", "old", "gone", "x", ".gitignore", "*.log\n/build/\nsecret.yaml\n!keep.log\n", "tracked.log", "t"))
	git(t, dir, "", "add", "-f", "tracked.log")
	git(t, dir, "", "commit", "-q", "-m", "Tracked")
	check(t, os.Remove(filepath.Join(dir, "gone")))
	write(t, dir,
		"README.md", "new", "apps/new.yaml", "n", "a.log", "ignored", "keep.log", "kept", "build/out", "ignored",
		"apps/secret.yaml", "ignored", "apps/.gitignore", "local.yaml\n", "apps/local.yaml", "ignored", "local.yaml", "not ignored",
		".git/info/exclude", "excluded\n", "excluded", "ignored", "sub/.git/HEAD", "nested", "sub/x", "nested")
	check(t, os.Symlink("/etc/passwd", filepath.Join(dir, "link")))
	check(t, os.Symlink("README.md", filepath.Join(dir, "inner")))
	check(t, os.Mkdir(filepath.Join(dir, "empty"), 0o755))
	check(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))

	s, _ := open(t, filepath.Join(dir, "apps"), gitsource.Options{Worktree: true})
	tree := head(t, s)
	want := []string{
		".gitignore", "README.md", "apps/", "apps/.gitignore", "apps/new.yaml", "inner", "keep.log", "link", "local.yaml", "sub", "tracked.log",
	}
	if d := cmp.Diff(want, paths(t, tree)); d != "" {
		t.Errorf("paths (-want +got):\n%s", d)
	}
	if read(t, tree, "README.md") != "new" {
		t.Error("read the commit")
	}
	if got := tree.Revision.String(); got != "worktree" {
		t.Errorf("revision %s", got)
	}
	for path, why := range map[string]error{
		"link": gitsource.ErrSymlink, "inner": gitsource.ErrSymlink, "sub/x": gitsource.ErrSubmodule, ".git/config": fs.ErrNotExist, "pipe": fs.ErrNotExist,
	} {
		_, err := fs.ReadFile(tree.FS, path)
		fails(t, err, why, path, "")
	}
	write(t, dir, "README.md", "newer", "later", "l")
	again, err := s.Fetch(t.Context(), kspec.Target{Revision: tree.Revision})
	check(t, err)
	if read(t, again, "README.md") != "newer" || read(t, again, "later") != "l" {
		t.Error("the worktree is not read anew")
	}
	_, err = s.Fetch(t.Context(), kspec.Target{Revision: kspec.Revision{Commit: git(t, dir, "", "rev-parse", "HEAD")}})
	fails(t, err, gitsource.ErrNoRevision, "worktree", "")
	check(t, fstest.TestFS(newWorktree(t, someFiles).FS, "README.md"))
}

func newWorktree(t *testing.T, f fs.FS) kspec.Tree {
	t.Helper()
	s, _ := open(t, newClone(t, f), gitsource.Options{Worktree: true})
	return head(t, s)
}

func TestWorktreeFilesSwappedForLinksAreRefused(t *testing.T) {
	dir := newClone(t, someFiles)
	s, _ := open(t, dir, gitsource.Options{Worktree: true, Limits: gitsource.Limits{FileBytes: 100}})
	tree := head(t, s)
	for _, target := range []string{"/etc/passwd", "apps/web/deploy.yaml"} {
		check(t, os.Remove(filepath.Join(dir, "README.md")))
		check(t, os.Symlink(target, filepath.Join(dir, "README.md")))
		_, err := fs.ReadFile(tree.FS, "README.md")
		fails(t, err, gitsource.ErrSymlink, "README.md", "")
	}
	outside := t.TempDir()
	write(t, outside, "deploy.yaml", "stolen")
	check(t, os.RemoveAll(filepath.Join(dir, "apps/web")))
	check(t, os.Symlink(outside, filepath.Join(dir, "apps/web")))
	if b, err := fs.ReadFile(tree.FS, "apps/web/deploy.yaml"); err == nil {
		t.Errorf("read %q through a folder that became a link", b)
	}
	check(t, os.Remove(filepath.Join(dir, "README.md")))
	write(t, dir, "README.md", strings.Repeat("x", 101))
	_, err := fs.ReadFile(tree.FS, "README.md")
	fails(t, err, nil, "more than 100 bytes (limit FileBytes)", "")
}

func TestWorktreeKeepsTheLimits(t *testing.T) {
	content := fstest.MapFS{}
	for i := range 10 {
		content[fmt.Sprintf("d/f%d", i)] = &fstest.MapFile{Data: []byte("0123456789")}
	}
	dir := newClone(t, content)
	for _, l := range []gitsource.Limits{{Files: 11}, {TreeBytes: 100}, {Depth: 1}} {
		s, _ := open(t, dir, gitsource.Options{Worktree: true, Limits: l})
		head(t, s)
	}
	for name, l := range map[string]gitsource.Limits{"Files": {Files: 10}, "TreeBytes": {TreeBytes: 99}} {
		s, _ := open(t, dir, gitsource.Options{Worktree: true, Limits: l})
		_, err := s.Head(t.Context())
		fails(t, err, nil, name, "")
	}
}
