package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/verify"
)

type verifyFlags struct {
	look    lookFlags
	running bool
	keys    []string
}

func newVerifyCommand(a *app) *cobra.Command {
	var flags verifyFlags
	cmd := &cobra.Command{
		Use:   "verify [IMAGE…]",
		Short: "Check that images are signed as the ClusterSpec demands",
		Long: `Check the cosign signatures of the images that a ClusterSpec deploys, and with
--running of those that its cluster runs. With images as arguments, check just
those, against the keys given by --key or the rules of the ClusterSpec.

Exit codes: 0 all signed, 1 an image is not, 2 kspec could not look.`,
		Example: `  kspec verify --repo . --spec prod
  kspec verify --repo . --spec prod --running
  kspec verify --key cosign.pub ghcr.io/acme/web:1.4.2`,
		RunE: func(cmd *cobra.Command, images []string) error {
			if err := flags.look.check(); err != nil {
				return err
			}
			if len(images) == 0 {
				return verifySpecs(cmd.Context(), a, flags)
			}
			return verifyImages(cmd.Context(), a, flags, images)
		},
	}
	flags.look.repo.bind(cmd)
	flags.look.repo.bindForge(cmd)
	flags.look.cluster.bind(cmd)
	flags.look.registries.bind(cmd)
	flags.look.bindOutput(cmd)
	cmd.Flags().BoolVar(&flags.running, "running", false, "check what the cluster runs, too")
	cmd.Flags().StringSliceVar(&flags.keys, "key", nil, "file with a public key (PEM) for the images given as arguments")
	return cmd
}

// verifySpecs checks the images of every selected ClusterSpec.
func verifySpecs(ctx context.Context, a *app, flags verifyFlags) error {
	w, err := flags.look.wire(ctx, a, flags.running)
	if err != nil {
		return err
	}
	defer w.close()
	running := verify.RunningFunc(func(ctx context.Context, t kspec.Target) ([]kspec.Image, error) {
		if !flags.running {
			return nil, nil
		}
		return w.clusters.runningImages(ctx, t)
	})
	verifier := verify.New(running, flags.look.registries.options(a.log))
	var reports []kspec.Report
	verdict := flags.look.repo.each(ctx, a, w.checkout, func(t kspec.Target) error {
		rep, err := verifyOne(ctx, w, verifier, t)
		if err != nil {
			return err
		}
		reports = append(reports, rep)
		return verdictOf(rep)
	})
	if len(reports) > 0 {
		if err := a.printReports(flags.look.output, reports); err != nil {
			return err
		}
	}
	return verdict
}

func verifyOne(ctx context.Context, w *wiring, v kspec.Verifier, t kspec.Target) (kspec.Report, error) {
	start := time.Now()
	if !t.Images.RequireSignatures {
		return kspec.Report{}, kspec.WithHint(fmt.Errorf("ClusterSpec %s demands no signatures", t.Name),
			"set spec.workloads.images.requireSignatures and signatures, or choose other ClusterSpecs by --spec")
	}
	want, err := w.reconciler.Renderer.Render(ctx, t, w.checkout.tree)
	if err != nil {
		return kspec.Report{}, err
	}
	bad, unknown, err := v.Verify(ctx, t, want)
	if err != nil {
		return kspec.Report{}, err
	}
	rep := kspec.Report{
		Target: t.Name, Cluster: t.Cluster, Revision: t.Revision, StartedAt: start, Duration: time.Since(start),
		Unknown: want.Unknown, Coverage: kspec.Coverage{Objects: len(want.Objects)},
	}
	return w.reconciler.Waiver.Waive(t, want, rep.Verified(t, bad, unknown))
}

// verifyImages checks single images.
func verifyImages(ctx context.Context, a *app, flags verifyFlags, images []string) error {
	rules, err := flags.rules(ctx, a)
	if err != nil {
		return err
	}
	verifier := verify.New(nil, flags.look.registries.options(a.log))
	var worst error
	for _, image := range images {
		result, err := verifier.Image(ctx, image, rules)
		switch {
		case err != nil:
			a.fail(fmt.Errorf("%s: %w", image, err))
			if worst == nil {
				worst = errIncomplete
			}
		default:
			if _, err := fmt.Fprintln(a.out, result); err != nil {
				return err
			}
			if !result.Signed {
				worst = errDrift
			}
		}
	}
	return worst
}

// rules returns those of the --key flags, else those of the one ClusterSpec
// that is selected.
func (f verifyFlags) rules(ctx context.Context, a *app) (kspec.ImageRules, error) {
	if len(f.keys) > 0 {
		authority := kspec.Authority{Name: "--key"}
		for _, file := range f.keys {
			pem, err := readFlag("--key", file)
			if err != nil {
				return kspec.ImageRules{}, err
			}
			authority.Keys = append(authority.Keys, string(pem))
		}
		return kspec.ImageRules{
			RequireSignatures: true,
			Signatures:        []kspec.SignatureRule{{Match: []string{"**"}, Authorities: []kspec.Authority{authority}}},
		}, nil
	}
	const hint = "give a public key by --key, or the repo with the rules by --repo and --spec"
	source, err := f.look.repo.open(a)
	if err != nil {
		return kspec.ImageRules{}, kspec.WithHint(err, hint)
	}
	defer func() { _ = source.Close() }()
	c, err := f.look.repo.read(ctx, source)
	if err != nil {
		return kspec.ImageRules{}, kspec.WithHint(err, hint)
	}
	targets, err := f.look.repo.selected(c)
	if err != nil {
		return kspec.ImageRules{}, err
	}
	if len(targets) != 1 {
		return kspec.ImageRules{}, kspec.WithHint(fmt.Errorf("%d ClusterSpecs, and images are checked by the rules of one", len(targets)),
			"choose one by --spec, or give a public key by --key")
	}
	return targets[0].Images, nil
}
