package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/report"
)

// The exit codes of every verb, as of kubectl diff and flux diff.
const (
	exitInSync = 0 // in sync, or done
	exitDrift  = 1 // drift or a violation was found
	exitFailed = 2 // kspec could not look
)

// errDrift is returned by a verb that found what it looks for, after it has
// printed it.
var errDrift = errors.New("drift found")

// errIncomplete is returned by a verb that found nothing but could not look at
// everything, after it has printed why.
var errIncomplete = errors.New("the look was incomplete")

// app is what every verb needs of the outside.
type app struct {
	in       io.Reader
	out, err io.Writer
	log      *slog.Logger
	level    *slog.LevelVar
	progress *progress
}

// run runs one command line and returns the exit code of the process.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{in: in, out: out, err: errOut, level: new(slog.LevelVar), progress: newProgress(errOut)}
	a.level.Set(slog.LevelWarn)
	a.log = slog.New(slog.NewTextHandler(a.progress, &slog.HandlerOptions{Level: a.level}))

	root := a.command()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitInSync
	case errors.Is(err, errDrift):
		return exitDrift
	case errors.Is(err, errIncomplete):
		return exitFailed
	case errors.Is(err, context.Canceled), errors.Is(err, context.Cause(ctx)):
		err = errors.New("interrupted")
	}
	a.fail(err)
	return exitFailed
}

// fail prints an error and what to do about it.
func (a *app) fail(err error) {
	_, _ = fmt.Fprintf(a.err, "kspec: error: %s\n", inert(err.Error()))
	if hint := kspec.HintOf(err); hint != "" {
		_, _ = fmt.Fprintf(a.err, "kspec: hint: %s\n", inert(hint))
	}
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "kspec",
		Short: "Notice that a cluster is no longer what Git says, and put it right by pull request",
		Long: `kspec is a companion of Flux and Argo CD. They bring to a cluster what Git says;
kspec is the way back: it notices that the live cluster is no longer what Git
says, tells who changed it and how bad it is, and opens a pull request that a
person can read and merge.

Exit codes: 0 in sync, 1 drift or a violation found, 2 kspec could not look.

Text is coloured on a terminal; CLICOLOR_FORCE=1 colours it elsewhere, too, and
NO_COLOR=1 nowhere.`,
		Example: `  # What differs between the cluster of the current context and this clone?
  kspec drift detect --repo . --spec prod

  # Open a pull request for it, or print what it would say.
  kspec drift remediate --repo https://github.com/acme/config --spec prod --dry-run`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          onlyVerbs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().BoolFunc("verbose", "log what kspec does to standard error", func(value string) error {
		on, err := strconv.ParseBool(value)
		if on {
			a.level.Set(slog.LevelDebug)
		}
		return err
	})
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return kspec.WithHint(err, "run \""+cmd.CommandPath()+" --help\"")
	})
	root.AddCommand(
		newValidateCommand(a), newRenderCommand(a), newDriftCommand(a),
		newVerifyCommand(a), newScanCommand(a), newServeCommand(a), newClusterCommand(a), newMigrateCommand(a), newInitCommand(a), newVersionCommand(a),
	)
	hintUsage(root)
	return root
}

// exclusive refuses a flag of cmd that is given together with one of others.
func exclusive(cmd *cobra.Command, flag string, others ...string) error {
	for _, other := range others {
		if cmd.Flags().Changed(flag) && cmd.Flags().Changed(other) {
			return fmt.Errorf("--%s and --%s exclude each other: give one of them", flag, other)
		}
	}
	return nil
}

// hintUsage makes cmd, and what it holds, tell with a wrong number of arguments
// how it is used.
func hintUsage(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			if err != nil && kspec.HintOf(err) == "" {
				err = kspec.WithHint(err, "usage: "+cmd.UseLine())
			}
			return err
		}
	}
	for _, c := range cmd.Commands() {
		hintUsage(c)
	}
}

// colour reports whether the output wants colour: a terminal does, anything
// does when CLICOLOR_FORCE is set, and nothing when NO_COLOR is.
func (a *app) colour() bool {
	if os.Getenv("NO_COLOR") != "" {
		return false
	}
	if force := os.Getenv("CLICOLOR_FORCE"); force != "" && force != "0" {
		return true
	}
	f, ok := a.out.(*os.File)
	return ok && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// options say how reports are written for whoever reads the output.
func (a *app) options() report.Options {
	o := report.Options{Color: a.colour(), Now: time.Now()}
	if f, ok := a.out.(*os.File); ok {
		o.Width, _, _ = term.GetSize(int(f.Fd())) // 0 for what is no terminal
	}
	return o
}

// group returns a command that only holds others.
func group(use, short string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: onlyVerbs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(verbs...)
	return cmd
}

// onlyVerbs refuses what is none of the commands that cmd holds.
func onlyVerbs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return kspec.WithHint(fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath()),
		"known are: "+strings.Join(names(cmd), ", "))
}

func names(cmd *cobra.Command) []string {
	var all []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			all = append(all, c.Name())
		}
	}
	return all
}
