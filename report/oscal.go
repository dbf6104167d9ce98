package report

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cloudcwfranck/kspec"
)

// This file writes OSCAL assessment results 1.1.3, NIST's format for audits:
// an observation for each finding and for what could not be looked at, and a
// finding for each control that checks judge or findings break. Equal reports
// give equal UUIDs. Texts are clean throughout, for the schema wants them on
// one line.

const oscalVersion = "1.1.3"

type oscalDoc struct {
	Results oscalAssessment `json:"assessment-results"`
}

type oscalAssessment struct {
	UUID     string          `json:"uuid"`
	Metadata oscalMetadata   `json:"metadata"`
	ImportAP oscalHref       `json:"import-ap"`
	Results  []oscalResult   `json:"results"`
	Back     oscalBackMatter `json:"back-matter"`
}

type oscalMetadata struct {
	Title        string `json:"title"`
	LastModified string `json:"last-modified"`
	Version      string `json:"version"`
	OscalVersion string `json:"oscal-version"`
}

type oscalHref struct {
	Href string `json:"href"`
}

type oscalBackMatter struct {
	Resources []oscalResource `json:"resources"`
}

type oscalResource struct {
	UUID     string        `json:"uuid"`
	Title    string        `json:"title"`
	Citation oscalCitation `json:"citation"`
	Links    []oscalHref   `json:"rlinks,omitempty"`
}

type oscalCitation struct {
	Text string `json:"text"`
}

type oscalResult struct {
	UUID         string             `json:"uuid"`
	Title        string             `json:"title"`
	Description  string             `json:"description"`
	Start        string             `json:"start"`
	End          string             `json:"end"`
	Props        []oscalProp        `json:"props"`
	Local        *oscalLocal        `json:"local-definitions,omitempty"`
	Reviewed     oscalReviewed      `json:"reviewed-controls"`
	Observations []oscalObservation `json:"observations,omitempty"`
	Findings     []oscalFinding     `json:"findings,omitempty"`
	Remarks      string             `json:"remarks,omitempty"`
}

type oscalProp struct {
	Name  string `json:"name"`
	NS    string `json:"ns"`
	Value string `json:"value"`
}

type oscalLocal struct {
	Items []oscalItem `json:"inventory-items"`
}

type oscalItem struct {
	UUID        string `json:"uuid"`
	Description string `json:"description"`
}

type oscalReviewed struct {
	Selections []oscalSelection `json:"control-selections"`
	Remarks    string           `json:"remarks,omitempty"`
}

type oscalSelection struct {
	Description string         `json:"description,omitempty"`
	Include     []oscalControl `json:"include-controls,omitempty"`
}

type oscalControl struct {
	ID string `json:"control-id"`
}

type oscalObservation struct {
	UUID        string          `json:"uuid"`
	Title       string          `json:"title"`
	Description string          `json:"description"`
	Props       []oscalProp     `json:"props"`
	Methods     []string        `json:"methods"`
	Types       []string        `json:"types,omitempty"`
	Subjects    []oscalSubject  `json:"subjects,omitempty"`
	Evidence    []oscalEvidence `json:"relevant-evidence,omitempty"`
	Collected   string          `json:"collected"`
	Remarks     string          `json:"remarks,omitempty"`
}

type oscalSubject struct {
	UUID  string `json:"subject-uuid"`
	Type  string `json:"type"`
	Title string `json:"title"`
}

type oscalEvidence struct {
	Description string `json:"description"`
}

type oscalFinding struct {
	UUID        string         `json:"uuid"`
	Title       string         `json:"title"`
	Description string         `json:"description"`
	Target      oscalTarget    `json:"target"`
	Related     []oscalRelated `json:"related-observations,omitempty"`
}

type oscalTarget struct {
	Type   string      `json:"type"`
	ID     string      `json:"target-id"`
	Status oscalStatus `json:"status"`
}

type oscalStatus struct {
	State   string `json:"state"`
	Reason  string `json:"reason"`
	Remarks string `json:"remarks,omitempty"`
}

type oscalRelated struct {
	UUID string `json:"observation-uuid"`
}

// writeOSCAL writes one document; each report is one of its results. What was
// assessed, the ClusterSpecs, stands in for the assessment plan.
func writeOSCAL(reports []kspec.Report, _ Options) ([]byte, error) {
	if len(reports) == 0 {
		return nil, fmt.Errorf("no report: OSCAL wants one result or more")
	}
	var doc oscalAssessment
	var last time.Time
	var names, keys, texts []string
	var links []oscalHref
	for _, rep := range reports {
		doc.Results = append(doc.Results, oscalResultOf(rep))
		names = append(names, clean(rep.Target))
		keys = append(keys, rep.Target, stamp(rep.StartedAt))
		at := place(rep.Source)
		texts = append(texts, clean(rep.Target)+": "+cmp.Or(at, "ClusterSpec")+" at "+clean(rep.Revision.String()))
		if at != "" {
			links = append(links, oscalHref{gitPath(rep.Source.File)})
		}
		if end := rep.StartedAt.Add(rep.Duration); end.After(last) {
			last = end
		}
	}
	plan := oscalResource{
		UUID: id5("plan", keys...), Title: "ClusterSpec " + strings.Join(names, ", "),
		Citation: oscalCitation{strings.Join(texts, "; ")}, Links: links,
	}
	doc.UUID, doc.ImportAP, doc.Back.Resources = id5("results", keys...), oscalHref{"#" + plan.UUID}, []oscalResource{plan}
	doc.Metadata = oscalMetadata{
		Title: "kspec: " + strings.Join(names, ", "), LastModified: stamp(last), OscalVersion: oscalVersion,
		Version: strings.TrimSpace(clean(reports[0].Revision.String())),
	}
	return marshal(oscalDoc{doc})
}

func oscalResultOf(rep kspec.Report) oscalResult {
	r := oscalResult{
		UUID:  id5("result", rep.Target, stamp(rep.StartedAt)),
		Title: "ClusterSpec " + clean(rep.Target), Description: verdict(rep) + ".",
		Start: stamp(rep.StartedAt), End: stamp(rep.StartedAt.Add(rep.Duration)),
		Props: oscalProps(
			"cluster", rep.Cluster, "revision", rep.Revision.String(), "complete", fmt.Sprint(rep.Complete()),
			"objects", fmt.Sprint(rep.Coverage.Objects), "unknown", fmt.Sprint(len(rep.Unknown)),
			"score", scoreOf(rep),
		),
		Remarks: strings.Join(cleanAll(besides(rep)), "\n\n"),
	}
	var about []kspec.ObjectID
	for i, f := range rep.Findings {
		r.Observations = append(r.Observations, oscalObservationOf(rep, f, i))
		about = append(about, f.Object)
	}
	for i, u := range rep.Unknown {
		r.Observations = append(r.Observations, oscalUnknown(rep, u, i))
		about = append(about, u.Object)
	}
	r.Local = oscalInventory(rep, about)
	r.Findings, r.Reviewed = oscalControls(rep, r.Observations)
	return r
}

// oscalInventory lists the objects that observations are about, each once.
func oscalInventory(rep kspec.Report, about []kspec.ObjectID) *oscalLocal {
	seen := map[string]bool{}
	var items []oscalItem
	for _, id := range about {
		if key := objectUUID(rep, id); !seen[key] && id != (kspec.ObjectID{}) {
			seen[key] = true
			items = append(items, oscalItem{key, clean(id.String())})
		}
	}
	if items == nil {
		return nil
	}
	return &oscalLocal{items}
}

func oscalObservationOf(rep kspec.Report, f kspec.Finding, i int) oscalObservation {
	o := oscalObservation{
		UUID:  id5("observation", rep.Target, stamp(rep.StartedAt), f.Fingerprint, fmt.Sprint(i)),
		Title: string(f.Verdict) + ": " + clean(f.Object.String()), Description: clean(f.Message),
		Methods: []string{"TEST"}, Types: []string{"finding"}, Collected: stamp(rep.StartedAt),
		Props: oscalProps(
			"verdict", string(f.Verdict), "severity", string(f.Severity), "type", string(f.Type), "check", f.Check,
			"fingerprint", f.Fingerprint, "source", place(f.Source), "hint", f.Hint,
		),
		Subjects: oscalSubjects(rep, f.Object), Remarks: waived(f),
	}
	for _, d := range f.Fields {
		o.Evidence = append(o.Evidence, oscalEvidence{change(d)})
	}
	for _, key := range slices.Sorted(maps.Keys(f.Evidence)) {
		o.Evidence = append(o.Evidence, oscalEvidence{clean(key) + ": " + show(f.Evidence[key])})
	}
	return o
}

func oscalUnknown(rep kspec.Report, u kspec.Unknown, i int) oscalObservation {
	return oscalObservation{
		UUID:  id5("unknown", rep.Target, stamp(rep.StartedAt), fmt.Sprint(i)),
		Title: "Unknown: " + nameOf(u), Description: "Could not look: " + clean(reasonOf(u)) + ".",
		Methods: []string{"TEST"}, Collected: stamp(rep.StartedAt),
		Props:    oscalProps("verdict", "Unknown", "source", place(u.Source)),
		Subjects: oscalSubjects(rep, u.Object),
	}
}

func oscalSubjects(rep kspec.Report, id kspec.ObjectID) []oscalSubject {
	if id == (kspec.ObjectID{}) {
		return nil
	}
	return []oscalSubject{{objectUUID(rep, id), "inventory-item", clean(id.String())}}
}

// oscalControls says of each control whether it is satisfied, and which were
// reviewed, by framework.
func oscalControls(rep kspec.Report, observations []oscalObservation) (findings []oscalFinding, reviewed oscalReviewed) {
	related := map[string][]oscalRelated{}
	for i, f := range rep.Findings {
		for _, c := range f.Controls {
			related[c] = append(related[c], oscalRelated{observations[i].UUID})
		}
	}
	states, open := oscalStates(rep)
	if len(open) > 0 {
		reviewed.Remarks = "could not be judged: " + strings.Join(open, ", ")
	}
	last := ""
	for _, c := range slices.Sorted(maps.Keys(states)) {
		framework, control := splitControl(c)
		if reviewed.Selections == nil || framework != last {
			last = framework
			reviewed.Selections = append(reviewed.Selections, oscalSelection{Description: clean(framework)})
		}
		selection := &reviewed.Selections[len(reviewed.Selections)-1]
		selection.Include = append(selection.Include, oscalControl{oscalToken(control)})
		findings = append(findings, oscalFinding{
			UUID: id5("finding", rep.Target, stamp(rep.StartedAt), c), Title: clean(c),
			Description: fmt.Sprintf("%s is %s: %s.", clean(c), states[c].State, plural(len(related[c]), "observation")),
			Target:      oscalTarget{"objective-id", oscalToken(control), states[c]},
			Related:     related[c],
		})
	}
	if reviewed.Selections == nil {
		reviewed.Selections = []oscalSelection{{Description: "no control is mapped to what was looked at, or none could be judged"}}
	}
	return findings, reviewed
}

// oscalStates judges controls by the checks that they name and by findings. One
// that only waived findings break is not satisfied, but accepted; one that
// could not be judged has no state, and is open.
func oscalStates(rep kspec.Report) (states map[string]oscalStatus, open []string) {
	states = map[string]oscalStatus{}
	for _, f := range rep.Findings {
		for _, c := range f.Controls {
			if f.WaivedBy == nil {
				states[c] = oscalStatus{State: "not-satisfied", Reason: "fail"}
			} else if states[c].State == "" {
				states[c] = oscalStatus{State: "not-satisfied", Reason: "other", Remarks: "every observation is waived by an exemption"}
			}
		}
	}
	for _, c := range rep.Controls {
		name := c.Framework + "/" + c.ID
		switch {
		case states[name].State != "":
		case c.Status == kspec.CheckPass:
			states[name] = oscalStatus{State: "satisfied", Reason: "pass"}
		default:
			open = append(open, clean(name))
		}
	}
	return states, open
}

// oscalProps makes properties of names and values, without those that have no
// value.
func oscalProps(pairs ...string) []oscalProp {
	var props []oscalProp
	for pair := range slices.Chunk(pairs, 2) {
		if value := strings.TrimSpace(clean(pair[1])); value != "" {
			props = append(props, oscalProp{pair[0], "https://kspec.io/ns/oscal", value})
		}
	}
	return props
}

func objectUUID(rep kspec.Report, id kspec.ObjectID) string {
	return id5("object", rep.Cluster, id.Group, id.Kind, id.Namespace, id.Name)
}

// id5 returns the UUID of a thing by its name: version 5 of RFC 9562.
func id5(kind string, name ...string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://kspec.io/oscal/"+kind+"/"+strings.Join(name, "\x00"))).String()
}

// oscalToken spells a control as OSCAL's catalogs do: AC-2(1) is ac-2.1.
func oscalToken(control string) string {
	s := strings.NewReplacer("(", ".", ")", "").Replace(strings.ToLower(control))
	s = notInTokens.ReplaceAllString(s, "-")
	if s == "" || !startsToken.MatchString(s) {
		s = "_" + s
	}
	return s
}

var (
	notInTokens = regexp.MustCompile(`[^\p{L}\p{N}._-]`)
	startsToken = regexp.MustCompile(`^[\p{L}_]`)
)

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
