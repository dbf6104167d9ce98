package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cloudcwfranck/kspec"
)

func newScanCommand(a *app) *cobra.Command {
	var flags lookFlags
	var manifests string
	cmd := &cobra.Command{
		Use:   "scan",
		Short: "Check that clusters are what the requirements of their ClusterSpecs demand",
		Long: `Check the cluster of each ClusterSpec against its requirements: the version of
Kubernetes, Pod Security, network policies, what containers and images are like,
who has which rights, admission control and observability. It compares nothing
with Git; "kspec drift detect" does both. Nothing is written.

With --manifests no cluster is asked: the rules of the policy templates are
evaluated on the objects in a file or folder, as the API server would when they
are created. A rule that needs to know more than the object is not passed, but
told as what could not be looked at.

Exit codes: 0 all requirements hold, 1 one is broken, 2 kspec could not look.`,
		Example: `  kspec scan --repo . --spec prod
  kspec scan --repo https://github.com/acme/config --spec prod -o oscal
  kspec scan --repo . --spec prod --manifests rendered/`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return scan(cmd.Context(), a, flags, manifests) },
	}
	flags.repo.bind(cmd)
	flags.repo.bindForge(cmd)
	flags.cluster.bind(cmd)
	flags.bindOutput(cmd)
	cmd.Flags().StringVar(&manifests, "manifests", "", "file or folder with the objects to check, instead of a cluster")
	return cmd
}

func scan(ctx context.Context, a *app, flags lookFlags, manifests string) error {
	if err := flags.check(); err != nil {
		return err
	}
	w, err := flags.wire(ctx, a, manifests == "")
	if err != nil {
		return err
	}
	defer w.close()
	var reports []kspec.Report
	verdict := flags.repo.each(ctx, a, w.checkout, func(t kspec.Target) error {
		rep, err := w.scan(ctx, t, manifests)
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
func (w *wiring) scan(ctx context.Context, t kspec.Target, manifests string) (kspec.Report, error) {
	if manifests != "" {
		return w.scanFiles(ctx, t, manifests)
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
