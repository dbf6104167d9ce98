package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cloudcwfranck/kspec"
)

func newScanCommand(a *app) *cobra.Command {
	var flags lookFlags
	var path string
	cmd := &cobra.Command{
		Use:   "scan",
		Short: "Check that clusters are what the requirements of their ClusterSpecs demand",
		Long: `Check the cluster of each ClusterSpec against its requirements: the version of
Kubernetes, Pod Security, network policies, what containers and images are like,
who has which rights, admission control and observability. It compares nothing
with Git; "kspec drift detect" does both. Nothing is written.

With --manifests no cluster is asked: the rules of the policy templates are
evaluated on the objects in a file, in a folder, or on standard input ("-"), as
the API server would when they are created. Overlays of Kustomize must be built
before. A rule that needs to know more than the object is not passed, but told
as what could not be looked at.

Exit codes: 0 all requirements hold, 1 one is broken, 2 kspec could not look.`,
		Example: `  kspec scan --repo . --spec prod
  kspec scan --repo https://github.com/acme/config --spec prod -o oscal
  kspec scan --repo . --spec prod --manifests rendered/
  kustomize build apps/overlays/prod | kspec scan --repo . --spec prod --manifests -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return scan(cmd.Context(), a, flags, path) },
	}
	flags.repo.bind(cmd)
	flags.repo.bindForge(cmd)
	flags.cluster.bind(cmd)
	flags.bindOutput(cmd)
	cmd.Flags().StringVar(&path, "manifests", "", "file or folder with the objects to check, or - for standard input, instead of a cluster")
	return cmd
}

func scan(ctx context.Context, a *app, flags lookFlags, path string) error {
	if err := flags.check(); err != nil {
		return err
	}
	w, err := flags.wire(ctx, a, path == "")
	if err != nil {
		return err
	}
	defer w.close()
	var files *manifests
	if path != "" {
		if files, err = a.readManifests(path); err != nil {
			return fmt.Errorf("--manifests: %w", err)
		}
	}
	var reports []kspec.Report
	verdict := flags.repo.each(ctx, a, w.checkout, func(t kspec.Target) error {
		rep, err := w.scan(ctx, t, files)
		if err != nil {
			return err
		}
		reports = append(reports, rep)
		return verdictOf(rep)
	})
	if len(reports) > 0 {
		if err := a.printReports(flags.output, reports); err != nil {
			return err
		}
	}
	return verdict
}

// scan checks the requirements of one target, or its rules on manifests.
func (w *wiring) scan(ctx context.Context, t kspec.Target, files *manifests) (kspec.Report, error) {
	if files != nil {
		return w.scanFiles(ctx, t, files)
	}
	if len(t.Requirements.Checks()) == 0 {
		return kspec.Report{}, kspec.WithHint(fmt.Errorf("ClusterSpec %s has no requirements", t.Name),
			"say by spec.podSecurity, spec.network and the like what its cluster must be, or choose other ClusterSpecs by --spec")
	}
	rep, err := w.requirements.Look(ctx, t)
	if err != nil {
		return kspec.Report{}, fmt.Errorf("scan %s: %w", t.Name, err)
	}
	return w.reconciler.Waiver.Waive(t, kspec.Desired{}, rep.Treated(t))
}
