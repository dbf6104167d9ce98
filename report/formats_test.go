package report_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
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
func schemaOfSARIF(t *testing.T) []byte {
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
	return []byte(schema)
}

// schema returns a function that tells what a JSON Schema finds wrong.
func schema(t *testing.T, text []byte) func(doc string) error {
	t.Helper()
	const name = "https://example.com/schema.json"
	definition, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
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
	return func(doc string) error {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(doc))
		if err != nil {
			return err
		}
		return compiled.Validate(v)
	}
}

func TestSARIFIsWhatItsSchemaAndItsReadersWant(t *testing.T) {
	check := schema(t, schemaOfSARIF(t))
	all := every()
	all["none"] = nil
	for name, reports := range all {
		if err := check(write(t, "sarif", report.Options{}, reports...)); err != nil {
			t.Errorf("%q: %v", name, err)
		}
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
