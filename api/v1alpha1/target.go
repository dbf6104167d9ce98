package v1alpha1

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/json"

	"github.com/cloudcwfranck/kspec"
)

// Target returns what the stages work on: s with defaults applied, read from
// src at rev, and without what it inherits, which [Set.Resolve] adds. An error,
// a *[FieldError], means that s did not come from [Decode], which finds every
// mistake.
func (s *ClusterSpec) Target(src kspec.Source, rev kspec.Revision) (kspec.Target, error) {
	spec := &s.Spec
	t := kspec.Target{
		Name:        s.Name,
		Source:      src,
		Revision:    rev,
		Suspend:     spec.Suspend,
		Interval:    spec.Interval.or(5 * time.Minute),
		Enforcement: spec.Enforcement.mode(),
		Scope:       spec.NamespaceScope.noun(),
		Activation:  spec.TimeBasedActivation.noun(),
		Delivery:    spec.Delivery.noun(),
		Images:      spec.Workloads.Images.rules(),
		Drift:       spec.Drift.rules(src),
		Remediation: spec.Remediation.rules(),

		Requirements: spec.requirements(),
	}
	if i := spec.PolicyInheritance; i != nil {
		t.Merge = kspec.MergeStrategy(i.MergeStrategy)
	}
	t.Merge = kspec.MergeStrategy(or(string(t.Merge), string(kspec.Merge)))
	if t.Delivery.Policies == kspec.KyvernoLegacy {
		t.Notes = append(t.Notes, "the rules of templates become ClusterPolicies, which Kyverno is giving up: set delivery.policies to kyverno or vap")
	}
	if spec.ClusterRef != nil {
		t.Cluster = spec.ClusterRef.Name
	}
	for _, e := range spec.PolicyExemptions {
		t.Exemptions = append(t.Exemptions, e.noun())
	}
	for _, m := range spec.Manifests {
		t.Overlays = append(t.Overlays, kspec.Overlay{
			Path: m.Path, FieldManager: or(m.FieldManager, t.Delivery.FieldManager), Namespace: m.Namespace,
			Unit: m.Ref.noun(t.Delivery.Engine),
		})
	}
	var err error
	t.Templates, err = spec.templates(src)
	return t, err
}

// templates returns the uses of templates in order: policyTemplate first.
func (s *ClusterSpecSpec) templates(src kspec.Source) ([]kspec.TemplateUse, error) {
	var uses []kspec.TemplateUse
	add := func(use PolicyTemplateUse, at string) error {
		out := kspec.TemplateUse{Name: use.Name}
		for name, value := range use.Parameters {
			var v any // stays nil for null, which has no Raw
			if err := json.Unmarshal(value.Raw, &v); err != nil && value.Raw != nil {
				return &FieldError{File: src.File, Line: src.Line, Path: join(at+".parameters", name), Msg: err.Error()}
			}
			if out.Parameters == nil {
				out.Parameters = map[string]any{}
			}
			out.Parameters[name] = v
		}
		uses = append(uses, out)
		return nil
	}
	if s.PolicyTemplate != nil {
		if err := add(*s.PolicyTemplate, "spec.policyTemplate"); err != nil {
			return nil, err
		}
	}
	for i, use := range s.PolicyTemplates {
		if err := add(use, fmt.Sprintf("spec.policyTemplates[%d]", i)); err != nil {
			return nil, err
		}
	}
	return uses, nil
}

func (e Enforcement) mode() kspec.Enforcement {
	if !e.Enabled {
		return kspec.Monitor
	}
	return kspec.Enforcement(or(e.Mode, string(kspec.Monitor)))
}

func (d Delivery) noun() kspec.Delivery {
	engine := kspec.Engine(or(d.Engine, string(kspec.NoEngine)))
	return kspec.Delivery{
		Engine: engine, Path: d.Path, FieldManager: or(d.FieldManager, engine.DefaultFieldManager()), Unit: d.Ref.noun(engine),
		Policies: kspec.PolicyEngine(or(d.Policies, string(kspec.VAP))),
	}
}

func (r *UnitRef) noun(engine kspec.Engine) kspec.UnitRef {
	if r == nil {
		return kspec.UnitRef{}
	}
	usual := map[kspec.Engine]string{kspec.Flux: "flux-system", kspec.ArgoCD: "argocd"}
	return kspec.UnitRef{Namespace: or(r.Namespace, usual[engine]), Name: r.Name}
}

func (i Images) rules() kspec.ImageRules {
	out := kspec.ImageRules{RequireSignatures: i.RequireSignatures, DenyOnError: i.OnError == "deny"}
	for _, rule := range i.Signatures {
		r := kspec.SignatureRule{Match: rule.Match, All: rule.Mode == "all"}
		for _, a := range rule.Authorities {
			authority := kspec.Authority{Name: a.Name}
			for _, key := range a.Keys {
				authority.Keys = append(authority.Keys, key.PEM)
			}
			r.Authorities = append(r.Authorities, authority)
		}
		out.Signatures = append(out.Signatures, r)
	}
	return out
}

func (d Drift) rules(src kspec.Source) kspec.DriftRules {
	out := kspec.DriftRules{Confirm: kspec.Confirm{Observations: number(d.Confirm.Observations, 2), For: d.Confirm.For.or(0)}}
	for _, rule := range d.Ignore {
		out.Ignore = append(out.Ignore, kspec.IgnoreRule{
			Paths: rule.Paths, Selector: kspec.Selector(rule.Selector), Manager: rule.Manager,
			Reason: rule.Reason, ExpiresAt: rule.ExpiresAt.UTC(), Source: src,
		})
	}
	for _, rule := range d.Severity {
		out.Severity = append(out.Severity, kspec.SeverityRule{Places: rule.noun(), Severity: kspec.Severity(rule.Severity)})
	}
	for _, places := range d.Secrets {
		out.Secrets = append(out.Secrets, places.noun())
	}
	return out
}

func (p Places) noun() kspec.Places {
	return kspec.Places{Paths: p.Paths, Selector: kspec.Selector(p.Selector)}
}

func (r Remediation) rules() kspec.RemediationRules {
	return kspec.RemediationRules{
		Mode:     kspec.RemediationMode(or(r.Mode, string(kspec.ModePullRequest))),
		Strategy: kspec.Strategy(or(r.Strategy, string(kspec.StrategyAuto))),
		Limits: kspec.Limits{
			OpenPullRequests: number(r.Limits.OpenPullRequests, 10), PerHour: number(r.Limits.PerHour, 4),
		},
		Labels: r.Labels, Reviewers: r.Reviewers, Draft: r.Draft,
	}
}

func (d *Duration) or(otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return d.Duration
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func number(n *int, otherwise int) int {
	if n == nil {
		return otherwise
	}
	return *n
}
