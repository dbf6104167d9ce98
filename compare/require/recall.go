package require

import (
	"cmp"
	"context"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/cloudcwfranck/kspec"
)

// This file spares looks that follow each other closely, as under "kspec serve",
// which looks whenever something that Git declares changes. Requirements are of
// whole kinds, which nobody watches, so what they found counts until the
// interval of the target is over, and the report tells since when.

// remembered is what a look found that saw everything, of which target and
// where.
type remembered struct {
	target     kspec.Target
	address    string
	report     kspec.Report
	start, end time.Time
}

// interval is how long what was found counts.
func interval(t kspec.Target) time.Duration { return cmp.Or(t.Interval, 5*time.Minute) }

// Due returns when the requirements of t are to be looked at again, and zero
// when the next look does that whenever it comes.
func (d *Detector) Due(t kspec.Target) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	last, ok := d.last[t.Name]
	if !ok {
		return time.Time{}
	}
	return last.end.Add(interval(t))
}

// Forget drops what was found of targets that are not named.
func (d *Detector) Forget(keep []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.last, func(target string, _ remembered) bool { return !slices.Contains(keep, target) })
}

// lately returns what the last look at t found, with the policies counted anew,
// and otherwise looks. A target that changed but for its commit is another one,
// and so is one that is in another cluster by now.
func (d *Detector) lately(ctx context.Context, t kspec.Target) (kspec.Report, error) {
	t.Revision = kspec.Revision{}
	l, err := d.open(ctx, t)
	if err != nil {
		return kspec.Report{}, err
	}
	d.mu.Lock()
	last := d.last[t.Name]
	d.mu.Unlock()
	const early = 10 // looks come earlier than the interval by up to a tenth
	if d.now().Sub(last.end) < interval(t)-interval(t)/early && l.Address() == last.address && reflect.DeepEqual(t, last.target) {
		return d.counted(ctx, l, last)
	}
	rep, err := d.finish(ctx, l)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.last, t.Name)
	if err == nil && rep.Settled() && len(rep.Checks) > 0 {
		d.last[t.Name] = remembered{target: t, address: l.Address(), report: rep, start: rep.StartedAt, end: d.now()}
	}
	return rep, err
}

// counted returns what was found with the policies that are there now.
func (d *Detector) counted(ctx context.Context, l *look, last remembered) (kspec.Report, error) {
	l.count(ctx)
	rep := last.report
	rep.Unknown = slices.Clone(rep.Unknown)
	rep.Policies, rep.ObservedAt = l.policies, last.start
	rep.Coverage.Requests, rep.Duration = l.Requests(), d.now().Sub(l.now)
	return rep, ctx.Err()
}
