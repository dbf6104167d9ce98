package v1alpha1

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cloudcwfranck/kspec"
)

// The conditions of a ClusterSpec. The first three mean what kstatus says; the
// reasons of failures are those of Flux.
const (
	ReadyCondition          = "Ready"
	ReconcilingCondition    = "Reconciling"
	StalledCondition        = "Stalled"
	DriftDetectedCondition  = "DriftDetected"
	PolicyEnforcedCondition = "PolicyEnforced"
)

// Suspended returns the status, s until now, of a target that kspec looks away
// from. What was seen before stays.
func (s ClusterSpecStatus) Suspended(now time.Time) ClusterSpecStatus {
	s = *s.DeepCopy()
	s.set(now, ReadyCondition, metav1.ConditionUnknown, "Suspended", "spec.suspend is true: kspec looks away")
	s.drop(ReconcilingCondition, StalledCondition)
	return s
}

// Looked returns what a run makes of s, the status until now: what a look saw,
// when it saw something, and how the run failed, when it did. What an earlier
// look counted stays when this one saw nothing. Texts are cut after 1,024 bytes.
func (s ClusterSpecStatus) Looked(rep kspec.Report, out kspec.Outcome, err error, now time.Time) ClusterSpecStatus {
	s = *s.DeepCopy()
	s.drop(ReconcilingCondition, StalledCondition)
	if rep.StartedAt.IsZero() {
		s.set(now, DriftDetectedCondition, metav1.ConditionUnknown, failed, "the last look failed")
		s.set(now, PolicyEnforcedCondition, metav1.ConditionUnknown, failed, "the last look failed")
	} else {
		s.saw(rep, out, now)
	}
	switch {
	case err == nil:
	case kspec.IsTerminal(err):
		s.set(now, ReadyCondition, metav1.ConditionFalse, failed, err.Error())
		s.set(now, StalledCondition, metav1.ConditionTrue, failed, "only another revision can mend it")
	default:
		s.set(now, ReadyCondition, metav1.ConditionFalse, failed, err.Error())
		s.set(now, ReconcilingCondition, metav1.ConditionTrue, "ProgressingWithRetry", "kspec will try again")
	}
	return s
}

const failed = "ReconciliationFailed"

func (s *ClusterSpecStatus) saw(rep kspec.Report, out kspec.Outcome, now time.Time) {
	s.ObservedRevision, s.PullRequest = rep.Revision.String(), openPullRequest(out)
	s.Findings, s.Score, s.Policies = countFindings(rep), nil, nil
	if score, ok := rep.Score(); ok {
		s.Score = &score
	}
	if p := rep.Policies; p != nil {
		s.Policies = &PolicyCounts{Enforced: p.Enforced, Audited: p.Audited}
	}
	if rep.Complete() {
		s.LastCompleteLook = &metav1.Time{Time: rep.StartedAt.Add(rep.Duration).UTC().Truncate(time.Second)}
		s.set(now, ReadyCondition, metav1.ConditionTrue, "Complete", fmt.Sprintf("looked at %d objects", rep.Coverage.Objects))
	} else {
		s.set(now, ReadyCondition, metav1.ConditionFalse, "Incomplete",
			fmt.Sprintf("%d could not be looked at, the first: %s", len(rep.Unknown), rep.Unknown[0].Reason))
	}
	s.setDrift(rep, now)
	s.setEnforced(rep.Policies, now)
}

func (s *ClusterSpecStatus) setDrift(rep kspec.Report, now time.Time) {
	drift := slices.DeleteFunc(rep.Open(), func(f kspec.Finding) bool {
		return f.Type != kspec.TypeConfiguration && f.Type != kspec.TypePolicy
	})
	switch {
	case len(drift) > 0:
		worst := kspec.Report{Findings: drift}.Worst()
		s.set(now, DriftDetectedCondition, metav1.ConditionTrue, "Found", fmt.Sprintf("%d findings, the worst of severity %s", len(drift), worst))
	case rep.Complete():
		s.set(now, DriftDetectedCondition, metav1.ConditionFalse, "InSync", "the cluster is what Git says")
	default:
		s.set(now, DriftDetectedCondition, metav1.ConditionUnknown, "Incomplete", "nothing was found, but not everything could be looked at")
	}
}

func (s *ClusterSpecStatus) setEnforced(p *kspec.PolicyCount, now time.Time) {
	switch {
	case p == nil:
		s.set(now, PolicyEnforcedCondition, metav1.ConditionUnknown, "NotCounted", "the policies in the cluster could not be counted, or there are none to count")
	case p.Enforced > 0:
		s.set(now, PolicyEnforcedCondition, metav1.ConditionTrue, "Enforced", fmt.Sprintf("%d policies deny, %d only audit", p.Enforced, p.Audited))
	default:
		s.set(now, PolicyEnforcedCondition, metav1.ConditionFalse, "NotEnforced", fmt.Sprintf("no policy denies, %d audit", p.Audited))
	}
}

func (s *ClusterSpecStatus) set(now time.Time, kind string, status metav1.ConditionStatus, reason, message string) {
	setCondition(&s.Conditions, now, kind, status, reason, message)
}

func setCondition(all *[]metav1.Condition, now time.Time, kind string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(all, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: shorten(message), LastTransitionTime: metav1.NewTime(now.UTC().Truncate(time.Second)),
	})
}

func (s *ClusterSpecStatus) drop(kinds ...string) {
	for _, kind := range kinds {
		meta.RemoveStatusCondition(&s.Conditions, kind)
	}
}

// shorten cuts text after 1,024 bytes: a status is read at a glance.
func shorten(text string) string {
	const most = 1024
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

func openPullRequest(out kspec.Outcome) string {
	switch out.Action {
	case kspec.ActionOpened, kspec.ActionUpdated, kspec.ActionUnchanged, kspec.ActionFrozen:
		return out.URL
	default:
		return ""
	}
}

// Answered returns what becomes of s, the status until now, when the cluster
// gave an answer, which told version, uid, platform and nodes; nil for a number
// that kspec may not know.
func (s ClusterTargetStatus) Answered(version, uid, platform string, nodes *int, now time.Time) ClusterTargetStatus {
	s = *s.DeepCopy()
	s.Version, s.UID, s.Platform, s.Nodes = version, uid, platform, nodes
	s.checked(true, now)
	setCondition(&s.Conditions, now, ReadyCondition, metav1.ConditionTrue, "ClusterReachable", "the cluster answered as "+version)
	return s
}

// Unreachable returns what becomes of s, the status until now, when the cluster
// gave none. What it said before stays.
func (s ClusterTargetStatus) Unreachable(err error, now time.Time) ClusterTargetStatus {
	s = *s.DeepCopy()
	s.checked(false, now)
	setCondition(&s.Conditions, now, ReadyCondition, metav1.ConditionFalse, "ClusterUnreachable", err.Error())
	return s
}

func (s *ClusterTargetStatus) checked(reachable bool, now time.Time) {
	s.Reachable, s.LastChecked = reachable, &metav1.Time{Time: now.UTC().Truncate(time.Second)}
}

func countFindings(rep kspec.Report) *FindingCounts {
	c := &FindingCounts{Unknown: len(rep.Unknown)}
	for _, f := range rep.Findings {
		if f.Notice {
			continue
		}
		if f.WaivedBy != nil {
			c.Waived++
			continue
		}
		if c.Total++; c.Total == 1 {
			c.ByVerdict, c.BySeverity = map[string]int{}, map[string]int{}
		}
		c.ByVerdict[string(f.Verdict)]++
		c.BySeverity[string(f.Severity)]++
	}
	return c
}
