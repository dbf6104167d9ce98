package kspec

import (
	"cmp"
	"slices"
)

// Requirements are what a cluster must be, besides holding what Git declares.
// The zero value demands nothing. What is written as text in it was checked
// when its document was read.
type Requirements struct {
	Kubernetes    KubernetesRules
	PodSecurity   PodSecurityRules
	Network       NetworkRules
	Containers    ContainerRules
	Registries    RegistryRules
	RBAC          AccessRules
	Admission     AdmissionRules
	Observability ObservabilityRules
	Frameworks    []Framework
}

// KubernetesRules bound the version of the API server; an empty text is no
// bound.
type KubernetesRules struct {
	MinVersion, MaxVersion string
	ExcludedVersions       []string
}

// PodSecurityLevel is one of the Pod Security Standards.
type PodSecurityLevel string

// The levels, from lax to strict.
const (
	Privileged PodSecurityLevel = "privileged"
	Baseline   PodSecurityLevel = "baseline"
	Restricted PodSecurityLevel = "restricted"
)

// Rank returns 1 for Privileged up to 3 for Restricted, and 0 for anything
// else.
func (l PodSecurityLevel) Rank() int {
	return slices.Index([]PodSecurityLevel{Privileged, Baseline, Restricted}, l) + 1
}

// PodSecurityRules say which levels the labels of namespaces ask for; an empty
// level demands nothing.
type PodSecurityRules struct {
	Enforce, Audit, Warn PodSecurityLevel
	// Version is what the labels must be pinned to, "" for any.
	Version string
	// Exemptions are other levels, of single namespaces.
	Exemptions []PodSecurityExemption
}

// PodSecurityExemption is the level of one namespace, in place of all others.
type PodSecurityExemption struct {
	Namespace string
	Level     PodSecurityLevel
	Reason    string
}

// NetworkRules say what namespaces and Services must be like.
type NetworkRules struct {
	DefaultDeny      bool
	RequiredPolicies []NamedPolicy
	// ServiceTypes are those that are allowed; empty allows all.
	ServiceTypes    []string
	DisallowedPorts []int32
}

// NamedPolicy is a policy that must exist.
type NamedPolicy struct {
	Name, Description string
}

// ContainerRules are demands of containers and their pods.
type ContainerRules struct {
	Required, Forbidden []FieldDemand
}

// FieldDemand is about one field of a container or its pod. Without Value and
// Exists it means that the field is there and not false.
type FieldDemand struct {
	Key    string
	Value  *string
	Exists *bool
}

// RegistryRules say where images may come from. Blocked goes before Allowed.
type RegistryRules struct {
	Allowed, Blocked []string
	RequireDigests   bool
}

// AccessRules say what must be granted to somebody, and what to nobody.
type AccessRules struct {
	Minimum, Forbidden []AccessRule
}

// AccessRule is some verbs on one resource; "*" stands for all.
type AccessRule struct {
	APIGroup, Resource string
	Verbs              []string
}

// AdmissionRules say which admission control must be there.
type AdmissionRules struct {
	Required         []AdmissionDemand
	MinPolicies      int
	RequiredPolicies []NamedPolicy
}

// AdmissionDemand counts objects of one kind by a regular expression of their
// names.
type AdmissionDemand struct {
	Kind, NamePattern string
	MinCount          int
}

// ObservabilityRules say what must watch the cluster.
type ObservabilityRules struct {
	RequireMetrics bool
	// MetricsProviders are those of which one is enough; empty means those
	// that kspec knows.
	MetricsProviders []string
	RequireAuditLog  bool
	// MinRetentionDays is how long the API server must keep its audit log.
	MinRetentionDays int
}

// Framework is a catalogue of controls.
type Framework struct {
	Name, Revision string
	Controls       []Control
}

// String returns the name with the revision, as it leads the controls of
// findings.
func (f Framework) String() string {
	if f.Revision == "" {
		return f.Name
	}
	return f.Name + " " + f.Revision
}

// Control is met by the checks that it names.
type Control struct {
	ID, Title string
	Checks    []string
}

// The names of the checks, to which controls are mapped.
const (
	CheckVersion     = "kubernetes.version"
	CheckPodSecurity = "podsecurity.standards"
	CheckNetwork     = "network.policies"
	CheckServices    = "network.services"
	CheckContainers  = "workloads.containers"
	CheckImages      = "workloads.images"
	CheckSignatures  = "workloads.signatures"
	CheckRBAC        = "rbac.rules"
	CheckAdmission   = "admission.controllers"
	CheckMetrics     = "observability.metrics"
	CheckAuditLog    = "observability.auditlog"
)

// CheckNames lists the checks that there are, in the order of reports.
func CheckNames() []string {
	return []string{
		CheckVersion, CheckPodSecurity, CheckNetwork, CheckServices, CheckContainers, CheckImages, CheckSignatures,
		CheckRBAC, CheckAdmission, CheckMetrics, CheckAuditLog,
	}
}

// Demands reports whether r demands what a check looks at. Of signatures
// [ImageRules] say that.
func (r Requirements) Demands(check string) bool {
	switch check {
	case CheckVersion:
		return r.Kubernetes.MinVersion != "" || r.Kubernetes.MaxVersion != "" || len(r.Kubernetes.ExcludedVersions) > 0
	case CheckPodSecurity:
		return r.PodSecurity.Enforce != "" || r.PodSecurity.Audit != "" || r.PodSecurity.Warn != ""
	case CheckNetwork:
		return r.Network.DefaultDeny || len(r.Network.RequiredPolicies) > 0
	case CheckServices:
		return len(r.Network.ServiceTypes) > 0 || len(r.Network.DisallowedPorts) > 0
	case CheckContainers:
		return len(r.Containers.Required) > 0 || len(r.Containers.Forbidden) > 0
	case CheckImages:
		return len(r.Registries.Allowed) > 0 || len(r.Registries.Blocked) > 0 || r.Registries.RequireDigests
	case CheckRBAC:
		return len(r.RBAC.Minimum) > 0 || len(r.RBAC.Forbidden) > 0
	case CheckAdmission:
		return len(r.Admission.Required) > 0 || r.Admission.MinPolicies > 0 || len(r.Admission.RequiredPolicies) > 0
	case CheckMetrics:
		return r.Observability.RequireMetrics
	case CheckAuditLog:
		return r.Observability.RequireAuditLog
	}
	return false
}

// Checks lists the checks that r demands, in the order of reports.
func (r Requirements) Checks() []string {
	return slices.DeleteFunc(CheckNames(), func(name string) bool { return !r.Demands(name) })
}

// ControlsOf returns the controls that a check serves, sorted, each as
// "framework/id".
func (r Requirements) ControlsOf(check string) []string {
	controls := []string{}
	for _, f := range r.Frameworks {
		for _, c := range f.Controls {
			if slices.Contains(c.Checks, check) {
				controls = append(controls, f.String()+"/"+c.ID)
			}
		}
	}
	slices.Sort(controls)
	return slices.Compact(controls)
}

// Controls returns the controls of all frameworks, in the order in which they
// are written, none of them judged yet.
func (r Requirements) Controls() []ControlResult {
	var all []ControlResult
	for _, f := range r.Frameworks {
		for _, c := range f.Controls {
			all = append(all, ControlResult{Framework: f.String(), ID: c.ID, Title: c.Title, Checks: c.Checks})
		}
	}
	return all
}

// CheckStatus says what became of a check.
type CheckStatus string

// What becomes of a check.
const (
	CheckPass    CheckStatus = "pass"
	CheckFail    CheckStatus = "fail"
	CheckUnknown CheckStatus = "unknown" // not all could be looked at, and nothing was found
)

// Check is one requirement of a target, looked at as a whole.
type Check struct {
	Name   string      `json:"name"`
	Status CheckStatus `json:"status"`
	// Findings are those that no exemption waives.
	Findings int `json:"findings"`
	// Looked is how many objects were looked at, 0 when nobody counted.
	Looked int `json:"looked"`
	// Apart are objects that were left alone because they are the system's
	// own, sorted.
	Apart []string `json:"apart,omitempty"`
	// Incomplete is true when something could not be looked at.
	Incomplete bool `json:"incomplete,omitempty"`
}

// ControlResult is a control of a framework, and what the checks say of it.
type ControlResult struct {
	Framework string      `json:"framework"`
	ID        string      `json:"id"`
	Title     string      `json:"title"`
	Checks    []string    `json:"checks"`
	Status    CheckStatus `json:"status"`
}

// Verified returns r with what a [Verifier] says of the images of t. That is one
// of the checks of a target that demands signatures.
func (r Report) Verified(t Target, bad []Finding, unknown []Unknown) Report {
	r.Unknown = slices.Concat(r.Unknown, unknown)
	r = r.With(bad...)
	if !t.Images.RequireSignatures {
		return r
	}
	order := func(c Check, name string) int {
		return cmp.Compare(slices.Index(CheckNames(), c.Name), slices.Index(CheckNames(), name))
	}
	at, _ := slices.BinarySearchFunc(r.Checks, CheckSignatures, order)
	r.Checks = slices.Insert(slices.Clone(r.Checks), at, Check{Name: CheckSignatures, Incomplete: len(unknown) > 0})
	r.Controls = t.Requirements.Controls()
	return r.Judged()
}

// Judged returns r with the state of its checks and controls as its open
// findings say. Whoever adds or waives findings calls it.
func (r Report) Judged() Report {
	open := map[string]int{}
	for _, f := range r.Open() {
		open[f.Check]++
	}
	r.Checks = slices.Clone(r.Checks)
	status := map[string]CheckStatus{}
	for i, c := range r.Checks {
		c.Findings = open[c.Name]
		switch {
		case c.Findings > 0:
			c.Status = CheckFail
		case c.Incomplete:
			c.Status = CheckUnknown
		default:
			c.Status = CheckPass
		}
		r.Checks[i], status[c.Name] = c, c.Status
	}
	r.Controls = slices.Clone(r.Controls)
	for i, c := range r.Controls {
		r.Controls[i].Status = together(c.Checks, status)
	}
	return r
}

// together is the state of a control: what is not demanded is not known.
func together(checks []string, status map[string]CheckStatus) CheckStatus {
	all := CheckPass
	if len(checks) == 0 {
		all = CheckUnknown
	}
	for _, name := range checks {
		switch status[name] {
		case CheckPass:
		case CheckFail:
			return CheckFail
		default:
			all = CheckUnknown
		}
	}
	return all
}

// Score returns how many of a hundred checks hold, of those that could be
// looked at, rounded down; ok is false when there is none.
func (r Report) Score() (score int, ok bool) {
	pass, all := 0, 0
	for _, c := range r.Checks {
		switch c.Status {
		case CheckPass:
			pass, all = pass+1, all+1
		case CheckFail:
			all++
		case CheckUnknown:
		}
	}
	if all == 0 {
		return 0, false
	}
	return pass * 100 / all, true
}
