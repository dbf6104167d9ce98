package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
)

// part is a piece of the spec that init writes: lines of YAML, or one that
// leads other parts.
type part struct {
	note  string // a comment above it
	lines []string
	parts []*part

	// demand is true for what is written as the cluster keeps it, and instead
	// for a demand that counts only if the one before it does not hold.
	demand, instead bool
	// off says why the part is a comment, "" when it is not.
	off string
	// gone is true for what is not written at all.
	gone bool
}

// plain returns a part that is always written.
func plain(note string, lines ...string) *part { return &part{note: note, lines: lines} }

// demand returns a part that is a comment unless the cluster keeps it.
func demand(note string, lines ...string) *part { return &part{note: note, lines: lines, demand: true} }

// commented returns a part that is written as a comment.
func commented(why string, lines ...string) *part { return &part{lines: lines, off: why} }

// below returns a part that leads others.
func below(line string, parts ...*part) *part { return &part{lines: []string{line}, parts: parts} }

// when keeps a part only if it is wanted.
func when(wanted bool, p *part) *part {
	p.gone = !wanted
	return p
}

// silent reports whether nothing of the part counts.
func (p *part) silent() bool {
	if len(p.parts) == 0 {
		return p.off != "" || p.gone
	}
	return !slices.ContainsFunc(p.parts, func(c *part) bool { return !c.silent() })
}

// empty reports whether nothing of the part is written.
func (p *part) empty() bool {
	return p.gone || len(p.parts) > 0 && !slices.ContainsFunc(p.parts, func(c *part) bool { return !c.empty() })
}

// decide asks for every demand whether it holds. When only what holds is
// wanted, the others are gone.
func decide(ctx context.Context, judge func(ctx context.Context, lines []string) (string, error), parts []*part, above []string, onlyTrue bool) error {
	for i, p := range parts {
		lines := slices.Concat(above, indented(p.lines, len(above)+1))
		if err := decide(ctx, judge, p.parts, lines, onlyTrue); err != nil {
			return err
		}
		if p.gone || !p.demand {
			continue
		}
		if p.instead && !parts[i-1].silent() {
			p.gone = true
			continue
		}
		why, err := judge(ctx, lines)
		if err != nil && !errors.Is(err, errVacuous) {
			return err
		}
		p.gone = onlyTrue && (why != "" || err != nil)
		if why != "" {
			p.off = "not yet: " + inertLine(why)
		}
	}
	return nil
}

func indented(lines []string, depth int) []string {
	out := make([]string, 0, len(lines))
	for _, line := range lines {
		out = append(out, strings.Repeat("  ", depth)+line)
	}
	return out
}

// text returns the lines of the part.
func (p *part) text() []string {
	if p.empty() {
		return nil
	}
	lines, body := p.comments(), p.body((*part).text)
	if p.silent() {
		body = p.body((*part).silentText)
		for i := range body {
			body[i] = "# " + body[i]
		}
	}
	return append(lines, body...)
}

// silentText is text within a part that is a comment as a whole.
func (p *part) silentText() []string {
	if p.empty() {
		return nil
	}
	return append(p.comments(), p.body((*part).silentText)...)
}

func (p *part) comments() []string {
	var lines []string
	for _, note := range []string{p.note, p.off} {
		if note != "" {
			lines = append(lines, "# "+note)
		}
	}
	return lines
}

func (p *part) body(text func(*part) []string) []string {
	lines := slices.Clone(p.lines)
	for _, child := range p.parts {
		lines = append(lines, indented(text(child), 1)...)
	}
	return lines
}

// quoted returns the name of an object or a host as YAML has it, in quotes where
// some version of YAML takes it for a number, a boolean or null.
func quoted(name string) string {
	words := []string{"false", "n", "no", "null", "off", "on", "true", "y", "yes"}
	if name != "" && 'a' <= name[0] && name[0] <= 'z' && !slices.Contains(words, name) {
		return name
	}
	return strconv.Quote(name)
}

// specHead is the begin of a ClusterSpec.
func specHead(name string) string {
	return fmt.Sprintf("apiVersion: %s\nkind: ClusterSpec\nmetadata:\n  name: %s\nspec:\n", v1alpha1.GroupVersion, quoted(name))
}

// madeBy is the comment above it.
func madeBy(template string, f *clusterFacts) string {
	said := "# Written by \"kspec init"
	if template != "" {
		said += " --template " + template
	}
	said += "\""
	if f.cluster != "" {
		said += fmt.Sprintf(" from cluster %s. What it demands was so then", inertLine(f.cluster))
	}
	return said + ".\n"
}

// scope leaves the namespaces of the engine out.
func scope(f *clusterFacts) *part {
	return when(len(f.apart) > 0, below("namespaceScope:", plain("", "excludeNamespaces: ["+strings.Join(f.apart, ", ")+"]")))
}

// specParts are everything that a first ClusterSpec may say.
func specParts(name, template string, f *clusterFacts) []*part {
	parts := deliveryParts(name, f)
	parts = append(parts, policyParts(template)...)
	parts = append(parts, scope(f), when(f.version != "", below("kubernetes:", demand("", fmt.Sprintf("minVersion: %q", f.version)))))
	return append(append(parts, requirementParts(template, f)...), remediationParts(template)...)
}

func deliveryParts(name string, f *clusterFacts) []*part {
	delivery := below("delivery:",
		plain("who applies what is merged: flux, argocd or none", "engine: "+string(f.engine)),
		plain("where the policies are that kspec renders", fmt.Sprintf("path: clusters/%s/policies", name)))
	if f.engineNote != "" {
		delivery.parts[0].note = inertLine(f.engineNote)
	}
	manifests := below("manifests:", commented("name the folders of this repo that are deployed to the cluster", "- path: apps/overlays/"+name))
	if len(f.units) > 0 {
		manifests = below("manifests:", commented("this is what the engine deploys; keep what is of this repo", f.units...))
	}
	return []*part{delivery, manifests}
}

func policyParts(template string) []*part {
	mode := below("enforcement:", plain("", "enabled: true"),
		plain("monitor delivers no policy; then audit, which warns; then enforce, which denies", "mode: monitor"))
	switch template {
	case "":
		return nil
	case "development":
		return []*part{below("policyTemplates:", plain("", "- name: security-baseline", "  parameters: {runAsNonRoot: false}")), mode}
	case "compliance":
		return []*part{below("policyTemplates:", plain("", "- name: pod-security-restricted", "- name: compliance-strict")), mode}
	}
	return []*part{below("policyTemplates:", plain("", "- name: security-baseline")), mode}
}

// requirementParts are what may be demanded of a cluster.
func requirementParts(template string, f *clusterFacts) []*part {
	strict, mild := template == "compliance", template == "development"
	production := !mild
	facts := template == ""
	var hosts []string
	for _, host := range f.registries {
		hosts = append(hosts, quoted(host))
	}
	registries := "allowedRegistries: [" + strings.Join(hosts, ", ") + "]"
	level := "baseline"
	if strict {
		level = "restricted"
	}
	return []*part{
		below("podSecurity:",
			when(facts, demand("", "enforce: restricted")),
			when(production, &part{lines: []string{"enforce: " + level}, demand: true, instead: facts}),
			when(!facts, demand("", "warn: "+level))),
		below("network:", when(production, demand("every namespace isolates its Pods", "defaultDeny: true"))),
		below("workloads:",
			below("containers:",
				below("required:",
					when(production, demand("", "- key: resources.limits.memory")),
					when(production, demand("", "- {key: securityContext.runAsNonRoot, value: \"true\"}"))),
				below("forbidden:",
					demand("", "- key: securityContext.privileged"),
					demand("", "- key: hostNetwork"),
					when(production, demand("", "- key: hostPID")))),
			below("images:",
				when(production && len(f.registries) > 0, demand("where images come from now", registries)),
				when(facts || strict, demand("", "requireDigests: true")))),
		below("rbac:", below("forbiddenRules:",
			when(production, demand("nobody but the system may do everything", `- {apiGroup: "*", resource: "*", verbs: ["*"]}`)))),
		below("observability:",
			below("metrics:", when(production, demand("", "required: true"))),
			below("logging:", below("auditLog:", when(strict, demand("", "required: true", "minRetentionDays: 90"))))),
		below("compliance:", below("frameworks:", when(strict, plain("findings carry these controls", frameworkLines()...)))),
	}
}

// frameworkLines map the checks to controls of catalogues.
func frameworkLines() []string {
	control := func(id, title string, checks ...string) []string {
		mappings := make([]string, 0, len(checks))
		for _, check := range checks {
			mappings = append(mappings, "{check: "+check+"}")
		}
		return []string{
			fmt.Sprintf("  - id: %q", id), "    title: " + title, "    mappings: [" + strings.Join(mappings, ", ") + "]",
		}
	}
	lines := []string{"- name: NIST-800-53", "  revision: \"5\"", "  controls:"}
	lines = append(lines, control("AC-6", "Least privilege", kspec.CheckRBAC, kspec.CheckContainers)...)
	lines = append(lines, control("SC-7", "Boundary protection", kspec.CheckNetwork)...)
	lines = append(lines, control("CM-7", "Least functionality", kspec.CheckPodSecurity)...)
	lines = append(lines, control("SI-7", "Software, firmware and information integrity", kspec.CheckImages)...)
	lines = append(lines, control("AU-11", "Audit record retention", kspec.CheckAuditLog)...)
	return append(lines, control("SI-2", "Flaw remediation", kspec.CheckVersion)...)
}

func remediationParts(template string) []*part {
	if template == "development" {
		return []*part{below("remediation:", plain("tell of drift, and open no pull request", "mode: report"))}
	}
	return []*part{below("remediation:", plain("write to Git what people did to the cluster, as a pull request", "strategy: adopt"))}
}
