package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/render"
)

func newRenderCommand(a *app) *cobra.Command {
	var repo repoFlags
	var write, explain, test bool
	cmd := &cobra.Command{
		Use:   "render",
		Short: "Print what would be deployed, without a cluster",
		Long: `Render the overlays and policy templates of a ClusterSpec and print the objects
as YAML. With --write, write the rendered policies to the delivery path of the
clone instead, where Flux or Argo CD deploy them from.

--explain tells on standard error how each folder and template was built. An
overlay of many objects is built in chunks, which takes time in proportion to
them. It is built whole, in time that grows with their square, when one of its
fields makes objects depend on each other, as namePrefix and the generators do:
then that field is named, with file and line. So is what Kustomize is going to
drop. Of each rule of the templates it tells the origin: who uses the template,
and with what parameters.

--test evaluates the objects that templates ship in tests/pass and
tests/fail/RULE, by the CEL of the API server and without a cluster, for every
template of the repo and every other that is used. It prints a table, and exits
with 1 when an object is not judged as its folder says, and with 2 when a rule
needs what only an admission request has, or a template cannot be rendered.`,
		Example: `  kspec render --repo . --spec prod
  kspec render --repo . --spec prod --explain >/dev/null
  kspec render --repo . --spec prod --write
  kspec render --repo . --worktree --test`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := exclusive(cmd, "test", "write"); err != nil {
				return err
			}
			source, err := repo.open(a)
			if err != nil {
				return err
			}
			defer func() { _ = source.Close() }()
			c, err := repo.read(cmd.Context(), source)
			if err != nil {
				return err
			}
			o := render.Options{Check: checker(), CacheDir: repo.cacheDir, Log: a.log}
			if explain {
				o.Built, o.Ruled = a.explainBuild, a.explainRule
			}
			renderer := render.New(o)
			if test {
				return repo.testTemplates(cmd.Context(), a, renderer, c)
			}
			var printed bool
			return repo.each(cmd.Context(), a, c, func(t kspec.Target) error {
				want, err := renderer.Render(cmd.Context(), t, c.tree)
				if err != nil {
					return err
				}
				if write {
					err = writeDelivery(source.dir(), t, want)
				} else {
					err = a.printObjects(want, printed)
					printed = printed || len(want.Objects) > 0
				}
				if err != nil {
					return err
				}
				switch p := t.InForce; {
				case p == nil:
				case p.Outside:
					a.log.WarnContext(cmd.Context(), "outside of the times at which the policies act", "target", t, "mode", string(p.Mode), "until", p.Until)
				case p.Mode == kspec.Monitor:
					a.log.WarnContext(cmd.Context(), "policies are checked and not delivered: see spec.enforcement", "target", t, "mode", string(p.Mode))
				}
				for _, note := range t.Notes {
					a.log.WarnContext(cmd.Context(), "of how the target is treated", "target", t, "note", inertLine(note))
				}
				for _, what := range want.Assumed {
					a.log.WarnContext(cmd.Context(), "assumed, because the cluster is not asked", "target", t, "assumed", inertLine(what))
				}
				return a.printUnknown(t, want.Unknown)
			})
		},
	}
	repo.bind(cmd)
	repo.bindForge(cmd)
	cmd.Flags().BoolVarP(&write, "write", "w", false, "write the rendered policies to the delivery path of the clone")
	cmd.Flags().BoolVar(&explain, "explain", false, "tell on standard error how each folder and template was built, and where each rule comes from")
	cmd.Flags().BoolVar(&test, "test", false, "evaluate the objects that templates ship to be tested with, and print a table")
	return cmd
}

// explainBuild prints how a part of a rendering was built.
func (a *app) explainBuild(b render.Build) {
	for _, line := range append([]string{b.String()}, b.Notes...) {
		_, _ = fmt.Fprintln(a.err, inert(line))
	}
}

// explainRule prints where a rule comes from.
func (a *app) explainRule(r kspec.Rule, origin string) {
	text := fmt.Sprintf("rule %s: %s, from %s", r.Name, r.Severity, origin)
	if r.Final {
		text += "; final"
	}
	_, _ = fmt.Fprintln(a.err, inertLine(text))
}

// printObjects prints the objects, as further documents of what was printed
// before.
func (a *app) printObjects(want kspec.Desired, printed bool) error {
	text, err := render.YAML(want.Objects)
	if err != nil {
		return err
	}
	if printed && len(text) > 0 {
		text = append([]byte("---\n"), text...)
	}
	_, err = a.out.Write(text)
	return err
}

// printUnknown prints what could not be rendered and says so by its error.
func (a *app) printUnknown(t kspec.Target, unknown []kspec.Unknown) error {
	for _, u := range unknown {
		a.fail(fmt.Errorf("render %s: %s", t.Name, unknownText(u)))
	}
	if len(unknown) > 0 {
		return errIncomplete
	}
	return nil
}

// unknownText names what could not be looked at, if it has a name, and why.
func unknownText(u kspec.Unknown) string {
	if u.Object.Kind == "" {
		return u.Reason
	}
	return u.Object.String() + ": " + u.Reason
}

// writeDelivery makes the delivery path of a clone on disk hold the rendered
// policies. What kspec rendered there before and does not render any more is
// deleted; files of others stay.
func writeDelivery(dir string, t kspec.Target, want kspec.Desired) error {
	if t.Delivery.Path == "" {
		return kspec.WithHint(fmt.Errorf("ClusterSpec %s has no delivery path to write to", t.Name), "set spec.delivery.path")
	}
	if dir == "" {
		return kspec.WithHint(errors.New("--write needs a clone to write to"), "give --repo the path of a clone")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	rendered := map[string]bool{}
	for _, f := range want.Delivery {
		rendered[f.Path] = true
		if err := root.MkdirAll(filepath.Dir(filepath.FromSlash(f.Path)), 0o755); err != nil {
			return err
		}
		if err := root.WriteFile(filepath.FromSlash(f.Path), f.Content, 0o644); err != nil {
			return err
		}
	}
	return deleteStale(root, t.Delivery.Path, rendered)
}

// deleteStale deletes the files directly in dir that kspec rendered before and
// not now. Nothing is deleted when nothing was rendered.
func deleteStale(root *os.Root, dir string, rendered map[string]bool) error {
	if len(rendered) == 0 {
		return nil
	}
	entries, err := fs.ReadDir(root.FS(), dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		file := path.Join(dir, e.Name())
		if rendered[file] || !e.Type().IsRegular() {
			continue
		}
		text, err := root.ReadFile(filepath.FromSlash(file))
		if err != nil {
			return err
		}
		if bytes.HasPrefix(text, []byte(kspec.RenderedMark)) {
			if err := root.Remove(filepath.FromSlash(file)); err != nil {
				return err
			}
		}
	}
	return nil
}
