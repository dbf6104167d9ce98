package gitsource

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

func TestPackBytesIsTheLastSizeThatIsRead(t *testing.T) {
	for size, ok := range map[int]bool{99: true, 100: true, 101: false} {
		b, err := readPack(strings.NewReader(strings.Repeat("x", size)), Limits{PackBytes: 100})
		if (err == nil) != ok || ok && len(b) != size {
			t.Errorf("%d bytes of 100: read %d, %v", size, len(b), err)
		}
		if !ok && !isLimit(err, "PackBytes") {
			t.Errorf("%v is no LimitError", err)
		}
	}
}

func TestPacksAreMeasuredBeforeTheyAreUnpacked(t *testing.T) {
	limits := Limits{Files: 2, ObjectBytes: 1000, TreeBytes: 2000}
	room := limits.TreeBytes + int64(limits.Files)*bytesPerEntry
	blob := func(size int) packed { return packed{kind: 3, announced: int64(size), data: make([]byte, size)} }
	tests := []struct {
		name  string
		pack  []byte
		limit string // empty when the pack is fine
	}{
		{"an object at the limit", pack(blob(1000)), ""},
		{"an object beyond it", pack(blob(1001)), "ObjectBytes"},
		{"one that announces gigabytes", pack(packed{kind: 3, announced: 1 << 31, data: make([]byte, 10)}), "ObjectBytes"},
		{"the sum at the limit", pack(blob(1000), blob(1000), blob(int(room-2000))), ""},
		{"the sum beyond it", pack(blob(1000), blob(1000), blob(int(room-1999))), "TreeBytes"},
		{"a delta at the limit", pack(blob(1), delta(1, 1000)), ""},
		{"a delta that makes too much", pack(blob(1), delta(1, 1001)), "ObjectBytes"},
		{"a delta bomb", pack(blob(1), delta(1, 1<<40)), "ObjectBytes"},
		{"as many objects as there may be", pack(slices.Repeat([]packed{blob(1)}, maxCommits+2)...), ""},
		{"more than that", count(pack(blob(1)), maxCommits+3), "Files"},
		{"four billion objects", count(pack(blob(1)), 1<<32-1), "Files"},
		{"more content than announced, in a delta", pack(blob(1), packed{kind: 6, back: 10, announced: 2, data: make([]byte, 5000)}), "malformed"},
		{"a delta without sizes", pack(blob(1), packed{kind: 6, back: 10, announced: 1, data: []byte{0x80}}), "malformed"},
		{"cut off", pack(blob(500), blob(500))[:20], "malformed"},
		{"empty", nil, "malformed"},
		{"something else", []byte("<html>not a pack at all</html>"), "malformed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := checkPack(t.Context(), tt.pack, limits)
			switch tt.limit {
			case "":
				if err != nil {
					t.Error(err)
				}
			case "malformed":
				if !errors.Is(err, packfile.ErrMalformedPackFile) {
					t.Errorf("got %v, want a malformed pack", err)
				}
			default:
				if !isLimit(err, tt.limit) {
					t.Errorf("got %v, want a LimitError of %s", err, tt.limit)
				}
			}
		})
	}
}

func TestMeasuringAPackStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := checkPack(ctx, pack(packed{kind: 3, announced: 1, data: []byte("x")}), Limits{}.withDefaults())
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestUnpackingRefusesWhatIsNotAsAnnounced(t *testing.T) {
	for name, p := range map[string][]byte{
		"more content": pack(packed{kind: 3, announced: 10, data: make([]byte, 1<<20)}),
		"cut off":      pack(packed{kind: 3, announced: 500, data: make([]byte, 500)})[:20],
		"no base":      pack(packed{kind: 6, back: 3, announced: 2, data: []byte{1, 1}}),
	} {
		if _, err := unpack(p, nil); !errors.Is(err, packfile.ErrMalformedPackFile) {
			t.Errorf("%s: got %v, want a malformed pack", name, err)
		}
	}
}

func isLimit(err error, name string) bool {
	var l *LimitError
	return errors.As(err, &l) && l.Limit == name
}

// packed is one entry of a pack that need not be honest.
type packed struct {
	kind      byte
	back      byte // how far before it the base of a delta begins
	announced int64
	data      []byte
}

// delta is one against the blob before it that copies or inserts nothing and
// announces these sizes.
func delta(from, to uint64) packed {
	b := binary.AppendUvarint(binary.AppendUvarint(nil, from), to)
	return packed{kind: 6, back: 10, announced: int64(len(b)), data: b}
}

func pack(objects ...packed) []byte {
	b := []byte("PACK\x00\x00\x00\x02")
	b = binary.BigEndian.AppendUint32(b, uint32(len(objects)))
	for _, o := range objects {
		n := o.announced
		c := o.kind<<4 | byte(n&15)
		for n >>= 4; n > 0; n >>= 7 {
			b = append(b, c|0x80)
			c = byte(n & 0x7f)
		}
		b = append(b, c)
		if o.kind == 6 {
			b = append(b, o.back)
		}
		var z bytes.Buffer
		w := zlib.NewWriter(&z)
		_, _ = w.Write(o.data)
		_ = w.Close()
		b = append(b, z.Bytes()...)
	}
	sum := sha1.Sum(b)
	return append(b, sum[:]...)
}

// count overwrites the number of objects in the header of a pack.
func count(pack []byte, n uint32) []byte {
	binary.BigEndian.PutUint32(pack[8:], n)
	return pack
}

// FuzzPack makes sure that no pack crashes the reader or gets round the limits.
func FuzzPack(f *testing.F) {
	f.Add(pack(packed{kind: 3, announced: 5, data: []byte("hello")}))
	f.Add(pack(packed{kind: 3, announced: 1, data: []byte("x")}, delta(1, 1<<40)))
	f.Add(pack(packed{kind: 2, announced: 5, data: []byte("100 x")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		limits := Limits{Files: 100, ObjectBytes: 1 << 16, TreeBytes: 1 << 18, PackBytes: 1 << 16, Depth: 8, FileBytes: 1 << 16}
		if checkPack(t.Context(), b, limits) != nil {
			return
		}
		m, err := unpack(b, nil)
		if err != nil {
			return
		}
		for h, o := range m.Objects {
			if o.Size() > limits.ObjectBytes {
				t.Errorf("object of %d bytes", o.Size())
			}
			_, _ = chain{{s: m}}.snapshot(h, limits, nil)
		}
	})
}
