package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/compare"
	"github.com/cloudcwfranck/kspec/notify"
	"github.com/cloudcwfranck/kspec/policy"
	kremediate "github.com/cloudcwfranck/kspec/remediate"
)

type serveFlags struct {
	look lookFlags

	poll       time.Duration
	targets    int
	readOnly   bool
	logFormat  string
	metrics    string
	health     string
	elect      bool
	namespace  string
	grace      time.Duration
	allowHosts []string
	retention  span
	watch      bool
}

func newServeCommand(a *app) *cobra.Command {
	flags := serveFlags{retention: newSpan("90d")}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Watch the repo and the clusters until told to stop",
		Long: `Run the reconciler: read the config repo, look at every cluster when its
interval has passed, the repo changed or what it declares did, keep the pull
requests up to date and tell whom the AlertConfigs name. SIGTERM ends it
gracefully.

Of several replicas one works and the others wait, by a Lease in --namespace.`,
		Example: `  kspec serve --repo https://github.com/acme/config --secrets-dir /etc/kspec/secrets
  kspec serve --repo https://github.com/acme/config --read-only --leader-elect=false`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), a, flags) },
	}
	flags.look.repo.bind(cmd)
	flags.look.repo.bindForge(cmd)
	flags.look.cluster.bind(cmd)
	flags.look.registries.bind(cmd)
	flags.look.bindKey(cmd)
	flags.look.who.bind(cmd)
	flags.look.bindDryRun(cmd)
	flags.look.state.bind(cmd)
	f := cmd.Flags()
	f.IntVar(&flags.look.workers, "concurrency", 8, "most gets and dry-runs at a time in one cluster")
	f.DurationVar(&flags.poll, "poll", 30*time.Second, "time between two questions to the Git server whether anything is new")
	f.BoolVar(&flags.watch, "watch", true, "watch what is declared, and look when it changes; with --watch=false only when the interval has passed")
	f.IntVar(&flags.targets, "concurrent-targets", 4, "targets looked at at a time")
	f.BoolVar(&flags.readOnly, "read-only", false, "open no pull requests")
	f.StringVar(&flags.logFormat, "log-format", "json", "json or text")
	f.StringVar(&flags.metrics, "metrics-bind-address", ":8080", "address of the Prometheus metrics; 0 turns them off")
	f.StringVar(&flags.health, "health-probe-bind-address", ":8081", "address of /healthz and /readyz; 0 turns them off")
	f.BoolVar(&flags.elect, "leader-elect", true, "let one of several replicas work")
	f.StringVar(&flags.namespace, "namespace", "kspec-system", "namespace of the Lease and of the ClusterSpecs whose status is kept up to date")
	f.DurationVar(&flags.grace, "graceful-shutdown-timeout", 25*time.Second, "longest time to finish what was begun when told to stop")
	f.Var(&flags.retention, "history-retention", "how long the history in --state is kept after a drift is gone; 0 keeps it for ever")
	f.StringSliceVar(&flags.allowHosts, "allow-alert-host", nil, "host of a private network, as host or host:port, that alerts may be sent to; names a danger: whoever writes AlertConfigs reaches it")
	return cmd
}

func serve(ctx context.Context, a *app, flags serveFlags) error {
	if err := errors.Join(flags.check(), flags.look.checkWorkers(), flags.look.cluster.check(), flags.look.registries.check(), flags.look.repo.forge.check()); err != nil {
		return err
	}
	log, err := a.serveLog(flags.logFormat)
	if err != nil {
		return err
	}
	a.log = log
	s := &server{flags: flags, log: log}
	if flags.watch {
		s.flags.look.watch = compare.NewWatcher(compare.WatchOptions{Changed: s.changed, Log: log})
	}
	w, err := s.flags.look.stages(ctx, a)
	if err != nil {
		return err
	}
	defer w.close()
	if err := flags.remediator(a, w); err != nil {
		return err
	}
	if s.prover, err = flags.look.repo.prover(a, w.source); err != nil {
		return err
	}
	dispatcher, err := notify.New(nil, w.clusters.secrets, notify.Options{
		AllowHosts: flags.allowHosts, AllowLoopbackHTTP: slices.ContainsFunc(flags.allowHosts, isLoopback),
	})
	if err != nil {
		return err
	}
	w.reconciler.Notifier = dispatcher

	s.wiring, s.alerts, s.gauges = w, dispatcher, newGauges(metrics.Registry)
	rendered(metrics.Registry, w.renderer.Stats)
	s.loop = &kspec.Loop{Do: s.look, Workers: flags.targets, Log: log, Wake: s.wake, Done: s.gauges.done}
	mgr, err := s.manager()
	if err != nil {
		return err
	}
	if err := s.watchClusters(mgr, metrics.Registry); err != nil {
		return err
	}
	log.InfoContext(ctx, "starting", "version", buildVersion().Version, "repo", flags.look.repo.repo)
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	log.InfoContext(context.WithoutCancel(ctx), "stopped")
	return nil
}

func (f *serveFlags) check() error {
	if f.poll <= 0 {
		return fmt.Errorf("--poll %s: want more than 0", f.poll)
	}
	if f.targets < 0 {
		return fmt.Errorf("--concurrent-targets %d: want 1 or more", f.targets)
	}
	return nil
}

// remediator adds the stage that opens pull requests, or one that only
// reports.
func (f *serveFlags) remediator(a *app, w *wiring) error {
	if f.readOnly {
		w.reconciler.Remediator = kspec.RemediatorFunc(func(context.Context, kspec.Target, kspec.Desired, kspec.Report) (kspec.Outcome, error) {
			return kspec.Outcome{Action: kspec.ActionReported, Why: "kspec runs with --read-only"}, nil
		})
		return nil
	}
	return f.look.repo.forge.wire(a, w, &f.look.repo, kremediate.Options{})
}

func (a *app) serveLog(format string) (*slog.Logger, error) {
	if a.level.Level() > slog.LevelInfo {
		a.level.Set(slog.LevelInfo)
	}
	o := &slog.HandlerOptions{Level: a.level}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(a.err, o)), nil
	case "text":
		return slog.New(slog.NewTextHandler(a.err, o)), nil
	default:
		return nil, fmt.Errorf("unknown --log-format %q: want json or text", format)
	}
}

// server is the daemon: a poller that feeds the loop, and the loop.
type server struct {
	*wiring
	alerts  *notify.Dispatcher
	flags   serveFlags
	log     *slog.Logger
	loop    *kspec.Loop
	gauges  *gauges
	mirrors *mirrors
	prover  *prover

	// ready is set once the repo has been read.
	ready atomic.Bool
	// last is what the targets of the loop were read from; nil at first.
	last *checkout
}

// manager returns the controller-runtime manager that runs the server, elects
// a leader and serves metrics and probes.
func (s *server) manager() (manager.Manager, error) {
	cfg, _, err := s.flags.look.cluster.config()
	if err != nil {
		return nil, err
	}
	if s.mirrors, err = newMirrors(cfg, s.flags.namespace, s.log); err != nil {
		return nil, err
	}
	ctrl.SetLogger(logr.FromSlogHandler(s.log.Handler()))
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Metrics:                       metricsserver.Options{BindAddress: s.flags.metrics},
		HealthProbeBindAddress:        s.flags.health,
		LeaderElection:                s.flags.elect,
		LeaderElectionID:              "kspec",
		LeaderElectionNamespace:       s.flags.namespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &s.flags.grace,
	})
	if err != nil {
		return nil, fmt.Errorf("set up: %w", err)
	}
	alive := func(*http.Request) error { return nil }
	ready := func(*http.Request) error {
		if s.ready.Load() || s.flags.elect && !isLeader(mgr) {
			return nil
		}
		return errors.New("the config repo has not been read yet")
	}
	return mgr, errors.Join(
		mgr.AddHealthzCheck("alive", alive), mgr.AddReadyzCheck("repo", ready),
		mgr.Add(manager.RunnableFunc(s.watchRepo)), mgr.Add(manager.RunnableFunc(s.loop.Run)),
		mgr.Add(manager.RunnableFunc(s.keepHistoryShort)),
	)
}

func isLeader(mgr manager.Manager) bool {
	select {
	case <-mgr.Elected():
		return true
	default:
		return false
	}
}

// watchRepo asks the Git server for news until ctx is done.
func (s *server) watchRepo(ctx context.Context) error {
	tick := time.NewTicker(s.flags.poll)
	defer tick.Stop()
	for {
		s.refresh(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// refresh reads the repo and, when it moved, hands the loop its targets. What
// cannot be read keeps what was read last.
func (s *server) refresh(ctx context.Context) {
	start := time.Now()
	c, err := s.flags.look.repo.read(ctx, s.source)
	s.gauges.fetched(time.Since(start), err)
	if ctx.Err() != nil {
		return
	}
	s.tellSource(ctx, err)
	if err != nil {
		s.log.ErrorContext(ctx, "config repo cannot be read", "repo", s.flags.look.repo.repo, "error", err, "hint", kspec.HintOf(err))
		return
	}
	s.ready.Store(true)
	if s.last == nil || s.last.tree.Revision.String() != c.tree.Revision.String() {
		s.adopt(ctx, c)
		s.last = c
	}
}

// adopt makes c what the server works on.
func (s *server) adopt(ctx context.Context, c *checkout) {
	for _, err := range c.errs {
		s.log.ErrorContext(ctx, "document cannot be used", "revision", c.tree.Revision.String(), "error", err, "hint", kspec.HintOf(err))
	}
	if s.last != nil {
		c.keep(s.last)
	}
	targets, err := s.flags.look.repo.selected(c)
	if err == nil {
		err = s.flags.look.oneCluster(targets)
	}
	if err != nil {
		s.log.ErrorContext(ctx, "targets are missing", "error", err, "hint", kspec.HintOf(err))
	}
	if err := s.alerts.Set(alertConfigs(c.set)); err != nil {
		s.log.ErrorContext(ctx, "alert configs cannot be used, keeping the last good ones", "error", err)
	}
	s.clusters.set(c.set.Targets)
	s.forget(ctx, c)
	s.gauges.specs(targets, len(c.errs))
	s.mirrors.adopt(ctx, targets)
	s.log.InfoContext(ctx, "config repo read", "revision", c.tree.Revision.String(), "targets", len(targets), "documentErrors", len(c.errs))
	s.detector.Forget(awake(targets))
	s.requirements.Forget(awake(targets))
	s.loop.Set(targets)
}

// tellSource tells that the repo cannot be read, or can again.
func (s *server) tellSource(ctx context.Context, err error) {
	e := kspec.Event{
		Type: kspec.SourceFailed, Status: kspec.Resolved, Level: kspec.Info, Target: "config-repo",
		Time: time.Now(), Title: "The config repo can be read again",
	}
	if err != nil {
		e.Status, e.Level, e.Fingerprint = kspec.Firing, kspec.Warning, string(kspec.SourceFailed)
		e.Title, e.Description = "The config repo cannot be read", err.Error()
	}
	if err := s.alerts.Notify(ctx, e); err != nil {
		s.log.ErrorContext(ctx, "alert not delivered", "error", err)
	}
}

// look is the work of the loop.
func (s *server) look(ctx context.Context, t kspec.Target) error {
	rep, out, err := s.reconcile(ctx, t)
	if ctx.Err() == nil {
		s.mirrors.looked(ctx, t, rep, out, err)
		s.mirrors.cluster(ctx, t, s.clusters, rep, err)
	}
	if !rep.StartedAt.IsZero() {
		s.gauges.looked(rep, out)
		s.log.InfoContext(ctx, "looked", "target", t, "report", rep, "remediation", string(out.Action), "pullRequest", out.URL)
	}
	if !rep.Complete() {
		s.log.WarnContext(ctx, "could not look at everything", "target", t, "unknown", mostUnknown(rep.Unknown))
	}
	return err
}

// reconcile leads t, as it is at this instant, through the stages.
func (s *server) reconcile(ctx context.Context, t kspec.Target) (kspec.Report, kspec.Outcome, error) {
	t, err := policy.At(s.prover.prove(ctx, t), time.Now())
	if err != nil {
		return kspec.Report{}, kspec.Outcome{}, kspec.Terminal(err)
	}
	return s.reconciler.Reconcile(ctx, t)
}

// mostUnknown tells what could not be looked at, in as many words as a log
// bears.
func mostUnknown(unknown []kspec.Unknown) []string {
	const most = 5
	var all []string
	for _, u := range unknown[:min(most, len(unknown))] {
		all = append(all, unknownText(u))
	}
	if more := len(unknown) - most; more > 0 {
		all = append(all, fmt.Sprintf("and %d more", more))
	}
	return all
}

// wake returns when t is to be looked at though its interval is not over: when
// its policies begin or cease to act, or its requirements are due.
func (s *server) wake(t kspec.Target, now time.Time) time.Time {
	at, due := policy.Wake(t, now), s.requirements.Due(t)
	if due.After(now) && (at.IsZero() || due.Before(at)) {
		return due
	}
	return at
}

// isLoopback reports whether a host, or host:port, is this machine.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

func alertConfigs(set *v1alpha1.Set) []v1alpha1.AlertConfig {
	var all []v1alpha1.AlertConfig
	for _, a := range set.Alerts {
		all = append(all, *a.Doc)
	}
	return all
}
