package compare

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cloudcwfranck/kspec"
)

// This file is the first of the three tiers: what was decided once holds as
// long as nothing that it follows from has changed.

// NoMemory returns a Memory for Options that remembers nothing: a Detector
// with it keeps decisions until it is dropped, and no longer.
func NoMemory() kspec.Memory { return noMemory{} }

type noMemory struct{}

func (noMemory) Recall(context.Context, string) ([]kspec.Decision, error) { return nil, nil }

func (noMemory) Remember(context.Context, string, []kspec.Decision, []kspec.ObjectID) error {
	return nil
}

// past is what was decided about an object, as small as can be: there is one
// for every object of every target.
type past struct {
	want, epoch  kspec.Digest
	uid, version string
	at           int64 // Unix seconds
	// more is nil for an object that is in sync.
	more *more
}

type more struct {
	findings   []kspec.Finding
	suppressed []int
	unknown    string
}

func pastOf(d kspec.Decision) past {
	p := past{want: d.Want, epoch: d.Epoch, uid: d.UID, version: d.ResourceVersion, at: d.At.Unix()}
	if len(d.Findings) > 0 || len(d.Suppressed) > 0 || d.Unknown != "" {
		p.more = &more{d.Findings, d.Suppressed, d.Unknown}
	}
	return p
}

// found reports whether something was found.
func (p past) found() bool { return p.more != nil && len(p.more.findings) > 0 }

func (p past) decision(id kspec.ObjectID) kspec.Decision {
	d := kspec.Decision{
		Object: id, Want: p.want, Epoch: p.epoch, UID: p.uid, ResourceVersion: p.version, At: time.Unix(p.at, 0).UTC(),
	}
	if p.more != nil {
		d.Findings, d.Suppressed, d.Unknown = p.more.findings, p.more.suppressed, p.more.unknown
	}
	return d
}

// memories holds what is remembered of each target. One look at a time works
// on those of a target.
type memories struct {
	mu      sync.Mutex
	targets map[string]map[kspec.ObjectID]past
}

func (m *memories) set(target string, all map[kspec.ObjectID]past) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.targets == nil {
		m.targets = map[string]map[kspec.ObjectID]past{}
	}
	m.targets[target] = all
}

// recall returns the decisions about the objects of a target. What cannot be
// recalled is decided anew.
func (d *Detector) recall(ctx context.Context, target string) map[kspec.ObjectID]past {
	if d.Memory == nil {
		return nil
	}
	d.memories.mu.Lock()
	all, ok := d.memories.targets[target]
	d.memories.mu.Unlock()
	if ok {
		return all
	}
	decisions, err := d.Memory.Recall(ctx, target)
	if err != nil {
		d.Log.WarnContext(ctx, "decisions cannot be recalled, deciding anew", "target", target, "error", err)
	}
	all = make(map[kspec.ObjectID]past, len(decisions))
	for _, one := range decisions {
		all[one.Object] = pastOf(one)
	}
	d.memories.set(target, all)
	return all
}

// remember replaces what is remembered of a target by now, which came of
// before.
func (d *Detector) remember(ctx context.Context, target string, before, now map[kspec.ObjectID]past) {
	var changed []kspec.Decision
	var gone []kspec.ObjectID
	for id, p := range now {
		if p != before[id] {
			changed = append(changed, p.decision(id))
		}
	}
	for id := range before {
		if _, ok := now[id]; !ok {
			gone = append(gone, id)
		}
	}
	d.memories.set(target, now)
	if len(changed)+len(gone) == 0 {
		return
	}
	slices.SortFunc(changed, func(a, b kspec.Decision) int { return a.Object.Compare(b.Object) })
	slices.SortFunc(gone, kspec.ObjectID.Compare)
	if err := d.Memory.Remember(ctx, target, changed, gone); err != nil {
		d.Log.WarnContext(ctx, "decisions cannot be remembered", "target", target, "error", err)
	}
}

// Forget drops what is kept of targets that are not named.
func (d *Detector) Forget(keep []string) {
	d.Watch.forget(keep)
	kept := func(target string) bool { return slices.Contains(keep, target) }
	d.demands.keep(kept)
	d.acquaintances.keep(kept)
	d.stillnesses.keep(kept)
	d.memories.mu.Lock()
	defer d.memories.mu.Unlock()
	maps.DeleteFunc(d.memories.targets, func(target string, _ map[kspec.ObjectID]past) bool { return !kept(target) })
}

// stale reports whether p must be decided anew although nothing is known to
// have changed: a webhook may answer by what kspec does not see. Ages differ
// between objects, so that they do not all come at once.
func (d *Detector) stale(p past, now time.Time) bool {
	return now.Before(time.Unix(p.at, 0)) || now.After(d.expiry(p))
}

func (d *Detector) expiry(p past) time.Time {
	spread := time.Duration(binary.BigEndian.Uint16(p.want[:])) * d.MaxAge / (1 << 17) // up to a half
	return time.Unix(p.at, 0).Add(d.MaxAge - spread)
}

// memorable returns the subjects' verdicts as they can be remembered.
func (s *sweep) memorable(ctx context.Context) map[kspec.ObjectID]past {
	all := make(map[kspec.ObjectID]past, len(s.subjects))
	for _, o := range s.subjects {
		if p, ok := s.verdict(ctx, o); ok {
			all[o.id] = p
		}
	}
	return all
}

func (s *sweep) verdict(ctx context.Context, o *subject) (past, bool) {
	if o.tier == kspec.TierCache {
		return *o.past, true
	}
	if o.live == nil || o.live.GetDeletionTimestamp() != nil || o.unknown != "" && !o.lasting || o.tier == "" && o.unknown == "" {
		return past{}, false
	}
	p := past{want: o.digest(), uid: string(o.live.GetUID()), version: o.live.GetResourceVersion(), at: s.rules.Now.Unix()}
	if len(o.findings) > 0 || len(o.suppressed) > 0 || o.unknown != "" {
		p.more = &more{o.findings, o.suppressed, o.unknown}
	}
	p.epoch = s.epochOf(ctx, o, len(o.findings) > 0)
	return p, true
}

// reopen takes back what was recalled before it was known what the engine is
// told, and reads it.
func (s *sweep) reopen(ctx context.Context) {
	for _, o := range s.subjects {
		if o.tier == kspec.TierCache && o.past.epoch != s.epochOf(ctx, o, o.past.found()) {
			o.past, o.tier, o.findings, o.suppressed, o.unknown, o.lasting = nil, "", nil, nil, "", false
			s.done.Add(-1)
		}
	}
	s.read(ctx)
}

// recalled decides o as it was decided before, when the live object is still
// the one of uid and version.
func (o *subject) recalled(uid, version string) bool {
	if o.past == nil || o.past.uid != uid || o.past.version != version || version == "" {
		return false
	}
	o.decided(kspec.TierCache, nil)
	if m := o.past.more; m != nil {
		o.findings, o.suppressed = slices.Clone(m.findings), m.suppressed
		o.unknown, o.lasting = m.unknown, m.unknown != ""
	}
	return true
}
