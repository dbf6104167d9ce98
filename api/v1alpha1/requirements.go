package v1alpha1

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/internal/kubeversion"
	"github.com/cloudcwfranck/kspec/internal/podfield"
)

// requirements checks what the schema cannot say of what a cluster must be.
func (v *validator) requirements(s *ClusterSpecSpec) {
	v.kubernetes(s.Kubernetes)
	for i, e := range s.PodSecurity.Exemptions {
		at := fmt.Sprintf("spec.podSecurity.exemptions[%d].namespace", i)
		v.names(at, e.Namespace)
		same := func(o PodSecurityExemption) bool { return o.Namespace == e.Namespace }
		v.checkf(slices.ContainsFunc(s.PodSecurity.Exemptions[:i], same), at, "namespace %q stands here twice", e.Namespace)
	}
	for i, port := range s.Network.DisallowedPorts {
		v.checkf(port < 1 || port > 65535, fmt.Sprintf("spec.network.disallowedPorts[%d]", i), "%d is no port: want 1 to 65535", port)
	}
	v.fields("spec.workloads.containers.required", s.Workloads.Containers.Required)
	v.fields("spec.workloads.containers.forbidden", s.Workloads.Containers.Forbidden)
	for i, pattern := range s.Workloads.Images.AllowedRegistries {
		v.check(fmt.Sprintf("spec.workloads.images.allowedRegistries[%d]", i), checkRegistry(pattern))
	}
	for i, pattern := range s.Workloads.Images.BlockedRegistries {
		v.check(fmt.Sprintf("spec.workloads.images.blockedRegistries[%d]", i), checkRegistry(pattern))
	}
	v.access("spec.rbac.minimumRules", s.RBAC.MinimumRules)
	v.access("spec.rbac.forbiddenRules", s.RBAC.ForbiddenRules)
	for i, d := range s.Admission.Required {
		if _, err := regexp.Compile(d.NamePattern); err != nil {
			v.checkf(true, fmt.Sprintf("spec.admission.required[%d].namePattern", i), "%q is no regular expression: %s",
				d.NamePattern, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
	}
	for i, name := range s.Observability.Metrics.Providers {
		v.checkf(strings.TrimSpace(name) == "", fmt.Sprintf("spec.observability.metrics.providers[%d]", i), "empty")
	}
	v.frameworks(s.Compliance.Frameworks)
}

func (v *validator) kubernetes(k Kubernetes) {
	bound := func(at, text string) (kubeversion.Version, bool) {
		if text == "" {
			return kubeversion.Version{}, false
		}
		parsed, err := kubeversion.Parse(text)
		v.check(at, err)
		return parsed, err == nil
	}
	least, hasLeast := bound("spec.kubernetes.minVersion", k.MinVersion)
	most, hasMost := bound("spec.kubernetes.maxVersion", k.MaxVersion)
	v.checkf(hasLeast && hasMost && least.Compare(most) > 0, "spec.kubernetes.maxVersion",
		"%s is less than minVersion, %s: no version would do", most, least)
	for i, text := range k.ExcludedVersions {
		at := fmt.Sprintf("spec.kubernetes.excludedVersions[%d]", i)
		v.checkf(text == "", at, "empty")
		bound(at, text)
	}
}

func (v *validator) fields(at string, demands []FieldDemand) {
	for i, d := range demands {
		key := fmt.Sprintf("%s[%d].key", at, i)
		path, err := podfield.Parse(d.Key)
		if err != nil {
			v.check(key, fmt.Errorf("%w%s", err, didYouMean(d.Key, podfield.Near(d.Key))))
			continue
		}
		if d.Value != nil {
			v.check(fmt.Sprintf("%s[%d].value", at, i), path.Check(*d.Value))
			v.checkf(d.Exists != nil && !*d.Exists, fmt.Sprintf("%s[%d].value", at, i), "of no use, because exists is false")
		}
	}
}

// registryElement matches an element of a path in a registry, or a host.
var registryElement = regexp.MustCompile(`^[A-Za-z0-9*]([A-Za-z0-9._*-]*[A-Za-z0-9*])?(:[0-9]{1,5})?$`)

// checkRegistry accepts a host, or a host and the beginning of a path, with *
// within their elements.
func checkRegistry(pattern string) error {
	switch {
	case strings.Contains(pattern, "://"):
		return fmt.Errorf("%q has a scheme: want a host such as ghcr.io, or ghcr.io/acme", pattern)
	case strings.Contains(pattern, "**"):
		return fmt.Errorf("%q: whatever lies below is meant in any case: leave the ** out", pattern)
	}
	for i, element := range strings.Split(pattern, "/") {
		if !registryElement.MatchString(element) || i > 0 && strings.Contains(element, ":") {
			return fmt.Errorf("%q is no registry: want a host such as ghcr.io, or ghcr.io/acme", pattern)
		}
	}
	return nil
}

func (v *validator) access(at string, rules []AccessRule) {
	for i, rule := range rules {
		v.checkf(strings.ContainsAny(rule.Resource, " \t"), fmt.Sprintf("%s[%d].resource", at, i), "%q is no resource", rule.Resource)
		for j, verb := range rule.Verbs {
			v.checkf(strings.TrimSpace(verb) == "", fmt.Sprintf("%s[%d].verbs[%d]", at, i, j), "empty")
		}
	}
}

func (v *validator) frameworks(frameworks []Framework) {
	for i, f := range frameworks {
		for j, c := range f.Controls {
			at := fmt.Sprintf("spec.compliance.frameworks[%d].controls[%d]", i, j)
			same := func(o Control) bool { return o.ID == c.ID }
			v.checkf(slices.ContainsFunc(f.Controls[:j], same), at+".id", "control %q stands here twice", c.ID)
			for k, m := range c.Mappings {
				v.check(fmt.Sprintf("%s.mappings[%d].check", at, k), checkOneOf("check", m.Check, kspec.CheckNames()))
			}
		}
	}
}

// requirements returns what the cluster must be.
func (s *ClusterSpecSpec) requirements() kspec.Requirements {
	return kspec.Requirements{
		Kubernetes:  kspec.KubernetesRules(s.Kubernetes),
		PodSecurity: s.PodSecurity.noun(),
		Network: kspec.NetworkRules{
			DefaultDeny: s.Network.DefaultDeny, RequiredPolicies: named(s.Network.RequiredPolicies),
			ServiceTypes:    convert(s.Network.AllowedServiceTypes, func(t ServiceType) string { return string(t) }),
			DisallowedPorts: s.Network.DisallowedPorts,
		},
		Containers: kspec.ContainerRules{
			Required:  convert(s.Workloads.Containers.Required, func(d FieldDemand) kspec.FieldDemand { return kspec.FieldDemand(d) }),
			Forbidden: convert(s.Workloads.Containers.Forbidden, func(d FieldDemand) kspec.FieldDemand { return kspec.FieldDemand(d) }),
		},
		Registries: kspec.RegistryRules{
			Allowed: s.Workloads.Images.AllowedRegistries, Blocked: s.Workloads.Images.BlockedRegistries,
			RequireDigests: s.Workloads.Images.RequireDigests,
		},
		RBAC: kspec.AccessRules{
			Minimum:   convert(s.RBAC.MinimumRules, func(r AccessRule) kspec.AccessRule { return kspec.AccessRule(r) }),
			Forbidden: convert(s.RBAC.ForbiddenRules, func(r AccessRule) kspec.AccessRule { return kspec.AccessRule(r) }),
		},
		Admission: s.Admission.noun(),
		Observability: kspec.ObservabilityRules{
			RequireMetrics: s.Observability.Metrics.Required, MetricsProviders: s.Observability.Metrics.Providers,
			RequireAuditLog: s.Observability.Logging.AuditLog.Required, MinRetentionDays: s.Observability.Logging.AuditLog.MinRetentionDays,
		},
		Frameworks: convert(s.Compliance.Frameworks, Framework.noun),
	}
}

func (p PodSecurity) noun() kspec.PodSecurityRules {
	out := kspec.PodSecurityRules{
		Enforce: kspec.PodSecurityLevel(p.Enforce), Audit: kspec.PodSecurityLevel(p.Audit), Warn: kspec.PodSecurityLevel(p.Warn),
		Version: p.Version,
	}
	for _, e := range p.Exemptions {
		out.Exemptions = append(out.Exemptions, kspec.PodSecurityExemption{
			Namespace: e.Namespace, Level: kspec.PodSecurityLevel(e.Level), Reason: e.Reason,
		})
	}
	return out
}

func (a Admission) noun() kspec.AdmissionRules {
	out := kspec.AdmissionRules{Required: convert(a.Required, func(d AdmissionDemand) kspec.AdmissionDemand {
		return kspec.AdmissionDemand{Kind: d.Type, NamePattern: d.NamePattern, MinCount: d.MinCount}
	})}
	if a.Policies != nil {
		out.MinPolicies, out.RequiredPolicies = a.Policies.MinCount, named(a.Policies.RequiredPolicies)
	}
	return out
}

func (f Framework) noun() kspec.Framework {
	return kspec.Framework{Name: f.Name, Revision: f.Revision, Controls: convert(f.Controls, func(c Control) kspec.Control {
		return kspec.Control{ID: c.ID, Title: c.Title, Checks: convert(c.Mappings, func(m ControlMapping) string { return m.Check })}
	})}
}

func named(policies []NamedPolicy) []kspec.NamedPolicy {
	return convert(policies, func(p NamedPolicy) kspec.NamedPolicy { return kspec.NamedPolicy(p) })
}

// convert returns nil for nothing.
func convert[A, B any](all []A, one func(A) B) []B {
	var out []B
	for _, a := range all {
		out = append(out, one(a))
	}
	return out
}
