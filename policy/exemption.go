package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/cloudcwfranck/kspec"
)

// exemption is [kspec.Exemption] with its selectors parsed, and what is wrong
// with it at any time.
type exemption struct {
	kspec.Exemption
	selectors []labels.Selector // one for each of Resources, nil for none
	malformed string
}

func exemptions(all []kspec.Exemption) []exemption {
	names := map[string]int{}
	for _, e := range all {
		names[e.Name]++
	}
	var out []exemption
	for _, e := range all {
		x := exemption{Exemption: e}
		for _, r := range e.Resources {
			selector, err := parseSelector(r.Labels)
			if err != nil {
				x.malformed = "has a selector that cannot be read: " + err.Error()
			}
			x.selectors = append(x.selectors, selector)
		}
		if names[e.Name] > 1 {
			x.malformed = "shares its name with another"
		}
		x.malformed = cmp.Or(x.malformed, incomplete(e))
		out = append(out, x)
	}
	return out
}

// parseSelector returns nil for a selector that says nothing.
func parseSelector(s *metav1.LabelSelector) (labels.Selector, error) {
	if s == nil || len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		return nil, nil
	}
	return metav1.LabelSelectorAsSelector(s)
}

// incomplete says what an exemption lacks.
func incomplete(e kspec.Exemption) string {
	empty := func(r kspec.ExemptResource) bool {
		selector, _ := parseSelector(r.Labels)
		return r.Kind+r.Name+r.Namespace == "" && selector == nil
	}
	anything := func(r kspec.ExemptResource) bool {
		return strings.Contains(r.Kind+r.Name+r.Namespace, "*")
	}
	switch {
	case e.Name == "":
		return "has no name"
	case e.Reason == "":
		return "has no reason"
	case e.Approver == "":
		return "was approved by nobody"
	case e.ExpiresAt.IsZero():
		return "never expires"
	case len(e.Namespaces)+len(e.Resources) == 0, slices.ContainsFunc(e.Resources, empty):
		return "selects nothing"
	case slices.ContainsFunc(e.Resources, anything), strings.Contains(strings.Join(e.Namespaces, ""), "*"):
		return "has a *, which is no name: name what is exempt"
	}
	return ""
}

// void says why e waives nothing at now, "" when it does waive.
func (e exemption) void(now time.Time) string {
	if e.malformed == "" && !now.Before(e.ExpiresAt) {
		return "expired on " + e.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return cmp.Or(e.malformed, e.Unapproved)
}

// covers reports whether e alone selects o.
func (e exemption) covers(o Object) bool {
	namespace := namespaceOf(o.ID)
	if len(e.Namespaces) > 0 && !slices.Contains(e.Namespaces, namespace) {
		return false
	}
	agree := func(want, got string) bool { return want == "" || want == got }
	for i, r := range e.Resources {
		if agree(r.Kind, o.ID.Kind) && agree(r.Name, o.ID.Name) && agree(r.Namespace, namespace) &&
			(e.selectors[i] == nil || o.Labels != nil && e.selectors[i].Matches(labels.Set(o.Labels))) {
			return true
		}
	}
	return len(e.Resources) == 0
}

// waivedBy names the first exemption that waives what is found in o, "" for
// none.
func (p *Policy) waivedBy(o Object, now time.Time) string {
	for _, e := range p.exemptions {
		if e.void(now) == "" && e.covers(o) {
			return e.Name
		}
	}
	return ""
}

// ofExemptions returns the findings about the exemptions themselves.
func (p *Policy) ofExemptions(now time.Time) []kspec.Finding {
	var found []kspec.Finding
	for _, e := range p.exemptions {
		f := kspec.Finding{
			Type: kspec.TypeCompliance, Verdict: kspec.Violation, Severity: kspec.Medium, Source: p.target.Source,
			Object: kspec.ObjectID{Group: "kspec.io", Version: "v1alpha1", Kind: "ClusterSpec", Name: p.target.Name},
		}
		void, days := e.void(now), e.endsWithin(now)
		switch {
		case void != "":
			f.Message = fmt.Sprintf("exemption %q waives nothing: it %s", e.Name, void)
			f.Hint = "take it out of policyExemptions, or put it right and have it approved anew"
		case days > 0:
			f.Severity, f.WaivedBy, f.Notice = kspec.Low, &e.Name, true
			f.Message = fmt.Sprintf("exemption %q ends on %s: in less than %s", e.Name, e.ExpiresAt.UTC().Format(time.RFC3339), inDays(days))
			f.Hint = "put right what it waives, or have it approved anew"
		default:
			continue
		}
		found = append(found, f.Fingerprinted())
	}
	return found
}

// notice is how many days before it ends an exemption is warned of.
func notice() []int { return []int{1, 7, 14} }

// endsWithin returns 1, 7 or 14 for an exemption that ends within so many days,
// the least of them, and 0 for one that does not.
func (e exemption) endsWithin(now time.Time) int {
	for _, days := range notice() {
		if e.ExpiresAt.Sub(now) <= time.Duration(days)*day {
			return days
		}
	}
	return 0
}

// next returns the first instant after now at which e ends or is warned of,
// zero for none.
func (e exemption) next(now time.Time) time.Time {
	for _, days := range slices.Backward(append([]int{0}, notice()...)) {
		if at := e.ExpiresAt.Add(-time.Duration(days) * day); at.After(now) {
			return at
		}
	}
	return time.Time{}
}

func inDays(n int) string {
	if n == 1 {
		return "a day"
	}
	return fmt.Sprintf("%d days", n)
}
