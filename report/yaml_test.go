package report_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	kyaml "sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/report"
)

// Readers of YAML 1.1, as kubectl, and of YAML 1.2 read the same out of it.
func FuzzYAMLSaysTheSameAsJSON(f *testing.F) {
	for _, s := range []string{
		"", " ", "yes", "n", "~", "null", "0x1f", "1e3", "1:30", "2026-11-22", "=", "<<", "- a", "? a", "a: b", "a #b", "#", "&a", "*a", "!a", "%a", "@a", "`a",
		"'", `"`, "[", "{", "a,b", "/spec/containers/[name=app]/image", "line\nline\n", "\n", "\n a\n  b", "  a\nb", "a\n\n", "a \nb", "a\n ", "---\n", "...\n- x",
		"\u202eevil", "line\n\u202eevil", "\u0085\u2028", "\x00\x1b\x7f", "\ufffe\uffff", "\U000e0041", "tab\there", "\ttab\nb", "😀", strings.Repeat("long ", 100),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "?") // what is no text cannot be JSON
		rep := hostile(s)
		var want, modern any
		if err := json.Unmarshal([]byte(write(t, "json", report.Options{}, rep)), &want); err != nil {
			t.Fatal(err)
		}
		text := write(t, "yaml", report.Options{}, rep)
		old, err := kyaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if err := yaml.Unmarshal([]byte(text), &modern); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		later, err := json.Marshal(modern)
		if err != nil {
			t.Fatal(err)
		}
		for version, got := range map[string][]byte{"1.1": old, "1.2": later} {
			var have any
			if err := json.Unmarshal(got, &have); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, have); diff != "" {
				t.Errorf("%q as YAML %s (-JSON +YAML):\n%s", s, version, diff)
			}
		}
	})
}

func TestNothingForMachinesHoldsWhatCannotBeSeen(t *testing.T) {
	rep := hostile("a\u202e\u2066\u200b\U000e0041\x1b\u009b\u0085\u2028z")
	rep.Notes = []string{"line\n\u202eline"}
	for _, format := range []string{"json", "yaml", "sarif", "junit", "oscal", "policyreport", "openreports"} {
		for _, r := range write(t, format, report.Options{}, rep) {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%s holds %q", format, r)
			}
		}
	}
	for _, format := range []string{"json", "yaml"} {
		text := writeHistory(t, format, []kspec.Episode{{Target: rep.Target, Finding: rep.Findings[0]}})
		if strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			t.Errorf("the history as %s holds what cannot be seen: %q", format, text)
		}
	}
}

func TestMarshalWritesOtherDocumentsAsReportsAre(t *testing.T) {
	doc := struct {
		Why string `json:"why"`
	}{"a\u202eb"}
	for format, want := range map[string]string{"json": "{\n  \"why\": \"a\\u202eb\"\n}\n", "yaml": "why: \"a\\u202eb\"\n"} {
		if got, err := report.Marshal(format, doc); err != nil || string(got) != want {
			t.Errorf("%s: %q and error %v, want %q", format, got, err, want)
		}
	}
	if _, err := report.Marshal("text", doc); err == nil {
		t.Error("no error for text")
	}
}
