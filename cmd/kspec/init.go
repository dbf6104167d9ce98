package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/compare"
)

func newInitCommand(a *app) *cobra.Command {
	var flags initFlags
	cmd := &cobra.Command{
		Use:   "init [NAME]",
		Short: "Write a first ClusterSpec from a live cluster, and the layout of a config repo",
		Long: `Print a first ClusterSpec for the cluster of the current context, or with --write
make it part of a config repo, as clusters/NAME/clusterspec.yaml beside policies/
and alerts/. Files that are there are left as they are; --force replaces that
ClusterSpec, and no other file. The cluster is only read.

Without --template the ClusterSpec demands what holds in the cluster now: its
version, Pod Security levels, network policies, what its containers and images
are like. With --template it demands more: development is mild, production
sensible, compliance strict. What the cluster does not keep yet is written as a
comment that says why, so that the first look finds nothing: take the # away one
by one. Policies start in mode monitor, which delivers none.

NAME is made of the name of the context unless it is given.`,
		Example: `  # What holds in this cluster?
  kspec init

  # Begin a config repo with it.
  kspec init prod --template production --write .

  # Without any cluster.
  kspec init prod --template compliance --no-cluster`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := exclusive(cmd, "no-cluster", "kubeconfig", "context"); err != nil {
				return err
			}
			return flags.run(cmd.Context(), a, strings.Join(args, ""))
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.cluster.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster (default: $KUBECONFIG, ~/.kube/config)")
	f.StringVar(&flags.cluster.context, "context", "", "context of the kubeconfig")
	f.BoolVar(&flags.noCluster, "no-cluster", false, "ask no cluster; what --template demands is then demanded, whatever holds")
	f.StringVar(&flags.template, "template", "", "what to demand: "+strings.Join(initTemplates(), ", ")+" (default: what holds)")
	f.StringVarP(&flags.write, "write", "w", "", "folder to write the layout of a config repo in, instead of printing the ClusterSpec")
	f.BoolVar(&flags.force, "force", false, "with --write, replace the ClusterSpec of the name if it is there")
	return cmd
}

type initFlags struct {
	cluster   clusterFlags
	noCluster bool
	template  string
	write     string
	force     bool
}

func initTemplates() []string { return []string{"production", "development", "compliance"} }

func (f *initFlags) run(ctx context.Context, a *app, name string) error {
	if f.template != "" && !slices.Contains(initTemplates(), f.template) {
		return kspec.WithHint(fmt.Errorf("unknown template %q", f.template), "there are: "+strings.Join(initTemplates(), ", "))
	}
	if f.force && f.write == "" {
		return errors.New("--force is of no use without --write")
	}
	if err := f.cluster.check(); err != nil {
		return err
	}
	var c *compare.Cluster
	if !f.noCluster {
		cfg, context, err := f.cluster.config()
		if err != nil {
			return kspec.WithHint(err, "name a cluster by --kubeconfig or $KUBECONFIG, or ask none by --no-cluster")
		}
		if c, err = compare.NewCluster(cfg, context); err != nil {
			return err
		}
		name = cmp.Or(name, targetName(context))
	}
	name = cmp.Or(name, "cluster")
	if wrong := validation.IsDNS1123Label(name); len(wrong) > 0 {
		return fmt.Errorf("%q cannot be the name of a ClusterSpec: %s", name, strings.Join(wrong, "; "))
	}
	facts, err := surveyCluster(ctx, c)
	if err != nil {
		return err
	}
	spec, err := firstSpec(ctx, name, f.template, facts)
	if err != nil {
		return err
	}
	if f.write == "" {
		_, err := a.out.Write(spec)
		return err
	}
	return f.layOut(a, name, spec)
}

// specFile is where the ClusterSpec of a name is in the layout.
func specFile(name string) string { return path.Join("clusters", name, "clusterspec.yaml") }

// layOut writes the layout. Nothing is written when the ClusterSpec is there,
// unless it may be replaced.
func (f *initFlags) layOut(a *app, name string, spec []byte) error {
	if err := os.MkdirAll(f.write, 0o755); err != nil {
		return fmt.Errorf("--write: %w", err)
	}
	root, err := os.OpenRoot(f.write)
	if err != nil {
		return fmt.Errorf("--write: %w", err)
	}
	defer func() { _ = root.Close() }()
	if err := f.taken(root.FS(), name); err != nil {
		return err
	}
	if f.force {
		if err := root.Remove(filepath.FromSlash(specFile(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, file := range []struct {
		name string
		data []byte
		must bool
	}{
		{specFile(name), spec, true},
		{"policies/README.md", []byte(policiesReadme), false},
		{"alerts/alerts.yaml", []byte(alertsExample), false},
	} {
		written, err := writeLayout(root, file.name, file.data, file.must)
		if err != nil {
			return err
		}
		line := filepath.Join(f.write, filepath.FromSlash(file.name))
		if !written {
			line += " (there already, and left as it is)"
		}
		if _, err := fmt.Fprintln(a.out, line); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(a.err, "kspec: next: read %s, commit it, then \"kspec drift detect --spec %s\"\n", specFile(name), name)
	return err
}

// taken tells of a ClusterSpec that has the name already, wherever it is, and is
// not to be replaced.
func (f *initFlags) taken(fsys fs.FS, name string) error {
	set, _ := v1alpha1.Load(fsys)
	for _, spec := range set.Specs {
		if spec.Doc.Name != name || f.force && spec.Source.File == specFile(name) {
			continue
		}
		hint := "give another name: kspec init NAME"
		if spec.Source.File == specFile(name) {
			hint += "; or replace it by --force"
		}
		return kspec.WithHint(fmt.Errorf("ClusterSpec %s is there already: %s:%d", name, spec.Source.File, spec.Source.Line), hint)
	}
	return nil
}

func writeLayout(root *os.Root, name string, data []byte, must bool) (written bool, err error) {
	file := filepath.FromSlash(name)
	if err := root.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return false, err
	}
	if _, err := root.Lstat(file); !must && err == nil {
		return false, nil
	}
	return true, writeNew(root.OpenFile, file, data, 0o644)
}

// firstSpec returns the text of a ClusterSpec, which is valid.
func firstSpec(ctx context.Context, name, template string, facts *clusterFacts) ([]byte, error) {
	parts := specParts(name, template, facts)
	head := specHead(name)
	scope := indented(scope(facts).text(), 1)
	judge := func(ctx context.Context, lines []string) (string, error) {
		switch {
		case facts.judge != nil:
			return facts.judge(ctx, head+strings.Join(slices.Concat(scope, lines), "\n")+"\n")
		case template == "":
			return "", errVacuous
		}
		return "", nil
	}
	if err := decide(ctx, judge, parts, nil, template == ""); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(madeBy(template, facts) + head)
	for _, p := range parts {
		for _, line := range indented(p.text(), 1) {
			b.WriteString(line + "\n")
		}
	}
	if _, errs := v1alpha1.Decode(specFile(name), b.Bytes()); len(errs) > 0 {
		return nil, fmt.Errorf("the ClusterSpec that would be written is not valid: %w", errors.Join(errs...))
	}
	return b.Bytes(), nil
}

// policiesReadme and alertsExample are the rest of the layout.
const (
	policiesReadme = `# Policies

Policy templates of this repo: a folder each, with a PolicyTemplate document. A ClusterSpec names them in
spec.policyTemplates, as it names those that come with kspec, such as security-baseline.

In mode audit or enforce, "kspec render --spec NAME --write" writes what they come to into clusters/NAME/policies, from
where Flux or Argo CD deploys it. Do not edit files there.
`
	alertsExample = `# Whom kspec tells of what. Take the # away, and give kspec's operator the secret that is named here: documents in Git
# name secrets, and never hold them.
#
# apiVersion: kspec.io/v1alpha1
# kind: AlertConfig
# metadata:
#   name: alerts
# spec:
#   defaultNotifiers: [slack]
#   slack:
#     webhookURL:
#       secretRef: {name: slack-hook, key: url}
#     events: [DriftDetected, PolicyViolation, RemediationOpened]
`
)
