package kspec

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"
)

// Fetcher hands out the config repo at the revision of a target.
type Fetcher interface {
	// Fetch returns the tree at t.Revision. An error means that the repo could
	// not be read.
	Fetch(ctx context.Context, t Target) (Tree, error)
}

// Renderer makes the objects that a target must hold.
type Renderer interface {
	// Render is deterministic: equal input gives equal bytes. What cannot be
	// rendered by itself is listed in Desired.Unknown and does not stop the
	// rest; an error means that nothing could be rendered. Where that depends on
	// the cluster, it may be a [StageError] of another stage.
	Render(ctx context.Context, t Target, tree Tree) (Desired, error)
}

// Verifier checks that images are signed as the target demands.
type Verifier interface {
	// Verify returns a finding for each image that is not signed, and an
	// Unknown for each that could not be checked, both sorted.
	Verify(ctx context.Context, t Target, want Desired) ([]Finding, []Unknown, error)
}

// Detector compares the live cluster with what is desired.
type Detector interface {
	// Detect writes nothing. What it could not look at is in Report.Unknown;
	// an error means that it could not look at all.
	Detect(ctx context.Context, t Target, want Desired) (Report, error)
}

// Waiver marks what the exemptions of a target waive.
type Waiver interface {
	// Waive returns rep with WaivedBy set, and with a finding for each
	// exemption that waives nothing or ends soon.
	Waive(t Target, want Desired, rep Report) (Report, error)
}

// Remediator puts right what a report says.
type Remediator interface {
	// Remediate writes to Git and its forge only. It may be called again at
	// any time, also after it was killed, and then completes what it began.
	Remediate(ctx context.Context, t Target, want Desired, rep Report) (Outcome, error)
}

// Notifier tells the world.
type Notifier interface {
	// Notify is told of every state at every look and tells the world only
	// what is news.
	Notify(ctx context.Context, e Event) error
}

type (
	// FetcherFunc is a function as a [Fetcher].
	FetcherFunc func(context.Context, Target) (Tree, error)
	// RendererFunc is a function as a [Renderer].
	RendererFunc func(context.Context, Target, Tree) (Desired, error)
	// VerifierFunc is a function as a [Verifier].
	VerifierFunc func(context.Context, Target, Desired) ([]Finding, []Unknown, error)
	// DetectorFunc is a function as a [Detector].
	DetectorFunc func(context.Context, Target, Desired) (Report, error)
	// RemediatorFunc is a function as a [Remediator].
	RemediatorFunc func(context.Context, Target, Desired, Report) (Outcome, error)
	// NotifierFunc is a function as a [Notifier].
	NotifierFunc func(context.Context, Event) error
)

var (
	_ Fetcher    = FetcherFunc(nil)
	_ Renderer   = RendererFunc(nil)
	_ Verifier   = VerifierFunc(nil)
	_ Detector   = DetectorFunc(nil)
	_ Remediator = RemediatorFunc(nil)
	_ Notifier   = NotifierFunc(nil)
)

// Fetch implements [Fetcher].
func (f FetcherFunc) Fetch(ctx context.Context, t Target) (Tree, error) { return f(ctx, t) }

// Render implements [Renderer].
func (f RendererFunc) Render(ctx context.Context, t Target, tree Tree) (Desired, error) {
	return f(ctx, t, tree)
}

// Verify implements [Verifier].
func (f VerifierFunc) Verify(ctx context.Context, t Target, want Desired) ([]Finding, []Unknown, error) {
	return f(ctx, t, want)
}

// Detect implements [Detector].
func (f DetectorFunc) Detect(ctx context.Context, t Target, want Desired) (Report, error) {
	return f(ctx, t, want)
}

// Remediate implements [Remediator].
func (f RemediatorFunc) Remediate(ctx context.Context, t Target, want Desired, rep Report) (Outcome, error) {
	return f(ctx, t, want, rep)
}

// Notify implements [Notifier].
func (f NotifierFunc) Notify(ctx context.Context, e Event) error { return f(ctx, e) }

// Reconciler leads one target through the stages. Source, Renderer, Verifier
// and Detector are required by Look; Remediator and Notifier by Reconcile.
// Waiver and Recorder may be nil.
type Reconciler struct {
	Source     Fetcher
	Renderer   Renderer
	Verifier   Verifier
	Detector   Detector
	Waiver     Waiver
	Recorder   Recorder
	Remediator Remediator
	Notifier   Notifier
	// Log gets what does not keep a look from going on; nil means slog.Default.
	Log *slog.Logger
	// Now stamps events about failures; nil means time.Now.
	Now func() time.Time
}

// Reconcile looks at t once, puts right what it found and tells the world. A
// stage that fails ends the run with a [StageError]; the failure itself is
// told as an event.
func (r *Reconciler) Reconcile(ctx context.Context, t Target) (Report, Outcome, error) {
	want, rep, err := r.Look(ctx, t)
	if err != nil && ctx.Err() != nil {
		return rep, Outcome{}, err // told to stop, which is nobody's failure
	}
	if err != nil {
		return rep, Outcome{}, errors.Join(err, r.tell(ctx, t, failure(t, err, r.now())))
	}
	out, err := r.Remediator.Remediate(ctx, t, want, rep)
	if err != nil {
		err = &StageError{StageRemediate, t.Name, err}
	}
	if err != nil && ctx.Err() != nil {
		return rep, out, err
	}
	return rep, out, errors.Join(err, r.tell(ctx, t, outcome(t, rep, out, err, r.now())...))
}

// Look fetches, renders, verifies, compares and takes note, and changes nothing
// else. History that cannot be written is logged: the look counts all the same.
func (r *Reconciler) Look(ctx context.Context, t Target) (Desired, Report, error) {
	tree, err := r.Source.Fetch(ctx, t)
	if err != nil {
		return Desired{}, Report{}, &StageError{StageSource, t.Name, err}
	}
	want, err := r.Renderer.Render(ctx, t, tree)
	if err != nil {
		return Desired{}, Report{}, at(StageRender, t, err)
	}
	bad, unknown, err := r.Verifier.Verify(ctx, t, want)
	if err != nil {
		return want, Report{}, &StageError{StageVerify, t.Name, err}
	}
	rep, err := r.Detector.Detect(ctx, t, want)
	if err != nil {
		return want, Report{}, &StageError{StageCompare, t.Name, err}
	}
	rep = rep.undelivered(t, want)
	rep.Notes = append(rep.Notes, want.Assumed...)
	if rep, err = r.waive(t, want, rep.Treated(t).Verified(t, bad, unknown)); err != nil {
		return want, Report{}, &StageError{StageCompare, t.Name, err}
	}
	return want, r.record(ctx, t, rep), nil
}

// at says which stage failed, unless err says itself of which it is.
func at(stage Stage, t Target, err error) error {
	if errors.As(err, new(*StageError)) {
		return err
	}
	return &StageError{stage, t.Name, err}
}

func (r *Reconciler) waive(t Target, want Desired, rep Report) (Report, error) {
	if r.Waiver == nil {
		return rep, nil
	}
	return r.Waiver.Waive(t, want, rep)
}

func (r *Reconciler) record(ctx context.Context, t Target, rep Report) Report {
	if r.Recorder == nil {
		return rep
	}
	recorded, err := r.Recorder.Record(ctx, t, rep)
	if err != nil {
		cmp.Or(r.Log, slog.Default()).ErrorContext(ctx, "history not written", "target", t, "error", err, "hint", HintOf(err))
		return rep
	}
	return recorded
}

func (r *Reconciler) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}

// tell notifies of every event. A failure is terminal: the notifier tries again
// at the next look, and looking sooner would not mend it.
func (r *Reconciler) tell(ctx context.Context, t Target, events ...Event) error {
	var errs []error
	for _, e := range events {
		if err := r.Notifier.Notify(ctx, e); err != nil {
			errs = append(errs, Terminal(&StageError{StageNotify, t.Name, err}))
		}
	}
	return errors.Join(errs...)
}

// failure is the event of a look that failed.
func failure(t Target, err error, now time.Time) Event {
	typ := SourceFailed
	var s *StageError
	if errors.As(err, &s) && s.Stage == StageCompare {
		typ = ClusterUnreachable
	}
	return Event{
		Type: typ, Status: Firing, Level: Warning, Target: t.Name, Cluster: t.Cluster, Revision: t.Revision,
		Time: now, Title: t.Name + ": kspec could not look", Description: err.Error(), Fingerprint: string(typ),
	}
}

// outcome is what is to be told after a look that worked: the failures before
// it are over.
func outcome(t Target, rep Report, out Outcome, err error, now time.Time) []Event {
	events := Events(t, rep, out)
	for _, typ := range []EventType{SourceFailed, ClusterUnreachable, RemediationFailed} {
		e := Event{
			Type: typ, Status: Resolved, Level: Info, Target: t.Name, Cluster: t.Cluster, Revision: t.Revision,
			Time: now, Title: t.Name + ": " + string(typ) + " resolved",
		}
		if typ == RemediationFailed && err != nil {
			e.Status, e.Level, e.Fingerprint = Firing, Warning, string(typ)
			e.Title, e.Description = t.Name+": the pull request could not be brought up to date", err.Error()
		}
		events = append(events, e)
	}
	return events
}
