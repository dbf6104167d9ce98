package report

import (
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

// This file writes SARIF 2.1.0, the OASIS format of code scanning: a run for
// each report, a rule for each verdict and each requirement that is broken, and
// a place in Git for each result: that of the ClusterSpec when it has no other,
// for GitHub refuses a file with a result that has none. Messages are clean,
// and hold no links.

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
	ID               string     `json:"id"`
	Name             string     `json:"name"`
	ShortDescription sarifText  `json:"shortDescription"`
	Help             sarifText  `json:"help"`
	Properties       *sarifTags `json:"properties,omitempty"`
}

type sarifTags struct {
	Tags []string `json:"tags"`
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
	Kind                string             `json:"kind"`
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
	URIBaseID string `json:"uriBaseId,omitempty"`
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
	Status        string `json:"status"`
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
	rules := sarifRules(rep.Findings)
	run := sarifRun{
		Tool: sarifTool{sarifComponent{Name: "kspec", InformationURI: "https://github.com/cloudcwfranck/kspec", Rules: rules}},
		// What could not be looked at may hold more than the results tell.
		Invocations: []sarifInvocation{{
			ExecutionSuccessful: rep.Complete(),
			StartTimeUTC:        stamp(rep.StartedAt), EndTimeUTC: stamp(rep.StartedAt.Add(rep.Duration)),
		}},
		AutomationDetails: sarifID{"kspec/" + rep.Target + "/"},
		Taxonomies:        taxonomies(rep.Findings),
		ColumnKind:        "unicodeCodePoints",
		Results:           []sarifResult{},
		Properties:        map[string]any{"cluster": rep.Cluster, "revision": rep.Revision.String(), "complete": rep.Complete()},
	}
	if score, ok := rep.Score(); ok {
		run.Properties["score"] = score
	}
	for _, u := range rep.Unknown {
		run.Invocations[0].Notifications = append(run.Invocations[0].Notifications, sarifNotification{
			Level: "error", Message: sarifMessage("could not look: " + u.Reason), Locations: sarifLocations(u.Object, u.Source, rep.Source),
		})
	}
	for _, f := range rep.Findings {
		r := sarifResultOf(f, rep.Source)
		r.RuleIndex = slices.IndexFunc(rules, func(rule sarifRule) bool { return rule.ID == r.RuleID })
		run.Results = append(run.Results, r)
	}
	return run
}

// sarifRules returns a rule for each verdict, then one for each requirement
// that findings break.
func sarifRules(findings []kspec.Finding) []sarifRule {
	var rules []sarifRule
	add := func(name, what string) {
		rules = append(rules, sarifRule{
			ID: "kspec/" + name, Name: name, ShortDescription: sarifText{what}, Help: sarifText{what + " Each result says what to do."},
		})
	}
	for _, v := range verdicts() {
		add(string(v), meaning(v))
	}
	controls := map[string][]string{}
	for _, f := range findings {
		controls[ruleOf(f)] = append(controls[ruleOf(f)], f.Controls...)
	}
	for _, name := range slices.Sorted(maps.Keys(controls)) {
		if !slices.Contains(verdicts(), kspec.Verdict(name)) {
			add(name, "The requirement "+name+" is not met.")
		}
	}
	for i, rule := range rules {
		if tags := controls[rule.Name]; len(tags) > 0 {
			slices.Sort(tags)
			rules[i].Properties = &sarifTags{slices.Compact(tags)}
		}
	}
	return rules
}

func sarifResultOf(f kspec.Finding, spec kspec.Source) sarifResult {
	text := f.Object.String() + ": " + f.Message
	if f.Hint != "" {
		text += ". " + f.Hint
	}
	r := sarifResult{
		RuleID: "kspec/" + ruleOf(f), Kind: "fail", Level: sarifLevel(f.Severity), Message: sarifMessage(text),
		Locations: append([]sarifLocation{}, sarifLocations(f.Object, f.Source, spec)...),
		// The second is the name by which GitHub knows a result again.
		PartialFingerprints: map[string]string{"kspec/v1": f.Fingerprint, "primaryLocationLineHash": f.Fingerprint},
		Properties:          map[string]any{"type": f.Type, "verdict": f.Verdict, "severity": f.Severity},
	}
	if len(f.Fields) > 0 {
		r.Properties["fields"] = f.Fields
	}
	if len(f.Evidence) > 0 {
		r.Properties["evidence"] = f.Evidence
	}
	for _, c := range f.Controls {
		framework, id := splitControl(c)
		r.Taxa = append(r.Taxa, sarifTaxon{id, sarifName{framework}})
	}
	switch {
	case f.Notice:
		r.Kind, r.Level = "informational", "none"
	case f.WaivedBy != nil:
		r.Suppressions = []sarifSuppression{{"external", "accepted", waived(f)}}
	}
	return r
}

// sarifMessage returns s as a message without links, which viewers make of
// "[text](target)".
func sarifMessage(s string) sarifText { return sarifText{strings.ReplaceAll(clean(s), "](", "] (")} }

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

// sarifLocations returns the place in Git, or else that of the ClusterSpec, and
// the object, as far as they are known.
func sarifLocations(id kspec.ObjectID, src, spec kspec.Source) []sarifLocation {
	var at sarifLocation
	if src.File == "" {
		src = spec
	}
	if src.File != "" {
		at.PhysicalLocation = &sarifPhysical{ArtifactLocation: sarifArtifact{gitPath(src.File), "%SRCROOT%"}}
		if path.IsAbs(src.File) { // a manifest outside of the repo
			at.PhysicalLocation.ArtifactLocation = sarifArtifact{URI: "file://" + gitPath(src.File)}
		}
		if src.Line > 0 {
			at.PhysicalLocation.Region = &sarifRegion{src.Line}
		}
	}
	if id != (kspec.ObjectID{}) {
		at.LogicalLocations = []sarifLogical{{clean(id.String()), "resource"}}
	}
	if at.PhysicalLocation == nil && at.LogicalLocations == nil {
		return nil
	}
	return []sarifLocation{at}
}

// gitPath returns a file as a reference relative to the root of the repo.
func gitPath(file string) string {
	u := url.URL{Path: path.Clean(file)}
	return u.String()
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
