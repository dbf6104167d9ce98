package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec/docs/schemas"
	"github.com/cloudcwfranck/kspec/fixtures"
)

// field is what a schema says of a field.
type field struct {
	Properties map[string]*field `json:"properties"`
	Items      *field            `json:"items"`
}

func TestTheComprehensiveExampleUsesEveryField(t *testing.T) {
	data, err := schemas.FS.ReadFile("clusterspec-v1alpha1.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema field
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(fixtures.Dir(), "..", "docs", "examples", "comprehensive.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Spec map[string]any `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	unused(t, "spec", schema.Properties["spec"], []any{doc.Spec})
}

// unused tells of the fields that none of the values has.
func unused(t *testing.T, at string, f *field, values []any) {
	t.Helper()
	values = slices.DeleteFunc(values, func(v any) bool { return v == nil })
	if len(values) == 0 {
		t.Errorf("%s is not used", at)
		return
	}
	if f.Items != nil {
		var items []any
		for _, v := range values {
			items = append(items, v.([]any)...)
		}
		unused(t, at+"[]", f.Items, items)
	}
	for name, property := range f.Properties {
		var of []any
		for _, v := range values {
			of = append(of, v.(map[string]any)[name])
		}
		unused(t, at+"."+name, property, of)
	}
}
