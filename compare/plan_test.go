package compare

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
)

func spot(resource, namespace string) endpoint {
	return endpoint{schema.GroupVersionResource{Version: "v1", Resource: resource}, namespace}
}

func TestListsArePlannedByCost(t *testing.T) {
	for name, c := range map[string]struct {
		wanted map[endpoint]int
		want   []string
	}{
		"nothing":                       {nil, nil},
		"a few are fetched":             {map[endpoint]int{spot("pods", "a"): 3}, nil},
		"a few in each of a few":        {map[endpoint]int{spot("pods", "a"): 2, spot("pods", "b"): 1}, nil},
		"one namespace":                 {map[endpoint]int{spot("pods", "a"): 4}, []string{"pods in a: 4"}},
		"several namespaces":            {map[endpoint]int{spot("pods", "a"): 90, spot("pods", "b"): 1}, []string{"pods in : 91"}},
		"a few in very many":            {map[endpoint]int{spot("pods", "a"): 1, spot("pods", "b"): 1, spot("pods", "c"): 1, spot("pods", "d"): 1}, []string{"pods in : 4"}},
		"a kind without namespaces":     {map[endpoint]int{spot("nodes", ""): 9}, []string{"nodes in : 9"}},
		"a few of that":                 {map[endpoint]int{spot("nodes", ""): 3}, nil},
		"each kind by itself, in order": {map[endpoint]int{spot("pods", "a"): 5, spot("configmaps", "a"): 3, spot("configmaps", "b"): 3}, []string{"configmaps in : 6", "pods in a: 5"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, q := range plan(c.wanted) {
				got = append(got, fmt.Sprintf("%s in %s: %d", q.at.gvr.Resource, q.at.namespace, q.total()))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("lists (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAListGoesOnAsLongAsItPays(t *testing.T) {
	one := inquiry{at: spot("pods", "a"), wanted: map[string]int{"a": 4}}
	nodes := inquiry{at: spot("nodes", ""), wanted: map[string]int{"": 4}}
	wide := inquiry{at: spot("pods", ""), wanted: map[string]int{"a": 100, "b": 2}}
	done := inquiry{at: spot("pods", "a"), wanted: map[string]int{"a": 0}}
	for name, c := range map[string]struct {
		q    inquiry
		rest int64
		want bool
	}{
		"no more than four gets":            {one, 100, true},
		"more than four gets":               {one, 101, false},
		"the same of a kind without spaces": {nodes, 101, false},
		"no more than a list and two gets":  {wide, 25 + 100 + 50, true},
		"more than a list and two gets":     {wide, 25 + 100 + 51, false},
		"all found":                         {done, 1, false},
		"the server does not say":           {one, 0, true},
	} {
		if got := c.q.pays(c.rest); got != c.want {
			t.Errorf("%s: pays(%d) = %v", name, c.rest, got)
		}
	}
}

func TestWhatToDoWhenAListIsTooLong(t *testing.T) {
	wide := inquiry{at: spot("pods", ""), wanted: map[string]int{"b": 10, "a": 7, "c": 1}}
	for name, c := range map[string]struct {
		q        inquiry
		selector string
		want     []string
	}{
		"one namespace at a time":      {wide, "", []string{"a", "b"}},
		"by label first":               {wide, "x=y", []string{" x=y"}},
		"by label once":                {inquiry{at: wide.at, wanted: wide.wanted, selector: "x=y"}, "x=y", []string{"a", "b"}},
		"the rest of one is fetched":   {inquiry{at: spot("pods", "a"), wanted: map[string]int{"a": 7}}, "", nil},
		"two need no label":            {inquiry{at: spot("pods", "a"), wanted: map[string]int{"a": 2}}, "x=y", nil},
		"nor do nodes have namespaces": {inquiry{at: spot("nodes", ""), wanted: map[string]int{"": 7}}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, q := range c.q.instead(c.selector) {
				place := q.at.namespace
				if q.selector != "" {
					place += " " + q.selector
				}
				got = append(got, place)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("lists (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheFirstPageIsAboutAsLongAsNeeded(t *testing.T) {
	for wanted, want := range map[int]int{1: 100, 80: 160, 900: 500} {
		if got := (inquiry{wanted: map[string]int{"a": wanted}}).first(500); got != want {
			t.Errorf("for %d objects the first page has %d, want %d", wanted, got, want)
		}
	}
}

func TestALabelIsSharedByWhatOneFluxUnitApplies(t *testing.T) {
	of := func(units ...string) (all []*subject) {
		for _, name := range units {
			o := &subject{}
			if name != "" {
				o.want.Unit = kspec.UnitRef{Namespace: "flux-system", Name: name}
			}
			all = append(all, o)
		}
		return all
	}
	label := "kustomize.toolkit.fluxcd.io/name=apps,kustomize.toolkit.fluxcd.io/namespace=flux-system"
	for name, c := range map[string]struct {
		engine  kspec.Engine
		objects []*subject
		want    string
	}{
		"one unit":         {kspec.Flux, of("apps", "apps"), label},
		"two units":        {kspec.Flux, of("apps", "infra"), ""},
		"an unknown unit":  {kspec.Flux, of("apps", ""), ""},
		"no unit":          {kspec.Flux, of("", ""), ""},
		"nothing":          {kspec.Flux, nil, ""},
		"another engine":   {kspec.ArgoCD, of("apps"), ""},
		"no engine at all": {kspec.NoEngine, of("apps"), ""},
	} {
		if got := sharedLabel(c.engine, c.objects); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
