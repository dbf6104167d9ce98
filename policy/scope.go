package policy

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/cloudcwfranck/kspec"
)

// System lists the namespaces that no policy of kspec may touch: without them
// the cluster, or kspec, cannot repair itself.
func System() []string {
	return []string{"kspec-system", "kube-node-lease", "kube-public", "kube-system"}
}

// nameLabel is on every namespace of every cluster.
const nameLabel = "kubernetes.io/metadata.name"

// Selector returns the scope as a selector over the labels of namespaces. In a
// cluster it selects exactly the namespaces whose objects [Policy.Decide] finds
// in scope.
func Selector(s kspec.Scope) *metav1.LabelSelector {
	out := &metav1.LabelSelector{}
	if s.Selector != nil {
		out = s.Selector.DeepCopy()
	}
	byName := func(operator metav1.LabelSelectorOperator, names []string) {
		slices.Sort(names)
		out.MatchExpressions = append(out.MatchExpressions,
			metav1.LabelSelectorRequirement{Key: nameLabel, Operator: operator, Values: slices.Compact(names)})
	}
	byName(metav1.LabelSelectorOpNotIn, slices.Concat(System(), s.Exclude))
	if len(s.Include) > 0 {
		byName(metav1.LabelSelectorOpIn, slices.Clone(s.Include))
	}
	return out
}

// scope is [kspec.Scope] with its selector parsed.
type scope struct {
	kspec.Scope
	requirements labels.Requirements
}

func scopeOf(s kspec.Scope) (scope, error) {
	if s.Selector == nil {
		return scope{Scope: s}, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(s.Selector)
	if err != nil {
		return scope{}, err
	}
	requirements, _ := selector.Requirements()
	return scope{s, requirements}, nil
}

// holds reports whether o is in scope, whether that is assumed, and why. An
// object without a namespace always is.
func (s scope) holds(o Object) (in, assumed bool, why string) {
	namespace := namespaceOf(o.ID)
	switch {
	case namespace == "":
		return true, false, "it has no namespace"
	case slices.Contains(System(), namespace):
		return false, false, "namespace " + namespace + " is of the system"
	case slices.Contains(s.Exclude, namespace):
		return false, false, "namespace " + namespace + " is excluded"
	case len(s.Include) > 0 && !slices.Contains(s.Include, namespace):
		return false, false, "namespace " + namespace + " is not among the included ones"
	}
	for _, r := range s.requirements {
		switch {
		case r.Key() == nameLabel && r.Matches(labels.Set{nameLabel: namespace}):
		case r.Key() != nameLabel && o.NamespaceLabels == nil:
			assumed = true
		case r.Key() == nameLabel || !r.Matches(labels.Set(o.NamespaceLabels)):
			return false, false, fmt.Sprintf("the labels of namespace %s do not match %q", namespace, r.String())
		}
	}
	if assumed {
		return true, true, "the labels of namespace " + namespace + " are not known, and assumed to match"
	}
	return true, false, "namespace " + namespace + " is in scope"
}

// namespaceOf returns the namespace that an object lies in, or is.
func namespaceOf(id kspec.ObjectID) string {
	if id.Kind == "Namespace" && id.Group == "" {
		return id.Name
	}
	return id.Namespace
}
