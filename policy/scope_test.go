package policy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/policy"
)

func selector(key, operator string, values ...string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: key, Operator: metav1.LabelSelectorOperator(operator), Values: values},
	}}
}

func pod(namespace, name string) kspec.ObjectID {
	return kspec.ObjectID{Version: "v1", Kind: "Pod", Namespace: namespace, Name: name}
}

func TestScope(t *testing.T) {
	front := map[string]string{"tier": "front"}
	none := map[string]string{}
	namespace := kspec.ObjectID{Version: "v1", Kind: "Namespace", Name: "shop"}
	in := func(names ...string) kspec.Scope { return kspec.Scope{Include: names} }
	by := func(s *metav1.LabelSelector) kspec.Scope { return kspec.Scope{Selector: s} }
	tests := []struct {
		name   string
		scope  kspec.Scope
		object kspec.ObjectID
		labels map[string]string
		want   string // yes, no or assumed
	}{
		{"nothing is said", kspec.Scope{}, pod("shop", "a"), nil, "yes"},
		{"included", in("shop"), pod("shop", "a"), nil, "yes"},
		{"others are", in("web"), pod("shop", "a"), nil, "no"},
		{"excluded", kspec.Scope{Exclude: []string{"shop"}}, pod("shop", "a"), nil, "no"},
		{"others are excluded", kspec.Scope{Exclude: []string{"web"}}, pod("shop", "a"), nil, "yes"},
		{"exclude wins", kspec.Scope{Include: []string{"shop"}, Exclude: []string{"shop"}}, pod("shop", "a"), nil, "no"},
		{"the system is never", in("kube-system"), pod("kube-system", "a"), nil, "no"},
		{"kspec itself is never", kspec.Scope{}, pod("kspec-system", "a"), nil, "no"},
		{"a name is no glob", in("sh*"), pod("shop", "a"), nil, "no"},
		{"a name is not its beginning", in("sho"), pod("shop", "a"), nil, "no"},
		{"an object without a namespace", in("web"), kspec.ObjectID{Kind: "ClusterRole", Name: "a"}, nil, "yes"},
		{"a namespace is in itself", in("shop"), namespace, nil, "yes"},
		{"a namespace that is not", in("web"), namespace, nil, "no"},
		{"a custom kind of that name has none", in("web"), kspec.ObjectID{Group: "example.com", Kind: "Namespace", Name: "shop"}, nil, "yes"},
		{"labels match", by(selector("tier", "In", "front", "edge")), pod("shop", "a"), front, "yes"},
		{"labels do not", by(selector("tier", "In", "back")), pod("shop", "a"), front, "no"},
		{"a namespace without labels", by(selector("tier", "In", "front")), pod("shop", "a"), none, "no"},
		{"a namespace without labels, and NotIn", by(selector("tier", "NotIn", "front")), pod("shop", "a"), none, "yes"},
		{"a namespace without labels, and DoesNotExist", by(selector("tier", "DoesNotExist")), pod("shop", "a"), none, "yes"},
		{"labels that nobody knows", by(selector("tier", "In", "front")), pod("shop", "a"), nil, "assumed"},
		{"labels that nobody knows, of a namespace that is excluded", kspec.Scope{Exclude: []string{"shop"}, Selector: selector("tier", "Exists")}, pod("shop", "a"), nil, "no"},
		{"the label with the name is always known", by(selector("kubernetes.io/metadata.name", "In", "shop")), pod("shop", "a"), nil, "yes"},
		{"and decides when it does not match", by(selector("kubernetes.io/metadata.name", "NotIn", "shop")), pod("shop", "a"), nil, "no"},
		{"also when other labels are not known", by(&metav1.LabelSelector{
			MatchLabels: map[string]string{"tier": "front", "kubernetes.io/metadata.name": "web"},
		}), pod("shop", "a"), nil, "no"},
		{"list and selector must both agree", kspec.Scope{Include: []string{"shop"}, Selector: selector("tier", "In", "back")}, pod("shop", "a"), front, "no"},
		{"an empty selector selects all", by(&metav1.LabelSelector{}), pod("shop", "a"), none, "yes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := of(t, kspec.Target{Enforcement: kspec.Enforce, Scope: tt.scope})
			d := p.Decide(policy.Object{ID: tt.object, NamespaceLabels: tt.labels}, time.Time{})
			got := map[[2]bool]string{{true, false}: "yes", {false, false}: "no", {true, true}: "assumed"}[[2]bool{d.InScope, d.Assumed != ""}]
			if got != tt.want || d.Why == "" {
				t.Errorf("in scope: %s (%s), want %s", got, d.Why, tt.want)
			}
			if mode := map[bool]kspec.Enforcement{true: kspec.Enforce, false: kspec.Off}[d.InScope]; d.Mode != mode {
				t.Errorf("mode %s, want %s", d.Mode, mode)
			}
		})
	}
}

// What a cluster selects by the selector is what is decided to be in scope.
func TestSelectorSelectsTheScope(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	namespaces := append([]string{"shop", "web", "api"}, policy.System()...)
	some := func(from []string) []string {
		return slices.DeleteFunc(slices.Clone(from), func(string) bool { return r.IntN(2) == 0 })
	}
	seen := map[bool]int{}
	for range 5000 {
		scope := kspec.Scope{Include: some(namespaces), Exclude: some(namespaces)}
		if operator := []string{"", "In", "NotIn", "Exists", "DoesNotExist"}[r.IntN(5)]; operator != "" {
			scope.Selector = selector([]string{"tier", "kubernetes.io/metadata.name"}[r.IntN(2)], operator)
			if operator == "In" || operator == "NotIn" {
				scope.Selector.MatchExpressions[0].Values = []string{"front", "shop"}
			}
		}
		name := namespaces[r.IntN(len(namespaces))]
		have := map[string]string{"kubernetes.io/metadata.name": name}
		if r.IntN(2) == 0 {
			have["tier"] = []string{"front", "back"}[r.IntN(2)]
		}
		before := fmt.Sprintf("%+v", scope)
		s, err := metav1.LabelSelectorAsSelector(policy.Selector(scope))
		if err != nil {
			t.Fatal(err)
		}
		if after := fmt.Sprintf("%+v", scope); after != before {
			t.Fatalf("the scope was changed: %s", after)
		}
		d := of(t, kspec.Target{Scope: scope}).Decide(policy.Object{ID: pod(name, "a"), NamespaceLabels: have}, time.Time{})
		if want := s.Matches(labels.Set(have)); d.InScope != want || d.Assumed != "" {
			t.Fatalf("%s with %v: in scope %t (%s), the selector says %t", before, have, d.InScope, d.Why, want)
		}
		seen[d.InScope]++
	}
	if seen[true] < 300 || seen[false] < 300 {
		t.Errorf("hardly a test: %v", seen)
	}
}

func TestTenThousandNamespacesAreDecidedAtOnce(t *testing.T) {
	names := make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprintf("team-%d", i)
	}
	p := of(t, kspec.Target{Enforcement: kspec.Enforce, Scope: kspec.Scope{Exclude: names[5000:]}})
	in := 0
	for _, name := range names {
		if d := p.Decide(policy.Object{ID: pod(name, "a")}, time.Time{}); d.InScope {
			in++
		} else if !strings.Contains(d.Why, name) {
			t.Fatalf("why is %q", d.Why)
		}
	}
	if in != 5000 {
		t.Errorf("%d in scope", in)
	}
}
