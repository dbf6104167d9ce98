package v1alpha1

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxDepth bounds free-form values, such as template parameters.
const maxDepth = 64

// checker walks a YAML document along its schema. It collects every mistake,
// remembers the line of every field and makes the value that JSON would have.
//
// +kubebuilder:object:generate=false
type checker struct {
	file   string
	offset int // lines of the file before the document
	lines  map[string]int
	errs   []*FieldError
}

func (c *checker) fail(n *yaml.Node, path, format string, args ...any) {
	c.errs = append(c.errs, &FieldError{
		File: c.file, Line: n.Line + c.offset, Column: n.Column, Path: path, Msg: fmt.Sprintf(format, args...),
	})
}

// value checks n and returns it; nil stands for null and for what was refused.
func (c *checker) value(n *yaml.Node, s *schema, path string, depth int) any {
	c.lines[path] = n.Line + c.offset
	switch {
	case n.Kind == yaml.AliasNode:
		c.fail(n, path, "aliases are not read: write the value out")
		return nil
	case n.Style&yaml.TaggedStyle != 0:
		c.fail(n, path, "the tag %s is not read", n.Tag)
		return nil
	case depth > maxDepth:
		c.fail(n, path, "nested more than %d deep", maxDepth)
		return nil
	case s.Type == "":
		return c.free(n, path, depth)
	case kindOf(n) == "null":
		return nil
	}
	if got := kindOf(n); got != s.Type {
		c.fail(n, path, "want %s, not %s%s", article(s.Type), article(got), quoteHint(n, s.Type))
		return nil
	}
	switch s.Type {
	case "object":
		return c.object(n, s, path, depth)
	case "array":
		return c.array(n, s, path, depth)
	case "integer":
		return c.integer(n, s, path)
	case "boolean":
		return c.boolean(n, path)
	default:
		return c.text(n, s, path)
	}
}

func (c *checker) object(n *yaml.Node, s *schema, path string, depth int) any {
	out := map[string]any{}
	for key, v := range c.pairs(n, path) {
		at := join(path, key.Value)
		property := s.Properties[key.Value]
		if property == nil {
			property = s.Additional.schema
		}
		if property == nil {
			c.fail(key, at, "unknown field%s", cmp.Or(missing(at), didYouMean(key.Value, slices.Sorted(maps.Keys(s.Properties)))))
			continue
		}
		value := c.value(v, property, at, depth+1)
		switch {
		case value != nil || property.Type == "":
			out[key.Value] = value
		case s.Properties[key.Value] == nil && kindOf(v) == "null":
			c.fail(v, at, "want a value, not null")
		case slices.Contains(s.Required, key.Value) && kindOf(v) == "null":
			c.fail(v, at, "required, but empty")
		}
		c.lines[at] = key.Line + c.offset
	}
	for _, name := range s.Required {
		if _, there := c.lines[join(path, name)]; !there {
			c.fail(n, join(path, name), "required, but absent")
		}
	}
	return out
}

// missing says why there is no field that people look for.
func missing(path string) string {
	last := path[strings.LastIndexByte(path, '.')+1:]
	switch {
	case last == "keyless" && strings.Contains(path, ".authorities["):
		return ": signatures are verified by public keys only, give keys"
	case last == "attestations" && strings.Contains(path, ".authorities["):
		return ": kspec verifies signatures and no attestations"
	}
	switch path {
	case "spec.remediation.schedule":
		return ": pull requests are opened as soon as drift is confirmed, your forge says when they may be merged"
	case "spec.webhooks":
		return ": kspec has no webhook of its own, the API server enforces the policies that enforcement delivers"
	case "spec.enforcement.autoRemediate":
		return ": remediation.mode says what is done about drift"
	case "spec.insecureSkipTLSVerify":
		return ": the API server is always verified, give its authority as caData"
	}
	return ""
}

// missingValue says why a field has no value that people look for.
func missingValue(path, value string) string {
	if path == "spec.remediation.mode" && value == "apply" {
		return ": kspec writes to Git and never to a cluster"
	}
	return ""
}

// pairs yields the keys and values of a map and refuses keys that stand twice
// and what is not a plain key.
func (c *checker) pairs(n *yaml.Node, path string) func(func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		first := map[string]int{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			at := join(path, key.Value)
			line, twice := first[key.Value]
			switch {
			case key.Kind != yaml.ScalarNode || key.Style&yaml.TaggedStyle != 0 || key.Tag == "!!merge" || key.Tag == "!!null":
				c.fail(key, path, "want plain keys")
			case twice:
				c.fail(key, at, "duplicate key, the first is in line %d", line)
			case !utf8.ValidString(key.Value):
				c.fail(key, path, "a key is not UTF-8")
			default:
				first[key.Value] = key.Line + c.offset
				if !yield(key, n.Content[i+1]) {
					return
				}
			}
		}
	}
}

func (c *checker) array(n *yaml.Node, s *schema, path string, depth int) any {
	out := make([]any, 0, len(n.Content))
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		value := c.value(item, s.Items, at, depth+1)
		if value == nil && kindOf(item) == "null" && s.Items.Type != "" {
			c.fail(item, at, "want a value, not null")
		}
		out = append(out, value)
	}
	if len(n.Content) < s.MinItems {
		c.fail(n, path, "want at least %d", s.MinItems)
	}
	return out
}

// boolean takes only what every version of YAML reads alike.
func (c *checker) boolean(n *yaml.Node, path string) any {
	if n.Tag != "!!bool" {
		c.fail(n, path, "%s is read as a boolean by some and as text by others: write true, false or %q", n.Value, n.Value)
		return nil
	}
	return strings.EqualFold(n.Value, "true")
}

func (c *checker) integer(n *yaml.Node, s *schema, path string) any {
	v, err := strconv.ParseInt(n.Value, 10, 64)
	switch {
	case err != nil || strconv.FormatInt(v, 10) != n.Value:
		c.fail(n, path, "%s is not a whole decimal number within 64 bits", n.Value)
	case s.Minimum != nil && v < *s.Minimum:
		c.fail(n, path, "%d is less than %d", v, *s.Minimum)
	case s.Maximum != nil && v > *s.Maximum:
		c.fail(n, path, "%d is more than %d", v, *s.Maximum)
	}
	return v
}

// text returns nil for a text that is refused.
func (c *checker) text(n *yaml.Node, s *schema, path string) any {
	v, before := n.Value, len(c.errs)
	switch {
	case !utf8.ValidString(v):
		c.fail(n, path, "not UTF-8")
	case len(s.Enum) > 0 && !slices.Contains(s.Enum, v):
		c.fail(n, path, "%q is not one of %s%s", v, strings.Join(s.Enum, ", "), cmp.Or(missingValue(path, v), didYouMean(v, s.Enum)))
	case len(v) < s.MinLength:
		c.fail(n, path, "required, but empty")
	case s.MaxLength != nil && len(v) > *s.MaxLength:
		c.fail(n, path, "longer than %d bytes", *s.MaxLength)
	case s.Pattern != nil && s.Pattern.String() == durationPattern:
		if _, err := ParseDuration(v); err != nil {
			c.fail(n, path, "%v", err)
		}
	case s.Pattern != nil && !s.Pattern.MatchString(v):
		c.fail(n, path, "%q does not match %s", v, s.Pattern)
	case s.Format == "date-time":
		if _, err := time.Parse(time.RFC3339, v); err != nil {
			c.fail(n, path, "%q is not a time such as 2030-01-31T12:00:00Z", v)
		}
	case s.ContentEncoding == "base64":
		if _, err := base64.StdEncoding.DecodeString(v); err != nil {
			c.fail(n, path, "not base64")
		}
	}
	if len(c.errs) > before {
		return nil
	}
	return v
}

// free checks a value of any shape.
func (c *checker) free(n *yaml.Node, path string, depth int) any {
	anything := &schema{}
	switch kindOf(n) {
	case "object":
		return c.object(n, &schema{Additional: additional{anything}}, path, depth)
	case "array":
		return c.array(n, &schema{Items: anything}, path, depth)
	case "boolean":
		return c.boolean(n, path)
	case "integer":
		return c.integer(n, anything, path)
	case "number":
		v, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
			c.fail(n, path, "%s is not a number of JSON", n.Value)
			return nil
		}
		return json.Number(strconv.FormatFloat(v, 'g', -1, 64))
	case "null":
		return nil
	default:
		return c.text(n, anything, path)
	}
}

// kindOf returns the JSON type of a node as YAML 1.2 reads it. Words that
// YAML 1.1 reads as a boolean are booleans, because other tools read them so.
func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "object"
	case n.Kind == yaml.SequenceNode:
		return "array"
	case n.Tag == "!!null":
		return "null"
	case n.Tag == "!!bool", n.Style == 0 && oldBoolean.MatchString(n.Value):
		return "boolean"
	case n.Tag == "!!int":
		return "integer"
	case n.Tag == "!!float":
		return "number"
	default:
		return "string"
	}
}

var oldBoolean = regexp.MustCompile(`^(?i:y|n|yes|no|on|off)$`)

// quoteHint says how to make a string of what only looks like another type.
func quoteHint(n *yaml.Node, want string) string {
	if want == "string" && n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		return fmt.Sprintf(": write %q", n.Value)
	}
	return ""
}

func article(kind string) string {
	switch kind {
	case "object":
		return "a map"
	case "array":
		return "a list"
	case "integer":
		return "a whole number"
	case "null":
		return "null"
	case "boolean":
		return "true or false"
	default:
		return "a " + kind
	}
}

var plainKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// join appends a key to a path, in brackets when it is not a plain word.
func join(path, key string) string {
	switch {
	case !plainKey.MatchString(key):
		return fmt.Sprintf("%s[%q]", path, key)
	case path == "":
		return key
	default:
		return path + "." + key
	}
}
