package gitsource

import (
	"cmp"
	"fmt"
	"strings"
)

// Limits bound what one repository may cost. Zero means the default, which is
// generous for a config repo and small for a machine. What goes beyond a limit
// is refused with a [*LimitError].
type Limits struct {
	// Files is how many entries the tree of a commit may have: files, folders,
	// links, everything. Default 50,000.
	Files int
	// Depth is how many folders may lie within each other. Default 64.
	Depth int
	// FileBytes is the size up to which a file can be opened; a bigger one is
	// listed and only fails when it is read. Default 8 MiB, which leaves room
	// for the bundled CRDs of big projects in one file.
	FileBytes int64
	// ObjectBytes is the size that any one object of a pack may unpack to,
	// whether it is ever read or not. Default 64 MiB.
	ObjectBytes int64
	// TreeBytes is the sum of the sizes of all files of a commit, and what a
	// pack may unpack to. Default 256 MiB.
	TreeBytes int64
	// PackBytes is the size of a pack as the server sends it. Default 100 MiB.
	PackBytes int64
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Files:       cmp.Or(l.Files, 50_000),
		Depth:       cmp.Or(l.Depth, 64),
		FileBytes:   cmp.Or(l.FileBytes, 8<<20),
		ObjectBytes: cmp.Or(l.ObjectBytes, 64<<20),
		TreeBytes:   cmp.Or(l.TreeBytes, 256<<20),
		PackBytes:   cmp.Or(l.PackBytes, 100<<20),
	}
}

// ofHistory are the limits of a commit with all that came before it.
func (l Limits) ofHistory() Limits {
	l.Files *= 10
	return l
}

// LimitError says which of the [Limits] a repository goes beyond.
type LimitError struct {
	// Limit is the name of the field of [Limits].
	Limit string
	Max   int64
	// Path is where in the tree it happened; empty when it is no one place.
	Path string
}

// Error implements error.
func (e *LimitError) Error() string {
	unit := ""
	if strings.HasSuffix(e.Limit, "Bytes") {
		unit = " bytes"
	}
	s := fmt.Sprintf("more than %d%s (limit %s)", e.Max, unit, e.Limit)
	if e.Path != "" {
		s = printable(e.Path) + ": " + s
	}
	return s
}
