package kspec_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

func TestPackageDocs(t *testing.T) {
	for path, p := range allPackages(t) {
		if !p.ours() {
			continue
		}
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = "Command "
		}
		if !strings.HasPrefix(p.Doc, want) {
			t.Errorf("%s: the package comment begins %q, want %q", path, p.Doc, want)
		}
	}
}

// Below these versions lie known holes.
func TestGoModVersions(t *testing.T) {
	data, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for _, r := range mod.Require {
		have[r.Mod.Path] = r.Mod.Version
	}
	for module, floor := range map[string]string{
		"github.com/go-git/go-git/v5":                "v5.19.2", // symbolic links and names of refs that leave the repo
		"github.com/sigstore/cosign/v2":              "v2.6.5",  // bundles of another artifact verified
		"github.com/sigstore/sigstore-go":            "v1.3.0",
		"github.com/sigstore/sigstore":               "v1.10.8",
		"github.com/sigstore/timestamp-authority/v2": "v2.1.3",
		"github.com/google/go-containerregistry":     "v0.22.1",
		"github.com/hashicorp/go-retryablehttp":      "v0.7.7", // credentials in URLs were logged
	} {
		if semver.Compare(have[module], floor) < 0 {
			t.Errorf("%s is %q, want %s or later", module, have[module], floor)
		}
	}
	if len(mod.Replace) > 0 {
		t.Errorf("go.mod replaces %v: \"go install\" then refuses the module", mod.Replace)
	}
}

func TestLicense(t *testing.T) {
	data, err := os.ReadFile("LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Apache License", "Version 2.0, January 2004", "END OF TERMS AND CONDITIONS"} {
		if !strings.Contains(string(data), want) {
			t.Errorf("LICENSE lacks %q", want)
		}
	}
}

// tracked lists the files of the repo, also those not added to it yet.
func tracked(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatal(err)
	}
	files := strings.Fields(string(out))
	if len(files) < 50 {
		t.Fatalf("git names %d files only", len(files))
	}
	return files
}

// What is in the repo is finished: nothing is marked as to be done, and no
// test is skipped.
func TestNoMarks(t *testing.T) {
	marks := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b|\.Sk` + `ip(Now|f)?\(|panic\("(not imple` + `mented|unimple` + `mented)`)
	texts := []string{".go", ".md", ".yaml", ".yml", ".sh", ".txtar"}
	for _, file := range tracked(t) {
		if !slices.Contains(texts, filepath.Ext(file)) && filepath.Base(file) != "Makefile" || strings.Contains(file, "testdata/fuzz/") {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			continue // deleted, but not committed yet
		}
		for i, line := range strings.Split(string(data), "\n") {
			if marks.MatchString(line) {
				t.Errorf("%s:%d: %s", file, i+1, strings.TrimSpace(line))
			}
		}
	}
}

// Links between the pages lead to files that are there.
func TestLinksOfTheDocs(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]*)(#[^)]*)?\)`)
	pages := 0
	for _, file := range tracked(t) {
		if filepath.Ext(file) != ".md" {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			continue // deleted, but not committed yet
		}
		pages++
		for _, m := range link.FindAllStringSubmatch(string(data), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			page := filepath.Join(filepath.Dir(file), m[1])
			if m[1] == "" {
				page = file
			}
			if _, err := os.Stat(page); err != nil {
				t.Errorf("%s links to %s, which is not there", file, m[1])
			}
			if m[2] != "" && !slices.Contains(anchors(t, page), m[2]) {
				t.Errorf("%s links to %s%s, and there is no such heading", file, m[1], m[2])
			}
		}
	}
	if pages == 0 {
		t.Error("no page was found")
	}
}

// anchors lists the headings of a page as GitHub links to them.
func anchors(t *testing.T, page string) []string {
	t.Helper()
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(data), -1) {
		words := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, "#"+strings.ReplaceAll(words, " ", "-"))
	}
	return all
}

// Every decision is in the index, by its title.
func TestDecisionsAreIndexed(t *testing.T) {
	index, err := os.ReadFile("docs/decisions/README.md")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := fs.Glob(os.DirFS("docs/decisions"), "0*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal("no decisions", err)
	}
	numbers := map[string]string{}
	var lines strings.Builder
	for _, page := range pages {
		data, err := os.ReadFile("docs/decisions/" + page)
		if err != nil {
			t.Fatal(err)
		}
		if other := numbers[page[:4]]; other != "" {
			t.Errorf("%s and %s have one number", page, other)
		}
		numbers[page[:4]] = page
		title, _, _ := strings.Cut(string(data), "\n")
		_, title, ok := strings.Cut(title, ". ")
		if !ok {
			t.Errorf("%s: want a title such as \"# %s. What was decided\"", page, strings.TrimLeft(page[:4], "0"))
		}
		lines.WriteString("- [" + page[:4] + "](" + page + ") " + title + "\n")
	}
	head, rest, ok := strings.Cut(string(index), "\n<!-- decisions -->\n")
	if !ok {
		t.Fatal("docs/decisions/README.md has no comment <!-- decisions -->")
	}
	if rest == lines.String() {
		return
	}
	if os.Getenv("KSPEC_UPDATE") == "" {
		t.Fatal("docs/decisions/README.md does not list the decisions as they are: rewrite it with KSPEC_UPDATE=1")
	}
	text := head + "\n<!-- decisions -->\n" + lines.String()
	if err := os.WriteFile("docs/decisions/README.md", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Every direct requirement has its row, with a reason, among the decisions.
func TestDependenciesAreExplained(t *testing.T) {
	data, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("docs/decisions/0012-dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Require {
		if !r.Indirect && !strings.Contains(string(page), "`"+r.Mod.Path+"`") {
			t.Errorf("docs/decisions/0012-dependencies.md has no row for %s", r.Mod.Path)
		}
	}
	for _, m := range regexp.MustCompile("`([a-z0-9.]+/[^`]*)`").FindAllStringSubmatch(string(page), -1) {
		required := slices.ContainsFunc(mod.Require, func(r *modfile.Require) bool { return r.Mod.Path == m[1] })
		if strings.Contains(strings.SplitN(m[1], "/", 2)[0], ".") && !required {
			t.Errorf("docs/decisions/0012-dependencies.md has a row for %s, which go.mod does not require", m[1])
		}
	}
}
