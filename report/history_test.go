package report_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/report"
)

// past is a history with something of everything.
func past() []kspec.Episode {
	edited := drifted().Findings[0]
	for _, f := range drifted().Findings {
		if f.Object == deployment("frontend") && f.Verdict == kspec.Changed {
			edited = f
		}
	}
	missing := kspec.Finding{
		Type: kspec.TypeConfiguration, Verdict: kspec.Missing, Severity: kspec.Critical, Message: "Namespace shop is not in the cluster",
		Object: kspec.ObjectID{Version: "v1", Kind: "Namespace", Name: "shop"},
	}.Fingerprinted()
	ends := []kspec.End{
		kspec.EndGone, kspec.EndGitMoved, kspec.EndGitChanged, kspec.EndSuperseded, kspec.EndWaived,
		kspec.EndClusterChanged, kspec.EndSpecRemoved, kspec.EndAbandoned, "of-a-newer-kspec",
	}
	all := []kspec.Episode{{
		Target: "prod-eu", Cluster: "prod-eu", Revision: "main@sha1:4f0c", Finding: edited,
		Actor:     kspec.Actor{Manager: "kubectl-edit", Operation: "Update", ByPerson: true, Principal: "ann@example.com"},
		FirstSeen: start, LastSeen: start.Add(time.Hour), Seen: 13, Flaps: 4,
		Fight: &kspec.Fight{Between: []string{"kubectl-edit", "kustomize-controller"}, Times: 4, Since: start.Add(time.Minute)},
	}}
	for i, end := range ends {
		first := start.Add(-time.Duration(i+1) * 7 * time.Hour)
		all = append(all, kspec.Episode{
			Target: "prod-eu", Revision: "worktree", Finding: missing, FirstSeen: first, LastSeen: first.Add(time.Minute), Seen: 2,
			ClosedAt: first.Add(time.Duration(i+1) * 5 * time.Minute), ClosedWhy: end,
		})
	}
	return all
}

func writeHistory(t testing.TB, format string, episodes []kspec.Episode) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.WriteHistory(&b, format, episodes, report.Options{Now: start.Add(90 * time.Minute)}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestHistoryShowsTagsWhole(t *testing.T) {
	e := past()[0]
	e.Finding.Fields = []kspec.Field{{Path: "/data/password", Desired: "[redacted 01234567]", Live: "[redacted 89abcdef]", Redacted: true}}
	want := "/data/password [redacted 01234567] → [redacted 89abcdef]"
	if text := writeHistory(t, "text", []kspec.Episode{e}); !strings.Contains(text, want) {
		t.Errorf("lacks %q:\n%s", want, text)
	}
}

func TestHistoryReadsAsExpected(t *testing.T) {
	for _, format := range report.HistoryFormats() {
		golden(t, "history."+map[string]string{"text": "txt", "json": "json", "yaml": "yaml", "markdown": "md"}[format], writeHistory(t, format, past()))
	}
	var b bytes.Buffer
	if err := report.WriteHistory(&b, "text", past(), report.Options{Color: true, Now: start}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "\x1b[31mhigh    \x1b[0m") {
		t.Errorf("no colour in %q", b.String())
	}
}

func TestHistoryComesBackFromJSONAndYAML(t *testing.T) {
	for _, format := range []string{"json", "yaml"} {
		var doc struct {
			APIVersion, Kind string
			Items            []kspec.Episode
		}
		text := writeHistory(t, format, past())
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		if doc.APIVersion != "kspec.io/v1alpha1" || doc.Kind != "DriftHistory" {
			t.Errorf("%s is a %s of %s", format, doc.Kind, doc.APIVersion)
		}
		want, _ := json.Marshal(past())
		got, _ := json.Marshal(doc.Items)
		if diff := cmp.Diff(strings.ReplaceAll(string(want), `"controls":null`, `"controls":[]`), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", format, diff)
		}
	}
}

func TestHistoryOfNothing(t *testing.T) {
	for format, want := range map[string]string{
		"text": "0 episodes: 0 open, 0 closed\n", "markdown": "### Drift history\n\n0 episodes: 0 open, 0 closed.\n",
		"yaml": "apiVersion: kspec.io/v1alpha1\nkind: DriftHistory\nitems: []\n",
	} {
		if got := writeHistory(t, format, nil); got != want {
			t.Errorf("%s: %q, want %q", format, got, want)
		}
	}
}

// What a cluster says is text, also here.
func TestHistoryIsInert(t *testing.T) {
	evil := "\x1b[2J\n::error::x @org/all <img src=x> `|` \u202e"
	e := past()[0]
	e.Target, e.Actor = evil, kspec.Actor{Manager: evil, Principal: evil}
	e.Finding = kspec.Finding{Verdict: kspec.Missing, Severity: kspec.Low, Message: evil, Object: kspec.ObjectID{Kind: "ConfigMap", Name: evil}}
	e.Fight = &kspec.Fight{Between: []string{evil}, Times: 3}
	value := past()[0]
	value.Finding.Fields = []kspec.Field{{Path: evil, Desired: evil, Live: evil}}
	codeSpan := regexp.MustCompile("`` .*? ``")
	for _, format := range report.HistoryFormats() {
		got := writeHistory(t, format, []kspec.Episode{e, value})
		if strings.ContainsAny(got, "\x1b\u202e") || strings.Contains(got, "\n::error") {
			t.Errorf("%s holds what a terminal or a CI runner obeys: %q", format, got)
		}
		if format == "markdown" && strings.Contains(codeSpan.ReplaceAllString(got, ""), "@org") {
			t.Errorf("a mention survives: %s", got)
		}
	}
}

func TestHistoryInAnUnknownFormat(t *testing.T) {
	err := report.WriteHistory(&bytes.Buffer{}, "html", nil, report.Options{})
	if err == nil || kspec.HintOf(err) != "use one of text, json, yaml, markdown" {
		t.Errorf("error %v, hint %q", err, kspec.HintOf(err))
	}
	if err := report.WriteHistory(brokenPipe{}, "text", nil, report.Options{}); err == nil {
		t.Error("no error of a writer that fails")
	}
}

// A table that is too long for a comment is cut, and what is left out counted.
func TestHistoryInMarkdownIsBounded(t *testing.T) {
	var many []kspec.Episode
	for range 300 {
		many = append(many, past()...)
	}
	got := writeHistory(t, "markdown", many)
	if len(got) > 65_536 || !strings.Contains(got, " more.\n") {
		t.Errorf("%d bytes", len(got))
	}
}
