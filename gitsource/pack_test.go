package gitsource

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"github.com/cloudcwfranck/kspec/internal/pack/packtest"
)

func TestPacksAreMeasuredByTheLimits(t *testing.T) {
	limits := Limits{Files: 2, ObjectBytes: 1000, TreeBytes: 2000, PackBytes: 1 << 20}
	room := limits.TreeBytes + int64(limits.Files)*bytesPerEntry
	tests := []struct {
		name  string
		pack  []byte
		limit string // empty when the pack is fine
	}{
		{"an object at the limit", packtest.Pack(packtest.Blob(1000)), ""},
		{"an object beyond it", packtest.Pack(packtest.Blob(1001)), "ObjectBytes"},
		{"the sum at the limit", packtest.Pack(packtest.Blob(1000), packtest.Blob(1000), packtest.Blob(int(room-2000))), ""},
		{"the sum beyond it", packtest.Pack(packtest.Blob(1000), packtest.Blob(1000), packtest.Blob(int(room-1999))), "TreeBytes"},
		{"as many objects as there may be", packtest.Pack(slices.Repeat([]packtest.Object{packtest.Blob(1)}, maxCommits+2)...), ""},
		{"more than that", packtest.Count(packtest.Pack(packtest.Blob(1)), maxCommits+3), "Files"},
		{"a pack beyond its size", make([]byte, 1<<20+1), "PackBytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readPack(t.Context(), bytes.NewReader(tt.pack), limits)
			if tt.limit == "" && err != nil || tt.limit != "" && !isLimit(err, tt.limit) {
				t.Errorf("got %v, want a LimitError of %q", err, tt.limit)
			}
		})
	}
}

func TestUnpackingRefusesWhatIsNotAsAnnounced(t *testing.T) {
	for name, p := range map[string][]byte{
		"more content": packtest.Pack(packtest.Object{Kind: 3, Announced: 10, Data: make([]byte, 1<<20)}),
		"cut off":      packtest.Pack(packtest.Object{Kind: 3, Announced: 500, Data: make([]byte, 500)})[:20],
		"no base":      packtest.Pack(packtest.Object{Kind: 6, Back: 3, Announced: 2, Data: []byte{1, 1}}),
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

// FuzzPack makes sure that no pack crashes the reader or gets round the limits.
func FuzzPack(f *testing.F) {
	f.Add(packtest.Pack(packtest.Object{Kind: 3, Announced: 5, Data: []byte("hello")}))
	f.Add(packtest.Pack(packtest.Object{Kind: 3, Announced: 1, Data: []byte("x")}, packtest.Delta(1, 1<<40)))
	f.Add(packtest.Pack(packtest.Object{Kind: 2, Announced: 5, Data: []byte("100 x")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		limits := Limits{Files: 100, ObjectBytes: 1 << 16, TreeBytes: 1 << 18, PackBytes: 1 << 16, Depth: 8, FileBytes: 1 << 16}
		if _, err := readPack(t.Context(), bytes.NewReader(b), limits); err != nil {
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
