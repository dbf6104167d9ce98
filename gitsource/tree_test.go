package gitsource_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/gitsource"
)

func TestLinksAndSubmodulesAreListedAndRefused(t *testing.T) {
	o := newOrigin(t, nil)
	o.plant(
		entry{mode: "120000", name: "circle", content: "circle"},
		entry{mode: "160000", name: "module", hash: strings.Repeat("ab", 20)},
		entry{mode: "120000", name: "nowhere", content: "missing"},
		entry{mode: "120000", name: "passwd", content: "/etc/passwd"},
		entry{mode: "100644", name: "real", content: "here"},
		entry{mode: "100755", name: "run.sh", content: "#!/bin/sh"},
		entry{mode: "120000", name: "up", content: "../../x"},
	)
	s, _ := open(t, o.url, gitsource.Options{})
	tree := head(t, s)
	if read(t, tree, "real") != "here" || read(t, tree, "run.sh") != "#!/bin/sh" {
		t.Error("the links stopped the files")
	}
	want := []string{"circle", "module", "nowhere", "passwd", "real", "run.sh", "up"}
	if d := cmp.Diff(want, paths(t, tree)); d != "" {
		t.Errorf("paths (-want +got):\n%s", d)
	}
	for path, why := range map[string]error{
		"circle": gitsource.ErrSymlink, "nowhere": gitsource.ErrSymlink, "passwd": gitsource.ErrSymlink,
		"up": gitsource.ErrSymlink, "up/below": gitsource.ErrSymlink, "module": gitsource.ErrSubmodule, "module/x": gitsource.ErrSubmodule,
	} {
		_, err := fs.ReadFile(tree.FS, path)
		fails(t, err, why, path+": "+why.Error(), "")
		_, err = tree.FS.Open(path)
		fails(t, err, why, path, "")
		_, err = fs.Stat(tree.FS, path)
		fails(t, err, why, path, "")
		_, err = fs.ReadDir(tree.FS, path)
		fails(t, err, why, path, "")
	}
	entries, err := fs.ReadDir(tree.FS, ".")
	check(t, err)
	for _, e := range entries {
		if e.Type().IsRegular() != (e.Name() == "real" || e.Name() == "run.sh") || e.IsDir() {
			t.Errorf("%s is listed as %s", e.Name(), e.Type())
		}
	}
}

func TestFilesOfACommitTellTheirHash(t *testing.T) {
	o := newOrigin(t, nil)
	o.plant(
		entry{mode: "120000", name: "link", content: "one"},
		entry{mode: "100644", name: "one", content: "here"},
		entry{mode: "100644", name: "three", content: "there"},
		entry{mode: "100755", name: "two", content: "here"},
	)
	s, _ := open(t, o.url, gitsource.Options{})
	tree := head(t, s).FS.(interface{ Hash(string) (string, bool) })
	hash := map[string]string{}
	for _, name := range []string{"one", "two", "three"} {
		h, ok := tree.Hash(name)
		if !ok || len(h) != 40 {
			t.Errorf("hash of %s: %q, %v", name, h, ok)
		}
		hash[name] = h
	}
	if hash["one"] != hash["two"] || hash["one"] == hash["three"] {
		t.Errorf("equal hashes are not of equal content: %v", hash)
	}
	for _, name := range []string{".", "link", "none", "../one"} {
		if h, ok := tree.Hash(name); ok {
			t.Errorf("%s, which is no file, has the hash %s", name, h)
		}
	}
}

func TestAFolderOfACommitKnowsHashesToo(t *testing.T) {
	o := newOrigin(t, fstest.MapFS{"apps/web/deploy.yaml": {Data: []byte("kind: Deployment\n")}, "apps/README.md": {Data: []byte("apps")}, "one": {Data: []byte("1")}})
	s, _ := open(t, o.url, gitsource.Options{})
	tree := head(t, s)
	apps, err := fs.Sub(tree.FS, "apps")
	check(t, err)
	web, err := fs.Sub(apps, "web")
	check(t, err)
	check(t, fstest.TestFS(apps, "README.md", "web/deploy.yaml"))
	type hasher interface{ Hash(string) (string, bool) }
	want, _ := tree.FS.(hasher).Hash("apps/web/deploy.yaml")
	for path, tree := range map[string]fs.FS{"web/deploy.yaml": apps, "deploy.yaml": web} {
		if got, _ := tree.(hasher).Hash(path); got != want || got == "" {
			t.Errorf("hash of %s: %q, want %q", path, got, want)
		}
	}
	for _, path := range []string{".", "../one", "one", "../apps/README.md"} {
		if h, ok := apps.(hasher).Hash(path); ok {
			t.Errorf("%s, which is no file of the folder, has the hash %s", path, h)
		}
	}
	for _, path := range []string{"none", "one", "../apps"} {
		if _, err := fs.Sub(tree.FS, path); err == nil {
			t.Errorf("%s, which is no folder, has a tree", path)
		}
	}
}

func TestOddNamesAreRefusedOneByOne(t *testing.T) {
	odd := []string{"a\nb.yaml", "esc\x1b[31m", "tab\t", "bidi\u202etxt", `back\slash`, "\xff\xfe", strings.Repeat("n", 256)}
	entries := []entry{{mode: "100644", name: "good", content: "1"}, {mode: "40000", name: "dir\r"}}
	for _, name := range odd {
		entries = append(entries, entry{mode: "100644", name: name, content: "secret"})
	}
	o := newOrigin(t, nil)
	o.plant(entries...)
	s, _ := open(t, o.url, gitsource.Options{})
	tree := head(t, s)
	if read(t, tree, "good") != "1" {
		t.Error("odd names stopped a good one")
	}
	for _, name := range append(odd, "dir\r") {
		_, err := fs.ReadFile(tree.FS, name)
		want := gitsource.ErrName
		if !fs.ValidPath(name) {
			want = fs.ErrInvalid
		}
		fails(t, err, want, "read ", "")
	}
	_, err := fs.ReadFile(tree.FS, "a\nb.yaml")
	fails(t, err, nil, `read a\nb.yaml: `, "")
}

func TestCommitsThatAttackTheirReadersAreRefusedWhole(t *testing.T) {
	names := []string{
		"..", ".", ".git", ".GIT", ".Git ", ".git.", "git~1", "GIT~1", ".git::$INDEX_ALLOCATION",
		".g\u200cit", "\ufeff.git", `.git\hooks`, "a/b", "../x",
	}
	for _, name := range names {
		t.Run(fmt.Sprintf("%q", name), func(t *testing.T) {
			o := newOrigin(t, nil)
			o.plant(entry{mode: "100644", name: name, content: "x"})
			s, _ := open(t, o.url, gitsource.Options{})
			_, err := s.Head(t.Context())
			fails(t, err, nil, "no entry may have this name", "")
			if !kspec.IsTerminal(err) {
				t.Error("the same commit would be fetched again and again")
			}
		})
	}
	for name, entries := range map[string][]entry{
		"two entries have this name": {{mode: "100644", name: "a", content: "1"}, {mode: "40000", name: "a"}},
	} {
		o := newOrigin(t, nil)
		o.plant(entries...)
		s, _ := open(t, o.url, gitsource.Options{})
		_, err := s.Head(t.Context())
		fails(t, err, nil, name, "")
	}
}

func TestGoodNamesThatLookLikeBadOnesAreFine(t *testing.T) {
	want := files(".github/x", "1", ".gitignore", "2", "git", "3", "a..b", "4", "...", "5", "über/naïve.yaml", "6", "-o", "7", "git~2", "8", "a b", "9")
	s, _ := open(t, newOrigin(t, want).url, gitsource.Options{})
	tree := head(t, s)
	for path, f := range want {
		if got := read(t, tree, path); got != string(f.Data) {
			t.Errorf("%s: %q", path, got)
		}
	}
}

func TestPathsThatLeaveTheTreeAreInvalid(t *testing.T) {
	s, _ := open(t, newOrigin(t, someFiles).url, gitsource.Options{})
	tree := head(t, s)
	for _, path := range []string{"../x", "/etc/passwd", "apps/../../x", "apps/./web", "apps/web/", "", "apps\x00"} {
		_, err := fs.ReadFile(tree.FS, path)
		if !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", path, err)
		}
	}
	_, err := fs.ReadFile(tree.FS, "apps/web")
	fails(t, err, nil, "apps/web: is a folder", "")
	_, err = fs.ReadDir(tree.FS, "README.md")
	fails(t, err, nil, "README.md: is not a folder", "")
	_, err = fs.ReadFile(tree.FS, "apps/none/x")
	fails(t, err, fs.ErrNotExist, "apps/none/x", "")
}

func TestOpenFilesReadSeekAndListInSteps(t *testing.T) {
	s, _ := open(t, newOrigin(t, someFiles).url, gitsource.Options{})
	tree := head(t, s)
	f, err := tree.FS.Open("README.md")
	check(t, err)
	seeker, ok := f.(io.ReadSeeker)
	if !ok {
		t.Fatal("files cannot seek")
	}
	_, err = seeker.Seek(2, io.SeekStart)
	check(t, err)
	if b, err := io.ReadAll(f); err != nil || string(b) != "config\n" {
		t.Errorf("%q, %v", b, err)
	}
	check(t, f.Close())
	b, err := fs.ReadFile(tree.FS, "README.md")
	check(t, err)
	copy(b, "XXXX")
	if read(t, tree, "README.md") != "# config\n" {
		t.Error("a reader changed the tree")
	}
}

func TestLimits(t *testing.T) {
	// 3 files and 2 folders; big is bigger than the commit object.
	big := bytes.Repeat([]byte("b"), 1000)
	content := fstest.MapFS{
		"a/b/big":  {Data: big},
		"a/middle": {Data: bytes.Repeat([]byte("m"), 50)},
		"small":    {Data: bytes.Repeat([]byte("s"), 10)},
	}
	o := newOrigin(t, content)
	tests := []struct {
		limit   string
		at      gitsource.Limits
		beyond  gitsource.Limits
		message string
	}{
		{"Files", gitsource.Limits{Files: 5}, gitsource.Limits{Files: 4}, "more than 4 (limit Files)"},
		{"Depth", gitsource.Limits{Depth: 2}, gitsource.Limits{Depth: 1}, "a/b: more than 1 (limit Depth)"},
		{"TreeBytes", gitsource.Limits{TreeBytes: 1060}, gitsource.Limits{TreeBytes: 1059}, "more than 1059 bytes (limit TreeBytes)"},
		{"ObjectBytes", gitsource.Limits{ObjectBytes: 1000}, gitsource.Limits{ObjectBytes: 999}, "more than 999 bytes (limit ObjectBytes)"},
	}
	for _, tt := range tests {
		t.Run(tt.limit, func(t *testing.T) {
			s, _ := open(t, o.url, gitsource.Options{Limits: tt.at})
			if tree := head(t, s); read(t, tree, "a/b/big") != string(big) {
				t.Error("not readable at the limit")
			}
			s, _ = open(t, o.url, gitsource.Options{Limits: tt.beyond})
			_, err := s.Head(t.Context())
			fails(t, err, nil, tt.message, "")
			var l *gitsource.LimitError
			if !errors.As(err, &l) || l.Limit != tt.limit {
				t.Errorf("%v is no LimitError of %s", err, tt.limit)
			}
			if !kspec.IsTerminal(err) {
				t.Error("the same commit would be fetched again and again")
			}
		})
	}
	t.Run("FileBytes", func(t *testing.T) {
		s, _ := open(t, o.url, gitsource.Options{Limits: gitsource.Limits{FileBytes: 1000}})
		if tree := head(t, s); read(t, tree, "a/b/big") != string(big) {
			t.Error("not readable at the limit")
		}
		s, _ = open(t, o.url, gitsource.Options{Limits: gitsource.Limits{FileBytes: 999}})
		tree := head(t, s)
		_, err := fs.ReadFile(tree.FS, "a/b/big")
		fails(t, err, nil, "a/b/big: more than 999 bytes (limit FileBytes)", "")
		if len(read(t, tree, "a/middle")) != 50 {
			t.Error("one big file stopped another")
		}
		if info, err := fs.Stat(tree.FS, "a/b/big"); err != nil || info.Size() != 1000 {
			t.Errorf("%v, %v", info, err)
		}
	})
}
