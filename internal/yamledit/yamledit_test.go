package yamledit_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/internal/yamledit"
)

const deployment = `# the web front
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web   # as in DNS
  labels: {app: web, "tier": front}
spec:

  replicas: 3 # two were not enough
  paused:
  template:
    spec:
      containers:
      # the app
      - name: app
        image: 'registry.example/web:1.4.2'
        args: ["--a", '--b', c]
        command:
          - run
          - it
        env:
        - name: MODE
          value: "fast"

      - image: sidecar:1 # image first
        name: side
        script: |
          echo "a: b"

          exit
  # the end
  strategy: {}
`

func TestSetAndDeleteChangeTheirLinesOnly(t *testing.T) {
	for _, tc := range []struct {
		name, path string
		value      any // nil deletes
		diff       string
	}{
		{"a number keeps its comment", "/spec/replicas", 5, `
-  replicas: 3 # two were not enough
+  replicas: 5 # two were not enough`},
		{"a JSON number is whole", "/spec/replicas", 5.0, `
-  replicas: 3 # two were not enough
+  replicas: 5 # two were not enough`},
		{"a string keeps its quotes", "/spec/template/spec/containers/[name=app]/image", "registry.example/web:1.5", `
-        image: 'registry.example/web:1.4.2'
+        image: 'registry.example/web:1.5'`},
		{"a plain string is quoted when it must be", "/metadata/name", "on", `
-  name: web   # as in DNS
+  name: "on"   # as in DNS`},
		{"a list item is found by its key", "/spec/template/spec/containers/[name=app]/env/[name=MODE]/value", "slow", `
-          value: "fast"
+          value: "slow"`},
		{"an item of a flow list", "/spec/template/spec/containers/[name=app]/args/1", "--c", `
-        args: ["--a", '--b', c]
+        args: ["--a", '--c', c]`},
		{"an item of a block list", "/spec/template/spec/containers/0/command/1", "them", `
-          - it
+          - them`},
		{"a new key goes to the end of its map", "/spec/minReadySeconds", 10, `
-  strategy: {}
+  strategy: {}
+  minReadySeconds: 10`},
		{"a new key of a list item", "/spec/template/spec/containers/[name=side]/tty", true, `
-          exit
+          exit
+        tty: true`},
		{"a map is made on the way", "/spec/template/metadata/annotations/example.com~1at", "now", `
-          exit
+          exit
+    metadata:
+      annotations:
+        example.com/at: now`},
		{"a list is made on the way", "/spec/template/spec/containers/[name=side]/ports/[containerPort=80,protocol=TCP]/name", "http", `
-          exit
+          exit
+        ports:
+        - containerPort: 80
+          protocol: TCP
+          name: http`},
		{"a new item goes to the end of its list", "/spec/template/spec/containers/[name=extra]", map[string]any{"image": "x:1", "name": "extra"}, `
-          exit
+          exit
+      - name: extra
+        image: x:1`},
		{"a key that has no value yet", "/spec/paused", true, `
-  paused:
+  paused: true`},
		{"a map in place of nothing", "/spec/paused/by", "ada", `
-  paused:
+  paused:
+    by: ada`},
		{"a map in place of {}", "/spec/strategy/type", "Recreate", `
-  strategy: {}
+  strategy:
+    type: Recreate`},
		{"a key of a flow map", "/metadata/labels/team", "a,b", `
-  labels: {app: web, "tier": front}
+  labels: {app: web, "tier": front, team: "a,b"}`},
		{"a scalar becomes a map", "/spec/replicas", map[string]any{"min": 1, "max": 3}, `
-  replicas: 3 # two were not enough
+  replicas: # two were not enough
+    max: 3
+    min: 1`},
		{"a map becomes a scalar", "/metadata/labels", "none", `
-  labels: {app: web, "tier": front}
+  labels: none`},
		{"a text of several lines", "/spec/template/spec/containers/[name=side]/script", "one\ntwo\n", `
-          echo "a: b"
-
-          exit
+          one
+          two`},
		{"a text of one line in place of several", "/spec/template/spec/containers/[name=side]/script", "true", `
-        script: |
-          echo "a: b"
-
-          exit
+        script: "true"`},
		{"delete a key", "/spec/replicas", nil, `
-  replicas: 3 # two were not enough`},
		{"delete the first key of a list item", "/spec/template/spec/containers/[name=side]/image", nil, `
-      - image: sidecar:1 # image first
-        name: side
+      - name: side`},
		{"delete a list item", "/spec/template/spec/containers/[name=side]", nil, `
-      - image: sidecar:1 # image first
-        name: side
-        script: |
-          echo "a: b"
-
-          exit`},
		{"delete the only list item", "/spec/template/spec/containers/[name=app]/env/[name=MODE]", nil, `
-        env:
-        - name: MODE
-          value: "fast"
+        env: []`},
		{"delete a key of a flow map", "/metadata/labels/app", nil, `
-  labels: {app: web, "tier": front}
+  labels: {"tier": front}`},
		{"delete the last item of a flow list", "/spec/template/spec/containers/[name=app]/args/2", nil, `
-        args: ["--a", '--b', c]
+        args: ["--a", '--b']`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, nl := range []string{"\n", "\r\n"} {
				src := strings.ReplaceAll(deployment, "\n", nl)
				got, err := edit(t, src, 0, tc.path, tc.value)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Count(got, "\n") != strings.Count(got, nl) {
					t.Errorf("the line breaks are mixed: %q", got)
				}
				if diff := cmp.Diff(strings.TrimPrefix(tc.diff, "\n"), lineDiff(deployment, strings.ReplaceAll(got, nl, "\n"))); diff != "" {
					t.Errorf("the change is another (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestEditsWhatTheTextAllows(t *testing.T) {
	for _, tc := range []struct {
		name, src, path string
		doc             int
		value           any
		want            string // empty: refused
	}{
		{"JSON", "{\n  \"a\": 1,\n  \"b\": {\"c\": \"x\"}\n}\n", "/b/c", 0, "<y>", "{\n  \"a\": 1,\n  \"b\": {\"c\": \"<y>\"}\n}\n"},
		{"JSON, a new key", "{\n  \"a\": 1\n}\n", "/b", 0, map[string]any{"c": true}, "{\n  \"a\": 1,\n  \"b\": {\"c\":true}\n}\n"},
		{"JSON, the first key goes", "{\"a\": 1, \"b\": 2}", "/a", 0, nil, "{\"b\": 2}"},
		{"no line break at the end", "a: 1\nb: 2", "/c", 0, 3, "a: 1\nb: 2\nc: 3"},
		{"no line break at the end, last key goes", "a: 1\nb: 2", "/b", 0, nil, "a: 1"},
		{"the second document", "a: 1\n---\na: 1 # two\n---\na: 1\n", "/a", 1, 2, "a: 1\n---\na: 2 # two\n---\na: 1\n"},
		{"a marker in a block scalar is none", "a: |\n  ---\n  x\nb: 1\n", "/b", 0, 2, "a: |\n  ---\n  x\nb: 2\n"},
		{"byte order mark", "\uFEFFa: 1\n", "/a", 0, 2, "\uFEFFa: 2\n"},
		{"wide characters before it", "{ä: 日本, b: 1}\n", "/b", 0, 2, "{ä: 日本, b: 2}\n"},
		{"indented lists stay so", "a:\n  - 1\nb: 2\n", "/c", 0, []any{"x"}, "a:\n  - 1\nb: 2\nc:\n  - x\n"},
		{"quotes inside a flow map", "a: {b: it's, c: \"}\"} # }\n", "/a/c", 0, "d", "a: {b: it's, c: \"d\"} # }\n"},
		{"an anchor elsewhere", "x: &x 1\ny: *x\na: 1\n", "/a", 0, 2, "x: &x 1\ny: *x\na: 2\n"},
		{"a plain scalar of several lines", "a: one\n  two\nb: 1\n", "/a", 0, "x", "a: x\nb: 1\n"},
		{"a list in a list", "a:\n- - 1\n  - 2\n", "/a/0/1", 0, 3, "a:\n- - 1\n  - 3\n"},
		{"an anchor", "a: &x 1\nb: *x\n", "/a", 0, 2, ""},
		{"an alias", "a: &x 1\nb: *x\n", "/b", 0, 2, ""},
		{"an anchor on the way", "a: &x {c: 1}\nb: *x\n", "/a/c", 0, 2, ""},
		{"a merge key", "x: &x {c: 1}\na:\n  <<: *x\n", "/a/c", 0, 2, ""},
		{"an explicit tag", "a: !!str 1\n", "/a", 0, "2", ""},
		{"a key that stands there twice", "a: 1\na: 2\n", "/a", 0, 2, ""},
		{"a way through a plain value", "a: 1\n", "/a/b", 0, 2, ""},
		{"nothing to delete", "a: 1\n", "/b", 0, nil, ""},
		{"the only thing there is", "a: 1\n", "/a", 0, nil, ""},
		{"two items of one key", "a:\n- {name: x}\n- {name: x}\n", "/a/[name=x]/v", 0, 1, ""},
		{"an empty document", "# nothing\n", "/a", 0, 1, ""},
		{"keys in a map", "a: {b: 1}\n", "/a/[name=x]", 0, 1, ""},
		{"an item far beyond the list", "a: [1]\n", "/a/7", 0, 1, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := edit(t, tc.src, tc.doc, tc.path, tc.value)
			if tc.want == "" {
				if !errors.Is(err, yamledit.ErrRefused) || got != tc.src {
					t.Errorf("want a refusal that changes nothing, got %v and %q", err, got)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

func TestParseRefusesWhatItCannotKeep(t *testing.T) {
	for name, src := range map[string]string{
		"a lone carriage return":           "a: 1\rb: 2\n",
		"an unusual line break":            "a: 1\u2028",
		"too large":                        "a: " + strings.Repeat("x", 5<<20),
		"two documents without a marker":   "a: 1\n...\nb: 1\n",
		"a tab":                            "a:\n\t- b\n",
		"something that is not YAML":       "a: [\n",
		"a second document that is broken": "a: 1\n---\nb: [\n",
	} {
		if _, err := yamledit.Parse([]byte(src)); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

func edit(t testing.TB, src string, doc int, path string, value any) (string, error) {
	t.Helper()
	f, err := yamledit.Parse([]byte(src))
	if err != nil {
		t.Fatal(err)
	}
	p, err := kspec.ParsePath(path)
	if err != nil {
		t.Fatal(err)
	}
	if value == nil {
		err = f.Docs[doc].Delete(p)
	} else {
		err = f.Docs[doc].Set(p, value)
	}
	return string(f.Bytes()), err
}

// lineDiff returns the lines between what a and b have in common at begin and
// end.
func lineDiff(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for len(x) > 0 && len(y) > 0 && x[0] == y[0] {
		// An insertion is shown with the line before it.
		if len(x) > 1 && len(y) > 1 && x[1] != y[1] && len(y) > len(x) && contains(y[1:], x[1:]) {
			break
		}
		x, y = x[1:], y[1:]
	}
	for len(x) > 0 && len(y) > 0 && x[len(x)-1] == y[len(y)-1] {
		x, y = x[:len(x)-1], y[:len(y)-1]
	}
	var out []string
	for _, l := range x {
		out = append(out, "-"+l)
	}
	for _, l := range y {
		out = append(out, "+"+l)
	}
	return strings.Join(out, "\n")
}

// contains reports whether y ends with x.
func contains(y, x []string) bool {
	return len(y) >= len(x) && strings.Join(y[len(y)-len(x):], "\n") == strings.Join(x, "\n")
}

// FuzzSet changes one value of any text and checks, by another parser, that
// the text still means the same but for that value.
func FuzzSet(f *testing.F) {
	f.Add(deployment, "/spec/replicas", "5", uint8(0))
	f.Add("{\"a\": [1, {\"b\": null}]}", "/a/1/b", "x: y", uint8(0))
	f.Add("a: |\n  x\n\nb: >-\n  y\n", "/b", "on", uint8(1))
	f.Add("- a\n- b: c\n  d: e\n", "/1/b", "#", uint8(0))
	f.Fuzz(func(t *testing.T, src, path, value string, remove uint8) {
		file, err := yamledit.Parse([]byte(src))
		if err != nil || len(file.Docs) != 1 {
			return
		}
		p, err := kspec.ParsePath(path)
		if err != nil {
			return
		}
		before, err := decode(src)
		if err != nil {
			return
		}
		if remove%2 == 1 {
			err = file.Docs[0].Delete(p)
		} else {
			err = file.Docs[0].Set(p, value)
		}
		got := string(file.Bytes())
		if err != nil {
			if got != src {
				t.Fatalf("a refused edit changed the text: %q", got)
			}
			return
		}
		after, err := decode(got)
		if err != nil {
			t.Fatalf("%q does not parse any more: %v", got, err)
		}
		if n := file.Docs[0].Get(p); remove%2 == 0 && (n == nil || n.Value != value) {
			t.Fatalf("%s is not %q in %q", path, value, got)
		}
		top := p[0].Field
		a, aok := after.(map[string]any)
		b, bok := before.(map[string]any)
		if !aok || !bok || len(p[0].Keys) > 0 {
			return
		}
		delete(a, top)
		delete(b, top)
		if diff := cmp.Diff(b, a); diff != "" {
			t.Fatalf("more than %s changed (-before +after):\n%s", path, diff)
		}
	})
}

func decode(s string) (any, error) {
	var v any
	err := yaml.Unmarshal([]byte(s), &v)
	return v, err
}

func TestRenameKeepsAllButTheKey(t *testing.T) {
	for _, tc := range []struct{ path, name, want string }{
		{"/a", "b", "# top\nb: # side\n  - 1\n\"q\": {x: 1, y: 2}\n"},
		{"/q", "r", "# top\na: # side\n  - 1\n\"r\": {x: 1, y: 2}\n"},
		{"/q/x", "on", "# top\na: # side\n  - 1\n\"q\": {\"on\": 1, y: 2}\n"},
		{"/q/x", "y", ""}, // taken
		{"/q/z", "w", ""}, // not there
		{"/a/0", "w", ""}, // not a key
		{"", "w", ""},
	} {
		f, err := yamledit.Parse([]byte("# top\na: # side\n  - 1\n\"q\": {x: 1, y: 2}\n"))
		if err != nil {
			t.Fatal(err)
		}
		path, err := kspec.ParsePath(tc.path)
		if err != nil {
			t.Fatal(err)
		}
		err = f.Docs[0].Rename(path, tc.name)
		if tc.want == "" {
			if !errors.Is(err, yamledit.ErrRefused) {
				t.Errorf("%s to %s: error %v, want it refused", tc.path, tc.name, err)
			}
			continue
		}
		if diff := cmp.Diff(tc.want, string(f.Bytes())); err != nil || diff != "" {
			t.Errorf("%s to %s: %v\n%s", tc.path, tc.name, err, diff)
		}
	}
}

func TestCutLeavesComments(t *testing.T) {
	for _, tc := range []struct{ name, path, text, want string }{
		{"a field", "/a/b", "a:\n  b: 1 # one\n  c: 2\n", "a:\n  # one\n  c: 2\n"},
		{"without any", "/a/b", "a:\n  b: 1\n  c: 2\n", "a:\n  c: 2\n"},
		{"a map", "/a", "a: # one\n  # two\n  b: 1 # three\nc: 2\n", "# one\n# two\n# three\nc: 2\n"},
		{"the last field", "/a/b", "a:\n  b: # one\n    c: 1 # two\nd: 2\n", "a: {}\n  # one\n  # two\nd: 2\n"},
		{"an item", "/a/0", "a:\n- b: 1 # one\n  c: 2 # two\n- d: 3\n", "a:\n# one\n# two\n- d: 3\n"},
		{"line ends of Windows", "/a/b", "a:\r\n  b: 1 # one\r\n  c: 2\r\n", "a:\r\n  # one\r\n  c: 2\r\n"},
		{"text that is none", "/a/b", "a:\n  b: 'x # y'\n  c: 2\n", "a:\n  c: 2\n"},
		{"in brackets", "/a/b", "a: {b: 1, # one\n  c: 2}\n", "a: {c: 2}\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, err := yamledit.Parse([]byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			path, err := kspec.ParsePath(tc.path)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Docs[0].Cut(path); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(f.Bytes())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
