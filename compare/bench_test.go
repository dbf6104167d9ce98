package compare_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fluxcd/pkg/ssa"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
	"github.com/cloudcwfranck/kspec/test/kube"
)

const benchObjects = 400

// BenchmarkDetect looks at objects of which half are Deployments and half are
// ConfigMaps. The peer is fluxcd/pkg/ssa on the same server, with as many
// workers; it fetches and dry-runs each object.
func BenchmarkDetect(b *testing.B) {
	for _, drifted := range []int{0, 5} {
		want := benchSet(b, fmt.Sprintf("bench-%d", drifted), drifted)
		b.Run(fmt.Sprintf("drifted=%d%%/tool=kspec", drifted), func(b *testing.B) {
			d := detector(clusterOf(b, nil))
			perObject(b, func() int {
				rep, err := d.Detect(b.Context(), kspec.Target{Name: "bench"}, want)
				if err != nil || !rep.Complete() {
					b.Fatal(err, rep.Unknown)
				}
				return len(rep.Findings)
			}, benchObjects*drifted/100)
		})
		b.Run(fmt.Sprintf("drifted=%d%%/tool=ssa-diff", drifted), func(b *testing.B) {
			c, err := client.New(kube.Shared(b).Config, client.Options{})
			if err != nil {
				b.Fatal(err)
			}
			m := ssa.NewResourceManager(c, nil, ssa.Owner{Field: applier, Group: "kspec.io"})
			perObject(b, func() int { return ssaDiff(b, m, want) }, benchObjects*drifted/100)
		})
	}
}

// perObject runs a sweep that must find so many drifted objects.
func perObject(b *testing.B, sweep func() int, drifted int) {
	b.Helper()
	b.ReportAllocs()
	n := 0
	start := time.Now()
	for b.Loop() {
		if got := sweep(); got != drifted {
			b.Fatalf("found %d drifted objects, want %d", got, drifted)
		}
		n += benchObjects
	}
	b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(n), "ns/object")
}

// ssaDiff returns how many objects the peer finds drifted.
func ssaDiff(b *testing.B, m *ssa.ResourceManager, want kspec.Desired) int {
	b.Helper()
	var g errgroup.Group
	g.SetLimit(8)
	drifted := make([]bool, len(want.Objects))
	for i, o := range want.Objects {
		g.Go(func() error {
			entry, _, _, err := m.Diff(b.Context(), o.DeepCopy(), ssa.DefaultDiffOptions())
			if err == nil {
				drifted[i] = entry.Action == ssa.ConfiguredAction
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	n := 0
	for _, d := range drifted {
		if d {
			n++
		}
	}
	return n
}

// benchSet delivers the objects and changes so many percent of them by hand.
func benchSet(b *testing.B, namespace string, drifted int) kspec.Desired {
	b.Helper()
	w := newWorld(b)
	w.namespace(namespace)
	var want kspec.Desired
	for i := range benchObjects / 2 {
		u := decode(b, deployment)[0]
		u.SetName(fmt.Sprintf("web-%04d", i))
		u.SetNamespace(namespace)
		c := decode(b, fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: c-%04d, namespace: %s}, data: {a: x, b: z}}", i, namespace))[0]
		want.Objects = append(want.Objects, kspec.Object{Unstructured: u, FieldManager: applier}, kspec.Object{Unstructured: c, FieldManager: applier})
	}
	kspec.SortObjects(want.Objects)
	w.deliver(want)
	for i := range benchObjects * drifted / 100 {
		o := want.Objects[i*len(want.Objects)/(benchObjects*drifted/100)]
		path, value := "/data/a", `"changed"`
		if o.GetKind() == "Deployment" {
			path, value = "/spec/template/spec/containers/0/image", `"registry.example/web:2"`
		}
		w.raw("kubectl-edit", o.Unstructured, `[{"op":"replace","path":"`+path+`","value":`+value+`}]`)
	}
	return want
}

// BenchmarkDiff is the pure part alone, on one Pod with two changed fields.
func BenchmarkDiff(b *testing.B) {
	l, r := aPod(b), rules()
	b.ReportAllocs()
	for b.Loop() {
		if findings, _, err := compare.Diff(l, r); err != nil || len(findings) != 1 {
			b.Fatal(findings, err)
		}
	}
}
