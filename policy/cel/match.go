package cel

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	admissionreview "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/admission"
	plugin "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules"
)

// request is the creation of an object, as admission sees it.
type request struct {
	object   *unstructured.Unstructured
	resource schema.GroupVersionResource
	// namespace is nil when its labels are not known, or there is none.
	namespace  *corev1.Namespace
	attributes *admission.VersionedAttributes
	review     *admissionreview.AdmissionRequest
	// err says why the API server would not take the object at all.
	err error
}

// isNamespace reports whether the object is a Namespace. The request for one
// names it as the namespace, too, but policies are not given it as such.
func (r *request) isNamespace() bool {
	return r.resource.GroupResource() == schema.GroupResource{Resource: "namespaces"}
}

// isSecret reports whether the object holds what must not be repeated.
func (r *request) isSecret() bool {
	return r.resource.GroupResource() == schema.GroupResource{Resource: "secrets"}
}

// requestFor makes the request. The resource of a kind that nobody declared is
// its plural in English.
func (s *Set) requestFor(object *unstructured.Unstructured, namespaceLabels map[string]string) *request {
	gvk := object.GroupVersionKind()
	gvr, _ := meta.UnsafeGuessKindToResource(gvk)
	gvr.Resource = cmp.Or(s.resources[gvk.GroupKind()], gvr.Resource)
	r := &request{object: object, resource: gvr}
	name := object.GetNamespace()
	if name != "" && namespaceLabels != nil {
		r.namespace = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: withName(namespaceLabels, name)}}
	}
	if r.isNamespace() {
		name = object.GetName()
	}
	var stored *unstructured.Unstructured
	if stored, r.err = s.stored(object); r.err != nil && r.isSecret() {
		r.err = errors.New("no Secret: a field has a value of the wrong type")
	}
	attributes := admission.NewAttributesRecord(stored, nil, gvk, name, object.GetName(), gvr, "", admission.Create, &metav1.CreateOptions{}, false, nil)
	r.attributes = &admission.VersionedAttributes{Attributes: attributes, VersionedKind: gvk}
	r.attributes.VersionedObject.Set(stored)
	r.review = plugin.CreateAdmissionRequest(attributes, metav1.GroupVersionResource(gvr), metav1.GroupVersionKind(gvk))
	return r
}

// stored returns the object as the API server holds it: one of Kubernetes has
// been through its Go type, and what is null, empty or no field of it is gone.
func (s *Set) stored(object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	typed, err := s.kinds.New(object.GroupVersionKind())
	if err != nil {
		return object, nil //nolint:nilerr // a kind that is not of Kubernetes
	}
	converter := runtime.DefaultUnstructuredConverter
	if err := converter.FromUnstructured(object.Object, typed); err != nil {
		return object, fmt.Errorf("no %s: %w", object.GetKind(), err)
	}
	fields, err := converter.ToUnstructured(typed)
	if err != nil {
		return object, fmt.Errorf("no %s: %w", object.GetKind(), err)
	}
	return &unstructured.Unstructured{Object: fields}, nil
}

// kinds are those of Kubernetes that people write.
func kinds() *runtime.Scheme {
	s := runtime.NewScheme()
	builder := runtime.SchemeBuilder{
		admissionv1.AddToScheme, appsv1.AddToScheme, autoscalingv2.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme,
		discoveryv1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme, rbacv1.AddToScheme, schedulingv1.AddToScheme,
		storagev1.AddToScheme,
	}
	utilruntime.Must(builder.AddToScheme(s)) // fails only when two types claim one kind
	return s
}

// withName adds the label that every namespace has.
func withName(all map[string]string, name string) map[string]string {
	return labels.Merge(all, map[string]string{corev1.LabelMetadataName: name})
}

// matches reports whether the policy is for the request at all. The API server
// shows no policy to policies, so that a broken one can be put right.
func (p *program) matches(r *request) bool {
	return p.spec.MatchConstraints != nil && len(p.spec.MatchConstraints.ResourceRules) > 0 &&
		!rules.IsExemptAdmissionConfigurationResource(r.attributes) && r.matches(*p.spec.MatchConstraints)
}

// matches reports whether the request is among the resources. Without rules it
// is, whatever it is for.
func (r *request) matches(m admissionv1.MatchResources) bool {
	exact := m.MatchPolicy != nil && *m.MatchPolicy == admissionv1.Exact
	among := func(all []admissionv1.NamedRuleWithOperations) bool {
		return slices.ContainsFunc(all, func(n admissionv1.NamedRuleWithOperations) bool { return r.matchesRule(n, exact) })
	}
	return (len(m.ResourceRules) == 0 || among(m.ResourceRules)) && !among(m.ExcludeResourceRules) &&
		r.inNamespaces(m.NamespaceSelector) && r.selected(m.ObjectSelector, r.object.GetLabels(), false)
}

// matchesRule reports whether a rule is for the creation of the object. Unless
// it must match exactly, any version of the resource counts, as the API server
// converts between them.
func (r *request) matchesRule(n admissionv1.NamedRuleWithOperations, exact bool) bool {
	rule := n.RuleWithOperations
	if !exact {
		rule.APIVersions = []string{"*"}
	}
	m := rules.Matcher{Rule: rule, Attr: r.attributes}
	return m.Matches() && (len(n.ResourceNames) == 0 || slices.Contains(n.ResourceNames, r.object.GetName()))
}

// inNamespaces is the namespace selector: a Namespace counts as lying in itself,
// and what has no namespace is in all.
func (r *request) inNamespaces(selector *metav1.LabelSelector) bool {
	switch name := r.object.GetNamespace(); {
	case r.isNamespace():
		return r.selected(selector, withName(r.object.GetLabels(), r.object.GetName()), false)
	case name == "":
		return true
	case r.namespace != nil:
		return r.selected(selector, r.namespace.Labels, false)
	default:
		return r.selected(selector, withName(nil, name), true)
	}
}

// selected reports whether labels match. With assume, requirements of labels
// that are not there are taken to be met. One that is no selector matches: what
// is looked at too much is seen.
func (r *request) selected(selector *metav1.LabelSelector, have labels.Set, assume bool) bool {
	if selector == nil {
		return true
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return true
	}
	requirements, _ := s.Requirements()
	return !slices.ContainsFunc(requirements, func(q labels.Requirement) bool {
		return !q.Matches(have) && (have.Has(q.Key()) || !assume)
	})
}
