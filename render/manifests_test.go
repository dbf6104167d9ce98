package render_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec/render"
)

func TestManifestsNameTheLinesOfObjectsAndOfWhatIsNone(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"only comments", "# a\n---\n# b\n", ""},
		{"one", pod, "Pod a:1"},
		{"several", "---\n" + pod + "---\n\n" + pod + "--- # b\n# c\n" + pod, "Pod a:2 Pod a:7 Pod a:12"},
		{"inline", "--- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n---\t{apiVersion: v1, kind: Pod, metadata: {name: b}}", "Pod a:1 Pod b:2"},
		{"lines of Windows", strings.ReplaceAll(pod+"---\n"+pod, "\n", "\r\n"), "Pod a:1 Pod a:5"},
		{"no separators", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  a: |\n    ---\n    b\n  ---b: c\n", "Secret a:1"},
		{"JSON", "{\"apiVersion\": \"v1\",\n \"kind\": \"List\", \"items\": [\n  {\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"a\"}}]}", "Pod a:3"},
		{"as kubectl reads", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: yes}\n", "ConfigMap a:1"},
		{"named by the API server", "apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: a-}\n", "Job a-:1"},
		{"without a name", "---\napiVersion: v1\nkind: Pod\n", "2: the Pod has no metadata.name"},
		{"bad ones between", "a: [\n---\n" + pod + "---\na: b\nc: d\n---\nx: 1\n  y: 2\n---\n" + pod, "Pod a:3 Pod a:13 1: not YAML: did not find expected node content 7: the object has no kind 11: not YAML: mapping values are not allowed in this context"},
		{"a list with a hole", "---\napiVersion: v1\nkind: List\nitems:\n- null\n", "5: an item of the list is null"},
		{"no mapping", "- a\n", "1: not an object: want a mapping with apiVersion, kind and metadata"},
		{"UTF-16", "\xff\xfea\x00", "1: the file is UTF-16: save it as UTF-8"},
		{"an anchor of another document", "a: &a 1\n---\nb: *a\n", "1: the object has no kind 2: not YAML: unknown anchor 'a' referenced"},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects, unknown := render.Manifests("f", []byte(c.text), render.Limits{})
			var got []string
			for _, o := range objects {
				got = append(got, fmt.Sprintf("%s %s:%d", o.GetKind(), o.GetName(), o.Source.Line))
			}
			for _, u := range unknown {
				got = append(got, fmt.Sprintf("%d: %s", u.Source.Line, u.Reason))
			}
			if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
	objects, unknown := render.Manifests("f", []byte("a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b]\n"), render.Limits{Nodes: 10})
	if len(objects) > 0 || len(unknown) != 1 || !strings.Contains(unknown[0].Reason, "Nodes") {
		t.Errorf("aliases beyond the limit: %+v", unknown)
	}
}
