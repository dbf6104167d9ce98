package require

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/policy"
)

// Reader reads one cluster for one look. Its errors hold no value of any
// object.
type Reader interface {
	// Name is what people call the cluster, and Address tells it from others of
	// that name.
	Name() string
	Address() string
	// Version is what the API server says of itself, such as "v1.34.1-gke.7".
	Version(ctx context.Context) (string, error)
	// Each visits all objects of a kind that a label selector selects, in JSON
	// that is valid during the visit. A kind that the cluster does not have is
	// a [meta.NoKindMatchError]. An error of visit ends it.
	Each(ctx context.Context, kind schema.GroupKind, selector string, visit func(object []byte) error) error
	// Pods visits all Pods, each with the object that made it.
	Pods(ctx context.Context, visit func(workload kspec.ObjectID, pod *corev1.Pod) error) error
	// Requests counts what was asked so far.
	Requests() kspec.Requests
}

// Readers gives access to the cluster of a target.
type Readers interface {
	// Reader returns a reader for one look at the cluster that t names. An
	// error means that there is no way to reach it.
	Reader(ctx context.Context, t kspec.Target) (Reader, error)
}

// ReadersFunc lets a function be Readers.
type ReadersFunc func(ctx context.Context, t kspec.Target) (Reader, error)

var _ Readers = ReadersFunc(nil)

// Reader implements [Readers].
func (f ReadersFunc) Reader(ctx context.Context, t kspec.Target) (Reader, error) { return f(ctx, t) }

// Detector adds to the report of another detector what the requirements find.
// It implements [kspec.Detector] and may be used by several goroutines.
type Detector struct {
	next    kspec.Detector
	readers Readers
	now     func() time.Time

	mu   sync.Mutex
	last map[string]remembered // by target
}

var _ kspec.Detector = (*Detector)(nil)

// New returns a Detector on top of next. The clock is time.Now when nil.
func New(next kspec.Detector, readers Readers, now func() time.Time) *Detector {
	if now == nil {
		now = time.Now
	}
	return &Detector{next: next, readers: readers, now: now, last: map[string]remembered{}}
}

// Detect implements [kspec.Detector]. Within an interval of the target it may
// tell again what its last look found of the requirements; ObservedAt says since
// when that is so.
func (d *Detector) Detect(ctx context.Context, t kspec.Target, want kspec.Desired) (kspec.Report, error) {
	rep, err := d.next.Detect(ctx, t, want)
	if err != nil || len(t.Requirements.Checks()) == 0 && len(t.Templates) == 0 {
		return rep, err
	}
	more, err := d.lately(ctx, t)
	if err != nil {
		return rep, err
	}
	if at := cmp.Or(rep.ObservedAt, rep.StartedAt); !more.ObservedAt.IsZero() && more.ObservedAt.Before(at) {
		rep.ObservedAt = more.ObservedAt
	}
	rep.Duration += more.Duration
	rep.Unknown = append(rep.Unknown, more.Unknown...)
	rep.Coverage.Requests.List += more.Coverage.Requests.List
	rep.Coverage.Requests.Get += more.Coverage.Requests.Get
	rep.Checks, rep.Controls, rep.Policies = more.Checks, more.Controls, more.Policies
	return rep.With(more.Findings...), nil
}

// Look checks the requirements of t alone. It fails when the cluster does not
// answer; what cannot be read after that is Unknown. Nothing is demanded of a
// target whose policies are off.
func (d *Detector) Look(ctx context.Context, t kspec.Target) (kspec.Report, error) {
	l, err := d.open(ctx, t)
	if err != nil {
		return kspec.Report{}, err
	}
	return d.finish(ctx, l)
}

// finish does the look.
func (d *Detector) finish(ctx context.Context, l *look) (kspec.Report, error) {
	if err := l.run(ctx); err != nil {
		return kspec.Report{}, err
	}
	rep := l.report()
	rep.StartedAt, rep.Duration = l.now, d.now().Sub(l.now)
	return rep, nil
}

// open begins a look at the cluster of t, of which nothing is read yet.
func (d *Detector) open(ctx context.Context, t kspec.Target) (*look, error) {
	l := &look{target: t, now: d.now()}
	var err error
	if l.Reader, err = d.readers.Reader(ctx, t); err != nil {
		return nil, err
	}
	if l.policy, err = policy.Of(t); err != nil {
		return nil, err
	}
	if t.Enforcement == kspec.Off {
		l.target.Requirements = kspec.Requirements{}
	}
	return l, nil
}

// look is one look at one cluster.
type look struct {
	Reader
	target kspec.Target
	policy *policy.Policy
	now    time.Time

	// namespaces are nil when they could not be read.
	namespaces map[string]*namespace
	unread     error
	decided    map[string]bool

	// survey is nil when the Pods could not be read.
	survey *survey

	checks   []kspec.Check
	findings []kspec.Finding
	unknown  []kspec.Unknown
	policies *kspec.PolicyCount
}

func (l *look) run(ctx context.Context) error {
	for _, name := range l.target.Requirements.Checks() {
		l.checks = append(l.checks, kspec.Check{Name: name})
	}
	version, err := l.Version(ctx)
	if status := apierrors.APIStatus(nil); err != nil && !errors.As(err, &status) {
		return err // nobody answered
	}
	l.version(version, err)
	l.readNamespaces(ctx)
	l.podSecurity()
	l.network(ctx)
	l.services(ctx)
	l.pods(ctx)
	l.rbac(ctx)
	l.admission(ctx)
	l.metrics(ctx)
	l.count(ctx)
	return ctx.Err()
}

func (l *look) report() kspec.Report {
	for i := range l.checks {
		slices.Sort(l.checks[i].Apart)
		l.checks[i].Apart = slices.Compact(l.checks[i].Apart)
	}
	rep := kspec.Report{
		Target: l.target.Name, Cluster: cmp.Or(l.target.Cluster, l.Name()), Revision: l.target.Revision,
		Findings: l.findings, Unknown: l.unknown, Checks: l.checks, Policies: l.policies,
		Coverage: kspec.Coverage{Requests: l.Requests()},
	}
	if len(l.checks) > 0 {
		rep.Controls = l.target.Requirements.Controls()
	}
	return rep.With().Judged()
}

// demands returns the state of a check, nil when it is not demanded.
func (l *look) demands(name string) *kspec.Check {
	for i := range l.checks {
		if l.checks[i].Name == name {
			return &l.checks[i]
		}
	}
	return nil
}

// found adds a finding of a check.
func (l *look) found(check string, f kspec.Finding) {
	f.Type, f.Verdict, f.Check = kspec.TypeCompliance, kspec.Violation, check
	f.Controls = l.target.Requirements.ControlsOf(check)
	f.Source = l.target.Source
	if f.Object == (kspec.ObjectID{}) {
		f.Object = l.whole()
	}
	if f.Labels == nil {
		f.Labels = map[string]string{}
	}
	l.findings = append(l.findings, f.Fingerprinted())
}

// whole is what findings are about that are not of one object.
func (l *look) whole() kspec.ObjectID {
	return kspec.ObjectID{Group: "kspec.io", Version: "v1alpha1", Kind: "ClusterSpec", Name: l.target.Name}
}

// doubt makes a check incomplete. A lasting reason is one that no further look
// removes.
func (l *look) doubt(check, reason string, lasting bool) {
	if c := l.demands(check); c != nil {
		c.Incomplete = true
		l.unknown = append(l.unknown, kspec.Unknown{Source: l.target.Source, Reason: check + ": " + reason, Lasting: lasting})
	}
}

// doubtAll is doubt of several checks.
func (l *look) doubtAll(err error, checks ...string) {
	reason := err.Error()
	if hint := kspec.HintOf(err); hint != "" {
		reason += " (" + hint + ")"
	}
	for _, check := range checks {
		l.doubt(check, reason, false)
	}
}

// inScope reports whether the requirements are meant for a namespace.
func (l *look) inScope(name string) bool {
	in, ok := l.decided[name]
	if ok {
		return in
	}
	o := policy.Object{ID: kspec.ObjectID{Version: "v1", Kind: "Namespace", Name: name}}
	if ns := l.namespaces[name]; ns != nil {
		o.NamespaceLabels = ns.labels
	}
	in = l.policy.Decide(o, l.now).InScope
	if l.decided == nil {
		l.decided = map[string]bool{}
	}
	l.decided[name] = in
	return in
}

// blind reports whether nobody can say which namespaces are in scope, and makes
// the checks incomplete then.
func (l *look) blind(checks ...string) bool {
	if l.unread == nil || l.target.Scope.Selector == nil {
		return false
	}
	l.doubtAll(l.unread, checks...)
	return true
}

// isSystem reports whether a namespace is one that no policy may touch.
func isSystem(namespace string) bool { return slices.Contains(policy.System(), namespace) }

func inWords(items []string) string { return strings.Join(items, ", ") }
