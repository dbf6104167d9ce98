package compare

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
)

// This file decides how objects are read: by lists where that costs less than
// fetching each. A list is never proof that an object is absent. What lists do
// not bring is fetched by name, and so is what no list is planned for.

const (
	// fewest is from how many objects of one kind on a list is cheaper than
	// fetching each.
	fewest = 4
	// perGet is how many objects a list brings in the time of one get.
	perGet = 25
)

// inquiry is a list of objects of one kind, and the namespaces in which it is to
// find how many.
type inquiry struct {
	at       endpoint
	selector string
	wanted   map[string]int
}

// plan returns the lists by which to read what is wanted, sorted: one in all
// namespaces for a kind that is wanted in several, one in its namespace else.
func plan(wanted map[endpoint]int) []inquiry {
	kinds := map[schema.GroupVersionResource]inquiry{}
	for at, n := range wanted {
		q, ok := kinds[at.gvr]
		if !ok {
			q = inquiry{at: endpoint{gvr: at.gvr}, wanted: map[string]int{}}
		}
		q.wanted[at.namespace] = n
		kinds[at.gvr] = q
	}
	var all []inquiry
	for _, q := range kinds {
		if len(q.wanted) == 1 {
			all = append(all, q.narrow()...)
		} else if q.total() >= fewest {
			all = append(all, q)
		}
	}
	slices.SortFunc(all, func(a, b inquiry) int {
		return cmp.Or(strings.Compare(a.at.gvr.String(), b.at.gvr.String()), strings.Compare(a.at.namespace, b.at.namespace))
	})
	return all
}

// narrow returns the same one namespace at a time, as far as lists pay there.
func (q inquiry) narrow() []inquiry {
	var all []inquiry
	for _, ns := range slices.Sorted(maps.Keys(q.wanted)) {
		if n := q.wanted[ns]; n >= fewest {
			all = append(all, inquiry{at: endpoint{q.at.gvr, ns}, wanted: map[string]int{ns: n}})
		}
	}
	return all
}

// wide reports whether q lists in all namespaces although those wanted are
// known.
func (q inquiry) wide() bool {
	_, clusterScoped := q.wanted[""]
	return q.at.namespace == "" && !clusterScoped
}

func (q inquiry) total() (n int) {
	for _, one := range q.wanted {
		n += one
	}
	return n
}

// pays reports whether so many objects more of a list cost less than to read
// what of it is still wanted in another way.
func (q inquiry) pays(rest int64) bool {
	otherwise := 0
	for _, n := range q.wanted {
		each := perGet * n
		if q.wide() && n >= fewest {
			each = min(each, perGet+n)
		}
		otherwise += each
	}
	return otherwise > 0 && rest <= int64(otherwise)
}

// instead returns the lists by which to read what is still wanted when the rest
// of q does not pay: by the label that they all have in the cluster, or one
// namespace at a time.
func (q inquiry) instead(selector string) []inquiry {
	switch {
	case q.selector == "" && selector != "" && q.total() >= fewest:
		q.selector = selector
		return []inquiry{q}
	case q.wide():
		return q.narrow()
	}
	return nil
}

// first is the limit of the first page: no more than will be needed when the
// list turns out to be too long.
func (q inquiry) first(limit int) int {
	const enough = 100
	return min(limit, max(enough, 2*q.total()))
}

// sharedLabel returns a selector that finds the objects in the cluster, empty
// when nothing is known of all of them: Flux labels what it applies.
func sharedLabel(engine kspec.Engine, objects []*subject) string {
	if engine != kspec.Flux || len(objects) == 0 || objects[0].want.Unit == (kspec.UnitRef{}) {
		return ""
	}
	unit := objects[0].want.Unit
	if slices.ContainsFunc(objects, func(o *subject) bool { return o.want.Unit != unit }) {
		return ""
	}
	return labels.Set{
		"kustomize.toolkit.fluxcd.io/name":      unit.Name,
		"kustomize.toolkit.fluxcd.io/namespace": unit.Namespace,
	}.String()
}
