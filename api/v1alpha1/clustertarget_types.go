package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ClusterTarget says how to reach a cluster.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,shortName=ct
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="API Server",type=string,JSONPath=`.spec.apiServerURL`
// +kubebuilder:printcolumn:name="Reachable",type=boolean,JSONPath=`.status.reachable`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Platform",type=string,JSONPath=`.status.platform`
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterTarget struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ClusterTargetSpec   `json:"spec"`
	Status ClusterTargetStatus `json:"status,omitempty"`
}

// ClusterTargetList is a list of ClusterTargets.
//
// +kubebuilder:object:root=true
type ClusterTargetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterTarget `json:"items"`
}

// ClusterTargetSpec says where a cluster is and who kspec is there.
type ClusterTargetSpec struct {
	// apiServerURL is the https address of the API server. With authMode
	// kubeconfig it may be absent; given, it must be the kubeconfig's.
	// +optional
	APIServerURL string `json:"apiServerURL,omitempty"`
	// authMode is kubeconfig, serviceAccount or token.
	// +kubebuilder:validation:Enum=kubeconfig;serviceAccount;token
	AuthMode string `json:"authMode"`
	// kubeconfigSecretRef names a kubeconfig without exec plugins, auth
	// providers and file paths, for authMode kubeconfig. The key is
	// "kubeconfig" when absent.
	// +optional
	KubeconfigSecretRef *SecretKeyRef `json:"kubeconfigSecretRef,omitempty"`
	// serviceAccountSecretRef names a service account token, for authMode
	// serviceAccount. The key is "token" when absent.
	// +optional
	ServiceAccountSecretRef *SecretKeyRef `json:"serviceAccountSecretRef,omitempty"`
	// tokenSecretRef names a bearer token, for authMode token. The key is
	// "token" when absent.
	// +optional
	TokenSecretRef *SecretKeyRef `json:"tokenSecretRef,omitempty"`
	// caData is the PEM certificate authority of the API server, in base64.
	// +optional
	CAData []byte `json:"caData,omitempty"`
	// proxyURL is the proxy to the API server.
	// +optional
	ProxyURL string `json:"proxyURL,omitempty"`
	// scanInterval is the longest time between two looks of the ClusterSpecs of
	// this cluster that have no interval of their own.
	// +optional
	ScanInterval *Duration `json:"scanInterval,omitempty"`
	// allowEnforcement lets policies deny requests in this cluster. Without it
	// those of ClusterSpecs with mode enforce are delivered as in mode audit,
	// and the reports say so.
	// +optional
	AllowEnforcement bool `json:"allowEnforcement,omitempty"`
	// group and labels are for views of a fleet.
	// +optional
	Group string `json:"group,omitempty"`
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
}

// SecretKeyRef names a secret of kspec's operator. The documents in Git hold
// names only.
type SecretKeyRef struct {
	// name is the name of the secret.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// key is the key within the secret.
	// +optional
	Key string `json:"key,omitempty"`
}

// ClusterTargetStatus is what kspec saw last. Git has none: kspec serve mirrors
// it onto the ClusterTarget of the same name in its own namespace, where there
// is one.
type ClusterTargetStatus struct {
	// conditions is Ready, as kstatus reads it: the cluster answered, and knows
	// kspec.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// reachable is whether the cluster gave an answer when it was asked last.
	// +optional
	Reachable bool `json:"reachable,omitempty"`
	// lastChecked is when that was.
	// +optional
	LastChecked *metav1.Time `json:"lastChecked,omitempty"`
	// version is that of the API server, as it spells it.
	// +optional
	Version string `json:"version,omitempty"`
	// uid is that of the namespace kube-system, by which clusters are told
	// apart.
	// +optional
	UID string `json:"uid,omitempty"`
	// platform is eks, gke, aks, openshift, k3s or rke2, else the provider of
	// the first node, else unknown.
	// +optional
	Platform string `json:"platform,omitempty"`
	// nodes is absent when kspec may not count them.
	// +optional
	Nodes *int `json:"nodes,omitempty"`
}
