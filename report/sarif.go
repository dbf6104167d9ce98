package report

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cloudcwfranck/kspec"
)

// This file writes SARIF 2.1.0, the OASIS format of code scanning: a run for
// each report, a rule for each verdict, and a place in Git for each result.

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool              sarifTool         `json:"tool"`
	AutomationDetails sarifID           `json:"automationDetails"`
	Invocations       []sarifInvocation `json:"invocations"`
	Taxonomies        []sarifComponent  `json:"taxonomies,omitempty"`
	Results           []sarifResult     `json:"results"`
	ColumnKind        string            `json:"columnKind"`
	Properties        map[string]any    `json:"properties"`
}

type sarifID struct {
	ID string `json:"id"`
}

type sarifTool struct {
	Driver sarifComponent `json:"driver"`
}

type sarifComponent struct {
	Name           string      `json:"name"`
	InformationURI string      `json:"informationUri,omitempty"`
	Rules          []sarifRule `json:"rules,omitempty"`
	Taxa           []sarifID   `json:"taxa,omitempty"`
}

type sarifRule struct {
	ID               string    `json:"id"`
	Name             string    `json:"name"`
	ShortDescription sarifText `json:"shortDescription"`
	Help             sarifText `json:"help"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifInvocation struct {
	ExecutionSuccessful bool                `json:"executionSuccessful"`
	StartTimeUTC        string              `json:"startTimeUtc"`
	EndTimeUTC          string              `json:"endTimeUtc"`
	Notifications       []sarifNotification `json:"toolExecutionNotifications,omitempty"`
}

type sarifNotification struct {
	Level     string          `json:"level"`
	Message   sarifText       `json:"message"`
	Locations []sarifLocation `json:"locations,omitempty"`
}

type sarifResult struct {
	RuleID              string             `json:"ruleId"`
	RuleIndex           int                `json:"ruleIndex"`
	Level               string             `json:"level"`
	Message             sarifText          `json:"message"`
	Locations           []sarifLocation    `json:"locations"`
	PartialFingerprints map[string]string  `json:"partialFingerprints"`
	Taxa                []sarifTaxon       `json:"taxa,omitempty"`
	Suppressions        []sarifSuppression `json:"suppressions,omitempty"`
	Properties          map[string]any     `json:"properties"`
}

type sarifLocation struct {
	PhysicalLocation *sarifPhysical `json:"physicalLocation,omitempty"`
	LogicalLocations []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifPhysical struct {
	ArtifactLocation sarifArtifact `json:"artifactLocation"`
	Region           *sarifRegion  `json:"region,omitempty"`
}

type sarifArtifact struct {
	URI       string `json:"uri"`
	URIBaseID string `json:"uriBaseId"`
}

type sarifRegion struct {
	StartLine int `json:"startLine"`
}

type sarifLogical struct {
	FullyQualifiedName string `json:"fullyQualifiedName"`
	Kind               string `json:"kind"`
}

type sarifTaxon struct {
	ID            string    `json:"id"`
	ToolComponent sarifName `json:"toolComponent"`
}

type sarifName struct {
	Name string `json:"name"`
}

type sarifSuppression struct {
	Kind          string `json:"kind"`
	Justification string `json:"justification"`
}

// verdicts are the rules, in a fixed order.
func verdicts() []kspec.Verdict {
	return []kspec.Verdict{
		kspec.Missing, kspec.Changed, kspec.ExtraField, kspec.ExtraObject, kspec.OwnerConflict, kspec.Violation, kspec.Unsigned,
	}
}

// meaning says what a verdict means.
func meaning(v kspec.Verdict) string {
	return map[kspec.Verdict]string{
		kspec.Missing:       "Git declares an object that the cluster does not have.",
		kspec.Changed:       "A field that Git sets has another value in the cluster, or is gone.",
		kspec.ExtraField:    "A field that Git does not set was put into the cluster.",
		kspec.ExtraObject:   "An object that Git does not declare any more is still in the cluster.",
		kspec.OwnerConflict: "Another applier owns a field that Git sets.",
		kspec.Violation:     "The cluster breaks a requirement of its ClusterSpec.",
		kspec.Unsigned:      "An image is not signed as its ClusterSpec demands.",
	}[v]
}

func writeSARIF(reports []kspec.Report, _ Options) ([]byte, error) {
	doc := sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{}}
	for _, rep := range reports {
		doc.Runs = append(doc.Runs, sarifRunOf(rep))
	}
	return marshal(doc)
}

func sarifRunOf(rep kspec.Report) sarifRun {
	run := sarifRun{
		Tool:              sarifTool{sarifComponent{Name: "kspec", InformationURI: "https://github.com/cloudcwfranck/kspec"}},
		AutomationDetails: sarifID{"kspec/" + rep.Target + "/"},
		Invocations: []sarifInvocation{{
			ExecutionSuccessful: true,
			StartTimeUTC:        rep.StartedAt.UTC().Format(time.RFC3339Nano),
			EndTimeUTC:          rep.StartedAt.Add(rep.Duration).UTC().Format(time.RFC3339Nano),
		}},
		ColumnKind: "unicodeCodePoints",
		Results:    []sarifResult{},
		Properties: map[string]any{"cluster": rep.Cluster, "revision": rep.Revision.String(), "complete": rep.Complete()},
	}
	for _, v := range verdicts() {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{
			ID: "kspec/" + string(v), Name: string(v), ShortDescription: sarifText{meaning(v)},
			Help: sarifText{meaning(v) + " Each result says what to do."},
		})
	}
	for _, u := range rep.Unknown {
		run.Invocations[0].Notifications = append(run.Invocations[0].Notifications, sarifNotification{
			Level: "warning", Message: sarifText{"could not look: " + u.Reason}, Locations: sarifLocations(u.Object, u.Source),
		})
	}
	for _, f := range rep.Findings {
		run.Results = append(run.Results, sarifResultOf(f))
	}
	run.Taxonomies = taxonomies(rep.Findings)
	return run
}

func sarifResultOf(f kspec.Finding) sarifResult {
	text := f.Object.String() + ": " + f.Message
	if f.Hint != "" {
		text += ". " + f.Hint
	}
	r := sarifResult{
		RuleID: "kspec/" + string(f.Verdict), RuleIndex: slices.Index(verdicts(), f.Verdict),
		Level: sarifLevel(f.Severity), Message: sarifText{text},
		Locations:           append([]sarifLocation{}, sarifLocations(f.Object, f.Source)...),
		PartialFingerprints: map[string]string{"kspec/v1": f.Fingerprint},
		Properties:          map[string]any{"type": f.Type, "severity": f.Severity},
	}
	if len(f.Fields) > 0 {
		r.Properties["fields"] = f.Fields
	}
	if f.Check != "" {
		r.Properties["check"], r.Properties["evidence"] = f.Check, f.Evidence
	}
	for _, c := range f.Controls {
		framework, id := splitControl(c)
		r.Taxa = append(r.Taxa, sarifTaxon{id, sarifName{framework}})
	}
	if f.WaivedBy != nil {
		r.Suppressions = []sarifSuppression{{"external", "waived by the exemption " + *f.WaivedBy}}
	}
	return r
}

func sarifLevel(s kspec.Severity) string {
	switch s {
	case kspec.Critical, kspec.High:
		return "error"
	case kspec.Medium:
		return "warning"
	default:
		return "note"
	}
}

// sarifLocations returns the place in Git and the object, as far as both are
// known.
func sarifLocations(id kspec.ObjectID, src kspec.Source) []sarifLocation {
	var at sarifLocation
	if src.File != "" {
		at.PhysicalLocation = &sarifPhysical{ArtifactLocation: sarifArtifact{gitPath(src.File), "%SRCROOT%"}}
		if src.Line > 0 {
			at.PhysicalLocation.Region = &sarifRegion{src.Line}
		}
	}
	if id != (kspec.ObjectID{}) {
		at.LogicalLocations = []sarifLogical{{id.String(), "resource"}}
	}
	if at.PhysicalLocation == nil && at.LogicalLocations == nil {
		return nil
	}
	return []sarifLocation{at}
}

// gitPath returns a file of the config repo as a relative reference.
func gitPath(file string) string {
	path := url.URL{Path: file}
	return strings.TrimPrefix(path.EscapedPath(), "./")
}

// taxonomies lists the controls that findings break, by framework.
func taxonomies(findings []kspec.Finding) []sarifComponent {
	var all []sarifComponent
	var controls []string
	for _, f := range findings {
		controls = append(controls, f.Controls...)
	}
	slices.Sort(controls)
	for _, c := range slices.Compact(controls) {
		framework, id := splitControl(c)
		if n := len(all); n == 0 || all[n-1].Name != framework {
			all = append(all, sarifComponent{Name: framework})
		}
		all[len(all)-1].Taxa = append(all[len(all)-1].Taxa, sarifID{id})
	}
	return all
}

// splitControl returns the framework and the control of "NIST-800-53/CM-3".
func splitControl(c string) (framework, id string) {
	i := strings.LastIndex(c, "/")
	if i < 0 {
		return "controls", c
	}
	return c[:i], c[i+1:]
}
