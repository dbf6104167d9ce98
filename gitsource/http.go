package gitsource

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/hashicorp/go-retryablehttp"

	"github.com/cloudcwfranck/kspec"
)

// The two requests of a fetch, GET info/refs and POST git-upload-pack, change
// nothing on the server, so that both may be sent again until an answer has
// begun. Each Source has its own client: go-git's table of protocols is global
// and not synchronised, and is left alone.

const (
	retries = 3
	// maxWait caps what a server may ask for by Retry-After.
	maxWait = 5 * time.Second
	// maxRefs and maxError bound answers that go-git reads whole.
	maxRefs  = 64 << 20
	maxError = 64 << 10
)

// newHTTP returns a way to open sessions with the server of a.
func newHTTP(a address, auth Auth, limits Limits) (dialer, error) {
	base, err := baseTransport(auth.CABundle)
	if err != nil {
		return nil, err
	}
	retrying := &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport: base,
			// Hand redirects up: the client above decides about them.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryMax:     retries,
		RetryWaitMin: 100 * time.Millisecond,
		RetryWaitMax: maxWait,
		CheckRetry:   retryable,
		Backoff:      backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	client := githttp.NewClient(&http.Client{
		Transport:     bounded{&retryablehttp.RoundTripper{Client: retrying}, limits.PackBytes},
		CheckRedirect: sameHost,
	})
	var basic transport.AuthMethod
	if !auth.Token.IsZero() {
		basic = &githttp.BasicAuth{Username: auth.user(), Password: auth.Token.Reveal()}
	}
	return func(context.Context) (transport.UploadPackSession, error) {
		return client.NewUploadPackSession(&transport.Endpoint{
			Protocol: a.scheme, Host: hostOf(a), Port: a.port, Path: a.path,
		}, basic)
	}, nil
}

func hostOf(a address) string {
	a.port = 0
	return a.hostPort()
}

// user returns the name to send with a token. Forges that look at the token
// alone, which most do, take this one.
func (a Auth) user() string {
	if a.Username == "" {
		return "x-access-token"
	}
	return a.Username
}

func baseTransport(bundle []byte) (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if len(bundle) == 0 {
		return t, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(bundle) {
		return nil, kspec.WithHint(errors.New("CA bundle: holds no certificate"), "give certificates in PEM form")
	}
	t.TLSClientConfig.RootCAs = roots
	return t, nil
}

func retryable(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if resp != nil {
		switch resp.StatusCode {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true, nil
		}
		return false, nil
	}
	again, _ := retryablehttp.DefaultRetryPolicy(ctx, nil, err)
	return again, nil
}

func backoff(least, most time.Duration, attempt int, resp *http.Response) time.Duration {
	if resp != nil {
		if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s >= 0 {
			return min(time.Duration(s)*time.Second, most)
		}
	}
	return retryablehttp.DefaultBackoff(least, most, attempt, nil)
}

// sameHost follows a redirect only when scheme, host and port stay, as a forge
// does for a repository that was renamed.
func sameHost(req *http.Request, via []*http.Request) error {
	from := via[0].URL
	if req.URL.Scheme == from.Scheme && req.URL.Host == from.Host {
		return nil
	}
	return kspec.WithHint(fmt.Errorf("%w: %s", ErrRedirect, req.URL.Host),
		"when the repository has moved, change its URL; nothing was sent to the other host")
}

// bounded ends bodies that are longer than any sound answer.
type bounded struct {
	next http.RoundTripper
	pack int64
}

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	most := int64(maxRefs)
	switch {
	case resp.StatusCode >= 300:
		most = maxError
	case req.Method == http.MethodPost:
		// The pack is measured by itself; this is for what comes around it.
		most = b.pack + b.pack/8 + maxRefs
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, most), resp.Body}
	return resp, nil
}
