package remediate_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/remediate"
)

var scaled = drift{"/spec/replicas": int64(5)}

func TestOpensOnePullRequestAndThenLeavesItAlone(t *testing.T) {
	w := newWorld(t)
	out := w.remediate(scaled)
	w.want(out, kspec.ActionOpened, -1)
	if diff := cmp.Diff([]string{"push", "open", "annotate", "edit"}, w.steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	pr := w.pulls(1)[0]
	if diff := cmp.Diff("- replicas: 3 # two were not enough\n+ replicas: 5 # two were not enough", w.diff(1)); diff != "" {
		t.Errorf("the change is another (-want +got):\n%s", diff)
	}
	if out.Number != 1 || out.URL == "" || out.Branch != pr.Head || out.Commit != pr.HeadSHA {
		t.Errorf("the outcome does not name the pull request: %+v", out)
	}
	if diff := cmp.Diff([]string{"drift"}, pr.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"ada"}, pr.Reviewers); diff != "" {
		t.Errorf("reviewers (-want +got):\n%s", diff)
	}
	w.want(w.remediate(scaled), kspec.ActionUnchanged, 0)
	w.restart()
	w.want(w.remediate(scaled), kspec.ActionUnchanged, 0)
	if w.requests > 2 {
		t.Errorf("a look at what is known took %d requests, want the list of pull requests alone", w.requests)
	}
	w.pulls(1)
}

func TestUpdatesThePullRequestWhenTheDriftChanges(t *testing.T) {
	w := newWorld(t)
	w.remediate(scaled)
	first := w.pulls(1)[0].HeadSHA
	w.want(w.remediate(drift{"/spec/replicas": int64(7)}), kspec.ActionUpdated, 2)
	pr := w.pulls(1)[0]
	if pr.HeadSHA == first || !strings.Contains(w.diff(1), "+ replicas: 7") || !strings.Contains(pr.Body, "`7`") {
		t.Errorf("branch or body was not brought up to date:\n%s\n%s", w.diff(1), pr.Body)
	}
	w.want(w.remediate(drift{"/spec/replicas": int64(7)}), kspec.ActionUnchanged, 0)
	if n := len(w.branches()); n != 1 {
		t.Errorf("there are %d branches", n)
	}
}

func TestLeavesThePullRequestAloneWhenTheBaseMovesElsewhere(t *testing.T) {
	w := newWorld(t)
	w.remediate(scaled)
	w.push("main", "apps/web/other.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other, namespace: web}\ndata: {a: \"2\"}\n")
	w.want(w.remediate(scaled), kspec.ActionUnchanged, 0)
}

func TestMergesTheBaseWhenItChangesTheSameFile(t *testing.T) {
	w := newWorld(t)
	w.remediate(scaled)
	old := w.pulls(1)[0]
	text := strings.Replace(string(configRepo()["apps/web/deployment.yaml"].Data), "replicas: 3 # two were not enough", "replicas: 4 # let us see", 1)
	w.push("main", "apps/web/deployment.yaml", text)
	w.want(w.remediate(scaled), kspec.ActionUpdated, -1)
	if diff := cmp.Diff("- replicas: 4 # let us see\n+ replicas: 5 # let us see", w.diff(1)); diff != "" {
		t.Errorf("the pull request shows another change (-want +got):\n%s", diff)
	}
	if pr := w.pulls(1)[0]; pr.HeadSHA == old.HeadSHA || pr.Head != old.Head {
		t.Errorf("the branch did not move on: %+v", pr)
	}
	if err := w.hub.Merge(repoName, 1); err != nil {
		t.Errorf("it cannot be merged: %v", err)
	}
}

func TestClosesThePullRequestWhenTheDriftIsGone(t *testing.T) {
	w := newWorld(t)
	w.remediate(scaled)
	w.want(w.remediate(nil), kspec.ActionWaiting, 0)
	w.want(w.remediate(nil), kspec.ActionWaiting, 0)
	w.want(w.remediate(nil), kspec.ActionClosed, -1)
	if diff := cmp.Diff([]string{"comment", "edit", "close", "delete"}, w.steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	pr := w.pulls(1)[0]
	if pr.State != "closed" || len(pr.Comments) != 1 || !strings.Contains(pr.Comments[0].Body, "agree again") {
		t.Errorf("it is not closed with a reason: %+v", pr)
	}
	if left := w.branches(); len(left) > 0 {
		t.Errorf("branches were left behind: %v", left)
	}
	w.want(w.remediate(nil), kspec.ActionNone, 0)

	w.want(w.remediate(scaled), kspec.ActionOpened, -1)
	if second := w.pulls(2)[1]; second.Head != pr.Head+"-g2" {
		t.Errorf("the branch of a closed pull request was used again: %s", second.Head)
	}
}

func TestOneLookWithDriftStartsTheCountAgain(t *testing.T) {
	w := newWorld(t)
	w.remediate(scaled)
	w.remediate(nil)
	w.remediate(nil)
	w.want(w.remediate(scaled), kspec.ActionUnchanged, 0)
	w.want(w.remediate(nil), kspec.ActionWaiting, 0)
}

func TestClosesNothingOnAnIncompleteLook(t *testing.T) {
	w := newWorld(t, func(o *remediate.Options) { o.GoneLooks = 1 })
	w.remediate(scaled)
	target, want, rep := look(t, w.url, w.now.Add(time.Minute), nil)
	rep.Unknown = []kspec.Unknown{{Reason: "list: forbidden"}}
	out, err := w.r.Remediate(t.Context(), target, want, rep)
	if err != nil || out.Action != kspec.ActionUnchanged {
		t.Errorf("got %s, %v", out.Action, err)
	}
	if pr := w.pulls(1)[0]; pr.State != "open" || len(pr.Comments) > 0 {
		t.Errorf("the pull request was touched: %+v", pr)
	}
}

func TestClosesWhatIsGoneBesideWhatCanNeverBeKnown(t *testing.T) {
	w := newWorld(t, func(o *remediate.Options) { o.GoneLooks = 1 })
	w.remediate(scaled)
	target, want, rep := look(t, w.url, w.now.Add(time.Minute), nil)
	rep.Unknown = []kspec.Unknown{{Reason: "encrypted with SOPS", Lasting: true}}
	if out, err := w.r.Remediate(t.Context(), target, want, rep); err != nil || out.Action != kspec.ActionClosed {
		t.Errorf("got %s, %v", out.Action, err)
	}
}

func TestTheSameReportTriedAgainCountsOnce(t *testing.T) {
	w := newWorld(t)
	w.remediate(scaled)
	target, want, rep := look(t, w.url, w.now.Add(time.Minute), nil)
	for range 5 {
		out, err := w.r.Remediate(t.Context(), target, want, rep)
		if err != nil || out.Action != kspec.ActionWaiting {
			t.Fatalf("got %s, %v", out.Action, err)
		}
	}
}

func TestIsSilentAboutWhatAPersonClosedUntilItChanges(t *testing.T) {
	w := newWorld(t)
	w.remediate(scaled)
	if err := w.hub.Close(repoName, 1); err != nil {
		t.Fatal(err)
	}
	w.want(w.remediate(scaled), kspec.ActionRefused, 0)
	w.restart()
	w.want(w.remediate(scaled), kspec.ActionRefused, 0)
	w.pulls(1)
	w.want(w.remediate(drift{"/spec/replicas": int64(9)}), kspec.ActionOpened, -1)
	w.pulls(2)
}

func TestDoesNotTurnAnotherPullRequestIntoWhatWasRefused(t *testing.T) {
	w := newWorld(t)
	w.remediate(scaled)
	if err := w.hub.Close(repoName, 1); err != nil {
		t.Fatal(err)
	}
	w.want(w.remediate(drift{"/spec/replicas": int64(6)}), kspec.ActionOpened, -1)
	w.want(w.remediate(scaled), kspec.ActionWaiting, 0)
	w.want(w.remediate(drift{"/spec/replicas": int64(6)}), kspec.ActionUnchanged, 0)
	w.want(w.remediate(scaled), kspec.ActionWaiting, 0)
	w.want(w.remediate(scaled), kspec.ActionWaiting, 0)
	w.want(w.remediate(scaled), kspec.ActionClosed, -1)
	if pr := w.pulls(2)[1]; pr.State != "closed" || !strings.Contains(pr.Comments[0].Body, "what drifts now is not for a pull request") {
		t.Errorf("it is not closed with a reason: %+v", pr)
	}
	w.want(w.remediate(scaled), kspec.ActionRefused, 0)
}

func TestReadsTheRefusalFromTheCommitWhenTheBodyIsGone(t *testing.T) {
	w := newWorld(t)
	w.remediate(scaled)
	w.opts.Key = []byte("another key") // what the body says is not believed now
	if err := w.hub.Close(repoName, 1); err != nil {
		t.Fatal(err)
	}
	w.restart()
	w.want(w.remediate(scaled), kspec.ActionRefused, 0)
}

func TestDoesNotProposeAgainWhatWasMerged(t *testing.T) {
	w := newWorld(t)
	w.remediate(scaled)
	target, want, rep := look(t, w.url, w.now.Add(time.Minute), scaled) // before the merge
	if err := w.hub.Merge(repoName, 1); err != nil {
		t.Fatal(err)
	}
	out, err := w.r.Remediate(t.Context(), target, want, rep)
	if err != nil || out.Action != kspec.ActionNone || !strings.Contains(out.Why, "main says so already") {
		t.Errorf("got %s, %q, %v", out.Action, out.Why, err)
	}
	w.want(w.remediate(scaled), kspec.ActionNone, 0)
	w.pulls(1)
	if left := w.branches(); len(left) > 0 {
		t.Errorf("the merged branch was left behind: %v", left)
	}
	w.want(w.remediate(drift{"/spec/replicas": int64(6)}), kspec.ActionOpened, -1)
}

func TestProposesAgainWhatWasMergedAndThenChangedBackInGit(t *testing.T) {
	w := newWorld(t)
	w.remediate(scaled)
	if err := w.hub.Merge(repoName, 1); err != nil {
		t.Fatal(err)
	}
	w.want(w.remediate(scaled), kspec.ActionNone, -1)
	w.push("main", "apps/web/note.md", "three will do\n") // and the Deployment as it was
	w.want(w.remediate(nil), kspec.ActionNone, 0)
	w.want(w.remediate(scaled), kspec.ActionOpened, -1)
	if second := w.pulls(2)[1]; !strings.HasSuffix(second.Head, "-g2") || !strings.Contains(w.diff(2), "+ replicas: 5") {
		t.Errorf("the second pull request is from %s and says\n%s", second.Head, w.diff(2))
	}
}

func TestLeavesABranchAloneThatAPersonPushedTo(t *testing.T) {
	w := newWorld(t, func(o *remediate.Options) { o.GoneLooks = 1 })
	out := w.remediate(scaled)
	w.push(out.Branch, "apps/web/note.md", "wait\n")
	tip := w.pulls(1)[0].HeadSHA
	w.want(w.remediate(drift{"/spec/replicas": int64(8)}), kspec.ActionFrozen, 1)
	w.want(w.remediate(drift{"/spec/replicas": int64(8)}), kspec.ActionFrozen, 0)
	w.want(w.remediate(scaled), kspec.ActionFrozen, 0)
	w.want(w.remediate(nil), kspec.ActionFrozen, 0)
	pr := w.pulls(1)[0]
	if pr.HeadSHA != tip || pr.State != "open" || len(pr.Comments) != 1 {
		t.Errorf("kspec went on: %+v", pr)
	}
}

func TestPassesByABranchThatSomebodyElseMade(t *testing.T) {
	w := newWorld(t)
	w.opts.DryRun = true
	w.restart()
	name := w.remediate(scaled).Plan.Branch
	w.push(name, "apps/web/note.md", "mine\n")
	w.opts.DryRun = false
	w.restart()
	w.want(w.remediate(scaled), kspec.ActionOpened, -1)
	if pr := w.pulls(1)[0]; pr.Head != name+"-g2" {
		t.Errorf("the pull request is from %s", pr.Head)
	}
}

func TestIsBlockedByABranchOfTheNameKspec(t *testing.T) {
	w := newWorld(t)
	w.push("kspec", "note.md", "mine\n")
	out := w.remediate(scaled)
	w.want(out, kspec.ActionBlocked, 0)
	if !strings.Contains(out.Why, "rename it") {
		t.Errorf("the reason does not teach: %q", out.Why)
	}
}

func TestWaitsWhenTheBaseHasMovedSinceTheLook(t *testing.T) {
	w := newWorld(t)
	target, want, rep := look(t, w.url, w.now, scaled)
	w.push("main", "apps/web/deployment.yaml", strings.Replace(string(configRepo()["apps/web/deployment.yaml"].Data), "1.4.2", "1.5.0", 1))
	out, err := w.r.Remediate(t.Context(), target, want, rep)
	if err != nil || out.Action != kspec.ActionWaiting || !strings.Contains(out.Why, "looks again") {
		t.Errorf("got %s, %q, %v", out.Action, out.Why, err)
	}
	w.pulls(0)

	target, want, rep = look(t, w.url, w.now.Add(time.Minute), scaled)
	files := configRepo()
	files["apps/web/deployment.yaml"] = file(strings.Replace(string(files["apps/web/deployment.yaml"].Data), "1.4.2", "1.5.0", 1))
	files["README.md"] = file("hello\n")
	if err := w.hub.Push(repoName, "main", "Elsewhere", files); err != nil {
		t.Fatal(err)
	}
	if out, err = w.r.Remediate(t.Context(), target, want, rep); err != nil || out.Action != kspec.ActionOpened {
		t.Errorf("a base that moved elsewhere: got %s, %v", out.Action, err)
	}
}

func TestWaitsUntilTheDriftWasSeenOftenEnough(t *testing.T) {
	w := newWorld(t)
	files := configRepo()
	spec := files["clusters/prod/clusterspec.yaml"]
	spec.Data = []byte(strings.Replace(string(spec.Data), "{observations: 1}", "{observations: 3, for: 150s}", 1))
	if err := w.hub.Push(repoName, "main", "Be sure", files); err != nil {
		t.Fatal(err)
	}
	for range 3 { // at minutes 0, 1 and 2: often enough, not long enough
		w.want(w.remediate(scaled), kspec.ActionWaiting, 0)
	}
	w.want(w.remediate(scaled), kspec.ActionOpened, -1)
	// What is new waits; what is known stays.
	more := drift{"/spec/replicas": int64(5), "/spec/paused": true}
	w.want(w.remediate(more), kspec.ActionUnchanged, 0)
	// A process that has just begun knows from the pull request what was seen.
	w.restart()
	w.want(w.remediate(scaled), kspec.ActionUnchanged, 0)

	w.opts.ConfirmNow = true
	w.restart()
	w.want(w.remediate(more), kspec.ActionUpdated, -1)
}

// A recorder counts the looks of the processes before this one.
func TestBelievesFindingsThatTellHowOftenTheyWereSeen(t *testing.T) {
	w := newWorld(t)
	files := configRepo()
	spec := files["clusters/prod/clusterspec.yaml"]
	spec.Data = []byte(strings.Replace(string(spec.Data), "{observations: 1}", "{observations: 3, for: 150s}", 1))
	if err := w.hub.Push(repoName, "main", "Be sure", files); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		seen  int
		since time.Duration
		want  kspec.Action
	}{
		{0, 0, kspec.ActionWaiting},
		{2, time.Hour, kspec.ActionWaiting},
		{3, time.Minute, kspec.ActionWaiting},
		{3, 150 * time.Second, kspec.ActionOpened},
	} {
		w.restart()
		now := w.time()
		target, want, rep := look(t, w.url, now, scaled)
		for i := range rep.Findings {
			rep.Findings[i].Seen = c.seen
			if c.seen > 0 {
				rep.Findings[i].FirstSeen = now.Add(-c.since)
			}
		}
		out, err := w.r.Remediate(t.Context(), target, want, rep)
		if err != nil || out.Action != c.want {
			t.Errorf("seen %d times since %s: got %s, %q, %v; want %s", c.seen, c.since, out.Action, out.Why, err, c.want)
		}
		w.pass(time.Minute)
	}
}

func TestKeepsToItsLimits(t *testing.T) {
	w := newWorld(t)
	files := configRepo()
	spec := files["clusters/prod/clusterspec.yaml"]
	spec.Data = []byte(strings.Replace(string(spec.Data), "perHour: 50", "perHour: 2", 1))
	if err := w.hub.Push(repoName, "main", "Less", files); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		w.want(w.remediate(drift{"/spec/replicas": int64(10 + n)}), kspec.ActionOpened, -1)
		if err := w.hub.Close(repoName, n+1); err != nil {
			t.Fatal(err)
		}
	}
	out := w.remediate(drift{"/spec/replicas": int64(20)})
	w.want(out, kspec.ActionBlocked, 0)
	if !strings.Contains(out.Why, "perHour") {
		t.Errorf("the reason is %q", out.Why)
	}
	w.pass(time.Hour)
	w.want(w.remediate(drift{"/spec/replicas": int64(20)}), kspec.ActionOpened, -1)
}

func TestADryRunSendsNothing(t *testing.T) {
	w := newWorld(t, func(o *remediate.Options) { o.DryRun = true })
	out := w.remediate(scaled)
	w.want(out, kspec.ActionPlanned, 0)
	if w.requests != 0 || len(out.Plan.Edits) != 1 || !strings.Contains(out.Plan.Edits[0].Diff, "+  replicas: 5") {
		t.Errorf("%d requests, plan %+v", w.requests, out.Plan)
	}
	w.want(w.remediate(nil), kspec.ActionNone, 0)
}

func TestModeReportSendsNothing(t *testing.T) {
	w := newWorld(t)
	files := configRepo()
	spec := files["clusters/prod/clusterspec.yaml"]
	spec.Data = []byte(strings.Replace(string(spec.Data), "strategy: adopt", "mode: report", 1))
	if err := w.hub.Push(repoName, "main", "Hands off", files); err != nil {
		t.Fatal(err)
	}
	out := w.remediate(scaled)
	w.want(out, kspec.ActionReported, 0)
	if w.requests != 0 || len(out.Plan.Reasons) != 1 {
		t.Errorf("%d requests, reasons %+v", w.requests, out.Plan.Reasons)
	}
}

func TestATargetInSyncAsksTheForgeOnce(t *testing.T) {
	w := newWorld(t)
	w.want(w.remediate(nil), kspec.ActionNone, 0)
	if w.requests == 0 {
		t.Error("the first look did not ask for what an earlier process has left open")
	}
	w.want(w.remediate(nil), kspec.ActionNone, 0)
	if w.requests != 0 {
		t.Errorf("the second look took %d requests", w.requests)
	}
}

func TestTwoReplicasMakeOnePullRequest(t *testing.T) {
	w := newWorld(t)
	target, want, rep := look(t, w.url, w.now, scaled)
	others := []*remediate.Remediator{newRemediator(t, w.url, quiet(w.opts)), newRemediator(t, w.url, quiet(w.opts)), newRemediator(t, w.url, quiet(w.opts))}
	done := make(chan error)
	for _, r := range others {
		go func() {
			_, err := r.Remediate(t.Context(), target, want, rep)
			done <- err
		}()
	}
	for range others {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	w.pulls(1)
	if n := len(w.branches()); n != 1 {
		t.Errorf("there are %d branches", n)
	}
	w.want(w.remediate(scaled), kspec.ActionUnchanged, -1)
}

func quiet(o remediate.Options) remediate.Options {
	o.Step = nil
	return o
}

func TestNoOutputHoldsTheToken(t *testing.T) {
	w := newWorld(t)
	out := w.remediate(scaled)
	pr := w.pulls(1)[0]
	for what, text := range map[string]string{"body": pr.Body, "plan": out.Plan.Body + out.Plan.Commit, "why": out.Why} {
		if strings.Contains(text, canary) {
			t.Errorf("the %s holds the token", what)
		}
	}
}
