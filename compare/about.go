package compare

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiversion "k8s.io/apimachinery/pkg/version"
)

// About is what a cluster says of itself. What kspec may not read is empty.
type About struct {
	// Version is that of the API server, as it spells it: v1.33.2-gke.1.
	Version string
	// UID is that of the namespace kube-system, by which clusters are told
	// apart.
	UID string
	// Platform is eks, gke, aks, openshift, k3s or rke2, else the provider of
	// the first node (aws, gce, kind, …), else unknown.
	Platform string
	// Nodes is nil when nobody may count them.
	Nodes *int
}

// About asks the cluster what it is, by three requests. An error means that it
// gave no answer, or not to kspec.
func (c *Cluster) About(ctx context.Context) (About, error) {
	raw, err := c.discovery.RESTClient().Get().AbsPath("/version").DoRaw(ctx)
	if err != nil {
		return About{}, fmt.Errorf("reach cluster %s: %w", c.name, err)
	}
	var version apiversion.Info
	if err := json.Unmarshal(raw, &version); err != nil || version.GitVersion == "" {
		return About{}, fmt.Errorf("reach cluster %s: what answers is no API server", c.name)
	}
	system, err := c.getMetadata(ctx, endpoint{gvr: corev1.SchemeGroupVersion.WithResource("namespaces")}, metav1.NamespaceSystem)
	if err != nil && !apierrors.IsForbidden(err) {
		return About{}, fmt.Errorf("ask cluster %s for its UID: %w", c.name, err)
	}
	about := About{Version: version.GitVersion}
	if err == nil {
		about.UID = string(system.UID)
	}
	nodes, err := c.page(ctx, endpoint{gvr: corev1.SchemeGroupVersion.WithResource("nodes")}, 1, "")
	if err != nil && !apierrors.IsForbidden(err) {
		return About{}, fmt.Errorf("ask cluster %s for its nodes: %w", c.name, err)
	}
	var first unstructured.Unstructured
	if err == nil {
		count := len(nodes.Items)
		if more := nodes.GetRemainingItemCount(); more != nil {
			count += int(*more)
		}
		if about.Nodes = &count; count > 0 {
			first = nodes.Items[0]
		}
	}
	about.Platform = platform(about.Version, first)
	return about, nil
}

// Serves reports whether the cluster serves a kind in that version. The error
// says why it could not be asked.
func (c *Cluster) Serves(ctx context.Context, kind schema.GroupVersionKind) (bool, error) {
	raw, err := c.discovery.RESTClient().Get().AbsPath("/apis", kind.Group, kind.Version).DoRaw(ctx)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	var served metav1.APIResourceList
	if err == nil {
		err = json.Unmarshal(raw, &served)
	}
	if err != nil {
		return false, fmt.Errorf("ask cluster %s for %s of %s: %w", c.name, kind.Kind, kind.GroupVersion(), err)
	}
	return slices.ContainsFunc(served.APIResources, func(r metav1.APIResource) bool { return r.Kind == kind.Kind }), nil
}

// platform tells who runs a cluster, by the version of its API server and the
// first of its nodes.
func platform(version string, node unstructured.Unstructured) string {
	for mark, name := range map[string]string{"-eks-": "eks", "-gke.": "gke", "+k3s": "k3s", "+rke2": "rke2"} {
		if strings.Contains(version, mark) {
			return name
		}
	}
	for label, name := range map[string]string{"kubernetes.azure.com/cluster": "aks", "node.openshift.io/os_id": "openshift"} {
		if _, ok := node.GetLabels()[label]; ok {
			return name
		}
	}
	id, _, _ := unstructured.NestedString(node.Object, "spec", "providerID")
	provider, _, _ := strings.Cut(id, "://")
	return cmp.Or(provider, "unknown")
}
