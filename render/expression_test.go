package render

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNamesAreFoundAndNothingElse(t *testing.T) {
	for text, want := range map[string]string{
		"podSpec.x":                             "variables.podSpec.x",
		"a.podSpec":                             "a.podSpec",
		"a . podSpec":                           "a . podSpec",
		"a.?podSpec.orValue(podSpec)":           "a.?podSpec.orValue(variables.podSpec)",
		"a ? podSpec : params.podSpec":          "a ? variables.podSpec : variables.params.podSpec",
		"a[podSpec]":                            "a[variables.podSpec]",
		"{podSpec: 1}":                          "{variables.podSpec: 1}",
		"podSpecs + apodSpec + podSpec_":        "podSpecs + apodSpec + podSpec_",
		"variables.podSpec":                     "variables.podSpec",
		"'podSpec' + \"podSpec\"":               "'podSpec' + \"podSpec\"",
		`'it\'s podSpec' + podSpec`:             `'it\'s podSpec' + variables.podSpec`,
		`r'\' + podSpec`:                        `r'\' + variables.podSpec`,
		`R"\" + podSpec`:                        `R"\" + variables.podSpec`,
		`b'podSpec' + br"podSpec\"`:             `b'podSpec' + br"podSpec\"`,
		"'''it's podSpec''' + podSpec":          "'''it's podSpec''' + variables.podSpec",
		"\"\"\"a\" podSpec\"\"\" + podSpec":     "\"\"\"a\" podSpec\"\"\" + variables.podSpec",
		"a.`podSpec` + podSpec":                 "a.`podSpec` + variables.podSpec",
		"1e3 + 0x1F + 10u + podSpec":            "1e3 + 0x1F + 10u + variables.podSpec",
		"// podSpec\npodSpec // podSpec":        "// podSpec\nvariables.podSpec // podSpec",
		"podSpec // and no end of line":         "variables.podSpec // and no end of line",
		"'no end podSpec":                       "'no end podSpec",
		"a.\n  podSpec":                         "a.\n  podSpec",
		"has(podSpec.a) && params.x in podSpec": "has(variables.podSpec.a) && variables.params.x in variables.podSpec",
		"":                                      "",
	} {
		got := readExpression(text).qualified(func(name string) bool { return name == "podSpec" || name == "params" })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

// Every place in what is rendered leads back to the same text in the template.
func TestPlacesLeadBack(t *testing.T) {
	isVariable := func(name string) bool { return name == "podSpec" || name == "params" }
	for _, text := range []string{
		"podSpec.x", "a && podSpec.x && params.y < 3", "podSpec.a ||\n  podSpec.b && wrong ||\nparams.c", "wrong",
	} {
		e := readExpression(text)
		lines := strings.Split(text, "\n")
		for l, line := range strings.Split(e.qualified(isVariable), "\n") {
			for _, word := range []string{"podSpec", "params", "wrong", "&&", "||"} {
				from := 0
				for n := 0; strings.Contains(line[from:], word); n++ {
					from += strings.Index(line[from:], word)
					gotLine, gotColumn := e.place(isVariable, l+1, from+1)
					if gotLine != l+1 || !strings.HasPrefix(lines[l][gotColumn-1:], word) {
						t.Errorf("%q in %q leads to column %d of line %d", word, line, gotColumn, gotLine)
					}
					from += len(word)
				}
			}
		}
	}
	if line, column := readExpression("a\nbc").place(isVariable, 3, 1); line != 2 || column != 3 {
		t.Errorf("what is behind leads to column %d of line %d", column, line)
	}
}

func FuzzExpressionKeepsItsText(f *testing.F) {
	for _, seed := range []string{"podSpec.x", "'''", `"\"`, "a.?podSpec", "`", "//", "r'", "podSpec\n// x\npodSpec"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e := readExpression(text)
		if got := e.qualified(func(string) bool { return false }); got != text {
			t.Errorf("%q became %q", text, got)
		}
		all := e.qualified(func(string) bool { return true })
		if len(all) != len(text)+len(e.names)*len(qualifier) || !slices.IsSortedFunc(e.names, func(a, b name) int { return a.at - b.at }) {
			t.Errorf("%q became %q", text, all)
		}
	})
}
