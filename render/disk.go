package render

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

// disk keeps what Kustomize built in a folder, for other processes and for the
// next start. Each result is a file of its own, named by the question and by
// the program that answered it, and replaced whole or not at all, so that any
// number of processes can share the folder. It begins with a digest of the
// rest: a file that does not fit it is removed, and built anew.
//
// Who can write to the folder can decide what a cluster must hold. So it must
// belong to the user, and nobody else may enter it.
type disk struct {
	root    *os.Root
	program string // that builds, and its limits
	limit   int64
	log     *slog.Logger

	mu      sync.Mutex
	written int64 // since the last sweep
}

// stored is a result in a file.
type stored struct {
	Asked, Objects, Whole string
	Trace                 [][2]string
	Notes                 []string
	Parts                 int
	Bytes                 int64
}

const (
	temporary = "tmp-"
	// abandoned is the age at which nobody writes to a temporary file any more.
	abandoned = time.Hour
)

// newDisk opens the part of a cache folder that holds builds.
func newDisk(dir string, limits Limits, log *slog.Logger) (*disk, error) {
	program, err := thisProgram()
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "builds")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err == nil && (info.Mode().Perm()&0o077 != 0 || !own(info)) {
		err = fmt.Errorf("others may enter %s: make it a folder of your own, with mode 0700", dir)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	d := &disk{root: root, program: fmt.Sprintf("%s %+v", program, limits), limit: limits.CacheBytes, log: log}
	return d, d.sweep()
}

// thisProgram names the program by its modules and its file: another version of
// kspec or of Kustomize may build otherwise.
func thisProgram() (string, error) {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "", errors.New("the program does not know its version")
	}
	file, err := os.Executable()
	if err != nil {
		return "", err
	}
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %d %d", build, info.Size(), info.ModTime().UnixNano()), nil
}

// keeps reports whether the answer to a question is worth a file. A plain file
// is read as fast as what would be kept of it.
func keeps(asked string) bool {
	return strings.HasPrefix(asked, askedOverlay) || strings.HasPrefix(asked, askedChunk)
}

func (d *disk) name(asked string) string {
	return hex.EncodeToString([]byte(sumOf(d.program, asked)))
}

// load returns what is kept of a question, for the tree that it was asked of.
func (d *disk) load(asked string) (result, bool) {
	if d == nil || !keeps(asked) {
		return result{}, false
	}
	name := d.name(asked)
	data, err := d.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return result{}, false
	}
	var e stored
	if err == nil {
		err = decode(name, data, &e)
	}
	if err != nil || e.Asked != asked {
		d.log.Warn("a build that was kept is damaged", "file", name, "error", err)
		_ = d.root.Remove(name) // what stays is replaced
		return result{}, false
	}
	now := time.Now()
	_ = d.root.Chtimes(name, now, now) // at worst it is forgotten early
	r := result{asked: asked, objects: e.Objects, whole: e.Whole, notes: e.Notes, parts: e.Parts, bytes: e.Bytes}
	for _, l := range e.Trace {
		r.trace = append(r.trace, look{l[0], l[1]})
	}
	return r, true
}

func (d *disk) read(name string) ([]byte, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, d.limit+1))
}

// save keeps a result. It is as good as any other when it cannot.
func (d *disk) save(r *result) {
	if d == nil || !keeps(r.asked) || r.err != nil {
		return
	}
	if err := d.write(r); err != nil {
		d.log.Warn("a build is not kept", "error", err)
	}
}

func (d *disk) write(r *result) error {
	e := stored{Asked: r.asked, Objects: r.objects, Whole: r.whole, Notes: r.notes, Parts: r.parts, Bytes: r.bytes}
	for _, l := range r.trace {
		e.Trace = append(e.Trace, [2]string{l.what, l.saw})
	}
	name := d.name(r.asked)
	data, err := encode(name, e)
	if err != nil || int64(len(data)) > d.limit {
		return err
	}
	temp := temporary + rand.Text()
	err = d.root.WriteFile(temp, data, 0o600)
	if err == nil {
		err = d.root.Rename(temp, name)
	}
	if err != nil {
		_ = d.root.Remove(temp) // the next sweep would
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.written += int64(len(data)); d.written < d.spare() {
		return nil
	}
	d.written = 0
	return d.sweep()
}

// spare is what may be written between two sweeps.
func (d *disk) spare() int64 { return d.limit / 16 }

// sweep removes what was not used for longest, and what was never finished.
func (d *disk) sweep() error {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return err
	}
	var files []fs.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil { // or another process removed it
			files = append(files, info)
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	room := d.limit - d.spare()
	for _, f := range files {
		room -= f.Size()
		if room >= 0 && (!strings.HasPrefix(f.Name(), temporary) || time.Since(f.ModTime()) < abandoned) {
			continue
		}
		if err := d.root.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// encode returns the content of a file: a digest of its name and of the rest.
func encode(name string, e stored) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, sha256.Size))
	if err := gob.NewEncoder(&b).Encode(e); err != nil {
		return nil, err
	}
	data := b.Bytes()
	copy(data, digest(name, data[sha256.Size:]))
	return data, nil
}

func decode(name string, data []byte, e *stored) error {
	if len(data) < sha256.Size || !bytes.Equal(data[:sha256.Size], digest(name, data[sha256.Size:])) {
		return errors.New("the digest does not fit")
	}
	return gob.NewDecoder(bytes.NewReader(data[sha256.Size:])).Decode(e)
}

func digest(name string, data []byte) []byte {
	h := sha256.New()
	h.Write([]byte(name))
	h.Write(data)
	return h.Sum(nil)
}
