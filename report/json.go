package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	kjson "k8s.io/apimachinery/pkg/util/json"

	"github.com/cloudcwfranck/kspec"
)

const (
	apiVersion = "kspec.io/v1alpha1"
	kindReport = "DriftReport"
	kindList   = "DriftReportList"
)

// document is a Report as programs read it. Keys may be added and never
// changed.
type document struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Metadata   metadata        `json:"metadata"`
	Revision   string          `json:"revision"`
	Cluster    string          `json:"cluster"`
	Source     kspec.Source    `json:"source,omitzero"`
	StartedAt  time.Time       `json:"startedAt"`
	ObservedAt time.Time       `json:"observedAt,omitzero"`
	Duration   string          `json:"duration"`
	InSync     bool            `json:"inSync"`
	Complete   bool            `json:"complete"`
	Summary    summary         `json:"summary"`
	Findings   []kspec.Finding `json:"findings"`
	Unknown    []kspec.Unknown `json:"unknown"`

	Score    *int                  `json:"score,omitempty"`
	Checks   []kspec.Check         `json:"checks,omitempty"`
	Controls []kspec.ControlResult `json:"controls,omitempty"`
	Policies *kspec.PolicyCount    `json:"policies,omitempty"`
	InForce  *kspec.InForce        `json:"inForce,omitempty"`
	Notes    []string              `json:"notes,omitempty"`
}

type metadata struct {
	Name string `json:"name"`
}

type summary struct {
	Objects    int                    `json:"objects"`
	ByVerdict  map[kspec.Verdict]int  `json:"byVerdict"`
	BySeverity map[kspec.Severity]int `json:"bySeverity"`
	DecidedBy  map[kspec.Tier]int     `json:"decidedBy"`
	Requests   kspec.Requests         `json:"requests"`
	Suppressed int                    `json:"suppressed"`
	Waived     int                    `json:"waived"`

	SuppressedBy []kspec.Suppression `json:"suppressedBy,omitempty"`

	CrossChecked int `json:"crossChecked,omitzero"`
	Disagreed    int `json:"disagreed,omitzero"`
}

type list struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	Items      []document `json:"items"`
}

func documentOf(rep kspec.Report) document {
	d := document{
		APIVersion: apiVersion,
		Kind:       kindReport,
		Metadata:   metadata{rep.Target},
		Revision:   rep.Revision.String(),
		Cluster:    rep.Cluster,
		Source:     rep.Source,
		StartedAt:  rep.StartedAt.UTC(),
		ObservedAt: rep.ObservedAt.UTC(),
		Duration:   rep.Duration.Round(time.Millisecond).String(),
		InSync:     rep.InSync(),
		Complete:   rep.Complete(),
		Summary:    summaryOf(rep),
		Findings:   make([]kspec.Finding, len(rep.Findings)),
		Unknown:    append([]kspec.Unknown{}, rep.Unknown...),

		Checks:   rep.Checks,
		Controls: rep.Controls,
		Policies: rep.Policies,
		InForce:  rep.InForce,
		Notes:    rep.Notes,
	}
	if score, ok := rep.Score(); ok {
		d.Score = &score
	}
	for i, f := range rep.Findings {
		f.Controls = append([]string{}, f.Controls...) // [] and never null
		d.Findings[i] = f
	}
	return d
}

// summaryOf counts open findings; waived ones have a count of their own.
func summaryOf(rep kspec.Report) summary {
	s := summary{
		Objects:    rep.Coverage.Objects,
		ByVerdict:  map[kspec.Verdict]int{},
		BySeverity: map[kspec.Severity]int{},
		DecidedBy:  map[kspec.Tier]int{},
		Requests:   rep.Coverage.Requests,
		Suppressed: rep.Coverage.Suppressed,
		Waived:     rep.Coverage.Waived,

		SuppressedBy: rep.Coverage.SuppressedBy,
		CrossChecked: rep.Coverage.CrossChecked,
		Disagreed:    rep.Coverage.Disagreed,
	}
	for _, t := range []kspec.Tier{kspec.TierCache, kspec.TierFields, kspec.TierDryRun} {
		s.DecidedBy[t] = rep.Coverage.DecidedBy[t]
	}
	for _, f := range rep.Open() {
		s.ByVerdict[f.Verdict]++
		s.BySeverity[f.Severity]++
	}
	return s
}

func (d document) report() (kspec.Report, error) {
	if d.APIVersion != apiVersion || d.Kind != kindReport {
		return kspec.Report{}, fmt.Errorf("not a %s of %s but %q of %q", kindReport, apiVersion, d.Kind, d.APIVersion)
	}
	took, err := time.ParseDuration(d.Duration)
	if err != nil {
		return kspec.Report{}, fmt.Errorf("duration: %w", err)
	}
	return kspec.Report{
		Target:    d.Metadata.Name,
		Cluster:   d.Cluster,
		Source:    d.Source,
		Revision:  parseRevision(d.Revision),
		StartedAt: d.StartedAt,
		Duration:  took,

		ObservedAt: d.ObservedAt,
		Findings:   d.Findings,
		Unknown:    d.Unknown,
		Checks:     d.Checks,
		Controls:   d.Controls,
		Policies:   d.Policies,
		InForce:    d.InForce,
		Notes:      d.Notes,
		Coverage: kspec.Coverage{
			Objects:    d.Summary.Objects,
			DecidedBy:  d.Summary.DecidedBy,
			Requests:   d.Summary.Requests,
			Suppressed: d.Summary.Suppressed,
			Waived:     d.Summary.Waived,

			SuppressedBy: d.Summary.SuppressedBy,
			CrossChecked: d.Summary.CrossChecked,
			Disagreed:    d.Summary.Disagreed,
		},
	}, nil
}

// parseRevision undoes kspec.Revision.String; the time of the commit is not
// part of it.
func parseRevision(s string) kspec.Revision {
	const mark = "sha1:"
	if commit, ok := strings.CutPrefix(s, mark); ok {
		return kspec.Revision{Commit: commit}
	}
	if i := strings.LastIndex(s, "@"+mark); i >= 0 {
		return kspec.Revision{Branch: s[:i], Commit: s[i+1+len(mark):]}
	}
	return kspec.Revision{}
}

func writeJSON(reports []kspec.Report, _ Options) ([]byte, error) {
	return marshal(documents(reports))
}

// documents returns one report as an object, and any other number as a list.
func documents(reports []kspec.Report) any {
	docs := make([]document, len(reports))
	for i, rep := range reports {
		docs[i] = documentOf(rep)
	}
	if len(docs) == 1 {
		return docs[0]
	}
	return list{apiVersion, kindList, docs}
}

// marshal writes v as indented JSON that no terminal obeys.
func marshal(v any) ([]byte, error) {
	text, err := encode(v)
	return spellOut(text), err
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.Bytes(), err
}

// spellOut spells by its number what cannot be seen, such as C1 controls and
// bidirectional overrides. In a JSON text it can only stand inside strings.
func spellOut(text []byte) []byte {
	var b bytes.Buffer
	b.Grow(len(text))
	for _, r := range string(text) {
		switch {
		case r == '\n' || strconv.IsPrint(r):
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		}
	}
	return b.Bytes()
}

// Parse reads what Write wrote as JSON: one report or a list. Whole numbers
// come back as int64, as they are in live objects.
func Parse(data []byte) ([]kspec.Report, error) {
	var l list
	if err := kjson.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("parse report: %w", err)
	}
	if l.Kind != kindList {
		l.Items = make([]document, 1)
		if err := kjson.Unmarshal(data, &l.Items[0]); err != nil {
			return nil, fmt.Errorf("parse report: %w", err)
		}
	}
	reports := make([]kspec.Report, len(l.Items))
	for i, d := range l.Items {
		rep, err := d.report()
		if err != nil {
			return nil, fmt.Errorf("parse report %q: %w", d.Metadata.Name, err)
		}
		reports[i] = rep
	}
	return reports, nil
}
