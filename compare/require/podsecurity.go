package require

import (
	"fmt"
	"slices"

	"github.com/cloudcwfranck/kspec"
)

const (
	levelLabel   = "pod-security.kubernetes.io/"
	versionOf    = "-version"
	latest       = "latest"
	setTheLabels = "set the labels of the namespace where they are declared, or name it in podSecurity.exemptions"
)

func (l *look) podSecurity() {
	c := l.demands(kspec.CheckPodSecurity)
	if c == nil {
		return
	}
	rules := l.target.Requirements.PodSecurity
	judge := func(ns *namespace) {
		for _, f := range podSecurity(rules, ns) {
			l.found(kspec.CheckPodSecurity, f)
		}
	}
	l.eachNamespace(kspec.CheckPodSecurity, judge)
	for _, e := range rules.Exemptions {
		if ns := l.namespaces[e.Namespace]; ns != nil && isSystem(e.Namespace) {
			c.Looked++
			c.Apart = slices.DeleteFunc(c.Apart, func(name string) bool { return name == e.Namespace })
			judge(ns)
		}
	}
}

// podSecurity returns what is wrong with the labels of one namespace.
func podSecurity(rules kspec.PodSecurityRules, ns *namespace) []kspec.Finding {
	type mode struct {
		name string
		want kspec.PodSecurityLevel
	}
	modes, exempt := []mode{{"enforce", rules.Enforce}, {"audit", rules.Audit}, {"warn", rules.Warn}}, ""
	for _, e := range rules.Exemptions {
		if e.Namespace == ns.name {
			modes, exempt = []mode{{"enforce", e.Level}}, e.Reason
		}
	}
	var found []kspec.Finding
	for _, m := range modes {
		if m.want == "" {
			continue
		}
		message := wrongLevel(ns, m.name, m.want)
		if message == "" {
			message = wrongPin(ns, m.name, m.want, rules.Version)
		}
		if message == "" {
			continue
		}
		severity := kspec.High
		if m.name != "enforce" {
			severity = kspec.Medium
		}
		evidence := map[string]any{"mode": m.name, "want": string(m.want), "label": ns.labels[levelLabel+m.name], "version": ns.labels[levelLabel+m.name+versionOf]}
		if exempt != "" {
			evidence["exemption"] = exempt
		}
		found = append(found, kspec.Finding{
			Severity: severity, Object: ns.id(), Labels: ns.labels, Message: message, Hint: setTheLabels, Evidence: evidence,
		})
	}
	return found
}

// levelOf returns the level that the labels ask for. Warnings follow what is
// enforced, unless a label says otherwise. What is no level asks for nothing,
// though the API server enforces the strictest then: nobody meant that.
func levelOf(ns *namespace, mode string) kspec.PodSecurityLevel {
	text, ok := ns.labels[levelLabel+mode]
	enforced := kspec.PodSecurityLevel(ns.labels[levelLabel+"enforce"])
	switch level := kspec.PodSecurityLevel(text); {
	case level.Rank() > 0:
		return level
	case !ok && mode == "warn" && enforced.Rank() > 0:
		return enforced
	default:
		return kspec.Privileged
	}
}

func wrongLevel(ns *namespace, mode string, want kspec.PodSecurityLevel) string {
	is := levelOf(ns, mode)
	text, ok := ns.labels[levelLabel+mode]
	switch {
	case is.Rank() >= want.Rank():
		return ""
	case !ok:
		return fmt.Sprintf("has no label %s%s, want %s", levelLabel, mode, want)
	case kspec.PodSecurityLevel(text).Rank() == 0:
		return fmt.Sprintf("label %s%s is %q, which is no level; want %s", levelLabel, mode, text, want)
	default:
		return fmt.Sprintf("label %s%s is %s, want %s", levelLabel, mode, is, want)
	}
}

// wrongPin says what is wrong with the version that a level is pinned to.
func wrongPin(ns *namespace, mode string, want kspec.PodSecurityLevel, version string) string {
	if version == "" || want == kspec.Privileged {
		return ""
	}
	label := levelLabel + mode + versionOf
	is, ok := ns.labels[label]
	if _, said := ns.labels[levelLabel+mode]; !said && mode == "warn" && !ok {
		is = ns.labels[levelLabel+"enforce"+versionOf]
	}
	if is == "" {
		is = latest
	}
	if is == version {
		return ""
	}
	return fmt.Sprintf("label %s is %s, want %s", label, is, version)
}
