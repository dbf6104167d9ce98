package v1alpha1_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// conditions returns "status reason" by type.
func conditions(s v1alpha1.ClusterSpecStatus) map[string]string {
	all := map[string]string{}
	for _, c := range s.Conditions {
		all[c.Type] = string(c.Status) + " " + c.Reason
	}
	return all
}

func clean() kspec.Report {
	return kspec.Report{
		Target: "prod", Revision: kspec.Revision{Branch: "main", Commit: "4f0c"}, StartedAt: noon, Duration: 2 * time.Second,
		Coverage: kspec.Coverage{Objects: 12}, Policies: &kspec.PolicyCount{Enforced: 3, Audited: 1},
	}
}

func TestStatusSaysWhatTheLookSaw(t *testing.T) {
	drift := kspec.Finding{Type: kspec.TypeConfiguration, Verdict: kspec.Changed, Severity: kspec.High}
	unsigned := kspec.Finding{Type: kspec.TypeImage, Verdict: kspec.Unsigned, Severity: kspec.Critical}
	waived := drift
	waived.WaivedBy = new(string)
	notice := kspec.Finding{Type: kspec.TypeCompliance, Verdict: kspec.Violation, Severity: kspec.Low, WaivedBy: new(string), Notice: true}
	unknown := []kspec.Unknown{{Reason: "get: forbidden"}}
	inSync := map[string]string{"Ready": "True Complete", "DriftDetected": "False InSync", "PolicyEnforced": "True Enforced"}
	for name, c := range map[string]struct {
		change func(*kspec.Report)
		out    kspec.Outcome
		err    error
		want   map[string]string
		status v1alpha1.ClusterSpecStatus
	}{
		"in sync": {
			change: func(*kspec.Report) {}, want: inSync,
			status: v1alpha1.ClusterSpecStatus{Findings: &v1alpha1.FindingCounts{}},
		},
		"drift, and its pull request": {
			change: func(r *kspec.Report) { r.Findings = []kspec.Finding{drift, waived, unsigned} },
			out:    kspec.Outcome{Action: kspec.ActionUnchanged, URL: "https://forge/pull/7"},
			want:   map[string]string{"Ready": "True Complete", "DriftDetected": "True Found", "PolicyEnforced": "True Enforced"},
			status: v1alpha1.ClusterSpecStatus{
				PullRequest: "https://forge/pull/7",
				Findings: &v1alpha1.FindingCounts{
					Total: 2, Waived: 1,
					ByVerdict: map[string]int{"Changed": 1, "Unsigned": 1}, BySeverity: map[string]int{"high": 1, "critical": 1},
				},
			},
		},
		"a waived finding and a closed pull request": {
			change: func(r *kspec.Report) { r.Findings = []kspec.Finding{waived} },
			out:    kspec.Outcome{Action: kspec.ActionClosed, URL: "https://forge/pull/7"}, want: inSync,
			status: v1alpha1.ClusterSpecStatus{Findings: &v1alpha1.FindingCounts{Waived: 1}},
		},
		"an exemption that ends soon is nothing wrong": {
			change: func(r *kspec.Report) { r.Findings = []kspec.Finding{notice} }, want: inSync,
			status: v1alpha1.ClusterSpecStatus{Findings: &v1alpha1.FindingCounts{}},
		},
		"an unsigned image is no drift": {
			change: func(r *kspec.Report) { r.Findings = []kspec.Finding{unsigned} }, want: inSync,
			status: v1alpha1.ClusterSpecStatus{Findings: &v1alpha1.FindingCounts{
				Total: 1, ByVerdict: map[string]int{"Unsigned": 1}, BySeverity: map[string]int{"critical": 1},
			}},
		},
		"nothing found, not everything seen": {
			change: func(r *kspec.Report) { r.Unknown = unknown },
			want:   map[string]string{"Ready": "False Incomplete", "DriftDetected": "Unknown Incomplete", "PolicyEnforced": "True Enforced"},
			status: v1alpha1.ClusterSpecStatus{Findings: &v1alpha1.FindingCounts{Unknown: 1}},
		},
		"the pull request failed": {
			change: func(*kspec.Report) {}, err: errors.New("502"),
			want: map[string]string{
				"Ready": "False ReconciliationFailed", "Reconciling": "True ProgressingWithRetry",
				"DriftDetected": "False InSync", "PolicyEnforced": "True Enforced",
			},
			status: v1alpha1.ClusterSpecStatus{Findings: &v1alpha1.FindingCounts{}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			rep := clean()
			c.change(&rep)
			got := v1alpha1.ClusterSpecStatus{}.Looked(rep, c.out, c.err, noon)
			if diff := cmp.Diff(c.want, conditions(got)); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			c.status.ObservedRevision, c.status.Policies = rep.Revision.String(), &v1alpha1.PolicyCounts{Enforced: 3, Audited: 1}
			if rep.Complete() {
				c.status.LastCompleteLook = &metav1.Time{Time: noon.Add(2 * time.Second)}
			}
			got.Conditions = nil
			if diff := cmp.Diff(c.status, got); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStatusOfPoliciesCountsTheCluster(t *testing.T) {
	for want, count := range map[string]*kspec.PolicyCount{
		"Unknown NotCounted": nil, "False NotEnforced": {Audited: 2}, "True Enforced": {Enforced: 1},
	} {
		rep := clean()
		rep.Policies = count
		got := v1alpha1.ClusterSpecStatus{}.Looked(rep, kspec.Outcome{}, nil, noon)
		if is := conditions(got)["PolicyEnforced"]; is != want {
			t.Errorf("PolicyEnforced of %+v is %q, want %q", count, is, want)
		}
	}
}

func TestStatusKeepsWhatWasSeenWhenALookFails(t *testing.T) {
	before := v1alpha1.ClusterSpecStatus{}.Looked(clean(), kspec.Outcome{}, nil, noon)
	s := before.Looked(kspec.Report{}, kspec.Outcome{}, kspec.Terminal(errors.New(strings.Repeat("ü", 2000))), noon.Add(time.Hour))
	want := map[string]string{
		"Ready": "False ReconciliationFailed", "Stalled": "True ReconciliationFailed",
		"DriftDetected": "Unknown ReconciliationFailed", "PolicyEnforced": "Unknown ReconciliationFailed",
	}
	if diff := cmp.Diff(want, conditions(s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s.Policies.Enforced != 3 || !s.LastCompleteLook.Time.Equal(noon.Add(2*time.Second)) {
		t.Errorf("what was seen before is gone: %+v", s)
	}
	if ready := meta.FindStatusCondition(s.Conditions, "Ready"); len(ready.Message) > 1030 || strings.ContainsRune(ready.Message, '\uFFFD') {
		t.Errorf("the message has %d bytes, or half a rune", len(ready.Message))
	}
	if conditions(before)["Ready"] != "True Complete" {
		t.Error("the status until now was changed")
	}
	s = s.Looked(clean(), kspec.Outcome{}, nil, noon.Add(2*time.Hour))
	if got := conditions(s); got["Stalled"] != "" || got["Ready"] != "True Complete" {
		t.Errorf("after a good look: %v", got)
	}
	s = s.Suspended(noon.Add(3 * time.Hour))
	if got := conditions(s); got["Ready"] != "Unknown Suspended" || got["DriftDetected"] != "False InSync" {
		t.Errorf("suspended: %v", got)
	}
}

func TestStatusOfAClusterSaysReachableOnlyAfterAnAnswer(t *testing.T) {
	three := 3
	s := v1alpha1.ClusterTargetStatus{}.Answered("v1.33.2-gke.1", "0e1f", "gke", &three, noon)
	if !s.Reachable || s.Version != "v1.33.2-gke.1" || *s.Nodes != 3 || s.Conditions[0].Status != metav1.ConditionTrue {
		t.Errorf("answered: %+v", s)
	}
	gone := s.Unreachable(errors.New("connection refused"), noon.Add(time.Hour))
	if gone.Reachable || gone.Conditions[0].Message != "connection refused" || gone.Version != s.Version || !gone.LastChecked.Time.Equal(noon.Add(time.Hour)) {
		t.Errorf("unreachable: %+v", gone)
	}
	if !s.Reachable || s.Conditions[0].Status != metav1.ConditionTrue {
		t.Errorf("the status until now was changed: %+v", s)
	}
}
