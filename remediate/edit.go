package remediate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	fdiff "github.com/go-git/go-git/v5/plumbing/format/diff"
	"github.com/go-git/go-git/v5/utils/diff"

	"github.com/cloudcwfranck/kspec"
)

// newEdit makes an edit with its diff. The diff does not show values of
// Secrets and the like.
func newEdit(name string, before, after []byte) kspec.Edit {
	return kspec.Edit{Path: name, Before: before, After: after, Diff: unified(name, redactFile(before), redactFile(after))}
}

func sortEdits(edits []kspec.Edit) {
	slices.SortFunc(edits, func(a, b kspec.Edit) int { return strings.Compare(a.Path, b.Path) })
}

// contentOf identifies what edits do: the SHA-256, in hex, of every path with
// what it held before and what it holds after.
func contentOf(edits []kspec.Edit) string {
	h := sha256.New()
	for _, e := range edits {
		fmt.Fprintf(h, "%q %s %s\n", e.Path, blobID(e.Before), blobID(e.After))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// blobID is the name of the content in Git, or zeros for no file.
func blobID(content []byte) plumbing.Hash {
	if content == nil {
		return plumbing.ZeroHash
	}
	return plumbing.ComputeHash(plumbing.BlobObject, content)
}

// unified returns the change of one file as "git diff" writes it.
func unified(name string, before, after []byte) string {
	var b strings.Builder
	enc := fdiff.NewUnifiedEncoder(&b, fdiff.DefaultContextLines)
	_ = enc.Encode(filePatch{name, before, after}) // a strings.Builder does not fail
	return b.String()
}

// filePatch is the change of one file, as the encoder of go-git wants it.
type filePatch struct {
	name          string
	before, after []byte
}

func (p filePatch) FilePatches() []fdiff.FilePatch { return []fdiff.FilePatch{p} }
func (p filePatch) Message() string                { return "" }
func (p filePatch) IsBinary() bool {
	return bytes.IndexByte(p.before, 0) >= 0 || bytes.IndexByte(p.after, 0) >= 0
}

func (p filePatch) Files() (from, to fdiff.File) {
	if p.before != nil {
		from = diffFile{p.name, p.before}
	}
	if p.after != nil {
		to = diffFile{p.name, p.after}
	}
	return from, to
}

func (p filePatch) Chunks() []fdiff.Chunk {
	var chunks []fdiff.Chunk
	for _, d := range diff.Do(string(p.before), string(p.after)) {
		op := map[int8]fdiff.Operation{-1: fdiff.Delete, 0: fdiff.Equal, 1: fdiff.Add}[int8(d.Type)]
		chunks = append(chunks, chunk{d.Text, op})
	}
	return chunks
}

type diffFile struct {
	name    string
	content []byte
}

func (f diffFile) Hash() plumbing.Hash     { return blobID(f.content) }
func (f diffFile) Mode() filemode.FileMode { return filemode.Regular }
func (f diffFile) Path() string            { return f.name }

type chunk struct {
	text string
	op   fdiff.Operation
}

func (c chunk) Content() string       { return c.text }
func (c chunk) Type() fdiff.Operation { return c.op }

// overlayFS is a file system with some files replaced, added or, where the
// content is nil, taken away.
type overlayFS struct {
	fs.FS
	files map[string][]byte
}

// Open implements [fs.FS].
func (o overlayFS) Open(name string) (fs.File, error) {
	if content, ok := o.files[name]; ok {
		if content == nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return &memFile{Reader: bytes.NewReader(content), info: memInfo{path.Base(name), int64(len(content))}}, nil
	}
	f, err := o.FS.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || !info.IsDir() {
		return f, err
	}
	entries, err := o.entries(name)
	return &memDir{File: f, entries: entries}, errors.Join(err)
}

// Hash returns the name that the tree gives the content of a file, so that what
// was built of it is known again, and false for what is not as in the tree.
func (o overlayFS) Hash(name string) (string, bool) {
	tree, ok := o.FS.(interface {
		Hash(name string) (string, bool)
	})
	if _, changed := o.files[name]; changed || !ok {
		return "", false
	}
	return tree.Hash(name)
}

// ReadDir implements [fs.ReadDirFS].
func (o overlayFS) ReadDir(name string) ([]fs.DirEntry, error) { return o.entries(name) }

func (o overlayFS) entries(dir string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(o.FS, dir)
	if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(slices.Clone(entries), func(e fs.DirEntry) bool {
		_, ok := o.files[path.Join(dir, e.Name())]
		return ok
	})
	for _, name := range slices.Sorted(maps.Keys(o.files)) {
		if content := o.files[name]; content != nil && path.Dir(name) == dir {
			entries = append(entries, fs.FileInfoToDirEntry(memInfo{path.Base(name), int64(len(content))}))
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

type memFile struct {
	*bytes.Reader
	info memInfo
}

func (f *memFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *memFile) Close() error               { return nil }

type memDir struct {
	fs.File
	entries []fs.DirEntry
}

// ReadDir implements [fs.ReadDirFile].
func (d *memDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		all := d.entries
		d.entries = nil
		return all, nil
	}
	if len(d.entries) == 0 {
		return nil, io.EOF
	}
	some := d.entries[:min(n, len(d.entries))]
	d.entries = d.entries[len(some):]
	return some, nil
}

type memInfo struct {
	name string
	size int64
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return 0o644 }
func (i memInfo) ModTime() time.Time { return time.Time{} }
func (i memInfo) IsDir() bool        { return false }
func (i memInfo) Sys() any           { return nil }
