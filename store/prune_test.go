package store_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/store"
)

func TestPruneRemovesWhatIsOver(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	record(t, s,
		look(0, "c1", drift("old", 5), drift("lasting", 5)),
		look(10, "c1", drift("lasting", 5), drift("recent", 5)),
		look(20, "c1", drift("lasting", 5)))
	if err := s.Remember(t.Context(), "prod", decisions(3), nil); err != nil {
		t.Fatal(err)
	}
	removed, err := s.Prune(t.Context(), noon.Add(15*time.Minute), noon.Add(time.Hour))
	if err != nil || removed != 1 {
		t.Fatalf("removed %d, %v; want 1", removed, err)
	}
	if got := objects(episodes(t, s, store.Filter{})); !slices.Equal(got, []string{"recent", "lasting"}) {
		t.Errorf("kept %v, want what is open or ended later", got)
	}
	rep := record(t, s, look(30, "c1", drift("lasting", 5)))
	if rep.Findings[0].Seen != 4 {
		t.Errorf("seen %d, want 4: pruning forgot an open episode", rep.Findings[0].Seen)
	}
}

func TestPruneGivesUpTargetsThatNobodyLooksAt(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	record(t, s, look(0, "c1", drift("web", 5)))
	if err := s.Remember(t.Context(), "prod", decisions(3), nil); err != nil {
		t.Fatal(err)
	}
	now := noon.AddDate(0, 0, 100)
	if _, err := s.Prune(t.Context(), noon.AddDate(0, 0, 10), now); err != nil {
		t.Fatal(err)
	}
	if e := only(t, s); e.ClosedWhy != kspec.EndAbandoned || !e.ClosedAt.Equal(now) {
		t.Errorf("got %+v, want it closed as abandoned", e)
	}
	if left, err := s.Recall(t.Context(), "prod"); err != nil || len(left) != 0 {
		t.Errorf("%d decisions are left, %v", len(left), err)
	}
	if removed, err := s.Prune(t.Context(), now.AddDate(0, 0, 1), now); err != nil || removed != 1 {
		t.Errorf("removed %d, %v; want the abandoned episode", removed, err)
	}
	if rep := record(t, s, look(1, "c1", drift("web", 5))); rep.Findings[0].Seen != 1 {
		t.Errorf("seen %d, want everything forgotten", rep.Findings[0].Seen)
	}
}

func TestForgetEndsWhatASpecThatIsGoneHad(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	record(t, s, look(0, "c1", drift("web", 5)))
	other := prod()
	other.Name = "staging"
	if _, err := s.Record(t.Context(), other, look(0, "c1", drift("web", 5))); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"prod", "staging"} {
		if err := s.Remember(t.Context(), target, decisions(3), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Forget(t.Context(), "prod", noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	closed := episodes(t, s, store.Filter{State: store.IsClosed})
	if len(closed) != 1 || closed[0].Target != "prod" || closed[0].ClosedWhy != kspec.EndSpecRemoved || !closed[0].ClosedAt.Equal(noon.Add(time.Hour)) {
		t.Errorf("closed are %+v, want that of prod", closed)
	}
	for target, want := range map[string]int{"prod": 0, "staging": 3} {
		if left, err := s.Recall(t.Context(), target); err != nil || len(left) != want {
			t.Errorf("%s: %d decisions are left, %v; want %d", target, len(left), err, want)
		}
	}
}

func objects(all []kspec.Episode) []string {
	var names []string
	for _, e := range all {
		names = append(names, e.Finding.Object.Name)
	}
	return names
}
