package gitsource_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/gitsource"
)

// bigRepo has 10,000 files of a config repo's kind in 1,000 folders.
func bigRepo(b *testing.B) *origin {
	b.Helper()
	m := fstest.MapFS{}
	for i := range 10_000 {
		path := fmt.Sprintf("apps/team-%02d/app-%03d/file-%d.yaml", i%20, i/10, i%10)
		m[path] = &fstest.MapFile{Mode: 0o644, Data: fmt.Appendf(nil,
			"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app-%d\nspec:\n  replicas: %d\n  template:\n    spec:\n      containers:\n      - name: app\n        image: registry.example.com/app-%d:v%d\n", i, i%7, i, i*31)}
	}
	return newOrigin(b, m)
}

// BenchmarkFetch10000Files compares a first fetch with a shallow clone by git
// from the same server.
func BenchmarkFetch10000Files(b *testing.B) {
	o := bigRepo(b)
	b.Run("git", func(b *testing.B) {
		for b.Loop() {
			git(b, b.TempDir(), "", "clone", "-q", "--depth=1", "--bare", o.url, "clone")
		}
	})
	for name, cached := range map[string]bool{"memory": false, "disk": true} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				options := gitsource.Options{}
				if cached {
					options.CacheDir = b.TempDir()
				}
				s, _ := open(b, o.url, options)
				head(b, s)
			}
		})
	}
	b.Run("disk, fetched before", func(b *testing.B) {
		dir := b.TempDir()
		s, _ := open(b, o.url, gitsource.Options{CacheDir: dir})
		head(b, s)
		for b.Loop() {
			s, _ := open(b, o.url, gitsource.Options{CacheDir: dir})
			head(b, s)
		}
	})
}

// BenchmarkHead measures a look at a server where nothing moved, next to git.
func BenchmarkHead(b *testing.B) {
	o := bigRepo(b)
	b.Run("git ls-remote", func(b *testing.B) {
		for b.Loop() {
			git(b, b.TempDir(), "", "ls-remote", "-q", o.url, "HEAD")
		}
	})
	b.Run("unchanged", func(b *testing.B) {
		s, _ := open(b, o.url, gitsource.Options{})
		head(b, s)
		for b.Loop() {
			head(b, s)
		}
	})
	b.Run("one file changed", func(b *testing.B) {
		s, _ := open(b, o.url, gitsource.Options{})
		head(b, s)
		n := 0
		for b.Loop() {
			b.StopTimer()
			n++
			o.edit("apps/team-00/app-000/file-0.yaml", fmt.Sprint("n: ", n))
			b.StartTimer()
			head(b, s)
		}
	})
}

// BenchmarkRead measures reading from a tree.
func BenchmarkRead(b *testing.B) {
	o := bigRepo(b)
	for name, dir := range map[string]string{"memory": "", "disk": b.TempDir()} {
		s, _ := open(b, o.url, gitsource.Options{CacheDir: dir})
		tree := head(b, s)
		b.Run(name+"/file", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := fs.ReadFile(tree.FS, "apps/team-07/app-100/file-7.yaml"); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/walk and read all", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				readAll(b, tree)
			}
		})
		b.Run(name+"/Fetch at hand", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Fetch(b.Context(), kspec.Target{Revision: tree.Revision}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func readAll(b *testing.B, tree kspec.Tree) {
	b.Helper()
	n := 0
	check(b, fs.WalkDir(tree.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		_, err = fs.ReadFile(tree.FS, path)
		return err
	}))
	if n != 10_000 {
		b.Fatalf("%d files", n)
	}
}

// BenchmarkWorktree measures listing 10,000 files on disk.
func BenchmarkWorktree(b *testing.B) {
	o := bigRepo(b)
	dir := filepath.Join(b.TempDir(), "clone")
	git(b, b.TempDir(), "", "clone", "-q", o.url, dir)
	for name, options := range map[string]gitsource.Options{"worktree": {Worktree: true}, "clone at HEAD": {}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s, _ := open(b, dir, options)
				head(b, s)
			}
		})
	}
}

// BenchmarkUnapproved walks a history of 5,000 commits of a clone, the first of
// which wrote what is asked about.
func BenchmarkUnapproved(b *testing.B) {
	dir := b.TempDir()
	git(b, dir, "", "init", "-q", "--bare", "-b", "main")
	var history strings.Builder
	for i := range 5000 {
		file, text := fmt.Sprintf("apps/team-%02d/file-%d", i%20, i%100), fmt.Sprint(i)
		if i == 0 {
			file, text = "clusters/prod.yaml", legacy("")
		}
		fmt.Fprintf(&history, "commit refs/heads/main\ncommitter A <a@example.com> %d +0000\ndata 1\nm\nM 644 inline %s\ndata %d\n%s\n",
			1764000000+i, file, len(text), text)
	}
	git(b, dir, history.String(), "fast-import", "--quiet")
	s, _ := open(b, dir, gitsource.Options{})
	signed := gitsource.Signed{Source: s, Signers: gitsource.Signers{"ada": {}}}
	p := passage("ada", git(b, dir, "", "rev-parse", "main"))
	b.ReportAllocs()
	for b.Loop() {
		if why, err := signed.Unapproved(b.Context(), p); err != nil || !strings.Contains(why, "it has no signature") {
			b.Fatal(why, err)
		}
	}
}
