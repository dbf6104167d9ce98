package verify_test

import (
	"os/exec"
	"strings"
	"testing"
)

// Half of cosign brings cloud SDKs, CUE, OPA or clients of code hosts.
func TestHeavyPartsOfCosignStayOut(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const cosign = "github.com/sigstore/cosign/v2/"
	for dep := range strings.FieldsSeq(string(out)) {
		for _, heavy := range []string{cosign + "cmd/", cosign + "pkg/signature", cosign + "pkg/policy", "k8s.io/client-go", "cuelang.org/", "github.com/open-policy-agent/"} {
			if strings.HasPrefix(dep, heavy) {
				t.Errorf("verify imports %s", dep)
			}
		}
	}
	if !strings.Contains(string(out), cosign+"pkg/cosign\n") {
		t.Errorf("verify does not import cosign: this test reads the wrong list")
	}
}
