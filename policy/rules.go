package policy

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

// MergeRules makes one list of the rules of several layers, from the root on,
// in the order in which they are first named. Each rule must have one origin,
// the layer that it is of; in the result its origins tell which fields are as
// which layer says.
//
// It is an error when a layer names a rule twice, when two layers do and the
// strategy is append, and when a layer weakens a rule that one before it marked
// final: such a rule keeps its expression and what that reads, and its severity
// and subjects may only grow. It keeps its controls, and those of later layers are
// added. Once final, a rule stays final.
func MergeRules(s kspec.MergeStrategy, layers ...[]kspec.Rule) ([]kspec.Rule, error) {
	var all []kspec.Rule
	for _, layer := range layers {
		named := map[string]bool{}
		for _, r := range layer {
			if named[r.Name] {
				return nil, fmt.Errorf("rule %q stands twice in %s", r.Name, from(r))
			}
			named[r.Name] = true
			r.Origins = []kspec.Origin{originOf(r)}
			r.Origins[0].Fields = fieldsOf(r)
			i := slices.IndexFunc(all, func(o kspec.Rule) bool { return o.Name == r.Name })
			if i < 0 {
				all = append(all, r)
				continue
			}
			made, err := later(s, all[i], r)
			if err != nil {
				return nil, err
			}
			all[i] = made
		}
	}
	return all, nil
}

// later returns what becomes of a rule when a later layer names it too.
func later(s kspec.MergeStrategy, a, b kspec.Rule) (kspec.Rule, error) {
	made := b
	switch s {
	case kspec.Append:
		return b, fmt.Errorf("mergeStrategy is append, and rule %q is in both %s and %s", b.Name, from(a), from(b))
	case kspec.Merge:
		made = merged(a, b)
	case kspec.Override:
	default:
		return b, fmt.Errorf("mergeStrategy %q is none", s)
	}
	if !a.Final {
		return made, nil
	}
	made.Final = true
	made.Controls = slices.Clone(a.Controls)
	for _, c := range b.Controls {
		if !slices.Contains(made.Controls, c) {
			made.Controls = append(made.Controls, c)
		}
	}
	if what := weakened(a, made); what != "" {
		return b, fmt.Errorf("rule %q is final in %s: %s may not %s", b.Name, from(a), from(b), what)
	}
	return made, nil
}

// merged returns a with the fields that b sets.
func merged(a, b kspec.Rule) kspec.Rule {
	out := b
	if len(b.Subjects) == 0 {
		out.Subjects = a.Subjects
	}
	if len(b.Controls) == 0 {
		out.Controls = a.Controls
	}
	out.Severity = cmp.Or(b.Severity, a.Severity)
	if b.Expression == "" {
		out.Expression, out.Reads = a.Expression, a.Reads
	}
	out.Message = cmp.Or(b.Message, a.Message)
	set := b.Origins[0].Fields
	out.Origins = nil
	for _, o := range a.Origins {
		o.Fields = slices.DeleteFunc(slices.Clone(o.Fields), func(f string) bool { return slices.Contains(set, f) })
		if len(o.Fields) > 0 {
			out.Origins = append(out.Origins, o)
		}
	}
	out.Origins = append(out.Origins, b.Origins...)
	return out
}

// weakened says what of a final rule a later layer took away, "" for nothing.
func weakened(a, b kspec.Rule) string {
	switch {
	case a.Expression != b.Expression:
		return "change its expression"
	case !reflect.DeepEqual(a.Reads, b.Reads):
		return "give other parameters to its expression"
	case severity(b).Rank() < severity(a).Rank():
		return "lower its severity"
	case slices.ContainsFunc(a.Subjects, func(s string) bool { return !slices.Contains(b.Subjects, s) }):
		return "take away subjects"
	}
	return ""
}

// severity is how bad it is to break a rule.
func severity(r kspec.Rule) kspec.Severity { return cmp.Or(r.Severity, kspec.Medium) }

// fieldsOf lists the fields of r that are set, sorted.
func fieldsOf(r kspec.Rule) []string {
	var fields []string
	for name, set := range map[string]bool{
		"subjects": len(r.Subjects) > 0, "severity": r.Severity != "", "controls": len(r.Controls) > 0,
		"expression": r.Expression != "", "message": r.Message != "",
	} {
		if set {
			fields = append(fields, name)
		}
	}
	slices.Sort(fields)
	return fields
}

func originOf(r kspec.Rule) kspec.Origin {
	if len(r.Origins) == 0 {
		return kspec.Origin{}
	}
	return r.Origins[0]
}

// from names the layer of a rule.
func from(r kspec.Rule) string {
	var names []string
	for _, o := range r.Origins {
		if o.Template != "" && o.Template != o.Layer {
			o.Layer += " (template " + o.Template + ")"
		}
		names = append(names, o.Layer)
	}
	return cmp.Or(strings.Join(names, " and "), "a layer without a name")
}
