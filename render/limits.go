package render

import (
	"cmp"
	"fmt"
	"time"
)

// Limits bound what a repo can make kspec do. A zero field has the value of
// [DefaultLimits].
type Limits struct {
	// FileBytes is the size of one file.
	FileBytes int64
	// TotalBytes is the size of all files that one overlay reads.
	TotalBytes int64
	// Files is the number of files that one overlay reads.
	Files int
	// Depth is how deep YAML may nest within one document.
	Depth int
	// Nodes is the number of YAML nodes of one document, counted after its
	// aliases are replaced by what they stand for.
	Nodes int
	// Objects is the number of objects of one overlay, counted before patches
	// and as often as a base is used.
	Objects int
	// OutputBytes is the size of the objects of one overlay, as JSON.
	OutputBytes int64
	// Bases is the number of kustomizations that one may stand below another.
	Bases int
	// Kustomizations is the number of kustomizations that one overlay is made
	// of, each counted as often as it is used.
	Kustomizations int
	// CacheBytes is the memory for what was built before; what was not used for
	// longest is forgotten first. Nothing is remembered when it is negative.
	CacheBytes int64
}

// DefaultLimits returns limits that no sensible repo reaches.
func DefaultLimits() Limits {
	return Limits{
		FileBytes:      5 << 20,
		TotalBytes:     64 << 20,
		Files:          10_000,
		Depth:          256,
		Nodes:          1_000_000,
		Objects:        10_000,
		OutputBytes:    128 << 20,
		Bases:          32,
		Kustomizations: 10_000,
		CacheBytes:     256 << 20,
	}
}

// defaultTimeout is for one overlay or template.
const defaultTimeout = time.Minute

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	return Limits{
		FileBytes:      cmp.Or(l.FileBytes, d.FileBytes),
		TotalBytes:     cmp.Or(l.TotalBytes, d.TotalBytes),
		Files:          cmp.Or(l.Files, d.Files),
		Depth:          cmp.Or(l.Depth, d.Depth),
		Nodes:          cmp.Or(l.Nodes, d.Nodes),
		Objects:        cmp.Or(l.Objects, d.Objects),
		OutputBytes:    cmp.Or(l.OutputBytes, d.OutputBytes),
		Bases:          cmp.Or(l.Bases, d.Bases),
		Kustomizations: cmp.Or(l.Kustomizations, d.Kustomizations),
		CacheBytes:     cmp.Or(l.CacheBytes, d.CacheBytes),
	}
}

// LimitError says which limit was reached.
type LimitError struct {
	// Name is the name of the field of [Limits].
	Name  string
	Limit int64
}

// Error implements error.
func (e *LimitError) Error() string { return fmt.Sprintf("over the limit %s of %d", e.Name, e.Limit) }

// within returns a LimitError when n is over limit.
func within[N int | int64](name string, n, limit N) error {
	if n > limit {
		return &LimitError{Name: name, Limit: int64(limit)}
	}
	return nil
}
