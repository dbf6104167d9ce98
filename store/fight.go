package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cloudcwfranck/kspec"
)

// A fight is a place that comes back to a state that was overwritten before,
// again and again. Each return is one degree of heat, of which half is gone
// after halfLife: three returns within an hour are a fight, and so is one every
// three hours; one a day is not. Only what is found makes heat. A write of the
// status, or one that changes nothing, is not found, and so makes none.
const (
	halfLife = 6 * time.Hour
	hot      = 2.5
	cold     = 0.5
)

// side is what a place holds, and who put it there. The state is empty when it
// is what Git says.
type side struct{ state, manager string }

// duel is a place that drifted, with the two last sides that held it.
type duel struct {
	applier     string
	now, before side
	heat        float64
	times       int
	since, at   int64
	dirty       bool
}

// turn takes note that a look at the given time found the place held by s.
func (d *duel) turn(s side, at int64) {
	if s.state == d.now.state {
		return
	}
	d.heat *= math.Exp2(-float64(max(0, at-d.at)) / float64(halfLife))
	d.at, d.dirty = at, true
	if d.returns(s) {
		if d.heat < cold {
			d.times, d.since = 0, at
		}
		d.heat++
		d.times++
	}
	d.now, d.before = s, d.now
}

// returns reports whether s, other than what is there now, was there before:
// the same value, or another one by the same manager. That Git prevails is no
// return, for that is how every drift ends.
func (d *duel) returns(s side) bool {
	return s.state != "" && (s.state == d.before.state ||
		s.manager != "" && s.manager != d.now.manager && s.manager == d.before.manager)
}

// fight returns what goes on at the given time, or nil.
func (d *duel) fight(at int64) *kspec.Fight {
	heat := d.heat * math.Exp2(-float64(max(0, at-d.at))/float64(halfLife))
	if heat < hot {
		return nil
	}
	between := slices.DeleteFunc([]string{d.now.manager, d.before.manager}, func(m string) bool { return m == "" })
	slices.Sort(between)
	return &kspec.Fight{Between: slices.Compact(between), Times: d.times, Since: moment(d.since)}
}

// placesOf returns the places that a finding is about, and who holds each.
func placesOf(f kspec.Finding) map[string]side {
	switch f.Verdict {
	case kspec.Violation, kspec.Unsigned:
		return nil // nobody overwrites anybody
	case kspec.Missing, kspec.Changed, kspec.ExtraField, kspec.ExtraObject, kspec.OwnerConflict:
	}
	places := map[string]side{}
	object := identity(f.Object)
	if len(f.Fields) == 0 {
		places[object+"\n"] = side{state: string(f.Verdict)}
	}
	for _, d := range f.Fields[:min(mostFields, len(f.Fields))] {
		b, _ := json.Marshal([]any{f.Verdict, d.Manager, d.Live}) // JSON values and strings only: cannot fail
		sum := sha256.Sum256(b)
		places[object+"\n"+pathOfField(d)] = side{hex.EncodeToString(sum[:8]), d.Manager}
	}
	return places
}

func pathOfField(d kspec.Field) string {
	if d.KeyedPath != "" {
		return d.KeyedPath
	}
	return d.Path
}

// identity names an object whatever version it is read in.
func identity(id kspec.ObjectID) string {
	return strings.Join([]string{id.Group, id.Kind, id.Namespace, id.Name}, "\n")
}

// applierOf returns who applies what a finding is about.
func applierOf(t kspec.Target, f kspec.Finding) string {
	for _, o := range t.Overlays {
		if o.Path == f.Source.Overlay && f.Source.Overlay != "" {
			return o.FieldManager
		}
	}
	return t.Delivery.FieldManager
}

func encodeFight(f *kspec.Fight) []byte {
	if f == nil {
		return nil
	}
	b, _ := json.Marshal(f) // cannot fail
	return b
}

func decodeFight(b []byte) *kspec.Fight {
	var f kspec.Fight
	if len(b) == 0 || json.Unmarshal(b, &f) != nil {
		return nil
	}
	return &f
}
