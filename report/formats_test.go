package report_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/joshdk/go-junit"
	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/report"
)

// several are reports that show every form of result.
func several() []kspec.Report {
	rep := drifted()
	rep.Findings[replicas].Controls = []string{"NIST-800-53/AC-6(1)", "CIS-1.9/5.2.1"}
	return []kspec.Report{rep, inSync()}
}

// replicas is the place of the finding about replicas among those of drifted.
const replicas = 3

// schemaOfSARIF returns the schema that OASIS publishes, as go-sarif ships it.
func schemaOfSARIF(t *testing.T) string {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/owenrumney/go-sarif/v3").Output()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(strings.TrimSpace(string(dir)), "pkg/report/v210/sarif/schema.go")
	source, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var schema string
	ast.Inspect(source, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok {
			schema, err = strconv.Unquote(lit.Value)
		}
		return true
	})
	if err != nil || !strings.Contains(schema, "docs.oasis-open.org") {
		t.Fatalf("no schema in %s: %v", file, err)
	}
	return schema
}

func valid(t *testing.T, schema, text string) {
	t.Helper()
	const name = "https://example.com/schema.json"
	definition, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(name, definition); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Validate(doc); err != nil {
		t.Error(err)
	}
}

func TestSARIFIsWhatItsSchemaAndItsReadersWant(t *testing.T) {
	schema := schemaOfSARIF(t)
	for _, reports := range [][]kspec.Report{several(), {hostile("a\nb \x1b[31m")}, {inSync()}, nil} {
		valid(t, schema, write(t, "sarif", report.Options{}, reports...))
	}
	text := write(t, "sarif", report.Options{}, several()...)
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	var doc sarif.Report
	if err := dec.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	run := doc.Runs[0]
	if len(run.Results) != len(drifted().Findings) || len(run.Invocations[0].ToolExecutionNotifications) != len(drifted().Unknown) {
		t.Errorf("got %d results and %d notifications", len(run.Results), len(run.Invocations[0].ToolExecutionNotifications))
	}
	for i, r := range run.Results {
		f := several()[0].Findings[i]
		if got := *run.Tool.Driver.Rules[r.RuleIndex].ID; got != *r.RuleID || got != "kspec/"+string(f.Verdict) {
			t.Errorf("result %d is of rule %s at %d, which is %s; want %s", i, *r.RuleID, r.RuleIndex, got, f.Verdict)
		}
		if (len(r.Suppressions) > 0) != (f.WaivedBy != nil) {
			t.Errorf("result %d: waived %v, suppressed %v", i, f.WaivedBy, r.Suppressions)
		}
		if f.Source.File == "" {
			continue
		}
		at := r.Locations[0].PhysicalLocation
		if *at.ArtifactLocation.URI != f.Source.File || *at.Region.StartLine != f.Source.Line {
			t.Errorf("result %d stands at %s:%d, want %s:%d", i, *at.ArtifactLocation.URI, *at.Region.StartLine, f.Source.File, f.Source.Line)
		}
	}
	if len(run.Taxonomies) != 2 || len(run.Results[replicas].Taxa) != 2 {
		t.Errorf("controls are lost: %d frameworks, %d taxa", len(run.Taxonomies), len(run.Results[replicas].Taxa))
	}
}

func TestSARIFEscapesFileNames(t *testing.T) {
	rep := inSync().With(kspec.Finding{Verdict: kspec.Missing, Source: kspec.Source{File: "apps/a b/#1.yaml"}})
	if text := write(t, "sarif", report.Options{}, rep); !strings.Contains(text, `"uri": "apps/a%20b/%231.yaml"`) {
		t.Error(text)
	}
}

func TestJUnitIsReadAsWeMeanIt(t *testing.T) {
	suites, err := junit.Ingest([]byte(write(t, "junit", report.Options{}, several()...)))
	if err != nil {
		t.Fatal(err)
	}
	if len(suites) != 2 {
		t.Fatalf("got %d suites", len(suites))
	}
	want := junit.Totals{Tests: 8, Failed: 5, Error: 2, Skipped: 1, Duration: suites[0].Totals.Duration}
	if diff := cmp.Diff(want, suites[0].Totals); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	if got := suites[1].Totals; got.Tests != 1 || got.Passed != 1 {
		t.Errorf("a report in sync gives %+v", got)
	}
	if got := suites[0].Tests[replicas]; !strings.Contains(got.Error.Error(), "/spec/replicas: 3 -> 5, 3 minutes ago by kubectl-edit") {
		t.Errorf("the failure tells %q", got.Error.Error())
	}
}

func TestJUnitHoldsNothingThatXMLForbids(t *testing.T) {
	for _, s := range []string{"\x00", "\x1b[31m", "\ufffe", "]]>", "<failure/>", "\xff"} {
		suites, err := junit.Ingest([]byte(write(t, "junit", report.Options{}, hostile(s))))
		if err != nil || !cmp.Equal(suites[0].Totals, junit.Totals{Tests: 3, Skipped: 1, Error: 2, Duration: suites[0].Totals.Duration}) {
			t.Errorf("%q: %v, %+v", s, err, suites)
		}
	}
}

// oscalPatterns are what OSCAL's data types demand of the values of some keys.
func oscalPatterns() map[string]*regexp.Regexp {
	uuid := regexp.MustCompile(`^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[45][0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}$`)
	token := regexp.MustCompile(`^(\p{L}|_)(\p{L}|\p{N}|[.\-_])*$`)
	text := regexp.MustCompile(`^\S(.*\S)?$`)
	stamp := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`)
	return map[string]*regexp.Regexp{
		"uuid": uuid, "subject-uuid": uuid, "observation-uuid": uuid,
		"control-id": token, "target-id": token, "name": token, "type": token,
		"value": text, "title": text, "description": text, "version": text,
		"start": stamp, "end": stamp, "collected": stamp, "last-modified": stamp,
	}
}

func TestOSCALKeepsToItsDataTypes(t *testing.T) {
	for _, reports := range [][]kspec.Report{several(), {hostile("x")}, {inSync()}} {
		var doc any
		if err := json.Unmarshal([]byte(write(t, "oscal", report.Options{}, reports...)), &doc); err != nil {
			t.Fatal(err)
		}
		checkOSCAL(t, "", "", doc)
	}
}

func checkOSCAL(t *testing.T, path, key string, v any) {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 && key != "include-all" {
			t.Errorf("%s is empty", path)
		}
		for k, w := range v {
			checkOSCAL(t, path+"/"+k, k, w)
		}
	case []any:
		if len(v) == 0 {
			t.Errorf("%s has no item", path)
		}
		for _, w := range v {
			checkOSCAL(t, path, key, w)
		}
	case string:
		if p := oscalPatterns()[key]; p != nil && !p.MatchString(v) {
			t.Errorf("%s: %q does not match %s", path, v, p)
		}
	}
}

func TestOSCALMapsFindingsToControls(t *testing.T) {
	var doc struct {
		Results struct {
			Results []struct {
				Reviewed struct {
					Selections []struct {
						Include []struct {
							ID string `json:"control-id"`
						} `json:"include-controls"`
					} `json:"control-selections"`
				} `json:"reviewed-controls"`
				Observations []struct{ UUID, Remarks string }
				Findings     []struct {
					Target struct {
						ID     string `json:"target-id"`
						Status struct{ State string }
					}
					Related []struct {
						UUID string `json:"observation-uuid"`
					} `json:"related-observations"`
				}
			}
		} `json:"assessment-results"`
	}
	if err := json.Unmarshal([]byte(write(t, "oscal", report.Options{}, several()...)), &doc); err != nil {
		t.Fatal(err)
	}
	first := doc.Results.Results[0]
	var ids []string
	for _, f := range first.Findings {
		ids = append(ids, f.Target.ID+" "+f.Target.Status.State)
	}
	if got, want := strings.Join(ids, ", "), "_5.2.1 not-satisfied, ac-6.1 not-satisfied, cm-3 not-satisfied"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if first.Findings[0].Related[0].UUID != first.Observations[replicas].UUID {
		t.Error("the finding does not lead to its observation")
	}
	if len(first.Observations) != len(drifted().Findings) || len(first.Reviewed.Selections[0].Include) != 3 {
		t.Errorf("got %d observations and %d controls", len(first.Observations), len(first.Reviewed.Selections[0].Include))
	}
}

func TestOSCALWantsAReport(t *testing.T) {
	if err := report.Write(&bytes.Buffer{}, "oscal", nil, report.Options{}); err == nil {
		t.Error("no error")
	}
}
