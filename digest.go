package kspec

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The encoding below writes every value as a letter for its type, its length
// where it has one, and its content, the keys of a mapping in order. So no two
// different values have the same encoding.

// DigestOf returns the digest of an object: equal for objects that are equal
// in content, Source, FieldManager and Unit, and only for them.
func DigestOf(o Object) Digest { return DigestWith(o, BodyDigest(o.Unstructured)) }

// BodyDigest digests the content of an object, all but the namespace that it
// names: that is often known later than the rest, and costs little to add by
// [DigestWith].
func BodyDigest(u *unstructured.Unstructured) Digest {
	e := encoder{make([]byte, 0, 4096)}
	e.object(u)
	return e.sum()
}

// DigestWith is [DigestOf] for an object whose [BodyDigest] is known.
func DigestWith(o Object, body Digest) Digest {
	e := encoder{make([]byte, 0, 512)}
	e.b = append(e.b, body[:]...)
	ns, named := namespaceOf(o.Unstructured)
	e.value(named)
	for _, s := range []string{
		ns, o.Source.File, o.Source.Overlay, o.Source.Template, o.FieldManager,
		o.Unit.Namespace, o.Unit.Name,
	} {
		e.text(s)
	}
	e.number('i', int64(o.Source.Line))
	return e.sum()
}

// namespaceOf returns the namespace that an object names, and whether it names
// one, be it empty.
func namespaceOf(u *unstructured.Unstructured) (string, bool) {
	meta, _ := u.Object["metadata"].(map[string]any)
	ns, named := meta["namespace"].(string)
	return ns, named
}

type encoder struct{ b []byte }

func (e *encoder) sum() (d Digest) {
	sum := sha256.Sum256(e.b)
	copy(d[:], sum[:])
	return d
}

// object encodes u without the namespace that it names.
func (e *encoder) object(u *unstructured.Unstructured) {
	skip := ""
	if _, named := namespaceOf(u); named {
		skip = "namespace"
	}
	e.mapping(u.Object, "", func(key string, v any) {
		if meta, ok := v.(map[string]any); ok && key == "metadata" {
			e.mapping(meta, skip, func(_ string, v any) { e.value(v) })
		} else {
			e.value(v)
		}
	})
}

func (e *encoder) number(kind byte, n int64) {
	e.b = binary.AppendVarint(append(e.b, kind), n)
}

func (e *encoder) text(s string) {
	e.number('s', int64(len(s)))
	e.b = append(e.b, s...)
}

// mapping encodes all of m but the key to skip, each value by the function.
func (e *encoder) mapping(m map[string]any, skip string, value func(key string, v any)) {
	var few [16]string // most mappings fit, and cost no allocation
	keys := few[:0]
	for key := range m {
		if key != skip || skip == "" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	e.number('m', int64(len(keys)))
	for _, key := range keys {
		e.text(key)
		value(key, m[key])
	}
}

func (e *encoder) value(v any) {
	switch v := v.(type) {
	case nil:
		e.b = append(e.b, 'n')
	case bool:
		e.b = append(e.b, 'f')
		if v {
			e.b[len(e.b)-1] = 't'
		}
	case string:
		e.text(v)
	case int64:
		e.number('i', v)
	case float64:
		e.number('d', int64(math.Float64bits(v))) // the bits, not the number
	case []any:
		e.number('l', int64(len(v)))
		for _, item := range v {
			e.value(item)
		}
	case map[string]any:
		e.mapping(v, "", func(_ string, v any) { e.value(v) })
	default: // of no decoder, but of code that makes objects
		e.b = append(e.b, 'x')
		e.text(fmt.Sprintf("%T %#v", v, v))
	}
}
