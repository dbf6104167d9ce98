package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cloudcwfranck/kspec"
)

// Names and values of a cluster are anyone's. On a terminal, and in the log of
// a CI run, they are text.
func TestWhatIsPrintedIsInert(t *testing.T) {
	const evil = "a\x1b]0;title\x07\u202eb\n::error::c\n  ##[command]d\xff"
	var out, errs bytes.Buffer
	a := &app{out: &out, err: &errs}
	a.fail(kspec.WithHint(errors.New(evil), evil))
	err := a.printOutcome("text", kspec.Report{Target: evil}, kspec.Outcome{
		Action: kspec.ActionPlanned, Why: evil,
		Plan: kspec.Plan{
			Title: evil, Edits: []kspec.Edit{{Path: "a.yaml", Diff: "+x: \u202e" + "y\n"}},
			Reasons: []kspec.Reason{{Object: kspec.ObjectID{Kind: "Thing", Name: evil}, Path: "/spec/" + evil, Why: evil}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{out.String(), errs.String()} {
		if strings.ContainsAny(text, "\x1b\x07\u202e") || !utf8.ValidString(text) {
			t.Errorf("a terminal would obey %q", text)
		}
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "::") || strings.HasPrefix(line, "##[") {
				t.Errorf("a CI runner would obey %q", line)
			}
		}
	}
	if !strings.Contains(out.String(), "+x: \\u202ey\n") || strings.Count(out.String(), "not changed: ") != 1 {
		t.Errorf("got %s", out.String())
	}
}
