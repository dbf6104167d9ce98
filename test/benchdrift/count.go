package main

import (
	"net/http"
	"path"
	"sync/atomic"

	"k8s.io/client-go/rest"
)

// requests are those to the API server, by verb.
type requests struct {
	List  int64 `json:"list"`
	Get   int64 `json:"get"`
	Patch int64 `json:"patch"`
}

// counter counts the requests that go through it.
type counter struct {
	next             http.RoundTripper
	list, get, patch *atomic.Int64
}

// counted returns a copy of cfg and how many requests were sent by it.
func counted(cfg *rest.Config) (*rest.Config, func() requests) {
	cfg = rest.CopyConfig(cfg)
	var list, get, patch atomic.Int64
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return counter{next, &list, &get, &patch} })
	return cfg, func() requests { return requests{list.Load(), get.Load(), patch.Load()} }
}

// RoundTrip implements [http.RoundTripper]. Discovery is not counted: it asks
// for no object.
func (c counter) RoundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case req.Method == http.MethodPatch:
		c.patch.Add(1)
	case req.Method == http.MethodGet && req.URL.Query().Has("limit"):
		c.list.Add(1)
	case req.Method == http.MethodGet && isObject(req.URL.Path):
		c.get.Add(1)
	}
	return c.next.RoundTrip(req)
}

// isObject tells the path of a namespaced object of the set from the paths of
// discovery.
func isObject(p string) bool {
	ok, err := path.Match("/*/namespaces/*/*/*", "/"+path.Join(tail(p, 5)...))
	return ok && err == nil
}

func tail(p string, n int) []string {
	var parts []string
	for p = path.Clean(p); len(parts) < n && p != "/"; p = path.Dir(p) {
		parts = append([]string{path.Base(p)}, parts...)
	}
	return parts
}
