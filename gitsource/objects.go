package gitsource

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// layer is the content of one pack, or the object store of a local clone. It
// is never written to once it is made. go-git's stores on disk cache without
// locking, so that all use of one goes through mu.
type layer struct {
	name string // of its folder, when it is on disk
	mu   sync.Mutex
	s    storer.EncodedObjectStorer
}

// chain is the object store of a commit: the layers that were fetched one
// after the other until it was complete, oldest first.
type chain []*layer

// object returns a copy of an object.
func (c chain) object(h plumbing.Hash, want plumbing.ObjectType) (*plumbing.MemoryObject, error) {
	copied := &plumbing.MemoryObject{}
	err := c.each(func(s storer.EncodedObjectStorer) error {
		o, err := s.EncodedObject(want, h)
		if err != nil {
			return err
		}
		r, err := o.Reader()
		if err != nil {
			return err
		}
		defer r.Close()
		copied.SetType(o.Type())
		_, err = io.Copy(copied, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", want, h, err)
	}
	return copied, nil
}

// read returns the content of a blob.
func (c chain) read(h plumbing.Hash) ([]byte, error) {
	o, err := c.object(h, plumbing.BlobObject)
	if err != nil {
		return nil, err
	}
	r, err := o.Reader()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// size returns the size of an object.
func (c chain) size(h plumbing.Hash) (n int64, err error) {
	err = c.each(func(s storer.EncodedObjectStorer) error {
		n, err = s.EncodedObjectSize(h)
		return err
	})
	if !errors.Is(err, plumbing.ErrObjectNotFound) {
		return n, err
	}
	// go-git does not look for sizes in a clone that this one borrows from.
	o, err := c.object(h, plumbing.BlobObject)
	if err != nil {
		return 0, err
	}
	return o.Size(), nil
}

// each calls f with the stores, newest first, until one has the object.
func (c chain) each(f func(storer.EncodedObjectStorer) error) error {
	for _, l := range slices.Backward(c) {
		err := l.use(f)
		if !errors.Is(err, plumbing.ErrObjectNotFound) {
			return err
		}
	}
	return plumbing.ErrObjectNotFound
}

func (l *layer) use(f func(storer.EncodedObjectStorer) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return f(l.s)
}

func (c chain) decode(h plumbing.Hash, t plumbing.ObjectType, into object.Object) error {
	o, err := c.object(h, t)
	if err != nil {
		return err
	}
	return into.Decode(o)
}

// snapshot is a complete commit, ready to be read.
type snapshot struct {
	commit  plumbing.Hash
	parents []plumbing.Hash
	chain   chain
	fs      *treeFS
}

// snapshot lists all that the commit holds and makes sure that it is there.
// Folders that base has as well are taken from it; its layers must be among
// those of c.
func (c chain) snapshot(h plumbing.Hash, l Limits, base *snapshot) (*snapshot, error) {
	var commit object.Commit
	if err := c.decode(h, plumbing.CommitObject, &commit); err != nil {
		return nil, err
	}
	w := walker{chain: c, builder: newBuilder(l)}
	if base != nil {
		w.base = base.fs.nodes
	}
	if err := w.walk(".", commit.TreeHash); err != nil {
		return nil, fmt.Errorf("commit %s: %w", h, err)
	}
	read := func(_ string, n *node) ([]byte, error) { return c.read(n.hash) }
	return &snapshot{h, commit.ParentHashes, c, w.fs(commit.Committer.When.UTC(), read)}, nil
}

// walker lists a tree.
type walker struct {
	chain
	*builder
	base map[string]*node
}

// walk adds what the tree h holds below the path dir.
func (w walker) walk(dir string, h plumbing.Hash) error {
	var tree object.Tree
	if err := w.decode(h, plumbing.TreeObject, &tree); err != nil {
		return err
	}
	for _, e := range tree.Entries {
		if err := w.entry(dir, e); err != nil {
			return err
		}
	}
	w.done(dir)
	return nil
}

func (w walker) entry(dir string, e object.TreeEntry) error {
	n, err := w.node(e)
	if err != nil {
		return pathError("read", join(dir, e.Name), err)
	}
	path, err := w.add(dir, n)
	if err != nil || !n.mode.IsDir() {
		return err
	}
	if same, ok := w.base[path]; ok && same.mode.IsDir() && same.hash == n.hash {
		n.children = same.children
		return w.graft(path, same)
	}
	return w.walk(path, e.Hash)
}

func (c chain) node(e object.TreeEntry) (n *node, err error) {
	n = &node{name: e.Name, hash: e.Hash}
	switch e.Mode {
	case filemode.Dir:
		n.mode = fs.ModeDir | 0o555
	case filemode.Symlink:
		n.mode, n.refused = fs.ModeSymlink|0o777, ErrSymlink
	case filemode.Submodule:
		n.mode, n.refused = fs.ModeIrregular, ErrSubmodule
	case filemode.Regular, filemode.Deprecated, filemode.Executable:
		n.mode = 0o444
		if e.Mode == filemode.Executable {
			n.mode = 0o555
		}
		n.size, err = c.size(e.Hash)
	default:
		err = fmt.Errorf("mode %s is not known", e.Mode)
	}
	return n, err
}
