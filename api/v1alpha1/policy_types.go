package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PolicyInheritance names what a ClusterSpec builds on. What is inherited are
// the templates and their parameters, and nothing else: neither scope, nor
// times, nor exemptions, nor where policies are delivered.
type PolicyInheritance struct {
	// basePolicies are other ClusterSpecs, or templates, by name; what comes
	// later wins, and what the ClusterSpec itself says comes last.
	// +kubebuilder:validation:MinItems=1
	BasePolicies []string `json:"basePolicies"`
	// mergeStrategy is merge (a parameter wins over the same one of a base),
	// override (a template replaces that of a base, with all its parameters)
	// or append (no template may stand twice).
	// +kubebuilder:validation:Enum=merge;override;append
	// +kubebuilder:default=merge
	// +optional
	MergeStrategy string `json:"mergeStrategy,omitempty"`
}

// NamespaceScope selects namespaces. Exclude wins; a non-empty include list is
// exhaustive; the selector must agree as well.
type NamespaceScope struct {
	// includeNamespaces are the only namespaces in scope, when not empty.
	// +optional
	IncludeNamespaces []string `json:"includeNamespaces,omitempty"`
	// excludeNamespaces are never in scope.
	// +optional
	ExcludeNamespaces []string `json:"excludeNamespaces,omitempty"`
	// namespaceSelector is over the labels of the namespace.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
}

// TimeBasedActivation says when the policies act: within every active period,
// and in every minute of the schedule.
type TimeBasedActivation struct {
	// enabled false is the same as no timeBasedActivation.
	// +optional
	Enabled bool `json:"enabled,omitempty"`
	// timezone is an IANA name such as Europe/Berlin.
	// +kubebuilder:default=UTC
	// +optional
	Timezone string `json:"timezone,omitempty"`
	// schedule is a cron expression; the policies act in every minute that it
	// names, so that "* 9-16 * * mon-fri" is from 09:00 to 17:00 on workdays.
	// +optional
	Schedule string `json:"schedule,omitempty"`
	// activePeriods are windows by the clock.
	// +optional
	ActivePeriods []ActivePeriod `json:"activePeriods,omitempty"`
	// outside is what the policies are when they do not act: audit (they warn
	// and record) or off (they are not delivered).
	// +kubebuilder:validation:Enum=off;audit
	// +kubebuilder:default=audit
	// +optional
	Outside string `json:"outside,omitempty"`
}

// ActivePeriod is a window that holds its start and not its end.
type ActivePeriod struct {
	// startTime is a time of the day such as 09:00, which is absent for 00:00.
	// +optional
	StartTime string `json:"startTime,omitempty"`
	// endTime is a time of the day such as 17:00, which is absent for 24:00.
	// One before startTime is of the next day.
	// +optional
	EndTime string `json:"endTime,omitempty"`
	// daysOfWeek are those on which the window opens, all when absent.
	// +optional
	DaysOfWeek []Weekday `json:"daysOfWeek,omitempty"`
	// startDate is the first day on which the window opens, such as 2026-12-24.
	// +optional
	StartDate string `json:"startDate,omitempty"`
	// endDate is the last day on which the window opens.
	// +optional
	EndDate string `json:"endDate,omitempty"`
}

// Weekday is the English name of a day.
//
// +kubebuilder:validation:Enum=Monday;Tuesday;Wednesday;Thursday;Friday;Saturday;Sunday
type Weekday string

// PolicyExemption waives what the policies find in some objects. What is waived
// stays in the report, marked. An exemption that has expired, or selects
// nothing, waives nothing and is a finding.
type PolicyExemption struct {
	// name appears in reports, and is unique in its ClusterSpec.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// reason is for those who read the exemption later.
	// +kubebuilder:validation:MinLength=1
	Reason string `json:"reason"`
	// expiresAt is when the exemption ends.
	ExpiresAt metav1.Time `json:"expiresAt"`
	// approver is who answers for the exemption.
	// +kubebuilder:validation:MinLength=1
	Approver string `json:"approver"`
	// namespaces are those whose objects are exempt, by name; absent means
	// that resources alone decide.
	// +optional
	Namespaces []string `json:"namespaces,omitempty"`
	// resources are the objects that are exempt, one match is enough; absent
	// means all of the namespaces.
	// +optional
	Resources []ExemptResource `json:"resources,omitempty"`
}

// ExemptResource matches objects; all fields that are set must agree.
type ExemptResource struct {
	// +optional
	Kind string `json:"kind,omitempty"`
	// +optional
	Name string `json:"name,omitempty"`
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// labelSelector is over the labels of the object.
	// +optional
	LabelSelector *metav1.LabelSelector `json:"labelSelector,omitempty"`
}
