package remediate_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/remediate"
)

// person changes one field of one object by hand.
type person struct {
	object string // as ObjectID.String writes it
	path   string
	live   any // nil: removed
	change func(*kspec.Finding)
}

// adoptionRepo is a base that two overlays build on.
const adoptionRepo = `
-- clusters/prod/clusterspec.yaml --
apiVersion: kspec.io/v1alpha1
kind: ClusterSpec
metadata: {name: prod}
spec:
  manifests:
  - path: apps/overlays/prod
  - path: plain
  remediation: {strategy: adopt}
-- apps/base/kustomization.yaml --
resources:
- web.yaml
-- apps/base/web.yaml --
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 2
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: app
        image: registry.example/web:1.0
        args: [serve, --fast]
        env:
        - name: MODE
          value: fast
        - name: OLD
          value: "1"
      - name: side
        image: registry.example/side:1.0
---
apiVersion: example.com/v1
kind: Widget
metadata:
  name: big
spec:
  parts:
  - name: a
    size: 1
-- apps/overlays/prod/kustomization.yaml --
# production
namespace: prod
namePrefix: p-
resources:
- ../../base
- own.yaml # ours alone

images:
- name: registry.example/side
  newTag: "1.1"
-- apps/overlays/prod/own.yaml --
apiVersion: v1
kind: ConfigMap
metadata:
  name: own
data:
  # why it is so
  level: "3" # of ten
-- apps/overlays/staging/kustomization.yaml --
namespace: staging
resources:
- ../../base
-- plain/two.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: one, namespace: plain}
data: {a: "1"}
---

# the second
apiVersion: v1
kind: ConfigMap
metadata: {name: two, namespace: plain}
data:
  a: "1"
  b: |
    first
    second
`

func repoOf(text string, more ...string) fstest.MapFS {
	files := fstest.MapFS{}
	for _, t := range append([]string{text}, more...) {
		for _, f := range txtar.Parse([]byte(t)).Files {
			if len(f.Data) == 0 {
				delete(files, f.Name)
				continue
			}
			files[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
		}
	}
	return files
}

// decide makes the plans for what people changed.
func decide(t testing.TB, repo fs.FS, people ...person) []kspec.Plan {
	t.Helper()
	in := inputOf(t, repo, kspec.Report{})
	for _, p := range people {
		in.Report = in.Report.With(p.finding(t, in.Desired))
	}
	plans, err := remediate.Decide(in)
	if err != nil {
		t.Fatal(err)
	}
	return plans
}

func (p person) finding(t testing.TB, want kspec.Desired) kspec.Finding {
	t.Helper()
	f := kspec.Finding{
		Type: kspec.TypeConfiguration, Verdict: kspec.Changed, Severity: kspec.Medium, Message: p.path + " differs",
		Fields: []kspec.Field{{Path: p.path, KeyedPath: p.path, Live: p.live, Manager: "kubectl-edit", ByPerson: true}},
	}
	for _, o := range want.Objects {
		if o.ID().String() == p.object {
			f.Object, f.Source = o.ID(), o.Source
		}
	}
	if f.Object.Name == "" {
		f.Object = kspec.ObjectID{Version: "v1", Kind: "ConfigMap", Name: p.object}
	}
	if p.change != nil {
		p.change(&f)
	}
	return f.Fingerprinted()
}

// changes returns the changed lines of the edits, with their files.
func changes(plans []kspec.Plan) string {
	var b strings.Builder
	for _, p := range plans {
		for _, e := range p.Edits {
			fmt.Fprintf(&b, "%s\n", e.Path)
			for line := range strings.Lines(e.Diff) {
				if strings.HasPrefix(line, "+++") || strings.HasPrefix(line, "---") {
					continue
				}
				if line[0] == '+' || line[0] == '-' {
					b.WriteString(line)
				}
			}
		}
	}
	return b.String()
}

func TestAdoptsAtTheSmallestPlace(t *testing.T) {
	const web, big = "Deployment.apps prod/p-web", "Widget.example.com prod/p-big"
	for _, tc := range []struct {
		name   string
		more   string
		people []person
		want   string
	}{
		{"a file of the overlay's own", "", []person{{object: "ConfigMap prod/p-own", path: "/data/level", live: "4"}}, `
apps/overlays/prod/own.yaml
-  level: "3" # of ten
+  level: "4" # of ten
`},
		{"a plain file with two documents", "", []person{{object: "ConfigMap plain/two", path: "/data/b", live: "third\n"}}, `
plain/two.yaml
-    first
-    second
+    third
`},
		{"a label added by hand", "", []person{{object: "ConfigMap plain/one", path: "/metadata/labels/team", live: "web"}}, `
plain/two.yaml
-metadata: {name: one, namespace: plain}
+metadata: {name: one, namespace: plain, labels: {team: web}}
`},
		{"a key removed by hand", "", []person{{object: "ConfigMap plain/two", path: "/data/a", live: nil}}, `
plain/two.yaml
-  a: "1"
`},
		{"a merge patch where the base is shared", "", []person{{object: web, path: "/spec/replicas", live: 5}}, `
apps/overlays/prod/kspec-deployment-web.yaml
+# What was changed in the cluster and adopted, by kspec.
+apiVersion: apps/v1
+kind: Deployment
+metadata:
+  name: web
+spec:
+  replicas: 5
apps/overlays/prod/kustomization.yaml
+patches:
+- path: kspec-deployment-web.yaml
`},
		{"one patch for several fields, merged by key", "", []person{
			{object: web, path: "/spec/template/spec/containers/[name=app]/env/[name=MODE]/value", live: "slow"},
			{object: web, path: "/spec/template/spec/containers/[name=app]/env/[name=OLD]", live: nil},
			{object: web, path: "/spec/template/spec/containers/[name=app]/image", live: "registry.example/web:2.0"},
			{object: web, path: "/metadata/annotations/example.com~1why", live: "incident 7"},
		}, `
apps/overlays/prod/kspec-deployment-web.yaml
+# What was changed in the cluster and adopted, by kspec.
+apiVersion: apps/v1
+kind: Deployment
+metadata:
+  name: web
+  annotations:
+    example.com/why: incident 7
+spec:
+  template:
+    spec:
+      containers:
+      - name: app
+        env:
+        - name: MODE
+          value: slow
+        - name: OLD
+          $patch: delete
+        image: registry.example/web:2.0
apps/overlays/prod/kustomization.yaml
+patches:
+- path: kspec-deployment-web.yaml
`},
		{"the images entry where there is one", "", []person{{object: web, path: "/spec/template/spec/containers/[name=side]/image", live: "registry.example/side:1.2"}}, `
apps/overlays/prod/kustomization.yaml
-  newTag: "1.1"
+  newTag: "1.2"
`},
		{"the images entry, another name and a digest", "", []person{{object: web, path: "/spec/template/spec/containers/[name=side]/image", live: "mirror.example/side@sha256:" + strings.Repeat("a", 64)}}, `
apps/overlays/prod/kustomization.yaml
-  newTag: "1.1"
+  newName: mirror.example/side
+  digest: sha256:` + strings.Repeat("a", 64) + `
`},
		{"the images entry where Flux delivers it once", flux("prod"), []person{{object: web, path: "/spec/template/spec/containers/[name=side]/image", live: "registry.example/side:1.2"}}, `
apps/overlays/prod/kustomization.yaml
-  newTag: "1.1"
+  newTag: "1.2"
`},
		{"the replicas entry where there is one", `
-- apps/overlays/prod/kustomization.yaml --
namespace: prod
namePrefix: p-
resources: [../../base]
replicas:
- name: web
  count: 3 # for now
`, []person{{object: web, path: "/spec/replicas", live: 5}}, `
apps/overlays/prod/kustomization.yaml
-  count: 3 # for now
+  count: 5 # for now
`},
		{"an item of a list without keys, by a JSON patch", "", []person{{object: web, path: "/spec/template/spec/containers/[name=app]/args/1", live: "--slow"}}, `
apps/overlays/prod/kspec-deployment-web-ops.yaml
+# What was changed in the cluster and adopted, by kspec.
+- op: replace
+  path: /spec/template/spec/containers/0/args/1
+  value: --slow
apps/overlays/prod/kustomization.yaml
+patches:
+- path: kspec-deployment-web-ops.yaml
+  target:
+    kind: Deployment
+    name: web
+    group: apps
+    version: v1
`},
		{"a list of a custom resource, by a JSON patch", "", []person{{object: big, path: "/spec/parts/[name=a]/size", live: 2}}, `
apps/overlays/prod/kspec-widget-big-ops.yaml
+# What was changed in the cluster and adopted, by kspec.
+- op: replace
+  path: /spec/parts/0/size
+  value: 2
apps/overlays/prod/kustomization.yaml
+patches:
+- path: kspec-widget-big-ops.yaml
+  target:
+    kind: Widget
+    name: big
+    group: example.com
+    version: v1
`},
		{"into the patch that is there", `
-- apps/overlays/prod/kustomization.yaml --
namespace: prod
namePrefix: p-
resources: [../../base]
patches:
- path: kspec-deployment-web.yaml # adopted
-- apps/overlays/prod/kspec-deployment-web.yaml --
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 4 # on Mondays
`, []person{{object: web, path: "/spec/replicas", live: 5}, {object: web, path: "/spec/paused", live: true}}, `
apps/overlays/prod/kspec-deployment-web.yaml
-  replicas: 4 # on Mondays
+  replicas: 5 # on Mondays
+  paused: true
`},
		{"several objects at once", "", []person{
			{object: web, path: "/spec/replicas", live: 5}, {object: big, path: "/spec/colour", live: "red"},
		}, `
apps/overlays/prod/kspec-deployment-web.yaml
+# What was changed in the cluster and adopted, by kspec.
+apiVersion: apps/v1
+kind: Deployment
+metadata:
+  name: web
+spec:
+  replicas: 5
apps/overlays/prod/kspec-widget-big.yaml
+# What was changed in the cluster and adopted, by kspec.
+apiVersion: example.com/v1
+kind: Widget
+metadata:
+  name: big
+spec:
+  colour: red
apps/overlays/prod/kustomization.yaml
+patches:
+- path: kspec-deployment-web.yaml
+- path: kspec-widget-big.yaml
`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			repo := repoOf(adoptionRepo, tc.more)
			plans := decide(t, repo, tc.people...)
			if diff := cmp.Diff(strings.TrimPrefix(tc.want, "\n"), changes(plans)); diff != "" {
				t.Fatalf("changes (-want +got):\n%s\nreasons: %+v", diff, plans[0].Reasons)
			}
			for _, p := range plans {
				appliesWithGit(t, repo, p)
			}
		})
	}
}

func TestSaysWhyItDoesNotAdopt(t *testing.T) {
	const own, web = "ConfigMap prod/p-own", "Deployment.apps prod/p-web"
	level := func(change func(*kspec.Finding)) person {
		return person{object: own, path: "/data/level", live: "4", change: change}
	}
	for _, tc := range []struct {
		name, more string
		person     person
		want       string
	}{
		{"missing", "", level(func(f *kspec.Finding) { f.Verdict, f.Fields = kspec.Missing, nil }), "not in the cluster: run: kubectl apply --server-side"},
		{"a violation", "", level(func(f *kspec.Finding) { f.Verdict = kspec.Violation }), "does not mend"},
		{"a secret value", "", level(func(f *kspec.Finding) { f.Fields[0].Redacted = true }), "is secret"},
		{"not by a person", "", level(func(f *kspec.Finding) { f.Fields[0].ByPerson, f.Fields[0].Manager = false, "kube-controller-manager" }), "changed by kube-controller-manager"},
		{"by nobody", "", level(func(f *kspec.Finding) { f.Fields[0].ByPerson, f.Fields[0].Manager = false, "" }), "nobody owns"},
		{"a policy", "", level(func(f *kspec.Finding) { f.Source.Template = "security-baseline" }), "policy template"},
		{"no field", "", level(func(f *kspec.Finding) { f.Fields = nil }), "names no field"},
		{"a path that cannot be read", "", level(func(f *kspec.Finding) { f.Fields[0].KeyedPath = "data" }), "cannot be read"},
		{"status", "", person{object: web, path: "/status/replicas", live: 1}, "belongs to the API server"},
		{"the uid", "", person{object: web, path: "/metadata/uid", live: "x"}, "belongs to the API server"},
		{"an object that Git does not declare", "", person{object: "stray", path: "/data/a", live: "x"}, "does not declare"},
		{"what kubectl remembers", "", person{object: own, path: "/metadata/annotations", live: map[string]any{"kubectl.kubernetes.io/last-applied-configuration": "{}"}}, "kubectl remembers"},
		{"mode report", strings.Replace(specOf("adopt"), "strategy: adopt", "mode: report", 1), level(nil), "mode is report"},
		{"strategy restore", specOf("restore"), level(nil), "strategy is restore: run: kubectl apply"},
		{"Flux heals", specOf("auto, delivery: flux"), level(nil), "Flux will put Git back; if it does not, run: flux reconcile kustomization"},
		{"Argo CD heals", specOf("auto, delivery: argocd"), level(nil), "run: argocd app sync NAME --resource :ConfigMap:prod/p-own"},
		{"another ClusterSpec deploys it", "-- clusters/two.yaml --\napiVersion: kspec.io/v1alpha1\nkind: ClusterSpec\nmetadata: {name: two}\nspec: {manifests: [{path: apps/overlays/prod}]}\n", level(nil), "deployed by ClusterSpec two too"},
		{"another overlay builds on it", "-- apps/overlays/all/kustomization.yaml --\nresources: [../prod]\n", level(nil), "built on by apps/overlays/all too"},
		{"Flux delivers it to two clusters", flux("prod") + flux("staging"), level(nil), "deployed more than once, which the change would reach: by clusters/prod/apps.yaml, clusters/staging/apps.yaml"},
		{
			"Argo CD delivers it to two clusters", argo("prod") + argo("staging"), level(nil),
			"by clusters/prod/app.yaml, clusters/staging/app.yaml",
		},
		{"an anchor in a plain file", "-- plain/two.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: two, namespace: plain}\ndata: {a: &x \"1\", b: *x}\n", person{object: "ConfigMap plain/two", path: "/data/b", live: "2"}, "alias"},
		{"an encrypted file", "-- plain/two.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: two, namespace: plain}\ndata: {a: \"1\"}\nsops: {version: 3}\n", person{object: "ConfigMap plain/two", path: "/data/a", live: "2"}, "encrypted"},
		{"what a generator of the overlay makes", "-- apps/overlays/prod/kustomization.yaml --\nnamespace: prod\nnamePrefix: p-\nconfigMapGenerator:\n- name: own\n  literals: [level=3]\n  options: {disableNameSuffixHash: true}\nlabels:\n- pairs: {level: \"3\"}\n", person{object: own, path: "/metadata/labels/level", live: "4"}, "/metadata/labels/level"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			plans := decide(t, repoOf(adoptionRepo, tc.more), tc.person)
			if len(plans) != 1 || plans[0].Strategy != kspec.StrategyReport || len(plans[0].Edits) > 0 || len(plans[0].Reasons) != 1 {
				t.Fatalf("want one plan that reports, got %s\n%+v", changes(plans), plans)
			}
			if got := plans[0].Reasons[0].Why; !strings.Contains(got, tc.want) {
				t.Errorf("the reason is %q, want one with %q", got, tc.want)
			}
		})
	}
}

// flux delivers the overlay to a cluster, and argo does.
func flux(cluster string) string {
	return "-- clusters/" + cluster + "/apps.yaml --\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps}\nspec: {path: ./apps/overlays/prod}\n"
}

func argo(cluster string) string {
	return "-- clusters/" + cluster + "/app.yaml --\napiVersion: argoproj.io/v1alpha1\nkind: Sensor\nspec: {source: odd}\n---\napiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: apps}\nspec: {source: {path: apps/overlays/prod}}\n"
}

// specOf returns the ClusterSpec with another strategy, and engine if named.
func specOf(strategy string) string {
	spec := "-- clusters/prod/clusterspec.yaml --\napiVersion: kspec.io/v1alpha1\nkind: ClusterSpec\nmetadata: {name: prod}\nspec:\n  manifests: [{path: apps/overlays/prod}, {path: plain}]\n"
	strategy, engine, ok := strings.Cut(strategy, ", delivery: ")
	if ok {
		spec += "  delivery: {engine: " + engine + "}\n"
	}
	return spec + "  remediation: {strategy: " + strategy + "}\n"
}

func TestPatchesNoMoreObjectsOfOneOverlayThanPeopleCanReview(t *testing.T) {
	repo, people := manyObjects(52, false)
	plans := decide(t, repo, people...)
	if len(plans[0].Edits) != 51 || len(plans[0].Reasons) != 2 || !strings.Contains(plans[0].Reasons[0].Why, "more than 50 objects") {
		t.Errorf("%d edits, reasons %+v", len(plans[0].Edits), plans[0].Reasons)
	}
}

func TestOneFindingThatCannotBeProvenDoesNotStopTheOthers(t *testing.T) {
	repo := repoOf(adoptionRepo, "-- plain/two.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: two, namespace: plain}\ndata: {a: &x \"1\", b: *x, c: \"1\"}\n")
	plans := decide(t, repo,
		person{object: "ConfigMap plain/two", path: "/data/b", live: "2"},
		person{object: "ConfigMap prod/p-own", path: "/data/level", live: "4"},
	)
	if len(plans) != 1 || plans[0].Strategy != kspec.StrategyAdopt || len(plans[0].Edits) != 1 || len(plans[0].Reasons) != 1 {
		t.Errorf("want one edit and one reason: %+v", plans)
	}
	if !strings.Contains(plans[0].Title, "p-own") || strings.Contains(plans[0].Body, "plain/two") {
		t.Errorf("the pull request speaks of what it does not cover:\n%s", plans[0].Body)
	}
}

// TestTheProofHasTheLastWord gives Decide a renderer that is not Kustomize: an
// edit that shows elsewhere must be dropped, and the innocent kept.
func TestTheProofHasTheLastWord(t *testing.T) {
	repo := repoOf(adoptionRepo)
	in := inputOf(t, repo, kspec.Report{})
	for _, p := range []person{
		{object: "ConfigMap plain/one", path: "/data/a", live: "2"},
		{object: "ConfigMap plain/two", path: "/data/a", live: "2"},
		{object: "ConfigMap prod/p-own", path: "/data/level", live: "4"},
	} {
		in.Report = in.Report.With(p.finding(t, in.Desired))
	}
	honest := in.Render
	in.Render = func(tree kspec.Tree) (kspec.Desired, error) {
		d, err := honest(tree)
		adopted := false
		for _, o := range d.Objects {
			level, _, _ := unstructured.NestedString(o.Object, "data", "level")
			adopted = adopted || level == "4"
		}
		for _, o := range d.Objects {
			if adopted && o.GetKind() == "Deployment" {
				o.SetLabels(map[string]string{"side": "effect"})
			}
		}
		return d, err
	}
	plans, err := remediate.Decide(in)
	if err != nil {
		t.Fatal(err)
	}
	if got := changes(plans); !strings.HasPrefix(got, "plain/two.yaml\n") || strings.Contains(got, "own") {
		t.Errorf("the plan is\n%s", got)
	}
	if len(plans[0].Reasons) != 1 || !strings.Contains(plans[0].Reasons[0].Why, "show elsewhere too, at Deployment") {
		t.Errorf("the reasons are %+v", plans[0].Reasons)
	}

	in.Render = func(kspec.Tree) (kspec.Desired, error) { return kspec.Desired{}, errors.New("no\nsecond line") }
	plans, err = remediate.Decide(in)
	if err != nil || len(plans) != 1 || len(plans[0].Edits) > 0 || !strings.Contains(plans[0].Reasons[0].Why, "would not render any more: no") {
		t.Errorf("with a renderer that fails: %+v, %v", plans, err)
	}
}

func TestRegeneratesTheDeliveredPolicies(t *testing.T) {
	repo := repoOf(`
-- clusters/prod/clusterspec.yaml --
apiVersion: kspec.io/v1alpha1
kind: ClusterSpec
metadata: {name: prod}
spec:
  delivery: {engine: flux, path: policies}
  enforcement: {enabled: true, mode: enforce}
-- policies/same.yaml --
# Rendered by kspec: same
a: 1
-- policies/changed.yaml --
# Rendered by kspec: changed
a: 1
-- policies/gone.yaml --
# Rendered by kspec: gone
a: 1
-- policies/theirs.yaml --
# by Ada
a: 1
-- policies/README.md --
hello
`)
	in := inputOf(t, repo, kspec.Report{})
	in.Desired.Delivery = []kspec.File{
		{Path: "policies/changed.yaml", Content: []byte("# Rendered by kspec: changed\na: 2\n")},
		{Path: "policies/new/one.yaml", Content: []byte("# Rendered by kspec: new\n")},
		{Path: "policies/same.yaml", Content: repo["policies/same.yaml"].Data},
	}
	plans, err := remediate.Decide(in)
	if err != nil {
		t.Fatal(err)
	}
	want := `policies/changed.yaml
-a: 1
+a: 2
policies/gone.yaml
-# Rendered by kspec: gone
-a: 1
policies/new/one.yaml
+# Rendered by kspec: new
`
	if diff := cmp.Diff(want, changes(plans)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if p := plans[0]; p.Strategy != kspec.StrategyRender || p.Fingerprint == "" || len(p.Reasons) != 1 || !strings.Contains(p.Reasons[0].Why, "theirs.yaml was not rendered by kspec") {
		t.Errorf("the plan is %+v", p)
	}
	appliesWithGit(t, repo, plans[0])

	// What the plan puts right is not said to be left out.
	in.Report.Findings = []kspec.Finding{
		{Verdict: kspec.Changed, Object: kspec.ObjectID{Kind: "X", Name: "changed"}, Source: kspec.Source{File: "policies/changed.yaml", Template: "t"}},
		{Verdict: kspec.Missing, Object: kspec.ObjectID{Kind: "X", Name: "new"}, Source: kspec.Source{File: "policies/new/one.yaml", Template: "t"}},
		{Verdict: kspec.ExtraObject, Object: kspec.ObjectID{Kind: "X", Name: "gone"}, Source: kspec.Source{Overlay: "policies"}},
		{Verdict: kspec.Changed, Object: kspec.ObjectID{Kind: "X", Name: "same"}, Source: kspec.Source{File: "policies/same.yaml", Template: "t"}},
		{Verdict: kspec.ExtraObject, Object: kspec.ObjectID{Kind: "X", Name: "elsewhere"}, Source: kspec.Source{Overlay: "app"}},
		{Verdict: kspec.Violation, Object: kspec.ObjectID{Kind: "X", Name: "old"}, Message: "it expired", Hint: "take it out"},
	}
	if plans, err = remediate.Decide(in); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, r := range plans[0].Reasons {
		left = append(left, r.Object.Name)
	}
	if why := plans[0].Reasons[len(plans[0].Reasons)-1].Why; why != "it is for a person: it expired: take it out" {
		t.Errorf("about what only people mend it says: %s", why)
	}
	if diff := cmp.Diff([]string{"", "same", "elsewhere", "old"}, left); diff != "" {
		t.Errorf("what the plan leaves out (-want +got):\n%s", diff)
	}
	in.Report.Findings = nil

	in.Desired.Unknown = []kspec.Unknown{{Reason: "a template is broken"}}
	plans, err = remediate.Decide(in)
	if err != nil || strings.Contains(changes(plans), "gone.yaml") {
		t.Errorf("files are deleted although not everything could be rendered: %v\n%s", err, changes(plans))
	}
	in.Desired.Delivery = nil
	if plans, err = remediate.Decide(in); err != nil || len(plans) > 0 {
		t.Errorf("with nothing to deliver: %+v, %v", plans, err)
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("findings=%d", n), func(b *testing.B) {
			repo, people := manyObjects(n, true)
			in := inputOf(b, repo, kspec.Report{})
			for _, p := range people {
				in.Report.Findings = append(in.Report.Findings, p.finding(b, in.Desired))
			}
			kspec.SortFindings(in.Report.Findings)
			// The renderer is not what is measured.
			rendered := map[bool]kspec.Desired{}
			honest := in.Render
			in.Render = func(tree kspec.Tree) (kspec.Desired, error) {
				if d, ok := rendered[true]; ok {
					return d, nil
				}
				d, err := honest(tree)
				rendered[true] = d
				return d, err
			}
			b.ReportAllocs()
			for b.Loop() {
				plans, err := remediate.Decide(in)
				if err != nil || len(plans) != 1 || len(plans[0].Edits) == 0 || len(plans[0].Reasons) > 0 {
					b.Fatalf("%v %+v", err, plans[0].Reasons)
				}
			}
		})
	}
}

// manyObjects are n ConfigMaps, of each of which a person changed one key: in
// files of the overlay's own, or in a base that another overlay shares.
func manyObjects(n int, own bool) (fstest.MapFS, []person) {
	repo := repoOf(strings.ReplaceAll(specOf("adopt"), ", {path: plain}", ""))
	base, people := "resources:\n", []person{}
	for i := range n {
		name := fmt.Sprintf("c%04d", i)
		repo["apps/base/"+name+".yaml"] = file("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: prod}\ndata: {a: \"1\"}\n")
		base += "- " + name + ".yaml\n"
		people = append(people, person{object: "ConfigMap prod/" + name, path: "/data/a", live: "2"})
	}
	repo["apps/base/kustomization.yaml"] = file(base)
	repo["apps/overlays/prod/kustomization.yaml"] = file("resources: [../../base]\n")
	repo["apps/overlays/staging/kustomization.yaml"] = file("resources: [../../base]\n")
	if own {
		delete(repo, "apps/overlays/staging/kustomization.yaml")
		for name, f := range repo {
			if rest, ok := strings.CutPrefix(name, "apps/base/"); ok {
				repo["apps/overlays/prod/"+rest] = f
				delete(repo, name)
			}
		}
	}
	return repo, people
}

// Whoever may edit one object must not keep kspec busy with it.
func TestAnObjectWithVeryManyFieldsIsNotAdopted(t *testing.T) {
	repo := repoOf(adoptionRepo, "-- plain/two.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: two, namespace: plain}\ndata: {a: x}\n")
	p := person{object: "ConfigMap plain/two", path: "/data/a", live: "y", change: func(f *kspec.Finding) {
		for i := range 10_000 {
			path := fmt.Sprintf("/data/k%d", i)
			f.Fields = append(f.Fields, kspec.Field{Path: path, KeyedPath: path, Live: strings.Repeat("x", 60), Manager: "kubectl-edit", ByPerson: true})
		}
	}}
	plan := decide(t, repo, p)[0]
	if plan.Strategy != kspec.StrategyReport || len(plan.Reasons) != 1 || !strings.Contains(plan.Reasons[0].Why, "10001 fields") {
		t.Errorf("got %s because %v", plan.Strategy, plan.Reasons)
	}
}
