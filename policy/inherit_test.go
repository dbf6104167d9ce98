package policy_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/policy"
)

// layer reads "merge: a b | quota max=1 min=2, limits": the strategy, the bases
// and the templates with their parameters.
func layer(text string) policy.Layer {
	head, templates, _ := strings.Cut(text, "|")
	strategy, bases, _ := strings.Cut(head, ":")
	l := policy.Layer{Strategy: kspec.MergeStrategy(strategy), Bases: strings.Fields(bases)}
	for use := range strings.SplitSeq(templates, ",") {
		fields := strings.Fields(use)
		if len(fields) == 0 {
			continue
		}
		u := kspec.TemplateUse{Name: fields[0]}
		for _, f := range fields[1:] {
			name, value, _ := strings.Cut(f, "=")
			if u.Parameters == nil {
				u.Parameters = map[string]any{}
			}
			u.Parameters[name] = value
		}
		l.Templates = append(l.Templates, u)
	}
	return l
}

// written shows templates as layer reads them, each parameter with the layer
// that set it.
func written(uses []kspec.TemplateUse) string {
	var all []string
	for _, u := range uses {
		text := u.Name
		for _, name := range slices.Sorted(maps.Keys(u.Parameters)) {
			from := ""
			for _, o := range u.Origins {
				if slices.Contains(o.Parameters, name) {
					from += o.Layer
				}
			}
			text += fmt.Sprintf(" %s=%s@%s", name, u.Parameters[name], from)
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func chain(n int) map[string]string {
	layers := map[string]string{}
	for i := range n {
		layers[fmt.Sprint("b", i)] = fmt.Sprintf("merge: b%d |", i+1)
	}
	layers[fmt.Sprint("b", n)] = "merge: | quota max=9"
	return layers
}

func TestInherit(t *testing.T) {
	with := func(layers map[string]string, more ...string) map[string]string {
		out := maps.Clone(layers)
		for i := 0; i < len(more); i += 2 {
			out[more[i]] = more[i+1]
		}
		return out
	}
	tests := []struct {
		name   string
		layers map[string]string // "x" is asked for
		want   string
		err    string
	}{
		{"nothing", map[string]string{"x": "merge: |"}, "", ""},
		{"a template by itself", map[string]string{"x": "merge: quota |"}, "quota", ""},
		{"what the base says", map[string]string{"x": "merge: a |", "a": "merge: | quota max=1"}, "quota max=1@a", ""},
		{"merge wins parameter by parameter", map[string]string{"x": "merge: a | quota max=2", "a": "merge: | quota max=1 min=1"}, "quota max=2@x min=1@a", ""},
		{"override replaces the template", map[string]string{"x": "override: a | quota max=2", "a": "merge: | quota max=1 min=1"}, "quota max=2@x", ""},
		{"override leaves the others", map[string]string{"x": "override: a | quota max=2", "a": "merge: | limits, quota max=1"}, "limits, quota max=2@x", ""},
		{"append adds", map[string]string{"x": "append: a | limits", "a": "merge: | quota max=1"}, "quota max=1@a, limits", ""},
		{"append refuses what is there", map[string]string{"x": "append: a | quota max=2", "a": "merge: | quota max=1"}, "", `mergeStrategy is append, and template "quota" is used by both a and x`},
		{"append refuses it of two bases", map[string]string{"x": "append: a b |", "a": "merge: | quota", "b": "merge: | quota"}, "", `base 1: mergeStrategy is append, and template "quota" is used by both a and b`},
		{"the later base wins", map[string]string{"x": "merge: a b |", "a": "merge: | quota max=1", "b": "merge: | quota max=2"}, "quota max=2@b", ""},
		{"each layer merges as it says", map[string]string{"x": "merge: a |", "a": "override: b | quota max=1", "b": "merge: | quota max=2 min=2"}, "quota max=1@a", ""},
		{"a base that is reached twice speaks once", map[string]string{"x": "append: a b |", "a": "merge: c |", "b": "merge: c |", "c": "merge: | quota max=1"}, "quota max=1@c", ""},
		{"a base does not win over what builds on it", map[string]string{
			"x": "merge: a b |", "a": "merge: c | quota max=2", "b": "merge: c |", "c": "merge: | quota max=1",
		}, "quota max=2@a", ""},
		{"nor when it is named last", map[string]string{"x": "override: a c |", "a": "merge: c | quota max=2", "c": "merge: | quota max=1"}, "quota max=2@a", ""},
		{"but another one does", map[string]string{
			"x": "merge: a b |", "a": "merge: c | quota max=2", "b": "merge: c | quota max=3", "c": "merge: | quota max=1",
		}, "quota max=3@b", ""},
		{"templates keep their order", map[string]string{"x": "merge: a | limits, quota", "a": "merge: | quota, labels"}, "quota, labels, limits", ""},
		{"itself", map[string]string{"x": "merge: x |"}, "", "base 0: it builds on itself: x → x"},
		{"a cycle", map[string]string{"x": "merge: quota a |", "a": "merge: b |", "b": "merge: x |"}, "", "base 1: a: b: it builds on itself: x → a → b → x"},
		{"a cycle further down", map[string]string{"x": "merge: a |", "a": "merge: b |", "b": "merge: a |"}, "", "base 0: a: b: it builds on itself: x → a → b → a"},
		{"a base that is not there", map[string]string{"x": "merge: a |"}, "", `base 0: no ClusterSpec and no template is named "a"`},
		{"eight bases", with(chain(7), "x", "merge: b0 |"), "quota max=9@b7", ""},
		{"nine bases", with(chain(8), "x", "merge: b0 |"), "", "base 0: b0: b1: b2: b3: b4: b5: b6: b7: more than 8 bases build on one another: x → b0 → b1 → b2 → b3 → b4 → b5 → b6 → b7 → b8"},
		{"nine bases by a way that is longer than the first", with(chain(7), "x", "merge: b0 a |", "a", "merge: b0 |"), "", "base 1: a: more than 8 bases build on one another: x → a → b0"},
		{"a name for two things", map[string]string{"x": "merge: quota |", "quota": "merge: | limits"}, "", `base 0: "quota" is a ClusterSpec and a template: rename one`},
		{"a template twice in one layer", map[string]string{"x": "merge: a |", "a": "merge: | quota, quota"}, "", `base 0: a uses template "quota" twice, so that nothing says which of the two is inherited`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			layers := map[string]policy.Layer{}
			for name, text := range tt.layers {
				layers[name] = layer(text)
			}
			isTemplate := func(name string) bool { return slices.Contains([]string{"quota", "limits", "labels"}, name) }
			uses, err := policy.Inherit("x", layers, isTemplate)
			text := ""
			if base, ok := errors.AsType[*policy.BaseError](err); ok {
				text = fmt.Sprintf("base %d: %v", base.Index, base.Unwrap())
			} else if err != nil {
				text = err.Error()
			}
			if got := written(uses); got != tt.want || text != tt.err {
				t.Errorf("got %q and error %q\nwant %q and error %q", got, text, tt.want, tt.err)
			}
			again, _ := policy.Inherit("x", layers, isTemplate)
			if diff := cmp.Diff(uses, again); diff != "" {
				t.Errorf("the second time otherwise:\n%s", diff)
			}
		})
	}
}

// What a layer below says counts there, whatever those say that build on it.
func TestInheritTellsHowEveryLayerBelowUsesATemplate(t *testing.T) {
	layers := map[string]policy.Layer{
		"x":       layer("merge: team quota | quota max=3, limits"),
		"team":    layer("override: company | quota max=2"),
		"company": layer("merge: base | quota min=1"),
		"base":    layer("merge: quota | quota max=1"),
		"other":   layer("merge: | quota max=9"),
		"idle":    layer("merge: |"),
	}
	uses, err := policy.Inherit("x", layers, func(name string) bool { return name == "quota" || name == "limits" })
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, u := range uses {
		for _, below := range u.Inherited {
			last := below.Origins[len(below.Origins)-1].Layer
			got[u.Name] = append(got[u.Name], last+": "+written([]kspec.TemplateUse{below}))
		}
	}
	want := map[string][]string{"quota": {"base: quota max=1@base", "company: quota max=1@base min=1@company", "team: quota max=2@team"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A repo whose specs all build on all those below them has more ways through it
// than can be walked.
func TestInheritWalksNoWayTwice(t *testing.T) {
	layers := map[string]policy.Layer{"x": {Strategy: kspec.Merge}}
	var below []string
	for level := range 8 {
		var these []string
		for i := range 40 {
			name := fmt.Sprintf("l%d-%d", level, i)
			layers[name] = policy.Layer{Strategy: kspec.Merge, Bases: below, Templates: []kspec.TemplateUse{{Name: "quota", Parameters: map[string]any{"by": name}}}}
			these = append(these, name)
		}
		below = these
	}
	layers["x"] = policy.Layer{Strategy: kspec.Merge, Bases: below}
	uses, err := policy.Inherit("x", layers, func(name string) bool { return name == "quota" })
	if err != nil || written(uses) != "quota by=l7-39@l7-39" {
		t.Errorf("got %q, %v", written(uses), err)
	}
}

// rule reads "name severity=high final expression=x subjects=a,b".
func rule(layer, text string) kspec.Rule {
	fields := strings.Fields(text)
	r := kspec.Rule{Name: fields[0], Origins: []kspec.Origin{{Layer: layer, Template: "t"}}}
	for _, f := range fields[1:] {
		name, value, _ := strings.Cut(f, "=")
		switch name {
		case "final":
			r.Final = true
		case "severity":
			r.Severity = kspec.Severity(value)
		case "expression":
			r.Expression = value
		case "message":
			r.Message = value
		case "subjects":
			r.Subjects = strings.Split(value, ",")
		case "reads":
			r.Reads = map[string]any{"most": value}
		case "controls":
			r.Controls = strings.Split(value, ",")
		}
	}
	return r
}

func rules(layer, text string) []kspec.Rule {
	var all []kspec.Rule
	for one := range strings.SplitSeq(text, ";") {
		if strings.TrimSpace(one) != "" {
			all = append(all, rule(layer, one))
		}
	}
	return all
}

// shown writes a rule as rule reads it, and then its origins.
func shown(r kspec.Rule) string {
	text := r.Name
	add := func(name, value string) {
		if value != "" {
			text += " " + name + "=" + value
		}
	}
	add("severity", string(r.Severity))
	if r.Final {
		text += " final"
	}
	add("expression", r.Expression)
	add("message", r.Message)
	add("subjects", strings.Join(r.Subjects, ","))
	add("controls", strings.Join(r.Controls, ","))
	for _, o := range r.Origins {
		text += fmt.Sprintf(" @%s(%s)", o.Layer, strings.Join(o.Fields, ","))
	}
	return text
}

func TestMergeRules(t *testing.T) {
	const base = "limits severity=medium expression=a message=m subjects=pods controls=C1"
	const final = "limits final severity=medium expression=a message=m subjects=pods controls=C1"
	tests := []struct {
		name     string
		strategy kspec.MergeStrategy
		layers   []string // the first is of layer a, the second of b, and so on
		want     string   // rules separated by "; "
		err      string
	}{
		{"one layer", kspec.Merge, []string{"x expression=1; y expression=2"}, "x expression=1 @a(expression); y expression=2 @a(expression)", ""},
		{"union", kspec.Merge, []string{"x expression=1", "y expression=2"}, "x expression=1 @a(expression); y expression=2 @b(expression)", ""},
		{"merge wins field by field", kspec.Merge, []string{base, "limits severity=low"}, "limits severity=low expression=a message=m subjects=pods controls=C1 @a(controls,expression,message,subjects) @b(severity)", ""},
		{"merge replaces lists whole", kspec.Merge, []string{base, "limits subjects=jobs controls=C2"}, "limits severity=medium expression=a message=m subjects=jobs controls=C2 @a(expression,message,severity) @b(controls,subjects)", ""},
		{"the last of three", kspec.Merge, []string{"x expression=1 message=m", "x expression=2", "x expression=3"}, "x expression=3 message=m @a(message) @c(expression)", ""},
		{"nothing is left of the first", kspec.Merge, []string{"x expression=1", "x expression=2"}, "x expression=2 @b(expression)", ""},
		{"override replaces the rule", kspec.Override, []string{base, "limits expression=b"}, "limits expression=b @b(expression)", ""},
		{"override leaves the others", kspec.Override, []string{"x expression=1; y expression=2", "y expression=3"}, "x expression=1 @a(expression); y expression=3 @b(expression)", ""},
		{"append adds", kspec.Append, []string{"x expression=1", "y expression=2"}, "x expression=1 @a(expression); y expression=2 @b(expression)", ""},
		{"append refuses what is there", kspec.Append, []string{"x expression=1", "x expression=1"}, "", `mergeStrategy is append, and rule "x" is in both a (template t) and b (template t)`},
		{"twice in one layer", kspec.Merge, []string{"x expression=1; x expression=2"}, "", `rule "x" stands twice in a (template t)`},
		{"no strategy", "", []string{"x expression=1", "x expression=2"}, "", `mergeStrategy "" is none`},
		{"final, and said again", kspec.Override, []string{final, final}, "limits severity=medium final expression=a message=m subjects=pods controls=C1 @b(controls,expression,message,severity,subjects)", ""},
		{"final stays final", kspec.Merge, []string{final, "limits message=n"}, "limits severity=medium final expression=a message=n subjects=pods controls=C1 @a(controls,expression,severity,subjects) @b(message)", ""},
		{"final, and another expression", kspec.Merge, []string{final, "limits expression=true"}, "", `rule "limits" is final in a (template t): b (template t) may not change its expression`},
		{"final, and less severe", kspec.Merge, []string{final, "limits severity=low"}, "", `rule "limits" is final in a (template t): b (template t) may not lower its severity`},
		{"final, and more severe", kspec.Merge, []string{final, "limits severity=critical"}, "limits severity=critical final expression=a message=m subjects=pods controls=C1 @a(controls,expression,message,subjects) @b(severity)", ""},
		{"final, and fewer subjects", kspec.Merge, []string{"x final expression=1 subjects=pods,jobs", "x subjects=jobs"}, "", `rule "x" is final in a (template t): b (template t) may not take away subjects`},
		{"final, and more subjects", kspec.Merge, []string{"x final expression=1 subjects=pods", "x subjects=jobs,pods"}, "x final expression=1 subjects=jobs,pods @a(expression) @b(subjects)", ""},
		{"final, and other controls", kspec.Merge, []string{final, "limits controls=C2,C1"}, "limits severity=medium final expression=a message=m subjects=pods controls=C1,C2 @a(expression,message,severity,subjects) @b(controls)", ""},
		{"final, and replaced without controls", kspec.Override, []string{final, "limits expression=a subjects=pods"}, "limits final expression=a subjects=pods controls=C1 @b(expression,subjects)", ""},
		{"final, and replaced by less", kspec.Override, []string{final, "limits expression=a"}, "", `rule "limits" is final in a (template t): b (template t) may not take away subjects`},
		{"final, and replaced by less severe", kspec.Override, []string{final, "limits severity=low expression=a subjects=pods controls=C1"}, "", `rule "limits" is final in a (template t): b (template t) may not lower its severity`},
		{"final, and replaced by nothing", kspec.Override, []string{final, "limits"}, "", `rule "limits" is final in a (template t): b (template t) may not change its expression`},
		{"final without a severity is medium", kspec.Merge, []string{"x final expression=1", "x severity=low"}, "", `rule "x" is final in a (template t): b (template t) may not lower its severity`},
		{"final, and medium is what it was", kspec.Merge, []string{"x final expression=1", "x severity=medium"}, "x severity=medium final expression=1 @a(expression) @b(severity)", ""},
		{"final, and the same expression of other parameters", kspec.Override, []string{"x final expression=1 reads=3", "x expression=1 reads=9"}, "", `rule "x" is final in a (template t): b (template t) may not give other parameters to its expression`},
		{"final, and the same expression of the same parameters", kspec.Override, []string{"x final expression=1 reads=3", "x severity=high expression=1 reads=3"}, "x severity=high final expression=1 @b(expression,severity)", ""},
		{"final, and not named again", kspec.Override, []string{final, "y expression=1"}, "limits severity=medium final expression=a message=m subjects=pods controls=C1 @a(controls,expression,message,severity,subjects); y expression=1 @b(expression)", ""},
		{"a parameter goes with its expression", kspec.Merge, []string{"x expression=1 reads=3", "x final severity=high", "x expression=1 reads=9"}, "", `rule "x" is final in a (template t) and b (template t): c (template t) may not give other parameters to its expression`},
		{"three layers that each override", kspec.Override, []string{"x expression=1 message=m", "x expression=2 severity=high", "x expression=3"}, "x expression=3 @c(expression)", ""},
		{"append refuses it of three", kspec.Append, []string{"x expression=1", "y expression=1", "x expression=2"}, "", `mergeStrategy is append, and rule "x" is in both a (template t) and c (template t)`},
		{"final since the second layer", kspec.Merge, []string{"x expression=1", "x final", "x expression=2"}, "", `rule "x" is final in a (template t) and b (template t): c (template t) may not change its expression`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var layers [][]kspec.Rule
			for i, text := range tt.layers {
				layers = append(layers, rules(string(rune('a'+i)), text))
			}
			got, err := policy.MergeRules(tt.strategy, layers...)
			var all []string
			for _, r := range got {
				all = append(all, shown(r))
			}
			text := ""
			if err != nil {
				text = err.Error()
			}
			if diff := cmp.Diff(tt.want, strings.Join(all, "; ")); diff != "" || text != tt.err {
				t.Errorf("error %q, want %q; rules (-want +got):\n%s", text, tt.err, diff)
			}
		})
	}
}

func TestMergeRulesNamesALayerThatHasNoName(t *testing.T) {
	_, err := policy.MergeRules(kspec.Merge, []kspec.Rule{{Name: "x"}, {Name: "x"}})
	if err == nil || err.Error() != `rule "x" stands twice in a layer without a name` {
		t.Errorf("got %v", err)
	}
}
