package remediate

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

// render plans the files under the delivery path: those that differ are
// written again, those that were rendered once and are not any more go.
func (d *decision) render() error {
	want, tree := d.in.Desired.Delivery, d.in.Desired.Tree.FS
	if want == nil || d.in.Target.Delivery.Path == "" {
		return nil
	}
	var edits []kspec.Edit
	keep := map[string]bool{}
	for _, f := range want {
		keep[f.Path] = true
		before, err := fs.ReadFile(tree, f.Path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil && bytes.Equal(before, f.Content) {
			continue
		}
		if err != nil {
			before = nil
		}
		edits = append(edits, newEdit(f.Path, before, f.Content))
	}
	gone, err := d.stale(keep)
	if err != nil {
		return err
	}
	if edits = append(edits, gone...); len(edits) == 0 {
		return nil
	}
	sortEdits(edits)
	d.propose(kspec.StrategyRender, edits, nil)
	return nil
}

// stale returns the deletions of rendered files that are not in keep, and
// names the files of other people.
func (d *decision) stale(keep map[string]bool) ([]kspec.Edit, error) {
	var edits []kspec.Edit
	tree := d.in.Desired.Tree.FS
	err := fs.WalkDir(tree, path.Clean(d.in.Target.Delivery.Path), func(name string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil || e.IsDir() || keep[name]:
			return err
		}
		before, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		switch {
		case !isYAML(name):
		case !bytes.HasPrefix(before, []byte(kspec.RenderedMark)):
			d.reasons = append(d.reasons, kspec.Reason{Why: name + " was not rendered by kspec and is left as it is"})
		case len(d.in.Desired.Unknown) > 0:
			d.reasons = append(d.reasons, kspec.Reason{Why: name + " is not deleted as long as not everything could be rendered"})
		default:
			edits = append(edits, newEdit(name, before, nil))
		}
		return nil
	})
	return edits, err
}

// delivers reports whether the plan to deliver the policies puts the finding
// right.
func (d *decision) delivers(f kspec.Finding) bool {
	if len(d.plans) == 0 {
		return false
	}
	return slices.ContainsFunc(d.plans[0].Edits, func(e kspec.Edit) bool {
		if f.Verdict == kspec.ExtraObject {
			return e.After == nil && f.Source.Overlay == d.in.Target.Delivery.Path
		}
		return e.Path == f.Source.File
	})
}

func isYAML(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") || strings.HasSuffix(name, ".json")
}
