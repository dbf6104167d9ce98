package compare_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cloudcwfranck/kspec"
)

const watchedObjects = 10_000

var watchedSet = struct {
	sync.Once
	want kspec.Desired
}{}

// watched delivers ten thousand objects in ten namespaces, once.
func watched(b *testing.B) kspec.Desired {
	b.Helper()
	watchedSet.Do(func() {
		w := newWorld(b)
		var g errgroup.Group
		g.SetLimit(8)
		for n := range 10 {
			namespace := fmt.Sprintf("watched-%d", n)
			w.namespace(namespace)
			for i := range watchedObjects / 10 {
				u := decode(b, fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: c-%04d, namespace: %s}, data: {a: x, b: z}}", i, namespace))[0]
				o := kspec.Object{Unstructured: u, FieldManager: applier}
				o.Digest = kspec.DigestOf(o)
				watchedSet.want.Objects = append(watchedSet.want.Objects, o)
				g.Go(func() error { return w.one(applier, "apply", u.DeepCopy()) })
			}
		}
		if err := g.Wait(); err != nil {
			b.Fatal(err)
		}
		kspec.SortObjects(watchedSet.want.Objects)
	})
	return watchedSet.want
}

// BenchmarkLookThatNothingChangedBefore is a look under serve: it costs no
// request.
func BenchmarkLookThatNothingChangedBefore(b *testing.B) {
	want := watched(b)
	e := overhear(b, nil)
	start := time.Now()
	e.look(b, "bench", want)
	first := time.Since(start)
	e.settled(b, "bench", want)
	b.ReportAllocs()
	for b.Loop() {
		if r := e.look(b, "bench", want).Coverage.Requests; r != (kspec.Requests{}) {
			b.Fatalf("it cost %+v", r)
		}
	}
	b.ReportMetric(first.Seconds(), "s/first-look")
	b.ReportMetric(float64(first)/(float64(b.Elapsed())/float64(b.N)), "x-faster-than-first")
}

// BenchmarkChangeToFinding is from a write of kubectl to the finding, as serve
// comes to it.
func BenchmarkChangeToFinding(b *testing.B) {
	want := watched(b)
	w, e := newWorld(b), overhear(b, nil)
	e.look(b, "bench", want)
	e.settled(b, "bench", want)
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		o := want.Objects[i*37%len(want.Objects)]
		start := time.Now()
		w.raw("kubectl-edit", o.Unstructured, fmt.Sprintf(`[{"op":"replace","path":"/data/a","value":"%d"}]`, i))
		e.told(b, "bench")
		rep := e.look(b, "bench", want)
		took = append(took, time.Since(start))
		if !slices.ContainsFunc(rep.Findings, func(f kspec.Finding) bool { return f.Object == o.ID() }) {
			b.Fatalf("%s is not found", o.ID())
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "ms/p50")
	b.ReportMetric(float64(took[len(took)*99/100].Milliseconds()), "ms/p99")
}
