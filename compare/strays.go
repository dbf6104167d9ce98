package compare

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

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
	// ownerLabel is on every object that kspec renders of a template.
	ownerLabel = "kspec.io/owner"
)

// acquaintances are what former looks at a target found about its engine.
type acquaintances struct {
	mu      sync.Mutex
	targets map[string]acquaintance
}

type acquaintance struct {
	units []kspec.UnitRef
	clean kspec.Digest
	at    time.Time
}

func (a *acquaintances) of(target string) acquaintance {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.targets[target]
}

func (a *acquaintances) change(target string, f func(*acquaintance)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.targets == nil {
		a.targets = map[string]acquaintance{}
	}
	one := a.targets[target]
	f(&one)
	a.targets[target] = one
}

func (a *acquaintances) keep(keep func(target string) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.targets, func(name string, _ acquaintance) bool { return !keep(name) })
}

func (s *sweep) recallUnits() []kspec.UnitRef { return s.acquaintances.of(s.target.Name).units }

func (s *sweep) rememberUnits() {
	s.acquaintances.change(s.target.Name, func(a *acquaintance) {
		a.units = slices.SortedFunc(maps.Keys(s.engine.found), compareRefs)
	})
}

// mark is what tells that something applied an object.
type mark struct {
	// who applied it, in words, and from where in Git.
	who, folder string
	manager     string
	// selector finds the objects in a list; "" when no list can.
	selector string
	// label is owned by manager on what it applied.
	label string
	// names reports whether the mark names the very object.
	names func(kspec.ObjectID, *metav1.PartialObjectMetadata) bool
	kinds map[schema.GroupKind]bool
	holds []kspec.ObjectID
	unit  *unit
}

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

// marks returns the marks of which it is certain that only what the target
// declares may carry them.
func (s *sweep) marks() []mark {
	var all []mark
	for _, at := range slices.Sorted(maps.Keys(s.engine.deployers)) {
		u := s.engine.deployers[at]
		if !slices.ContainsFunc(all, func(m mark) bool { return m.unit == u }) && u.whole && s.declares(u) {
			all = append(all, s.markOfUnit(u, at))
		}
	}
	if m, ok := s.ownMark(); ok {
		all = append(all, m)
	}
	return all
}

// declares reports whether the target declares every folder that u deploys.
func (s *sweep) declares(u *unit) bool {
	return !slices.ContainsFunc(u.paths, func(p string) bool { return s.engine.deployers[p] != u })
}

func (s *sweep) markOfUnit(u *unit, at string) mark {
	m := mark{who: u.String(), folder: at, unit: u, manager: s.target.Delivery.FieldManager, kinds: map[schema.GroupKind]bool{}}
	for _, o := range s.target.Overlays {
		if path.Clean(o.Path) == at {
			m.manager = o.FieldManager
		}
	}
	labelled := ""
	for _, o := range s.subjects {
		if s.engine.deployers[s.folderOf(o.want)] == u && o.known {
			m.kinds[o.id.GVK().GroupKind()] = true
			labelled = s.trackedByLabel(u, o, labelled)
		}
	}
	for _, id := range u.holds {
		if !isSecret(id) {
			m.kinds[id.GVK().GroupKind()] = true
		}
	}
	m.holds = u.holds
	switch {
	case u.engine == kspec.Flux:
		m.selector = fluxName + "=" + u.ref.Name + "," + fluxNamespace + "=" + u.ref.Namespace
		m.label = fluxName
	case labelled == "label":
		m.selector, m.label = argoInstance+"="+u.ref.Name, argoInstance
	default:
		m.names = func(id kspec.ObjectID, o *metav1.PartialObjectMetadata) bool {
			ref, ok := tracked(o.Annotations[argoTracking], id)
			return ok && ref.Name == u.ref.Name && (ref.Namespace == "" || ref.Namespace == u.ref.Namespace)
		}
	}
	return m
}

// trackedByLabel returns how Argo CD tracks what it applied, as far as o tells
// besides what is known: "label", "annotation", or "".
func (s *sweep) trackedByLabel(u *unit, o *subject, known string) string {
	switch {
	case known == "annotation" || o.live == nil:
		return known
	case o.live.GetAnnotations()[argoTracking] != "":
		return "annotation"
	case o.live.GetLabels()[argoInstance] == u.ref.Name && o.want.GetLabels()[argoInstance] == "":
		return "label"
	}
	return known
}

// ownMark is kspec's own mark on the policies that it rendered.
func (s *sweep) ownMark() (mark, bool) {
	const longestLabel = 63
	d := s.target.Delivery
	if d.Path == "" || len(s.target.Name) > longestLabel || d.Unit.Name != "" && s.engine.deployers[path.Clean(d.Path)] == nil {
		return mark{}, false
	}
	m := mark{
		who: "kspec for ClusterSpec " + s.target.Name, folder: path.Clean(d.Path), manager: d.FieldManager,
		selector: ownerLabel + "=" + s.target.Name, label: ownerLabel, unit: s.engine.deployers[path.Clean(d.Path)],
		kinds: map[schema.GroupKind]bool{
			{Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicy"}:        true,
			{Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicyBinding"}: true,
			{Group: "networking.k8s.io", Kind: "NetworkPolicy"}:                               true,
			{Kind: "ResourceQuota"}: true,
			{Kind: "LimitRange"}:    true,
		},
	}
	for _, o := range s.subjects {
		if o.want.Source.Template != "" && o.known {
			m.kinds[o.id.GVK().GroupKind()] = true
		}
	}
	return m, true
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

// selected reports whether the labels have all that the selector says.
func selected(selector string, labels map[string]string) bool {
	for term := range strings.SplitSeq(selector, ",") {
		if k, v, _ := strings.Cut(term, "="); labels[k] != v {
			return false
		}
	}
	return true
}

// marked reports whether the applier itself put the mark there.
func marked(o *metav1.PartialObjectMetadata, m mark) bool {
	path := fieldpath.MakePathOrDie("metadata", "labels", m.label)
	return slices.ContainsFunc(o.ManagedFields, func(e metav1.ManagedFieldsEntry) bool {
		set := &fieldpath.Set{}
		return e.Manager == m.manager && e.Subresource == "" && e.FieldsV1 != nil &&
			set.FromJSON(e.FieldsV1.GetRawReader()) == nil && set.Has(path)
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
	if m.selector != "" && m.label == ownerLabel {
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
