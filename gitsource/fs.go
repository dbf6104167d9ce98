package gitsource

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// The reasons for which an entry is listed but cannot be opened.
var (
	ErrSymlink   = errors.New("symbolic links are not followed")
	ErrSubmodule = errors.New("submodules are not fetched")
	ErrName      = errors.New("the name is too long or holds control characters")
)

// treeFS is the fs.FS of a Tree: a list of entries that was made once, and the
// place where contents are read from. It is immutable and safe for concurrent
// use.
type treeFS struct {
	nodes     map[string]*node // by path, "." is the root of the repository
	root      string           // the folder that is shown, "" for all of it
	time      time.Time
	fileBytes int64
	read      func(path string, n *node) ([]byte, error)
}

var (
	_ fs.ReadDirFS  = (*treeFS)(nil)
	_ fs.ReadFileFS = (*treeFS)(nil)
	_ fs.StatFS     = (*treeFS)(nil)
	_ fs.SubFS      = (*treeFS)(nil)
)

// node is an entry of a tree.
type node struct {
	name     string
	mode     fs.FileMode
	size     int64
	hash     plumbing.Hash
	refused  error
	children []*node // sorted by name
}

// find returns the entry at path, unless it must not be opened.
func (t *treeFS) find(op, path string) (*node, error) {
	if !fs.ValidPath(path) {
		return nil, pathError(op, path, fs.ErrInvalid)
	}
	n, ok := t.nodes[t.full(path)]
	if !ok {
		return nil, t.missing(op, path)
	}
	if n.refused != nil {
		return nil, pathError(op, path, n.refused)
	}
	return n, nil
}

// full returns a path as one from the root of the repository.
func (t *treeFS) full(path string) string {
	switch {
	case t.root == "":
		return path
	case path == ".":
		return t.root
	}
	return t.root + "/" + path
}

// Sub implements [fs.SubFS] by a tree that knows hashes, too.
func (t *treeFS) Sub(dir string) (fs.FS, error) {
	n, err := t.find("sub", dir)
	if err != nil {
		return nil, err
	}
	if !n.mode.IsDir() {
		return nil, pathError("sub", dir, errNoFolder)
	}
	below := *t
	if dir != "." {
		below.root = t.full(dir)
	}
	return &below, nil
}

// missing says why there is nothing at path: because a folder on the way was
// refused, or because there is nothing.
func (t *treeFS) missing(op, path string) error {
	for i, c := range path {
		if c != '/' {
			continue
		}
		if n, ok := t.nodes[t.full(path[:i])]; ok && n.refused != nil {
			return pathError(op, path, n.refused)
		}
	}
	return pathError(op, path, fs.ErrNotExist)
}

// Open implements [fs.FS].
func (t *treeFS) Open(path string) (fs.File, error) {
	n, err := t.find("open", path)
	if err != nil {
		return nil, err
	}
	if n.mode.IsDir() {
		return &folder{info: t.info(n), path: path, rest: t.entries(n)}, nil
	}
	content, err := t.content("open", path, n)
	if err != nil {
		return nil, err
	}
	return &file{info: t.info(n), Reader: bytes.NewReader(content)}, nil
}

// ReadFile implements [fs.ReadFileFS].
func (t *treeFS) ReadFile(path string) ([]byte, error) {
	n, err := t.find("read", path)
	if err != nil {
		return nil, err
	}
	if n.mode.IsDir() {
		return nil, pathError("read", path, errIsFolder)
	}
	return t.content("read", path, n)
}

// Stat implements [fs.StatFS].
func (t *treeFS) Stat(path string) (fs.FileInfo, error) {
	n, err := t.find("stat", path)
	if err != nil {
		return nil, err
	}
	return t.info(n), nil
}

// ReadDir implements [fs.ReadDirFS]. Entries that cannot be opened are listed
// with a mode that is neither regular nor a folder.
func (t *treeFS) ReadDir(path string) ([]fs.DirEntry, error) {
	n, err := t.find("readdir", path)
	if err != nil {
		return nil, err
	}
	if !n.mode.IsDir() {
		return nil, pathError("readdir", path, errNoFolder)
	}
	return t.entries(n), nil
}

// Hash returns the name that Git gives the content of the file at path, and
// false for what is no file of a commit. Reading it costs nothing, and files of
// equal hash have equal content.
func (t *treeFS) Hash(path string) (string, bool) {
	n, ok := t.nodes[t.full(path)]
	if !ok || n.refused != nil || !n.mode.IsRegular() || n.hash.IsZero() {
		return "", false
	}
	return n.hash.String(), true
}

var (
	errIsFolder = errors.New("is a folder")
	errNoFolder = errors.New("is not a folder")
)

func (t *treeFS) content(op, path string, n *node) ([]byte, error) {
	if n.size > t.fileBytes {
		return nil, pathError(op, path, &LimitError{Limit: "FileBytes", Max: t.fileBytes})
	}
	b, err := t.read(t.full(path), n)
	if err != nil {
		return nil, pathError(op, path, err)
	}
	return b, nil
}

func (t *treeFS) info(n *node) info { return info{n, t.time} }

func (t *treeFS) entries(n *node) []fs.DirEntry {
	list := make([]fs.DirEntry, len(n.children))
	for i, c := range n.children {
		list[i] = fs.FileInfoToDirEntry(t.info(c))
	}
	return list
}

// pathError is an [fs.PathError] that is safe to print.
func pathError(op, path string, err error) error {
	return &fs.PathError{Op: op, Path: printable(path), Err: err}
}

// info is the fs.FileInfo of a node. The time is the commit's for all of them.
type info struct {
	n    *node
	time time.Time
}

func (i info) Name() string       { return i.n.name }
func (i info) Size() int64        { return i.n.size }
func (i info) Mode() fs.FileMode  { return i.n.mode }
func (i info) ModTime() time.Time { return i.time }
func (i info) IsDir() bool        { return i.n.mode.IsDir() }
func (i info) Sys() any           { return nil }

// file is an open file.
type file struct {
	info
	*bytes.Reader
}

func (f *file) Size() int64                { return f.info.Size() }
func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *file) Close() error               { return nil }

// folder is an open folder.
type folder struct {
	info
	path string
	rest []fs.DirEntry
}

func (d *folder) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *folder) Close() error               { return nil }
func (d *folder) Read([]byte) (int, error)   { return 0, pathError("read", d.path, errIsFolder) }

// ReadDir implements [fs.ReadDirFile].
func (d *folder) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(d.rest)
	} else if len(d.rest) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.rest))
	list := d.rest[:n:n]
	d.rest = d.rest[n:]
	return list, nil
}

// builder collects the nodes of a tree and keeps its limits.
type builder struct {
	limits Limits
	nodes  map[string]*node
	root   *node
	bytes  int64
}

func newBuilder(l Limits) *builder {
	root := &node{name: ".", mode: fs.ModeDir | 0o555}
	return &builder{limits: l, nodes: map[string]*node{".": root}, root: root}
}

// join is path.Join without its cleaning.
func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

// add puts an entry below the folder at dir and returns its path. An error
// means that the tree as a whole is not acceptable.
func (b *builder) add(dir string, n *node) (string, error) {
	path := join(dir, n.name)
	if hostile(n.name) {
		return "", pathError("read", path, errHostile)
	}
	if _, twice := b.nodes[path]; twice {
		return "", pathError("read", path, errTwice)
	}
	if odd(n.name) {
		n.refused, n.mode = ErrName, fs.ModeIrregular
	}
	if n.mode.IsDir() && strings.Count(path, "/") >= b.limits.Depth {
		return "", &LimitError{Limit: "Depth", Max: int64(b.limits.Depth), Path: path}
	}
	parent := b.nodes[dir]
	parent.children = append(parent.children, n)
	return path, b.put(path, n)
}

// put counts an entry.
func (b *builder) put(path string, n *node) error {
	if len(b.nodes) > b.limits.Files {
		return &LimitError{Limit: "Files", Max: int64(b.limits.Files)}
	}
	if b.bytes += n.size; b.bytes > b.limits.TreeBytes {
		return &LimitError{Limit: "TreeBytes", Max: b.limits.TreeBytes}
	}
	b.nodes[path] = n
	return nil
}

// graft takes over all that lies below the folder n of another tree, which is
// shared and not changed.
func (b *builder) graft(path string, n *node) error {
	for _, c := range n.children {
		below := join(path, c.name)
		if err := b.put(below, c); err != nil {
			return err
		}
		if err := b.graft(below, c); err != nil {
			return err
		}
	}
	return nil
}

var (
	errHostile = errors.New("no entry may have this name")
	errTwice   = errors.New("two entries have this name")
)

// done puts the folder at dir, to which nothing is added any more, in order.
func (b *builder) done(dir string) {
	slices.SortFunc(b.nodes[dir].children, func(x, y *node) int { return strings.Compare(x.name, y.name) })
}

// fs returns the finished file system.
func (b *builder) fs(when time.Time, read func(string, *node) ([]byte, error)) *treeFS {
	return &treeFS{nodes: b.nodes, time: when, fileBytes: b.limits.FileBytes, read: read}
}
