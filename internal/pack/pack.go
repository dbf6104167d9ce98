// Package pack reads Git packs of servers that are not trusted. A pack is read
// whole before anything is unpacked, and looked through for what it would
// unpack to: a few bytes of zlib or of delta can stand for gigabytes, and
// go-git unpacks whatever a pack announces.
package pack

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// Limits bound what a pack may cost. All are required.
type Limits struct {
	// Bytes is the size of the pack as the server sends it.
	Bytes int64
	// Objects is how many objects it may hold.
	Objects int64
	// ObjectBytes is the size that one object may unpack to, TotalBytes the
	// sum over all of them.
	ObjectBytes, TotalBytes int64
}

// LimitError says which of the [Limits] a pack goes beyond.
type LimitError struct {
	// Limit is the name of the field of [Limits].
	Limit string
	Max   int64
}

// Error implements error.
func (e *LimitError) Error() string {
	return fmt.Sprintf("the pack has more than %d (limit %s)", e.Max, e.Limit)
}

// Read reads a pack and makes sure that unpacking it stays within the limits.
// It fails with a [*LimitError], or an error that wraps
// [packfile.ErrMalformedPackFile] for what is no pack.
func Read(ctx context.Context, r io.Reader, l Limits) ([]byte, error) {
	var b bytes.Buffer
	if _, err := io.Copy(&b, io.LimitReader(r, l.Bytes+1)); err != nil {
		return nil, err
	}
	if int64(b.Len()) > l.Bytes {
		return nil, &LimitError{"Bytes", l.Bytes}
	}
	return b.Bytes(), check(ctx, b.Bytes(), l)
}

func check(ctx context.Context, pack []byte, l Limits) error {
	s := packfile.NewScanner(bytes.NewReader(pack))
	_, count, err := s.Header()
	if err != nil {
		return Malformed(err)
	}
	if int64(count) > l.Objects {
		return &LimitError{"Objects", l.Objects}
	}
	total := int64(0)
	for range count {
		if err := ctx.Err(); err != nil {
			return err
		}
		size, err := nextSize(s)
		if err != nil {
			return Malformed(err)
		}
		if size > l.ObjectBytes {
			return &LimitError{"ObjectBytes", l.ObjectBytes}
		}
		if total += size; total > l.TotalBytes {
			return &LimitError{"TotalBytes", l.TotalBytes}
		}
	}
	return nil
}

// nextSize returns the size that the next object announces. The unpacker
// refuses objects that turn out bigger.
func nextSize(s *packfile.Scanner) (int64, error) {
	h, err := s.NextObjectHeader()
	if err != nil {
		return 0, err
	}
	if !h.Type.IsDelta() {
		return h.Length, nil
	}
	var d deltaHeader
	if _, _, err := s.NextObject(&d); err != nil {
		return 0, err
	}
	_, n := binary.Uvarint(d.b)
	size, m := binary.Uvarint(d.b[max(n, 0):])
	if n <= 0 || m <= 0 || size > 1<<62 {
		return 0, errors.New("delta without sizes")
	}
	return max(int64(size), h.Length), nil
}

// deltaHeader keeps the first bytes of a delta, which hold the sizes of what
// it applies to and of what comes out, as little-endian base 128 numbers.
type deltaHeader struct{ b []byte }

// Write implements [io.Writer] and never fails.
func (d *deltaHeader) Write(p []byte) (int, error) {
	const most = 2 * binary.MaxVarintLen64
	d.b = append(d.b, p[:min(len(p), most-len(d.b))]...)
	return len(p), nil
}

// Malformed returns err as one that wraps [packfile.ErrMalformedPackFile].
func Malformed(err error) error {
	if errors.Is(err, packfile.ErrMalformedPackFile) {
		return err
	}
	return fmt.Errorf("%w: %w", packfile.ErrMalformedPackFile, err)
}
