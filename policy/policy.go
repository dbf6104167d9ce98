// Package policy decides, for the policies of a target, an object and an
// instant, what holds: is the object in scope, do the policies act now, does an
// exemption waive what they find. Rendering, scanning, admission and reports
// all ask here, so that they cannot disagree; see docs/policies.md.
//
// Nothing in it reads a clock, a file or a cluster, except that names of time
// zones are looked up among those that are compiled in or installed.
package policy

import (
	"fmt"
	"time"

	"github.com/cloudcwfranck/kspec"
)

// Policy is what a target says of where, when and for whom its policies hold.
// It is safe for concurrent use.
type Policy struct {
	target     kspec.Target
	scope      scope
	activation *activation
	exemptions []exemption
}

// Of returns the policy of a target. An error means that the target did not
// come from a document that was validated.
func Of(t kspec.Target) (*Policy, error) {
	p := &Policy{target: t, exemptions: exemptions(t.Exemptions)}
	var err error
	if p.scope, err = scopeOf(t.Scope); err != nil {
		return nil, fmt.Errorf("read the scope of %s: %w", t.Name, err)
	}
	if p.activation, err = activationOf(t.Activation); err != nil {
		return nil, fmt.Errorf("read the activation of %s: %w", t.Name, err)
	}
	return p, nil
}

// Object is what a decision is about.
type Object struct {
	ID kspec.ObjectID
	// Labels are nil when nobody knows them; a selector then matches nothing.
	Labels map[string]string
	// NamespaceLabels are those of its namespace, of itself for a Namespace,
	// and nil when nobody knows them; the scope is then assumed to hold it.
	NamespaceLabels map[string]string
}

// Decision is what the policies are for one object at one instant.
type Decision struct {
	// InScope is true for an object that the policies are meant for.
	InScope bool
	// Assumed is a sentence for a person when InScope depends on labels that
	// nobody knows, else empty.
	Assumed string
	// Active is true when the policies act.
	Active bool
	// Mode is what they do about the object: nothing ([kspec.Off]), report,
	// warn, or deny. What is waived is never denied.
	Mode kspec.Enforcement
	// WaivedBy names the exemption that waives what is found in the object.
	WaivedBy string
	// Why is a sentence for a person.
	Why string
}

// Decide is the decision for o at now.
func (p *Policy) Decide(o Object, now time.Time) Decision {
	d := Decision{Active: p.activation.active(now), Mode: p.Mode(now)}
	var assumed bool
	if d.InScope, assumed, d.Why = p.scope.holds(o); !d.InScope {
		d.Mode = kspec.Off
		return d
	}
	if assumed {
		d.Assumed = d.Why
	}
	d.WaivedBy = p.waivedBy(o, now)
	switch {
	case d.WaivedBy != "":
		d.Why = fmt.Sprintf("exemption %q waives it", d.WaivedBy)
		if d.Mode == kspec.Enforce {
			d.Mode = kspec.Audit
		}
	case !d.Active:
		d.Why = "it is outside of the times at which the policies act"
	}
	return d
}

// Mode is the form that the policies have at now.
func (p *Policy) Mode(now time.Time) kspec.Enforcement {
	switch mode := p.target.Enforcement; {
	case p.activation.active(now):
		return mode
	case p.activation.outside == kspec.Off:
		return kspec.Off
	case mode == kspec.Enforce:
		return kspec.Audit
	default:
		return mode
	}
}

// Next is the first instant after now at which something of p changes: the
// policies begin or cease to act, or an exemption expires or is about to. It is
// zero when nothing does in the next eight years.
func (p *Policy) Next(now time.Time) time.Time {
	next := p.activation.next(now)
	for _, e := range p.exemptions {
		if at := e.next(now); next.IsZero() || !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	return next
}

// At returns t with its policies in the form that they have at now, how long
// they have it, and the exemptions that are in force.
func At(t kspec.Target, now time.Time) (kspec.Target, error) {
	p, err := Of(t)
	if err != nil {
		return t, err
	}
	t.Enforcement, t.Waiving = p.Mode(now), nil
	for _, e := range p.exemptions {
		if e.void(now) == "" {
			t.Waiving = append(t.Waiving, e.Exemption)
		}
	}
	if t.InForce = nil; len(t.Templates) > 0 || t.Activation != nil {
		t.InForce = &kspec.InForce{Mode: t.Enforcement, Outside: !p.activation.active(now), Until: p.activation.next(now)}
	}
	return t, nil
}

// Wake is [Policy.Next] for a target, and zero for one that is not valid.
func Wake(t kspec.Target, now time.Time) time.Time {
	p, err := Of(t)
	if err != nil {
		return time.Time{}
	}
	return p.Next(now)
}
