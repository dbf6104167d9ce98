package github

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/remediate"
)

const (
	attempts  = 4
	maxAnswer = 16 << 20
	maxWait   = 10 * time.Second // that a request is held up for; longer is the caller's
	maxPark   = time.Hour
)

// requestError is a request without an answer. Its text holds no URL.
type requestError struct {
	err     error
	notSent bool // it cannot have reached GitHub
}

func (e *requestError) Error() string { return e.err.Error() }
func (e *requestError) Unwrap() error { return e.err }

func notSent(err error) bool {
	e, ok := errors.AsType[*requestError](err)
	return ok && e.notSent
}

// transport is the one way to GitHub. What it adds to a RoundTripper:
//
//   - the token, for the one host that it is meant for;
//   - bounds: time, size, redirects only within the host;
//   - tries again what cannot do harm: a request that reads, or that sets what
//     it sets however often it is sent, after a failure of the server or the
//     connection; a POST only when it was not sent;
//   - changes go one at a time, with a pause in between;
//   - a rate limit becomes a [remediate.RetryError], and until then nothing is
//     sent at all;
//   - answers are kept by URL and asked for again by ETag, which is free.
type transport struct {
	base           *url.URL
	next           http.RoundTripper
	token          kspec.Secret
	log            *slog.Logger
	now            func() time.Time
	pause, backoff time.Duration
	timeout        time.Duration
	cache          cache
	turn           chan time.Time // of requests that change: when the last one ended
	limit          limitUntil
}

func newTransport(base *url.URL, o Options) *transport {
	t := &transport{
		base: base, next: o.Transport, token: o.Token, log: o.Log, now: o.Now,
		pause: cmp.Or(o.Pause, time.Second), backoff: cmp.Or(o.Backoff, 500*time.Millisecond),
		timeout: cmp.Or(o.Timeout, 30*time.Second), turn: make(chan time.Time, 1),
	}
	if t.next == nil {
		t.next = http.DefaultTransport
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	if t.now == nil {
		t.now = time.Now
	}
	t.turn <- time.Time{}
	return t
}

// redirect follows GitHub's answer for a renamed repository, and nothing else.
func (t *transport) redirect(req *http.Request, via []*http.Request) error {
	var why string
	switch {
	case req.URL.Host != t.base.Host || req.URL.Scheme != t.base.Scheme:
		why = "to another host, which kspec does not follow"
	case req.Method != via[0].Method:
		why = "a request that changes something: the repository was renamed or moved"
	case len(via) > 3:
		why = "in a circle"
	default:
		return nil
	}
	return &requestError{err: kspec.Terminal(errors.New("GitHub redirects " + why)), notSent: true}
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != t.base.Host || req.URL.Scheme != t.base.Scheme {
		return nil, &requestError{err: kspec.Terminal(fmt.Errorf("GitHub's answer leads to %s, which is not its host", req.URL.Host)), notSent: true}
	}
	body, err := bodyOf(req)
	if err != nil {
		return nil, err
	}
	if req.Method == http.MethodGet {
		return t.try(req, nil)
	}
	select {
	case last := <-t.turn:
		defer func() { t.turn <- t.now() }()
		if err := sleep(req.Context(), t.pause-t.now().Sub(last)); err != nil {
			return nil, err
		}
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	return t.try(req, body)
}

func bodyOf(req *http.Request) ([]byte, error) {
	if req.Body == nil {
		return nil, nil
	}
	defer req.Body.Close()
	return io.ReadAll(req.Body)
}

// try sends a request until there is an answer worth having.
func (t *transport) try(req *http.Request, body []byte) (*http.Response, error) {
	for i := 0; ; i++ {
		if err := t.limit.check(t.now()); err != nil {
			return nil, err
		}
		resp, err := t.once(req, body)
		wait, again := t.again(req, resp, err, i)
		if !again {
			return resp, err
		}
		t.log.InfoContext(req.Context(), "github request is tried again", "method", req.Method, "path", req.URL.Path, "attempt", i+1, "wait", wait)
		if err := sleep(req.Context(), wait); err != nil {
			return nil, err
		}
	}
}

// again decides whether a request is sent once more, and after how long.
func (t *transport) again(req *http.Request, resp *http.Response, err error, i int) (time.Duration, bool) {
	if i+1 >= attempts || req.Context().Err() != nil {
		return 0, false
	}
	if retry, ok := errors.AsType[*remediate.RetryError](err); ok { // it was not carried out, whatever it was
		wait := retry.At.Sub(t.now())
		return wait, wait <= maxWait
	}
	failed := err != nil || resp.StatusCode >= http.StatusInternalServerError && resp.StatusCode != http.StatusNotImplemented
	safe := req.Method != http.MethodPost || notSent(err)
	wait := t.after(i)
	if resp != nil {
		wait = max(wait, min(retryAfter(resp.Header, t.now()).Sub(t.now()), maxWait))
	}
	return wait, failed && safe
}

// after returns the wait before attempt i+1: it doubles, up to maxWait, and is
// spread so that many clients do not come back at once.
func (t *transport) after(i int) time.Duration {
	wait := min(t.backoff<<i, maxWait)
	return wait/2 + rand.N(wait/2+1)
}

// wait sleeps before look number i, and not before the first.
func (t *transport) wait(ctx context.Context, i int) error {
	if i == 0 {
		return nil
	}
	return sleep(ctx, t.after(i))
}

// once sends a request and reads the whole answer, within bounds.
func (t *transport) once(req *http.Request, body []byte) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), t.timeout)
	defer cancel()
	known, isKnown := t.cache.get(req)
	resp, err := t.next.RoundTrip(t.outgoing(ctx, req, body, known))
	if err != nil {
		return nil, t.failed(req, err)
	}
	answer, err := t.read(req, resp)
	if err != nil {
		return nil, err
	}
	if at, ok := limited(resp, answer, t.now()); ok {
		return nil, t.limit.set(at, fmt.Errorf("GitHub asks to be left alone: %d %s", resp.StatusCode, t.clean(wordsOf(answer))))
	}
	if isKnown && resp.StatusCode == http.StatusNotModified {
		return known.response(req), nil
	}
	fresh := kept{resp.StatusCode, resp.Header, answer}
	t.cache.put(req, fresh)
	return fresh.response(req), nil
}

// outgoing returns the request as it is sent. It alone holds the token.
func (t *transport) outgoing(ctx context.Context, req *http.Request, body []byte, known kept) *http.Request {
	out := req.Clone(ctx)
	if body != nil {
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		out.Body = io.NopCloser(bytes.NewReader(body))
	}
	if !t.token.IsZero() {
		out.Header.Set("Authorization", "Bearer "+t.token.Reveal())
	}
	if etag := known.header.Get("ETag"); etag != "" {
		out.Header.Set("If-None-Match", etag)
	}
	return out
}

func (t *transport) read(req *http.Request, resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, t.failed(req, err)
	}
	if len(answer) > maxAnswer {
		return nil, &requestError{err: fmt.Errorf("the answer to %s %s has more than %d bytes", req.Method, req.URL.Path, maxAnswer)}
	}
	return answer, nil
}

// failed says that there was no answer. When the connection could not even be
// made, nothing was sent.
func (t *transport) failed(req *http.Request, err error) error {
	if ctxErr := req.Context().Err(); ctxErr != nil {
		return ctxErr
	}
	why := t.clean(err.Error())
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "dial" || op.Op == "proxyconnect") {
		return &requestError{err: fmt.Errorf("cannot reach %s: %s", req.URL.Host, why), notSent: true}
	}
	return &requestError{err: fmt.Errorf("no answer from %s: %s", req.URL.Host, why)}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// retryAfter reads the header of that name: seconds, or a date.
func retryAfter(h http.Header, now time.Time) time.Time {
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return now.Add(time.Duration(min(max(seconds, 0), int(maxPark.Seconds()))) * time.Second)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return time.Time{}
	}
	return at
}
