package compare

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// owner is one entry of managedFields.
type owner struct {
	manager     string
	operation   string
	subresource string
	time        time.Time
	set         *fieldpath.Set
}

// ownersOf returns the managedFields of u.
func ownersOf(u *unstructured.Unstructured) ([]owner, error) {
	if u == nil {
		return nil, nil
	}
	entries := u.GetManagedFields()
	owners := make([]owner, 0, len(entries))
	for _, e := range entries {
		o := owner{manager: e.Manager, operation: string(e.Operation), subresource: e.Subresource, set: &fieldpath.Set{}}
		if e.Time != nil {
			o.time = e.Time.UTC()
		}
		if e.FieldsV1 != nil {
			if err := o.set.FromJSON(e.FieldsV1.GetRawReader()); err != nil {
				return nil, fmt.Errorf("read managedFields of %s: %w", e.Manager, err)
			}
		}
		owners = append(owners, o)
	}
	return owners, nil
}

// applies reports whether o is what manager applied.
func (o owner) applies(manager string) bool {
	return o.manager == manager && o.operation == string(metav1.ManagedFieldsOperationApply) && o.subresource == ""
}

// appliedBy returns what manager applied; ok is false when it never did.
func appliedBy(owners []owner, manager string) (set *fieldpath.Set, ok bool) {
	i := slices.IndexFunc(owners, func(o owner) bool { return o.applies(manager) })
	if i < 0 {
		return &fieldpath.Set{}, false
	}
	return owners[i].set, true
}

// appliedAfter reports whether the applier wrote the object after the owner of a
// field did, and left the field to it.
func (v *view) appliedAfter(by owner) bool {
	applier := v.Want.FieldManager
	if by.manager == "" || by.manager == applier || by.time.IsZero() {
		return false
	}
	return slices.ContainsFunc(v.owners, func(o owner) bool {
		return o.manager == applier && o.subresource == "" && o.time.After(by.time)
	})
}

// structure returns every path that anyone owns. It tells which lists have
// keys, which are sets and which are replaced as a whole.
func structure(owners []owner) *fieldpath.Set {
	all := &fieldpath.Set{}
	for _, o := range owners {
		all = all.Union(o.set)
	}
	return all
}

// ownerOf returns the entry that owns the value at path, the zero owner when
// none does: the one that names the place or the nearest above it, else one that
// owns something below. Among several a person comes before a machine and the
// later before the earlier. A place that is not there has an owner only when it
// is part of a value that is owned as a whole.
func ownerOf(owners []owner, path fieldpath.Path, there bool, byPerson func(string) bool) (best owner) {
	depth := 0
	for _, o := range owners {
		claim := o.claim(path)
		if !there && (claim == somethingBelow || claim > len(path)) {
			continue
		}
		if claim == 0 || claim < depth {
			continue
		}
		if claim > depth || compareOwners(o, best, byPerson) > 0 {
			best, depth = o, claim
		}
	}
	return best
}

// somethingBelow is the weakest claim.
const somethingBelow = 1

// claim says how precisely o owns the place: 0 not at all, somethingBelow it,
// more the closer. Owning a list item or a map is no claim on fields in it
// that o does not name; owning an atomic value is.
func (o owner) claim(path fieldpath.Path) int {
	node := o.set
	for i, pe := range path {
		member, next := node.Members.Has(pe), under(node, pe)
		switch {
		case i == len(path)-1 && member:
			return len(path) + 1
		case next == nil && member:
			return i + 2
		case next == nil:
			return 0
		}
		node = next
	}
	return somethingBelow
}

func compareOwners(a, b owner, byPerson func(string) bool) int {
	rank := func(o owner) int {
		if byPerson(o.manager) {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(rank(a), rank(b)),
		a.time.Compare(b.time),
		strings.Compare(b.manager, a.manager),
	)
}
