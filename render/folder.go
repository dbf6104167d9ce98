package render

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/konfig"

	"github.com/cloudcwfranck/kspec"
)

// folder renders one overlay or plain folder of a target.
type folder struct {
	*job
	overlay kspec.Overlay
	dir     string
	view    *view
	// files and bytes are what was read of a plain folder, known the files that
	// were remembered.
	files, known int
	bytes        int64
}

// kustomize builds the kustomization in dir.
func (f *folder) kustomize(ctx context.Context, dir, file string) {
	r, known := f.kustomized(ctx, f.tree, dir)
	f.kustomization(Build{Path: dir}, r, known)
	if r.err != nil {
		f.fail(kspec.Source{Overlay: f.dir, File: file, Line: 1}, r.err)
		return
	}
	f.add(unpack(r.objects))
}

// plain reads the YAML and JSON files of a folder as the engines do: in the
// order of their paths, subfolders with a kustomization as overlays, hidden
// files not at all.
func (f *folder) plain(ctx context.Context) {
	if p := path.Clean(f.target.Delivery.Path); f.target.Delivery.Path != "" && inside(p, f.dir) {
		f.fail(kspec.Source{Overlay: f.dir, File: f.target.Source.File, Line: f.target.Source.Line},
			fmt.Errorf("manifests path %q holds delivery.path %q, which kspec compares already: name the other folders instead", f.overlay.Path, p))
		return
	}
	err := fs.WalkDir(f.tree, f.dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case name != f.dir && strings.HasPrefix(d.Name(), "."):
			return skip(d)
		case d.IsDir():
			return f.subfolder(ctx, name)
		case slices.Contains(f.extensions(), path.Ext(name)):
			f.file(ctx, name)
		}
		return nil
	})
	if err != nil {
		f.fail(kspec.Source{Overlay: f.dir}, err)
	}
	if f.files > 0 {
		f.tell(Build{Path: f.dir, Parts: f.files, Known: f.known})
	}
}

// extensions are those of the files of a plain folder that the engine applies.
func (f *folder) extensions() []string {
	if f.target.Delivery.Engine == kspec.Flux {
		return []string{".yaml", ".yml"}
	}
	return []string{".yaml", ".yml", ".json"}
}

func skip(d fs.DirEntry) error {
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// subfolder builds a folder that has a kustomization, and lets the walk enter
// any other.
func (f *folder) subfolder(ctx context.Context, dir string) error {
	file, err := f.view.kustomization(dir)
	if err != nil {
		f.fail(kspec.Source{Overlay: f.dir}, err)
		return fs.SkipDir
	}
	if file == "" {
		return nil
	}
	f.kustomize(ctx, dir, file)
	return fs.SkipDir
}

// file reads the objects of one plain file; a bad one stalls only itself.
func (f *folder) file(ctx context.Context, name string) {
	flux := f.target.Delivery.Engine == kspec.Flux
	asked := "file " + name
	if flux {
		asked = "flux " + asked
	}
	v := newView(f.tree, f.limits)
	r, known := f.cache.get(ctx, asked, v, func() result {
		objects, err := v.objects(name, flux)
		return result{objects: pack(objects), bytes: v.total, err: err}
	})
	objects, err := unpack(r.objects), r.err
	if f.files++; known {
		f.known++
	}
	f.bytes += r.bytes
	for _, limit := range []error{
		err, within("Files", f.files, f.limits.Files), within("TotalBytes", f.bytes, f.limits.TotalBytes),
		within("Objects", len(f.objects)+len(objects), f.limits.Objects),
	} {
		if limit != nil {
			f.fail(kspec.Source{Overlay: f.dir, File: name, Line: 1}, limit)
			return
		}
	}
	f.add(objects)
}

// objects reads the objects of a file as Flux does, or as kubectl does.
func (v *view) objects(name string, flux bool) ([]made, error) {
	data, err := v.file(name)
	if err != nil {
		return nil, err
	}
	docs, err := parse(name, data, v.lim)
	if err != nil {
		return nil, err
	}
	if docs, err = flatten(name, docs); err != nil {
		return nil, err
	}
	var objects []made
	for _, d := range docs {
		if !flux {
			readAsKubectl(d.node)
		}
		u, err := d.object()
		if err != nil {
			return nil, at(name, d.line, err)
		}
		if local := u.GetAnnotations()[konfig.IgnoredByKustomizeAnnotation]; local != "" && local != "false" {
			continue
		}
		objects = append(objects, made{u, name, d.line, kspec.BodyDigest(u)})
	}
	return objects, nil
}

func (f *folder) add(objects []made) {
	for _, o := range objects {
		f.objects = append(f.objects, item{
			Object: kspec.Object{
				Unstructured: o.object, FieldManager: f.overlay.FieldManager, Unit: f.overlay.Unit,
				Source: kspec.Source{File: o.file, Line: o.line, Overlay: f.dir},
			},
			namespace: f.overlay.Namespace, body: o.body,
		})
	}
}

// source finds the document in Git that declares an object which Kustomize
// built from the kustomization in dir.
func (s *scanner) source(dir, file string, o built) kspec.Source {
	fallback := kspec.Source{File: file, Line: 1}
	switch {
	case o.origin == nil || o.origin.Path == "" && o.origin.ConfiguredIn == "",
		strings.HasSuffix(o.origin.ConfiguredBy.Kind, "Transformer"): // which replaced all annotations
		return s.search(o.object, fallback)
	case o.origin.ConfiguredIn != "":
		return s.generated(path.Join(dir, o.origin.ConfiguredIn), o)
	}
	name := path.Join(dir, o.origin.Path)
	docs, err := s.documents(name)
	if err != nil || len(docs) == 0 {
		return fallback
	}
	if d, ok := s.named(name, o.object); ok {
		return kspec.Source{File: name, Line: d.line}
	}
	return kspec.Source{File: name, Line: declaring(docs, o.object).line}
}

// named returns what declaring would, where a document of a file has exactly
// the name of u, without a look at all others. Of several, the one in the
// namespace of u is meant.
func (s *scanner) named(file string, u *unstructured.Unstructured) (best document, ok bool) {
	gvk := u.GroupVersionKind()
	for _, d := range s.namesakes(file, gvk.Kind, u.GetName()) {
		if group, _, _ := strings.Cut(text(field(d.node, "apiVersion")), "/"); group != gvk.Group && gvk.Group != "" {
			continue
		}
		if text(field(field(d.node, "metadata"), "namespace")) == u.GetNamespace() {
			return d, true
		}
		if !ok {
			best, ok = d, true
		}
	}
	return best, ok
}

// namesakes returns the documents of a file that are of a kind and name.
func (s *scanner) namesakes(file, kind, name string) []document {
	if s.index[file] == nil {
		s.index[file] = map[[2]string][]document{}
		for _, d := range s.docs[file] {
			key := [2]string{text(field(d.node, "kind")), nameOf(d.node)}
			s.index[file][key] = append(s.index[file][key], d)
		}
	}
	return s.index[file][[2]string{kind, name}]
}

// search looks for the declaring document in all files that were read, for an
// object that lost its origin on the way.
func (s *scanner) search(u *unstructured.Unstructured, fallback kspec.Source) kspec.Source {
	best, length := fallback, 0
	for _, name := range slices.Sorted(maps.Keys(s.docs)) {
		d := declaring(s.docs[name], u)
		n := nameOf(d.node)
		if text(field(d.node, "kind")) == u.GetKind() && strings.Contains(u.GetName(), n) && len(n) > length {
			best, length = kspec.Source{File: name, Line: d.line}, len(n)
		}
	}
	return best
}

// generated finds the entry of the generator that made an object, in a
// kustomization or in a plugin's configuration.
func (s *scanner) generated(file string, o built) kspec.Source {
	src := kspec.Source{File: file, Line: 1}
	k, ok := s.found[file]
	if !ok {
		return src
	}
	key := "configMapGenerator"
	if o.object.GetKind() == "Secret" {
		key = "secretGenerator"
	}
	list := field(k.node, key)
	if list == nil {
		return src
	}
	var entries []document
	for _, n := range list.Content {
		entries = append(entries, document{n, n.Line})
	}
	src.Line = closest(entries, o.object.GetName(), func(n *yaml.Node) string { return text(field(n, "name")) }).line
	return src
}

// declaring returns the document that became u: of its kind, and with the
// longest name that is a part of its name, since prefixes and suffixes may
// have been added.
func declaring(docs []document, u *unstructured.Unstructured) document {
	gvk := u.GroupVersionKind()
	var kin []document
	for _, d := range docs {
		group, _, _ := strings.Cut(text(field(d.node, "apiVersion")), "/")
		if text(field(d.node, "kind")) == gvk.Kind && (group == gvk.Group || gvk.Group == "") {
			kin = append(kin, d)
		}
	}
	if len(kin) == 0 {
		kin = docs
	}
	return closest(kin, u.GetName(), nameOf)
}

// closest returns the first of the documents whose name is the longest part of
// name; the first of all when none is a part.
func closest(docs []document, name string, nameIn func(*yaml.Node) string) document {
	if len(docs) == 0 {
		return document{line: 1}
	}
	best, length := docs[0], -1
	for _, d := range docs {
		if n := nameIn(d.node); n != "" && strings.Contains(name, n) && len(n) > length {
			best, length = d, len(n)
		}
	}
	return best
}
