package verify

import (
	"sync"
	"time"
)

const (
	// cacheSize bounds the verdicts that are kept.
	cacheSize = 8192
	// unsignedFor is how long "not signed" is believed: an image is often
	// signed just after it was pushed.
	unsignedFor = 30 * time.Second
)

// cache remembers verdicts. A signature on a digest stays true for as long as
// the rules do; that there is none does not.
type cache struct {
	now func() time.Time

	mu      sync.Mutex
	entries map[cacheKey]cached
}

// cacheKey has no repository for a positive verdict, as a signature names only
// the digest.
type cacheKey struct{ repository, digest, rules string }

type cached struct {
	verdict verdict
	until   time.Time // zero: for ever
}

func newCache(now func() time.Time) *cache {
	return &cache{now: now, entries: map[cacheKey]cached{}}
}

func (c *cache) get(ref reference, rules ruleSet) (verdict, bool) {
	if ref.digest == "" {
		return verdict{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := cacheKey{"", ref.digest, rules.hash()}
	if e, ok := c.entries[key]; ok {
		return e.verdict, true
	}
	key.repository = ref.repository()
	e, ok := c.entries[key]
	return e.verdict, ok && c.now().Before(e.until)
}

func (c *cache) put(ref reference, rules ruleSet, v verdict) {
	key, entry := cacheKey{"", ref.digest, rules.hash()}, cached{verdict: v}
	if !v.signed {
		key.repository = ref.repository()
		entry.until = c.now().Add(unsignedFor)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for old := range c.entries { // in no order: any will do
		if len(c.entries) < cacheSize {
			break
		}
		delete(c.entries, old)
	}
	c.entries[key] = entry
}
