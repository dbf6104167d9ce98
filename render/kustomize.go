package render

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/kustomize/kyaml/resid"

	"github.com/cloudcwfranck/kspec"
)

// kustomizeLock is held while Kustomize runs: its OpenAPI schema is one global
// per process, which a build may replace. A channel, so that waiting can end
// with the context.
var kustomizeLock = make(chan struct{}, 1)

// built is one object as Kustomize made it.
type built struct {
	object *unstructured.Unstructured
	// origin is relative to the overlay; nil when Kustomize lost it.
	origin *resource.Origin
	// size is that of the object as JSON.
	size int64
}

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

// overlay builds the kustomization in dir. An error is one, and so is a panic
// and a run that outlasts the timeout; that run keeps the lock until it ends,
// because the state it holds cannot be shared, and who waits for it waits no
// longer than the timeout.
func (s *scanner) overlay(ctx context.Context, timeout time.Duration, dir string) result {
	if err := s.folder(dir, false); err != nil {
		return result{err: s.discreet(err)}
	}
	waited := time.NewTimer(timeout)
	defer waited.Stop()
	select {
	case kustomizeLock <- struct{}{}:
	case <-waited.C:
		return result{err: gaveUpError{fmt.Sprintf("another build still runs after %s", timeout)}}
	case <-ctx.Done():
		return result{err: ctx.Err()}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, gaveUpError{fmt.Sprintf("kustomize took longer than %s", timeout)})
	done := make(chan result, 1)
	go func() {
		defer func() { <-kustomizeLock }()
		r := s.run(ctx, dir)
		r.err = s.discreet(r.err)
		done <- r
	}()
	defer cancel()
	select {
	case r := <-done:
		return r
	case <-ctx.Done():
		if late := (gaveUpError{}); errors.As(context.Cause(ctx), &late) {
			return result{err: late}
		}
		return result{err: ctx.Err()}
	}
}

// run builds the kustomization in dir, in chunks if that gives the same.
func (s *scanner) run(ctx context.Context, dir string) (r result) {
	file, err := s.v.kustomization(dir)
	if err != nil {
		return result{err: err}
	}
	r.notes = s.deprecated()
	if s.objects[dir] > 2*s.chunk {
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
	objects, err := s.build(dir, func(origins bool) error { return s.prepare(dir, origins) })
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

// chunks builds each chunk that is not known, and puts all together.
func (s *scanner) chunks(ctx context.Context, p *plan, dir, file string) (result, error) {
	var all []made
	var size int64
	r := result{parts: len(p.chunks), bytes: s.v.total}
	for _, chunk := range p.chunks {
		if err := ctx.Err(); err != nil {
			return result{}, err
		}
		part, known, err := s.part(p, chunk, dir, file)
		if err != nil {
			return result{}, err
		}
		if known {
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
	slices.SortFunc(all, compareMade)
	r.objects = pack(all)
	return r, within("Objects", len(all), s.v.lim.Objects)
}

// part builds one chunk, or remembers what it gave.
func (s *scanner) part(p *plan, chunk []int, dir, file string) (r result, known bool, err error) {
	declared := s.declared(p, chunk)
	sum, err := s.prepareChunk(p, chunk, dir, declared == nil)
	if err != nil {
		return result{}, false, err
	}
	asked := askedChunk + sum
	for _, known := range []func(string, *view) (result, bool){s.cache.find, s.cache.recall} {
		if r, ok := known(asked, s.v); ok {
			return r, true, nil
		}
	}
	var objects []built
	if declared != nil {
		objects, err = s.krusty(dir, false)
	} else {
		objects, err = s.build(dir, func(origins bool) error {
			_, err := s.prepareChunk(p, chunk, dir, origins)
			return err
		})
	}
	if err != nil {
		return result{}, false, err
	}
	r = result{asked: asked}
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
	return r, false, nil
}

// identity is what two objects must not share for Kustomize. It is asked while
// Kustomize is locked.
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

// build runs Kustomize over what prepare hands to the view, once more where
// asking for origins could change the objects.
func (s *scanner) build(dir string, prepare func(origins bool) error) ([]built, error) {
	once := func(origins bool) ([]built, error) {
		if err := prepare(origins); err != nil {
			return nil, err
		}
		return s.krusty(dir, origins)
	}
	if !s.touchesAnnotations() {
		return once(true)
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

// krusty is one run of Kustomize.
func (s *scanner) krusty(dir string, origins bool) (objects []built, err error) {
	if s.schema {
		openapi.ResetOpenAPI()
		defer openapi.ResetOpenAPI()
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("kustomize panicked: %v (at %s)", p, panicSite(debug.Stack()))
		}
	}()
	opts := krusty.MakeDefaultOptions()
	opts.LoadRestrictions = types.LoadRestrictionsNone // the view is the restriction
	opts.Reorder = krusty.ReorderOptionUnspecified     // or it warns where sortOptions are set
	m, err := krusty.MakeKustomizer(opts).Run(s.v, path.Join("/", dir))
	if err != nil {
		return nil, fmt.Errorf("kustomize: %w", err)
	}
	return s.collect(m, s.wantsOrigins(dir), origins)
}

// panicSite returns the first function of Kustomize on the stack.
func panicSite(stack []byte) string {
	for line := range strings.Lines(string(stack)) {
		if strings.HasPrefix(line, "sigs.k8s.io/kustomize/") {
			return strings.TrimSpace(line[:strings.LastIndex(line, "(")])
		}
	}
	return "unknown"
}

// wantsOrigins reports whether the overlay itself asks for origin annotations.
func (s *scanner) wantsOrigins(dir string) bool {
	for file, k := range s.found {
		if path.Dir(file) == dir {
			return slices.Contains(k.BuildMetadata, types.OriginAnnotations)
		}
	}
	return false
}

func (s *scanner) collect(m resmap.ResMap, keep, marked bool) ([]built, error) {
	origins := make([]*resource.Origin, m.Size())
	for i, r := range m.Resources() {
		if !marked && !keep {
			break
		}
		origin, err := r.GetOrigin()
		if err != nil {
			return nil, fmt.Errorf("%s: read its origin: %w", r.CurId(), err)
		}
		origins[i] = origin
	}
	if marked && !keep {
		if err := m.RemoveOriginAnnotations(); err != nil {
			return nil, err
		}
	}
	var all []built
	var size int64
	for i, r := range m.Resources() {
		u, length, err := decodeResource(r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.CurId(), err)
		}
		if size += length; size > s.v.lim.OutputBytes {
			return nil, within("OutputBytes", size, s.v.lim.OutputBytes)
		}
		all = append(all, built{u, origins[i], length})
	}
	return all, within("Objects", len(all), s.v.lim.Objects)
}
