package policy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/policy"
)

// now is when the exemptions of these tests are judged.
var now = instant("2026-06-15T12:00:00Z")

// exempt is an exemption that waives what it selects.
func exempt(name string, change func(*kspec.Exemption)) kspec.Exemption {
	e := kspec.Exemption{
		Name: name, Reason: "because", Approver: "octocat", ExpiresAt: now.AddDate(1, 0, 0), Namespaces: []string{"shop"},
	}
	if change != nil {
		change(&e)
	}
	return e
}

// selecting is an exemption of some resources, of any namespace.
func selecting(resources ...kspec.ExemptResource) kspec.Exemption {
	return exempt("a", func(e *kspec.Exemption) { e.Namespaces, e.Resources = nil, resources })
}

func TestExemption(t *testing.T) {
	type resource = kspec.ExemptResource
	web := policy.Object{
		ID:     kspec.ObjectID{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "shop", Name: "web"},
		Labels: map[string]string{"tier": "front"},
	}
	unlabelled := policy.Object{ID: web.ID, Labels: map[string]string{}}
	unknown := policy.Object{ID: web.ID}
	with := func(change func(*kspec.Exemption)) kspec.Exemption { return exempt("a", change) }
	match := func(labels map[string]string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: labels}
	}
	tests := []struct {
		name       string
		exemptions []kspec.Exemption
		object     policy.Object
		want       string // who waives
	}{
		{"none", nil, web, ""},
		{"of its namespace", []kspec.Exemption{with(nil)}, web, "a"},
		{"unapproved", []kspec.Exemption{with(func(e *kspec.Exemption) { e.Unapproved = "is not approved" })}, web, ""},
		{"of another namespace", []kspec.Exemption{with(func(e *kspec.Exemption) { e.Namespaces = []string{"web"} })}, web, ""},
		{"of no namespace and no resource", []kspec.Exemption{with(func(e *kspec.Exemption) { e.Namespaces = nil })}, web, ""},
		{"of a resource without a field", []kspec.Exemption{selecting(resource{})}, web, ""},
		{"of a resource whose selector is empty", []kspec.Exemption{selecting(resource{Labels: match(nil)})}, web, ""},
		{"of a resource without a field, beside one that matches", []kspec.Exemption{selecting(resource{Kind: "Deployment"}, resource{})}, web, ""},
		{"of its kind", []kspec.Exemption{selecting(resource{Kind: "Deployment"})}, web, "a"},
		{"of its kind in other letters", []kspec.Exemption{selecting(resource{Kind: "deployment"})}, web, ""},
		{"of its name", []kspec.Exemption{selecting(resource{Name: "web"})}, web, "a"},
		{"of a name that begins so", []kspec.Exemption{selecting(resource{Name: "we"})}, web, ""},
		{"of a star", []kspec.Exemption{selecting(resource{Name: "*"})}, web, ""},
		{"of all namespaces by a star", []kspec.Exemption{with(func(e *kspec.Exemption) { e.Namespaces = []string{"*"} })}, web, ""},
		{"a star spoils what else it selects", []kspec.Exemption{with(func(e *kspec.Exemption) { e.Namespaces = []string{"shop", "*"} })}, web, ""},
		{"kind and name agree", []kspec.Exemption{selecting(resource{Kind: "Deployment", Name: "web", Namespace: "shop"})}, web, "a"},
		{"kind agrees and name does not", []kspec.Exemption{selecting(resource{Kind: "Deployment", Name: "api"})}, web, ""},
		{"the resource is of another namespace", []kspec.Exemption{selecting(resource{Kind: "Deployment", Namespace: "web"})}, web, ""},
		{"namespaces and resource disagree", []kspec.Exemption{with(func(e *kspec.Exemption) { e.Resources = []resource{{Namespace: "web"}} })}, web, ""},
		{"one resource of several", []kspec.Exemption{selecting(resource{Kind: "Job"}, resource{Name: "web"})}, web, "a"},
		{"two that only together cover it", []kspec.Exemption{
			selecting(resource{Kind: "Deployment", Name: "api"}), exempt("b", func(e *kspec.Exemption) { e.Resources = []resource{{Kind: "Job", Name: "web"}} }),
		}, web, ""},
		{"two that overlap: the first", []kspec.Exemption{exempt("b", nil), with(nil)}, web, "b"},
		{"two that overlap, of which the first expired", []kspec.Exemption{
			exempt("b", func(e *kspec.Exemption) { e.ExpiresAt = now.Add(-time.Hour) }), with(nil),
		}, web, "a"},
		{"labels agree", []kspec.Exemption{selecting(resource{Labels: match(map[string]string{"tier": "front"})})}, web, "a"},
		{"labels do not", []kspec.Exemption{selecting(resource{Labels: match(map[string]string{"tier": "back"})})}, web, ""},
		{"an object without labels", []kspec.Exemption{selecting(resource{Labels: selector("tier", "DoesNotExist")})}, unlabelled, "a"},
		{"labels that nobody knows match nothing", []kspec.Exemption{selecting(resource{Labels: selector("tier", "DoesNotExist")})}, unknown, ""},
		{"a selector that cannot be read", []kspec.Exemption{selecting(resource{Kind: "Deployment", Labels: selector("tier", "Like", "f")})}, web, ""},
		{"at the last moment", []kspec.Exemption{with(func(e *kspec.Exemption) { e.ExpiresAt = now.Add(1) })}, web, "a"},
		{"at its end", []kspec.Exemption{with(func(e *kspec.Exemption) { e.ExpiresAt = now })}, web, ""},
		{"a second ago", []kspec.Exemption{with(func(e *kspec.Exemption) { e.ExpiresAt = now.Add(-time.Second) })}, web, ""},
		{"without an end", []kspec.Exemption{with(func(e *kspec.Exemption) { e.ExpiresAt = time.Time{} })}, web, ""},
		{"without a reason", []kspec.Exemption{with(func(e *kspec.Exemption) { e.Reason = "" })}, web, ""},
		{"approved by nobody", []kspec.Exemption{with(func(e *kspec.Exemption) { e.Approver = "" })}, web, ""},
		{"without a name", []kspec.Exemption{exempt("", nil)}, web, ""},
		{"two of one name", []kspec.Exemption{with(nil), with(nil)}, web, ""},
		{"the namespace itself", []kspec.Exemption{with(nil)}, policy.Object{ID: kspec.ObjectID{Version: "v1", Kind: "Namespace", Name: "shop"}}, "a"},
		{"an object without a namespace", []kspec.Exemption{with(nil)}, policy.Object{ID: kspec.ObjectID{Kind: "ClusterRole", Name: "shop"}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := kspec.Target{Enforcement: kspec.Enforce, Exemptions: tt.exemptions}
			d := of(t, target).Decide(tt.object, now)
			if d.WaivedBy != tt.want {
				t.Errorf("waived by %q (%s), want %q", d.WaivedBy, d.Why, tt.want)
			}
			if mode := map[bool]kspec.Enforcement{true: kspec.Audit, false: kspec.Enforce}[tt.want != ""]; d.Mode != mode {
				t.Errorf("mode %s, want %s: what is waived is never denied", d.Mode, mode)
			}
		})
	}
}

// naive says whether one exemption covers an object, from the definition.
func naive(e kspec.Exemption, o policy.Object) bool {
	if e.Name == "" || e.Reason == "" || e.Approver == "" || e.ExpiresAt.IsZero() || !e.ExpiresAt.After(now) {
		return false
	}
	if strings.Contains(fmt.Sprint(e.Namespaces, e.Resources), "*") {
		return false
	}
	inNamespace := slices.Contains(e.Namespaces, o.ID.Namespace)
	if len(e.Resources) == 0 {
		return inNamespace
	}
	if len(e.Namespaces) > 0 && !inNamespace {
		return false
	}
	match := false
	for _, r := range e.Resources {
		said, agree := 0, 0
		for _, pair := range [][2]string{{r.Kind, o.ID.Kind}, {r.Name, o.ID.Name}, {r.Namespace, o.ID.Namespace}} {
			if pair[0] != "" {
				said++
				if pair[0] == pair[1] {
					agree++
				}
			}
		}
		if r.Labels != nil {
			for k, v := range r.Labels.MatchLabels {
				said++
				if got, ok := o.Labels[k]; ok && got == v {
					agree++
				}
			}
		}
		if said == 0 {
			return false
		}
		match = match || said == agree
	}
	return match
}

func TestExemptionsAgreeWithTheirDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	label := func() map[string]string { return map[string]string{pick("tier", "team"): pick("a", "b")} }
	resource := func() kspec.ExemptResource {
		out := kspec.ExemptResource{Kind: pick("", "", "Pod", "Job"), Name: pick("", "", "x", "y", "*"), Namespace: pick("", "", "shop", "web")}
		if r.IntN(3) == 0 {
			out.Labels = &metav1.LabelSelector{MatchLabels: label()}
		}
		return out
	}
	waived := 0
	for range 20_000 {
		var all []kspec.Exemption
		for i := range r.IntN(4) {
			e := exempt(fmt.Sprint("e", i), func(e *kspec.Exemption) {
				e.Namespaces = [][]string{nil, {"shop"}, {"web", "shop"}, {"*"}}[r.IntN(4)]
				e.ExpiresAt = now.Add(time.Duration(r.IntN(5)-1) * time.Second)
				e.Approver = pick("octocat", "octocat", "octocat", "")
			})
			for range r.IntN(3) {
				e.Resources = append(e.Resources, resource())
			}
			all = append(all, e)
		}
		o := policy.Object{ID: kspec.ObjectID{Kind: pick("Pod", "Job"), Namespace: pick("shop", "web"), Name: pick("x", "y")}}
		if r.IntN(3) > 0 {
			o.Labels = label()
		}
		want := ""
		for _, e := range all {
			if want == "" && naive(e, o) {
				want = e.Name
			}
		}
		if got := of(t, kspec.Target{Exemptions: all}).Decide(o, now).WaivedBy; got != want {
			t.Fatalf("%+v\nof %+v: waived by %q, want %q", o, all, got, want)
		}
		if want != "" {
			waived++
		}
	}
	if waived < 1000 {
		t.Errorf("hardly a test: %d waived", waived)
	}
}

// More exemptions never lead to less being reported than each of them by itself.
func TestExemptionsDoNotWidenEachOther(t *testing.T) {
	all := []kspec.Exemption{
		selecting(kspec.ExemptResource{Kind: "Pod", Namespace: "shop"}),
		exempt("b", func(e *kspec.Exemption) { e.Resources = []kspec.ExemptResource{{Kind: "Job"}, {Name: "x"}} }),
		exempt("c", func(e *kspec.Exemption) {
			e.Namespaces = []string{"web"}
			e.Resources = []kspec.ExemptResource{{Name: "y"}}
		}),
	}
	together := of(t, kspec.Target{Exemptions: all})
	for _, kind := range []string{"Pod", "Job", "Deployment"} {
		for _, namespace := range []string{"shop", "web", "api"} {
			for _, name := range []string{"x", "y", "z"} {
				o := policy.Object{ID: kspec.ObjectID{Kind: kind, Namespace: namespace, Name: name}}
				alone := slices.ContainsFunc(all, func(e kspec.Exemption) bool {
					return of(t, kspec.Target{Exemptions: []kspec.Exemption{e}}).Decide(o, now).WaivedBy != ""
				})
				if got := together.Decide(o, now).WaivedBy != ""; got != alone {
					t.Errorf("%s: waived %t together, %t by one alone", o.ID, got, alone)
				}
			}
		}
	}
}

func report() kspec.Report {
	found := func(typ kspec.FindingType, verdict kspec.Verdict, name string) kspec.Finding {
		return kspec.Finding{Type: typ, Verdict: verdict, Object: pod("shop", name), Severity: kspec.High}.Fingerprinted()
	}
	other := "another"
	waived := found(kspec.TypeCompliance, kspec.Violation, "e")
	waived.WaivedBy = &other
	return kspec.Report{Findings: []kspec.Finding{
		found(kspec.TypeCompliance, kspec.Violation, "a"), found(kspec.TypeImage, kspec.Unsigned, "b"),
		found(kspec.TypeConfiguration, kspec.Changed, "c"), found(kspec.TypePolicy, kspec.Missing, "d"), waived,
	}}
}

func waivers(rep kspec.Report) map[string]string {
	by := map[string]string{}
	for _, f := range rep.Findings {
		if f.WaivedBy != nil {
			by[f.Object.Name] = *f.WaivedBy
		}
	}
	return by
}

func TestWaiveMarksViolationsAndNeverDrift(t *testing.T) {
	before := report()
	target := kspec.Target{Name: "prod", Exemptions: []kspec.Exemption{exempt("legacy", nil)}}
	rep, err := policy.Waiver{Now: func() time.Time { return now }}.Waive(target, kspec.Desired{}, before)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "legacy", "b": "legacy", "e": "another"}, waivers(rep)); diff != "" {
		t.Errorf("waived (-want +got):\n%s", diff)
	}
	if len(rep.Findings) != 5 || len(rep.Open()) != 2 || rep.Coverage.Waived != 2 {
		t.Errorf("%d findings, %d open, %d counted: what is waived stays", len(rep.Findings), len(rep.Open()), rep.Coverage.Waived)
	}
	if diff := cmp.Diff(report(), before); diff != "" {
		t.Errorf("the report that was given changed:\n%s", diff)
	}
	if rep, err = (policy.Waiver{}).Waive(kspec.Target{}, kspec.Desired{}, before); err != nil || len(waivers(rep)) != 1 {
		t.Errorf("without exemptions: %v, %v", waivers(rep), err)
	}
	bad := during(t, "Mars/Phobos")
	bad.Exemptions = target.Exemptions
	if _, err := (policy.Waiver{}).Waive(bad, kspec.Desired{}, before); err == nil {
		t.Error("a target that is not valid waives")
	}
}

func TestWaiveSelectsByTheLabelsOfGitOrOfTheFinding(t *testing.T) {
	object := func(name string, labels map[string]string) kspec.Object {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod"}}
		u.SetNamespace("shop")
		u.SetName(name)
		u.SetLabels(labels)
		return kspec.Object{Unstructured: u}
	}
	front := map[string]string{"tier": "front"}
	rep := report()
	rep.Findings[1].Labels = map[string]string{"tier": "front"}
	want := kspec.Desired{Objects: []kspec.Object{object("a", front), object("b", map[string]string{"tier": "back"})}}
	by := func(s *metav1.LabelSelector) kspec.Target {
		return kspec.Target{Exemptions: []kspec.Exemption{selecting(kspec.ExemptResource{Labels: s})}}
	}
	got, err := policy.Waiver{Now: func() time.Time { return now }}.Waive(by(selector("tier", "In", "front")), want, rep)
	if diff := cmp.Diff(map[string]string{"a": "a", "b": "a", "e": "another"}, waivers(got)); diff != "" || err != nil {
		t.Errorf("%v, waived (-want +got):\n%s", err, diff)
	}
	want.Objects[0] = object("a", nil)
	got, err = policy.Waiver{Now: func() time.Time { return now }}.Waive(by(selector("tier", "DoesNotExist")), want, rep)
	if diff := cmp.Diff(map[string]string{"a": "a", "e": "another"}, waivers(got)); diff != "" || err != nil {
		t.Errorf("no labels: %v, waived (-want +got):\n%s", err, diff)
	}
}

func TestExemptionsThatWaiveNothingAreFindings(t *testing.T) {
	src := kspec.Source{File: "clusters/prod.yaml", Line: 2}
	days := func(n float64) func(*kspec.Exemption) {
		return func(e *kspec.Exemption) { e.ExpiresAt = now.Add(time.Duration(n * 24 * float64(time.Hour))) }
	}
	tests := []struct {
		name      string
		exemption kspec.Exemption
		want      string // "" for no finding
		open      bool
	}{
		{"far from its end", exempt("a", days(14.001)), "", false},
		{"two weeks before its end", exempt("a", days(14)), `exemption "a" ends on 2026-06-29T12:00:00Z: in less than 14 days`, false},
		{"ten days before", exempt("a", days(10)), `exemption "a" ends on 2026-06-25T12:00:00Z: in less than 14 days`, false},
		{"a week before", exempt("a", days(7)), `exemption "a" ends on 2026-06-22T12:00:00Z: in less than 7 days`, false},
		{"a day before", exempt("a", days(1)), `exemption "a" ends on 2026-06-16T12:00:00Z: in less than a day`, false},
		{"at its end", exempt("a", days(0)), `exemption "a" waives nothing: it expired on 2026-06-15T12:00:00Z`, true},
		{"long after", exempt("a", days(-300)), `exemption "a" waives nothing: it expired on 2025-08-19T12:00:00Z`, true},
		{"unapproved", exempt("a", func(e *kspec.Exemption) { e.Unapproved = "is not approved: nobody did" }), `exemption "a" waives nothing: it is not approved: nobody did`, true},
		{"never", exempt("a", func(e *kspec.Exemption) { e.ExpiresAt = time.Time{} }), `exemption "a" waives nothing: it never expires`, true},
		{"approved by nobody", exempt("a", func(e *kspec.Exemption) { e.Approver = "" }), `exemption "a" waives nothing: it was approved by nobody`, true},
		{"of nothing", selecting(), `exemption "a" waives nothing: it selects nothing`, true},
		{"of everything", selecting(kspec.ExemptResource{Name: "*"}), `exemption "a" waives nothing: it has a *, which is no name: name what is exempt`, true},
		{"unreadable", selecting(kspec.ExemptResource{Labels: selector("a", "Inn", "b")}), `exemption "a" waives nothing: it has a selector that cannot be read: "Inn" is not a valid label selector operator`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := of(t, kspec.Target{Name: "prod", Source: src, Exemptions: []kspec.Exemption{tt.exemption}})
			rep := p.Waive(kspec.Report{}, func(kspec.ObjectID) map[string]string { return nil }, now)
			if tt.want == "" {
				if len(rep.Findings) > 0 {
					t.Errorf("found %+v", rep.Findings)
				}
				return
			}
			want := kspec.Finding{
				Type: kspec.TypeCompliance, Verdict: kspec.Violation, Severity: kspec.Medium, Source: src, Message: tt.want,
				Object: kspec.ObjectID{Group: "kspec.io", Version: "v1alpha1", Kind: "ClusterSpec", Name: "prod"},
			}
			if !tt.open {
				want.Severity, want.WaivedBy, want.Notice = kspec.Low, &tt.exemption.Name, true
			}
			if diff := cmp.Diff([]kspec.Finding{want.Fingerprinted()}, rep.Findings, cmpopts.IgnoreFields(kspec.Finding{}, "Hint")); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if rep.Findings[0].Hint == "" || rep.InSync() == tt.open || rep.Coverage.Waived != 0 {
				t.Errorf("in sync %t, hint %q", rep.InSync(), rep.Findings[0].Hint)
			}
		})
	}
}

func TestAnExemptionIsLookedAtWhenItChanges(t *testing.T) {
	end := exempt("a", nil).ExpiresAt
	target := kspec.Target{Exemptions: []kspec.Exemption{exempt("a", nil), exempt("b", func(e *kspec.Exemption) { e.ExpiresAt = end.AddDate(0, 0, 1) })}}
	var got []string
	for at := policy.Wake(target, now); !at.IsZero(); at = policy.Wake(target, at) {
		got = append(got, end.Sub(at).String())
	}
	want := []string{"336h0m0s", "312h0m0s", "168h0m0s", "144h0m0s", "24h0m0s", "0s", "-24h0m0s"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("before the end of the first (-want +got):\n%s", diff)
	}
	target.Activation = during(t, "UTC", "09:00-17:00").Activation
	if at := policy.Wake(target, now); !at.Equal(instant("2026-06-15T17:00:00Z")) {
		t.Errorf("wakes at %s, want when the window ends", at)
	}
}

func TestAtKeepsTheExemptionsInForce(t *testing.T) {
	target := kspec.Target{Exemptions: []kspec.Exemption{
		exempt("a", nil), exempt("b", func(e *kspec.Exemption) { e.ExpiresAt = now }), exempt("c", func(e *kspec.Exemption) { e.Approver = "" }),
	}}
	got, err := policy.At(target, now)
	if diff := cmp.Diff(target.Exemptions[:1], got.Waiving); diff != "" || err != nil {
		t.Errorf("%v, in force (-want +got):\n%s", err, diff)
	}
	if got, err = policy.At(got, now.AddDate(2, 0, 0)); err != nil || got.Waiving != nil {
		t.Errorf("later: %+v, %v", got.Waiving, err)
	}
}

func TestDecideSaysWhatHolds(t *testing.T) {
	target := during(t, "UTC", "09:00-17:00")
	target.Exemptions = []kspec.Exemption{exempt("legacy", func(e *kspec.Exemption) { e.Namespaces = []string{"old", "out"} })}
	target.Scope.Exclude, target.Scope.Selector = []string{"out"}, selector("tier", "NotIn", "back")
	p := of(t, target)
	day, night := now, now.Add(8*time.Hour)
	tests := []struct {
		namespace string
		at        time.Time
		want      policy.Decision
	}{
		{"shop", day, policy.Decision{InScope: true, Active: true, Mode: kspec.Enforce, Why: "namespace shop is in scope"}},
		{"shop", night, policy.Decision{InScope: true, Mode: kspec.Audit, Why: "it is outside of the times at which the policies act"}},
		{"old", day, policy.Decision{InScope: true, Active: true, Mode: kspec.Audit, WaivedBy: "legacy", Why: `exemption "legacy" waives it`}},
		{"old", night, policy.Decision{InScope: true, Mode: kspec.Audit, WaivedBy: "legacy", Why: `exemption "legacy" waives it`}},
		{"far", night, policy.Decision{
			InScope: true, Assumed: "the labels of namespace far are not known, and assumed to match", Mode: kspec.Audit,
			Why: "it is outside of the times at which the policies act",
		}},
		{"out", day, policy.Decision{Active: true, Mode: kspec.Off, Why: "namespace out is excluded"}},
	}
	for _, tt := range tests {
		o := policy.Object{ID: pod(tt.namespace, "a")}
		if tt.want.Assumed == "" {
			o.NamespaceLabels = map[string]string{}
		}
		if diff := cmp.Diff(tt.want, p.Decide(o, tt.at)); diff != "" {
			t.Errorf("%s at %s (-want +got):\n%s", tt.namespace, tt.at, diff)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	target := kspec.Target{
		Enforcement: kspec.Enforce, Scope: kspec.Scope{Selector: selector("tier", "In", "front")},
		Activation: &kspec.Activation{Zone: "Europe/Berlin", Schedule: "* 9-16 * * mon-fri"},
	}
	for i := range 20 {
		target.Exemptions = append(target.Exemptions, exempt(fmt.Sprint("e", i), func(e *kspec.Exemption) {
			e.Resources = []kspec.ExemptResource{{Kind: "Job"}, {Labels: selector("app", "Exists")}}
		}))
	}
	p := must(policy.Of(target))
	o := policy.Object{ID: pod("shop", "a"), NamespaceLabels: map[string]string{"tier": "front"}, Labels: map[string]string{"tier": "front"}}
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(o, now)
	}
}
