package remediate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/fixtures/forge"
	"github.com/cloudcwfranck/kspec/remediate"
)

// order tells a second process what to do, and before which effect to die.
type order struct {
	URL    string
	Looks  []map[string]int64 // the drift that each look sees
	At     time.Time
	Effect int // counted from 1; 0 lives
}

const orderVariable = "KSPEC_TEST_ORDER"

// TestChild is not a test of its own: it is what TestKilledBeforeEveryEffect
// starts in another process.
func TestChild(t *testing.T) {
	text := os.Getenv(orderVariable)
	if text == "" {
		return // the suite itself runs it, without an order
	}
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	effects := 0
	r := newRemediator(t, o.URL, remediate.Options{Key: []byte("a key"), GoneLooks: 1, Now: func() time.Time { return o.At }, Step: func(name string) {
		if effects++; effects == o.Effect {
			fmt.Println("killed before", name)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}})
	for i, values := range o.Looks {
		d := drift{}
		for k, v := range values {
			d[k] = v
		}
		target, want, rep := look(t, o.URL, o.At.Add(time.Duration(i)*time.Minute), d)
		if _, err := r.Remediate(t.Context(), target, want, rep); err != nil {
			t.Fatal(err)
		}
	}
}

// child runs the order in a process of its own. It returns where it was
// killed, or "" when it lived.
func child(t *testing.T, o order) string {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.count=1")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GOCOVERDIR=") }), orderVariable+"="+string(text))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		_, where, _ := strings.Cut(string(out), "killed before ")
		return strings.TrimSpace(strings.SplitN(where, "\n", 2)[0])
	}
	if err != nil {
		t.Fatalf("the child failed: %v\n%s", err, out)
	}
	return ""
}

// TestKilledBeforeEveryEffect kills kspec by SIGKILL before each of its effects
// in turn, which is after the one before it, and starts it again.
func TestKilledBeforeEveryEffect(t *testing.T) {
	five, seven := map[string]int64{"/spec/replicas": 5}, map[string]int64{"/spec/replicas": 7}
	for _, tc := range []struct {
		name          string
		before, looks []map[string]int64
		effects       []string
		state         string
		diff          string
		branches      int
		comments      int
	}{
		{"opening", nil, []map[string]int64{five}, []string{"push", "open", "annotate", "edit"}, "open", "+ replicas: 5", 1, 0},
		{"updating", []map[string]int64{five}, []map[string]int64{seven}, []string{"push", "edit"}, "open", "+ replicas: 7", 1, 0},
		{"closing", []map[string]int64{five}, []map[string]int64{nil}, []string{"comment", "edit", "close", "delete"}, "closed", "", 0, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for n, effect := range tc.effects {
				w := newWorld(t)
				o := order{URL: w.url, At: w.now}
				if o.Looks = tc.before; o.Looks != nil {
					child(t, o)
				}
				o.Looks, o.At, o.Effect = tc.looks, o.At.Add(time.Minute), n+1
				if got := child(t, o); got != effect {
					t.Fatalf("it was to die before %s, not before %q", effect, got)
				}
				o.At, o.Effect = o.At.Add(time.Minute), 0
				child(t, o)
				pr := w.pulls(1)[0]
				if pr.State != tc.state || len(pr.Labels) != 1 || len(pr.Reviewers) != 1 || len(pr.Comments) != tc.comments {
					t.Errorf("killed before %s: %+v", effect, pr)
				}
				if len(w.branches()) != tc.branches {
					t.Errorf("killed before %s: the branches are %v", effect, w.branches())
				}
				if tc.diff != "" && !strings.Contains(w.diff(1), tc.diff) {
					t.Errorf("killed before %s: the change is\n%s", effect, w.diff(1))
				}
			}
		})
	}
}

func TestSurvivesALostAnswer(t *testing.T) {
	for name, fault := range map[string]forge.Fault{
		"of the creation": func() forge.Fault {
			f := forge.BadGateway(http.MethodPost, "/pulls$")
			f.AfterEffect, f.Times = true, 1
			return f
		}(),
		"of the push": {Method: http.MethodPost, Path: "git-receive-pack$", AfterEffect: true, Status: http.StatusBadGateway},
		"before the push": {
			Method: http.MethodPost, Path: "git-receive-pack$", Status: http.StatusServiceUnavailable,
		},
		"of the labels": {Method: http.MethodPost, Path: "/labels$", AfterEffect: true, Reset: true},
		"of the edit":   {Method: http.MethodPatch, Path: "/pulls/1$", AfterEffect: true, Reset: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.hub.Fault(fault)
			for range 3 { // a failed try is made again
				if _, err := w.try(scaled); err != nil {
					t.Logf("as expected: %v", err)
				}
			}
			w.want(w.remediate(scaled), kspec.ActionUnchanged, 0)
			if pr := w.pulls(1)[0]; len(pr.Labels) != 1 || pr.State != "open" {
				t.Errorf("the pull request is %+v", pr)
			}
			if n := len(w.branches()); n != 1 {
				t.Errorf("there are %d branches", n)
			}
		})
	}
}

func TestAListThatIsBehindMakesNoSecondPullRequest(t *testing.T) {
	w := newWorld(t)
	if err := w.hub.HideNew(repoName, 3); err != nil {
		t.Fatal(err)
	}
	w.remediate(scaled)
	w.restart()
	w.remediate(scaled)
	w.pulls(1)
}

func TestARefThatMovesWhileKspecPushesIsNotOverwritten(t *testing.T) {
	w := newWorld(t)
	out := w.remediate(scaled)
	moved := ""
	w.hub.Fault(forge.Fault{Method: http.MethodPost, Path: "git-receive-pack$", Before: func() {
		if moved == "" {
			moved = "now"
			w.push(out.Branch, "apps/web/note.md", "wait\n")
		}
	}})
	got := w.remediate(drift{"/spec/replicas": int64(8)})
	w.want(got, kspec.ActionWaiting, -1)
	if !strings.Contains(got.Why, "faster") {
		t.Errorf("the reason is %q", got.Why)
	}
	w.want(w.remediate(drift{"/spec/replicas": int64(8)}), kspec.ActionFrozen, 1)
}

func TestWaitsWhenTheForgeAsksForIt(t *testing.T) {
	w := newWorld(t)
	w.hub.Fault(forge.SecondaryLimit(30*time.Minute).On(http.MethodPost, "/pulls$"))
	out := w.remediate(scaled)
	w.want(out, kspec.ActionBlocked, -1)
	w.want(w.remediate(scaled), kspec.ActionBlocked, 0)
	if w.requests != 0 {
		t.Errorf("the forge was asked %d times nevertheless", w.requests)
	}
	w.pass(time.Hour)
	w.want(w.remediate(scaled), kspec.ActionOpened, -1)
	w.pulls(1)
}

func TestSaysWhatIsWrongWithForgeAndRepository(t *testing.T) {
	w := newWorld(t)
	w.hub.Fault(forge.BadCredentials().On(http.MethodGet, "/pulls"))
	if _, err := w.try(scaled); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("a refused token: %v", err)
	}
	w.hub.Heal()
	w.hub.Fault(forge.Fault{Path: "info/refs", Times: -1, Status: http.StatusUnauthorized})
	_, err := w.tryLooked(scaled)
	if err == nil || !kspec.IsTerminal(err) || kspec.HintOf(err) == "" {
		t.Errorf("a token that Git refuses: %v", err)
	}
}

// tryLooked remediates without fetching, for when Git does not answer.
func (w *world) tryLooked(d drift) (kspec.Outcome, error) {
	w.t.Helper()
	w.hub.Heal()
	target, want, rep := look(w.t, w.url, w.now.Add(time.Minute), d)
	w.hub.Fault(forge.Fault{Path: "info/refs", Times: -1, Status: http.StatusUnauthorized})
	return w.r.Remediate(w.t.Context(), target, want, rep)
}
