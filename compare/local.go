package compare

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// ownSet returns the places that an apply of want would own, as far as known
// tells how its lists are made; a list that known says nothing of is one value.
func ownSet(want map[string]any, known *fieldpath.Set) *fieldpath.Set {
	set := &fieldpath.Set{}
	for k, v := range want {
		switch k {
		case "apiVersion", "kind":
		case "metadata":
			meta, _ := v.(map[string]any)
			for _, field := range []string{"labels", "annotations", "finalizers", "ownerReferences"} {
				if w, ok := meta[field]; ok {
					at := fieldpath.MakePathOrDie("metadata", field)
					grow(set, at, w, under(known, at[0]))
				}
			}
		default:
			grow(set, fieldpath.Path{fieldpath.FieldNameElement(k)}, v, known)
		}
	}
	return set
}

// grow adds to set what v owns at path; around is what is known of the value
// that v is in.
func grow(set *fieldpath.Set, path fieldpath.Path, v any, around *fieldpath.Set) {
	last := path[len(path)-1]
	known := under(around, last)
	atomic := known == nil && holds(around, last)
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 || atomic {
			break
		}
		for k, field := range v {
			grow(set, below(path, fieldpath.FieldNameElement(k)), field, known)
		}
		return
	case []any:
		items, ok := itemsOf(v, known)
		if !ok {
			break
		}
		for i, pe := range items {
			set.Insert(below(path, pe))
			if pe.Key != nil {
				grow(set, below(path, pe), v[i], known)
			}
		}
		return
	}
	set.Insert(path)
}

// itemsOf names the items of a list the way that known names one of them.
func itemsOf(l []any, known *fieldpath.Set) ([]fieldpath.PathElement, bool) {
	var examples []fieldpath.PathElement
	if known != nil {
		examples = elements(known)
	}
	if len(examples) == 0 {
		return nil, false
	}
	items := make([]fieldpath.PathElement, 0, len(l))
	for _, item := range l {
		pe, ok := nameLike(examples[0], item)
		if !ok {
			return nil, false
		}
		items = append(items, pe)
	}
	return items, true
}

// nameLike names item by the same keys as the example.
func nameLike(example fieldpath.PathElement, item any) (fieldpath.PathElement, bool) {
	if example.Value != nil {
		v := value.NewValueInterface(item)
		return fieldpath.PathElement{Value: &v}, true
	}
	if example.Key == nil {
		return fieldpath.PathElement{}, false
	}
	keys := make(value.FieldList, 0, len(*example.Key))
	for _, k := range *example.Key {
		v, ok := keyOf(item, k.Name)
		if !ok {
			return fieldpath.PathElement{}, false
		}
		keys = append(keys, value.Field{Name: k.Name, Value: value.NewValueInterface(v)})
	}
	return fieldpath.PathElement{Key: &keys}, true
}

// withDefaults returns a copy of u with the defaults that the API server sets
// in the kinds that are decided by fields.
func withDefaults(u *unstructured.Unstructured) *unstructured.Unstructured {
	u = u.DeepCopy()
	switch u.GroupVersionKind().Group {
	case "admissionregistration.k8s.io":
		defaultAdmission(u)
	case "rbac.authorization.k8s.io":
		defaultRBAC(u)
	case "networking.k8s.io":
		defaultPorts(u)
	}
	return u
}

func defaultAdmission(u *unstructured.Unstructured) {
	spec, _ := u.Object["spec"].(map[string]any)
	switch u.GetKind() {
	case "ValidatingAdmissionPolicy", "MutatingAdmissionPolicy":
		setDefault(spec, "failurePolicy", "Fail")
	}
	for _, field := range []string{"matchConstraints", "matchResources"} {
		match, ok := spec[field].(map[string]any)
		if !ok {
			continue
		}
		setDefault(match, "matchPolicy", "Equivalent")
		setDefault(match, "namespaceSelector", map[string]any{})
		setDefault(match, "objectSelector", map[string]any{})
		for _, rule := range append(mapsIn(match["resourceRules"]), mapsIn(match["excludeResourceRules"])...) {
			setDefault(rule, "scope", "*")
		}
	}
}

func defaultRBAC(u *unstructured.Unstructured) {
	const group = "rbac.authorization.k8s.io"
	if ref, ok := u.Object["roleRef"].(map[string]any); ok {
		setDefault(ref, "apiGroup", group)
	}
	for _, subject := range mapsIn(u.Object["subjects"]) {
		if subject["kind"] == "User" || subject["kind"] == "Group" {
			setDefault(subject, "apiGroup", group)
		}
	}
}

// defaultPorts is for a NetworkPolicy, whose rules are applied as a whole.
func defaultPorts(policy *unstructured.Unstructured) {
	spec, _ := policy.Object["spec"].(map[string]any)
	for _, rule := range append(mapsIn(spec["ingress"]), mapsIn(spec["egress"])...) {
		for _, port := range mapsIn(rule["ports"]) {
			setDefault(port, "protocol", "TCP")
		}
	}
}

// setDefault sets m[field] when it is absent; a nil m stays so.
func setDefault(m map[string]any, field string, v any) {
	if _, ok := m[field]; !ok && m != nil {
		m[field] = v
	}
}
