package compare

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
)

// earshot is what one watch covers. Without a namespace that is all of them, or
// objects that have none; with a name it is one object.
type earshot struct {
	cluster *Cluster
	at      endpoint
	name    string
}

// watch listens at one place. client-go's Reflector lists, watches, resumes,
// and lists again when it cannot.
type watch struct {
	*Watcher
	earshot

	mu sync.RWMutex
	// books hold, by target, what is known of the objects that it declares.
	books map[string]book
	// epochs are the targets to which every object here matters, and versions
	// what the epoch counts of each, by name; nil before they are known.
	epochs   map[string]bool
	versions map[string]string

	cancel    context.CancelFunc // nil while nothing runs
	refusal   time.Time          // when the API server did not allow it; else zero
	synced    bool               // the books are filled
	connected bool
	news      bool // filled again, and not told of yet
	failing   bool // and that was logged
	// position is the newest resource version heard of. When the cluster was
	// set back to an older one, decisions up to reset do not hold.
	position uint64
	reset    time.Time
	// turns counts what has become otherwise for any target.
	turns   uint64
	heard   time.Time
	silence *time.Timer
}

// The states of a watch.
const (
	starting  = "starting"
	healthy   = "healthy"
	broken    = "broken"
	forbidden = "forbidden"
)

type book map[types.NamespacedName]record

// record is what is known of one object: since is the resource version at which
// all but its status became what it is, version the newest one. Both are 0 when
// nothing is known, and since alone when the object is gone.
type record struct {
	since, version uint64
	// rest is a digest of the metadata that a write to the status leaves alone,
	// status of what such a write changes.
	rest, status uint64
}

// covers reports whether the object is, but for its status, what it was at the
// version.
func (r record) covers(version uint64) bool {
	return r.since != 0 && r.since <= version && version <= r.version
}

// after returns r after a write, and whether it was one to more than the
// status. Any write to the rest of an object raises its generation, if its kind
// has a status and counts generations; and any write to the status shows in the
// managed fields of it, but when the same manager writes the same fields twice
// in a second.
func (r record) after(n note) (record, bool) {
	ofStatus := n.rest == r.rest && (n.counted || n.status != r.status)
	if r.since == 0 || !ofStatus {
		return record{since: n.version, version: n.version, rest: n.rest, status: n.status}, true
	}
	r.version, r.status = n.version, n.status
	return r, false
}

// note is what is taken from an object that the API server tells of.
type note struct {
	key          types.NamespacedName
	version      uint64
	rest, status uint64
	// counted is true when the generation tells of every write that is not to
	// the status.
	counted bool
	// epoch is what an epoch counts.
	epoch string
}

func noteOf(o any) note {
	m, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		n, _ := o.(note)
		return n
	}
	rest, status := m.ObjectMeta, metav1.ObjectMeta{}
	rest.ResourceVersion, rest.ManagedFields = "", nil
	for _, e := range m.ManagedFields {
		if e.Subresource == "status" {
			status.ManagedFields = append(status.ManagedFields, e)
		} else {
			rest.ManagedFields = append(rest.ManagedFields, e)
		}
	}
	return note{
		key:     types.NamespacedName{Namespace: m.Namespace, Name: m.Name},
		version: number(m.ResourceVersion), rest: sum(&rest), status: sum(&status),
		counted: m.Generation > 0 && len(status.ManagedFields) > 0,
		epoch:   epochOf(m),
	}
}

// sum is a digest of metadata.
func sum(m *metav1.ObjectMeta) uint64 {
	b, err := m.Marshal()
	if err != nil {
		panic(fmt.Sprintf("write metadata: %v", err)) // plain data: cannot fail
	}
	h := sha256.Sum256(b)
	return binary.BigEndian.Uint64(h[:])
}

// number returns a resource version as the number that it is, and 0 when it is
// none.
func number(version string) uint64 {
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// start starts k when it is needed and does not run. It returns when it should
// be called again, and less than 0 when nobody needs k any more.
func (k *watch) start(ctx context.Context, running *sync.WaitGroup) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	needed := len(k.books)+len(k.epochs) > 0
	resting := notAgain - time.Since(k.refusal)
	switch {
	case k.cancel != nil && !needed:
		k.cancel()
	case k.cancel != nil || ctx.Err() != nil:
	case !k.refusal.IsZero() && resting > 0:
		return resting
	case !needed:
		return -1
	default:
		ctx, cancel := context.WithCancel(ctx)
		k.cancel, k.refusal = cancel, time.Time{}
		running.Go(func() { k.run(ctx) })
	}
	return time.Hour
}

func (k *watch) run(ctx context.Context) {
	log := logr.Discard()
	r := cache.NewReflectorWithOptions(&cache.ListWatch{ListWithContextFunc: k.list, WatchFuncWithContext: k.open},
		&metav1.PartialObjectMetadata{}, shelf{k}, cache.ReflectorOptions{Name: "kspec", Logger: &log})
	for pause := pauses(); ctx.Err() == nil; {
		start := time.Now()
		_ = r.ListAndWatchWithContext(ctx) // list and open were told of what failed
		if time.Since(start) > 2*time.Minute {
			pause = pauses()
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause.Step()):
		}
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	k.cancel()
	k.cancel, k.synced, k.connected = nil, false, false
	k.signal()
}

// pauses are those between two tries to list and to watch.
func pauses() wait.Backoff {
	return wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 8, Cap: 30 * time.Second}
}

func (k *watch) client() metadata.ResourceInterface {
	return k.cluster.metadata.Resource(k.at.gvr).Namespace(k.at.namespace)
}

func (k *watch) narrowed(o metav1.ListOptions) metav1.ListOptions {
	if k.name != "" {
		o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, k.name).String()
	}
	return o
}

func (k *watch) list(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, k.Silence)
	defer cancel()
	list, err := k.client().List(ctx, k.narrowed(o))
	if err != nil {
		k.failed(err)
		return nil, err
	}
	return list, nil
}

// open opens a stream that ends when it has been silent for too long.
func (k *watch) open(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
	ctx, cancel := context.WithCancel(ctx)
	silence := time.AfterFunc(k.Silence, cancel)
	end := func() {
		silence.Stop()
		cancel()
	}
	w, err := k.client().Watch(ctx, k.narrowed(o))
	if err != nil {
		end()
		k.failed(err)
		return nil, err
	}
	k.mu.Lock()
	k.silence, k.connected = silence, true
	k.settle()
	k.mu.Unlock()
	return stream{w, sync.OnceFunc(func() {
		end()
		k.mu.Lock()
		k.connected = false
		k.mu.Unlock()
	})}, nil
}

// stream tells of its end.
type stream struct {
	apiwatch.Interface
	ended func()
}

// Stop implements [apiwatch.Interface].
func (s stream) Stop() {
	s.Interface.Stop()
	s.ended()
}

// refuse gives up for a while, and lets the kind be read at each look.
func (k *watch) refuse(err error) {
	k.Log.Warn("kind cannot be watched, reading it at each look", append(k.attrs(), "error", scrub(err.Error()))...)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refusal = time.Now()
	if k.cancel != nil {
		k.cancel()
	}
	k.poke(settling, slices.Collect(maps.Keys(k.books))...)
}

// attrs name the watch in a log.
func (k *watch) attrs() []any {
	return []any{"cluster", k.cluster.name, "kind", k.at.gvr.GroupResource().String(), "namespace", k.at.namespace}
}

// failed is told what keeps k from listing or watching, and logs it once until
// it works again.
func (k *watch) failed(err error) {
	switch {
	case apierrors.IsForbidden(err), apierrors.IsMethodNotSupported(err):
		k.refuse(err)
		return
	case errors.Is(err, context.Canceled), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return // stopped; or an older API server, which does not stream lists
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.failing {
		k.Log.Warn("watch broken, reading until it works again", append(k.attrs(), "error", scrub(err.Error()))...)
	}
	k.failing = true
}

// state returns the state of k, and how long ago it last gave a sign of life.
func (k *watch) state() (state string, age time.Duration) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.stateNow()
}

func (k *watch) stateNow() (state string, age time.Duration) {
	age = time.Since(k.heard)
	switch {
	case !k.refusal.IsZero():
		return forbidden, age
	case k.heard.IsZero():
		return starting, age
	case k.synced && k.connected && age <= k.Silence:
		return healthy, age
	default:
		return broken, age
	}
}

// turn returns how often something has become otherwise, whether k would have
// heard of it, and how long ago it last gave a sign of life.
func (k *watch) turn() (turns uint64, sound bool, age time.Duration) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	state, age := k.stateNow()
	return k.turns, state == healthy, age
}

// settle has all targets looked at once the watch works again after a gap.
func (k *watch) settle() {
	if !k.synced || !k.connected || !k.news {
		return
	}
	if k.failing {
		k.Log.Info("watch works again", k.attrs()...)
	}
	k.news, k.failing = false, false
	k.poke(settling, slices.Collect(maps.Keys(k.books))...)
	k.poke(settling, slices.Collect(maps.Keys(k.epochs))...)
}

// hear takes note of a sign of life.
func (k *watch) hear() {
	k.heard = time.Now()
	if k.silence != nil {
		k.silence.Reset(k.Silence)
	}
}

// attend listens to the objects for the target. One that is new is not known
// until it is read or told of.
func (k *watch) attend(target string, objects []*subject) {
	k.mu.Lock()
	defer k.mu.Unlock()
	old := k.books[target]
	same := len(old) == len(objects)
	for i := 0; same && i < len(objects); i++ {
		_, same = old[objects[i].key()]
	}
	if same && old != nil {
		return
	}
	b := make(book, len(objects))
	for _, o := range objects {
		b[o.key()] = old[o.key()]
	}
	k.books[target] = b
	k.turns++
	k.signal()
}

// attendAll listens to everything for the target.
func (k *watch) attendAll(target string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.epochs[target] {
		k.epochs[target] = true
		k.signal()
	}
}

// learn takes over what a look has read of objects of which nothing is known.
// They are listened to since before they were read.
func (k *watch) learn(target string, objects []*subject) {
	k.mu.Lock()
	defer k.mu.Unlock()
	b := k.books[target]
	for _, o := range objects {
		if !k.synced || o.live == nil || o.tier == "" {
			continue
		}
		version := number(o.live.GetResourceVersion())
		if r, ok := b[o.key()]; ok && r.since == 0 && r.version < version {
			b[o.key()] = record{since: version, version: version}
		}
	}
}

// event takes note of what became of an object.
func (k *watch) event(o any, gone bool) {
	n := noteOf(o)
	if n.version == 0 {
		k.refuse(errors.New("its resource versions are not numbers"))
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hear()
	var told []string
	for target, b := range k.books {
		r, ok := b[n.key]
		if !ok || n.version <= r.version {
			continue
		}
		r, relevant := r.after(n)
		if gone {
			r, relevant = record{version: n.version}, true
		}
		b[n.key] = r
		if relevant {
			told = append(told, target)
		}
	}
	told = append(told, k.eventOfEpoch(n, gone)...)
	if len(told) == 0 {
		k.dropped.Add(1)
		return
	}
	k.turns++
	k.relevant.Add(1)
	k.poke(k.Debounce, told...)
}

// eventOfEpoch takes note for an epoch. A definition also matters when its
// status says that it is served now.
func (k *watch) eventOfEpoch(n note, gone bool) []string {
	if len(k.epochs) == 0 {
		return nil
	}
	changed := gone || k.versions[n.key.Name] != n.epoch || k.at.gvr.Resource == "customresourcedefinitions"
	if gone {
		delete(k.versions, n.key.Name)
	} else if k.versions != nil {
		k.versions[n.key.Name] = n.epoch
	}
	if !changed {
		return nil
	}
	return slices.Collect(maps.Keys(k.epochs))
}

// fill takes note of all objects there are. What happened since k last heard is
// not known: an object of another version is another one.
func (k *watch) fill(objects []any, version uint64) {
	notes := make(map[types.NamespacedName]note, len(objects))
	for _, o := range objects {
		n := noteOf(o)
		notes[n.key] = n
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	setBack := version < k.position
	if setBack {
		k.reset = time.Now()
	}
	for _, b := range k.books {
		for key, r := range b {
			n, ok := notes[key]
			switch {
			case ok && (setBack || n.version > r.version):
				b[key], _ = record{}.after(n)
			case !ok && (setBack || r.version <= version):
				b[key] = record{}
			}
		}
	}
	if k.versions = nil; len(k.epochs) > 0 {
		k.versions = make(map[string]string, len(notes))
		for key, n := range notes {
			k.versions[key.Name] = n.epoch
		}
	}
	k.position, k.synced, k.news = version, true, true
	k.turns++
	k.hear()
	k.settle()
}

// shelf is a watch as what a Reflector fills.
type shelf struct{ *watch }

var (
	_ cache.TransformingStore      = shelf{}
	_ cache.ResourceVersionUpdater = shelf{}
)

// Add implements [cache.ReflectorStore].
func (s shelf) Add(o any) error { s.event(o, false); return nil }

// Update implements [cache.ReflectorStore].
func (s shelf) Update(o any) error { s.event(o, false); return nil }

// Delete implements [cache.ReflectorStore].
func (s shelf) Delete(o any) error { s.event(o, true); return nil }

// Replace implements [cache.ReflectorStore].
func (s shelf) Replace(objects []any, version string) error {
	v := number(version)
	if v == 0 {
		s.refuse(errors.New("its resource versions are not numbers"))
		return nil
	}
	s.fill(objects, v)
	return nil
}

// Resync implements [cache.ReflectorStore].
func (shelf) Resync() error { return nil }

// Transformer implements [cache.TransformingStore]: what a list streams is
// made small at once.
func (s shelf) Transformer() cache.TransformFunc {
	return func(o any) (any, error) {
		s.mu.Lock()
		s.hear()
		s.mu.Unlock()
		return noteOf(o), nil
	}
}

// UpdateResourceVersion implements [cache.ResourceVersionUpdater]. It is called
// for every event, and for those that are a sign of life only.
func (s shelf) UpdateResourceVersion(version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.position = max(s.position, number(version))
	s.hear()
}
