package deliver

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/cloudcwfranck/kspec"
)

const (
	defaultAttempts = 3
	defaultTimeout  = 10 * time.Second
	defaultMinWait  = time.Second
	defaultMaxWait  = 10 * time.Second
	// maxDelivery bounds all attempts of one delivery and the waits between
	// them.
	maxDelivery = 2 * time.Minute
	// maxReply is how much of an answer is read.
	maxReply = 64 << 10
)

// Options of a [Client]; the zero value works.
type Options struct {
	Guard
	// MinWait and MaxWait bound the wait between two attempts, one second and
	// ten seconds when 0. A receiver that asks for more than MaxWait is not
	// waited for: the delivery ends with [RetryAfter].
	MinWait, MaxWait time.Duration
	// Timeout is of each attempt of a request that names none, ten seconds
	// when 0.
	Timeout time.Duration
	// Now reads dates that receivers send; nil means time.Now.
	Now func() time.Time
}

// Client sends requests to receivers. It is safe for concurrent use.
type Client struct {
	Guard
	o         Options
	transport http.RoundTripper
}

// NewClient returns a Client whose requests share one pool of connections.
func NewClient(o Options) *Client {
	o.MinWait = cmp.Or(o.MinWait, defaultMinWait)
	o.MaxWait = cmp.Or(o.MaxWait, defaultMaxWait)
	o.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Client{Guard: o.Guard, o: o, transport: o.Guard.Transport()}
}

// Request is one HTTP request to a receiver.
type Request struct {
	// Method is POST when empty.
	Method string
	URL    kspec.Secret
	Header http.Header
	Body   []byte
	// Attempts are three when 0, and Timeout, of each, is the client's.
	Attempts int
	Timeout  time.Duration
	// Accept, when set, judges an answer with a 2xx status. It returns nil or
	// an [*Error].
	Accept func(status int, body []byte) error
	// Explain, when set, names the reason of another answer, "" when it does
	// not know it. It must not repeat what it does not know.
	Explain func(status int, body []byte) string
}

// Send sends r until it is accepted, refused for good, or tried often enough.
// An answer is read up to 64 KB, redirects are not followed, and the error is
// an [*Error].
func (c *Client) Send(ctx context.Context, r Request) error {
	if _, err := c.CheckURL(r.URL.Reveal()); err != nil {
		return &Error{Class: Destination, Reason: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, maxDelivery)
	defer cancel()
	req, err := retryablehttp.NewRequestWithContext(ctx, cmp.Or(r.Method, http.MethodPost), r.URL.Reveal(), r.Body)
	if err != nil {
		return &Error{Class: Destination, Reason: "the request cannot be made from its method and address"}
	}
	req.Header = r.Header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header.Set("User-Agent", "kspec")
	req.SetResponseHandler(c.judge(r))
	resp, err := c.retrying(r).Do(req)
	if resp != nil {
		defer resp.Body.Close()
	}
	switch {
	case err != nil:
		return transportError(err)
	case resp == nil:
		return &Error{Class: Retry, Reason: "the receiver did not answer"}
	case resp.StatusCode/100 != 2: // judged already, but the attempts were used up first
		return c.judge(r)(resp)
	default:
		return nil
	}
}

// judge returns what reads an answer and says whether it is a yes.
func (c *Client) judge(r Request) retryablehttp.ResponseHandlerFunc {
	return func(resp *http.Response) error {
		body, readErr := io.ReadAll(io.LimitReader(resp.Body, maxReply))
		if e := statusError(resp, c.o.Now()); e != nil {
			if r.Explain != nil {
				e.Reason = cmp.Or(r.Explain(resp.StatusCode, bytes.TrimSpace(body)), e.Reason)
			}
			return e
		}
		switch {
		case r.Accept == nil:
			return nil
		case readErr != nil:
			return transportError(readErr)
		default:
			return r.Accept(resp.StatusCode, body)
		}
	}
}

// retrying returns the client of one delivery. It never logs: what it would
// log is the address.
func (c *Client) retrying(r Request) *retryablehttp.Client {
	return &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport:     c.transport,
			Timeout:       cmp.Or(r.Timeout, c.o.Timeout),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryMax:     cmp.Or(r.Attempts, defaultAttempts) - 1,
		RetryWaitMin: c.o.MinWait,
		RetryWaitMax: c.o.MaxWait,
		CheckRetry:   c.checkRetry,
		Backoff:      c.backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
}

// checkRetry is asked twice about an attempt: with the bare answer, and with
// the verdict of judge on it.
func (c *Client) checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	var e *Error
	switch {
	case err != nil:
		e = transportError(err)
	case resp != nil:
		e = statusError(resp, c.o.Now())
	}
	if e == nil || e.Class.Permanent() || e.After > c.o.MaxWait {
		return false, nil
	}
	return !errors.Is(err, context.Canceled), nil
}

// backoff waits as long as the receiver asks for, else about twice as long
// each time, with jitter.
func (c *Client) backoff(least, most time.Duration, attempt int, resp *http.Response) time.Duration {
	if resp != nil {
		if e := statusError(resp, c.o.Now()); e != nil && e.After > 0 {
			return min(e.After, most)
		}
	}
	wait := min(least<<min(attempt, 16), most)
	return wait/2 + rand.N(wait/2+1)
}
