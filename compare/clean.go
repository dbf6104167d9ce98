package compare

import (
	"encoding/base64"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
)

// lastApplied is where kubectl keeps a copy of what it applied.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// clean returns a copy of want without what a server-side apply refuses or
// Git cannot mean: what only the server writes, nulls, and places that a
// controller fills.
func clean(want kspec.Object) kspec.Object {
	u := want.Unstructured.DeepCopy()
	dropNulls(u.Object)
	delete(u.Object, "status")
	if m, ok := u.Object["metadata"].(map[string]any); ok {
		for _, field := range serverMetadata() {
			delete(m, field)
		}
		for _, field := range []string{"labels", "annotations"} {
			if all, ok := m[field].(map[string]any); ok && len(all) == 0 {
				delete(m, field) // engines put their marks there
			}
		}
	}
	unstructured.RemoveNestedField(u.Object, "metadata", "annotations", lastApplied)
	id := want.ID()
	if isSecret(id) {
		mergeStringData(u.Object)
	}
	if isAggregated(u) {
		delete(u.Object, "rules")
	}
	dropPlaceholders(u.Object)
	want.Unstructured = u
	return want
}

// serverMetadata are the fields of metadata that only the server writes.
func serverMetadata() []string {
	return []string{
		"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation",
		"managedFields", "resourceVersion", "selfLink", "uid",
	}
}

func isSecret(id kspec.ObjectID) bool { return id.Group == "" && id.Kind == "Secret" }

// isAggregated reports whether u is a ClusterRole whose rules a controller
// gathers from others.
func isAggregated(u *unstructured.Unstructured) bool {
	_, found := u.Object["aggregationRule"]
	return found && kspec.IDOf(u).Group == "rbac.authorization.k8s.io"
}

// dropNulls removes the fields that are null; applying one means nothing.
func dropNulls(v any) {
	switch v := v.(type) {
	case map[string]any:
		maps.DeleteFunc(v, func(_ string, field any) bool { return field == nil })
		for _, field := range v {
			dropNulls(field)
		}
	case []any:
		for _, item := range v {
			dropNulls(item)
		}
	}
}

// mergeStringData writes stringData the way the server stores it.
func mergeStringData(secret map[string]any) {
	from, ok := secret["stringData"].(map[string]any)
	if !ok {
		return
	}
	data, ok := secret["data"].(map[string]any)
	if !ok {
		data = map[string]any{}
	}
	for k, v := range from {
		if s, ok := v.(string); ok {
			data[k] = base64.StdEncoding.EncodeToString([]byte(s))
		}
	}
	secret["data"] = data
	delete(secret, "stringData")
}

// dropPlaceholders removes CA bundles that hold nothing yet: people write an
// empty one where a controller will inject its own.
func dropPlaceholders(v any) {
	switch v := v.(type) {
	case map[string]any:
		if s, ok := v["caBundle"].(string); ok && isPlaceholder(s) {
			delete(v, "caBundle")
		}
		for _, field := range v {
			dropPlaceholders(field)
		}
	case []any:
		for _, item := range v {
			dropPlaceholders(item)
		}
	}
}

func isPlaceholder(caBundle string) bool {
	b, err := base64.StdEncoding.DecodeString(caBundle)
	return err == nil && strings.TrimSpace(string(b)) == ""
}
