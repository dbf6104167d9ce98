package github

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/cloudcwfranck/kspec/remediate"
)

// kept is an answer that was read whole.
type kept struct {
	status int
	header http.Header
	body   []byte
}

// response makes an answer to req of it. The request that it names is the
// one without the token.
func (k kept) response(req *http.Request) *http.Response {
	return &http.Response{
		Status: strconv.Itoa(k.status) + " " + http.StatusText(k.status), StatusCode: k.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req, Header: k.header.Clone(),
		Body: io.NopCloser(bytes.NewReader(k.body)), ContentLength: int64(len(k.body)),
	}
}

const maxCached = 32 << 20

// cache keeps the newest answers that have an ETag, by URL, up to maxCached
// bytes. It keys by URL alone, since there is one token.
type cache struct {
	mu    sync.Mutex
	byURL map[string]kept
	order []string
	size  int
}

func (c *cache) get(req *http.Request) (kept, bool) {
	if req.Method != http.MethodGet {
		return kept{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.byURL[req.URL.String()]
	return k, ok
}

func (c *cache) put(req *http.Request, k kept) {
	if req.Method != http.MethodGet || k.status != http.StatusOK || k.header.Get("ETag") == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byURL == nil {
		c.byURL = map[string]kept{}
	}
	key := req.URL.String()
	if old, ok := c.byURL[key]; ok {
		c.size -= len(old.body)
	} else {
		c.order = append(c.order, key)
	}
	k.header = k.header.Clone()
	k.header.Set("X-From-Cache", "1") // its rate limits are of the past
	c.byURL[key] = k
	c.size += len(k.body)
	for c.size > maxCached {
		oldest := c.order[0]
		c.order = c.order[1:]
		c.size -= len(c.byURL[oldest].body)
		delete(c.byURL, oldest)
	}
}

// limitUntil remembers that GitHub wants to be left alone.
type limitUntil struct {
	mu  sync.Mutex
	err *remediate.RetryError
}

func (l *limitUntil) check(now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil && now.Before(l.err.At) {
		return l.err
	}
	l.err = nil
	return nil
}

func (l *limitUntil) set(at time.Time, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = &remediate.RetryError{At: at, Err: err}
	return l.err
}

// wordsOf returns the message of GitHub's JSON, or the text itself.
func wordsOf(body []byte) string {
	var said struct{ Message string }
	if json.Unmarshal(body, &said) == nil && said.Message != "" {
		return said.Message
	}
	return string(body)
}
