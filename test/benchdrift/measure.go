package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing/fstest"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
	"github.com/cloudcwfranck/kspec/render"
	"github.com/cloudcwfranck/kspec/test/kube"
)

// row is one measurement.
type row struct {
	Set            string   `json:"set"`
	Look           string   `json:"look"`
	Tool           string   `json:"tool"`
	Workers        int      `json:"workers"`
	Seconds        float64  `json:"seconds"`
	Requests       requests `json:"requests"`
	BytesPerObject float64  `json:"bytesPerObject"`
}

// results are all measurements, and what stands beside the table.
type results struct {
	rows  []row
	notes []string
}

// bench is a run on one cluster.
type bench struct {
	options
	cfg    *rest.Config
	client client.Client
	want   kspec.Desired
	dir    string
	log    io.Writer
	results
}

func measure(ctx context.Context, cluster *kube.Cluster, o options, log io.Writer) (results, error) {
	b := &bench{options: o, cfg: cluster.Config, log: log}
	var err error
	if b.client, err = client.New(b.cfg, client.Options{}); err != nil {
		return b.results, err
	}
	if b.dir, err = os.MkdirTemp("", "benchdrift-"); err != nil {
		return b.results, err
	}
	defer func() { _ = os.RemoveAll(b.dir) }() // temporary
	if err := os.WriteFile(filepath.Join(b.dir, "kubeconfig"), cluster.Kubeconfig, 0o600); err != nil {
		return b.results, err
	}
	if b.want, err = decode(manifests(o.objects)); err != nil {
		return b.results, err
	}
	b.say("applying %d objects", o.objects)
	if err := deliver(ctx, b.client, b.want); err != nil {
		return b.results, err
	}
	for _, percent := range []int{0, 1, 5} {
		for _, o := range drift(b.want.Objects, percent) {
			if err := edit(ctx, b.client, o.Unstructured); err != nil {
				return b.results, err
			}
		}
		if err := b.set(ctx, percent); err != nil {
			return b.results, err
		}
	}
	return b.results, nil
}

// say tells how far the run is.
func (b *bench) say(format string, args ...any) { _, _ = fmt.Fprintf(b.log, format+"\n", args...) }

// set measures all tools on the cluster as it is.
func (b *bench) set(ctx context.Context, percent int) error {
	name := "in-sync"
	if percent > 0 {
		name = fmt.Sprintf("%d%%", percent)
	}
	for _, step := range []func(context.Context, string) error{b.kspec, b.watch, b.endToEnd, b.ssa, b.kubectl} {
		if err := step(ctx, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// timed runs a look as often as wanted and returns the fastest. It fails when
// the look does not find what is drifted.
func (b *bench) timed(ctx context.Context, l look, want kspec.Desired, workers int, set string) (row, error) {
	best := row{Set: set, Look: "first", Workers: workers, Seconds: math.Inf(1)}
	for range max(1, b.runs) {
		runtime.GC()
		start := time.Now()
		drifted, asked, err := l(ctx, want, workers)
		if seconds := time.Since(start).Seconds(); seconds < best.Seconds {
			best.Seconds, best.Requests = seconds, asked
		}
		if err == nil && drifted != b.drifted(want, set) {
			err = fmt.Errorf("found %d drifted objects, want %d", drifted, b.drifted(want, set))
		}
		if err != nil {
			return best, err
		}
	}
	return best, nil
}

// drifted returns how many of the objects are drifted in a set.
func (b *bench) drifted(want kspec.Desired, set string) int {
	percent := 0
	_, _ = fmt.Sscanf(set, "%d%%", &percent) // "in-sync" has none
	all := map[kspec.ObjectID]bool{}
	for _, o := range drift(b.want.Objects, percent) {
		all[o.ID()] = true
	}
	n := 0
	for _, o := range want.Objects {
		if all[o.ID()] {
			n++
		}
	}
	return n
}

// few returns the objects that a slow peer is measured with: as many of a
// hundred drifted as in all.
func (b *bench) few() kspec.Desired {
	few := b.want
	if b.sample < len(few.Objects) {
		few.Objects = few.Objects[:max(b.sample, 1)]
	}
	return few
}

// fastest finds with few objects which number of workers suits a peer best.
func (b *bench) fastest(ctx context.Context, l look, set string, workers ...int) (row, error) {
	var rows []row
	for _, n := range workers {
		r, err := b.timed(ctx, l, b.few(), n, set)
		if err != nil {
			return r, err
		}
		rows = append(rows, r)
	}
	return slices.MinFunc(rows, func(x, y row) int { return cmp.Compare(x.Seconds, y.Seconds) }), nil
}

func (b *bench) ssa(ctx context.Context, set string) error {
	l := ssaDiff(b.cfg)
	best, err := b.fastest(ctx, l, set, 1, 2, 4, 8, 16)
	if err != nil {
		return err
	}
	r, err := b.timed(ctx, l, b.want, best.Workers, set)
	r.Tool = "ssa-diff"
	return b.add(r, err)
}

func (b *bench) kubectl(ctx context.Context, set string) error {
	if b.options.kubectl == "" {
		return nil
	}
	r, err := b.fastest(ctx, kubectlDiff(b.options.kubectl, filepath.Join(b.dir, "kubeconfig"), b.dir), set, 1, 8)
	factor := float64(len(b.want.Objects)) / float64(len(b.few().Objects))
	r.Tool = "kubectl-diff"
	r.Seconds *= factor
	r.Requests.Get, r.Requests.Patch = int64(float64(r.Requests.Get)*factor), int64(float64(r.Requests.Patch)*factor)
	return b.add(r, err)
}

func (b *bench) add(r row, err error) error {
	if err == nil {
		b.rows = append(b.rows, r)
		b.say("%-8s %-7s %-13s %8.3f s", r.Set, r.Look, r.Tool, r.Seconds)
	}
	return err
}

// kspec measures the first look, and the second of a process that knows what
// the first decided.
func (b *bench) kspec(ctx context.Context, set string) error {
	notes := &notebook{}
	before := heap()
	first, err := b.timed(ctx, b.detect(notes, nil), b.want, 0, set)
	if err != nil {
		return err
	}
	first.Tool = "kspec"
	second, err := b.timed(ctx, b.detect(notes, nil), b.want, 0, set)
	if err != nil {
		return err
	}
	var kept *compare.Detector
	if _, err := b.timed(ctx, b.detect(compare.NoMemory(), &kept), b.want, 0, set); err != nil {
		return err
	}
	notes.decisions = nil
	first.BytesPerObject = max(0, heap()-before) / float64(len(b.want.Objects))
	runtime.KeepAlive(kept)
	second.Look, second.Tool, second.BytesPerObject = "second", "kspec", first.BytesPerObject
	if err := b.add(first, nil); err != nil {
		return err
	}
	return b.add(second, nil)
}

// heap returns the bytes that are in use after a collection.
func heap() float64 {
	runtime.GC()
	runtime.GC() // what finalizers let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// detect is kspec with the memory. Each run begins with what the memory had at
// first, unless kept is set, which then holds the Detector.
func (b *bench) detect(memory kspec.Memory, kept **compare.Detector) look {
	if n, ok := memory.(*notebook); ok {
		defer func() { n.frozen = n.decisions }()
	}
	return func(ctx context.Context, want kspec.Desired, _ int) (int, requests, error) {
		if n, ok := memory.(*notebook); ok {
			n.decisions = n.frozen
		}
		cfg, asked := counted(b.cfg)
		c, err := compare.NewCluster(cfg, "bench")
		if err != nil {
			return 0, requests{}, err
		}
		d := compare.New(compare.ClustersFunc(func(context.Context, kspec.Target) (*compare.Cluster, error) { return c, nil }),
			compare.Options{Memory: memory, Key: kspec.NewSecret("bench")})
		rep, err := d.Detect(ctx, kspec.Target{Name: "bench"}, want)
		if err != nil {
			return 0, requests{}, err
		}
		if !rep.Complete() {
			return 0, requests{}, fmt.Errorf("%d objects are unknown, the first because %s", len(rep.Unknown), rep.Unknown[0].Reason)
		}
		if kept != nil {
			*kept = d
		}
		return len(rep.Findings), asked(), nil
	}
}

// endToEnd measures rendering and comparing a plain folder together.
func (b *bench) endToEnd(ctx context.Context, set string) error {
	files := fstest.MapFS{}
	for i, text := range manifests(b.objects) {
		files[fmt.Sprintf("apps/%05d.yaml", i)] = &fstest.MapFile{Data: []byte(text)}
	}
	c, err := compare.NewCluster(b.cfg, "bench")
	if err != nil {
		return err
	}
	r := kspec.Reconciler{
		Source:   kspec.FetcherFunc(func(context.Context, kspec.Target) (kspec.Tree, error) { return kspec.Tree{FS: files}, nil }),
		Renderer: render.New(render.Options{Limits: render.Limits{}}),
		Verifier: kspec.VerifierFunc(func(context.Context, kspec.Target, kspec.Desired) ([]kspec.Finding, []kspec.Unknown, error) {
			return nil, nil, nil
		}),
		Detector: compare.New(compare.ClustersFunc(func(context.Context, kspec.Target) (*compare.Cluster, error) { return c, nil }), compare.Options{Memory: compare.NoMemory()}),
	}
	target := kspec.Target{Name: "bench", Overlays: []kspec.Overlay{{Path: "apps", FieldManager: applier}}}
	for _, which := range []string{"first", "second"} {
		start := time.Now()
		_, rep, err := r.Look(ctx, target)
		if err != nil {
			return err
		}
		if got, want := len(rep.Findings), b.drifted(b.want, set); got != want || !rep.Complete() {
			return fmt.Errorf("end to end: found %d drifted objects and %d unknown, want %d", got, len(rep.Unknown), want)
		}
		b.notes = append(b.notes, fmt.Sprintf("%s, %s look, rendering a plain folder and comparing in one process: %.2f s", set, which, time.Since(start).Seconds()))
	}
	return nil
}

// notebook is a Memory outside of any Detector.
type notebook struct {
	mu                sync.Mutex
	decisions, frozen []kspec.Decision
}

// Recall implements [kspec.Memory].
func (n *notebook) Recall(context.Context, string) ([]kspec.Decision, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.decisions), nil
}

// Remember implements [kspec.Memory].
func (n *notebook) Remember(_ context.Context, _ string, changed []kspec.Decision, gone []kspec.ObjectID) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := map[kspec.ObjectID]kspec.Decision{}
	for _, d := range n.decisions {
		all[d.Object] = d
	}
	for _, id := range gone {
		delete(all, id)
	}
	for _, d := range changed {
		all[d.Object] = d
	}
	n.decisions = n.decisions[:0:0]
	for _, d := range all {
		n.decisions = append(n.decisions, d)
	}
	return nil
}
