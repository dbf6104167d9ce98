package remediate

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/internal/yamledit"
)

// errNotHere says that a way does not fit a field. It is never shown when
// another way fits.
var errNotHere = errors.New("no place in the repository sets it for this target alone")

// editFile changes the documents of one file.
func (w *workspace) editFile(name string, change func(*yamledit.File) error) error {
	text, err := w.read(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	f, err := yamledit.Parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := change(f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return w.write(name, f.Bytes())
}

// put sets the field in a document, or removes it.
func put(d *yamledit.Doc, f *adopted) error {
	if f.gone {
		return d.Delete(f.path)
	}
	return d.Set(f.path, f.live)
}

// fileWay edits the file that declares the object.
func fileWay(w *workspace, a *adoption, f *adopted) error {
	return w.editFile(a.object.Source.File, func(file *yamledit.File) error {
		d := declaring(file, a.object)
		if d == nil {
			return fmt.Errorf("%s is not found in it", a.object.ID())
		}
		if d.Get(kspec.Path{{Field: "sops"}}) != nil {
			return errors.New("it is encrypted")
		}
		return put(d, f)
	})
}

// declaring returns the document that declares the object: by its name, else
// by its line, which tells where an overlay has renamed it.
func declaring(file *yamledit.File, o kspec.Object) *yamledit.Doc {
	id := o.ID()
	var atLine *yamledit.Doc
	for _, d := range file.Docs {
		if d.Empty() || d.Line > o.Source.Line && atLine != nil {
			continue
		}
		if kindOf(d.Root()) != (schemaKind{id.Group, id.Kind}) {
			continue
		}
		if nameOf(d.Root()) == id.Name && slices.Contains([]string{"", id.Namespace}, namespaceOf(d.Root())) {
			return d
		}
		if d.Line <= o.Source.Line || atLine == nil {
			atLine = d
		}
	}
	return atLine
}

type schemaKind struct{ group, kind string }

func kindOf(n *yaml.Node) schemaKind {
	group, _, ok := strings.Cut(get(n, "apiVersion"), "/")
	if !ok {
		group = ""
	}
	return schemaKind{group, get(n, "kind")}
}

func metadata(n *yaml.Node) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 1; i < len(n.Content); i += 2 {
		if n.Content[i-1].Value == "metadata" {
			return n.Content[i]
		}
	}
	return nil
}

func nameOf(n *yaml.Node) string      { return get(metadata(n), "name") }
func namespaceOf(n *yaml.Node) string { return get(metadata(n), "namespace") }

// origin returns name and namespace as the object's own file has them, which
// is how a patch must name it.
func (w *workspace) origin(o kspec.Object) (name, namespace string) {
	name, namespace = o.GetName(), ""
	text, err := fs.ReadFile(w.tree, o.Source.File)
	if err != nil {
		return name, namespace
	}
	file, err := yamledit.Parse(text)
	if err != nil {
		return name, namespace
	}
	if d := declaring(file, o); d != nil && nameOf(d.Root()) != "" {
		return nameOf(d.Root()), namespaceOf(d.Root())
	}
	return name, namespace
}

// replicasWay changes the count of a "replicas:" entry.
func replicasWay(kustomization string) func(*workspace, *adoption, *adopted) error {
	return func(w *workspace, a *adoption, f *adopted) error {
		if f.path.String() != "/spec/replicas" || f.gone {
			return errNotHere
		}
		return w.editFile(kustomization, func(file *yamledit.File) error {
			original, _ := w.origin(a.object)
			for _, name := range []string{original, a.object.GetName()} {
				entry := kspec.Path{{Field: "replicas"}, {Keys: []kspec.Key{{Name: "name", Value: name}}}}
				if doc := file.Docs[0]; doc.Get(entry) != nil {
					return doc.Set(append(entry, kspec.Step{Field: "count"}), f.live)
				}
			}
			return errNotHere
		})
	}
}

// imagesWay changes the "images:" entry that gives the image.
func imagesWay(kustomization string) func(*workspace, *adoption, *adopted) error {
	return func(w *workspace, a *adoption, f *adopted) error {
		live, ok := f.live.(string)
		if !ok || len(f.path) < 3 || f.path[len(f.path)-1].Field != "image" {
			return errNotHere
		}
		old, _ := valueAt(a.object.Object, f.path).(string)
		return w.editFile(kustomization, func(file *yamledit.File) error {
			doc := file.Docs[0]
			var k struct {
				Images []struct{ Name, NewName string }
			}
			if err := doc.Decode(&k); err != nil {
				return errNotHere
			}
			was, is := splitImage(old), splitImage(live)
			for i, e := range k.Images {
				if was.name != orElse(e.NewName, e.Name) {
					continue
				}
				return setImage(doc, kspec.Path{{Field: "images"}, {Field: strconv.Itoa(i)}}, orElse(e.NewName, e.Name), is)
			}
			return errNotHere
		})
	}
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

type imageRef struct{ name, tag, digest string }

func splitImage(s string) imageRef {
	var r imageRef
	s, r.digest, _ = strings.Cut(s, "@")
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, '/') {
		s, r.tag = s[:i], s[i+1:]
	}
	r.name = s
	return r
}

func setImage(doc *yamledit.Doc, entry kspec.Path, name string, to imageRef) error {
	for _, e := range []struct{ key, value string }{{"newName", to.name}, {"newTag", to.tag}, {"digest", to.digest}} {
		at := append(slices.Clone(entry), kspec.Step{Field: e.key})
		var err error
		switch {
		case e.key == "newName" && name == to.name:
		case e.value != "":
			err = doc.Set(at, e.value)
		case doc.Get(at) != nil:
			err = doc.Delete(at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// patchName names the file of a patch for an object.
func patchName(kustomization string, o kspec.Object, name, suffix string) string {
	return path.Join(path.Dir(kustomization), fmt.Sprintf("kspec-%s-%s%s.yaml", strings.ToLower(o.GetKind()), slug(name), suffix))
}

// mergeWay writes a strategic merge patch, or into the one that is there.
func mergeWay(kustomization string) func(*workspace, *adoption, *adopted) error {
	return func(w *workspace, a *adoption, f *adopted) error {
		if !mergeable(a.object.ID(), f.path) {
			return fmt.Errorf("%s: a merge patch would replace the whole list", f.path)
		}
		name, namespace := w.origin(a.object)
		file := patchName(kustomization, a.object, name, "")
		_, err := w.read(file)
		if errors.Is(err, fs.ErrNotExist) {
			err = w.write(file, newPatch(a.object, name, namespace))
		}
		if err != nil {
			return err
		}
		err = w.editFile(file, func(patch *yamledit.File) error {
			doc := patch.Docs[0]
			id := a.object.ID()
			if len(patch.Docs) != 1 || doc.Empty() || kindOf(doc.Root()) != (schemaKind{id.Group, id.Kind}) || nameOf(doc.Root()) != name {
				return fmt.Errorf("it is there already and is not a patch of %s", id)
			}
			return putPatch(doc, f)
		})
		if err != nil {
			return err
		}
		return w.list(kustomization, map[string]any{"path": path.Base(file)})
	}
}

// putPatch writes the field into a merge patch, where removing has a notation
// of its own.
func putPatch(doc *yamledit.Doc, f *adopted) error {
	if !f.gone {
		return doc.Set(f.path, f.live)
	}
	if last := f.path[len(f.path)-1]; len(last.Keys) > 0 {
		return doc.Set(f.path, map[string]any{"$patch": "delete"})
	}
	return doc.Set(f.path, nil)
}

// newPatch is the begin of a patch of an object.
func newPatch(o kspec.Object, name, namespace string) []byte {
	text := "# What was changed in the cluster and adopted, by kspec.\n"
	text += "apiVersion: " + o.GetAPIVersion() + "\nkind: " + o.GetKind() + "\nmetadata:\n  name: " + yamlString(name) + "\n"
	if namespace != "" {
		text += "  namespace: " + yamlString(namespace) + "\n"
	}
	return []byte(text)
}

func yamlString(s string) string {
	b, _ := yaml.Marshal(s) // a string cannot fail
	return strings.TrimSuffix(string(b), "\n")
}

// mergeable reports whether a strategic merge patch reaches the path without
// replacing a list on the way.
func mergeable(id kspec.ObjectID, p kspec.Path) bool {
	keys := map[string]string{
		"containers": "name", "initContainers": "name", "ephemeralContainers": "name", "env": "name",
		"volumes": "name", "volumeMounts": "mountPath", "volumeDevices": "devicePath", "imagePullSecrets": "name",
		"hostAliases": "ip", "ports": "containerPort", "secrets": "name", "topologySpreadConstraints": "topologyKey",
	}
	if id.Kind == "Service" {
		keys["ports"] = "port"
	}
	for i, s := range p {
		_, err := strconv.Atoi(s.Field)
		if len(s.Keys) == 0 && err == nil && i > 0 && p[i-1].Field != "data" {
			return false // an item of a list without keys
		}
		if len(s.Keys) == 0 {
			continue
		}
		want, ok := keys[p[max(i-1, 0)].Field]
		if !builtIn(id.Group) || !ok || !slices.ContainsFunc(s.Keys, func(k kspec.Key) bool { return k.Name == want }) {
			return false
		}
	}
	return true
}

// builtIn reports whether Kustomize knows how lists of the group's kinds merge.
func builtIn(group string) bool {
	return !strings.Contains(group, ".") || slices.Contains([]string{
		"networking.k8s.io", "rbac.authorization.k8s.io", "storage.k8s.io", "scheduling.k8s.io",
		"admissionregistration.k8s.io", "apiextensions.k8s.io", "policy",
	}, group)
}

// jsonWay writes a JSON patch (RFC 6902), which reaches every place.
func jsonWay(kustomization string) func(*workspace, *adoption, *adopted) error {
	return func(w *workspace, a *adoption, f *adopted) error {
		op, err := operation(a.object.Object, f)
		if err != nil {
			return err
		}
		name, namespace := w.origin(a.object)
		file := patchName(kustomization, a.object, name, "-ops")
		_, err = w.read(file)
		if errors.Is(err, fs.ErrNotExist) {
			text, _ := yaml.Marshal([]any{op}) // JSON values cannot fail
			err = w.write(file, append([]byte("# What was changed in the cluster and adopted, by kspec.\n"), text...))
		} else if err == nil {
			err = w.editFile(file, func(patch *yamledit.File) error { return addOperation(patch.Docs[0], op) })
		}
		if err != nil {
			return err
		}
		id := a.object.ID()
		target := map[string]any{"version": id.Version, "kind": id.Kind, "name": name}
		if id.Group != "" {
			target["group"] = id.Group
		}
		if namespace != "" {
			target["namespace"] = namespace
		}
		return w.list(kustomization, map[string]any{"path": path.Base(file), "target": target})
	}
}

// addOperation appends an operation, or changes the value of the one that is
// there for the same path.
func addOperation(doc *yamledit.Doc, op map[string]any) error {
	var ops []struct{ Op, Path string }
	if err := doc.Decode(&ops); err != nil {
		return fmt.Errorf("it is not a JSON patch: %w", err)
	}
	n := len(ops)
	for i, o := range ops {
		if o.Path == op["path"] && !strings.HasSuffix(o.Path, "/-") {
			n = i
		}
	}
	if n < len(ops) && ops[n].Op != "remove" && op["op"] != "remove" {
		return doc.Set(kspec.Path{{Field: strconv.Itoa(n)}, {Field: "value"}}, op["value"])
	}
	return doc.Set(kspec.Path{{Field: strconv.Itoa(len(ops))}}, op)
}

// operation makes the operation that changes the object at the field, with
// the indices that its list items have as rendered.
func operation(object map[string]any, f *adopted) (map[string]any, error) {
	var pointer strings.Builder
	var at any = object
	for n, s := range f.path {
		key, next, ok, err := descend(at, s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
		pointer.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key))
		if !ok && f.gone {
			return nil, fmt.Errorf("%s: Git does not set it", f.path)
		}
		if !ok {
			value, err := nest(f.path[n+1:], f.live)
			return map[string]any{"op": "add", "path": pointer.String(), "value": value}, err
		}
		at = next
	}
	if f.gone {
		return map[string]any{"op": "remove", "path": pointer.String()}, nil
	}
	return map[string]any{"op": "replace", "path": pointer.String(), "value": f.live}, nil
}

// descend goes one step down and returns the name or index it took.
func descend(at any, s kspec.Step) (key string, next any, ok bool, err error) {
	switch v := at.(type) {
	case map[string]any:
		if len(s.Keys) > 0 {
			return "", nil, false, errNotHere
		}
		next, ok = v[s.Field]
		return s.Field, next, ok, nil
	case []any:
		for i, x := range v {
			if names(s, i, x) {
				return strconv.Itoa(i), x, true, nil
			}
		}
		return "-", nil, false, nil
	}
	return "", nil, false, errNotHere
}

// nest puts the live value below the steps that are missing.
func nest(p kspec.Path, v any) (any, error) {
	for _, s := range slices.Backward(p) {
		if len(s.Keys) == 0 {
			v = map[string]any{s.Field: v}
			continue
		}
		m, ok := v.(map[string]any)
		if !ok {
			return nil, errNotHere
		}
		for _, k := range s.Keys {
			if _, ok := m[k.Name]; !ok {
				return nil, errNotHere
			}
		}
		v = []any{m}
	}
	return v, nil
}

// valueAt returns the value at a path of an object, or nil.
func valueAt(object any, p kspec.Path) any {
	for _, s := range p {
		_, next, ok, err := descend(object, s)
		if err != nil || !ok {
			return nil
		}
		object = next
	}
	return object
}

// list notes that a kustomization must list a patch.
func (w *workspace) list(kustomization string, entry map[string]any) error {
	text, err := w.read(kustomization)
	if err != nil {
		return err
	}
	var k struct{ Patches []struct{ Path string } }
	if err := yaml.Unmarshal(text, &k); err != nil {
		return fmt.Errorf("%s: %w", kustomization, err)
	}
	for _, p := range k.Patches {
		if path.Clean(p.Path) == entry["path"] {
			return nil
		}
	}
	for _, p := range w.patches[kustomization] {
		if p["path"] == entry["path"] {
			return nil
		}
	}
	w.patches[kustomization] = append(slices.Clone(w.patches[kustomization]), entry)
	return nil
}

// finish lists the new patches in their kustomizations.
func (w *workspace) finish() error {
	for name, entries := range w.patches {
		err := w.editFile(name, func(file *yamledit.File) error {
			doc := file.Docs[0]
			have := doc.Get(kspec.Path{{Field: "patches"}})
			if have == nil || len(have.Content) == 0 {
				all := make([]any, len(entries))
				for i, e := range entries {
					all[i] = e
				}
				return doc.Set(kspec.Path{{Field: "patches"}}, all)
			}
			for i, e := range entries {
				at := kspec.Path{{Field: "patches"}, {Field: strconv.Itoa(len(have.Content) + i)}}
				if err := doc.Set(at, e); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	clear(w.patches)
	return nil
}
