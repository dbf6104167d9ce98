package kspec_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
)

// summary is an event as "type status level".
func summary(events []kspec.Event) []string {
	var out []string
	for _, e := range events {
		out = append(out, fmt.Sprintf("%s %s %s", e.Type, e.Status, e.Level))
	}
	return out
}

func typed(f kspec.Finding, typ kspec.FindingType) kspec.Finding {
	f.Type = typ
	return f
}

func TestEventsFireAndResolve(t *testing.T) {
	drift := finding("web", kspec.Changed, kspec.Medium)
	by := "exemption"
	waived := drift
	waived.WaivedBy = &by
	unknown := []kspec.Unknown{{Reason: "forbidden"}}
	tests := []struct {
		name string
		rep  kspec.Report
		want []string
	}{
		{"in sync", kspec.Report{}, []string{"DriftDetected resolved info", "PolicyViolation resolved info", "ImageUnsigned resolved info"}},
		{"drift", kspec.Report{Findings: []kspec.Finding{drift}}, []string{"DriftDetected firing warning", "PolicyViolation resolved info", "ImageUnsigned resolved info"}},
		{"waived drift", kspec.Report{Findings: []kspec.Finding{waived}}, []string{"DriftDetected resolved info", "PolicyViolation resolved info", "ImageUnsigned resolved info"}},
		{"all of them", kspec.Report{Findings: []kspec.Finding{
			typed(drift, kspec.TypeImage), typed(drift, kspec.TypeCompliance), typed(drift, kspec.TypePolicy),
		}}, []string{"DriftDetected firing warning", "PolicyViolation firing warning", "ImageUnsigned firing warning"}},
		{"a grave one among mild ones", kspec.Report{Findings: []kspec.Finding{
			finding("a", kspec.Changed, kspec.Low), finding("b", kspec.Missing, kspec.High),
		}}, []string{"DriftDetected firing critical", "PolicyViolation resolved info", "ImageUnsigned resolved info"}},
		{"mild drift wakes nobody, but is seen", kspec.Report{Findings: []kspec.Finding{finding("a", kspec.ExtraField, kspec.Low)}}, []string{"DriftDetected firing warning", "PolicyViolation resolved info", "ImageUnsigned resolved info"}},
		{"an incomplete look resolves nothing", kspec.Report{Unknown: unknown}, nil},
		{"what can never be known holds up no resolution", kspec.Report{Unknown: []kspec.Unknown{{Reason: "encrypted", Lasting: true}}}, []string{"DriftDetected resolved info", "PolicyViolation resolved info", "ImageUnsigned resolved info"}},
		{"an incomplete look fires what it saw", kspec.Report{Unknown: unknown, Findings: []kspec.Finding{drift}}, []string{"DriftDetected firing warning"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			events := kspec.Events(kspec.Target{Name: "prod"}, tt.rep, kspec.Outcome{})
			if diff := cmp.Diff(tt.want, summary(events)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEventSaysWhatItIsAbout(t *testing.T) {
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	rep := kspec.Report{
		Cluster: "prod-eu", Revision: kspec.Revision{Branch: "main", Commit: "4f0c"}, StartedAt: at, Duration: time.Second,
	}.With(finding("a", kspec.Changed, kspec.Medium), finding("b", kspec.Missing, kspec.Medium))
	events := kspec.Events(kspec.Target{Name: "prod"}, rep, kspec.Outcome{URL: "https://forge/1"})
	want := kspec.Event{
		Type: kspec.DriftDetected, Status: kspec.Firing, Level: kspec.Warning, Target: "prod", Cluster: "prod-eu",
		Revision: rep.Revision, Time: at.Add(time.Second), Title: "prod: drift in 2 objects",
		Description: "Deployment.apps web/a: differs\nDeployment.apps web/b: differs\n",
		Findings:    rep.Findings, Fingerprint: kspec.DriftFingerprint(rep.Findings), Link: "https://forge/1",
	}
	if diff := cmp.Diff(want, events[0]); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	if events[1].Revision != rep.Revision {
		t.Errorf("the resolved event names revision %s", events[1].Revision)
	}
}

func TestEventsTellOfEveryPullRequest(t *testing.T) {
	out := kspec.Outcome{
		Action: kspec.ActionOpened, Number: 1, URL: "https://forge/1",
		Others: []kspec.Outcome{
			{Action: kspec.ActionOpened, Number: 2, URL: "https://forge/2"},
			{Action: kspec.ActionUnchanged, Number: 3, URL: "https://forge/3"},
		},
	}
	var links []string
	for _, e := range kspec.Events(kspec.Target{Name: "prod"}, kspec.Report{}, out) {
		if e.Type == kspec.RemediationOpened {
			links = append(links, e.Link)
		}
	}
	if diff := cmp.Diff([]string{"https://forge/1", "https://forge/2"}, links); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
}

func TestEventDescribesTheFirstFindings(t *testing.T) {
	var rep kspec.Report
	for i := range 15 {
		rep = rep.With(finding(fmt.Sprintf("web-%02d", i), kspec.Changed, kspec.Low))
	}
	e := kspec.Events(kspec.Target{}, rep, kspec.Outcome{})[0]
	if n := strings.Count(e.Description, "\n"); n != 11 || !strings.HasSuffix(e.Description, "… and 5 more\n") {
		t.Errorf("%d lines:\n%s", n, e.Description)
	}
}

func TestEventsOfARemediation(t *testing.T) {
	for action, want := range map[kspec.Action]string{
		kspec.ActionOpened:    "RemediationOpened firing info",
		kspec.ActionClosed:    "RemediationClosed firing info",
		kspec.ActionRefused:   "RemediationRefused firing info",
		kspec.ActionUnchanged: "", kspec.ActionNone: "", kspec.ActionUpdated: "", kspec.ActionWaiting: "",
	} {
		out := kspec.Outcome{Action: action, Number: 7, URL: "https://forge/7", Why: "because", Plan: kspec.Plan{Fingerprint: "f"}}
		incomplete := kspec.Report{Unknown: []kspec.Unknown{{}}}
		events := kspec.Events(kspec.Target{Name: "prod"}, incomplete, out)
		if got := strings.Join(summary(events), "\n"); got != want {
			t.Errorf("%s: got %q, want %q", action, got, want)
			continue
		}
		if want != "" && (events[0].Link != out.URL || events[0].Fingerprint != "7/f" || !strings.Contains(events[0].Title, "#7")) {
			t.Errorf("%s: %+v", action, events[0])
		}
	}
}

func TestExemptionsThatEndSoonAreToldAnewWhenTheyComeNearer(t *testing.T) {
	name, other := "legacy", "vendor"
	ending := func(message string, waivedBy *string, notice bool) kspec.Finding {
		return kspec.Finding{Type: kspec.TypeCompliance, Verdict: kspec.Violation, Severity: kspec.Low, Message: message, WaivedBy: waivedBy, Notice: notice}.Fingerprinted()
	}
	told := func(findings ...kspec.Finding) kspec.Event {
		t.Helper()
		rep := kspec.Report{Unknown: []kspec.Unknown{{}}}.With(findings...)
		events := kspec.Events(kspec.Target{Name: "prod"}, rep, kspec.Outcome{URL: "https://forge/7"})
		if got := strings.Join(summary(events), "\n"); got != "ExemptionEnding firing warning" || !events[0].Type.Once() || events[0].Link != "" {
			t.Fatalf("got %q", got)
		}
		return events[0]
	}
	soon := ending("a: in less than 7 days", &name, true)
	one := told(soon, ending("c is waived", &name, false))
	if one.Title != "prod: exemption legacy ends soon" || !strings.Contains(one.Description, "a: in less than 7 days\n") || strings.Contains(one.Description, "waived") {
		t.Errorf("%+v", one)
	}
	if again := told(soon); again.Fingerprint != one.Fingerprint {
		t.Error("the same is news")
	}
	if nearer := told(ending("a: in less than a day", &name, true)); nearer.Fingerprint == one.Fingerprint {
		t.Error("the next warning is no news")
	}
	if two := told(soon, ending("b: in less than 14 days", &other, true)); two.Fingerprint == one.Fingerprint || two.Title != "prod: 2 exemptions end soon" {
		t.Errorf("with another one: %+v", two)
	}
}

func TestEventLabels(t *testing.T) {
	in := func(ns string) kspec.Finding { return kspec.Finding{Object: kspec.ObjectID{Namespace: ns}} }
	tests := []struct {
		findings  []kspec.Finding
		namespace string
		has       bool
	}{
		{nil, "", false},
		{[]kspec.Finding{in("web")}, "web", true},
		{[]kspec.Finding{in("web"), in("web")}, "web", true},
		{[]kspec.Finding{in("web"), in("api")}, "", false},
		{[]kspec.Finding{in("web"), in("api"), in("web")}, "", false},
		{[]kspec.Finding{in("web"), in("")}, "", false},
	}
	for _, tt := range tests {
		e := kspec.Event{Type: kspec.DriftDetected, Level: kspec.Urgent, Target: "prod", Cluster: "eu", Findings: tt.findings}
		want := map[string]string{"severity": "critical", "type": "DriftDetected", "source": "ClusterSpec/prod", "cluster": "eu"}
		if tt.has {
			want["namespace"] = tt.namespace
		}
		if diff := cmp.Diff(want, e.Labels()); diff != "" {
			t.Errorf("labels of %v (-want +got):\n%s", tt.findings, diff)
		}
	}
}

func TestEventTypesAreListedOnce(t *testing.T) {
	seen := map[kspec.EventType]bool{}
	for _, typ := range kspec.EventTypes() {
		if seen[typ] || typ == "" {
			t.Errorf("%q is listed twice or empty", typ)
		}
		seen[typ] = true
	}
}
