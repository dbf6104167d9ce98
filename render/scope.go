package render

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// applyNamespaces gives the namespace of its overlay to every namespaced object
// that names none. A kind that neither Kubernetes nor a CRD of the same target
// knows counts as namespaced, as it does for Kustomize.
func (j *job) applyNamespaces() {
	declared := map[schema.GroupKind]bool{}
	for _, o := range j.objects {
		if kind, namespaced, ok := crdScope(o.Unstructured); ok {
			declared[kind] = namespaced
		}
	}
	kinds := clusterKinds()
	for _, o := range j.objects {
		if o.namespace == "" || o.GetNamespace() != "" {
			continue
		}
		kind := o.GroupVersionKind().GroupKind()
		namespaced, known := declared[kind]
		if !known {
			namespaced = !slices.Contains(kinds[kind.Group], kind.Kind)
		}
		if namespaced {
			o.SetNamespace(o.namespace)
		}
	}
}

// crdScope returns which kind a CRD defines, and whether it is namespaced.
func crdScope(u *unstructured.Unstructured) (kind schema.GroupKind, namespaced, ok bool) {
	if u.GroupVersionKind().GroupKind() != (schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}) {
		return kind, false, false
	}
	kind.Group, _, _ = unstructured.NestedString(u.Object, "spec", "group")
	kind.Kind, _, _ = unstructured.NestedString(u.Object, "spec", "names", "kind")
	scope, _, _ := unstructured.NestedString(u.Object, "spec", "scope")
	return kind, scope == "Namespaced", true
}

// clusterKinds lists the kinds without a namespace that Kubernetes itself
// serves, by group.
func clusterKinds() map[string][]string {
	return map[string][]string{
		"":                             {"ComponentStatus", "Namespace", "Node", "PersistentVolume"},
		"admissionregistration.k8s.io": {"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration"},
		"apiextensions.k8s.io":         {"CustomResourceDefinition"},
		"apiregistration.k8s.io":       {"APIService"},
		"authentication.k8s.io":        {"SelfSubjectReview", "TokenReview"},
		"authorization.k8s.io":         {"SelfSubjectAccessReview", "SelfSubjectRulesReview", "SubjectAccessReview"},
		"certificates.k8s.io":          {"CertificateSigningRequest", "ClusterTrustBundle"},
		"flowcontrol.apiserver.k8s.io": {"FlowSchema", "PriorityLevelConfiguration"},
		"internal.apiserver.k8s.io":    {"StorageVersion"},
		"networking.k8s.io":            {"IPAddress", "IngressClass", "ServiceCIDR"},
		"node.k8s.io":                  {"RuntimeClass"},
		"rbac.authorization.k8s.io":    {"ClusterRole", "ClusterRoleBinding"},
		"resource.k8s.io":              {"DeviceClass", "DeviceTaintRule", "ResourceSlice"},
		"scheduling.k8s.io":            {"PriorityClass"},
		"storage.k8s.io":               {"CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"},
		"storagemigration.k8s.io":      {"StorageVersionMigration"},
	}
}
