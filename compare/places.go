package compare

import (
	"maps"
	"slices"
	"strconv"

	"github.com/cloudcwfranck/kspec"
)

// This file matches the places that rules name with the places in objects. A
// step of a rule names the item of a list by its index, by its keys, or by some
// of them; so the steps here that lead to an item have both, Field and Keys.

// siteOf returns the place of a field; ok is false when nobody can name it.
func siteOf(f kspec.Field) (place kspec.Path, ok bool) {
	byIndex, errI := kspec.ParsePath(f.Path)
	byKey, errK := kspec.ParsePath(f.KeyedPath)
	if errI != nil || errK != nil || len(byIndex) != len(byKey) {
		return nil, false
	}
	for i := range byKey {
		byKey[i].Field = byIndex[i].Field
	}
	return byKey, true
}

// beyond returns what of the place that a rule names lies inside of place:
// nothing when the rule covers all of it. It is false when the two are apart.
func beyond(rule string, place kspec.Path) (rest kspec.Path, ok bool) {
	path, err := kspec.ParsePath(rule)
	if err != nil {
		return nil, false // refused when the ClusterSpec was read
	}
	n := min(len(path), len(place))
	if !slices.EqualFunc(path[:n], place[:n], agrees) {
		return nil, false
	}
	return path[n:], true
}

// agrees reports whether a step of a rule names the one of a place.
func agrees(rule, place kspec.Step) bool {
	if len(rule.Keys) == 0 {
		return rule.Field == place.Field
	}
	return !slices.ContainsFunc(rule.Keys, func(k kspec.Key) bool { return !slices.Contains(place.Keys, k) })
}

// itemStep is the step to an item of a list. Every plain field of the item is a
// key.
func itemStep(index int, item any) kspec.Step {
	s := kspec.Step{Field: strconv.Itoa(index)}
	m, ok := item.(map[string]any)
	if !ok {
		s.Keys = []kspec.Key{{Value: text(item)}}
		return s
	}
	for name, v := range m {
		switch v.(type) {
		case map[string]any, []any:
		default:
			s.Keys = append(s.Keys, kspec.Key{Name: name, Value: text(v)})
		}
	}
	if v, ok := keyDefault("protocol"); ok && m["protocol"] == nil {
		s.Keys = append(s.Keys, kspec.Key{Name: "protocol", Value: text(v)})
	}
	return s
}

// prune returns v without what path names in it, nil when nothing is left, and
// whether there was anything to cut. It changes nothing in v.
func prune(v any, path kspec.Path) (left any, found bool) {
	if len(path) == 0 {
		return nil, v != nil
	}
	switch v := v.(type) {
	case map[string]any:
		return pruneField(v, path)
	case []any:
		return pruneItems(v, path)
	}
	return v, false
}

func pruneField(m map[string]any, path kspec.Path) (left any, found bool) {
	name := path[0].Field
	inner, found := prune(m[name], path[1:])
	if len(path[0].Keys) > 0 || !found {
		return m, false
	}
	m = maps.Clone(m)
	if m[name] = inner; inner == nil {
		delete(m, name)
	}
	if len(m) == 0 {
		return nil, true
	}
	return m, true
}

func pruneItems(l []any, path kspec.Path) (left any, found bool) {
	var kept []any
	for i, item := range l {
		if agrees(path[0], itemStep(i, item)) {
			inner, ok := prune(item, path[1:])
			if ok && inner == nil {
				found = true
				continue
			}
			item, found = inner, found || ok
		}
		kept = append(kept, item)
	}
	switch {
	case !found:
		return l, false
	case len(kept) == 0:
		return nil, true
	}
	return kept, true
}
