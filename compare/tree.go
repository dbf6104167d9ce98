package compare

import (
	"slices"
	"strconv"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"github.com/cloudcwfranck/kspec"
)

// child returns the value that pe selects in v, and its index when v is a list.
func child(v any, pe fieldpath.PathElement) (found any, index int, ok bool) {
	switch {
	case pe.FieldName != nil:
		m, _ := v.(map[string]any)
		found, ok = m[*pe.FieldName]
		return found, -1, ok
	case pe.Index != nil:
		l, _ := v.([]any)
		if *pe.Index < 0 || *pe.Index >= len(l) {
			return nil, -1, false
		}
		return l[*pe.Index], *pe.Index, true
	}
	l, _ := v.([]any)
	index = slices.IndexFunc(l, func(item any) bool { return selects(pe, item) })
	if index < 0 {
		return nil, -1, false
	}
	return l[index], index, true
}

// selects reports whether the list item is the one that pe names.
func selects(pe fieldpath.PathElement, item any) bool {
	if pe.Value != nil {
		return same(item, (*pe.Value).Unstructured())
	}
	if pe.Key == nil {
		return false
	}
	for _, k := range *pe.Key {
		if got, ok := keyOf(item, k.Name); !ok || !same(got, k.Value.Unstructured()) {
			return false
		}
	}
	return true
}

// lookup follows path from root.
func lookup(root any, path fieldpath.Path) (any, bool) {
	for _, pe := range path {
		var ok bool
		if root, _, ok = child(root, pe); !ok {
			return nil, false
		}
	}
	return root, true
}

// pointer returns path with indexes in root instead of keys. What root does
// not hold keeps its keys.
func pointer(root any, path fieldpath.Path) kspec.Path {
	p := make(kspec.Path, 0, len(path))
	for _, pe := range path {
		next, index, ok := child(root, pe)
		root = next
		if ok && index >= 0 {
			p = append(p, kspec.Step{Field: strconv.Itoa(index)})
			continue
		}
		p = append(p, step(pe))
	}
	return p
}

// keyed returns path with the keys of list items.
func keyed(path fieldpath.Path) kspec.Path {
	p := make(kspec.Path, 0, len(path))
	for _, pe := range path {
		p = append(p, step(pe))
	}
	return p
}

func step(pe fieldpath.PathElement) kspec.Step {
	switch {
	case pe.FieldName != nil:
		return kspec.Step{Field: *pe.FieldName}
	case pe.Index != nil:
		return kspec.Step{Field: strconv.Itoa(*pe.Index)}
	case pe.Value != nil:
		return kspec.Step{Keys: []kspec.Key{{Value: text((*pe.Value).Unstructured())}}}
	}
	var s kspec.Step
	for _, k := range *pe.Key { // sorted by name
		s.Keys = append(s.Keys, kspec.Key{Name: k.Name, Value: text(k.Value.Unstructured())})
	}
	return s
}

// below returns path with pe added, sharing nothing with path.
func below(path fieldpath.Path, pe fieldpath.PathElement) fieldpath.Path {
	return append(slices.Clone(path), pe)
}

// elements returns what set holds directly, sorted and once each.
func elements(set *fieldpath.Set) []fieldpath.PathElement {
	all := slices.AppendSeq(slices.Collect(set.Members.All()), set.Children.All())
	slices.SortFunc(all, fieldpath.PathElement.Compare)
	return slices.CompactFunc(all, fieldpath.PathElement.Equals)
}

// under returns what set holds below pe, nil for nothing.
func under(set *fieldpath.Set, pe fieldpath.PathElement) *fieldpath.Set {
	if set == nil {
		return nil
	}
	sub, _ := set.Children.Get(pe)
	return sub
}

// holds reports whether set holds pe, or anything below it.
func holds(set *fieldpath.Set, pe fieldpath.PathElement) bool {
	return set != nil && (set.Members.Has(pe) || under(set, pe) != nil)
}

// same reports whether two JSON values are equal; 1 and 1.0 are.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			if w, ok := b[k]; !ok || !same(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case string:
		if b, ok := b.(string); ok {
			return a == b
		}
	case int64:
		if b, ok := b.(int64); ok {
			return a == b
		}
	}
	switch b.(type) {
	case map[string]any, []any:
		return false
	}
	return value.Equals(value.NewValueInterface(a), value.NewValueInterface(b))
}
