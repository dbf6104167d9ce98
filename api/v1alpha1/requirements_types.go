package v1alpha1

// Kubernetes bounds the version of the API server. A suffix of a vendor, such
// as -gke.100 or +k3s1, is no pre-release.
type Kubernetes struct {
	// minVersion is the oldest version that will do, such as 1.30 or 1.30.2.
	// +optional
	MinVersion string `json:"minVersion,omitempty"`
	// maxVersion is the newest version that will do; 1.30 allows every 1.30.x.
	// +optional
	MaxVersion string `json:"maxVersion,omitempty"`
	// excludedVersions will not do; 1.30 excludes every 1.30.x.
	// +optional
	ExcludedVersions []string `json:"excludedVersions,omitempty"`
}

// PodSecurity says which Pod Security level each namespace must ask for by its
// labels, at least. A namespace without a label asks for privileged.
type PodSecurity struct {
	// +optional
	Enforce PodSecurityLevel `json:"enforce,omitempty"`
	// +optional
	Audit PodSecurityLevel `json:"audit,omitempty"`
	// +optional
	Warn PodSecurityLevel `json:"warn,omitempty"`
	// version is what the labels must be pinned to, latest or such as v1.30;
	// any when absent.
	// +kubebuilder:validation:Pattern=`^(latest|v1\.[0-9]+)$`
	// +optional
	Version string `json:"version,omitempty"`
	// exemptions are other levels, of single namespaces. A namespace of the
	// system is looked at only when it is among them.
	// +optional
	Exemptions []PodSecurityExemption `json:"exemptions,omitempty"`
}

// PodSecurityLevel is one of the Pod Security Standards.
//
// +kubebuilder:validation:Enum=privileged;baseline;restricted
type PodSecurityLevel string

// PodSecurityExemption is the level of one namespace, in place of all others.
type PodSecurityExemption struct {
	// +kubebuilder:validation:MinLength=1
	Namespace string           `json:"namespace"`
	Level     PodSecurityLevel `json:"level"`
	// reason is for those who read the exemption later.
	// +kubebuilder:validation:MinLength=1
	Reason string `json:"reason"`
}

// Network says what namespaces and Services must be like.
type Network struct {
	// defaultDeny demands that the pods of each namespace are isolated, in both
	// directions, by a NetworkPolicy that selects all of them.
	// +optional
	DefaultDeny bool `json:"defaultDeny,omitempty"`
	// requiredPolicies are NetworkPolicies that must exist in some namespace.
	// +optional
	RequiredPolicies []NamedPolicy `json:"requiredPolicies,omitempty"`
	// allowedServiceTypes are the types that Services may have; any when
	// absent.
	// +optional
	AllowedServiceTypes []ServiceType `json:"allowedServiceTypes,omitempty"`
	// disallowedPorts are ports that no Service, node or host may open.
	// +optional
	DisallowedPorts []int32 `json:"disallowedPorts,omitempty"`
}

// ServiceType is the type of a Service.
//
// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer;ExternalName
type ServiceType string

// NamedPolicy is a policy that must exist.
type NamedPolicy struct {
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// description tells, in findings, what the policy is for.
	// +optional
	Description string `json:"description,omitempty"`
}

// Containers are demands of all containers that run, init and ephemeral ones
// among them.
type Containers struct {
	// required must hold of every container.
	// +optional
	Required []FieldDemand `json:"required,omitempty"`
	// forbidden must hold of none.
	// +optional
	Forbidden []FieldDemand `json:"forbidden,omitempty"`
}

// FieldDemand is about one field. Without value and exists it means that the
// field is there and not false.
type FieldDemand struct {
	// key is the path of a field of the container or its pod, such as
	// securityContext.runAsNonRoot, resources.limits.memory or hostNetwork. A
	// container without a field that its pod has, too, has the pod's.
	// +kubebuilder:validation:MinLength=1
	Key string `json:"key"`
	// value is what the field is, or one item of it when it is a list. Where
	// nobody sets the field, its default counts.
	// +optional
	Value *string `json:"value,omitempty"`
	// exists says whether the field is there.
	// +optional
	Exists *bool `json:"exists,omitempty"`
}

// RBAC says which rights somebody must have, and which nobody. Roles that come
// with Kubernetes are left alone, and what else is bound to them is not.
type RBAC struct {
	// minimumRules must each be granted to somebody by some role.
	// +optional
	MinimumRules []AccessRule `json:"minimumRules,omitempty"`
	// forbiddenRules may be granted by no role, not even one of their verbs.
	// +optional
	ForbiddenRules []AccessRule `json:"forbiddenRules,omitempty"`
}

// AccessRule is some verbs on one resource. A role that grants * grants all of
// them; * in a rule here stands for * in a role.
type AccessRule struct {
	// apiGroup is "" for the core group. Of a forbidden rule * is any group,
	// unless the resource is * as well.
	APIGroup string `json:"apiGroup"`
	// resource may be a subresource, such as pods/exec. Of a forbidden rule
	// pods/* is each one of pods, and */scale that of each resource.
	// +kubebuilder:validation:MinLength=1
	Resource string `json:"resource"`
	// +kubebuilder:validation:MinItems=1
	Verbs []string `json:"verbs"`
}

// Admission says which admission control must be there.
type Admission struct {
	// +optional
	Required []AdmissionDemand `json:"required,omitempty"`
	// +optional
	Policies *AdmissionPolicies `json:"policies,omitempty"`
}

// AdmissionDemand counts objects of one type by their names.
type AdmissionDemand struct {
	// type is the kind; an admission policy counts when it has a binding, and a
	// configuration when it has a webhook.
	// +kubebuilder:validation:Enum=ValidatingWebhookConfiguration;MutatingWebhookConfiguration;ValidatingAdmissionPolicy;MutatingAdmissionPolicy
	Type string `json:"type"`
	// namePattern is a regular expression that matches part of the name.
	NamePattern string `json:"namePattern"`
	// +kubebuilder:validation:Minimum=0
	MinCount int `json:"minCount"`
}

// AdmissionPolicies counts admission policies: those of Kubernetes that have a
// binding, and those of Kyverno.
type AdmissionPolicies struct {
	// +kubebuilder:validation:Minimum=0
	// +optional
	MinCount int `json:"minCount,omitempty"`
	// +optional
	RequiredPolicies []NamedPolicy `json:"requiredPolicies,omitempty"`
}

// Observability says what must watch the cluster.
type Observability struct {
	// +optional
	Metrics Metrics `json:"metrics,omitempty"`
	// +optional
	Logging Logging `json:"logging,omitempty"`
}

// Metrics demands that metrics are collected.
type Metrics struct {
	// +optional
	Required bool `json:"required,omitempty"`
	// providers are those of which one is enough; prometheus and
	// metrics-server when absent.
	// +optional
	Providers []string `json:"providers,omitempty"`
}

// Logging is about logs of the API server.
type Logging struct {
	// +optional
	AuditLog AuditLog `json:"auditLog,omitempty"`
}

// AuditLog demands that the API server keeps an audit log.
type AuditLog struct {
	// +optional
	Required bool `json:"required,omitempty"`
	// minRetentionDays is how long the log must be kept.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MinRetentionDays int `json:"minRetentionDays,omitempty"`
}

// Compliance maps checks to the controls of frameworks.
type Compliance struct {
	// +optional
	Frameworks []Framework `json:"frameworks,omitempty"`
}

// Framework is a catalogue of controls.
type Framework struct {
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// +optional
	Revision string `json:"revision,omitempty"`
	// +optional
	Controls []Control `json:"controls,omitempty"`
}

// Control is met when all checks that it names hold.
type Control struct {
	// +kubebuilder:validation:MinLength=1
	ID string `json:"id"`
	// +kubebuilder:validation:MinLength=1
	Title string `json:"title"`
	// +optional
	Mappings []ControlMapping `json:"mappings,omitempty"`
}

// ControlMapping names a check, such as podsecurity.standards.
type ControlMapping struct {
	// +kubebuilder:validation:MinLength=1
	Check string `json:"check"`
}
