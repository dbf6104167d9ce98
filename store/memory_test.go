package store_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
)

func decisions(n int) []kspec.Decision {
	all := make([]kspec.Decision, n)
	for i := range all {
		d := &all[i]
		d.Object = kspec.ObjectID{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: fmt.Sprintf("team-%03d", i%100), Name: fmt.Sprintf("service-%05d", i)}
		d.Want[0], d.Want[1], d.Epoch[15] = byte(i), byte(i>>8), 7
		d.UID = fmt.Sprintf("3f0c2a4e-9d1b-4a53-8f6e-%012d", i)
		d.ResourceVersion = fmt.Sprint(100000 + i)
		d.At = noon.Add(time.Duration(i) * time.Second)
	}
	return all
}

func sortDecisions(all []kspec.Decision) []kspec.Decision {
	slices.SortFunc(all, func(a, b kspec.Decision) int { return a.Object.Compare(b.Object) })
	return all
}

func TestDecisionsComeBackAsTheyWere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	want := decisions(250)
	want[3].Suppressed = []int{1, kspec.SuppressedByEngine}
	want[4].Unknown = "encrypted with SOPS"
	want[5].Findings = []kspec.Finding{drift("web", 5)}
	want[6].Findings = []kspec.Finding{{
		Object: want[6].Object, Verdict: kspec.Changed, Fields: []kspec.Field{
			{Path: "/a", Desired: int64(1) << 60, Live: 0.5},
			{Path: "/b", Desired: map[string]any{"n": []any{int64(1), "x", nil, true}}},
		},
	}}
	s := open(t, path)
	if err := s.Remember(t.Context(), "prod", want, nil); err != nil {
		t.Fatal(err)
	}
	shut(t, s)

	s = open(t, path)
	got, err := s.Recall(t.Context(), "prod")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sortDecisions(want), sortDecisions(got)); diff != "" {
		t.Errorf("recalled (-want +got):\n%s", diff)
	}
	if other, err := s.Recall(t.Context(), "staging"); err != nil || len(other) != 0 {
		t.Errorf("another target: %v, %v; want nothing", other, err)
	}
}

func TestDecisionsAreReplacedAndDropped(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	all := decisions(5)
	changed := all[1]
	changed.ResourceVersion = "later"
	for _, step := range []struct {
		changed []kspec.Decision
		gone    []kspec.ObjectID
	}{
		{all, nil},
		{[]kspec.Decision{changed}, []kspec.ObjectID{all[0].Object, {Kind: "Never"}}},
		{nil, []kspec.ObjectID{all[4].Object}},
		{nil, nil},
	} {
		if err := s.Remember(t.Context(), "prod", step.changed, step.gone); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Recall(t.Context(), "prod")
	if err != nil {
		t.Fatal(err)
	}
	want := []kspec.Decision{changed, all[2], all[3]}
	if diff := cmp.Diff(sortDecisions(want), sortDecisions(got)); diff != "" {
		t.Errorf("recalled (-want +got):\n%s", diff)
	}
}

// What cannot be read is forgotten, and what could be taken for another object
// is not remembered.
func TestDecisionsThatCannotBeReadAreForgotten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	all := decisions(9)
	all[8].Object.Name = "a\nb"
	all[7].Findings = []kspec.Finding{drift("web", 5)}
	if err := s.Remember(t.Context(), "prod", all, nil); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for i, damage := range []string{
		"value = x''",
		"value = CAST(x'01' || substr(value, 2) AS BLOB)",
		"value = substr(value, 1, 20)",
		"value = substr(value, 1, 45)",
		"value = CAST(substr(value, 1, 33) || x'ffffffffffffffffffffff' AS BLOB)",
		"value = CAST(substr(value, 1, 33) || x'0000ffffffff0f' AS BLOB)",
		"object = 'Deployment'",
	} {
		key := fmt.Sprintf("apps\nv1\nDeployment\n%s\n%s", all[i].Object.Namespace, all[i].Object.Name)
		if res, err := db.ExecContext(t.Context(), "UPDATE decisions SET "+damage+" WHERE object = ?", key); err != nil {
			t.Fatal(damage, err)
		} else if n, _ := res.RowsAffected(); n != 1 {
			t.Fatalf("%s: %d rows", damage, n)
		}
	}
	if _, err := db.ExecContext(t.Context(), `UPDATE decisions SET value = substr(value, 1, length(value) - 5) WHERE object LIKE '%00007'`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	got, err := s.Recall(t.Context(), "prod")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) > 0 {
		t.Errorf("recalled %d decisions %v, want none that is damaged", len(got), got)
	}
}

func BenchmarkRecall10000(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "state.db"))
	if err := s.Remember(b.Context(), "prod", decisions(10000), nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		all, err := s.Recall(b.Context(), "prod")
		if err != nil || len(all) != 10000 {
			b.Fatal(len(all), err)
		}
	}
}

func BenchmarkRemember10000(b *testing.B) {
	all := decisions(10000)
	s := open(b, filepath.Join(b.TempDir(), "state.db"))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Remember(b.Context(), "prod", all, nil); err != nil {
			b.Fatal(err)
		}
	}
}
