package remediate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/cloudcwfranck/kspec"
)

// change is the way of one strategy of one target to a pull request that says
// what the plan says. Every effect can be made again, and every step begins
// with what the forge and Git say, so that a run after a crash, or beside
// another replica, goes on where things stand:
//
//	none   → push, open, annotate
//	open   → leave alone, or push, edit; freeze when a person pushed
//	merged → delete the branch; what comes up again is news, for Git was
//	         changed back
//	closed → refused by a person: silent until the drift changes, and when it
//	         changes back
//	         closed by kspec: a new branch of the next generation
//	no plan → after some complete looks: comment, edit, close, delete
type change struct {
	r        *Remediator
	m        *memo
	in       Input
	strategy kspec.Strategy
	branch   string // of the first generation
	prs      []PullRequest
	plan     kspec.Plan // without edits when there is nothing to propose
}

// attempt is a pull request of this change.
type attempt struct {
	gen    int
	pr     PullRequest
	mark   marker
	marked bool
}

// attempts returns the pull requests of the change, the latest last.
func (c *change) attempts() []attempt {
	var all []attempt
	for _, pr := range slices.Backward(c.prs) {
		if gen := generation(c.branch, pr.Head); gen > 0 {
			a := attempt{gen: gen, pr: pr}
			a.mark, a.marked = readMarker(pr.Body, c.r.o.Key)
			all = append(all, a)
		}
	}
	slices.SortStableFunc(all, func(a, b attempt) int { return a.gen - b.gen })
	return all
}

// settle does what is due. The zero Outcome means that there is nothing to say.
func (c *change) settle(ctx context.Context) (kspec.Outcome, error) {
	attempts := c.attempts()
	if err := c.sweep(ctx, attempts); err != nil {
		return kspec.Outcome{}, err
	}
	var latest attempt
	if len(attempts) > 0 {
		latest = attempts[len(attempts)-1]
	}
	if latest.pr.State == Open {
		c.m.idle = false
	}
	if len(c.plan.Edits) == 0 {
		return c.gone(ctx, latest)
	}
	c.m.idle = false
	if out, done, err := c.confirm(latest); done || err != nil {
		c.m.gone[c.strategy] = 0
		return out, err
	}
	for _, a := range attempts {
		refused, err := c.refused(ctx, a)
		switch {
		case err != nil:
			return kspec.Outcome{}, err
		case refused && latest.pr.State == Open: // it was for something else
			return c.gone(ctx, latest)
		case refused:
			return c.outcome(kspec.ActionRefused, a.pr, "a person closed the pull request for exactly this; it is proposed again when the drift changes"), nil
		}
	}
	c.m.gone[c.strategy] = 0
	if latest.pr.State == Open {
		return c.update(ctx, latest)
	}
	return c.publish(ctx, latest.gen+1)
}

// outcome makes an outcome of the change.
func (c *change) outcome(a kspec.Action, pr PullRequest, why string) kspec.Outcome {
	return kspec.Outcome{
		Action: a, Number: pr.Number, URL: pr.URL, Branch: cmp.Or(pr.Head, c.branch), Commit: pr.HeadSHA, Why: why, Plan: c.plan,
	}
}

// confirm waits until what the plan is about was seen often enough. What an
// open pull request says already needs no confirmation.
func (c *change) confirm(latest attempt) (out kspec.Outcome, done bool, err error) {
	known := latest.pr.State == Open && latest.marked && latest.mark.Drift == c.plan.Fingerprint
	if c.strategy != kspec.StrategyAdopt || c.r.o.ConfirmNow || known {
		return out, false, nil
	}
	rules := c.in.Target.Drift.Confirm
	sure := c.in
	sure.Report.Findings = slices.DeleteFunc(slices.Clone(c.in.Report.Findings), func(f kspec.Finding) bool {
		return !c.m.confirmed(f, rules)
	})
	if len(sure.Report.Findings) == len(c.in.Report.Findings) {
		return out, false, nil
	}
	plans, err := Decide(sure)
	if err != nil {
		return out, true, err
	}
	i := slices.IndexFunc(plans, func(p kspec.Plan) bool { return p.Strategy == c.strategy })
	if i < 0 {
		why := fmt.Sprintf("the drift must be seen by %d looks in a row", max(rules.Observations, 1))
		if rules.For > 0 {
			why += fmt.Sprintf(" over %s", rules.For)
		}
		return c.outcome(kspec.ActionWaiting, latest.pr, why), true, nil
	}
	c.plan = plans[i]
	return out, false, nil
}

// refused reports whether a person closed the pull request for the drift that
// the plan is about. Where the body tells nothing any more, the commit does.
func (c *change) refused(ctx context.Context, a attempt) (bool, error) {
	if a.pr.State != Closed || a.marked && a.mark.Closed {
		return false, nil
	}
	if a.marked {
		return a.mark.Drift == c.plan.Fingerprint, nil
	}
	refs, err := c.r.repo.refs(ctx)
	if err != nil {
		return false, err
	}
	tip := refs[a.pr.Head]
	if tip.IsZero() {
		return false, nil
	}
	store, err := c.r.repo.fetch(ctx, tip)
	if err != nil {
		return false, err
	}
	_, message, err := messageOf(store, tip)
	return trailers(message)[trailerDrift] == c.plan.Fingerprint, err
}

// publish makes the branch and opens the pull request.
func (c *change) publish(ctx context.Context, gen int) (kspec.Outcome, error) {
	if why := c.overLimit(); why != "" {
		return c.outcome(kspec.ActionBlocked, PullRequest{}, why), nil
	}
	head, res, err := c.place(ctx, gen)
	if err != nil || res.action != "" {
		return c.outcome(res.action, PullRequest{Head: head}, res.why), err
	}
	mark := c.mark(head, res.commit)
	c.r.o.Step("open")
	pr, err := c.r.forge.Open(ctx, NewPullRequest{
		Base: c.plan.Base, Head: head, Title: c.plan.Title, Body: mark.write(c.plan.Body, c.r.o.Key), Draft: c.plan.Draft,
	})
	if errors.Is(err, ErrNoCommits) {
		return c.outcome(kspec.ActionNone, PullRequest{Head: head}, "the branch holds nothing that "+c.plan.Base+" does not hold"), nil
	}
	if err != nil {
		return kspec.Outcome{}, fmt.Errorf("open the pull request: %w", err)
	}
	why, err := c.annotate(ctx, pr, &mark)
	return c.outcome(kspec.ActionOpened, pr, why), err
}

// place brings the branch of the generation to the plan. A branch of that name
// that somebody else made is passed by for the next generation.
func (c *change) place(ctx context.Context, gen int) (head string, res aligned, err error) {
	const most = 100
	for ; gen < most; gen++ {
		head = branchAt(c.branch, gen)
		if res, err = c.align(ctx, head); err != nil || res.action != kspec.ActionFrozen {
			return head, res, err
		}
	}
	return head, aligned{action: kspec.ActionBlocked, why: "all names for the branch are taken"}, nil
}

// overLimit says which limit forbids another pull request, or "".
func (c *change) overLimit() string {
	limits := c.in.Target.Remediation.Limits
	open, recent := 0, 0
	for _, pr := range c.prs {
		mine := false
		for _, s := range []kspec.Strategy{kspec.StrategyRender, kspec.StrategyAdopt} {
			mine = mine || generation(branchOf(c.in.Target, c.in.Base, s), pr.Head) > 0
		}
		if mine && pr.State == Open {
			open++
		}
		if mine && c.r.o.Now().Sub(pr.CreatedAt) < time.Hour {
			recent++
		}
	}
	switch {
	case open >= cmp.Or(limits.OpenPullRequests, 10):
		return fmt.Sprintf("limit reached: %s open (spec.remediation.limits.openPullRequests)", count(open, "pull request"))
	case recent >= cmp.Or(limits.PerHour, 4):
		return fmt.Sprintf("limit reached: %s within an hour (spec.remediation.limits.perHour)", count(recent, "pull request"))
	}
	return ""
}

// mark is what the body must remember of the plan.
func (c *change) mark(head, commit string) marker {
	return marker{
		Target: c.plan.Target, Drift: c.plan.Fingerprint, Content: contentOf(c.plan.Edits), Base: c.plan.Base,
		Branch: head, Commit: commit, Body: hashOf(c.plan.Title, c.plan.Body),
		Annotated: len(c.plan.Labels)+len(c.plan.Reviewers) == 0,
	}
}

// annotate asks for labels and reviewers, once, and remembers it in the body.
// It returns what the forge refused.
func (c *change) annotate(ctx context.Context, pr PullRequest, mark *marker) (string, error) {
	if mark.Annotated {
		return "", nil
	}
	c.r.o.Step("annotate")
	warnings, err := c.r.forge.Annotate(ctx, pr.Number, c.plan.Labels, c.plan.Reviewers)
	if err != nil && !kspec.IsTerminal(err) {
		return "", fmt.Errorf("label pull request #%d: %w", pr.Number, err)
	}
	if err != nil {
		warnings = append(warnings, err.Error())
	}
	mark.Annotated = true
	why := ""
	for _, w := range warnings {
		c.r.o.Log.WarnContext(ctx, "the forge refused labels or reviewers", "target", c.plan.Target, "pullRequest", pr.Number, "error", w)
		why = "the forge refused labels or reviewers: " + w
	}
	return why, c.edit(ctx, pr, c.plan.Title, mark.write(c.plan.Body, c.r.o.Key))
}

func (c *change) edit(ctx context.Context, pr PullRequest, title, body string) error {
	c.r.o.Step("edit")
	if err := c.r.forge.Edit(ctx, pr.Number, title, body); err != nil {
		return fmt.Errorf("edit pull request #%d: %w", pr.Number, err)
	}
	return nil
}

// update brings an open pull request to the plan, and sends nothing when it
// says the same already.
func (c *change) update(ctx context.Context, a attempt) (kspec.Outcome, error) {
	want := c.mark(a.pr.Head, a.mark.Commit)
	want.Annotated = want.Annotated || a.mark.Annotated
	ours := a.marked && a.mark.Commit == a.pr.HeadSHA
	if ours && want == a.mark && want.Annotated {
		return c.outcome(kspec.ActionUnchanged, a.pr, ""), nil
	}
	if !c.in.Report.Settled() && a.marked {
		return c.outcome(kspec.ActionUnchanged, a.pr, "nothing is changed because of an incomplete look"), nil
	}
	pushed := false
	if !ours || want.Content != a.mark.Content {
		res, err := c.align(ctx, a.pr.Head)
		switch {
		case err != nil:
			return kspec.Outcome{}, err
		case res.action == kspec.ActionFrozen:
			return c.freeze(ctx, a.pr)
		case res.action != "":
			return c.outcome(res.action, a.pr, res.why), nil
		}
		want.Commit, pushed = res.commit, res.pushed
		a.pr.HeadSHA = res.commit
	}
	action := kspec.ActionUnchanged
	if pushed || want.Body != a.mark.Body || want.Drift != a.mark.Drift || a.mark.Closed {
		action = kspec.ActionUpdated
	}
	if !want.Annotated {
		why, err := c.annotate(ctx, a.pr, &want)
		return c.outcome(action, a.pr, why), err
	}
	if want == a.mark {
		return c.outcome(action, a.pr, ""), nil
	}
	return c.outcome(action, a.pr, ""), c.edit(ctx, a.pr, c.plan.Title, want.write(c.plan.Body, c.r.o.Key))
}

// freeze leaves a branch alone that a person pushed to, and says so once.
func (c *change) freeze(ctx context.Context, pr PullRequest) (kspec.Outcome, error) {
	const text = "Somebody pushed to this branch, so kspec leaves it alone from now on: it neither pushes here nor closes this pull request.\n\n" +
		"Merge it or close it as you like. When it is closed, kspec proposes again once the drift changes."
	return c.outcome(kspec.ActionFrozen, pr, "a person pushed to the branch"), c.comment(ctx, pr, "frozen", text)
}

func (c *change) comment(ctx context.Context, pr PullRequest, key, text string) error {
	c.r.o.Step("comment")
	if err := c.r.forge.Comment(ctx, pr.Number, key, text); err != nil {
		return fmt.Errorf("comment on pull request #%d: %w", pr.Number, err)
	}
	return nil
}

// gone closes the pull request of a drift that is not there any more.
func (c *change) gone(ctx context.Context, a attempt) (kspec.Outcome, error) {
	if a.pr.State != Open {
		return kspec.Outcome{}, nil
	}
	c.plan = kspec.Plan{Target: c.in.Target.Name, Strategy: c.strategy, Base: c.in.Base, Branch: a.pr.Head, Fingerprint: a.mark.Drift}
	if !c.in.Report.Settled() {
		return c.outcome(kspec.ActionUnchanged, a.pr, "nothing is closed because of an incomplete look"), nil
	}
	if !c.m.again {
		c.m.gone[c.strategy]++
	}
	if n := c.m.gone[c.strategy]; n < c.r.o.GoneLooks {
		return c.outcome(kspec.ActionWaiting, a.pr, fmt.Sprintf("the drift was gone at %d of %s", n, count(c.r.o.GoneLooks, "look"))), nil
	}
	mine, err := c.mine(ctx, a)
	if err != nil {
		return kspec.Outcome{}, err
	}
	if !mine {
		return c.freeze(ctx, a.pr)
	}
	why := "the cluster and Git agree again at " + code(c.in.Report.Revision.String())
	if c.strategy == kspec.StrategyRender {
		why = "Git holds the rendered policies at " + code(c.in.Report.Revision.String())
	} else if len(c.in.Report.Open()) > 0 {
		why = "what drifts now is not for a pull request of this kind"
	}
	return c.close(ctx, a, why)
}

// mine reports whether kspec made the tip of the branch.
func (c *change) mine(ctx context.Context, a attempt) (bool, error) {
	if a.marked && a.mark.Commit == a.pr.HeadSHA {
		return true, nil
	}
	tip := plumbing.NewHash(a.pr.HeadSHA)
	store, err := c.r.repo.fetch(ctx, tip)
	if err != nil {
		return false, err
	}
	return c.made(store, tip)
}

// close ends a pull request that kspec opened: a comment says why, the body
// remembers who, then it is closed and its branch deleted.
func (c *change) close(ctx context.Context, a attempt, why string) (kspec.Outcome, error) {
	if err := c.comment(ctx, a.pr, "closed", "kspec closes this pull request: "+why+"."); err != nil {
		return kspec.Outcome{}, err
	}
	if !a.mark.Closed {
		mark := a.mark
		mark.Closed, mark.Commit, mark.Branch = true, a.pr.HeadSHA, a.pr.Head
		body := withoutMarker(a.pr.Body)
		if err := c.edit(ctx, a.pr, a.pr.Title, mark.write(body, c.r.o.Key)); err != nil {
			return kspec.Outcome{}, err
		}
	}
	c.r.o.Step("close")
	if err := c.r.forge.Close(ctx, a.pr.Number); err != nil {
		return kspec.Outcome{}, fmt.Errorf("close pull request #%d: %w", a.pr.Number, err)
	}
	a.pr.State = Closed
	refs, err := c.r.repo.refs(ctx)
	if err != nil {
		return kspec.Outcome{}, err
	}
	return c.outcome(kspec.ActionClosed, a.pr, why), c.delete(ctx, a.pr, refs)
}

// sweep deletes the branches that closed and merged pull requests of kspec
// have left behind, when nobody pushed to them since.
func (c *change) sweep(ctx context.Context, attempts []attempt) error {
	var refs map[string]plumbing.Hash
	for _, a := range attempts {
		over := a.pr.State == Merged || a.pr.State == Closed && a.mark.Closed
		if !over || !a.marked || a.mark.Commit != a.pr.HeadSHA || c.m.swept[a.pr.Number] {
			continue
		}
		if refs == nil {
			var err error
			if refs, err = c.r.repo.refs(ctx); err != nil {
				return err
			}
		}
		if err := c.delete(ctx, a.pr, refs); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) delete(ctx context.Context, pr PullRequest, refs map[string]plumbing.Hash) error {
	c.m.swept[pr.Number] = true
	tip := refs[pr.Head]
	if tip.IsZero() || tip.String() != pr.HeadSHA {
		return nil
	}
	c.r.o.Step("delete")
	err := c.r.repo.push(ctx, pr.Head, tip, commit{})
	if err != nil && ctx.Err() == nil {
		c.r.o.Log.WarnContext(ctx, "the branch of a finished pull request was not deleted", "target", c.in.Target.Name, "branch", pr.Head, "error", err)
		return nil
	}
	return err
}
