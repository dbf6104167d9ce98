package render

import (
	"encoding/binary"
	"math"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
)

// made is one object as it was built or read, before a target adds to it.
type made struct {
	object *unstructured.Unstructured
	file   string
	line   int
	// body is the digest of the object.
	body kspec.Digest
}

// Objects are remembered as one string: a table of all different strings, and
// the objects, which name strings by their place in the table. Objects of one
// overlay share nearly all of theirs. Unpacking makes new maps and lists each
// time, so that nobody can change what is remembered, and copies no text.

// pack returns the objects in a form that is small.
func pack(objects []made) string {
	p := packer{places: map[string]uint64{}}
	p.uint(uint64(len(objects)))
	for _, o := range objects {
		p.text(o.file)
		p.uint(uint64(max(o.line, 0)))
		p.body = append(p.body, o.body[:]...)
		p.value(o.object.Object)
	}
	var out strings.Builder
	head := binary.AppendUvarint(nil, uint64(len(p.table)))
	for _, s := range p.table {
		head = append(binary.AppendUvarint(head, uint64(len(s))), s...)
	}
	out.Grow(len(head) + len(p.body))
	out.Write(head)
	out.Write(p.body)
	return out.String()
}

type packer struct {
	places map[string]uint64
	table  []string
	body   []byte
}

func (p *packer) uint(n uint64) { p.body = binary.AppendUvarint(p.body, n) }

func (p *packer) text(s string) {
	place, ok := p.places[s]
	if !ok {
		place = uint64(len(p.table))
		p.places[s] = place
		p.table = append(p.table, s)
	}
	p.uint(place)
}

// The letters before a value.
const (
	packedNull   = 'n'
	packedFalse  = 'f'
	packedTrue   = 't'
	packedText   = 's'
	packedInt    = 'i'
	packedFloat  = 'd'
	packedList   = 'l'
	packedObject = 'm'
)

// value packs what [decodeObject] makes.
func (p *packer) value(v any) {
	tag := func(letter byte) { p.body = append(p.body, letter) }
	switch v := v.(type) {
	case bool:
		if v {
			tag(packedTrue)
		} else {
			tag(packedFalse)
		}
	case string:
		tag(packedText)
		p.text(v)
	case int64:
		tag(packedInt)
		p.body = binary.AppendVarint(p.body, v)
	case float64:
		tag(packedFloat)
		p.body = binary.LittleEndian.AppendUint64(p.body, math.Float64bits(v))
	case []any:
		tag(packedList)
		p.uint(uint64(len(v)))
		for _, item := range v {
			p.value(item)
		}
	case map[string]any:
		tag(packedObject)
		p.uint(uint64(len(v)))
		for key, item := range v {
			p.text(key)
			p.value(item)
		}
	default:
		tag(packedNull)
	}
}

// unpack returns new objects of what pack made.
func unpack(packed string) []made {
	u := unpacker{rest: packed}
	u.table = make([]any, u.uint())
	for i := range u.table {
		u.table[i] = u.take(u.uint())
	}
	objects := make([]made, u.uint())
	for i := range objects {
		o := &objects[i]
		o.file, o.line = u.text(), int(u.uint())
		copy(o.body[:], u.take(uint64(len(o.body))))
		object, _ := u.value().(map[string]any)
		o.object = &unstructured.Unstructured{Object: object}
	}
	return objects
}

type unpacker struct {
	table []any // strings, as the values that they are going to be
	rest  string
}

func (u *unpacker) take(n uint64) string {
	s := u.rest[:n]
	u.rest = u.rest[n:]
	return s
}

func (u *unpacker) uint() (n uint64) {
	for i := 0; ; i++ {
		b := u.rest[i]
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			u.rest = u.rest[i+1:]
			return n
		}
	}
}

func (u *unpacker) text() string {
	s, _ := u.table[u.uint()].(string)
	return s
}

func (u *unpacker) value() any {
	switch u.take(1)[0] {
	case packedFalse:
		return false
	case packedTrue:
		return true
	case packedText:
		return u.table[u.uint()]
	case packedInt:
		n := u.uint()
		return int64(n>>1) ^ -int64(n&1) // as AppendVarint wrote it
	case packedFloat:
		return math.Float64frombits(binary.LittleEndian.Uint64([]byte(u.take(8))))
	case packedList:
		list := make([]any, u.uint())
		for i := range list {
			list[i] = u.value()
		}
		return list
	case packedObject:
		n := u.uint()
		object := make(map[string]any, n)
		for range n {
			key := u.text()
			object[key] = u.value()
		}
		return object
	default:
		return nil
	}
}
