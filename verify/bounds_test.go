package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestGuardedOutlivesPanicAndHang(t *testing.T) {
	err := guarded(t.Context(), func() error {
		var body any = 1
		return errors.New(body.(string))
	})
	if err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("panic: got error %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	release := make(chan struct{})
	defer close(release)
	err = guarded(ctx, func() error { <-release; return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hang: got error %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		name     string
		method   string
		status   int
		after    string
		err      error
		attempt  int
		again    bool
		min, max time.Duration
	}{
		{"asked for a second", "GET", 429, "1", nil, 0, true, time.Second, time.Second},
		{"asked for an hour", "GET", 503, "3600", nil, 0, true, longestPause, longestPause},
		{"asked for a date", "GET", 503, "Wed, 21 Oct 2099 07:28:00 GMT", nil, 0, true, firstPause, 2 * firstPause},
		{"asked for the past", "GET", 503, "-1", nil, 1, true, 2 * firstPause, 3 * firstPause},
		{"the last attempt", "GET", 503, "", nil, attempts - 1, false, 0, 0},
		{"not found", "GET", 404, "", nil, 0, false, 0, 0},
		{"a write", "POST", 503, "", nil, 0, false, 0, 0},
		{"cut off", "GET", 0, "", fmt.Errorf("read: %w", io.ErrUnexpectedEOF), 0, true, firstPause, 2 * firstPause},
		{"reset", "HEAD", 0, "", fmt.Errorf("read: %w", syscall.ECONNRESET), 0, true, firstPause, 2 * firstPause},
		{"refused", "GET", 0, "", syscall.ECONNREFUSED, 0, false, 0, time.Minute},
	} {
		resp := &http.Response{StatusCode: c.status, Header: http.Header{"Retry-After": {c.after}}, Body: http.NoBody}
		pause, again := retryAfter(&http.Request{Method: c.method}, resp, c.err, c.attempt)
		if again != c.again || pause < c.min || pause > c.max {
			t.Errorf("%s: got %s, %t, want %t within %s and %s", c.name, pause, again, c.again, c.min, c.max)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(time.Now)
	for i := range 2 * cacheSize {
		c.put(reference{host: "h", path: "p", digest: fmt.Sprint(i)}, nil, verdict{signed: i%2 == 0})
	}
	if n := len(c.entries); n > cacheSize {
		t.Errorf("%d entries, want at most %d", n, cacheSize)
	}
	if _, ok := c.get(reference{host: "h", path: "p", digest: fmt.Sprint(2*cacheSize - 1)}, nil); !ok {
		t.Error("the newest entry is gone")
	}
}

func TestRefuseLinkLocal(t *testing.T) {
	for address, refused := range map[string]bool{
		"169.254.169.254:80": true, "[::ffff:169.254.169.254]:80": true, "[fe80::1%eth0]:443": true, "[fd00:ec2::254]:80": true,
		"0.0.0.0:443": true, "[::]:443": true, "224.0.0.1:443": true, "no address": true,
		"10.0.0.1:443": false, "140.82.112.33:443": false, "127.0.0.1:5000": false, "[2606:50c0::1]:443": false,
	} {
		if err := refuseLinkLocal("tcp", address, nil); (err != nil) != refused {
			t.Errorf("%s: got error %v, want refused %t", address, err, refused)
		}
	}
}

func TestPrintable(t *testing.T) {
	if got := printable("say \"a\"\x1b[2J\u202e\n"); got != `say "a"\x1b[2J\u202e\n` {
		t.Errorf("got %s", got)
	}
	if got := printable(strings.Repeat("é", 1000)); len(got) > 700 {
		t.Errorf("%d bytes", len(got))
	}
}
