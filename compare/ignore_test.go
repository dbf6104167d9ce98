package compare_test

import (
	"slices"
	"testing"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
)

// TestIgnoreRulesInsideOfADifference has differences that are reported at a
// place above the one that a rule names.
func TestIgnoreRulesInsideOfADifference(t *testing.T) {
	const head = "apiVersion: v1\nkind: Thing\nmetadata: {name: a}\n"
	rule := func(paths ...string) kspec.IgnoreRule {
		return kspec.IgnoreRule{Paths: paths, ExpiresAt: noon.Add(time.Hour)}
	}
	tests := map[string]struct {
		git, live string
		rules     []kspec.IgnoreRule
		ignored   bool
	}{
		"all that it holds": {"{}", "{a: {b: 1}}", []kspec.IgnoreRule{rule("/spec/x/a/b")}, true},
		"all but one":       {"{}", "{a: {b: 1, c: 2}}", []kspec.IgnoreRule{rule("/spec/x/a/b")}, false},
		"two rules":         {"{}", "{a: {b: 1, c: 2}}", []kspec.IgnoreRule{rule("/spec/x/a/b"), rule("/spec/x/a/c")}, true},
		"two paths":         {"{}", "{a: {b: 1, c: 2}}", []kspec.IgnoreRule{rule("/spec/x/a/b", "/spec/x/a/c")}, true},
		"nothing of it":     {"{}", "{a: {}}", []kspec.IgnoreRule{rule("/spec/x/a/b")}, false},
		"of an atomic list": {"[{name: a, v: 1}, {name: b, v: 1}]", "[{name: b, v: 2}]", []kspec.IgnoreRule{rule("/spec/x/[name=a]", "/spec/x/[name=b]/v")}, true},
		"siblings in it":    {"[{name: a, v: 1}, {name: b, v: 1}]", "[{name: b, v: 2}]", []kspec.IgnoreRule{rule("/spec/x/[name=a]")}, false},
		"by index":          {"[{name: a, v: 1}, {name: b, v: 1}]", "[{name: a, v: 1}]", []kspec.IgnoreRule{rule("/spec/x/1")}, true},
		"a plain item":      {"[a, b]", "[a, b, c]", []kspec.IgnoreRule{rule("/spec/x/[=c]")}, true},
		"another item":      {"[a, b]", "[a, b, c, d]", []kspec.IgnoreRule{rule("/spec/x/[=c]")}, false},
		"the order":         {"[a, b]", "[b, a, c]", []kspec.IgnoreRule{rule("/spec/x/[=c]")}, false},
		"a field of a text": {"a", "b", []kspec.IgnoreRule{rule("/spec/x/y")}, false},
		"keys of a map":     {"{}", "{a: {b: 1}}", []kspec.IgnoreRule{rule("/spec/x/a/[b=1]")}, false},
		"expired":           {"{}", "{a: {b: 1}}", []kspec.IgnoreRule{{Paths: []string{"/spec/x/a/b"}, ExpiresAt: noon}}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := look(t, head+"spec: {x: "+tt.git+"}", head+"spec: {x: "+tt.live+"}", `{"f:spec":{"f:x":{}}}`, "{}")
			got, suppressed := diff(t, l, rules(tt.rules...))
			if ignored := len(got) == 0 && suppressed > 0; ignored != tt.ignored {
				t.Errorf("ignored %t: suppressed %d and left %+v", ignored, suppressed, got)
			}
		})
	}
}

// A rule for one item hides no sibling, whatever their order (argo-cd#17694,
// #25284).
func TestAnIgnoreRuleByKeyFollowsItsItem(t *testing.T) {
	text := func(items string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [" + items + "]}\n"
	}
	const owned = `{"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{".":{},"f:image":{},"f:name":{}},"k:{\"name\":\"side\"}":{".":{},"f:image":{},"f:name":{}}}}}`
	l := look(t, text("{name: app, image: one}, {name: side, image: one}"),
		text("{name: injected, image: z}, {name: side, image: two}, {name: app, image: two}"), owned, "{}")
	for path, left := range map[string]string{
		"/spec/containers/[name=app]/image":  "/spec/containers/[name=side]/image",
		"/spec/containers/[name=side]/image": "/spec/containers/[name=app]/image",
		"/spec/containers/1/image":           "/spec/containers/[name=app]/image", // as they are in the cluster
	} {
		got, suppressed := diff(t, l, rules(kspec.IgnoreRule{Paths: []string{path}, ExpiresAt: noon.Add(time.Hour)}))
		if suppressed != 1 || len(got) != 1 || len(got[0].Fields) != 1 || got[0].Fields[0].KeyedPath != left {
			t.Errorf("%s: suppressed %d and left %+v, want %s", path, suppressed, got, left)
		}
	}
}

// Of several rules it is told which removed what, so that a report can count
// by rule.
func TestDiffSaysWhichRuleRemovedADifference(t *testing.T) {
	rule := func(path string) kspec.IgnoreRule {
		return kspec.IgnoreRule{Paths: []string{path}, ExpiresAt: noon.Add(time.Hour)}
	}
	findings, suppressed, err := compare.Diff(aPod(t), rules(rule("/nothing"), rule("/spec/containers/[name=app]/image"), rule("/spec/containers/0/resources")))
	slices.Sort(suppressed)
	if err != nil || len(findings) > 0 || !slices.Equal(suppressed, []int{1, 2}) {
		t.Errorf("suppressed by the rules %v and left %+v: %v", suppressed, findings, err)
	}
}
