package render

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
)

// This file decides what Kustomize may be asked to do. Kustomize itself fetches
// any http(s) entry, and runs git for anything that looks like a repository,
// whatever file system and options it is given. So it never sees a
// kustomization as it was written: the scanner decodes each one with
// Kustomize's own types, refuses what would leave the tree or run a program,
// and writes it anew with every path in the form ./a/b or ../a/b, which none of
// Kustomize's parsers takes for an address.

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

// entry is a string of a kustomization that Kustomize loads or parses.
type entry struct {
	field string
	text  *string
}

// yamlEntries returns what names a YAML file, and what is a document in line.
//
//nolint:staticcheck // People still use the deprecated fields, and so must this.
func (k *kustomization) yamlEntries() (files, inline []entry) {
	for i := range k.Patches {
		files = append(files, entry{"patches", &k.Patches[i].Path})
		inline = append(inline, entry{"patches", &k.Patches[i].Patch})
	}
	for i := range k.PatchesJson6902 {
		files = append(files, entry{"patchesJson6902", &k.PatchesJson6902[i].Path})
		inline = append(inline, entry{"patchesJson6902", &k.PatchesJson6902[i].Patch})
	}
	for i := range k.PatchesStrategicMerge {
		e := entry{"patchesStrategicMerge", (*string)(&k.PatchesStrategicMerge[i])}
		if embedded(*e.text) {
			inline = append(inline, e)
		} else {
			files = append(files, e)
		}
	}
	for i := range k.Replacements {
		files = append(files, entry{"replacements", &k.Replacements[i].Path})
	}
	for i := range k.Crds {
		files = append(files, entry{"crds", &k.Crds[i]})
	}
	for i := range k.Configurations {
		files = append(files, entry{"configurations", &k.Configurations[i]})
	}
	return files, inline
}

// files scans the entries that name a YAML file or hold a document.
func (s *scanner) files(k *kustomization) error {
	files, inline := k.yamlEntries()
	schema := k.OpenAPI["path"]
	for _, e := range append(files, entry{"openapi", &schema}) {
		if *e.text == "" {
			continue
		}
		local, err := s.yamlFile(k, e.field, *e.text)
		if err != nil {
			return err
		}
		*e.text = local
	}
	if schema != "" {
		k.OpenAPI["path"] = schema
	}
	s.schema = s.schema || len(k.OpenAPI) > 0
	for _, e := range inline {
		if remoteFile(*e.text) {
			return k.refuse(e.field, *e.text, errRemote)
		}
		if _, err := parse(k.file, []byte(*e.text), s.v.lim); err != nil {
			return inlineError(k, k.line(e.field, *e.text), e.field, err)
		}
	}
	return nil
}

// yamlFile is local for a file that can be read as YAML without harm.
func (s *scanner) yamlFile(k *kustomization, field, text string) (local string, err error) {
	name, local, err := s.local(k, field, text)
	if err != nil {
		return "", err
	}
	data, err := s.v.file(name)
	if err != nil {
		return "", k.refuse(field, text, err)
	}
	if _, err := parse(name, data, s.v.lim); err != nil {
		return "", k.refuse(field, text, err)
	}
	return local, nil
}

// generators scans what ConfigMap and Secret generators read.
func (s *scanner) generators(k *kustomization) error {
	sources := func(field string, kv *types.KvPairSources) error {
		for i, entry := range kv.FileSources {
			key, file, keyed := strings.Cut(entry, "=")
			if !keyed {
				file = entry
			}
			local, err := s.data(k, field, file)
			if err != nil {
				return err
			}
			if keyed {
				local = key + "=" + local
			}
			kv.FileSources[i] = local
		}
		for i, entry := range kv.EnvSources {
			local, err := s.data(k, field, entry)
			if err != nil {
				return err
			}
			if !utf8.Valid(s.v.files[path.Join(path.Dir(k.file), entry)]) { // Kustomize would repeat the line
				return k.refuse(field, entry, errors.New("the file is not UTF-8"))
			}
			kv.EnvSources[i] = local
		}
		return nil
	}
	for i := range k.ConfigMapGenerator {
		if err := sources("configMapGenerator", &k.ConfigMapGenerator[i].KvPairSources); err != nil {
			return err
		}
	}
	for i := range k.SecretGenerator {
		if err := sources("secretGenerator", &k.SecretGenerator[i].KvPairSources); err != nil {
			return err
		}
	}
	return nil
}

// data is local for a file that must not be a folder.
func (s *scanner) data(k *kustomization, field, entry string) (local string, err error) {
	name, local, err := s.local(k, field, entry)
	if err != nil {
		return "", err
	}
	if _, err := s.v.file(name); err != nil {
		return "", k.refuse(field, entry, err)
	}
	return local, nil
}

var errRemote = errors.New("remote content is refused: copy it into the repo")

var scp = regexp.MustCompile(`^[\w.-]+@[\w.-]+:`)

// remoteFile reports whether Kustomize would fetch entry when asked to load it
// as a file.
func remoteFile(entry string) bool {
	u, err := url.Parse(strings.TrimSpace(entry))
	return err == nil && (u.Scheme == "http" || u.Scheme == "https")
}

// isAddress reports whether Kustomize, or a person, would take entry for
// something on the network.
func isAddress(entry string) bool {
	low := strings.ToLower(strings.TrimSpace(entry))
	return remoteFile(entry) || strings.Contains(low, "://") || strings.HasPrefix(low, "git::") || strings.Contains(low, "?ref=") ||
		strings.HasPrefix(low, "github.com/") || strings.HasPrefix(low, "github.com:") || scp.MatchString(low)
}

// local checks that an entry names something of the tree. It returns its path
// in the tree, and the entry in a form that can only be a path.
func (s *scanner) local(k *kustomization, field, entry string) (name, local string, err error) {
	switch {
	case entry == "":
		return "", "", k.refuse(field, entry, errors.New("the entry is empty"))
	case isAddress(entry):
		return "", "", k.refuse(field, entry, errRemote)
	case path.IsAbs(entry):
		return "", "", k.refuse(field, entry, errors.New("an absolute path: write it relative to the kustomization"))
	}
	name = path.Join(path.Dir(k.file), entry)
	if name == ".." || strings.HasPrefix(name, "../") {
		return "", "", k.refuse(field, entry, errors.New("leaves the repo"))
	}
	if _, err := s.v.stat(name); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = errors.New("no such file or folder")
		}
		return "", "", k.refuse(field, entry, err)
	}
	local = path.Clean(entry)
	if local != ".." && !strings.HasPrefix(local, "../") {
		local = "./" + local
	}
	return name, local, nil
}

// prepare returns the kustomizations in the form that Kustomize may see. With
// origins, the one of the overlay asks for origin annotations.
func (s *scanner) prepare(dir string, origins bool) (map[string][]byte, error) {
	prepared := map[string][]byte{}
	exact := false // which transformers ran, and on what, can be seen
	for _, k := range s.found {
		exact = exact || len(k.Configurations) > 0 || slices.Contains(k.BuildMetadata, types.TransformerAnnotations)
	}
	for file, k := range s.found {
		served := k.Kustomization
		if !exact {
			served = quiet(served)
		}
		data, err := marshal(served, origins && path.Dir(file) == dir)
		if err != nil {
			return nil, at(file, 1, err)
		}
		prepared[file] = data
	}
	return prepared, nil
}

// marshal prints a kustomization, with origin annotations asked for if wanted.
func marshal(k types.Kustomization, origins bool) ([]byte, error) {
	if origins && !slices.Contains(k.BuildMetadata, types.OriginAnnotations) {
		k.BuildMetadata = append(slices.Clone(k.BuildMetadata), types.OriginAnnotations)
	}
	return json.Marshal(k)
}

// quiet says the same as k by the field of which Kustomize does not warn on
// standard error.
//
//nolint:staticcheck // The deprecated field is the point.
func quiet(k types.Kustomization) types.Kustomization {
	if len(k.CommonLabels) > 0 {
		k.Labels = append(slices.Clone(k.Labels), types.Label{Pairs: k.CommonLabels, IncludeSelectors: true})
		k.CommonLabels = nil
	}
	return k
}

// deprecated tells of the fields that Kustomize is going to drop.
//
//nolint:staticcheck // The deprecated fields are the point.
func (s *scanner) deprecated() (notes []string) {
	for _, file := range slices.Sorted(maps.Keys(s.found)) {
		k := s.found[file]
		for _, old := range []struct {
			name, instead string
			there         bool
		}{
			{"bases", "resources", field(k.node, "bases") != nil},
			{"commonLabels", "labels", len(k.CommonLabels) > 0},
			{"imageTags", "images", field(k.node, "imageTags") != nil},
			{"patchesJson6902", "patches", len(k.PatchesJson6902) > 0},
			{"patchesStrategicMerge", "patches", len(k.PatchesStrategicMerge) > 0},
			{"vars", "replacements", len(k.Vars) > 0},
		} {
			if old.there {
				notes = append(notes, fmt.Sprintf("%s:%d: Kustomize is going to drop %s: use %s", file, k.line(old.name, ""), old.name, old.instead))
			}
		}
	}
	return notes
}

// touchesAnnotations reports whether the origin annotations could change what
// is built: something reads or patches annotations by path.
func (s *scanner) touchesAnnotations() bool {
	if s.annotated == nil {
		found := false
		for _, data := range s.v.files {
			for _, mark := range []string{"metadata/annotations", "metadata.annotations"} {
				found = found || bytes.Contains(data, []byte(mark))
			}
		}
		s.annotated = &found
	}
	return *s.annotated
}
