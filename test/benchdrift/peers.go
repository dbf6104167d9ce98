package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/fluxcd/pkg/ssa"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cloudcwfranck/kspec"
)

// look is one look of a tool at the objects; it returns how many of them are
// drifted, and what it asked the API server.
type look func(ctx context.Context, want kspec.Desired, workers int) (drifted int, asked requests, err error)

// ssaDiff is fluxcd/pkg/ssa, which fetches and dry-runs each object.
func ssaDiff(cfg *rest.Config) look {
	return func(ctx context.Context, want kspec.Desired, workers int) (int, requests, error) {
		cfg, asked := counted(cfg)
		c, err := client.New(cfg, client.Options{})
		if err != nil {
			return 0, requests{}, err
		}
		m := ssa.NewResourceManager(c, nil, ssa.Owner{Field: applier, Group: "kspec.io"})
		changed := make([]int, len(want.Objects))
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(workers)
		for i, o := range want.Objects {
			g.Go(func() error {
				entry, _, _, err := m.Diff(ctx, o.DeepCopy(), ssa.DefaultDiffOptions())
				if err == nil && entry.Action == ssa.ConfiguredAction {
					changed[i] = 1
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return 0, requests{}, fmt.Errorf("ssa diff: %w", err)
		}
		n := 0
		for _, c := range changed {
			n += c
		}
		return n, asked(), nil
	}
}

// kubectlDiff is kubectl diff --server-side. It counts requests by its log.
func kubectlDiff(binary, kubeconfig, dir string) look {
	return func(ctx context.Context, want kspec.Desired, workers int) (int, requests, error) {
		file := filepath.Join(dir, "want.json")
		if err := writeList(file, want); err != nil {
			return 0, requests{}, err
		}
		cmd := exec.CommandContext(ctx, binary, "--kubeconfig="+kubeconfig, "--cache-dir="+filepath.Join(dir, "cache"), "-v=6",
			"diff", "--server-side", "--force-conflicts", "--field-manager="+applier, "--concurrency="+strconv.Itoa(workers), "-f", file)
		cmd.Env = append(os.Environ(), "TMPDIR="+dir)
		var out, log bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &log
		err := cmd.Run()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 {
			err = nil // drift
		}
		if err != nil {
			return 0, requests{}, fmt.Errorf("kubectl diff: %w: %s", err, log.Bytes()[max(0, log.Len()-500):])
		}
		return bytes.Count(out.Bytes(), []byte("diff -u -N ")), askedBy(log.String()), nil
	}
}

// askedBy counts the requests for objects in a log of kubectl.
func askedBy(log string) (asked requests) {
	for line := range strings.Lines(log) {
		switch {
		case strings.Contains(line, `verb="PATCH"`):
			asked.Patch++
		case strings.Contains(line, `verb="GET"`) && strings.Contains(line, "/namespaces/"):
			asked.Get++
		}
	}
	return asked
}

func writeList(file string, want kspec.Desired) error {
	var b bytes.Buffer
	for _, o := range want.Objects {
		data, err := o.MarshalJSON()
		if err != nil {
			return err
		}
		b.WriteString("---\n")
		b.Write(data)
	}
	return os.WriteFile(file, b.Bytes(), 0o600)
}
