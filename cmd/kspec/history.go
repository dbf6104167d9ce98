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
	"github.com/cloudcwfranck/kspec/store"
)

type historyFlags struct {
	state    stateFlags
	since    span
	specs    []string
	severity string
	object   string
	only     string
	output   string
}

func newHistoryCommand(a *app) *cobra.Command {
	flags := historyFlags{since: newSpan("7d")}
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Tell what drifted, for how long, and how it ended",
		Long: `Tell what was found by the looks that were recorded in a state file: by
"kspec serve --state", and by "kspec drift detect --state". No cluster and no
repo is looked at.

An episode is one finding, from when it was first seen until it was gone; what
comes back within a day is the same episode. FOR is how long it lasted, SEEN how
many looks saw it, BACK how often it came back. When two field managers keep
overwriting each other, the line below says who.

Exit codes: 0 told, 2 kspec could not look.`,
		Example: `  kspec drift history --state /var/lib/kspec/state.db
  kspec drift history --state state.db --since 30d --only open --severity high
  kspec drift history --state state.db --object deployment/web -o json
  kspec drift history --state state.db --only fighting`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return tellHistory(cmd.Context(), a, flags) },
	}
	flags.state.bind(cmd)
	f := cmd.Flags()
	f.Var(&flags.since, "since", "leave out what was over before that, such as 12h or 30d; 0 leaves nothing out")
	f.StringSliceVar(&flags.specs, "spec", nil, "name of a ClusterSpec (default: all)")
	f.StringVar(&flags.severity, "severity", "", "leave out what is milder: "+severities())
	f.StringVar(&flags.object, "object", "", "part of the name of the object, such as web, deployment/web or shop/web")
	f.StringVar(&flags.only, "only", "", "open, closed or fighting (default: all)")
	f.StringVarP(&flags.output, "output", "o", "text", "format: "+strings.Join(report.HistoryFormats(), ", "))
	return cmd
}

func severities() string {
	var names []string
	for _, s := range kspec.Severities() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

func (f *historyFlags) check() error {
	switch {
	case f.state.where == "":
		return kspec.WithHint(errors.New("no history: --state names no file"),
			"give --state the file that \"kspec drift detect\" or \"kspec serve\" was given, or set KSPEC_STATE")
	case f.severity != "" && kspec.Severity(f.severity).Rank() == 0:
		return fmt.Errorf("unknown severity %q: want %s", f.severity, severities())
	case !slices.Contains([]string{"", "open", "closed", "fighting"}, f.only):
		return fmt.Errorf("unknown --only %q: want open, closed or fighting", f.only)
	case !slices.Contains(report.HistoryFormats(), f.output):
		return fmt.Errorf("unknown output %q: want %s", f.output, strings.Join(report.HistoryFormats(), ", "))
	}
	return nil
}

// filter returns what the flags choose, at the given time.
func (f *historyFlags) filter(now time.Time) store.Filter {
	chosen := store.Filter{
		Targets: f.specs, Severity: kspec.Severity(f.severity), Object: f.object, Fighting: f.only == "fighting",
	}
	if f.since.Duration > 0 {
		chosen.Since = now.Add(-f.since.Duration)
	}
	if f.only == "open" || f.only == "closed" {
		chosen.State = store.State(f.only)
	}
	return chosen
}

func tellHistory(ctx context.Context, a *app, flags historyFlags) error {
	if err := flags.check(); err != nil {
		return err
	}
	st, err := store.Open(ctx, flags.state.where, store.Options{MustExist: true})
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }() // it was only read
	o := a.options()
	episodes, err := st.Episodes(ctx, flags.filter(o.Now))
	if err != nil {
		return err
	}
	return report.WriteHistory(a.out, flags.output, episodes, o)
}
