package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/notify/deliver"
)

// Key names what a [State] is about: one target on one cluster, as one
// AlertConfig tells of it.
type Key struct {
	// Config is the namespace and name of the AlertConfig: "kspec-system/prod".
	Config  string
	Target  string
	Cluster string
}

// State is what was told about a target, and to whom. The zero State is that
// of a target about which nothing is to be remembered.
type State struct {
	// Alerts holds, by type, what fires or was told to fire.
	Alerts map[kspec.EventType]Alert
	// Pending holds news of things that happened once, oldest first, which
	// some notifiers have not taken yet.
	Pending []Pending
}

// Alert is one thing that fires, or fired.
type Alert struct {
	// Since is when it began.
	Since time.Time
	// Clean counts the looks in a row that did not find it any more.
	Clean int
	// Told is what each notifier knows, by name.
	Told map[string]Told
}

// Told is what a notifier was told last.
type Told struct {
	// Fingerprints are of what it was told, the last at the end. For an event
	// that can resolve there is one.
	Fingerprints []string
	At           time.Time
	// Rejected is true when the notifier would not have the message. It is
	// not told again until there is other news, and not told of the end.
	Rejected bool
}

// Pending is news that a notifier has not taken yet.
type Pending struct {
	Event    kspec.Event
	Notifier string
}

// Store remembers what was told. An implementation that outlives the process
// keeps kspec from telling things twice after a restart.
type Store interface {
	// Load returns a State that the caller may change; an unknown key has the
	// zero State.
	Load(ctx context.Context, key Key) (State, error)
	// Save replaces the State of key. The zero State may be forgotten.
	Save(ctx context.Context, key Key, s State) error
}

// Memory is a [Store] that forgets when the process ends.
type Memory struct {
	mu     sync.Mutex
	states map[Key]State
}

var _ Store = (*Memory)(nil)

// Load implements [Store].
func (m *Memory) Load(_ context.Context, key Key) (State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.states[key].clone(), nil
}

// Save implements [Store].
func (m *Memory) Save(_ context.Context, key Key, s State) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.empty() {
		delete(m.states, key)
		return nil
	}
	if m.states == nil {
		m.states = map[Key]State{}
	}
	m.states[key] = s.clone()
	return nil
}

// Len returns how many states are remembered.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.states)
}

func (s State) empty() bool { return len(s.Alerts) == 0 && len(s.Pending) == 0 }

func (s State) clone() State {
	c := State{Pending: slices.Clone(s.Pending)}
	if s.Alerts != nil {
		c.Alerts = make(map[kspec.EventType]Alert, len(s.Alerts))
	}
	for typ, a := range s.Alerts {
		a.Told = maps.Clone(a.Told)
		c.Alerts[typ] = a
	}
	return c
}

const (
	// maxPending bounds what is kept of a target for notifiers that are down;
	// maxRemembered bounds the fingerprints that are remembered of a type.
	maxPending    = 32
	maxRemembered = 32
)

// telling is one message that is due to one notifier.
type telling struct {
	event    kspec.Event
	notifier string
	reason   deliver.Reason
	since    time.Time
	// before is when the notifier was told last, and sets this news apart
	// from the same news of another time.
	before time.Time
}

// rules are what an AlertConfig says about when to tell.
type rules struct {
	repeat       time.Duration
	resolveAfter int
}

// observe takes e into s and returns what is due because of it, sorted by
// notifier. routed are the notifiers that the routes lead e to.
func (s *State) observe(e kspec.Event, routed []string, r rules, now time.Time) []telling {
	switch {
	case e.Type.Once():
		return s.happened(e, routed)
	case e.Status == kspec.Resolved:
		return s.cleared(e, r)
	default:
		return s.fires(e, routed, r, now)
	}
}

func (s *State) fires(e kspec.Event, routed []string, r rules, now time.Time) []telling {
	a, known := s.Alerts[e.Type]
	if !known {
		a = Alert{Since: e.Time, Told: map[string]Told{}}
	}
	a.Clean = 0
	s.set(e.Type, a)
	var due []telling
	for _, n := range routed {
		told, ok := a.Told[n]
		reason := deliver.New
		switch {
		case !ok:
		case !slices.Contains(told.Fingerprints, e.Fingerprint):
			reason = deliver.Changed
		case now.Sub(told.At) >= r.repeat:
			reason = deliver.Repeated
		default:
			continue
		}
		due = append(due, telling{e, n, reason, a.Since, told.At})
	}
	return due
}

// cleared tells the end, after enough looks, to those who know of the
// beginning.
func (s *State) cleared(e kspec.Event, r rules) []telling {
	a, known := s.Alerts[e.Type]
	if !known {
		return nil
	}
	a.Clean = min(a.Clean+1, r.resolveAfter)
	s.set(e.Type, a)
	if a.Clean < r.resolveAfter {
		return nil
	}
	var due []telling
	for _, n := range slices.Sorted(maps.Keys(a.Told)) {
		if told := a.Told[n]; told.Rejected {
			delete(a.Told, n)
		} else {
			due = append(due, telling{e, n, deliver.Ended, a.Since, told.At})
		}
	}
	s.set(e.Type, a)
	return due
}

func (s *State) happened(e kspec.Event, routed []string) []telling {
	var due []telling
	for _, n := range routed {
		told := s.Alerts[e.Type].Told[n]
		news := slices.DeleteFunc(newsOf(e), func(mark string) bool { return slices.Contains(told.Fingerprints, mark) })
		if len(news) == 0 || s.pending(e, n) >= 0 {
			continue
		}
		due = append(due, telling{e, n, deliver.New, e.Time, told.At})
	}
	return due
}

// newsOf returns the fingerprints of what an event that happens once tells: of
// its findings, so that fewer of them are no news, or else of itself.
func newsOf(e kspec.Event) []string {
	if len(e.Findings) == 0 {
		return []string{e.Fingerprint}
	}
	var prints []string
	for _, f := range e.Findings {
		prints = append(prints, f.Fingerprint)
	}
	return prints
}

// overdue returns what is pending for notifiers that are ready.
func (s *State) overdue(ready func(notifier string) bool) []telling {
	var due []telling
	for _, p := range s.Pending {
		if ready(p.Notifier) {
			before := s.Alerts[p.Event.Type].Told[p.Notifier].At
			due = append(due, telling{p.Event, p.Notifier, deliver.New, p.Event.Time, before})
		}
	}
	return due
}

// forgetGone drops from due, and from s, what is for notifiers that are not
// active any more.
func (s *State) forgetGone(due []telling, active func(notifier string) bool) []telling {
	s.Pending = slices.DeleteFunc(s.Pending, func(p Pending) bool { return !active(p.Notifier) })
	return slices.DeleteFunc(due, func(t telling) bool {
		if active(t.notifier) {
			return false
		}
		if t.reason == deliver.Ended {
			s.forget(t.event.Type, t.notifier)
		}
		return true
	})
}

// settle takes into s what became of a telling. It returns an error when news
// had to be given up to make room.
func (s *State) settle(t telling, err error, now time.Time) error {
	delivered, rejected := err == nil, err != nil && deliver.ClassOf(err) == deliver.Payload
	switch {
	case t.event.Type.Once() && (delivered || rejected):
		s.drop(t.event, t.notifier)
		s.remember(t, now)
	case t.event.Type.Once():
		return s.postpone(t.event, t.notifier)
	case t.reason == deliver.Ended && (delivered || rejected):
		s.forget(t.event.Type, t.notifier)
	case t.reason != deliver.Ended && (delivered || rejected):
		// What a notifier rejects does not undo that it knows of the rest.
		knew := t.reason != deliver.New && !s.Alerts[t.event.Type].Told[t.notifier].Rejected
		s.Alerts[t.event.Type].Told[t.notifier] = Told{[]string{t.event.Fingerprint}, now, rejected && !knew}
	}
	return nil
}

// forget makes a notifier one that knows of nothing, and drops the alert with
// the last one.
func (s *State) forget(typ kspec.EventType, notifier string) {
	delete(s.Alerts[typ].Told, notifier)
	s.tidy(typ)
}

// tidy drops an alert that is over and of which nobody must hear any more.
func (s *State) tidy(typ kspec.EventType) {
	if a, ok := s.Alerts[typ]; ok && a.Clean > 0 && len(a.Told) == 0 {
		delete(s.Alerts, typ)
	}
}

func (s *State) set(typ kspec.EventType, a Alert) {
	if s.Alerts == nil {
		s.Alerts = map[kspec.EventType]Alert{}
	}
	s.Alerts[typ] = a
	s.tidy(typ)
}

func (s *State) remember(t telling, now time.Time) {
	a := s.Alerts[t.event.Type]
	if a.Told == nil {
		a = Alert{Since: t.event.Time, Told: map[string]Told{}}
	}
	news := newsOf(t.event)
	prints := append(slices.Clone(a.Told[t.notifier].Fingerprints), news...)
	prints = prints[max(0, len(prints)-max(maxRemembered, len(news))):]
	a.Told[t.notifier] = Told{Fingerprints: prints, At: now}
	s.set(t.event.Type, a)
}

func (s *State) pending(e kspec.Event, notifier string) int {
	return slices.IndexFunc(s.Pending, func(p Pending) bool {
		return p.Notifier == notifier && p.Event.Type == e.Type && p.Event.Fingerprint == e.Fingerprint
	})
}

func (s *State) drop(e kspec.Event, notifier string) {
	if i := s.pending(e, notifier); i >= 0 {
		s.Pending = slices.Delete(s.Pending, i, i+1)
	}
}

func (s *State) postpone(e kspec.Event, notifier string) error {
	if s.pending(e, notifier) >= 0 {
		return nil
	}
	s.Pending = append(s.Pending, Pending{e, notifier})
	if len(s.Pending) <= maxPending {
		return nil
	}
	lost := s.Pending[0]
	s.Pending = slices.Delete(s.Pending, 0, 1)
	return fmt.Errorf("gave up on telling %s of %s: more than %d messages are waiting", lost.Notifier, lost.Event.Type, maxPending)
}

// id identifies the news, so that a receiver can tell a repetition of it.
func (t telling) id(k Key) string {
	text := fmt.Sprintf("%q %q %q %q %q %q %q %d %d", k.Config, k.Target, k.Cluster, t.notifier, t.event.Type,
		t.reason, t.event.Fingerprint, t.since.UnixNano(), t.before.UnixNano())
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}
