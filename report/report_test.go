package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/report"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func deployment(name string) kspec.ObjectID {
	return kspec.ObjectID{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "shop", Name: name}
}

func inSync() kspec.Report {
	return kspec.Report{
		Target: "staging", Cluster: "staging", StartedAt: start, Duration: 210 * time.Millisecond,
		Revision: kspec.Revision{Branch: "main", Commit: "4f0c1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b"},
		Coverage: kspec.Coverage{
			Objects:   14,
			DecidedBy: map[kspec.Tier]int{kspec.TierFields: 14},
			Requests:  kspec.Requests{List: 3},
		},
	}
}

func drifted() kspec.Report {
	rep := inSync()
	rep.Target, rep.Cluster, rep.Duration = "prod-eu", "prod-eu", 1234*time.Millisecond
	rep.Coverage.DecidedBy = map[kspec.Tier]int{kspec.TierDryRun: 14}
	rep.Coverage.Requests = kspec.Requests{List: 3, Patch: 14}
	rep.Coverage.Suppressed, rep.Coverage.Waived = 3, 1
	rep.Coverage.SuppressedBy = []kspec.Suppression{
		{Reason: "the delivery engine is told to leave it alone", Count: 1}, {Paths: []string{"/spec/replicas"}, Reason: "an autoscaler owns it", Count: 2},
	}
	edit := func(f kspec.Field) kspec.Field {
		f.Manager, f.Operation, f.ByPerson = "kubectl-edit", "Update", true
		f.Time = start.Add(-3 * time.Minute)
		return f
	}
	waiver := "black-friday"
	rep = rep.With(
		kspec.Finding{
			Type: kspec.TypeConfiguration, Verdict: kspec.Changed, Severity: kspec.High, Object: deployment("frontend"),
			Message: "2 fields have other values than in Git", DecidedBy: kspec.TierDryRun,
			Hint:   "merge the pull request to keep the live values",
			Source: kspec.Source{File: "apps/shop/deployment.yaml", Line: 7, Overlay: "apps/shop"},
			Fields: []kspec.Field{
				edit(kspec.Field{Path: "/spec/replicas", KeyedPath: "/spec/replicas", Desired: int64(3), Live: int64(5)}),
				edit(kspec.Field{
					Path:      "/spec/template/spec/containers/0/image",
					KeyedPath: "/spec/template/spec/containers/[name=app]/image",
					Desired:   "ghcr.io/acme/frontend@sha256:9f2c1d0b8a7e6f5d4c3b2a190817263544f3e2d1c0b9a8978695a4b3c2d1e0ff",
					Live:      "ghcr.io/acme/frontend:debug",
				}),
				{Path: "/spec/paused", KeyedPath: "/spec/paused", Desired: false, Manager: "hpa", Subresource: "scale"},
			},
		}.Fingerprinted(),
		kspec.Finding{
			Type: kspec.TypeConfiguration, Verdict: kspec.ExtraField, Severity: kspec.Low, Object: deployment("frontend"),
			Message: "a field that Git does not set was put there", DecidedBy: kspec.TierDryRun,
			Fields: []kspec.Field{edit(kspec.Field{
				Path: "/metadata/annotations/note", KeyedPath: "/metadata/annotations/note", Live: "true",
			})},
		}.Fingerprinted(),
		kspec.Finding{
			Type: kspec.TypeConfiguration, Verdict: kspec.Changed, Severity: kspec.Medium, Message: "1 field differs",
			Object: kspec.ObjectID{Version: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "nginx"},
			Fields: []kspec.Field{{
				Path: "/data/nginx.conf", KeyedPath: "/data/nginx.conf",
				Desired: "worker_processes 2;\nevents {}\nhttp {\n  gzip on;\n}\n",
				Live:    "worker_processes 2;\nevents {}\nhttp {\n  gzip off;\n  autoindex on;\n}\n",
			}},
		}.Fingerprinted(),
		kspec.Finding{
			Type: kspec.TypeConfiguration, Verdict: kspec.Changed, Severity: kspec.Medium, Message: "1 field differs",
			Object: kspec.ObjectID{Version: "v1", Kind: "Secret", Namespace: "shop", Name: "db"},
			Fields: []kspec.Field{{
				Path: "/data/password", KeyedPath: "/data/password", Desired: "tag:1a2b", Live: "tag:3c4d", Redacted: true,
			}},
		}.Fingerprinted(),
		kspec.Finding{
			Type: kspec.TypeConfiguration, Verdict: kspec.Missing, Severity: kspec.High, Object: deployment("worker"),
			Message: "is in Git and not in the cluster", Source: kspec.Source{File: "apps/shop/worker.yaml", Line: 1},
		}.Fingerprinted(),
		kspec.Finding{
			Type: kspec.TypeCompliance, Verdict: kspec.Violation, Severity: kspec.Critical, WaivedBy: &waiver,
			Object: kspec.ObjectID{Version: "v1", Kind: "Namespace", Name: "shop"}, Controls: []string{"NIST-800-53/CM-3"},
			Message: "pod security level is not restricted",
		}.Fingerprinted(),
	)
	rep.Unknown = []kspec.Unknown{
		{
			Object: kspec.ObjectID{Version: "v1", Kind: "Secret", Namespace: "shop", Name: "tls"},
			Source: kspec.Source{File: "apps/shop/tls.yaml", Line: 3}, Reason: "get: forbidden",
		},
		{Source: kspec.Source{File: "apps/broken"}, Reason: "no kustomization.yaml"},
	}
	return rep
}

// remembered is what a look under watch finds that has a history and an audit
// log.
func remembered() kspec.Report {
	rep := inSync()
	rep.Target, rep.Cluster = "prod-eu", "prod-eu"
	rep.ObservedAt = start.Add(-4 * time.Minute)
	rep.Coverage.CrossChecked, rep.Coverage.Disagreed = 3, 1
	service := func(name string) kspec.ObjectID {
		return kspec.ObjectID{Version: "v1", Kind: "Service", Namespace: "shop", Name: name}
	}
	field := func(name string, f kspec.Field) kspec.Field {
		f.Path, f.KeyedPath, f.Desired, f.Live = "/spec/"+name, "/spec/"+name, "a", "b"
		f.Operation = "Update"
		return f
	}
	return rep.With(
		kspec.Finding{
			Type: kspec.TypeConfiguration, Verdict: kspec.Changed, Severity: kspec.High, Object: deployment("frontend"),
			FirstSeen: start.Add(-2 * time.Hour), Seen: 24,
			Fields: []kspec.Field{
				field("account", kspec.Field{Manager: "kubectl-edit", ByPerson: true, Principal: "alice (as system:admin)", Time: start.Add(-3 * time.Minute)}),
				field("left", kspec.Field{Manager: "kubectl-edit", ByPerson: true, AppliedAfter: true, Time: start.Add(-72 * time.Hour)}),
				field("nobody", kspec.Field{}),
				field("only", kspec.Field{Principal: "bob"}),
				field("pipeline", kspec.Field{Manager: "kubectl-patch", Principal: "system:serviceaccount:ci:deployer", Time: start.Add(-40 * 24 * time.Hour)}),
			},
		}.Fingerprinted(),
		kspec.Finding{
			Type: kspec.TypeConfiguration, Verdict: kspec.Missing, Severity: kspec.High, Object: deployment("worker"),
			Message: "is in Git and not in the cluster", FirstSeen: start, Seen: 1,
			DeletedBy: "alice", DeletedAt: start.Add(-30 * time.Hour),
		}.Fingerprinted(),
		kspec.Finding{
			Type: kspec.TypeConfiguration, Verdict: kspec.OwnerConflict, Severity: kspec.Medium, Message: "helm applies it, too",
			Object: service("web"), FirstSeen: start.Add(-50 * time.Second), Seen: 2,
			Fields: []kspec.Field{field("type", kspec.Field{Manager: "helm", Time: start.Add(-72 * time.Hour)})},
		}.Fingerprinted(),
		kspec.Finding{
			Type: kspec.TypeConfiguration, Verdict: kspec.ExtraObject, Severity: kspec.Low, Object: service("old"),
			Message: "Git does not have it any more", DeletedBy: "nobody",
		}.Fingerprinted(),
	)
}

func write(t testing.TB, format string, o report.Options, reports ...kspec.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.Write(&b, format, reports, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("KSPEC_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got), rewrite with KSPEC_UPDATE=1:\n%s", file, diff)
	}
}

// scanned is a report about requirements alone.
func scanned() kspec.Report {
	rep := inSync().With(kspec.Finding{
		Type: kspec.TypeCompliance, Verdict: kspec.Violation, Severity: kspec.High, Check: kspec.CheckContainers,
		Object: deployment("frontend"), Message: "hostNetwork must not be set", Hint: "change it where the workload is declared",
		Evidence: map[string]any{"key": "hostNetwork"}, Controls: []string{"NIST-800-53 rev5/AC-6"},
	}.Fingerprinted())
	rep.Coverage = kspec.Coverage{Requests: kspec.Requests{List: 3, Get: 1}}
	rep.Unknown = []kspec.Unknown{{Reason: "rbac.rules: list ClusterRole: forbidden"}}
	rep.Checks = []kspec.Check{
		{Name: kspec.CheckVersion, Looked: 1},
		{Name: kspec.CheckPodSecurity, Looked: 3, Apart: []string{"kube-system"}},
		{Name: kspec.CheckContainers, Looked: 7},
		{Name: kspec.CheckRBAC, Incomplete: true},
	}
	rep.Controls = []kspec.ControlResult{{Framework: "NIST-800-53 rev5", ID: "AC-6", Title: "Least privilege", Checks: []string{kspec.CheckContainers}}}
	rep.Policies = &kspec.PolicyCount{Enforced: 3, Audited: 1}
	rep.InForce = &kspec.InForce{Mode: kspec.Audit, Outside: true, Until: start.Add(14 * time.Hour)}
	rep.Notes = []string{"the policies are delivered as in mode audit, @someone"}
	return rep.Judged()
}

func TestEveryFormatTellsTheScore(t *testing.T) {
	rep := scanned()
	score, ok := rep.Score()
	if !ok {
		t.Fatal("nothing was scored")
	}
	is := regexp.MustCompile(fmt.Sprintf(`(?s)score\W{1,8}(value\W{1,6})?%d|score", "ns": "[^"]*",\s*"value": "%d"`, score, score))
	for _, format := range report.Formats() {
		var b bytes.Buffer
		if err := report.Write(&b, format, []kspec.Report{rep}, report.Options{}); err != nil {
			t.Fatal(err)
		}
		if !is.MatchString(b.String()) {
			t.Errorf("%s does not tell that the score is %d:\n%s", format, score, b.String())
		}
	}
}

func TestAScanThatFindsNothingSaysSo(t *testing.T) {
	rep := inSync()
	rep.Coverage = kspec.Coverage{}
	rep.Checks = []kspec.Check{{Name: kspec.CheckVersion}}
	if text := write(t, "text", report.Options{}, rep.Judged()); !strings.Contains(text, "all requirements hold") || !strings.Contains(text, "1 of 1 check hold, score 100") {
		t.Errorf("got %s", text)
	}
}

func TestEveryFormatReadsAsExpected(t *testing.T) {
	incomplete := inSync()
	incomplete.Unknown = []kspec.Unknown{{Reason: "list pods: the server is down"}}
	unsigned := inSync().With(kspec.Finding{
		Type: kspec.TypeImage, Verdict: kspec.Unsigned, Severity: kspec.Critical, Object: deployment("frontend"),
		Message: "ghcr.io/acme/frontend:debug has no signature",
	})
	for _, c := range []struct {
		file, format string
		o            report.Options
		reports      []kspec.Report
	}{
		{"drifted.txt", "text", report.Options{}, []kspec.Report{drifted()}},
		{"drifted-narrow-color.txt", "text", report.Options{Color: true, Width: 60, Now: start.Add(50 * time.Hour)}, []kspec.Report{drifted()}},
		{"several.txt", "text", report.Options{}, []kspec.Report{inSync(), incomplete, unsigned}},
		{"drifted.json", "json", report.Options{}, []kspec.Report{drifted()}},
		{"remembered.txt", "text", report.Options{}, []kspec.Report{remembered()}},
		{"remembered.json", "json", report.Options{}, []kspec.Report{remembered()}},
		{"remembered.md", "markdown", report.Options{}, []kspec.Report{remembered()}},
		{"scanned.txt", "text", report.Options{}, []kspec.Report{scanned()}},
		{"scanned.json", "json", report.Options{}, []kspec.Report{scanned()}},
		{"scanned.md", "markdown", report.Options{}, []kspec.Report{scanned()}},
		{"scanned.sarif", "sarif", report.Options{}, []kspec.Report{scanned()}},
		{"several.json", "json", report.Options{}, []kspec.Report{inSync(), incomplete}},
		{"drifted.yaml", "yaml", report.Options{}, []kspec.Report{drifted()}},
		{"drifted.md", "markdown", report.Options{}, []kspec.Report{drifted()}},
		{"several.md", "markdown", report.Options{}, []kspec.Report{inSync(), incomplete, unsigned}},
		{"several.sarif", "sarif", report.Options{}, []kspec.Report{drifted(), inSync()}},
		{"several.xml", "junit", report.Options{}, []kspec.Report{drifted(), inSync(), incomplete}},
		{"several.oscal.json", "oscal", report.Options{}, []kspec.Report{drifted(), inSync()}},
		{"several.policyreport.yaml", "policyreport", report.Options{}, []kspec.Report{drifted(), inSync()}},
		{"several.openreports.yaml", "openreports", report.Options{}, []kspec.Report{drifted(), inSync()}},
	} {
		t.Run(c.file, func(t *testing.T) {
			golden(t, c.file, write(t, c.format, c.o, c.reports...))
		})
	}
}

func TestParseGivesBackWhatWasWritten(t *testing.T) {
	want := []kspec.Report{drifted(), inSync(), remembered(), scanned()}
	for i := range want { // what the document does not hold
		want[i].Duration = want[i].Duration.Round(time.Millisecond)
	}
	got, err := report.Parse([]byte(write(t, "json", report.Options{}, want...)))
	if err != nil {
		t.Fatal(err)
	}
	again, err := report.Parse([]byte(write(t, "json", report.Options{}, want[0])))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got[:1], again); diff != "" {
		t.Errorf("a list and a single report differ:\n%s", diff)
	}
	if diff := cmp.Diff(write(t, "json", report.Options{}, want...), write(t, "json", report.Options{}, got...)); diff != "" {
		t.Errorf("written again, it differs:\n%s", diff)
	}
	for i := range want {
		if diff := cmp.Diff(want[i].Findings, got[i].Findings, cmp.Transformer("empty", func(s []string) int { return len(s) }), equateEmpty()); diff != "" {
			t.Errorf("findings (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want[i].Revision, got[i].Revision); diff != "" {
			t.Errorf("revision (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want[i].ObservedAt, got[i].ObservedAt); diff != "" || got[i].Coverage.CrossChecked != want[i].Coverage.CrossChecked ||
			got[i].Coverage.Disagreed != want[i].Coverage.Disagreed {
			t.Errorf("how old and how sure: %+v (-want +got):\n%s", got[i].Coverage, diff)
		}
	}
}

func equateEmpty() cmp.Option {
	return cmp.FilterValues(func(a, b []kspec.Finding) bool { return len(a)+len(b) == 0 }, cmp.Ignore())
}

func TestParseReadsEveryFormOfRevision(t *testing.T) {
	for _, want := range []kspec.Revision{
		{}, {Commit: "4f0c"}, {Branch: "main", Commit: "4f0c"}, {Branch: "odd@sha1:name", Commit: "4f0c"},
	} {
		rep := inSync()
		rep.Revision = want
		got, err := report.Parse([]byte(write(t, "json", report.Options{}, rep)))
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Revision != want {
			t.Errorf("got revision %+v, want %+v", got[0].Revision, want)
		}
	}
}

func TestParseRefusesWhatIsNoReport(t *testing.T) {
	for name, in := range map[string]string{
		"empty":         ``,
		"not JSON":      `kind: DriftReport`,
		"other kind":    `{"apiVersion":"kspec.io/v1alpha1","kind":"ClusterSpec","duration":"1s"}`,
		"other version": `{"apiVersion":"kspec.io/v9","kind":"DriftReport","duration":"1s"}`,
		"bad duration":  `{"apiVersion":"kspec.io/v1alpha1","kind":"DriftReport","duration":"soon"}`,
		"wrong type":    `{"apiVersion":"kspec.io/v1alpha1","kind":"DriftReport","duration":"1s","findings":{}}`,
	} {
		if _, err := report.Parse([]byte(in)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestJSONHoldsTheKeysThatConsumersRelyOn(t *testing.T) {
	var doc map[string]any
	if err := json.Unmarshal([]byte(write(t, "json", report.Options{}, inSync())), &doc); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"apiVersion": "kspec.io/v1alpha1", "kind": "DriftReport", "metadata": map[string]any{"name": "staging"},
		"revision": "main@sha1:4f0c1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b", "cluster": "staging",
		"startedAt": "2026-11-22T10:00:00Z", "duration": "210ms", "inSync": true, "complete": true,
		"summary": map[string]any{
			"objects": 14.0, "byVerdict": map[string]any{}, "bySeverity": map[string]any{},
			"decidedBy":  map[string]any{"cache": 0.0, "fields": 14.0, "dry-run": 0.0},
			"requests":   map[string]any{"list": 3.0, "get": 0.0, "patch": 0.0},
			"suppressed": 0.0, "waived": 0.0,
		},
		"findings": []any{}, "unknown": []any{},
	}
	if diff := cmp.Diff(want, doc); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}

func TestNoReportsIsAnEmptyList(t *testing.T) {
	got, err := report.Parse([]byte(write(t, "json", report.Options{})))
	if err != nil || len(got) != 0 {
		t.Errorf("got %d reports and error %v, want none", len(got), err)
	}
}

func TestTextSaysNothingTwice(t *testing.T) {
	namespace := kspec.ObjectID{Version: "v1", Kind: "Namespace", Name: "shop"}
	violation := func(message, hint string) kspec.Finding {
		return kspec.Finding{Verdict: kspec.Violation, Severity: kspec.High, Object: namespace, Message: message, Hint: hint}.Fingerprinted()
	}
	rep := inSync().With(violation("a", "label it"), violation("b", "label it"), violation("c", "isolate it"))
	rep.Unknown = []kspec.Unknown{{Source: kspec.Source{File: "apps/a.yaml", Line: 4}, Reason: "apps/a.yaml:4: not YAML"}}
	got := write(t, "text", report.Options{}, rep)
	for _, want := range []string{"label it", "isolate it", "apps/a.yaml:4: "} {
		if n := strings.Count(got, want); n != 1 {
			t.Errorf("%q stands %d times in\n%s", want, n, got)
		}
	}
	if !strings.Contains(got, "? apps/a.yaml:4: not YAML") {
		t.Error(got)
	}
}

func TestUnknownFormatTeachesTheKnownOnes(t *testing.T) {
	err := report.Write(&bytes.Buffer{}, "sarif3", nil, report.Options{})
	if err == nil || !strings.Contains(kspec.HintOf(err), "markdown") {
		t.Errorf("got error %v with hint %q", err, kspec.HintOf(err))
	}
	if !slices.Equal(report.Formats(), []string{"text", "json", "yaml", "markdown", "sarif", "junit", "oscal", "policyreport", "openreports"}) {
		t.Errorf("formats are %v", report.Formats())
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestWriteReturnsTheErrorOfItsWriter(t *testing.T) {
	if err := report.Write(brokenPipe{}, "text", []kspec.Report{inSync()}, report.Options{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got error %v", err)
	}
}

func TestWriteDoesNotChangeItsInput(t *testing.T) {
	rep := drifted()
	for _, f := range report.Formats() {
		write(t, f, report.Options{}, rep)
	}
	if diff := cmp.Diff(drifted(), rep); diff != "" {
		t.Errorf("input changed:\n%s", diff)
	}
}

// hostile puts s wherever a report can hold text that others wrote.
func hostile(s string) kspec.Report {
	rep := inSync()
	rep.Target, rep.Cluster, rep.Revision.Branch = s, s, s
	rep = rep.With(kspec.Finding{
		Verdict: kspec.Changed, Severity: kspec.High, Message: s, Hint: s, WaivedBy: &s,
		Object: kspec.ObjectID{Kind: s, Namespace: s, Name: s}, Source: kspec.Source{File: s, Line: 1}, DeletedBy: s,
		Fields: []kspec.Field{
			{Path: s, KeyedPath: s, Desired: s, Live: map[string]any{s: s}, Manager: s, Subresource: s},
			{Path: s, Desired: s, Manager: s, Principal: s},
			{Path: s, Desired: "one\n" + s, Live: "two\n" + s},
			{Path: s, Live: []any{s}},
		},
	})
	rep.Unknown = []kspec.Unknown{{Source: kspec.Source{Template: s}, Reason: s}, {Object: rep.Findings[0].Object, Reason: s}}
	return rep
}

func FuzzTextHoldsNothingThatATerminalObeys(f *testing.F) {
	for _, s := range []string{
		"\x1b[2J\x1b]0;owned\x07", "\u009b31m", "a\u202eb", "\r\nin sync: 14 objects", "\xff\xfe", "\x00\x7f",
		"\u2028", "##[set-env name=PATH]x", "x##vso[task.setvariable]", strings.Repeat("é", 300),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := write(t, "text", report.Options{}, hostile(s))
		for _, r := range out {
			if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
				t.Fatalf("%q lets %q through:\n%q", s, r, out)
			}
		}
		for line := range strings.Lines(out) {
			if strings.HasPrefix(strings.TrimSpace(line), "::") && !strings.HasPrefix(s, "::") {
				t.Fatalf("%q makes a line that a CI runner obeys: %q", s, line)
			}
			if strings.Contains(line, "##[") {
				t.Fatalf("%q makes a line that a CI runner obeys: %q", s, line)
			}
		}
	})
}

func TestTextKeepsAValueWithinItsLine(t *testing.T) {
	for _, s := range []string{"x\nin sync: 99 objects", "x\r\nin sync: 99 objects", "x\u2028in sync: 99 objects"} {
		for line := range strings.Lines(write(t, "text", report.Options{}, hostile(s))) {
			if strings.HasPrefix(line, "in sync") {
				t.Errorf("%q makes a line of its own", s)
			}
		}
	}
}

func FuzzJSONComesBack(f *testing.F) {
	f.Add("a\u202eb\u0085\u2028\x1b")
	f.Add(`"\u0041` + "\U000e0001")
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "?") // what is no text cannot be JSON
		got, err := report.Parse([]byte(write(t, "json", report.Options{}, hostile(s))))
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Findings[0].Message != s || got[0].Target != s {
			t.Errorf("%q came back as %q", s, got[0].Findings[0].Message)
		}
	})
}

func TestMarkdownIsBounded(t *testing.T) {
	rep := inSync()
	long := hostile(strings.Repeat("x", 2_000)).Findings[0].Fields
	for i := range 1000 {
		rep.Findings = append(rep.Findings, kspec.Finding{Object: deployment(fmt.Sprint(i)), Fields: long[:1], Hint: fmt.Sprint("do thing ", i)})
		rep.Unknown = append(rep.Unknown, kspec.Unknown{Reason: "forbidden"})
	}
	out := write(t, "markdown", report.Options{}, rep)
	if n := strings.Count(out, " more.\n"); n != 3 {
		t.Errorf("%d of three lists say how much is left out", n)
	}
	if len(out) > 65_536 {
		t.Errorf("%d bytes, more than a comment may have", len(out))
	}
}

// large returns a report of n findings of one namespace.
func large(n int) kspec.Report {
	rep := inSync()
	rep.Coverage.Objects = 2 * n
	for i := range n {
		f := drifted().Findings[replicas]
		f.Object.Name = fmt.Sprint("web-", i)
		f.Controls = []string{"NIST-800-53/CM-3"}
		rep.Findings = append(rep.Findings, f.Fingerprinted())
	}
	return rep
}

func BenchmarkTenThousandFindings(b *testing.B) {
	rep := large(10_000)
	for _, format := range report.Formats() {
		b.Run(format, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := report.Write(io.Discard, format, []kspec.Report{rep}, report.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
