package gitsource_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/fixtures/gitserver"
	"github.com/cloudcwfranck/kspec/gitsource"
)

const repoName = "acme/config.git"

// origin is a bare repository and the server it is on.
type origin struct {
	*gitserver.Server
	t    testing.TB
	http *httptest.Server
	url  string
}

// newOrigin serves a repository with these files on its branch main; nil
// leaves it empty.
func newOrigin(t testing.TB, files fs.FS) *origin {
	t.Helper()
	o := &origin{Server: &gitserver.Server{Root: t.TempDir()}, t: t}
	check(t, o.Create(repoName, "main", files))
	o.http = httptest.NewServer(o.Server)
	t.Cleanup(o.http.Close)
	o.url = o.http.URL + "/" + repoName
	return o
}

// git runs git in the bare repository and returns what it prints.
func (o *origin) git(args ...string) string { return o.gitWith("", args...) }

func (o *origin) gitWith(stdin string, args ...string) string {
	o.t.Helper()
	return git(o.t, filepath.Join(o.Root, repoName), stdin, args...)
}

func (o *origin) commit(files fs.FS) string {
	o.t.Helper()
	check(o.t, o.Commit(repoName, "main", "Change something", files))
	return o.git("rev-parse", "main")
}

// plant makes the branch main a commit whose root tree holds these raw
// entries besides, each "MODE NAME\x00CONTENT"; a tree may say what it likes.
func (o *origin) plant(entries ...entry) {
	o.t.Helper()
	var tree bytes.Buffer
	for _, e := range entries {
		kind := "blob"
		if e.mode == "40000" {
			kind = "tree"
		}
		h := e.hash
		if h == "" {
			h = o.gitWith(e.content, "hash-object", "-w", "--literally", "-t", kind, "--stdin")
		}
		fmt.Fprintf(&tree, "%s %s\x00", e.mode, e.name)
		for i := 0; i < len(h); i += 2 {
			var b byte
			_, err := fmt.Sscanf(h[i:i+2], "%02x", &b)
			check(o.t, err)
			tree.WriteByte(b)
		}
	}
	h := o.gitWith(tree.String(), "hash-object", "-w", "--literally", "-t", "tree", "--stdin")
	o.git("update-ref", "refs/heads/main", o.git("commit-tree", "-m", "Plant", h))
}

type entry struct{ mode, name, content, hash string }

// raw returns what git prints, byte for byte.
func (o *origin) raw(stdin string, args ...string) string {
	o.t.Helper()
	return output(o.t, filepath.Join(o.Root, repoName), stdin, args...)
}

func git(t testing.TB, dir, stdin string, args ...string) string {
	t.Helper()
	return strings.TrimSpace(output(t, dir, stdin, args...))
}

func output(t testing.TB, dir, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	cmd.Env = append(os.Environ(),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com",
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
	)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, &stderr)
	}
	return string(out)
}

// open makes a source whose log goes to the returned buffer.
func open(t testing.TB, repo string, o gitsource.Options) (*gitsource.Source, *buffer) {
	t.Helper()
	log := &buffer{}
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	s, err := gitsource.New(repo, o)
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	return s, log
}

func head(t testing.TB, s *gitsource.Source) kspec.Tree {
	t.Helper()
	tree, err := s.Head(t.Context())
	check(t, err)
	return tree
}

func read(t testing.TB, tree kspec.Tree, path string) string {
	t.Helper()
	b, err := fs.ReadFile(tree.FS, path)
	check(t, err)
	return string(b)
}

// paths lists everything in a tree, with a mark for what is no file.
func paths(t testing.TB, tree kspec.Tree) []string {
	t.Helper()
	var list []string
	check(t, fs.WalkDir(tree.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && path != "." {
			list = append(list, path+map[bool]string{true: "/", false: ""}[d.IsDir()])
		}
		return err
	}))
	return list
}

func files(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1]), Mode: 0o644}
	}
	return m
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fails checks what an error says, in text and hint, and that it is a given
// one when want is not nil.
func fails(t testing.TB, err, want error, text, hint string) {
	t.Helper()
	switch {
	case err == nil:
		t.Fatalf("no error, want one with %q", text)
	case want != nil && !errors.Is(err, want):
		t.Errorf("error %q is not %q", err, want)
	case !strings.Contains(err.Error(), text):
		t.Errorf("error %q does not say %q", err, text)
	case !strings.Contains(kspec.HintOf(err), hint):
		t.Errorf("hint %q of %q does not say %q", kspec.HintOf(err), err, hint)
	}
	if i := strings.IndexFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x202e }); i >= 0 {
		t.Errorf("error %q holds control characters", err)
	}
}

// buffer is a bytes.Buffer for many writers.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// edit commits one file on top of main, without a checkout.
func (o *origin) edit(path, content string) {
	o.t.Helper()
	index := filepath.Join(o.t.TempDir(), "index")
	run := func(args ...string) string {
		return strings.TrimSpace(o.gitWith(content, append([]string{"-c", "core.bare=true"}, args...)...))
	}
	o.t.(interface{ Setenv(string, string) }).Setenv("GIT_INDEX_FILE", index)
	run("read-tree", "main")
	run("update-index", "--add", "--cacheinfo", "100644,"+run("hash-object", "-w", "--stdin")+","+path)
	run("update-ref", "refs/heads/main", run("commit-tree", "-p", "main", "-m", "Edit", run("write-tree")))
}
