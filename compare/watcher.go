package compare

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// WatchOptions tune a [Watcher]. The zero WatchOptions work.
type WatchOptions struct {
	// Changed is told which target declares an object that has changed, came,
	// or went. It must return at once.
	Changed func(target string)
	// Debounce is how long changes are gathered before they are told, 50 ms
	// when 0.
	Debounce time.Duration
	// Silence is how long a watch may tell nothing before it counts as broken,
	// three minutes when 0: API servers give a sign of life each minute.
	Silence time.Duration
	// Log is silent when nil.
	Log *slog.Logger
}

// Watcher listens to clusters between looks. A [Detector] with one tells it
// what matters at each look, and asks it at the next what has changed.
//
// It watches metadata alone, one kind and namespace at a time (one kind, when
// it is declared in many namespaces), and keeps a few numbers for each declared
// object and nothing of any other. A Secret is watched by its name.
type Watcher struct {
	WatchOptions

	mu      sync.Mutex
	watches map[earshot]*watch
	wake    chan struct{}

	telling sync.Mutex
	due     map[string]time.Time // targets to be told of

	relevant, dropped atomic.Int64
}

// WatchStats say how a [Watcher] does.
type WatchStats struct {
	// Relevant counts events that a target was told of, Dropped all others:
	// writes to a status, and objects that nobody declares.
	Relevant, Dropped int64
	// Watches counts watches by state: starting, healthy, broken, forbidden.
	Watches map[string]int
	// Oldest is the longest time since a healthy watch gave a sign of life.
	Oldest time.Duration
}

const (
	// notAgain is how long a watch that the API server does not allow is left
	// alone.
	notAgain = 30 * time.Minute
	// settling is how long a target waits for all of its watches to begin
	// before it is looked at because of what changed until then.
	settling = 500 * time.Millisecond
)

// NewWatcher returns a Watcher that listens while [Watcher.Run] runs.
func NewWatcher(o WatchOptions) *Watcher {
	o.Debounce = cmp.Or(o.Debounce, 50*time.Millisecond)
	o.Silence = cmp.Or(o.Silence, 3*time.Minute)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Changed == nil {
		o.Changed = func(string) {}
	}
	return &Watcher{
		WatchOptions: o, watches: map[earshot]*watch{}, due: map[string]time.Time{}, wake: make(chan struct{}, 1),
	}
}

// Run listens until ctx is done. When it returns, which is with nil, nothing of
// it runs any more.
func (w *Watcher) Run(ctx context.Context) error {
	ctx = logr.NewContext(ctx, logr.Discard()) // client-go logs what kspec logs itself
	var running sync.WaitGroup
	defer running.Wait()
	for {
		wait := min(w.start(ctx, &running), w.tell())
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-w.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// Stats returns how w does now.
func (w *Watcher) Stats() WatchStats {
	s := WatchStats{Relevant: w.relevant.Load(), Dropped: w.dropped.Load(), Watches: map[string]int{}}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range w.watches {
		state, age := k.state()
		s.Watches[state]++
		if state == healthy {
			s.Oldest = max(s.Oldest, age)
		}
	}
	return s
}

// start starts the watches that somebody needs, stops the others, and returns
// when it should be called again.
func (w *Watcher) start(ctx context.Context, running *sync.WaitGroup) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	wait := time.Hour
	for at, k := range w.watches {
		again := k.start(ctx, running)
		if again < 0 {
			delete(w.watches, at)
			continue
		}
		wait = min(wait, again)
	}
	return wait
}

// tell tells of the targets that are due, and returns when the next one is.
func (w *Watcher) tell() time.Duration {
	now, wait := time.Now(), time.Hour
	var targets []string
	w.telling.Lock()
	for target, at := range w.due {
		if left := at.Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		targets = append(targets, target)
		delete(w.due, target)
	}
	w.telling.Unlock()
	slices.Sort(targets)
	for _, target := range targets {
		w.Changed(target)
	}
	return wait
}

// poke has the targets told of after a while.
func (w *Watcher) poke(after time.Duration, targets ...string) {
	at := time.Now().Add(after)
	w.telling.Lock()
	for _, target := range targets {
		if due, ok := w.due[target]; !ok || at.Before(due) {
			w.due[target] = at
		}
	}
	w.telling.Unlock()
	w.signal()
}

func (w *Watcher) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// follow listens at the places for the target, and for it nowhere else. What
// is said of an object from then on is not missed.
func (w *Watcher) follow(target string, places map[earshot][]*subject, epochs []earshot) map[earshot]*watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	following := make(map[earshot]*watch, len(places)+len(epochs))
	get := func(at earshot) *watch {
		if w.watches[at] == nil {
			w.watches[at] = &watch{Watcher: w, earshot: at, books: map[string]book{}, epochs: map[string]bool{}}
		}
		following[at] = w.watches[at]
		return w.watches[at]
	}
	for at, objects := range places {
		get(at).attend(target, objects)
	}
	for _, at := range epochs {
		get(at).attendAll(target)
	}
	for at, k := range w.watches {
		k.leave(func(t string) bool { return t == target && places[at] == nil }, func(t string) bool {
			return t == target && !slices.Contains(epochs, at)
		})
	}
	return following
}

// forget stops listening for targets that are not named.
func (w *Watcher) forget(keep []string) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	gone := func(target string) bool { return !slices.Contains(keep, target) }
	for _, k := range w.watches {
		k.leave(gone, gone)
	}
	w.signal()
}

// hears reports whether some watch of the cluster is known to work: the cluster
// then need not be asked whether it is there.
func (w *Watcher) hears(c *Cluster) bool {
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for at, k := range w.watches {
		if at.cluster == c {
			if state, _ := k.state(); state == healthy {
				return true
			}
		}
	}
	return false
}

// refused reports whether the API server did not allow the watch.
func (w *Watcher) refused(at earshot) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.watches[at]
	if k == nil {
		return false
	}
	state, _ := k.state()
	return state == forbidden
}

// leave drops what is kept for targets.
func (k *watch) leave(books, epochs func(target string) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.books, func(target string, _ book) bool { return books(target) })
	maps.DeleteFunc(k.epochs, func(target string, _ bool) bool { return epochs(target) })
}
