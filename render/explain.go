package render

import (
	"fmt"
	"strings"
)

// Build tells how a folder or template was rendered.
type Build struct {
	// Path is the folder, of a template that comes with kspec as well.
	Path string
	// Template is the name of a template, empty for a folder of the target.
	Template string
	// Overlay is true for a kustomization, and false for plain files.
	Overlay bool
	// Parts is how many files of a plain folder there are, or how many runs of
	// Kustomize an overlay takes: one, or one for each chunk. Known is how many
	// of them were remembered and cost nothing.
	Parts, Known int
	// Whole says why an overlay of many objects took one run, which is slow:
	// the field, or what else makes its objects depend on each other.
	Whole string
	// Notes are about the kustomizations: fields that Kustomize is going to
	// drop, each with file and line.
	Notes []string
}

// String describes the build in one line.
func (b Build) String() string {
	what, parts := "plain folder", "files"
	if b.Overlay {
		what, parts = "overlay", "chunks"
	}
	if b.Template != "" {
		what = "template " + b.Template
	}
	var how []string
	switch {
	case b.Parts > 0 && b.Known == b.Parts:
		how = append(how, "unchanged")
	case b.Overlay && b.Parts < 2:
		how = append(how, "built")
	case b.Known > 0:
		how = append(how, fmt.Sprintf("built, %d of %d %s unchanged", b.Known, b.Parts, parts))
	case b.Overlay:
		how = append(how, fmt.Sprintf("built in %d chunks", b.Parts))
	case b.Parts == 1:
		how = append(how, "1 file read")
	default:
		how = append(how, fmt.Sprintf("%d files read", b.Parts))
	}
	if b.Whole != "" {
		how = append(how, "whole, because of "+b.Whole)
	}
	return fmt.Sprintf("%s: %s, %s", b.Path, what, strings.Join(how, ", "))
}

// kustomization tells how one was built.
func (r *Renderer) kustomization(b Build, res result, known bool) {
	b.Overlay, b.Parts, b.Known, b.Whole, b.Notes = true, max(res.parts, 1), res.known, res.whole, res.notes
	if known {
		b.Known = b.Parts
	}
	r.tell(b)
}

func (r *Renderer) tell(b Build) {
	r.remembered.Add(int64(b.Known))
	r.done.Add(int64(b.Parts - b.Known))
	if r.built != nil {
		r.built(b)
	}
}
