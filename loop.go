package kspec

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"sync"
	"time"
)

// Loop decides when each target is looked at: at once when it is new, changed
// or poked, else when its interval has passed, later and later while looking
// fails. A target never runs twice at a time. The zero values of the options
// work; Do is required.
type Loop struct {
	// Do looks at one target, usually [Reconciler.Reconcile]. An error makes
	// the next run come after a back-off; a [Terminal] one leaves the target
	// alone until its interval has passed.
	Do func(ctx context.Context, t Target) error
	// Workers is how many targets run at a time; 0 means 4.
	Workers int
	// MinBackoff and MaxBackoff bound the wait after a failure; 0 means one
	// second and fifteen minutes.
	MinBackoff, MaxBackoff time.Duration
	// Log gets each failure, once. Nil means slog.Default.
	Log *slog.Logger
	// Wake, when set, returns the first instant after another at which a
	// target must be looked at whatever its interval; zero for none.
	Wake func(t Target, after time.Time) time.Time
	// Done, when set, is told of every run.
	Done func(t Target, took time.Duration, err error)

	mu      sync.Mutex
	entries map[string]*entry
	wake    chan struct{}
}

type entry struct {
	target   Target
	due      time.Time
	running  bool
	again    bool // poked or changed while running
	gone     bool // taken away while running
	failures int
}

// Set replaces the targets, by name. New and changed ones are due at once;
// those that are not named any more are not started again.
func (l *Loop) Set(targets []Target) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.init()
	keep := make(map[string]bool, len(targets))
	for _, t := range targets {
		keep[t.Name] = true
		e, ok := l.entries[t.Name]
		switch {
		case !ok:
			l.entries[t.Name] = &entry{target: t, due: time.Now()}
		case !reflect.DeepEqual(e.target, t):
			e.target = t
			e.failures = 0
			e.poke()
		}
		l.entries[t.Name].gone = false
	}
	for name, e := range l.entries {
		if keep[name] {
			continue
		}
		e.gone = true
		if !e.running {
			delete(l.entries, name)
		}
	}
	l.signal()
}

// Poke makes the named target due at once, or again after the run it is in.
// An unknown name is ignored.
func (l *Loop) Poke(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.init()
	if e, ok := l.entries[name]; ok {
		e.poke()
		l.signal()
	}
}

// Targets returns how many targets there are.
func (l *Loop) Targets() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries)
}

// Run runs targets until ctx is done, waits for those that are running, whose
// context is then cancelled, and returns nil.
func (l *Loop) Run(ctx context.Context) error {
	l.mu.Lock()
	l.init()
	l.mu.Unlock()
	workers := make(chan struct{}, orDefault(l.Workers, 4))
	var running sync.WaitGroup
	defer running.Wait()
	for {
		due, wait := l.take(time.Now())
		for _, e := range due {
			running.Go(func() {
				select {
				case workers <- struct{}{}:
					defer func() { <-workers }()
					l.run(ctx, e)
				case <-ctx.Done():
				}
			})
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-l.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// take marks the entries that are due as running and returns them, with the
// time until the next one is.
func (l *Loop) take(now time.Time) (due []*entry, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait = time.Hour
	for _, e := range l.entries {
		if e.running || e.target.Suspend {
			continue
		}
		if left := e.due.Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		e.running = true
		due = append(due, e)
	}
	return due, wait
}

func (l *Loop) run(ctx context.Context, e *entry) {
	t, ok := l.begin(e)
	if !ok {
		return
	}
	start := time.Now()
	err := l.Do(ctx, t)
	took := time.Since(start)
	if ctx.Err() == nil {
		l.report(ctx, t, took, err)
	}
	var wake time.Time
	if l.Wake != nil {
		wake = l.Wake(t, start)
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	e.running = false
	if e.gone {
		delete(l.entries, t.Name)
		return
	}
	e.due = time.Now().Add(l.next(e, t, err))
	if !wake.IsZero() && wake.Before(e.due) {
		e.due = wake
	}
	if e.again {
		e.again = false
		e.due = time.Now()
	}
	l.signal()
}

// begin returns the target as it is now that a worker is free, and false when
// it was taken away or suspended meanwhile.
func (l *Loop) begin(e *entry) (Target, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.again = false
	if e.gone {
		delete(l.entries, e.target.Name)
	}
	e.running = !e.gone && !e.target.Suspend
	return e.target, e.running
}

func (l *Loop) report(ctx context.Context, t Target, took time.Duration, err error) {
	if l.Done != nil {
		l.Done(t, took, err)
	}
	if err == nil {
		return
	}
	log := l.Log
	if log == nil {
		log = slog.Default()
	}
	log.ErrorContext(ctx, "look failed", "target", t, "revision", t.Revision.String(), "error", err, "hint", HintOf(err))
}

// next returns the wait until e runs again and counts its failures.
func (l *Loop) next(e *entry, t Target, err error) time.Duration {
	interval := jitter(orDefault(t.Interval, 5*time.Minute))
	if err == nil || IsTerminal(err) {
		e.failures = 0
		return interval
	}
	wait, most := orDefault(l.MinBackoff, time.Second), orDefault(l.MaxBackoff, 15*time.Minute)
	for i := 0; i < e.failures && wait < most; i++ {
		wait *= 2
	}
	e.failures++
	return jitter(min(wait, most))
}

func (e *entry) poke() {
	e.due = time.Now()
	e.again = e.running
}

func (l *Loop) init() {
	if l.entries == nil {
		l.entries = map[string]*entry{}
		l.wake = make(chan struct{}, 1)
	}
}

func (l *Loop) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// jitter returns d less up to a tenth, so that targets do not march in step.
func jitter(d time.Duration) time.Duration {
	return d - time.Duration(rand.Int64N(int64(d)/10+1))
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
