package compare_test

import (
	"testing"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
)

func severityRule(s kspec.Severity, paths ...string) kspec.SeverityRule {
	return kspec.SeverityRule{Places: kspec.Places{Paths: paths}, Severity: s}
}

// The image of the Pod differs, which is high, and its limit of CPU, which is
// medium.
func TestSeverityRulesComeAfterWhatIsKnown(t *testing.T) {
	selecting := func(r kspec.SeverityRule, s kspec.Selector) kspec.SeverityRule { r.Selector = s; return r }
	tests := map[string]struct {
		rules []kspec.SeverityRule
		want  kspec.Severity
	}{
		"none":                        {nil, kspec.High},
		"graver":                      {[]kspec.SeverityRule{severityRule(kspec.Critical, "/spec/containers/[name=app]/resources")}, kspec.Critical},
		"milder, of one field":        {[]kspec.SeverityRule{severityRule(kspec.Low, "/spec/containers/0/image")}, kspec.Medium},
		"milder, of both":             {[]kspec.SeverityRule{severityRule(kspec.Low, "/spec")}, kspec.Low},
		"of the whole object":         {[]kspec.SeverityRule{severityRule(kspec.Low, "")}, kspec.Low},
		"the last one":                {[]kspec.SeverityRule{severityRule(kspec.Critical, "/spec"), severityRule(kspec.Low, "/spec")}, kspec.Low},
		"the last one of each field":  {[]kspec.SeverityRule{severityRule(kspec.Low, "/spec"), severityRule(kspec.Critical, "/spec/containers/[name=app]/image")}, kspec.Critical},
		"of another place":            {[]kspec.SeverityRule{severityRule(kspec.Critical, "/spec/volumes", "/spec/containers/[name=other]")}, kspec.High},
		"deeper than the field":       {[]kspec.SeverityRule{severityRule(kspec.Critical, "/spec/containers/0/image/x")}, kspec.High},
		"of objects with the label":   {[]kspec.SeverityRule{selecting(severityRule(kspec.Low, "/spec"), kspec.Selector{Labels: map[string]string{"team": "a"}})}, kspec.Low},
		"of objects of another label": {[]kspec.SeverityRule{selecting(severityRule(kspec.Low, "/spec"), kspec.Selector{Labels: map[string]string{"team": "b"}})}, kspec.High},
		"of another namespace":        {[]kspec.SeverityRule{selecting(severityRule(kspec.Low, "/spec"), kspec.Selector{Namespace: "web"})}, kspec.High},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := rules()
			r.Severity = tt.rules
			if got, _ := diff(t, aPod(t), r); len(got) != 1 || got[0].Severity != tt.want {
				t.Errorf("want one finding of severity %s, got %+v", tt.want, got)
			}
		})
	}
}

// A rule for a place inside of what came or went as a whole makes that graver,
// and never milder: the rest of it counts as much as before.
func TestASeverityRuleInsideOfADifferenceOnlyRaisesIt(t *testing.T) {
	const head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
	for _, tt := range []struct{ rule, want kspec.Severity }{
		{kspec.Low, kspec.Medium}, {kspec.Critical, kspec.Critical},
	} {
		l := look(t, head+"x: {hosts: [{name: a, tls: true}]}", head+"x: {}", `{"f:x":{"f:hosts":{}}}`, "{}")
		r := rules()
		r.Severity = []kspec.SeverityRule{severityRule(tt.rule, "/x/hosts/[name=a]/tls", "/x/hosts/[name=b]/tls")}
		if got, _ := diff(t, l, r); len(got) != 1 || got[0].Severity != tt.want {
			t.Errorf("rule %s: want one finding of severity %s, got %+v", tt.rule, tt.want, got)
		}
	}
}

func TestASeverityRuleForTheEmptyPathIsAboutMissingObjects(t *testing.T) {
	w := newWorld(t)
	w.namespace("severity")
	want := desired(t, "severity", "{apiVersion: v1, kind: ConfigMap, metadata: {name: gone, labels: {tier: cache}}}")
	for _, tt := range []struct {
		rules []kspec.SeverityRule
		want  kspec.Severity
	}{
		{nil, kspec.High},
		{[]kspec.SeverityRule{severityRule(kspec.Critical, "/data")}, kspec.High},
		{[]kspec.SeverityRule{severityRule(kspec.Critical, "", "/data")}, kspec.Critical},
		{[]kspec.SeverityRule{{Severity: kspec.Low, Places: kspec.Places{Paths: []string{""}, Selector: kspec.Selector{Labels: map[string]string{"tier": "cache"}}}}}, kspec.Low},
	} {
		target := kspec.Target{Name: "test", Drift: kspec.DriftRules{Severity: tt.rules}}
		rep, err := detector(clusterOf(t, nil)).Detect(t.Context(), target, want)
		if err != nil {
			t.Fatal(err)
		}
		if len(rep.Findings) != 1 || rep.Findings[0].Verdict != kspec.Missing || rep.Findings[0].Severity != tt.want {
			t.Errorf("%v: want a missing object of severity %s, got %+v", tt.rules, tt.want, rep.Findings)
		}
	}
}

func BenchmarkSeverityRules(b *testing.B) {
	r := rules()
	for range 20 {
		r.Severity = append(r.Severity, severityRule(kspec.Critical, "/spec/containers/[name=app]/resources", "/spec/volumes"))
	}
	l := aPod(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := compare.Diff(l, r); err != nil {
			b.Fatal(err)
		}
	}
}
