package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cloudcwfranck/kspec/report"
)

// canaries are secrets, one for each way in. None may come out anywhere.
var canaries = map[string]string{
	"a Secret in Git":              "canary-in-git-7f3a",
	"a Secret in the cluster":      "canary-live-9b21",
	"an annotation of a Secret":    "canary-last-applied-44d0",
	"an environment variable":      "canary-env-git-c0de",
	"a live environment variable":  "canary-env-live-51ab",
	"a Secret that does not apply": "canary-invalid-e12f",
	"a file of settings":           "canary-file-git-77aa",
	"a live file of settings":      "canary-file-live-88bb",
	"an address":                   "canary-url-git-31cc",
	"a live address":               "canary-url-live-42dd",
	"a place that the team named":  "canary-named-git-53ee",
	"a live place of that name":    "canary-named-live-64ff",
	"the token of the forge":       forgeToken,
	"the address of the chat":      "kspecCanaryHookKey000000",
}

func canaryConfig() fstest.MapFS {
	config := serveConfig("hello")
	const named = "  drift:\n    confirm: {observations: 1}\n    secrets: [{paths: [/data/pin], selector: {name: files}}]\n"
	spec := strings.Replace(serveSpec, "  drift: {confirm: {observations: 1}}\n", named, 1)
	config["specs.yaml"] = &fstest.MapFile{Data: []byte(spec)}
	config["app/secrets.yaml"] = &fstest.MapFile{Data: []byte(`apiVersion: v1
kind: Secret
metadata: {name: db, namespace: canary}
stringData: {password: canary-in-git-7f3a}
---
apiVersion: v1
kind: Secret
metadata: {name: invalid, namespace: canary}
immutable: canary-invalid-e12f
data: {password: "canary-invalid-e12f!!"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: canary}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: app
        image: web:1
        env:
        - {name: DB_PASSWORD, value: canary-env-git-c0de}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: files, namespace: canary}
data:
  app.ini: "[db]\nhost = a\npassword = canary-file-git-77aa\n"
  url: postgres://app:canary-url-git-31cc@db/app
  pin: canary-named-git-53ee
`)}
	return config
}

const canaryLive = `apiVersion: v1
kind: Namespace
metadata: {name: canary}
---
apiVersion: v1
kind: Secret
metadata:
  name: db
  namespace: canary
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{"stringData":{"password":"canary-last-applied-44d0"}}'
stringData: {password: canary-live-9b21, extra: canary-live-9b21}
---
apiVersion: v1
kind: Secret
metadata: {name: invalid, namespace: canary}
data: {password: Y2FuYXJ5LWxpdmUtOWIyMQ==}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: canary}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: app
        image: web:1
        env:
        - {name: DB_PASSWORD, value: canary-env-live-51ab}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: files, namespace: canary}
data:
  app.ini: "[db]\nhost = a\npassword = canary-file-live-88bb\n"
  url: postgres://app:canary-url-live-42dd@db/app
  pin: canary-named-live-64ff
`

// TestCanariesStayInside plants a secret in every way into kspec and searches
// everything that comes out: text, reports in every format, logs, metrics,
// pull requests, commits and messages. The render verb alone shows what is in
// Git, because that is its job.
func TestCanariesStayInside(t *testing.T) {
	p := newPlace(t)
	out := &outputs{}
	if err := p.forge.Create(serveRepo, "main", canaryConfig()); err != nil {
		t.Fatal(err)
	}
	objects, err := decode(canaryLive)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range objects {
		if err := p.client.Create(t.Context(), u, client.FieldOwner("kubectl-edit")); err != nil {
			t.Fatal(err)
		}
	}

	repo := []string{"--repo", p.forgeURL + "/" + serveRepo + ".git", "--kubeconfig", p.kubeconfig, "--verbose"}
	for _, format := range report.Formats() {
		out.run(t, append([]string{"drift", "detect", "-o", format}, repo...)...)
	}
	state := filepath.Join(t.TempDir(), "state.db")
	out.run(t, append([]string{"drift", "detect", "--state", state}, repo...)...)
	forge := append([]string{"drift", "remediate", "--forge-url", p.forgeURL + "/api/v3/", "--state", state}, repo...)
	out.run(t, append(forge, "--dry-run")...)
	out.run(t, forge...)
	out.run(t, append(forge, "-o", "json")...)
	out.run(t, "validate", "--repo", p.forgeURL+"/"+serveRepo+".git", "--verbose")

	d := p.serve(t, "--leader-elect=false", "--verbose", "--state", state)
	eventually(t, d, "the alert", func() bool { return len(p.slack.Messages()) > 0 })
	_, metrics := get(t, "http://"+d.metrics+"/metrics")
	out.add("metrics", metrics)
	d.stop(t)
	out.add("log of serve", d.text())
	for _, format := range report.HistoryFormats() {
		out.run(t, "drift", "history", "--state", state, "-o", format)
	}
	out.add("state", stored(t, state))

	for _, m := range p.slack.Messages() {
		out.add("message", string(m.Body))
	}
	pulls, err := p.forge.Pulls(serveRepo)
	if err != nil || len(pulls) == 0 {
		t.Fatalf("%d pull requests, %v: nothing was searched", len(pulls), err)
	}
	for _, pull := range pulls {
		out.add("pull request", fmt.Sprintf("%+v", pull))
	}
	out.add("commits", ownCommits(t, p))
	out.search(t)
}

// ownCommits returns what kspec committed: the lines changed on top of main,
// without those around them, which stood in Git before.
func ownCommits(t *testing.T, p *place) string {
	t.Helper()
	git := exec.CommandContext(t.Context(), "git", "-c", "safe.directory=*", "log", "--unified=0", "--all", "--not", "main")
	git.Dir = filepath.Join(p.gitRoot, filepath.FromSlash(serveRepo)+".git")
	text, err := git.CombinedOutput()
	if err != nil || !bytes.Contains(text, []byte("Kspec-")) {
		t.Fatalf("git log: %v: %s", err, text)
	}
	return string(text)
}

// stored returns the database as it is on the disk, which must hold findings
// about what has a secret, and decisions.
func stored(t *testing.T, state string) string {
	t.Helper()
	data, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"DB_PASSWORD", "apps\nv1\nDeployment\ncanary\nweb"} {
		if !bytes.Contains(data, []byte(want)) {
			t.Errorf("the state does not hold %q: nothing was searched", want)
		}
	}
	return string(data)
}

// outputs is everything that came out.
type outputs struct{ what, text []string }

func (o *outputs) add(what, text string) {
	o.what, o.text = append(o.what, what), append(o.text, text)
}

// run runs kspec and keeps what it wrote.
func (o *outputs) run(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "kspec", args...)
	cmd.Env = append(os.Environ(), "KSPEC_FORGE_TOKEN="+forgeToken)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if len(text) == 0 {
		t.Fatalf("kspec %v wrote nothing", args)
	}
	o.add("kspec "+strings.Join(args, " "), string(text))
}

// search fails the test for each canary that is found.
func (o *outputs) search(t *testing.T) {
	t.Helper()
	for i, text := range o.text {
		for from, canary := range canaries {
			if strings.Contains(text, canary) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(canary))) {
				t.Errorf("%s shows %s", o.what[i], from)
			}
		}
	}
}
