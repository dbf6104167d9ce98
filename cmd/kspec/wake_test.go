package main

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare/require"
)

// versioned is a cluster of which only the version is known.
type versioned struct{ require.Reader }

func (versioned) Name() string                            { return "made" }
func (versioned) Address() string                         { return "https://made" }
func (versioned) Version(context.Context) (string, error) { return "v1.34.1", nil }
func (versioned) Requests() kspec.Requests                { return kspec.Requests{} }
func (versioned) Each(context.Context, schema.GroupKind, string, func([]byte) error) error {
	return nil
}

// Looks for other reasons do not put off the one that requirements need.
func TestServeWakesForRequirements(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	target := kspec.Target{Name: "prod", Interval: 10 * time.Minute, Requirements: kspec.Requirements{
		Kubernetes: kspec.KubernetesRules{MinVersion: "1.30"},
	}}
	next := kspec.DetectorFunc(func(context.Context, kspec.Target, kspec.Desired) (kspec.Report, error) { return kspec.Report{}, nil })
	readers := require.ReadersFunc(func(context.Context, kspec.Target) (require.Reader, error) { return versioned{}, nil })
	s := &server{wiring: &wiring{requirements: require.New(next, readers, func() time.Time { return now })}}
	if at := s.wake(target, now); !at.IsZero() {
		t.Errorf("before the first look: %s", at)
	}
	if _, err := s.requirements.Detect(t.Context(), target, kspec.Desired{}); err != nil {
		t.Fatal(err)
	}
	due := now.Add(target.Interval)
	if at := s.wake(target, now.Add(time.Minute)); !at.Equal(due) {
		t.Errorf("after a look: %s, want %s", at, due)
	}
	if at := s.wake(target, due); !at.IsZero() {
		t.Errorf("overdue, which the loop itself sees to: %s", at)
	}
	target.Activation = &kspec.Activation{Zone: "UTC", Outside: kspec.Audit, Periods: []kspec.Period{{Start: 12*time.Hour + 5*time.Minute, End: 13 * time.Hour}}}
	if at := s.wake(target, now); !at.Equal(now.Add(5 * time.Minute)) {
		t.Errorf("the policies begin to act earlier: %s", at)
	}
}
