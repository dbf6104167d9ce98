package compare

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloudcwfranck/kspec"
)

// ignored reports whether a rule removes the field of want from the report.
func ignored(r Rules, want kspec.Object, f kspec.Field) bool {
	return slices.ContainsFunc(r.Ignore, func(rule kspec.IgnoreRule) bool {
		return r.Now.Before(rule.ExpiresAt) &&
			(rule.Manager == "" || rule.Manager == f.Manager) &&
			rule.Selector.Matches(want.ID(), want.GetLabels()) &&
			slices.ContainsFunc(rule.Paths, func(path string) bool { return covers(path, f) })
	})
}

// covers reports whether the field is at path or below it. Each step of path
// may name a list item by its index or by its keys, or by some of them.
func covers(path string, f kspec.Field) bool {
	rule, err := kspec.ParsePath(path)
	if err != nil {
		return false // refused when the ClusterSpec was read
	}
	byIndex, errI := kspec.ParsePath(f.Path)
	byKey, errK := kspec.ParsePath(f.KeyedPath)
	if errI != nil || errK != nil || len(rule) > len(byKey) || len(byIndex) != len(byKey) {
		return false
	}
	for i, s := range rule {
		if len(s.Keys) == 0 && (s.Field == byIndex[i].Field && len(byIndex[i].Keys) == 0) {
			continue
		}
		if len(s.Keys) == 0 || !hasKeys(byKey[i].Keys, s.Keys) {
			return false
		}
	}
	return true
}

func hasKeys(all, some []kspec.Key) bool {
	return !slices.ContainsFunc(some, func(k kspec.Key) bool { return !slices.Contains(all, k) })
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
