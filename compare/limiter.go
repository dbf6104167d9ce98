package compare

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// This file adapts how many requests are made at a time to the API server. More
// are made while answers come as fast as before, and half as many when it says
// that they are too many, fails, or does not answer: others want to be served,
// too.

// pace is what is known of how much a server takes. Its methods return the next
// pace and change nothing.
type pace struct {
	// limit is how many requests may be on their way, most of a whole.
	limit float64
	// usual and recent are how long an answer takes, smoothed: at best, and
	// now.
	usual, recent time.Duration
	// since is when the limit was cut; what was sent before tells nothing new.
	since time.Time
	// until is when the server wants to be asked again.
	until time.Time
}

const (
	startPace = 4
	// patience is how many times as long as usual an answer may take before the
	// limit stops growing.
	patience = 2
	// longestPause bounds what a server may ask for: others of its answers
	// may still come in time.
	longestPause = 5 * time.Second
)

// served is the pace after an answer that took so long, when busy requests were
// on their way and there may be most.
func (p pace) served(took time.Duration, busy, most int) pace {
	if p.recent == 0 {
		p.usual, p.recent = took, took
	}
	p.recent += (took - p.recent) / 8
	p.usual += (p.recent - p.usual) / 256 // a server may become slower for good
	p.usual = min(p.usual, p.recent)
	switch {
	case p.recent > 2*patience*p.usual:
		p.limit -= 1 / p.limit
	case p.recent <= patience*p.usual && float64(busy) >= p.limit-1: // the limit is what holds back
		p.limit += 1 / p.limit
	}
	p.limit = max(1, min(p.limit, float64(most)))
	return p
}

// refused is the pace after a request, sent at a time, that was too many or
// failed. The server may say after how long it wants to be asked again.
func (p pace) refused(sent, now time.Time, after time.Duration) pace {
	if until := now.Add(min(after, longestPause)); after > 0 && until.After(p.until) {
		p.until = until
	}
	if !sent.Before(p.since) {
		p.limit, p.since = max(1, p.limit/2), now
	}
	return p
}

// limiter lets as many requests through as the server takes.
type limiter struct {
	mu   sync.Mutex
	pace pace
	busy int
	wake chan struct{} // closed when something may have changed
}

func newLimiter() *limiter {
	return &limiter{pace: pace{limit: startPace}, wake: make(chan struct{})}
}

// enter waits until one of at most so many requests may be made; leave must
// follow. It fails when ctx ends.
func (l *limiter) enter(ctx context.Context, most int) error {
	for {
		l.mu.Lock()
		pause := time.Until(l.pace.until)
		if pause <= 0 && l.busy < min(max(1, int(l.pace.limit)), most) {
			l.busy++
			l.mu.Unlock()
			return nil
		}
		wake := l.wake
		l.mu.Unlock()
		if pause <= 0 {
			pause = longestPause // someone leaves before
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// leave ends a request that took so long; ok is false when it says nothing of
// how fast the server answers.
func (l *limiter) leave(took time.Duration, most int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ok {
		l.pace = l.pace.served(took, l.busy, most)
	}
	l.busy--
	l.signal()
}

func (l *limiter) refused(sent time.Time, after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pace = l.pace.refused(sent, time.Now(), after)
	l.signal()
}

func (l *limiter) signal() {
	close(l.wake)
	l.wake = make(chan struct{})
}

// ear hears every answer of a server, also those upon which client-go asks
// again by itself.
type ear struct {
	next    http.RoundTripper
	limiter *limiter
}

// RoundTrip implements [http.RoundTripper].
func (e ear) RoundTrip(req *http.Request) (*http.Response, error) {
	sent := time.Now()
	resp, err := e.next.RoundTrip(req)
	switch {
	case err != nil && req.Context().Err() == context.Canceled: // nobody waits for it
	case err != nil:
		e.limiter.refused(sent, 0)
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode >= http.StatusInternalServerError:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // a date is not used by API servers
		e.limiter.refused(sent, time.Duration(max(0, seconds))*time.Second)
	}
	return resp, err
}
