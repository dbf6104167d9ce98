// Package render makes the objects that a target must hold: Kustomize overlays
// and plain folders of the config repo, and policy templates with their
// parameters. It reads the tree and, if it has one, its cache, runs no program and
// opens no connection, and equal input gives equal bytes.
//
// What cannot be rendered becomes an Unknown that names file and line, and the
// rest goes on. See docs/templates.md for templates, and
// docs/decisions/0003-kustomize-in-memory.md for how Kustomize is kept in.
//
// # The way through the files
//
// A rendering begins in render.go, and goes through what the target names:
//
//   - folder.go reads overlays and plain folders; view.go, documents.go and
//     limits.go are how files are read.
//   - scan.go, entries.go and plugins.go decide what Kustomize may be asked,
//     prepare.go what it is shown; kustomize.go is one run, values.go what it
//     made.
//   - build.go builds an overlay, whole or in chunks: divide.go finds out whether
//     it can be divided, chunk.go is what a chunk consists of. cache.go, disk.go
//     and pack.go remember what was built.
//   - template.go finds a template, with listed.go; parameters.go and
//     substitute.go fill in its parameters; policies.go makes its objects.
//   - rules.go makes one list of the rules of all templates, expression.go reads
//     them, and program.go writes each for the API server, kyverno.go for Kyverno.
//   - scope.go finds namespaces, exempt.go lets pass what is exempt, deliver.go
//     names, marks and prints what is delivered.
//   - explain.go tells how it came about, secret.go hides values in errors;
//     suite.go and manifests.go read objects for those who test rules.
package render

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec"
	v1alpha1 "github.com/cloudcwfranck/kspec/api/v1alpha1"
)

// Options configure a [Renderer]; the zero value works.
type Options struct {
	// Timeout is for one overlay or one template, one minute when zero.
	Timeout time.Duration
	// Limits bound what a repo can make kspec do.
	Limits Limits
	// CacheDir, when set, is a folder in which what Kustomize built, Secrets of
	// the repo as well, outlives the process, within [Limits.CacheBytes]. It may
	// be shared by processes of one user. Builds are not kept when others may
	// enter it, and Log is told.
	CacheDir string
	// Log is told what goes wrong with the cache; nobody when nil.
	Log *slog.Logger
	// Built, when set, is told how every part of a rendering came about. It is
	// called by whoever renders, so by several at once.
	Built func(Build)
	// Check, when set, compiles the expressions of an admission policy; a rule
	// with a mistake is not rendered. It is called by whoever renders.
	Check func(policy *unstructured.Unstructured) []Mistake
	// Ruled, when set, is told every rule that a target has of its templates,
	// and from where: the layers, their templates, the parameters. It is called
	// by whoever renders.
	Ruled func(rule kspec.Rule, origin string)
}

// Renderer makes objects of templates and overlays. It remembers what it built
// for as long as the files that were read stay as they are, whichever commit
// they are of and whichever target asks.
type Renderer struct {
	timeout time.Duration
	limits  Limits
	cache   *cache
	chunk   int // objects of a chunk
	built   func(Build)
	check   func(*unstructured.Unstructured) []Mistake
	ruled   func(kspec.Rule, string)

	remembered, done atomic.Int64
}

// Stats counts the work of a Renderer since it was made.
type Stats struct {
	// Known are the files and chunks that were remembered, Built those that
	// were not.
	Known, Built int64
	// Bytes is the memory that is used to remember.
	Bytes int64
}

// Stats returns what the Renderer did so far.
func (r *Renderer) Stats() Stats {
	return Stats{Known: r.remembered.Load(), Built: r.done.Load(), Bytes: r.cache.bytes()}
}

var _ kspec.Renderer = (*Renderer)(nil)

// New returns a Renderer.
func New(o Options) *Renderer {
	limits := o.Limits.withDefaults()
	known := newCache(limits.CacheBytes)
	if o.CacheDir != "" && limits.CacheBytes > 0 {
		log := cmp.Or(o.Log, slog.New(slog.DiscardHandler))
		var err error
		if known.disk, err = newDisk(o.CacheDir, limits, log); err != nil {
			known.disk = nil
			log.Warn("builds are not kept", "dir", o.CacheDir, "error", err)
		}
	}
	return &Renderer{timeout: cmp.Or(o.Timeout, defaultTimeout), limits: limits, cache: known, chunk: chunkObjects, built: o.Built, check: o.Check, ruled: o.Ruled}
}

// Render implements [kspec.Renderer]. It fails only when there is no tree or
// ctx is done.
func (r *Renderer) Render(ctx context.Context, t kspec.Target, tree kspec.Tree) (kspec.Desired, error) {
	if tree.FS == nil {
		return kspec.Desired{}, errors.New("render: the tree has no files")
	}
	j := &job{Renderer: r, target: t, tree: tree.FS}
	for _, o := range t.Overlays {
		j.overlay(ctx, o)
	}
	j.applyNamespaces()
	delivery := j.templates(ctx)
	if err := ctx.Err(); err != nil {
		return kspec.Desired{}, fmt.Errorf("render: %w", err)
	}
	objects := j.unique()
	kspec.SortObjects(objects)
	slices.SortStableFunc(j.unknown, func(a, b kspec.Unknown) int {
		return cmp.Or(strings.Compare(a.Source.File, b.Source.File), cmp.Compare(a.Source.Line, b.Source.Line),
			strings.Compare(a.Source.Overlay, b.Source.Overlay), a.Object.Compare(b.Object), strings.Compare(a.Reason, b.Reason))
	})
	return kspec.Desired{Tree: tree, Objects: objects, Delivery: delivery, Unknown: j.unknown, Assumed: j.assumed}, nil
}

// job is one call of Render.
type job struct {
	*Renderer
	target  kspec.Target
	tree    fs.FS
	objects []item
	unknown []kspec.Unknown
	// namespaces are those that the scope names and holds, assumed what had to
	// be taken for granted about them.
	namespaces []string
	assumed    []string
}

// item is an object before it is known to be the only one of its identity.
type item struct {
	kspec.Object
	// namespace is what the overlay gives to an object that names none.
	namespace string
	// body is the digest of the object, without its namespace.
	body kspec.Digest
}

// fail records that something could not be rendered. The place of the error
// wins over that of the source.
func (j *job) fail(src kspec.Source, err error) {
	if p := (*placeError)(nil); errors.As(err, &p) {
		src.File, src.Line = p.file, p.line
	} else if f := (*v1alpha1.FieldError)(nil); errors.As(err, &f) {
		src.File, src.Line = f.File, f.Line
	} else if src.File != "" {
		err = at(src.File, src.Line, err)
	}
	j.unknown = append(j.unknown, kspec.Unknown{Source: src, Reason: err.Error()})
}

// overlay renders one folder into j.objects.
func (j *job) overlay(ctx context.Context, o kspec.Overlay) {
	dir := path.Clean(o.Path)
	src := kspec.Source{Overlay: dir, File: j.target.Source.File, Line: j.target.Source.Line}
	if err := j.acceptable(dir); err != nil {
		j.fail(src, fmt.Errorf("manifests path %q: %w", o.Path, err))
		return
	}
	folder := &folder{job: j, overlay: o, dir: dir, view: newView(j.tree, j.limits)}
	if file, err := folder.view.kustomization(dir); err != nil {
		j.fail(src, err)
	} else if file != "" {
		folder.kustomize(ctx, dir, file)
	} else {
		folder.plain(ctx)
	}
}

// acceptable checks the path of an overlay.
func (j *job) acceptable(dir string) error {
	if !fs.ValidPath(dir) {
		return errors.New("want a path within the repo, without a leading slash")
	}
	if p := path.Clean(j.target.Delivery.Path); j.target.Delivery.Path != "" && inside(dir, p) {
		return fmt.Errorf("lies in delivery.path %q, which kspec compares already: remove it from manifests", p)
	}
	info, err := fs.Stat(j.tree, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("no such folder")
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return errors.New("not a folder")
	}
	return nil
}

// inside reports whether name is dir or lies in it.
func inside(name, dir string) bool {
	return dir == "." || name == dir || strings.HasPrefix(name, dir+"/")
}

// inAnyVersion is the identity of an object, without the version that its
// manifest happens to be written in.
func inAnyVersion(u *unstructured.Unstructured) kspec.ObjectID {
	id := kspec.IDOf(u)
	id.Version = ""
	return id
}

// unique returns the objects that are the only ones of their identity. Of the
// others, the reader learns every place.
func (j *job) unique() []kspec.Object {
	first := make(map[kspec.ObjectID]int, len(j.objects))
	others := map[kspec.ObjectID][]kspec.Object{}
	for i, o := range j.objects {
		key := inAnyVersion(o.Unstructured)
		if _, twice := first[key]; twice {
			others[key] = append(others[key], o.Object)
		} else {
			first[key] = i
		}
	}
	objects := make([]kspec.Object, 0, len(first))
	for key, i := range first {
		o := j.objects[i]
		same := append([]kspec.Object{o.Object}, others[key]...)
		if len(same) == 1 {
			o.Digest = kspec.DigestWith(o.Object, o.body)
			objects = append(objects, o.Object)
			continue
		}
		var names []string
		for _, o := range same {
			names = append(names, place(o.Source))
		}
		j.unknown = append(j.unknown, kspec.Unknown{
			Object: same[0].ID(), Source: same[0].Source,
			Reason: fmt.Sprintf("declared more than once, in %s: keep one", strings.Join(names, " and ")),
		})
	}
	return objects
}

// place names a source for a person.
func place(s kspec.Source) string {
	name := fmt.Sprintf("%s:%d", s.File, s.Line)
	switch {
	case s.Template != "" && s.File == "":
		return "template " + s.Template
	case s.Template != "":
		return name + " (template " + s.Template + ")"
	case s.Overlay != "" && !inside(s.File, s.Overlay):
		return name + " (manifests path " + s.Overlay + ")"
	default:
		return name
	}
}

// YAML prints objects as a stream of documents, in their order and each under a
// comment with its place in Git. Equal objects give equal bytes.
func YAML(objects []kspec.Object) ([]byte, error) {
	var out bytes.Buffer
	for i, o := range objects {
		if i > 0 {
			out.WriteString("---\n")
		}
		if o.Source != (kspec.Source{}) {
			fmt.Fprintf(&out, "# %s\n", place(o.Source))
		}
		data, err := yaml.Marshal(o.Object)
		if err != nil {
			return nil, fmt.Errorf("print %s: %w", o.ID(), err)
		}
		out.Write(data)
	}
	return out.Bytes(), nil
}
