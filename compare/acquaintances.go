package compare

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cloudcwfranck/kspec"
)

// acquaintances are what former looks at a target found about its engine.
type acquaintances struct {
	mu      sync.Mutex
	targets map[string]acquaintance
}

type acquaintance struct {
	units []kspec.UnitRef
	clean kspec.Digest
	at    time.Time
}

func (a *acquaintances) of(target string) acquaintance {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.targets[target]
}

func (a *acquaintances) change(target string, f func(*acquaintance)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.targets == nil {
		a.targets = map[string]acquaintance{}
	}
	one := a.targets[target]
	f(&one)
	a.targets[target] = one
}

func (a *acquaintances) keep(keep func(target string) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.targets, func(name string, _ acquaintance) bool { return !keep(name) })
}

func (s *sweep) recallUnits() []kspec.UnitRef { return s.acquaintances.of(s.target.Name).units }

func (s *sweep) rememberUnits() {
	s.acquaintances.change(s.target.Name, func(a *acquaintance) {
		a.units = slices.SortedFunc(maps.Keys(s.engine.found), compareRefs)
	})
}
