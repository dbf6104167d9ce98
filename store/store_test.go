package store_test

import (
	"testing"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/store"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func open(tb testing.TB, path string) *store.Store {
	tb.Helper()
	s, err := store.Open(tb.Context(), path, store.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func shut(tb testing.TB, s *store.Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

// drift is a finding: somebody gave a Deployment another number of replicas.
func drift(name string, live int64) kspec.Finding {
	return kspec.Finding{
		Type: kspec.TypeConfiguration, Verdict: kspec.Changed, Severity: kspec.Medium,
		Object:   kspec.ObjectID{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "shop", Name: name},
		Message:  "1 field differs from Git",
		Hint:     "commit it, or let the engine apply Git again",
		Controls: []string{},
		Source:   kspec.Source{File: "web.yaml", Line: 1, Overlay: "apps/prod"},
		Fields: []kspec.Field{{
			Path: "/spec/replicas", KeyedPath: "/spec/replicas", Desired: int64(3), Live: live,
			Manager: "kubectl-edit", Operation: "Update", Time: noon.Add(-time.Minute), ByPerson: true,
		}},
	}.Fingerprinted()
}
