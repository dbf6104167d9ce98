package remediate

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/internal/yamledit"
)

// hidden stands in a diff for a value that must not be shown.
const hidden = "[redacted]"

// redactFile returns the text with the values hidden that a diff may pass by:
// data of Secrets, what kubectl remembers in an annotation, and variables with
// a secret-like name. The commit itself is not changed by this.
func redactFile(text []byte) []byte {
	if text == nil || !mayHoldSecrets(text) {
		return text
	}
	f, err := yamledit.Parse(text)
	if err != nil {
		return []byte("# " + hidden + ": this file may hold secrets and could not be read\n")
	}
	for _, d := range f.Docs {
		for _, p := range secretPaths(d.Root()) {
			if err := d.Set(p, hidden); err != nil {
				return []byte("# " + hidden + ": this file holds secrets\n")
			}
		}
	}
	return f.Bytes()
}

func mayHoldSecrets(text []byte) bool {
	return bytes.Contains(text, []byte("Secret")) || bytes.Contains(text, []byte("last-applied-configuration")) ||
		secretName(string(text))
}

var secretLike = regexp.MustCompile(`(?i)passw|token|secret|credential|api[_-]?key|private[_-]?key`)

func secretName(s string) bool { return secretLike.MatchString(s) }

// secretPaths returns the places below root whose values must not be shown.
func secretPaths(root *yaml.Node) []kspec.Path {
	if root == nil {
		return nil
	}
	var paths []kspec.Path
	var walk func(n *yaml.Node, at kspec.Path)
	walk = func(n *yaml.Node, at kspec.Path) {
		secret := n.Kind == yaml.MappingNode && get(n, "kind") == "Secret"
		variable := n.Kind == yaml.MappingNode && secretName(get(n, "name"))
		for i, c := range n.Content {
			step := kspec.Step{Field: strconv.Itoa(i)}
			if n.Kind == yaml.MappingNode {
				if i%2 == 0 {
					continue
				}
				step.Field = n.Content[i-1].Value
			}
			p := append(slices.Clone(at), step)
			switch {
			case secret && (step.Field == "data" || step.Field == "stringData"):
				paths = append(paths, leaves(c, p)...)
			case variable && step.Field == "value" && c.Kind == yaml.ScalarNode:
				paths = append(paths, p)
			case strings.HasSuffix(step.Field, "last-applied-configuration") && c.Kind == yaml.ScalarNode:
				paths = append(paths, p)
			default:
				walk(c, p)
			}
		}
	}
	walk(root, nil)
	return paths
}

func leaves(n *yaml.Node, at kspec.Path) []kspec.Path {
	if n.Kind != yaml.MappingNode {
		return []kspec.Path{at}
	}
	var paths []kspec.Path
	for i := 1; i < len(n.Content); i += 2 {
		paths = append(paths, append(slices.Clone(at), kspec.Step{Field: n.Content[i-1].Value}))
	}
	return paths
}

// get returns the plain value of a key of a map, or "".
func get(n *yaml.Node, key string) string {
	if n == nil || n.Kind != yaml.MappingNode {
		return ""
	}
	for i := 1; i < len(n.Content); i += 2 {
		if n.Content[i-1].Value == key {
			return n.Content[i].Value
		}
	}
	return ""
}
