package v1alpha1

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/policy"
)

// BuiltinTemplates names the templates that come with kspec, sorted.
func BuiltinTemplates() []string {
	return []string{"compliance-strict", "network-isolation", "pod-security-baseline", "pod-security-restricted", "security-baseline"}
}

// policies checks what says where, when and for whom policies hold.
func (v *validator) policies(s *ClusterSpecSpec) {
	if i := s.PolicyInheritance; i != nil {
		for n, base := range i.BasePolicies {
			v.checkf(slices.Contains(i.BasePolicies[:n], base), fmt.Sprintf("spec.policyInheritance.basePolicies[%d]", n), "%q stands here twice", base)
		}
	}
	if scope := s.NamespaceScope; scope != nil {
		v.eachName("spec.namespaceScope.includeNamespaces", scope.IncludeNamespaces)
		for i, name := range scope.IncludeNamespaces {
			v.checkf(slices.Contains(policy.System(), name), fmt.Sprintf("spec.namespaceScope.includeNamespaces[%d]", i),
				"%s is of the system, and never in scope", name)
		}
		v.eachName("spec.namespaceScope.excludeNamespaces", scope.ExcludeNamespaces)
		v.selector("spec.namespaceScope.namespaceSelector", scope.NamespaceSelector)
	}
	if a := s.TimeBasedActivation; a != nil {
		v.activation(a)
	}
	names := map[string]bool{}
	for i, e := range s.PolicyExemptions {
		at := fmt.Sprintf("spec.policyExemptions[%d]", i)
		v.checkf(names[e.Name], at+".name", "another exemption is named %q", e.Name)
		names[e.Name] = true
		v.exemption(at, e)
	}
}

func (v *validator) exemption(at string, e PolicyExemption) {
	const star = "* is no name: name what is exempt"
	blank := func(text string) bool { return strings.TrimSpace(text) == "" }
	v.checkf(blank(e.Reason), at+".reason", "required, but empty")
	v.checkf(blank(e.Approver), at+".approver", "required, but empty")
	v.checkf(len(e.Namespaces)+len(e.Resources) == 0, at, "selects nothing: name the namespaces or the resources that are exempt")
	for i, name := range e.Namespaces {
		path := fmt.Sprintf("%s.namespaces[%d]", at, i)
		v.checkf(strings.Contains(name, "*"), path, star)
		v.checkf(name == "", path, "empty")
		if !strings.Contains(name, "*") {
			v.names(path, name)
		}
	}
	for i, r := range e.Resources {
		path := fmt.Sprintf("%s.resources[%d]", at, i)
		for field, value := range map[string]string{"kind": r.Kind, "name": r.Name, "namespace": r.Namespace} {
			v.checkf(strings.Contains(value, "*"), path+"."+field, star)
		}
		if !strings.Contains(r.Namespace, "*") {
			v.names(path+".namespace", r.Namespace)
		}
		anyLabels := r.LabelSelector == nil || len(r.LabelSelector.MatchLabels)+len(r.LabelSelector.MatchExpressions) == 0
		v.checkf(r.Kind+r.Name+r.Namespace == "" && anyLabels, path, "selects nothing: name what is exempt, or leave resources out for all of the namespaces")
		v.selector(path+".labelSelector", r.LabelSelector)
	}
}

func (v *validator) activation(a *TimeBasedActivation) {
	const at = "spec.timeBasedActivation"
	_, err := policy.Zone(cmp.Or(a.Timezone, "UTC"))
	v.check(at+".timezone", err)
	if a.Schedule != "" {
		v.check(at+".schedule", policy.CheckSchedule(a.Schedule))
	}
	v.checkf(a.Schedule == "" && len(a.ActivePeriods) == 0, at, "the policies would never act: give a schedule or activePeriods")
	for i, p := range a.ActivePeriods {
		v.period(fmt.Sprintf("%s.activePeriods[%d]", at, i), p)
	}
}

func (v *validator) period(at string, p ActivePeriod) {
	read := func(field string, err error) bool {
		v.check(at+"."+field, err)
		return err == nil
	}
	_, start := p.start()
	_, end := p.end()
	_, first := day(p.StartDate)
	_, last := day(p.EndDate)
	bad := slices.Contains([]bool{
		read("startTime", start), read("endTime", end), read("startDate", first), read("endDate", last),
	}, false)
	if !bad {
		v.check(at, policy.CheckPeriod(p.noun()))
	}
}

func (p ActivePeriod) start() (time.Duration, error) {
	return policy.ParseClock(cmp.Or(p.StartTime, "00:00"))
}

func (p ActivePeriod) end() (time.Duration, error) {
	return policy.ParseClock(cmp.Or(p.EndTime, "24:00"))
}

func day(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	return policy.ParseDate(text)
}

// noun returns p, which was checked.
func (p ActivePeriod) noun() kspec.Period {
	var out kspec.Period
	out.Start, _ = p.start()
	out.End, _ = p.end()
	out.First, _ = day(p.StartDate)
	out.Last, _ = day(p.EndDate)
	for _, d := range p.DaysOfWeek {
		out.Days = append(out.Days, weekday(string(d)))
	}
	return out
}

func weekday(name string) time.Weekday {
	d := time.Sunday
	for d < time.Saturday && d.String() != name {
		d++
	}
	return d
}

func (v *validator) selector(at string, s *metav1.LabelSelector) {
	if s == nil {
		return
	}
	v.labels(at+".matchLabels", s.MatchLabels)
	for i, e := range s.MatchExpressions {
		v.expression(fmt.Sprintf("%s.matchExpressions[%d]", at, i), e)
	}
}

func (v *validator) expression(at string, e metav1.LabelSelectorRequirement) {
	wrong := validation.IsQualifiedName(e.Key)
	v.checkf(len(wrong) > 0, at+".key", "%q is no key of a label: %s", e.Key, strings.Join(wrong, "; "))
	const in, notIn, exists, not = metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist
	v.check(at+".operator", checkOneOf("operator", string(e.Operator), []string{string(in), string(notIn), string(exists), string(not)}))
	switch e.Operator {
	case in, notIn:
		v.checkf(len(e.Values) == 0, at+".values", "%s wants values", e.Operator)
	case exists, not:
		v.checkf(len(e.Values) > 0, at+".values", "%s takes no values", e.Operator)
	}
	for i, value := range e.Values {
		wrong := validation.IsValidLabelValue(value)
		v.checkf(len(wrong) > 0, fmt.Sprintf("%s.values[%d]", at, i), "not a value of a label: %s", strings.Join(wrong, "; "))
	}
}

func (s *NamespaceScope) noun() kspec.Scope {
	if s == nil {
		return kspec.Scope{}
	}
	return kspec.Scope{Include: s.IncludeNamespaces, Exclude: s.ExcludeNamespaces, Selector: s.NamespaceSelector}
}

func (a *TimeBasedActivation) noun() *kspec.Activation {
	if a == nil || !a.Enabled {
		return nil
	}
	out := &kspec.Activation{Zone: cmp.Or(a.Timezone, "UTC"), Schedule: a.Schedule, Outside: kspec.Enforcement(cmp.Or(a.Outside, "audit"))}
	for _, p := range a.ActivePeriods {
		out.Periods = append(out.Periods, p.noun())
	}
	return out
}

func (e PolicyExemption) noun() kspec.Exemption {
	out := kspec.Exemption{
		Name: e.Name, Reason: e.Reason, Approver: e.Approver, ExpiresAt: e.ExpiresAt.UTC(), Namespaces: e.Namespaces,
	}
	for _, r := range e.Resources {
		out.Resources = append(out.Resources, kspec.ExemptResource{Kind: r.Kind, Name: r.Name, Namespace: r.Namespace, Labels: r.LabelSelector})
	}
	return out
}

// Resolve returns what the stages work on, one for each spec of s and in their
// order, read at rev: see [ClusterSpec.Target]. A spec that inherits has the
// templates of its bases as well, and one that names a ClusterTarget what that
// says of its clusters.
func (s *Set) Resolve(rev kspec.Revision) ([]kspec.Target, []error) {
	var targets []kspec.Target
	var errs []error
	for _, spec := range s.Specs {
		t, err := spec.Doc.Target(spec.Source, rev)
		if err == nil && spec.Doc.Spec.PolicyInheritance != nil {
			t.Templates, err = s.inherit(spec.Doc.Name)
		}
		if cluster := s.clusterOf(spec.Doc); cluster != nil {
			cluster.Spec.govern(&t, spec.Doc.Spec.Interval == nil)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		targets = append(targets, t)
	}
	return targets, errs
}

// clusterOf returns the ClusterTarget that a spec names, nil for none.
func (s *Set) clusterOf(spec *ClusterSpec) *ClusterTarget {
	for _, t := range s.Targets {
		if spec.Spec.ClusterRef != nil && t.Doc.Name == spec.Spec.ClusterRef.Name {
			return t.Doc
		}
	}
	return nil
}

// govern gives t what its cluster says.
func (s *ClusterTargetSpec) govern(t *kspec.Target, anyInterval bool) {
	if anyInterval {
		t.Interval = s.ScanInterval.or(t.Interval)
	}
	if t.Enforcement == kspec.Enforce && !s.AllowEnforcement {
		t.Enforcement = kspec.Audit
		t.Notes = append(t.Notes, fmt.Sprintf("the policies are delivered as in mode audit, because ClusterTarget %s does not have allowEnforcement: true", t.Cluster))
	}
}

// inherit returns the templates of a spec with those of its bases.
func (s *Set) inherit(name string) ([]kspec.TemplateUse, error) {
	layers := map[string]policy.Layer{}
	for _, spec := range s.Specs {
		templates, err := spec.Doc.Spec.templates(spec.Source)
		if err != nil {
			return nil, err
		}
		layer := policy.Layer{Strategy: kspec.Merge, Templates: templates}
		if i := spec.Doc.Spec.PolicyInheritance; i != nil {
			layer.Bases, layer.Strategy = i.BasePolicies, kspec.MergeStrategy(cmp.Or(i.MergeStrategy, string(kspec.Merge)))
		}
		layers[spec.Doc.Name] = layer
	}
	return policy.Inherit(name, layers, s.isTemplate)
}

func (s *Set) isTemplate(name string) bool {
	named := func(t Sourced[*PolicyTemplate]) bool { return t.Doc.Name == name }
	return slices.Contains(BuiltinTemplates(), name) || slices.ContainsFunc(s.Templates, named)
}

// bases drops the specs whose bases cannot be used, and tells of each. Those
// that build on one of them are told of in turn.
func (s *Set) bases() (errs []error) {
	for {
		before := len(s.Specs)
		known := slices.Clone(s.Specs)
		all := Set{Specs: known, Templates: s.Templates}
		s.Specs = slices.DeleteFunc(s.Specs, func(spec Sourced[*ClusterSpec]) bool {
			if spec.Doc.Spec.PolicyInheritance == nil {
				return false
			}
			_, err := all.inherit(spec.Doc.Name)
			if err != nil {
				errs = append(errs, all.baseError(spec, err))
			}
			return err != nil
		})
		if len(s.Specs) == before {
			return errs
		}
	}
}

func (s *Set) baseError(spec Sourced[*ClusterSpec], err error) error {
	base, ok := errors.AsType[*policy.BaseError](err)
	if !ok {
		return spec.document.fieldError("spec.policyInheritance", err)
	}
	name := spec.Doc.Spec.PolicyInheritance.BasePolicies[base.Index]
	hint := ""
	if known := s.baseNames(spec.Doc.Name); !slices.Contains(known, name) {
		hint = didYouMean(name, known)
	}
	return spec.document.fieldError(fmt.Sprintf("spec.policyInheritance.basePolicies[%d]", base.Index), fmt.Errorf("%w%s", err, hint))
}

// baseNames lists what a spec may build on, sorted.
func (s *Set) baseNames(spec string) []string {
	names := map[string]bool{}
	for _, other := range s.Specs {
		names[other.Doc.Name] = true
	}
	for _, t := range s.Templates {
		names[t.Doc.Name] = true
	}
	for _, name := range BuiltinTemplates() {
		names[name] = true
	}
	delete(names, spec)
	return slices.Sorted(maps.Keys(names))
}
