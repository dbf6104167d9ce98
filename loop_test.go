package kspec_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
)

// runs records when a loop ran what, since it began.
type runs struct {
	mu    sync.Mutex
	began time.Time
	at    map[string][]time.Duration
	live  map[string]int
	most  int
}

func (r *runs) do(name string, work time.Duration) {
	r.mu.Lock()
	r.at[name] = append(r.at[name], time.Since(r.began))
	r.live[name]++
	all := 0
	for n, count := range r.live {
		if count > 1 {
			panic(n + " runs twice at a time")
		}
		all += count
	}
	r.most = max(r.most, all)
	r.mu.Unlock()
	time.Sleep(work)
	r.mu.Lock()
	r.live[name]--
	r.mu.Unlock()
}

func (r *runs) of(name string) []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]time.Duration(nil), r.at[name]...)
}

func (r *runs) count(name string) int { return len(r.of(name)) }

// start runs l until the test ends, on the clock of a synctest bubble.
func start(t *testing.T, l *kspec.Loop) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func newRuns() *runs {
	return &runs{began: time.Now(), at: map[string][]time.Duration{}, live: map[string]int{}}
}

func target(name string) kspec.Target { return kspec.Target{Name: name, Interval: time.Minute} }

// within fails unless d lies in a tenth below want.
func within(t *testing.T, what string, d, want time.Duration) {
	t.Helper()
	if d > want || d < want-want/10 {
		t.Errorf("%s: %s, want up to a tenth less than %s", what, d, want)
	}
}

func TestLoopRunsAtOnceAndThenEveryInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRuns()
		l := &kspec.Loop{Do: func(_ context.Context, t kspec.Target) error { r.do(t.Name, 0); return nil }}
		l.Set([]kspec.Target{target("a"), {Name: "default"}})
		defer start(t, l)()
		time.Sleep(time.Hour)
		synctest.Wait()
		at := r.of("a")
		if at[0] != 0 {
			t.Errorf("the first run came after %s", at[0])
		}
		waits := map[time.Duration]bool{}
		for i := 1; i < len(at); i++ {
			within(t, "wait", at[i]-at[i-1], time.Minute)
			waits[at[i]-at[i-1]] = true
		}
		if len(waits) < 2 {
			t.Error("every wait is equal: no jitter")
		}
		if n := r.count("default"); n < 12 || n > 15 {
			t.Errorf("%d runs in an hour without an interval, want one in five minutes", n)
		}
	})
}

func TestLoopRunsAPokedTargetOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRuns()
		l := &kspec.Loop{Do: func(_ context.Context, t kspec.Target) error { r.do(t.Name, 10*time.Second); return nil }}
		l.Set([]kspec.Target{target("a")})
		defer start(t, l)()
		time.Sleep(5 * time.Second) // it runs
		for range 3 {
			l.Poke("a")
		}
		l.Poke("unknown")
		time.Sleep(20 * time.Second) // the second run is over
		synctest.Wait()
		if diff := cmp.Diff([]time.Duration{0, 10 * time.Second}, r.of("a")); diff != "" {
			t.Errorf("runs (-want +got):\n%s", diff)
		}
		l.Poke("a") // it rests
		synctest.Wait()
		if diff := cmp.Diff([]time.Duration{0, 10 * time.Second, 25 * time.Second}, r.of("a")); diff != "" {
			t.Errorf("runs (-want +got):\n%s", diff)
		}
	})
}

func TestLoopPokedBeforeItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRuns()
		l := &kspec.Loop{Do: func(_ context.Context, t kspec.Target) error { r.do(t.Name, 0); return nil }}
		l.Poke("a")
		if l.Targets() != 0 {
			t.Error("a poke made a target")
		}
		defer start(t, l)()
		synctest.Wait()
		l.Set([]kspec.Target{target("a")})
		synctest.Wait()
		if r.count("a") != 1 || l.Targets() != 1 {
			t.Errorf("%d runs of %d targets, want one of one", r.count("a"), l.Targets())
		}
	})
}

func TestLoopBacksOffWhileLookingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRuns()
		var failing atomic.Bool
		failing.Store(true)
		l := &kspec.Loop{
			MinBackoff: time.Second, MaxBackoff: 8 * time.Second, Log: slog.New(slog.DiscardHandler),
			Do: func(_ context.Context, t kspec.Target) error {
				r.do(t.Name, 0)
				if failing.Load() {
					return errors.New("no")
				}
				return nil
			},
		}
		l.Set([]kspec.Target{target("a")})
		defer start(t, l)()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		at := r.of("a")
		if len(at) < 6 {
			t.Fatalf("%d runs in 30 s: %v", len(at), at)
		}
		for i, seconds := range []int{1, 2, 4, 8, 8} {
			within(t, fmt.Sprintf("back-off %d", i), at[i+1]-at[i], time.Duration(seconds)*time.Second)
		}

		failing.Store(false)
		l.Poke("a")
		synctest.Wait()
		healed := r.count("a")
		failing.Store(true)
		time.Sleep(61 * time.Second)
		synctest.Wait()
		at = r.of("a")[healed-1:]
		within(t, "wait after a success", at[1]-at[0], time.Minute)
		within(t, "back-off after a success", at[2]-at[1], time.Second)
	})
}

func TestLoopNeverOverflowsItsBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRuns()
		l := &kspec.Loop{
			MinBackoff: 10 * time.Minute, MaxBackoff: time.Hour, Log: slog.New(slog.DiscardHandler),
			Do: func(_ context.Context, t kspec.Target) error { r.do(t.Name, 0); return errors.New("no") },
		}
		l.Set([]kspec.Target{target("a")})
		defer start(t, l)()
		time.Sleep(100 * time.Hour)
		synctest.Wait()
		at := r.of("a")
		for i := 5; i < len(at)-1; i++ {
			within(t, fmt.Sprintf("back-off %d", i), at[i+1]-at[i], time.Hour)
		}
		if len(at) < 90 {
			t.Errorf("%d runs in 100 h", len(at))
		}
	})
}

func TestLoopLeavesATerminalFailureAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRuns()
		l := &kspec.Loop{
			Log: slog.New(slog.DiscardHandler),
			Do: func(_ context.Context, t kspec.Target) error {
				r.do(t.Name, 0)
				return fmt.Errorf("render: %w", kspec.Terminal(errors.New("no")))
			},
		}
		l.Set([]kspec.Target{target("a")})
		defer start(t, l)()
		time.Sleep(61 * time.Second)
		synctest.Wait()
		at := r.of("a")
		if len(at) != 2 {
			t.Fatalf("runs %v, want two", at)
		}
		within(t, "wait", at[1]-at[0], time.Minute)
		changed := target("a")
		changed.Revision.Commit = "2"
		l.Set([]kspec.Target{changed})
		synctest.Wait()
		if r.count("a") != 3 {
			t.Errorf("%d runs, want one more for a new revision", r.count("a"))
		}
	})
}

func TestLoopSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRuns()
		revisions := map[string]string{}
		l := &kspec.Loop{Do: func(_ context.Context, t kspec.Target) error {
			r.do(t.Name, time.Second)
			r.mu.Lock()
			defer r.mu.Unlock()
			revisions[t.Name] = t.Revision.Commit
			return nil
		}}
		at := func(name, commit string) kspec.Target {
			t := target(name)
			t.Revision.Commit = commit
			return t
		}
		l.Set([]kspec.Target{at("kept", "1"), at("changed", "1"), at("removed", "1")})
		defer start(t, l)()
		time.Sleep(2 * time.Second)
		l.Set([]kspec.Target{at("kept", "1"), at("changed", "2"), at("added", "2")})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		got := map[string]int{}
		for _, name := range []string{"kept", "changed", "removed", "added"} {
			got[name] = r.count(name)
		}
		if diff := cmp.Diff(map[string]int{"kept": 1, "changed": 2, "removed": 1, "added": 1}, got); diff != "" {
			t.Errorf("runs (-want +got):\n%s", diff)
		}
		if revisions["changed"] != "2" || l.Targets() != 3 {
			t.Errorf("changed ran at %q among %d targets", revisions["changed"], l.Targets())
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if r.count("removed") != 1 {
			t.Error("a removed target ran again")
		}
	})
}

func TestLoopSetWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRuns()
		l := &kspec.Loop{Do: func(_ context.Context, t kspec.Target) error { r.do(t.Name, 10*time.Second); return nil }}
		l.Set([]kspec.Target{target("changed"), target("removed"), target("back")})
		defer start(t, l)()
		time.Sleep(time.Second)
		changed := target("changed")
		changed.Revision.Commit = "2"
		l.Set([]kspec.Target{changed})
		l.Set([]kspec.Target{changed, target("back")})
		time.Sleep(30 * time.Second)
		synctest.Wait()
		got := map[string]int{"changed": r.count("changed"), "removed": r.count("removed"), "back": r.count("back")}
		if diff := cmp.Diff(map[string]int{"changed": 2, "removed": 1, "back": 1}, got); diff != "" {
			t.Errorf("runs (-want +got):\n%s", diff)
		}
		if l.Targets() != 2 {
			t.Errorf("%d targets, want 2", l.Targets())
		}
	})
}

func TestLoopLooksAwayFromSuspendedTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRuns()
		l := &kspec.Loop{Do: func(_ context.Context, t kspec.Target) error { r.do(t.Name, 0); return nil }}
		suspended := target("a")
		suspended.Suspend = true
		l.Set([]kspec.Target{suspended})
		defer start(t, l)()
		l.Poke("a")
		time.Sleep(time.Hour)
		synctest.Wait()
		if r.count("a") != 0 {
			t.Error("a suspended target ran")
		}
		l.Set([]kspec.Target{target("a")})
		synctest.Wait()
		if r.count("a") != 1 {
			t.Errorf("%d runs after it was resumed, want one", r.count("a"))
		}
	})
}

func TestLoopBoundsItsWorkers(t *testing.T) {
	for workers, want := range map[int]int{0: 4, 2: 2, 100: 20} {
		synctest.Test(t, func(t *testing.T) {
			r := newRuns()
			l := &kspec.Loop{Workers: workers, Do: func(_ context.Context, t kspec.Target) error { r.do(t.Name, time.Second); return nil }}
			var targets []kspec.Target
			for i := range 20 {
				targets = append(targets, target(fmt.Sprint(i)))
			}
			l.Set(targets)
			defer start(t, l)()
			time.Sleep(30 * time.Second)
			synctest.Wait()
			if r.most != want {
				t.Errorf("%d workers ran %d at a time, want %d", workers, r.most, want)
			}
			for i := range 20 {
				if r.count(fmt.Sprint(i)) != 1 {
					t.Errorf("target %d ran %d times", i, r.count(fmt.Sprint(i)))
				}
			}
		})
	}
}

// A target that waits for a worker is read when it gets one.
func TestLoopRunsTheNewestRevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRuns()
		l := &kspec.Loop{Workers: 1, Do: func(_ context.Context, t kspec.Target) error {
			r.do(t.Name+"@"+t.Revision.Commit, 10*time.Second)
			return nil
		}}
		old, changed := target("a"), target("a")
		changed.Revision.Commit = "2"
		other := target("b")
		l.Set([]kspec.Target{other})
		defer start(t, l)()
		synctest.Wait()
		l.Set([]kspec.Target{other, old})
		synctest.Wait()
		l.Set([]kspec.Target{other, changed})
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if r.count("a@") != 0 || r.count("a@2") != 1 {
			t.Errorf("ran the old revision %d times and the new one %d times", r.count("a@"), r.count("a@2"))
		}
	})
}

func TestLoopStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var ended, told int
		l := &kspec.Loop{
			Workers: 1, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Done: func(kspec.Target, time.Duration, error) { told++ },
			Do: func(ctx context.Context, _ kspec.Target) error {
				<-ctx.Done()
				time.Sleep(10 * time.Second)
				ended++
				return ctx.Err()
			},
		}
		l.Set([]kspec.Target{target("a"), target("b")})
		stop := start(t, l)
		synctest.Wait()
		stop()
		if ended != 1 || told != 0 || log.Len() > 0 {
			t.Errorf("%d runs ended, %d were told, log %q: want to wait for the one that runs and to tell nothing", ended, told, &log)
		}
	})
}

func TestLoopWakesAtTheInstantThatATargetNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start0 := time.Now()
		boundary := start0.Add(90 * time.Second)
		var looks []time.Duration
		l := &kspec.Loop{
			Do: func(context.Context, kspec.Target) error {
				looks = append(looks, time.Since(start0))
				time.Sleep(40 * time.Second) // so that the second boundary comes during the second look
				return nil
			},
			Wake: func(_ kspec.Target, after time.Time) time.Time {
				for _, at := range []time.Time{boundary, boundary.Add(30 * time.Second)} {
					if at.After(after) {
						return at
					}
				}
				return time.Time{}
			},
		}
		a := target("a")
		a.Interval = time.Hour
		l.Set([]kspec.Target{a})
		stop := start(t, l)
		time.Sleep(10 * time.Minute)
		stop()
		if want := []time.Duration{0, 90 * time.Second, 130 * time.Second}; !slices.Equal(looks, want) {
			t.Errorf("looked after %v, want %v: at each boundary, or at once when a look lasted beyond it", looks, want)
		}
	})
}

func TestLoopTellsOfEveryRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		bad := errors.New("server says no")
		var told []string
		l := &kspec.Loop{
			Log: slog.New(slog.NewTextHandler(&log, nil)),
			Do: func(_ context.Context, t kspec.Target) error {
				time.Sleep(time.Second)
				if t.Name == "bad" {
					return kspec.Terminal(bad)
				}
				return nil
			},
			Done: func(t kspec.Target, took time.Duration, err error) {
				if errors.Is(err, bad) == (t.Name == "bad") && took == time.Second {
					told = append(told, t.Name)
				}
			},
			Workers: 1,
		}
		l.Set([]kspec.Target{target("bad"), target("good")})
		stop := start(t, l)
		time.Sleep(5 * time.Second)
		stop()
		if len(told) != 2 {
			t.Errorf("told of %v, want both", told)
		}
		if n := strings.Count(log.String(), "server says no"); n != 1 || !strings.Contains(log.String(), "target.name=bad") {
			t.Errorf("the failure is logged %d times:\n%s", n, &log)
		}
	})
}

func BenchmarkLoop(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ctx, cancel := context.WithCancel(b.Context())
				left := n
				var mu sync.Mutex
				l := &kspec.Loop{Do: func(context.Context, kspec.Target) error {
					mu.Lock()
					defer mu.Unlock()
					if left--; left == 0 {
						cancel()
					}
					return nil
				}}
				targets := make([]kspec.Target, n)
				for i := range targets {
					targets[i] = target(fmt.Sprint(i))
				}
				l.Set(targets)
				if err := l.Run(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestLoopLogsAFailureWithWhatToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := &kspec.Loop{Log: slog.New(slog.NewTextHandler(&out, nil)), Do: func(context.Context, kspec.Target) error {
			return errors.Join(kspec.WithHint(errors.New("it broke"), "mend it"))
		}}
		l.Set([]kspec.Target{target("a")})
		stop := start(t, l)
		synctest.Wait()
		stop()
		if got := out.String(); !strings.Contains(got, `error="it broke" hint="mend it"`) {
			t.Errorf("the log is %s", got)
		}
	})
}
