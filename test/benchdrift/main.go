// Command benchdrift measures how long one look at a cluster takes, next to
// fluxcd/pkg/ssa and kubectl, on a real control plane that it starts and ends.
// docs/performance.md shows what came out; "make bench-drift" repeats it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/go-logr/logr"
	crlog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/cloudcwfranck/kspec/test/kube"
)

type options struct {
	objects int
	sample  int
	runs    int
	out     string
	kubectl string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "benchdrift:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o options
	flags := flag.NewFlagSet("benchdrift", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.objects, "n", 10000, "objects in the cluster")
	flags.IntVar(&o.sample, "sample", 1000, "objects that kubectl diff is given, and that the best number of workers of a peer is found with")
	flags.IntVar(&o.runs, "runs", 1, "runs of each measurement; the fastest counts")
	flags.StringVar(&o.out, "out", "", "`file` that the rows are written to as JSON")
	flags.StringVar(&o.kubectl, "kubectl", "", "kubectl binary; without one it is left out")
	if err := flags.Parse(args); err != nil {
		return err
	}
	crlog.SetLogger(logr.Discard()) // or controller-runtime warns that nobody did
	cluster, err := kube.New()
	if err != nil {
		return err
	}
	rows, err := measure(ctx, cluster, o, stderr)
	if err := errors.Join(err, cluster.Stop()); err != nil {
		return err
	}
	if o.out != "" {
		data, err := json.MarshalIndent(rows.rows, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.out, append(data, '\n'), 0o600); err != nil {
			return err
		}
	}
	return rows.print(stdout, o)
}
