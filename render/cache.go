package render

import (
	"container/list"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
)

// What was built is remembered together with every look at the tree that the
// build took: which files it read, and their content, which names it found to
// be folders, files or nothing. As long as all these looks would see the same,
// the build would give the same, whichever commit, branch or ClusterSpec asks.

// cache remembers results, and forgets those that were not used for longest.
type cache struct {
	limit int64
	disk  *disk // nil when nothing is kept

	mu      sync.Mutex
	size    int64
	results map[string][]*list.Element // by what was asked, newest first
	used    *list.List                 // of *result, used last first
	busy    map[string]chan struct{}
}

// result is what a build gave.
type result struct {
	asked   string
	trace   []look
	objects string // packed
	parts   int    // runs of Kustomize, known those that were remembered
	known   int
	whole   string // why an overlay of many objects is not divided
	notes   []string
	bytes   int64
	err     error
}

// The beginnings of questions about what Kustomize builds.
const (
	askedOverlay = "overlay "
	askedChunk   = "chunk "
)

// look is one look at a tree and what it saw.
type look struct{ what, saw string }

// versions is how many results are kept of one question: the branch that is
// deployed, and proposals to change it.
const versions = 4

func newCache(limit int64) *cache {
	return &cache{limit: limit, results: map[string][]*list.Element{}, used: list.New(), busy: map[string]chan struct{}{}}
}

// get returns the result of a question about the tree of the view, and whether
// it was known. Who asks what is being built waits for it.
func (c *cache) get(ctx context.Context, asked string, v *view, build func() result) (r result, known bool) {
	for {
		if r, ok := c.find(asked, v); ok {
			return r, true
		}
		wait := c.begin(asked)
		if wait == nil {
			break
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return result{err: ctx.Err()}, false
		}
	}
	defer c.end(asked)
	if r, ok := c.recall(asked, v); ok {
		return r, true
	}
	r = build()
	if lasting(r.err) {
		r.asked, r.trace = asked, v.trace()
		c.put(&r)
		c.disk.save(&r)
	}
	return r, false
}

// lasting reports whether a build that ended so would end so again.
func lasting(err error) bool {
	var failed *fs.PathError
	var late gaveUpError
	return !errors.As(err, &late) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &failed)
}

// begin returns nil to the one who shall build, and what to wait for to others.
func (c *cache) begin(asked string) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if wait, ok := c.busy[asked]; ok {
		return wait
	}
	c.busy[asked] = make(chan struct{})
	return nil
}

func (c *cache) end(asked string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.busy[asked])
	delete(c.busy, asked)
}

func (c *cache) find(asked string, v *view) (result, bool) {
	c.mu.Lock()
	known := slices.Clone(c.results[asked])
	c.mu.Unlock()
	for _, e := range known {
		r := e.Value.(*result)
		if !r.holds(v) {
			continue
		}
		c.mu.Lock()
		c.used.MoveToFront(e) // does nothing when it is forgotten by now
		c.mu.Unlock()
		return *r, true
	}
	return result{}, false
}

// recall returns what an earlier process found.
func (c *cache) recall(asked string, v *view) (result, bool) {
	r, ok := c.disk.load(asked)
	if !ok || !r.holds(v) {
		return result{}, false
	}
	c.put(&r)
	return r, true
}

// holds reports whether all looks of the build would see the same in another
// tree.
func (r *result) holds(v *view) bool {
	return !slices.ContainsFunc(r.trace, func(l look) bool { return v.again(l.what) != l.saw })
}

func (c *cache) put(r *result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.cost() > c.limit {
		return
	}
	c.results[r.asked] = slices.Insert(c.results[r.asked], 0, c.used.PushFront(r))
	c.size += r.cost()
	if all := c.results[r.asked]; len(all) > versions {
		c.forget(all[versions])
	}
	for c.size > c.limit {
		c.forget(c.used.Back())
	}
}

func (c *cache) forget(e *list.Element) {
	r := c.used.Remove(e).(*result)
	c.size -= r.cost()
	rest := slices.DeleteFunc(c.results[r.asked], func(other *list.Element) bool { return other == e })
	if c.results[r.asked] = rest; len(rest) == 0 {
		delete(c.results, r.asked)
	}
}

func (c *cache) bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size
}

// cost is about how much memory a result takes.
func (r *result) cost() int64 {
	const self, each = 512, 32
	n := self + len(r.asked) + len(r.objects) + len(r.whole)
	for _, l := range r.trace {
		n += each + len(l.what) + len(l.saw)
	}
	return int64(n)
}

// The kinds of looks: the first byte of look.what, before the name.
const (
	lookStat = 's'
	lookRead = 'r'
	lookList = 'l'
)

// saw remembers a look of a build. It is called with the lock of the view.
func (v *view) saw(kind byte, name string, answer string) {
	v.looks[string(kind)+name] = answer
}

// trace returns all looks but those at what was read as well.
func (v *view) trace() []look {
	v.mu.Lock()
	defer v.mu.Unlock()
	var trace []look
	for what, saw := range v.looks {
		if _, read := v.files[what[1:]]; !read || what[0] != lookStat {
			trace = append(trace, look{what, saw})
		}
	}
	return slices.Clip(trace)
}

// again answers a look of an earlier build for this tree.
func (v *view) again(what string) string {
	v.mu.Lock()
	saw, ok := v.looks[what]
	v.mu.Unlock()
	if ok {
		return saw
	}
	name := what[1:]
	switch what[0] {
	case lookStat:
		info, err := fs.Stat(v.fsys, name)
		return statAnswer(info, err)
	case lookList:
		entries, err := fs.ReadDir(v.fsys, name)
		return listAnswer(entries, err)
	default:
		if hash, ok := v.hash(name); ok {
			return hash
		}
		data, err := v.read(name)
		if err != nil {
			return err.Error()
		}
		return v.content(name, data)
	}
}

func statAnswer(info fs.FileInfo, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "nothing"
	case err != nil:
		return err.Error()
	case info.IsDir():
		return "folder"
	default:
		return "file"
	}
}

func listAnswer(entries []fs.DirEntry, err error) string {
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return sumOf(names...)
}

// content names the content of a file: by the hash that the tree knows it by,
// if it does, and by that of its bytes otherwise.
func (v *view) content(name string, data []byte) string {
	if hash, ok := v.hash(name); ok {
		return hash
	}
	return "sha256 " + sumOf(string(data))
}

// hash returns the hash that the tree knows a file by.
func (v *view) hash(name string) (string, bool) {
	tree, ok := v.fsys.(interface {
		Hash(name string) (string, bool)
	})
	if !ok {
		return "", false
	}
	hash, ok := tree.Hash(name)
	return "git " + hash, ok
}

// sumOf is a key that names values by their content.
func sumOf(values ...string) string {
	h := sha256.New()
	for _, v := range values {
		_, _ = fmt.Fprintf(h, "%d %s", len(v), v) // a hash: cannot fail
	}
	return string(h.Sum(nil))
}
