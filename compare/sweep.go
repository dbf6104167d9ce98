package compare

import (
	"context"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
)

// sweep is one look at all objects of a target.
type sweep struct {
	*Detector
	cluster  *Cluster
	rules    Rules
	subjects []*subject

	lists, gets, patches atomic.Int64
}

// subject is one desired object on its way to a verdict. One goroutine at a
// time has it.
type subject struct {
	want  kspec.Object
	at    endpoint
	known bool // the cluster knows the kind, and at is set

	// live is the observation, nil when the object is absent.
	live *unstructured.Unstructured
	// read is true when live is an answer of the cluster.
	read bool

	findings   []kspec.Finding
	suppressed int
	tier       kspec.Tier
	// unknown says why there is no verdict, or not the whole of one.
	unknown string
	// lasting is true when another look would tell no more.
	lasting bool
}

func (o *subject) decided(tier kspec.Tier, suppressed int, findings ...kspec.Finding) {
	o.tier, o.suppressed, o.findings = tier, suppressed, findings
}

func newSweep(d *Detector, c *Cluster, rules Rules, want kspec.Desired) *sweep {
	s := &sweep{Detector: d, cluster: c, rules: rules}
	for _, w := range want.Objects {
		s.subjects = append(s.subjects, &subject{want: clean(w)})
	}
	return s
}

// run looks at everything. It fails when the cluster cannot be reached or ctx
// ends.
func (s *sweep) run(ctx context.Context) error {
	if err := s.ask(ctx, func(ctx context.Context) error { return s.cluster.reach(ctx) }); err != nil {
		return err
	}
	s.locate()
	s.read(ctx)
	s.each(ctx, s.subjects, s.judge)
	return ctx.Err()
}

// ask calls f with the time that one request may take.
func (s *sweep) ask(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	return f(ctx)
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
			s.Log.ErrorContext(ctx, "panic on an object", "object", o.want.ID().String(), "stack", string(debug.Stack()))
			o.findings, o.unknown = nil, "a defect of kspec: it panicked on this object; its log says where"
		}
	}()
	f(ctx, o)
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
		gvk := o.want.GroupVersionKind()
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
	id := o.want.ID()
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

// fewest is from how many objects of one kind and namespace on a list is
// cheaper than fetching each.
const fewest = 4

// read observes all objects.
func (s *sweep) read(ctx context.Context) {
	groups := map[endpoint][]*subject{}
	for _, o := range s.subjects {
		if o.known && o.unknown == "" {
			groups[o.at] = append(groups[o.at], o)
		}
	}
	var g errgroup.Group
	g.SetLimit(s.Workers)
	for at, group := range groups {
		if len(group) >= fewest && !isSecret(group[0].want.ID()) {
			g.Go(func() error { s.list(ctx, at, group); return nil })
		}
	}
	_ = g.Wait() // nothing fails: errors stay with their subject
	s.each(ctx, slices.DeleteFunc(slices.Clone(s.subjects), func(o *subject) bool {
		return !o.known || o.unknown != "" || o.read
	}), s.get)
}

// list observes the objects of one kind and namespace page by page. What it
// does not find is left to get: a list is no proof of absence.
func (s *sweep) list(ctx context.Context, at endpoint, group []*subject) {
	wanted := make(map[string]*subject, len(group))
	for _, o := range group {
		wanted[o.want.GetName()] = o
	}
	token, restarts := "", 0
	for {
		page, err := s.page(ctx, at, token)
		switch {
		case apierrors.IsResourceExpired(err) && restarts < s.Retries:
			token, restarts = "", restarts+1
			continue
		case apierrors.IsForbidden(err), apierrors.IsResourceExpired(err), apierrors.IsMethodNotSupported(err), apierrors.IsNotFound(err):
			return
		case err != nil:
			for _, o := range wanted {
				o.unknown = reason("list", o.want.ID(), err)
			}
			return
		}
		for i := range page.Items {
			name := page.Items[i].GetName()
			if o := wanted[name]; o != nil {
				o.observe(&page.Items[i])
				delete(wanted, name)
			}
		}
		if token = page.GetContinue(); token == "" || tooFar(page, len(wanted)) {
			return
		}
	}
}

// tooFar reports whether fetching what is still wanted is cheaper than the
// rest of the list.
func tooFar(page *unstructured.UnstructuredList, wanted int) bool {
	const perGet = 25 // objects that a list brings in the time of one get
	rest := page.GetRemainingItemCount()
	return wanted == 0 || rest != nil && *rest > int64(perGet*wanted)
}

func (s *sweep) page(ctx context.Context, at endpoint, token string) (page *unstructured.UnstructuredList, err error) {
	s.lists.Add(1)
	err = s.ask(ctx, func(ctx context.Context) error {
		page, err = s.cluster.page(ctx, at, int64(s.PageSize), token)
		return err
	})
	return page, err
}

// get observes one object.
func (s *sweep) get(ctx context.Context, o *subject) {
	live, err := s.fetch(ctx, o.at, o.want.GetName())
	switch {
	case absent(err):
		o.observe(nil)
	case notServed(err):
		o.known = false
	case err != nil:
		o.unknown = reason("get", o.want.ID(), err)
	default:
		o.observe(live)
	}
}

func (o *subject) observe(live *unstructured.Unstructured) { o.live, o.read = live, true }

func (s *sweep) fetch(ctx context.Context, at endpoint, name string) (live *unstructured.Unstructured, err error) {
	s.gets.Add(1)
	err = s.ask(ctx, func(ctx context.Context) error {
		live, err = s.cluster.get(ctx, at, name)
		return err
	})
	return live, err
}

func (s *sweep) dryRun(ctx context.Context, o *subject, p patch) (reply *unstructured.Unstructured, err error) {
	s.patches.Add(1)
	err = s.ask(ctx, func(ctx context.Context) error {
		reply, err = s.cluster.dryRun(ctx, o.at, o.want.GetName(), p)
		return err
	})
	return reply, err
}

// whyAbsent says why an object is not there.
func (s *sweep) whyAbsent(o *subject) kspec.Finding {
	id := o.want.ID()
	why := id.String() + " is not in the cluster"
	ns := s.find(kspec.ObjectID{Version: "v1", Kind: "Namespace", Name: id.Namespace})
	switch {
	case o.live != nil:
		why = id.String() + " is being deleted"
	case id.Namespace == "" || ns == nil || !ns.read:
	case ns.live == nil:
		why += ", nor is its namespace"
	case ns.live.GetDeletionTimestamp() != nil:
		why += ": its namespace is being deleted"
	}
	return missing(o.want, why)
}

// find returns the subject with the identity, nil when Git does not declare it.
func (s *sweep) find(id kspec.ObjectID) *subject {
	i, ok := slices.BinarySearchFunc(s.subjects, id, func(o *subject, id kspec.ObjectID) int { return o.want.ID().Compare(id) })
	if !ok {
		return nil
	}
	return s.subjects[i]
}

// definition returns the CustomResourceDefinition in Git that defines the kind
// and version of id, nil when there is none.
func (s *sweep) definition(id kspec.ObjectID) *subject {
	i := slices.IndexFunc(s.subjects, func(o *subject) bool {
		crd := o.want.ID()
		return crd.Group == "apiextensions.k8s.io" && crd.Kind == "CustomResourceDefinition" && defines(o.want.Object, id)
	})
	if i < 0 {
		return nil
	}
	return s.subjects[i]
}

func defines(crd map[string]any, id kspec.ObjectID) bool {
	group, _, _ := unstructured.NestedString(crd, "spec", "group")
	kind, _, _ := unstructured.NestedString(crd, "spec", "names", "kind")
	versions, _, _ := unstructured.NestedSlice(crd, "spec", "versions")
	return group == id.Group && kind == id.Kind && slices.ContainsFunc(mapsIn(versions), func(v map[string]any) bool {
		name, _ := v["name"].(string)
		return strings.EqualFold(name, id.Version)
	})
}
