package main

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
	"github.com/cloudcwfranck/kspec/compare/require"
	"github.com/cloudcwfranck/kspec/policy"
	kremediate "github.com/cloudcwfranck/kspec/remediate"
	"github.com/cloudcwfranck/kspec/remediate/github"
	"github.com/cloudcwfranck/kspec/render"
	"github.com/cloudcwfranck/kspec/report"
	"github.com/cloudcwfranck/kspec/store"
	"github.com/cloudcwfranck/kspec/verify"
)

// lookFlags are those of every verb that looks at a cluster.
type lookFlags struct {
	repo    repoFlags
	cluster clusterFlags
	output  string
	workers int
	// noDryRun keeps to reading.
	noDryRun bool
	keyFile  string

	registries registryFlags
	state      stateFlags
	who        whoFlags
	// watch listens to the clusters between looks; nil for a verb that looks
	// once.
	watch *compare.Watcher
}

func (f *lookFlags) bindKey(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.keyFile, "key-file", "", "file with a secret of 32 bytes or more: it makes the tags of secret values the same in every run, and what kspec remembers in pull requests cannot be forged")
}

// readKey reads the key, the zero Secret without a file.
func (f *lookFlags) readKey() (kspec.Secret, error) {
	if f.keyFile == "" {
		return kspec.Secret{}, nil
	}
	data, err := os.ReadFile(f.keyFile)
	if err != nil {
		return kspec.Secret{}, fmt.Errorf("--key-file: %w", err)
	}
	if len(data) < 32 {
		return kspec.Secret{}, kspec.WithHint(fmt.Errorf("--key-file: %s holds %d bytes, want 32 or more", f.keyFile, len(data)),
			"make one with \"openssl rand -hex 32\"")
	}
	return kspec.NewSecret(string(data)), nil
}

// derive returns the key for one purpose, nil of no key.
func derive(key kspec.Secret, purpose string) []byte {
	if key.IsZero() {
		return nil
	}
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	mac.Write([]byte(purpose))
	return mac.Sum(nil)
}

// registryFlags say how to reach image registries.
type registryFlags struct {
	insecure, redirects []string
}

func (f *registryFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.insecure, "insecure-registry", nil, "host, or host:port, of a registry that is spoken to without TLS; whoever is on the way can hide signatures")
	cmd.Flags().StringSliceVar(&f.redirects, "registry-redirect", nil, "further host that registries may redirect downloads to, such as *.blob.example.com")
}

func (f *registryFlags) check() error {
	for _, host := range f.insecure {
		if strings.Contains(host, "/") {
			return fmt.Errorf("--insecure-registry %s: want a host, or host:port", host)
		}
	}
	return nil
}

func (f *registryFlags) options(log *slog.Logger) verify.Options {
	return verify.Options{AllowHTTP: f.insecure, AllowRedirects: f.redirects, Log: log}
}

func (f *lookFlags) bind(cmd *cobra.Command) {
	f.repo.bind(cmd)
	f.repo.bindForge(cmd)
	f.cluster.bind(cmd)
	f.registries.bind(cmd)
	f.bindKey(cmd)
	f.who.bind(cmd)
	f.bindOutput(cmd)
	f.bindDryRun(cmd)
	cmd.Flags().IntVar(&f.workers, "concurrency", 8, "most gets and dry-runs at a time")
}

func (f *lookFlags) bindOutput(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.output, "output", "o", "text", "format: "+strings.Join(report.Formats(), ", "))
}

func (f *lookFlags) bindDryRun(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.noDryRun, "no-dry-run", false, "only read the cluster, for want of the right to patch: what that cannot decide is Unknown, and named")
}

func (f *lookFlags) check() error {
	if !slices.Contains(report.Formats(), f.output) {
		return fmt.Errorf("unknown output %q: want %s", f.output, strings.Join(report.Formats(), ", "))
	}
	return errors.Join(f.checkWorkers(), f.cluster.check(), f.registries.check())
}

func (f *lookFlags) checkWorkers() error {
	if f.workers < 0 {
		return fmt.Errorf("--concurrency %d: want 1 or more", f.workers)
	}
	return nil
}

// wiring is the stages, put together.
type wiring struct {
	source   configRepo
	clusters *clusters
	checkout *checkout
	renderer *render.Renderer
	detector *compare.Detector
	// requirements is what looks at clusters: detector, and what they must be.
	requirements *require.Detector
	reconciler   *kspec.Reconciler
	key          kspec.Secret
	// state is nil when nothing is kept.
	state *store.Store
}

// wire opens the repo, reads it and puts together the stages that look. With
// live, it refuses specs that would be compared with the wrong cluster. The
// reconciler notifies nobody and remediates nothing yet.
func (f *lookFlags) wire(ctx context.Context, a *app, live bool) (*wiring, error) {
	w, err := f.stages(ctx, a)
	if err != nil {
		return nil, err
	}
	w.checkout, err = f.repo.read(ctx, w.source)
	if err != nil {
		w.close()
		return nil, err
	}
	w.clusters.set(w.checkout.set.Targets)
	targets, err := f.repo.selected(w.checkout)
	if err == nil && live {
		err = errors.Join(f.oneCluster(targets), f.who.checkClusters(w.checkout))
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// stages puts together the stages that look, without any request.
func (f *lookFlags) stages(ctx context.Context, a *app) (*wiring, error) {
	secrets, err := openSecrets(f.cluster.secretsDir, f.cluster.secretBindings)
	if err != nil {
		return nil, err
	}
	key, err := f.readKey()
	if err != nil {
		return nil, err
	}
	source, err := f.repo.open(a)
	if err != nil {
		return nil, err
	}
	state, err := f.state.open(ctx)
	if err != nil {
		_ = source.Close()
		return nil, err
	}
	reach := &clusters{flags: f.cluster, secrets: secrets}
	renderer := render.New(render.Options{Check: checker(), CacheDir: f.repo.cacheDir, Log: a.log})
	w := &wiring{
		source:   source,
		clusters: reach,
		renderer: renderer,
		key:      key,
		state:    state,
		reconciler: &kspec.Reconciler{
			Source:   source,
			Renderer: settled{renderer, reach},
			Verifier: verify.New(verify.RunningFunc(reach.runningImages), f.registries.options(a.log)),
			Waiver:   policy.Waiver{},
			Notifier: kspec.NotifierFunc(func(context.Context, kspec.Event) error { return nil }),
		},
	}
	o := compare.Options{
		Workers: f.workers, Key: kspec.NewSecret(string(derive(key, "tags of secret values"))), Log: a.log,
		Memory: compare.NoMemory(), Watch: f.watch, Progress: a.progress.tell,
		NoDryRun: f.noDryRun,
	}
	if err := f.who.apply(&o, f.cluster.named(), a.log); err != nil {
		w.close()
		return nil, err
	}
	if state != nil {
		w.reconciler.Recorder, o.Memory = state, state
	}
	w.detector = compare.New(reach, o)
	w.requirements = require.New(w.detector, require.ReadersFunc(reach.walk), nil)
	w.reconciler.Detector = w.requirements
	return w, nil
}

func (w *wiring) close() {
	_ = w.source.Close()
	if w.state != nil {
		_ = w.state.Close()
	}
}

// oneCluster refuses to compare specs of different clusters with one cluster:
// the one that the user named by flag, or the default one when several specs
// name none and nobody said by --spec that they are all meant for it.
func (f *lookFlags) oneCluster(targets []kspec.Target) error {
	var unnamed []string
	for _, t := range targets {
		if f.cluster.named() && t.Cluster != targets[0].Cluster {
			return kspec.WithHint(fmt.Errorf("--kubeconfig and --context name one cluster, but %s and %s are for different ones", targets[0].Name, t.Name),
				"choose one by --spec")
		}
		if t.Cluster == "" {
			unnamed = append(unnamed, t.Name)
		}
	}
	if len(unnamed) > 1 && len(f.repo.specs) == 0 {
		return kspec.WithHint(fmt.Errorf("ClusterSpecs %s name no cluster, and would all be compared with the same one", strings.Join(unnamed, ", ")),
			"say which are meant for it by --spec, or give them a clusterRef")
	}
	return nil
}

// walk returns a reader of the cluster of t.
func (c *clusters) walk(ctx context.Context, t kspec.Target) (require.Reader, error) {
	cluster, err := c.Cluster(ctx, t)
	if err != nil {
		return nil, err
	}
	return cluster.Walk(), nil
}

// runningImages lists the images that run in the cluster of t.
func (c *clusters) runningImages(ctx context.Context, t kspec.Target) ([]kspec.Image, error) {
	cluster, err := c.Cluster(ctx, t)
	if err != nil {
		return nil, err
	}
	return cluster.RunningImages(ctx)
}

// forgeFlags say where pull requests are opened.
type forgeFlags struct {
	forge, url string
}

func (f *forgeFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.forge, "forge", "", "kind of forge: "+strings.Join(forgeNames(), ", ")+" (default: by the host of --repo)")
	cmd.Flags().StringVar(&f.url, "forge-url", "", "address of the forge's API (default: by the host of --repo)")
}

// forges is every kind of forge. Adding one is a folder below remediate, its
// exam, and a line here.
func forges() map[string]func(forgeAccess) (kremediate.Forge, error) {
	return map[string]func(forgeAccess) (kremediate.Forge, error){
		"github": newGitHub,
	}
}

func forgeNames() []string { return slices.Sorted(maps.Keys(forges())) }

// forgeAccess is what a kind of forge is opened with.
type forgeAccess struct {
	// repo is the address of the config repo, api that of the forge's API or
	// empty.
	repo, api string
	token     kspec.Secret
	transport http.RoundTripper
	log       *slog.Logger
}

func newGitHub(a forgeAccess) (kremediate.Forge, error) {
	api, owner, name, err := github.Parse(a.repo)
	if err != nil {
		return nil, err
	}
	return github.New(github.Options{
		BaseURL: cmp.Or(a.api, api), Owner: owner, Repo: name, Token: a.token, Transport: a.transport, Log: a.log,
	})
}

// onceOptions are for a verb that looks once because a person asked: there is
// no next look to confirm what it sees.
func onceOptions(dryRun bool) kremediate.Options {
	return kremediate.Options{DryRun: dryRun, ConfirmNow: true}
}

// wire adds the stage that remediates. A dry run on a clone needs no forge; it
// then prints the plan as if there were no pull request yet.
func (f *forgeFlags) wire(a *app, w *wiring, repo *repoFlags, o kremediate.Options) error {
	o.Log = a.log
	o.Key = derive(w.key, "memory in pull requests")
	if o.DryRun && isPath(repo.repo) {
		w.reconciler.Remediator = kremediate.New(nil, nil, w.reconciler.Renderer, o)
		return nil
	}
	if isPath(repo.repo) {
		return kspec.WithHint(fmt.Errorf("--repo %s is a clone: pull requests are opened on a forge", repo.repo),
			"give --repo the URL of the repo, or only look: with --dry-run, or --read-only of \"kspec serve\"")
	}
	auth, err := repo.auth()
	if err != nil {
		return err
	}
	transport, err := transport(auth)
	if err != nil {
		return err
	}
	forge, err := f.open(forgeAccess{repo.repo, f.url, auth.Token, transport, a.log})
	if err != nil {
		return err
	}
	git, err := kremediate.NewRepo(kremediate.GitOptions{
		URL: repo.repo, Token: auth.Token, SSHKey: auth.SSHKey, KnownHosts: auth.KnownHosts,
		Transport: transport, Timeout: repo.timeout,
	})
	if err != nil {
		return err
	}
	w.reconciler.Remediator = kremediate.New(forge, git, w.reconciler.Renderer, o)
	return nil
}

// open returns the forge of the kind that was chosen.
func (f *forgeFlags) open(a forgeAccess) (kremediate.Forge, error) {
	return forges()[cmp.Or(f.forge, "github")](a)
}

// check refuses a kind of forge that there is none of.
func (f *forgeFlags) check() error {
	if f.forge != "" && !slices.Contains(forgeNames(), f.forge) {
		return fmt.Errorf("unknown forge %q: want %s", f.forge, strings.Join(forgeNames(), ", "))
	}
	return nil
}

// isPath reports whether --repo is a folder of this machine.
func isPath(repo string) bool {
	_, err := os.Stat(repo)
	return err == nil
}
