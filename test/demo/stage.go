package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing/fstest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cloudcwfranck/kspec/fixtures"
	"github.com/cloudcwfranck/kspec/fixtures/forge"
	"github.com/cloudcwfranck/kspec/fixtures/receivers"
	"github.com/cloudcwfranck/kspec/test/kube"
)

const (
	repository = "acme/config"
	spec       = "prod"
	namespace  = "shop"
	token      = "demo-token"
)

// stage is everything that the demo runs on.
type stage struct {
	options
	dir    string // temporary
	client client.Client
	forge  *forge.Forge
	slack  *receivers.Slack
	// delivered is what is in the cluster because of the demo.
	delivered []*unstructured.Unstructured
	// forgeURL and slackURL are where people look at them.
	forgeURL, slackURL string
	daemon             *exec.Cmd
	daemonLog          *os.File
	undo               []func() error
}

// openStage starts a cluster, a forge with the example config repo, and a
// chat. It returns a stage to be closed also when it fails.
func openStage(ctx context.Context, o options) (*stage, error) {
	s := &stage{options: o}
	dir, err := os.MkdirTemp("", "kspec-demo-")
	if err != nil {
		return s, err
	}
	s.dir = dir
	s.undo = append(s.undo, func() error { return os.RemoveAll(dir) })
	for _, start := range []func(context.Context) error{s.startCluster, s.startChat, s.startForge} {
		if err := start(ctx); err != nil {
			return s, err
		}
	}
	return s, nil
}

// close undoes, last first, what was started.
func (s *stage) close() error {
	var errs []error
	for _, undo := range slices.Backward(s.undo) {
		errs = append(errs, undo())
	}
	return errors.Join(errs...)
}

func (s *stage) startCluster(ctx context.Context) error {
	if s.kubeconfig != "" {
		return s.borrowCluster(ctx)
	}
	cluster, err := kube.New()
	if err != nil {
		return err
	}
	s.undo = append(s.undo, cluster.Stop)
	s.kubeconfig = filepath.Join(s.dir, "kubeconfig")
	if err := os.WriteFile(s.kubeconfig, cluster.Kubeconfig, 0o600); err != nil {
		return err
	}
	s.client, err = client.New(cluster.Config, client.Options{})
	return err
}

// borrowCluster uses the cluster of the user, unless it has the namespace of
// the demo already, and gives it back as it was.
func (s *stage) borrowCluster(ctx context.Context) error {
	cfg, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	if err != nil {
		return err
	}
	if s.client, err = client.New(cfg, client.Options{}); err != nil {
		return err
	}
	if err := s.ownNamespace(ctx); err != nil {
		return err
	}
	s.undo = append(s.undo, s.undeliver)
	return nil
}

// undeliver deletes what was delivered, last first.
func (s *stage) undeliver() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	for _, u := range slices.Backward(s.delivered) {
		errs = append(errs, client.IgnoreNotFound(s.client.Delete(ctx, u)))
	}
	return errors.Join(errs...)
}

func (s *stage) startChat(context.Context) error {
	s.slack = &receivers.Slack{}
	url, err := s.listen(s.slack)
	s.slackURL = url
	return err
}

func (s *stage) startForge(context.Context) error {
	root := filepath.Join(s.dir, "git")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	f, err := forge.New(root, forge.Options{Token: token})
	if err != nil {
		return err
	}
	s.forge = f
	if s.forgeURL, err = s.listen(f); err != nil {
		return err
	}
	return f.Create(repository, "main", exampleRepo())
}

// listen serves h on a free port of this machine.
func (s *stage) listen(h http.Handler) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = srv.Serve(l) }()
	s.undo = append(s.undo, srv.Close)
	return "http://" + l.Addr().String(), nil
}

// exampleRepo is fixtures/config-repo with an AlertConfig for the demo's chat.
func exampleRepo() fs.FS {
	files := fstest.MapFS{}
	root := os.DirFS(filepath.Join(fixtures.Dir(), "config-repo"))
	_ = fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(root, path)
		files[path] = &fstest.MapFile{Data: data, Mode: 0o644}
		return err
	})
	files["alerts/production.yaml"] = &fstest.MapFile{Mode: 0o644, Data: []byte(`apiVersion: kspec.io/v1alpha1
kind: AlertConfig
metadata:
  name: demo
spec:
  defaults: {resolveAfter: 1}
  defaultNotifiers: [slack]
  slack:
    webhookURL: {secretRef: {name: slack-hook, key: url}}
    events: [DriftDetected]
`)}
	return files
}

// repoURL is what kspec is told to read.
func (s *stage) repoURL() string { return s.forgeURL + "/" + repository + ".git" }

// kspecFlags are those that every verb of the demo shares.
func (s *stage) kspecFlags() []string {
	return []string{"--repo", s.repoURL(), "--spec", spec, "--kubeconfig", s.kubeconfig}
}

// run runs kspec as a user would and returns its output and exit code.
func (s *stage) run(ctx context.Context, show io.Writer, args ...string) (string, int, error) {
	cmd := exec.CommandContext(ctx, s.kspec, args...)
	cmd.Env = append(os.Environ(), "KSPEC_FORGE_TOKEN="+token)
	if s.colour && show != nil {
		cmd.Env = append(cmd.Env, "CLICOLOR_FORCE=1")
	}
	var out bytes.Buffer
	cmd.Stdout = io.Writer(&out)
	if show != nil {
		cmd.Stdout = io.MultiWriter(&out, show)
	}
	cmd.Stderr = os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return out.String(), exit.ExitCode(), nil
	}
	return out.String(), 0, errors.Join(ctx.Err(), err)
}

// startDaemon starts kspec serve with the secrets of the chat.
func (s *stage) startDaemon() error {
	secrets := filepath.Join(s.dir, "secrets")
	if err := os.MkdirAll(filepath.Join(secrets, "slack-hook"), 0o700); err != nil {
		return err
	}
	host := strings.TrimPrefix(s.slackURL, "http://")
	for file, text := range map[string]string{
		"slack-hook/url": s.slackURL + receivers.HookPath,
		"bindings.yaml":  "- secret: slack-hook/url\n  fields: [slack.webhookURL]\n  hosts: [\"" + host + "\"]\n",
	} {
		if err := os.WriteFile(filepath.Join(secrets, file), []byte(text), 0o600); err != nil {
			return err
		}
	}
	log, err := os.Create(filepath.Join(s.dir, "serve.log"))
	if err != nil {
		return err
	}
	s.daemonLog = log
	s.daemon = exec.Command(s.kspec, append([]string{
		"serve", "--poll", "1s", "--leader-elect=false",
		"--metrics-bind-address", "0", "--health-probe-bind-address", "0",
		"--forge-url", s.forgeURL + "/api/v3/", "--secrets-dir", secrets, "--allow-alert-host", host,
	}, s.kspecFlags()...)...)
	s.daemon.Env = append(os.Environ(), "KSPEC_FORGE_TOKEN="+token)
	s.daemon.Stderr = log
	// Ctrl-C is for the demo, which then ends the daemon.
	s.daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.daemon.Start(); err != nil {
		return err
	}
	s.undo = append(s.undo, s.stopDaemon)
	return nil
}

// stopDaemon stops kspec serve the graceful way.
func (s *stage) stopDaemon() error {
	if s.daemon.ProcessState != nil {
		return nil
	}
	if err := s.daemon.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := s.daemon.Wait()
	_ = s.daemonLog.Close()
	return err
}

// eventually waits until got returns true.
func (s *stage) eventually(ctx context.Context, what string, got func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 45*time.Second)
	defer cancel()
	for !got() {
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(s.dir, "serve.log"))
			return fmt.Errorf("%s did not happen: %w; kspec serve says:\n%s", what, ctx.Err(), log)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}
