package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/report"
)

func newDriftCommand(a *app) *cobra.Command {
	return group("drift", "Compare live clusters with Git", newDetectCommand(a), newRemediateCommand(a))
}

func newDetectCommand(a *app) *cobra.Command {
	var flags lookFlags
	cmd := &cobra.Command{
		Use:   "detect",
		Short: "Look once, and tell what differs, who changed it and how bad it is",
		Long: `Look once at the cluster of each ClusterSpec and report what is no longer what
Git says. Nothing is written, neither to the cluster nor to Git.

Exit codes: 0 in sync, 1 drift found, 2 kspec could not look.`,
		Example: `  kspec drift detect --repo . --spec prod
  kspec drift detect --repo https://github.com/acme/config --spec prod -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return detect(cmd.Context(), a, flags) },
	}
	flags.bind(cmd)
	return cmd
}

func detect(ctx context.Context, a *app, flags lookFlags) error {
	if err := flags.check(); err != nil {
		return err
	}
	w, err := flags.wire(ctx, a)
	if err != nil {
		return err
	}
	defer w.close()
	var reports []kspec.Report
	verdict := flags.repo.each(ctx, a, w.checkout, func(t kspec.Target) error {
		_, rep, err := w.reconciler.Look(ctx, t)
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

// verdictOf says by an error what a report means for the exit code.
func verdictOf(rep kspec.Report) error {
	switch {
	case len(rep.Open()) > 0:
		return errDrift
	case !rep.Complete():
		return errIncomplete
	default:
		return nil
	}
}

func (a *app) printReports(format string, reports []kspec.Report) error {
	return report.Write(a.out, format, reports, report.Options{Color: a.colour(), Now: time.Now()})
}

func newRemediateCommand(a *app) *cobra.Command {
	var flags lookFlags
	var forge forgeFlags
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "remediate",
		Short: "Look once, and bring the pull request up to date",
		Long: `Look once at the cluster of each ClusterSpec and bring its pull request up to
date: open it when there is drift that a change in Git can put right, update it
when the drift changed, close it when the drift is gone. Running it again
changes nothing more. Nothing is ever written to the cluster.

Exit codes: 0 in sync, 1 drift found, 2 kspec could not look or not write.`,
		Example: `  # What would be done?
  kspec drift remediate --repo https://github.com/acme/config --spec prod --dry-run

  # Do it.
  export KSPEC_FORGE_TOKEN=…
  kspec drift remediate --repo https://github.com/acme/config --spec prod`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return remediate(cmd.Context(), a, flags, forge, dryRun) },
	}
	flags.bind(cmd)
	forge.bind(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print the plan and change nothing")
	return cmd
}

func remediate(ctx context.Context, a *app, flags lookFlags, forge forgeFlags, dryRun bool) error {
	if err := errors.Join(flags.check(), forge.check()); err != nil {
		return err
	}
	w, err := flags.wire(ctx, a)
	if err != nil {
		return err
	}
	defer w.close()
	if err := forge.wire(a, w, &flags.repo, onceOptions(dryRun)); err != nil {
		return err
	}
	return flags.repo.each(ctx, a, w.checkout, func(t kspec.Target) error {
		rep, out, err := w.settle(ctx, t)
		if err != nil {
			return err
		}
		if err := a.printOutcome(flags.output, t, rep, out); err != nil {
			return err
		}
		return verdictOf(rep)
	})
}

// looksApart is the time between the looks that make sure that drift is gone.
const looksApart = time.Second

// settle reconciles t until no further look is needed.
func (w *wiring) settle(ctx context.Context, t kspec.Target) (kspec.Report, kspec.Outcome, error) {
	for looks := 0; ; looks++ {
		rep, out, err := w.reconciler.Reconcile(ctx, t)
		if err != nil || out.Action != kspec.ActionWaiting || looks >= 5 {
			return rep, out, err
		}
		select {
		case <-ctx.Done():
			return rep, out, ctx.Err()
		case <-time.After(looksApart):
		}
	}
}

// outcomeDoc is the JSON of "drift remediate".
type outcomeDoc struct {
	Target string `json:"target"`
	InSync bool   `json:"inSync"`
	kspec.Outcome
}

func (a *app) printOutcome(format string, t kspec.Target, rep kspec.Report, out kspec.Outcome) error {
	if format == "json" {
		enc := json.NewEncoder(a.out)
		enc.SetIndent("", "  ")
		return enc.Encode(outcomeDoc{t.Name, rep.InSync(), out})
	}
	if err := a.printReports(format, []kspec.Report{rep}); err != nil {
		return err
	}
	_, err := fmt.Fprint(a.out, outcomeText(out))
	return err
}

// outcomeText says what was done in lines for a person.
func outcomeText(out kspec.Outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s", out.Action)
	if out.Number > 0 {
		fmt.Fprintf(&b, " pull request #%d %s", out.Number, out.URL)
	}
	if out.Why != "" {
		fmt.Fprintf(&b, ": %s", out.Why)
	}
	b.WriteString("\n")
	if out.Action == kspec.ActionPlanned || out.Action == kspec.ActionOpened || out.Action == kspec.ActionUpdated {
		fmt.Fprintf(&b, "\n%s\nbranch %s → %s\n\n", out.Plan.Title, out.Plan.Branch, out.Plan.Base)
		for _, e := range out.Plan.Edits {
			b.WriteString(e.Diff)
		}
	}
	for _, r := range out.Plan.Reasons {
		fmt.Fprintf(&b, "not changed: %s %s: %s\n", r.Object, r.Path, r.Why)
	}
	return b.String()
}
