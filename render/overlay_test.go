package render_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"golang.org/x/tools/txtar"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/fixtures"
	"github.com/cloudcwfranck/kspec/render"
)

// tree reads a tree from the txtar format.
func tree(text string) fstest.MapFS {
	files := fstest.MapFS{}
	for _, f := range txtar.Parse([]byte(text)).Files {
		files[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
	}
	return files
}

// overlays makes a target of folders.
func overlays(paths ...string) kspec.Target {
	t := kspec.Target{Name: "prod", Source: kspec.Source{File: "clusters/prod/clusterspec.yaml", Line: 1}}
	for _, p := range paths {
		t.Overlays = append(t.Overlays, kspec.Overlay{Path: p, FieldManager: "kustomize-controller"})
	}
	return t
}

func doRender(t testing.TB, o render.Options, target kspec.Target, files fs.FS) kspec.Desired {
	t.Helper()
	want, err := render.New(o).Render(t.Context(), target, kspec.Tree{FS: files})
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// reasons returns why things are unknown.
func reasons(want kspec.Desired) string {
	var all []string
	for _, u := range want.Unknown {
		all = append(all, u.Reason)
	}
	return strings.Join(all, "\n")
}

func places(want kspec.Desired) map[string]string {
	m := map[string]string{}
	for _, o := range want.Objects {
		m[o.ID().String()] = fmt.Sprintf("%s:%d", o.Source.File, o.Source.Line)
	}
	return m
}

const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"

const good1 = `
-- good/a.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: good, namespace: web}
`

func TestABadOverlayIsUnknownWithItsPlaceAndTheOthersGoOn(t *testing.T) {
	for _, c := range []struct{ name, tree, want string }{
		{"no folder", "", `manifests path "bad": no such folder`},
		{
			"missing kustomization in a base", "-- bad/kustomization.yaml --\nresources:\n- ../base\n-- base/a.yaml --\n" + configMap,
			`bad/kustomization.yaml:2: resources "../base": base has no kustomization.yaml`,
		},
		{
			"missing file", "-- bad/kustomization.yaml --\nresources:\n- gone.yaml\n",
			`bad/kustomization.yaml:2: resources "gone.yaml": no such file or folder`,
		},
		{
			"leaves the tree", "-- bad/kustomization.yaml --\nresources:\n- ../../etc/passwd\n",
			`bad/kustomization.yaml:2: resources "../../etc/passwd": leaves the repo`,
		},
		{
			"absolute", "-- bad/kustomization.yaml --\nresources: [/etc/passwd]\n",
			`bad/kustomization.yaml:1: resources "/etc/passwd": an absolute path`,
		},
		{
			"helm chart", "-- bad/kustomization.yaml --\nnamespace: x\nhelmCharts:\n- name: c\n  releaseName: --post-renderer=x\n",
			`bad/kustomization.yaml:2: helm charts are refused`,
		},
		{
			"old helm chart", "-- bad/kustomization.yaml --\nhelmChartInflationGenerator:\n- chartName: c\n",
			`bad/kustomization.yaml:1: helm charts are refused`,
		},
		{
			"helm plugin", "-- bad/kustomization.yaml --\ngenerators: [g.yaml]\n-- bad/g.yaml --\napiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: x}\nname: c\n",
			`bad/g.yaml:1: helm charts are refused`,
		},
		{
			"exec plugin", "-- bad/kustomization.yaml --\ngenerators: [g.yaml]\n-- bad/g.yaml --\napiVersion: team/v1\nkind: Gen\nmetadata:\n  name: x\n  annotations:\n    config.kubernetes.io/function: 'exec: {path: ./x}'\n",
			`bad/g.yaml:1: team/v1 Gen is a plugin that runs a program`,
		},
		{
			"container transformer in line", "-- bad/kustomization.yaml --\nnamespace: x\ntransformers:\n- |-\n  apiVersion: v1\n  kind: Fn\n  metadata: {name: x, annotations: {config.kubernetes.io/function: 'container: {image: x}'}}\n",
			`bad/kustomization.yaml:3: transformers: v1 Fn is a plugin`,
		},
		{
			"validator from a folder with patches", "-- bad/kustomization.yaml --\nvalidators: [v]\n-- bad/v/kustomization.yaml --\nresources: [v.yaml]\nnamePrefix: x\n-- bad/v/v.yaml --\napiVersion: builtin\n",
			`bad/v/kustomization.yaml:1: a folder of generators, transformers or validators may have the field resources only`,
		},
		{
			"generator reads outside", "-- bad/kustomization.yaml --\nconfigMapGenerator:\n- name: x\n  files:\n  - k=../../etc/x\n",
			`bad/kustomization.yaml:1: configMapGenerator "../../etc/x": leaves the repo`,
		},
		{
			"secret generator reads outside", "-- bad/kustomization.yaml --\nsecretGenerator:\n- name: x\n  envs: [../../x]\n",
			`bad/kustomization.yaml:3: secretGenerator "../../x": leaves the repo`,
		},
		{
			"cycle", "-- bad/kustomization.yaml --\nresources:\n- ../b\n-- b/kustomization.yaml --\nresources:\n\n- ../bad\n",
			`a cycle: bad/kustomization.yaml:2 → b/kustomization.yaml:3 leads back to bad`,
		},
		{
			"own parent", "-- bad/sub/kustomization.yaml --\nresources: [..]\n-- bad/kustomization.yaml --\nresources: [sub]\n",
			`leads back to bad`,
		},
		{"unknown field", "-- bad/kustomization.yaml --\nnamespace: x\nresorces: []\n", `bad/kustomization.yaml:2: invalid Kustomization: json: unknown field "resorces"`},
		{"duplicate key", "-- bad/kustomization.yaml --\nnamespace: x\nnamespace: y\n", `bad/kustomization.yaml:1: the key "namespace" stands twice, at lines 1 and 2`},
		{"tab", "-- bad/kustomization.yaml --\nnamespace: x\nresources:\n\t- a\n", `bad/kustomization.yaml:`},
		{"empty", "-- bad/kustomization.yaml --\n", `bad/kustomization.yaml:1: the kustomization is empty`},
		{"two kustomizations", "-- bad/kustomization.yaml --\n-- bad/Kustomization --\n", `bad/kustomization.yaml:1: the folder has bad/kustomization.yaml and bad/Kustomization: keep one`},
		{
			"bad patch", "-- bad/kustomization.yaml --\nresources: [a.yaml]\npatches:\n- path: p.yaml\n-- bad/a.yaml --\n" + configMap + "-- bad/p.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n",
			`bad/kustomization.yaml:1: kustomize: `,
		},
		{"bad resource", "-- bad/kustomization.yaml --\nresources:\n- a.yaml\n-- bad/a.yaml --\na: [\n", `bad/a.yaml:`},
		{"UTF-16", "-- bad/kustomization.yaml --\nresources:\n- a.yaml\n-- bad/a.yaml --\n\xff\xfea\x00\n", `bad/a.yaml:1: the file is UTF-16`},
		{"generateName", "-- bad/kustomization.yaml --\nresources:\n- a.yaml\n-- bad/a.yaml --\napiVersion: batch/v1\nkind: Job\nmetadata: {generateName: x-}\n", `bad/a.yaml:1: the object has generateName`},
		{"plain without kind", "-- bad/a.yaml --\n\nfoo: 1\n", `bad/a.yaml:2: the object has no kind`},
		{"plain without name", "-- bad/a.yaml --\napiVersion: v1\nkind: ConfigMap\n", `bad/a.yaml:1: the ConfigMap has no metadata.name`},
		{"plain generateName", "-- bad/a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: x}\n", `bad/a.yaml:1: the object has generateName`},
		{"plain duplicate key", "-- bad/a.yaml --\napiVersion: v1\nkind: ConfigMap\nkind: Secret\n", `bad/a.yaml:1: the key "kind" stands twice, at lines 2 and 3`},
		{"plain list with null", "-- bad/a.yaml --\napiVersion: v1\nkind: List\nitems:\n- null\n", `bad/a.yaml:4: an item of the list is null`},
		{"plain scalar", "-- bad/a.yaml --\nhello\n", `bad/a.yaml:1: not an object`},
		{"anchor in itself", "-- bad/a.yaml --\na: &a [*a]\n", `bad/a.yaml:1: line 1: an anchor contains itself`},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := doRender(t, render.Options{}, overlays("bad", "good"), tree(c.tree+good1))
			if !strings.Contains(reasons(want), c.want) {
				t.Errorf("got  %s\nwant %s", reasons(want), c.want)
			}
			if len(want.Unknown) != 1 {
				t.Errorf("want one Unknown, got %d", len(want.Unknown))
			}
			if diff := cmp.Diff(map[string]string{"ConfigMap web/good": "good/a.yaml:1"}, places(want)); diff != "" {
				t.Error(diff)
			}
			if u := want.Unknown[0]; u.Source.File == "" || u.Source.Line == 0 {
				t.Errorf("no place: %+v", u.Source)
			}
		})
	}
}

func TestBadPathsOfOverlaysAreRefused(t *testing.T) {
	for _, p := range []string{"../x", "/abs", "a/../../b", "good-evil", "good/a.yaml", ""} {
		want := doRender(t, render.Options{}, overlays(p), tree(good1+"-- good-evil --\nfile\n"))
		if p == "" {
			continue // the root, a plain folder
		}
		if len(want.Unknown) != 1 || len(want.Objects) != 0 {
			t.Errorf("%q: %d unknown, %d objects", p, len(want.Unknown), len(want.Objects))
		}
	}
}

// listen counts connections.
func listen(t *testing.T) (addr string, count *atomic.Int32) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	count = &atomic.Int32{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			count.Add(1)
			c.Close()
		}
	}()
	return l.Addr().String(), count
}

func TestNothingInARepoOpensAConnection(t *testing.T) {
	addr, count := listen(t)
	if c, err := net.Dial("tcp", addr); err != nil {
		t.Fatal(err)
	} else {
		c.Close()
	}
	for end := time.Now().Add(5 * time.Second); count.Load() == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if count.Load() != 1 {
		t.Fatal("the listener does not count")
	}
	url := "http://" + addr + "/x.yaml"
	entries := map[string]string{
		"resources":            "resources: [URL]",
		"resources upper case": "RESOURCES: [URL]",
		"bases":                "bases: [URL]",
		"components":           "components: [URL]",
		"crds":                 "crds: [URL]",
		"configurations":       "configurations: [URL]",
		"openapi":              "openapi: {path: URL}",
		"patches":              "patches: [{path: URL}]",
		"patch text":           "patches: [{patch: URL}]",
		"patchesJson6902":      "patchesJson6902: [{path: URL, target: {kind: X, name: y}}]",
		"patchesStrategic":     "patchesStrategicMerge: [URL]",
		"strategic mapping":    "patchesStrategicMerge: ['URL: {a: b}']",
		"replacements":         "replacements: [{path: URL}]",
		"generators":           "generators: [URL]",
		"transformers":         "transformers: [URL]",
		"validators":           "validators: [URL]",
		"generator files":      "configMapGenerator: [{name: x, files: [k=URL]}]",
		"generator file":       "configMapGenerator: [{name: x, files: [URL]}]",
		"generator envs":       "secretGenerator: [{name: x, envs: [URL]}]",
		"generator env":        "secretGenerator: [{name: x, env: URL}]",
		"plugin path":          "transformers: [plugin.yaml]",
		"plugin in line":       "transformers: ['{apiVersion: builtin, kind: PatchTransformer, metadata: {name: x}, path: \"URL\"}']",
		"plugin mapping":       "transformers: ['URL: {a: b}']",
		"plugin files":         "generators: ['{apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: x}, files: [\"k=URL\"]}']",
	}
	git := "git://" + addr + "/r.git"
	for name, entry := range map[string]string{
		"git": git, "ssh": "ssh://git@" + addr + "/a/b", "forced": "git::http://" + addr + "/a/b", "query": "http://" + addr + "/a/b?ref=x",
		"file": "file:///etc", "upper": "HTTP://" + addr + "/a/b", "scp": "git@127.0.0.1:a/b.git", "github": "github.com/x/y", "GitHub": "GitHub.com:x/y", "explicit": "http://" + addr + "/a/b.git//c",
	} {
		entries["base "+name] = "resources: ['" + entry + "']"
		entries["component "+name] = "components: ['" + entry + "']"
		entries["transformer mapping "+name] = "transformers: ['" + entry + ": {a: b}']"
	}
	for name, text := range entries {
		t.Run(name, func(t *testing.T) {
			text = strings.ReplaceAll(text, "URL", url)
			files := tree("-- bad/kustomization.yaml --\n" + text + "\nnamePrefix: x\n" +
				"-- bad/plugin.yaml --\napiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: x}\npath: " + url + "\n" +
				"-- bad/github.com/x/y/kustomization.yaml --\nnamePrefix: y\n")
			want := doRender(t, render.Options{Timeout: 10 * time.Second}, overlays("bad"), files)
			if len(want.Unknown) != 1 || !strings.HasPrefix(reasons(want), "bad/") {
				t.Errorf("want it refused with its place, got %q", reasons(want))
			}
			if got := count.Load(); got != 1 {
				t.Fatalf("%d connections were opened", got-1)
			}
		})
	}
}

func TestAFolderNamedLikeAnAddressIsAFolderOnceItIsWrittenAsOne(t *testing.T) {
	want := mustRender(t, overlays("a"), tree("-- a/kustomization.yaml --\nresources: [./github.com/x/y]\n"+
		"-- a/github.com/x/y/kustomization.yaml --\nresources: [a.yaml]\n-- a/github.com/x/y/a.yaml --\n"+configMap))
	if diff := cmp.Diff(map[string]string{"ConfigMap a": "a/github.com/x/y/a.yaml:1"}, places(want)); diff != "" {
		t.Error(diff)
	}
}

func TestLimitsHoldAtTheLimitAndOneBeyond(t *testing.T) {
	nested := func(n int) string { return "a: " + strings.Repeat("[", n) + strings.Repeat("]", n) + "\n" }
	output := int64(len(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}`))
	deep := configMap + "data:\n  " // depth: document 1, data 2, then the lists
	for _, c := range []struct {
		name   string
		ok     render.Limits
		over   render.Limits
		files  string
		folder string
	}{
		{"FileBytes", render.Limits{FileBytes: int64(len(configMap))}, render.Limits{FileBytes: int64(len(configMap)) - 1}, "-- a/a.yaml --\n" + configMap, "a"},
		{"TotalBytes", render.Limits{TotalBytes: int64(2 * len(configMap))}, render.Limits{TotalBytes: int64(2*len(configMap)) - 1}, "-- a/a.yaml --\n" + configMap + "-- a/b.yaml --\n" + strings.Replace(configMap, "name: a", "name: b", 1), "a"},
		{"Files", render.Limits{Files: 2}, render.Limits{Files: 1}, "-- a/a.yaml --\n" + configMap + "-- a/b.yaml --\n" + strings.Replace(configMap, "name: a", "name: b", 1), "a"},
		{"Depth", render.Limits{Depth: 6}, render.Limits{Depth: 5}, "-- a/a.yaml --\n" + deep + nested(4), "a"},
		{"Nodes", render.Limits{Nodes: 9}, render.Limits{Nodes: 8}, "-- a/a.yaml --\n" + configMap, "a"},
		{"Objects", render.Limits{Objects: 2}, render.Limits{Objects: 1}, "-- a/kustomization.yaml --\nresources: [a.yaml]\nconfigMapGenerator:\n- name: x\n-- a/a.yaml --\n" + configMap, "a"},
		{"Objects", render.Limits{Objects: 1}, render.Limits{Objects: -1}, "-- a/a.yaml --\n" + configMap, "a"},
		{"OutputBytes", render.Limits{OutputBytes: output}, render.Limits{OutputBytes: output - 1}, "-- a/kustomization.yaml --\nresources: [a.yaml]\n-- a/a.yaml --\n" + configMap, "a"},
		{"Kustomizations", render.Limits{Kustomizations: 3}, render.Limits{Kustomizations: 2}, "-- a/kustomization.yaml --\nresources: [../b, ../c]\n-- b/kustomization.yaml --\nresources: [a.yaml]\n-- b/a.yaml --\n" + configMap + "-- c/kustomization.yaml --\ncommonAnnotations: {a: b}\nresources: []\n", "a"},
		{"Bases", render.Limits{Bases: 2}, render.Limits{Bases: 1}, "-- a/kustomization.yaml --\nresources: [../b]\n-- b/kustomization.yaml --\nresources: [a.yaml]\n-- b/a.yaml --\n" + configMap, "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if want := doRender(t, render.Options{Limits: c.ok}, overlays(c.folder), tree(c.files)); len(want.Unknown) > 0 || len(want.Objects) == 0 {
				t.Errorf("at the limit: %s", reasons(want))
			}
			want := doRender(t, render.Options{Limits: c.over}, overlays(c.folder), tree(c.files))
			if !strings.Contains(reasons(want), "over the limit "+c.name+" of") {
				t.Errorf("over the limit: %q", reasons(want))
			}
		})
	}
}

func TestBombsAreRefusedBeforeTheyGoOff(t *testing.T) {
	laughs := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nl0: &l0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]\n"
	for i := 1; i < 10; i++ {
		laughs += fmt.Sprintf("l%d: &l%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*l%d, ", i-1), 9), ", "))
	}
	doubling := "-- d0/kustomization.yaml --\nresources: [a.yaml]\n-- d0/a.yaml --\n" + configMap
	for i := 1; i <= 30; i++ {
		doubling += fmt.Sprintf("-- d%d/kustomization.yaml --\nresources: [x, z]\n-- d%d/x/kustomization.yaml --\nnamePrefix: x\nresources: [../../d%d]\n-- d%d/z/kustomization.yaml --\nnamePrefix: z\nresources: [../../d%d]\n", i, i, i-1, i, i-1)
	}
	nothing := strings.Replace(doubling, "resources: [a.yaml]", "resources: []\ncommonAnnotations: {a: b}", 1)
	plugins := "-- p/kustomization.yaml --\ntransformers: [../d15]\nnamePrefix: x\n" + strings.NewReplacer("namePrefix: x\n", "", "namePrefix: z\n", "", "\ncommonAnnotations: {a: b}", "").Replace(nothing)
	for name, c := range map[string]struct{ files, dir, want string }{
		"nothing that doubles":   {nothing, "d15", "over the limit Kustomizations"},
		"parts that double":      {"-- c/kustomization.yaml --\nkind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\ncommonAnnotations: {a: b}\n-- a/kustomization.yaml --\ncomponents: [" + strings.Repeat("../c, ", 10_000) + "]\n", "a", "over the limit Kustomizations"},
		"plugins that double":    {plugins, "p", "over the limit Kustomizations"},
		"laughs in a plain file": {"-- a/a.yaml --\n" + laughs, "a", "over the limit Nodes"},
		"laughs in a resource":   {"-- a/kustomization.yaml --\nresources: [a.yaml]\n-- a/a.yaml --\n" + laughs, "a", "over the limit Nodes"},
		"laughs in a patch":      {"-- a/kustomization.yaml --\nresources: [b.yaml]\npatches: [{path: a.yaml}]\n-- a/b.yaml --\n" + configMap + "-- a/a.yaml --\n" + laughs, "a", "over the limit Nodes"},
		"laughs in line":         {"-- a/kustomization.yaml --\nresources: [b.yaml]\npatches:\n- patch: |-\n    " + strings.ReplaceAll(laughs, "\n", "\n    ") + "\n-- a/b.yaml --\n" + configMap, "a", "over the limit Nodes"},
		"laughing kustomization": {"-- a/kustomization.yaml --\n" + laughs, "a", "over the limit Nodes"},
		"10k brackets":           {"-- a/a.yaml --\na: " + strings.Repeat("[", 9_000) + "\n", "a", "a/a.yaml:"},
		"bases that double":      {doubling, "d15", "over the limit "},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			want := doRender(t, render.Options{Limits: render.Limits{Bases: 100}}, overlays(c.dir), tree(c.files))
			if !strings.Contains(reasons(want), c.want) {
				t.Errorf("got %s", reasons(want))
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestEveryObjectKnowsItsFileAndLine(t *testing.T) {
	want := mustRender(t, overlays("prod", "plain"), tree(`
-- base/kustomization.yaml --
resources: [all.yaml]
-- base/all.yaml --
# a comment before

apiVersion: v1
kind: Service
metadata: {name: web}
---
---
kind: Deployment
apiVersion: apps/v1
metadata: {name: web}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-api}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Secret
  metadata: {name: db}
-- prod/kustomization.yaml --
namespace: shop
namePrefix: prod-
nameSuffix: -v2
resources: [../base]
commonLabels: {team: shop}
configMapGenerator:
- name: other
  literals: [a=b]
- name: settings
  literals: [a=b]
secretGenerator:
- name: token
  literals: [a=b]
-- plain/b.yml --
apiVersion: v1
kind: Namespace
metadata: {name: shop}
-- plain/sub/kustomization.yaml --
resources: [x.json]
-- plain/sub/x.json --
{
  "apiVersion": "v1",
  "kind": "ConfigMap",
  "metadata": {"name": "x", "namespace": "shop", "annotations": {"a": "b"}}
}
-- plain/.sops.yaml --
creation_rules: []
-- plain/notes.md --
not read
-- plain/local.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: local, annotations: {config.kubernetes.io/local-config: "true"}}
`))
	got := map[string]string{}
	for name, at := range places(want) {
		got[strings.TrimRight(name, "0123456789bcdfghkmt")] = at
	}
	diff := cmp.Diff(map[string]string{
		"Service shop/prod-web-v":             "base/all.yaml:3",
		"Deployment.apps shop/prod-web-v":     "base/all.yaml:8",
		"Deployment.apps shop/prod-web-api-v": "base/all.yaml:12",
		"Secret shop/prod-db-v":               "base/all.yaml:19",
		"ConfigMap shop/prod-other-v2-":       "prod/kustomization.yaml:7",
		"ConfigMap shop/prod-settings-v2-":    "prod/kustomization.yaml:9",
		"Secret shop/prod-token-v2-":          "prod/kustomization.yaml:12",
		"Namespace shop":                      "plain/b.yml:1",
		"ConfigMap shop/x":                    "plain/sub/x.json:2",
	}, got)
	if diff != "" {
		t.Error(diff)
	}
	for _, o := range want.Objects {
		if _, ok := o.GetAnnotations()["config.kubernetes.io/origin"]; ok {
			t.Errorf("%s keeps its origin annotation", o.ID())
		}
		if o.FieldManager != "kustomize-controller" {
			t.Errorf("%s: field manager %q", o.ID(), o.FieldManager)
		}
	}
}

func TestObjectsOfOneNameInOneFileKnowTheirOwnLine(t *testing.T) {
	const bindings = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: read, namespace: one}\n---\n" +
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: read, namespace: two}\n"
	for name, size := range map[string]int{"whole": 1 << 20, "in chunks": 1} {
		_, want, how := inChunks(t, tree("-- a/kustomization.yaml --\nresources: [all.yaml]\n-- a/all.yaml --\n"+bindings+"---\n"+configMap), "a", size)
		if diff := cmp.Diff(map[string]string{
			"Role.rbac.authorization.k8s.io one/read": "a/all.yaml:1", "Role.rbac.authorization.k8s.io two/read": "a/all.yaml:5", "ConfigMap a": "a/all.yaml:9",
		}, places(want)); diff != "" || how.Parts > 1 != (size == 1) {
			t.Errorf("%s: %+v\n%s", name, how, diff)
		}
	}
}

func TestOriginAnnotationsStayWhereTheUserAsksForThem(t *testing.T) {
	want := mustRender(t, overlays("a"), tree("-- a/kustomization.yaml --\nbuildMetadata: [originAnnotations]\nresources: [a.yaml]\n-- a/a.yaml --\n"+configMap))
	if got := want.Objects[0].GetAnnotations()["config.kubernetes.io/origin"]; got != "path: a.yaml\n" {
		t.Errorf("got %q", got)
	}
}

func TestLookingForOriginsDoesNotChangeWhatIsBuilt(t *testing.T) {
	// The patch replaces all annotations, and with them the one that tells the
	// origin.
	want := mustRender(t, overlays("a"), tree(`
-- a/kustomization.yaml --
resources: [all.yaml]
patches:
- target: {kind: ConfigMap}
  patch: |-
    - {op: add, path: /metadata/annotations, value: {owner: shop}}
-- a/all.yaml --
apiVersion: v1
kind: Secret
metadata: {name: a}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
`))
	if diff := cmp.Diff(map[string]string{
		"Secret a": "a/all.yaml:1", "ConfigMap a": "a/all.yaml:5",
	}, places(want)); diff != "" {
		t.Error(diff)
	}
	for _, o := range want.Objects {
		if o.GetKind() == "ConfigMap" {
			if diff := cmp.Diff(map[string]string{"owner": "shop"}, o.GetAnnotations()); diff != "" {
				t.Error(diff)
			}
		}
	}
}

func TestAnObjectDeclaredTwiceNamesBothPlaces(t *testing.T) {
	want := doRender(t, render.Options{}, overlays("a", "b"), tree("-- a/a.yaml --\n"+configMap+"-- b/x.yaml --\n\n"+configMap+"-- b/y.yaml --\n"+strings.Replace(configMap, "name: a", "name: c", 1)))
	if got, w := reasons(want), "declared more than once, in a/a.yaml:1 and b/x.yaml:2: keep one"; got != w {
		t.Errorf("got %q, want %q", got, w)
	}
	if diff := cmp.Diff(map[string]string{"ConfigMap c": "b/y.yaml:1"}, places(want)); diff != "" {
		t.Error(diff)
	}
}

func TestNamespaceGoesToNamespacedObjectsThatNameNone(t *testing.T) {
	target := overlays("a")
	target.Overlays[0].Namespace = "team"
	want := mustRender(t, target, tree(`
-- a/all.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: none}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: own, namespace: own}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: role}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: planets.sky.example}
spec: {group: sky.example, scope: Cluster, names: {kind: Planet}}
---
apiVersion: sky.example/v1
kind: Planet
metadata: {name: mars}
---
apiVersion: sky.example/v1
kind: Moon
metadata: {name: luna}
`))
	var got []string
	for _, o := range want.Objects {
		got = append(got, o.ID().String())
	}
	diff := cmp.Diff([]string{
		"CustomResourceDefinition.apiextensions.k8s.io planets.sky.example", "ClusterRole.rbac.authorization.k8s.io role",
		"Planet.sky.example mars", "ConfigMap own/own", "ConfigMap team/none", "Moon.sky.example team/luna",
	}, got)
	if diff != "" {
		t.Error(diff)
	}
}

const poisonedTree = `
-- clean/kustomization.yaml --
resources: [d.yaml]
patches: [{path: p.yaml}]
-- clean/d.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: app, image: a}, {name: side, image: s}]}}}
-- clean/p.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: app, image: b}]}}}
-- poison/kustomization.yaml --
resources: [../clean/d.yaml]
namePrefix: p-
patches: [{path: ../clean/p.yaml}]
openapi: {path: schema.json}
-- poison/schema.json --
{"definitions": {"io.k8s.api.apps.v1.Deployment": {"type": "object", "properties": {}, "x-kubernetes-group-version-kind": [{"group": "apps", "kind": "Deployment", "version": "v1"}]}}}
`

func TestAPoisonedOpenAPISchemaDoesNotReachTheNextBuild(t *testing.T) {
	files := tree(poisonedTree)
	show := func() string {
		want := mustRender(t, overlays("clean"), files)
		data, err := render.YAML(want.Objects)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	before := show()
	poisoned := mustRender(t, overlays("poison"), files)
	if data, _ := render.YAML(poisoned.Objects); strings.Contains(string(data), "side") {
		t.Fatal("the poison has no effect: the test proves nothing")
	}
	if diff := cmp.Diff(before, show()); diff != "" {
		t.Error(diff)
	}
}

func TestPanicsAndNonsenseAreOneFailedBuild(t *testing.T) {
	for name, files := range map[string]string{
		"null metadata":      "-- a/kustomization.yaml --\nresources: [a.yaml]\n-- a/a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: null\n",
		"target is a list":   "-- a/kustomization.yaml --\nresources: [a.yaml]\npatches:\n- target: []\n  patch: '[]'\n-- a/a.yaml --\n" + configMap,
		"replacement of air": "-- a/kustomization.yaml --\nresources: [a.yaml]\nreplacements:\n- {}\n-- a/a.yaml --\n" + configMap,
		"metadata is a list": "-- a/kustomization.yaml --\nresources: [a.yaml]\nnamePrefix: x\n-- a/a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: [name]\n",
		"name is a map":      "-- a/kustomization.yaml --\nresources: [a.yaml]\nnamePrefix: x\n-- a/a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: {a: b}}\n",
		"null target":        "-- a/kustomization.yaml --\nresources: [a.yaml]\nreplacements:\n- source: {kind: ConfigMap, fieldPath: data}\n  targets: [null]\n-- a/a.yaml --\n" + configMap,
		"null patch":         "-- a/kustomization.yaml --\nresources: [a.yaml]\npatches: [null]\n-- a/a.yaml --\n" + configMap,
	} {
		t.Run(name, func(t *testing.T) {
			want := doRender(t, render.Options{}, overlays("a", "good"), tree(files+good1))
			if len(want.Unknown) != 1 || !strings.HasPrefix(reasons(want), "a/") {
				t.Errorf("got %q", reasons(want))
			}
			if len(want.Objects) != 1 {
				t.Errorf("the good folder gives %d objects", len(want.Objects))
			}
		})
	}
}

func TestADoneContextIsAnErrorAndNotAReport(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := render.New(render.Options{}).Render(ctx, overlays("good"), kspec.Tree{FS: tree(good1)})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := render.New(render.Options{}).Render(t.Context(), overlays("good"), kspec.Tree{}); err == nil {
		t.Error("a tree without files gives no error")
	}
}

// underKustomize calls do for every file that Kustomize itself opens.
type underKustomize struct {
	fs.FS
	do func()
}

func (u underKustomize) Open(name string) (fs.File, error) {
	if bytes.Contains(debug.Stack(), []byte("krusty.(*Kustomizer).Run")) {
		u.do()
	}
	return u.FS.Open(name)
}

const overlayAndGood = "-- a/kustomization.yaml --\nresources: [a.yaml]\n-- a/a.yaml --\n" + configMap + good1

func TestAPanicIsOneFailedBuild(t *testing.T) {
	files := underKustomize{tree(overlayAndGood), func() { panic("boom") }}
	want := doRender(t, render.Options{}, overlays("a", "good"), files)
	if !strings.Contains(reasons(want), "a/kustomization.yaml:1: kustomize panicked: boom") || len(want.Objects) != 1 {
		t.Errorf("got %q, %d objects", reasons(want), len(want.Objects))
	}
	if want := mustRender(t, overlays("a"), tree(overlayAndGood)); len(want.Objects) != 1 {
		t.Error("the next build fails")
	}
}

func TestAHangIsOneFailedBuild(t *testing.T) {
	release := make(chan struct{})
	files := underKustomize{tree(overlayAndGood), func() { <-release }}
	short := render.Options{Timeout: 50 * time.Millisecond}
	for range runtime.GOMAXPROCS(0) { // all that may run at once
		want := doRender(t, short, overlays("a", "good"), files)
		if !strings.Contains(reasons(want), "a/kustomization.yaml:1: kustomize took longer than 50ms") || len(want.Objects) != 1 {
			t.Errorf("got %q, %d objects", reasons(want), len(want.Objects))
		}
	}
	want := doRender(t, short, overlays("a"), tree(overlayAndGood))
	if !strings.Contains(reasons(want), "another build still runs") {
		t.Errorf("a further build while others hang: %q", reasons(want))
	}
	close(release)
	if want := mustRender(t, overlays("a"), tree(overlayAndGood)); len(want.Objects) != 1 {
		t.Error("the build after them fails")
	}
}

// An overlay with a schema of its own is built alone, and all others side by
// side: each gives what it gives by itself.
func TestBuildsSideBySideGiveWhatEachGivesAlone(t *testing.T) {
	files := tree(poisonedTree)
	maps.Copy(files, many(300, true))
	folders := []string{"clean", "poison", "apps"}
	alone := map[string]string{}
	show := func(dir string) string {
		want, err := render.New(render.Options{}).Render(t.Context(), overlays(dir), kspec.Tree{FS: files})
		if err != nil || len(want.Unknown) > 0 {
			t.Error(err, want.Unknown)
		}
		data, err := render.YAML(want.Objects)
		if err != nil {
			t.Error(err)
		}
		return string(data)
	}
	for _, dir := range folders {
		alone[dir] = show(dir)
	}
	var wg sync.WaitGroup
	for range 3 {
		for _, dir := range folders {
			wg.Go(func() {
				for range 5 {
					if got := show(dir); got != alone[dir] {
						t.Errorf("%s differs:\n%s", dir, cmp.Diff(alone[dir], got))
					}
				}
			})
		}
	}
	wg.Wait()
}

func TestSameInputSameBytes(t *testing.T) {
	for _, c := range fixtures.Cases(t) {
		var last []byte
		for range 5 {
			repo := c.FS("repo")
			want := doRender(t, render.Options{}, targetOf(t, repo), repo)
			data, err := render.YAML(want.Objects)
			if err != nil {
				t.Fatal(err)
			}
			if last != nil && !bytes.Equal(last, data) {
				t.Errorf("%s: two renderings differ", c.Name)
			}
			last = data
		}
	}
}

// Kustomize and the YAML decoder repeat what they do not understand.
func TestErrorsHoldNoValuesOfSecrets(t *testing.T) {
	const secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\n"
	tests := map[string]string{
		"a literal without a key":        "-- o/kustomization.yaml --\nsecretGenerator:\n- {name: db, literals: [CANARY-one]}\n",
		"a literal that is quoted":       "-- o/kustomization.yaml --\nsecretGenerator:\n- {name: db, literals: ['CANARY\"one']}\n",
		"an env file without keys":       "-- o/kustomization.yaml --\nsecretGenerator:\n- {name: db, envs: [e]}\n-- o/e --\nCANARY one: two\n",
		"an env file of another code":    "-- o/kustomization.yaml --\nsecretGenerator:\n- {name: db, envs: [e]}\n-- o/e --\nP=CANARY\xff\n",
		"an inline patch of nothing":     "-- o/kustomization.yaml --\nresources: [s.yaml]\npatches:\n- patch: |\n    apiVersion: v1\n    kind: Secret\n    metadata: {name: other}\n    stringData: {p: CANARY-one}\n-- o/s.yaml --\n" + secret,
		"an inline patch of no kind":     "-- o/kustomization.yaml --\nresources: [s.yaml]\npatches:\n- patch: |\n    stringData: {p: CANARY-one}\n-- o/s.yaml --\n" + secret,
		"an inline patch that is no map": "-- o/kustomization.yaml --\nresources: [s.yaml]\npatches:\n- target: {kind: Secret}\n  patch: |\n    - {op: replace, path: /data/none, value: CANARY-one}\n-- o/s.yaml --\n" + secret,
		"an operation that is none":      "-- o/kustomization.yaml --\nresources: [s.yaml]\npatches:\n- target: {kind: Secret}\n  patch: |\n    - {op: put, path: /data/none, value: CANARY-one}\n-- o/s.yaml --\n" + secret,
		"a patch file of another shape":  "-- o/kustomization.yaml --\nresources: [s.yaml]\npatches: [{path: p.yaml}]\n-- o/s.yaml --\n" + secret + "data: {a: CANARY-one}\n-- o/p.yaml --\n" + secret + "data: [CANARY-two]\n",
		"data that is text":              "-- o/kustomization.yaml --\nresources: [s.yaml]\npatches: [{path: p.yaml}]\n-- o/s.yaml --\n" + secret + "data: CANARY-one\n-- o/p.yaml --\n" + secret + "data: {a: b}\n",
		"an integer that is too long":    "-- o/s.yaml --\n" + secret + "data: {a: !!int CANARY-one}\n",
		"broken base64":                  "-- o/s.yaml --\n" + secret + "data: {a: !!binary CANARY-one!}\n",
		"labels in a Secret":             "-- o/kustomization.yaml --\nresources: [s.yaml]\nlabels: [{pairs: {a: b}}]\n-- o/s.yaml --\n" + secret + "metadata: CANARY-one\n",
		"hash of a Secret":               "-- o/kustomization.yaml --\nresources: [s.yaml]\ngeneratorOptions: {}\nreplacements:\n- source: {kind: Secret, fieldPath: data.a.b}\n  targets: [{select: {kind: Secret}, fieldPaths: [data.c.d]}]\n-- o/s.yaml --\n" + secret + "data: {a: CANARY-one, c: CANARY-two}\n",
	}
	for name, files := range tests {
		t.Run(name, func(t *testing.T) {
			got := reasons(doRender(t, render.Options{}, overlays("o"), tree(files)))
			if strings.Contains(got, "CANARY") || strings.Contains(got, "67 65 78") {
				t.Errorf("shows the secret: %s", got)
			}
		})
	}
}

// TestPlainFilesReadAsTheEngineReadsThem has where kubectl and Argo CD read
// YAML 1.1 and Flux, by Kustomize, reads YAML 1.2.
func TestPlainFilesReadAsTheEngineReadsThem(t *testing.T) {
	const file = `
-- a/thing.yaml --
apiVersion: sky.example/v1
kind: Thing
metadata: {name: thing}
spec:
  - &d {date: 2026-01-02, at: 2026-01-02T10:00:00Z}
  - {yes: yes, Off: Off, n: N, oN: oN, quoted: "on", truth: true, mode: 0644, exact: 9007199254740993}
  - *d
-- a/more.json --
{"apiVersion": "sky.example/v1", "kind": "Thing", "metadata": {"name": "more"}}
`
	dates := map[string]any{"date": "2026-01-02", "at": "2026-01-02T10:00:00Z"}
	words := map[string]any{"true": true, "false": false, "oN": "oN", "quoted": "on", "truth": true, "mode": int64(420), "exact": int64(9007199254740993)}
	timed := map[string]any{"date": "2026-01-02T00:00:00Z", "at": "2026-01-02T10:00:00Z"}
	texts := map[string]any{"yes": "yes", "Off": "Off", "n": "N", "oN": "oN", "quoted": "on", "truth": true, "mode": int64(420), "exact": int64(9007199254740993)}
	for engine, c := range map[kspec.Engine]struct {
		names []string
		spec  []any
	}{
		kspec.ArgoCD:   {[]string{"more", "thing"}, []any{dates, words, dates}},
		kspec.NoEngine: {[]string{"more", "thing"}, []any{dates, words, dates}},
		kspec.Flux:     {[]string{"thing"}, []any{timed, texts, timed}},
	} {
		t.Run(string(engine), func(t *testing.T) {
			target := overlays("a")
			target.Delivery.Engine = engine
			files := tree(file)
			if engine != kspec.Flux {
				files["a/thing.yaml"].Data = bytes.Replace(files["a/thing.yaml"].Data, []byte(", n: N"), nil, 1)
			}
			want := mustRender(t, target, files)
			var names []string
			for _, o := range want.Objects {
				names = append(names, o.GetName())
			}
			if diff := cmp.Diff(c.names, names); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(any(c.spec), want.Objects[len(want.Objects)-1].Object["spec"]); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
		})
	}
}
