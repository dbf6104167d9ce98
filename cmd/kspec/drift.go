package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/report"
)

func newDriftCommand(a *app) *cobra.Command {
	return group("drift", "Compare live clusters with Git", newDetectCommand(a), newRemediateCommand(a), newHistoryCommand(a))
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
	flags.state.bind(cmd)
	return cmd
}

func detect(ctx context.Context, a *app, flags lookFlags) error {
	if err := flags.check(); err != nil {
		return err
	}
	w, err := flags.wire(ctx, a, true)
	if err != nil {
		return err
	}
	defer w.close()
	w.claim(ctx, flags.repo)
	var reports []kspec.Report
	verdict := flags.repo.each(ctx, a, w.checkout, func(t kspec.Target) error {
		a.progress.begin(t.Name)
		_, rep, err := w.reconciler.Look(ctx, t)
		a.progress.end()
		if err != nil {
			return err
		}
		reports = append(reports, rep)
		return verdictOf(rep)
	})
	if len(reports) > 0 || verdict == nil {
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
	return report.Write(a.out, format, reports, a.options())
}

func newRemediateCommand(a *app) *cobra.Command {
	var flags lookFlags
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
		RunE: func(cmd *cobra.Command, _ []string) error { return remediate(cmd.Context(), a, flags, dryRun) },
	}
	flags.bind(cmd)
	cmd.Flags().Lookup("output").Usage = "format: " + strings.Join(outcomeFormats(), ", ")
	flags.state.bind(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print the plan and change nothing")
	return cmd
}

func remediate(ctx context.Context, a *app, flags lookFlags, dryRun bool) error {
	if !slices.Contains(outcomeFormats(), flags.output) {
		return kspec.WithHint(fmt.Errorf("unknown output %q: want %s", flags.output, strings.Join(outcomeFormats(), ", ")),
			"\"kspec drift detect\" writes reports in further formats")
	}
	if err := errors.Join(flags.check(), flags.repo.forge.check()); err != nil {
		return err
	}
	w, err := flags.wire(ctx, a, true)
	if err != nil {
		return err
	}
	defer w.close()
	if err := flags.repo.forge.wire(a, w, &flags.repo, onceOptions(dryRun)); err != nil {
		return err
	}
	w.claim(ctx, flags.repo)
	var docs []outcomeDoc
	verdict := flags.repo.each(ctx, a, w.checkout, func(t kspec.Target) error {
		a.progress.begin(t.Name)
		rep, out, err := w.settle(ctx, t)
		a.progress.end()
		if err != nil && rep.StartedAt.IsZero() {
			return err
		}
		if err := errors.Join(err, a.printOutcome(flags.output, rep, out)); err != nil {
			return err
		}
		docs = append(docs, outcomeDoc{t.Name, rep.InSync(), out})
		return verdictOf(rep)
	})
	if err := a.printOutcomes(flags.output, docs); err != nil {
		return err
	}
	return verdict
}

// outcomeFormats are those that can tell what was done; the others hold
// findings only.
func outcomeFormats() []string { return []string{"text", "json", "yaml", "markdown"} }

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

// outcomeDoc is one target in the JSON and YAML of "drift remediate".
type outcomeDoc struct {
	Target string `json:"target"`
	InSync bool   `json:"inSync"`
	kspec.Outcome
}

// printOutcomes writes what was done in the formats for machines: one document,
// or a list when there are several targets.
func (a *app) printOutcomes(format string, docs []outcomeDoc) error {
	if len(docs) == 0 || format != "json" && format != "yaml" {
		return nil
	}
	var doc any = docs[0]
	if len(docs) > 1 {
		doc = struct {
			Items []outcomeDoc `json:"items"`
		}{docs}
	}
	text, err := report.Marshal(format, doc)
	if err != nil {
		return err
	}
	_, err = a.out.Write(text)
	return err
}

// printOutcome writes what was found in one target, and what was done if
// anything was, in the formats for people.
func (a *app) printOutcome(format string, rep kspec.Report, out kspec.Outcome) error {
	if format == "json" || format == "yaml" {
		return nil
	}
	if err := a.printReports(format, []kspec.Report{rep}); err != nil || out.Action == "" || out.Action == kspec.ActionNone && out.Why == "" {
		return err
	}
	text := outcomeText(out)
	for _, other := range out.Others {
		text += outcomeText(other)
	}
	if format == "markdown" {
		text = fenced(text)
	}
	_, err := fmt.Fprint(a.out, text)
	return err
}

// fenced returns text as a block of Markdown that nothing in it can end.
func fenced(text string) string {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return "\n" + fence + "diff\n" + strings.Trim(text, "\n") + "\n" + fence + "\n\n"
}

// outcomeText says what was done in lines for a person.
func outcomeText(out kspec.Outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s", out.Action)
	if out.Number > 0 {
		fmt.Fprintf(&b, " pull request #%d %s", out.Number, out.URL)
	}
	if out.Why != "" {
		fmt.Fprintf(&b, ": %s", inertLine(out.Why))
	}
	b.WriteString("\n")
	if out.Action == kspec.ActionPlanned || out.Action == kspec.ActionOpened || out.Action == kspec.ActionUpdated {
		fmt.Fprintf(&b, "\n%s\nbranch %s → %s\n\n", inertLine(out.Plan.Title), out.Plan.Branch, out.Plan.Base)
		for _, e := range out.Plan.Edits {
			b.WriteString(inert(e.Diff))
		}
	}
	for _, r := range out.Plan.Reasons {
		what := strings.TrimSpace(r.Object.String() + " " + r.Path)
		fmt.Fprintf(&b, "not changed: %s: %s\n", inertLine(what), inertLine(r.Why))
	}
	return b.String()
}
