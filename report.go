package kspec

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Report is what one look at one target found.
type Report struct {
	Target   string
	Cluster  string
	Revision Revision
	// Source is where the ClusterSpec stands.
	Source    Source
	StartedAt time.Time
	Duration  time.Duration
	// ObservedAt is the time since which the cluster has been watched without
	// a gap, or read: nothing in the report is older. It is zero for StartedAt.
	ObservedAt time.Time
	// Findings are sorted by object, verdict and first path.
	Findings []Finding
	// Unknown is what could not be looked at.
	Unknown  []Unknown
	Coverage Coverage
	// Checks are the requirements that were looked at, in the order of
	// [CheckNames], and Controls the controls that they serve.
	Checks   []Check
	Controls []ControlResult
	// Policies counts what kspec delivered, as the cluster has it; nil when
	// nobody looked, or could.
	Policies *PolicyCount
	// InForce is what the policies were to be; nil when there are none.
	InForce *InForce
	// Notes are what else the reader must know of how the target is treated.
	Notes []string
}

// PolicyCount counts the policies of a target that are in its cluster.
type PolicyCount struct {
	// Enforced are those that deny, Audited those that only warn or record.
	Enforced int `json:"enforced"`
	Audited  int `json:"audited"`
}

// Coverage says how much a look saw, and what it cost.
type Coverage struct {
	// Objects is the number of desired objects.
	Objects int
	// DecidedBy counts the objects that each tier decided.
	DecidedBy map[Tier]int
	// Requests counts the requests to the Kubernetes API.
	Requests Requests
	// Suppressed counts differences that were left out, SuppressedBy says by
	// which rules; Waived counts those that an exemption covers.
	Suppressed   int
	SuppressedBy []Suppression
	Waived       int
	// CrossChecked counts objects that were in sync by fields and were looked
	// at by a dry run, too, and Disagreed those of which the dry run said
	// something else; it then counts.
	CrossChecked int
	Disagreed    int
}

// Suppression counts the differences that one rule left out.
type Suppression struct {
	// Paths are those of the ignore rule; none when the delivery engine is told
	// to leave the differences alone.
	Paths  []string `json:"paths,omitempty"`
	Reason string   `json:"reason"`
	Count  int      `json:"count"`
}

// Requests counts API requests by verb.
type Requests struct {
	List  int `json:"list"`
	Get   int `json:"get"`
	Patch int `json:"patch"`
}

// Complete reports whether kspec could look at everything.
func (r Report) Complete() bool { return len(r.Unknown) == 0 }

// Settled reports whether kspec looked at everything that it can look at. What
// a settled report does not find any more is gone.
func (r Report) Settled() bool {
	return !slices.ContainsFunc(r.Unknown, func(u Unknown) bool { return !u.Lasting })
}

// InSync reports whether the look was complete and found nothing. A waived
// finding does not count.
func (r Report) InSync() bool { return r.Complete() && len(r.Open()) == 0 }

// Open returns the findings that no exemption waives.
func (r Report) Open() []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.WaivedBy != nil })
}

// notices returns the findings that nothing is wrong about yet.
func (r Report) notices() []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return !f.Notice })
}

// Worst returns the gravest severity among the open findings, or "".
func (r Report) Worst() Severity {
	var worst Severity
	for _, f := range r.Open() {
		if f.Severity.Rank() > worst.Rank() {
			worst = f.Severity
		}
	}
	return worst
}

// Treated returns r with what its reader must know of how t is treated.
func (r Report) Treated(t Target) Report {
	r.Source, r.InForce, r.Notes = t.Source, t.InForce, slices.Concat(r.Notes, t.Notes)
	return r
}

// undelivered returns r with another hint on findings that no apply puts right,
// because Git does not have the rendered policies as they should be now.
func (r Report) undelivered(t Target, want Desired) Report {
	behind := map[string]bool{}
	for _, f := range want.Delivery {
		if had, err := fs.ReadFile(want.Tree.FS, f.Path); err == nil && !bytes.Equal(had, f.Content) || errors.Is(err, fs.ErrNotExist) {
			behind[f.Path] = true
		}
	}
	if len(behind) == 0 {
		return r
	}
	r.Findings = slices.Clone(r.Findings)
	for i, f := range r.Findings {
		byPerson := slices.ContainsFunc(f.Fields, func(d Field) bool { return d.ByPerson })
		left := f.Verdict == ExtraObject && f.Source.Overlay == t.Delivery.Path
		if left || behind[f.Source.File] && !byPerson {
			r.Findings[i].Hint = "Git has older policies under " + t.Delivery.Path + ": merge the pull request that delivers those of now, or run kspec render --write"
		}
	}
	return r
}

// With returns r with the findings added, in order.
func (r Report) With(findings ...Finding) Report {
	r.Findings = slices.Concat(r.Findings, findings)
	SortFindings(r.Findings)
	return r
}

// LogValue implements [slog.LogValuer].
func (r Report) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("revision", r.Revision.String()),
		slog.Int("objects", r.Coverage.Objects),
		slog.Int("findings", len(r.Open())),
		slog.Int("unknown", len(r.Unknown)),
		slog.String("worst", string(r.Worst())),
	}
	if !r.ObservedAt.IsZero() {
		attrs = append(attrs, slog.String("age", r.StartedAt.Sub(r.ObservedAt).Round(time.Second).String()))
	}
	return slog.GroupValue(attrs...)
}

// SortFindings sorts in place by object, verdict, first path and message.
func SortFindings(findings []Finding) {
	path := func(f Finding) string {
		if len(f.Fields) == 0 {
			return ""
		}
		return f.Fields[0].Path
	}
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(
			a.Object.Compare(b.Object),
			strings.Compare(string(a.Verdict), string(b.Verdict)),
			strings.Compare(path(a), path(b)),
			strings.Compare(a.Message, b.Message),
		)
	})
}
