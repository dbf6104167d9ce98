// Package packtest makes packs for tests that need not be honest.
package packtest

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
)

// Object is one entry of a pack.
type Object struct {
	// Kind is the type of object: 2 a tree, 3 a blob, 6 a delta by offset.
	Kind byte
	// Back is how far before it the base of a delta begins.
	Back byte
	// Announced is the size that the entry says to unpack to.
	Announced int64
	Data      []byte
}

// Blob returns an honest blob.
func Blob(size int) Object {
	return Object{Kind: 3, Announced: int64(size), Data: make([]byte, size)}
}

// Delta returns a delta against the blob before it, which copies and inserts
// nothing and announces these sizes.
func Delta(from, to uint64) Object {
	b := binary.AppendUvarint(binary.AppendUvarint(nil, from), to)
	return Object{Kind: 6, Back: 10, Announced: int64(len(b)), Data: b}
}

// Pack returns a pack of objects, with the right checksum.
func Pack(objects ...Object) []byte {
	b := []byte("PACK\x00\x00\x00\x02")
	b = binary.BigEndian.AppendUint32(b, uint32(len(objects)))
	for _, o := range objects {
		n := o.Announced
		c := o.Kind<<4 | byte(n&15)
		for n >>= 4; n > 0; n >>= 7 {
			b = append(b, c|0x80)
			c = byte(n & 0x7f)
		}
		b = append(b, c)
		if o.Kind == 6 {
			b = append(b, o.Back)
		}
		var z bytes.Buffer
		w := zlib.NewWriter(&z)
		_, _ = w.Write(o.Data)
		_ = w.Close()
		b = append(b, z.Bytes()...)
	}
	sum := sha1.Sum(b)
	return append(b, sum[:]...)
}

// Count overwrites the number of objects in the header of a pack.
func Count(pack []byte, n uint32) []byte {
	binary.BigEndian.PutUint32(pack[8:], n)
	return pack
}
