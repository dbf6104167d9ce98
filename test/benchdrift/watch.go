package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
)

// changes is how many objects are changed under watch, one after the other.
const changes = 100

// watcher is kspec as it serves: it listens between looks.
type watcher struct {
	*compare.Detector
	want    kspec.Desired
	asked   func() requests
	changed chan struct{}
}

// serve starts listening; stop ends it.
func serve(ctx context.Context, cfg *rest.Config, want kspec.Desired) (w *watcher, stop func(), err error) {
	w = &watcher{changed: make(chan struct{}, 1)}
	cfg, w.asked = counted(cfg)
	c, err := compare.NewCluster(cfg, "bench")
	if err != nil {
		return nil, nil, err
	}
	for _, o := range want.Objects { // as rendering does
		o.Digest = kspec.DigestOf(o)
		w.want.Objects = append(w.want.Objects, o)
	}
	watch := compare.NewWatcher(compare.WatchOptions{Changed: func(string) {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}})
	w.Detector = compare.New(compare.ClustersFunc(func(context.Context, kspec.Target) (*compare.Cluster, error) { return c, nil }),
		compare.Options{Memory: compare.NoMemory(), Watch: watch, Key: kspec.NewSecret("bench")})
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); _ = watch.Run(ctx) }() // ends with ctx, and only so
	return w, func() { cancel(); <-done }, nil
}

func (w *watcher) look(ctx context.Context) (kspec.Report, time.Duration, error) {
	start := time.Now()
	rep, err := w.Detect(ctx, kspec.Target{Name: "bench"}, w.want)
	return rep, time.Since(start), err
}

// settle looks until a look costs no request, and returns the time of that.
func (w *watcher) settle(ctx context.Context) (time.Duration, error) {
	for range 600 {
		rep, took, err := w.look(ctx)
		if err != nil || rep.Coverage.Requests == (kspec.Requests{}) {
			return took, err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return 0, errors.New("looks under watch never cease to cost requests")
}

// find changes an object by hand and returns how long it takes until a report
// says so.
func (w *watcher) find(ctx context.Context, c client.Client, o kspec.Object, i int) (time.Duration, error) {
	start := time.Now()
	patch := client.RawPatch(types.JSONPatchType, fmt.Appendf(nil, `[{"op":"replace","path":"/data/mode","value":"by-hand-%d"}]`, i))
	if err := c.Patch(ctx, o.DeepCopy(), patch, client.FieldOwner("kubectl-edit")); err != nil {
		return 0, err
	}
	for time.Since(start) < time.Minute {
		select {
		case <-w.changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Minute):
		}
		rep, _, err := w.look(ctx)
		took := time.Since(start)
		if err != nil || slices.ContainsFunc(rep.Findings, func(f kspec.Finding) bool { return f.Object == o.ID() }) {
			return took, err
		}
	}
	return 0, fmt.Errorf("%s was changed, and not found within a minute", o.ID())
}

// watch measures looks at which nothing changed, and from a change to the
// finding. The row has the 99th percentile; what was changed is put back.
func (b *bench) watch(ctx context.Context, set string) error {
	w, stop, err := serve(ctx, b.cfg, b.want)
	if err != nil {
		return err
	}
	defer stop()
	before := heap()
	_, first, err := w.look(ctx)
	if err != nil {
		return err
	}
	idle, err := w.settle(ctx)
	if err != nil {
		return err
	}
	for range 9 {
		if _, took, err := w.look(ctx); err != nil {
			return err
		} else if took < idle {
			idle = took
		}
	}
	kept := max(0, heap()-before) / float64(len(b.want.Objects))
	asked, found, err := w.findAll(ctx, b)
	if err != nil {
		return err
	}
	r := row{Set: set, Look: "watch", Tool: "kspec", Seconds: found[len(found)*99/100].Seconds(), Requests: asked, BytesPerObject: kept}
	b.notes = append(b.notes, fmt.Sprintf(
		"%s, under watch: nothing changed %.4f s without a request, %.0f times as fast as the first look (%.2f s); one change to its finding p50 %.3f s, p99 %.3f s of %d",
		set, idle.Seconds(), first.Seconds()/idle.Seconds(), first.Seconds(), found[len(found)/2].Seconds(), r.Seconds, len(found)))
	return b.add(r, nil)
}

// findAll changes objects one by one and returns what was asked of the API
// server in all, and the times, sorted.
func (w *watcher) findAll(ctx context.Context, b *bench) (requests, []time.Duration, error) {
	var found []time.Duration
	before := w.asked()
	drifted := drift(b.want.Objects, 5)
	for _, o := range b.want.Objects {
		if o.GetKind() != "ConfigMap" || slices.ContainsFunc(drifted, func(d kspec.Object) bool { return d.ID() == o.ID() }) {
			continue
		}
		took, err := w.find(ctx, b.client, o, len(found))
		if err == nil {
			found = append(found, took)
			err = applyAll(ctx, b.client, kspec.Desired{Objects: []kspec.Object{o}})
		}
		if err == nil {
			_, err = w.settle(ctx)
		}
		if err != nil {
			return requests{}, nil, err
		}
		if len(found) == changes {
			break
		}
	}
	slices.Sort(found)
	after := w.asked()
	return requests{after.List - before.List, after.Get - before.Get, after.Patch - before.Patch}, found, nil
}
