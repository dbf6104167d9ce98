package compare

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestThePaceFollowsTheServer(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	fast, slow := 10*time.Millisecond, 400*time.Millisecond
	serve := func(p pace, n int, took time.Duration, busy int) pace {
		for range n {
			p = p.served(took, busy, 16)
		}
		return p
	}
	fresh := pace{limit: startPace}
	for name, c := range map[string]struct {
		got      pace
		min, max float64
	}{
		"grows while answers are fast":       {serve(fresh, 40, fast, 16), 8, 16},
		"not beyond what is allowed":         {serve(fresh, 1000, fast, 16), 16, 16},
		"not when it is not what holds back": {serve(fresh, 1000, fast, 1), startPace, startPace},
		"shrinks when answers become slow":   {serve(serve(fresh, 40, fast, 16), 30, slow, 16), 1, 7},
		"stays where it is at double time":   {serve(serve(fresh, 1, fast, 1), 3, 25*time.Millisecond, 16), startPace, 5},
		"gets used to a server that is slow": {serve(serve(fresh, 40, fast, 16), 5000, slow, 16), 8, 16},
		"never below one":                    {serve(pace{limit: 1, usual: fast, recent: slow}, 20, slow, 1), 1, 1},
		"halves when refused":                {pace{limit: 8}.refused(now, now, 0), 4, 4},
		"once for what was sent together":    {pace{limit: 8}.refused(now, now.Add(1), 0).refused(now, now.Add(2), 0), 4, 4},
		"again for what was sent after":      {pace{limit: 8}.refused(now, now.Add(1), 0).refused(now.Add(2), now.Add(3), 0), 2, 2},
		"nor below one when refused":         {pace{limit: 1}.refused(now, now, 0), 1, 1},
	} {
		if c.got.limit < c.min || c.got.limit > c.max {
			t.Errorf("%s: limit %.2f, want %v to %v", name, c.got.limit, c.min, c.max)
		}
	}
}

func TestRetryAfterIsHonouredWithinReason(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for after, want := range map[time.Duration]time.Time{
		0: {}, 2 * time.Second: now.Add(2 * time.Second), time.Hour: now.Add(longestPause),
	} {
		if got := (pace{limit: 8}).refused(now, now, after).until; !got.Equal(want) {
			t.Errorf("after %s: until %s, want %s", after, got, want)
		}
	}
	p := pace{limit: 8}.refused(now, now, 3*time.Second).refused(now, now, time.Second)
	if !p.until.Equal(now.Add(3 * time.Second)) {
		t.Errorf("a shorter wish shortens a longer one to %s", p.until)
	}
}

func TestNobodyEntersBeforeSomeoneLeavesOrTheServerWantsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter()
		for range 2 {
			if err := l.enter(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
		}
		entered := make(chan error, 1)
		go func() { entered <- l.enter(t.Context(), 2) }()
		synctest.Wait()
		if len(entered) != 0 {
			t.Fatal("a third entered where two may be")
		}
		l.leave(time.Millisecond, 2, true)
		if err := <-entered; err != nil {
			t.Fatal(err)
		}
		l.leave(time.Millisecond, 2, true)
		l.leave(time.Millisecond, 2, false)

		start := time.Now()
		l.refused(start, 2*time.Second)
		if err := l.enter(t.Context(), 2); err != nil || time.Since(start) != 2*time.Second {
			t.Errorf("entered %s after a server asked for 2s: %v", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		l.refused(time.Now(), time.Minute)
		if err := l.enter(ctx, 2); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waited beyond the deadline: %v", err)
		}
	})
}

// answers is a server with one answer.
type answers func(*http.Request) (*http.Response, error)

func (f answers) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestEveryAnswerOfTheServerIsHeard(t *testing.T) {
	status := func(code int, after string) answers {
		return func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: code, Header: http.Header{"Retry-After": {after}}, Body: http.NoBody}, nil
		}
	}
	broken := answers(func(*http.Request) (*http.Response, error) { return nil, errors.New("broken") })
	for name, c := range map[string]struct {
		server answers
		cancel bool
		limit  float64
		pauses bool
	}{
		"200":                  {status(200, ""), false, startPace, false},
		"404":                  {status(404, ""), false, startPace, false},
		"429":                  {status(429, ""), false, startPace / 2, false},
		"429 with Retry-After": {status(429, "3"), false, startPace / 2, true},
		"503 with Retry-After": {status(503, "1"), false, startPace / 2, true},
		"429 with nonsense":    {status(429, "soon"), false, startPace / 2, false},
		"no answer":            {broken, false, startPace / 2, false},
		"nobody waits for it":  {broken, true, startPace, false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.cancel {
				cancel()
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			l := newLimiter()
			if resp, err := (ear{c.server, l}).RoundTrip(req); err == nil {
				_ = resp.Body.Close()
			}
			if l.pace.limit != c.limit || l.pace.until.After(time.Now()) != c.pauses {
				t.Errorf("pace %+v, want limit %v, pausing %v", l.pace, c.limit, c.pauses)
			}
		})
	}
}

func TestAnswersFromNearbyAreNotCompressed(t *testing.T) {
	for host, want := range map[string]bool{
		"https://127.0.0.1:6443": true, "https://localhost": true, "https://10.96.0.1": true, "https://[::1]:6443": true, "192.168.1.7:6443": true,
		"https://api.example.org": false, "https://203.0.113.9:6443": false, "": false,
	} {
		if got := near(host); got != want {
			t.Errorf("near(%q) = %v", host, got)
		}
	}
}
