package remediate

import (
	"testing"
	"testing/fstest"
)

// hashed is a tree that knows its files by their names.
type hashed struct{ fstest.MapFS }

func (h hashed) Hash(name string) (string, bool) {
	_, ok := h.MapFS[name]
	return "hash of " + name, ok
}

func TestHashesAreThoseOfUntouchedFilesOnly(t *testing.T) {
	tree := fstest.MapFS{"same": {}, "changed": {}, "gone": {}}
	files := map[string][]byte{"changed": []byte("x"), "gone": nil, "new": []byte("y")}
	for name, want := range map[string]string{"same": "hash of same", "changed": "", "gone": "", "new": "", "none": ""} {
		if got, ok := (overlayFS{hashed{tree}, files}).Hash(name); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q, %t", name, got, ok)
		}
		if _, ok := (overlayFS{tree, files}).Hash(name); ok {
			t.Errorf("%s: a tree without hashes has none", name)
		}
	}
}
