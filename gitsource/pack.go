package gitsource

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/memory"
)

// A pack is read whole before anything is unpacked, and looked through for
// what it would unpack to: a few bytes of zlib or of delta can stand for
// gigabytes, and go-git unpacks whatever the pack announces.

// bytesPerEntry is what one entry of a tree object takes at most.
const bytesPerEntry = maxName + 32

// readPack reads a pack up to its limit.
func readPack(r io.Reader, l Limits) ([]byte, error) {
	var b bytes.Buffer
	if _, err := io.Copy(&b, io.LimitReader(r, l.PackBytes+1)); err != nil {
		return nil, err
	}
	if int64(b.Len()) > l.PackBytes {
		return nil, &LimitError{Limit: "PackBytes", Max: l.PackBytes}
	}
	return b.Bytes(), nil
}

// checkPack makes sure that unpacking stays within the limits.
func checkPack(ctx context.Context, pack []byte, l Limits) error {
	s := packfile.NewScanner(bytes.NewReader(pack))
	_, count, err := s.Header()
	if err != nil {
		return malformed(err)
	}
	// Each entry has one object at most; a root tree, commits and tags come on top.
	if int64(count) > int64(l.Files)+maxCommits {
		return &LimitError{Limit: "Files", Max: int64(l.Files)}
	}
	total, most := int64(0), l.TreeBytes+int64(l.Files)*bytesPerEntry
	for range count {
		if err := ctx.Err(); err != nil {
			return err
		}
		size, err := nextSize(s)
		if err != nil {
			return malformed(err)
		}
		if size > l.ObjectBytes {
			return &LimitError{Limit: "ObjectBytes", Max: l.ObjectBytes}
		}
		if total += size; total > most {
			return &LimitError{Limit: "TreeBytes", Max: l.TreeBytes}
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

func malformed(err error) error {
	if errors.Is(err, packfile.ErrMalformedPackFile) {
		return err
	}
	return fmt.Errorf("%w: %w", packfile.ErrMalformedPackFile, err)
}

// unpack returns the objects of a pack, under the names that their contents
// give them.
func unpack(pack []byte, base chain) (*memory.Storage, error) {
	m := memory.NewStorage()
	p, err := packfile.NewParserWithStorage(packfile.NewScanner(bytes.NewReader(pack)), onTop{m, base})
	if err != nil {
		return nil, err
	}
	if _, err := p.Parse(); err != nil {
		return nil, malformed(err)
	}
	return m, nil
}

// onTop stores what is new and finds what is in base as well.
type onTop struct {
	storer.EncodedObjectStorer
	base chain
}

// EncodedObject implements [storer.EncodedObjectStorer].
func (o onTop) EncodedObject(t plumbing.ObjectType, h plumbing.Hash) (plumbing.EncodedObject, error) {
	found, err := o.EncodedObjectStorer.EncodedObject(t, h)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return o.base.object(h, t)
	}
	return found, err
}

// standalone returns the pack with no difference to base left in it.
func standalone(pack []byte, base chain) ([]byte, error) {
	m, err := unpack(pack, base)
	if err != nil {
		return nil, err
	}
	var names []plumbing.Hash
	for h := range m.Objects {
		names = append(names, h)
	}
	plumbing.HashesSort(names)
	var b bytes.Buffer
	if _, err := packfile.NewEncoder(&b, m, false).Encode(names, 0); err != nil {
		return nil, fmt.Errorf("write pack: %w", err)
	}
	return b.Bytes(), nil
}
