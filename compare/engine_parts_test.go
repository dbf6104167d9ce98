package compare

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
)

func TestPlacesThatJQNames(t *testing.T) {
	doc := plainJSON(map[string]any{
		"spec": map[string]any{"replicas": int64(3), "list": []any{
			map[string]any{"name": "a", "on": true}, map[string]any{"name": "b", "n": 1.5},
		}},
		"odd": struct{}{},
	})
	tests := map[string][]string{
		".spec.replicas":                                 {"/spec/replicas"},
		".spec.list[0].name":                             {"/spec/list/0/name"},
		`.spec.list[] | select(.name == "b")`:            {"/spec/list/1"},
		`.spec.list[] | select(.name | test("^[ab]$"))`:  {"/spec/list/0", "/spec/list/1"},
		".spec.list[]?.name, .spec.replicas":             {"/spec/list/0/name", "/spec/list/1/name", "/spec/replicas"},
		`.spec["replicas"]`:                              {"/spec/replicas"},
		`if .spec.replicas > 2 then .spec else .odd end`: {"/spec"},
		".spec.list[0:1]":                                nil, // no one place
		".spec.replicas[]":                               nil, // does not fit
		".absent":                                        {"/absent"},
		`.spec | .. | .name? // empty`:                   {"/spec/list/0/name", "/spec/list/1/name"},
	}
	for text, want := range tests {
		q, err := compileQuery(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		places, err := q.places(t.Context(), doc)
		var got []string
		for _, p := range places {
			got = append(got, p.String())
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", text, err, diff)
		}
	}
}

// TestJQThatIsNotRun has expressions that would take for ever, or all memory,
// or more than the object.
func TestJQThatIsNotRun(t *testing.T) {
	for _, text := range []string{
		"[range(1e12)]", "repeat(.)", "def f: f; f", `"x" * 1e9`, "reduce .[] as $x (0; . + $x)", "foreach .[] as $x (0; .)",
		"label $x | break $x", "until(false; .)", "while(true; .)", "recurse(.)", "limit(1e9; repeat(1))", "env", "$ENV", "input",
		"inputs", "import \"x\" as x; .", "now", "[.[] | {a: .}]", `"\(range(1e9))"`, "@base64", "@json \"x\\(.)\"", "-.x", ".a + .b",
		". as $x | $x", ".a = 1", ".a |= 2", "getpath([\"a\"]) * 100000", "splits(\"a\")", "debug", "error(.a * 2)", ".[range(9)]", ".[(1+1):]",
		"try repeat(.) catch .", "if repeat(.) then . else . end", "if . then . elif repeat(.) then . else . end", ").x, (.", "", ".[",
		strings.Repeat(".a|", 3000) + ".a",
	} {
		if _, err := compileQuery(text); err == nil {
			t.Errorf("%.40q was taken", text)
		} else if len(err.Error()) > 100 {
			t.Errorf("%.40q: the error repeats it: %v", text, err)
		}
	}
}

func TestAJQBombIsCutOff(t *testing.T) {
	deep := any("x")
	for range 200 {
		deep = map[string]any{"a": deep, "b": []any{deep}}
		if len(text(deep)) > 1<<16 {
			break
		}
	}
	for _, bomb := range []string{strings.Repeat("..|", 40) + ".", ".. | select(any(..; any(..; any(..; . == 1))))"} {
		q, err := compileQuery(bomb)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.places(t.Context(), deep); err == nil {
			t.Errorf("%.30q came to an end", bomb)
		}
	}
}

func FuzzCompileQuery(f *testing.F) {
	for _, seed := range []string{".a.b[0]", ".. | .x?", `.a | select(.b == "c")`, ".[1:2]", "path(..)", "?//"} {
		f.Add(seed)
	}
	doc := plainJSON(map[string]any{"a": []any{"b", int64(1)}, "c": map[string]any{"d": nil}})
	f.Fuzz(func(t *testing.T, text string) {
		if q, err := compileQuery(text); err == nil {
			_, _ = q.places(t.Context(), doc) // must end, and must not panic
		}
	})
}

func TestCutOut(t *testing.T) {
	v := map[string]any{"a": []any{map[string]any{"x": 1, "y": 2}, "z"}, "b": "c"}
	tests := map[string]any{
		"/a/0/x": map[string]any{"a": []any{map[string]any{"y": 2}, "z"}, "b": "c"},
		"/b":     map[string]any{"a": []any{map[string]any{"x": 1, "y": 2}, "z"}},
		"/a/7":   v,
		"/b/c/d": map[string]any{"a": v["a"], "b": "c"},
		"/none":  v,
	}
	for at, want := range tests {
		if diff := cmp.Diff(want, pruned(v, split(at))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", at, diff)
		}
	}
	if pruned(v, kspec.Path{}) != nil {
		t.Error("the whole is left")
	}
}

func TestInventoryEntries(t *testing.T) {
	tests := map[string]kspec.ObjectID{
		"web_app_apps_Deployment":          {Group: "apps", Kind: "Deployment", Namespace: "web", Name: "app"},
		"_system__node_rbac.x_ClusterRole": {Group: "rbac.x", Kind: "ClusterRole", Name: "system:node"},
		"web_settings__ConfigMap":          {Kind: "ConfigMap", Namespace: "web", Name: "settings"},
		"__kyverno.io_ClusterPolicy":       {},
		"":                                 {}, "a_b": {}, "____": {}, "a_b_c_": {},
	}
	for text, want := range tests {
		got, ok := inventoried(text)
		if ok != (want.Name != "") || ok && got != want {
			t.Errorf("%q: got %+v, %v", text, got, ok)
		}
	}
}

func TestTrackingMarks(t *testing.T) {
	id := kspec.ObjectID{Group: "apps", Kind: "Deployment", Namespace: "web", Name: "app"}
	tests := map[string]kspec.UnitRef{
		"shop:apps/Deployment:web/app":      {Name: "shop"},
		"team_shop:apps/Deployment:web/app": {Namespace: "team", Name: "shop"},
		"shop:apps/Deployment:other/app":    {},
		"shop:apps/Deployment:web/other":    {},
		"shop:/Deployment:web/app":          {},
		"shop":                              {}, "": {}, ":apps/Deployment:web/app": {}, "a:b": {}, ":::": {},
	}
	for mark, want := range tests {
		if got, ok := tracked(mark, id); got != want || ok != (want.Name != "") {
			t.Errorf("%q: got %+v, %v", mark, got, ok)
		}
	}
	if _, ok := tracked("shop:/Namespace:web/web", kspec.ObjectID{Kind: "Namespace", Name: "web"}); !ok {
		t.Error("the mark of an object without a namespace has that of the Application")
	}
}
