// Command benchrender measures how long it takes to build one large overlay:
// by kspec, with and without what an earlier process kept, by one run of
// Kustomize, and by kubectl kustomize. Each is a process of its own.
// docs/performance.md shows what came out; "make bench-render" repeats it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/render"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "benchrender:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("benchrender", flag.ContinueOnError)
	sizes := flags.String("n", "500,1000,2000,4000", "objects of the overlay")
	kubectl := flags.String("kubectl", "", "kubectl binary; without one it is left out")
	tool := flags.String("tool", "", "only build the overlay in the folder that is given, by kspec or krusty")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *tool != "" {
		return build(ctx, *tool, flags.Arg(0), stdout)
	}
	out := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "objects\ttool\tseconds\tseconds of CPU\t× kspec first (CPU)")
	for size := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil {
			return err
		}
		if err := measure(ctx, out, n, *kubectl); err != nil {
			return err
		}
	}
	return out.Flush()
}

// measure builds one overlay of n objects by all tools.
func measure(ctx context.Context, out io.Writer, n int, kubectl string) error {
	dir, err := os.MkdirTemp("", "benchrender-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := write(filepath.Join(dir, "apps"), n); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var first time.Duration
	for _, tool := range []struct {
		name string
		args []string
	}{
		{"kspec first", []string{self, "-tool=kspec", dir}},
		{"kspec again", []string{self, "-tool=kspec", dir}},
		{"krusty", []string{self, "-tool=krusty", dir}},
		{"kubectl kustomize", []string{kubectl, "kustomize", filepath.Join(dir, "apps")}},
	} {
		if tool.args[0] == "" {
			continue
		}
		cmd := exec.CommandContext(ctx, tool.args[0], tool.args[1:]...)
		cmd.Stderr = os.Stderr
		begin := time.Now()
		printed, err := cmd.Output()
		took := time.Since(begin)
		if err != nil {
			return fmt.Errorf("%s: %w", tool.name, err)
		}
		if got := strings.Count(string(printed), "kind: Deployment\n"); got != n {
			return fmt.Errorf("%s built %d of %d objects", tool.name, got, n)
		}
		cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		if first == 0 {
			first = cpu
		}
		fmt.Fprintf(out, "%d\t%s\t%.2f\t%.2f\t%.1f\n", n, tool.name, took.Seconds(), cpu.Seconds(), cpu.Seconds()/first.Seconds())
	}
	return nil
}

// build prints what a tool makes of the folder apps.
func build(ctx context.Context, tool, dir string, stdout io.Writer) error {
	var text []byte
	if tool == "krusty" {
		m, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(dir, "apps"))
		if err != nil {
			return err
		}
		if text, err = m.AsYaml(); err != nil {
			return err
		}
	} else {
		r := render.New(render.Options{CacheDir: filepath.Join(dir, "cache")})
		want, err := r.Render(ctx, kspec.Target{Overlays: []kspec.Overlay{{Path: "apps"}}}, kspec.Tree{FS: os.DirFS(dir)})
		if err != nil {
			return err
		}
		for _, u := range want.Unknown {
			return errors.New(u.Reason)
		}
		if text, err = render.YAML(want.Objects); err != nil {
			return err
		}
	}
	_, err := stdout.Write(text)
	return err
}

// write makes an overlay of n Deployments, ten a file.
func write(dir string, n int) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var list strings.Builder
	list.WriteString("namespace: shop\nresources:\n")
	for i := 0; i < n; i += 10 {
		var text strings.Builder
		for j := i; j < min(i+10, n); j++ {
			fmt.Fprintf(&text, `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-%[1]d, labels: {app: web-%[1]d}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web-%[1]d}}
  template:
    metadata: {labels: {app: web-%[1]d}}
    spec:
      containers:
      - name: app
        image: registry.example/web:1.4.2
        ports: [{containerPort: 8080}]
        resources: {limits: {memory: 64Mi}}
`, j)
		}
		name := fmt.Sprintf("part-%04d.yaml", i)
		fmt.Fprintf(&list, "- %s\n", name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text.String()), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(list.String()), 0o600)
}
