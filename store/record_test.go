package store_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/store"
)

// prod is a target whose Deployments kustomize-controller applies.
func prod() kspec.Target {
	return kspec.Target{
		Name:     "prod",
		Overlays: []kspec.Overlay{{Path: "apps/prod", FieldManager: "kustomize-controller"}},
		Delivery: kspec.Delivery{FieldManager: "flux"},
	}
}

// look is a report of a look that began some minutes after noon, at a commit.
func look(minutes int, commit string, findings ...kspec.Finding) kspec.Report {
	rep := kspec.Report{
		Target: "prod", Cluster: "eu", Revision: kspec.Revision{Branch: "main", Commit: commit},
		StartedAt: noon.Add(time.Duration(minutes) * time.Minute), Duration: time.Second,
	}
	return rep.With(findings...)
}

func unsettled(rep kspec.Report) kspec.Report {
	rep.Unknown = []kspec.Unknown{{Reason: "the API server was busy"}}
	return rep
}

func record(tb testing.TB, s *store.Store, reports ...kspec.Report) kspec.Report {
	tb.Helper()
	var last kspec.Report
	for _, rep := range reports {
		var err error
		if last, err = s.Record(tb.Context(), prod(), rep); err != nil {
			tb.Fatal(err)
		}
	}
	return last
}

func episodes(tb testing.TB, s *store.Store, f store.Filter) []kspec.Episode {
	tb.Helper()
	all, err := s.Episodes(tb.Context(), f)
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

// only returns the one episode that there is.
func only(tb testing.TB, s *store.Store) kspec.Episode {
	tb.Helper()
	all := episodes(tb, s, store.Filter{})
	if len(all) != 1 {
		tb.Fatalf("%d episodes, want 1: %+v", len(all), all)
	}
	return all[0]
}

func TestAnEpisodeLastsFromTheFirstSightToTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	f := drift("web", 5)
	rep := record(t, s, look(0, "c1"), look(1, "c1", f), look(2, "c1", f))
	if got := rep.Findings[0]; !got.FirstSeen.Equal(noon.Add(time.Minute)) || got.Seen != 2 {
		t.Errorf("first seen %s, seen %d; want a minute past noon and 2", got.FirstSeen, got.Seen)
	}
	if diff := cmp.Diff(f.Fingerprint, rep.Findings[0].Fingerprint); diff != "" {
		t.Error("the fingerprint changed", diff)
	}
	shut(t, s)

	s = open(t, path) // as after a restart
	rep = record(t, s, unsettled(look(3, "c1")), look(4, "c1", f))
	if got := rep.Findings[0]; !got.FirstSeen.Equal(noon.Add(time.Minute)) || got.Seen != 3 {
		t.Errorf("first seen %s, seen %d; want a minute past noon and 3: a look that saw nothing because it could not ends no row", got.FirstSeen, got.Seen)
	}
	record(t, s, look(5, "c1"))
	want := kspec.Episode{
		Target: "prod", Cluster: "eu", Revision: "main@sha1:c1", Finding: f,
		Actor:     kspec.Actor{Manager: "kubectl-edit", Operation: "Update", ByPerson: true},
		FirstSeen: noon.Add(time.Minute), LastSeen: noon.Add(4 * time.Minute), Seen: 3,
		ClosedAt: noon.Add(5 * time.Minute), ClosedWhy: kspec.EndGone,
	}
	if diff := cmp.Diff(want, only(t, s)); diff != "" {
		t.Errorf("episode (-want +got):\n%s", diff)
	}
}

func TestWhatComesBackWithinADayIsTheSameEpisode(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	f := drift("web", 5)
	day := 24 * 60
	rep := record(t, s, look(0, "c1", f), look(1, "c1"), look(1+day, "c1", f))
	if got := rep.Findings[0]; got.Seen != 1 || !got.FirstSeen.Equal(noon.AddDate(0, 0, 1).Add(time.Minute)) {
		t.Errorf("seen %d since %s; want the row of looks to begin anew", got.Seen, got.FirstSeen)
	}
	if e := only(t, s); e.Flaps != 1 || e.Seen != 2 || !e.FirstSeen.Equal(noon) || !e.Open() {
		t.Errorf("got %+v, want one open episode since noon that came back once", e)
	}
	record(t, s, look(2+day, "c1"), look(3+2*day, "c1", f))
	all := episodes(t, s, store.Filter{})
	if len(all) != 2 || all[0].Flaps != 0 || all[0].Seen != 1 || !all[0].Open() || all[1].Open() {
		t.Errorf("got %+v, want a new episode after more than a day", all)
	}
}

func TestARecordedReportIsRecordedOnce(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	f, g := drift("web", 5), drift("db", 7)
	first := record(t, s, look(1, "c1", f))
	if diff := cmp.Diff(first, record(t, s, look(1, "c1", f))); diff != "" {
		t.Errorf("the second time (-first +second):\n%s", diff)
	}
	record(t, s, look(5, "c1", f))
	// A look that began before the last one and ended after it is overtaken.
	rep := record(t, s, look(4, "c1", g))
	if rep.Findings[0].Seen != 0 || !rep.Findings[0].FirstSeen.IsZero() {
		t.Errorf("an overtaken report was recorded: %+v", rep.Findings[0])
	}
	if e := only(t, s); e.Seen != 2 || !e.Open() {
		t.Errorf("got %+v, want an open episode seen twice", e)
	}
	// So far in the past, it is the clock that was set back.
	record(t, s, look(-120, "c1", f))
	if e := only(t, s); e.Seen != 3 || !e.FirstSeen.Equal(noon.Add(-2*time.Hour)) || e.LastSeen.Before(e.FirstSeen) {
		t.Errorf("got %+v, want the look to count after the clock was set back", e)
	}
}

func TestWhyAnEpisodeIsOver(t *testing.T) {
	f := drift("web", 5)
	waiver := "holidays"
	waived := f
	waived.WaivedBy = &waiver
	otherLive, otherGit := drift("web", 7), drift("web", 5)
	otherGit.Fields = slices.Clone(otherGit.Fields)
	otherGit.Fields[0].Desired = int64(4)
	otherGit = otherGit.Fingerprinted()
	worktree := func(rep kspec.Report) kspec.Report { rep.Revision = kspec.Revision{}; return rep }
	for name, c := range map[string]struct {
		then kspec.Report
		want kspec.End
	}{
		"gone":                              {look(1, "c1"), kspec.EndGone},
		"gone, and Git moved":               {look(1, "c2"), kspec.EndGitMoved},
		"gone from a worktree":              {worktree(look(1, "")), kspec.EndGitMoved},
		"waived":                            {look(1, "c2", waived), kspec.EndWaived},
		"another value in the cluster":      {look(1, "c2", otherLive), kspec.EndSuperseded},
		"another value in Git":              {look(1, "c2", otherGit), kspec.EndGitChanged},
		"another object":                    {look(1, "c1", drift("db", 5)), kspec.EndGone},
		"still there":                       {look(1, "c2", f), ""},
		"not found by a look with failures": {unsettled(look(1, "c2", otherLive)), ""},
		"waived in a look with failures":    {unsettled(look(1, "c2", waived)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, filepath.Join(t.TempDir(), "state.db"))
			record(t, s, look(0, "c1", f), c.then)
			all := episodes(t, s, store.Filter{})
			i := slices.IndexFunc(all, func(e kspec.Episode) bool { return e.Finding.Fingerprint == f.Fingerprint })
			if got := all[i]; got.ClosedWhy != c.want || got.Open() != (c.want == "") {
				t.Errorf("closed %v because %q, want %q", !got.Open(), got.ClosedWhy, c.want)
			}
		})
	}
}

// A lasting Unknown, such as a SOPS file, keeps nothing open.
func TestALastingUnknownEndsEpisodes(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	rep := look(1, "c1")
	rep.Unknown = []kspec.Unknown{{Reason: "encrypted", Lasting: true}}
	record(t, s, look(0, "c1", drift("web", 5)), rep)
	if only(t, s).Open() {
		t.Error("the episode is open, want it closed by a settled look")
	}
}

func TestTargetsAndClustersAreKeptApart(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	f := drift("web", 5)
	inUS := func(rep kspec.Report) kspec.Report { rep.Cluster = "us"; return rep }
	record(t, s, look(0, "c1", f), inUS(look(0, "c1", f)), inUS(look(1, "c1")))
	staging := prod()
	staging.Name = "staging"
	if _, err := s.Record(t.Context(), staging, look(2, "c1")); err != nil {
		t.Fatal(err)
	}
	open := episodes(t, s, store.Filter{State: store.IsOpen})
	if len(open) != 1 || open[0].Cluster != "eu" {
		t.Fatalf("open are %+v, want the one in eu: the others were not about it", open)
	}
	// A ClusterSpec that names its cluster is about no other any more.
	moved := prod()
	moved.Cluster = "us"
	if _, err := s.Record(t.Context(), moved, inUS(look(3, "c2"))); err != nil {
		t.Fatal(err)
	}
	closed := episodes(t, s, store.Filter{State: store.IsClosed})
	if len(closed) != 2 || !slices.ContainsFunc(closed, func(e kspec.Episode) bool { return e.ClosedWhy == kspec.EndClusterChanged && e.Cluster == "eu" }) {
		t.Errorf("closed are %+v, want the one in eu because the spec is about another cluster", closed)
	}
}

func TestLongFindingsAreKeptShort(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	f := drift("web", 5)
	f.Fields[0].Live = strings.Repeat("x", 1<<20)
	for i := range 200 {
		f.Fields = append(f.Fields, kspec.Field{Path: fmt.Sprintf("/data/%d", i), Live: "x"})
	}
	f = f.Fingerprinted()
	rep := record(t, s, look(0, "c1", f), look(1, "c1", f))
	if got := rep.Findings[0]; got.Seen != 2 || got.Fields[0].Live != f.Fields[0].Live || len(got.Fields) != 201 {
		t.Error("what is kept short shows in the report")
	}
	got := only(t, s).Finding
	if got.Fields[0].Live != "[1048578 bytes of JSON]" || len(got.Fields) != 100 {
		t.Errorf("kept %d fields, and of the long value %.60q", len(got.Fields), got.Fields[0].Live)
	}
	record(t, s, look(2, "c1"))
	if e := only(t, s); e.ClosedWhy != kspec.EndGone {
		t.Errorf("closed because %q, want gone", e.ClosedWhy)
	}
}

func TestEpisodesAreFiltered(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	grave := drift("api", 5)
	grave.Severity = kspec.Critical
	missing := kspec.Finding{Verdict: kspec.Missing, Severity: kspec.High, Message: "gone", Object: kspec.ObjectID{Version: "v1", Kind: "Namespace", Name: "shop"}}
	record(t, s, look(0, "c1", drift("web", 5)), look(60, "c1", grave), look(120, "c1", grave, missing))
	for name, c := range map[string]struct {
		filter store.Filter
		want   string
	}{
		"all, the newest first":   {store.Filter{}, "shop api web"},
		"open":                    {store.Filter{State: store.IsOpen}, "shop api"},
		"closed":                  {store.Filter{State: store.IsClosed}, "web"},
		"since it was closed":     {store.Filter{Since: noon.Add(time.Hour)}, "shop api web"},
		"since after that":        {store.Filter{Since: noon.Add(61 * time.Minute)}, "shop api"},
		"severity":                {store.Filter{Severity: kspec.High}, "shop api"},
		"the gravest":             {store.Filter{Severity: kspec.Critical}, "api"},
		"kind and name":           {store.Filter{Object: "deployment/WEB"}, "web"},
		"kind, namespace, name":   {store.Filter{Object: "Deployment/shop/web"}, "web"},
		"namespace and name":      {store.Filter{Object: "shop/"}, "api web"},
		"group":                   {store.Filter{Object: "Deployment.apps"}, "api web"},
		"cluster-scoped":          {store.Filter{Object: "namespace/shop"}, "shop"},
		"another target":          {store.Filter{Targets: []string{"staging"}}, ""},
		"one of several targets":  {store.Filter{Targets: []string{"staging", "prod"}, State: store.IsClosed}, "web"},
		"none fight":              {store.Filter{Fighting: true}, ""},
		"nothing has such a name": {store.Filter{Object: "nowhere"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var names []string
			for _, e := range episodes(t, s, c.filter) {
				names = append(names, e.Finding.Object.Name)
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// For random sequences of looks the store says what a model says that keeps
// the whole past and has no cleverness.
func TestRandomLooksAgreeWithAModel(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		path := filepath.Join(t.TempDir(), "state.db")
		s := open(t, path)
		var past []seen
		at := 0
		for range 60 {
			at += 1 + random.IntN(3)
			if random.IntN(15) == 0 {
				at += 20*60 + random.IntN(8*60) // around a day
			}
			rep := look(at, fmt.Sprintf("c%d", random.IntN(2)))
			now := seen{at: at, settled: random.IntN(4) > 0, found: map[string]bool{}}
			for i := range 4 {
				if random.IntN(3) > 0 {
					f := drift(fmt.Sprintf("app-%d", i), 5)
					rep = rep.With(f)
					now.found[f.Fingerprint] = true
				}
			}
			if !now.settled {
				rep = unsettled(rep)
			}
			past = append(past, now)
			if random.IntN(10) == 0 {
				shut(t, s)
				s = open(t, path)
			}
			got := record(t, s, rep)
			if random.IntN(5) == 0 {
				got = record(t, s, rep)
			}
			for _, f := range got.Findings {
				m := model(past, f.Fingerprint)
				last := m[len(m)-1]
				if want := noon.Add(time.Duration(last.rowSince) * time.Minute); f.Seen != last.row || !f.FirstSeen.Equal(want) {
					t.Fatalf("seed %d, minute %d, %s: seen %d since %s, want %d since %s", seed, at, f.Object, f.Seen, f.FirstSeen, last.row, want)
				}
			}
		}
		want, got := map[string]string{}, map[string]string{}
		for i := range 4 {
			f := drift(fmt.Sprintf("app-%d", i), 5)
			for n, m := range model(past, f.Fingerprint) {
				want[fmt.Sprintf("%s/%d", f.Object.Name, n)] = fmt.Sprintf("%d-%d seen %d flaps %d closed %d", m.first, m.last, m.seen, m.flaps, m.closed)
			}
		}
		count := map[string]int{}
		for _, e := range slices.Backward(episodes(t, s, store.Filter{})) {
			closed := -1
			if !e.Open() {
				closed = minute(e.ClosedAt)
			}
			name := e.Finding.Object.Name
			got[fmt.Sprintf("%s/%d", name, count[name])] = fmt.Sprintf("%d-%d seen %d flaps %d closed %d", minute(e.FirstSeen), minute(e.LastSeen), e.Seen, e.Flaps, closed)
			count[name]++
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: episodes (-model +store):\n%s", seed, diff)
		}
	}
}

func minute(t time.Time) int { return int(t.Sub(noon) / time.Minute) }

// seen is what one look saw, for the model.
type seen struct {
	at      int
	settled bool
	found   map[string]bool
}

// told is an episode as the model tells it; closed is -1 for never.
type told struct {
	first, last, seen, flaps, closed int
	rowSince, row                    int
}

// model goes through the whole past for one finding.
func model(past []seen, fingerprint string) []told {
	var all []told
	for _, look := range past {
		n := len(all) - 1
		switch found := look.found[fingerprint]; {
		case found && n >= 0 && all[n].closed < 0:
			all[n].last, all[n].seen, all[n].row = look.at, all[n].seen+1, all[n].row+1
		case found && n >= 0 && look.at-all[n].closed <= 24*60:
			e := &all[n]
			e.last, e.seen, e.flaps, e.closed, e.rowSince, e.row = look.at, e.seen+1, e.flaps+1, -1, look.at, 1
		case found:
			all = append(all, told{first: look.at, last: look.at, seen: 1, closed: -1, rowSince: look.at, row: 1})
		case look.settled && n >= 0 && all[n].closed < 0:
			all[n].closed = look.at
		}
	}
	return all
}

func BenchmarkRecord1000Findings(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "state.db"))
	var findings []kspec.Finding
	for i := range 1000 {
		findings = append(findings, drift(fmt.Sprintf("app-%04d", i), 5))
	}
	b.ReportAllocs()
	minutes := 0
	for b.Loop() {
		minutes++
		record(b, s, look(minutes, "c1", findings...))
	}
}
