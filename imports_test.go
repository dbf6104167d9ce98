package kspec_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

const modulePath = "github.com/cloudcwfranck/kspec"

// folder is a row of the table of packages: what a folder is for, and from
// which folders of this module it may import. The most specific row that holds
// a package is its row.
type folder struct {
	path string
	what string
	own  []string
}

// table is the architecture. docs/architecture.md shows it; rewrite that with
// KSPEC_UPDATE=1.
func table() []folder {
	return []folder{
		{".", "the vocabulary: nouns, one-method stage interfaces, the Reconciler that calls them in order, the Loop that decides when", nil},
		{"policy", "where, when and for whom policies hold, and what they inherit: one pure decision", []string{"."}},
		{"policy/cel", "what admission policies say of an object, without a cluster", []string{".", "policy"}},
		{"api", "what users write: the documents, their decoder and their JSON Schemas", []string{".", "docs/schemas", "internal/kubeversion", "internal/podfield", "policy"}},
		{"api/migrate", "documents of kspec v0.3 as documents of today", []string{".", "api", "internal/yamledit"}},
		{"cmd/kspec", "flags, wiring, exit codes; one file a verb", []string{".", "api", "compare", "gitsource", "notify", "policy", "remediate", "render", "report", "store", "verify"}},
		{"gitsource", "a commit of the config repo as a read-only tree", []string{".", "internal/pack"}},
		{"render", "templates and overlays to objects, offline and deterministic", []string{".", "api", "policy"}},
		{"verify", "whether images are signed as the spec demands", []string{"."}},
		{"compare", "live against desired, to findings", []string{"."}},
		{"compare/require", "whether a live cluster is what its requirements demand", []string{".", "internal/kubeversion", "internal/podfield", "policy"}},
		{"remediate", "findings to a plan, to a pull request", []string{".", "internal/pack", "internal/yamledit"}},
		{"remediate/github", "pull requests on GitHub; one folder a forge", []string{".", "remediate"}},
		{"notify", "events to the world: routes, repetition, delivery; one folder a receiver", []string{".", "api"}},
		{"notify/slack", "a Slack channel", []string{".", "api", "notify/deliver"}},
		{"notify/webhook", "any HTTP endpoint", []string{".", "api", "notify/deliver"}},
		{"report", "one report in many formats", []string{"."}},
		{"store", "what must outlive the process: episodes of drift, and decisions", []string{"."}},
		{"internal/pack", "Git packs of servers that are not trusted, measured before they are unpacked", nil},
		{"internal/yamledit", "single values in the text of YAML and JSON files, changed in place", []string{"."}},
		{"internal/kubeversion", "versions of Kubernetes and its vendors, and bounds of them", nil},
		{"internal/podfield", "the fields of containers and pods, by path", nil},
		{"docs/schemas", "the JSON Schemas, generated", nil},
		{"deploy", "manifests that install kspec, and tests of them", nil},
		{"fixtures", "cases, the example config repo, the forge and receivers that tests talk to", []string{".", "api"}},
		{"test/benchdrift", "how long a look takes, next to other tools", []string{".", "compare", "render"}},
		{"test/benchrender", "how long a large overlay takes, next to other tools", []string{".", "render"}},
		{"test", "the control plane that tests start, the demo, tools", []string{".", "api", "fixtures"}},
	}
}

// homes are the folders that a module may be imported from. A module without
// any is not wanted.
func homes() map[string][]string {
	return map[string][]string{
		"github.com/fluxcd/pkg/ssa":              {"compare", "test/benchdrift"},
		"github.com/getkin/kin-openapi":          {"fixtures"},
		"github.com/go-git/go-git/v5":            {"gitsource", "remediate", "internal/pack", "fixtures"},
		"github.com/google/cel-go":               {"policy/cel"},
		"github.com/google/go-containerregistry": {"verify", "fixtures"},
		"github.com/google/go-github/v57":        {"remediate/github"},
		"github.com/hashicorp/go-retryablehttp":  {"notify", "gitsource"},
		"github.com/itchyny/gojq":                {"compare"},
		"github.com/prometheus/client_golang":    {"cmd/kspec"},
		"github.com/sigstore/cosign/v2":          {"verify", "fixtures"},
		"github.com/sigstore/sigstore":           {"verify", "fixtures"},
		"github.com/sigstore/sigstore-go":        {"verify"},
		"github.com/spf13/cobra":                 {"cmd/kspec"},
		"github.com/stretchr/testify":            {},
		"helm.sh/helm/v3":                        {},
		"k8s.io/apiserver":                       {"policy/cel"},
		"k8s.io/client-go":                       {"compare", "cmd/kspec", "test"},
		"k8s.io/kubectl":                         {},
		"modernc.org/sqlite":                     {"store"},
		"sigs.k8s.io/controller-runtime":         {"compare", "cmd/kspec", "test"},
		"sigs.k8s.io/kustomize/api":              {"render", "test/benchrender"},
		"sigs.k8s.io/structured-merge-diff/v6":   {"compare"},
	}
}

// comesAlong reports whether a module is brought to a folder by another one
// that is at home there.
func comesAlong(module, dir string) bool {
	switch module {
	case "sigs.k8s.io/structured-merge-diff/v6": // by apimachinery
		return true
	case "github.com/prometheus/client_golang", "github.com/spf13/cobra": // by cosign, and by apiserver
		return under(dir, "verify") || under(dir, "policy/cel")
	case "github.com/hashicorp/go-retryablehttp": // by cosign
		return under(dir, "verify")
	}
	return under(dir, "compare") // by controller-runtime
}

type goPackage struct {
	ImportPath string
	Name       string
	Doc        string
	Dir        string
	Imports    []string
	Deps       []string
	Module     *struct{ Path string }
}

// in returns the folder of a package of ours.
func (p goPackage) in() string {
	if p.ImportPath == modulePath {
		return "."
	}
	return strings.TrimPrefix(p.ImportPath, modulePath+"/")
}

func (p goPackage) ours() bool {
	return p.ImportPath == modulePath || strings.HasPrefix(p.ImportPath, modulePath+"/")
}

// forTests reports whether only tests may import the package.
func forTests(dir string) bool {
	top, _, _ := strings.Cut(dir, "/")
	return top == "fixtures" || top == "test" || strings.HasSuffix(dir, "test")
}

// packages returns all packages that the module is built of, without those
// that only its tests need.
var packages = sync.OnceValues(func() (map[string]goPackage, error) {
	out, err := exec.Command("go", "list", "-deps", "-json=ImportPath,Name,Doc,Dir,Imports,Deps,Module", "./...").Output()
	if err != nil {
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, failed.Stderr)
		}
		return nil, err
	}
	all := map[string]goPackage{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all[p.ImportPath] = p
	}
})

func allPackages(t *testing.T) map[string]goPackage {
	t.Helper()
	all, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// under reports whether dir is the folder or lies in it; "." holds itself only.
func under(dir, path string) bool { return dir == path || strings.HasPrefix(dir, path+"/") }

func underAny(dir string, paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return under(dir, p) })
}

func rowOf(dir string) (folder, bool) {
	var best folder
	for _, f := range table() {
		if under(dir, f.path) && len(f.path) > len(best.path) {
			best = f
		}
	}
	return best, best.path != ""
}

func TestImports(t *testing.T) {
	all := allPackages(t)
	for _, p := range all {
		if !p.ours() {
			continue
		}
		dir := p.in()
		row, ok := rowOf(dir)
		if !ok {
			t.Errorf("%s is in no row of the table in imports_test.go: say there what it is for and what it may import", dir)
			continue
		}
		for _, path := range p.Imports {
			q := all[path]
			switch {
			case q.ours():
				checkOwn(t, dir, q.in(), row)
			case q.Module != nil:
				checkHome(t, dir, q.Module.Path)
			}
		}
		checkWeight(t, all, p)
	}
}

func checkOwn(t *testing.T, dir, imported string, row folder) {
	t.Helper()
	switch {
	case forTests(imported) && !forTests(dir):
		t.Errorf("%s imports %s, which is for tests: move the import to a _test.go file", dir, imported)
		return
	case forTests(imported):
		return
	}
	if !slices.ContainsFunc(row.own, func(own string) bool { return under(imported, own) }) && !under(imported, row.path) {
		t.Errorf("%s imports %s: stages do not know each other. Hand over a noun of package kspec, or a one-method interface that cmd/kspec fills", dir, imported)
	}
}

func checkHome(t *testing.T, dir, module string) {
	t.Helper()
	folders, limited := homes()[module]
	if limited && !underAny(dir, folders) {
		t.Errorf("%s imports %s, which is at home in %v only: put what needs it there", dir, module, folders)
	}
	if dir == "." && module != "k8s.io/apimachinery" {
		t.Errorf("package kspec imports %s: the vocabulary stands on the standard library and apimachinery alone", module)
	}
}

// checkWeight fails when a package is linked with a module that is at home
// elsewhere, by whatever way.
func checkWeight(t *testing.T, all map[string]goPackage, p goPackage) {
	t.Helper()
	dir := p.in()
	if under(dir, "cmd") || forTests(dir) {
		return
	}
	linked := map[string]bool{}
	for _, path := range p.Deps {
		if q := all[path]; q.Module != nil {
			linked[q.Module.Path] = true
		}
	}
	for module, folders := range homes() {
		if linked[module] && !underAny(dir, folders) && !comesAlong(module, dir) {
			t.Errorf("%s is linked with %s, which is at home in %v: find the way by \"go mod why -m\" and cut it", dir, module, folders)
		}
	}
}

func TestEveryRowIsThere(t *testing.T) {
	for _, f := range table() {
		if _, err := os.Stat(f.path); err != nil {
			t.Errorf("the table has a row for what is not there: %v", err)
		}
	}
}

const (
	tableBegin = "<!-- packages: written by KSPEC_UPDATE=1 go test . -->\n"
	tableEnd   = "<!-- end of packages -->\n"
)

func TestArchitectureShowsTheTable(t *testing.T) {
	const file = "docs/architecture.md"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), tableBegin)
	got, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table: want the comments %q and %q", file, tableBegin, tableEnd)
	}
	want := markdown()
	if got == want {
		return
	}
	if os.Getenv("KSPEC_UPDATE") == "" {
		t.Fatalf("%s shows another table than imports_test.go: rewrite it with KSPEC_UPDATE=1", file)
	}
	if err := os.WriteFile(file, []byte(before+tableBegin+want+tableEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func markdown() string {
	code := func(items []string) string {
		if len(items) == 0 {
			return "–"
		}
		return "`" + strings.Join(items, "`, `") + "`"
	}
	var b strings.Builder
	b.WriteString("\n| folder | what it is | of kspec it may import | at home in it |\n|---|---|---|---|\n")
	for _, f := range table() {
		var home []string
		for _, module := range slices.Sorted(maps.Keys(homes())) {
			if slices.Contains(homes()[module], f.path) {
				home = append(home, module)
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.path, f.what, code(f.own), code(home))
	}
	b.WriteString("\n")
	return b.String()
}
