package kspec_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/cloudcwfranck/kspec"
)

func TestOwnersAreLabelsAndStayApart(t *testing.T) {
	long := strings.Repeat("a", 53) + "." + strings.Repeat("b", 100)
	seen := map[string]bool{}
	for _, name := range []string{"prod", strings.Repeat("a", 63), strings.Repeat("a", 64), long, long + "c"} {
		owner := kspec.Target{Name: name}.Owner()
		if wrong := validation.IsValidLabelValue(owner); len(wrong) > 0 {
			t.Errorf("%s is no label: %s", owner, wrong)
		}
		if len(name) <= 63 && owner != name || seen[owner] {
			t.Errorf("%s becomes %s", name, owner)
		}
		seen[owner] = true
	}
}
