package render

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
)

func TestPackedObjectsUnpackEqual(t *testing.T) {
	long := make([]byte, 300)
	object := func() map[string]any {
		return map[string]any{
			"kind": "Widget", "empty": map[string]any{}, "none": nil, "list": []any{}, "yes": true, "no": false, "": "", "long": string(long),
			"numbers": []any{int64(0), int64(-1), int64(127), int64(128), int64(math.MaxInt64), int64(math.MinInt64), 0.5, -1e300, math.Inf(1)},
			"nested":  []any{[]any{map[string]any{"kind": "kind"}}, "Widget", nil},
		}
	}
	objects := []made{
		{&unstructured.Unstructured{Object: object()}, "a/b.yaml", 70000, kspec.Digest{1, 0x80, 255}},
		{&unstructured.Unstructured{Object: map[string]any{"kind": "Other"}}, "", 0, kspec.Digest{}},
	}
	packed := pack(objects)
	got := unpack(packed)
	if d := cmp.Diff(objects, got, cmp.AllowUnexported(made{})); d != "" {
		t.Errorf("objects (-packed +unpacked):\n%s", d)
	}
	got[0].object.Object["nested"].([]any)[0] = "changed"
	got[0].object.Object["empty"].(map[string]any)["new"] = "changed"
	if d := cmp.Diff(objects, unpack(packed), cmp.AllowUnexported(made{})); d != "" {
		t.Errorf("a change of what was unpacked shows in what is packed:\n%s", d)
	}
	if none := unpack(pack(nil)); len(none) != 0 {
		t.Errorf("nothing became %d objects", len(none))
	}
}
