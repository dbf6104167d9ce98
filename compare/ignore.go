package compare

import (
	"fmt"
	"strings"
	"time"

	"github.com/cloudcwfranck/kspec"
)

// ignoredBy returns the ignore rule that removes the field of want from the
// report. A rule that names a place inside of the field removes it only when
// nothing else differs.
func (r Rules) ignoredBy(want kspec.Object, f kspec.Field) (rule int, ok bool) {
	if len(r.Ignore) == 0 {
		return 0, false
	}
	place, ok := siteOf(f)
	if !ok {
		return 0, false
	}
	desired, live, first := f.Desired, f.Live, -1
	for i, rule := range r.Ignore {
		if !r.applies(rule, want, f) {
			continue
		}
		for _, path := range rule.Paths {
			rest, ok := beyond(path, place)
			switch {
			case !ok:
				continue
			case len(rest) == 0:
				return i, true
			}
			var inGit, inCluster bool
			desired, inGit = prune(desired, rest)
			live, inCluster = prune(live, rest)
			if first < 0 && (inGit || inCluster) {
				first = i
			}
		}
	}
	return max(first, 0), first >= 0 && same(desired, live)
}

// applies reports whether a rule is about the field, wherever that is.
func (r Rules) applies(rule kspec.IgnoreRule, want kspec.Object, f kspec.Field) bool {
	return r.Now.Before(rule.ExpiresAt) &&
		(rule.Manager == "" || rule.Manager == f.Manager) &&
		rule.Selector.Matches(want.ID(), want.GetLabels())
}

// expired returns a finding for each ignore rule of t that has expired: it
// suppresses nothing any more, and someone should know.
func expired(t kspec.Target, now time.Time) []kspec.Finding {
	var findings []kspec.Finding
	for _, rule := range t.Drift.Ignore {
		if now.Before(rule.ExpiresAt) {
			continue
		}
		f := kspec.Finding{
			Type: kspec.TypeConfiguration, Verdict: kspec.Violation, Severity: kspec.Low,
			Object: kspec.ObjectID{Group: "kspec.io", Version: "v1alpha1", Kind: "ClusterSpec", Name: t.Name},
			Message: fmt.Sprintf("the ignore rule for %s (%s) expired on %s and ignores nothing any more",
				strings.Join(rule.Paths, ", "), rule.Reason, rule.ExpiresAt.UTC().Format(time.DateOnly)),
			Hint:   "remove the rule, or give it a new expiry if it is still needed",
			Source: rule.Source, Controls: []string{},
		}
		findings = append(findings, f.Fingerprinted())
	}
	return findings
}
