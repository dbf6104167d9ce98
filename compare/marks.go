package compare

import (
	"maps"
	"path"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/cloudcwfranck/kspec"
)

// This file is about the marks that engines, and kspec, leave on what they
// apply.

// mark is what tells that something applied an object.
type mark struct {
	// who applied it, in words, and from where in Git.
	who, folder string
	manager     string
	// selector finds the objects in a list; "" when no list can.
	selector string
	// label is owned by manager on what it applied.
	label string
	// names reports whether the mark names the very object.
	names func(kspec.ObjectID, *metav1.PartialObjectMetadata) bool
	kinds map[schema.GroupKind]bool
	holds []kspec.ObjectID
	unit  *unit
}

// marks returns the marks of which it is certain that only what the target
// declares may carry them.
func (s *sweep) marks() []mark {
	var all []mark
	for _, at := range slices.Sorted(maps.Keys(s.engine.deployers)) {
		u := s.engine.deployers[at]
		if !slices.ContainsFunc(all, func(m mark) bool { return m.unit == u }) && u.whole && s.declares(u) {
			all = append(all, s.markOfUnit(u, at))
		}
	}
	if m, ok := s.ownMark(); ok {
		all = append(all, m)
	}
	return all
}

// declares reports whether the target declares every folder that u deploys.
func (s *sweep) declares(u *unit) bool {
	return !slices.ContainsFunc(u.paths, func(p string) bool { return s.engine.deployers[p] != u })
}

func (s *sweep) markOfUnit(u *unit, at string) mark {
	m := mark{who: u.String(), folder: at, unit: u, manager: s.target.Delivery.FieldManager, kinds: map[schema.GroupKind]bool{}}
	for _, o := range s.target.Overlays {
		if path.Clean(o.Path) == at {
			m.manager = o.FieldManager
		}
	}
	labelled := ""
	for _, o := range s.subjects {
		if s.engine.deployers[s.folderOf(o.want)] == u && o.known {
			m.kinds[o.id.GVK().GroupKind()] = true
			labelled = s.trackedByLabel(u, o, labelled)
		}
	}
	for _, id := range u.holds {
		if !isSecret(id) {
			m.kinds[id.GVK().GroupKind()] = true
		}
	}
	m.holds = u.holds
	switch {
	case u.engine == kspec.Flux:
		m.selector = fluxName + "=" + u.ref.Name + "," + fluxNamespace + "=" + u.ref.Namespace
		m.label = fluxName
	case labelled == "label":
		m.selector, m.label = argoInstance+"="+u.ref.Name, argoInstance
	default:
		m.names = func(id kspec.ObjectID, o *metav1.PartialObjectMetadata) bool {
			ref, ok := tracked(o.Annotations[argoTracking], id)
			return ok && ref.Name == u.ref.Name && (ref.Namespace == "" || ref.Namespace == u.ref.Namespace)
		}
	}
	return m
}

// trackedByLabel returns how Argo CD tracks what it applied, as far as o tells
// besides what is known: "label", "annotation", or "".
func (s *sweep) trackedByLabel(u *unit, o *subject, known string) string {
	switch {
	case known == "annotation" || o.live == nil:
		return known
	case o.live.GetAnnotations()[argoTracking] != "":
		return "annotation"
	case o.live.GetLabels()[argoInstance] == u.ref.Name && o.want.GetLabels()[argoInstance] == "":
		return "label"
	}
	return known
}

// ownMark is kspec's own mark on the policies that it rendered.
func (s *sweep) ownMark() (mark, bool) {
	d := s.target.Delivery
	if d.Path == "" || d.Unit.Name != "" && s.engine.deployers[path.Clean(d.Path)] == nil {
		return mark{}, false
	}
	m := mark{
		who: "kspec for ClusterSpec " + s.target.Name, folder: path.Clean(d.Path), manager: d.FieldManager,
		selector: kspec.OwnerLabel + "=" + s.target.Owner(), label: kspec.OwnerLabel, unit: s.engine.deployers[path.Clean(d.Path)],
		kinds: map[schema.GroupKind]bool{
			{Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicy"}:        true,
			{Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicyBinding"}: true,
			{Group: "networking.k8s.io", Kind: "NetworkPolicy"}:                               true,
			{Kind: "ResourceQuota"}: true,
			{Kind: "LimitRange"}:    true,
		},
	}
	for _, o := range s.subjects {
		if o.want.Source.Template != "" && o.known {
			m.kinds[o.id.GVK().GroupKind()] = true
		}
	}
	return m, true
}

// selected reports whether the labels have all that the selector says.
func selected(selector string, labels map[string]string) bool {
	for term := range strings.SplitSeq(selector, ",") {
		if k, v, _ := strings.Cut(term, "="); labels[k] != v {
			return false
		}
	}
	return true
}

// marked reports whether the applier itself put the mark there.
func marked(o *metav1.PartialObjectMetadata, m mark) bool {
	path := fieldpath.MakePathOrDie("metadata", "labels", m.label)
	return slices.ContainsFunc(o.ManagedFields, func(e metav1.ManagedFieldsEntry) bool {
		set := &fieldpath.Set{}
		return e.Manager == m.manager && e.Subresource == "" && e.FieldsV1 != nil &&
			set.FromJSON(e.FieldsV1.GetRawReader()) == nil && set.Has(path)
	})
}

// markOf returns the unit whose mark a live object carries.
func markOf(e kspec.Engine, id kspec.ObjectID, live *unstructured.Unstructured) (kspec.UnitRef, bool) {
	switch {
	case live == nil:
		return kspec.UnitRef{}, false
	case e == kspec.ArgoCD:
		return tracked(live.GetAnnotations()[argoTracking], id)
	case e == kspec.Flux:
		l := live.GetLabels()
		ref := kspec.UnitRef{Namespace: l[fluxNamespace], Name: l[fluxName]}
		return ref, ref.Name != "" && ref.Namespace != ""
	}
	return kspec.UnitRef{}, false
}
