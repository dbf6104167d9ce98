package kspec_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
)

func TestRevisionString(t *testing.T) {
	for want, r := range map[string]kspec.Revision{
		"worktree":       {},
		"sha1:4f0c":      {Commit: "4f0c"},
		"main@sha1:4f0c": {Branch: "main", Commit: "4f0c"},
	} {
		if r.String() != want {
			t.Errorf("%+v prints as %s, want %s", r, r, want)
		}
	}
}

func TestObjectID(t *testing.T) {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"namespace": "web", "name": "front"},
	}}
	id := kspec.Object{Unstructured: u}.ID()
	if want := (kspec.ObjectID{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "web", Name: "front"}); id != want {
		t.Errorf("got %+v, want %+v", id, want)
	}
	if id.GVK() != u.GroupVersionKind() {
		t.Errorf("GVK is %s", id.GVK())
	}
	for want, id := range map[string]kspec.ObjectID{
		"Deployment.apps web/front":                  id,
		"Namespace web":                              {Version: "v1", Kind: "Namespace", Name: "web"},
		"ClusterRole.rbac.authorization.k8s.io view": {Group: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "view"},
	} {
		if id.String() != want {
			t.Errorf("prints as %s, want %s", id, want)
		}
	}
}

func TestObjectsSortByNamespaceGroupKindAndName(t *testing.T) {
	object := func(ns, apiVersion, kind, name string) kspec.Object {
		u := &unstructured.Unstructured{Object: map[string]any{}}
		u.SetAPIVersion(apiVersion)
		u.SetKind(kind)
		u.SetNamespace(ns)
		u.SetName(name)
		return kspec.Object{Unstructured: u}
	}
	objects := []kspec.Object{
		object("b", "v1", "A", "a"), object("a", "x/v1", "A", "a"), object("a", "v1", "B", "a"), object("a", "v1", "A", "b"),
		object("a", "v1", "A", "a"), object("", "z/v1", "Z", "z"), object("a", "x/v2", "A", "a"),
	}
	kspec.SortObjects(objects)
	var got []string
	for _, o := range objects {
		got = append(got, o.GetNamespace()+" "+o.GetAPIVersion()+" "+o.GetKind()+" "+o.GetName())
	}
	want := []string{" z/v1 Z z", "a v1 A a", "a v1 A b", "a v1 B a", "a x/v1 A a", "a x/v2 A a", "b v1 A a"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestSelector(t *testing.T) {
	id := kspec.ObjectID{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "web", Name: "front"}
	labels := map[string]string{"tier": "front", "empty": ""}
	tests := []struct {
		selector kspec.Selector
		want     bool
	}{
		{kspec.Selector{}, true},
		{kspec.Selector{Group: "apps", Kind: "Deployment", Namespace: "web", Name: "front", Labels: map[string]string{"tier": "front"}}, true},
		{kspec.Selector{Group: "batch"}, false},
		{kspec.Selector{Kind: "Job"}, false},
		{kspec.Selector{Namespace: "api"}, false},
		{kspec.Selector{Name: "fron"}, false},
		{kspec.Selector{Labels: map[string]string{"tier": "back"}}, false},
		{kspec.Selector{Labels: map[string]string{"absent": ""}}, false},
		{kspec.Selector{Labels: map[string]string{"empty": ""}}, true},
	}
	for _, tt := range tests {
		if got := tt.selector.Matches(id, labels); got != tt.want {
			t.Errorf("%+v matches: %v, want %v", tt.selector, got, tt.want)
		}
	}
}

func TestErrorsCarryWhatTheCallerNeeds(t *testing.T) {
	cause := errors.New("cause")
	err := fmt.Errorf("outer: %w", kspec.WithHint(&kspec.StageError{Stage: kspec.StageRender, Target: "prod", Err: kspec.Terminal(cause)}, "do this"))
	if !errors.Is(err, cause) || !kspec.IsTerminal(err) || kspec.HintOf(err) != "do this" {
		t.Errorf("%v: cause %v, terminal %v, hint %q", err, errors.Is(err, cause), kspec.IsTerminal(err), kspec.HintOf(err))
	}
	stage, ok := errors.AsType[*kspec.StageError](err)
	if !ok || stage.Stage != kspec.StageRender || err.Error() != "outer: render prod: cause" {
		t.Errorf("got %q of %+v", err, stage)
	}
	if kspec.HintOf(kspec.WithHint(err, "rather this")) != "rather this" {
		t.Error("the outermost hint does not win")
	}
	if kspec.Terminal(nil) != nil || kspec.WithHint(nil, "x") != nil || kspec.IsTerminal(cause) || kspec.HintOf(cause) != "" {
		t.Error("nothing became something")
	}
}

func finding(name string, verdict kspec.Verdict, severity kspec.Severity) kspec.Finding {
	return kspec.Finding{
		Type: kspec.TypeConfiguration, Verdict: verdict, Severity: severity, Message: "differs",
		Object: kspec.ObjectID{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "web", Name: name},
		Fields: []kspec.Field{{Path: "/spec/replicas", KeyedPath: "/spec/replicas", Desired: 3, Live: 5}},
	}.Fingerprinted()
}

func TestFingerprint(t *testing.T) {
	base := finding("web", kspec.Changed, kspec.Medium)
	// It outlives the process and the version: pull requests carry it.
	if want := "67fc832f804b550db925598649b45d2e2131703196f9bf13cd1de9c169b983db"; base.Fingerprint != want {
		t.Errorf("the fingerprint became %s: open pull requests would not be found again", base.Fingerprint)
	}
	same := map[string]func(*kspec.Finding){
		"severity": func(f *kspec.Finding) { f.Severity = kspec.Critical },
		"message":  func(f *kspec.Finding) { f.Message = "other words" },
		"who":      func(f *kspec.Finding) { f.Fields[0].Manager = "kubectl" },
		"index":    func(f *kspec.Finding) { f.Fields[0].Path = "/elsewhere" },
		"source":   func(f *kspec.Finding) { f.Source.Line = 7 },
	}
	other := map[string]func(*kspec.Finding){
		"verdict": func(f *kspec.Finding) { f.Verdict = kspec.ExtraField },
		"object":  func(f *kspec.Finding) { f.Object.Name = "other" },
		"path":    func(f *kspec.Finding) { f.Fields[0].KeyedPath = "/spec/paused" },
		"desired": func(f *kspec.Finding) { f.Fields[0].Desired = 4 },
		"live":    func(f *kspec.Finding) { f.Fields[0].Live = nil },
	}
	changed := func(change func(*kspec.Finding)) string {
		f := base
		f.Fields = []kspec.Field{base.Fields[0]}
		change(&f)
		return f.Fingerprinted().Fingerprint
	}
	for what, change := range same {
		if changed(change) != base.Fingerprint {
			t.Errorf("another %s gives another fingerprint", what)
		}
	}
	for what, change := range other {
		if changed(change) == base.Fingerprint {
			t.Errorf("another %s gives the same fingerprint", what)
		}
	}
	bare := kspec.Finding{Verdict: kspec.Violation, Message: "one"}
	if bare.Fingerprinted().Fingerprint == (kspec.Finding{Verdict: kspec.Violation, Message: "two"}).Fingerprinted().Fingerprint {
		t.Error("without fields the message does not count")
	}
}

func TestDriftFingerprint(t *testing.T) {
	a, b := finding("a", kspec.Changed, kspec.Low), finding("b", kspec.Changed, kspec.Low)
	both := kspec.DriftFingerprint([]kspec.Finding{a, b})
	if both != kspec.DriftFingerprint([]kspec.Finding{b, a, b}) {
		t.Error("order or repetition counts")
	}
	if both == kspec.DriftFingerprint([]kspec.Finding{a}) || kspec.DriftFingerprint(nil) != "" {
		t.Error("another set gives the same fingerprint")
	}
}

func TestReport(t *testing.T) {
	waived := finding("waived", kspec.Changed, kspec.Critical)
	by := "exemption"
	waived.WaivedBy = &by
	rep := kspec.Report{}.With(finding("b", kspec.Missing, kspec.High), waived, finding("a", kspec.Changed, kspec.Low))
	var names []string
	for _, f := range rep.Open() {
		names = append(names, f.Object.Name)
	}
	if diff := cmp.Diff([]string{"a", "b"}, names); diff != "" {
		t.Errorf("open findings (-want +got):\n%s", diff)
	}
	if len(rep.Findings) != 3 || rep.Worst() != kspec.High || rep.InSync() || !rep.Complete() {
		t.Errorf("%d findings, worst %s, in sync %v, complete %v", len(rep.Findings), rep.Worst(), rep.InSync(), rep.Complete())
	}
	if clean := (kspec.Report{}.With(waived)); !clean.InSync() || clean.Worst() != "" {
		t.Error("a waived finding counts")
	}
	if blind := (kspec.Report{Unknown: []kspec.Unknown{{Reason: "forbidden"}}}); blind.InSync() || blind.Complete() {
		t.Error("what was not looked at is in sync")
	}
}

func TestReportsTellLogsHowOldTheyAre(t *testing.T) {
	rep := kspec.Report{StartedAt: time.Unix(100, 0)}
	if text := rep.LogValue().String(); strings.Contains(text, "age") {
		t.Errorf("what was just read has an age: %s", text)
	}
	rep.ObservedAt = time.Unix(58, 0)
	if text := rep.LogValue().String(); !strings.Contains(text, "age=42s") {
		t.Errorf("no age: %s", text)
	}
}

func TestSeveritiesRankAndMap(t *testing.T) {
	last := 0
	for i, s := range kspec.Severities() {
		if s.Rank() != i+1 || s.Rank() <= last {
			t.Errorf("%s has rank %d", s, s.Rank())
		}
		last = s.Rank()
	}
	if kspec.Severity("odd").Rank() != 0 {
		t.Error("an unknown severity has a rank")
	}
	for s, want := range map[kspec.Severity]kspec.Level{
		kspec.Low: kspec.Info, kspec.Medium: kspec.Warning, kspec.High: kspec.Urgent, kspec.Critical: kspec.Urgent,
	} {
		if s.Level() != want {
			t.Errorf("%s maps to %s, want %s", s, s.Level(), want)
		}
	}
}

func TestFindingsSortByObjectVerdictAndPath(t *testing.T) {
	field := func(f kspec.Finding, path string) kspec.Finding {
		f.Fields = []kspec.Field{{Path: path}}
		return f
	}
	a := finding("a", kspec.Changed, kspec.Low)
	got := []kspec.Finding{finding("b", kspec.Changed, kspec.Low), field(a, "/z"), field(a, "/b"), finding("a", kspec.ExtraField, kspec.Low), {Object: a.Object, Verdict: kspec.Changed}}
	kspec.SortFindings(got)
	var order []string
	for _, f := range got {
		path := ""
		if len(f.Fields) > 0 {
			path = f.Fields[0].Path
		}
		order = append(order, f.Object.Name+" "+string(f.Verdict)+" "+path)
	}
	want := []string{"a Changed ", "a Changed /b", "a Changed /z", "a ExtraField /spec/replicas", "b Changed /spec/replicas"}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}
