package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
)

// Generators, transformers and validators are plugins. Only those built into
// Kustomize are allowed, and their configurations may name files of the tree
// only.

// plugins scans generators, transformers and validators: built-in ones only,
// configured in line, by files, or by folders of files. It returns how many
// kustomizations these folders are made of.
func (s *scanner) plugins(k *kustomization) (kustomizations int, err error) {
	for _, list := range []struct {
		field   string
		entries []string
	}{{"generators", k.Generators}, {"transformers", k.Transformers}, {"validators", k.Validators}} {
		for i := range list.entries {
			n, err := s.plugin(k, list.field, &list.entries[i])
			if err != nil {
				return 0, err
			}
			kustomizations += n
		}
	}
	return kustomizations, nil
}

func (s *scanner) plugin(k *kustomization, field string, entry *string) (kustomizations int, err error) {
	if embedded(*entry) {
		safe, err := s.inlinePlugin(k, field, *entry)
		*entry = safe
		return 0, err
	}
	name, local, err := s.local(k, field, *entry)
	if err != nil {
		return 0, err
	}
	n, err := s.resource(k, field, *entry, name, true)
	if err != nil {
		return 0, err
	}
	*entry = local
	return n.kustomizations, nil
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

func listsOnly(k types.Kustomization) bool {
	k.TypeMeta, k.MetaData, k.Resources = types.TypeMeta{}, nil, nil
	return reflect.DeepEqual(k, types.Kustomization{})
}
