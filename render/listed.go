package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"time"
)

// listed returns the file system in which a template has a kustomization: its
// own, or with one that lists its resources; nil for a template without any.
func (j *job) listed(t template) (fs.FS, error) {
	file, err := newView(t.fsys, j.limits).kustomization(t.dir)
	switch {
	case err != nil:
		return nil, err
	case file != "" && len(t.Spec.Resources) > 0:
		return nil, at(t.file, t.line, fmt.Errorf("spec.resources and %s both list the objects: keep one", file))
	case file != "":
		return t.fsys, nil
	case len(t.Spec.Resources) == 0:
		return nil, nil
	}
	data, err := json.Marshal(map[string]any{
		"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": t.Spec.Resources,
	})
	if err != nil {
		return nil, err
	}
	return withFile{t.fsys, path.Join(t.dir, "kustomization.yaml"), data}, nil
}

// withFile is a file system with one file more.
type withFile struct {
	fs.FS
	name string
	data []byte
}

// Open implements [fs.FS].
func (w withFile) Open(name string) (fs.File, error) {
	if name == w.name {
		return &memoryFile{bytes.NewReader(w.data), path.Base(name)}, nil
	}
	return w.FS.Open(name)
}

// memoryFile is a file that is on no disk, and describes itself.
type memoryFile struct {
	*bytes.Reader
	name string
}

func (f *memoryFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *memoryFile) Close() error               { return nil }
func (f *memoryFile) Name() string               { return f.name }
func (f *memoryFile) Mode() fs.FileMode          { return 0o444 }
func (f *memoryFile) ModTime() time.Time         { return time.Time{} }
func (f *memoryFile) IsDir() bool                { return false }
func (f *memoryFile) Sys() any                   { return nil }
