package compare

import (
	"slices"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

// severities say how grave a difference is, unless a rule of the team does. The
// gravest that matches counts; without any it is as usual says.
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
		{severity: kspec.Medium, looksAway: true},
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
	// looksAway is for the marks that tell an engine to leave an object alone.
	looksAway bool
}

func (r severityRule) matches(id kspec.ObjectID, f kspec.Field, p kspec.Path) bool {
	switch {
	case r.group != "" && r.group != id.Group, r.kind != "" && r.kind != id.Kind:
		return false
	case r.beyondMetadata && (len(p) == 0 || p[0].Field == "metadata"):
		return false
	case r.anywhere != "" && (len(p) == 0 || p[0].Field == "metadata" || !touches(r.anywhere, f, p)):
		return false
	case r.looksAway:
		return len(p) == 3 && p[0].Field == "metadata" && slices.Contains(slices.Concat(optOuts(kspec.Flux), optOuts(kspec.ArgoCD)), p[2].Field)
	case r.label != "":
		return len(p) > 2 && p[1].Field == "labels" && strings.HasPrefix(p[2].Field, r.label)
	}
	return true
}

// severity returns how grave a finding about an object is: as its gravest field,
// or as its verdict when it is about the whole object.
func (r Rules) severity(v kspec.Verdict, id kspec.ObjectID, labels map[string]string, fields []kspec.Field) kspec.Severity {
	rules := slices.DeleteFunc(slices.Clone(r.Severity), func(rule kspec.SeverityRule) bool {
		return !rule.Selector.Matches(id, labels)
	})
	if len(fields) == 0 {
		return ofWhole(v, rules)
	}
	worst, known := kspec.Severity(""), severities()
	for _, f := range fields {
		if s := ofField(v, id, f, fields, known, rules); s.Rank() > worst.Rank() {
			worst = s
		}
	}
	return worst
}

// usual is how grave a difference is that no rule speaks of.
func usual(v kspec.Verdict) kspec.Severity {
	switch v {
	case kspec.Missing:
		return kspec.High
	case kspec.ExtraField, kspec.ExtraObject:
		return kspec.Low
	default:
		return kspec.Medium
	}
}

// ofWhole is how grave a finding without fields is. Of rules, those for the
// empty path speak of it.
func ofWhole(v kspec.Verdict, rules []kspec.SeverityRule) kspec.Severity {
	s := usual(v)
	for _, rule := range rules {
		if slices.Contains(rule.Paths, "") {
			s = rule.Severity
		}
	}
	return s
}

// ofField is how grave one difference of several is. The last rule that covers it decides;
// one for a place inside of it can only make it graver.
func ofField(v kspec.Verdict, id kspec.ObjectID, f kspec.Field, fields []kspec.Field, known []severityRule, rules []kspec.SeverityRule) kspec.Severity {
	s := usual(v)
	place, err := kspec.ParsePath(f.KeyedPath)
	if err != nil {
		return s // compare wrote it: cannot be
	}
	for _, r := range known {
		if r.severity.Rank() > s.Rank() && r.matches(id, f, place) && !guardsAsMuch(id, f, place, fields) {
			s = r.severity
		}
	}
	if len(rules) > 0 {
		place, _ = siteOf(f)
	}
	for _, rule := range rules {
		covers, inside := reaches(rule.Paths, place, f)
		if covers || inside && rule.Severity.Rank() > s.Rank() {
			s = rule.Severity
		}
	}
	return s
}

// guardsAsMuch reports whether a difference, one of fields, lets nothing through
// that Git keeps out: a policy denies where Git wants it to warn, as after a
// window until its end is merged, or Pod Security holds where Git asks for none.
func guardsAsMuch(id kspec.ObjectID, f kspec.Field, p kspec.Path, fields []kspec.Field) bool {
	switch id.Kind {
	case "ValidatingAdmissionPolicyBinding", "ValidatingPolicy":
		return len(p) > 1 && p[0].Field == "spec" && p[1].Field == "validationActions" && (!denies(f.Desired) || denies(f.Live))
	case "Namespace":
		level := strings.TrimSuffix(f.Path, "-version")
		return slices.ContainsFunc(fields, func(f kspec.Field) bool {
			return f.Path == level && f.Desired == nil && (f.Live == "baseline" || f.Live == "restricted")
		})
	}
	return false
}

// denies reports whether v is or holds the validation action Deny.
func denies(v any) bool {
	all, _ := v.([]any)
	return v == "Deny" || slices.Contains(all, any("Deny"))
}

// reaches reports whether one of the paths covers the field, or names something
// that it holds.
func reaches(paths []string, place kspec.Path, f kspec.Field) (covers, inside bool) {
	for _, path := range paths {
		rest, ok := beyond(path, place)
		if !ok {
			continue
		}
		_, inGit := prune(f.Desired, rest)
		_, inCluster := prune(f.Live, rest)
		covers, inside = covers || len(rest) == 0, inside || inGit || inCluster
	}
	return covers, inside
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
