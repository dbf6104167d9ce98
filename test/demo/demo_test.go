package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// build makes the binary that the demo runs.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "kspec")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/kspec")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}

func TestDemoTellsTheWholeStory(t *testing.T) {
	var out bytes.Buffer
	t.Setenv("TMPDIR", t.TempDir())
	if err := run(t.Context(), options{kspec: build(t), out: &out}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	transcript := out.String()
	for _, want := range []string{
		`in sync: \d+ objects`,
		`/spec/replicas +3 → 5`,
		`by kubectl-edit \(a person's tool\)`,
		`exit code 1`,
		`pull request #1  http://127\.0\.0\.1:\d+/acme/config/pull/1`,
		`(?m)^  \+  replicas: 5$`,
		`prod: drift in 1 object`,
		`merged pull request #1`,
		`prod: drift resolved`,
	} {
		at := regexp.MustCompile(want).FindStringIndex(transcript)
		if at == nil {
			t.Fatalf("the story lacks %s, here or in this order:\n%s", want, out.String())
		}
		transcript = transcript[at[1]:]
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("colours where none are wanted")
	}
	leftNothing(t)
}

func TestDemoCleansUpWhenInterrupted(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	var out bytes.Buffer
	err := run(ctx, options{kspec: build(t), out: &out, keep: true})
	if !errors.Is(err, context.DeadlineExceeded) && err != nil {
		t.Errorf("interrupted: %v\n%s", err, out.String())
	}
	leftNothing(t)
}

func leftNothing(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		t.Errorf("left behind: %s", e.Name())
	}
}
