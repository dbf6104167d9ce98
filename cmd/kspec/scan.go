package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cloudcwfranck/kspec"
)

func newScanCommand(a *app) *cobra.Command {
	var flags lookFlags
	cmd := &cobra.Command{
		Use:   "scan",
		Short: "Check that clusters are what the requirements of their ClusterSpecs demand",
		Long: `Check the cluster of each ClusterSpec against its requirements: the version of
Kubernetes, Pod Security, network policies, what containers and images are like,
who has which rights, admission control and observability. It compares nothing
with Git; "kspec drift detect" does both. Nothing is written.

Exit codes: 0 all requirements hold, 1 one is broken, 2 kspec could not look.`,
		Example: `  kspec scan --repo . --spec prod
  kspec scan --repo https://github.com/acme/config --spec prod -o oscal`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return scan(cmd.Context(), a, flags) },
	}
	flags.repo.bind(cmd)
	flags.repo.bindForge(cmd)
	flags.cluster.bind(cmd)
	flags.bindOutput(cmd)
	return cmd
}

func scan(ctx context.Context, a *app, flags lookFlags) error {
	if err := flags.check(); err != nil {
		return err
	}
	w, err := flags.wire(ctx, a, true)
	if err != nil {
		return err
	}
	defer w.close()
	var reports []kspec.Report
	verdict := flags.repo.each(ctx, a, w.checkout, func(t kspec.Target) error {
		rep, err := w.scan(ctx, t)
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

// scan checks the requirements of one target.
func (w *wiring) scan(ctx context.Context, t kspec.Target) (kspec.Report, error) {
	if len(t.Requirements.Checks()) == 0 {
		return kspec.Report{}, kspec.WithHint(fmt.Errorf("ClusterSpec %s has no requirements", t.Name),
			"say by spec.podSecurity, spec.network and the like what its cluster must be, or choose other ClusterSpecs by --spec")
	}
	rep, err := w.requirements.Look(ctx, t)
	if err != nil {
		return kspec.Report{}, fmt.Errorf("scan %s: %w", t.Name, err)
	}
	rep.Notes = append(rep.Notes, t.Notes...)
	return w.reconciler.Waiver.Waive(t, kspec.Desired{}, rep)
}
