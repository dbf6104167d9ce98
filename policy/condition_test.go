package policy_test

import (
	"testing"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/policy"
)

// What the conditions mean, an API server is asked in package render.
func TestCondition(t *testing.T) {
	const labels = `(object != null ? object : oldObject).metadata.?labels.orValue({})`
	tests := []struct {
		name       string
		exemptions []kspec.Exemption
		want       string
	}{
		{"none", nil, ""},
		{"a namespace", []kspec.Exemption{exempt("a", nil)}, `!((request.?namespace.orValue("") in ["shop"]))`},
		{
			"resources in a namespace",
			[]kspec.Exemption{exempt("a", func(e *kspec.Exemption) {
				e.Resources = []kspec.ExemptResource{{Kind: "Job", Name: "x"}, {Namespace: "shop"}}
			})},
			`!((request.?namespace.orValue("") in ["shop"] && ((request.kind.kind == "Job" && request.?name.orValue("") == "x") || (request.?namespace.orValue("") == "shop"))))`,
		},
		{
			"labels",
			[]kspec.Exemption{selecting(kspec.ExemptResource{Labels: selector("tier", "NotIn", "a", "b")})},
			`!((((!("tier" in ` + labels + ` && ` + labels + `["tier"] in ["a","b"])))))`,
		},
		{
			"two, of which one holds what looks like CEL",
			[]kspec.Exemption{exempt("a", nil), selecting(kspec.ExemptResource{Name: "\") || true || (\"\n"})},
			`!((request.?namespace.orValue("") in ["shop"]) || (((request.?name.orValue("") == "\") || true || (\"\n"))))`,
		},
		{
			"text that Kyverno and Flux would replace",
			[]kspec.Exemption{selecting(kspec.ExemptResource{Name: "{{{a}} $(b) ${c}"})},
			`!((((request.?name.orValue("") == "{\u007b{a}} \u0024(b) \u0024{c}"))))`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := policy.Condition(tt.exemptions); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}
