package gitsource_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/gitsource"
)

func allFiles(t *testing.T, dir string) (list []string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, path)
		}
		return err
	}))
	return list
}

func TestCacheOutlivesTheProcess(t *testing.T) {
	o := newOrigin(t, someFiles)
	dir := t.TempDir()
	first, _ := open(t, o.url, gitsource.Options{CacheDir: dir})
	want := head(t, first)

	second, log := open(t, o.url, gitsource.Options{CacheDir: dir})
	requests := o.record()
	tree := head(t, second)
	if tree.Revision != want.Revision || read(t, tree, "README.md") != "# config\n" {
		t.Errorf("got %v, want %v", tree.Revision, want.Revision)
	}
	if got := requests(); len(got) != 1 {
		t.Errorf("requests: %v", got)
	}
	o.Fault = nil
	o.commit(files("README.md", "new", "added", "x"))
	if read(t, head(t, second), "README.md") != "new" {
		t.Error("nothing new")
	}
	third, _ := open(t, o.url, gitsource.Options{CacheDir: dir})
	if read(t, head(t, third), "added") != "x" {
		t.Error("what was fetched on top is not in the cache")
	}
	if log.String() != "" {
		t.Errorf("log: %s", log)
	}
	for _, f := range allFiles(t, dir) {
		if b, err := os.ReadFile(f); err != nil || bytes.Contains(b, []byte("# config")) {
			t.Errorf("%s is checked out (%v)", f, err)
		}
	}
}

func TestForcedPushIsNoticedAcrossProcesses(t *testing.T) {
	o := newOrigin(t, someFiles)
	dir := t.TempDir()
	first, _ := open(t, o.url, gitsource.Options{CacheDir: dir})
	head(t, first)
	o.git("update-ref", "refs/heads/main", o.git("commit-tree", "-m", "Other", "main^{tree}"))
	second, log := open(t, o.url, gitsource.Options{CacheDir: dir})
	head(t, second)
	if !strings.Contains(log.String(), "history was rewritten") {
		t.Errorf("log: %s", log)
	}
}

func TestDamagedCacheIsFetchedAnew(t *testing.T) {
	damage := map[string]func(t *testing.T, path string){
		"a flipped byte": func(t *testing.T, path string) {
			t.Helper()
			b, err := os.ReadFile(path)
			check(t, err)
			b[len(b)/2] ^= 0x40
			check(t, os.Chmod(path, 0o600))
			check(t, os.WriteFile(path, b, 0o600))
		},
		"cut off": func(t *testing.T, path string) {
			t.Helper()
			check(t, os.Chmod(path, 0o600))
			check(t, os.Truncate(path, 15))
		},
		"gone": func(t *testing.T, path string) {
			t.Helper()
			check(t, os.Remove(path))
		},
	}
	for name, harm := range damage {
		for _, suffix := range []string{".pack", ".idx", ".json"} {
			t.Run(name+" "+suffix, func(t *testing.T) {
				o := newOrigin(t, someFiles)
				dir := t.TempDir()
				first, _ := open(t, o.url, gitsource.Options{CacheDir: dir})
				head(t, first)
				for _, f := range allFiles(t, dir) {
					if strings.HasSuffix(f, suffix) {
						harm(t, f)
					}
				}
				for range 2 {
					s, _ := open(t, o.url, gitsource.Options{CacheDir: dir})
					if read(t, head(t, s), "README.md") != "# config\n" {
						t.Error("not the repository")
					}
				}
			})
		}
	}
}

func TestCacheThatNamesFilesElsewhereIsNotFollowed(t *testing.T) {
	o := newOrigin(t, someFiles)
	dir := t.TempDir()
	s, _ := open(t, o.url, gitsource.Options{CacheDir: dir})
	commit := head(t, s).Revision.Commit
	for _, f := range allFiles(t, dir) {
		if strings.HasSuffix(f, ".json") {
			check(t, os.WriteFile(f, fmt.Appendf(nil, `{"branch":"main","commit":%q,"layers":["../../etc"]}`, commit), 0o600))
		}
	}
	s, log := open(t, o.url, gitsource.Options{CacheDir: dir})
	head(t, s)
	if !strings.Contains(log.String(), "cache discarded") {
		t.Errorf("log: %s", log)
	}
}

func TestProcessesShareACache(t *testing.T) {
	o := newOrigin(t, someFiles)
	dir := t.TempDir()
	var sources []*gitsource.Source
	for range 4 {
		s, _ := open(t, o.url, gitsource.Options{CacheDir: dir})
		sources = append(sources, s)
	}
	for i := range 4 {
		var wg sync.WaitGroup
		for _, s := range sources {
			wg.Go(func() {
				tree, err := s.Head(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := fs.ReadFile(tree.FS, "README.md"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		o.commit(files("README.md", fmt.Sprint(i)))
	}
}

func TestOldLayersAreSweptAndUsedOnesStay(t *testing.T) {
	o := newOrigin(t, someFiles)
	dir := t.TempDir()
	s, _ := open(t, o.url, gitsource.Options{CacheDir: dir})
	head(t, s)
	root := filepath.Dir(allFiles(t, dir)[0])
	for filepath.Dir(root) != dir {
		root = filepath.Dir(root)
	}
	lost, fresh := filepath.Join(root, "layer-lost"), filepath.Join(root, "layer-fresh")
	check(t, os.Mkdir(lost, 0o700))
	check(t, os.Mkdir(fresh, 0o700))
	layers, err := filepath.Glob(filepath.Join(root, "layer-*"))
	check(t, err)
	old := time.Now().Add(-48 * time.Hour)
	for _, l := range layers {
		if l != fresh {
			check(t, os.Chtimes(l, old, old))
		}
	}
	o.commit(files("README.md", "new"))
	head(t, s)
	if _, err := os.Stat(lost); err == nil {
		t.Error("a layer that nobody names is still there")
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Error("a layer that another process may be writing is gone")
	}
	again, _ := open(t, o.url, gitsource.Options{CacheDir: dir})
	requests := o.record()
	head(t, again)
	if got := requests(); len(got) != 1 {
		t.Errorf("the layers in use are gone, requests: %v", got)
	}
}

func TestServerThatLeavesOutTooMuchIsAskedForAll(t *testing.T) {
	o := newOrigin(t, files("a", "1", "b", "2"))
	s, log := open(t, o.url, gitsource.Options{})
	head(t, s)
	o.commit(files("a", "1", "b", "3", "c/d", "4"))
	// A pack with the commit alone, whatever is asked for, once.
	var once sync.Once
	o.Fault = func(w http.ResponseWriter, r *http.Request) (done bool) {
		if r.Method != http.MethodPost {
			return false
		}
		once.Do(func() {
			commit := o.git("rev-parse", "main")
			pack := o.raw(commit+"\n", "pack-objects", "--stdout", "-q")
			w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
			fmt.Fprintf(w, "0034shallow %s00000008NAK\n%04x\x01%s0000", commit, len(pack)+5, pack)
			done = true
		})
		return done
	}
	tree := head(t, s)
	if read(t, tree, "c/d") != "4" || read(t, tree, "b") != "3" {
		t.Error("not the new commit")
	}
	if !strings.Contains(log.String(), "fetching anew") {
		t.Errorf("log: %s", log)
	}
	_, err := s.Fetch(t.Context(), kspec.Target{Revision: tree.Revision})
	check(t, err)
}
