package compare

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
)

// mostLists is how many lists are read at a time; each may have two pages in
// memory.
const mostLists = 3

// groups returns the subjects that may be asked for, by where they are.
func (s *sweep) groups() map[endpoint][]*subject {
	groups := map[endpoint][]*subject{}
	for _, o := range s.subjects {
		if o.known && o.unknown == "" && o.tier == "" {
			groups[o.at] = append(groups[o.at], o)
		}
	}
	return groups
}

// compareNotes decides what was decided before and has not changed since.
func (s *sweep) compareNotes(ctx context.Context, before map[kspec.ObjectID]past) {
	if s.Memory != nil {
		s.epochs(ctx) // before anything is judged
	}
	for _, o := range s.subjects {
		p, ok := before[o.id]
		if ok && o.known && o.unknown == "" && p.want == o.digest() && !s.stale(p, s.rules.Now) &&
			p.epoch == s.epochOf(ctx, o, p.found()) {
			o.past = &p
		}
	}
	s.overhear()
	remembered := func() map[endpoint][]*subject {
		groups := s.groups()
		for at, group := range groups {
			if groups[at] = slices.DeleteFunc(group, func(o *subject) bool { return o.past == nil }); len(groups[at]) == 0 {
				delete(groups, at)
			}
		}
		return groups
	}
	s.listAll(ctx, remembered(), s.notice)
	s.each(ctx, slices.Concat(slices.Collect(maps.Values(remembered()))...), s.glimpse)
}

// notice compares what a list of metadata brings with what is remembered.
func (s *sweep) notice(ctx context.Context, q inquiry, wanted *wanted) (more []inquiry) {
	limit := q.first(metadataPages * s.PageSize)
	for token, restarts := "", 0; ; limit = metadataPages * s.PageSize {
		page, err := s.metadata(ctx, q, limit, token)
		switch {
		case apierrors.IsResourceExpired(err) && restarts < s.Retries:
			token, restarts = "", restarts+1
			continue
		case apierrors.IsForbidden(err) && q.wide():
			return q.narrow()
		case err != nil:
			return nil // what is not noticed is read
		}
		n := 0
		for i := range page.Items {
			m := &page.Items[i]
			o := wanted.take(q, m.Namespace, m.Name)
			if o != nil && m.DeletionTimestamp == nil && o.recalled(string(m.UID), m.ResourceVersion) {
				n++
			}
		}
		s.progress(n)
		if token = page.Continue; token == "" || q.total() == 0 {
			return nil
		}
		if !q.pays(remaining(page)) {
			return q.instead(wanted.label(s.target.Delivery.Engine))
		}
	}
}

// metadataPages is how many times as many objects a page of metadata holds.
const metadataPages = 10

func remaining(l metav1.ListInterface) int64 {
	if rest := l.GetRemainingItemCount(); rest != nil {
		return *rest
	}
	return 0
}

// glimpse compares the metadata of one object with what is remembered.
func (s *sweep) glimpse(ctx context.Context, o *subject) {
	s.gets.Add(1)
	_ = s.inTurn(ctx, func(ctx context.Context) error { // what is not noticed is read
		m, err := s.cluster.getMetadata(ctx, o.at, o.id.Name)
		if err == nil && m.DeletionTimestamp == nil && o.recalled(string(m.UID), m.ResourceVersion) {
			s.progress(1)
		}
		return err
	})
}

// glance lists the metadata of all objects of a kind that has no namespaces.
func (s *sweep) glance(ctx context.Context, at endpoint, visit func(*metav1.PartialObjectMetadata)) error {
	for token, restarts := "", 0; ; {
		page, err := s.metadata(ctx, inquiry{at: at}, s.PageSize, token)
		if apierrors.IsResourceExpired(err) && restarts < s.Retries {
			token, restarts = "", restarts+1
			continue
		}
		if err != nil {
			return err
		}
		for i := range page.Items {
			visit(&page.Items[i])
		}
		if token = page.Continue; token == "" {
			return nil
		}
	}
}

func (s *sweep) metadata(ctx context.Context, q inquiry, limit int, token string) (page *metav1.PartialObjectMetadataList, err error) {
	s.lists.Add(1)
	err = s.ask(ctx, func(ctx context.Context) error {
		page, err = s.cluster.metadataPage(ctx, q.at, metav1.ListOptions{Limit: int64(limit), Continue: token, LabelSelector: q.selector})
		return err
	})
	return page, err
}

// read observes all objects that are not decided. Where a watch has told that
// most of what a list would bring is not needed, each is fetched by name.
func (s *sweep) read(ctx context.Context) {
	groups := s.groups()
	maps.DeleteFunc(groups, func(at endpoint, group []*subject) bool { return s.heard[at] > perGet*len(group) })
	s.listAll(ctx, groups, s.list)
	s.each(ctx, slices.DeleteFunc(slices.Clone(s.subjects), func(o *subject) bool {
		return !o.known || o.unknown != "" || o.read || o.tier != ""
	}), s.get)
}

// listAll plans lists for the groups and makes them, and those that they turn
// out to need. Secrets are never listed: who may list them may read them all.
func (s *sweep) listAll(ctx context.Context, groups map[endpoint][]*subject, list func(context.Context, inquiry, *wanted) []inquiry) {
	counts := map[endpoint]int{}
	for at, group := range groups {
		if !isSecret(group[0].id) {
			counts[at] = len(group)
		}
	}
	var g errgroup.Group
	g.SetLimit(mostLists)
	for _, q := range plan(counts) {
		g.Go(func() error {
			w := wantedBy(q, groups)
			for again := []inquiry{q}; len(again) > 0; {
				next := list(ctx, again[0], w)
				again = append(again[1:], next...)
			}
			return nil
		})
	}
	_ = g.Wait() // nothing fails: errors stay with their subject
}

// wanted are the subjects that lists of one kind are to find.
type wanted struct {
	byName map[[2]string]*subject
}

func wantedBy(q inquiry, groups map[endpoint][]*subject) *wanted {
	w := &wanted{byName: make(map[[2]string]*subject, q.total())}
	for namespace := range q.wanted {
		for _, o := range groups[endpoint{q.at.gvr, namespace}] {
			w.byName[[2]string{namespace, o.id.Name}] = o
		}
	}
	return w
}

// take returns the subject of that name and counts it as found by q; nil when
// nobody wants it, any more.
func (w *wanted) take(q inquiry, namespace, name string) *subject {
	key := [2]string{namespace, name}
	o := w.byName[key]
	if o != nil {
		delete(w.byName, key)
		q.wanted[namespace]--
	}
	return o
}

// label returns a selector that finds all that is still wanted.
func (w *wanted) label(engine kspec.Engine) string {
	return sharedLabel(engine, slices.Collect(maps.Values(w.byName)))
}

// item is one of a list that is wanted.
type item struct {
	*subject
	data []byte
}

// list observes objects page by page; it fetches a page while it decodes the
// one before. What it does not find is left to get: a list is no proof of
// absence.
func (s *sweep) list(ctx context.Context, q inquiry, w *wanted) (more []inquiry) {
	l := listing{sweep: s, inquiry: q, limit: q.first(s.PageSize), most: s.PageSize}
	for next := l.fetch(ctx, ""); next != nil; {
		got := <-next
		next = nil
		switch {
		case got.err == nil:
		case l.again(&got):
			next = l.fetch(ctx, got.from)
			continue
		case apierrors.IsForbidden(got.err) && q.wide():
			return q.narrow()
		default:
			l.failed(got.err, w)
			return nil
		}
		var items []item
		for _, data := range got.items {
			namespace, name, err := nameOf(data)
			if o := w.take(q, namespace, name); o != nil && err == nil {
				items = append(items, item{o, data})
			}
		}
		if q.total() > 0 && got.token != "" {
			if !q.pays(got.rest) {
				more = q.instead(w.label(s.target.Delivery.Engine))
			} else {
				next = l.fetch(ctx, got.token)
			}
		}
		s.observeAll(ctx, items)
	}
	return more
}

// listing is a list on its way.
type listing struct {
	*sweep
	inquiry
	// limit is of the next page, most of all that follow.
	limit, most int
	restarts    int
}

// got is a page that was asked for.
type got struct {
	page
	from  string // its token
	limit int
	err   error
}

// fetch begins to fetch the page that token points to.
func (l *listing) fetch(ctx context.Context, token string) <-chan got {
	c, limit := make(chan got, 1), l.limit
	l.limit = l.most
	l.lists.Add(1)
	go func() {
		g := got{from: token, limit: limit}
		g.err = l.ask(ctx, func(ctx context.Context) error {
			data, err := l.cluster.list(ctx, l.at, metav1.ListOptions{Limit: int64(limit), Continue: token, LabelSelector: l.selector})
			if err == nil {
				g.page, err = takeApart(data)
			}
			return err
		})
		c <- g
	}()
	return c
}

// again reports whether to ask once more, from the place that it notes in g: a
// list that expired begins anew, and a page that was too long is made shorter.
func (l *listing) again(g *got) bool {
	switch {
	case apierrors.IsResourceExpired(g.err) && l.restarts < l.Retries:
		l.restarts++
		g.from = ""
	case errors.Is(g.err, errTooLong) && g.limit > 1:
		l.limit = max(1, g.limit/8)
		l.most = l.limit
	default:
		return false
	}
	return true
}

// failed leaves objects to be fetched by name, when that may be better, or
// unknown.
func (l *listing) failed(err error, w *wanted) {
	switch {
	case apierrors.IsForbidden(err), apierrors.IsResourceExpired(err), apierrors.IsMethodNotSupported(err), apierrors.IsNotFound(err), errors.Is(err, errTooLong):
		return
	}
	for _, o := range w.byName {
		o.unknown = reason("list", o.id, err)
	}
}

// observeAll decodes items and looks at them, several at a time.
func (s *sweep) observeAll(ctx context.Context, all []item) {
	const chunk = 32
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for some := range slices.Chunk(all, chunk) {
		g.Go(func() error {
			for _, one := range some {
				s.guarded(ctx, one.subject, func(_ context.Context, o *subject) { s.observe(o, one.data) })
			}
			return nil
		})
	}
	_ = g.Wait() // nothing fails: errors stay with their subject
}

func (s *sweep) observe(o *subject, data []byte) {
	apiVersion, kind := o.id.GVK().ToAPIVersionAndKind()
	live, err := decode(data, apiVersion, kind)
	if err != nil {
		o.unknown = reason("list", o.id, err)
		return
	}
	o.observe(live)
	s.atOnce(o)
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
		o.unknown = reason("get", o.id, err)
	default:
		o.observe(live)
	}
}

func (o *subject) observe(live *unstructured.Unstructured) {
	o.live, o.read, o.agrees, o.sure = live, true, false, false
}

func (s *sweep) fetch(ctx context.Context, at endpoint, name string) (live *unstructured.Unstructured, err error) {
	s.gets.Add(1)
	err = s.inTurn(ctx, func(ctx context.Context) error {
		live, err = s.cluster.get(ctx, at, name)
		return err
	})
	return live, err
}
