package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is kspec.io/v1alpha1.
var GroupVersion = runtimeschema.GroupVersion{Group: group, Version: version}

// AddToScheme teaches a scheme the kinds of this package.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&ClusterSpec{}, &ClusterSpecList{},
		&ClusterTarget{}, &ClusterTargetList{},
		&AlertConfig{}, &AlertConfigList{},
		&PolicyTemplate{}, &PolicyTemplateList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
