package render_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/policy/cel"
	"github.com/cloudcwfranck/kspec/render"
)

// ruled makes a template of rules and parameters, in YAML flow style.
func ruled(name, parameters, rules string) string {
	return "-- templates/" + name + "/template.yaml --\napiVersion: kspec.io/v1alpha1\nkind: PolicyTemplate\nmetadata: {name: " + name +
		"}\nspec:\n  parameters: " + parameters + "\n  rules:\n" + rules
}

// compiled are options with the compiler that cmd/kspec uses.
func compiled() render.Options {
	compiler := cel.New()
	return render.Options{Check: func(policy *unstructured.Unstructured) []render.Mistake {
		_, err := compiler.Compile(policy)
		if e, ok := errors.AsType[*cel.CompileError](err); ok {
			return []render.Mistake{{Field: e.Field, Line: e.Line, Column: e.Column, Msg: e.Msg}}
		}
		return nil
	}}
}

func TestRulesStayWhatTheyAreWhateverAParameterHolds(t *testing.T) {
	for _, text := range []string{
		"plain", "{{x}}", "{{other}}", "it's", `say "it"`, "two\nlines", "' || true || '", `\`, `\n`, "${HOME}", "- a: b", "# no", "é漢\u2028", "'''", `"""`,
		"params.p", "variables.podSpec", "\x00", "</script>",
	} {
		t.Run(text, func(t *testing.T) {
			files := tree(ruled("own", "{p: {type: string}, other: {type: string, default: secret}}",
				"  - {name: is, subjects: [core/configmaps], expression: 'object.data.text == params.p', message: 'want {{p}}'}\n"))
			want := doRender(t, compiled(), using("own", map[string]any{"p": text}), files)
			if len(want.Unknown) > 0 {
				t.Fatal(reasons(want))
			}
			var objects []*unstructured.Unstructured
			for _, o := range want.Objects {
				objects = append(objects, o.Unstructured)
			}
			set, err := cel.New().Compile(objects...)
			if err != nil {
				t.Fatal(err)
			}
			for data, verdict := range map[string]cel.Verdict{text: cel.Pass, text + ".": cel.Fail, "": cel.Fail} {
				cm := &unstructured.Unstructured{Object: map[string]any{
					"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a"}, "data": map[string]any{"text": data},
				}}
				results := set.Evaluate(t.Context(), cm, nil)
				if len(results) != 1 || results[0].Verdict != verdict {
					t.Errorf("%q: %+v", data, results)
				}
				if m := results[0].Message; verdict == cel.Fail && m != strings.TrimSpace("want "+strings.ReplaceAll(text, "\n", " ")) {
					t.Errorf("message %q", m)
				}
			}
		})
	}
}

func TestParametersOfEveryTypeAreCELValues(t *testing.T) {
	for _, c := range []struct{ typ, given, expression string }{
		{"string", `"a"`, "params.p == 'a'"},
		{"bool", "true", "params.p == true && !(!params.p)"},
		{"int", "3", "params.p + 1 == 4"},
		{"int", "-9223372036854775808", "params.p < 0"},
		{"int", "1", "params.most == 9223372036854775807"},
		{"quantity", `"2Gi"`, "quantity(params.p).isGreaterThan(quantity('1Gi'))"},
		{"duration", `"7d"`, "duration(params.p) == duration('168h')"},
		{"array", `["a", 2, true]`, "params.p.size() == 3 && 'a' in params.p && 2 in params.p && true in params.p"},
		{"array", "[1, 2]", "params.p.sum() == 3 && params.s + 'b' == 'ab' && params.i == 1"},
		{"array", "[]", "params.p.size() == 0"},
		{"string", `"a"`, "params['p'] == 'a'"},
		{"string", `"a"`, "params.?p.orValue('') == 'a' && params.?q.orValue('b') == 'b'"},
		{"string", `"a"`, "[1].all(x, params.p == 'a' && 'params.p' != params.p) // params.q"},
	} {
		t.Run(c.expression, func(t *testing.T) {
			var given any
			if err := yaml.Unmarshal([]byte(c.given), &given); err != nil {
				t.Fatal(err)
			}
			if c.given == "-9223372036854775808" {
				given = int64(-9223372036854775808)
			}
			files := tree(ruled("own", "{p: {type: "+c.typ+"}, s: {type: string, default: a}, i: {type: int, default: 1}, most: {type: int, default: 9223372036854775807}}", "  - name: is\n    subjects: [core/configmaps]\n    expression: >-\n      "+c.expression+"\n"))
			want := doRender(t, compiled(), using("own", map[string]any{"p": given}), files)
			var objects []*unstructured.Unstructured
			for _, o := range want.Objects {
				objects = append(objects, o.Unstructured)
			}
			set, err := cel.New().Compile(objects...)
			if err != nil {
				t.Fatal(err)
			}
			cm := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a"}}}
			if results := set.Evaluate(t.Context(), cm, nil); len(results) != 1 || results[0].Verdict != cel.Pass {
				t.Errorf("%s%+v", reasons(want), results)
			}
		})
	}
}

func TestBadRulesNameTheirPlace(t *testing.T) {
	rule := func(rest string) string { return "  - {name: r, " + rest + "}\n" }
	pods := func(expression string) string {
		return "  - name: r\n    subjects: [pods]\n    expression: " + expression + "\n"
	}
	for _, c := range []struct {
		name, parameters, rules string
		want                    []string
	}{
		{"unknown parameter", "{a: {type: int, default: 1}}", pods("params.b == 1"), []string{"template.yaml:9:", `rule "r"`, `unknown parameter "b": the template has a`}},
		{"unknown parameter in a message", "{}", rule("subjects: [pods], expression: 'true', message: 'want {{b}}'"), []string{"template.yaml:7:", `rule "r": message: unknown parameter "b"`}},
		{"left over in a message", "{}", rule("subjects: [pods], expression: 'true', message: 'want {{ b }}'"), []string{"{{ that is no parameter"}},
		{"array in a message", "{a: {type: array, default: [1]}}", rule("subjects: [pods], expression: 'true', message: 'want {{a}}'"), []string{`parameter "a" of type array must be the whole value`}},
		{"placeholder in an expression", "{a: {type: int, default: 1}}", pods("'{{a}} == 1'"), []string{"template.yaml:9", "write params.x for the parameter x"}},
		{"no CEL", "{}", pods("podSpec.containers.all(c, "), []string{"template.yaml:9:", "column 26 of line 1", "Syntax error"}},
		{"not CEL on the second line", "{}", "  - name: r\n    subjects: [pods]\n    expression: |-\n      podSpec.hostNetwork &&\n      podSpec.x && nothing\n", []string{"column 14 of line 2", "undeclared reference to 'nothing'"}},
		{"no boolean", "{}", pods("'1 + 1'"), []string{"column 3 of line 1: expected type 'bool' but found 'int'"}},
		{"a function that is not there", "{}", pods("now() == 1"), []string{"column 4 of line 1", "undeclared reference to 'now'"}},
		{"podSpec of what is no pod", "{}", rule("subjects: [core/services], expression: 'podSpec.x'"), []string{"column 1 of line 1", "undeclared reference to 'podSpec'"}},
		{"no expression", "{}", rule("subjects: [pods]"), []string{"template.yaml:7:", "no expression"}},
		{"no subjects", "{}", rule("expression: 'true'"), []string{"no subjects"}},
		{"twice", "{}", rule("subjects: [pods], expression: 'true'") + rule("subjects: [pods], expression: 'true'"), []string{"template.yaml:8:", `rule "r" stands also in spec.rules[0]`}},
		{"subject", "{}", rule("subjects: [deployments], expression: 'true'"), []string{"spec.rules[0].subjects[0]", "neither pods nor group/resource"}},
		{"pods and others", "{}", rule("subjects: [pods, core/services], expression: 'true'"), []string{"pods stand alone"}},
		{"name", "{}", "  - {name: No_Name, subjects: [pods], expression: 'true'}\n", []string{"is no name of a rule"}},
		{"message of two lines", "{}", rule(`subjects: [pods], expression: 'true', message: "a\nb"`), []string{"want one line"}},
		{"severity", "{}", rule("severity: fatal, subjects: [pods], expression: 'true'"), []string{`"fatal" is not one of`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := using("own", nil)
			target.Delivery.Path = "policies"
			want := doRender(t, compiled(), target, tree(ruled("own", c.parameters, c.rules)))
			for _, part := range c.want {
				if !strings.Contains(reasons(want), part) {
					t.Errorf("got %q, want %q", reasons(want), part)
				}
			}
			if len(want.Objects) > 0 || want.Delivery != nil {
				t.Errorf("a broken rule gives %d objects and %d files", len(want.Objects), len(want.Delivery))
			}
		})
	}
}

// A layer that builds on another may not turn the parameters of its final rules.
func TestParametersThatAFinalRuleReadsStay(t *testing.T) {
	const parameters = "{most: {type: int, default: 9}, span: {type: duration, default: 7d}, exempt: {type: array, default: []}, free: {type: int, default: 1}, given: {type: int}}"
	const rules = "  - {name: size, final: true, subjects: [core/configmaps], message: 'at most {{free}}', expression: \"object.metadata.name in params.exempt || size(object.?data.orValue({})) <= params.most + params.given && duration(params.span) > duration('1h')\"}\n"
	files := tree(ruled("base", parameters, rules))
	use := func(layer string, parameters map[string]any) kspec.TemplateUse {
		return kspec.TemplateUse{Name: "base", Parameters: parameters, Origins: []kspec.Origin{{Layer: layer, Template: "base"}}}
	}
	for _, c := range []struct {
		name       string
		below, own map[string]any
		err        string
	}{
		{"nothing else", map[string]any{"given": 1}, map[string]any{"given": 1}, ""},
		{"the same by another word", map[string]any{"given": 1, "most": 9, "span": "168h"}, map[string]any{"given": 1, "span": "7d"}, ""},
		{"a wider limit", map[string]any{"given": 1, "most": 3}, map[string]any{"given": 1, "most": 4}, `rule "size" is final: its parameter "most" is 3 in company, and may not become 4`},
		{"a wider limit than the default", map[string]any{"given": 1}, map[string]any{"given": 1, "most": 10}, `its parameter "most" is 9 in company, and may not become 10`},
		{"back to the default", map[string]any{"given": 1, "most": 3}, map[string]any{"given": 1}, `its parameter "most" is 3 in company, and may not become 9`},
		{"exempt names", map[string]any{"given": 1}, map[string]any{"given": 1, "exempt": []any{"mine"}}, `its parameter "exempt" is [] in company, and may not become ["mine"]`},
		{"one that only the message reads", map[string]any{"given": 1}, map[string]any{"given": 1, "free": 2}, ""},
		{"one that was left open", nil, map[string]any{"given": 5}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := using("base", nil)
			target.Templates[0] = use("prod", c.own)
			target.Templates[0].Inherited = []kspec.TemplateUse{use("company", c.below)}
			want := doRender(t, compiled(), target, files)
			if c.err == "" && len(want.Objects) == 2 && len(want.Unknown) == 0 {
				return
			}
			if c.err == "" || !strings.Contains(reasons(want), c.err) || len(want.Objects) > 0 || !strings.Contains(reasons(want), "clusters/prod/clusterspec.yaml:1: template \"base\"") {
				t.Errorf("got %q and %d objects, want %q", reasons(want), len(want.Objects), c.err)
			}
			open := tree(ruled("base", parameters, strings.Replace(rules, "final: true, ", "", 1)))
			if got := doRender(t, compiled(), target, open); len(got.Unknown) > 0 || len(got.Objects) != 2 {
				t.Errorf("a rule that is not final: %s", reasons(got))
			}
		})
	}
}

// Who builds on the baseline may demand more: both sets have some rules in common.
func TestTheTwoPodSecuritySetsGoTogether(t *testing.T) {
	for _, names := range [][]string{{"pod-security-baseline", "pod-security-restricted"}, {"pod-security-restricted", "pod-security-baseline"}} {
		for _, s := range []kspec.MergeStrategy{kspec.Merge, kspec.Override} {
			target := using(names[0], nil)
			target.Templates = append(target.Templates, kspec.TemplateUse{Name: names[1], Parameters: map[string]any{"labels": false}})
			target.Merge, target.Scope.Include = s, []string{"shop"}
			want := mustRender(t, target, fstest.MapFS{})
			policies := 0
			for _, o := range want.Objects {
				if o.GetKind() == "ValidatingAdmissionPolicy" {
					policies++
				}
			}
			if policies != 19 {
				t.Errorf("%v: %d rules", names, policies)
			}
			got := find(t, want, "ValidatingAdmissionPolicy", "kspec-prod-pss-privileged").GetAnnotations()["kspec.io/controls"]
			if !strings.Contains(got, "PSS/baseline/") || !strings.Contains(got, "PSS/restricted/") {
				t.Errorf("%v: controls %s", names, got)
			}
		}
	}
}

// inheriting is a target that uses base by the layer company, and own by itself.
func inheriting(s kspec.MergeStrategy) kspec.Target {
	target := using("base", nil)
	target.Merge = s
	target.Templates = []kspec.TemplateUse{
		{Name: "own", Origins: []kspec.Origin{{Layer: "prod", Template: "own"}}},
		{Name: "base", Parameters: map[string]any{"most": 3}, Origins: []kspec.Origin{{Layer: "company", Template: "base", Parameters: []string{"most"}}}},
	}
	return target
}

func TestRulesAreInherited(t *testing.T) {
	const base = "  - {name: size, subjects: [core/configmaps], severity: high, controls: [A/1], expression: 'object.?data.orValue({}).size() <= params.most', message: 'at most {{most}}'}\n" +
		"  - {name: named, subjects: [core/configmaps], expression: \"object.metadata.name != ''\"}\n"
	final := strings.Replace(base, "severity: high", "severity: high, final: true", 1)
	const parameters = "{most: {type: int, default: 9}}"
	type got struct{ Severity, Controls, Expression, Message, Origin string }
	for _, c := range []struct {
		name      string
		strategy  kspec.MergeStrategy
		base, own string
		declared  string // parameters of own
		want      map[string]got
		err       string
	}{
		{name: "merge", strategy: kspec.Merge, base: base, own: "  - {name: size, severity: critical, message: keep it small}\n", want: map[string]got{
			"size": {
				"critical", "A/1", "object.?data.orValue({}).size() <= variables.params.most", "keep it small",
				"company (most), template base [controls, expression, subjects] + prod, template own [message, severity]",
			},
			"named": {"medium", "", "object.metadata.name != ''", "rule named of template base is broken", "company, template base"},
		}},
		{name: "override", strategy: kspec.Override, base: base, own: "  - {name: size, subjects: [core/configmaps], expression: 'true', message: any}\n", want: map[string]got{
			"size":  {"medium", "", "true", "any", "prod, template own"},
			"named": {"medium", "", "object.metadata.name != ''", "rule named of template base is broken", "company, template base"},
		}},
		{name: "append", strategy: kspec.Append, base: base, own: "  - {name: other, subjects: [core/secrets], expression: 'true', message: any}\n", want: map[string]got{
			"size":  {"high", "A/1", "object.?data.orValue({}).size() <= variables.params.most", "at most 3", "company (most), template base"},
			"named": {"medium", "", "object.metadata.name != ''", "rule named of template base is broken", "company, template base"},
			"other": {"medium", "", "true", "any", "prod, template own"},
		}},
		{name: "append of a duplicate", strategy: kspec.Append, base: base, own: "  - {name: size, severity: low}\n", err: `mergeStrategy is append, and rule "size" is in both company (template base) and prod (template own)`},
		{name: "override that says too little", strategy: kspec.Override, base: base, own: "  - {name: size, severity: low}\n", err: `template "own": rule "size": no expression`},
		{name: "final: stronger", strategy: kspec.Merge, base: final, own: "  - {name: size, severity: critical}\n", want: map[string]got{
			"size": {
				"critical", "A/1", "object.?data.orValue({}).size() <= variables.params.most", "at most 3",
				"company (most), template base [controls, expression, message, subjects] + prod, template own [severity]",
			},
			"named": {"medium", "", "object.metadata.name != ''", "rule named of template base is broken", "company, template base"},
		}},
		{name: "final: weaker severity", strategy: kspec.Merge, base: final, own: "  - {name: size, severity: low}\n", err: `rule "size" is final in company (template base): prod (template own) may not lower its severity`},
		{name: "final: another expression", strategy: kspec.Merge, base: final, own: "  - {name: size, expression: 'true'}\n", err: "may not change its expression"},
		{name: "final: overridden", strategy: kspec.Override, base: final, own: "  - {name: size, subjects: [core/configmaps], severity: high, controls: [A/1], expression: 'true'}\n", err: "may not change its expression"},
		{name: "final: other subjects", strategy: kspec.Override, base: final, own: "  - {name: size, subjects: [core/secrets], severity: high, controls: [A/1], expression: 'object.?data.orValue({}).size() <= params.most'}\n", err: `unknown parameter "most"`},
		{name: "final: the same expression with a parameter of its own", strategy: kspec.Override, base: final, own: "  - {name: size, subjects: [core/configmaps], severity: high, controls: [A/1], expression: 'object.?data.orValue({}).size() <= params.most'}\n", declared: "{most: {type: int, default: 999}}", err: "may not give other parameters to its expression"},
		{name: "final: the same expression with the same parameter", strategy: kspec.Override, base: final, own: "  - {name: size, subjects: [core/configmaps], severity: critical, controls: [A/1], expression: 'object.?data.orValue({}).size() <= params.most'}\n", declared: "{most: {type: int, default: 3}}", want: map[string]got{
			"size":  {"critical", "A/1", "object.?data.orValue({}).size() <= variables.params.most", "rule size of template own is broken", "prod, template own"},
			"named": {"medium", "", "object.metadata.name != ''", "rule named of template base is broken", "company, template base"},
		}},
		{name: "a rule that builds on none", strategy: kspec.Merge, base: base, own: "  - {name: sise, severity: low}\n", err: `rule "sise": no expression: it builds on no rule of that name`},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := tree(ruled("base", parameters, c.base) + ruled("own", c.declared, c.own))
			want := doRender(t, compiled(), inheriting(c.strategy), files)
			if c.err != "" {
				if !strings.Contains(reasons(want), c.err) || len(want.Objects) > 0 {
					t.Errorf("got %q and %d objects, want %q", reasons(want), len(want.Objects), c.err)
				}
				return
			}
			rules := map[string]got{}
			for _, o := range want.Objects {
				if a := o.GetAnnotations(); o.GetKind() == "ValidatingAdmissionPolicy" {
					validations, _, _ := unstructured.NestedSlice(o.Object, "spec", "validations")
					v := validations[0].(map[string]any)
					rules[a["kspec.io/rule"]] = got{a["kspec.io/severity"], a["kspec.io/controls"], v["expression"].(string), v["message"].(string), a["kspec.io/origin"]}
				}
			}
			if diff := cmp.Diff(c.want, rules); diff != "" {
				t.Errorf("%s%s", reasons(want), diff)
			}
		})
	}
}

func TestTheOtherEnginesSayTheSame(t *testing.T) {
	target := using("compliance-strict", nil)
	target.Enforcement = kspec.Enforce
	vap := find(t, mustRender(t, target, fstest.MapFS{}), "ValidatingAdmissionPolicy", "kspec-prod-image-digests")
	want := func(path ...string) any {
		v, _, _ := unstructured.NestedFieldNoCopy(vap.Object, path...)
		return v
	}
	target.Delivery.Policies = kspec.Kyverno
	kyverno := find(t, mustRender(t, target, fstest.MapFS{}), "ValidatingPolicy", "kspec-prod-image-digests")
	spec := kyverno.Object["spec"].(map[string]any)
	for _, field := range []string{"validations", "variables", "failurePolicy"} {
		if diff := cmp.Diff(want("spec", field), spec[field]); diff != "" {
			t.Errorf("%s: %s", field, diff)
		}
	}
	constraints := spec["matchConstraints"].(map[string]any)
	if diff := cmp.Diff(want("spec", "matchConstraints", "resourceRules"), constraints["resourceRules"]); diff != "" {
		t.Error(diff)
	}
	if constraints["namespaceSelector"] == nil || !cmp.Equal(spec["validationActions"], []any{"Deny"}) {
		t.Errorf("%v", spec)
	}

	target.Delivery.Policies = kspec.KyvernoLegacy
	legacy := find(t, mustRender(t, target, fstest.MapFS{}), "ClusterPolicy", "kspec-prod-image-digests")
	rules, _, _ := unstructured.NestedSlice(legacy.Object, "spec", "rules")
	check := rules[0].(map[string]any)["validate"].(map[string]any)["cel"].(map[string]any)
	if diff := cmp.Diff(map[string]any{"expressions": want("spec", "validations"), "variables": want("spec", "variables")}, check); diff != "" {
		t.Error(diff)
	}

	services := tree(ruled("own", "{}", "  - {name: r, subjects: [core/services], expression: 'true'}\n"))
	target.Templates = []kspec.TemplateUse{{Name: "own"}}
	if got := doRender(t, compiled(), target, services); len(got.Objects) > 0 || !strings.Contains(reasons(got), `subjects ["core/services"] do not say`) {
		t.Errorf("got %q and %d objects", reasons(got), len(got.Objects))
	}
	target.Delivery.Policies = kspec.Kyverno
	if got := mustRender(t, target, services); len(got.Objects) != 1 {
		t.Errorf("got %v", places(got))
	}

	asking := tree(ruled("own", "{}", "  - name: r\n    subjects: [pods]\n    expression: podSpec.?hostNetwork.orValue(false) == false || authorizer.group('').resource('nodes').check('get').allowed()\n"))
	if got := doRender(t, compiled(), target, asking); len(got.Objects) > 0 || !strings.Contains(reasons(got), "knows no authorizer") {
		t.Errorf("got %q and %d objects", reasons(got), len(got.Objects))
	}
	target.Delivery.Policies = kspec.VAP
	if got := doRender(t, compiled(), target, asking); len(got.Objects) != 2 {
		t.Errorf("got %q", reasons(got))
	}
}

// Without a cluster, the same commit gives the same policies, and what was taken
// for granted is said.
func TestPoliciesThatAreForTheClusterToSay(t *testing.T) {
	const crd = "-- infra/crd.yaml --\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: validatingpolicies.policies.kyverno.io}\n" +
		"spec: {group: policies.kyverno.io, scope: Cluster, names: {kind: ValidatingPolicy, plural: validatingpolicies}}\n"
	delivered := func(engine kspec.PolicyEngine) fstest.MapFS {
		target := using("security-baseline", nil)
		target.Delivery.Path, target.Delivery.Policies = "policies", engine
		return asTree(tree("-- infra/none.yaml --\n"+configMap), mustRender(t, target, fstest.MapFS{}).Delivery)
	}
	byHand := delivered("")
	byHand["policies/validatingpolicy-by-hand.yaml"] = &fstest.MapFile{Data: []byte("kind: ValidatingPolicy\n")}
	for _, c := range []struct {
		name    string
		files   fstest.MapFS
		kind    string
		assumed []string
	}{
		{"nothing is known", tree("-- infra/none.yaml --\n" + configMap), "ValidatingAdmissionPolicy", []string{"delivery.policies is auto, and the cluster does not serve the ValidatingPolicies of Kyverno"}},
		{"they were delivered", delivered(kspec.Kyverno), "ValidatingPolicy", []string{"delivery.policies is auto, and the cluster serves the ValidatingPolicies of Kyverno"}},
		{"others were delivered", delivered(kspec.VAP), "ValidatingAdmissionPolicy", []string{"delivery.policies is auto, and the cluster does not serve the ValidatingPolicies of Kyverno"}},
		{"one was put there by hand", byHand, "ValidatingAdmissionPolicy", []string{"delivery.policies is auto, and the cluster does not serve the ValidatingPolicies of Kyverno"}},
		{"the repo declares the kind", tree(crd), "ValidatingPolicy", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := using("security-baseline", nil)
			target.Delivery.Path, target.Delivery.Policies = "policies", kspec.AutoPolicies
			target.Overlays = []kspec.Overlay{{Path: "infra"}}
			want := mustRender(t, target, c.files)
			kinds := map[string]int{}
			for _, o := range want.Objects {
				if o.Source.Template != "" {
					kinds[o.GetKind()]++
				}
			}
			if diff := cmp.Diff(c.assumed, want.Assumed); diff != "" || kinds[c.kind] != 4 {
				t.Errorf("%v%s", kinds, diff)
			}
			again := mustRender(t, target, asTree(c.files, want.Delivery))
			if diff := cmp.Diff(want.Delivery, again.Delivery); diff != "" {
				t.Errorf("once delivered, it is otherwise:\n%s", diff)
			}
		})
	}
}

// A ClusterPolicy has a language of its own in every text.
func TestAClusterPolicyTakesNoTextThatItWouldRead(t *testing.T) {
	files := tree(ruled("own", "{p: {type: string}}", "  - {name: r, subjects: [pods], expression: 'params.p in images', message: 'want {{p}}'}\n"))
	for text, want := range map[string]string{
		"plain": "", "{": "", "$": "",
		"{{request.object.spec}}": "takes {{ for a variable of its own", "$(./../x)": "takes $( for a variable of its own",
	} {
		target := using("own", map[string]any{"p": text})
		target.Delivery.Policies = kspec.KyvernoLegacy
		got := doRender(t, compiled(), target, files)
		if (want == "") != (len(got.Unknown) == 0) || !strings.Contains(reasons(got), want) {
			t.Errorf("%s: got %q, want %q", text, reasons(got), want)
		}
		target.Delivery.Policies = kspec.Kyverno
		if got := doRender(t, compiled(), target, files); len(got.Unknown) > 0 {
			t.Errorf("%s: a ValidatingPolicy does not: %s", text, reasons(got))
		}
	}
}

func TestExemptObjectsPassInEveryEngine(t *testing.T) {
	target := using("security-baseline", nil)
	target.Waiving = []kspec.Exemption{{Name: "e", Namespaces: []string{"shop"}}}
	for engine, where := range map[kspec.PolicyEngine][]string{
		kspec.VAP: {"spec", "matchConditions"}, kspec.Kyverno: {"spec", "matchConditions"}, kspec.KyvernoLegacy: {"celPreconditions"},
	} {
		target.Delivery.Policies = engine
		found := 0
		for _, o := range mustRender(t, target, fstest.MapFS{}).Objects {
			in := o.Object
			if rules, _, _ := unstructured.NestedSlice(o.Object, "spec", "rules"); len(rules) > 0 {
				in = rules[0].(map[string]any)
			}
			if conditions, _, _ := unstructured.NestedSlice(in, where...); len(conditions) == 1 {
				found++
			}
		}
		if found != 4 {
			t.Errorf("%s: %d of 4 rules have the condition", engine, found)
		}
	}
}

func TestResourcesWithoutAKustomization(t *testing.T) {
	object := "-- templates/own/object.yaml --\napiVersion: v1\nkind: LimitRange\nmetadata: {name: x, namespace: shop}\nspec: {limits: []}\n"
	template := "-- templates/own/t.yaml --\napiVersion: kspec.io/v1alpha1\nkind: PolicyTemplate\nmetadata: {name: own}\nspec: {resources: [RESOURCES]}\n"
	listing := func(what string) string { return strings.Replace(template, "RESOURCES", what, 1) }
	if want := mustRender(t, using("own", nil), tree(listing("object.yaml")+object)); len(want.Objects) != 1 {
		t.Errorf("got %v", places(want))
	}
	for name, c := range map[string]struct{ files, want string }{
		"both":    {listing("object.yaml") + object + "-- templates/own/kustomization.yaml --\nresources: [object.yaml]\n", "spec.resources and templates/own/kustomization.yaml both list"},
		"missing": {listing("other.yaml"), "other.yaml"},
		"remote":  {listing("'https://example.com/x'"), "spec.resources[0]"},
		"outside": {listing("../../x.yaml"), "spec.resources[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			want := doRender(t, render.Options{}, using("own", nil), tree(c.files))
			if !strings.Contains(reasons(want), c.want) || len(want.Objects) > 0 {
				t.Errorf("got %q", reasons(want))
			}
		})
	}
}

func TestSuitesNameWhatIsWrongWithThem(t *testing.T) {
	base := ruled("own", "{p: {type: int}}", "  - {name: r, subjects: [pods], expression: 'params.p == 1'}\n")
	const parameters = "-- templates/own/tests/parameters.yaml --\np: 1\n"
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
	suite := func(files string) (render.Suite, error) {
		return render.New(compiled()).Suite(t.Context(), kspec.Tree{FS: tree(files)}, "own")
	}
	s, err := suite(base + parameters + "-- templates/own/tests/pass/a.yaml --\n" + pod + "---\n" + pod + "-- templates/own/tests/fail/r/b.yml --\n" + pod + "-- templates/own/tests/fail/r/README.md --\nnotes\n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range s.Fixtures {
		got = append(got, f.Rule+" "+f.File+" "+f.Object.GetKind())
	}
	if diff := cmp.Diff([]string{" templates/own/tests/pass/a.yaml Pod", " templates/own/tests/pass/a.yaml Pod", "r templates/own/tests/fail/r/b.yml Pod"}, got); diff != "" || len(s.Policies) != 2 {
		t.Errorf("%d policies, %s", len(s.Policies), diff)
	}
	for name, c := range map[string]struct{ files, want string }{
		"no such template":     {"", `template "own": the repo has no`},
		"parameter is missing": {base, `parameter "p": no value is given`},
		"parameters":           {base + "-- templates/own/tests/parameters.yaml --\n[1]\n", "parameters.yaml:1: want parameters by name"},
		"no YAML":              {base + parameters + "-- templates/own/tests/pass/a.yaml --\na: [\n", "tests/pass/a.yaml:"},
		"no object":            {base + parameters + "-- templates/own/tests/fail/r/a.yaml --\na: b\n", "tests/fail/r/a.yaml:1: the object has no kind"},
	} {
		if _, err := suite(c.files); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A template may hold CEL that takes seconds to compile, and as many rules as it
// likes.
func TestRulesThatTakeLongToCompileAreGivenUp(t *testing.T) {
	compiled := 0
	o := render.Options{Timeout: 20 * time.Millisecond, Check: func(*unstructured.Unstructured) []render.Mistake {
		compiled++
		time.Sleep(30 * time.Millisecond)
		return nil
	}}
	files := tree(ruled("own", "{}", "  - {name: first, subjects: [core/configmaps], expression: 'true'}\n"+
		"  - {name: second, subjects: [core/configmaps], expression: 'true'}\n  - {name: third, subjects: [core/configmaps], expression: 'true'}\n"))
	want := doRender(t, o, using("own", nil), files)
	if compiled != 1 || !strings.Contains(reasons(want), `templates/own/template.yaml:8: template "own": rule "second": the rules take longer than 20ms to compile`) {
		t.Errorf("%d compiled: %s", compiled, reasons(want))
	}
}
