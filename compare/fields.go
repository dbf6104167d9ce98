package compare

import (
	"encoding/json"
	"slices"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/cloudcwfranck/kspec"
)

// This file is the second of the three tiers. From the object in Git and the
// live one alone it says "in sync", or nothing. It says so when an apply of Git
// could change nothing, and nobody put there what Git does not set:
//
//   - Every value that Git sets is the live one, and the applier owns it.
//   - The applier owns nothing that Git dropped.
//   - No person's tool owns a field that Git does not set.
//   - The applier noted nothing that Git dropped, if it keeps notes.
//
// Every object of every first look comes by here, so managedFields are read
// where they stand, and only the entries that matter.

// claims is a node of managedFields in the form of FieldsV1: "f:name",
// `k:{"name":"app"}` and `v:"x"` for what is below, "." for the node itself.
type claims = map[string]any

// byFields is one object on its way through the tier.
type byFields struct {
	want kspec.Object
	live map[string]any
	// ours is what the applier owns: by its one apply, else by its updates.
	ours    claims
	applied bool
	updates []claims
	people  []claims
	// personal is true when the applier has the name of a person's tool.
	personal bool

	extra []extra
	key   []byte // scratch
}

// extra is a place where the applier owns more than Git sets.
type extra struct {
	at         []string
	node       claims
	want, live any
}

// check is one condition of being in sync. An earlier one may prepare a later.
type check func(*byFields) bool

func checks() []check {
	return []check{(*byFields).holds, (*byFields).droppedNothing, (*byFields).leftAlone, (*byFields).notedNothing}
}

// inSync reports whether the object is as Git says for certain. False says
// nothing.
func inSync(l Look, r Rules, checks []check) bool {
	if exempt(l.Want.ID()) {
		return false // people's names are not trusted there
	}
	f := &byFields{want: l.Want, live: l.Live.Object}
	if f.want.GetKind() == "NetworkPolicy" { // applied as a whole, so that Git never has its defaults
		f.want.Unstructured = withDefaults(f.want.Unstructured)
	}
	return f.open(r) && !slices.ContainsFunc(checks, func(holds check) bool { return !holds(f) })
}

// open reads the entries that matter. It returns false when they are not all
// there, or of another version than Git has.
func (f *byFields) open(r Rules) bool {
	meta, _ := f.live["metadata"].(map[string]any)
	entries, _ := meta["managedFields"].([]any)
	f.personal = r.ByPerson(f.want.FieldManager)
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		manager, _ := entry["manager"].(string)
		byApplier := manager == f.want.FieldManager
		if sub, _ := entry["subresource"].(string); sub != "" || !byApplier && !r.ByPerson(manager) {
			continue
		}
		set, ok := entry["fieldsV1"].(claims)
		if !ok || entry["fieldsType"] != "FieldsV1" || entry["apiVersion"] != f.want.Object["apiVersion"] {
			return false
		}
		switch applies := entry["operation"] == "Apply"; {
		case byApplier && applies && f.applied:
			return false
		case byApplier && applies:
			f.ours, f.applied = set, true
		case byApplier:
			f.updates = append(f.updates, set)
		default:
			f.people = append(f.people, set)
		}
	}
	if !f.applied && len(f.updates) == 1 {
		f.ours = f.updates[0]
	}
	return f.ours != nil
}

// holds reports whether each value that Git sets is the live one, and owned by
// the applier. It notes where the applier owns more.
func (f *byFields) holds() bool {
	n, at := 0, make([]string, 0, 16)
	for k, want := range f.want.Object {
		switch k {
		case "apiVersion", "kind":
			continue
		case "metadata":
			owned, ok := f.metadata(at, want)
			if !ok {
				return false
			}
			n += owned
			continue
		}
		if !f.field(at, k, want, f.live, f.ours) {
			return false
		}
		n++
	}
	f.beyond(at, n, f.ours, f.want.Object, f.live)
	return true
}

// metadata is holds for metadata, of which the identity has no owner. It
// returns 1 when there is more than that in Git, else 0.
func (f *byFields) metadata(at []string, v any) (owned int, ok bool) {
	want, _ := v.(map[string]any)
	live, _ := f.live["metadata"].(map[string]any)
	ours, _ := f.ours["f:metadata"].(claims)
	n, at := 0, append(at, "metadata")
	for k, w := range want {
		if k == "name" || k == "namespace" {
			continue
		}
		if !f.field(at, k, w, live, ours) {
			return 0, false
		}
		n++
	}
	if n == 0 {
		return 0, true
	}
	f.beyond(at, n, ours, want, live)
	return 1, true
}

// field is value for the field k of live, which is at a place.
func (f *byFields) field(at []string, k string, want any, live map[string]any, ours claims) bool {
	f.key = append(append(f.key[:0], "f:"...), k...)
	node, ok := ours[string(f.key)].(claims)
	l, there := live[k]
	return ok && there && f.value(append(at, k), want, l, node)
}

// value reports whether live has what want says. A value that the applier owns
// as a whole is equal as a whole.
func (f *byFields) value(at []string, want, live any, ours claims) bool {
	if isLeaf(ours) {
		return same(want, live)
	}
	switch want := want.(type) {
	case map[string]any:
		live, ok := live.(map[string]any)
		if !ok || len(want) == 0 {
			return false
		}
		for k, w := range want {
			if !f.field(at, k, w, live, ours) {
				return false
			}
		}
		f.beyond(at, len(want), ours, want, live)
		return true
	case []any:
		live, ok := live.([]any)
		return ok && f.list(at, want, live, ours)
	}
	return false
}

// mostItems bounds the lists with keys that are compared by fields.
const mostItems = 500

// list is value for a list of which the items have owners of their own.
func (f *byFields) list(at []string, want, live []any, ours claims) bool {
	names, ok := keyNames(ours)
	if !ok || max(len(want), len(live)) > mostItems {
		return false
	}
	at = append(at, "")
	for _, w := range want {
		if f.key, ok = appendKey(f.key[:0], names, w); !ok {
			return false
		}
		node, owned := ours[string(f.key)].(claims)
		l, there := only(live, names, w)
		if _, once := only(want, names, w); !once || !owned || !there || !f.value(at, w, l, node) {
			return false
		}
	}
	f.beyond(at[:len(at)-1], len(want), ours, want, live)
	return true
}

// beyond notes that of the node more than n have an owner, if so.
func (f *byFields) beyond(at []string, n int, node claims, want, live any) {
	if _, itself := node["."]; itself {
		n++
	}
	if len(node) != n {
		f.extra = append(f.extra, extra{slices.Clone(at), node, want, live})
	}
}

// droppedNothing reports whether the applier owns nothing that Git does not
// set.
func (f *byFields) droppedNothing() bool {
	return !f.applied || !slices.ContainsFunc(f.extra, func(e extra) bool {
		return f.claimed(e.at, e.node, e.node, e.want, e.live, anything{})
	})
}

// leftAlone reports whether people's tools own nothing that Git does not set.
func (f *byFields) leftAlone() bool {
	return !slices.ContainsFunc(f.people, func(set claims) bool {
		return f.claimed(nil, set, f.ours, f.want.Object, f.live, anything{})
	})
}

// notedNothing reports whether the applier, where it does not apply on the
// server's side, put nothing there that Git does not set: by its notes, or
// when it keeps none and may be a person, by what it owns.
func (f *byFields) notedNothing() bool {
	if len(f.updates) == 0 {
		return true
	}
	noted, ok := f.notes()
	return ok && !slices.ContainsFunc(f.updates, func(set claims) bool {
		return f.claimed(nil, set, f.ours, f.want.Object, f.live, noted)
	})
}

// anything stands for notes that have every field.
type anything struct{}

func (f *byFields) notes() (noted any, ok bool) {
	meta, _ := f.live["metadata"].(map[string]any)
	annotations, _ := meta["annotations"].(map[string]any)
	text, _ := annotations[lastApplied].(string)
	switch {
	case f.personal && (f.applied || text == ""):
		return anything{}, true
	case text == "":
		return nil, true
	}
	m := map[string]any{}
	return m, json.Unmarshal([]byte(text), &m) == nil
}

// claimed reports whether node claims a place that is live, not in Git, in the
// notes, and not benign; or whether that cannot be told.
func (f *byFields) claimed(at []string, node, ours claims, want, live, noted any) bool {
	for key, v := range node {
		if key == "." {
			continue
		}
		below, ok := v.(claims)
		pe, err := fieldpath.DeserializePathElement(key)
		if !ok || err != nil || pe.Index != nil {
			return true
		}
		l, _, there := child(live, pe)
		n, was := inNotes(noted, pe)
		if !there || !was {
			continue
		}
		at := append(at, strings.TrimPrefix(key, "f:"))
		if pe.FieldName == nil {
			at[len(at)-1] = ""
		}
		w, _, inGit := child(want, pe)
		mine, _ := ours[key].(claims)
		switch {
		case isLeaf(below), pe.FieldName == nil && !inGit:
			if !inGit && !benignAt(f.want, at) {
				return true
			}
		case inGit && isLeaf(mine):
			return true // owned in parts by one and as a whole by the other
		case f.claimed(at, below, mine, w, l, n):
			return true
		}
	}
	return false
}

func inNotes(noted any, pe fieldpath.PathElement) (below any, ok bool) {
	if _, all := noted.(anything); all {
		return noted, true
	}
	below, _, ok = child(noted, pe)
	return below, ok
}

// isLeaf reports whether the node is owned as a whole.
func isLeaf(node claims) bool {
	_, itself := node["."]
	return len(node) == 0 || itself && len(node) == 1
}
