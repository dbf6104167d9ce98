package policy

import (
	"slices"
	"time"

	"github.com/cloudcwfranck/kspec"
)

// Waiver marks what the exemptions of a target waive at the time of the look.
type Waiver struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

var _ kspec.Waiver = Waiver{}

// Waive implements [kspec.Waiver]. The labels of an object are those that the
// finding has or, without any, those that Git gives it.
func (w Waiver) Waive(t kspec.Target, want kspec.Desired, rep kspec.Report) (kspec.Report, error) {
	if len(t.Exemptions) == 0 {
		return rep, nil
	}
	p, err := Of(t)
	if err != nil {
		return rep, err
	}
	inGit := make(map[kspec.ObjectID]kspec.Object, len(want.Objects))
	for _, o := range want.Objects {
		inGit[o.ID()] = o
	}
	labels := func(id kspec.ObjectID) map[string]string {
		o, ok := inGit[id]
		if !ok {
			return nil
		}
		if all := o.GetLabels(); all != nil {
			return all
		}
		return map[string]string{}
	}
	if w.Now == nil {
		w.Now = time.Now
	}
	return p.Waive(rep, labels, w.Now()), nil
}

// Waive returns rep with what the exemptions waive at now marked, and with a
// finding for each exemption that waives nothing, or ends soon. It waives
// violations and missing signatures, and never drift, for which there are
// ignore rules. The labels of an object are those of the finding or, without
// any, what labels knows of it.
func (p *Policy) Waive(rep kspec.Report, labels func(kspec.ObjectID) map[string]string, now time.Time) kspec.Report {
	if len(p.exemptions) == 0 {
		return rep
	}
	findings := slices.Clone(rep.Findings)
	for i, f := range findings {
		if f.Type != kspec.TypeCompliance && f.Type != kspec.TypeImage || f.WaivedBy != nil {
			continue
		}
		o := Object{ID: f.Object, Labels: f.Labels}
		if o.Labels == nil {
			o.Labels = labels(f.Object)
		}
		if name := p.waivedBy(o, now); name != "" {
			findings[i].WaivedBy = &name
			rep.Coverage.Waived++
		}
	}
	rep.Findings = findings
	return rep.With(p.ofExemptions(now)...).Judged()
}
