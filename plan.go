package kspec

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// Plan is what should be done about a report: pure data, printable as a dry
// run. A Plan without Edits changes nothing and its Reasons say why.
type Plan struct {
	Target   string   `json:"target"`
	Strategy Strategy `json:"strategy"`
	// Base is the branch that the pull request is for, Revision the commit of
	// it that the edits were made on.
	Base     string   `json:"base"`
	Revision Revision `json:"-"`
	// Branch is the head branch, the same for every run with the same target
	// and strategy.
	Branch string `json:"branch"`
	// Edits are sorted by path.
	Edits []Edit `json:"edits"`
	Title string `json:"title"`
	Body  string `json:"body"`
	// Commit is the commit message.
	Commit    string   `json:"commit"`
	Labels    []string `json:"labels,omitempty"`
	Reviewers []string `json:"reviewers,omitempty"`
	Draft     bool     `json:"draft,omitempty"`
	// Fingerprint identifies the drift that the plan is about; see
	// [DriftFingerprint].
	Fingerprint string `json:"fingerprint"`
	// Reasons says, for each finding that the edits do not cover, why not.
	Reasons []Reason `json:"reasons,omitempty"`
}

// Edit is one file as it should become. Before is nil for a new file and After
// is nil for a deleted one.
type Edit struct {
	Path   string `json:"path"`
	Before []byte `json:"-"`
	After  []byte `json:"-"`
	// Diff is the change as a unified diff.
	Diff string `json:"diff"`
}

// Reason says why a finding is reported only.
type Reason struct {
	Object ObjectID `json:"object"`
	Path   string   `json:"path,omitempty"`
	Why    string   `json:"why"`
}

// Outcome is what became of a plan.
type Outcome struct {
	Action Action `json:"action"`
	// Number and URL are of the pull request, when there is one.
	Number int    `json:"number,omitempty"`
	URL    string `json:"url,omitempty"`
	Branch string `json:"branch,omitempty"`
	Commit string `json:"commit,omitempty"`
	// Why explains every action that a person may wonder about.
	Why  string `json:"why,omitempty"`
	Plan Plan   `json:"plan"`
	// Others are what became of the other plans for the same target, which
	// matter less. They have no Others of their own.
	Others []Outcome `json:"others,omitempty"`
}

// Action is what a remediation did.
type Action string

// The actions.
const (
	ActionNone      Action = "none"      // nothing to do
	ActionReported  Action = "reported"  // findings that no pull request can or may put right
	ActionPlanned   Action = "planned"   // dry run: the plan, and nothing done
	ActionWaiting   Action = "waiting"   // more looks are needed before anything is done
	ActionOpened    Action = "opened"    // a pull request was opened
	ActionUpdated   Action = "updated"   // an open pull request was brought up to date
	ActionUnchanged Action = "unchanged" // the open pull request says it already
	ActionClosed    Action = "closed"    // the drift is gone, and the pull request closed
	ActionFrozen    Action = "frozen"    // a person pushed to the branch: hands off
	ActionRefused   Action = "refused"   // a person closed exactly this
	ActionBlocked   Action = "blocked"   // a limit or a rule of the forge forbids it for now
)

// DriftFingerprint identifies a set of findings: the SHA-256, in hex, of their
// sorted fingerprints. It is "" for none.
func DriftFingerprint(findings []Finding) string {
	if len(findings) == 0 {
		return ""
	}
	prints := make([]string, 0, len(findings))
	for _, f := range findings {
		prints = append(prints, f.Fingerprint)
	}
	slices.Sort(prints)
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(prints), "\n")))
	return hex.EncodeToString(sum[:])
}
