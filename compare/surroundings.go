package compare

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
)

// surroundings are what a verdict about one object follows from in others that
// Git declares. They are taken when all is read and nothing is judged: from
// then on each subject has a goroutine of its own.
type surroundings struct {
	namespaces  map[string]presence
	definitions map[schema.GroupVersionKind]presence
}

// presence is whether an object is in the cluster.
type presence int

const (
	unsure presence = iota
	absentee
	leaving
	present
)

func (o *subject) presence() presence {
	switch {
	case o.tier == kspec.TierCache:
		return present
	case !o.read || o.unknown != "":
		return unsure
	case o.live == nil:
		return absentee
	case o.live.GetDeletionTimestamp() != nil:
		return leaving
	}
	return present
}

// survey takes the surroundings.
func (s *sweep) survey() surroundings {
	around := surroundings{map[string]presence{}, map[schema.GroupVersionKind]presence{}}
	for _, o := range s.subjects {
		switch id := o.id; {
		case id.Group == "" && id.Kind == "Namespace":
			around.namespaces[id.Name] = o.presence()
		case id.Group == "apiextensions.k8s.io" && id.Kind == "CustomResourceDefinition":
			for _, kind := range defined(o.want.Object) {
				around.definitions[kind] = o.presence()
			}
		}
	}
	return around
}

// defined returns the kinds that a CustomResourceDefinition defines.
func defined(crd map[string]any) (kinds []schema.GroupVersionKind) {
	versions, _, _ := unstructured.NestedSlice(crd, "spec", "versions")
	for _, v := range mapsIn(versions) {
		kinds = append(kinds, schema.GroupVersionKind{
			Group: textIn(crd, "spec", "group"), Version: textIn(v, "name"), Kind: textIn(crd, "spec", "names", "kind"),
		})
	}
	return kinds
}

// judgeStrange is for an object of a kind that the cluster does not know: it
// is missing when Git is about to define the kind.
func (s *sweep) judgeStrange(o *subject) {
	switch s.around.definitions[o.id.GVK()] {
	case absentee:
		o.decided(kspec.TierFields, nil, s.rules.missing(o.want, o.id.String()+" is not in the cluster, nor is its CustomResourceDefinition"))
	case unsure:
		o.unknown = noKind(o.id)
	default:
		o.unknown = noKind(o.id) + ", which its CustomResourceDefinition in Git defines"
	}
}

// whyAbsent says why an object is not there.
func (s *sweep) whyAbsent(o *subject) kspec.Finding {
	why := o.id.String() + " is not in the cluster"
	switch namespace := s.around.namespaces[o.id.Namespace]; {
	case o.live != nil:
		why = o.id.String() + " is being deleted"
	case namespace == absentee:
		why += ", nor is its namespace"
	case namespace == leaving:
		why += ": its namespace is being deleted"
	}
	return s.rules.missing(o.want, why)
}
