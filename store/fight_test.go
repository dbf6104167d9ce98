package store_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/store"
)

// by returns the finding as made by a manager who wrote a value.
func by(manager string, live int64) kspec.Finding {
	f := drift("web", live)
	f.Fields[0].Manager, f.Fields[0].ByPerson = manager, manager == "kubectl-edit"
	return f.Fingerprinted()
}

func TestFightsAreNoticed(t *testing.T) {
	// Every step is a look: what it found, or nothing.
	none := []kspec.Finding(nil)
	edit, scale := []kspec.Finding{by("kubectl-edit", 5)}, []kspec.Finding{by("scaler", 7)}
	for name, c := range map[string]struct {
		every int // minutes between looks
		looks [][]kspec.Finding
		want  *kspec.Fight
	}{
		"made, undone, made": {
			5, [][]kspec.Finding{edit, none, edit, none, edit}, nil,
		},
		"made four times": {
			5,
			[][]kspec.Finding{edit, none, edit, none, edit, none, edit},
			&kspec.Fight{Between: []string{"kubectl-edit", "kustomize-controller"}, Times: 3, Since: noon.Add(10 * time.Minute)},
		},
		"two managers take turns": {
			5,
			[][]kspec.Finding{edit, scale, edit, scale, edit},
			&kspec.Fight{Between: []string{"kubectl-edit", "scaler"}, Times: 3, Since: noon.Add(10 * time.Minute)},
		},
		"one manager writes other values each time": {
			5,
			[][]kspec.Finding{{by("scaler", 4)}, none, {by("scaler", 5)}, none, {by("scaler", 6)}, none, {by("scaler", 7)}},
			&kspec.Fight{Between: []string{"kustomize-controller", "scaler"}, Times: 3, Since: noon.Add(10 * time.Minute)},
		},
		"nobody knows who": {
			5,
			[][]kspec.Finding{{by("", 5)}, {by("", 6)}, {by("", 5)}, {by("", 6)}, {by("", 5)}},
			&kspec.Fight{Between: []string{}, Times: 3, Since: noon.Add(10 * time.Minute)},
		},
		"once a day": {
			12 * 60, [][]kspec.Finding{edit, none, edit, none, edit, none, edit, none, edit, none, edit}, nil,
		},
		"every two hours": {
			60,
			[][]kspec.Finding{edit, none, edit, none, edit, none, edit, none, edit},
			&kspec.Fight{Between: []string{"kubectl-edit", "kustomize-controller"}, Times: 4, Since: noon.Add(2 * time.Hour)},
		},
		"one manager goes on in one direction": {
			5, [][]kspec.Finding{{by("scaler", 4)}, {by("scaler", 5)}, {by("scaler", 6)}, {by("scaler", 7)}, {by("scaler", 8)}}, nil,
		},
		"the applier is late, as after each commit": {
			5, [][]kspec.Finding{
				{by("kustomize-controller", 1)},
				none,
				{by("kustomize-controller", 2)},
				none,
				{by("kustomize-controller", 3)},
				none,
				{by("kustomize-controller", 4)},
				none,
				{by("kustomize-controller", 5)},
			}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, filepath.Join(t.TempDir(), "state.db"))
			var rep kspec.Report
			for i, found := range c.looks {
				rep = record(t, s, look(i*c.every, "c1", found...))
			}
			newest := episodes(t, s, store.Filter{State: store.IsOpen})[0]
			if diff := cmp.Diff(c.want, newest.Fight); diff != "" {
				t.Errorf("fight (-want +got):\n%s", diff)
			}
			if got := len(episodes(t, s, store.Filter{Fighting: true, State: store.IsOpen})); (got == 1) != (c.want != nil) {
				t.Errorf("%d episodes are fighting", got)
			}
			hint, plain := rep.Findings[0].Hint, drift("web", 5).Hint
			if c.want == nil && hint != plain {
				t.Errorf("hint %q, want it as it was", hint)
			}
			if c.want != nil && hint != c.want.String()+"; "+plain {
				t.Errorf("hint %q, want the fight before what it was", hint)
			}
		})
	}
}

// A controller that writes the status again and again, and so bumps the time
// of its managedFields entry, makes no fight: nothing is found, or the same as
// before.
func TestStatusWritesAreNoFight(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	for i := range 200 {
		f := drift("web", 5)
		f.Fields[0].Time = noon.Add(time.Duration(i) * time.Second)
		f.Fields[0].Subresource = []string{"", "status"}[i%2]
		record(t, s, look(i, "c1", f))
	}
	for i := range 50 {
		record(t, s, look(200+i, "c1"))
	}
	if e := only(t, s); e.Fight != nil || e.Flaps != 0 || e.Seen != 200 {
		t.Errorf("got %+v, want 200 sights of one drift and no fight", e)
	}
}

// What an outage hides is not undone.
func TestLooksThatFailAreNoFight(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	for i := range 20 {
		record(t, s, look(2*i, "c1", drift("web", 5)), unsettled(look(2*i+1, "c1")))
	}
	if e := only(t, s); e.Fight != nil || e.Flaps != 0 {
		t.Errorf("got %+v, want no fight", e)
	}
}

func TestAFightCoolsDown(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	edit := by("kubectl-edit", 5)
	for i := range 10 {
		record(t, s, look(2*i, "c1"), look(2*i+1, "c1", edit))
	}
	if only(t, s).Fight == nil {
		t.Fatal("no fight, want one")
	}
	rep := record(t, s, look(24*60, "c1", edit))
	if e := only(t, s); e.Fight != nil || strings.Contains(rep.Findings[0].Hint, "overwriting") {
		t.Errorf("%+v a day later, want the fight to be over", e.Fight)
	}
	// The next one is counted anew.
	for i := range 6 {
		record(t, s, look(30*60+2*i, "c1"), look(30*60+2*i+1, "c1", edit))
	}
	if e := only(t, s); e.Fight == nil || e.Fight.Times != 6 {
		t.Errorf("got %+v, want 6 times since the new fight began", e.Fight)
	}
}

// An object that is deleted again and again is fought about, too; signatures
// and requirements are not.
func TestWhatIsFoughtAbout(t *testing.T) {
	for verdict, want := range map[kspec.Verdict]bool{
		kspec.Missing: true, kspec.ExtraObject: true, kspec.Unsigned: false, kspec.Violation: false,
	} {
		s := open(t, filepath.Join(t.TempDir(), "state.db"))
		f := kspec.Finding{Verdict: verdict, Severity: kspec.High, Message: "wrong", Object: kspec.ObjectID{Version: "v1", Kind: "ConfigMap", Name: "a"}}
		for i := range 5 {
			record(t, s, look(2*i, "c1", f), look(2*i+1, "c1"))
		}
		e := only(t, s)
		if got := e.Fight != nil; got != want || e.Flaps != 4 {
			t.Errorf("%s: fight %v after %d flaps, want %v after 4", verdict, e.Fight, e.Flaps, want)
		}
		if want && e.Fight.String() != "flux keeps overwriting it: 4 times since 2026-11-20T12:02:00Z" {
			t.Errorf("%s: %q", verdict, e.Fight)
		}
	}
}
