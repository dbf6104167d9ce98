package compare

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cloudcwfranck/kspec"
)

func TestReasonsHoldNoValues(t *testing.T) {
	const canary = "CANARY"
	invalid := func(message string) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Code: 422, Reason: metav1.StatusReasonInvalid, Message: message,
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Field: "data[k]", Message: message}}},
		}}
	}
	tests := []struct {
		kind, message, want string
	}{
		{"Pod", `spec.x: Invalid value: "CANARY": must be lower`, `spec.x: Invalid value: [redacted]: must be lower`},
		{"Pod", `spec.x: Invalid value: "a\"CANARY": no`, `spec.x: Invalid value: [redacted]: no`},
		{"Pod", `spec.x: Unsupported value: CANARY: supported values: "a", "b"`, `spec.x: Unsupported value: [redacted]: supported values: "a", "b"`},
		{"Pod", `spec.x: Duplicate value: {"name":"CANARY","v":{"w":"CANARY: x"}}`, `Duplicate value: [redacted]`},
		{"Pod", "json: cannot read {\"a\": \"CANARY\"} at\x1b[31m 7", "json: cannot read [redacted] at [31m 7"},
		{"Pod", "spec.x: Invalid value: {\n\"a\": \"CANARY\"\n}: no", "spec.x: Invalid value: [redacted]: no"},
		{"Pod", `spec.x: Not found: "CANARY"`, `spec.x: Not found: [redacted]`},
		{"Pod", `strconv.ParseInt: parsing "CANARY": invalid syntax`, `parsing [redacted]: invalid syntax`},
		{"Pod", `cannot parse "CANARY" as "2006"`, `cannot parse [redacted] as "2006"`},
		{"Pod", `.spec.x: expected string, got &value.valueUnstructured{Value:"CANARY"}`, `expected string, got &value.valueUnstructured[redacted]`},
		{"Secret", `illegal base64 data in CANARY`, "data[k]"},
	}
	for _, tt := range tests {
		got := reason("dry-run", kspec.ObjectID{Version: "v1", Kind: tt.kind}, invalid(tt.message))
		if strings.Contains(got, canary) || !strings.HasPrefix(got, "dry-run: invalid: ") || !strings.HasSuffix(got, tt.want) {
			t.Errorf("%s: %q became %q, want %q", tt.kind, tt.message, got, tt.want)
		}
	}
	if got := scrub(strings.Repeat("é", 1000)); len(got) > 510 {
		t.Errorf("%d bytes long", len(got))
	}
}
