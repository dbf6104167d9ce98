package kspec_test

import (
	"slices"
	"testing"

	"github.com/cloudcwfranck/kspec"
)

func TestScoreCountsWhatWasLookedAt(t *testing.T) {
	for _, tt := range []struct {
		checks []kspec.Check
		score  int
		ok     bool
	}{
		{nil, 0, false},
		{[]kspec.Check{{Name: "a", Incomplete: true}}, 0, false},
		{[]kspec.Check{{Name: "a"}}, 100, true},
		{[]kspec.Check{{Name: "bad"}}, 0, true},
		{[]kspec.Check{{Name: "a"}, {Name: "b"}, {Name: "bad"}}, 66, true},
		{[]kspec.Check{{Name: "a"}, {Name: "b", Incomplete: true}, {Name: "bad", Incomplete: true}}, 50, true},
		{[]kspec.Check{{Name: "a"}, {Name: "waived"}}, 100, true},
	} {
		rep := kspec.Report{Checks: tt.checks, Findings: []kspec.Finding{{Check: "bad"}, {Check: "waived", WaivedBy: new("e")}}}
		if score, ok := rep.Judged().Score(); score != tt.score || ok != tt.ok {
			t.Errorf("%+v: %d, %t, want %d, %t", tt.checks, score, ok, tt.score, tt.ok)
		}
	}
}

func TestJudgedChangesNothingThatItWasGiven(t *testing.T) {
	rep := kspec.Report{
		Checks: []kspec.Check{{Name: "a"}}, Controls: []kspec.ControlResult{{ID: "1", Checks: []string{"a"}}}, Findings: []kspec.Finding{{Check: "a"}},
	}
	judged := rep.Judged()
	if rep.Checks[0].Status != "" || rep.Controls[0].Status != "" {
		t.Errorf("it was changed: %+v", rep)
	}
	if judged.Checks[0].Status != kspec.CheckFail || judged.Checks[0].Findings != 1 || judged.Controls[0].Status != kspec.CheckFail {
		t.Errorf("got %+v", judged)
	}
}

// Signatures are a check among the others.
func TestVerified(t *testing.T) {
	target := kspec.Target{Images: kspec.ImageRules{RequireSignatures: true}, Requirements: kspec.Requirements{Frameworks: []kspec.Framework{
		{Name: "CIS", Controls: []kspec.Control{{ID: "1", Title: "Signed", Checks: []string{kspec.CheckSignatures}}}},
	}}}
	rep := kspec.Report{Checks: []kspec.Check{{Name: kspec.CheckVersion}, {Name: kspec.CheckRBAC}}}
	for _, tt := range []struct {
		name    string
		bad     []kspec.Finding
		unknown []kspec.Unknown
		want    kspec.CheckStatus
		score   int
	}{
		{"signed", nil, nil, kspec.CheckPass, 100},
		{"not signed", []kspec.Finding{{Check: kspec.CheckSignatures}}, []kspec.Unknown{{Reason: "a"}}, kspec.CheckFail, 66},
		{"not known", nil, []kspec.Unknown{{Reason: "a"}}, kspec.CheckUnknown, 100},
		{"waived", []kspec.Finding{{Check: kspec.CheckSignatures, WaivedBy: new("e")}}, nil, kspec.CheckPass, 100},
	} {
		got := rep.Verified(target, tt.bad, tt.unknown)
		if len(got.Checks) != 3 || got.Checks[1].Name != kspec.CheckSignatures || got.Checks[1].Status != tt.want {
			t.Errorf("%s: checks %+v", tt.name, got.Checks)
		}
		if len(got.Controls) != 1 || got.Controls[0].Status != tt.want || len(got.Findings) != len(tt.bad) || len(got.Unknown) != len(tt.unknown) {
			t.Errorf("%s: got %+v", tt.name, got)
		}
		if score, _ := got.Score(); score != tt.score {
			t.Errorf("%s: score %d, want %d", tt.name, score, tt.score)
		}
	}
	if got := rep.Verified(kspec.Target{}, nil, nil); len(got.Checks) != 2 || len(rep.Checks) != 2 {
		t.Errorf("nothing is demanded: %+v", got.Checks)
	}
}

// Nothing is demanded by nothing, and each demand brings its check.
func TestDemands(t *testing.T) {
	if checks := (kspec.Requirements{}).Checks(); len(checks) > 0 {
		t.Errorf("nothing demands %v", checks)
	}
	var all []string
	for name, r := range map[string]kspec.Requirements{
		kspec.CheckVersion:     {Kubernetes: kspec.KubernetesRules{ExcludedVersions: []string{"1.30"}}},
		kspec.CheckPodSecurity: {PodSecurity: kspec.PodSecurityRules{Warn: kspec.Baseline}},
		kspec.CheckNetwork:     {Network: kspec.NetworkRules{RequiredPolicies: []kspec.NamedPolicy{{Name: "a"}}}},
		kspec.CheckServices:    {Network: kspec.NetworkRules{DisallowedPorts: []int32{23}}},
		kspec.CheckContainers:  {Containers: kspec.ContainerRules{Forbidden: []kspec.FieldDemand{{Key: "hostNetwork"}}}},
		kspec.CheckImages:      {Registries: kspec.RegistryRules{Blocked: []string{"docker.io"}}},
		kspec.CheckRBAC:        {RBAC: kspec.AccessRules{Minimum: []kspec.AccessRule{{Resource: "pods"}}}},
		kspec.CheckAdmission:   {Admission: kspec.AdmissionRules{MinPolicies: 1}},
		kspec.CheckMetrics:     {Observability: kspec.ObservabilityRules{RequireMetrics: true}},
		kspec.CheckAuditLog:    {Observability: kspec.ObservabilityRules{RequireAuditLog: true}},
	} {
		all = append(all, name)
		if got := r.Checks(); !slices.Equal(got, []string{name}) {
			t.Errorf("%s: demands %v", name, got)
		}
		if r.Demands("bogus") || !slices.Contains(kspec.CheckNames(), name) {
			t.Errorf("%s is not known, or another is", name)
		}
	}
	if len(all) != len(kspec.CheckNames())-1 { // signatures are demanded by the rules for images
		t.Errorf("%d of %d checks can be demanded", len(all), len(kspec.CheckNames()))
	}
}

func TestLevelsHaveAnOrder(t *testing.T) {
	if kspec.Privileged.Rank() >= kspec.Baseline.Rank() || kspec.Baseline.Rank() >= kspec.Restricted.Rank() || kspec.PodSecurityLevel("x").Rank() != 0 {
		t.Error("privileged is before baseline, baseline before restricted")
	}
}
