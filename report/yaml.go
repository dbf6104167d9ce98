package report

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cloudcwfranck/kspec"
)

func writeYAML(reports []kspec.Report, _ Options) ([]byte, error) {
	return marshalYAML(documents(reports))
}

// marshalYAML writes v, which has JSON tags, as YAML that no terminal obeys.
// The order of keys is that of JSON.
func marshalYAML(v any) ([]byte, error) {
	text, err := encode(v)
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(spellOut(text, wideYAML), &doc); err != nil { // JSON is YAML
		return nil, err
	}
	restyle(&doc)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	enc.CompactSeqIndent()
	if err := enc.Encode(&doc); err != nil {
		return nil, err
	}
	return spellOut(b.Bytes(), wideYAML), nil
}

// restyle takes away the brackets and most quotes of JSON. What stands without
// quotes is the same text to readers of YAML 1.1 and 1.2, and has nothing in it
// to be spelled out, which only works in quotes.
func restyle(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		switch {
		case strings.Contains(n.Value, "\n") && printable(strings.ReplaceAll(n.Value, "\n", "")):
			n.Style = yaml.LiteralStyle
		case !plainYAML.MatchString(n.Value) || wordsYAML.MatchString(n.Value):
			n.Style = yaml.DoubleQuotedStyle
		}
	}
	if len(n.Content) == 0 && n.Kind != yaml.ScalarNode {
		n.Style = yaml.FlowStyle // [] and {}
	}
	for _, c := range n.Content {
		restyle(c)
	}
}

var (
	plainYAML = regexp.MustCompile(`^[A-Za-z/]([\w/.,()@=+<>;'-]|[:#]\w|:/| [\w/.,()@=+<>;'-])*$`)
	wordsYAML = regexp.MustCompile(`(?i)^(y|n|yes|no|on|off|true|false|null)$`)
)

func wideYAML(r rune) string { return fmt.Sprintf(`\U%08x`, r) }

// spellOut spells what cannot be seen by its number: control characters,
// bidirectional overrides and the like. Outside of strings there is none.
func spellOut(text []byte, wide func(rune) string) []byte {
	var b bytes.Buffer
	b.Grow(len(text))
	for _, r := range string(text) {
		switch {
		case r == '\n' || strconv.IsPrint(r):
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(wide(r))
		}
	}
	return b.Bytes()
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) })
}
