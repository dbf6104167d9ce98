package kspec_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
)

// line is a Reconciler whose stages note that they ran. The stage named by fails
// fails.
type line struct {
	kspec.Reconciler

	calls  []string
	events []kspec.Event
	fails  string
	rep    kspec.Report
	out    kspec.Outcome
}

var errStage = errors.New("no")

func newLine(fails string) *line {
	l := &line{fails: fails}
	l.Now = func() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }
	l.Source = kspec.FetcherFunc(func(_ context.Context, t kspec.Target) (kspec.Tree, error) {
		return kspec.Tree{Revision: t.Revision}, l.call("source")
	})
	l.Renderer = kspec.RendererFunc(func(_ context.Context, _ kspec.Target, tree kspec.Tree) (kspec.Desired, error) {
		return kspec.Desired{Tree: tree}, l.call("render")
	})
	l.Verifier = kspec.VerifierFunc(func(context.Context, kspec.Target, kspec.Desired) ([]kspec.Finding, []kspec.Unknown, error) {
		return []kspec.Finding{typed(finding("image", kspec.Unsigned, kspec.Critical), kspec.TypeImage)}, []kspec.Unknown{{Reason: "registry is down"}}, l.call("verify")
	})
	l.Detector = kspec.DetectorFunc(func(_ context.Context, _ kspec.Target, want kspec.Desired) (kspec.Report, error) {
		rep := l.rep
		rep.Revision = want.Tree.Revision
		return rep, l.call("compare")
	})
	l.Remediator = kspec.RemediatorFunc(func(context.Context, kspec.Target, kspec.Desired, kspec.Report) (kspec.Outcome, error) {
		return l.out, l.call("remediate")
	})
	l.Notifier = kspec.NotifierFunc(func(_ context.Context, e kspec.Event) error {
		l.events = append(l.events, e)
		if l.fails == "notify" {
			return errStage
		}
		return nil
	})
	return l
}

func (l *line) call(stage string) error {
	l.calls = append(l.calls, stage)
	if stage == l.fails {
		return errStage
	}
	return nil
}

func TestReconcileCallsTheStagesInOrder(t *testing.T) {
	l := newLine("")
	l.rep = kspec.Report{Findings: []kspec.Finding{finding("web", kspec.Changed, kspec.Medium)}}
	l.out = kspec.Outcome{Action: kspec.ActionOpened, Number: 1}
	rev := kspec.Revision{Branch: "main", Commit: "4f0c"}
	rep, out, err := l.Reconcile(t.Context(), kspec.Target{Name: "prod", Revision: rev})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"source", "render", "verify", "compare", "remediate"}, l.calls); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
	if rep.Revision != rev || len(rep.Findings) != 2 || len(rep.Unknown) != 1 || out.Action != kspec.ActionOpened {
		t.Errorf("report %+v, outcome %+v: want what verify and compare found, in one report", rep, out)
	}
	want := []string{
		"DriftDetected firing warning", "ImageUnsigned firing critical", "RemediationOpened firing info",
		"SourceFailed resolved info", "ClusterUnreachable resolved info", "RemediationFailed resolved info",
	}
	if diff := cmp.Diff(want, summary(l.events)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestReconcileStopsAtTheStageThatFails(t *testing.T) {
	stages := []string{"source", "render", "verify", "compare", "remediate"}
	for i, stage := range stages {
		l := newLine(stage)
		_, _, err := l.Reconcile(t.Context(), kspec.Target{Name: "prod", Cluster: "eu"})
		failed, ok := errors.AsType[*kspec.StageError](err)
		if !ok || string(failed.Stage) != stage || failed.Target != "prod" || !errors.Is(err, errStage) {
			t.Errorf("%s: got %v", stage, err)
		}
		if diff := cmp.Diff(stages[:i+1], l.calls); diff != "" {
			t.Errorf("%s: stages (-want +got):\n%s", stage, diff)
		}
		want := map[string]string{
			"source": "SourceFailed firing warning", "render": "SourceFailed firing warning", "verify": "SourceFailed firing warning",
			"compare": "ClusterUnreachable firing warning", "remediate": "RemediationFailed firing warning",
		}[stage]
		if !slices.Contains(summary(l.events), want) {
			t.Errorf("%s: told %v, want %s", stage, summary(l.events), want)
		}
		for _, e := range l.events {
			if stage != "remediate" && e.Status == kspec.Resolved {
				t.Errorf("%s: a look that failed resolved %s", stage, e.Type)
			}
			if e.Status == kspec.Firing && e.Level == kspec.Warning && (e.Cluster != "eu" || !strings.Contains(e.Description, "no")) {
				t.Errorf("%s: the event says %+v", stage, e)
			}
		}
	}
}

// Rendering may need the cluster; then that is what cannot be reached.
func TestReconcileTellsOfTheStageThatAnErrorNames(t *testing.T) {
	l := newLine("")
	l.Renderer = kspec.RendererFunc(func(context.Context, kspec.Target, kspec.Tree) (kspec.Desired, error) {
		return kspec.Desired{}, fmt.Errorf("ask: %w", &kspec.StageError{Stage: kspec.StageCompare, Target: "prod", Err: errStage})
	})
	if _, _, err := l.Reconcile(t.Context(), kspec.Target{Name: "prod"}); !errors.Is(err, errStage) || strings.Contains(err.Error(), "render") {
		t.Errorf("got %v", err)
	}
	if got := summary(l.events); !slices.Equal(got, []string{"ClusterUnreachable firing warning"}) {
		t.Errorf("told %v", got)
	}
}

func TestReconcileGoesOnTellingWhenANotifierFails(t *testing.T) {
	l := newLine("notify")
	l.out = kspec.Outcome{Action: kspec.ActionNone}
	_, out, err := l.Reconcile(t.Context(), kspec.Target{Name: "prod"})
	failed, ok := errors.AsType[*kspec.StageError](err)
	if !ok || failed.Stage != kspec.StageNotify || out.Action != kspec.ActionNone {
		t.Errorf("got %v and %+v, want the outcome beside an error of notify", err, out)
	}
	if len(l.events) < 4 {
		t.Errorf("told %v only", summary(l.events))
	}
}

func TestLookTellsNobodyAndChangesNothing(t *testing.T) {
	l := newLine("")
	l.Remediator, l.Notifier = nil, nil
	if _, rep, err := l.Look(t.Context(), kspec.Target{Name: "prod"}); err != nil || len(rep.Findings) != 1 {
		t.Errorf("got %+v, %v", rep, err)
	}
}

func TestTheReportSaysHowItsTargetIsTreatedAndWhatWasAssumed(t *testing.T) {
	l := newLine("")
	l.rep.Notes = []string{"a"}
	l.Renderer = kspec.RendererFunc(func(context.Context, kspec.Target, kspec.Tree) (kspec.Desired, error) {
		return kspec.Desired{Assumed: []string{"b"}}, nil
	})
	target := kspec.Target{Name: "prod", Notes: []string{"c"}, InForce: &kspec.InForce{Mode: kspec.Audit}}
	_, rep, err := l.Look(t.Context(), target)
	if diff := cmp.Diff([]string{"a", "b", "c"}, rep.Notes); diff != "" || err != nil || rep.InForce != target.InForce {
		t.Errorf("%v, in force %+v, notes (-want +got):\n%s", err, rep.InForce, diff)
	}
}

func TestTheReportSaysThatGitHasOlderPolicies(t *testing.T) {
	l := newLine("")
	at := func(name string, verdict kspec.Verdict, s kspec.Source, fields ...kspec.Field) kspec.Finding {
		f := finding(name, verdict, kspec.High)
		f.Source, f.Fields, f.Hint = s, fields, "apply"
		return f
	}
	l.rep.Findings = []kspec.Finding{
		at("gone", kspec.ExtraObject, kspec.Source{Overlay: "policies"}),
		at("left", kspec.ExtraObject, kspec.Source{Overlay: "app"}),
		at("new", kspec.Missing, kspec.Source{File: "policies/new.yaml"}),
		at("old", kspec.Changed, kspec.Source{File: "policies/old.yaml"}),
		at("same", kspec.Changed, kspec.Source{File: "policies/same.yaml"}),
		at("weakened", kspec.Changed, kspec.Source{File: "policies/old.yaml"}, kspec.Field{ByPerson: true}),
	}
	delivered := fstest.MapFS{"policies/old.yaml": {Data: []byte("deny")}, "policies/same.yaml": {Data: []byte("same")}}
	delivery := []kspec.File{
		{Path: "policies/new.yaml", Content: []byte("new")},
		{Path: "policies/old.yaml", Content: []byte("warn")},
		{Path: "policies/same.yaml", Content: []byte("same")},
	}
	l.Renderer = kspec.RendererFunc(func(context.Context, kspec.Target, kspec.Tree) (kspec.Desired, error) {
		return kspec.Desired{Tree: kspec.Tree{FS: delivered}, Delivery: delivery}, nil
	})
	behind := func() (names []string) {
		_, rep, err := l.Look(t.Context(), kspec.Target{Name: "prod", Delivery: kspec.Delivery{Path: "policies"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range rep.Findings {
			if strings.Contains(f.Hint, "Git has older policies under policies") {
				names = append(names, f.Object.Name)
			}
		}
		return names
	}
	if diff := cmp.Diff([]string{"gone", "new", "old"}, behind()); diff != "" {
		t.Errorf("findings that wait for Git (-want +got):\n%s", diff)
	}
	delivery = delivery[2:]
	if got := behind(); len(got) > 0 {
		t.Errorf("Git has the policies of now, and %v are said to wait for it", got)
	}
}

func TestReconcileStampsFailuresByItsClock(t *testing.T) {
	l := newLine("source")
	_, _, _ = l.Reconcile(t.Context(), kspec.Target{Name: "prod"})
	if !l.events[0].Time.Equal(l.Now()) {
		t.Errorf("stamped %s", l.events[0].Time)
	}
	l = newLine("source")
	l.Now = nil
	_, _, _ = l.Reconcile(t.Context(), kspec.Target{Name: "prod"})
	if time.Since(l.events[0].Time) > time.Minute {
		t.Errorf("stamped %s", l.events[0].Time)
	}
}

func TestReconcileBlamesNobodyWhenItIsToldToStop(t *testing.T) {
	for _, stage := range []string{"source", "compare", "remediate"} {
		l := newLine(stage)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := l.Reconcile(ctx, kspec.Target{Name: "prod"}); !errors.Is(err, errStage) || len(l.events) > 0 {
			t.Errorf("%s: error %v, events %v", stage, err, summary(l.events))
		}
	}
}

func TestLookAsksTheWaiverAboutAllThatWasFound(t *testing.T) {
	l := newLine("")
	l.rep = kspec.Report{Findings: []kspec.Finding{finding("web", kspec.Violation, kspec.Medium)}}
	name := "legacy"
	l.Waiver = waiver(func(rep kspec.Report) (kspec.Report, error) {
		for i := range rep.Findings {
			rep.Findings[i].WaivedBy = &name
		}
		return rep, l.call("waive")
	})
	_, rep, err := l.Look(t.Context(), kspec.Target{Name: "prod"})
	if err != nil || len(rep.Findings) != 2 || len(rep.Open()) != 0 {
		t.Errorf("got %+v, %v: want what compare and verify found, waived", rep, err)
	}
	l.fails = "waive"
	_, _, err = l.Look(t.Context(), kspec.Target{Name: "prod"})
	if failed, ok := errors.AsType[*kspec.StageError](err); !ok || !errors.Is(failed, errStage) {
		t.Errorf("got %v: a report whose exemptions cannot be read must not pass", err)
	}
}

type waiver func(kspec.Report) (kspec.Report, error)

func (w waiver) Waive(_ kspec.Target, _ kspec.Desired, rep kspec.Report) (kspec.Report, error) {
	return w(rep)
}
