package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cloudcwfranck/kspec/fixtures/forge"
	"github.com/cloudcwfranck/kspec/test/kube"
)

// assassin stands before the forge and kills its client at every request that
// changes something: when it is sent for the first time before it is carried
// out, and for the second time after, before the answer. Then it lets it pass.
type assassin struct {
	forge http.Handler

	mu     sync.Mutex
	kill   func()         // nil lets everybody live
	seen   map[string]int // by effect
	deaths []string
}

var numbers = regexp.MustCompile(`/\d+\b`)

// effect names what a request changes, or is "" when it only reads.
func effect(r *http.Request, body []byte) string {
	if r.Method == http.MethodGet || strings.HasSuffix(r.URL.Path, "/git-upload-pack") {
		return ""
	}
	_, path, _ := strings.Cut(r.URL.Path, "acme/crash")
	what := r.Method + " " + numbers.ReplaceAllString(path, "/N")
	if bytes.Contains(body, []byte(`"state":"closed"`)) {
		what += " closed"
	}
	return what
}

func (a *assassin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	what := effect(r, body)
	if what == "" {
		a.forge.ServeHTTP(w, r)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen[what]++
	if a.kill == nil || a.seen[what] > 2 {
		a.forge.ServeHTTP(w, r)
		return
	}
	a.kill()
	if a.seen[what] == 1 {
		a.deaths = append(a.deaths, "before "+what)
	} else {
		a.deaths = append(a.deaths, "after "+what)
		a.forge.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
	}
	panic(http.ErrAbortHandler)
}

// survive runs kspec until it ends by itself, and returns where it was killed
// before that and what it printed in the end.
func (a *assassin) survive(t *testing.T, args ...string) (deaths []string, out string) {
	t.Helper()
	a.mu.Lock()
	a.seen, a.deaths = map[string]int{}, nil
	a.mu.Unlock()
	for range 40 {
		var text bytes.Buffer
		cmd := exec.CommandContext(t.Context(), "kspec", args...)
		cmd.Env = append(os.Environ(), "KSPEC_FORGE_TOKEN="+forgeToken)
		cmd.Stdout, cmd.Stderr = &text, &text
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		a.mu.Lock() // nothing is served before it is known whom to kill
		err := cmd.Start()
		if err == nil {
			a.kill = func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		}
		a.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		err = cmd.Wait()
		a.mu.Lock()
		a.kill = nil
		deaths = a.deaths
		a.mu.Unlock()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
			continue
		}
		if code := cmd.ProcessState.ExitCode(); code != exitInSync && code != exitDrift {
			t.Fatalf("kspec ended with %d:\n%s", code, text.String())
		}
		return deaths, text.String()
	}
	t.Fatalf("kspec does not get on; it died %v", deaths)
	return nil, ""
}

// killedAt are the deaths of a process that has these effects.
func killedAt(effects ...string) []string {
	var deaths []string
	for _, e := range effects {
		deaths = append(deaths, "before "+e, "after "+e)
	}
	return deaths
}

// TestSurvivesKillAtEveryEffect kills the kspec binary by SIGKILL at every
// request that changes the repo or the forge, before it takes effect and after,
// and starts it again each time. There is never more than one branch and one
// pull request, and in the end it says what it should.
func TestSurvivesKillAtEveryEffect(t *testing.T) {
	cluster := kube.Shared(t)
	cl := cluster.Client(t)
	f, err := forge.New(t.TempDir(), forge.Options{Token: forgeToken})
	if err != nil {
		t.Fatal(err)
	}
	a := &assassin{forge: f, seen: map[string]int{}}
	url := listen(t, a)
	const repo = "acme/crash"
	if err := f.Create(repo, "main", fstest.MapFS{
		"spec.yaml": {Data: []byte("apiVersion: kspec.io/v1alpha1\nkind: ClusterSpec\nmetadata: {name: crash}\nspec:\n  manifests: [{path: app}]\n" +
			"  remediation: {strategy: adopt, labels: [drift], reviewers: [ada]}\n")},
		"app/settings.yaml": {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: crash}\ndata:\n  greeting: hello\n")},
	}); err != nil {
		t.Fatal(err)
	}
	settings := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "crash"}}
	if err := cl.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "crash"}}); err != nil {
		t.Fatal(err)
	}
	settings.Data = map[string]string{"greeting": "goodbye"}
	if err := cl.Create(t.Context(), settings, client.FieldOwner("kubectl-edit")); err != nil {
		t.Fatal(err)
	}
	push, pull := "POST .git/git-receive-pack", "PATCH /pulls/N"
	for _, tc := range []struct {
		name, live string
		effects    []string
		says       string
		state      string
		branches   int
		diff       string
	}{
		{
			"opening", "goodbye",
			[]string{push, "POST /pulls", "POST /labels", "POST /issues/N/labels", "POST /pulls/N/requested_reviewers", pull},
			"unchanged", "open", 2, "+  greeting: goodbye",
		},
		{"updating", "welcome", []string{push, pull}, "unchanged", "open", 2, "+  greeting: welcome"},
		{"closing", "hello", []string{"POST /issues/N/comments", pull, pull + " closed", push}, "in sync", "closed", 1, ""},
	} {
		settings.Data["greeting"] = tc.live
		if err := cl.Update(t.Context(), settings, client.FieldOwner("kubectl-edit")); err != nil {
			t.Fatal(err)
		}
		deaths, out := a.survive(t, "drift", "remediate", "--repo", url+"/"+repo+".git", "--forge-url", url+"/api/v3/", "--kubeconfig", cluster.WriteKubeconfig(t))
		if diff := cmp.Diff(killedAt(tc.effects...), deaths); diff != "" {
			t.Errorf("%s: killed elsewhere (-want +got):\n%s", tc.name, diff)
		}
		if !strings.Contains(out, tc.says) {
			t.Errorf("%s: in the end it does not say %q:\n%s", tc.name, tc.says, out)
		}
		pulls, err := f.Pulls(repo)
		if err != nil || len(pulls) != 1 {
			t.Fatalf("%s: %d pull requests, %v", tc.name, len(pulls), err)
		}
		branches, err := f.Branches(repo)
		if err != nil || len(branches) != tc.branches {
			t.Errorf("%s: the branches are %v, %v", tc.name, branches, err)
		}
		if got := fmt.Sprint(pulls[0].State, pulls[0].Labels, pulls[0].Reviewers); got != tc.state+"[drift] [ada]" {
			t.Errorf("%s: the pull request is %s", tc.name, got)
		}
		if diff, err := f.Diff(repo, 1); tc.diff != "" && (err != nil || !strings.Contains(diff, tc.diff)) {
			t.Errorf("%s: the change is\n%s%v", tc.name, diff, err)
		}
	}
}
