package v1alpha1_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/docs/schemas"
)

// compiled returns the published schemas by kind, as any JSON Schema validator
// reads them.
func compiled(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	names, err := fs.Glob(schemas.FS, "*.json")
	if err != nil || len(names) == 0 {
		t.Fatal("no schemas", err)
	}
	out := map[string]*jsonschema.Schema{}
	for _, name := range names {
		data, err := schemas.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		c.AssertContent()
		if err := c.AddResource(name, value); err != nil {
			t.Fatal(err)
		}
		s, err := c.Compile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[s.Title] = s
	}
	return out
}

// validate reports what a standard validator says of a document.
func validate(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(value)
}

func TestSchemasAreOfEveryKind(t *testing.T) {
	want := []string{"AlertConfig", "ClusterSpec", "ClusterTarget", "PolicyTemplate"}
	if got := slices.Sorted(maps.Keys(compiled(t))); !slices.Equal(got, want) {
		t.Errorf("schemas of %v, want %v", got, want)
	}
}

// What an editor marks by the schema is what kspec refuses, and the reverse.
func TestSchemaAgreesWithDecode(t *testing.T) {
	all := compiled(t)
	good := map[string]string{
		"ClusterSpec":    "{interval: 90s, delivery: {engine: flux}, manifests: [{path: apps}], drift: {confirm: {observations: 1}}}",
		"ClusterTarget":  token,
		"AlertConfig":    "{defaultNotifiers: []}",
		"PolicyTemplate": "{parameters: {a: {type: int, default: 3}}}",
	}
	for kind, spec := range good {
		text := doc(kind, "x", spec)
		if err := validate(t, all[kind], text); err != nil {
			t.Errorf("the schema refuses a good %s: %v", kind, err)
		}
		if _, errs := v1alpha1.Decode("f.yaml", []byte(text)); len(errs) > 0 {
			t.Errorf("Decode refuses a good %s: %v", kind, errs)
		}
	}
	for spec, kind := range map[string]string{
		"{bogus: 1}":                              "ClusterSpec",
		"{suspend: 1}":                            "ClusterSpec",
		"{delivery: {engine: helm}}":              "ClusterSpec",
		"{interval: 5 minutes}":                   "ClusterSpec",
		"{interval: 1h1d}":                        "ClusterSpec",
		"{manifests: [{}]}":                       "ClusterSpec",
		"{manifests: [{path: ''}]}":               "ClusterSpec",
		"{drift: {ignore: [{paths: []}]}}":        "ClusterSpec",
		"{drift: {confirm: {observations: 101}}}": "ClusterSpec",
		"{drift: {ignore: [{paths: [/a], reason: r, expiresAt: tomorrow}]}}": "ClusterSpec",
		"{authMode: magic}": "ClusterTarget",
		"{authMode: kubeconfig, kubeconfigSecretRef: {name: k}, caData: '%'}": "ClusterTarget",
		"{}":                             "AlertConfig",
		"{parameters: {a: {type: map}}}": "PolicyTemplate",
	} {
		text := doc(kind, "x", spec)
		if validate(t, all[kind], text) == nil {
			t.Errorf("the schema accepts a %s with the spec %s", kind, spec)
		}
		if _, errs := v1alpha1.Decode("f.yaml", []byte(text)); len(errs) == 0 {
			t.Errorf("Decode accepts a %s with the spec %s", kind, spec)
		}
	}
}

func TestFullExampleHasEveryField(t *testing.T) {
	data, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for text := range strings.SplitSeq(string(data), "\n---\n") {
		var v map[string]any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		kind, _ := v["kind"].(string)
		if err := validate(t, compiled(t)[kind], text); err != nil {
			t.Error(err)
		}
		walk(kind, v, used)
	}
	for kind := range compiled(t) {
		data, err := schemas.FS.ReadFile(strings.ToLower(kind) + "-v1alpha1.json")
		if err != nil {
			t.Fatal(err)
		}
		var s map[string]any
		if err := json.Unmarshal(data, &s); err != nil {
			t.Fatal(err)
		}
		for _, field := range fields(kind, s) {
			if !used[field] && !strings.Contains(field, ".metadata.") {
				t.Errorf("testdata/full.yaml does not show %s", field)
			}
		}
	}
}

// walk marks the paths of all fields of a document, list items as "*".
func walk(at string, v any, used map[string]bool) {
	used[at] = true
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			walk(at+"."+key, value, used)
			walk(at+".*", value, used)
		}
	case []any:
		for _, item := range v {
			walk(at+".*", item, used)
		}
	}
}

// fields lists the paths of all properties of a schema.
func fields(at string, s map[string]any) []string {
	out := []string{at}
	if properties, ok := s["properties"].(map[string]any); ok {
		for name, p := range properties {
			out = append(out, fields(at+"."+name, p.(map[string]any))...)
		}
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if item, ok := s[key].(map[string]any); ok {
			out = append(out, fields(at+".*", item)...)
		}
	}
	return out
}

// Every document that the repository shows is a good one.
func TestDocumentsOfTheRepositoryAreGood(t *testing.T) {
	all := compiled(t)
	found := 0
	check := func(file, text string) {
		docs, errs := v1alpha1.Decode(file, []byte(text))
		if errs = slices.DeleteFunc(errs, func(err error) bool { return elided(text, err) }); len(errs) > 0 {
			t.Error(errs)
		} else if len(docs) > 0 {
			found += len(docs)
			kind := docs[0].Object.GetObjectKind().GroupVersionKind().Kind
			if err := validate(t, all[kind], text); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
	for _, root := range []string{"../../docs", "../../fixtures/config-repo", "../../README.md", "testdata"} {
		_ = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return nil //nolint:nilerr // a folder that is not there holds no document
			}
			data, err := os.ReadFile(name)
			if err != nil {
				t.Error(err)
			}
			switch path.Ext(name) {
			case ".yaml", ".yml":
				for text := range strings.SplitSeq(string(data), "\n---\n") {
					check(name, text)
				}
			case ".md":
				for _, text := range blocks(string(data)) {
					check(name, text)
				}
			}
			return nil
		})
	}
	if found == 0 {
		t.Error("no document was found")
	}
}

func TestExampleRepoLoads(t *testing.T) {
	set, errs := v1alpha1.Load(os.DirFS("../../fixtures/config-repo"))
	if len(errs) > 0 || len(set.Specs) < 2 || len(set.Alerts) == 0 {
		t.Errorf("%d specs, %d alerts, errors %v", len(set.Specs), len(set.Alerts), errs)
	}
}

// elided reports whether a mistake is a key that a page shows only in part.
func elided(text string, err error) bool {
	e, ok := errors.AsType[*v1alpha1.FieldError](err)
	return ok && strings.Contains(text, "…") && strings.HasSuffix(e.Path, ".pem")
}

// blocks returns the texts between ```yaml and ``` of a Markdown file.
func blocks(text string) []string {
	var out []string
	for _, part := range strings.Split(text, "```yaml\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		out = append(out, strings.Split(strings.TrimRight(block, " "), "\n---\n")...)
	}
	return out
}
