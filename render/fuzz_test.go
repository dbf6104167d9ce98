package render_test

import (
	"bytes"
	"testing"
	"testing/fstest"

	"github.com/cloudcwfranck/kspec/render"
)

// FuzzPlain: whatever stands in a file, rendering it gives an answer, the same
// one each time, and what it prints can be read back.
func FuzzPlain(f *testing.F) {
	f.Add([]byte(configMap))
	f.Add([]byte("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Secret, metadata: {name: a}}]\n---\n---\n# end\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("{\"kind\": 1, \"apiVersion\": [], \"metadata\": {\"name\": {}}}"))
	f.Add([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {? [x] : y, 1: 2, <<: {a: b}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		show := func(data []byte) []byte {
			files := fstest.MapFS{"a/a.yaml": &fstest.MapFile{Data: data}}
			want := doRender(t, render.Options{Limits: render.Limits{FileBytes: 1 << 16}}, overlays("a"), files)
			for i := range want.Objects {
				want.Objects[i].Source.File, want.Objects[i].Source.Line = "a/a.yaml", 1
			}
			text, err := render.YAML(want.Objects)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		first := show(data)
		if again := show(data); !bytes.Equal(first, again) {
			t.Fatalf("two renderings differ:\n%s\n%s", first, again)
		}
		if len(first) < 1<<16 {
			if back := show(first); !bytes.Equal(first, back) {
				t.Fatalf("printed:\n%s\nread back:\n%s", first, back)
			}
		}
	})
}
