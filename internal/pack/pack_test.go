package pack_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"github.com/cloudcwfranck/kspec/internal/pack"
	"github.com/cloudcwfranck/kspec/internal/pack/packtest"
)

func TestReadRefusesWhatGoesBeyondALimit(t *testing.T) {
	honest := packtest.Pack(packtest.Blob(500))
	tests := []struct {
		name  string
		pack  []byte
		bytes int64
		limit string // empty when the pack is fine
	}{
		{"a pack at the limit", honest, int64(len(honest)), ""},
		{"a pack beyond it", honest, int64(len(honest)) - 1, "Bytes"},
		{"an object at the limit", packtest.Pack(packtest.Blob(1000)), 1 << 20, ""},
		{"an object beyond it", packtest.Pack(packtest.Blob(1001)), 1 << 20, "ObjectBytes"},
		{"one that announces gigabytes", packtest.Pack(packtest.Object{Kind: 3, Announced: 1 << 31, Data: make([]byte, 10)}), 1 << 20, "ObjectBytes"},
		{"the sum at the limit", packtest.Pack(packtest.Blob(1000), packtest.Blob(1000), packtest.Blob(1000)), 1 << 20, ""},
		{"the sum beyond it", packtest.Pack(packtest.Blob(1000), packtest.Blob(1000), packtest.Blob(1000), packtest.Blob(1)), 1 << 20, "TotalBytes"},
		{"a delta at the limit", packtest.Pack(packtest.Blob(1), packtest.Delta(1, 1000)), 1 << 20, ""},
		{"a delta that makes too much", packtest.Pack(packtest.Blob(1), packtest.Delta(1, 1001)), 1 << 20, "ObjectBytes"},
		{"a delta bomb", packtest.Pack(packtest.Blob(1), packtest.Delta(1, 1<<40)), 1 << 20, "ObjectBytes"},
		{"as many objects as there may be", packtest.Pack(packtest.Blob(1), packtest.Blob(1), packtest.Blob(1), packtest.Blob(1), packtest.Blob(1)), 1 << 20, ""},
		{"more than that", packtest.Count(packtest.Pack(packtest.Blob(1)), 6), 1 << 20, "Objects"},
		{"four billion objects", packtest.Count(packtest.Pack(packtest.Blob(1)), 1<<32-1), 1 << 20, "Objects"},
		{"more content than announced, in a delta", packtest.Pack(packtest.Blob(1), packtest.Object{Kind: 6, Back: 10, Announced: 2, Data: make([]byte, 5000)}), 1 << 20, "malformed"},
		{"a delta without sizes", packtest.Pack(packtest.Blob(1), packtest.Object{Kind: 6, Back: 10, Announced: 1, Data: []byte{0x80}}), 1 << 20, "malformed"},
		{"cut off", packtest.Pack(packtest.Blob(500), packtest.Blob(500))[:20], 1 << 20, "malformed"},
		{"empty", nil, 1 << 20, "malformed"},
		{"something else", []byte("<html>not a pack at all</html>"), 1 << 20, "malformed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			limits := pack.Limits{Bytes: tt.bytes, Objects: 5, ObjectBytes: 1000, TotalBytes: 3000}
			got, err := pack.Read(t.Context(), bytes.NewReader(tt.pack), limits)
			var beyond *pack.LimitError
			switch {
			case tt.limit == "" && (err != nil || !bytes.Equal(got, tt.pack)):
				t.Errorf("read %d bytes of %d, %v", len(got), len(tt.pack), err)
			case tt.limit == "malformed" && !errors.Is(err, packfile.ErrMalformedPackFile):
				t.Errorf("got %v, want a malformed pack", err)
			case tt.limit != "" && tt.limit != "malformed" && (!errors.As(err, &beyond) || beyond.Limit != tt.limit):
				t.Errorf("got %v, want a LimitError of %s", err, tt.limit)
			}
		})
	}
}

func TestReadStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	limits := pack.Limits{Bytes: 1 << 20, Objects: 5, ObjectBytes: 1000, TotalBytes: 3000}
	if _, err := pack.Read(ctx, bytes.NewReader(packtest.Pack(packtest.Blob(1))), limits); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
