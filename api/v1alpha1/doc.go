// Package v1alpha1 holds the documents that users write in the config repo:
// [ClusterSpec], [ClusterTarget], [AlertConfig] and [PolicyTemplate], group
// kspec.io. [Decode] reads them strictly, naming file, line and field path in
// every error; [ClusterSpec.Target] turns a spec into the noun that the stages
// work on.
//
// The CRDs under deploy/crds, the JSON Schemas under docs/schemas and the
// reference under docs are generated from the types of this package.
//
// +kubebuilder:object:generate=true
// +groupName=kspec.io
package v1alpha1
