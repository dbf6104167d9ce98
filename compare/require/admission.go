package require

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
)

const (
	validating = "ValidatingAdmissionPolicy"
	mutating   = "MutatingAdmissionPolicy"
	// kyvernoKinds stands for all kinds of Kyverno.
	kyvernoKinds = ""
)

// kyverno are the kinds of Kyverno that hold for the whole cluster.
func kyverno() []schema.GroupKind {
	return []schema.GroupKind{
		{Group: "policies.kyverno.io", Kind: "ValidatingPolicy"},
		{Group: "policies.kyverno.io", Kind: "ImageValidatingPolicy"},
		{Group: "policies.kyverno.io", Kind: "MutatingPolicy"},
		{Group: "kyverno.io", Kind: "ClusterPolicy"},
	}
}

func (l *look) admission(ctx context.Context) {
	c := l.demands(kspec.CheckAdmission)
	if c == nil {
		return
	}
	rules := l.target.Requirements.Admission
	read := map[string][]string{}
	names := func(kind string) ([]string, error) {
		if _, ok := read[kind]; !ok {
			found, err := l.admissionNames(ctx, kind)
			if err != nil {
				return nil, err
			}
			read[kind] = found
			c.Looked += len(found)
		}
		return read[kind], nil
	}
	for _, d := range rules.Required {
		all, err := names(d.Kind)
		pattern, wrong := regexp.Compile(d.NamePattern)
		if err := cmp.Or(err, wrong); err != nil {
			l.doubtAll(err, kspec.CheckAdmission)
			continue
		}
		if f, short := shortage(d, pattern, all); short {
			l.found(kspec.CheckAdmission, f)
		}
	}
	if rules.MinPolicies == 0 && len(rules.RequiredPolicies) == 0 {
		return
	}
	var policies []string
	for _, kind := range []string{validating, mutating, kyvernoKinds} {
		all, err := names(kind)
		if err != nil {
			l.doubtAll(err, kspec.CheckAdmission)
			return // what is not there may be among what was not read
		}
		policies = append(policies, all...)
	}
	for _, f := range wrongPolicies(rules, policies) {
		l.found(kspec.CheckAdmission, f)
	}
}

// shortage returns the finding of too few objects with a name.
func shortage(d kspec.AdmissionDemand, pattern *regexp.Regexp, names []string) (kspec.Finding, bool) {
	matching := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !pattern.MatchString(name) })
	return kspec.Finding{
		Severity: kspec.High, Message: fmt.Sprintf("%d %s match %q, want %d or more", len(matching), d.Kind, d.NamePattern, d.MinCount),
		Hint:     "install what registers it",
		Evidence: map[string]any{"type": d.Kind, "namePattern": d.NamePattern, "want": d.MinCount, "found": matching[:min(len(matching), mostNames)]},
	}, len(matching) < d.MinCount
}

func wrongPolicies(rules kspec.AdmissionRules, names []string) []kspec.Finding {
	var found []kspec.Finding
	if len(names) < rules.MinPolicies {
		found = append(found, kspec.Finding{
			Severity: kspec.High, Message: fmt.Sprintf("there are %d admission policies, want %d or more", len(names), rules.MinPolicies),
			Hint:     "a policy counts when it has a binding",
			Evidence: map[string]any{"want": rules.MinPolicies, "found": names[:min(len(names), mostNames)]},
		})
	}
	for _, p := range rules.RequiredPolicies {
		if !slices.Contains(names, p.Name) {
			found = append(found, missingPolicy("admission policy", p))
		}
	}
	return found
}

// admissionNames returns the names of all objects of a kind that act, sorted;
// of kyvernoKinds those of all of them. A kind that the cluster does not have has none.
func (l *look) admissionNames(ctx context.Context, kind string) ([]string, error) {
	group := func(kind string) schema.GroupKind { return schema.GroupKind{Group: admissionv1.GroupName, Kind: kind} }
	switch kind {
	case kyvernoKinds:
		var all []string
		for _, kind := range kyverno() {
			found, err := l.names(ctx, kind, "")
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
		return all, nil
	case validating, mutating:
		all, err := l.names(ctx, group(kind), "")
		if err != nil || len(all) == 0 {
			return nil, err
		}
		bound, err := l.bound(ctx, group(kind+"Binding"), "")
		return slices.DeleteFunc(all, func(name string) bool { return bound[name] == nil }), err
	default:
		return l.names(ctx, group(kind), "")
	}
}

func (l *look) names(ctx context.Context, kind schema.GroupKind, selector string) ([]string, error) {
	all := map[string]bool{}
	err := l.Each(ctx, kind, selector, func(object []byte) error {
		var o metav1.PartialObjectMetadata
		if err := json.Unmarshal(object, &o); err != nil {
			return fmt.Errorf("read a %s: %w", kind.Kind, err)
		}
		all[o.Name] = true
		return nil
	})
	if meta.IsNoMatchError(err) {
		err = nil
	}
	return slices.Sorted(maps.Keys(all)), err
}

// bound returns what the bindings of admission policies do, by policy.
func (l *look) bound(ctx context.Context, kind schema.GroupKind, selector string) (map[string][]string, error) {
	all := map[string][]string{}
	err := l.Each(ctx, kind, selector, func(object []byte) error {
		var b struct {
			Spec struct {
				PolicyName        string   `json:"policyName"`
				ValidationActions []string `json:"validationActions"`
			} `json:"spec"`
		}
		if err := json.Unmarshal(object, &b); err != nil {
			return fmt.Errorf("read a %s: %w", kind.Kind, err)
		}
		all[b.Spec.PolicyName] = append(append([]string{}, all[b.Spec.PolicyName]...), b.Spec.ValidationActions...)
		return nil
	})
	if meta.IsNoMatchError(err) {
		err = nil
	}
	return all, err
}

// ownerLabel is on every object that kspec renders of a template.
const ownerLabel = "kspec.io/owner"

// count counts the policies of the target that are in the cluster, by what the
// bindings there say and not by what Git does. It is no requirement: what
// cannot be read is not counted.
func (l *look) count(ctx context.Context) {
	const longestLabel = 63
	if len(l.target.Templates) == 0 || len(l.target.Name) > longestLabel {
		return
	}
	selector := ownerLabel + "=" + l.target.Name
	group := schema.GroupKind{Group: admissionv1.GroupName, Kind: validating}
	policies, err := l.names(ctx, group, selector)
	if err != nil {
		return
	}
	group.Kind += "Binding"
	bound, err := l.bound(ctx, group, selector)
	if err != nil {
		return
	}
	l.policies = countPolicies(policies, bound)
}

func countPolicies(policies []string, bound map[string][]string) *kspec.PolicyCount {
	count := &kspec.PolicyCount{}
	for _, name := range policies {
		actions, ok := bound[name]
		switch {
		case !ok:
		case slices.Contains(actions, string(admissionv1.Deny)):
			count.Enforced++
		default:
			count.Audited++
		}
	}
	return count
}
