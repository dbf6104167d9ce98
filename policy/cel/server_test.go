package cel_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cloudcwfranck/kspec"
	v1alpha1 "github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/policy"
	"github.com/cloudcwfranck/kspec/policy/cel"
	"github.com/cloudcwfranck/kspec/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Main(m)) }

// warnings collects what the API server warns of.
type warnings struct {
	sync.Mutex
	texts []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.Lock()
	defer w.Unlock()
	w.texts = append(w.texts, text)
}

func (w *warnings) take() []string {
	w.Lock()
	defer w.Unlock()
	all := w.texts
	w.texts = nil
	return all
}

// server is the API server with the policies of a template, which warn in one
// namespace and deny in another.
type server struct {
	client.Client
	heard      *warnings
	warn, deny string
}

var failedPolicy = regexp.MustCompile(`Validation failed for ValidatingAdmissionPolicy '([^']+)' with binding '[^']+': (.*)`)

// install puts policies on the API server, under names that begin with prefix.
func install(t *testing.T, prefix string, policies []*unstructured.Unstructured) server {
	t.Helper()
	s := server{heard: &warnings{}, warn: prefix + "-warn", deny: prefix + "-deny"}
	cfg := rest.CopyConfig(kube.Shared(t).Config)
	cfg.WarningHandler = s.heard
	var err error
	if s.Client, err = client.New(cfg, client.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{s.warn, s.deny} {
		if err := s.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range policies {
		switch p.GetKind() {
		case "ValidatingAdmissionPolicy":
			s.put(t, prefix, p, nil)
		case "ValidatingAdmissionPolicyBinding":
			s.put(t, s.warn, p, map[string]any{"policyName": prefix + "-" + p.GetName(), "validationActions": []any{"Warn"}})
			s.put(t, s.deny, p, map[string]any{"policyName": prefix + "-" + p.GetName(), "validationActions": []any{"Deny"}})
		}
	}
	return s
}

// put creates a copy of an object, a binding for the one namespace of that name.
func (s server) put(t *testing.T, prefix string, u *unstructured.Unstructured, binding map[string]any) {
	t.Helper()
	u = u.DeepCopy()
	u.SetName(prefix + "-" + u.GetName())
	for field, value := range binding {
		if err := unstructured.SetNestedField(u.Object, value, "spec", field); err != nil {
			t.Fatal(err)
		}
	}
	if binding != nil {
		selector := map[string]any{"matchLabels": map[string]any{corev1.LabelMetadataName: prefix}}
		if err := unstructured.SetNestedMap(u.Object, selector, "spec", "matchResources", "namespaceSelector"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Create(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Delete(context.WithoutCancel(t.Context()), u) })
}

// try creates the object without doing so, and returns the messages of the
// policies that warned.
func (s server) try(ctx context.Context, u *unstructured.Unstructured, namespace string) (map[string]string, error) {
	u = u.DeepCopy()
	u.SetNamespace(namespace)
	s.heard.take()
	err := s.Create(ctx, u, client.DryRunAll)
	said := map[string]string{}
	for _, text := range s.heard.take() {
		if m := failedPolicy.FindStringSubmatch(text); m != nil {
			said[strings.TrimPrefix(m[1], strings.TrimSuffix(namespace, "-warn")+"-")] = m[2]
		}
	}
	return said, err
}

// refused are the fixtures that no API server of today takes, whatever the
// policies: only a pod with hostUsers false may unmask /proc.
var refused = regexp.MustCompile(`pss-proc-mount/`)

func TestTheAPIServerSaysTheSameOfEveryFixture(t *testing.T) {
	for _, name := range v1alpha1.BuiltinTemplates() {
		suite := suite(t, name)
		set, err := cel.New().Compile(suite.Policies...)
		if err != nil {
			t.Fatal(err)
		}
		s := install(t, name, suite.Policies)
		for _, f := range suite.Fixtures {
			t.Run(f.File, func(t *testing.T) {
				want := map[string]string{}
				for _, r := range set.Evaluate(t.Context(), f.Object, nil) {
					if r.Verdict == cel.Fail {
						want[r.Policy] = r.Message
					}
				}
				if refused.MatchString(f.File) {
					if _, err := s.try(t.Context(), f.Object, s.deny); !apierrors.IsInvalid(err) || strings.Contains(err.Error(), "ValidatingAdmissionPolicy") {
						t.Errorf("want the API itself to refuse it, got %v", err)
					}
					return
				}
				agree(t, s, f.Object, want)
			})
		}
	}
}

// agree waits until the API server says of the object what is wanted.
func agree(t *testing.T, s server, object *unstructured.Unstructured, want map[string]string) {
	t.Helper()
	var diff string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		got, err := s.try(t.Context(), object, s.warn)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.try(t.Context(), object, s.deny)
		if diff = cmp.Diff(want, got) + denial(err, len(want) > 0); diff == "" {
			return
		}
	}
	t.Errorf("offline (-) and API server (+): %s", diff)
}

func denial(err error, want bool) string {
	if denied := err != nil && strings.Contains(err.Error(), "ValidatingAdmissionPolicy"); denied != want || err != nil && !denied {
		return fmt.Sprintf("want denied %v, got %v", want, err)
	}
	return ""
}

// adHoc is a policy for ConfigMaps with that spec, and its binding.
func adHoc(t testing.TB, name, spec string) []*unstructured.Unstructured {
	t.Helper()
	return adHocFor(t, name, "resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]", spec)
}

// adHocFor is a policy for what the constraints say.
func adHocFor(t testing.TB, name, constraints, spec string) []*unstructured.Unstructured {
	t.Helper()
	return []*unstructured.Unstructured{
		read(t, "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: "+name+"}\nspec:\n"+
			"  matchConstraints: {"+constraints+"}\n"+spec),
		read(t, "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {name: "+name+"}\n"+
			"spec: {policyName: "+name+", validationActions: [Deny]}\n"),
	}
}

func configMap(t testing.TB, data string) *unstructured.Unstructured {
	t.Helper()
	return read(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\ndata: "+data+"\n")
}

// Errors, costs and messages are where an evaluator of one's own goes wrong.
func TestTheAPIServerSaysTheSameOfWhatIsHard(t *testing.T) {
	// A text is looked for in another quickly, and costs as much as both are long.
	const costly = "{expression: '!object.data.long.contains(object.data.short)'}"
	long := func(short int) string {
		return "{long: " + strings.Repeat("x", 100_000) + ", short: " + strings.Repeat("y", short) + "}"
	}
	cases := []struct {
		name, spec, data string
		verdict          cel.Verdict // "" for no result
		says             string
	}{
		{"missing key", "  validations: [{expression: \"object.data.a == 'b'\"}]\n", "{b: c}", cel.Error, "no such key: a"},
		{"empty map", "  validations: [{expression: '!has(object.data)'}]\n", "{}", cel.Pass, ""},
		{"missing key, ignored", "  failurePolicy: Ignore\n  validations: [{expression: \"object.data.a == 'b'\"}]\n", "{}", cel.Error, ""},
		{"too costly", "  validations: [" + costly + "]\n", long(1010), cel.Error, "cost limit exceeded"},
		{"static message", "  validations: [{expression: 'false', message: ' keep out '}]\n", "{}", cel.Fail, "keep out"},
		{"no message", "  validations: [{expression: ' 1 == 2 '}]\n", "{}", cel.Fail, "failed expression: 1 == 2"},
		{"message expression", "  validations: [{expression: 'false', messageExpression: \"'no ' + object.data.a\", message: m}]\n", "{a: luck}", cel.Fail, "no luck"},
		{"message expression of two lines", "  validations: [{expression: 'false', messageExpression: \"'a\\\\nb'\", message: m}]\n", "{a: luck}", cel.Fail, "m"},
		{"message expression that fails", "  validations: [{expression: 'false', messageExpression: \"string(object.data.b)\", message: m}]\n", "{a: luck}", cel.Fail, "m"},
		{"match condition", "  matchConditions: [{name: not-app, expression: \"request.name != 'app'\"}]\n  validations: [{expression: 'false'}]\n", "{}", "", ""},
		{"match condition that fails", "  matchConditions: [{name: a, expression: \"object.data.a == 'b'\"}]\n  validations: [{expression: 'true'}]\n", "{b: c}", cel.Error, "no such key: a"},
		{"an error and a condition that does not hold", "  matchConditions: [{name: a, expression: \"object.data.a == 'b'\"}, {name: b, expression: 'false'}]\n  validations: [{expression: 'false'}]\n", "{}", "", ""},
		{"variables in turn", "  variables: [{name: a, expression: 'object.data'}, {name: b, expression: 'variables.a.size()'}]\n  validations: [{expression: 'variables.b > 1'}]\n", "{a: x}", cel.Fail, "failed expression: variables.b > 1"},
		{"audit annotation that fails", "  validations: [{expression: 'true'}]\n  auditAnnotations: [{key: a, valueExpression: 'string(object.data.a)'}]\n", "{b: c}", cel.Error, "no such key: a"},
		{"audit annotation without a value", "  auditAnnotations: [{key: a, valueExpression: 'null'}]\n", "{b: c}", cel.Pass, ""},
		{"audit annotation that only records who asks", "  validations: [{expression: 'true'}]\n  auditAnnotations: [{key: a, valueExpression: 'request.userInfo.username'}]\n", "{}", cel.Pass, ""},
		{"validations that are costly together", "  validations: [" + strings.Repeat(costly+", ", 11) + "]\n", long(990), cel.Error, "out of cost budget"},
		{"validations that are just not too costly", "  validations: [" + strings.Repeat(costly+", ", 9) + "]\n", long(990), cel.Pass, ""},
		{"the old object is null", "  validations: [{expression: 'oldObject == null'}]\n", "{}", cel.Pass, ""},
		{"the operation", "  validations: [{expression: \"request.operation == 'CREATE' && request.kind.kind == 'ConfigMap' && request.resource.resource == 'configmaps'\"}]\n", "{}", cel.Pass, ""},
	}
	servers := make([]server, len(cases))
	for i, c := range cases {
		servers[i] = install(t, fmt.Sprintf("hard-%d", i), adHoc(t, "p", c.spec))
	}
	awaitAll(t, "hard")
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			set, err := cel.New().Compile(adHoc(t, "p", c.spec)...)
			if err != nil {
				t.Fatal(err)
			}
			object := configMap(t, c.data)
			results := set.Evaluate(t.Context(), object, nil)
			if c.verdict == "" && len(results) > 0 {
				t.Fatalf("offline: %+v", results)
			}
			if c.verdict != "" && (len(results) != 1 || results[0].Verdict != c.verdict || !strings.Contains(results[0].Reason+results[0].Message, c.says)) {
				t.Fatalf("offline: %+v", results)
			}
			_, err = servers[i].try(t.Context(), object, servers[i].deny)
			if denied, want := err != nil, c.says != ""; denied != want || denied && !strings.Contains(err.Error(), c.says) {
				t.Errorf("want denied %v with %q, got %v", want, c.says, err)
			}
		})
	}
}

// What a policy is for is told by its constraints in many ways.
func TestTheAPIServerMatchesTheSame(t *testing.T) {
	const all, one = "resourceRules: [{apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: [%s]%s}]%s", "'configmaps'"
	cases := []struct {
		name, resources, rule, rest string
		want                        bool
	}{
		{"the resource", one, "", "", true},
		{"the resource and what is below it", "'configmaps/*'", "", "", true},
		{"only what is below it", "'configmaps/status'", "", "", false},
		{"all resources", "'*'", "", "", true},
		{"all resources and what is below them", "'*/*'", "", "", true},
		{"all below", "'*/status'", "", "", false},
		{"what lies in namespaces", one, ", scope: Namespaced", "", true},
		{"what lies in none", one, ", scope: Cluster", "", false},
		{"whatever it lies in", one, ", scope: '*'", "", true},
		{"its name", one, ", resourceNames: [app]", "", true},
		{"another name", one, ", resourceNames: [other]", "", false},
		{"excluded", one, "", ", excludeResourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps], resourceNames: [app]}]", false},
		{"another excluded", one, "", ", excludeResourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps], resourceNames: [b]}]", true},
		{"its labels", one, "", ", objectSelector: {matchExpressions: [{key: a, operator: DoesNotExist}]}", true},
		{"other labels", one, "", ", objectSelector: {matchLabels: {a: b}}", false},
		{"its namespace", one, "", ", namespaceSelector: {matchExpressions: [{key: a, operator: DoesNotExist}]}", true},
		{"other namespaces", one, "", ", namespaceSelector: {matchLabels: {a: b}}", false},
	}
	servers := make([]server, len(cases))
	policies := make([][]*unstructured.Unstructured, len(cases))
	for i, c := range cases {
		policies[i] = adHocFor(t, "p", fmt.Sprintf(all, c.resources, c.rule, c.rest), "  validations: [{expression: 'false'}]\n")
		servers[i] = install(t, fmt.Sprintf("match-%d", i), policies[i])
	}
	awaitAll(t, "match")
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			set, err := cel.New().Compile(policies[i]...)
			if err != nil {
				t.Fatal(err)
			}
			object := configMap(t, "{}")
			object.SetNamespace(servers[i].deny)
			if results := set.Evaluate(t.Context(), object, map[string]string{}); len(results) > 0 != c.want {
				t.Errorf("offline: %+v", results)
			}
			if _, err = servers[i].try(t.Context(), object, servers[i].deny); err != nil != c.want {
				t.Errorf("API server: %v", err)
			}
		})
	}
}

// A Namespace is in itself, and policies do not judge policies.
func TestTheAPIServerSaysTheSameOfNamespacesAndPolicies(t *testing.T) {
	const everything = "resourceRules: [{apiGroups: ['', admissionregistration.k8s.io], apiVersions: ['*'], operations: ['*'], resources: [namespaces, validatingadmissionpolicies]}]"
	objects := adHocFor(t, "itself", everything, "  validations: [{expression: \"!(request.namespace == 'itself' && request.name == 'itself' && namespaceObject == null)\"}]\n")
	offline := adHocFor(t, "itself", everything, "  validations: [{expression: \"!(request.namespace == 'itself' && request.name == 'itself')\"}]\n")
	set, err := cel.New().Compile(offline...)
	if err != nil {
		t.Fatal(err)
	}
	namespace := read(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: itself}\n")
	if results := set.Evaluate(t.Context(), namespace, nil); len(results) != 1 || results[0].Verdict != cel.Fail {
		t.Errorf("offline: %+v", results)
	}
	if results := set.Evaluate(t.Context(), objects[0], nil); len(results) != 0 {
		t.Errorf("offline: %+v", results)
	}
	k := kube.Shared(t).Client(t)
	for _, o := range objects {
		if err := k.Create(t.Context(), o.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = k.Delete(context.WithoutCancel(t.Context()), o) })
	}
	awaitAll(t, "itself")
	if err := k.Create(t.Context(), namespace, client.DryRunAll); err == nil || !strings.Contains(err.Error(), "ValidatingAdmissionPolicy 'itself'") {
		t.Errorf("API server: %v", err)
	}
	other := read(t, "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: other}\nspec:\n  matchConstraints: {"+everything+"}\n  validations: [{expression: 'true'}]\n")
	if err := k.Create(t.Context(), other, client.DryRunAll); err != nil {
		t.Errorf("API server: %v", err)
	}
}

// A request about what lies in no namespace has no field for one, and a condition
// that asks for it all the same fails, and denies.
func TestTheAPIServerSaysTheSameOfExemptionsOfWhatLiesInNone(t *testing.T) {
	exempt := policy.Condition([]kspec.Exemption{{Name: "shop", Namespaces: []string{"shop"}}, {Name: "one", Resources: []kspec.ExemptResource{{Name: "exempt"}}}})
	objects := adHocFor(t, "in-none", "resourceRules: [{apiGroups: [rbac.authorization.k8s.io], apiVersions: [v1], operations: [CREATE], resources: [clusterroles]}]",
		"  matchConditions: [{name: exempt, expression: '"+exempt+"'}]\n  validations: [{expression: 'false', message: judged}]\n")
	set, err := cel.New().Compile(objects...)
	if err != nil {
		t.Fatal(err)
	}
	k := kube.Shared(t).Client(t)
	for _, o := range objects {
		if err := k.Create(t.Context(), o.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = k.Delete(context.WithoutCancel(t.Context()), o) })
	}
	awaitAll(t, "in-none")
	for name, judged := range map[string]bool{"exempt": false, "other": true} {
		role := read(t, "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: "+name+"}\n")
		if results := set.Evaluate(t.Context(), role, nil); len(results) > 0 != judged || judged && results[0].Message != "judged" {
			t.Errorf("%s, offline: %+v", name, results)
		}
		if err := k.Create(t.Context(), role, client.DryRunAll); err != nil != judged || judged && !strings.HasSuffix(err.Error(), "denied request: judged") {
			t.Errorf("%s, API server: %v", name, err)
		}
	}
}

// What only the latest API server knows, it does not take of a new policy, so
// that the one before it can take over.
func TestTheAPIServerRefusesTheSameExpressions(t *testing.T) {
	k := kube.Shared(t).Client(t)
	for _, c := range []struct{ name, expression string }{
		{"unknown function", "object.nothing()"},
		{"of the latest version", "[1].includes(1)"},
		{"no bool", "1"},
		{"half an expression", "1 +"},
		{"nested too deeply", strings.Repeat("(", 300) + "true" + strings.Repeat(")", 300)},
		{"pattern that is none", "'a'.matches('(')"},
	} {
		t.Run(c.name, func(t *testing.T) {
			policies := adHoc(t, "refused", "  validations: [{expression: \""+c.expression+"\"}]\n")
			if _, err := cel.New().Compile(policies...); err == nil {
				t.Error("it compiles offline")
			}
			if err := k.Create(t.Context(), policies[0], client.DryRunAll); !apierrors.IsInvalid(err) {
				t.Errorf("API server: %v", err)
			}
		})
	}
}

// awaitAll waits until the policies that were installed before it act, by one
// that is installed last.
func awaitAll(t *testing.T, name string) {
	t.Helper()
	canary := install(t, "canary-"+name, adHoc(t, "canary", "  validations: [{expression: 'false'}]\n"))
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if _, err := canary.try(t.Context(), configMap(t, "{}"), canary.deny); err != nil {
			return
		}
	}
	t.Fatal("no policy acts")
}

func TestEveryRuleOfEveryBuiltinTemplateIsMissedByAFixture(t *testing.T) {
	c := cel.New() // which remembers the policies that stay
	for _, name := range v1alpha1.BuiltinTemplates() {
		s := suite(t, name)
		for i, p := range s.Policies {
			if p.GetKind() != "ValidatingAdmissionPolicy" {
				continue
			}
			t.Run(name+"/"+p.GetName(), func(t *testing.T) {
				set, err := c.Compile(slices.Delete(slices.Clone(s.Policies), i, i+1)...)
				if err != nil {
					t.Fatal(err)
				}
				broken := 0
				for _, f := range s.Fixtures {
					if f.Rule != "" && !failed(t, set, f.Object)[f.Rule] {
						broken++
					}
				}
				if broken == 0 {
					t.Error("all fixtures are judged as before")
				}
			})
		}
	}
}
