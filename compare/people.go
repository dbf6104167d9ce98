package compare

import (
	"context"
	"slices"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

// DefaultMachines returns the accounts of the API server that are no people's,
// whatever tool they use. A name that ends in * stands for all that begin so.
func DefaultMachines() []string {
	return []string{
		"system:apiserver",
		"system:kube-controller-manager",
		"system:kube-scheduler",
		"system:node:*",
		"system:serviceaccount:*",
	}
}

// people tell people from machines, by the names of tools and accounts. Of two
// patterns the longer one counts, and of equals that of machines.
type people struct{ people, machines []string }

// tool reports whether people use the tool by hand.
func (p people) tool(manager string) bool { return p.is(manager) > 0 }

// is returns more than 0 for a person, less for a machine, and 0 when nobody
// says.
func (p people) is(name string) int {
	person, machine := longest(p.people, name), longest(p.machines, name)
	if person > machine {
		return 1
	}
	return -min(machine, 1)
}

// longest returns the length of the longest pattern that matches, 0 for none.
func longest(patterns []string, name string) int {
	most := 0
	for _, pattern := range patterns {
		prefix, open := strings.CutSuffix(pattern, "*")
		if pattern == name || open && strings.HasPrefix(name, prefix) {
			most = max(most, len(pattern))
		}
	}
	return most
}

// made reports whether a person made a write: one whose account is listed, or
// who is no machine and used a tool of people. Who impersonates is asked of both
// accounts.
func (p people) made(by account, manager string) bool {
	names := slices.DeleteFunc([]string{by.user, by.as}, func(name string) bool { return name == "" })
	if slices.ContainsFunc(names, func(name string) bool { return p.is(name) > 0 }) {
		return true
	}
	return p.tool(manager) && slices.ContainsFunc(names, func(name string) bool { return p.is(name) == 0 })
}

// writes returns what an audit log knows of the cluster of t. A log that cannot
// be read leaves the names in managedFields.
func (d *Detector) writes(ctx context.Context, t kspec.Target) *Writes {
	if d.Audit == nil {
		return nil
	}
	w, err := d.Audit.Writes(ctx, t)
	if err != nil {
		d.Log.WarnContext(ctx, "audit log not read", "target", t, "error", err)
	}
	return w
}

// attributed returns the findings about o with the accounts that made the
// writes. What turns out to be the work of a machine, in fields that Git does
// not set, is no finding.
func (s *sweep) attributed(o *subject, w *Writes) []kspec.Finding {
	if w == nil || !o.known {
		return o.findings
	}
	at := objectKey{o.at.gvr.Group, o.at.gvr.Resource, o.at.namespace, o.id.Name}
	var all []kspec.Finding
	for _, f := range o.findings {
		if f.Verdict == kspec.Missing {
			if by, when, ok := w.deleter(at); ok {
				f.DeletedBy, f.DeletedAt = by.String(), when.UTC()
				f.Hint = f.DeletedBy + " deleted it: " + f.Hint
			}
			all = append(all, f)
			continue
		}
		if f, left := s.byAccounts(o.want, f, at, w); left {
			all = append(all, f)
		}
	}
	return all
}

// byAccounts is attributed of a finding that has fields; left is false when
// nothing remains of it.
func (s *sweep) byAccounts(want kspec.Object, f kspec.Finding, at objectKey, w *Writes) (_ kspec.Finding, left bool) {
	before := f.Fields
	f.Fields = nil
	for _, d := range before {
		by, ok := w.writer(at, d.Manager, d.Subresource, d.Time)
		if ok {
			tool := d.ByPerson
			d.Principal = by.String()
			d.ByPerson = s.people.made(by, d.Manager) && d.Manager != want.FieldManager
			if f.Verdict == kspec.ExtraField && tool && !d.ByPerson && !exempt(f.Object) {
				continue
			}
		}
		f.Fields = append(f.Fields, d)
	}
	if len(f.Fields) == 0 {
		return f, len(before) == 0
	}
	if f.Message == sentence(f.Verdict, before) {
		f.Message = sentence(f.Verdict, f.Fields)
	}
	if f.Hint == advice(f.Verdict, want, before) {
		f.Hint = advice(f.Verdict, want, f.Fields)
	}
	return s.rules.found(f, want), true
}
