package v1alpha1

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// FieldError is a mistake in a document. It names the place, so that the one
// who wrote the document finds it.
//
// +kubebuilder:object:generate=false
type FieldError struct {
	// File is slash-separated and relative to the root of the config repo.
	File string
	// Line and Column count from 1; 0 means unknown.
	Line   int
	Column int
	// Path leads to the field, "spec.manifests[0].path"; it is empty when the
	// mistake is about the whole document.
	Path string
	Msg  string
}

// Error implements error: "file:line: path: message".
func (e *FieldError) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Msg)
	return b.String()
}

// sortErrors sorts by line, then path, what belongs to one document.
func sortErrors(errs []*FieldError) {
	slices.SortStableFunc(errs, func(a, b *FieldError) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), strings.Compare(a.Path, b.Path))
	})
}

// didYouMean returns a hint at the name that is most like got, or "".
func didYouMean(got string, names []string) string {
	best, least := "", max(2, len(got)/3)+1
	for _, name := range names {
		if d := distance(strings.ToLower(got), strings.ToLower(name)); d < least {
			best, least = name, d
		}
	}
	if best == "" || least >= len(got) {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// distance is the number of letters to insert, delete or replace to make b of
// a. Long texts are as far apart as can be.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
