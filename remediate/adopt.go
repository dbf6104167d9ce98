package remediate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

// adoption is one finding whose live values are to be written to Git.
type adoption struct {
	finding kspec.Finding
	object  kspec.Object
	fields  []*adopted
	why     string // it was given up
}

// adopted is one field of an adoption and the ways to write it that remain.
type adopted struct {
	path kspec.Path
	live any // nil: the field is gone
	gone bool
	ways []way
}

// way writes one field in one manner. It leaves the workspace as it was when
// it cannot.
type way struct {
	name  string
	write func(w *workspace, a *adoption, f *adopted) error
}

// adopt plans to write to Git what people changed in the cluster.
func (d *decision) adopt() error {
	var all []*adoption
	objects := map[kspec.ObjectID]kspec.Object{}
	for _, o := range d.in.Desired.Objects {
		objects[o.ID()] = o
	}
	for _, f := range d.in.Report.Open() {
		if d.delivers(f) {
			continue
		}
		if why := d.why(f); why != "" {
			d.because(f, why)
			continue
		}
		o, ok := objects[f.Object]
		if !ok {
			d.because(f, "Git does not declare the object")
			continue
		}
		a, err := newAdoption(f, o)
		if err != nil {
			d.because(f, err.Error())
			continue
		}
		all = append(all, a)
	}
	if len(all) == 0 {
		return nil
	}
	s, err := newSolver(d.in)
	if err != nil {
		return err
	}
	patched := map[string]int{}
	for _, a := range all {
		a.why = s.survey.mayWrite(a.object)
		if owner := s.survey.owner(a.object.Source); a.why == "" && owner != "" && !s.survey.alone(a.object) {
			if patched[owner]++; patched[owner] > maxPatched {
				a.why = fmt.Sprintf("more than %d objects of %s changed at once: the rest follows when this is merged", maxPatched, owner)
			}
		}
	}
	edits := s.solve(all)
	var covered []kspec.Finding
	for _, a := range all {
		if a.why == "" {
			covered = append(covered, a.finding)
		} else {
			d.because(a.finding, a.why)
		}
	}
	if len(covered) > 0 {
		d.propose(kspec.StrategyAdopt, edits, covered)
	}
	return nil
}

func newAdoption(f kspec.Finding, o kspec.Object) (*adoption, error) {
	a := &adoption{finding: f, object: o}
	if o.Source.File == "" || o.Source.Template != "" {
		return nil, errors.New("no file of the repository declares the object")
	}
	if len(f.Fields) > maxAdopted {
		return nil, fmt.Errorf("%d fields changed at once: kspec adopts %d of an object at most", len(f.Fields), maxAdopted)
	}
	for _, field := range f.Fields {
		p, err := kspec.ParsePath(field.KeyedPath)
		if err != nil || len(p) == 0 {
			return nil, fmt.Errorf("the path %q cannot be read", field.KeyedPath)
		}
		a.fields = append(a.fields, &adopted{path: p, live: field.Live, gone: field.Live == nil})
	}
	return a, nil
}

// maxAdopted bounds the fields of one object. Each is an edit of its own, and
// whoever may edit an object can give it thousands.
const maxAdopted = 200

// maxPatched bounds the objects of one overlay that one pull request patches:
// what drifts in such numbers has one cause that is not in this repository,
// and Kustomize takes ever longer with each patch.
const maxPatched = 50

// maxRenders bounds how often one decision renders to find what can be proven.
const maxRenders = 64

// solver looks for edits that do exactly what is asked.
type solver struct {
	in      Input
	survey  *survey
	before  map[kspec.ObjectID]kspec.Object
	renders int
}

func newSolver(in Input) (*solver, error) {
	if in.Render == nil {
		return nil, errors.New("no renderer to prove the edits with")
	}
	survey, err := takeSurvey(in.Desired.Tree.FS, in.Target)
	if err != nil {
		return nil, err
	}
	s := &solver{in: in, survey: survey, before: map[kspec.ObjectID]kspec.Object{}}
	for _, o := range in.Desired.Objects {
		s.before[o.ID()] = o
	}
	return s, nil
}

// solve returns the edits that write every adoption that can be written, and
// marks the others with the reason.
func (s *solver) solve(all []*adoption) []kspec.Edit {
	for _, a := range all {
		for _, f := range a.fields {
			f.ways = s.survey.ways(a)
		}
	}
	return s.attempt(all).edits()
}

// attempt writes all adoptions at once and proves them together. What fails
// goes on to its next way; what cannot be told apart is halved.
func (s *solver) attempt(all []*adoption) *workspace {
	for {
		w := newWorkspace(s.in.Desired.Tree.FS)
		live := s.write(w, all)
		if len(live) == 0 {
			return w
		}
		bad, why := s.prove(w, live)
		if why == "" {
			return w
		}
		switch {
		case s.renders >= maxRenders:
			giveUp(live, "no change was found that the renderer proves right, within "+count(maxRenders, "attempt"))
		case len(bad) > 0:
			for _, f := range bad {
				f.ways = f.ways[1:]
			}
		case len(live) == 1:
			for _, f := range live[0].fields {
				f.ways = f.ways[1:]
			}
		default:
			return s.halve(live)
		}
		for _, a := range live {
			if slices.ContainsFunc(a.fields, func(f *adopted) bool { return len(f.ways) == 0 }) && a.why == "" {
				a.why = why
			}
		}
	}
}

// halve proves the two halves apart, and then both together.
func (s *solver) halve(all []*adoption) *workspace {
	left, right := all[:len(all)/2], all[len(all)/2:]
	s.attempt(left)
	s.attempt(right)
	w := newWorkspace(s.in.Desired.Tree.FS)
	if live := s.write(w, all); len(live) > 0 {
		if _, why := s.prove(w, live); why != "" {
			giveUp(right, "it cannot be adopted together with the other changes: "+why)
		}
	}
	w = newWorkspace(s.in.Desired.Tree.FS)
	if live := s.write(w, all); len(live) > 0 {
		if _, why := s.prove(w, live); why != "" {
			giveUp(live, why)
			return newWorkspace(s.in.Desired.Tree.FS)
		}
	}
	return w
}

func giveUp(all []*adoption, why string) {
	for _, a := range all {
		if a.why == "" {
			a.why = why
		}
	}
}

// write writes each field by the first of its ways that works and returns the
// adoptions that are written.
func (s *solver) write(w *workspace, all []*adoption) []*adoption {
	var live []*adoption
	for _, a := range all {
		if a.why == "" {
			a.why = w.atomically(func() error { return writeAll(w, a) })
		}
		if a.why == "" {
			live = append(live, a)
		}
	}
	return live
}

func writeAll(w *workspace, a *adoption) error {
	for _, f := range a.fields {
		var last error
		for len(f.ways) > 0 {
			if last = f.ways[0].write(w, a, f); last == nil {
				break
			}
			f.ways = f.ways[1:]
		}
		if len(f.ways) == 0 {
			if last == nil {
				last = errors.New("no place in the repository sets it for this target alone")
			}
			return fmt.Errorf("%s: %w", f.path, last)
		}
	}
	return nil
}

// prove renders the workspace. All is well when why is empty: each object
// equals what it was but for the adopted fields, which have their live values.
// Otherwise bad are the fields to blame, when they can be told.
func (s *solver) prove(w *workspace, live []*adoption) (bad []*adopted, why string) {
	if err := w.finish(); err != nil {
		return nil, err.Error()
	}
	s.renders++
	tree := s.in.Desired.Tree
	tree.FS = overlayFS{tree.FS, w.contents()}
	after, err := s.in.Render(tree)
	if err != nil {
		return nil, "the repository would not render any more: " + firstLine(err.Error())
	}
	wanted := map[kspec.ObjectID]*expectation{}
	for _, a := range live {
		for _, f := range a.fields {
			id := a.object.ID()
			if wanted[id] == nil {
				wanted[id] = &expectation{}
			}
			wanted[id].expect(f.path, f)
		}
	}
	if len(after.Objects) != len(s.before) || len(after.Unknown) != len(s.in.Desired.Unknown) {
		return nil, "the change would add or remove other objects"
	}
	for _, o := range after.Objects {
		before, ok := s.before[o.ID()]
		if !ok {
			return nil, fmt.Sprintf("the change would add %s", o.ID())
		}
		fields, ok := wanted[o.ID()].check(before.Object, o.Object)
		if !ok && why == "" {
			why = fmt.Sprintf("the change would show elsewhere too, at %s", o.ID())
		}
		if len(fields) > 0 {
			why = fmt.Sprintf("rendering the change does not give %s its live value at %s", o.ID(), fields[0].path)
		}
		bad = append(bad, fields...)
	}
	return bad, why
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return cut(line, 300)
}
