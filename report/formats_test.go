package report_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/joshdk/go-junit"
	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"k8s.io/apimachinery/pkg/api/validation"
	labelvalue "k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

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

// run is the first run of SARIF, as an outside reader has it.
func run(t *testing.T, reports ...kspec.Report) *sarif.Run {
	t.Helper()
	doc, err := sarif.FromBytes([]byte(write(t, "sarif", report.Options{}, reports...)))
	if err != nil {
		t.Fatal(err)
	}
	return doc.Runs[0]
}

func TestSARIFPlacesEveryResultInGit(t *testing.T) {
	rep := inSync()
	rep.Source = kspec.Source{File: "clusters/prod/clusterspec.yaml", Line: 4}
	rep.Unknown = []kspec.Unknown{{Reason: "forbidden"}}
	for file, want := range map[string]string{
		"": "clusters/prod/clusterspec.yaml", "apps/a b/#1.yaml": "apps/a%20b/%231.yaml", "./a.yaml": "a.yaml", "a:b.yaml": "./a:b.yaml",
		"../a.yaml": "../a.yaml", "/tmp/a.yaml": "file:///tmp/a.yaml", "//evil.example/a": "file:///evil.example/a",
	} {
		got := run(t, rep.With(kspec.Finding{Verdict: kspec.Missing, Source: kspec.Source{File: file}}))
		at := got.Results[0].Locations[0].PhysicalLocation.ArtifactLocation
		if *at.URI != want || (at.URIBaseID == nil) != strings.HasPrefix(want, "file:") {
			t.Errorf("%q stands at %s, want %s", file, *at.URI, want)
		}
		if at := got.Invocations[0].ToolExecutionNotifications[0].Locations[0].PhysicalLocation; *at.ArtifactLocation.URI != rep.Source.File || *at.Region.StartLine != 4 {
			t.Errorf("what could not be looked at stands at %s", *at.ArtifactLocation.URI)
		}
	}
}

func TestSARIFHasARuleForEveryRequirementWithItsControls(t *testing.T) {
	got := run(t, judged())
	for i, f := range judged().Findings {
		r := got.Results[i]
		want := f.Check
		if want == "" {
			want = string(f.Verdict)
		}
		if rule := got.Tool.Driver.Rules[r.RuleIndex]; *rule.ID != *r.RuleID || *rule.Name != want || !slices.Equal(rule.Properties.Tags, f.Controls) {
			t.Errorf("rule %s of result %d is tagged %v, want %v", *rule.ID, i, rule.Properties.Tags, f.Controls)
		}
	}
}

func TestSARIFSaysWhetherAllWasLookedAt(t *testing.T) {
	if *run(t, drifted()).Invocations[0].ExecutionSuccessful || !*run(t, inSync()).Invocations[0].ExecutionSuccessful {
		t.Error("a look that was not complete succeeded, or one that was did not")
	}
}

func TestSARIFMakesNoLinks(t *testing.T) {
	rep := inSync().With(kspec.Finding{Verdict: kspec.Changed, Message: "[see](https://evil.example)\u202e", Hint: "[a](b)"})
	if got := *run(t, rep).Results[0].Message.Text; strings.Contains(got, "](") || !strings.Contains(got, "evil.example") {
		t.Errorf("the message is %q", got)
	}
}

func TestSARIFSuppressesWhatIsWaivedAndNotWhatIsANotice(t *testing.T) {
	exemption := "migration"
	rep := inSync().With(
		kspec.Finding{Object: deployment("a"), Verdict: kspec.Violation, WaivedBy: &exemption},
		kspec.Finding{Object: deployment("b"), Verdict: kspec.Violation, WaivedBy: &exemption, Notice: true},
	)
	got := run(t, rep).Results
	if s := got[0].Suppressions; len(s) != 1 || *s[0].Justification != "waived by migration" || *s[0].Status != "accepted" {
		t.Errorf("waived: %+v", s)
	}
	if len(got[1].Suppressions) != 0 || got[1].Kind != "informational" || got[1].Level != "none" {
		t.Errorf("a notice: %+v", got[1])
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

func TestJUnitHasEveryTestUnderANameOfItsOwn(t *testing.T) {
	rep := scanned().With(scanned().Findings[0], scanned().Findings[0])
	rep.Unknown = append(rep.Unknown, rep.Unknown[0])
	suites, err := junit.Ingest([]byte(write(t, "junit", report.Options{}, rep)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, test := range suites[0].Tests {
		got = append(got, test.Name+": "+string(test.Status))
	}
	if diff := cmp.Diff([]string{
		"Deployment.apps shop/frontend: workloads.containers: failed", "Deployment.apps shop/frontend: workloads.containers #2: failed",
		"Deployment.apps shop/frontend: workloads.containers #3: failed", "the target: Unknown: error", "the target: Unknown #2: error",
		"kubernetes.version holds: passed", "podsecurity.standards holds: passed",
	}, got); diff != "" {
		t.Errorf("tests (-want +got):\n%s", diff)
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

// dashboard is what tests read of a policy report.
type dashboard struct {
	Kind     string
	Metadata struct {
		Name, Namespace string
		Labels          map[string]string
	}
	Summary map[string]int
	Results []struct {
		Rule, Result string
		Properties   map[string]string
	}
}

func dashboards(t *testing.T, reports ...kspec.Report) (all []dashboard) {
	t.Helper()
	for _, doc := range strings.Split(write(t, "policyreport", report.Options{}, reports...), "---\n")[1:] {
		var d dashboard
		if err := yaml.Unmarshal([]byte(doc), &d); err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

func TestPolicyReportsFitIntoACluster(t *testing.T) {
	const n = 3_000
	for doc := range strings.SplitSeq(write(t, "policyreport", report.Options{}, large(n)), "---\n") {
		if len(doc) > 1_500_000 {
			t.Errorf("a document of %d bytes", len(doc))
		}
	}
	names, failed := map[string]bool{}, 0
	for _, d := range dashboards(t, large(n)) {
		names[d.Kind+d.Metadata.Namespace+d.Metadata.Name] = true
		failed += d.Summary["fail"]
	}
	if len(names) < 2 || failed != n || !names["PolicyReportshopkspec-staging-2"] {
		t.Errorf("%d documents of their own names tell of %d failures: %v", len(names), failed, names)
	}
}

func TestWhatIsNotInGitTakesNothingFromWhatPassed(t *testing.T) {
	rep := inSync()
	rep.Findings = []kspec.Finding{
		{Type: kspec.TypeConfiguration, Verdict: kspec.ExtraObject, Object: kspec.ObjectID{Version: "v1", Kind: "Service", Namespace: "shop", Name: "old"}},
		{Type: kspec.TypeCompliance, Verdict: kspec.Violation, Object: kspec.ObjectID{Group: "kspec.io", Version: "v1alpha1", Kind: "ClusterSpec", Name: "staging"}},
		{Type: kspec.TypeConfiguration, Verdict: kspec.Missing, Object: kspec.ObjectID{Version: "v1", Kind: "Service", Namespace: "shop", Name: "web"}},
	}
	rep.Unknown = []kspec.Unknown{{Source: kspec.Source{File: "apps/broken"}, Reason: "no kustomization.yaml"}}
	if text := write(t, "policyreport", report.Options{}, rep); !strings.Contains(text, "\n  pass: 13\n") {
		t.Errorf("want 13 of 14 objects to pass:\n%s", text)
	}
}

func TestPolicyReportsOfTwoTargetsHaveTwoNames(t *testing.T) {
	names, labels := map[string]bool{}, map[string]bool{}
	targets := []string{"", "prod-eu", "Prod-EU", "prod_eu", "prod.eu", "..", "a..b", "é", "\n", strings.Repeat("a", 300), strings.Repeat("a", 301)}
	for _, target := range targets {
		d := dashboards(t, kspec.Report{Target: target, StartedAt: start})[0]
		names[d.Metadata.Name], labels[d.Metadata.Labels["kspec.io/target"]] = true, true
		if wrong := validation.NameIsDNSSubdomain(d.Metadata.Name, false); len(wrong) > 0 {
			t.Errorf("%q becomes %q: %v", target, d.Metadata.Name, wrong)
		}
		if wrong := labelvalue.IsValidLabelValue(d.Metadata.Labels["kspec.io/target"]); len(wrong) > 0 {
			t.Errorf("%q becomes %v: %v", target, d.Metadata.Labels, wrong)
		}
	}
	if len(names) != len(targets) || len(labels) != len(targets) {
		t.Errorf("%d targets have %d names and %d labels", len(targets), len(names), len(labels))
	}
}

// A namespace that is not there takes no document.
func TestPolicyReportsGoIntoNamespacesThatAreThere(t *testing.T) {
	missing := func(id kspec.ObjectID) kspec.Finding {
		return kspec.Finding{Verdict: kspec.Missing, Severity: kspec.High, Object: id}
	}
	rep := inSync().With(
		missing(kspec.ObjectID{Version: "v1", Kind: "Namespace", Name: "gone"}),
		missing(kspec.ObjectID{Version: "v1", Kind: "Service", Namespace: "gone", Name: "a"}),
		missing(kspec.ObjectID{Version: "v1", Kind: "Service", Namespace: "No Name", Name: "a"}),
		missing(kspec.ObjectID{Version: "v1", Kind: "Service", Namespace: "there", Name: "a"}),
	)
	got := map[string]int{}
	for _, d := range dashboards(t, rep) {
		got[d.Kind+" "+d.Metadata.Namespace] = len(d.Results)
	}
	if diff := cmp.Diff(map[string]int{"ClusterPolicyReport ": 3, "PolicyReport there": 1}, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

func TestPolicyReportsTellWhatIsFailedSkippedWarnedAndNotKnown(t *testing.T) {
	exemption := "migration"
	broken := kspec.Finding{Verdict: kspec.Violation, Severity: kspec.High, Check: kspec.CheckImages, Object: deployment("a")}
	waived, notice := broken, broken
	waived.WaivedBy, waived.Check = &exemption, ""
	notice.WaivedBy, notice.Notice = &exemption, true
	for range 40 {
		waived.Fields = append(waived.Fields, kspec.Field{Path: "/spec/x", Desired: strings.Repeat("x", 5_000), Live: 1})
	}
	rep := inSync().With(broken, waived, notice)
	rep.Unknown = []kspec.Unknown{{Object: deployment("b"), Reason: "forbidden"}}
	d := dashboards(t, rep)[1]
	var got []string
	for _, r := range d.Results {
		got = append(got, r.Rule+" "+r.Result)
	}
	if diff := cmp.Diff([]string{"workloads.images fail", "workloads.images warn", "Violation skip", "Unknown error"}, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"pass": 0, "fail": 1, "warn": 1, "error": 1, "skip": 1}, d.Summary); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	skipped := d.Results[2].Properties
	if skipped["waivedBy"] != "migration" || skipped["moreFields"] != "8" || len(skipped["field32"]) > 2_100 || skipped["field33"] != "" {
		t.Errorf("%d properties, %s more fields, waived by %s", len(skipped), skipped["moreFields"], skipped["waivedBy"])
	}
}

// An exemption that ends soon is nothing wrong, and nothing waived.
func TestANoticeIsNotCalledWaived(t *testing.T) {
	exemption := "migration"
	rep := inSync().With(kspec.Finding{Verdict: kspec.Violation, Severity: kspec.Low, Message: "ends soon", WaivedBy: &exemption, Notice: true})
	for _, format := range []string{"text", "markdown", "junit", "oscal"} {
		text := write(t, format, report.Options{}, rep)
		if strings.Contains(text, "waived by") || !strings.Contains(text, "notice") {
			t.Errorf("%s tells of a notice: %s", format, text)
		}
	}
}
