package report

import (
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
// an observation for each finding, and for each control that findings break
// one statement that it is not satisfied. Equal reports give equal UUIDs.

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
	UUID  string      `json:"uuid"`
	Title string      `json:"title"`
	Links []oscalHref `json:"rlinks"`
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
}

type oscalSelection struct {
	All     *struct{}      `json:"include-all,omitempty"`
	Include []oscalControl `json:"include-controls,omitempty"`
}

type oscalControl struct {
	ID string `json:"control-id"`
}

type oscalObservation struct {
	UUID        string         `json:"uuid"`
	Title       string         `json:"title"`
	Description string         `json:"description"`
	Props       []oscalProp    `json:"props"`
	Methods     []string       `json:"methods"`
	Types       []string       `json:"types"`
	Subjects    []oscalSubject `json:"subjects,omitempty"`
	Collected   string         `json:"collected"`
	Remarks     string         `json:"remarks,omitempty"`
}

type oscalSubject struct {
	UUID  string `json:"subject-uuid"`
	Type  string `json:"type"`
	Title string `json:"title"`
}

type oscalFinding struct {
	UUID        string         `json:"uuid"`
	Title       string         `json:"title"`
	Description string         `json:"description"`
	Target      oscalTarget    `json:"target"`
	Related     []oscalRelated `json:"related-observations"`
}

type oscalTarget struct {
	Type   string      `json:"type"`
	ID     string      `json:"target-id"`
	Status oscalStatus `json:"status"`
}

type oscalStatus struct {
	State string `json:"state"`
}

type oscalRelated struct {
	UUID string `json:"observation-uuid"`
}

// writeOSCAL writes one document; each report is one of its results.
func writeOSCAL(reports []kspec.Report, _ Options) ([]byte, error) {
	doc := oscalAssessment{Results: []oscalResult{}}
	var last time.Time
	var names []string
	for _, rep := range reports {
		names = append(names, rep.Target+"@"+rep.StartedAt.UTC().Format(time.RFC3339Nano))
		if end := rep.StartedAt.Add(rep.Duration); end.After(last) {
			last = end
		}
		doc.Results = append(doc.Results, oscalResultOf(rep))
		doc.Back.Resources = append(doc.Back.Resources, oscalResource{
			UUID: id5("plan", rep.Target), Title: "ClusterSpec " + rep.Target,
			Links: []oscalHref{{"#" + rep.Target + "@" + rep.Revision.String()}},
		})
	}
	if len(reports) == 0 {
		return nil, fmt.Errorf("no report: OSCAL wants one result or more")
	}
	doc.UUID = id5("results", names...)
	doc.Metadata = oscalMetadata{
		Title: "kspec: " + strings.Join(names, ", "), LastModified: stamp(last), OscalVersion: oscalVersion,
		Version: reports[0].Revision.String(),
	}
	doc.ImportAP = oscalHref{"#" + doc.Back.Resources[0].UUID}
	return marshal(oscalDoc{doc})
}

func oscalResultOf(rep kspec.Report) oscalResult {
	r := oscalResult{
		UUID:  id5("result", rep.Target, stamp(rep.StartedAt)),
		Title: "ClusterSpec " + rep.Target, Description: verdict(rep) + ".",
		Start: stamp(rep.StartedAt), End: stamp(rep.StartedAt.Add(rep.Duration)),
		Props: oscalProps(
			"cluster", rep.Cluster, "revision", rep.Revision.String(), "complete", fmt.Sprint(rep.Complete()),
			"objects", fmt.Sprint(rep.Coverage.Objects), "unknown", fmt.Sprint(len(rep.Unknown)),
		),
	}
	items := map[kspec.ObjectID]bool{}
	broken := map[string][]oscalRelated{}
	for i, f := range rep.Findings {
		o := oscalObservationOf(rep, f, i)
		r.Observations = append(r.Observations, o)
		if !items[f.Object] {
			items[f.Object] = true
			if r.Local == nil {
				r.Local = &oscalLocal{}
			}
			r.Local.Items = append(r.Local.Items, oscalItem{objectUUID(rep, f.Object), f.Object.String()})
		}
		for _, c := range f.Controls {
			broken[c] = append(broken[c], oscalRelated{o.UUID})
		}
	}
	var selected []oscalControl
	for _, c := range slices.Sorted(maps.Keys(broken)) {
		_, control := splitControl(c)
		selected = append(selected, oscalControl{oscalToken(control)})
		r.Findings = append(r.Findings, oscalFinding{
			UUID: id5("finding", rep.Target, stamp(rep.StartedAt), c), Title: c,
			Description: fmt.Sprintf("%s broken: %s.", c, plural(len(broken[c]), "observation")),
			Target:      oscalTarget{"objective-id", oscalToken(control), oscalStatus{"not-satisfied"}},
			Related:     broken[c],
		})
	}
	r.Reviewed.Selections = []oscalSelection{{Include: slices.Compact(selected)}}
	if len(selected) == 0 {
		r.Reviewed.Selections = []oscalSelection{{All: &struct{}{}}}
	}
	return r
}

func oscalObservationOf(rep kspec.Report, f kspec.Finding, i int) oscalObservation {
	o := oscalObservation{
		UUID:  id5("observation", rep.Target, stamp(rep.StartedAt), f.Fingerprint, fmt.Sprint(i)),
		Title: string(f.Verdict) + ": " + f.Object.String(), Description: f.Message,
		Methods: []string{"TEST"}, Types: []string{"finding"}, Collected: stamp(rep.StartedAt),
		Props: oscalProps(
			"verdict", string(f.Verdict), "severity", string(f.Severity), "type", string(f.Type),
			"fingerprint", f.Fingerprint, "source", place(f.Source), "hint", f.Hint,
		),
		Subjects: []oscalSubject{{objectUUID(rep, f.Object), "inventory-item", f.Object.String()}},
	}
	if f.WaivedBy != nil {
		o.Remarks = "waived by the exemption " + *f.WaivedBy
	}
	return o
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
