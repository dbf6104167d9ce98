package compare

import (
	"context"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
)

// sweep is one look at all objects of a target.
type sweep struct {
	*Detector
	cluster  *Cluster
	target   kspec.Target
	rules    Rules
	subjects []*subject

	engine engine
	around surroundings
	// partial is true when Git declares more than could be rendered.
	partial bool
	strayed []kspec.Finding

	once  sync.Once
	epoch *epochs
	// epochOfKey holds the epochs that were asked for, by one goroutine.
	epochOfKey map[epochKey]kspec.Digest

	// places are the subjects by the watch that covers them, following those
	// watches and the epoch's.
	places    map[earshot][]*subject
	following map[earshot]*watch
	// heard counts the subjects of an endpoint that healthy watches cover, and
	// age is the longest time since one of these gave a sign of life.
	heard map[endpoint]int
	age   time.Duration
	// turns are of the watches when the look began, and until is how long what
	// it finds out without them holds; zero when that is not at all.
	turns map[*watch]uint64
	until time.Time
	// wants and claims are of the demands when rivals were looked for.
	wants, claims uint64

	lists, gets, patches atomic.Int64
	done                 atomic.Int64
}

// subject is one desired object on its way to a verdict. One goroutine at a
// time has it.
type subject struct {
	id kspec.ObjectID
	// want is as Git has it, and ready to be compared once cleaned.
	want  kspec.Object
	clean bool
	at    endpoint
	known bool // the cluster knows the kind, and at is set
	// engine is what the delivery engine is told about the object.
	engine *ruling

	// past is what was decided the last time, nil when that does not hold any
	// more whatever the cluster has.
	past *past
	// live is the observation, nil when the object is absent.
	live *unstructured.Unstructured
	// read is true when live is an answer of the cluster.
	read bool
	// agrees is true when the fields of the observation were in sync, and live
	// holds the rest of its metadata only; sure when they were, and the object
	// waits to be dry-run as well.
	agrees, sure bool

	findings   []kspec.Finding
	suppressed []int
	tier       kspec.Tier
	// unknown says why there is no verdict, or not the whole of one.
	unknown string
	// lasting is true when another look would tell no more.
	lasting bool
	// crossChecked is true when a dry run was made although the fields were in
	// sync, disagreed when it said something else.
	crossChecked, disagreed bool
}

func (o *subject) decided(tier kspec.Tier, suppressed []int, findings ...kspec.Finding) {
	o.tier, o.suppressed, o.findings = tier, suppressed, findings
}

// subjectsOf returns the objects as subjects.
func subjectsOf(objects []kspec.Object) []*subject {
	subjects, all := make([]subject, len(objects)), make([]*subject, len(objects))
	for i, w := range objects {
		subjects[i].id, subjects[i].want = w.ID(), w
		all[i] = &subjects[i]
	}
	return all
}

// cleaned makes what Git wants ready to be compared.
func (o *subject) cleaned() {
	if !o.clean {
		o.want, o.clean = clean(o.want), true
	}
}

// digest is of what Git wants.
func (o *subject) digest() kspec.Digest {
	if o.want.Digest.IsZero() {
		o.want.Digest = kspec.DigestOf(o.want)
	}
	return o.want.Digest
}

// run looks at everything. It fails when the cluster cannot be reached or ctx
// ends.
func (s *sweep) run(ctx context.Context, want kspec.Desired) error {
	s.subjects, s.epochOfKey, s.until = subjectsOf(want.Objects), map[epochKey]kspec.Digest{}, s.rules.Now.Add(s.MaxAge)
	if !s.Watch.hears(s.cluster) {
		if err := s.ask(ctx, func(ctx context.Context) error { return s.cluster.reach(ctx) }); err != nil {
			return err
		}
	}
	s.locate()
	s.follow()
	s.contend()
	s.meet(ctx)
	before := s.recall(ctx, s.target.Name)
	s.compareNotes(ctx, before)
	s.read(ctx)
	for s.discover(ctx) {
		s.reopen(ctx)
	}
	if undecided := s.undecided(); len(undecided) > 0 {
		s.around = s.survey()
		s.each(ctx, undecided, s.judge)
	}
	s.strayed = s.strays(ctx)
	s.learn()
	if s.Memory != nil && ctx.Err() == nil && !s.allRecalled(before) {
		s.remember(ctx, s.target.Name, before, s.memorable(ctx))
	}
	return ctx.Err()
}

// allRecalled reports whether all that is remembered was, and nothing else.
func (s *sweep) allRecalled(before map[kspec.ObjectID]past) bool {
	return len(before) == len(s.subjects) &&
		!slices.ContainsFunc(s.subjects, func(o *subject) bool { return o.tier != kspec.TierCache })
}

// undecided returns the subjects that need a verdict.
func (s *sweep) undecided() []*subject {
	return slices.DeleteFunc(slices.Clone(s.subjects), func(o *subject) bool { return o.tier != "" })
}

// ask calls f with the time that one request may take.
func (s *sweep) ask(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	return f(ctx)
}

// inTurn is ask when the server takes one request more.
func (s *sweep) inTurn(ctx context.Context, f func(context.Context) error) error {
	l, answered := s.cluster.limiter, false
	if err := l.enter(ctx, s.Workers); err != nil {
		return err
	}
	start := time.Now()
	defer func() { l.leave(time.Since(start), s.Workers, answered) }()
	err := s.ask(ctx, f)
	answered = err == nil
	return err
}

// each calls f for all subjects, Workers at a time.
func (s *sweep) each(ctx context.Context, subjects []*subject, f func(context.Context, *subject)) {
	var g errgroup.Group
	g.SetLimit(s.Workers)
	for _, o := range subjects {
		g.Go(func() error { s.guarded(ctx, o, f); return nil })
	}
	_ = g.Wait() // nothing fails: errors stay with their subject
}

// guarded calls f. What panics on an object, which anyone in the cluster may
// have written, makes that object unknown and nothing else.
func (s *sweep) guarded(ctx context.Context, o *subject, f func(context.Context, *subject)) {
	defer func() {
		if recover() != nil { // with what may be a value of the object
			s.Log.ErrorContext(ctx, "panic on an object", "object", o.id.String(), "stack", string(debug.Stack()))
			o.findings, o.unknown = nil, "a defect of kspec: it panicked on this object; its log says where"
		}
	}()
	f(ctx, o)
}

// progress tells that so many subjects more have a verdict.
func (s *sweep) progress(n int) {
	if done := s.done.Add(int64(n)); s.Progress != nil {
		s.Progress(int(done), len(s.subjects))
	}
}

func (s *sweep) requests() kspec.Requests {
	return kspec.Requests{List: int(s.lists.Load()), Get: int(s.gets.Load()), Patch: int(s.patches.Load())}
}

// locate finds out where the objects live.
func (s *sweep) locate() {
	type answer struct {
		mapping *meta.RESTMapping
		err     error
	}
	answers := map[schema.GroupVersionKind]answer{}
	for _, o := range s.subjects {
		gvk := o.id.GVK()
		a, ok := answers[gvk]
		if !ok {
			a.mapping, a.err = s.cluster.mapping(gvk)
			answers[gvk] = a
		}
		o.place(a.mapping, a.err)
	}
}

// place records where o lives, or why that is not known. A kind that the
// cluster does not know is left to judge.
func (o *subject) place(m *meta.RESTMapping, err error) {
	id := o.id
	switch {
	case meta.IsNoMatchError(err):
	case err != nil:
		o.unknown = reason("discover", id, err)
	case o.want.Object["sops"] != nil:
		o.unknown, o.lasting = "encrypted with SOPS: kspec has no key and cannot compare it", true
	case isNamedByVariable(id):
		o.unknown, o.lasting = "Git has a variable in its name or namespace, and kspec does not know the value that the applier puts in its place", true
	case m.Scope.Name() == meta.RESTScopeNameRoot:
		o.known, o.at = true, endpoint{gvr: m.Resource}
	case id.Namespace == "":
		o.unknown = "a " + id.Kind + " needs a namespace and has none"
	default:
		o.known, o.at = true, endpoint{gvr: m.Resource, namespace: id.Namespace}
	}
}

func (s *sweep) dryRun(ctx context.Context, o *subject, p patch) (reply *unstructured.Unstructured, err error) {
	s.patches.Add(1)
	err = s.inTurn(ctx, func(ctx context.Context) error {
		reply, err = s.cluster.dryRun(ctx, o.at, o.want.GetName(), p)
		return err
	})
	return reply, err
}
