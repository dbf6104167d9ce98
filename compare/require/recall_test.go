package require_test

import (
	"context"
	"testing"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare/require"
)

// clocked is a detector of requirements in a made cluster, on a clock that only
// the test moves.
type clocked struct {
	*require.Detector
	cluster *made
	now     time.Time
}

func newClocked(t *testing.T) *clocked {
	t.Helper()
	c := &clocked{cluster: cluster(t, namespaces("web")), now: now}
	next := kspec.DetectorFunc(func(_ context.Context, t kspec.Target, _ kspec.Desired) (kspec.Report, error) {
		return kspec.Report{Target: t.Name, Revision: t.Revision, StartedAt: c.now}, nil
	})
	readers := require.ReadersFunc(func(context.Context, kspec.Target) (require.Reader, error) { return c.cluster, nil })
	c.Detector = require.New(next, readers, func() time.Time { return c.now })
	return c
}

// look returns the report and how many lists it took.
func (c *clocked) look(t *testing.T, target kspec.Target) (kspec.Report, int) {
	t.Helper()
	before := c.cluster.lists
	rep, err := c.Detect(t.Context(), target, kspec.Desired{})
	if err != nil {
		t.Fatal(err)
	}
	return rep, c.cluster.lists - before
}

const minutely = "{interval: 10m, podSecurity: {enforce: baseline}}"

func TestWhatWasFoundCountsForAnInterval(t *testing.T) {
	c, target := newClocked(t), targetOf(t, minutely)
	first, lists := c.look(t, target)
	if lists != 1 || len(first.Findings) != 1 || !first.ObservedAt.IsZero() {
		t.Fatalf("%d lists, %v", lists, lines(first))
	}
	if due := c.Due(target); !due.Equal(now.Add(10 * time.Minute)) {
		t.Errorf("due at %s", due)
	}
	c.cluster.objects = cluster(t, "{apiVersion: v1, kind: Namespace, metadata: {name: web, labels: {pod-security.kubernetes.io/enforce: baseline}}}").objects
	c.now, target.Revision = now.Add(8*time.Minute), kspec.Revision{Commit: "b"}
	again, lists := c.look(t, target)
	if lists != 0 || len(again.Findings) != 1 || !again.ObservedAt.Equal(now) || again.Revision.Commit != "b" || !again.StartedAt.Equal(c.now) {
		t.Errorf("%d lists, %+v", lists, again)
	}
	c.now = now.Add(9 * time.Minute) // as early as an interval may end
	if late, lists := c.look(t, target); lists != 1 || len(late.Findings) != 0 || !late.ObservedAt.IsZero() {
		t.Errorf("%d lists, %v", lists, lines(late))
	}
}

func TestWhatCannotBeToldAgainIsLookedAt(t *testing.T) {
	for name, change := range map[string]func(*clocked, *kspec.Target){
		"other demands": func(_ *clocked, t *kspec.Target) { t.Requirements.PodSecurity.Warn = kspec.Baseline },
		"another scope": func(_ *clocked, t *kspec.Target) { t.Scope.Exclude = []string{"web"} },
		"another line":  func(_ *clocked, t *kspec.Target) { t.Source.Line++ },
		"the cluster":   func(c *clocked, _ *kspec.Target) { c.cluster.host = "other" },
		"the clock":     func(c *clocked, _ *kspec.Target) { c.now = c.now.Add(10 * time.Minute) },
	} {
		c, target := newClocked(t), targetOf(t, minutely)
		c.look(t, target)
		change(c, &target)
		if _, lists := c.look(t, target); lists != 1 {
			t.Errorf("%s: %d lists", name, lists)
		}
	}
	c, target := newClocked(t), targetOf(t, minutely)
	c.look(t, target)
	c.Forget([]string{target.Name})
	if _, lists := c.look(t, target); lists != 0 {
		t.Errorf("a target that stays: %d lists", lists)
	}
	c.Forget(nil) // suspended, or gone for a while
	if _, lists := c.look(t, target); lists != 1 {
		t.Errorf("a target that was away: %d lists", lists)
	}
	c, target = newClocked(t), targetOf(t, minutely)
	c.cluster.broken["Namespace"] = true
	c.look(t, target)
	if rep, lists := c.look(t, target); lists != 1 || rep.Complete() || !c.Due(target).IsZero() {
		t.Errorf("what was not complete: %d lists, due at %s", lists, c.Due(target))
	}
}

// The drift of a policy is told at once; the count must not contradict it.
func TestPoliciesAreCountedAtEveryLook(t *testing.T) {
	c, target := newClocked(t), targetOf(t, "{interval: 10m, podSecurity: {enforce: baseline}, policyTemplate: {name: security-baseline}}")
	const meta = "metadata: {name: a, labels: {kspec.io/owner: prod}}"
	binding := func(action string) {
		c.cluster.objects = cluster(t, "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, "+meta+"}",
			"{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, "+meta+", spec: {policyName: a, validationActions: ["+action+"]}}").objects
	}
	binding("Deny")
	first, _ := c.look(t, target)
	binding("Audit")
	c.now = c.now.Add(time.Minute)
	again, _ := c.look(t, target)
	if *first.Policies != (kspec.PolicyCount{Enforced: 1}) || *again.Policies != (kspec.PolicyCount{Audited: 1}) || again.ObservedAt.IsZero() {
		t.Errorf("got %+v, then %+v", first.Policies, again.Policies)
	}
}

// Reports share nothing that whoever gets one may change.
func TestWhatIsToldAgainIsUnharmed(t *testing.T) {
	c, target := newClocked(t), targetOf(t, minutely)
	c.look(t, target)
	again, _ := c.look(t, target)
	again.Findings[0].Message = "changed"
	if third, _ := c.look(t, target); third.Findings[0].Message == "changed" {
		t.Error("a report that was handed out is the memory itself")
	}
}
