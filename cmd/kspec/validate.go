package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/render"
)

func newValidateCommand(a *app) *cobra.Command {
	var repo repoFlags
	cmd := &cobra.Command{
		Use:   "validate [PATH]",
		Short: "Check every kspec document of a folder or repo, without a cluster",
		Long: `Check every document of the group kspec.io under PATH, a file or folder, or in
the config repo: unknown fields, wrong values, names that lead nowhere, templates
that cannot be rendered with their parameters. What is named must be under PATH,
or come with kspec. All errors of all files are told at once, each with file,
line and field.

Exit codes: 0 everything is valid, 2 something is not, or nothing was found.`,
		Example: `  # A folder as it is on disk.
  kspec validate .

  # What is committed on a branch of a repo.
  kspec validate --repo https://github.com/acme/config --branch main`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, flag := range []string{"repo", "branch", "revision", "worktree"} {
				if len(args) > 0 && cmd.Flags().Changed(flag) {
					return fmt.Errorf("%s is read as it is on disk, and --%s is about the config repo: give one of them", args[0], flag)
				}
			}
			c, err := documents(cmd.Context(), a, repo, args)
			if err != nil {
				return err
			}
			if err := c.checkTemplates(cmd.Context(), a); err != nil {
				return err
			}
			return a.printDocuments(c.set, c.errs)
		},
	}
	repo.bindSource(cmd)
	return cmd
}

// documents reads the documents of a path or, without one, of the repo.
func documents(ctx context.Context, a *app, repo repoFlags, args []string) (*checkout, error) {
	if len(args) == 0 {
		source, err := repo.open(a)
		if err != nil {
			return nil, err
		}
		defer func() { _ = source.Close() }()
		return repo.read(ctx, source)
	}
	fsys, err := pathFS(args[0])
	if err != nil {
		return nil, err
	}
	return decoded(kspec.Tree{FS: fsys}), nil
}

// checkTemplates renders the templates of every ClusterSpec, whatever its mode,
// and drops what cannot be: the ClusterSpec, and the template if that is wrong.
func (c *checkout) checkTemplates(ctx context.Context, a *app) error {
	renderer := render.New(render.Options{Check: checker(), Log: a.log})
	told, specs, files := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, t := range c.targets {
		t.Overlays, t.Enforcement = nil, kspec.Enforce
		want, err := renderer.Render(ctx, t, c.tree)
		if err != nil {
			return err
		}
		for _, u := range want.Unknown {
			specs[t.Name] = true
			files[u.Source.File] = u.Source.File != t.Source.File
			if err := c.templateError(t, u); !told[err.Error()] { // several may use it
				told[err.Error()] = true
				c.errs = append(c.errs, err)
			}
		}
	}
	c.set.Specs = slices.DeleteFunc(c.set.Specs, func(s v1alpha1.Sourced[*v1alpha1.ClusterSpec]) bool {
		return specs[s.Doc.Name]
	})
	c.set.Templates = slices.DeleteFunc(c.set.Templates, func(s v1alpha1.Sourced[*v1alpha1.PolicyTemplate]) bool {
		return files[s.Source.File]
	})
	return nil
}

// templateError places why a template cannot be rendered where the ClusterSpec
// names it, unless the template itself is wrong.
func (c *checkout) templateError(t kspec.Target, u kspec.Unknown) error {
	reason, ofSpec := strings.CutPrefix(unknownText(u), fmt.Sprintf("%s:%d: ", t.Source.File, t.Source.Line))
	if !ofSpec {
		return errors.New(reason)
	}
	for _, s := range c.set.Specs {
		if s.Doc.Name != t.Name {
			continue
		}
		for i, use := range s.Doc.Spec.PolicyTemplates {
			if use.Name == u.Source.Template {
				return s.At(fmt.Sprintf("spec.policyTemplates[%d]", i), errors.New(reason))
			}
		}
		if use := s.Doc.Spec.PolicyTemplate; use != nil && use.Name == u.Source.Template {
			return s.At("spec.policyTemplate", errors.New(reason))
		}
		if s.Doc.Spec.PolicyInheritance != nil {
			return s.At("spec.policyInheritance", errors.New(reason))
		}
	}
	return errors.New(reason)
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
func (f oneFile) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		return nil, fs.ErrNotExist
	}
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
