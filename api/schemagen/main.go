// Command schemagen writes the JSON Schemas of the documents in the config
// repo, made from the CRDs that controller-gen writes. Run it at the root of
// the module, after controller-gen: "make generate" does both.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

const (
	from = "deploy/crds"
	to   = "docs/schemas"
	home = "https://raw.githubusercontent.com/cloudcwfranck/kspec/main/docs/schemas/"
)

// alias is a second name of a kind, which older documents use.
var alias = map[string]string{"ClusterSpec": "ClusterSpecification"}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "schemagen:", err)
		os.Exit(1)
	}
}

func run() error {
	files, err := filepath.Glob(from + "/kspec.io_*.yaml")
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no CRDs in %s", from)
	}
	for _, file := range files {
		if err := convert(file); err != nil {
			return fmt.Errorf("convert %s: %w", file, err)
		}
	}
	return nil
}

func convert(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(data, &crd); err != nil {
		return err
	}
	for _, version := range crd.Spec.Versions {
		name := strings.ToLower(crd.Spec.Names.Kind) + "-" + version.Name + ".json"
		out, err := marshal(document(crd.Spec.Group, crd.Spec.Names.Kind, version, home+name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), out, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// document returns the schema of a document as it stands in Git: it has a name
// and no status.
func document(group, kind string, version apiextensionsv1.CustomResourceDefinitionVersion, id string) map[string]any {
	root := *version.Schema.OpenAPIV3Schema
	kinds := []string{kind}
	if other, ok := alias[kind]; ok {
		kinds = append(kinds, other)
	}
	s := object(map[string]any{
		"apiVersion": map[string]any{"type": "string", "enum": []string{group + "/" + version.Name}},
		"kind":       map[string]any{"type": "string", "enum": kinds},
		"metadata":   metadata(),
		"spec":       schema(root.Properties["spec"]),
	}, "apiVersion", "kind", "metadata", "spec")
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["$id"] = id
	s["title"] = kind
	s["description"] = oneLine(root.Description)
	return s
}

func metadata() map[string]any {
	texts := map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "string"}}
	name := map[string]any{
		"type": "string", "description": "name is unique among the documents of its kind in the repo.",
		"minLength": 1, "maxLength": 253, "pattern": `^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`,
	}
	return object(map[string]any{
		"name":        name,
		"namespace":   map[string]any{"type": "string"},
		"labels":      texts,
		"annotations": texts,
	}, "name")
}

func object(properties map[string]any, required ...string) map[string]any {
	return map[string]any{
		"type": "object", "properties": properties, "required": required, "additionalProperties": false,
	}
}

// schema converts what the CRDs of kspec use of a structural schema.
func schema(p apiextensionsv1.JSONSchemaProps) map[string]any {
	s := map[string]any{}
	set := func(key string, value any, present bool) {
		if present {
			s[key] = value
		}
	}
	set("description", oneLine(p.Description), p.Description != "")
	set("type", p.Type, p.Type != "")
	set("enum", p.Enum, len(p.Enum) > 0)
	set("default", p.Default, p.Default != nil)
	set("pattern", p.Pattern, p.Pattern != "")
	set("minimum", p.Minimum, p.Minimum != nil)
	set("maximum", p.Maximum, p.Maximum != nil)
	set("minLength", p.MinLength, p.MinLength != nil)
	set("maxLength", p.MaxLength, p.MaxLength != nil)
	set("minItems", p.MinItems, p.MinItems != nil)
	set("maxItems", p.MaxItems, p.MaxItems != nil)
	set("required", p.Required, len(p.Required) > 0)
	set("format", p.Format, p.Format == "date-time")
	set("contentEncoding", "base64", p.Format == "byte")
	if p.Items != nil && p.Items.Schema != nil {
		s["items"] = schema(*p.Items.Schema)
	}
	if p.AdditionalProperties != nil && p.AdditionalProperties.Schema != nil {
		s["additionalProperties"] = schema(*p.AdditionalProperties.Schema)
	}
	if len(p.Properties) > 0 {
		properties := map[string]any{}
		for name, property := range p.Properties {
			properties[name] = schema(property)
		}
		s["properties"] = properties
		s["additionalProperties"] = false
	}
	return s
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.Bytes(), err
}
