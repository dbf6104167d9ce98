package compare

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/cloudcwfranck/kspec"
)

// ruling is what an engine is told about one object.
type ruling struct {
	engine kspec.Engine
	// unit applies the object by all that is said, deployer by all that is
	// certain; both may be nil.
	unit, deployer *unit
	exceptions     []exception
	// ask evaluates an expression of an exception.
	ask func(*query, any) ([]kspec.Path, error)
	// blind says why a difference may be one that the engine leaves alone.
	blind string
}

// rule returns what the engine is told about o.
func (s *sweep) rule(ctx context.Context, o *subject) *ruling {
	r := &ruling{engine: engineOf(s.target, o.want), unit: s.unitOf(o), deployer: s.engine.deployers[s.folderOf(o.want)]}
	r.ask = func(q *query, doc any) ([]kspec.Path, error) { return q.places(ctx, doc) }
	if o.want.Unit.Name == "" && r.unit == nil {
		r.unit = r.deployer
	}
	if r.unit == nil {
		return r
	}
	r.blind = r.unit.blind
	for _, e := range r.unit.exceptions {
		if e.matches(o.id, o.want) {
			r.exceptions = append(r.exceptions, e)
		}
	}
	return r
}

// excused reports whether Git itself tells the engine to leave o alone: Flux by
// its marks, Argo CD because it is a hook.
func (r *ruling) excused(o *subject) bool {
	switch annotations := o.want.GetAnnotations(); r.engine {
	case kspec.Flux:
		how := fluxSetting(o.want.GetLabels(), annotations, fluxSSA)
		return slices.Contains(fluxSetting(o.want.GetLabels(), annotations, fluxReconcile), "disabled") ||
			slices.Contains(how, "ignore") || slices.Contains(how, "ifnotpresent") && o.live != nil
	case kspec.ArgoCD:
		return isHook(annotations)
	default:
		return false
	}
}

// merges reports whether Git tells Flux to keep what others add.
func (r *ruling) merges(want kspec.Object) bool {
	return r != nil && r.engine == kspec.Flux &&
		slices.Contains(fluxSetting(want.GetLabels(), want.GetAnnotations(), fluxSSA), "merge")
}

// optOuts are the marks that tell an engine to look away.
func optOuts(e kspec.Engine) []string {
	switch e {
	case kspec.Flux:
		return []string{fluxReconcile, fluxSSA, fluxPrune}
	case kspec.ArgoCD:
		return []string{argoSync, argoCompare}
	default:
		return nil
	}
}

// optedOut returns the marks that tell the engine to look away and that Git
// does not set.
func (v *view) optedOut() []difference {
	var all []difference
	if v.engine == nil {
		return nil
	}
	for _, key := range optOuts(v.engine.engine) {
		for _, field := range []string{"labels", "annotations"} {
			path := fieldpath.MakePathOrDie("metadata", field, key)
			live, there := lookup(v.Live.Object, path)
			if _, inGit := lookup(v.Want.Object, path); there && !inGit {
				all = append(all, difference{path: path, live: live, owner: ownerOf(v.owners, path, true, v.ByPerson)})
			}
		}
	}
	return all
}

// lookedAway returns the mark by which the live object, and not Git, makes the
// engine leave it alone, or "".
func (v *view) lookedAway() string {
	if v.engine == nil {
		return ""
	}
	l, a := v.Live.GetLabels(), v.Live.GetAnnotations()
	switch v.engine.engine {
	case kspec.Flux:
		if slices.Contains(fluxSetting(l, a, fluxReconcile), "disabled") {
			return fluxReconcile
		}
		if slices.Contains(fluxSetting(l, a, fluxSSA), "ignore") {
			return fluxSSA
		}
	case kspec.ArgoCD:
		if strings.Contains(a[argoSync], "ApplyOutOfSyncOnly") || strings.Contains(a[argoCompare], "IgnoreExtraneous") {
			return argoCompare
		}
	default:
	}
	return ""
}

// speaks reports whether the live object carries a mark that is a finding
// whatever else it holds.
func (r *ruling) speaks(want kspec.Object, live *unstructured.Unstructured) bool {
	v := &view{Look: Look{Want: want, Live: live, engine: r}, Rules: Rules{ByPerson: func(string) bool { return false }}}
	return len(v.optedOut()) > 0 || len(v.foreignMarks()) > 0
}

// advise adds to a hint why the engine will not do what it says.
func (v *view) advise(hint string) string {
	if v.engine == nil {
		return hint
	}
	if key := v.lookedAway(); key != "" {
		hint += fmt.Sprintf("; %s on the object tells the engine to look away: nothing is put right until it is removed", key)
	}
	if u := v.engine.unit; u != nil && u.suspended {
		hint += fmt.Sprintf("; %s is suspended: nothing is applied until it is resumed", u)
	}
	return hint
}

// exception is a rule by which an engine leaves differences alone.
type exception struct {
	// text is the whole rule, to tell it from others.
	text     string
	matches  func(kspec.ObjectID, kspec.Object) bool
	pointers []kspec.Path
	queries  []*query
	managers []string
}

func pointersIn(rule map[string]any, field string) []kspec.Path {
	var all []kspec.Path
	for _, s := range textsIn(rule, field) {
		if s == "" {
			all = append(all, kspec.Path{}) // the whole object
		} else if strings.HasPrefix(s, "/") {
			all = append(all, split(s))
		}
	}
	return all
}

// split reads a plain JSON pointer.
func split(pointer string) kspec.Path {
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	var p kspec.Path
	for field := range strings.SplitSeq(pointer[1:], "/") {
		p = append(p, kspec.Step{Field: unescape.Replace(field)})
	}
	return p
}

// excuses reports whether the engine is told to leave the difference alone.
func (v *view) excuses(d difference) bool {
	r := v.engine
	if r == nil {
		return false
	}
	if r.merges(v.Want) && d.want == nil && v.ByPerson(d.owner.manager) && !d.owner.applies(v.Want.FieldManager) {
		return !v.isOptOut(d)
	}
	for _, e := range r.exceptions {
		for _, o := range v.owners {
			if slices.Contains(e.managers, o.manager) && o.claim(d.path) > somethingBelow {
				return true
			}
		}
	}
	return len(r.exceptions) > 0 && v.covered(d)
}

func (v *view) isOptOut(d difference) bool {
	return len(d.path) == 3 && d.path[2].FieldName != nil && slices.Contains(optOuts(v.engine.engine), *d.path[2].FieldName)
}

// covered reports whether the places that are left alone make up the whole
// difference. They are looked for in the object as Git has it and as it is
// live, each by its own indexes; neither is changed.
func (v *view) covered(d difference) bool {
	want, live := d.want, d.live
	for i, doc := range []struct {
		root  map[string]any
		value *any
	}{{v.Want.Object, &want}, {v.reply, &want}, {v.Live.Object, &live}} {
		at := pointer(doc.root, d.path)
		places, err := v.leftAlone(i, doc.root)
		if err != nil {
			v.engine.blind = fmt.Sprintf("%s, spec.ignoreDifferences: %v", v.engine.unit, err)
			return false
		}
		for _, p := range places {
			switch {
			case p.Covers(at):
				return true
			case at.Covers(p):
				*doc.value = pruned(*doc.value, p[len(at):])
			}
		}
	}
	return same(want, live)
}

// leftAlone returns the places in doc, the i-th of an object, that the engine
// leaves alone.
func (v *view) leftAlone(i int, doc map[string]any) ([]kspec.Path, error) {
	if v.alone[i] != nil {
		return v.alone[i], nil
	}
	all, plain := []kspec.Path{}, any(nil)
	for _, e := range v.engine.exceptions {
		all = append(all, e.pointers...)
		for _, q := range e.queries {
			if plain == nil {
				plain = plainJSON(doc)
			}
			places, err := v.engine.ask(q, plain)
			if err != nil {
				return nil, err
			}
			all = append(all, places...)
		}
	}
	v.alone[i] = all
	return all, nil
}

// pruned returns v without what is at the place.
func pruned(v any, at kspec.Path) any {
	if len(at) == 0 {
		return nil
	}
	field, rest := at[0].Field, at[1:]
	switch v := v.(type) {
	case map[string]any:
		sub, ok := v[field]
		if !ok {
			return v
		}
		m := maps.Clone(v)
		if delete(m, field); len(rest) > 0 {
			m[field] = pruned(sub, rest)
		}
		return m
	case []any:
		if i, err := strconv.Atoi(field); err == nil && i >= 0 && i < len(v) {
			l := slices.Clone(v)
			l[i] = pruned(v[i], rest) // nil keeps the place of the others
			return l
		}
	}
	return v
}

// doubt takes back what was found when the engine may be told to leave it alone
// and kspec could not find out.
func (o *subject) doubt() {
	if o.engine == nil || o.engine.blind == "" {
		return
	}
	n := len(o.findings)
	o.findings = slices.DeleteFunc(slices.Clone(o.findings), func(f kspec.Finding) bool { return f.Verdict != kspec.Missing })
	if len(o.findings) < n {
		o.tier, o.unknown = "", o.engine.blind
		o.lasting = o.engine.unit == nil || !o.engine.unit.transient
	}
}
