package render

import (
	"fmt"
	"path"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"golang.org/x/sync/semaphore"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/openapi"
)

// kustomizeSlots are for runs of Kustomize. All that runs share is the OpenAPI
// schema, a global of the process: a run that brings its own takes all slots,
// and any other one.
var (
	allSlots       = int64(runtime.GOMAXPROCS(0))
	kustomizeSlots = semaphore.NewWeighted(allSlots)
)

// built is one object as Kustomize made it.
type built struct {
	object *unstructured.Unstructured
	// origin is relative to the overlay; nil when Kustomize lost it.
	origin *resource.Origin
	// size is that of the object as JSON.
	size int64
}

// slots is how many of them the runs for this overlay need.
func (s *scanner) slots() int64 {
	if s.schema {
		return allSlots
	}
	return 1
}

// krusty is one run of Kustomize over what was prepared, by who has the slots
// for it.
func (s *scanner) krusty(dir string, prepared map[string][]byte, origins bool) (objects []built, err error) {
	if s.schema {
		openapi.ResetOpenAPI()
		defer openapi.ResetOpenAPI()
	} else {
		openapi.Schema() // loads it, so that runs side by side only read
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("kustomize panicked: %v (at %s)", p, panicSite(debug.Stack()))
		}
	}()
	opts := krusty.MakeDefaultOptions()
	opts.LoadRestrictions = types.LoadRestrictionsNone // the view is the restriction
	opts.Reorder = krusty.ReorderOptionUnspecified     // or it warns where sortOptions are set
	m, err := krusty.MakeKustomizer(opts).Run(shown{s.v, prepared}, path.Join("/", dir))
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
