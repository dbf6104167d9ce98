package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AlertConfig says whom to tell of what.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,shortName=ac
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AlertConfig struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   AlertConfigSpec   `json:"spec"`
	Status AlertConfigStatus `json:"status,omitempty"`
}

// AlertConfigList is a list of AlertConfigs.
//
// +kubebuilder:object:root=true
type AlertConfigList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AlertConfig `json:"items"`
}

// AlertConfigSpec holds notifiers and the routes to them.
type AlertConfigSpec struct {
	// defaults apply to every route.
	// +optional
	Defaults AlertDefaults `json:"defaults,omitempty"`
	// defaultNotifiers get what no route matches.
	DefaultNotifiers []string `json:"defaultNotifiers"`
	// slack is the notifier of the name "slack".
	// +optional
	Slack *Slack `json:"slack,omitempty"`
	// webhooks are notifiers by their own names.
	// +listType=map
	// +listMapKey=name
	// +optional
	Webhooks []Webhook `json:"webhooks,omitempty"`
	// routes are tried in order; the first that matches wins unless it says
	// continue.
	// +optional
	Routes []Route `json:"routes,omitempty"`
}

// AlertDefaults apply to every route.
type AlertDefaults struct {
	// repeatInterval is how long after it was told something still true is
	// told again, 4h when absent.
	// +optional
	RepeatInterval *Duration `json:"repeatInterval,omitempty"`
	// resolveAfter is the number of looks in a row that must find nothing
	// before the end is told, 2 when absent.
	// +kubebuilder:validation:Minimum=1
	// +optional
	ResolveAfter *int `json:"resolveAfter,omitempty"`
}

// SecretValue takes a value from a secret of kspec's operator.
type SecretValue struct {
	SecretRef SecretKeyRef `json:"secretRef"`
}

// Slack tells a Slack channel through an incoming webhook.
type Slack struct {
	// enabled is true when absent.
	// +optional
	Enabled *bool `json:"enabled,omitempty"`
	// webhookURL is the address of an incoming webhook. It is a credential,
	// so it comes from a secret.
	WebhookURL SecretValue `json:"webhookURL"`
	// channel is honoured by legacy webhooks only; those that a Slack app
	// makes post to the channel they were made for.
	// +optional
	Channel string `json:"channel,omitempty"`
	// events are the types to tell; empty means all.
	// +optional
	Events []string `json:"events,omitempty"`
}

// Webhook tells an HTTP endpoint.
type Webhook struct {
	// name is what routes call it.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// enabled is true when absent.
	// +optional
	Enabled *bool `json:"enabled,omitempty"`
	// url is an https address.
	// +kubebuilder:validation:MinLength=1
	URL string `json:"url"`
	// method is POST, PUT or PATCH.
	// +kubebuilder:validation:Enum=POST;PUT;PATCH
	// +kubebuilder:default=POST
	// +optional
	Method string `json:"method,omitempty"`
	// headers are sent with every request. ${NAME} stands for a token of the
	// operator's list that is bound to this host and header.
	// +optional
	Headers map[string]string `json:"headers,omitempty"`
	// template is the body as a Go text/template that must give JSON; absent,
	// the event is sent as JSON.
	// +optional
	Template string `json:"template,omitempty"`
	// events are the types to tell; empty means all.
	// +optional
	Events []string `json:"events,omitempty"`
	// retry says how often and how long to try.
	// +optional
	Retry Retry `json:"retry,omitempty"`
}

// Retry says how often and how long to try.
type Retry struct {
	// attempts is 3 when absent; 1 means no retry.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	// +optional
	Attempts *int `json:"attempts,omitempty"`
	// timeout is of each attempt, 10s when absent.
	// +optional
	Timeout *Duration `json:"timeout,omitempty"`
}

// Route sends what matches to its notifiers.
type Route struct {
	// match are labels that must be equal: severity, type, source, cluster,
	// namespace, config. An empty map matches everything.
	// +optional
	Match map[string]string `json:"match,omitempty"`
	// notifiers are names.
	// +kubebuilder:validation:MinItems=1
	Notifiers []string `json:"notifiers"`
	// continue lets later routes match too.
	// +optional
	Continue bool `json:"continue,omitempty"`
}

// AlertConfigStatus is what kspec saw last.
type AlertConfigStatus struct {
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
