package render

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cloudcwfranck/kspec"
)

// Kustomize and the YAML decoder repeat in their errors what they did not
// understand, and errors are shown, logged and sent. So the values of Secrets
// that were read are taken out of them.

// secrets collects what stands in Secrets, by its text.
type secrets map[string]bool

// discreet returns err without values of Secrets that the scanner has read.
func (s *scanner) discreet(err error) error {
	if err == nil {
		return nil
	}
	found := secrets{}
	for _, data := range s.v.files {
		found.file(string(data))
	}
	for _, k := range s.found {
		_, inline := k.yamlEntries()
		for _, e := range inline {
			found.file(*e.text)
		}
		for _, g := range k.SecretGenerator {
			for _, literal := range g.LiteralSources {
				_, value, _ := strings.Cut(literal, "=")
				found.add(literal)
				found.add(value)
			}
		}
	}
	return found.hide(err)
}

// file adds what the text of a YAML file holds.
func (f secrets) file(text string) {
	dec := yaml.NewDecoder(strings.NewReader(text))
	for {
		var n yaml.Node
		if dec.Decode(&n) != nil {
			return
		}
		f.node(&n)
	}
}

// node adds the data of Secrets at or below n, also of patches that do not say
// what they are for.
func (f secrets) node(n *yaml.Node) {
	kind := text(field(n, "kind"))
	for i, child := range n.Content {
		key := ""
		if n.Kind == yaml.MappingNode && i%2 == 1 {
			key = n.Content[i-1].Value
		}
		switch {
		case (kind == "Secret" || kind == "") && (key == "data" || key == "stringData"), key == "value" && field(n, "op") != nil:
			f.scalars(child)
		default:
			f.node(child)
		}
	}
}

func (f secrets) scalars(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		f.add(n.Value)
	}
	for i, child := range n.Content {
		if n.Kind != yaml.MappingNode || i%2 == 1 {
			f.scalars(child)
		}
	}
}

// add adds a value, and its lines, which may be indented where they are shown.
func (f secrets) add(value string) {
	const least = 3 // what is shorter is no secret, and stands in every sentence
	for _, v := range append(strings.Split(value, "\n"), value) {
		if v = strings.TrimSpace(v); len(v) >= least {
			f[v] = true
			quoted := strconv.Quote(v)
			f[quoted[1:len(quoted)-1]] = true
		}
	}
}

// hide returns err as it is unless it holds a value.
func (f secrets) hide(err error) error {
	place, inner := (*placeError)(nil), err
	if errors.As(err, &place) {
		inner = place.err
	}
	said := inner.Error()
	for _, v := range slices.SortedFunc(maps.Keys(f), func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }) {
		said = strings.ReplaceAll(said, v, "[redacted]")
	}
	if said == inner.Error() {
		return err
	}
	inner = kspec.WithHint(errors.New(said), kspec.HintOf(err))
	if place == nil {
		return inner
	}
	return at(place.file, place.line, inner)
}
