package kspec

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Scope says for which namespaces the policies are meant. Exclude wins; a
// non-empty Include is exhaustive; Selector must agree as well.
type Scope struct {
	Include []string
	Exclude []string
	// Selector is over the labels of the namespace; nil selects all.
	Selector *metav1.LabelSelector
}

// Activation says when the policies act: in every period, and in every minute
// that Schedule names. Without either they never act.
type Activation struct {
	// Zone is the IANA name of the time zone of all that follows.
	Zone    string
	Periods []Period
	// Schedule is a cron expression of five fields, or empty.
	Schedule string
	// Outside is what the policies are when they do not act: [Audit] or [Off].
	Outside Enforcement
}

// Period is a window that opens on some days. It holds its start and not its
// end.
type Period struct {
	// Start and End are times of the day, as what a clock on the wall shows
	// after midnight. An End before Start is of the next day.
	Start, End time.Duration
	// Days are those on which the window opens; empty means all.
	Days []time.Weekday
	// First and Last are the days between which the window opens, themselves
	// included, as midnight in UTC; zero means without bound.
	First, Last time.Time
}

// Exemption waives what the policies find in some objects, until it expires. It
// covers an object that is in one of Namespaces, if there are any, and that one
// of Resources matches, if there are any. Without both it covers nothing.
type Exemption struct {
	// Name is unique in its target.
	Name       string
	Reason     string
	Approver   string
	ExpiresAt  time.Time
	Namespaces []string
	Resources  []ExemptResource
	// Unapproved says, after "it", why Approver does not count as having
	// approved: the exemption then waives nothing. It is empty when that is
	// proved, or nobody asked for a proof.
	Unapproved string
}

// ExemptResource matches objects; empty fields match anything, and one with no
// field set matches nothing.
type ExemptResource struct {
	Kind      string
	Name      string
	Namespace string
	Labels    *metav1.LabelSelector
}

// MergeStrategy says how what a base says and what comes after it make one.
type MergeStrategy string

// The strategies of inheritance. A thing is a template or a rule, and things of
// one name are the same thing.
const (
	Merge    MergeStrategy = "merge"    // what is later wins field by field
	Override MergeStrategy = "override" // what is later replaces the whole thing
	Append   MergeStrategy = "append"   // nothing may be said twice
)

// Rule is one demand of a policy template, with its parameters in place.
type Rule struct {
	// Name is the key of inheritance.
	Name string
	// Subjects are what the rule is about, such as "pods".
	Subjects []string
	Severity Severity
	// Final forbids those who inherit the rule to weaken it.
	Final bool
	// Controls are the compliance controls that the rule serves.
	Controls []string
	// Expression is CEL and true for an object that keeps the rule.
	Expression string
	// Reads are the parameters that Expression reads, with their values.
	Reads   map[string]any
	Message string
	Source  Source
	// Origins tell where the rule comes from, nearest to the root first.
	Origins []Origin
}

// Origin is a layer that said something of a rule, or of how a template is
// used.
type Origin struct {
	// Layer names the ClusterSpec, or the template that is a base itself.
	Layer string `json:"layer"`
	// Template is the one that the layer uses.
	Template string `json:"template"`
	// Fields are what of the rule is as this layer says, sorted.
	Fields []string `json:"fields,omitempty"`
	// Parameters are those that have the value that this layer gives, sorted.
	Parameters []string `json:"parameters,omitempty"`
}
