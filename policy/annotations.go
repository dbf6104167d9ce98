package policy

import "github.com/cloudcwfranck/kspec"

// Annotations of a rendered admission policy. They say of which rule it is, so
// that whoever reads the policy, in Git or in a cluster, knows what breaking it
// means.
const (
	// RuleAnnotation is the name of the rule.
	RuleAnnotation = "kspec.io/rule"
	// SeverityAnnotation says how grave it is to break the rule.
	SeverityAnnotation = "kspec.io/severity"
	// ControlsAnnotation lists the compliance controls that the rule serves,
	// with commas between.
	ControlsAnnotation = kspec.ControlsAnnotation
)
