package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

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
	// objects counts what each folder gives, in terms of documents.
	objects map[string]int
	docs    map[string][]document
	found   map[string]*kustomization
	// schema is true when a kustomization brings its own OpenAPI schema.
	schema bool
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
	return &scanner{v: v, objects: map[string]int{}, docs: map[string][]document{}, found: map[string]*kustomization{}}
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
	for _, check := range []func(*kustomization) error{s.files, s.generators, s.plugins} {
		if err := check(k); err != nil {
			return err
		}
	}
	s.objects[dir] = total + len(k.ConfigMapGenerator) + len(k.SecretGenerator)
	return at(file, 1, within("Objects", s.objects[dir], s.v.lim.Objects))
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

func listsOnly(k types.Kustomization) bool {
	k.TypeMeta, k.MetaData, k.Resources = types.TypeMeta{}, nil, nil
	return reflect.DeepEqual(k, types.Kustomization{})
}

// resources scans resources and components, and counts their objects.
func (s *scanner) resources(k *kustomization, plugin bool) (int, error) {
	total := 0
	for i, entry := range k.Resources {
		name, local, err := s.local(k, "resources", entry)
		if err != nil {
			return 0, err
		}
		k.Resources[i] = local
		n, err := s.resource(k, "resources", entry, name, plugin)
		if err != nil {
			return 0, err
		}
		total = min(total+n, s.v.lim.Objects+1)
	}
	for i, entry := range k.Components {
		name, local, err := s.local(k, "components", entry)
		if err != nil {
			return 0, err
		}
		k.Components[i] = local
		n, err := s.base(k, "components", entry, name, plugin)
		if err != nil {
			return 0, err
		}
		total = min(total+n, s.v.lim.Objects+1)
	}
	return total, nil
}

// resource scans a file or a base.
func (s *scanner) resource(k *kustomization, field, entry, name string, plugin bool) (int, error) {
	if s.v.IsDir(name) {
		return s.base(k, field, entry, name, plugin)
	}
	docs, err := s.documents(name)
	if err != nil {
		return 0, k.refuse(field, entry, err)
	}
	check := nameable
	if plugin {
		check = pluginConfig
	}
	for _, d := range docs {
		if err := check(d.node); err != nil {
			return 0, at(name, d.line, err)
		}
	}
	return len(docs), nil
}

// base scans another kustomization.
func (s *scanner) base(k *kustomization, field, entry, dir string, plugin bool) (int, error) {
	s.entered[len(s.entered)-1].line = k.line(field, entry)
	for i, v := range s.entered {
		if v.dir == dir || dir == "." || strings.HasPrefix(v.dir, dir+"/") {
			return 0, k.refuse(field, entry, cycle(s.entered[i:], dir))
		}
	}
	key := dir
	if plugin {
		key = "plugin:" + dir
	}
	if n, done := s.objects[key]; done {
		return n, nil
	}
	if !s.v.IsDir(dir) {
		return 0, k.refuse(field, entry, errors.New("not a folder"))
	}
	if err := s.folder(dir, plugin); err != nil {
		return 0, k.refuse(field, entry, err)
	}
	s.objects[key] = s.objects[dir]
	return s.objects[key], nil
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
	docs, err := parse(name, data, s.v.lim)
	if err != nil {
		return nil, err
	}
	docs, err = flatten(name, docs)
	if err != nil {
		return nil, err
	}
	s.docs[name] = docs
	return docs, nil
}

// files scans the fields that name one YAML file.
func (s *scanner) files(k *kustomization) error {
	yamlFile := func(field string, entry *string) error {
		if *entry == "" {
			return nil
		}
		name, local, err := s.local(k, field, *entry)
		if err != nil {
			return err
		}
		if err := s.bounded(name); err != nil {
			return k.refuse(field, *entry, err)
		}
		*entry = local
		return nil
	}
	inline := func(field, patch string) error {
		if remoteFile(patch) {
			return k.refuse(field, patch, errRemote)
		}
		if _, err := parse(k.file, []byte(patch), s.v.lim); err != nil {
			return inlineError(k, k.line(field, patch), field, err)
		}
		return nil
	}
	var errs []error
	for i := range k.Patches {
		errs = append(errs, yamlFile("patches", &k.Patches[i].Path), inline("patches", k.Patches[i].Patch))
	}
	for i := range k.PatchesJson6902 {
		errs = append(errs, yamlFile("patchesJson6902", &k.PatchesJson6902[i].Path), inline("patchesJson6902", k.PatchesJson6902[i].Patch))
	}
	for i := range k.PatchesStrategicMerge {
		entry := (*string)(&k.PatchesStrategicMerge[i])
		if embedded(*entry) {
			errs = append(errs, inline("patchesStrategicMerge", *entry))
		} else {
			errs = append(errs, yamlFile("patchesStrategicMerge", entry))
		}
	}
	for i := range k.Replacements {
		errs = append(errs, yamlFile("replacements", &k.Replacements[i].Path))
	}
	for i := range k.Crds {
		errs = append(errs, yamlFile("crds", &k.Crds[i]))
	}
	for i := range k.Configurations {
		errs = append(errs, yamlFile("configurations", &k.Configurations[i]))
	}
	if p, ok := k.OpenAPI["path"]; ok {
		errs = append(errs, yamlFile("openapi", &p))
		k.OpenAPI["path"] = p
	}
	s.schema = s.schema || len(k.OpenAPI) > 0
	return first(errs)
}

func first(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// bounded checks that a YAML file can be read without harm.
func (s *scanner) bounded(name string) error {
	data, err := s.v.file(name)
	if err != nil {
		return err
	}
	_, err = parse(name, data, s.v.lim)
	return err
}

// generators scans what ConfigMap and Secret generators read.
func (s *scanner) generators(k *kustomization) error {
	sources := func(field string, kv *types.KvPairSources) error {
		for i, entry := range kv.FileSources {
			key, file, keyed := strings.Cut(entry, "=")
			if !keyed {
				file = entry
			}
			_, local, err := s.data(k, field, file)
			if err != nil {
				return err
			}
			if keyed {
				local = key + "=" + local
			}
			kv.FileSources[i] = local
		}
		for i, entry := range kv.EnvSources {
			_, local, err := s.data(k, field, entry)
			if err != nil {
				return err
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
func (s *scanner) data(k *kustomization, field, entry string) (name, local string, err error) {
	name, local, err = s.local(k, field, entry)
	if err != nil {
		return "", "", err
	}
	if _, err := s.v.file(name); err != nil {
		return "", "", k.refuse(field, entry, err)
	}
	return name, local, nil
}

// plugins scans generators, transformers and validators: built-in ones only,
// configured in line, by files, or by folders of files.
func (s *scanner) plugins(k *kustomization) error {
	for _, list := range []struct {
		field   string
		entries []string
	}{{"generators", k.Generators}, {"transformers", k.Transformers}, {"validators", k.Validators}} {
		for i := range list.entries {
			if err := s.plugin(k, list.field, &list.entries[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *scanner) plugin(k *kustomization, field string, entry *string) error {
	if embedded(*entry) {
		safe, err := s.inlinePlugin(k, field, *entry)
		*entry = safe
		return err
	}
	name, local, err := s.local(k, field, *entry)
	if err != nil {
		return err
	}
	if _, err := s.resource(k, field, *entry, name, true); err != nil {
		return err
	}
	*entry = local
	return nil
}

// inlinePlugin returns the configurations in line as JSON, which begins with a
// brace: nothing takes that for an address.
func (s *scanner) inlinePlugin(k *kustomization, field, entry string) (string, error) {
	line := k.line(field, entry)
	docs, err := parse(k.file, []byte(entry), s.v.lim)
	if err != nil {
		return "", inlineError(k, line, field, err)
	}
	var safe []string
	for _, d := range docs {
		if err := pluginConfig(d.node); err != nil {
			return "", at(k.file, line, fmt.Errorf("%s: %w", field, err))
		}
		var value map[string]any
		if err := d.node.Decode(&value); err != nil {
			return "", at(k.file, line, fmt.Errorf("%s: %w", field, err))
		}
		data, err := json.Marshal(value)
		if err != nil {
			return "", at(k.file, line, fmt.Errorf("%s: %w", field, err))
		}
		safe = append(safe, string(data))
	}
	return strings.Join(safe, "\n---\n"), nil
}

// inlineError gives an error of a document in line the place of its entry.
func inlineError(k *kustomization, line int, field string, err error) error {
	if p := (*placeError)(nil); errors.As(err, &p) {
		err = fmt.Errorf("%s: line %d of it: %w", field, p.line, p.err)
	}
	return at(k.file, line, err)
}

// embedded reports whether an entry that may be a path or a document is a
// document.
func embedded(entry string) bool {
	var n yaml.Node
	return yaml.Unmarshal([]byte(entry), &n) == nil && len(n.Content) == 1 && n.Content[0].Kind != yaml.ScalarNode
}

// plain are the fields of plugin configurations that hold data, in which an
// address is harmless.
func plain() []string {
	return []string{"metadata", "labels", "annotations", "literals", "options", "patch", "jsonop", "value"}
}

// pluginConfig refuses the configuration of a plugin that is not built in, that
// runs helm, or that names an address to load from.
func pluginConfig(n *yaml.Node) error {
	kind, version := text(field(n, "kind")), text(field(n, "apiVersion"))
	if version != konfig.BuiltinPluginApiVersion {
		return fmt.Errorf("%s %s is a plugin that runs a program or container: only built-in ones are allowed", version, kind)
	}
	if strings.HasPrefix(kind, "Helm") {
		return errors.New("helm charts are refused: kspec runs no programs; commit what helm template prints")
	}
	if text(field(field(n, "metadata"), "name")) == "" {
		return fmt.Errorf("the %s has no metadata.name", kind)
	}
	return noAddress(n)
}

func noAddress(n *yaml.Node) error {
	switch n.Kind {
	case yaml.ScalarNode:
		_, file, _ := strings.Cut(n.Value, "=")
		if remoteFile(n.Value) || remoteFile(file) {
			return fmt.Errorf("%q: %w", n.Value, errRemote)
		}
	case yaml.AliasNode:
		return noAddress(n.Alias)
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if slices.Contains(plain(), strings.ToLower(n.Content[i].Value)) {
				continue
			}
			if err := noAddress(n.Content[i+1]); err != nil {
				return err
			}
		}
	default:
		for _, child := range n.Content {
			if err := noAddress(child); err != nil {
				return err
			}
		}
	}
	return nil
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
	if _, err := fs.Stat(s.v.fsys, name); err != nil {
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

// prepare hands the view the kustomizations in the form that Kustomize may
// see. With origins, the one of the overlay asks for origin annotations.
func (s *scanner) prepare(dir string, origins bool) error {
	custom := false
	for _, k := range s.found {
		custom = custom || len(k.Configurations) > 0
	}
	for file, k := range s.found {
		served := k.Kustomization
		if !custom && len(served.CommonLabels) > 0 {
			// The same by another name, which Kustomize does not warn of on
			// standard error.
			served.Labels = append(slices.Clone(served.Labels), types.Label{Pairs: served.CommonLabels, IncludeSelectors: true})
			served.CommonLabels = nil
		}
		if origins && path.Dir(file) == dir && !slices.Contains(served.BuildMetadata, types.OriginAnnotations) {
			served.BuildMetadata = append(slices.Clone(served.BuildMetadata), types.OriginAnnotations)
		}
		data, err := json.Marshal(served)
		if err != nil {
			return at(file, 1, err)
		}
		s.v.prepared[file] = data
	}
	return nil
}

// touchesAnnotations reports whether the origin annotations could change what
// is built: something reads or patches annotations by path.
func (s *scanner) touchesAnnotations() bool {
	for _, data := range s.v.files {
		for _, mark := range []string{"metadata/annotations", "metadata.annotations"} {
			if bytes.Contains(data, []byte(mark)) {
				return true
			}
		}
	}
	return false
}
