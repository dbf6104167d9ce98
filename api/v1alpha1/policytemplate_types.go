package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PolicyTemplate makes a folder with a kustomization.yaml into a template with
// typed parameters. It stands beside that file.
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

// PolicyTemplateSpec is what a template takes.
type PolicyTemplateSpec struct {
	// description is for people.
	// +optional
	Description string `json:"description,omitempty"`
	// parameters by name; {{name}} in a value of the template's objects
	// stands for one.
	// +optional
	Parameters map[string]Parameter `json:"parameters,omitempty"`
}

// Parameter is a typed value.
type Parameter struct {
	// type of the value.
	// +kubebuilder:validation:Enum=string;int;bool;quantity;duration;array
	Type string `json:"type"`
	// description is for people.
	// +optional
	Description string `json:"description,omitempty"`
	// default is the value when none is given; without it one must be given.
	// +optional
	Default *apiextensionsv1.JSON `json:"default,omitempty"`
	// allowed are the only values, when not empty.
	// +optional
	Allowed []apiextensionsv1.JSON `json:"allowed,omitempty"`
}
