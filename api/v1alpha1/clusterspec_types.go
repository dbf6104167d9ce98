package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ClusterSpec says what one cluster must be.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,shortName=cspec
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Drift",type=string,JSONPath=`.status.conditions[?(@.type=="DriftDetected")].status`
// +kubebuilder:printcolumn:name="Findings",type=integer,JSONPath=`.status.findings.total`
// +kubebuilder:printcolumn:name="Score",type=integer,JSONPath=`.status.score`
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.status.observedRevision`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterSpec struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ClusterSpecSpec   `json:"spec"`
	Status ClusterSpecStatus `json:"status,omitempty"`
}

// ClusterSpecList is a list of ClusterSpecs.
//
// +kubebuilder:object:root=true
type ClusterSpecList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterSpec `json:"items"`
}

// ClusterSpecSpec is what a ClusterSpec asks for.
type ClusterSpecSpec struct {
	// clusterRef names a ClusterTarget of the same repo. Absent means the
	// cluster that kspec runs in, or that --kubeconfig names.
	// +optional
	ClusterRef *ClusterRef `json:"clusterRef,omitempty"`
	// suspend makes kspec look away.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
	// interval is the longest time between two looks, 5m when absent and at
	// least 10s.
	// +optional
	Interval *Duration `json:"interval,omitempty"`
	// delivery says who applies what is merged.
	// +optional
	Delivery Delivery `json:"delivery,omitempty"`
	// manifests are the Kustomize overlays or plain folders that the engine
	// deploys to the cluster.
	// +optional
	Manifests []Manifest `json:"manifests,omitempty"`
	// policyTemplate is a policy template to render; it goes before
	// policyTemplates.
	// +optional
	PolicyTemplate *PolicyTemplateUse `json:"policyTemplate,omitempty"`
	// policyTemplates are further templates to render. Two come with kspec:
	// security-baseline and compliance-strict.
	// +optional
	PolicyTemplates []PolicyTemplateUse `json:"policyTemplates,omitempty"`
	// policyInheritance names what the templates build on.
	// +optional
	PolicyInheritance *PolicyInheritance `json:"policyInheritance,omitempty"`
	// namespaceScope says for which namespaces the policies are meant.
	// +optional
	NamespaceScope *NamespaceScope `json:"namespaceScope,omitempty"`
	// timeBasedActivation says when the policies act; absent means always.
	// +optional
	TimeBasedActivation *TimeBasedActivation `json:"timeBasedActivation,omitempty"`
	// policyExemptions waive what the policies find in some objects.
	// +optional
	PolicyExemptions []PolicyExemption `json:"policyExemptions,omitempty"`
	// enforcement says in which form policies are delivered.
	// +optional
	Enforcement Enforcement `json:"enforcement,omitempty"`
	// kubernetes bounds the version of the API server.
	// +optional
	Kubernetes Kubernetes `json:"kubernetes,omitempty"`
	// podSecurity says which Pod Security levels namespaces must have.
	// +optional
	PodSecurity PodSecurity `json:"podSecurity,omitempty"`
	// network says what namespaces and Services must be like.
	// +optional
	Network Network `json:"network,omitempty"`
	// workloads are requirements of what runs.
	// +optional
	Workloads Workloads `json:"workloads,omitempty"`
	// rbac says which rights somebody must have, and which nobody.
	// +optional
	RBAC RBAC `json:"rbac,omitempty"`
	// admission says which admission control must be there.
	// +optional
	Admission Admission `json:"admission,omitempty"`
	// observability says what must watch the cluster.
	// +optional
	Observability Observability `json:"observability,omitempty"`
	// compliance maps checks to the controls of frameworks.
	// +optional
	Compliance Compliance `json:"compliance,omitempty"`
	// drift says which differences matter.
	// +optional
	Drift Drift `json:"drift,omitempty"`
	// remediation says how drift is put right.
	// +optional
	Remediation Remediation `json:"remediation,omitempty"`
}

// ClusterRef names a ClusterTarget.
type ClusterRef struct {
	// name is the metadata.name of the ClusterTarget.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
}

// Delivery says who applies what is merged, and from where.
type Delivery struct {
	// engine applies what is merged: flux, argocd, or none.
	// +kubebuilder:validation:Enum=flux;argocd;none
	// +kubebuilder:default=none
	// +optional
	Engine string `json:"engine,omitempty"`
	// path is the folder of the repo that rendered policies are committed to
	// and deployed from.
	// +optional
	Path string `json:"path,omitempty"`
	// fieldManager is the manager that the engine applies with. Absent, it is
	// kustomize-controller for flux, argocd-controller for argocd, and kubectl
	// for none.
	// +optional
	FieldManager string `json:"fieldManager,omitempty"`
	// ref names the Flux Kustomization or the Argo CD Application that deploys
	// path. kspec reads from it what the engine leaves alone, and which objects
	// it would delete.
	// +optional
	Ref *UnitRef `json:"ref,omitempty"`
	// policies is what the rules of templates are rendered to:
	// ValidatingAdmissionPolicies of Kubernetes itself, ValidatingPolicies of
	// Kyverno 1.17 and later, or the ClusterPolicies of older ones, which Kyverno
	// is giving up. auto is kyverno where the cluster serves its
	// ValidatingPolicies, and else vap.
	// +kubebuilder:validation:Enum=vap;kyverno;kyverno-legacy;auto
	// +kubebuilder:default=vap
	// +optional
	Policies string `json:"policies,omitempty"`
}

// UnitRef names a Flux Kustomization or an Argo CD Application.
type UnitRef struct {
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// namespace is flux-system for flux and argocd for argocd when absent.
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// Manifest is a folder that the engine deploys.
type Manifest struct {
	// path is a folder of the repo: a Kustomize overlay, or plain manifests,
	// which are read with their sub-folders, as Flux reads them.
	// +kubebuilder:validation:MinLength=1
	Path string `json:"path"`
	// fieldManager is the manager that applies this folder, delivery's when
	// absent.
	// +optional
	FieldManager string `json:"fieldManager,omitempty"`
	// namespace is given to namespaced objects that name none, as the engine
	// does.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// ref names the Flux Kustomization or the Argo CD Application that deploys
	// this folder. kspec reads from it what the engine leaves alone, and which objects
	// it would delete.
	// +optional
	Ref *UnitRef `json:"ref,omitempty"`
}

// PolicyTemplateUse is a template and the parameters given to it.
type PolicyTemplateUse struct {
	// name is the metadata.name of a PolicyTemplate of the repo or built in.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// parameters are values for the template's parameters. An unknown one is
	// an error.
	// +optional
	Parameters map[string]apiextensionsv1.JSON `json:"parameters,omitempty"`
}

// Enforcement says in which form policies are delivered.
type Enforcement struct {
	// enabled false is the same as mode monitor.
	// +optional
	Enabled bool `json:"enabled,omitempty"`
	// mode is monitor (report only), audit (deliver policies that warn and
	// record) or enforce (deliver policies that deny).
	// +kubebuilder:validation:Enum=monitor;audit;enforce
	// +kubebuilder:default=monitor
	// +optional
	Mode string `json:"mode,omitempty"`
}

// Workloads are requirements of what runs.
type Workloads struct {
	// containers are demands of the fields of containers.
	// +optional
	Containers Containers `json:"containers,omitempty"`
	// images are requirements of container images.
	// +optional
	Images Images `json:"images,omitempty"`
}

// Images are requirements of container images.
type Images struct {
	// allowedRegistries are those that images may come from, as a host or the
	// beginning of a repository, such as ghcr.io/acme; * stands for any
	// characters within one element of the path. Any when absent.
	// +optional
	AllowedRegistries []string `json:"allowedRegistries,omitempty"`
	// blockedRegistries are those that images may not come from; they go
	// before allowedRegistries.
	// +optional
	BlockedRegistries []string `json:"blockedRegistries,omitempty"`
	// requireDigests demands that every image is named by its digest.
	// +optional
	RequireDigests bool `json:"requireDigests,omitempty"`
	// requireSignatures demands that every image is signed as signatures say.
	// An image that no entry matches is a finding.
	// +optional
	RequireSignatures bool `json:"requireSignatures,omitempty"`
	// signatures say whose signatures count, by image.
	// +optional
	Signatures []SignatureRule `json:"signatures,omitempty"`
	// onError says what an image is that could not be checked: unknown, or
	// deny, which makes it a finding.
	// +kubebuilder:validation:Enum=unknown;deny
	// +kubebuilder:default=unknown
	// +optional
	OnError string `json:"onError,omitempty"`
}

// SignatureRule says whose signatures count for some images.
type SignatureRule struct {
	// match are globs over the image repository with its registry, such as
	// ghcr.io/acme/**; * matches within one path element, ** across them.
	// +kubebuilder:validation:MinItems=1
	Match []string `json:"match"`
	// authorities are those whose signature counts.
	// +kubebuilder:validation:MinItems=1
	Authorities []Authority `json:"authorities"`
	// mode is any (one authority is enough) or all.
	// +kubebuilder:validation:Enum=any;all
	// +kubebuilder:default=any
	// +optional
	Mode string `json:"mode,omitempty"`
}

// Authority is someone whose signature counts.
type Authority struct {
	// name appears in findings.
	// +optional
	Name string `json:"name,omitempty"`
	// keys are public keys; a signature by any of them counts, so that keys
	// can be rotated.
	// +kubebuilder:validation:MinItems=1
	Keys []Key `json:"keys"`
}

// Key is a public key.
type Key struct {
	// pem is the key in PEM, PKIX form ("BEGIN PUBLIC KEY").
	PEM string `json:"pem"`
}

// Drift says which differences matter.
type Drift struct {
	// ignore removes differences from the report.
	// +optional
	Ignore []IgnoreRule `json:"ignore,omitempty"`
	// severity says how bad differences are at some places; the last rule that
	// matches decides.
	// +optional
	Severity []SeverityRule `json:"severity,omitempty"`
	// secrets are places whose values are secret, besides Secrets and what is
	// named like one. Their values never leave the comparison.
	// +optional
	Secrets []Places `json:"secrets,omitempty"`
	// confirm says how often and how long drift must be seen before anything
	// is opened because of it.
	// +optional
	Confirm Confirm `json:"confirm,omitempty"`
}

// IgnoreRule removes differences from the report until it expires. It acts on
// the differences, so other fields of the same objects are still compared.
type IgnoreRule struct {
	// paths are JSON pointers, plain or with list keys such as
	// /spec/containers/[name=app]/resources; each covers what lies below.
	// +kubebuilder:validation:MinItems=1
	Paths []string `json:"paths"`
	// selector says for which objects; absent means all.
	// +optional
	Selector Selector `json:"selector,omitempty"`
	// manager limits the rule to fields owned by this field manager.
	// +optional
	Manager string `json:"manager,omitempty"`
	// reason is for those who read the rule later.
	// +kubebuilder:validation:MinLength=1
	Reason string `json:"reason"`
	// expiresAt is when the rule ends.
	ExpiresAt metav1.Time `json:"expiresAt"`
}

// Places are fields of objects.
type Places struct {
	// paths are JSON pointers, plain or with list keys such as
	// /spec/containers/[name=app]/resources; each covers what lies below.
	// +kubebuilder:validation:MinItems=1
	Paths []string `json:"paths"`
	// selector says of which objects; absent means all.
	// +optional
	Selector Selector `json:"selector,omitempty"`
}

// SeverityRule says how bad differences are at some places.
type SeverityRule struct {
	Places `json:",inline"`
	// +kubebuilder:validation:Enum=low;medium;high;critical
	Severity string `json:"severity"`
}

// Selector matches objects; absent fields match anything.
type Selector struct {
	// +optional
	Group string `json:"group,omitempty"`
	// +optional
	Kind string `json:"kind,omitempty"`
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// +optional
	Name string `json:"name,omitempty"`
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
}

// Confirm says how sure kspec must be.
type Confirm struct {
	// observations is the number of looks in a row that must see the drift, 2
	// when absent.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	Observations *int `json:"observations,omitempty"`
	// for is how long the drift must have been seen, 0s when absent.
	// +optional
	For *Duration `json:"for,omitempty"`
}

// Remediation says how drift is put right.
type Remediation struct {
	// mode is pull-request or report.
	// +kubebuilder:validation:Enum=pull-request;report
	// +kubebuilder:default=pull-request
	// +optional
	Mode string `json:"mode,omitempty"`
	// strategy is adopt (write to Git what people did to the cluster), restore
	// (Git is right) or auto.
	// +kubebuilder:validation:Enum=auto;adopt;restore
	// +kubebuilder:default=auto
	// +optional
	Strategy string `json:"strategy,omitempty"`
	// limits bound the pull requests of this spec.
	// +optional
	Limits Limits `json:"limits,omitempty"`
	// labels are given to every pull request.
	// +optional
	Labels []string `json:"labels,omitempty"`
	// reviewers are asked to review every pull request.
	// +optional
	Reviewers []string `json:"reviewers,omitempty"`
	// draft opens pull requests as drafts.
	// +optional
	Draft bool `json:"draft,omitempty"`
}

// Limits bound the pull requests of a spec.
type Limits struct {
	// openPullRequests is 10 when absent.
	// +kubebuilder:validation:Minimum=1
	// +optional
	OpenPullRequests *int `json:"openPullRequests,omitempty"`
	// perHour is 4 when absent.
	// +kubebuilder:validation:Minimum=1
	// +optional
	PerHour *int `json:"perHour,omitempty"`
}

// ClusterSpecStatus is what kspec saw last. Git has none: kspec serve mirrors
// it onto the ClusterSpec of the same name in its own namespace, where there is
// one.
type ClusterSpecStatus struct {
	// conditions are Ready, Reconciling and Stalled, as kstatus reads them,
	// DriftDetected and PolicyEnforced.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedRevision is the commit that was looked at last.
	// +optional
	ObservedRevision string `json:"observedRevision,omitempty"`
	// lastCompleteLook is when kspec last saw everything. It is written once
	// an interval when nothing else is new.
	// +optional
	LastCompleteLook *metav1.Time `json:"lastCompleteLook,omitempty"`
	// score is how many of a hundred requirements that could be looked at
	// hold. It is absent when none could.
	// +optional
	Score *int `json:"score,omitempty"`
	// findings counts those that no exemption waives.
	// +optional
	Findings *FindingCounts `json:"findings,omitempty"`
	// policies counts what kspec delivered, as the cluster has it. It is
	// absent when nobody could count.
	// +optional
	Policies *PolicyCounts `json:"policies,omitempty"`
	// pullRequest is the address of the open pull request.
	// +optional
	PullRequest string `json:"pullRequest,omitempty"`
}

// FindingCounts counts the findings of one look.
type FindingCounts struct {
	// total is the number of open findings.
	Total int `json:"total"`
	// waived is the number of those that an exemption waives.
	// +optional
	Waived int `json:"waived,omitempty"`
	// unknown is the number of objects that could not be looked at.
	// +optional
	Unknown int `json:"unknown,omitempty"`
	// byVerdict counts the open findings by verdict.
	// +optional
	ByVerdict map[string]int `json:"byVerdict,omitempty"`
	// bySeverity counts the open findings by severity.
	// +optional
	BySeverity map[string]int `json:"bySeverity,omitempty"`
}

// PolicyCounts counts the policies of a cluster that kspec delivered.
type PolicyCounts struct {
	// enforced are those that deny.
	Enforced int `json:"enforced"`
	// audited are those that only warn or record.
	Audited int `json:"audited"`
}
