package gitsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/cloudcwfranck/kspec/internal/pack"
)

// bytesPerEntry is what one entry of a tree object takes at most.
const bytesPerEntry = maxName + 32

// readPack reads a pack that can be unpacked within the limits.
func readPack(ctx context.Context, r io.Reader, l Limits) ([]byte, error) {
	b, err := pack.Read(ctx, r, pack.Limits{
		Bytes: l.PackBytes,
		// Each entry has one object at most; a root tree, commits and tags
		// come on top.
		Objects:     int64(l.Files) + maxCommits,
		ObjectBytes: l.ObjectBytes,
		TotalBytes:  l.TreeBytes + int64(l.Files)*bytesPerEntry,
	})
	var beyond *pack.LimitError
	if !errors.As(err, &beyond) {
		return b, err
	}
	switch beyond.Limit {
	case "Bytes":
		return nil, &LimitError{Limit: "PackBytes", Max: l.PackBytes}
	case "Objects":
		return nil, &LimitError{Limit: "Files", Max: int64(l.Files)}
	case "TotalBytes":
		return nil, &LimitError{Limit: "TreeBytes", Max: l.TreeBytes}
	default:
		return nil, &LimitError{Limit: beyond.Limit, Max: beyond.Max}
	}
}

// unpack returns the objects of a pack, under the names that their contents
// give them.
func unpack(content []byte, base chain) (*memory.Storage, error) {
	m := memory.NewStorage()
	p, err := packfile.NewParserWithStorage(packfile.NewScanner(bytes.NewReader(content)), onTop{m, base})
	if err != nil {
		return nil, err
	}
	if _, err := p.Parse(); err != nil {
		return nil, pack.Malformed(err)
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
func standalone(content []byte, base chain) ([]byte, error) {
	m, err := unpack(content, base)
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
