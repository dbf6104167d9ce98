package kspec

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"
)

// FindingType says which promise was broken.
type FindingType string

// The types of finding.
const (
	TypePolicy        FindingType = "policy"        // an admission policy, or what else a policy template makes
	TypeCompliance    FindingType = "compliance"    // a requirement of the ClusterSpec
	TypeConfiguration FindingType = "configuration" // any other object that Git declares
	TypeImage         FindingType = "image"         // a signature
)

// ControlsAnnotation lists, on an object that a rule of a policy template makes,
// the compliance controls that the rule serves, with commas between.
const ControlsAnnotation = "kspec.io/controls"

// Verdict says what is wrong with an object.
type Verdict string

// The verdicts. What could not be decided is not a verdict but an [Unknown].
const (
	Missing       Verdict = "Missing"       // desired, not in the cluster
	Changed       Verdict = "Changed"       // a field that Git sets has another value, or is gone
	ExtraField    Verdict = "ExtraField"    // a field that Git does not set was put there
	ExtraObject   Verdict = "ExtraObject"   // carries our mark, and is gone from Git
	OwnerConflict Verdict = "OwnerConflict" // another applier owns a field that Git sets
	Violation     Verdict = "Violation"     // the cluster breaks a requirement
	Unsigned      Verdict = "Unsigned"      // an image is not signed as demanded
)

// Severity says how bad a finding is.
type Severity string

// The severities, from mild to grave.
const (
	Low      Severity = "low"
	Medium   Severity = "medium"
	High     Severity = "high"
	Critical Severity = "critical"
)

// Severities lists the severities from mild to grave.
func Severities() []Severity { return []Severity{Low, Medium, High, Critical} }

// Rank returns 1 for Low up to 4 for Critical, and 0 for anything else.
func (s Severity) Rank() int { return slices.Index(Severities(), s) + 1 }

// Tier says how an object was decided, cheapest first.
type Tier string

// The tiers of a decision.
const (
	TierCache  Tier = "cache"   // nothing changed since it was last decided
	TierFields Tier = "fields"  // by reading the object and its managedFields
	TierDryRun Tier = "dry-run" // by a server-side-apply dry-run
)

// Finding is one thing that is wrong with one object.
type Finding struct {
	Type     FindingType `json:"type"`
	Verdict  Verdict     `json:"verdict"`
	Severity Severity    `json:"severity"`
	Object   ObjectID    `json:"object"`
	// Labels are of the object, for exemptions that select by them; nil when
	// the stage that found it does not know them.
	Labels map[string]string `json:"-"`
	// Fields are sorted by path.
	Fields []Field `json:"fields,omitempty"`
	// Message is one sentence for a person; Hint says what to do.
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Check names the requirement that is not met; see [CheckNames].
	Check string `json:"check,omitempty"`
	// Evidence is what was found, for programs. It holds no secret and is not
	// part of the fingerprint.
	Evidence map[string]any `json:"evidence,omitempty"`
	// DecidedBy is empty when no tier applies, as for images.
	DecidedBy Tier   `json:"decidedBy,omitempty"`
	Source    Source `json:"source,omitzero"`
	// Controls are the compliance controls that the finding breaks.
	Controls []string `json:"controls"`
	// WaivedBy names the exemption that waives the finding.
	WaivedBy *string `json:"waivedBy"`
	// Notice is true of an exemption that ends soon, which is nothing wrong
	// yet: WaivedBy then names the exemption itself.
	Notice bool `json:"notice,omitempty"`
	// Fingerprint is equal for two findings exactly when verdict, object,
	// paths, desired and live values are equal. See [Finding.Fingerprinted].
	Fingerprint string `json:"fingerprint"`
	// DeletedBy is the account that deleted a missing object, and DeletedAt
	// when, as an audit log of the API server has it; empty without one.
	DeletedBy string    `json:"deletedBy,omitempty"`
	DeletedAt time.Time `json:"deletedAt,omitzero"`
	// FirstSeen is when the first of the looks that saw the finding in a row
	// began, and Seen how many they are. Both are zero when nobody remembers:
	// see [Recorder].
	FirstSeen time.Time `json:"firstSeen,omitzero"`
	Seen      int       `json:"seen,omitempty"`
}

// Field is one difference inside an object. Secret-like values are replaced by
// a keyed tag before a Field exists.
type Field struct {
	// Path is a JSON pointer (RFC 6901) into the live object, or into the
	// desired one for a field that is gone.
	Path string `json:"path"`
	// KeyedPath is the same place with the keys of list items instead of
	// their index: "/spec/containers/[name=app]/image".
	KeyedPath string `json:"keyedPath"`
	// Desired and Live are JSON values; nil means that the field is absent.
	Desired any `json:"desired,omitempty"`
	Live    any `json:"live,omitempty"`
	// Manager, Operation, Subresource and Time are of the managedFields entry
	// that owns the field, and empty when none does. Time is when that manager
	// last wrote any of its fields: an upper bound.
	Manager     string    `json:"manager,omitempty"`
	Operation   string    `json:"operation,omitempty"`
	Subresource string    `json:"subresource,omitempty"`
	Time        time.Time `json:"time,omitzero"`
	// ByPerson is true when Manager is a tool that people use by hand.
	ByPerson bool `json:"byPerson,omitempty"`
	// AppliedAfter is true when the applier of the object wrote it after
	// Manager did, and left the field as it is.
	AppliedAfter bool `json:"appliedAfter,omitempty"`
	// Principal is the account that wrote the field last, as an audit log of
	// the API server has it; empty without one.
	Principal string `json:"principal,omitempty"`
	// Redacted is true when the values were replaced by tags.
	Redacted bool `json:"redacted,omitempty"`
}

// Fingerprinted returns f with its Fingerprint computed: the SHA-256, in hex,
// of verdict, object and the path, desired and live value of each field. Who
// and when are left out, so that the same drift keeps its fingerprint.
func (f Finding) Fingerprinted() Finding {
	type field struct {
		Path          string
		Desired, Live any
	}
	what := struct {
		Verdict Verdict
		Object  ObjectID
		Fields  []field
		Message string `json:",omitempty"`
	}{Verdict: f.Verdict, Object: f.Object}
	for _, d := range f.Fields {
		what.Fields = append(what.Fields, field{d.KeyedPath, d.Desired, d.Live})
	}
	if len(f.Fields) == 0 {
		what.Message = f.Message
	}
	b, _ := json.Marshal(what) // JSON values and strings only: cannot fail
	sum := sha256.Sum256(b)
	f.Fingerprint = hex.EncodeToString(sum[:])
	return f
}
