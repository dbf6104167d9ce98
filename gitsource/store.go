package gitsource

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // Git's own checksum, against accidents
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// store is where fetched packs are unpacked.
type store interface {
	// add unpacks a pack into a new layer. Objects of the pack may be given as
	// the difference to one of base.
	add(pack []byte, base chain) (*layer, error)
	// load returns what keep was told of the branch; no layers when nothing.
	load(branch string) (plumbing.Hash, chain, error)
	// keep makes the commit the one that load returns.
	keep(branch string, s *snapshot) error
}

// inMemory unpacks into memory and forgets at the end of the process.
type inMemory struct{}

func (inMemory) add(pack []byte, base chain) (*layer, error) {
	m, err := unpack(pack, base)
	return &layer{s: m}, err
}

func (inMemory) load(string) (plumbing.Hash, chain, error) { return plumbing.ZeroHash, nil, nil }
func (inMemory) keep(string, *snapshot) error              { return nil }

// onDisk keeps each layer in a folder of its own, which is never changed once
// it is written, and one small file per branch, which is replaced atomically
// and names the layers of its commit. So any number of processes can share the
// folder without locks, and one that is killed leaves nothing behind but a
// layer that nobody names.
type onDisk struct {
	dir string
	now func() time.Time
}

const (
	layerPrefix  = "layer-"
	branchPrefix = "branch-"
	// minAge protects layers that another process has not named yet, or that a
	// tree in another process still reads from.
	minAge = 24 * time.Hour
)

// newOnDisk opens the cache of a repository below dir.
func newOnDisk(dir string, repo address) (*onDisk, error) {
	sum := sha256.Sum256([]byte(repo.String()))
	d := &onDisk{dir: filepath.Join(dir, hex.EncodeToString(sum[:16])), now: time.Now}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make cache: %w", err)
	}
	return d, nil
}

func (d *onDisk) add(pack []byte, base chain) (*layer, error) {
	if base != nil {
		var err error
		if pack, err = standalone(pack, base); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp(d.dir, layerPrefix)
	if err != nil {
		return nil, fmt.Errorf("write cache: %w", err)
	}
	l := d.open(filepath.Base(dir))
	if err := packfile.UpdateObjectStorage(l.s.(*filesystem.Storage), bytes.NewReader(pack)); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("write cache: %w", err)
	}
	return l, nil
}

// open opens a layer. Its one pack stays open until the layer is garbage.
func (d *onDisk) open(name string) *layer {
	s := filesystem.NewStorageWithOptions(osfs.New(filepath.Join(d.dir, name)), cache.NewObjectLRU(8*cache.MiByte),
		filesystem.Options{ExclusiveAccess: true, KeepDescriptors: true})
	return &layer{name: name, s: s}
}

// state is the content of a branch file.
type state struct {
	Branch string   `json:"branch"`
	Commit string   `json:"commit"`
	Layers []string `json:"layers"`
}

func (d *onDisk) file(branch string) string {
	sum := sha256.Sum256([]byte(branch))
	return filepath.Join(d.dir, branchPrefix+hex.EncodeToString(sum[:16])+".json")
}

func (d *onDisk) load(branch string) (plumbing.Hash, chain, error) {
	st, err := readState(d.file(branch))
	if errors.Is(err, fs.ErrNotExist) {
		return plumbing.ZeroHash, nil, nil
	}
	if err != nil {
		return plumbing.ZeroHash, nil, err
	}
	var layers chain
	for _, name := range st.Layers {
		if err := d.sound(name); err != nil {
			return plumbing.ZeroHash, nil, err
		}
		layers = append(layers, d.open(name))
	}
	return plumbing.NewHash(st.Commit), layers, nil
}

func readState(path string) (st state, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return st, fmt.Errorf("read cache: %w", err)
	}
	if err := json.Unmarshal(b, &st); err != nil {
		return st, fmt.Errorf("read cache: %s: %w", filepath.Base(path), err)
	}
	if !plumbing.IsHash(st.Commit) || len(st.Layers) == 0 {
		return st, fmt.Errorf("read cache: %s: names no commit or no layer", filepath.Base(path))
	}
	return st, nil
}

// sound checks the checksums at the end of the files of a layer.
func (d *onDisk) sound(name string) error {
	if !strings.HasPrefix(name, layerPrefix) || filepath.Base(name) != name {
		return fmt.Errorf("read cache: %q is no layer", name)
	}
	files, err := filepath.Glob(filepath.Join(d.dir, name, "objects", "pack", "pack-*"))
	if err != nil || len(files) < 2 {
		return fmt.Errorf("read cache: layer %s is not complete", name)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return fmt.Errorf("read cache: %w", err)
		}
		n := len(b) - sha1.Size
		if n < 0 {
			return fmt.Errorf("read cache: %s is cut off", f)
		}
		if sum := sha1.Sum(b[:n]); !bytes.Equal(sum[:], b[n:]) { //nolint:gosec // see the import
			return fmt.Errorf("read cache: %s is damaged", f)
		}
	}
	return nil
}

func (d *onDisk) keep(branch string, s *snapshot) error {
	st := state{Branch: branch, Commit: s.commit.String()}
	for _, l := range s.chain {
		st.Layers = append(st.Layers, l.name)
	}
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	if err := replace(d.file(branch), b); err != nil {
		return fmt.Errorf("write cache: %w", err)
	}
	return d.sweep()
}

// replace writes a file whole or not at all.
func replace(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "tmp-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(content); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// sweep removes layers that no branch names and that are old enough for
// nobody to use them any more.
func (d *onDisk) sweep() error {
	files, err := os.ReadDir(d.dir)
	if err != nil {
		return fmt.Errorf("clean cache: %w", err)
	}
	named := map[string]bool{}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), branchPrefix) {
			st, err := readState(filepath.Join(d.dir, f.Name()))
			if err != nil {
				continue // replaced at the next fetch
			}
			for _, l := range st.Layers {
				named[l] = true
			}
		}
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil || named[f.Name()] || strings.HasPrefix(f.Name(), branchPrefix) || d.now().Sub(info.ModTime()) < minAge {
			continue
		}
		if err := os.RemoveAll(filepath.Join(d.dir, f.Name())); err != nil {
			return fmt.Errorf("clean cache: %w", err)
		}
	}
	return nil
}
