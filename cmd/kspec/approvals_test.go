package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
)

const exemptSpec = `apiVersion: kspec.io/v1alpha1
kind: ClusterSpec
metadata: {name: prod}
spec:
  policyExemptions:
  - {name: legacy, reason: soon gone, approver: ada, namespaces: [shop], expiresAt: 2027-01-01T00:00:00Z}
  - {name: vendor, reason: no choice, approver: ada, namespaces: [web], expiresAt: 2027-01-01T00:00:00Z}
  - {name: over, reason: was, approver: ada, namespaces: [web], expiresAt: 2020-01-01T00:00:00Z}
`

func exemptTarget(t *testing.T, commit string) kspec.Target {
	t.Helper()
	return kspec.Target{
		Name: "prod", Source: kspec.Source{File: "spec.yaml"}, Revision: kspec.Revision{Branch: "main", Commit: commit},
		Exemptions: exemptionsIn([]byte(exemptSpec), kspec.Source{File: "spec.yaml"}, "prod"),
	}
}

// oracle answers as it is told, and counts.
type oracle struct {
	asked []string
	why   string
	err   error
}

func (o *oracle) Unapproved(_ context.Context, p kspec.Passage) (string, error) {
	o.asked = append(o.asked, p.Revision.Commit)
	return o.why, o.err
}

func TestApprovalsAreAskedForOnceACommitAndWhile(t *testing.T) {
	o := &oracle{why: "ada slept"}
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	var log strings.Builder
	p := newProver(o, func() time.Time { return now }, slog.New(slog.NewTextHandler(&log, nil)))
	const down = "is not proved to be approved: the forge could not be asked"
	for _, step := range []struct {
		name, commit string
		later        time.Duration
		why          string
		err          error
		want         string
		requests     int
	}{
		{"the first look", "a", 0, "ada slept", nil, "is not approved: ada slept", 2},
		{"nothing changed", "a", time.Minute, "", nil, "is not approved: ada slept", 0},
		{"approved meanwhile", "a", keepAnswers, "", nil, "", 2},
		{"the forge is down, and what was proved holds", "a", keepAnswers, "", errors.New("502"), "", 1},
		{"another commit, and the forge is down", "b", 0, "", errors.New("502"), down, 1},
		{"still down", "b", 0, "", errors.New("502"), down, 1},
		{"the forge is back", "b", 0, "", nil, "", 2},
		{"dismissed meanwhile", "b", keepAnswers, "dismissed", nil, "is not approved: dismissed", 2},
	} {
		now = now.Add(step.later)
		o.asked, o.why, o.err = nil, step.why, step.err
		target := exemptTarget(t, step.commit)
		got := p.prove(t.Context(), target)
		want := []string{step.want, step.want, "is not proved to be approved: nobody asks about what has expired"}
		var whys, before []string
		for i, e := range got.Exemptions {
			whys, before = append(whys, e.Unapproved), append(before, target.Exemptions[i].Unapproved)
		}
		if diff := cmp.Diff(want, whys); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
		if len(o.asked) != step.requests {
			t.Errorf("%s: %d questions, want %d", step.name, len(o.asked), step.requests)
		}
		if strings.Join(before, "") != "" {
			t.Errorf("%s: the target that was given has changed: %q", step.name, before)
		}
	}
	if len(p.answers) != 2 {
		t.Errorf("%d answers are kept, want those about the last commit", len(p.answers))
	}
	for _, want := range []string{`exemption=legacy why="is not approved: ada slept"`, `msg="approval not proved"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log.String())
		}
	}
}

func TestWithoutAProverExemptionsAreTakenAtTheirWord(t *testing.T) {
	target := exemptTarget(t, "a")
	if diff := cmp.Diff(target, (*prover)(nil).prove(t.Context(), target)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAPassageIsWhatAnExemptionSaysAndNotHow(t *testing.T) {
	target := exemptTarget(t, "a")
	p := passage(target, target.Exemptions[0])
	if p.File != "spec.yaml" || p.Approver != "ada" || p.Revision.Commit != "a" {
		t.Errorf("passage %+v", p)
	}
	const legacy = "{name: legacy, reason: soon gone, approver: ada, namespaces: [shop], expiresAt: 2027-01-01T00:00:00Z}"
	other := func(old, changed string) string { return strings.Replace(exemptSpec, old, changed, 1) }
	for name, tt := range map[string]struct {
		version string
		want    bool
	}{
		"as it is":                     {exemptSpec, true},
		"written otherwise":            {other(legacy, "{expiresAt: '2027-01-01T01:00:00+01:00', namespaces: [\"shop\"], # soon\n    approver: ada, reason: soon gone, name: legacy}"), true},
		"beside other changes":         {other("spec:", "spec:\n  interval: 1h"), true},
		"beside a document of a slip":  {exemptSpec + "---\napiVersion: kspec.io/v1alpha1\nkind: ClusterSpec\nmetadata: {name: dev}\nspec: {intervall: 1h}\n", true},
		"with another reason":          {other("soon gone", "for ever"), false},
		"for longer":                   {other("2027-01-01", "2037-01-01"), false},
		"for another namespace":        {other("[shop]", "[shop, web]"), false},
		"for less":                     {other("namespaces: [shop]", "resources: [{kind: Pod, name: a}], namespaces: [shop]"), false},
		"approved by another":          {other("approver: ada", "approver: grace"), false},
		"of another name":              {other("name: legacy", "name: old"), false},
		"of another ClusterSpec":       {other("name: prod", "name: dev"), false},
		"in one of two of that name":   {exemptSpec + "---\n" + exemptSpec, false},
		"in a document with a slip":    {other("spec:", "spec:\n  intervall: 1h"), false},
		"in what is not YAML":          {"}{" + exemptSpec, false},
		"in a ClusterSpec that claims": {fmt.Sprintf("# %s\n%s", legacy, other(legacy, "{}")), false},
		"nowhere":                      {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := p.In([]byte(tt.version)); got != tt.want {
				t.Errorf("in: %t, want %t", got, tt.want)
			}
		})
	}
}
