package store

import (
	"cmp"
	"slices"
	"time"

	"github.com/cloudcwfranck/kspec"
)

// flapWindow is how long after its end a finding that comes back is the same
// episode.
const flapWindow = 24 * time.Hour

// clockSlack is by how much a look may be older than one that was recorded
// before it. More than that, and the clock was set back.
const clockSlack = time.Hour

// ledger is what is known about one target in one cluster. It is filled from the database,
// takes note of one report, and what changed is written back.
type ledger struct {
	target kspec.Target
	// looked is when the last look began that was taken note of.
	looked   int64
	episodes []*episode
	duels    map[string]*duel
}

// episode is a row of the table of that name.
type episode struct {
	id                    int64
	fingerprint, revision string
	severity              int
	finding               []byte
	firstSeen, lastSeen   int64
	seen, flaps           int
	rowSince              int64
	rowSeen               int
	closed                int64
	why                   kspec.End
	fight                 *kspec.Fight
	dirty                 bool
}

// news reports whether a look that began at the given time is to be taken note
// of: not if it was already, nor if it was overtaken by one that began later.
func (l *ledger) news(at int64) bool {
	return at > l.looked || l.looked-at > int64(clockSlack)
}

// take takes note of a report.
func (l *ledger) take(rep kspec.Report) {
	at := nanos(rep.StartedAt)
	l.looked = at
	current := l.current()
	found := map[string]kspec.Finding{}
	held := map[string]side{}
	for _, f := range rep.Open() {
		mark := printOf(f)
		if _, twice := found[mark]; twice {
			continue
		}
		found[mark] = f
		for place, s := range placesOf(f) {
			if _, twice := held[place]; !twice {
				held[place] = s
				l.duel(place, f).turn(s, at)
			}
		}
		e := current[mark]
		if e == nil {
			e = &episode{fingerprint: mark, firstSeen: at, rowSince: at}
			l.episodes = append(l.episodes, e)
		}
		e.see(f, rep.Revision, at)
	}
	if rep.Settled() {
		l.settle(rep, found, held)
	}
	for _, e := range l.episodes {
		if e.dirty {
			e.fight = l.fightOf(e, at)
		}
	}
}

// current returns, by fingerprint, the episode that goes on, or else the one
// that ended last.
func (l *ledger) current() map[string]*episode {
	all := map[string]*episode{}
	for _, e := range l.episodes {
		old := all[e.fingerprint]
		if old == nil || e.closed == 0 || old.closed != 0 && e.closed > old.closed {
			all[e.fingerprint] = e
		}
	}
	return all
}

// see takes note that a look found the episode.
func (e *episode) see(f kspec.Finding, r kspec.Revision, at int64) {
	if e.closed != 0 {
		e.flaps++
		e.rowSince, e.rowSeen = at, 0
		e.closed, e.why = 0, ""
	}
	e.finding, e.severity, e.revision = encodeFinding(f), f.Severity.Rank(), r.String()
	e.firstSeen, e.lastSeen = min(e.firstSeen, at), at
	e.seen++
	e.rowSeen++
	e.dirty = true
}

// settle ends what a look did not find that would have.
func (l *ledger) settle(rep kspec.Report, found map[string]kspec.Finding, held map[string]side) {
	at := nanos(rep.StartedAt)
	for place, d := range l.duels {
		if _, ok := held[place]; !ok {
			d.turn(side{manager: d.applier}, at)
		}
	}
	var o *others
	for _, e := range l.episodes {
		if _, ok := found[e.fingerprint]; e.closed != 0 || ok {
			continue
		}
		if o == nil {
			o = othersOf(rep)
		}
		e.closed, e.why, e.dirty = at, o.why(e, rep), true
	}
}

// others is what a report tells about what it did not find.
type others struct {
	waived map[string]bool
	// desired are, by place, the values that Git wants where something else
	// is found.
	desired map[string]any
}

func othersOf(rep kspec.Report) *others {
	o := &others{waived: map[string]bool{}, desired: map[string]any{}}
	for _, f := range rep.Findings {
		if f.WaivedBy != nil {
			o.waived[printOf(f)] = true
			continue
		}
		for _, d := range f.Fields {
			o.desired[identity(f.Object)+"\n"+pathOfField(d)] = short(d.Desired)
		}
	}
	return o
}

// why returns why an episode is over.
func (o *others) why(e *episode, rep kspec.Report) kspec.End {
	if o.waived[e.fingerprint] {
		return kspec.EndWaived
	}
	f := decodeFinding(e.finding)
	for _, d := range f.Fields {
		desired, ok := o.desired[identity(f.Object)+"\n"+pathOfField(d)]
		switch {
		case ok && !sameJSON(desired, d.Desired):
			return kspec.EndGitChanged
		case ok:
			return kspec.EndSuperseded
		}
	}
	if e.revision != rep.Revision.String() {
		return kspec.EndGitMoved
	}
	return kspec.EndGone
}

// duel returns the duel about a place, a new one if need be: one that Git held
// until now.
func (l *ledger) duel(place string, f kspec.Finding) *duel {
	d := l.duels[place]
	if d == nil {
		d = &duel{now: side{manager: applierOf(l.target, f)}}
		l.duels[place] = d
	}
	if applier := applierOf(l.target, f); d.applier != applier {
		d.applier, d.dirty = applier, true
	}
	return d
}

// fightOf returns the fight that is fought most about a place of the episode.
func (l *ledger) fightOf(e *episode, at int64) *kspec.Fight {
	var worst *kspec.Fight
	places := placesOf(decodeFinding(e.finding))
	for _, place := range sortedKeys(places) {
		d := l.duels[place]
		if d == nil {
			continue
		}
		if f := d.fight(at); f != nil && (worst == nil || f.Times > worst.Times) {
			worst = f
		}
	}
	return worst
}

// annotate returns the report with what is known about its findings.
func (l *ledger) annotate(rep kspec.Report) kspec.Report {
	current := l.current()
	rep.Findings = slices.Clone(rep.Findings)
	for i := range rep.Findings {
		f := &rep.Findings[i]
		e := current[printOf(*f)]
		if e == nil || e.closed != 0 || f.WaivedBy != nil {
			continue
		}
		f.FirstSeen, f.Seen = moment(e.rowSince), e.rowSeen
		if e.fight != nil {
			f.Hint = cmp.Or(f.Hint, "find out who is right")
			f.Hint = e.fight.String() + "; " + f.Hint
		}
	}
	return rep
}

// printOf returns the fingerprint of a finding.
func printOf(f kspec.Finding) string {
	return cmp.Or(f.Fingerprint, f.Fingerprinted().Fingerprint)
}
