package compare_test

import (
	"cmp"
	"context"
	stdjson "encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
)

const parcels = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: parcels.property.example}
spec:
  group: property.example
  scope: Namespaced
  names: {kind: Parcel, plural: parcels}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
          spec:
            type: object
            properties:
              size: {type: integer, default: 3}
              weight: {type: number}
              mode: {type: string, default: fast}
              limits: {type: object, additionalProperties: {x-kubernetes-int-or-string: true}}
              notes: {type: object, additionalProperties: {type: string}}
              whole: {type: object, x-kubernetes-map-type: atomic, additionalProperties: {type: string}}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
              tags: {type: array, x-kubernetes-list-type: set, items: {type: string}}
              steps: {type: array, items: {type: object, properties: {run: {type: string}, when: {type: string, default: all}}}}
              parts:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name, side]
                items:
                  type: object
                  required: [name]
                  properties:
                    name: {type: string}
                    side: {type: string, default: left}
                    color: {type: string, default: red}
                    opts: {type: object, properties: {a: {type: string}, b: {type: integer, default: 1}}}
`

// kinds are what the property is tried with; each is rich in lists and maps.
const kinds = `
apiVersion: v1
kind: ConfigMap
metadata: {name: config, labels: {a: x}, annotations: {b.example/c: "1"}}
data: {k0: v, k1: w, a.conf: "1"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: deployment, labels: {a: x}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 25%}}
  template:
    metadata: {labels: {app: web, tier: t}, annotations: {n: "1"}}
    spec:
      priorityClassName: low
      tolerations: [{key: a, operator: Exists}]
      securityContext: {runAsNonRoot: true}
      volumes: [{name: v, emptyDir: {}}, {name: c, configMap: {name: x, items: [{key: a, path: b}]}}]
      containers:
      - name: app
        image: registry.example/web:1
        args: [-a, -b]
        env: [{name: A, value: "1"}, {name: B, value: "2"}]
        envFrom: [{configMapRef: {name: x}}]
        ports: [{containerPort: 80, name: http}, {containerPort: 53, protocol: UDP}]
        resources: {limits: {cpu: 500m, memory: 1Gi}}
        volumeMounts: [{name: v, mountPath: /v}]
        readinessProbe: {httpGet: {path: /, port: http}}
      - {name: side, image: "registry.example/side:1"}
---
apiVersion: v1
kind: Service
metadata: {name: service, labels: {a: x}}
spec:
  selector: {app: web}
  type: ClusterIP
  externalIPs: [192.0.2.1]
  ports: [{name: http, port: 80, targetPort: 8080}, {name: dns, port: 53, protocol: UDP}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: policy, annotations: {a: x}}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress, Egress]
  ingress: [{from: [{podSelector: {matchLabels: {a: b}}}], ports: [{port: 80, protocol: TCP}]}]
  egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: role, labels: {a: x}}
rules: [{apiGroups: [""], resources: [pods, secrets], verbs: [get]}, {apiGroups: [apps], resources: [deployments], verbs: [list, watch]}]
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: scaler, labels: {a: x}}
spec:
  minReplicas: 1
  maxReplicas: 5
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}
  - {type: Resource, resource: {name: memory, target: {type: Utilization, averageUtilization: 60}}}
---
apiVersion: property.example/v1
kind: Parcel
metadata: {name: parcel, labels: {a: x}, annotations: {b: "1"}}
spec:
  weight: 1.5
  limits: {cpu: 1, memory: "1"}
  notes: {k0: a}
  whole: {a: x, b: z}
  free: {a: {b: [1, {c: d}]}, e: f}
  tags: [b, a]
  steps: [{run: x, when: never}, {run: z, when: all}]
  parts: [{name: wheel, side: left, opts: {a: x}}, {name: wheel, side: right, color: blue}]
`

// TestFieldsNeverSayInSyncWhereADryRunDoesNot tries random objects that random
// managers edit, each against several versions that Git may have. KSPEC_SEED
// chooses other ones.
func TestFieldsNeverSayInSyncWhereADryRunDoesNot(t *testing.T) {
	const copies, rounds, versions = 10, 30, 5
	p := newProperty(t, copies)
	for round := range rounds {
		p.edit()
		for range versions {
			p.compare()
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d pairs, %d in sync by fields, %d dry runs, %d of %d edits", p.pairs, p.inSync, p.asked, p.edited.Load(), p.tried)
	if p.pairs < 10_000 || p.inSync < p.pairs/10 || p.edited.Load() < int64(p.tried/2) {
		t.Error("that is too little to show anything")
	}
	for name := range compare.Mutants() {
		t.Run("a tier that "+name+" is caught", func(t *testing.T) {
			if !p.caught[name] {
				t.Error("it is not")
			}
		})
	}
}

// property is a set of objects that live in the cluster and change.
type property struct {
	world
	random   *rand.Rand
	rules    compare.Rules
	detector *compare.Detector
	things   []*thing

	pairs, inSync, asked, tried int
	edited                      atomic.Int64
	caught                      map[string]bool
}

// thing is one object in Git and its history.
type thing struct {
	*unstructured.Unstructured
	manager string
	random  *rand.Rand
	first   *unstructured.Unstructured
	live    *unstructured.Unstructured
	// seen are former states in the cluster.
	seen []*unstructured.Unstructured
}

// seed is 1, or what KSPEC_SEED says.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := uint64(1)
	if s := os.Getenv("KSPEC_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("KSPEC_SEED=%d", n)
	return n
}

func newProperty(t *testing.T, copies int) *property {
	t.Helper()
	seed, w := seed(t), newWorld(t)
	w.namespace("property")
	w.do(applier, "apply", parcels)
	c := clusterOf(t, nil)
	p := &property{
		world: w, random: rand.New(rand.NewPCG(seed, 0)), caught: map[string]bool{},
		rules: compare.Rules{ByPerson: func(m string) bool { return strings.HasPrefix(m, "kubectl") }, Now: noon},
		detector: compare.New(compare.ClustersFunc(func(context.Context, kspec.Target) (*compare.Cluster, error) { return c, nil }),
			compare.Options{CrossCheckEvery: 1}),
	}
	for i := range copies {
		for _, u := range decode(t, kinds) {
			u.SetNamespace("property")
			u.SetName(fmt.Sprintf("%s-%d", u.GetName(), i))
			th := &thing{
				Unstructured: u, first: u, manager: applier,
				random: rand.New(rand.NewPCG(seed, uint64(len(p.things)+1))),
			}
			if i%4 == 3 {
				th.manager = "argocd-controller"
			}
			p.things = append(p.things, th)
			if err := p.deliver(th); err != nil {
				t.Fatal(err)
			}
		}
	}
	return p
}

// deliver applies what Git has the way of the thing's manager.
func (p *property) deliver(th *thing) error {
	if th.manager == applier {
		u := th.DeepCopy()
		u.SetLabels(with(u.GetLabels(), "kustomize.toolkit.fluxcd.io/name", "apps"))
		return p.one(applier, "apply", u)
	}
	return p.clientSide(th.manager, th.DeepCopy())
}

// clientSide does what kubectl apply does, the way of Argo CD: three-way, here
// without what was there before.
func (p *property) clientSide(manager string, u *unstructured.Unstructured) error {
	notes, err := stdjson.Marshal(u.Object)
	if err != nil {
		return err
	}
	u.SetAnnotations(with(u.GetAnnotations(), "kubectl.kubernetes.io/last-applied-configuration", string(notes)))
	if err = p.one(manager, "update", u.DeepCopy()); err != nil {
		err = p.one(manager, "create", u)
	}
	return err
}

func with(m map[string]string, k, v string) map[string]string {
	m = maps.Clone(m)
	if m == nil {
		m = map[string]string{}
	}
	m[k] = v
	return m
}

// edit does something to each thing, and observes it.
func (p *property) edit() {
	var g errgroup.Group
	g.SetLimit(8)
	for _, th := range p.things {
		p.tried++
		g.Go(func() error {
			if err := p.editOne(th); err == nil {
				p.edited.Add(1)
			}
			live, err := p.at(th.Unstructured).Get(p.Context(), th.GetName(), metav1.GetOptions{})
			th.live = live
			if err == nil {
				th.seen = append(th.seen, live.DeepCopy())
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		p.Fatal(err)
	}
}

// editOne does one of the things that happen to objects. The server refuses
// some.
func (p *property) editOne(th *thing) error {
	r := th.random
	people := []string{"kubectl-edit", "kubectl-client-side-apply", "kubectl-patch"}
	machines := []string{"kube-controller-manager", "operator", "argocd-controller"}
	mutated := func(u *unstructured.Unstructured) *unstructured.Unstructured {
		u = u.DeepCopy()
		for range 1 + r.IntN(2) {
			mutate(r, u)
		}
		return u
	}
	live := th.Unstructured
	if th.live != nil {
		live = th.live
	}
	switch r.IntN(12) {
	case 0, 1: // start anew
		if err := p.one("", "delete", th.DeepCopy()); err != nil {
			return err
		}
		err := p.deliver(th)
		if err != nil { // what could be written onto the old one only
			th.Unstructured = th.first
			err = p.deliver(th)
		}
		return err
	case 2: // Git moved on, and the engine has applied it
		next := mutated(th.Unstructured)
		th.Unstructured, next = next, th.Unstructured
		if err := p.deliver(th); err != nil {
			th.Unstructured = next
			return err
		}
		return nil
	case 3: // the engine applied another version
		other := *th
		other.Unstructured = mutated(th.Unstructured)
		return p.deliver(&other)
	case 4: // the engine applies again
		return p.deliver(th)
	case 5: // another engine, by force
		u := mutated(th.Unstructured)
		if r.IntN(2) == 0 {
			delete(u.Object, "metadata")
			u.SetName(th.GetName())
			u.SetNamespace(th.GetNamespace())
		}
		return p.one("helm-controller", "apply", u)
	case 6, 7:
		return p.one(pick(r, people), "update", mutated(live))
	case 8:
		return p.one(pick(r, machines), "update", mutated(live))
	case 9: // undo
		u := th.Unstructured
		if len(th.seen) > 0 {
			u = th.seen[r.IntN(len(th.seen))]
		}
		u = u.DeepCopy()
		u.SetManagedFields(nil)
		return p.one(pick(r, slices.Concat(people, machines)), "update", u)
	case 10: // kubectl label, annotate
		kind := pick(r, []string{"labels", "annotations"})
		return p.merge(th, pick(r, []string{"kubectl-label", "kubectl-annotate", "operator"}),
			fmt.Sprintf(`{"metadata":{%q:{"k%d":%q}}}`, kind, r.IntN(3), pick(r, []string{"1", "2"})))
	default:
		return p.merge(th, "controller", fmt.Sprintf(`{"status":{"observedGeneration":%d}}`, r.IntN(9)), "status")
	}
}

func (p *property) merge(th *thing, manager, patch string, subresource ...string) error {
	_, err := p.at(th.Unstructured).Patch(p.Context(), th.GetName(), types.MergePatchType, []byte(patch),
		metav1.PatchOptions{FieldManager: manager}, subresource...)
	return err
}

// compare tries each thing as it lives against a version that Git may have: the
// current one, or one that is a little different. Where the fields, or one of
// the defect ones, say in sync, a dry run is asked.
func (p *property) compare() {
	var want kspec.Desired
	claims := map[kspec.ObjectID][]string{}
	for _, th := range p.things {
		git := kspec.Object{Unstructured: th.DeepCopy(), FieldManager: th.manager}
		for range p.random.IntN(3) {
			mutate(p.random, git.Unstructured)
		}
		p.pairs++
		ready := compare.Clean(git)
		inSync := compare.InSync(ready, th.live, p.rules)
		if inSync {
			p.inSync++
		}
		for name, checks := range compare.Mutants() {
			if !inSync && !p.caught[name] && compare.InSync(ready, th.live, p.rules, checks...) {
				claims[git.ID()] = append(claims[git.ID()], name)
			}
		}
		if inSync || len(claims[git.ID()]) > 0 {
			want.Objects = append(want.Objects, git)
		}
	}
	p.ask(want, claims)
}

// ask compares with dry runs.
func (p *property) ask(want kspec.Desired, claims map[kspec.ObjectID][]string) {
	kspec.SortObjects(want.Objects)
	rep, err := p.detector.Detect(p.Context(), kspec.Target{Name: "property"}, want)
	if err != nil {
		p.Fatal(err)
	}
	p.asked += rep.Coverage.Requests.Patch
	for _, f := range rep.Findings {
		if len(claims[f.Object]) == 0 {
			p.disagree(want, f)
		}
		for _, name := range claims[f.Object] {
			p.caught[name] = true
		}
	}
	if checked := len(want.Objects) - len(claims); rep.Coverage.CrossChecked < checked {
		p.Errorf("asked the server about %d of %d that are in sync: %+v", rep.Coverage.CrossChecked, checked, rep.Unknown)
	}
}

func (p *property) disagree(want kspec.Desired, f kspec.Finding) {
	for _, th := range p.things {
		if id := kspec.IDOf(th.Unstructured); id != f.Object {
			continue
		}
		i := slices.IndexFunc(want.Objects, func(o kspec.Object) bool { return o.ID() == f.Object })
		git, _ := stdjson.Marshal(want.Objects[i].Object)
		live, _ := stdjson.Marshal(th.live.Object)
		p.Errorf("fields say that %s is in sync, the dry run: %s %s\ngit:  %s\nlive: %s", f.Object, f.Verdict, f.Message, git, live)
	}
}

func pick[T any](r *rand.Rand, all []T) T { return all[r.IntN(len(all))] }

// mutate changes one random place of u, outside of its identity, status and the
// labels that hold it together.
func mutate(r *rand.Rand, u *unstructured.Unstructured) {
	var ops []func()
	visit(u.Object, nil, func(path []string, v any, set func(any)) {
		if frozen(path) {
			return
		}
		switch v := v.(type) {
		case map[string]any:
			if textsOnly(v) {
				ops = append(ops, func() { v[fmt.Sprintf("k%d", r.IntN(3))] = pick(r, []string{"1", "2"}) })
			}
		case []any:
			if len(v) > 0 {
				ops = append(ops, func() { set(another(r, v)) }, func() { set(slices.Concat(v[1:], v[:1])) })
			}
		case string:
			ops = append(ops, func() { set(pick(r, []string{v + "x", "x", "1", strings.TrimSuffix(v, "x")})) })
		case int64:
			ops = append(ops, func() { set(v + int64(r.IntN(3)) - 1) })
		case bool:
			ops = append(ops, func() { set(!v) })
		}
		if len(path) > 1 {
			ops = append(ops, func() { set(nil) })
		}
	})
	if len(ops) > 0 {
		pick(r, ops)()
	}
	prune(u.Object)
}

// another returns the list with an item more.
func another(r *rand.Rand, l []any) []any {
	item := runtime.DeepCopyJSONValue(pick(r, l))
	switch v := item.(type) {
	case string:
		item = v + "x"
	case map[string]any:
		for _, key := range []string{"name", "port", "containerPort", "run", "key"} {
			switch k := v[key].(type) {
			case string:
				v[key] = k + "x"
			case int64:
				v[key] = k + 1
			}
		}
	}
	return append(slices.Clone(l), item)
}

// visit calls f for every place below v, in a fixed order; set replaces what is
// there, nil marks it for prune.
func visit(v any, path []string, f func(path []string, v any, set func(any))) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.SortedFunc(maps.Keys(v), cmp.Compare[string]) {
			at := append(slices.Clone(path), k)
			f(at, v[k], func(w any) { v[k] = w })
			visit(v[k], at, f)
		}
	case []any:
		for i := range v {
			at := append(slices.Clone(path), "")
			f(at, v[i], func(w any) { v[i] = w })
			visit(v[i], at, f)
		}
	}
}

// prune removes what is nil.
func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		maps.DeleteFunc(v, func(_ string, w any) bool { return w == nil })
		for k := range v {
			v[k] = prune(v[k])
		}
		return v
	case []any:
		l := slices.DeleteFunc(v, func(w any) bool { return w == nil })
		for i := range l {
			l[i] = prune(l[i])
		}
		return l
	}
	return v
}

func frozen(path []string) bool {
	switch path[0] {
	case "apiVersion", "kind", "status":
		return true
	case "metadata":
		return len(path) < 2 || path[1] != "labels" && path[1] != "annotations"
	}
	return slices.Contains(path, "matchLabels") || slices.Contains(path, "app")
}

func textsOnly(m map[string]any) bool {
	for _, v := range m {
		if _, ok := v.(string); !ok {
			return false
		}
	}
	return len(m) > 0
}
