package compare

import (
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/cloudcwfranck/kspec"
)

// This file is for looks before which nothing has happened at all: most of
// those under watch. What such a look would say is what the one before said.

// stillness is a look that cost no request about any object, and all that must
// still be so for another to say the same.
type stillness struct {
	cluster *Cluster
	target  kspec.Target
	// want and claims are what the target wants, and how often what any target
	// wants had changed.
	want, claims uint64
	partial      bool
	// turns are the watches that told that nothing has changed, and how often
	// something had before.
	turns       map[*watch]uint64
	from, until time.Time
	report      kspec.Report
}

// stillnesses are those of the targets.
type stillnesses struct {
	mu      sync.Mutex
	targets map[string]stillness
}

func (a *stillnesses) of(target string) (stillness, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	one, ok := a.targets[target]
	return one, ok
}

func (a *stillnesses) set(target string, one stillness) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.targets == nil {
		a.targets = map[string]stillness{}
	}
	a.targets[target] = one
}

func (a *stillnesses) keep(keep func(target string) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.targets, func(name string, _ stillness) bool { return !keep(name) })
}

// repeat returns the report of the look before when it holds for this one.
func (s *sweep) repeat(want kspec.Desired) (kspec.Report, bool) {
	last, ok := s.stillnesses.of(s.target.Name)
	if !ok || last.cluster != s.cluster || last.partial != s.partial || s.rules.Now.Before(last.from) || !s.rules.Now.Before(last.until) ||
		last.want == 0 || !s.demands.are(last.want, last.claims, want.Objects) || !reflect.DeepEqual(last.target, s.target) {
		return kspec.Report{}, false
	}
	for k, turns := range last.turns {
		now, sound, age := k.turn()
		if !sound || now != turns {
			return kspec.Report{}, false
		}
		s.age = max(s.age, age)
	}
	rep := last.report
	rep.Findings, rep.Unknown = slices.Clone(rep.Findings), slices.Clone(rep.Unknown)
	rep.Coverage.Requests, rep.Coverage.DecidedBy = kspec.Requests{}, maps.Clone(rep.Coverage.DecidedBy)
	if s.Progress != nil {
		s.Progress(len(want.Objects), len(want.Objects))
	}
	return rep, true
}

// still keeps the report for the next look, if watches vouched for everything
// in it. What an audit log says of it may change.
func (s *sweep) still(rep kspec.Report) {
	heard := 0
	for _, n := range s.heard {
		heard += n
	}
	if len(s.turns) == 0 || s.Audit != nil || heard < len(s.subjects) || s.until.IsZero() ||
		slices.ContainsFunc(s.subjects, func(o *subject) bool { return o.tier != kspec.TierCache }) {
		return
	}
	one := stillness{
		cluster: s.cluster, target: s.target, want: s.wants, claims: s.claims, partial: s.partial,
		turns: s.turns, from: s.rules.Now, until: s.until, report: rep,
	}
	for _, o := range s.subjects {
		one.until = earlier(one.until, s.expiry(*o.past))
	}
	for _, rule := range s.target.Drift.Ignore {
		if rule.ExpiresAt.After(s.rules.Now) {
			one.until = earlier(one.until, rule.ExpiresAt)
		}
	}
	s.stillnesses.set(s.target.Name, one)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
