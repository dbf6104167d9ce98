package compare

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
)

// This file reads what a delivery engine is told: the Kustomizations of Flux and
// the Applications of Argo CD that deploy what a target declares. They are
// named by the target, or by the marks that live objects carry. Anyone in the
// cluster may have written one: a wrong type is nothing, and all is bounded.

const (
	mostUnits      = 50
	mostExceptions = 200
	mostHeld       = 5000
)

// unit is a Kustomization or an Application, as far as verdicts depend on it.
type unit struct {
	engine kspec.Engine
	ref    kspec.UnitRef
	// paths are the folders that it deploys, clean.
	paths []string
	// whole is true when it deploys all that is in these folders under the names
	// that it has there, to this cluster, and nothing else.
	whole bool
	// suspended and prunes are of its own settings.
	suspended, prunes bool
	exceptions        []exception
	// holds are the objects that it says to have applied.
	holds []kspec.ObjectID
	// blind says why its exceptions are not known.
	blind string
	// transient is true when another look may know.
	transient bool
}

// String names the unit for a person.
func (u *unit) String() string {
	kind := "Kustomization"
	if u.engine == kspec.ArgoCD {
		kind = "Application"
	}
	return kind + " " + u.ref.Namespace + "/" + u.ref.Name
}

// digest is of all that decisions about objects follow from.
func (u *unit) digest() kspec.Digest {
	if u == nil {
		return kspec.Digest{}
	}
	var told []string
	for _, e := range u.exceptions {
		told = append(told, e.text)
	}
	return digest(u.String(), u.paths, u.whole, u.suspended, u.prunes, told, u.blind)
}

// engineOf returns the engine that applies an object: the target's, else the
// one that is known by the name under which it applies.
func engineOf(t kspec.Target, want kspec.Object) kspec.Engine {
	switch e := t.Delivery.Engine; {
	case e == kspec.Flux || e == kspec.ArgoCD:
		return e
	case want.FieldManager == kspec.Flux.DefaultFieldManager():
		return kspec.Flux
	case want.FieldManager == kspec.ArgoCD.DefaultFieldManager():
		return kspec.ArgoCD
	}
	return kspec.NoEngine
}

// kindOfUnit is the kind of an engine's units.
func kindOfUnit(e kspec.Engine) schema.GroupKind {
	if e == kspec.ArgoCD {
		return schema.GroupKind{Group: "argoproj.io", Kind: "Application"}
	}
	return schema.GroupKind{Group: "kustomize.toolkit.fluxcd.io", Kind: "Kustomization"}
}

// engine is what a sweep knows about the delivery engine.
type engine struct {
	units map[kspec.UnitRef]*unit
	// found are the units that were found by marks, also in former looks.
	found map[kspec.UnitRef]bool
	// deployers are the units that certainly deploy a folder, by path.
	deployers map[string]*unit
	told      kspec.Digest
	unknown   []kspec.Unknown
}

// meet reads the units that the target names, and those that were found by the
// last look.
func (s *sweep) meet(ctx context.Context) {
	s.engine = engine{units: map[kspec.UnitRef]*unit{}, found: map[kspec.UnitRef]bool{}, deployers: map[string]*unit{}}
	e := s.target.Delivery.Engine
	if e != kspec.Flux && e != kspec.ArgoCD {
		return
	}
	for _, ref := range s.named() {
		s.meetUnit(ctx, e, ref, true)
	}
	for _, ref := range s.recallUnits() {
		s.engine.found[ref] = true
		s.meetUnit(ctx, e, ref, false)
	}
	s.assign()
}

// named returns the units that the target names.
func (s *sweep) named() []kspec.UnitRef {
	refs := []kspec.UnitRef{s.target.Delivery.Unit}
	for _, o := range s.target.Overlays {
		refs = append(refs, o.Unit)
	}
	for _, o := range s.subjects {
		if !slices.Contains(refs, o.want.Unit) {
			refs = append(refs, o.want.Unit)
		}
	}
	slices.SortFunc(refs, compareRefs)
	return slices.DeleteFunc(slices.Compact(refs), func(r kspec.UnitRef) bool { return r.Name == "" })
}

func compareRefs(a, b kspec.UnitRef) int {
	return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
}

// discover reads the units whose marks the live objects carry, where the target
// names none. It reports whether more is known of them than was.
func (s *sweep) discover(ctx context.Context) bool {
	e := s.target.Delivery.Engine
	if e != kspec.Flux && e != kspec.ArgoCD {
		return false
	}
	refs := map[kspec.UnitRef]bool{}
	for _, o := range s.subjects {
		if ref, ok := markOf(e, o.id, o.live); ok && o.want.Unit.Name == "" {
			refs[ref] = true
		}
	}
	for _, ref := range slices.SortedFunc(maps.Keys(refs), compareRefs) {
		if len(s.engine.units) < mostUnits {
			s.engine.found[ref] = true
			s.meetUnit(ctx, e, ref, false)
		}
	}
	before := s.engine.told
	s.assign()
	s.rememberUnits()
	return s.engine.told != before
}

// meetUnit reads one unit, once.
func (s *sweep) meetUnit(ctx context.Context, e kspec.Engine, ref kspec.UnitRef, named bool) {
	if s.engine.units[ref] != nil || len(s.engine.units) >= mostUnits {
		return
	}
	u := &unit{engine: e, ref: ref}
	s.engine.units[ref] = u
	m, err := s.cluster.mapper.RESTMapping(kindOfUnit(e))
	if meta.IsNoMatchError(err) {
		return // the engine works from another cluster
	}
	if err == nil {
		var live *unstructured.Unstructured
		if live, err = s.readUnit(ctx, endpoint{gvr: m.Resource, namespace: ref.Namespace}, ref.Name); err == nil && live != nil {
			u.read(live)
			return
		}
	}
	switch id := (kspec.ObjectID{Group: kindOfUnit(e).Group, Kind: kindOfUnit(e).Kind, Namespace: ref.Namespace, Name: ref.Name}); {
	case err == nil, absent(err), notServed(err): // it is not here
	case transient(err):
		u.blind, u.transient = fmt.Sprintf("%s could not be read, which may excuse it: %s", u, reason("get", id, err)), true
	case named:
		s.engine.unknown = append(s.engine.unknown, kspec.Unknown{
			Object: id, Source: s.target.Source, Lasting: true,
			Reason: reason("get", id, err) + ": what it excuses and what it would delete is not known",
		})
	default:
		s.Log.InfoContext(ctx, "unit of the delivery engine not read", "unit", u.String(), "error", reason("get", id, err))
	}
}

// readUnit reads a unit by name, from wherever it is when its namespace is not
// known. It returns nil when there is not exactly one.
func (s *sweep) readUnit(ctx context.Context, at endpoint, name string) (live *unstructured.Unstructured, err error) {
	if at.namespace != "" {
		return s.fetch(ctx, at, name)
	}
	s.lists.Add(1)
	err = s.ask(ctx, func(ctx context.Context) error {
		list, err := s.cluster.client.Resource(at.gvr).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name, Limit: 2})
		if err == nil && len(list.Items) == 1 {
			live = &list.Items[0]
		}
		return err
	})
	if apierrors.IsForbidden(err) {
		return s.fetch(ctx, endpoint{gvr: at.gvr, namespace: "argocd"}, name)
	}
	return live, err
}

// read takes from live what the unit is told.
func (u *unit) read(live *unstructured.Unstructured) {
	u.ref = kspec.UnitRef{Namespace: live.GetNamespace(), Name: live.GetName()}
	if u.engine == kspec.ArgoCD {
		u.readApplication(live.Object)
	} else {
		u.readKustomization(live.Object)
	}
}

// assign finds out which unit certainly deploys which folder: the one that the
// target names for it, else the only one that was found, and in both cases one
// that says itself to deploy that folder.
func (s *sweep) assign() {
	all := make([]kspec.Digest, 0, len(s.engine.units))
	for _, ref := range slices.SortedFunc(maps.Keys(s.engine.units), compareRefs) {
		all = append(all, s.engine.units[ref].digest())
	}
	clear(s.epochOfKey)
	s.engine.told = kspec.Digest{}
	if len(all) > 0 {
		s.engine.told = digest(all)
	}
	for _, o := range append(slices.Clone(s.target.Overlays), kspec.Overlay{Path: s.target.Delivery.Path, Unit: s.target.Delivery.Unit}) {
		if o.Path == "" {
			continue
		}
		if u := s.deployer(path.Clean(o.Path), o.Unit); u != nil {
			s.engine.deployers[path.Clean(o.Path)] = u
		}
	}
}

func (s *sweep) deployer(folder string, named kspec.UnitRef) *unit {
	if named.Name != "" {
		if u := s.engine.units[named]; u != nil && slices.Contains(u.paths, folder) {
			return u
		}
		return nil
	}
	var only *unit
	for ref := range s.engine.found {
		if u := s.engine.units[ref]; u != nil && slices.Contains(u.paths, folder) {
			if only != nil && only.ref != u.ref {
				return nil
			}
			only = u
		}
	}
	return only
}

// folderOf returns the folder of the target that an object comes from.
func (s *sweep) folderOf(want kspec.Object) string {
	if want.Source.Template != "" {
		return path.Clean(s.target.Delivery.Path)
	}
	return path.Clean(want.Source.Overlay)
}

// unitOf returns the unit that applies o by name or by mark, nil for none.
func (s *sweep) unitOf(o *subject) *unit {
	if o.want.Unit.Name != "" {
		return s.engine.units[o.want.Unit]
	}
	ref, ok := markOf(s.target.Delivery.Engine, o.id, o.live)
	if !ok {
		return nil
	}
	return s.engine.units[ref]
}

// epochKey is what the epoch of a decision differs by within one look.
type epochKey struct {
	gvr          schema.GroupVersionResource
	withFindings bool
	unit         kspec.UnitRef
	folder       string
}

// epochOf is the epoch of a decision about o.
func (s *sweep) epochOf(ctx context.Context, o *subject, withFindings bool) kspec.Digest {
	key := epochKey{gvr: o.at.gvr, withFindings: withFindings, unit: o.want.Unit}
	if !s.engine.told.IsZero() {
		key.folder = s.folderOf(o.want)
	}
	e, ok := s.epochOfKey[key]
	if !ok {
		e = s.newEpochOf(ctx, key)
		s.epochOfKey[key] = e
	}
	return e
}

func (s *sweep) newEpochOf(ctx context.Context, k epochKey) kspec.Digest {
	e, told := s.epochs(ctx).of(k.gvr, k.withFindings), s.engine.told
	if told.IsZero() {
		return e
	}
	if k.unit.Name != "" {
		told = s.engine.units[k.unit].digest()
	}
	return digest(e, told, s.engine.deployers[k.folder].digest())
}

// folder returns the path of a folder of the repo, as units name it, clean.
func folder(p string) string {
	return path.Clean(strings.TrimPrefix(path.Clean("/"+p), "/"))
}
