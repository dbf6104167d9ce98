package render

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/kustomize/kyaml/resid"

	"github.com/cloudcwfranck/kspec"
)

// kustomized builds the kustomization in a folder, or remembers what it gave.
func (r *Renderer) kustomized(ctx context.Context, fsys fs.FS, dir string) (result, bool) {
	v := newView(fsys, r.limits) // its own: a build that is given up goes on reading
	return r.cache.get(ctx, askedOverlay+dir, v, func() result {
		s := newScanner(v)
		s.cache, s.chunk = r.cache, r.chunk
		return s.overlay(ctx, r.timeout, dir)
	})
}

// gaveUpError is of a build that another time may come to its end.
type gaveUpError struct{ why string }

func (e gaveUpError) Error() string { return e.why }

// ended returns why a context is done, nil while it is not.
func ended(ctx context.Context) error {
	if late := (gaveUpError{}); errors.As(context.Cause(ctx), &late) {
		return late
	}
	return ctx.Err()
}

// overlay builds the kustomization in dir. An error is one, and so is a panic
// and a run that outlasts the timeout; that run keeps its slots until it ends,
// and who waits for them waits no longer than the timeout.
func (s *scanner) overlay(ctx context.Context, timeout time.Duration, dir string) result {
	if err := s.folder(dir, false); err != nil {
		return result{err: s.discreet(err)}
	}
	waiting, stop := context.WithTimeoutCause(ctx, timeout, gaveUpError{fmt.Sprintf("another build still runs after %s", timeout)})
	defer stop()
	if err := kustomizeSlots.Acquire(waiting, s.slots()); err != nil {
		return result{err: ended(waiting)}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, gaveUpError{fmt.Sprintf("kustomize took longer than %s", timeout)})
	defer cancel()
	done := make(chan result, 1)
	go func() {
		defer kustomizeSlots.Release(s.slots())
		r := s.run(ctx, dir)
		r.err = s.discreet(r.err)
		done <- r
	}()
	select {
	case r := <-done:
		return r
	case <-ctx.Done():
		return result{err: ended(ctx)}
	}
}

// run builds the kustomization in dir, in chunks if that gives the same.
func (s *scanner) run(ctx context.Context, dir string) (r result) {
	file, err := s.v.kustomization(dir)
	if err != nil {
		return result{err: err}
	}
	r.notes = s.deprecated()
	if s.amounts[dir].objects > 2*s.chunk {
		p, err := s.divide(file)
		if err == nil && len(p.chunks) > 1 {
			if r, err = s.chunks(ctx, &p, dir, file); err == nil || ctx.Err() != nil {
				r.notes, r.err = s.deprecated(), err
				return r
			}
		}
		if r.whole = "its objects depend on each other"; err != nil {
			r.whole = s.discreet(err).Error()
		}
	}
	objects, err := s.build(dir, true, func(origins bool) (map[string][]byte, error) { return s.prepare(dir, origins) })
	if err != nil {
		r.err = err
		return r
	}
	all := make([]made, len(objects))
	for i, o := range objects {
		all[i] = makes(o, s.source(dir, file, o))
	}
	r.parts, r.bytes, r.objects = 1, s.v.total, pack(sorted(all))
	return r
}

// chunks builds each chunk that is not known, and puts all together. An error
// is the first, in the order of chunks.
func (s *scanner) chunks(ctx context.Context, p *plan, dir, file string) (result, error) {
	parts := make([]part, len(p.chunks))
	s.touchesAnnotations() // once, before several ask
	err := sideBySide(ctx, len(parts), func(i int) (err error) {
		parts[i], err = s.part(p, p.chunks[i], dir, file)
		return err
	})
	if err != nil {
		return result{}, err
	}
	var all []made
	var size int64
	r := result{parts: len(parts), bytes: s.v.total}
	for _, part := range parts {
		if part.known {
			r.known++
		}
		size += part.bytes
		all = append(all, unpack(part.objects)...)
	}
	seen := make(map[string]bool, len(all))
	for _, o := range all {
		id := identity(kspec.IDOf(o.object))
		if seen[id] {
			return result{}, undivided{"two objects are " + id}
		}
		seen[id] = true
	}
	if err := within("OutputBytes", size, s.v.lim.OutputBytes); err != nil {
		return result{}, err
	}
	r.objects = pack(sorted(all))
	return r, within("Objects", len(all), s.v.lim.Objects)
}

// sideBySide does n things, each by who has a slot: the caller, and others while
// there are slots that nobody waits for. It returns when nothing is being done
// any more, with the first error, after which nothing is begun.
func sideBySide(ctx context.Context, n int, do func(i int) error) error {
	var next atomic.Int64
	var failed atomic.Bool
	errs := make([]error, n)
	one := func() bool {
		i := int(next.Add(1)) - 1
		if i >= n || failed.Load() || ctx.Err() != nil {
			return false
		}
		if errs[i] = do(i); errs[i] != nil {
			failed.Store(true)
		}
		return true
	}
	var others errgroup.Group
	for range min(allSlots, int64(n)) - 1 {
		others.Go(func() error {
			for more := true; more && kustomizeSlots.TryAcquire(1); {
				more = one()
				kustomizeSlots.Release(1)
			}
			return nil
		})
	}
	for one() {
	}
	_ = others.Wait() // errs has them
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return ended(ctx)
}

// part is what a chunk gave, and whether that was known.
type part struct {
	result
	known bool
}

// part builds one chunk, or remembers what it gave.
func (s *scanner) part(p *plan, chunk []int, dir, file string) (part, error) {
	declared := s.declared(p, chunk)
	prepared, sum, err := s.prepareChunk(p, chunk, dir, declared == nil)
	if err != nil {
		return part{}, err
	}
	asked := askedChunk + sum
	for _, known := range []func(string, *view) (result, bool){s.cache.find, s.cache.recall} {
		if r, ok := known(asked, s.v); ok {
			return part{r, true}, nil
		}
	}
	objects, err := s.build(dir, declared == nil, func(origins bool) (map[string][]byte, error) {
		if origins == (declared == nil) {
			return prepared, nil
		}
		prepared, _, err := s.prepareChunk(p, chunk, dir, origins)
		return prepared, err
	})
	if err != nil {
		return part{}, err
	}
	r := result{asked: asked}
	all := make([]made, len(objects))
	lost := false // its origin, and then its place is looked for in all files
	for i, o := range objects {
		src, ok := declared[[2]string{o.object.GetKind(), o.object.GetName()}]
		if !ok {
			src, lost = s.source(dir, file, o), lost || o.origin == nil
		}
		all[i] = makes(o, src)
		r.bytes += o.size
	}
	if r.objects = pack(sorted(all)); !lost {
		s.cache.put(&r)
		s.cache.disk.save(&r)
	}
	return part{r, false}, nil
}

// build runs Kustomize over what prepare returns. With origins, the objects
// know theirs; Kustomize runs once more where asking for them could change the
// objects.
func (s *scanner) build(dir string, origins bool, prepare func(origins bool) (map[string][]byte, error)) ([]built, error) {
	once := func(origins bool) ([]built, error) {
		prepared, err := prepare(origins)
		if err != nil {
			return nil, err
		}
		return s.krusty(dir, prepared, origins)
	}
	if !origins || !s.touchesAnnotations() {
		return once(origins)
	}
	objects, err := once(false)
	if err != nil {
		return nil, err
	}
	if marked, err := once(true); err == nil && len(marked) == len(objects) {
		for i := range objects {
			objects[i].origin = marked[i].origin
		}
	}
	return objects, nil
}

// identity is what two objects must not share for Kustomize. It is asked by
// who has a slot of Kustomize.
func identity(id kspec.ObjectID) string {
	of := resid.NewResIdWithNamespace(resid.NewGvk(id.Group, id.Version, id.Kind), id.Name, id.Namespace)
	return strings.Join([]string{of.Gvk.String(), of.EffectiveNamespace(), of.Name}, "|")
}

// makes is an object with the place where it is declared.
func makes(o built, src kspec.Source) made {
	return made{o.object, src.File, src.Line, kspec.BodyDigest(o.object)}
}

// sorted sorts objects by their identity.
func sorted(all []made) []made {
	slices.SortStableFunc(all, compareMade)
	return all
}

func compareMade(a, b made) int {
	return kspec.IDOf(a.object).Compare(kspec.IDOf(b.object))
}
