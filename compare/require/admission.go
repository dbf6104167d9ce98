package require

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

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
// of kyvernoKinds those of all of them. A policy acts that has a binding, and a
// configuration that has a webhook.
func (l *look) admissionNames(ctx context.Context, kind string) ([]string, error) {
	of := schema.GroupKind{Group: admissionv1.GroupName, Kind: kind}
	switch kind {
	case kyvernoKinds:
		var all []string
		for _, kind := range kyverno() {
			found, err := l.names(ctx, kind, func(admissionObject) bool { return true })
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
		return all, nil
	case validating, mutating:
		bound, err := l.bound(ctx, schema.GroupKind{Group: of.Group, Kind: kind + "Binding"}, "")
		if err != nil {
			return nil, err
		}
		return l.names(ctx, of, func(o admissionObject) bool { _, ok := bound[o.Name]; return ok })
	default:
		return l.names(ctx, of, func(o admissionObject) bool { return len(o.Webhooks) > 0 })
	}
}

// admissionObject is what the checks know of a policy, a binding or the
// configuration of webhooks.
type admissionObject struct {
	metav1.PartialObjectMetadata
	Webhooks []struct{} `json:"webhooks"`
	Spec     struct {
		PolicyName        string   `json:"policyName"`
		ValidationActions []string `json:"validationActions"`
		FailureAction     string   `json:"validationFailureAction"`
		Rules             []struct {
			Validate *struct {
				FailureAction string `json:"failureAction"`
			} `json:"validate"`
		} `json:"rules"`
	} `json:"spec"`
}

// eachAdmission visits all objects of a kind of admission control. A kind that
// the cluster does not have has none.
func (l *look) eachAdmission(ctx context.Context, kind schema.GroupKind, selector string, visit func(admissionObject)) error {
	err := l.Each(ctx, kind, selector, func(object []byte) error {
		var o admissionObject
		if err := json.Unmarshal(object, &o); err != nil {
			return fmt.Errorf("read a %s: %w", kind.Kind, err)
		}
		visit(o)
		return nil
	})
	if meta.IsNoMatchError(err) {
		return nil
	}
	return err
}

// names returns the names of all objects of a kind that want says yes to,
// sorted.
func (l *look) names(ctx context.Context, kind schema.GroupKind, want func(admissionObject) bool) ([]string, error) {
	var all []string
	err := l.eachAdmission(ctx, kind, "", func(o admissionObject) {
		if want(o) {
			all = append(all, o.Name)
		}
	})
	slices.Sort(all)
	return all, err
}

// bound returns what the bindings of a kind do, by policy.
func (l *look) bound(ctx context.Context, kind schema.GroupKind, selector string) (map[string][]string, error) {
	all := map[string][]string{}
	err := l.eachAdmission(ctx, kind, selector, func(b admissionObject) {
		all[b.Spec.PolicyName] = append(all[b.Spec.PolicyName], b.Spec.ValidationActions...)
	})
	return all, err
}

// count counts the policies of the target that are in the cluster, by what they
// and their bindings say there and not by what Git does. It is no requirement:
// when they cannot all be read, none is counted.
func (l *look) count(ctx context.Context) {
	if len(l.target.Templates) == 0 {
		return
	}
	selector := kspec.OwnerLabel + "=" + l.target.Owner()
	bound, err := l.bound(ctx, schema.GroupKind{Group: admissionv1.GroupName, Kind: validating + "Binding"}, selector)
	if err != nil {
		return
	}
	count := &kspec.PolicyCount{}
	add := func(denies bool) {
		if denies {
			count.Enforced++
			return
		}
		count.Audited++
	}
	for _, c := range []struct {
		kind  schema.GroupKind
		visit func(admissionObject)
	}{
		{schema.GroupKind{Group: admissionv1.GroupName, Kind: validating}, func(o admissionObject) {
			if actions, ok := bound[o.Name]; ok {
				add(slices.Contains(actions, string(admissionv1.Deny)))
			}
		}},
		{schema.GroupKind{Group: "policies.kyverno.io", Kind: "ValidatingPolicy"}, func(o admissionObject) {
			add(slices.Contains(o.Spec.ValidationActions, string(admissionv1.Deny)))
		}},
		{schema.GroupKind{Group: "kyverno.io", Kind: "ClusterPolicy"}, func(o admissionObject) { add(o.enforces()) }},
	} {
		if err := l.eachAdmission(ctx, c.kind, selector, c.visit); err != nil {
			return
		}
	}
	l.policies = count
}

// enforces reports whether all rules of a ClusterPolicy of Kyverno deny what
// breaks them.
func (o admissionObject) enforces() bool {
	for _, r := range o.Spec.Rules {
		if r.Validate != nil && !strings.EqualFold(cmp.Or(r.Validate.FailureAction, o.Spec.FailureAction), "Enforce") {
			return false
		}
	}
	return len(o.Spec.Rules) > 0
}
