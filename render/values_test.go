package render

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resource"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

const someThing = "apiVersion: v1\nkind: Thing\nmetadata: {name: a}\n"

// checkDecoded compares what decodeResource makes with what Kustomize does. It
// reports whether the node was read as it is.
func checkDecoded(t *testing.T, r *resource.Resource) bool {
	t.Helper()
	data, err := r.MarshalJSON()
	var value any
	if err == nil {
		err = json.Unmarshal(data, &value)
	}
	var p plainReader
	got, ok := p.value(r.YNode())
	if !ok {
		return false
	}
	if err != nil {
		t.Fatalf("Kustomize fails: %v", err)
	}
	if d := cmp.Diff(value, got); d != "" || p.size != int64(len(data)) {
		t.Errorf("%s has %d bytes, not %d; (-Kustomize +plain):\n%s", data, len(data), p.size, d)
	}
	return true
}

func thing(t *testing.T, text string) (*resource.Resource, bool) {
	t.Helper()
	all, err := provider.NewDefaultDepProvider().GetResourceFactory().SliceFromBytes([]byte(someThing + text))
	if err != nil || len(all) != 1 {
		return nil, false
	}
	return all[0], true
}

func TestNodesAreReadAsKustomizePrintsThem(t *testing.T) {
	for text, plain := range map[string]bool{
		"a: b":                           true,
		"a: 'b c'":                       true,
		`a: "1"`:                         true,
		"a: ' b '":                       true,
		"a: yes":                         true,
		"a: 12":                          true,
		"a: -12":                         true,
		"a: true":                        true,
		"a: null":                        true,
		"a: []":                          true,
		"a: {}":                          true,
		"a: ''":                          true,
		"a: <b&c>":                       true,
		`a: '"\'`:                        true,
		"a: [{b: [c, 1, {d: true}]}, x]": true,
		"a: '2026-01-02'":                true,
		"'1': b":                         true,
		"a: 9223372036854775807":         true,

		"a:":                        false,
		"a: {b: }":                  false,
		"a: ~":                      false,
		"a: 1.5":                    false,
		"a: 1e3":                    false,
		"a: 0644":                   false,
		"a: 0x1f":                   false,
		"a: 1_000":                  false,
		"a: +1":                     false,
		"a: -0":                     false,
		"a: 9223372036854775808":    false,
		"a: 2026-01-02":             false,
		"a: TRUE":                   false,
		"a: |\n  b\n":               false,
		"a: >\n  b\n   c\n\n  d\n":  false,
		"a: |-\n  b":                false,
		`a: "b\tc"`:                 false,
		"a: ü":                      false,
		"a: !!str 12":               false,
		"a: !mine b":                false,
		"a: !!binary aGVsbG8=":      false,
		"a: !!set {b}":              false,
		"a: &b c\nd: *b":            true,
		"a: &b {c: d}\ne: {<<: *b}": true,
		"'<<': b":                   true,
		"1: b":                      false,
		"true: b":                   false,
	} {
		t.Run(text, func(t *testing.T) {
			r, ok := thing(t, text)
			if !ok {
				t.Fatal("Kustomize does not read it")
			}
			if got := checkDecoded(t, r); got != plain {
				t.Errorf("read as it is: %v", got)
			}
		})
	}
}

// What Kustomize and its plugins set has no tag, or a tag that its value does
// not fit.
func TestNodesThatWereSetAreReadAsKustomizePrintsThem(t *testing.T) {
	tags := []string{"", "!!str", "!!int", "!!bool", "!!null", "!!float", "!!timestamp", "!", "!mine", "tag:yaml.org,2002:str", "tag:yaml.org,2002:int"}
	values := []string{"", "a", "1", "01", "true", "True", "yes", "null", "~", "1.5", "2026-01-02", "- a", "a: b", "#a", "a #b", "*a", "&a", "!a", "{a", "%a", "@a", "?", "-", ":", "a:", ".", "...", "---", "=", "<<", "'", `"`, " ", "a ", "\n", "a\nb", strings.Repeat("long ", 50)}
	for _, tag := range tags {
		for _, value := range values {
			for _, style := range []kyaml.Style{0, kyaml.SingleQuotedStyle, kyaml.DoubleQuotedStyle, kyaml.LiteralStyle, kyaml.FoldedStyle, kyaml.TaggedStyle} {
				for _, flow := range []kyaml.Style{0, kyaml.FlowStyle} {
					r, _ := thing(t, "a: {b: c, d: [e]}")
					a := r.Field("a").Value.YNode()
					a.Style = flow
					for _, n := range []*kyaml.Node{a.Content[0], a.Content[1], a.Content[3].Content[0]} {
						before := *n
						n.Tag, n.Value, n.Style = tag, value, style
						checkDecoded(t, r)
						*n = before
					}
				}
			}
		}
	}
}

func FuzzDecodedResources(f *testing.F) {
	for _, text := range []string{"a: b", "a: [1, true, null, '']", "a: &b {c: d}\ne: *b", "a: |\n  text\n", "{\"a\": 1.0}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if r, ok := thing(t, text); ok {
			checkDecoded(t, r)
		}
	})
}
