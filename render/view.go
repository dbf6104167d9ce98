package render

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// view reads one tree, within the limits, and remembers what it saw. A file has
// the same bytes however often it is read. Several may read at once.
type view struct {
	fsys fs.FS
	lim  Limits

	mu    sync.Mutex
	files map[string][]byte
	total int64
	// looks are all that was asked of the tree, and the answers.
	looks map[string]string
}

func newView(fsys fs.FS, lim Limits) *view {
	return &view{fsys: fsys, lim: lim, files: map[string][]byte{}, looks: map[string]string{}}
}

// shown is what one run of Kustomize sees of a tree: a read-only file system
// whose root is the root of the tree. Its rules:
//
//   - what was prepared reads as it was prepared, and a kustomization that was
//     not does not exist;
//   - any other file reads as it stands in the tree;
//   - there is nothing outside, and nothing can be written.
type shown struct {
	*view
	prepared map[string][]byte
}

var _ filesys.FileSystem = shown{}

var errReadOnly = errors.New("the tree is read-only")

// inTree turns a path of Kustomize into one of the tree.
func inTree(p string) string {
	p = path.Clean("/" + filepath.ToSlash(p))
	if p == "/" {
		return "."
	}
	return p[1:]
}

// file reads one file of the tree.
func (v *view) file(name string) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if data, ok := v.files[name]; ok {
		return data, nil
	}
	if err := within("Files", len(v.files)+1, v.lim.Files); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	data, err := v.read(name)
	if err != nil {
		v.saw(lookRead, name, err.Error())
		return nil, err
	}
	v.saw(lookRead, name, v.content(name, data))
	if err := within("FileBytes", int64(len(data)), v.lim.FileBytes); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	v.total += int64(len(data))
	if err := within("TotalBytes", v.total, v.lim.TotalBytes); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	v.files[name] = data
	return data, nil
}

// read returns the content of a file, cut where it is longer than is allowed.
func (v *view) read(name string) ([]byte, error) {
	f, err := v.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, v.lim.FileBytes+1))
}

// stat is [fs.Stat] of the tree.
func (v *view) stat(name string) (fs.FileInfo, error) {
	info, err := fs.Stat(v.fsys, name)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.saw(lookStat, name, statAnswer(info, err))
	return info, err
}

// kustomization returns the path of the kustomization file of a folder, ""
// when it has none.
func (v *view) kustomization(dir string) (string, error) {
	var found []string
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		file := path.Join(dir, name)
		if info, err := v.stat(file); err == nil && !info.IsDir() {
			found = append(found, file)
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	default:
		return "", at(found[0], 1, fmt.Errorf("the folder has %s: keep one", strings.Join(found, " and ")))
	}
}

func isKustomization(name string) bool {
	return slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(name))
}

// ReadFile implements [filesys.FileSystem].
func (s shown) ReadFile(p string) ([]byte, error) {
	name := inTree(p)
	if data, ok := s.prepared[name]; ok {
		return data, nil
	}
	if isKustomization(name) {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	return s.file(name)
}

// CleanedAbs implements [filesys.FileSystem].
func (s shown) CleanedAbs(p string) (filesys.ConfirmedDir, string, error) {
	name := inTree(p)
	info, err := s.stat(name)
	if err != nil {
		return "", "", err
	}
	if info.IsDir() {
		return filesys.ConfirmedDir(path.Join("/", name)), "", nil
	}
	return filesys.ConfirmedDir(path.Join("/", path.Dir(name))), path.Base(name), nil
}

// IsDir implements [filesys.FileSystem].
func (v *view) IsDir(p string) bool {
	info, err := v.stat(inTree(p))
	return err == nil && info.IsDir()
}

// Exists implements [filesys.FileSystem].
func (s shown) Exists(p string) bool {
	_, err := s.stat(inTree(p))
	return err == nil
}

// ReadDir implements [filesys.FileSystem].
func (s shown) ReadDir(p string) ([]string, error) {
	name := inTree(p)
	entries, err := fs.ReadDir(s.fsys, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saw(lookList, name, listAnswer(entries, err))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// Open implements [filesys.FileSystem] by refusing: Kustomize reads whole
// files.
func (shown) Open(string) (filesys.File, error) { return nil, errReadOnly }

// Glob implements [filesys.FileSystem] by finding nothing: a kustomization
// lists what it uses.
func (shown) Glob(string) ([]string, error) { return nil, nil }

// Walk implements [filesys.FileSystem] by refusing.
func (shown) Walk(string, filepath.WalkFunc) error { return errReadOnly }

// Create implements [filesys.FileSystem] by refusing.
func (shown) Create(string) (filesys.File, error) { return nil, errReadOnly }

// Mkdir implements [filesys.FileSystem] by refusing.
func (shown) Mkdir(string) error { return errReadOnly }

// MkdirAll implements [filesys.FileSystem] by refusing.
func (shown) MkdirAll(string) error { return errReadOnly }

// RemoveAll implements [filesys.FileSystem] by refusing.
func (shown) RemoveAll(string) error { return errReadOnly }

// WriteFile implements [filesys.FileSystem] by refusing.
func (shown) WriteFile(string, []byte) error { return errReadOnly }
