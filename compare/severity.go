package compare

import (
	"slices"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

// severities say how grave a difference is. The gravest rule that matches
// counts; none means Medium for a field that Git sets and Low for another.
func severities() []severityRule {
	const admission, rbac = "admissionregistration.k8s.io", "rbac.authorization.k8s.io"
	return []severityRule{
		{severity: kspec.High, anywhere: "securityContext"},
		{severity: kspec.High, anywhere: "image"},
		{severity: kspec.High, anywhere: "hostNetwork"},
		{severity: kspec.High, anywhere: "hostPID"},
		{severity: kspec.High, anywhere: "hostIPC"},
		{severity: kspec.High, anywhere: "serviceAccountName"},
		{severity: kspec.High, kind: "Namespace", label: "pod-security.kubernetes.io/"},
		{severity: kspec.High, group: rbac, beyondMetadata: true},
		{severity: kspec.High, kind: "NetworkPolicy", beyondMetadata: true},
		{severity: kspec.High, kind: "CiliumNetworkPolicy", beyondMetadata: true},
		{severity: kspec.High, kind: "CiliumClusterwideNetworkPolicy", beyondMetadata: true},
		{severity: kspec.High, kind: "GlobalNetworkPolicy", beyondMetadata: true},
		{severity: kspec.High, kind: "AdminNetworkPolicy", beyondMetadata: true},
		{severity: kspec.High, group: admission, beyondMetadata: true},
		{severity: kspec.Critical, group: admission, kind: "ValidatingAdmissionPolicy", beyondMetadata: true},
		{severity: kspec.Critical, group: admission, kind: "ValidatingAdmissionPolicyBinding", beyondMetadata: true},
		{severity: kspec.Critical, group: admission, kind: "MutatingAdmissionPolicy", beyondMetadata: true},
		{severity: kspec.Critical, group: admission, kind: "MutatingAdmissionPolicyBinding", beyondMetadata: true},
		{severity: kspec.Critical, group: "kyverno.io", beyondMetadata: true},
		{severity: kspec.Critical, group: "policies.kyverno.io", beyondMetadata: true},
		{severity: kspec.Critical, group: "constraints.gatekeeper.sh", beyondMetadata: true},
		{severity: kspec.Critical, group: "templates.gatekeeper.sh", beyondMetadata: true},
	}
}

// severityRule matches a field when everything that it sets does.
type severityRule struct {
	severity kspec.Severity
	group    string
	kind     string
	// anywhere is a field on the path, or inside a value that came or went.
	anywhere string
	// label is the beginning of a label.
	label string
	// beyondMetadata excludes metadata.
	beyondMetadata bool
}

func (r severityRule) matches(id kspec.ObjectID, f kspec.Field, p kspec.Path) bool {
	switch {
	case r.group != "" && r.group != id.Group, r.kind != "" && r.kind != id.Kind:
		return false
	case r.beyondMetadata && (len(p) == 0 || p[0].Field == "metadata"):
		return false
	case r.anywhere != "" && (len(p) == 0 || p[0].Field == "metadata" || !touches(r.anywhere, f, p)):
		return false
	case r.label != "":
		return len(p) > 2 && p[1].Field == "labels" && strings.HasPrefix(p[2].Field, r.label)
	}
	return true
}

// severity returns how grave a finding with these fields is.
func severity(v kspec.Verdict, id kspec.ObjectID, fields []kspec.Field) kspec.Severity {
	worst, ok := map[kspec.Verdict]kspec.Severity{kspec.Missing: kspec.High, kspec.ExtraField: kspec.Low}[v]
	if !ok {
		worst = kspec.Medium
	}
	for _, f := range fields {
		p, err := kspec.ParsePath(f.KeyedPath)
		if err != nil {
			continue // compare wrote it: cannot be
		}
		for _, r := range severities() {
			if r.severity.Rank() > worst.Rank() && r.matches(id, f, p) {
				worst = r.severity
			}
		}
	}
	return worst
}

// touches reports whether field stands on the path of f or in one of its values.
func touches(field string, f kspec.Field, p kspec.Path) bool {
	return slices.ContainsFunc(p, func(s kspec.Step) bool { return s.Field == field }) ||
		contains(f.Desired, field) || contains(f.Live, field)
}

// contains reports whether a map inside v has the key.
func contains(v any, key string) bool {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v[key]; ok {
			return true
		}
		for _, w := range v {
			if contains(w, key) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(w any) bool { return contains(w, key) })
	}
	return false
}
