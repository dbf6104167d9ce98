package compare

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// This file reads JSON that anyone may have written: a wrong type is nothing.

// textIn returns the string in a map, "" when it is none.
func textIn(m map[string]any, fields ...string) string {
	v, _, _ := unstructured.NestedFieldNoCopy(m, fields...)
	s, _ := v.(string)
	return s
}

func boolIn(m map[string]any, fields ...string) bool {
	v, _, _ := unstructured.NestedFieldNoCopy(m, fields...)
	b, _ := v.(bool)
	return b
}

func mapIn(m map[string]any, fields ...string) map[string]any {
	v, _, _ := unstructured.NestedFieldNoCopy(m, fields...)
	sub, _ := v.(map[string]any)
	return sub
}

func listIn(m map[string]any, most int, fields ...string) []any {
	v, _, _ := unstructured.NestedFieldNoCopy(m, fields...)
	l, _ := v.([]any)
	return l[:min(len(l), most)]
}

func textsIn(m map[string]any, field string) []string {
	var all []string
	for _, v := range listIn(m, mostExceptions, field) {
		if s, ok := v.(string); ok {
			all = append(all, s)
		}
	}
	return all
}

// mapsIn returns the maps among the items of a list.
func mapsIn(list any) []map[string]any {
	l, _ := list.([]any)
	var all []map[string]any
	for _, item := range l {
		if m, ok := item.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}
