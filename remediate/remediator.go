package remediate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cloudcwfranck/kspec"
)

// Options say how a [Remediator] works; the zero value is for a process that
// keeps running.
type Options struct {
	// Base is the branch that pull requests are for; empty means the branch of
	// the revision that was looked at.
	Base string
	// Key authenticates what kspec remembers in pull requests. With a key,
	// what somebody else wrote there is not believed.
	Key []byte
	// DryRun makes plans and sends nothing.
	DryRun bool
	// ConfirmNow takes one look as enough to open a pull request: for a
	// command that looks once.
	ConfirmNow bool
	// GoneLooks is how many complete looks in a row must not see the drift
	// before its pull request is closed; 3 when 0.
	GoneLooks int
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Step, when set, is called before every effect with its name: push,
	// open, annotate, edit, comment, close, delete.
	Step func(name string)
	// Log hears of what a forge refused and kspec can do without; nil means
	// slog.Default.
	Log *slog.Logger
}

// Remediator makes plans true. All it must remember is in the forge and in
// Git; what it holds in memory are the counts of looks, which start again with
// the process unless the findings tell them. It is safe for concurrent use.
type Remediator struct {
	forge    Forge
	repo     *Repo
	renderer kspec.Renderer
	o        Options

	mu    sync.Mutex
	memos map[string]*memo
}

var _ kspec.Remediator = (*Remediator)(nil)

// New returns a Remediator that opens pull requests of repo on forge. For a
// dry run both may be nil.
func New(forge Forge, repo *Repo, renderer kspec.Renderer, o Options) *Remediator {
	o.GoneLooks = cmp.Or(o.GoneLooks, 3)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Remediator{forge: forge, repo: repo, renderer: renderer, o: o, memos: map[string]*memo{}}
}

// Remediate implements [kspec.Remediator]. When there is more than one plan,
// the outcome is the weightiest one and holds the others.
func (r *Remediator) Remediate(ctx context.Context, t kspec.Target, want kspec.Desired, rep kspec.Report) (kspec.Outcome, error) {
	in := Input{
		Target: t, Desired: want, Report: rep, Base: cmp.Or(r.o.Base, want.Tree.Revision.Branch),
		Render: func(tree kspec.Tree) (kspec.Desired, error) { return r.renderer.Render(ctx, t, tree) },
	}
	plans, err := Decide(in)
	switch {
	case ctx.Err() != nil:
		return kspec.Outcome{}, context.Cause(ctx)
	case err != nil:
		return kspec.Outcome{}, err
	case r.o.DryRun:
		return combine(planned(plans)), nil
	case t.Remediation.Mode == kspec.ModeReport:
		return combine(reported(plans)), nil
	}
	m := r.memo(t.Name)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.look(rep)
	outcomes, err := r.settleAll(ctx, m, in, plans)
	if retry, ok := errors.AsType[*RetryError](err); ok {
		m.notBefore = retry.At
		outcomes = append(outcomes, blocked(plans, retry))
		err = nil
	}
	return combine(outcomes), err
}

func blocked(plans []kspec.Plan, retry *RetryError) kspec.Outcome {
	o := kspec.Outcome{Action: kspec.ActionBlocked, Why: fmt.Sprintf("the forge asks to wait until %s: %v", retry.At.UTC().Format(time.RFC3339), retry.Err)}
	if len(plans) > 0 {
		o.Plan, o.Branch = plans[0], plans[0].Branch
	}
	return o
}

// settleAll brings the pull requests of both strategies up to date.
func (r *Remediator) settleAll(ctx context.Context, m *memo, in Input, plans []kspec.Plan) ([]kspec.Outcome, error) {
	proposed := slices.ContainsFunc(plans, func(p kspec.Plan) bool { return len(p.Edits) > 0 })
	switch {
	case in.Base == "":
		return []kspec.Outcome{{Action: kspec.ActionBlocked, Why: "no branch is named that a pull request could be for", Plan: first(plans)}}, nil
	case !proposed && m.idle:
		return reported(plans), nil
	case r.o.Now().Before(m.notBefore):
		return []kspec.Outcome{blocked(plans, &RetryError{At: m.notBefore, Err: errors.New("rate limit")})}, nil
	}
	prs, err := r.forge.List(ctx, in.Base, branchPrefix)
	if err != nil {
		return nil, fmt.Errorf("list the pull requests: %w", err)
	}
	var outcomes []kspec.Outcome
	m.idle = true
	for _, s := range []kspec.Strategy{kspec.StrategyRender, kspec.StrategyAdopt} {
		c := &change{r: r, m: m, in: in, strategy: s, branch: branchOf(in.Target, in.Base, s), prs: prs}
		if i := slices.IndexFunc(plans, func(p kspec.Plan) bool { return p.Strategy == s && len(p.Edits) > 0 }); i >= 0 {
			c.plan = plans[i]
		}
		out, err := c.settle(ctx)
		if err != nil {
			return outcomes, err
		}
		if out.Action != "" {
			outcomes = append(outcomes, out)
		}
		if out.Action == kspec.ActionOpened { // it counts for the limits of the next
			prs = append(prs, PullRequest{Number: out.Number, Head: out.Branch, State: Open, CreatedAt: r.o.Now()})
		}
	}
	if len(outcomes) == 0 {
		outcomes = reported(plans)
	}
	return outcomes, nil
}

func first(plans []kspec.Plan) kspec.Plan {
	if len(plans) == 0 {
		return kspec.Plan{}
	}
	return plans[0]
}

func planned(plans []kspec.Plan) []kspec.Outcome {
	outcomes := reported(plans)
	for i := range outcomes {
		if len(outcomes[i].Plan.Edits) > 0 {
			outcomes[i].Action, outcomes[i].Branch, outcomes[i].Why = kspec.ActionPlanned, outcomes[i].Plan.Branch, "dry run"
		}
	}
	return outcomes
}

// reported are the outcomes of plans of which none is carried out.
func reported(plans []kspec.Plan) []kspec.Outcome {
	var outcomes []kspec.Outcome
	for _, p := range plans {
		outcomes = append(outcomes, kspec.Outcome{Action: kspec.ActionReported, Plan: p, Why: "no pull request can or may put it right; see the reasons"})
	}
	return outcomes
}

// combine makes one outcome of several: the weightiest, with the others.
func combine(outcomes []kspec.Outcome) kspec.Outcome {
	weight := []kspec.Action{
		kspec.ActionOpened, kspec.ActionUpdated, kspec.ActionClosed, kspec.ActionPlanned, kspec.ActionBlocked, kspec.ActionFrozen,
		kspec.ActionRefused, kspec.ActionWaiting, kspec.ActionUnchanged, kspec.ActionReported, kspec.ActionNone,
	}
	slices.SortStableFunc(outcomes, func(a, b kspec.Outcome) int {
		return slices.Index(weight, a.Action) - slices.Index(weight, b.Action)
	})
	if len(outcomes) == 0 {
		return kspec.Outcome{Action: kspec.ActionNone}
	}
	out := outcomes[0]
	out.Others = outcomes[1:]
	return out
}

// memo is what is remembered of one target between looks.
type memo struct {
	mu   sync.Mutex
	last time.Time // the look that was counted last
	// seen counts the looks in a row that saw a finding.
	seen map[string]sighting
	// gone counts the complete looks in a row without a plan.
	gone      map[kspec.Strategy]int
	swept     map[int]bool // pull requests whose branch was looked after
	idle      bool         // nothing was open when the forge was asked last
	notBefore time.Time
	again     bool // the look was counted before
}

type sighting struct {
	since time.Time
	looks int
}

func (r *Remediator) memo(target string) *memo {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.memos[target]
	if m == nil {
		m = &memo{seen: map[string]sighting{}, gone: map[kspec.Strategy]int{}, swept: map[int]bool{}}
		r.memos[target] = m
	}
	return m
}

// look counts what a report saw. The same report is counted once, however
// often it is tried; one that is not settled forgets nothing.
func (m *memo) look(rep kspec.Report) {
	m.again = !m.last.IsZero() && rep.StartedAt.Equal(m.last)
	if m.again {
		return
	}
	m.last = rep.StartedAt
	seen := map[string]sighting{}
	if !rep.Settled() {
		maps.Copy(seen, m.seen)
	}
	for _, f := range rep.Open() {
		s, ok := m.seen[f.Fingerprint]
		if !ok {
			s.since = rep.StartedAt
		}
		s.looks++
		seen[f.Fingerprint] = s
	}
	m.seen = seen
}

// confirmed reports whether a finding was seen often and long enough: since
// the process began, or as the finding itself tells when somebody keeps count.
func (m *memo) confirmed(f kspec.Finding, c kspec.Confirm) bool {
	s := m.seen[f.Fingerprint]
	if !f.FirstSeen.IsZero() && f.FirstSeen.Before(s.since) {
		s.since = f.FirstSeen
	}
	return max(s.looks, f.Seen) >= max(c.Observations, 1) && m.last.Sub(s.since) >= c.For
}
