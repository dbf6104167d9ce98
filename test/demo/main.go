// Command demo shows kspec's main job on real parts: a Kubernetes API, a Git
// server with pull requests and a chat, all on this machine. It delivers the
// example config repo as Flux does, edits the cluster as a person would, and
// lets kspec find it, open a pull request, tell the chat and see it cured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"
)

func main() {
	var o options
	flags := flag.NewFlagSet("demo", flag.ExitOnError) // not flag.CommandLine: controller-runtime adds to that
	flags.StringVar(&o.kspec, "kspec", "bin/kspec", "path of the kspec binary")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "use this cluster instead of starting one; the demo makes and removes namespace shop in it")
	flags.BoolVar(&o.keep, "keep", false, "leave everything up until interrupted")
	_ = flags.Parse(os.Args[1:])

	o.out = os.Stdout
	o.colour = term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == ""
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	start := time.Now()
	err := run(ctx, o)
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "\ninterrupted; everything is cleaned up")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "\ndemo: error:", err)
		os.Exit(1)
	}
	fmt.Printf("\nDone in %s. Everything that was started is gone again.\n", time.Since(start).Round(time.Second))
}

type options struct {
	kspec, kubeconfig string
	keep              bool
	out               io.Writer
	colour            bool
}

// run plays the scenes in order.
func run(ctx context.Context, o options) (err error) {
	s, err := openStage(ctx, o)
	defer func() { err = errors.Join(err, s.close()) }()
	if err != nil {
		return err
	}
	for _, scene := range []func(context.Context) error{
		s.introduce, s.deliver, s.inSync, s.edit, s.detect, s.serve, s.pullRequest, s.merge, s.cured, s.curtain,
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}
