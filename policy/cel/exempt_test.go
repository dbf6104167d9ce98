package cel_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/policy"
	"github.com/cloudcwfranck/kspec/policy/cel"
	"github.com/cloudcwfranck/kspec/render"
)

// word is a name, now and then one that is quoted, or looks like CEL.
func word(r *rand.Rand) string {
	return one(r, "a", "b", one(r, "a", "b", "kube-system", "", `q"u'o\te`, `") || true || ("`, "*", "ü\n<&>", "{{a}} $(b)"))
}

func randomSelector(r *rand.Rand) *metav1.LabelSelector {
	if r.IntN(2) == 0 {
		return nil
	}
	s := &metav1.LabelSelector{}
	if r.IntN(2) == 0 {
		s.MatchLabels = map[string]string{one(r, "x", "example.com/y"): one(r, "a", "b", "")}
	}
	for range r.IntN(3) {
		q := metav1.LabelSelectorRequirement{Key: one(r, "x", "example.com/y", "kubernetes.io/metadata.name")}
		q.Operator = one(r, metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist)
		if q.Operator == metav1.LabelSelectorOpIn || q.Operator == metav1.LabelSelectorOpNotIn {
			q.Values = one(r, []string{"a"}, []string{"b", "a"}, []string{""})
		}
		s.MatchExpressions = append(s.MatchExpressions, q)
	}
	return s
}

// randomTarget has a scope, and exemptions good and bad.
func randomTarget(r *rand.Rand, now time.Time) kspec.Target {
	t := kspec.Target{Name: "t", Enforcement: kspec.Enforce, Delivery: kspec.Delivery{Policies: kspec.VAP}, Templates: []kspec.TemplateUse{{Name: "never"}}}
	t.Scope.Selector = randomSelector(r)
	t.Scope.Include = one(r, nil, nil, []string{"a"}, []string{"a", "b", "kube-system"})
	t.Scope.Exclude = one(r, nil, nil, []string{"b"})
	for i := range r.IntN(4) {
		e := kspec.Exemption{
			Name: one(r, fmt.Sprint(i), fmt.Sprint(i), fmt.Sprint(i), "same"), Reason: "because", Approver: one(r, "octocat", "octocat", "octocat", "octocat", ""),
			ExpiresAt: now.Add(one(r, 1, time.Hour, time.Hour, 0)), Unapproved: one(r, "", "", "", "", "was not approved"),
		}
		for range r.IntN(3) {
			e.Namespaces = append(e.Namespaces, word(r))
		}
		for range r.IntN(4) {
			e.Resources = append(e.Resources, kspec.ExemptResource{
				Kind: one(r, "", "Pod", "ClusterRole", "Namespace"), Name: one(r, "", "", word(r)), Namespace: one(r, "", "", word(r)), Labels: randomSelector(r),
			})
		}
		t.Exemptions = append(t.Exemptions, e)
	}
	return t
}

func randomLabels(r *rand.Rand) map[string]string {
	labels := map[string]string{}
	for _, key := range []string{"x", "example.com/y"} {
		if r.IntN(2) == 0 {
			labels[key] = one(r, "a", "b", "")
		}
	}
	return labels
}

// randomObject is a pod, what makes one, or what lies in no namespace.
func randomObject(r *rand.Rand) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	kind := one(r, "v1 Pod", "v1 Pod", "apps/v1 Deployment", "v1 Namespace", "rbac.authorization.k8s.io/v1 ClusterRole")
	version, kind, _ := strings.Cut(kind, " ")
	u.SetAPIVersion(version)
	u.SetKind(kind)
	u.SetName(one(r, "a", "b", "kube-system", "{{a}} $(b)"))
	if kind == "Pod" || kind == "Deployment" {
		u.SetNamespace(one(r, "a", "b", "kube-system"))
		u.SetName(one(r, "a", "b", "")) // one that the API server names
	}
	if labels := randomLabels(r); len(labels) > 0 {
		u.SetLabels(labels)
	}
	return u
}

// What a rendered policy says of an object is what is decided about it, whatever
// stands in scopes and exemptions.
func TestRenderedPoliciesAgreeWithWhatIsDecided(t *testing.T) {
	tree := kspec.Tree{FS: fstest.MapFS{"templates/never/template.yaml": {Data: []byte(`apiVersion: kspec.io/v1alpha1
kind: PolicyTemplate
metadata: {name: never}
spec:
  rules:
    - {name: no-pods, subjects: [pods], expression: "false", message: never}
    - {name: no-others, subjects: [core/namespaces, rbac.authorization.k8s.io/clusterroles], expression: "false", message: never}
`)}}}
	r := rand.New(rand.NewPCG(11, 4))
	now := time.Date(2026, 1, 16, 12, 0, 0, 0, time.UTC)
	renderer, compiler := render.New(render.Options{}), cel.New()
	seen := map[string]int{}
	for i := range 150 {
		target, err := policy.At(randomTarget(r, now), now)
		if err != nil {
			t.Fatal(err)
		}
		want, err := renderer.Render(t.Context(), target, tree)
		if err != nil || len(want.Unknown) > 0 {
			t.Fatalf("%+v, %v", want.Unknown, err)
		}
		var objects []*unstructured.Unstructured
		for _, o := range want.Objects {
			objects = append(objects, o.Unstructured)
		}
		set, err := compiler.Compile(objects...)
		if err != nil {
			t.Fatal(err)
		}
		p, err := policy.Of(target)
		if err != nil {
			t.Fatal(err)
		}
		for range 40 {
			u := randomObject(r)
			var namespaceLabels map[string]string // which nobody knows
			if r.IntN(3) > 0 {
				namespaceLabels = randomLabels(r)
			}
			known := u.GetLabels()
			if known == nil {
				known = map[string]string{}
			}
			if u.GetKind() == "Namespace" {
				namespaceLabels = known
			}
			d := p.Decide(policy.Object{ID: kspec.Object{Unstructured: u}.ID(), Labels: known, NamespaceLabels: namespaceLabels}, now)
			results := set.Evaluate(t.Context(), u, namespaceLabels)
			said := "nothing"
			if len(results) == 1 {
				said = string(results[0].Verdict)
			}
			decided := "nothing"
			if d.InScope && d.WaivedBy == "" {
				decided = string(cel.Fail)
			}
			if said != decided {
				t.Fatalf("target %d: the policy says %s, and decided is %+v\nof %v in labels %v\nscope %+v\nexemptions %+v\n%+v", i, said, d, u, namespaceLabels, target.Scope, target.Exemptions, results)
			}
			seen[fmt.Sprintf("in scope %t, waived %t", d.InScope, d.WaivedBy != "")]++
		}
	}
	for _, what := range []string{"in scope true, waived true", "in scope true, waived false", "in scope false, waived false"} {
		if seen[what] < 200 {
			t.Errorf("hardly a test: %v", seen)
		}
	}
}
