package v1alpha1_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
)

const head = "apiVersion: kspec.io/v1alpha1\nkind: ClusterSpec\nmetadata: {name: prod}\n"

// decode returns the documents as "Kind name:line" and the errors as text.
func decode(text string) (docs, errs []string) {
	d, e := v1alpha1.Decode("f.yaml", []byte(text))
	for _, doc := range d {
		kind := doc.Object.GetObjectKind().GroupVersionKind().Kind
		docs = append(docs, fmt.Sprintf("%s %s:%d", kind, doc.Object.GetName(), doc.Source.Line))
	}
	for _, err := range e {
		errs = append(errs, err.Error())
	}
	return docs, errs
}

func TestDecodeFindsOurDocumentsAmongOthers(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"one", head + "spec: {}\n", []string{"ClusterSpec prod:1"}},
		{"the old kind is read as the new", "apiVersion: kspec.io/v1alpha1\nkind: ClusterSpecification\nmetadata: {name: a}\nspec: {}", []string{"ClusterSpec a:1"}},
		{
			"several, with comments, markers and empty documents",
			"# comment\n---\n---\n" + head + "spec: {}\n---\n# only a comment\n--- # here\napiVersion: kspec.io/v1alpha1\nkind: PolicyTemplate\nmetadata: {name: t}\nspec: {}\n...\n",
			[]string{"ClusterSpec prod:4", "PolicyTemplate t:11"},
		},
		{"JSON", `{"apiVersion": "kspec.io/v1alpha1",` + "\n\t" + `"kind": "ClusterSpec", "metadata": {"name": "j"}, "spec": {"suspend": true}}`, []string{"ClusterSpec j:1"}},
		{"CRLF", strings.ReplaceAll("---\n"+head+"spec: {}\n---\n"+strings.Replace(head, "prod", "b", 1)+"spec: {}\n", "\n", "\r\n"), []string{"ClusterSpec prod:2", "ClusterSpec b:7"}},
		{"UTF-8 with a mark", "\ufeff" + head + "spec: {}\n", []string{"ClusterSpec prod:1"}},
		{"templating beside it", "a: {{ .Values.x }\n\t- kspec.io\n---\n" + head + "spec: {}\n", []string{"ClusterSpec prod:4"}},
		{"a ConfigMap that holds one as text", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  x: |\n    apiVersion: kspec.io/v1alpha1\n    kind: Nonsense\n", nil},
		{"a CRD of ours", "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nspec: {group: kspec.io}\n", nil},
		{"another group that ends like ours", "apiVersion: notkspec.io/v1\nkind: ClusterSpec\nbogus: 1\n", nil},
		{"no YAML at all", "\x00\x01kspec.io\xff{{", nil},
		{"nothing", "", nil},
		{"a mere list of texts", "- kspec.io\n- kspec.dev\n", nil},
		{"anchors in documents of others", "a: &a [kspec.io]\nb: *a\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			docs, errs := decode(tt.text)
			if len(errs) > 0 {
				t.Errorf("errors: %q", errs)
			}
			if diff := cmp.Diff(tt.want, docs); diff != "" {
				t.Errorf("documents (-want +got):\n%s", diff)
			}
		})
	}
}

// Each mistake gives the whole list of errors.
func TestDecodeNamesTheMistake(t *testing.T) {
	spec := func(s string) string { return head + "spec:\n" + s }
	tests := []struct {
		name, text string
		want       []string
	}{
		{"unknown field", spec("  manifests:\n  - pth: apps\n"), []string{
			`f.yaml:6: spec.manifests[0].path: required, but absent`,
			`f.yaml:6: spec.manifests[0].pth: unknown field (did you mean "path"?)`,
		}},
		{"unknown field, unlike any", spec("  zzzzzz: 1\n"), []string{`f.yaml:5: spec.zzzzzz: unknown field`}},
		{"unknown field of another case", spec("  Suspend: true\n"), []string{`f.yaml:5: spec.Suspend: unknown field (did you mean "suspend"?)`}},
		{"status is not written in Git", head + "spec: {}\nstatus: {}\n", []string{`f.yaml:5: status: unknown field`}},
		{"field of a live object", "apiVersion: kspec.io/v1alpha1\nkind: ClusterSpec\nmetadata: {name: a, uid: b}\nspec: {}", []string{`f.yaml:3: metadata.uid: unknown field`}},
		{"duplicate key", spec("  suspend: true\n  interval: 5m\n  suspend: false\n"), []string{`f.yaml:7: spec.suspend: duplicate key, the first is in line 5`}},
		{"duplicate key at the top", head + "kind: ClusterSpec\nspec: {}", []string{`f.yaml:4: kind: duplicate key, the first is in line 2`}},
		{"wrong types, all of them", spec("  suspend: \"yes\"\n  manifests: apps\n  delivery: [flux]\n  drift: {confirm: {observations: two}}\n"), []string{
			`f.yaml:5: spec.suspend: want true or false, not a string`,
			`f.yaml:6: spec.manifests: want a list, not a string`,
			`f.yaml:7: spec.delivery: want a map, not a list`,
			`f.yaml:8: spec.drift.confirm.observations: want a whole number, not a string`,
		}},
		{"text that looks like a number", spec("  clusterRef: {name: 1.30}\n"), []string{`f.yaml:5: spec.clusterRef.name: want a string, not a number: write "1.30"`}},
		{"text that older YAML reads as a boolean", spec("  clusterRef: {name: yes}\n"), []string{`f.yaml:5: spec.clusterRef.name: want a string, not true or false: write "yes"`}},
		{"bad enum", spec("  delivery: {engine: fluxx}\n"), []string{`f.yaml:5: spec.delivery.engine: "fluxx" is not one of flux, argocd, none (did you mean "flux"?)`}},
		{"integer beyond 64 bits", spec("  drift: {confirm: {observations: 9223372036854775808}}\n"), []string{`f.yaml:5: spec.drift.confirm.observations: 9223372036854775808 is not a whole decimal number within 64 bits`}},
		{"octal", spec("  drift: {confirm: {observations: 010}}\n"), []string{`f.yaml:5: spec.drift.confirm.observations: 010 is not a whole decimal number within 64 bits`}},
		{"too small", spec("  drift: {confirm: {observations: 0}}\n"), []string{`f.yaml:5: spec.drift.confirm.observations: 0 is less than 1`}},
		{"too large", spec("  drift: {confirm: {observations: 101}}\n"), []string{`f.yaml:5: spec.drift.confirm.observations: 101 is more than 100`}},
		{"not a number", spec("  policyTemplate: {name: t, parameters: {a: .nan}}\n"), []string{`f.yaml:5: spec.policyTemplate.parameters.a: .nan is not a number of JSON`}},
		{"missing at the top", "apiVersion: kspec.io/v1alpha1\nkind: ClusterSpec\n", []string{`f.yaml:1: metadata: required, but absent`, `f.yaml:1: spec: required, but absent`}},
		{"empty where something must be", "apiVersion: kspec.io/v1alpha1\nkind: ClusterSpec\nmetadata:\nspec:\n", []string{`f.yaml:3: metadata: required, but empty`, `f.yaml:4: spec: required, but empty`}},
		{"empty name", "apiVersion: kspec.io/v1alpha1\nkind: ClusterSpec\nmetadata: {name: \"\"}\nspec: {}", []string{`f.yaml:3: metadata.name: required, but empty`}},
		{"bad name", "apiVersion: kspec.io/v1alpha1\nkind: ClusterSpec\nmetadata: {name: Prod_EU}\nspec: {}", []string{`f.yaml:3: metadata.name: "Prod_EU" does not match ^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`}},
		{"null in a list", spec("  manifests:\n  -\n"), []string{`f.yaml:6: spec.manifests[0]: want a value, not null`}},
		{"null in a map", "apiVersion: kspec.io/v1alpha1\nkind: ClusterSpec\nmetadata: {name: a, labels: {x: }}\nspec: {}", []string{`f.yaml:3: metadata.labels.x: want a value, not null`}},
		{"key that is no word", "apiVersion: kspec.io/v1alpha1\nkind: ClusterSpec\nmetadata: {name: a, labels: {a.b/c: 1}}\nspec: {}", []string{`f.yaml:3: metadata.labels["a.b/c"]: want a string, not a whole number: write "1"`}},
		{"tab", spec("\tsuspend: true\n"), []string{`f.yaml:5: not YAML: a tab in the indentation: use spaces`}},
		{"tab in a later document", "---\na: b\n---\n" + spec("  manifests:\n\t- path: x\n"), []string{`f.yaml:9: not YAML: a tab in the indentation: use spaces`}},
		{"broken YAML", spec("  a: [\n"), []string{`f.yaml:5: not YAML: did not find expected node content`}},
		{"alias", spec("  manifests: &m []\n  policyTemplates: *m\n"), []string{`f.yaml:6: spec.policyTemplates: aliases are not read: write the value out`}},
		{"merge key", spec("  delivery: {<<: {engine: flux}}\n"), []string{`f.yaml:5: spec.delivery: want plain keys`}},
		{"key that is a map", spec("  delivery: {? {a: b} : c}\n"), []string{`f.yaml:5: spec.delivery: want plain keys`}},
		{"binary", spec("  clusterRef: {name: !!binary aGVsbG8=}\n"), []string{`f.yaml:5: spec.clusterRef.name: the tag !!binary is not read`}},
		{"tag of Python", spec("  policyTemplate: {name: t, parameters: {a: !!python/object:os.system x}}\n"), []string{`f.yaml:5: spec.policyTemplate.parameters.a: the tag !!python/object:os.system is not read`}},
		{"UTF-16", "\xff\xfe" + strings.Join(strings.Split(head, ""), "\x00") + "\x00", []string{`f.yaml:1: the file is UTF-16: save it as UTF-8`}},
		{"unknown kind", "apiVersion: kspec.io/v1alpha1\nkind: ClusterSpeck\n", []string{`f.yaml:2: kind: "ClusterSpeck" is unknown: want one of ClusterSpec, ClusterTarget, AlertConfig, PolicyTemplate (did you mean "ClusterSpec"?)`}},
		{"a report", "apiVersion: kspec.io/v1alpha1\nkind: DriftReport\n", []string{`f.yaml:2: kind: a DriftReport is a result, and has no place in the config repo: take the document out`}},
		{"no kind", "x: 1\napiVersion: kspec.io/v1alpha1\n", []string{`f.yaml:1: kind: "" is unknown: want one of ClusterSpec, ClusterTarget, AlertConfig, PolicyTemplate`}},
		{"unknown version", "kind: ClusterSpec\napiVersion: kspec.io/v2\n", []string{`f.yaml:2: apiVersion: "kspec.io/v2" is unknown: want kspec.io/v1alpha1`}},
		{"no version", "kind: ClusterSpec\napiVersion: kspec.io\n", []string{`f.yaml:2: apiVersion: "kspec.io" is unknown: want kspec.io/v1alpha1`}},
		{"list", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n- kind: List\n  items:\n  - apiVersion: kspec.io/v1alpha1\n", []string{`f.yaml:7: documents of kspec.io in a list are not read: separate them by ---`}},
		{"list without a kind", "- apiVersion: kspec.io/v1alpha1\n", []string{`f.yaml:1: documents of kspec.io in a list are not read: separate them by ---`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			docs, errs := decode(tt.text)
			if len(docs) > 0 {
				t.Errorf("returned %v beside the errors", docs)
			}
			if diff := cmp.Diff(tt.want, errs); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeReadsTheRestOfTheFile(t *testing.T) {
	good := func(name string) string { return strings.Replace(head, "prod", name, 1) + "spec: {}\n" }
	for name, bad := range map[string]string{
		"unknown field": strings.Replace(good("x"), "spec: {}", "spec: {bogus: 1}", 1),
		"broken":        head + "spec: [\n",
		"tab":           head + "\tspec: {}\n",
		"unknown kind":  "apiVersion: kspec.io/v1alpha1\nkind: Bogus\n",
	} {
		docs, errs := decode(good("a") + "---\n" + bad + "---\n" + good("b"))
		if diff := cmp.Diff([]string{"ClusterSpec a:1"}, docs[:1]); diff != "" || len(docs) != 2 || len(errs) != 1 {
			t.Errorf("%s: got %v and %v, want the documents a and b and one error", name, docs, errs)
		}
	}
}

func TestDecodeHintsAtMigration(t *testing.T) {
	for _, text := range []string{
		"apiVersion: kspec.dev/v1\nkind: ClusterSpecification\nspec: {bogus: 1}\n",
		"apiVersion: kspec.io/v1alpha1\nkind: ClusterSpecification\nmetadata: {name: a}\nspec: {policies: []}\n",
	} {
		_, errs := v1alpha1.Decode("f.yaml", []byte(text))
		if len(errs) != 1 || !strings.Contains(kspec.HintOf(errs[0]), "kspec migrate") {
			t.Errorf("%q: errors %v with hint %q, want one that hints at kspec migrate", text, errs, kspec.HintOf(errors.Join(errs...)))
		}
	}
}

// bombs are inputs that cost the reader more than the writer, in a reader that
// follows them.
func bombs() map[string]string {
	laughs := head + "spec:\n  policyTemplate:\n    name: t\n    parameters:\n      a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 10; i++ {
		refs := strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), ", ")
		laughs += fmt.Sprintf("      a%d: &a%d [%s]\n", i, i, refs)
	}
	return map[string]string{
		"billion laughs":   laughs,
		"many brackets":    head + "spec: " + strings.Repeat("[", 10_000),
		"closed brackets":  head + "spec: {policyTemplate: {name: t, parameters: {a: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}}}\n",
		"many aliases":     head + "spec:\n  suspend: &a true\n  manifests: [" + strings.Repeat("*a,", 50_000) + "]\n",
		"deep lists":       "kind: List\nitems: [{apiVersion: v1}]\n" + strings.Repeat("x: {kind: List, items: [", 3000) + "kspec.io",
		"many documents":   strings.Repeat("---\nkspec.io: 1\n", 50_000),
		"many unknown":     head + "spec:\n" + strings.Repeat("  a: 1\n", 50_000),
		"self alias":       head + "spec: &a {policyTemplate: {name: t, parameters: {b: *a}}}\n",
		"a very long line": head + "spec: {clusterRef: {name: " + strings.Repeat("x", 1<<20) + "}}\n",
	}
}

func TestDecodeSurvivesBombs(t *testing.T) {
	for name, text := range bombs() {
		start := time.Now()
		_, errs := v1alpha1.Decode("f.yaml", []byte(text))
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
		if len(errs) == 0 && strings.HasPrefix(text, head) && name != "a very long line" {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestDecodeKeepsParameters(t *testing.T) {
	docs, errs := v1alpha1.Decode("f.yaml", []byte(head+`spec:
  policyTemplate:
    name: t
    parameters:
      text: "1.30"
      int: 3
      big: 9007199254740993
      float: 1.5
      bool: true
      none: null
      day: 2030-01-31
      list: [a, 1, {b: c}]
`))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	spec := docs[0].Object.(*v1alpha1.ClusterSpec)
	target, err := spec.Target(docs[0].Source, kspec.Revision{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"text": "1.30", "int": int64(3), "big": int64(9007199254740993), "float": 1.5, "bool": true, "none": nil,
		"day": "2030-01-31", "list": []any{"a", int64(1), map[string]any{"b": "c"}},
	}
	if diff := cmp.Diff(want, target.Templates[0].Parameters); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
}

func FuzzDecode(f *testing.F) {
	for _, text := range bombs() {
		if len(text) < 20_000 {
			f.Add([]byte(text))
		}
	}
	f.Add([]byte(head + "spec:\n  interval: 5m\n  manifests: [{path: apps}]\n"))
	f.Add([]byte("---\n" + head + "spec: {drift: {ignore: [{paths: [/a/~1b], reason: r, expiresAt: 2030-01-01T00:00:00Z}]}}\n---\n{{ kspec.io }}"))
	f.Add([]byte(`{"apiVersion":"kspec.io/v1alpha1","kind":"AlertConfig","metadata":{"name":"a"},"spec":{"defaultNotifiers":[]}}`))
	f.Add([]byte("\xff\xfek\x00s\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, errs := v1alpha1.Decode("dir/f.yaml", data)
		for _, err := range errs {
			var e *v1alpha1.FieldError
			if !errors.As(err, &e) || e.File != "dir/f.yaml" || e.Line < 1 || e.Msg == "" {
				t.Errorf("error without a place: %#v", err)
			}
		}
		for _, d := range docs {
			if d.Object.GetName() == "" || d.Source.File != "dir/f.yaml" || d.Source.Line < 1 {
				t.Errorf("document without a name or place: %+v", d.Source)
			}
			if spec, ok := d.Object.(*v1alpha1.ClusterSpec); ok {
				if _, err := spec.Target(d.Source, kspec.Revision{}); err != nil {
					t.Errorf("decoded, but of no use: %v", err)
				}
			}
		}
	})
}
