package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

func TestBothBuildTheSame(t *testing.T) {
	dir := t.TempDir()
	if err := write(filepath.Join(dir, "apps"), 25); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"kspec", "krusty", "kspec"} {
		var out bytes.Buffer
		if err := run(t.Context(), []string{"-tool", tool, dir}, &out); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(out.String(), "namespace: shop\n"); got != 25 {
			t.Errorf("%s built %d of 25 objects", tool, got)
		}
	}
	if err := run(t.Context(), []string{"-n", "many"}, &bytes.Buffer{}); err == nil {
		t.Error("many is no number")
	}
}
