package report_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/fixtures"
	"github.com/cloudcwfranck/kspec/report"
)

// every holds reports of every form, by name, with what others wrote in them
// being as hostile as can be.
func every() map[string][]kspec.Report {
	all := map[string][]kspec.Report{
		"in sync": {inSync()}, "drifted": several(), "remembered": {remembered()}, "scanned": {scanned()}, "judged": {judged()},
		"all": {inSync(), drifted(), remembered(), scanned(), judged()},
	}
	for _, s := range []string{
		"", " ", "x", "a\nb", "\x00\x1b[31m", "\r\n\t lead and trail \n", "\u202eevil\u2066", "\U000e0041", "\xff\xfe", "`|<&>]]>",
		"//evil.example/x", "a:b", "#", "%zz", "{{x}} [a](b)", strings.Repeat("long ", 20_000),
	} {
		rep := hostile(s)
		rep.Source = kspec.Source{File: s, Line: 1}
		rep.Notes = []string{s}
		rep.Findings[0].Controls = []string{s, s + "/" + s, "NIST-800-53/AC-2(1)"}
		rep.Findings[0].Check, rep.Findings[0].Evidence = s, map[string]any{s: s}
		rep.Controls = []kspec.ControlResult{{Framework: s, ID: s, Status: kspec.CheckPass}, {ID: s, Status: kspec.CheckUnknown}}
		all["hostile "+s[:min(len(s), 20)]] = []kspec.Report{rep, {Target: s, StartedAt: start}}
	}
	return all
}

// judged is a report in which controls of several frameworks are met, broken,
// waived and not known.
func judged() kspec.Report {
	waiver := "migration"
	found := func(check string, controls ...string) kspec.Finding {
		return kspec.Finding{
			Type: kspec.TypeCompliance, Verdict: kspec.Violation, Severity: kspec.High, Check: check, Controls: controls,
			Object: deployment(check), Message: check + " is broken",
		}.Fingerprinted()
	}
	waived := found(kspec.CheckNetwork, "NIST-800-53 rev5/SC-7")
	waived.WaivedBy = &waiver
	rep := inSync().With(found(kspec.CheckContainers, "CIS-1.9/5.2.1", "NIST-800-53 rev5/AC-6(1)"), waived, found("", "NIST-800-53 rev5/CM-3"))
	rep.Source = kspec.Source{File: "clusters/staging/cluster spec.yaml", Line: 1}
	rep.Checks = []kspec.Check{
		{Name: kspec.CheckVersion}, {Name: kspec.CheckContainers}, {Name: kspec.CheckNetwork}, {Name: kspec.CheckRBAC, Incomplete: true},
	}
	rep.Controls = []kspec.ControlResult{
		{Framework: "CIS-1.9", ID: "5.2.1", Checks: []string{kspec.CheckContainers}},
		{Framework: "NIST-800-53 rev5", ID: "AC-6(1)", Checks: []string{kspec.CheckContainers}},
		{Framework: "NIST-800-53 rev5", ID: "SC-7", Checks: []string{kspec.CheckNetwork}},
		{Framework: "NIST-800-53 rev5", ID: "AC-3", Checks: []string{kspec.CheckRBAC}},
		{Framework: "NIST-800-53 rev5", ID: "SI-2", Checks: []string{kspec.CheckVersion}},
	}
	return rep.Judged()
}

func TestOSCALIsValidByTheSchemaOfNIST(t *testing.T) {
	check := schema(t, fixtures.Published(t, "github.com/defenseunicorns/go-oscal", "src/internal/schemas/oscal_complete_schema-1-1-3.json"))
	for name, reports := range every() {
		if err := check(write(t, "oscal", report.Options{}, reports...)); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// assessment is what tests read of OSCAL.
type assessment struct {
	Results struct {
		ImportAP struct{ Href string } `json:"import-ap"`
		Back     struct {
			Resources []struct {
				UUID   string
				RLinks []struct{ Href string }
			}
		} `json:"back-matter"`
		Results []struct {
			Local struct {
				Items []struct{ UUID string } `json:"inventory-items"`
			} `json:"local-definitions"`
			Reviewed struct {
				Remarks    string
				Selections []struct {
					Description string
					Include     []struct {
						ID string `json:"control-id"`
					} `json:"include-controls"`
				} `json:"control-selections"`
			} `json:"reviewed-controls"`
			Observations []struct {
				UUID, Title, Remarks string
				Subjects             []struct {
					UUID string `json:"subject-uuid"`
				}
				Evidence []struct{ Description string } `json:"relevant-evidence"`
			}
			Findings []struct {
				Target struct {
					ID     string `json:"target-id"`
					Status struct{ State, Reason string }
				}
				Related []struct {
					UUID string `json:"observation-uuid"`
				} `json:"related-observations"`
			}
		}
	} `json:"assessment-results"`
}

func assess(t *testing.T, reports ...kspec.Report) (doc assessment) {
	t.Helper()
	if err := json.Unmarshal([]byte(write(t, "oscal", report.Options{}, reports...)), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestOSCALJudgesControls(t *testing.T) {
	first := assess(t, judged()).Results.Results[0]
	got := map[string]string{}
	for _, f := range first.Findings {
		got[f.Target.ID] = f.Target.Status.State + " " + f.Target.Status.Reason
	}
	if diff := cmp.Diff(map[string]string{
		"_5.2.1": "not-satisfied fail", "ac-6.1": "not-satisfied fail", "cm-3": "not-satisfied fail", // the last by a finding alone
		"sc-7": "not-satisfied other", "si-2": "satisfied pass", // ac-3 could not be judged
	}, got); diff != "" {
		t.Errorf("controls (-want +got):\n%s", diff)
	}
	reviewed := map[string]int{}
	for _, s := range first.Reviewed.Selections {
		reviewed[s.Description] += len(s.Include)
	}
	if diff := cmp.Diff(map[string]int{"CIS-1.9": 1, "NIST-800-53 rev5": 4}, reviewed); diff != "" || !strings.Contains(first.Reviewed.Remarks, "AC-3") {
		t.Errorf("reviewed, besides %q (-want +got):\n%s", first.Reviewed.Remarks, diff)
	}
}

func TestOSCALShowsWhatItTells(t *testing.T) {
	first := assess(t, several()...).Results.Results[0]
	if len(first.Observations) != len(drifted().Findings)+len(drifted().Unknown) {
		t.Errorf("got %d observations", len(first.Observations))
	}
	if got := first.Observations[replicas].Evidence[0].Description; got != "/spec/replicas: 3 -> 5" {
		t.Errorf("the evidence is %q", got)
	}
	if first.Findings[0].Related[0].UUID != first.Observations[replicas].UUID {
		t.Error("the finding does not lead to its observation")
	}
	if got := assess(t, judged()).Results.Back.Resources[0].RLinks[0].Href; got != "clusters/staging/cluster%20spec.yaml" {
		t.Errorf("the ClusterSpec is at %q", got)
	}
}

func TestOSCALRefersToWhatItDefines(t *testing.T) {
	for name, reports := range every() {
		doc := assess(t, reports...)
		seen := map[string]bool{}
		define := func(uuid string) {
			if seen[uuid] {
				t.Errorf("%q: %s is defined twice", name, uuid)
			}
			seen[uuid] = true
		}
		define(doc.Results.Back.Resources[0].UUID)
		used := map[string]bool{strings.TrimPrefix(doc.Results.ImportAP.Href, "#"): true}
		for _, r := range doc.Results.Results {
			items := map[string]bool{} // two results may define one object
			for _, i := range r.Local.Items {
				items[i.UUID] = true
			}
			for _, o := range r.Observations {
				define(o.UUID)
				for _, s := range o.Subjects {
					used[s.UUID] = true
				}
			}
			for _, f := range r.Findings {
				for _, o := range f.Related {
					used[o.UUID] = true
				}
			}
			maps.Copy(seen, items)
		}
		for uuid := range used {
			if !seen[uuid] {
				t.Errorf("%q: %s is defined nowhere", name, uuid)
			}
		}
	}
}

func TestOSCALHasEqualUUIDsForEqualReportsOnly(t *testing.T) {
	later := judged()
	later.StartedAt = start.Add(time.Second)
	a, b := assess(t, judged()).Results.Results[0], assess(t, later).Results.Results[0]
	if diff := cmp.Diff(assess(t, judged()), assess(t, judged())); diff != "" || a.Observations[0].UUID == b.Observations[0].UUID {
		t.Errorf("two looks are one, or one look is two:\n%s", diff)
	}
}

func TestOSCALWantsAReport(t *testing.T) {
	if err := report.Write(&bytes.Buffer{}, "oscal", nil, report.Options{}); err == nil {
		t.Error("no error")
	}
}
