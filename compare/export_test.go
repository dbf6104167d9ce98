package compare

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
)

// Clean makes what Git wants ready for InSync.
func Clean(want kspec.Object) kspec.Object { return clean(want) }

// InSync is what the tier of fields says, with its checks or others.
func InSync(want kspec.Object, live *unstructured.Unstructured, r Rules, with ...Check) bool {
	if with == nil {
		with = checks()
	}
	return inSync(Look{Want: want, Live: live}, r, with)
}

// KnownDefaults are written as kind, field and value.
func KnownDefaults() (all []string) {
	for _, k := range knownDefaults() {
		all = append(all, fmt.Sprint(k.kind, " ", k.field, " ", k.value))
	}
	return all
}

// Check is one condition of the tier of fields.
type Check = check

// Mutants are tiers of fields that each have a defect.
func Mutants() map[string][]Check {
	all := checks()
	without := func(i int) []Check { return slices.Delete(slices.Clone(all), i, i+1) }
	instead := func(graft func(want, live any) any) []Check {
		return slices.Replace(slices.Clone(all), 0, 1, func(f *byFields) bool {
			g := *f
			g.want.Unstructured = &unstructured.Unstructured{Object: graft(f.want.Object, f.live).(map[string]any)}
			ok := g.holds()
			f.extra = g.extra
			return ok
		})
	}
	return map[string][]Check{
		"takes any value":               instead(graftScalars),
		"takes lists without a look":    instead(graftLists),
		"forgets what Git dropped":      without(1),
		"does not ask what people did":  without(2),
		"does not read the notes":       without(3),
		"leaves metadata out":           slices.Replace(slices.Clone(all), 2, 3, leftAloneBelow("metadata")),
		"trusts people with the fields": slices.Replace(slices.Clone(all), 2, 3, leftAloneBelow("spec", "data", "rules")),
	}
}

// Break lets d decide by fields with a defect.
func (d *Detector) Break(mutant string) { d.checks = Mutants()[mutant] }

func graftScalars(want, live any) any {
	switch want := want.(type) {
	case map[string]any:
		m, _ := live.(map[string]any)
		all := map[string]any{}
		for k, v := range want {
			all[k] = graftScalars(v, m[k])
		}
		return all
	case []any:
		return want
	}
	return live
}

func graftLists(want, live any) any {
	switch want := want.(type) {
	case map[string]any:
		m, _ := live.(map[string]any)
		all := map[string]any{}
		for k, v := range want {
			all[k] = graftLists(v, m[k])
		}
		return all
	case []any:
		return live
	}
	return want
}

// leftAloneBelow does not look at people's fields below some of the outermost.
func leftAloneBelow(fields ...string) Check {
	return func(f *byFields) bool {
		g := *f
		g.people = nil
		for _, set := range f.people {
			part := claims{}
			for k, v := range set {
				if !slices.Contains(fields, k[2:]) {
					part[k] = v
				}
			}
			g.people = append(g.people, part)
		}
		return g.leftAlone()
	}
}
