package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
)

func newValidateCommand(a *app) *cobra.Command {
	var repo repoFlags
	cmd := &cobra.Command{
		Use:   "validate [PATH]",
		Short: "Check every kspec document of a folder or repo, without a cluster",
		Long: `Check every document of the group kspec.io under PATH, a file or folder, or in
the config repo: unknown fields, wrong values, names that lead nowhere. Each
error names file, line and field.`,
		Example: `  # A folder as it is on disk.
  kspec validate .

  # What is committed on a branch of a repo.
  kspec validate --repo https://github.com/acme/config --branch main`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, errs, err := documents(cmd.Context(), a, repo, args)
			if err != nil {
				return err
			}
			return a.printDocuments(set, errs)
		},
	}
	repo.bind(cmd)
	return cmd
}

// documents loads the documents of a path or, without one, of the repo.
func documents(ctx context.Context, a *app, repo repoFlags, args []string) (*v1alpha1.Set, []error, error) {
	if len(args) == 0 {
		source, err := repo.open(a)
		if err != nil {
			return nil, nil, err
		}
		defer func() { _ = source.Close() }()
		c, err := repo.read(ctx, source)
		if err != nil {
			return nil, nil, err
		}
		return c.set, c.errs, nil
	}
	fsys, err := pathFS(args[0])
	if err != nil {
		return nil, nil, err
	}
	set, errs := v1alpha1.Load(fsys)
	return set, errs, nil
}

// pathFS returns a folder, or a single file, as a file system that nothing
// leaves.
func pathFS(path string) (fs.FS, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		root, err := os.OpenRoot(path)
		if err != nil {
			return nil, err
		}
		return root.FS(), nil
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	return oneFile{root.FS(), filepath.Base(path)}, nil
}

// oneFile shows a single file of a folder.
type oneFile struct {
	fs.FS
	name string
}

// ReadDir implements [fs.ReadDirFS].
func (f oneFile) ReadDir(string) ([]fs.DirEntry, error) {
	info, err := fs.Stat(f.FS, f.name)
	if err != nil {
		return nil, err
	}
	return []fs.DirEntry{fs.FileInfoToDirEntry(info)}, nil
}

// printDocuments lists what is good and what is not.
func (a *app) printDocuments(set *v1alpha1.Set, errs []error) error {
	lines := slices.Concat(valid("ClusterSpec", set.Specs), valid("ClusterTarget", set.Targets),
		valid("AlertConfig", set.Alerts), valid("PolicyTemplate", set.Templates))
	for _, line := range lines {
		if _, err := fmt.Fprintln(a.out, line); err != nil {
			return err
		}
	}
	for _, err := range errs {
		a.fail(err)
	}
	if len(errs) > 0 {
		return errIncomplete
	}
	if len(lines) == 0 {
		return kspec.WithHint(errors.New("no document of the group kspec.io found"), "is this the config repo?")
	}
	return nil
}

func valid[T v1alpha1.Object](kind string, docs []v1alpha1.Sourced[T]) []string {
	var lines []string
	for _, d := range docs {
		lines = append(lines, fmt.Sprintf("%s:%d: %s %s is valid", d.Source.File, d.Source.Line, kind, d.Doc.GetName()))
	}
	return lines
}
