package compare_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
)

// unitCRDs are the kinds by which people tell Flux and Argo CD what to deploy.
// Nothing in them is checked, so that a test may write anything.
const unitCRDs = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: kustomizations.kustomize.toolkit.fluxcd.io}
spec:
  group: kustomize.toolkit.fluxcd.io
  names: {kind: Kustomization, listKind: KustomizationList, plural: kustomizations, singular: kustomization}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: applications.argoproj.io}
spec:
  group: argoproj.io
  names: {kind: Application, listKind: ApplicationList, plural: applications, singular: application}
  scope: Namespaced
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

// engineWorld is a world with a namespace that an engine delivers to.
type engineWorld struct {
	world
	engine kspec.Engine
	ns     string
	target kspec.Target
	want   kspec.Desired
}

// under returns a world in which an engine delivers the objects from the folder
// apps/web by the unit "web", whose spec and status are given. Named says
// whether the target names the unit.
func under(t *testing.T, e kspec.Engine, unit string, named bool, objects string) *engineWorld {
	t.Helper()
	w := &engineWorld{world: newWorld(t), engine: e, ns: strings.Trim(notName.ReplaceAllString(strings.ToLower(t.Name()), "-"), "-")}
	w.ns = strings.Trim(w.ns[max(0, len(w.ns)-50):], "-")
	w.do("test", "apply", unitCRDs)
	w.namespace(w.ns)
	w.unit(unit)
	w.target = kspec.Target{
		Name: w.ns, Delivery: kspec.Delivery{Engine: e, FieldManager: e.DefaultFieldManager()},
		Overlays: []kspec.Overlay{{Path: "apps/web", FieldManager: e.DefaultFieldManager()}},
	}
	if named {
		w.target.Overlays[0].Unit = kspec.UnitRef{Namespace: w.ns, Name: w.ns}
	}
	w.want = desired(t, w.ns, objects)
	for i := range w.want.Objects {
		o := &w.want.Objects[i]
		o.Source.Overlay, o.FieldManager, o.Unit = "apps/web", e.DefaultFieldManager(), w.target.Overlays[0].Unit
	}
	for _, o := range w.want.Objects {
		w.applyMarked(o.Unstructured)
	}
	return w
}

// unit writes the Kustomization or Application, which is named as the namespace.
func (w *engineWorld) unit(text string) {
	w.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(text, "NS", w.ns)), &u.Object); err != nil {
		w.Fatal(err)
	}
	u.SetAPIVersion("kustomize.toolkit.fluxcd.io/v1")
	u.SetKind("Kustomization")
	if w.engine == kspec.ArgoCD {
		u.SetAPIVersion("argoproj.io/v1alpha1")
		u.SetKind("Application")
	}
	u.SetNamespace(w.ns)
	u.SetName(w.ns)
	if err := w.one("person", "apply", u); err != nil {
		w.Fatal(err)
	}
}

// applyMarked applies as the engine does, with its mark.
func (w *engineWorld) applyMarked(u *unstructured.Unstructured) {
	w.Helper()
	if err := w.one(w.engine.DefaultFieldManager(), "apply", w.marked(u, w.ns)); err != nil {
		w.Fatal(err)
	}
}

func (w *engineWorld) marked(u *unstructured.Unstructured, unit string) *unstructured.Unstructured {
	u = u.DeepCopy()
	if w.engine == kspec.ArgoCD {
		id := kspec.IDOf(u)
		u.SetAnnotations(merged(u.GetAnnotations(), map[string]string{
			"argocd.argoproj.io/tracking-id": fmt.Sprintf("%s:%s/%s:%s/%s", unit, id.Group, id.Kind, id.Namespace, id.Name),
		}))
		return u
	}
	u.SetLabels(merged(u.GetLabels(), map[string]string{
		"kustomize.toolkit.fluxcd.io/name": unit, "kustomize.toolkit.fluxcd.io/namespace": w.ns,
	}))
	return u
}

func merged(m, more map[string]string) map[string]string {
	all := maps.Clone(more)
	maps.Copy(all, m)
	return all
}

func (w *engineWorld) detect() kspec.Report {
	w.Helper()
	return w.detectBy(detector(clusterOf(w, nil)))
}

func (w *engineWorld) detectBy(d *compare.Detector) kspec.Report {
	w.Helper()
	rep, err := d.Detect(w.Context(), w.target, w.want)
	if err != nil {
		w.Fatal(err)
	}
	return rep
}

// object returns a ConfigMap of the world.
func (w *engineWorld) object(name, metadata string) *unstructured.Unstructured {
	w.Helper()
	return decode(w, strings.ReplaceAll("{apiVersion: v1, kind: ConfigMap, metadata: {name: "+name+", namespace: NS"+metadata+"}}", "NS", w.ns))[0]
}

const (
	settings     = "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {colour: blue, size: large}}"
	fluxUnit     = "{spec: {path: ./apps/web, prune: true, sourceRef: {kind: GitRepository, name: config}}}"
	fluxSettings = "spec: {path: ./apps/web, prune: true, sourceRef: {kind: GitRepository, name: config}"
	argoUnit     = "{spec: {source: {repoURL: https://git.example/config, path: apps/web}}}"
)

// TestGoneFromGitUnderFlux has what is, and what only looks like, an object that
// Flux applied and Git dropped.
func TestGoneFromGitUnderFlux(t *testing.T) {
	const extra = "ExtraObject ConfigMap"
	tests := map[string]struct {
		unit  string
		found bool // the target does not name the unit
		// stray writes what is not in Git.
		stray func(*engineWorld, *unstructured.Unstructured)
		also  func(*engineWorld)
		want  []string
		hint  string
	}{
		"dropped and not applied since": {
			unit: "{" + fluxSettings + "}, status: {inventory: {entries: [{id: NS_old__ConfigMap, v: v1}]}}}",
			want: []string{extra}, hint: "deletes it when it applies Git again",
		},
		"found by the marks of what is in Git": {unit: fluxUnit, found: true, want: []string{extra}},
		"FN3 lost by a failed prune (kustomize-controller#1664, #1388)": {
			unit: "{" + fluxSettings + "}, status: {inventory: {entries: []}}}", want: []string{extra}, hint: "has lost sight of it",
		},
		"FN2 entries without a name (kustomize-controller#1510)": {
			unit:  "{" + fluxSettings + "}, status: {inventory: {entries: [{id: __kyverno.io_ClusterPolicy, v: v1}, {id: ''}, {id: 3}, 7, {id: _____}]}}}",
			stray: func(*engineWorld, *unstructured.Unstructured) {},
		},
		"pruning is off": {
			unit: "{spec: {path: apps/web/, sourceRef: {kind: GitRepository}}, status: {inventory: {entries: [{id: NS_old__ConfigMap, v: v1}]}}}",
			want: []string{extra}, hint: "spec.prune of Kustomization",
		},
		"suspended": {
			unit: "{" + fluxSettings + ", suspend: true}}", want: []string{extra}, hint: "is suspended",
		},
		"the unit deploys another folder":     {unit: "{spec: {path: ./apps, sourceRef: {kind: GitRepository}}}"},
		"the unit adds components":            {unit: "{" + fluxSettings + ", components: [../more]}}"},
		"the unit renames":                    {unit: "{" + fluxSettings + ", namePrefix: new-}}"},
		"the unit deploys to another cluster": {unit: "{" + fluxSettings + ", kubeConfig: {secretRef: {name: x}}}}"},
		"the unit deploys from a bucket":      {unit: "{spec: {path: ./apps/web, sourceRef: {kind: Bucket}}}"},
		"the unit has wrong types everywhere": {unit: "{spec: {path: {a: 1}, prune: 3, ignore: {x: 1}, sourceRef: [x]}, status: {inventory: 5}}"},
		"the unit is empty":                   {unit: "{spec: null}"},
		"copied by a person with its labels":  {unit: fluxUnit, stray: writtenBy("kubectl-create", "create")},
		"copied by a controller":              {unit: fluxUnit, stray: writtenBy("reflector", "apply")},
		"told to be kept":                     {unit: fluxUnit, stray: annotated("kustomize.toolkit.fluxcd.io/prune", "disabled")},
		"told to be left alone":               {unit: fluxUnit, stray: annotated("kustomize.toolkit.fluxcd.io/reconcile", "Disabled")},
		"told to be kept in words of Argo CD": {unit: fluxUnit, stray: annotated("argocd.argoproj.io/sync-options", "Delete=false,Prune=false")},
		"of another unit":                     {unit: fluxUnit, stray: func(w *engineWorld, u *unstructured.Unstructured) { deliver(w, w.marked(u, "other")) }},
		"belongs to what is in Git": {unit: fluxUnit, stray: func(w *engineWorld, u *unstructured.Unstructured) {
			owner, err := w.at(u).Get(w.Context(), "settings", metav1.GetOptions{})
			if err != nil {
				w.Fatal(err)
			}
			u = w.marked(u, w.ns)
			u.Object["metadata"].(map[string]any)["ownerReferences"] = []any{map[string]any{
				"apiVersion": "v1", "kind": "ConfigMap", "name": "settings", "uid": string(owner.GetUID()),
			}}
			deliver(w, u)
		}},
		"being deleted": {unit: fluxUnit, stray: func(w *engineWorld, u *unstructured.Unstructured) {
			u.SetFinalizers([]string{"example.com/wait"})
			deliver(w, w.marked(u, w.ns))
			w.do("x", "delete", asText(w, u))
		}},
		"could be one with a variable in its name": {unit: fluxUnit, also: func(w *engineWorld) {
			o := w.want.Objects[0]
			o.Unstructured = w.object("'${name}'", "")
			w.want.Objects = append(w.want.Objects, o)
			kspec.SortObjects(w.want.Objects)
		}, want: []string{"Unknown ConfigMap: Git has a variable in its name or namespace, and kspec does not know the value that the applier puts in its place"}},
		"not all could be rendered": {unit: fluxUnit, also: func(w *engineWorld) {
			w.want.Unknown = []kspec.Unknown{{Reason: "broken"}}
		}, want: []string{"Unknown : broken"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := under(t, kspec.Flux, test.unit, !test.found, settings)
			if test.stray == nil {
				test.stray = func(w *engineWorld, u *unstructured.Unstructured) { deliver(w, w.marked(u, w.ns)) }
			}
			test.stray(w, w.object("old", ""))
			if test.also != nil {
				test.also(w)
			}
			rep := detectAs(t, w.target, w.want)
			if diff := cmp.Diff(test.want, lines(rep), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			if len(rep.Findings) > 0 {
				f := rep.Findings[0]
				if f.Severity != kspec.Low || f.Object.Name != "old" || !strings.Contains(f.Hint, test.hint) || f.DecidedBy != kspec.TierFields {
					t.Errorf("want hint %q, got %+v", test.hint, f)
				}
			}
		})
	}
}

func deliver(w *engineWorld, u *unstructured.Unstructured) {
	w.Helper()
	if err := w.one(w.engine.DefaultFieldManager(), "apply", u); err != nil {
		w.Fatal(err)
	}
}

// writtenBy writes the stray under another manager.
func writtenBy(manager, verb string) func(*engineWorld, *unstructured.Unstructured) {
	return func(w *engineWorld, u *unstructured.Unstructured) {
		w.Helper()
		if err := w.one(manager, verb, w.marked(u, w.ns)); err != nil {
			w.Fatal(err)
		}
	}
}

func annotated(key, value string) func(*engineWorld, *unstructured.Unstructured) {
	return func(w *engineWorld, u *unstructured.Unstructured) {
		w.Helper()
		u.SetAnnotations(map[string]string{key: value})
		deliver(w, w.marked(u, w.ns))
	}
}

func asText(t testing.TB, u *unstructured.Unstructured) string {
	t.Helper()
	b, err := u.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestGoneFromGitUnderArgoCD(t *testing.T) {
	const held = ", status: {resources: [{version: v1, kind: ConfigMap, namespace: NS, name: old, requiresPruning: true}, {kind: 3}, 5]}}"
	const source = "{spec: {source: {repoURL: https://git.example/config, path: apps/web}}"
	tests := map[string]struct {
		unit  string
		stray func(*engineWorld, *unstructured.Unstructured)
		want  []string
		hint  string
	}{
		"waits to be pruned": {unit: source + held, want: []string{"ExtraObject ConfigMap"}, hint: "argocd app sync"},
		"prunes by itself":   {unit: "{spec: {source: {repoURL: r, path: ./apps/web}, syncPolicy: {automated: {prune: true}}}" + held, want: []string{"ExtraObject ConfigMap"}, hint: "deletes it when"},
		"FP18 a copy with the mark of another object (mmalyska/home-ops#5164)": {unit: source + held, stray: func(w *engineWorld, u *unstructured.Unstructured) {
			m := w.marked(w.object("settings", ""), w.ns)
			u.SetAnnotations(m.GetAnnotations())
			deliver(w, u)
		}},
		"a hook":                           {unit: source + held, stray: annotated("argocd.argoproj.io/hook", "PreSync")},
		"told to be kept":                  {unit: source + held, stray: annotated("argocd.argoproj.io/compare-options", "IgnoreExtraneous")},
		"the Application has a chart, too": {unit: "{spec: {sources: [{repoURL: r, path: apps/web}, {repoURL: c, chart: x}]}" + held},
		"sources of two repositories":      {unit: "{spec: {sources: [{repoURL: r, path: apps/web}, {repoURL: c, path: apps/web}]}" + held},
		"a source of values only":          {unit: "{spec: {sources: [{repoURL: r, path: apps/web}, {repoURL: c, ref: values}]}" + held, want: []string{"ExtraObject ConfigMap"}},
		"gone already":                     {unit: source + held, stray: func(*engineWorld, *unstructured.Unstructured) {}},
		"wrong types everywhere":           {unit: "{spec: {source: [1], sources: {a: b}, syncPolicy: x, ignoreDifferences: [[1], {group: 3}]}, status: 4}"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := under(t, kspec.ArgoCD, test.unit, false, settings)
			if test.stray == nil {
				test.stray = func(w *engineWorld, u *unstructured.Unstructured) { deliver(w, w.marked(u, w.ns)) }
			}
			test.stray(w, w.object("old", ""))
			rep := detectAs(t, w.target, w.want)
			if diff := cmp.Diff(test.want, lines(rep), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			if len(rep.Findings) > 0 && !strings.Contains(rep.Findings[0].Hint, test.hint) {
				t.Errorf("want hint %q, got %q", test.hint, rep.Findings[0].Hint)
			}
		})
	}
}

func TestAnApplicationThatTracksByLabel(t *testing.T) {
	w := under(t, kspec.ArgoCD, argoUnit, true, settings)
	label := `, labels: {app.kubernetes.io/instance: NS}`
	w.do("argocd-controller", "apply", asText(t, w.object("settings", label+", annotations: {}")))
	w.do("argocd-controller", "apply", asText(t, w.object("old", label)))
	w.do("helm", "apply", asText(t, w.object("of-helm", label)))
	rep := w.detect()
	var names []string
	for _, f := range rep.Findings {
		if f.Verdict == kspec.ExtraObject {
			names = append(names, f.Object.Name)
		}
	}
	if diff := cmp.Diff([]string{"old"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPoliciesThatNoTemplateMakesAnyMore(t *testing.T) {
	w := under(t, kspec.NoEngine, fluxUnit, false, settings)
	w.target.Delivery.Path = "policies"
	policy := `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: %s, namespace: %s, labels: {kspec.io/owner: %s}}, spec: {podSelector: {}}}`
	w.do("kubectl", "apply", fmt.Sprintf(policy, "kspec-old", w.ns, w.ns))
	w.do("kubectl-create", "create", fmt.Sprintf(policy, "copied", w.ns, w.ns))
	w.do("kubectl", "apply", fmt.Sprintf(policy, "of-another", w.ns, "another"))
	d := detector(clusterOf(t, nil))
	for range 2 { // what was found is found again
		rep := w.detectBy(d)
		if len(rep.Findings) != 1 || rep.Findings[0].Object.Name != "kspec-old" || rep.Findings[0].Type != kspec.TypePolicy {
			t.Fatalf("want kspec-old, got %+v", rep.Findings)
		}
	}
}

// TestWhoElseApplies has what other appliers do to what Git sets.
func TestWhoElseApplies(t *testing.T) {
	tests := map[string]struct {
		engine kspec.Engine
		unit   string
		live   func(*engineWorld)
		want   []string
	}{
		"a value by force": {kspec.Flux, fluxUnit, func(w *engineWorld) {
			w.do("rival", "apply", asText(w, edited(w.object("settings", ""), "red")))
		}, []string{"OwnerConflict /data/colour blue -> red rival"}},
		"the same value": {kspec.Flux, fluxUnit, func(w *engineWorld) {
			w.do("rival", "apply", asText(w, edited(w.object("settings", ""), "blue")))
		}, nil},
		"a person by force": {kspec.Flux, fluxUnit, func(w *engineWorld) {
			w.do("kubectl", "apply", asText(w, edited(w.object("settings", ""), "red")))
		}, []string{"Changed /data/colour blue -> red kubectl"}},
		"a controller that updates": {kspec.Flux, fluxUnit, func(w *engineWorld) {
			w.do("operator", "patch", asText(w, edited(w.object("settings", ""), "red")))
		}, []string{"Changed /data/colour blue -> red operator"}},
		"one field by another, one by a person": {kspec.Flux, fluxUnit, func(w *engineWorld) {
			w.do("rival", "apply", asText(w, edited(w.object("settings", ""), "red")))
			w.do("kubectl-edit", "patch", "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: "+w.ns+"}, data: {size: small}}")
		}, []string{"Changed /data/size large -> small kubectl-edit", "OwnerConflict /data/colour blue -> red rival"}},
		"another Kustomization claims it": {kspec.Flux, fluxUnit, func(w *engineWorld) {
			deliver(w, edited(edited(w.marked(w.want.Objects[0].Unstructured, "other"), "blue"), "blue"))
		}, []string{"OwnerConflict /metadata/labels/kustomize.toolkit.fluxcd.io~1name NS -> other kustomize-controller"}},
		"another Kustomization, and this one deploys another folder": {kspec.Flux, "{spec: {path: apps}}", func(w *engineWorld) {
			deliver(w, w.marked(w.want.Objects[0].Unstructured, "other"))
		}, nil},
		"another Application claims it": {kspec.ArgoCD, argoUnit, func(w *engineWorld) {
			deliver(w, w.marked(w.want.Objects[0].Unstructured, "other"))
		}, []string{"OwnerConflict /metadata/annotations/argocd.argoproj.io~1tracking-id NS:/ConfigMap:NS/settings -> other:/ConfigMap:NS/settings argocd-controller"}},
		"the mark of an Application for another object": {kspec.ArgoCD, argoUnit, func(w *engineWorld) {
			u := w.want.Objects[0].DeepCopy()
			u.SetAnnotations(map[string]string{"argocd.argoproj.io/tracking-id": "other:/ConfigMap:x/y"})
			deliver(w, u)
		}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := under(t, test.engine, test.unit, true, settings)
			test.live(w)
			rep := w.detect()
			got := lines(rep)
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], w.ns, "NS")
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, f := range rep.Findings {
				if f.Severity != kspec.Medium || f.Hint == "" || f.Message == "" {
					t.Errorf("got %+v", f)
				}
			}
		})
	}
}

func edited(u *unstructured.Unstructured, colour string) *unstructured.Unstructured {
	u = u.DeepCopy()
	_ = unstructured.SetNestedField(u.Object, colour, "data", "colour")
	return u
}

// TestOptOuts has what Git, and what people, tell the engines to leave alone.
func TestOptOuts(t *testing.T) {
	marked := func(annotations string) string {
		return "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, annotations: {" + annotations + "}}, data: {colour: blue, size: large}}"
	}
	recolour := func(w *engineWorld) {
		w.do("kubectl-edit", "patch", asText(w, edited(w.object("settings", ""), "red")))
	}
	look := func(annotation string) func(*engineWorld) {
		return func(w *engineWorld) {
			recolour(w)
			w.do("kubectl-annotate", "patch", asText(w, w.object("settings", ", annotations: {"+annotation+"}")))
		}
	}
	remove := func(w *engineWorld) { w.do("x", "delete", asText(w, w.object("settings", ""))) }
	add := func(w *engineWorld) {
		w.do("kubectl-edit", "patch", "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: "+w.ns+"}, data: {shape: round}}")
	}
	const changed = "Changed /data/colour blue -> red kubectl-edit"
	tests := map[string]struct {
		engine     kspec.Engine
		git        string
		live       func(*engineWorld)
		want       []string
		suppressed int
		hint       string
	}{
		"Git disables":                 {kspec.Flux, marked("kustomize.toolkit.fluxcd.io/reconcile: disabled"), recolour, nil, 1, ""},
		"Git disables what is missing": {kspec.Flux, marked("kustomize.toolkit.fluxcd.io/reconcile: disabled"), remove, nil, 1, ""},
		"Git ignores":                  {kspec.Flux, marked("kustomize.toolkit.fluxcd.io/ssa: Ignore"), recolour, nil, 1, ""},
		"Git creates it only":          {kspec.Flux, marked("kustomize.toolkit.fluxcd.io/ssa: IfNotPresent"), recolour, nil, 1, ""},
		"Git creates it only, and it is missing": {
			kspec.Flux, marked("kustomize.toolkit.fluxcd.io/ssa: IfNotPresent"), remove,
			[]string{"Missing ConfigMap"},
			0, "",
		},
		"Git merges, a field is changed": {kspec.Flux, marked("kustomize.toolkit.fluxcd.io/ssa: Merge"), recolour, []string{changed}, 0, ""},
		"Git merges, a field is added":   {kspec.Flux, marked("kustomize.toolkit.fluxcd.io/ssa: Merge"), add, nil, 1, ""},
		"a field is added":               {kspec.Flux, settings, add, []string{"ExtraField /data/shape <nil> -> round kubectl-edit"}, 0, ""},
		"marks of Flux mean nothing to Argo CD": {
			kspec.ArgoCD, marked("kustomize.toolkit.fluxcd.io/reconcile: disabled"), recolour,
			[]string{changed},
			0, "",
		},
		"a hook of Argo CD": {kspec.ArgoCD, marked("argocd.argoproj.io/hook: PreSync"), remove, nil, 1, ""},
		"a person disables": {kspec.Flux, settings, look("kustomize.toolkit.fluxcd.io/reconcile: disabled"), []string{
			changed, "ExtraField /metadata/annotations/kustomize.toolkit.fluxcd.io~1reconcile <nil> -> disabled kubectl-annotate",
		}, 0, "tells the engine to look away"},
		"a person ignores": {kspec.Flux, settings, look("kustomize.toolkit.fluxcd.io/ssa: Ignore"), []string{
			changed, "ExtraField /metadata/annotations/kustomize.toolkit.fluxcd.io~1ssa <nil> -> Ignore kubectl-annotate",
		}, 0, "tells the engine to look away"},
		"a controller disables": {kspec.Flux, settings, func(w *engineWorld) {
			w.do("operator", "patch", asText(w, w.object("settings", ", annotations: {kustomize.toolkit.fluxcd.io/reconcile: disabled}")))
		}, []string{"ExtraField /metadata/annotations/kustomize.toolkit.fluxcd.io~1reconcile <nil> -> disabled operator"}, 0, ""},
		"a person keeps Argo CD from comparing": {kspec.ArgoCD, settings, look("argocd.argoproj.io/compare-options: IgnoreExtraneous"), []string{
			changed, "ExtraField /metadata/annotations/argocd.argoproj.io~1compare-options <nil> -> IgnoreExtraneous kubectl-annotate",
		}, 0, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			unit := fluxUnit
			if test.engine == kspec.ArgoCD {
				unit = argoUnit
			}
			w := under(t, test.engine, unit, true, test.git)
			test.live(w)
			rep := w.detect()
			if diff := cmp.Diff(test.want, lines(rep), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if rep.Coverage.Suppressed != test.suppressed {
				t.Errorf("suppressed %d, want %d", rep.Coverage.Suppressed, test.suppressed)
			}
			for _, f := range rep.Findings {
				if !strings.Contains(f.Hint, test.hint) || f.Verdict == kspec.ExtraField && f.Severity != kspec.Medium && strings.Contains(f.Message, "metadata") {
					t.Errorf("want hint %q, got %+v", test.hint, f)
				}
			}
		})
	}
}

const workload = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {team: a}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: side, image: registry.example/side:1}
      - {name: app, image: registry.example/web:1}
`

// TestWhatTheEngineIsToldToIgnore judges two differences, replicas and the image
// of the second container, by rules of the units.
func TestWhatTheEngineIsToldToIgnore(t *testing.T) {
	const replicas = "Changed /spec/replicas 2 -> 5 autoscaler"
	const image = "Changed /spec/template/spec/containers/[name=app]/image registry.example/web:1 -> registry.example/web:2 autoscaler"
	both := []string{replicas, image}
	argo := func(rule string) string {
		return "{spec: {source: {repoURL: r, path: apps/web}, ignoreDifferences: [" + rule + "]}}"
	}
	flux := func(rule string) string { return "{" + fluxSettings + ", ignore: [" + rule + "]}}" }
	unknown := func(why string) []string {
		return []string{"Unknown Deployment: Application NS/NS, spec.ignoreDifferences: " + why}
	}
	tests := map[string]struct {
		engine kspec.Engine
		unit   string
		want   []string
	}{
		"nothing":                 {kspec.ArgoCD, argoUnit, both},
		"a pointer":               {kspec.ArgoCD, argo("{group: apps, kind: Deployment, jsonPointers: [/spec/replicas]}"), []string{image}},
		"a pointer with an index": {kspec.ArgoCD, argo("{group: apps, kind: Deployment, jsonPointers: [/spec/template/spec/containers/1/image]}"), []string{replicas}},
		"a pointer to a sibling":  {kspec.ArgoCD, argo("{group: apps, kind: Deployment, jsonPointers: [/spec/template/spec/containers/0/image, /spec/rep]}"), both},
		"globs":                   {kspec.ArgoCD, argo("{group: '*', kind: 'Dep*', jsonPointers: [/spec]}"), nil},
		"another kind":            {kspec.ArgoCD, argo("{group: apps, kind: StatefulSet, jsonPointers: [/spec]}"), both},
		"another name":            {kspec.ArgoCD, argo("{group: apps, kind: Deployment, name: other, jsonPointers: [/spec]}"), both},
		"another namespace":       {kspec.ArgoCD, argo("{group: apps, kind: Deployment, namespace: other, jsonPointers: [/spec]}"), both},
		"a manager":               {kspec.ArgoCD, argo("{group: apps, kind: Deployment, managedFieldsManagers: [autoscaler]}"), nil},
		"another manager":         {kspec.ArgoCD, argo("{group: apps, kind: Deployment, managedFieldsManagers: [other]}"), both},
		"jq":                      {kspec.ArgoCD, argo(`{group: apps, kind: Deployment, jqPathExpressions: ['.spec.template.spec.containers[] | select(.name == "app") | .image']}`), []string{replicas}},
		"jq that does not fit":    {kspec.ArgoCD, argo(`{group: apps, kind: Deployment, jqPathExpressions: ['.webhooks[].clientConfig']}`), both},
		"jq that cannot be read":  {kspec.ArgoCD, argo(`{group: apps, kind: Deployment, jqPathExpressions: ['.spec[']}`), unknown("jq expression that cannot be read")},
		"jq that loops":           {kspec.ArgoCD, argo(`{group: apps, kind: Deployment, jqPathExpressions: ['last(repeat(.spec))']}`), unknown("jq expression with definitions, loops or functions that kspec does not run")},
		"jq that takes long": {
			kspec.ArgoCD, argo(`{group: apps, kind: Deployment, jqPathExpressions: ['` + strings.Repeat("..|", 30) + `empty']}`),
			unknown("jq expression that takes too long"),
		},
		"jq for another kind that cannot be read": {kspec.ArgoCD, argo(`{group: apps, kind: Job, jqPathExpressions: ['.spec[']}`), unknown("jq expression that cannot be read")},
		"Flux: a pointer":                         {kspec.Flux, flux("{paths: [/spec/replicas], target: {kind: Deploy.*}}"), []string{image}},
		"Flux: of everything":                     {kspec.Flux, flux("{paths: [/spec/replicas, '']}"), nil},
		"Flux: by a label":                        {kspec.Flux, flux("{paths: [/spec/replicas], target: {labelSelector: 'team in (a,b)'}}"), []string{image}},
		"Flux: by another label":                  {kspec.Flux, flux("{paths: [/spec/replicas], target: {labelSelector: 'team=c'}}"), both},
		"Flux: names match as a whole":            {kspec.Flux, flux("{paths: [/spec/replicas], target: {name: w}}"), both},
		"Flux: a bad expression":                  {kspec.Flux, flux("{paths: [/spec/replicas], target: {name: '('}}"), []string{"Unknown Deployment: Kustomization NS/NS has a rule in spec.ignore that cannot be read"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := under(t, test.engine, test.unit, test.engine == kspec.Flux, workload)
			o := w.want.Objects[0].DeepCopy()
			o.SetLabels(nil)
			_ = unstructured.SetNestedField(o.Object, int64(5), "spec", "replicas")
			w.raw("autoscaler", o, `[{"op":"replace","path":"/spec/replicas","value":5},{"op":"replace","path":"/spec/template/spec/containers/1/image","value":"registry.example/web:2"}]`)
			got := lines(w.detect())
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], w.ns, "NS")
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestTheApplicationIsReadAgain shows that a decision does not outlive the rules
// that it was made by.
func TestTheApplicationIsReadAgain(t *testing.T) {
	w := under(t, kspec.ArgoCD, argoUnit, true, strings.Repeat(settings+"\n---\n", 1))
	w.do("kubectl-edit", "patch", asText(t, edited(w.object("settings", ""), "red")))
	d := compare.New(compare.ClustersFunc(func(context.Context, kspec.Target) (*compare.Cluster, error) { return clusterOf(t, nil), nil }),
		compare.Options{Memory: compare.NoMemory()})
	if got := lines(w.detectBy(d)); len(got) != 1 {
		t.Fatalf("want one difference, got %q", got)
	}
	w.unit("{spec: {source: {repoURL: r, path: apps/web}, ignoreDifferences: [{kind: ConfigMap, jsonPointers: [/data/colour]}]}}")
	rep := w.detectBy(d)
	if got := lines(rep); len(got) != 0 || rep.Coverage.Suppressed != 1 {
		t.Errorf("want it suppressed, got %q and %+v", got, rep.Coverage)
	}
	if by := rep.Coverage.SuppressedBy; len(by) != 1 || by[0].Paths != nil || by[0].Count != 1 {
		t.Errorf("want it suppressed by what the Application says, got %+v", by)
	}
}

// TestAnApplicationThatIsFoundIsReadAgain has one that only the marks of live
// objects name, which a new process meets after it recalled what was decided.
func TestAnApplicationThatIsFoundIsReadAgain(t *testing.T) {
	const ignoring = "{spec: {source: {repoURL: r, path: apps/web}, ignoreDifferences: [{kind: ConfigMap, jsonPointers: [/data/colour]}]}}"
	w := under(t, kspec.ArgoCD, ignoring, false, settings)
	w.do("kubectl-edit", "patch", asText(t, edited(w.object("settings", ""), "red")))
	notes := &notebook{}
	look := func() kspec.Report {
		return w.detectBy(detectorWith(t, compare.Options{Memory: notes}, func(*http.Request) (*http.Response, error) { return nil, nil }))
	}
	for process := range 3 {
		if rep := look(); len(rep.Findings) != 0 || rep.Coverage.Suppressed != 1 {
			t.Fatalf("process %d: want it suppressed, got %q and %+v", process, lines(rep), rep.Coverage)
		}
	}
	w.unit(argoUnit)
	if got := lines(look()); len(got) != 1 {
		t.Errorf("want one difference once nothing excuses it, got %q", got)
	}
}

// TestAnApplicationThatIsNewExcusesAtOnce has a decision about one object that
// no mark was on, and an Application that another object tells of.
func TestAnApplicationThatIsNewExcusesAtOnce(t *testing.T) {
	w := under(t, kspec.ArgoCD, argoUnit, false, settings+"\n---\n"+strings.Replace(settings, "settings", "unmarked", 1))
	for _, o := range w.want.Objects { // nothing tells of the unit
		w.raw("argocd-controller", o.Unstructured, `[{"op":"remove","path":"/metadata/annotations"}]`)
	}
	w.do("kubectl-edit", "patch", asText(t, edited(w.object("unmarked", ""), "red")))
	d := detectorWith(t, compare.Options{Memory: compare.NoMemory()}, func(*http.Request) (*http.Response, error) { return nil, nil })
	if got := lines(w.detectBy(d)); len(got) != 1 {
		t.Fatalf("want one difference, got %q", got)
	}
	w.unit("{spec: {source: {repoURL: r, path: apps/web}, ignoreDifferences: [{kind: ConfigMap, jsonPointers: [/data/colour]}]}}")
	w.applyMarked(w.want.Objects[0].Unstructured)
	if rep := w.detectBy(d); len(rep.Findings) != 0 || rep.Coverage.Suppressed != 1 {
		t.Errorf("want it suppressed, got %q and %+v", lines(rep), rep.Coverage)
	}
}

// TestUnitsThatCannotBeRead has faults of the one request for a unit.
func TestUnitsThatCannotBeRead(t *testing.T) {
	tests := map[string]struct {
		code         int
		reason, want string
	}{
		"the server is down": {http.StatusInternalServerError, "InternalError", "Unknown ConfigMap: Application NS/NS could not be read, which may excuse it: get: internal error"},
		"forbidden":          {http.StatusForbidden, "Forbidden", "Unknown Application: get: forbidden"},
		"not there":          {http.StatusNotFound, "NotFound", "Changed /data/colour blue -> red kubectl-edit"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := under(t, kspec.ArgoCD, argoUnit, true, settings)
			w.do("kubectl-edit", "patch", asText(t, edited(w.object("settings", ""), "red")))
			d := detectorWith(t, compare.Options{}, func(req *http.Request) (*http.Response, error) {
				if !strings.Contains(req.URL.Path, "/applications/") {
					return nil, nil
				}
				return answer(req, test.code, test.reason), nil
			})
			got := strings.ReplaceAll(strings.Join(lines(w.detectBy(d)), "\n"), w.ns, "NS")
			if !strings.Contains(got, test.want) {
				t.Errorf("want %q in:\n%s", test.want, got)
			}
		})
	}
}

// TestTwoTargetsThatWantOneObject has what two ClusterSpecs of one cluster may
// want of the same object.
func TestTwoTargetsThatWantOneObject(t *testing.T) {
	tests := map[string]struct {
		theirs, manager, cluster string
		want                     []string
	}{
		"otherwise":            {strings.Replace(settings, "blue", "red", 1), applier, "", []string{"Unknown ConfigMap: ClusterSpec b wants it otherwise in the same cluster: let one of the two declare it"}},
		"the same":             {settings, applier, "", nil},
		"under another name":   {settings, "other", "", []string{"Unknown ConfigMap: ClusterSpec b wants it otherwise in the same cluster: let one of the two declare it"}},
		"in another cluster":   {strings.Replace(settings, "blue", "red", 1), applier, "other", nil},
		"another object":       {strings.Replace(settings, "settings", "others", 1), applier, "", nil},
		"a number for a text":  {strings.Replace(settings, "data: {colour: blue, size: large}", "data: {colour: blue, size: 7}", 1), applier, "", []string{"Unknown ConfigMap: ClusterSpec b wants it otherwise in the same cluster: let one of the two declare it"}},
		"in another order":     {strings.Replace(settings, "colour: blue, size: large", "size: large, colour: blue", 1), applier, "", nil},
		"values the other way": {strings.Replace(settings, "colour: blue, size: large", "size: blue, colour: large", 1), applier, "", []string{"Unknown ConfigMap: ClusterSpec b wants it otherwise in the same cluster: let one of the two declare it"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := under(t, kspec.Flux, fluxUnit, false, settings)
			theirs := desired(t, w.ns, test.theirs)
			theirs.Objects[0].FieldManager = test.manager
			b := kspec.Target{Name: "b", Cluster: test.cluster}
			d := detector(clusterOf(t, nil))
			d.Claim(b, theirs)
			rep := w.detectBy(d)
			if diff := cmp.Diff(test.want, lines(rep), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !rep.Settled() {
				t.Error("the report waits for what only Git can settle")
			}
			if test.want == nil {
				return
			}
			if rep, err := d.Detect(t.Context(), b, theirs); err != nil || len(rep.Unknown) != 1 || !strings.Contains(rep.Unknown[0].Reason, w.target.Name) {
				t.Errorf("the other target: want it to name %s, got %v, %v", w.target.Name, rep.Unknown, err)
			}
			d.Forget([]string{w.target.Name})
			if rep := w.detectBy(d); len(rep.Unknown) > 0 {
				t.Errorf("the other target is gone, got %v", rep.Unknown)
			}
		})
	}
}
