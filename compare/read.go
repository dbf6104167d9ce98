package compare

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
)

// fewest is from how many objects of one kind and namespace on a list is
// cheaper than fetching each.
const fewest = 4

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
			p.epoch == s.epochOf(ctx, o, p.more != nil && len(p.more.findings) > 0) {
			o.past = &p
		}
	}
	s.overhear()
	var g errgroup.Group
	g.SetLimit(s.Workers)
	for at, group := range s.groups() {
		if known := slices.DeleteFunc(group, func(o *subject) bool { return o.past == nil }); len(known) > 0 {
			g.Go(func() error { s.notice(ctx, at, known); return nil })
		}
	}
	_ = g.Wait() // nothing fails: what is not noticed is read
}

// notice decides those of the group that are still what they were.
func (s *sweep) notice(ctx context.Context, at endpoint, group []*subject) {
	if len(group) < fewest || isSecret(group[0].id) {
		return
	}
	byName := make(map[string]*subject, len(group))
	for _, o := range group {
		byName[o.id.Name] = o
	}
	n := 0
	_ = s.glance(ctx, at, func(m *metav1.PartialObjectMetadata) {
		if o := byName[m.Name]; o != nil && m.DeletionTimestamp == nil && o.recalled(string(m.UID), m.ResourceVersion) {
			n++
		}
	})
	s.progress(n)
}

// glance lists the metadata of objects.
func (s *sweep) glance(ctx context.Context, at endpoint, visit func(*metav1.PartialObjectMetadata)) error {
	for token, restarts := "", 0; ; {
		var page *metav1.PartialObjectMetadataList
		s.lists.Add(1)
		err := s.ask(ctx, func(ctx context.Context) (err error) {
			page, err = s.cluster.metadataPage(ctx, at, int64(s.PageSize), token)
			return err
		})
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

// read observes all objects that are not decided.
func (s *sweep) read(ctx context.Context) {
	groups := s.groups()
	var g errgroup.Group
	g.SetLimit(s.Workers)
	for at, group := range groups {
		if s.listed(at, group) {
			g.Go(func() error { s.list(ctx, at, group); return nil })
		}
	}
	_ = g.Wait() // nothing fails: errors stay with their subject
	s.each(ctx, slices.DeleteFunc(slices.Clone(s.subjects), func(o *subject) bool {
		return !o.known || o.unknown != "" || o.read || o.tier != ""
	}), s.get)
}

// listed reports whether a list is cheaper than fetching each of the group: not
// when a watch has told that most of what would be listed is not needed.
func (s *sweep) listed(at endpoint, group []*subject) bool {
	return len(group) >= fewest && !isSecret(group[0].id) && s.heard[at] <= perGet*len(group)
}

// perGet is how many objects a list brings in the time of one get.
const perGet = 25

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
				o.unknown = reason("list", o.id, err)
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
		o.unknown = reason("get", o.id, err)
	default:
		o.observe(live)
	}
}

func (o *subject) observe(live *unstructured.Unstructured) {
	o.live, o.read = live, true
}

func (s *sweep) fetch(ctx context.Context, at endpoint, name string) (live *unstructured.Unstructured, err error) {
	s.gets.Add(1)
	err = s.ask(ctx, func(ctx context.Context) error {
		live, err = s.cluster.get(ctx, at, name)
		return err
	})
	return live, err
}
