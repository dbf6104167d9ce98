package render

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/types"
)

// This file finds out whether an overlay can be built in chunks, and which
// objects must be in the same: the rules at the head of chunk.go.

// planner makes a plan.
type planner struct {
	*scanner
	plan
	below map[string][]int // atoms below a kustomization
	sets  map[string]map[int]bool
	names map[string][]int // atoms by the names of their objects
	tied  []int            // union-find over atoms
}

// undivided is why an overlay is built whole.
type undivided struct{ reason string }

func (u undivided) Error() string { return u.reason }

func because(k *kustomization, field, text string) error {
	return undivided{fmt.Sprintf("%s:%d: %s", k.file, k.line(field, ""), text)}
}

// divide plans the chunks of the kustomization in a file. An error says why
// there are none.
func (s *scanner) divide(file string) (plan, error) {
	p := &planner{
		scanner: s, below: map[string][]int{}, sets: map[string]map[int]bool{}, names: map[string][]int{},
		plan: plan{parents: map[string][]entryOf{}, anchors: map[anchored]int{}, parts: s.parts},
	}
	for _, name := range slices.Sorted(maps.Keys(s.found)) {
		if err := oneByOne(s.found[name]); err != nil {
			return plan{}, err
		}
	}
	if err := s.marked(); err != nil {
		return plan{}, err
	}
	p.collect(file, map[string]int{})
	p.tied = make([]int, len(p.atoms))
	for i, a := range p.atoms {
		p.tied[i] = i
		s.namesakes(a.file, "", "") // makes the index, before several ask
		for _, d := range a.docs {
			name := nameOf(d.node)
			p.names[name] = append(p.names[name], i)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.found)) {
		for _, check := range []func(*kustomization) error{p.inhabited, p.namespaces, p.labels, p.patches, p.replicas} {
			if err := check(s.found[name]); err != nil {
				return plan{}, err
			}
		}
	}
	for i, a := range p.atoms {
		for _, d := range a.docs {
			refersTo(d.node, false, func(name string) { p.tie(append([]int{i}, p.names[name]...)) })
		}
	}
	p.cut()
	return p.plan, nil
}

// oneByOne refuses a kustomization with a field that looks at more than one
// object.
func oneByOne(k *kustomization) error {
	rest := quiet(k.Kustomization) // without commonLabels
	if rest.Kind != types.KustomizationKind {
		return because(k, "kind", "a "+rest.Kind)
	}
	rest.TypeMeta, rest.MetaData, rest.Resources = types.TypeMeta{}, nil, nil
	rest.Namespace, rest.Labels, rest.CommonAnnotations = "", nil, nil
	rest.Images, rest.Replicas, rest.Patches, rest.SortOptions = nil, nil, nil, nil
	rest.BuildMetadata = slices.DeleteFunc(slices.Clone(rest.BuildMetadata), func(s string) bool {
		return s == types.OriginAnnotations || s == types.ManagedByLabelOption
	})
	v := reflect.ValueOf(rest)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if value := v.Field(i); !value.IsZero() && (value.Kind() != reflect.Slice && value.Kind() != reflect.Map || value.Len() > 0) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			return because(k, name, name)
		}
	}
	return nil
}

// marked refuses objects and kustomizations with annotations by which Kustomize
// steers itself.
func (s *scanner) marked() error {
	for _, name := range slices.Sorted(maps.Keys(s.found)) {
		if k := s.found[name]; k.node != nil && steers(k.node) {
			return undivided{name + " has annotations of Kustomize"}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.docs)) {
		if slices.ContainsFunc(s.docs[name], func(d document) bool { return steers(d.node) }) {
			return undivided{name + " has annotations of Kustomize"}
		}
	}
	return nil
}

func steers(n *yaml.Node) bool {
	return strings.Contains(n.Value, "config.kubernetes.io") ||
		strings.Contains(n.Value, "config.k8s.io") && n.Value != types.KustomizationVersion ||
		slices.ContainsFunc(n.Content, steers)
}

// collect lists the atoms below a kustomization, each file once.
func (p *planner) collect(file string, first map[string]int) []int {
	if atoms, done := p.below[file]; done {
		return atoms
	}
	var atoms []int
	for i, entry := range p.found[file].Resources {
		at, name := entryOf{file, i}, path.Join(path.Dir(file), entry)
		if p.v.IsDir(name) {
			base, _ := p.v.kustomization(name) // scanned already
			p.parents[base] = append(p.parents[base], at)
			atoms = append(atoms, p.collect(base, first)...)
			continue
		}
		start, known := first[name]
		if !known {
			start = len(p.atoms)
			first[name] = start
			p.atoms = append(p.atoms, p.atomsOf(name)...)
		}
		for n := start; n < len(p.atoms) && p.atoms[n].file == name; n++ {
			p.atoms[n].places = append(p.atoms[n].places, at)
			atoms = append(atoms, n)
		}
	}
	p.below[file] = atoms
	return atoms
}

// atomsOf divides a file into its documents, if that can be done.
func (p *planner) atomsOf(name string) []atom {
	docs := p.docs[name]
	if len(p.plan.parts[name]) < 2 {
		return []atom{{file: name, part: -1, docs: docs}}
	}
	atoms := make([]atom, len(docs))
	for i := range docs {
		atoms[i] = atom{file: name, part: i, docs: docs[i : i+1]}
	}
	return atoms
}

// tie puts atoms into the same chunk.
func (p *planner) tie(atoms []int) {
	for _, i := range atoms {
		a, b := p.head(atoms[0]), p.head(i)
		p.tied[max(a, b)] = min(a, b)
	}
}

func (p *planner) head(i int) int {
	for p.tied[i] != i {
		p.tied[i] = p.tied[p.tied[i]]
		i = p.tied[i]
	}
	return i
}

// targets returns the atoms below a kustomization that hold an object of that
// name and of a kind that will do.
func (p *planner) targets(k *kustomization, name string, kind func(string) bool) []int {
	below := p.under(k.file)
	return slices.DeleteFunc(slices.Clone(p.names[name]), func(i int) bool {
		return !below[i] || !slices.ContainsFunc(p.atoms[i].docs, func(d document) bool {
			return nameOf(d.node) == name && kind(text(field(d.node, "kind")))
		})
	})
}

func (p *planner) under(file string) map[int]bool {
	if known, ok := p.sets[file]; ok {
		return known
	}
	below := make(map[int]bool, len(p.below[file]))
	for _, i := range p.below[file] {
		below[i] = true
	}
	p.sets[file] = below
	return below
}

// inhabited refuses a kustomization without objects: no chunk would see it, and
// find what is wrong with it.
func (p *planner) inhabited(k *kustomization) error {
	if len(p.below[k.file]) == 0 {
		return because(k, "resources", "a kustomization of nothing")
	}
	return nil
}

// namespaces refuses a kustomization that renames a Namespace.
func (p *planner) namespaces(k *kustomization) error {
	if k.Namespace == "" {
		return nil
	}
	for _, i := range p.below[k.file] {
		for _, d := range p.atoms[i].docs {
			if name := nameOf(d.node); text(field(d.node, "kind")) == "Namespace" && name != k.Namespace {
				return because(k, "namespace", "namespace, which renames Namespace "+strconv.Quote(name))
			}
		}
	}
	return nil
}

// labels refuses labels at fields of an author's choice, unless these hold
// labels: any other may be a name.
func (p *planner) labels(k *kustomization) error {
	for _, l := range k.Labels {
		for _, f := range l.FieldSpecs {
			if !slices.Contains([]string{"labels", "matchLabels", "selector"}, path.Base(f.Path)) || identifies("/"+f.Path) {
				return because(k, "labels", fmt.Sprintf("labels at %q", f.Path))
			}
		}
	}
	return nil
}

// replicas ties what an entry of replicas finds by its name.
func (p *planner) replicas(k *kustomization) error {
	for i, r := range k.Replicas {
		found := p.targets(k, r.Name, func(string) bool { return true })
		if len(found) == 0 {
			return because(k, "replicas", "replicas of "+strconv.Quote(r.Name)+", which is not there")
		}
		p.tie(found)
		p.anchors[anchored{k.file, "replicas", i}] = found[0]
	}
	return nil
}

// patches ties what a patch without target finds by kind and name, and lets
// other patches be in every chunk.
func (p *planner) patches(k *kustomization) error {
	for i, patch := range quiet(k.Kustomization).Patches {
		content := []byte(patch.Patch)
		if patch.Path != "" {
			content = p.v.files[path.Join(path.Dir(k.file), patch.Path)]
		}
		docs, err := parse(k.file, content, p.v.lim)
		if err != nil || len(docs) == 0 {
			return because(k, "patches", "a patch that cannot be read")
		}
		if slices.ContainsFunc(docs, func(d document) bool { return steers(d.node) }) {
			return because(k, "patches", "a patch with annotations of Kustomize")
		}
		if patch.Options != nil && (patch.Options.AllowKindChange || patch.Options.AllowNameChange) {
			return because(k, "patches", "a patch with options")
		}
		if patch.Target != nil {
			if err := p.harmless(docs); err != nil {
				return because(k, "patches", err.Error())
			}
			continue
		}
		var found []int
		for _, d := range docs {
			kind, name := text(field(d.node, "kind")), nameOf(d.node)
			own := p.targets(k, name, func(of string) bool { return of == kind })
			if kind == "" || name == "" || len(own) == 0 {
				return because(k, "patches", "a patch of something that is not there")
			}
			found = append(found, own...)
		}
		p.tie(found)
		for _, d := range docs {
			refersTo(d.node, false, func(name string) { p.tie(append(found[:1:1], p.names[name]...)) })
		}
		p.anchors[anchored{k.file, "patches", i}] = found[0]
	}
	return nil
}

// harmless refuses a patch with target that could change which object an object
// is, delete one, or make one refer to another.
func (p *planner) harmless(docs []document) error {
	for _, d := range docs {
		if strings.Contains(spelled(d.node), "$patch") {
			return errors.New("a patch that deletes or replaces")
		}
		if d.node.Kind != yaml.SequenceNode {
			if err := p.stranger(d.node, false); err != nil {
				return err
			}
			continue
		}
		for _, op := range d.node.Content {
			if err := p.operation(op); err != nil {
				return err
			}
		}
	}
	return nil
}

// operation is harmless for one operation of a JSON patch.
func (p *planner) operation(op *yaml.Node) error {
	to, from, value := text(field(op, "path")), field(op, "from"), field(op, "value")
	if identifies(to) || from != nil && identifies(text(from)) {
		return fmt.Errorf("a patch of %q", cmp.Or(text(from), to))
	}
	steps := strings.Split(to, "/")
	last := len(steps) - 1
	inside := slices.ContainsFunc(steps[:last], refers)
	switch {
	case from != nil && (inside || refers(steps[last])):
		return fmt.Errorf("a patch that copies to %q", to)
	case value == nil:
		return nil
	case inside && steps[last] == "name":
		return p.stranger(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: "name"}, value}}, true)
	}
	return p.stranger(value, inside || refers(steps[last]))
}

// stranger refuses what refers to an object that is there.
func (p *planner) stranger(n *yaml.Node, inside bool) (err error) {
	refersTo(n, inside, func(name string) {
		if len(p.names[name]) > 0 {
			err = fmt.Errorf("a patch that refers to %q", name)
		}
	})
	return err
}

// identifies reports whether a JSON pointer may lead to what names an object.
func identifies(pointer string) bool {
	steps := strings.Split(pointer, "/")
	if len(steps) < 2 || steps[0] != "" {
		return true
	}
	switch steps[1] {
	case "", "kind", "apiVersion":
		return true
	case "metadata":
		return len(steps) < 3 || steps[2] != "labels" && steps[2] != "annotations"
	}
	return false
}

func spelled(n *yaml.Node) string {
	out, err := yaml.Marshal(n)
	if err != nil {
		return "$patch" // which is refused
	}
	return string(out)
}

// references are the last steps of the paths under which Kustomize finds a
// mapping that refers to an object by name and namespace. Any other path of a
// reference ends with a name.
func references() []string {
	return []string{"subjects", "service", "configMap", "secretRef", "resourceNames", "annotations"}
}

// refersTo calls f with the names by which an object may refer to others in a
// way that changes with their namespace.
func refersTo(n *yaml.Node, inside bool, f func(name string)) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	for i, child := range n.Content {
		if n.Kind != yaml.MappingNode {
			refersTo(child, inside, f)
			continue
		}
		if i%2 == 0 {
			continue
		}
		key := n.Content[i-1].Value
		if inside && key == "name" {
			f(text(child))
		}
		refersTo(child, inside || refers(key) && child.Kind != yaml.ScalarNode, f)
	}
}

// refers reports whether a reference may be below a key.
func refers(key string) bool {
	return slices.Contains(references(), key) || strings.HasSuffix(strings.ToLower(key), "name")
}
