package render

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
)

// What Kustomize may be asked to do is decided here. Kustomize itself fetches any
// http(s) entry, and runs git for anything that looks like a repository, whatever
// file system and options it is given. So it never sees a kustomization as it was
// written: the scanner decodes each one with Kustomize's own types, refuses what
// would leave the tree or run a program, puts every path into the form ./a/b or
// ../a/b, which none of Kustomize's parsers takes for an address (entries.go), and
// shows Kustomize the result (prepare.go).

// scanner reads all kustomizations that one overlay reaches.
type scanner struct {
	v       *view
	entered []visit
	// amounts are what each folder comes to.
	amounts map[string]amount
	docs    map[string][]document
	// parts are the texts of docs, where they can be told apart.
	parts map[string][]string
	found map[string]*kustomization
	// index holds docs by kind and name.
	index map[string]map[[2]string][]document
	// annotated is what touchesAnnotations found, once it looked.
	annotated *bool
	// schema is true when a kustomization brings its own OpenAPI schema.
	schema bool
	cache  *cache
	chunk  int // objects of a chunk
}

// amount is how much there is of an overlay, before it is built: documents that
// are objects, and kustomizations, each as often as it is used.
type amount struct{ objects, kustomizations int }

// plus adds two amounts, neither of which is over the limits by more than one
// folder.
func (a amount) plus(b amount, lim Limits) amount {
	return amount{min(a.objects+b.objects, lim.Objects+1), min(a.kustomizations+b.kustomizations, lim.Kustomizations+1)}
}

type visit struct {
	dir, file string
	line      int
}

// kustomization is one kustomization file: as Kustomize decodes it, and as it
// was written.
type kustomization struct {
	file string
	node *yaml.Node
	types.Kustomization
}

func newScanner(v *view) *scanner {
	return &scanner{v: v, amounts: map[string]amount{}, docs: map[string][]document{}, parts: map[string][]string{}, found: map[string]*kustomization{}, index: map[string]map[[2]string][]document{}}
}

// line returns where an entry of a field stands.
func (k *kustomization) line(name, entry string) int {
	if k.node == nil || k.node.Kind != yaml.MappingNode {
		return 1
	}
	for i := 0; i+1 < len(k.node.Content); i += 2 {
		if key := k.node.Content[i]; strings.EqualFold(key.Value, name) {
			if n := find(k.node.Content[i+1], entry); n != nil && entry != "" {
				return n.Line
			}
			return key.Line
		}
	}
	return 1
}

// find returns the first scalar of that value at or below n.
func find(n *yaml.Node, value string) *yaml.Node {
	if n.Kind == yaml.ScalarNode && n.Value == value {
		return n
	}
	for _, child := range n.Content {
		if found := find(child, value); found != nil {
			return found
		}
	}
	return nil
}

// refuse is an error about an entry, at its line.
func (k *kustomization) refuse(name, entry string, err error) error {
	return at(k.file, k.line(name, entry), fmt.Errorf("%s %q: %w", name, entry, err))
}

// folder scans the kustomization of a folder and all that it reaches. A folder
// of plugin configurations may only list them.
func (s *scanner) folder(dir string, plugin bool) error {
	file, err := s.v.kustomization(dir)
	if err != nil {
		return err
	}
	if file == "" {
		return fmt.Errorf("%s has no %s", dir, konfig.DefaultKustomizationFileName())
	}
	k, err := s.load(file)
	if err != nil {
		return err
	}
	if plugin && !listsOnly(k.Kustomization) {
		return at(file, 1, errors.New("a folder of generators, transformers or validators may have the field resources only"))
	}
	s.entered = append(s.entered, visit{dir: dir, file: file})
	defer func() { s.entered = s.entered[:len(s.entered)-1] }()
	if err := within("Bases", len(s.entered), s.v.lim.Bases); err != nil {
		return at(file, 1, err)
	}
	total, err := s.resources(k, plugin)
	if err != nil {
		return err
	}
	for _, check := range []func(*kustomization) error{s.files, s.generators} {
		if err := check(k); err != nil {
			return err
		}
	}
	configured, err := s.plugins(k)
	if err != nil {
		return err
	}
	total = total.plus(amount{len(k.ConfigMapGenerator) + len(k.SecretGenerator), 1 + configured}, s.v.lim)
	s.amounts[dir] = total
	return at(file, 1, cmp.Or(within("Objects", total.objects, s.v.lim.Objects), within("Kustomizations", total.kustomizations, s.v.lim.Kustomizations)))
}

// load decodes a kustomization as Kustomize does.
func (s *scanner) load(file string) (*kustomization, error) {
	data, err := s.v.file(file)
	if err != nil {
		return nil, err
	}
	docs, err := parse(file, data, s.v.lim)
	if err != nil {
		return nil, err
	}
	if len(docs) > 1 {
		return nil, at(file, docs[1].line, errors.New("a kustomization is one document"))
	}
	k := &kustomization{file: file}
	if len(docs) == 1 {
		k.node = docs[0].node
	}
	if err := k.Unmarshal(data); err != nil {
		return nil, at(file, k.line(unknownField(err), ""), err)
	}
	k.FixKustomization()
	if err := k.CheckEmpty(); err != nil {
		return nil, at(file, 1, errors.New("the kustomization is empty"))
	}
	if bad := k.EnforceFields(); len(bad) > 0 {
		return nil, at(file, 1, errors.New(strings.Join(bad, "; ")))
	}
	if len(k.HelmCharts) > 0 || k.HelmGlobals != nil {
		return nil, at(file, max(k.line("helmCharts", ""), k.line("helmChartInflationGenerator", ""), k.line("helmGlobals", "")),
			errors.New("helm charts are refused: kspec runs no programs; commit what helm template prints"))
	}
	s.found[file] = k
	return k, nil
}

var unknownFieldText = regexp.MustCompile(`unknown field "([^"]+)"`)

func unknownField(err error) string {
	if m := unknownFieldText.FindStringSubmatch(err.Error()); m != nil {
		return m[1]
	}
	return ""
}

// resources scans resources and components, and counts their objects.
func (s *scanner) resources(k *kustomization, plugin bool) (total amount, err error) {
	for i, entry := range k.Resources {
		name, local, err := s.local(k, "resources", entry)
		if err != nil {
			return amount{}, err
		}
		k.Resources[i] = local
		n, err := s.resource(k, "resources", entry, name, plugin)
		if err != nil {
			return amount{}, err
		}
		total = total.plus(n, s.v.lim)
	}
	for i, entry := range k.Components {
		name, local, err := s.local(k, "components", entry)
		if err != nil {
			return amount{}, err
		}
		k.Components[i] = local
		n, err := s.base(k, "components", entry, name, plugin)
		if err != nil {
			return amount{}, err
		}
		total = total.plus(n, s.v.lim)
	}
	return total, nil
}

// resource scans a file or a base.
func (s *scanner) resource(k *kustomization, field, entry, name string, plugin bool) (amount, error) {
	if s.v.IsDir(name) {
		return s.base(k, field, entry, name, plugin)
	}
	docs, err := s.documents(name)
	if err != nil {
		return amount{}, k.refuse(field, entry, err)
	}
	check := nameable
	if plugin {
		check = pluginConfig
	}
	for _, d := range docs {
		if err := check(d.node); err != nil {
			return amount{}, at(name, d.line, err)
		}
	}
	return amount{objects: len(docs)}, nil
}

// base scans another kustomization.
func (s *scanner) base(k *kustomization, field, entry, dir string, plugin bool) (amount, error) {
	s.entered[len(s.entered)-1].line = k.line(field, entry)
	for i, v := range s.entered {
		if v.dir == dir || dir == "." || strings.HasPrefix(v.dir, dir+"/") {
			return amount{}, k.refuse(field, entry, cycle(s.entered[i:], dir))
		}
	}
	key := dir
	if plugin {
		key = "plugin:" + dir
	}
	if n, done := s.amounts[key]; done {
		return n, nil
	}
	if !s.v.IsDir(dir) {
		return amount{}, k.refuse(field, entry, errors.New("not a folder"))
	}
	if err := s.folder(dir, plugin); err != nil {
		return amount{}, k.refuse(field, entry, err)
	}
	s.amounts[key] = s.amounts[dir]
	return s.amounts[key], nil
}

func cycle(way []visit, dir string) error {
	var steps []string
	for _, v := range way {
		steps = append(steps, fmt.Sprintf("%s:%d", v.file, v.line))
	}
	return fmt.Errorf("a cycle: %s leads back to %s, which is or holds a folder that is being built", strings.Join(steps, " → "), dir)
}

// documents parses a file once.
func (s *scanner) documents(name string) ([]document, error) {
	if docs, ok := s.docs[name]; ok {
		return docs, nil
	}
	data, err := s.v.file(name)
	if err != nil {
		return nil, err
	}
	docs, parts, ok := divided(name, data, s.v.lim)
	if !ok {
		if docs, err = parse(name, data, s.v.lim); err != nil {
			return nil, err
		}
		if docs, err = flatten(name, docs); err != nil {
			return nil, err
		}
	}
	s.docs[name], s.parts[name] = docs, parts
	return docs, nil
}
