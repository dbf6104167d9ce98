package cel_test

import (
	"testing"

	"github.com/cloudcwfranck/kspec/policy/cel"
)

// BenchmarkEvaluate measures one object under the fifteen rules of the largest
// template.
func BenchmarkEvaluate(b *testing.B) {
	s := suite(b, "pod-security-restricted")
	set, err := cel.New().Compile(s.Policies...)
	if err != nil {
		b.Fatal(err)
	}
	object := s.Fixtures[0].Object
	b.ReportAllocs()
	for b.Loop() {
		if results := set.Evaluate(b.Context(), object, nil); len(results) != 15 {
			b.Fatalf("%d results", len(results))
		}
	}
}

// BenchmarkCompile measures the policies of the largest template, for the first
// time and when they are remembered.
func BenchmarkCompile(b *testing.B) {
	s := suite(b, "pod-security-restricted")
	b.Run("cold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := cel.New().Compile(s.Policies...); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("remembered", func(b *testing.B) {
		c := cel.New()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Compile(s.Policies...); err != nil {
				b.Fatal(err)
			}
		}
	})
}
