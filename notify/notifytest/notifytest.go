// Package notifytest holds the exam that every receiver passes. What it asks
// is what package notify relies on: a receiver says truly whether a message
// was taken, says what can be done when it was not, gives up when it is told
// to, goes nowhere it is not allowed, and never tells a secret.
package notifytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec/fixtures/receivers"
	"github.com/cloudcwfranck/kspec/notify/deliver"
)

// Canary is the secret that the exam plants. It needs escaping in addresses
// and in JSON, so that an escaped copy is told from the plain one.
const Canary = "canary-7f3a+K/9=z"

// New makes the receiver under exam: one that sends to the server at address
// by client, and holds secret where its credential belongs.
type New func(client *deliver.Client, address, secret string) (deliver.Receiver, error)

// Run examines a receiver. The yes of its server is what accept answers.
func Run(t *testing.T, newReceiver New, accept http.HandlerFunc) {
	t.Helper()
	e := exam{newReceiver, accept}
	t.Run("takes a yes for a yes", e.yes)
	t.Run("classes every status", e.statuses)
	t.Run("tries again with the same body", e.sameBody)
	t.Run("waits as long as it is asked", e.retryAfter)
	t.Run("stops when it is told", e.cancel)
	t.Run("survives a broken server", e.broken)
	t.Run("follows no redirect", e.redirect)
	t.Run("goes to no private address", e.private)
	t.Run("sends side by side", e.concurrent)
}

type exam struct {
	new    New
	accept http.HandlerFunc
}

// server counts and keeps requests, and answers by a script, then yes.
type server struct {
	*httptest.Server
	receivers.Script
	mu     sync.Mutex
	bodies []string
}

func (e exam) serve(t testing.TB, faults ...receivers.Fault) *server {
	t.Helper()
	s := &server{}
	s.Then(faults...)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.mu.Lock()
		s.bodies = append(s.bodies, string(body))
		s.mu.Unlock()
		if f := s.Next(); f != nil {
			f(w, r, func() {})
			return
		}
		e.accept(w, r)
	}))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s *server) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.bodies...)
}

func (e exam) receiver(t testing.TB, address string) deliver.Receiver {
	t.Helper()
	r, err := e.new(deliver.NewClient(deliver.Options{
		Guard:   deliver.Guard{AllowLoopbackHTTP: true},
		MinWait: time.Millisecond, MaxWait: 2 * time.Second, Timeout: 200 * time.Millisecond,
	}), address, Canary)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (e exam) yes(t *testing.T) {
	s := e.serve(t)
	if err := e.receiver(t, s.URL).Send(t.Context(), Message()); err != nil {
		t.Errorf("Send: %v", err)
	}
	if got := len(s.got()); got != 1 {
		t.Errorf("%d requests, want 1", got)
	}
}

func (e exam) statuses(t *testing.T) {
	for _, tt := range []struct {
		status int
		want   deliver.Class
	}{
		{301, deliver.Destination},
		{304, deliver.Destination},
		{400, deliver.Payload},
		{401, deliver.Destination},
		{403, deliver.Destination},
		{404, deliver.Destination},
		{405, deliver.Payload},
		{408, deliver.Retry},
		{409, deliver.Payload},
		{410, deliver.Destination},
		{413, deliver.Payload},
		{415, deliver.Payload},
		{418, deliver.Payload},
		{422, deliver.Payload},
		{425, deliver.Retry},
		{429, deliver.RetryAfter},
		{500, deliver.Retry},
		{501, deliver.Retry},
		{502, deliver.Retry},
		{503, deliver.RetryAfter},
		{504, deliver.Retry},
		{599, deliver.Retry},
	} {
		t.Run(fmt.Sprint(tt.status), func(t *testing.T) {
			s := e.serve(t, receivers.Times(10, receivers.Echo(tt.status))...)
			err := LeaksNothing(t, e.receiver(t, s.URL), Canary)
			if err == nil || deliver.ClassOf(err) != tt.want {
				t.Errorf("error %v of class %s, want %s", err, deliver.ClassOf(err), tt.want)
			}
			attempts := 3
			if tt.want.Permanent() {
				attempts = 1
			}
			if got := len(s.got()); got != attempts {
				t.Errorf("%d requests, want %d", got, attempts)
			}
		})
	}
}

func (e exam) sameBody(t *testing.T) {
	s := e.serve(t, receivers.Status(500, ""), receivers.Refuse())
	if err := e.receiver(t, s.URL).Send(t.Context(), Message()); err != nil {
		t.Fatalf("Send: %v", err)
	}
	got := s.got()
	if len(got) != 3 || got[0] == "" {
		t.Fatalf("%d requests, want 3: %q", len(got), got)
	}
	if diff := cmp.Diff([]string{got[0], got[0], got[0]}, got); diff != "" {
		t.Errorf("bodies differ (-first +got):\n%s", diff)
	}
}

func (e exam) retryAfter(t *testing.T) {
	t.Run("a second", func(t *testing.T) {
		s := e.serve(t, receivers.TooMany("1"))
		start := time.Now()
		if err := e.receiver(t, s.URL).Send(t.Context(), Message()); err != nil {
			t.Errorf("Send: %v", err)
		}
		if took := time.Since(start); took < time.Second || len(s.got()) != 2 {
			t.Errorf("%d requests in %s, want 2 in a second or more", len(s.got()), took)
		}
	})
	for _, tt := range []struct {
		name, header string
		requests     int
		min, max     time.Duration
	}{
		{"absent", "", 3, 0, 0},
		{"no number", "soon", 3, 0, 0},
		{"negative", "-5", 3, 0, 0},
		{"past date", receivers.Date(time.Now().Add(-time.Hour)), 3, 0, 0},
		{"too long to wait", "60", 1, time.Minute, time.Minute},
		{"date", receivers.Date(time.Now().Add(time.Minute)), 1, 50 * time.Second, time.Minute},
		{"a day", "86400", 1, 15 * time.Minute, 15 * time.Minute},
		{"more than a number holds", "99999999999999999999999", 1, 15 * time.Minute, 15 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := e.serve(t, receivers.Times(10, receivers.TooMany(tt.header))...)
			err := e.receiver(t, s.URL).Send(t.Context(), Message())
			if deliver.ClassOf(err) != deliver.RetryAfter || err == nil {
				t.Errorf("error %v, want one of class %s", err, deliver.RetryAfter)
			}
			if after := deliver.AfterOf(err); after < tt.min || after > tt.max {
				t.Errorf("after %s, want %s to %s", after, tt.min, tt.max)
			}
			if got := len(s.got()); got != tt.requests {
				t.Errorf("%d requests, want %d", got, tt.requests)
			}
		})
	}
}

func (e exam) cancel(t *testing.T) {
	s := e.serve(t, receivers.Times(10, receivers.TooMany("2"))...)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	err := e.receiver(t, s.URL).Send(ctx, Message())
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %s after the context was done", took)
	}
	if !errors.Is(err, context.DeadlineExceeded) || deliver.ClassOf(err).Permanent() {
		t.Errorf("error %v, want the context's, and not permanent", err)
	}
}

func (e exam) broken(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault receivers.Fault
	}{
		{"resets the connection", receivers.Refuse()},
		{"resets after it took the message", receivers.Reset()},
		{"never answers", receivers.Stall()},
		{"drips an error", receivers.Drip(500, 10*time.Millisecond)},
		{"answers with ten megabytes of error", receivers.Huge(500, 10<<20)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := e.serve(t, receivers.Times(3, tt.fault)...)
			r := e.receiver(t, s.URL)
			start := time.Now()
			if err := LeaksNothing(t, r, Canary); err == nil || deliver.ClassOf(err) != deliver.Retry {
				t.Errorf("error %v of class %s, want %s", err, deliver.ClassOf(err), deliver.Retry)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
			if err := r.Send(t.Context(), Message()); err != nil {
				t.Errorf("Send to the mended server: %v", err)
			}
		})
	}
	t.Run("is not there", func(t *testing.T) {
		s := e.serve(t)
		s.Close()
		if err := LeaksNothing(t, e.receiver(t, s.URL), Canary); err == nil || deliver.ClassOf(err) != deliver.Retry {
			t.Errorf("error %v, want one of class %s", err, deliver.Retry)
		}
	})
}

func (e exam) redirect(t *testing.T) {
	other := e.serve(t)
	for _, code := range []int{301, 302, 303, 307, 308} {
		s := e.serve(t, func(w http.ResponseWriter, r *http.Request, _ func()) {
			http.Redirect(w, r, other.URL, code)
		})
		if err := LeaksNothing(t, e.receiver(t, s.URL), Canary); err == nil || deliver.ClassOf(err) != deliver.Destination {
			t.Errorf("%d: error %v, want one of class %s", code, err, deliver.Destination)
		}
	}
	if got := other.got(); len(got) != 0 {
		t.Errorf("the redirect was followed: %q", got)
	}
}

func (e exam) private(t *testing.T) {
	s := e.serve(t)
	address := strings.Replace(s.URL, "http://", "https://", 1)
	r, err := e.new(deliver.NewClient(deliver.Options{}), address, Canary)
	if err != nil { // refused when it was made
		noSecret(t, err, Canary)
		return
	}
	if err := LeaksNothing(t, r, Canary); err == nil || deliver.ClassOf(err) != deliver.Destination {
		t.Errorf("error %v, want one of class %s", err, deliver.Destination)
	}
	if got := s.got(); len(got) != 0 {
		t.Errorf("a request went out: %q", got)
	}
}

func (e exam) concurrent(t *testing.T) {
	s := e.serve(t)
	r := e.receiver(t, s.URL)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := r.Send(t.Context(), Message()); err != nil {
				t.Errorf("Send: %v", err)
			}
		})
	}
	wg.Wait()
	if got := len(s.got()); got != 8 {
		t.Errorf("%d requests, want 8", got)
	}
}
