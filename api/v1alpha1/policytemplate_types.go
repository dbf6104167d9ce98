package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PolicyTemplate makes the folder that it stands in into a template: rules, and
// objects, with typed parameters.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,shortName=pt
type PolicyTemplate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec PolicyTemplateSpec `json:"spec"`
}

// PolicyTemplateList is a list of PolicyTemplates.
//
// +kubebuilder:object:root=true
type PolicyTemplateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PolicyTemplate `json:"items"`
}

// PolicyTemplateSpec is what a template takes, and what it demands.
type PolicyTemplateSpec struct {
	// description is for people.
	// +optional
	Description string `json:"description,omitempty"`
	// parameters by name; {{name}} in a value of the template's objects
	// stands for one.
	// +optional
	Parameters map[string]Parameter `json:"parameters,omitempty"`
	// rules are what the template demands of objects. They become admission
	// policies.
	// +listType=map
	// +listMapKey=name
	// +optional
	Rules []TemplateRule `json:"rules,omitempty"`
	// resources are files and folders, relative to this document, with objects
	// of the template. A folder with a kustomization.yaml lists them there
	// instead.
	// +optional
	Resources []string `json:"resources,omitempty"`
}

// TemplateRule is one demand. A rule that builds on one of the same name, in a
// template that is inherited, says only what is different.
type TemplateRule struct {
	// name is what inheritance goes by, and part of the name of the policy.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// subjects are what the rule is about: pods, which are Pods and every kind
	// that makes them, or else group/resource, such as networking.k8s.io/ingresses
	// and core/services.
	// +optional
	Subjects []string `json:"subjects,omitempty"`
	// severity of breaking the rule, medium when absent.
	// +kubebuilder:validation:Enum=low;medium;high;critical
	// +optional
	Severity string `json:"severity,omitempty"`
	// final forbids those who inherit the rule to weaken it.
	// +optional
	Final bool `json:"final,omitempty"`
	// controls are the compliance controls that the rule serves, such as
	// NIST-800-53/SC-5.
	// +optional
	Controls []string `json:"controls,omitempty"`
	// expression is CEL, and true for an object that keeps the rule. params.x
	// is the parameter x. For pods, podSpec and podMeta are the pod's, wherever
	// it stands in the object; allContainers are its containers, init
	// containers and ephemeral containers, and images all its images, those of
	// volumes too.
	// +optional
	Expression string `json:"expression,omitempty"`
	// message tells people what to do; {{name}} in it stands for a parameter.
	// +optional
	Message string `json:"message,omitempty"`
}

// Parameter is a typed value.
type Parameter struct {
	// type of the value.
	// +kubebuilder:validation:Enum=string;int;bool;quantity;duration;array
	Type string `json:"type"`
	// description is for people.
	// +optional
	Description string `json:"description,omitempty"`
	// required says that a value must be given. It goes without saying: a
	// parameter is required when it has no default, and not when it has one.
	// +optional
	Required *bool `json:"required,omitempty"`
	// default is the value when none is given; without it one must be given.
	// +optional
	Default *apiextensionsv1.JSON `json:"default,omitempty"`
	// allowed are the only values, when not empty.
	// +optional
	Allowed []apiextensionsv1.JSON `json:"allowed,omitempty"`
}
