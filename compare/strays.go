package compare

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
)

// This file finds what was applied once and is gone from Git. A mark alone
// proves nothing: units deploy more than the folders that a target names, and
// controllers and people copy objects with their labels. So an object is only
// reported when
//
//   - the unit was read, and says itself to deploy nothing but folders that the
//     target declares, all of which could be rendered;
//   - the object carries the mark of exactly that unit, and the applier itself
//     owns the mark, or the mark names this very object;
//   - nobody in Git wants it, it belongs to no other object, is not being
//     deleted, and nothing tells the engine to keep it.

const (
	mostStrays = 200
	// strayEvery is how long a look that found none holds while nothing that it
	// follows from changes.
	strayEvery = 10 * time.Minute
)

// strays finds the objects that carry a mark of the target and are gone from
// Git.
func (s *sweep) strays(ctx context.Context) []kspec.Finding {
	marks := s.marks()
	if len(marks) == 0 || s.partial {
		return nil
	}
	wanted := make(map[identity]bool, len(s.subjects))
	for _, o := range s.subjects {
		wanted[identityOf(o.id)] = true
	}
	key := s.strayKey(marks)
	if a := s.acquaintances.of(s.target.Name); a.clean == key && s.Now().Sub(a.at) < strayEvery {
		s.until = earlier(s.until, a.at.Add(strayEvery))
		return nil
	}
	s.until = time.Time{}
	c := &collector{sweep: s, wanted: wanted, found: map[identity]kspec.Finding{}, sure: true}
	for _, m := range marks {
		c.collect(ctx, m)
	}
	findings := slices.SortedFunc(maps.Values(c.found), func(a, b kspec.Finding) int { return a.Object.Compare(b.Object) })
	s.acquaintances.change(s.target.Name, func(a *acquaintance) {
		if a.clean = (kspec.Digest{}); len(findings) == 0 && c.sure {
			a.clean, a.at = key, s.Now()
		}
	})
	return findings
}

// strayKey is of all that the search follows from, but the cluster.
func (s *sweep) strayKey(marks []mark) kspec.Digest {
	ids := make([]kspec.ObjectID, len(s.subjects))
	for i, o := range s.subjects {
		ids[i] = o.id
	}
	values := []any{ids}
	for _, m := range marks {
		values = append(values, m.who, m.folder, m.manager, m.selector, m.holds)
	}
	return digest(values...)
}

// collector gathers the strays of a target.
type collector struct {
	*sweep
	mu     sync.Mutex
	wanted map[identity]bool
	found  map[identity]kspec.Finding
	// sure is false when something could not be looked at.
	sure bool
}

// collect looks for objects with the mark: by label where it is one, else where
// the engine says that it applied them.
func (c *collector) collect(ctx context.Context, m mark) {
	var g errgroup.Group
	g.SetLimit(c.Workers)
	for kind := range m.kinds {
		if m.selector != "" && kind != (schema.GroupKind{Kind: "Secret"}) && kind != (schema.GroupKind{Kind: "Endpoints"}) {
			g.Go(func() error { c.list(ctx, m, kind); return nil })
		}
	}
	asked := 0
	for _, id := range m.holds {
		if m.selector != "" && !isSecret(id) || c.wanted[identityOf(id)] {
			continue
		}
		if asked++; asked > mostStrays {
			c.doubt()
			break
		}
		g.Go(func() error { c.one(ctx, m, id); return nil })
	}
	_ = g.Wait() // nothing fails: what cannot be looked at is no proof
}

func (c *collector) doubt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sure = false
}

// list looks at all objects of a kind that the mark selects.
func (c *collector) list(ctx context.Context, m mark, kind schema.GroupKind) {
	mapping, err := c.cluster.mapper.RESTMapping(kind)
	if meta.IsNoMatchError(err) {
		return
	}
	const mostPages = 20
	options := metav1.ListOptions{LabelSelector: m.selector, Limit: int64(c.PageSize)}
	for pages := 0; err == nil; pages++ {
		var page *metav1.PartialObjectMetadataList
		c.lists.Add(1)
		err = c.ask(ctx, func(ctx context.Context) (err error) {
			page, err = c.cluster.metadata.Resource(mapping.Resource).List(ctx, options)
			return err
		})
		if err != nil {
			break
		}
		for i := range page.Items {
			c.weigh(m, mapping.GroupVersionKind, &page.Items[i])
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return
		}
		if pages == mostPages {
			err = errTooMany
		}
	}
	c.Log.DebugContext(ctx, "not looked for what is gone from Git", "kind", kind.String(), "error", scrub(err.Error()))
	c.doubt()
}

// one looks at an object that the engine says to have applied.
func (c *collector) one(ctx context.Context, m mark, id kspec.ObjectID) {
	mapping, err := c.cluster.mapper.RESTMapping(id.GVK().GroupKind())
	if meta.IsNoMatchError(err) {
		return
	}
	var o *metav1.PartialObjectMetadata
	if err == nil {
		c.gets.Add(1)
		err = c.ask(ctx, func(ctx context.Context) (err error) {
			o, err = c.cluster.metadata.Resource(mapping.Resource).Namespace(id.Namespace).Get(ctx, id.Name, metav1.GetOptions{})
			return err
		})
	}
	switch {
	case err == nil:
		c.weigh(m, mapping.GroupVersionKind, o)
	case !absent(err):
		c.doubt()
	}
}

// weigh reports the object if it is certain that it is gone from Git.
func (c *collector) weigh(m mark, kind schema.GroupVersionKind, o *metav1.PartialObjectMetadata) {
	id := kspec.ObjectID{Group: kind.Group, Version: kind.Version, Kind: kind.Kind, Namespace: o.Namespace, Name: o.Name}
	if c.wanted[identityOf(id)] || o.DeletionTimestamp != nil || len(o.OwnerReferences) > 0 || kept(o) || c.mayBeNamed(id) ||
		c.demands.rival(c.target, id, true) != "" {
		return
	}
	if m.names != nil && !m.names(id, o) || m.names == nil && (!selected(m.selector, o.Labels) || !marked(o, m)) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.found) < mostStrays {
		c.found[identityOf(id)] = m.stray(id, c.rules.severity(kspec.ExtraObject, id, o.Labels, nil))
	}
}

// mayBeNamed reports whether Git has an object of the kind with a variable in
// its name that could be this one.
func (c *collector) mayBeNamed(id kspec.ObjectID) bool {
	return slices.ContainsFunc(c.subjects, func(o *subject) bool {
		return isNamedByVariable(o.id) && o.id.Kind == id.Kind && o.id.Group == id.Group &&
			pattern(o.id.Name).MatchString(id.Name) && pattern(o.id.Namespace).MatchString(id.Namespace)
	})
}

// kept reports whether something tells the engines not to delete the object.
func kept(o *metav1.PartialObjectMetadata) bool {
	prune := fluxSetting(o.Labels, o.Annotations, fluxPrune)
	reconcile := fluxSetting(o.Labels, o.Annotations, fluxReconcile)
	return slices.Contains(prune, "disabled") || slices.Contains(reconcile, "disabled") || isHook(o.Annotations) ||
		strings.Contains(o.Annotations[argoSync], "Prune=false") || strings.Contains(o.Annotations[argoCompare], "IgnoreExtraneous")
}

// stray is the finding of an object that is gone from Git.
func (m mark) stray(id kspec.ObjectID, severity kspec.Severity) kspec.Finding {
	f := kspec.Finding{
		Type: kspec.TypeConfiguration, Verdict: kspec.ExtraObject, Severity: severity, Object: id,
		Message:   fmt.Sprintf("%s was applied by %s, and is not in Git any more", id, m.who),
		Hint:      m.remedy(id),
		DecidedBy: kspec.TierFields, Source: kspec.Source{Overlay: m.folder}, Controls: []string{},
	}
	if m.selector != "" && m.label == kspec.OwnerLabel {
		f.Type = kspec.TypePolicy
	}
	return f.Fingerprinted()
}

// remedy says what makes the object go.
func (m mark) remedy(id kspec.ObjectID) string {
	resource := id.Kind
	if id.Group != "" {
		resource += "." + id.Group
	}
	command := "kubectl delete " + strings.ToLower(resource) + " " + id.Name
	if id.Namespace != "" {
		command = "kubectl -n " + id.Namespace + command[len("kubectl"):]
	}
	known := m.unit != nil && slices.ContainsFunc(m.unit.holds, func(h kspec.ObjectID) bool { return identityOf(h) == identityOf(id) })
	switch {
	case m.unit == nil:
		return "prune it by: " + command
	case m.unit.suspended:
		return fmt.Sprintf("%s is suspended: it may go when that is resumed; else prune it by: %s", m.unit, command)
	case known && m.unit.prunes:
		return fmt.Sprintf("%s deletes it when it applies Git again; if it does not, prune it by: %s", m.unit, command)
	case known && m.unit.engine == kspec.ArgoCD:
		return fmt.Sprintf("%s does not prune by itself: prune it by: argocd app sync %s --prune", m.unit, m.unit.ref.Name)
	case known:
		return fmt.Sprintf("spec.prune of %s is false: prune it by: %s", m.unit, command)
	}
	return fmt.Sprintf("%s has lost sight of it and will not delete it: prune it by: %s", m.unit, command)
}
