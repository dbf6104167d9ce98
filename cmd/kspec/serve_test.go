package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec/fixtures/forge"
	"github.com/cloudcwfranck/kspec/fixtures/receivers"
	"github.com/cloudcwfranck/kspec/test/kube"
)

const serveRepo = "acme/serve"

// place is where kspec serve works in a test.
type place struct {
	client     client.Client
	kubeconfig string
	forge      *forge.Forge
	slack      *receivers.Slack
	forgeURL   string
	slackHost  string
	secrets    string
	gitRoot    string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	cluster := kube.Shared(t)
	p := &place{
		client: cluster.Client(t), kubeconfig: cluster.WriteKubeconfig(t), slack: &receivers.Slack{}, gitRoot: t.TempDir(),
	}
	var err error
	if p.forge, err = forge.New(p.gitRoot, forge.Options{Token: forgeToken}); err != nil {
		t.Fatal(err)
	}
	p.forgeURL = listen(t, p.forge)
	slackURL := listen(t, p.slack)
	p.slackHost = strings.TrimPrefix(slackURL, "http://")
	p.secrets = t.TempDir()
	write(t, filepath.Join(p.secrets, "slack-hook", "url"), slackURL+receivers.HookPath)
	write(t, filepath.Join(p.secrets, "bindings.yaml"),
		`[{secret: slack-hook/url, fields: [slack.webhookURL], hosts: ["`+p.slackHost+`"]}]`)
	return p
}

func listen(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// daemon is a running kspec serve.
type daemon struct {
	cmd             *exec.Cmd
	metrics, health string

	mu  sync.Mutex
	log bytes.Buffer
}

// Write collects the log.
func (d *daemon) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(p)
}

func (d *daemon) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

func (p *place) serve(t *testing.T, args ...string) *daemon {
	t.Helper()
	return p.serveInCluster(t, append([]string{"--kubeconfig", p.kubeconfig}, args...)...)
}

// serveInCluster is serve where no flag names a cluster, as in a pod.
func (p *place) serveInCluster(t *testing.T, args ...string) *daemon {
	t.Helper()
	d := &daemon{metrics: freeAddress(t), health: freeAddress(t)}
	d.cmd = exec.CommandContext(t.Context(), "kspec", append([]string{
		"serve", "--repo", p.forgeURL + "/" + serveRepo + ".git", "--forge-url", p.forgeURL + "/api/v3/",
		"--secrets-dir", p.secrets, "--allow-alert-host", p.slackHost,
		"--poll", "200ms", "--metrics-bind-address", d.metrics, "--health-probe-bind-address", d.health,
	}, args...)...)
	d.cmd.Env = append(os.Environ(), "KSPEC_FORGE_TOKEN="+forgeToken, "KUBECONFIG="+p.kubeconfig)
	d.cmd.Stderr = d
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return d
}

// stop ends the daemon as Kubernetes does and demands that it ends well.
func (d *daemon) stop(t *testing.T) {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("serve ended with %v:\n%s", err, d.text())
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func eventually(t *testing.T, d *daemon, what string, got func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !got(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen; the log is:\n%s", what, d.text())
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

const serveSpec = `apiVersion: kspec.io/v1alpha1
kind: ClusterSpec
metadata: {name: prod}
spec:
  interval: 10s
  manifests: [{path: app}]
  remediation: {strategy: adopt}
  drift: {confirm: {observations: 1}}
---
apiVersion: kspec.io/v1alpha1
kind: AlertConfig
metadata: {name: team}
spec:
  defaults: {resolveAfter: 1}
  defaultNotifiers: [slack]
  slack:
    webhookURL: {secretRef: {name: slack-hook, key: url}}
    events: [DriftDetected]
`

func serveConfig(greeting string) fstest.MapFS {
	return fstest.MapFS{
		"specs.yaml": {Data: []byte(serveSpec)},
		"app/settings.yaml": {Data: []byte(`apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: serve}
data:
  greeting: ` + greeting + "\n")},
	}
}

func TestServeCuresDriftThroughAPullRequest(t *testing.T) {
	p := newPlace(t)
	ctx := t.Context()
	if err := p.forge.Create(serveRepo, "main", serveConfig("hello")); err != nil {
		t.Fatal(err)
	}
	settings := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "serve"},
		Data:       map[string]string{"greeting": "goodbye"},
	}
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "serve"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kspec-system"}}, settings,
	} {
		if err := p.client.Create(ctx, o, client.FieldOwner("kubectl-edit")); err != nil {
			t.Fatal(err)
		}
	}

	d := p.serve(t)
	eventually(t, d, "the alert", func() bool { return len(p.slack.Messages()) == 1 })
	pulls, err := p.forge.Pulls(serveRepo)
	if err != nil || len(pulls) != 1 {
		t.Fatalf("%d pull requests, %v", len(pulls), err)
	}
	if text := p.slack.Messages()[0].String(); !strings.Contains(text, "/pull/1") || !strings.Contains(text, "settings") {
		t.Errorf("the alert names neither the object nor the pull request:\n%s", text)
	}
	if code, body := get(t, "http://"+d.health+"/readyz"); code != http.StatusOK {
		t.Errorf("readyz: %d %s", code, body)
	}
	_, metrics := get(t, "http://"+d.metrics+"/metrics")
	for _, want := range []string{
		`kspec_findings{severity="medium",target="prod",verdict="Changed"} 1`,
		`kspec_remediations_total{action="opened",target="prod"} 1`,
		`kspec_documents{state="target"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}

	// A second replica waits for the lease while the first one works.
	standby := p.serve(t)
	eventually(t, standby, "readiness of the second replica", func() bool {
		code, _ := get(t, "http://"+standby.health+"/readyz")
		return code == http.StatusOK
	})
	if text := standby.text(); strings.Contains(text, "config repo read") {
		t.Errorf("two replicas work at once:\n%s", text)
	}

	// The first one stops and gives the lease away; a merge then reaches the
	// second, which sees the drift gone and tells.
	d.stop(t)
	if err := p.forge.Merge(serveRepo, 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, standby, "a complete clean look of the second replica", func() bool {
		_, metrics := get(t, "http://"+standby.metrics+"/metrics")
		return strings.Contains(metrics, "kspec_last_complete_look_timestamp_seconds{target=\"prod\"}") &&
			!strings.Contains(metrics, "kspec_findings{")
	})
	standby.stop(t)
	if pulls, _ := p.forge.Pulls(serveRepo); len(pulls) != 1 {
		t.Errorf("%d pull requests in the end, want 1", len(pulls))
	}
	for _, log := range []string{d.text(), standby.text()} {
		checkLog(t, log)
	}
}

// checkLog demands JSON lines without a secret, from start to stop.
func checkLog(t *testing.T, log string) {
	t.Helper()
	for _, secret := range []string{forgeToken, receivers.HookPath} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds a secret:\n%s", log)
		}
	}
	stopped := false // controller-runtime may still log after that
	for lines := bufio.NewScanner(strings.NewReader(log)); lines.Scan(); {
		var line struct{ Msg string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Errorf("not JSON: %s", lines.Text())
		}
		stopped = stopped || line.Msg == "stopped"
	}
	if !stopped {
		t.Errorf("the log does not end with stopped:\n%s", log)
	}
}

// push makes files the content of the config repo.
func (p *place) push(t *testing.T, files fstest.MapFS) {
	t.Helper()
	if err := p.forge.Push(serveRepo, "main", "By hand", files); err != nil {
		t.Fatal(err)
	}
}

func TestServeFollowsTheConfigRepo(t *testing.T) {
	p := newPlace(t)
	const spec = "apiVersion: kspec.io/v1alpha1\nkind: ClusterSpec\nmetadata: {name: %s}\nspec:\n  interval: 10s\n  manifests: [{path: app}]\n"
	const app = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: nowhere, namespace: default}\ndata: {a: \"%s\"}\n"
	files := func(specs ...string) fstest.MapFS {
		m := fstest.MapFS{"app/cm.yaml": {Data: fmt.Appendf(nil, app, strings.Join(specs, ","))}}
		for _, name := range specs {
			m[name+".yaml"] = &fstest.MapFile{Data: fmt.Appendf(nil, spec, name)}
		}
		return m
	}
	if err := p.forge.Create(serveRepo, "main", files("one", "two")); err != nil {
		t.Fatal(err)
	}
	d := p.serve(t, "--leader-elect=false", "--read-only")
	metrics := func() string { _, text := get(t, "http://"+d.metrics+"/metrics"); return text }
	found := func(target string) bool {
		return strings.Contains(metrics(), `kspec_findings{severity="high",target="`+target+`",verdict="Missing"} 1`)
	}
	eventually(t, d, "a look at both targets", func() bool { return found("one") && found("two") })

	// A target that is taken away leaves no metrics behind.
	p.push(t, files("one"))
	eventually(t, d, "the end of the metrics of a removed target", func() bool { return !strings.Contains(metrics(), `target="two"`) })

	// A slip of the pen in its document does not end the watch over a target.
	broken := files("one", "three")
	broken["one.yaml"].Data = append(broken["one.yaml"].Data, "  intervall: 1s\n"...)
	broken["app/cm.yaml"].Data = append(broken["app/cm.yaml"].Data, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: nowhere-else, namespace: default}\n"...)
	p.push(t, broken)
	eventually(t, d, "a look at the new revision by the old document", func() bool {
		text := metrics()
		return strings.Contains(text, `kspec_objects{target="one"} 2`) && strings.Contains(text, `kspec_objects{target="three"} 2`) &&
			strings.Contains(text, `kspec_documents{state="invalid"} 1`)
	})

	// A repo that is out of reach changes nothing, and is read when it is back.
	p.forge.Fault(forge.Fault{Path: "info/refs", Times: -1, Status: http.StatusServiceUnavailable})
	eventually(t, d, "a failure to read", func() bool { return strings.Contains(d.text(), "config repo cannot be read") })
	p.forge.Heal()
	p.push(t, fstest.MapFS{"README.md": {Data: []byte("gone\n")}})
	eventually(t, d, "the end of all targets", func() bool { return !strings.Contains(metrics(), `target="`) })
	d.stop(t)
	checkLog(t, d.text())
}

// TestServeGoesOnWithWhatIsGood lets a document, a spec, a secret and a
// receiver be bad: each is logged, and what is good is looked at and told.
func TestServeGoesOnWithWhatIsGood(t *testing.T) {
	p := newPlace(t)
	config := serveConfig("hello")
	config["bad/type.yaml"] = &fstest.MapFile{Data: []byte(`apiVersion: kspec.io/v1alpha1
kind: ClusterSpec
metadata: {name: type}
spec: {suspend: sometimes}
`)}
	config["bad/folder.yaml"] = &fstest.MapFile{Data: []byte(`apiVersion: kspec.io/v1alpha1
kind: ClusterSpec
metadata: {name: folder}
spec: {manifests: [{path: nowhere}], delivery: {engine: flux}}
`)}
	config["bad/secret.yaml"] = &fstest.MapFile{Data: []byte(`apiVersion: kspec.io/v1alpha1
kind: AlertConfig
metadata: {name: secret}
spec:
  defaultNotifiers: [slack]
  slack: {webhookURL: {secretRef: {name: nowhere, key: url}}}
`)}
	config["bad/receiver.yaml"] = &fstest.MapFile{Data: []byte(`apiVersion: kspec.io/v1alpha1
kind: AlertConfig
metadata: {name: receiver}
spec:
  defaultNotifiers: [down]
  webhooks: [{name: down, url: "http://127.0.0.1:1/", retry: {attempts: 1}}]
`)}
	config["bad/route.yaml"] = &fstest.MapFile{Data: []byte(`apiVersion: kspec.io/v1alpha1
kind: AlertConfig
metadata: {name: route}
spec: {defaultNotifiers: [nobody]}
`)}
	if err := p.forge.Create(serveRepo, "main", config); err != nil {
		t.Fatal(err)
	}
	d := p.serve(t, "--leader-elect=false", "--read-only", "--spec", "prod,folder", "--allow-alert-host", "127.0.0.1:1")
	eventually(t, d, "the alert", func() bool { return len(p.slack.Messages()) > 0 })
	for _, want := range []string{
		"bad/type.yaml:4: spec.suspend",
		`bad/route.yaml:4: spec.defaultNotifiers[0]: no notifier \"nobody\", there are: none`,
		`manifests path \"nowhere\": no such folder`,
		"AlertConfig secret: tell slack of DriftDetected: read secret nowhere/url",
		"add an entry {secret: nowhere/url",
		"AlertConfig receiver: tell down of DriftDetected",
	} {
		eventually(t, d, want, func() bool { return strings.Contains(d.text(), want) })
	}
	if code, _ := get(t, "http://"+d.health+"/readyz"); code != http.StatusOK {
		t.Errorf("/readyz answers %d", code)
	}
	d.stop(t)
}

func TestServeStopsWhileItOpensAPullRequest(t *testing.T) {
	p := newPlace(t)
	files := serveConfig("hello")
	files["app/settings.yaml"].Data = bytes.ReplaceAll(files["app/settings.yaml"].Data, []byte("namespace: serve"), []byte("namespace: default"))
	if err := p.forge.Create(serveRepo, "main", files); err != nil {
		t.Fatal(err)
	}
	settings := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "default"},
		Data:       map[string]string{"greeting": "goodbye"},
	}
	if err := p.client.Create(t.Context(), settings, client.FieldOwner("kubectl-edit")); err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{})
	p.forge.Fault(forge.Fault{Method: http.MethodPost, Path: "/pulls$", Before: func() { close(asked) }, Hang: true})
	d := p.serve(t, "--leader-elect=false")
	select {
	case <-asked:
	case <-time.After(time.Minute):
		t.Fatalf("no pull request was opened:\n%s", d.text())
	}
	start := time.Now()
	d.stop(t)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %s to stop", took)
	}
	checkLog(t, d.text())
	if strings.Contains(d.text(), `"level":"ERROR"`) {
		t.Errorf("to be told to stop is no error:\n%s", d.text())
	}

	again := p.serve(t, "--leader-elect=false")
	eventually(t, again, "the pull request", func() bool {
		pulls, err := p.forge.Pulls(serveRepo)
		return err == nil && len(pulls) == 1
	})
	again.stop(t)
	if branches, err := p.forge.Branches(serveRepo); err != nil || len(branches) != 2 {
		t.Errorf("the branches are %v, %v", branches, err)
	}
}

func TestServeLooksWhenTheClusterChanges(t *testing.T) {
	p := newPlace(t)
	if err := p.forge.Create("acme/watch", "main", fstest.MapFS{
		"specs.yaml":        {Data: []byte("apiVersion: kspec.io/v1alpha1\nkind: ClusterSpec\nmetadata: {name: watched}\nspec: {interval: 24h, manifests: [{path: app}]}\n")},
		"app/settings.yaml": {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: serve-watch}\ndata: {greeting: hello}\n")},
	}); err != nil {
		t.Fatal(err)
	}
	settings := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "serve-watch"}, Data: map[string]string{"greeting": "hello"},
	}
	for _, o := range []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "serve-watch"}}, settings} {
		if err := p.client.Create(t.Context(), o, client.FieldOwner("kubectl")); err != nil {
			t.Fatal(err)
		}
	}
	d := p.serve(t, "--repo", p.forgeURL+"/acme/watch.git", "--read-only", "--leader-elect=false")
	metrics := func(line string) func() bool {
		return func() bool {
			_, text := get(t, "http://"+d.metrics+"/metrics")
			return strings.Contains(text, line)
		}
	}
	eventually(t, d, "the first look and five watches", func() bool {
		return metrics(`kspec_watches{state="healthy"} 5`)() && metrics(`kspec_unknown{target="watched"} 0`)()
	})
	settings.Data["greeting"] = "goodbye"
	if err := p.client.Update(t.Context(), settings, client.FieldOwner("kubectl-edit")); err != nil {
		t.Fatal(err)
	}
	eventually(t, d, "the finding", metrics(`kspec_findings{severity="medium",target="watched",verdict="Changed"} 1`))
	if !metrics(`kspec_watch_events_total{event="relevant"}`)() || !metrics(`kspec_watch_oldest_sign_of_life_seconds `)() {
		t.Error("metrics lack those of watches")
	}
	d.stop(t)
	checkLog(t, d.text())
}

// installKinds installs kinds of kspec. They stay: an API server takes minutes to
// forget a kind that had objects.
func (p *place) installKinds(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		crd, err := os.ReadFile("../../deploy/crds/kspec.io_" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		kind := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(crd, kind); err != nil {
			t.Fatal(err)
		}
		if err := p.client.Create(t.Context(), kind); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
}

func TestServeMirrorsWhatItSawIntoTheCluster(t *testing.T) {
	p := newPlace(t)
	if err := p.forge.Create("acme/status", "main", fstest.MapFS{
		"specs.yaml": {Data: []byte(`apiVersion: kspec.io/v1alpha1
kind: ClusterSpec
metadata: {name: looked}
spec: {clusterRef: {name: here}, interval: 24h, manifests: [{path: app}], kubernetes: {minVersion: "1.20"}}
---
apiVersion: kspec.io/v1alpha1
kind: ClusterTarget
metadata: {name: here}
spec: {authMode: kubeconfig, kubeconfigSecretRef: {name: here}}
---
apiVersion: kspec.io/v1alpha1
kind: ClusterSpec
metadata: {name: asleep}
spec: {suspend: true, manifests: [{path: app}]}
`)},
		"app/settings.yaml": {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: serve-status}\ndata: {greeting: hello}\n")},
	}); err != nil {
		t.Fatal(err)
	}
	if err := p.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "serve-status"}}); err != nil {
		t.Fatal(err)
	}
	document := func(kind, name string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"authMode": "kubeconfig"}}}
		u.SetAPIVersion("kspec.io/v1alpha1")
		u.SetKind(kind)
		u.SetNamespace("serve-status")
		u.SetName(name)
		return u
	}
	looked, asleep, here := document("ClusterSpec", "looked"), document("ClusterSpec", "asleep"), document("ClusterTarget", "here")
	p.installKinds(t, "clusterspecs", "clustertargets")
	for _, o := range []*unstructured.Unstructured{looked, asleep, here} {
		eventually(t, &daemon{}, "the kind", func() bool { return p.client.Create(t.Context(), o.DeepCopy()) == nil })
	}
	kubeconfig, err := os.ReadFile(p.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(p.secrets, "here", "kubeconfig"), string(kubeconfig))
	server, err := url.Parse(kube.Shared(t).Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(p.secrets, "bindings.yaml"), `[{secret: here/kubeconfig, fields: [clusterTarget.kubeconfig], hosts: ["`+server.Host+`"]}]`)
	d := p.serveInCluster(t, "--repo", p.forgeURL+"/acme/status.git", "--read-only", "--leader-elect=false", "--namespace", "serve-status")
	condition := func(o *unstructured.Unstructured, kind, want string) func() bool {
		return func() bool {
			if err := p.client.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
				t.Fatal(err)
			}
			all, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
			return slices.ContainsFunc(all, func(c any) bool {
				m := c.(map[string]any)
				return m["type"] == kind && m["status"] == want
			})
		}
	}
	eventually(t, d, "the status of the suspended", condition(asleep, "Ready", "Unknown"))
	if _, text := get(t, "http://"+d.metrics+"/metrics"); !strings.Contains(text, `kspec_suspended{target="asleep"} 1`) {
		t.Error("no metric says that a target is suspended")
	}
	eventually(t, d, "the status of drift", condition(looked, "DriftDetected", "True"))
	eventually(t, d, "the status of the cluster", condition(here, "Ready", "True"))
	version, _, _ := unstructured.NestedString(here.Object, "status", "version")
	reachable, _, _ := unstructured.NestedBool(here.Object, "status", "reachable")
	if !strings.HasPrefix(version, "v1.") || !reachable {
		t.Errorf("the status of the cluster is %v", here.Object["status"])
	}
	total, _, _ := unstructured.NestedInt64(looked.Object, "status", "findings", "total")
	score, _, _ := unstructured.NestedInt64(looked.Object, "status", "score")
	if total != 1 || score != 100 {
		t.Errorf("%d findings and a score of %d, want 1 and 100: %v", total, score, looked.Object["status"])
	}

	settings := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "serve-status"}, Data: map[string]string{"greeting": "hello"},
	}
	if err := p.client.Create(t.Context(), settings, client.FieldOwner("kubectl")); err != nil {
		t.Fatal(err)
	}
	eventually(t, d, "the status in sync", condition(looked, "DriftDetected", "False"))
	for _, f := range looked.GetManagedFields() {
		if f.Manager == "kspec" && (f.Subresource != "status" || f.Operation != metav1.ManagedFieldsOperationApply) {
			t.Errorf("kspec wrote more than the status: %v", f)
		}
	}
	d.stop(t)
	checkLog(t, d.text())
}
