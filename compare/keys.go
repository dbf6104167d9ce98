package compare

import (
	"strconv"
	"strings"
)

// This file is about the keys by which the items of a list are told apart.

// keyNames returns the names of the keys that tell the items of a list apart,
// none for a set of plain values. It returns false for a node that is neither.
func keyNames(node claims) (names []string, ok bool) {
	for key := range node {
		switch {
		case key == ".":
		case strings.HasPrefix(key, "v:"):
			return nil, true
		case strings.HasPrefix(key, "k:"):
			return namesIn(key[len("k:"):])
		default:
			return nil, false
		}
	}
	return nil, false
}

// namesIn returns the names in a JSON object of plain values, if it is written
// plainly.
func namesIn(object string) (names []string, ok bool) {
	rest, ok := strings.CutPrefix(object, "{")
	for ok {
		var name string
		if name, rest, ok = strings.Cut(strings.TrimPrefix(rest, `"`), `":`); !ok {
			break
		}
		names = append(names, name)
		if strings.HasPrefix(rest, `"`) {
			_, rest, ok = strings.Cut(rest[1:], `"`)
		} else if i := strings.IndexAny(rest, ",}"); i >= 0 {
			rest = rest[i:]
		}
		if rest == "}" {
			return names, ok && !strings.Contains(object, `\`)
		}
		if rest, ok = strings.CutPrefix(rest, ","); !ok {
			break
		}
	}
	return nil, false
}

// appendKey writes how managedFields name an item of a list: by the keys, or by
// its value when there are none.
func appendKey(b []byte, names []string, item any) (_ []byte, ok bool) {
	if names == nil {
		return appendPlain(append(b, "v:"...), item)
	}
	b = append(b, "k:{"...)
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		v, there := keyOf(item, name)
		if b, ok = appendPlain(b, name); !there || !ok {
			return b, false
		}
		if b, ok = appendPlain(append(b, ':'), v); !ok {
			return b, false
		}
	}
	return append(b, '}'), true
}

// appendPlain writes v as JSON, if everyone writes it the same way.
func appendPlain(b []byte, v any) (_ []byte, ok bool) {
	switch v := v.(type) {
	case string:
		for i := range len(v) {
			if c := v[i]; c < ' ' || c > '~' || strings.IndexByte(`"\<>&`, c) >= 0 {
				return b, false
			}
		}
		return append(append(append(b, '"'), v...), '"'), true
	case int64:
		return strconv.AppendInt(b, v, 10), true
	case float64:
		if v == float64(int32(v)) {
			return strconv.AppendInt(b, int64(v), 10), true
		}
	case bool:
		return strconv.AppendBool(b, v), true
	}
	return b, false
}

// keyOf returns the key of that name of an item, or what the server puts there.
func keyOf(item any, name string) (v any, ok bool) {
	m, isMap := item.(map[string]any)
	if v, ok = m[name]; !ok && isMap {
		v, ok = keyDefault(name)
	}
	return v, ok
}

// only returns the one item of the list that has the same keys as item.
func only(list []any, names []string, item any) (found any, ok bool) {
	for _, other := range list {
		if !sameKeys(names, item, other) {
			continue
		}
		if ok {
			return nil, false
		}
		found, ok = other, true
	}
	return found, ok
}

func sameKeys(names []string, a, b any) bool {
	if names == nil {
		return same(a, b)
	}
	for _, name := range names {
		v, inA := keyOf(a, name)
		w, inB := keyOf(b, name)
		if !inA || !inB || !same(v, w) {
			return false
		}
	}
	return true
}

// keyDefault is what the API server puts for a list key that Git leaves out.
func keyDefault(name string) (any, bool) {
	if name == "protocol" { // ports of containers and Services
		return "TCP", true
	}
	return nil, false
}
