package kspec

import (
	"log/slog"
	"time"
)

// Target is one ClusterSpec bound to its cluster, its repo and its delivery
// engine, with defaults applied and durations parsed. The api packages make
// Targets from documents; the stages read nothing else.
type Target struct {
	// Name is the metadata.name of the ClusterSpec, unique in its repo.
	Name string
	// Source is where the ClusterSpec stands; Revision is the commit it was
	// read at, and the one that the stages must use.
	Source   Source
	Revision Revision
	// Cluster is the name of a ClusterTarget; empty means the cluster that
	// kspec was pointed at.
	Cluster string
	// Suspend means: do not look.
	Suspend bool
	// Interval is the longest time between two looks.
	Interval time.Duration

	Enforcement Enforcement
	Scope       Scope
	// Activation is nil for policies that always act.
	Activation *Activation
	Exemptions []Exemption
	// Waiving are those of Exemptions that are in force when the target is
	// looked at.
	Waiving []Exemption
	// InForce is what the policies are when the target is looked at; nil when
	// it has none.
	InForce   *InForce
	Templates []TemplateUse
	// Merge says how rules of one name in several of Templates make one.
	Merge    MergeStrategy
	Overlays []Overlay
	// Requirements are what the cluster must be.
	Requirements Requirements
	Delivery     Delivery
	Images       ImageRules
	Drift        DriftRules
	Remediation  RemediationRules
	// Notes are what the reports must say of how the target is treated.
	Notes []string
}

// LogValue implements [slog.LogValuer].
func (t Target) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", t.Name), slog.String("cluster", t.Cluster))
}

// Enforcement says in which form rendered policies are delivered.
type Enforcement string

// The modes of enforcement.
const (
	Monitor Enforcement = "monitor" // deliver no policy, report only
	Audit   Enforcement = "audit"   // deliver policies that warn and record
	Enforce Enforcement = "enforce" // deliver policies that deny
	Off     Enforcement = "off"     // say nothing: outside of the scope or of all windows
)

// InForce is what the policies of a target are at some instant.
type InForce struct {
	Mode Enforcement `json:"mode"`
	// Outside is true outside of the times at which the policies act.
	Outside bool `json:"outside,omitempty"`
	// Until is when the policies begin or cease to act; zero when they do not
	// in the next eight years.
	Until time.Time `json:"until,omitzero"`
}

// TemplateUse is a policy template with the parameters given to it.
type TemplateUse struct {
	Name       string
	Parameters map[string]any
	// Origins tell which layers of a target that inherits said so, nearest to
	// the root first; nil when it does not inherit.
	Origins []Origin
	// Inherited is how each layer that the target builds on uses the template
	// by itself, sorted by layer, which is the last of the origins.
	Inherited []TemplateUse
}

// Overlay is a Kustomize overlay or a plain folder that the engine deploys.
type Overlay struct {
	// Path is slash-separated and relative to the root of the config repo.
	Path string
	// FieldManager is never empty.
	FieldManager string
	// Namespace is given to namespaced objects that name none.
	Namespace string
	// Unit is what of the engine deploys the folder; zero when nobody said.
	Unit UnitRef
}

// UnitRef names the unit of a delivery engine that applies a folder: a Flux
// Kustomization or an Argo CD Application.
type UnitRef struct {
	Namespace string
	Name      string
}

// Engine is what applies merged changes to the cluster.
type Engine string

// The delivery engines.
const (
	NoEngine Engine = "none"
	Flux     Engine = "flux"
	ArgoCD   Engine = "argocd"
)

// DefaultFieldManager returns the manager name under which e applies objects,
// and "kubectl" for none, which is what "kubectl apply --server-side" uses.
func (e Engine) DefaultFieldManager() string {
	switch e {
	case Flux:
		return "kustomize-controller"
	case ArgoCD:
		return "argocd-controller"
	default:
		return "kubectl"
	}
}

// Delivery says how merged policies reach the cluster.
type Delivery struct {
	Engine Engine
	// Path is the folder of the config repo that rendered policies are
	// committed to; empty means that none are.
	Path string
	// FieldManager is never empty.
	FieldManager string
	// Unit is what of the engine deploys Path; zero when nobody said.
	Unit UnitRef
	// Policies is what the rules of templates become.
	Policies PolicyEngine
}

// PolicyEngine enforces the rules of templates.
type PolicyEngine string

// The policy engines.
const (
	VAP           PolicyEngine = "vap"            // ValidatingAdmissionPolicy of Kubernetes
	Kyverno       PolicyEngine = "kyverno"        // ValidatingPolicy of policies.kyverno.io
	KyvernoLegacy PolicyEngine = "kyverno-legacy" // ClusterPolicy of kyverno.io
	// AutoPolicies is Kyverno where the cluster serves its ValidatingPolicy,
	// and else VAP.
	AutoPolicies PolicyEngine = "auto"
)

// Selector matches objects; empty fields match anything.
type Selector struct {
	Group     string
	Kind      string
	Namespace string
	Name      string
	Labels    map[string]string
}

// Matches reports whether all fields of s that are set agree with the object
// of that identity and those labels.
func (s Selector) Matches(id ObjectID, labels map[string]string) bool {
	agree := func(want, got string) bool { return want == "" || want == got }
	if !agree(s.Group, id.Group) || !agree(s.Kind, id.Kind) ||
		!agree(s.Namespace, id.Namespace) || !agree(s.Name, id.Name) {
		return false
	}
	for k, v := range s.Labels {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// DriftRules say which differences matter.
type DriftRules struct {
	Ignore   []IgnoreRule
	Severity []SeverityRule
	// Secrets are places that hold a secret, besides those that kspec knows.
	Secrets []Places
	Confirm Confirm
}

// Places are fields of objects.
type Places struct {
	// Paths are JSON pointers, plain or with list keys
	// ("/spec/containers/[name=app]/resources"); each covers what lies below.
	Paths    []string
	Selector Selector
}

// SeverityRule says how bad a difference is at some places. The last rule that
// matches a field decides, before what kspec knows by itself.
type SeverityRule struct {
	Places
	Severity Severity
}

// IgnoreRule removes differences from the report until it expires.
type IgnoreRule struct {
	// Paths are JSON pointers, plain or with list keys
	// ("/spec/containers/[name=app]/resources"); each covers what lies below.
	Paths    []string
	Selector Selector
	// Manager, when set, limits the rule to fields owned by that manager.
	Manager   string
	Reason    string
	ExpiresAt time.Time
	Source    Source
}

// Confirm says how often and for how long drift must be seen before anything
// is opened because of it.
type Confirm struct {
	Observations int
	For          time.Duration
}

// ImageRules say which images must be signed, and by whom.
type ImageRules struct {
	RequireSignatures bool
	Signatures        []SignatureRule
	// DenyOnError makes an image that could not be checked a finding instead
	// of an Unknown.
	DenyOnError bool
}

// SignatureRule demands signatures of the images that it matches.
type SignatureRule struct {
	// Match are globs over the normalised repository, "*" within one path
	// element and "**" across them: "ghcr.io/acme/**".
	Match       []string
	Authorities []Authority
	// All demands every authority; otherwise one is enough.
	All bool
}

// Authority is someone whose signature counts. Any of its keys will do.
type Authority struct {
	Name string
	// Keys are public keys in PEM, PKIX form.
	Keys []string
}

// RemediationMode says what kspec may do about findings.
type RemediationMode string

// The modes of remediation.
const (
	ModePullRequest RemediationMode = "pull-request"
	ModeReport      RemediationMode = "report"
)

// Strategy is a way to put a finding right.
type Strategy string

// The strategies.
const (
	StrategyAuto    Strategy = "auto"    // choose by engine and finding
	StrategyRender  Strategy = "render"  // regenerate the delivered policies
	StrategyAdopt   Strategy = "adopt"   // write the live value to Git
	StrategyRestore Strategy = "restore" // make the engine apply Git again
	StrategyReport  Strategy = "report"  // change nothing
)

// RemediationRules say how drift is put right.
type RemediationRules struct {
	Mode     RemediationMode
	Strategy Strategy
	Limits   Limits
	Labels   []string
	// Reviewers are user names of the forge.
	Reviewers []string
	Draft     bool
}

// Limits bound the pull requests of a target.
type Limits struct {
	OpenPullRequests int
	PerHour          int
}
