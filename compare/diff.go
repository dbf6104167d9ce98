package compare

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/cloudcwfranck/kspec"
)

// Look is what is known of one object when it is judged. Nothing in it is
// changed.
type Look struct {
	// Want is the object as Git has it, Live as the cluster has it.
	Want kspec.Object
	Live *unstructured.Unstructured
	// Reply is what a server-side-apply dry-run of Want answered. Without one
	// Want and Live are compared field by field, exactly.
	Reply *unstructured.Unstructured
	// Without is what a dry run answered that takes away the fields which
	// people's tools own and Git does not set; nil when it was not asked. One
	// that is there again is a default of the server, and nothing people did.
	Without *unstructured.Unstructured
	// Kept are such fields that the server did not let go, or not put back.
	Kept []fieldpath.Path
	// Loose lets Live hold more than Want inside of lists, and takes
	// quantities that mean the same as equal. Only for a Look without Reply.
	Loose bool
	// PeopleOnly leaves out what no person's tool owns.
	PeopleOnly bool
	// engine is what the delivery engine is told; nil for nothing.
	engine *ruling
}

// Rules say how differences are judged.
type Rules struct {
	// ByPerson reports whether a field manager is a tool that people use; nil
	// means those of DefaultPeople.
	ByPerson func(manager string) bool
	Ignore   []kspec.IgnoreRule
	// Severity come after what kspec knows by itself.
	Severity []kspec.SeverityRule
	// Secrets are places that hold a secret, besides those that kspec knows.
	Secrets []kspec.Places
	// Key makes the tags that stand for secret values.
	Key []byte
	// Now decides which ignore rules have expired.
	Now time.Time
}

// Diff returns what is wrong with an object that is in the cluster, at most one
// finding per verdict, and for each difference that was removed the number of
// the ignore rule, as in [kspec.Decision]. It fails only when managedFields
// cannot be read.
func Diff(l Look, r Rules) (findings []kspec.Finding, suppressed []int, err error) {
	v, err := open(l, r)
	if err != nil {
		return nil, nil, err
	}
	findings, suppressed = v.findings()
	return findings, suppressed, nil
}

// findings is Diff once the Look is open.
func (v *view) findings() (findings []kspec.Finding, suppressed []int) {
	v.variables = nil
	changed, contested := v.contested(v.changed())
	for _, found := range []struct {
		verdict     kspec.Verdict
		differences []difference
	}{
		{kspec.Changed, changed},
		{kspec.OwnerConflict, append(contested, v.foreignMarks()...)},
		{kspec.ExtraField, v.extra()},
	} {
		fields, ignored := v.fields(found.differences)
		suppressed = append(suppressed, ignored...)
		if len(fields) > 0 {
			findings = append(findings, v.finding(found.verdict, fields))
		}
	}
	return findings, suppressed
}

// difference is one place where Git and the cluster do not agree; nil stands
// for absent.
type difference struct {
	path       fieldpath.Path
	want, live any
	owner      owner
}

// view is a Look made ready to be walked.
type view struct {
	Look
	Rules
	// reply is what the object would be after an apply.
	reply  map[string]any
	owners []owner
	// applied is what Git sets; before is what the applier set last time.
	applied, before *fieldpath.Set
	lost            []difference
	// whole are lists that are reported as a whole.
	whole []kspec.Path
	// noted is what the applier last wrote, by its own notes.
	noted map[string]any
	// variables are places that the applier filled in.
	variables []string
	// hide is made when there is something to report.
	hide *redactor
	// alone are places that the engine leaves alone: in the object as Git has it,
	// as it would be, and as it is live.
	alone [3][]kspec.Path
}

func open(l Look, r Rules) (*view, error) {
	if r.ByPerson == nil {
		r.ByPerson = people{people: DefaultPeople()}.tool
	}
	owners, err := ownersOf(l.Live)
	if err != nil {
		return nil, err
	}
	v := &view{Look: l, Rules: r, owners: owners}
	v.before, _ = appliedBy(owners, l.Want.FieldManager)
	if l.Reply == nil {
		full := withDefaults(l.Want.Unstructured)
		v.reply = full.Object
		v.applied = ownSet(l.Want.Object, structure(owners))
		return v, nil
	}
	v.reply = l.Reply.Object
	after, err := ownersOf(l.Reply)
	if err != nil {
		return nil, err
	}
	var ok bool
	if v.applied, ok = appliedBy(after, l.Want.FieldManager); !ok && !bare(l.Want) {
		return nil, fmt.Errorf("read managedFields of the dry run: no entry of %s", l.Want.FieldManager)
	}
	return v, nil
}

// bare reports whether Git sets nothing but the identity of the object; the
// applier then owns nothing.
func bare(want kspec.Object) bool {
	return elements(ownSet(want.Object, &fieldpath.Set{})) == nil
}

// changed returns where Git's fields have another value or are gone.
func (v *view) changed() []difference {
	v.lost = nil
	v.walk(v.applied, nil, v.Want.Object, v.reply, v.Live.Object)
	return slices.DeleteFunc(v.lost, func(d difference) bool {
		return d.want == nil && v.before.Has(d.path) // no longer set by Git: an extra field
	})
}

// walk compares what node names; want, reply and live are the values at path.
func (v *view) walk(node *fieldpath.Set, path fieldpath.Path, want, reply, live any) {
	if lostItem(node, reply, live) {
		v.whole = append(v.whole, keyed(path))
		v.differ(path, want, reply, live)
		v.lost[len(v.lost)-1].owner = v.ownerOfAdded(node, path, live)
		return
	}
	for _, pe := range elements(node) {
		at := below(path, pe)
		w, _, _ := child(want, pe)
		r, _, _ := child(reply, pe)
		l, _, _ := child(live, pe)
		switch sub := under(node, pe); {
		case v.agree(w, r, l):
		case sub != nil && l != nil && r != nil:
			v.walk(sub, at, w, r, l)
		default:
			v.atom(at, w, r, l)
		}
	}
}

// agree reports whether the live value is what an apply would leave there, or
// word for word what Git says.
func (v *view) agree(want, reply, live any) bool {
	return same(reply, live) || want != nil && same(want, live) || v.Loose && equivalent(want, live)
}

// lostItem reports whether a set of plain values misses one that Git sets.
func lostItem(node *fieldpath.Set, reply, live any) bool {
	for pe := range node.Members.All() {
		if pe.Value == nil {
			continue
		}
		_, _, wanted := child(reply, pe)
		if _, _, ok := child(live, pe); wanted && !ok {
			return true
		}
	}
	return false
}

// ownerOfAdded returns who put something into the set at path that Git, in node,
// does not: whoever took an item out owns nothing.
func (v *view) ownerOfAdded(node *fieldpath.Set, path fieldpath.Path, live any) (best owner) {
	list, _ := live.([]any)
	items, _ := itemsOf(list, node)
	for _, pe := range items {
		if node.Members.Has(pe) {
			continue
		}
		if o := ownerOf(v.owners, below(path, pe), true, v.ByPerson); compareOwners(o, best, v.ByPerson) > 0 {
			best = o
		}
	}
	return best
}

// atom compares a value that is applied as a whole, and goes as deep as both
// sides have the same shape.
func (v *view) atom(path fieldpath.Path, want, reply, live any) {
	r, isMap := reply.(map[string]any)
	l, alike := live.(map[string]any)
	if isMap && alike {
		v.atomFields(path, want, r, l)
		return
	}
	rs, isList := reply.([]any)
	ls, alike := live.([]any)
	if isList && alike && len(rs) == len(ls) && allMaps(rs) && allMaps(ls) {
		for i := range rs {
			w, _, _ := child(want, fieldpath.IndexElement(i))
			if !v.agree(w, rs[i], ls[i]) {
				v.atom(below(path, fieldpath.IndexElement(i)), w, rs[i], ls[i])
			}
		}
		return
	}
	v.differ(path, want, reply, live)
}

func (v *view) atomFields(path fieldpath.Path, want any, reply, live map[string]any) {
	names := make([]string, 0, len(reply)+len(live))
	for k := range reply {
		names = append(names, k)
	}
	for k := range live {
		if _, ok := reply[k]; !ok && !v.Loose {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	for _, k := range names {
		pe := fieldpath.FieldNameElement(k)
		w, _, _ := child(want, pe)
		if !v.agree(w, reply[k], live[k]) {
			v.atom(below(path, pe), w, reply[k], live[k])
		}
	}
}

func allMaps(l []any) bool {
	return !slices.ContainsFunc(l, func(v any) bool { _, ok := v.(map[string]any); return !ok })
}

// differ records a difference. Git's own words come before the server's.
func (v *view) differ(path fieldpath.Path, want, reply, live any) {
	if want == nil {
		want = reply
	}
	d := difference{path: path, want: want, live: live}
	d.owner = ownerOf(v.owners, path, live != nil, v.ByPerson)
	v.lost = append(v.lost, d)
}

// extra returns the fields that Git does not set and that the applier left
// behind or a person put there. It needs changed to have run.
func (v *view) extra() []difference {
	all := collection{byPerson: v.ByPerson}
	for _, d := range v.left() {
		all.add(d)
	}
	for _, d := range v.intruded() {
		if v.stays(d) {
			all.add(d)
		}
	}
	for _, d := range v.optedOut() {
		all.add(d)
	}
	return slices.DeleteFunc(all.list, func(d difference) bool {
		k := keyed(d.path)
		return slices.ContainsFunc(v.whole, func(p kspec.Path) bool { return p.Covers(k) })
	})
}

// collection holds one difference for each place, the one by the strongest
// owner. Whoever may write an object can give it some ten thousand fields, so
// places are looked up and not searched for.
type collection struct {
	byPerson func(string) bool
	list     []difference
	at       map[string][]int
}

func (c *collection) add(d difference) {
	key := keyed(d.path).String()
	for _, i := range c.at[key] {
		if c.list[i].path.Equals(d.path) {
			if compareOwners(d.owner, c.list[i].owner, c.byPerson) > 0 {
				c.list[i] = d
			}
			return
		}
	}
	if c.at == nil {
		c.at = map[string][]int{}
	}
	c.at[key] = append(c.at[key], len(c.list))
	c.list = append(c.list, d)
}

// left returns what the applier still owns, Git sets no more, and an apply
// would take away or reset.
func (v *view) left() []difference {
	var left []difference
	unset(v.before, v.applied, nil, v.Live.Object, func(path fieldpath.Path, live any) {
		if after, ok := lookup(v.reply, path); ok && same(after, live) || benign(v.Want, path) || v.isGits(path, live) {
			return
		}
		d := difference{path: path, live: live}
		d.owner = ownerOf(v.owners, path, true, v.ByPerson)
		left = append(left, d)
	})
	return left
}

// isGits reports whether Git says just that: an apply owns no empty list.
func (v *view) isGits(path fieldpath.Path, live any) bool {
	want, ok := lookup(v.Want.Object, path)
	return ok && same(want, live)
}

// intruded returns what people's tools own and Git does not set, and what Git
// once set and an applier left that does not apply on the server's side. In a
// policy it returns whatever Git does not set: the name of a manager is anyone's
// choice, and must not hide how a policy was weakened.
func (v *view) intruded() []difference {
	all := collection{byPerson: v.ByPerson}
	if exempt(v.Want.ID()) {
		known := structure(v.owners)
		unset(ownSet(v.Live.Object, known), ownSet(v.reply, known), nil, v.Live.Object, func(path fieldpath.Path, live any) {
			d := difference{path: path, live: live}
			d.owner = ownerOf(v.owners, path, true, v.ByPerson)
			if startsWith(path, "spec") {
				all.add(d)
			}
		})
	}
	_, applied := appliedBy(v.owners, v.Want.FieldManager)
	for _, o := range v.owners {
		byApplier := o.manager == v.Want.FieldManager
		// What an applier that keeps notes did is told by them, whatever its name.
		byPerson := v.ByPerson(o.manager) && !(byApplier && !applied && v.keepsNotes())
		if o.subresource != "" || o.applies(v.Want.FieldManager) || !byPerson && !byApplier {
			continue
		}
		unset(o.set, v.applied, nil, v.Live.Object, func(path fieldpath.Path, live any) {
			if !benign(v.Want, path) && !v.isGits(path, live) && (byPerson || v.wasInGit(path)) {
				all.add(difference{path: path, live: live, owner: o})
			}
		})
	}
	return all.list
}

// keepsNotes reports whether the object says what was last applied.
func (v *view) keepsNotes() bool { return v.Live.GetAnnotations()[lastApplied] != "" }

// wasInGit reports whether the applier set the field when it last wrote the
// object, as far as it keeps notes: client-side apply does, as Argo CD's.
func (v *view) wasInGit(path fieldpath.Path) bool {
	if v.noted == nil {
		v.noted = map[string]any{}
		_ = json.Unmarshal([]byte(v.Live.GetAnnotations()[lastApplied]), &v.noted) // no notes: nothing is known
	}
	_, ok := lookup(v.noted, path)
	return ok
}

// stays reports whether an intrusion is one: taking it away makes a difference.
func (v *view) stays(d difference) bool {
	if neverDefault(d.path) || slices.ContainsFunc(v.Kept, d.path.Equals) {
		return true
	}
	again := v.reply // without a dry run: Git and the defaults that are known
	switch {
	case v.Without != nil:
		again = v.Without.Object
	case v.Reply != nil:
		return true
	}
	after, ok := lookup(again, d.path)
	return !ok || !same(after, d.live)
}

// unset calls visit for each place that set owns, applied does not, and live
// has: single fields, but list items as a whole when Git has nothing in them.
func unset(set, applied *fieldpath.Set, path fieldpath.Path, live any, visit func(fieldpath.Path, any)) {
	for _, pe := range elements(set) {
		l, _, ok := child(live, pe)
		if !ok {
			continue
		}
		at, sub := below(path, pe), under(set, pe)
		set := holds(applied, pe)
		switch {
		case !set && (sub == nil || pe.FieldName == nil):
			visit(at, l)
		case sub != nil:
			unset(sub, under(applied, pe), at, l, visit)
		}
	}
}

// fields turns differences into fields, sorted by path, and says by which rules
// it removed others.
func (v *view) fields(differences []difference) (fields []kspec.Field, suppressed []int) {
	for _, d := range differences {
		f := v.field(d)
		rule, ignored := v.ignoredBy(v.Want, f)
		switch {
		case v.PeopleOnly && !f.ByPerson:
		case ignored:
			suppressed = append(suppressed, rule)
		case v.excuses(d):
			suppressed = append(suppressed, kspec.SuppressedByEngine)
		case v.isFilledIn(d):
			v.variables = append(v.variables, f.KeyedPath)
		default:
			fields = append(fields, f)
		}
	}
	slices.SortFunc(fields, func(a, b kspec.Field) int { return strings.Compare(a.Path, b.Path) })
	return fields, suppressed
}

func (v *view) field(d difference) kspec.Field {
	root := v.Live.Object
	if d.live == nil {
		root = v.Want.Object
		if _, ok := lookup(root, d.path); !ok {
			root = v.reply
		}
	}
	f := kspec.Field{
		Manager: d.owner.manager, Operation: d.owner.operation, Subresource: d.owner.subresource, Time: d.owner.time,
		AppliedAfter: v.appliedAfter(d.owner),
	}
	f.ByPerson = f.Manager != "" && v.ByPerson(f.Manager) && !d.owner.applies(v.Want.FieldManager)
	if v.hide == nil {
		v.hide = v.redactor(v.Want, v.Want.Object, v.reply, v.Live.Object)
	}
	v.hide.redact(&f, d, pointer(root, d.path), v.Want.Object, v.reply, v.Live.Object)
	return f
}

func (v *view) finding(verdict kspec.Verdict, fields []kspec.Field) kspec.Finding {
	tier := kspec.TierDryRun
	if v.Reply == nil {
		tier = kspec.TierFields
	}
	message, hint := sentence(verdict, fields), advice(verdict, v.Want, fields)
	if verdict == kspec.OwnerConflict {
		message, hint = v.dispute(fields)
	}
	return v.found(kspec.Finding{
		Verdict: verdict, Fields: fields, DecidedBy: tier, Message: message, Hint: v.advise(hint),
	}, v.Want)
}

// found completes a finding about want.
func (r Rules) found(f kspec.Finding, want kspec.Object) kspec.Finding {
	f.Object, f.Source, f.Type = want.ID(), want.Source, kspec.TypeConfiguration
	if want.Source.Template != "" || isPolicy(f.Object) {
		f.Type = kspec.TypePolicy
	}
	f.Severity = r.severity(f.Verdict, f.Object, want.GetLabels(), f.Fields)
	f.Controls = []string{}
	if served := want.GetAnnotations()[kspec.ControlsAnnotation]; served != "" {
		f.Controls = strings.Split(served, ",")
	}
	return f.Fingerprinted()
}

// isPolicy reports whether the object is a policy of admission control, or says
// where one holds.
func isPolicy(id kspec.ObjectID) bool {
	switch id.Group {
	case "admissionregistration.k8s.io":
		return strings.HasSuffix(strings.TrimSuffix(id.Kind, "Binding"), "AdmissionPolicy")
	case "kyverno.io", "policies.kyverno.io", "constraints.gatekeeper.sh", "templates.gatekeeper.sh":
		return true
	}
	return false
}
