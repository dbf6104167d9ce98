package compare

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloudcwfranck/kspec"
)

// Audit knows which accounts wrote to clusters. A name in managedFields is
// anyone's choice, and people and pipelines use the same tools: only the audit
// log of the API server tells them apart.
type Audit interface {
	// Writes returns the writes to the cluster of t that are known by now, nil
	// when there is no audit log of it. It may return both writes and an error.
	Writes(ctx context.Context, t kspec.Target) (*Writes, error)
}

// AuditFunc lets a function be an Audit.
type AuditFunc func(ctx context.Context, t kspec.Target) (*Writes, error)

// Writes implements [Audit].
func (f AuditFunc) Writes(ctx context.Context, t kspec.Target) (*Writes, error) { return f(ctx, t) }

var _ Audit = AuditFunc(nil)

// AuditLog follows the audit log files of one API server: JSON lines of events
// of audit.k8s.io/v1, of level Metadata or above. It may be used by several
// goroutines.
type AuditLog struct {
	patterns []string
	log      *slog.Logger
	writes   Writes

	mu    sync.Mutex
	files []*auditFile
}

// auditFile is a file and how far it was read. A file that was renamed is still
// the same.
type auditFile struct {
	info os.FileInfo
	read int64
}

// OpenAuditLog returns the log in the files that match a pattern of
// [filepath.Match]. Files that come later, as by rotation, are read too. It
// fails when a pattern matches nothing that can be read.
func OpenAuditLog(patterns []string, log *slog.Logger) (*AuditLog, error) {
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		paths = slices.DeleteFunc(paths, irregular)
		if err == nil && len(paths) == 0 {
			err = errors.New("no such regular file")
		}
		for _, path := range paths {
			err = errors.Join(err, readable(path))
		}
		if err != nil {
			return nil, fmt.Errorf("open audit log %s: %w", pattern, err)
		}
	}
	return &AuditLog{patterns: patterns, log: log}, nil
}

func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// irregular reports whether path is a folder, a pipe or the like, which may
// keep a reader waiting for ever.
func irregular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.Mode().IsRegular()
}

// Read reads what was logged since the last call and returns all that is known.
func (l *AuditLog) Read(ctx context.Context) (*Writes, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, path := range l.paths() {
		if err := l.follow(ctx, path); err != nil {
			errs = append(errs, fmt.Errorf("read audit log: %w", err))
		}
	}
	return &l.writes, errors.Join(errs...)
}

// paths returns the files there are, the oldest first, and forgets the others.
func (l *AuditLog) paths() []string {
	written := map[string]time.Time{}
	var infos []os.FileInfo
	for _, pattern := range l.patterns {
		paths, _ := filepath.Glob(pattern) // the pattern is known to be good
		for _, path := range paths {
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				written[path] = info.ModTime()
				infos = append(infos, info)
			}
		}
	}
	l.files = slices.DeleteFunc(l.files, func(f *auditFile) bool {
		return !slices.ContainsFunc(infos, func(info os.FileInfo) bool { return os.SameFile(f.info, info) })
	})
	paths := make([]string, 0, len(written))
	for path := range written {
		paths = append(paths, path)
	}
	slices.SortFunc(paths, func(a, b string) int {
		return cmp.Or(written[a].Compare(written[b]), strings.Compare(a, b))
	})
	return paths
}

// follow reads what is new in a file.
func (l *AuditLog) follow(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	file := l.known(info)
	if info.Size() < file.read {
		file.read = 0 // truncated, and begun anew
	}
	if _, err := f.Seek(file.read, io.SeekStart); err != nil {
		return err
	}
	read, bad, err := l.writes.readFrom(ctx, f)
	file.read += read
	if bad > 0 {
		l.log.WarnContext(ctx, "audit log has lines that are no events", "file", path, "lines", bad)
	}
	return err
}

func (l *AuditLog) known(info os.FileInfo) *auditFile {
	for _, f := range l.files {
		if os.SameFile(f.info, info) {
			return f
		}
	}
	f := &auditFile{info: info}
	l.files = append(l.files, f)
	return f
}

// longestLine is the longest event that is read, in bytes: an API server takes
// no objects of more than 3 MiB, and an event holds two.
const longestLine = 8 << 20

// readFrom takes in whole lines and returns their length and how many of them
// are no events. A line that is still being written is left.
func (w *Writes) readFrom(ctx context.Context, r io.Reader) (read int64, bad int, err error) {
	lines := bufio.NewReaderSize(r, 1<<20)
	var long []byte
	size := 0
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return read, bad, ctx.Err()
		}
		part, err := lines.ReadSlice('\n')
		size += len(part)
		if errors.Is(err, bufio.ErrBufferFull) {
			if size <= longestLine {
				long = append(long, part...)
			}
			continue
		}
		if errors.Is(err, io.EOF) {
			return read, bad, nil
		}
		if err != nil {
			return read, bad, err
		}
		line := part
		if len(long) > 0 {
			line = append(long, part...)
		}
		if size > longestLine || !w.take(bytes.TrimSpace(line)) {
			bad++
		}
		read, size, long = read+int64(size), 0, nil
	}
}

// event is what is read of an event of audit.k8s.io.
type event struct {
	Kind, Stage, Verb, RequestURI, UserAgent string
	User, ImpersonatedUser                   struct{ Username string }
	ObjectRef                                struct{ APIGroup, Resource, Namespace, Name, Subresource string }
	ResponseStatus                           struct{ Code int }
	RequestReceivedTimestamp, StageTimestamp time.Time
}

// take takes in one line. It returns false when the line is no event.
func (w *Writes) take(line []byte) bool {
	switch {
	case len(line) == 0:
		return true
	case line[0] != '{' || line[len(line)-1] != '}':
		return false
	case !mayBeWrite(line):
		return true
	}
	var e event
	if err := json.Unmarshal(line, &e); err != nil || e.Kind != "Event" {
		return false
	}
	if e.isWrite() && !e.isDryRun(line) {
		w.add(e)
	}
	return true
}

// mayBeWrite tells most events that are none without reading them: an audit log
// is mostly of reads.
func mayBeWrite(line []byte) bool {
	if !bytes.Contains(line, []byte(`"ResponseComplete"`)) {
		return false
	}
	for _, verb := range []string{`"update"`, `"patch"`, `"create"`, `"delete"`} {
		if bytes.Contains(line, []byte(verb)) {
			return true
		}
	}
	return false
}

// isWrite reports whether the event is a successful write of something that Git
// may declare.
func (e *event) isWrite() bool {
	switch {
	case e.Stage != "ResponseComplete", e.ResponseStatus.Code < 200, e.ResponseStatus.Code > 299,
		e.User.Username == "", e.ObjectRef.Name == "", e.ObjectRef.Subresource == "status",
		e.ObjectRef.Resource == "leases", e.ObjectRef.Resource == "events":
		return false
	}
	return slices.Contains([]string{"create", "update", "patch", "delete"}, e.Verb)
}

// isDryRun reports whether the write was not kept. Of a delete only the body
// says so, which events of level Metadata do not have.
func (e *event) isDryRun(line []byte) bool {
	if strings.Contains(e.RequestURI, "dryRun=") {
		return true
	}
	var body struct{ RequestObject struct{ DryRun []string } }
	return e.Verb == "delete" && bytes.Contains(line, []byte(`"dryRun"`)) && json.Unmarshal(line, &body) == nil && len(body.RequestObject.DryRun) > 0
}

// manager returns the field manager of the write, as the API server chooses it.
func (e *event) manager() string {
	_, query, _ := strings.Cut(e.RequestURI, "?")
	if strings.Contains(query, "fieldManager=") {
		if values, err := url.ParseQuery(query); err == nil && values.Get("fieldManager") != "" {
			return values.Get("fieldManager")
		}
	}
	agent, _, _ := strings.Cut(e.UserAgent, "/")
	return agent
}

// Writes are those of an audit log, as far as they matter. They are bounded:
// of a log that is too long, what happened to the objects that were not written
// for the longest time is forgotten. The zero Writes are none.
type Writes struct {
	mu         sync.RWMutex
	young, old map[objectKey]*history
	runs       int
	interned   map[string]string
	limit      int // mostRuns when 0
}

// mostRuns is how many runs are kept for certain; twice as many are at most.
const mostRuns = 50_000

// objectKey names an object as a request does.
type objectKey struct{ group, resource, namespace, name string }

// account is who made a write, and as whom.
type account struct{ user, as string }

// String returns "alice", or "alice (as system:admin)".
func (a account) String() string {
	if a.as == "" {
		return a.user
	}
	return a.user + " (as " + a.as + ")"
}

// history is what is known of one object.
type history struct {
	runs      []run
	deletedBy account
	deletedAt time.Time
}

// run is one write, or several by one account with nobody else's in between.
type run struct {
	manager, subresource string
	by                   account
	from, to             int64 // Unix time in nanoseconds
}

// mostOfOne is how many runs are kept of one object.
const mostOfOne = 32

func (w *Writes) add(e event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.history(objectKey{w.intern(e.ObjectRef.APIGroup), w.intern(e.ObjectRef.Resource), w.intern(e.ObjectRef.Namespace), e.ObjectRef.Name})
	by := account{w.intern(e.User.Username), w.intern(e.ImpersonatedUser.Username)}
	switch {
	case e.Verb == "delete" && e.ObjectRef.Subresource == "":
		if e.StageTimestamp.After(h.deletedAt) {
			h.deletedBy, h.deletedAt = by, e.StageTimestamp
		}
		return
	case e.Verb == "delete":
		return
	case e.ResponseStatus.Code == 201 && e.StageTimestamp.After(h.deletedAt):
		h.deletedBy, h.deletedAt = account{}, time.Time{} // it is there again
	}
	w.runs += h.write(run{
		w.intern(e.manager()), w.intern(e.ObjectRef.Subresource), by,
		e.RequestReceivedTimestamp.UnixNano(), e.StageTimestamp.UnixNano(),
	})
}

// history returns that of an object, and makes room for it.
func (w *Writes) history(key objectKey) *history {
	if h := w.young[key]; h != nil {
		return h
	}
	if w.young == nil || w.runs >= cmp.Or(w.limit, mostRuns) {
		w.old, w.young, w.runs, w.interned = w.young, map[objectKey]*history{}, 0, map[string]string{}
	}
	h := w.old[key]
	if h == nil {
		h = &history{}
	}
	w.runs += len(h.runs) + 1
	w.young[key] = h
	return h
}

// intern returns one string for all that are equal.
func (w *Writes) intern(s string) string {
	if known, ok := w.interned[s]; ok {
		return known
	}
	if w.interned == nil {
		w.interned = map[string]string{}
	}
	w.interned[s] = s
	return s
}

// write adds r to the last run of its manager, when the account is the same, or
// after it. It returns how many runs there are more.
func (h *history) write(r run) int {
	for i, last := range slices.Backward(h.runs) {
		if last.manager != r.manager || last.subresource != r.subresource {
			continue
		}
		if last.by == r.by {
			h.runs[i].from, h.runs[i].to = min(last.from, r.from), max(last.to, r.to)
			return 0
		}
		break
	}
	h.runs = append(h.runs, r)
	if len(h.runs) > mostOfOne {
		h.runs = slices.Delete(h.runs, 0, 1)
		return 0
	}
	return 1
}

// slack is how far the time in managedFields may be from that of the request,
// besides that it has whole seconds only: clocks of API servers differ.
const slack = 2 * time.Second

// writer returns who made the write that an entry of managedFields tells of.
func (w *Writes) writer(key objectKey, manager, subresource string, at time.Time) (by account, ok bool) {
	if w == nil || at.IsZero() {
		return account{}, false
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	best, width := int64(slack)+1, int64(0)
	for _, r := range w.find(key).runs {
		if r.manager != manager || r.subresource != subresource {
			continue
		}
		away := max(at.UnixNano()-r.to, r.from-at.Add(time.Second).UnixNano(), 0)
		if away < best || away == best && r.to-r.from < width {
			by, best, width, ok = r.by, away, r.to-r.from, true
		}
	}
	return by, ok
}

// deleter returns who deleted an object that is not there, and when.
func (w *Writes) deleter(key objectKey) (by account, at time.Time, ok bool) {
	if w == nil {
		return account{}, time.Time{}, false
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	h := w.find(key)
	return h.deletedBy, h.deletedAt, !h.deletedAt.IsZero()
}

func (w *Writes) find(key objectKey) *history {
	if h := cmp.Or(w.young[key], w.old[key]); h != nil {
		return h
	}
	return &history{}
}
