package cel_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec"
	v1alpha1 "github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/policy/cel"
	"github.com/cloudcwfranck/kspec/render"
)

// read decodes an object.
func read(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

// suite returns the tests of a template that comes with kspec.
func suite(t testing.TB, name string) render.Suite {
	t.Helper()
	s, err := render.New(render.Options{}).Suite(t.Context(), kspec.Tree{FS: fstest.MapFS{}}, name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// failed lists the rules that fail an object, and those that cannot be told.
func failed(t testing.TB, set *cel.Set, object *unstructured.Unstructured) map[string]bool {
	t.Helper()
	fails := map[string]bool{}
	for _, r := range set.Evaluate(t.Context(), object, nil) {
		if r.Verdict == cel.Fail {
			fails[r.Rule] = true
		}
		if r.Verdict == cel.Error || r.Verdict == cel.Skip {
			t.Errorf("%s: %s: %s", r.Rule, r.Verdict, r.Reason)
		}
	}
	return fails
}

func TestFixturesOfBuiltinTemplatesAreJudgedAsTheirFoldersSay(t *testing.T) {
	for _, name := range v1alpha1.BuiltinTemplates() {
		s := suite(t, name)
		set, err := cel.New().Compile(s.Policies...)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range s.Fixtures {
			t.Run(f.File, func(t *testing.T) {
				fails := failed(t, set, f.Object)
				if f.Rule == "" && len(fails) > 0 || f.Rule != "" && !fails[f.Rule] {
					t.Errorf("rule %q: fails %v", f.Rule, fails)
				}
			})
		}
	}
}

func TestWhatOnlyARequestHasIsSkippedAndNeverPasses(t *testing.T) {
	for _, c := range []struct{ name, spec, says string }{
		{"user", "  validations: [{expression: \"request.userInfo.username == 'a' || true\"}]\n", "request.userInfo"},
		{"user, optional", "  validations: [{expression: \"request.?userInfo.hasValue() || true\"}]\n", "request.userInfo"},
		{"user, by key", "  validations: [{expression: \"has(request.userInfo) || true\"}]\n", "request.userInfo"},
		{"options", "  validations: [{expression: \"request.options == null || true\"}]\n", "request.options"},
		{"authorizer", "  validations: [{expression: \"authorizer.group('').resource('pods').check('get').allowed() || true\"}]\n", "authorizer"},
		{"by a variable of a variable", "  variables: [{name: a, expression: request.userInfo}, {name: b, expression: variables.a.username}]\n  validations: [{expression: \"variables.b == '' || true\"}]\n", "request.userInfo"},
		{"in a match condition", "  matchConditions: [{name: a, expression: \"request.userInfo.username != 'system'\"}]\n  validations: [{expression: 'true'}]\n", "request.userInfo"},
		{"namespace", "  validations: [{expression: \"namespaceObject.metadata.name != ''\"}]\n", "the namespace"},
		{"the whole request", "  validations: [{expression: \"[request].all(r, r.userInfo.username == '')\"}]\n", "the whole of"},
		{"the whole request, by a variable", "  variables: [{name: r, expression: request}]\n  validations: [{expression: \"variables.r.userInfo.username == ''\"}]\n", "the whole of"},
		{"a variable that is not named", "  variables: [{name: u, expression: request.userInfo}]\n  validations: [{expression: \"[variables].all(v, v.u.username == '')\"}]\n", "request.userInfo"},
		{"annotations of the namespace", "  validations: [{expression: \"!has(namespaceObject.metadata.annotations)\"}]\n", "more of the namespace"},
		{"the whole namespace", "  variables: [{name: ns, expression: namespaceObject}]\n  validations: [{expression: \"!has(variables.ns.metadata.annotations)\"}]\n", "more of the namespace"},
		{"parameters", "  paramKind: {apiVersion: v1, kind: ConfigMap}\n  validations: [{expression: 'true'}]\n", "parameters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, err := cel.New().Compile(adHoc(t, "p", c.spec)...)
			if err != nil {
				t.Fatal(err)
			}
			results := set.Evaluate(t.Context(), configMap(t, "{a: b}"), nil)
			if len(results) != 1 || results[0].Verdict != cel.Skip || !strings.Contains(results[0].Reason, c.says) {
				t.Errorf("got %+v", results)
			}
		})
	}
	both := "  validations: [{expression: \"request.userInfo.username == ''\"}, {expression: 'false', message: 'no'}, {expression: 'false', message: never}]\n"
	set, err := cel.New().Compile(adHoc(t, "p", both)...)
	if err != nil {
		t.Fatal(err)
	}
	if results := set.Evaluate(t.Context(), configMap(t, "{}"), nil); results[0].Verdict != cel.Fail || results[0].Message != "no; never" {
		t.Errorf("what can be told fails: %+v", results)
	}
}

func TestPoliciesAreForWhatTheyMatch(t *testing.T) {
	policy := func(constraints string) *unstructured.Unstructured {
		return read(t, "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: p}\nspec:\n  matchConstraints: {"+constraints+"}\n  validations: [{expression: 'false'}]\n")
	}
	binding := func(rest string) *unstructured.Unstructured {
		return read(t, "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {name: p}\nspec: {policyName: p, validationActions: [Deny]"+rest+"}\n")
	}
	const rules = "resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]"
	const tier = ", namespaceSelector: {matchLabels: {tier: front}}"
	cm := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app, namespace: shop, labels: {a: b}}\n"
	front, back := map[string]string{"tier": "front"}, map[string]string{"tier": "back"}
	for _, c := range []struct {
		name, constraints, binding, object string
		labels                             map[string]string
		want                               cel.Verdict // "" for no result
	}{
		{"the resource", rules, "", cm, nil, cel.Fail},
		{"another resource", rules, "", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n", nil, ""},
		{"another group", rules, "", "apiVersion: example.com/v1\nkind: ConfigMap\nmetadata: {name: a}\n", nil, ""},
		{"all of all groups", "resourceRules: [{apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: ['*']}]", "", "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\n", nil, cel.Fail},
		{"a kind in plural", "resourceRules: [{apiGroups: [networking.k8s.io], apiVersions: [v1], operations: [CREATE], resources: [networkpolicies, ingresses]}]", "", "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\n", nil, cel.Fail},
		{"policies", "resourceRules: [{apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: ['*']}]", "", "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: a}\n", nil, ""},
		{"updates only", strings.Replace(rules, "CREATE", "UPDATE", 1), "", cm, nil, ""},
		{"no rules", "", "", cm, nil, ""},
		{"another name", strings.Replace(rules, "resources:", "resourceNames: [other], resources:", 1), "", cm, nil, ""},
		{"excluded", rules + ", exclude" + strings.Replace(rules, "r", "R", 1), "", cm, nil, ""},
		{"another version, converted", strings.Replace(rules, "[v1]", "[v2]", 1), "", cm, nil, cel.Fail},
		{"another version, exactly", strings.Replace(rules, "[v1]", "[v2]", 1) + ", matchPolicy: Exact", "", cm, nil, ""},
		{"namespace selected", rules + tier, "", cm, front, cel.Fail},
		{"namespace not selected", rules + tier, "", cm, back, ""},
		{"namespace of unknown labels", rules + tier, "", cm, nil, cel.Fail},
		{"namespace by name", rules + ", namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}", "", cm, nil, cel.Fail},
		{"namespace by another name", rules + ", namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: web}}", "", cm, nil, ""},
		{"a Namespace is in itself", "resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [namespaces]}]" + tier, "", "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {tier: back}}\n", nil, ""},
		{"object selected", rules + ", objectSelector: {matchLabels: {a: b}}", "", cm, nil, cel.Fail},
		{"object not selected", rules + ", objectSelector: {matchLabels: {a: c}}", "", cm, nil, ""},
		{"bound elsewhere", rules, ", matchResources: {namespaceSelector: {matchLabels: {tier: front}}}", cm, back, ""},
		{"bound here", rules, ", matchResources: {namespaceSelector: {matchLabels: {tier: front}}}", cm, front, cel.Fail},
		{"not bound", rules, "none", cm, nil, cel.Skip},
		{"no such object", rules, "", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: [1]\n", nil, cel.Error},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects := []*unstructured.Unstructured{policy(c.constraints)}
			if c.binding != "none" {
				objects = append(objects, binding(c.binding))
			}
			set, err := cel.New().Compile(objects...)
			if err != nil {
				t.Fatal(err)
			}
			results := set.Evaluate(t.Context(), read(t, c.object), c.labels)
			if c.want == "" && len(results) > 0 || c.want != "" && (len(results) != 1 || results[0].Verdict != c.want) {
				t.Errorf("got %+v", results)
			}
		})
	}
}

func TestOneBrokenPolicyDoesNotStopTheOthers(t *testing.T) {
	objects := slices.Concat(
		adHoc(t, "broken", "  variables: [{name: v, expression: 'nothing'}]\n  validations: [{expression: '1 +'}, {expression: \"'a'\"}]\n"),
		adHoc(t, "good", "  validations: [{expression: 'false', message: 'no'}]\n"))
	objects = append(objects, read(t, "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: typo}\nspec: {validation: []}\n"))
	set, err := cel.New().Compile(objects...)
	for _, want := range []string{
		"policy broken: spec.variables[0].expression: column 1 of line 1: undeclared reference to 'nothing'",
		"policy broken: spec.validations[0].expression: column 4 of line 1: Syntax error",
		"policy broken: spec.validations[1].expression: column 1 of line 1: must evaluate to bool but got string",
		`read ValidatingAdmissionPolicy typo: strict decoding error: unknown field "spec.validation"`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in %v", want, err)
		}
	}
	results := set.Evaluate(t.Context(), configMap(t, "{}"), nil)
	if len(results) != 2 || results[0].Verdict != cel.Error || results[1].Verdict != cel.Fail {
		t.Errorf("got %+v", results)
	}
	if diff := cmp.Diff([]string{"broken", "good"}, set.Rules()); diff != "" {
		t.Error(diff)
	}
}

// What a Secret holds is repeated by errors of CEL, and by messages.
func TestNothingOfASecretIsTold(t *testing.T) {
	const constraints = "resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [secrets, configmaps]}]"
	object := func(kind, value string) *unstructured.Unstructured {
		return read(t, "apiVersion: v1\nkind: "+kind+"\nmetadata: {name: a, annotations: {a: canary-value}}\ndata: {p: "+value+"}\n")
	}
	for _, e := range []string{
		"ip(object.data.p).isUnspecified()", "url(object.data.p).getHost() == ''", "cidr(object.data.p).prefixLength() == 1",
		"object.data[object.data.p] == ''", "object.metadata.annotations[object.metadata.annotations.a] == ''", "'a'.matches('(' + object.data.p)", "false",
	} {
		set, err := cel.New().Compile(adHocFor(t, "p", constraints, "  validations: [{expression: \""+e+"\", messageExpression: \"'m ' + object.data.p + ' ' + object.metadata.annotations.a\"}]\n")...)
		if err != nil {
			t.Fatal(err)
		}
		said := func(o *unstructured.Unstructured) string {
			return fmt.Sprintf("%+v", set.Evaluate(t.Context(), o, nil))
		}
		if text := said(object("Secret", "Y2FuYXJ5")); strings.Contains(text, "Y2FuYXJ5") || strings.Contains(text, "canary") {
			t.Errorf("%s: %s", e, text)
		}
		if text := said(object("Secret", "{canary: canary}")); strings.Contains(text, "canary") || !strings.Contains(text, "wrong type") {
			t.Errorf("%s: %s", e, text)
		}
		if text := said(object("ConfigMap", "Y2FuYXJ5")); !strings.Contains(text, "Y2FuYXJ5") && !strings.Contains(text, "canary") {
			t.Errorf("%s tells nothing of a ConfigMap either: %s", e, text)
		}
	}
}

// A template may hold what takes long to compile or to evaluate, within limits.
func TestWhatIsCostlyEndsSoon(t *testing.T) {
	c := cel.New()
	for name, e := range map[string]string{
		"loops in loops":    strings.Repeat("lists.range(10).all(a, ", 9) + "true" + strings.Repeat(")", 9),
		"lists of lists":    strings.Repeat("lists.range(10).map(a, ", 9) + "'aaaaaaaaaaaaaaaa'" + strings.Repeat(")", 9) + ".size() > 0",
		"a text that grows": "['a']" + strings.Repeat(".map(x, x + x)", 60) + ".size() > 0",
		"a long list":       "lists.range(100000000).size() > 0",
		"replacements":      "'aaaaaaaaaa'" + strings.Repeat(".replace('a', 'aaaaaaaaaa')", 12) + ".size() > 0",
	} {
		set, err := c.Compile(adHoc(t, "p", "  validations: [{expression: \""+e+"\"}]\n")...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		start := time.Now()
		if results := set.Evaluate(t.Context(), configMap(t, "{}"), nil); len(results) != 1 || results[0].Verdict != cel.Error || len(results[0].Reason) > 100 {
			t.Errorf("%s: %+v", name, results)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s takes %s", name, took)
		}
	}
	for name, e := range map[string]string{
		"long": "'" + strings.Repeat("a", 100_000) + "' == ''", "deep": strings.Repeat("(", 5000) + "true" + strings.Repeat(")", 5000),
	} {
		if _, err := c.Compile(adHoc(t, "p", "  validations: [{expression: \""+e+"\"}]\n")...); err == nil || !strings.Contains(err.Error(), "column 1 of line 1") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
