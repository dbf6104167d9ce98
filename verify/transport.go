package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cloudcwfranck/kspec"
)

const (
	attempts   = 3
	firstPause = 250 * time.Millisecond
	// longestPause caps what a registry may ask for by Retry-After.
	longestPause = 5 * time.Second
)

// contentNetworks are where the well-known registries keep their blobs. A blob
// is checked against its digest, so a host of this list can withhold a
// signature but not forge one.
func contentNetworks() []string {
	return []string{
		"production.cloudflare.docker.com", "production.cloudfront.docker.com", "*.r2.cloudflarestorage.com",
		"pkg-containers.githubusercontent.com", "*.quay.io", "*.amazonaws.com", "*.cloudfront.net",
		"*.pkg.dev", "storage.googleapis.com", "*.data.mcr.microsoft.com", "*.data.azurecr.io",
		"*.blob.core.windows.net", "cdn.registry.gitlab-static.net",
	}
}

// guard is the one way out of this package: it keeps requests to TLS and to
// their hosts, bounds what comes back, and retries what is worth it.
type guard struct {
	base      http.RoundTripper
	http      map[string]bool
	redirects []string
	sleep     func(context.Context, time.Duration) error
}

func newGuard(o Options) *guard {
	g := &guard{
		base: o.Transport, http: map[string]bool{}, sleep: sleep,
		redirects: slices.Concat(contentNetworks(), o.AllowRedirects),
	}
	for _, host := range o.AllowHTTP {
		g.http[strings.ToLower(host)] = true
	}
	if g.base == nil {
		g.base = newTransport()
	}
	return g
}

// newTransport returns a client that never connects to link-local addresses,
// where clouds keep the credentials of their machines.
func newTransport() http.RoundTripper {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: refuseLinkLocal}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    perRegistry,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  20 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

func refuseLinkLocal(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", address, err)
	}
	ip := ap.Addr().Unmap()
	metadata := netip.MustParseAddr("fd00:ec2::254") // of Amazon, and not link-local
	if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || ip.WithZone("") == metadata {
		return refused("connect to %s: no registry is at such an address", ip)
	}
	return nil
}

func (g *guard) allowsHTTP(host string) bool {
	name, _, _ := strings.Cut(host, ":")
	return g.http[host] || g.http[name]
}

// RoundTrip implements [http.RoundTripper].
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !g.allowsHTTP(req.URL.Host) {
		return nil, kspec.WithHint(refused("speak to %s: plain HTTP is not allowed", req.URL.Host),
			"give it a certificate, or allow it for this registry by --insecure-registry")
	}
	for i := 0; ; i++ {
		resp, err := g.base.RoundTrip(req)
		pause, again := retryAfter(req, resp, err, i)
		if !again {
			return g.accept(req, resp, err)
		}
		if resp != nil {
			_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
			_ = resp.Body.Close()
		}
		if err := g.sleep(req.Context(), pause); err != nil {
			return nil, err
		}
	}
}

// retryAfter says whether to try again after attempt i, and after what pause.
func retryAfter(req *http.Request, resp *http.Response, err error, i int) (time.Duration, bool) {
	if i+1 >= attempts || req.Method != http.MethodGet && req.Method != http.MethodHead {
		return 0, false
	}
	pause := firstPause<<i + rand.N(firstPause)
	if err != nil {
		return pause, errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		return 0, false
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		pause = min(time.Duration(s)*time.Second, longestPause)
	}
	return pause, true
}

// accept lets a response through that stays where it belongs and within
// bounds.
func (g *guard) accept(req *http.Request, resp *http.Response, err error) (*http.Response, error) {
	if err != nil {
		return nil, err
	}
	if to := resp.Header.Get("Location"); to != "" && resp.StatusCode/100 == 3 {
		if err := g.checkRedirect(req.URL, to); err != nil {
			_ = resp.Body.Close()
			return nil, err
		}
	}
	what, most := "blob", int64(maxPayload)
	if strings.Contains(req.URL.Path, "/manifests/") || strings.Contains(req.URL.Path, "/referrers/") {
		what, most = "manifest", maxManifest
	}
	if resp.ContentLength > most && req.Method != http.MethodHead {
		_ = resp.Body.Close()
		return nil, tooLarge(what, most)
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: most, limit: tooLarge(what, most)}
	return resp, nil
}

func (g *guard) checkRedirect(from *url.URL, location string) error {
	to, err := from.Parse(location)
	if err != nil {
		return refused("follow redirect: bad address")
	}
	if to.Host == from.Host && (to.Scheme == from.Scheme || to.Scheme == "https") {
		return nil
	}
	known := slices.ContainsFunc(g.redirects, func(glob string) bool {
		ok, err := path.Match(glob, strings.ToLower(to.Hostname()))
		return ok && err == nil
	})
	if known && (to.Scheme == "https" || g.allowsHTTP(to.Host)) {
		return nil
	}
	return kspec.WithHint(refused("follow redirect from %s to %s: not allowed", from.Host, to.Host),
		"allow redirects to that host, if the registry keeps its blobs there")
}

// refusedError is what kspec itself refuses to do at a registry.
type refusedError struct{ why string }

func (e *refusedError) Error() string { return e.why }

func refused(format string, args ...any) error { return &refusedError{fmt.Sprintf(format, args...)} }

func tooLarge(what string, most int64) error {
	return refused("the registry has a %s of more than %d MiB, which kspec does not read", what, most>>20)
}

// boundedBody fails a reader that goes past its bound.
type boundedBody struct {
	io.ReadCloser
	left  int64
	limit error
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.limit
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return 0, b.limit
	}
	return n, err
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
