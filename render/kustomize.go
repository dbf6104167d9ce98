package render

import (
	"context"
	"fmt"
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
}

// overlay builds the kustomization in dir.
func (s *scanner) overlay(ctx context.Context, timeout time.Duration, dir string) ([]built, error) {
	if err := s.folder(dir, false); err != nil {
		return nil, s.discreet(err)
	}
	if !s.touchesAnnotations() {
		return s.build(ctx, timeout, dir, true)
	}
	objects, err := s.build(ctx, timeout, dir, false)
	if err != nil {
		return nil, err
	}
	if marked, err := s.build(ctx, timeout, dir, true); err == nil && len(marked) == len(objects) {
		for i := range objects {
			objects[i].origin = marked[i].origin
		}
	}
	return objects, ctx.Err()
}

// build runs Kustomize. A panic is an error, and so is a run that outlasts the
// timeout; that run keeps the lock until it ends, because the state it holds
// cannot be shared, and who waits for it waits no longer than the timeout.
func (s *scanner) build(ctx context.Context, timeout time.Duration, dir string, origins bool) ([]built, error) {
	if err := s.prepare(dir, origins); err != nil {
		return nil, err
	}
	waited := time.NewTimer(timeout)
	defer waited.Stop()
	select {
	case kustomizeLock <- struct{}{}:
	case <-waited.C:
		return nil, fmt.Errorf("another build still runs after %s", timeout)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	type result struct {
		objects []built
		err     error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-kustomizeLock }()
		objects, err := s.run(dir, origins)
		done <- result{objects, s.discreet(err)}
	}()
	ran := time.NewTimer(timeout)
	defer ran.Stop()
	select {
	case r := <-done:
		return r.objects, r.err
	case <-ran.C:
		return nil, fmt.Errorf("kustomize took longer than %s", timeout)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *scanner) run(dir string, origins bool) (objects []built, err error) {
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
	if !keep {
		if err := m.RemoveOriginAnnotations(); err != nil {
			return nil, err
		}
	}
	var all []built
	var size int64
	for i, r := range m.Resources() {
		data, err := r.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.CurId(), err)
		}
		size += int64(len(data))
		if err := within("OutputBytes", size, s.v.lim.OutputBytes); err != nil {
			return nil, err
		}
		u, err := decodeObject(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.CurId(), err)
		}
		all = append(all, built{u, origins[i]})
	}
	return all, within("Objects", len(all), s.v.lim.Objects)
}
