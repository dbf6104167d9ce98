package github_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/fixtures/forge"
	"github.com/cloudcwfranck/kspec/fixtures/forge/openapi"
	"github.com/cloudcwfranck/kspec/remediate"
	"github.com/cloudcwfranck/kspec/remediate/forgetest"
	"github.com/cloudcwfranck/kspec/remediate/github"
)

const (
	repo   = "acme/config"
	canary = "ghp_CANARY0123456789"
	head   = "kspec/render/web"
)

var opening = remediate.NewPullRequest{Base: "main", Head: head, Title: "Fix web", Body: "because of drift"}

// world is a GitHub with one repository, whose every exchange is checked
// against GitHub's description, and kspec's client of it.
type world struct {
	*github.Forge
	hub      *forge.Forge
	url      string
	root     string
	requests atomic.Int64
	mu       sync.Mutex
	log      []string // method and path
}

func start(t *testing.T, change ...func(*github.Options)) *world {
	t.Helper()
	w := ready(t, change...)
	if err := w.hub.DeleteBranch(repo, head); err != nil {
		t.Fatal(err)
	}
	return w
}

// template is the root of a forge whose repository has main and, for a pull
// request, head. Git takes its time, so it is made once and copied.
var template = sync.OnceValues(func() (string, error) {
	root, err := os.MkdirTemp("", "kspec-github-")
	if err != nil {
		return "", err
	}
	hub, err := forge.New(root, forge.Options{})
	if err != nil {
		return "", err
	}
	files := fstest.MapFS{"web.yaml": {Data: []byte("replicas: 3\n")}}
	if err := hub.Create(repo, "main", files); err != nil {
		return "", err
	}
	files["web.yaml"] = &fstest.MapFile{Data: []byte("replicas: 5\n")}
	return root, hub.Push(repo, head, "Set replicas", files)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if root, err := template(); err == nil {
		_ = os.RemoveAll(root) // a temporary folder
	}
	os.Exit(code)
}

// ready is a world with a branch to open a pull request from.
func ready(t *testing.T, change ...func(*github.Options)) *world {
	t.Helper()
	from, err := template()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	hub, err := forge.New(root, forge.Options{Token: canary})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{hub: hub, root: root}
	checked := openapi.Checked(t, hub)
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.requests.Add(1)
		w.mu.Lock()
		w.log = append(w.log, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/api/v3/repos/"+repo))
		w.mu.Unlock()
		checked.ServeHTTP(rw, r)
	}))
	t.Cleanup(srv.Close)
	w.url = srv.URL
	o := github.Options{
		BaseURL: srv.URL + "/api/v3/", Owner: "acme", Repo: "config", Token: kspec.NewSecret(canary),
		Transport: &http.Transport{}, Pause: -1, Backoff: time.Millisecond,
	}
	for _, f := range change {
		f(&o)
	}
	if w.Forge, err = github.New(o); err != nil {
		t.Fatal(err)
	}
	return w
}

// count returns how many requests of a method had a path.
func (w *world) count(request string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, r := range w.log {
		if r == request {
			n++
		}
	}
	return n
}

func (w *world) pulls(t *testing.T) []forge.Pull {
	t.Helper()
	pulls, err := w.hub.Pulls(repo)
	if err != nil {
		t.Fatal(err)
	}
	return pulls
}

// The methods that make a world a [forgetest.Backend].

func (w *world) backend() forgetest.Backend { return backend{w} }

type backend struct{ w *world }

func (b backend) Push(t *testing.T, branch, content string) string {
	t.Helper()
	name := strings.ReplaceAll(branch, "/", "-") + ".yaml"
	if err := b.w.hub.Push(repo, branch, "Change "+branch, fstest.MapFS{name: {Data: []byte(content)}}); err != nil {
		t.Fatal(err)
	}
	branches, err := b.w.hub.Branches(repo)
	if err != nil {
		t.Fatal(err)
	}
	return branches[branch]
}

func (b backend) Merge(t *testing.T, number int) {
	t.Helper()
	if err := b.w.hub.Merge(repo, number); err != nil {
		t.Fatal(err)
	}
}

func (b backend) Close(t *testing.T, number int) {
	t.Helper()
	if err := b.w.hub.Close(repo, number); err != nil {
		t.Fatal(err)
	}
}

func (b backend) Look(t *testing.T, number int) forgetest.Shown {
	t.Helper()
	p := b.w.pulls(t)[number-1]
	shown := forgetest.Shown{Title: p.Title, Body: p.Body, Draft: p.Draft, Labels: p.Labels, Reviewers: p.Reviewers}
	for _, c := range p.Comments {
		shown.Comments = append(shown.Comments, c.Body)
	}
	return shown
}

func (b backend) Reviewer() string { return "ada" }

func TestGitHubIsAForge(t *testing.T) {
	forgetest.Run(t, func(t *testing.T) (remediate.Forge, forgetest.Backend) {
		t.Helper()
		w := start(t)
		return w, w.backend()
	})
}

// impatientWith makes the client give up early on a request that hangs, and
// on no other: the machine may be slow.
func impatientWith(fault forge.Fault) func(*github.Options) {
	return func(o *github.Options) {
		if fault.Hang {
			o.Timeout = 2 * time.Second
		}
	}
}

func reset() forge.Fault { return forge.Fault{Reset: true} }

func TestALostAnswerToOpenLeavesOnePullRequest(t *testing.T) {
	const create = "/pulls$"
	after := func(f forge.Fault) forge.Fault { f.AfterEffect = true; return f.On("POST", create) }
	for name, tt := range map[string]struct {
		fault forge.Fault
		lag   int
		posts int
	}{
		"502 after it took effect":           {after(forge.BadGateway("", "")), 0, 1},
		"502 and a list that lags":           {after(forge.BadGateway("", "")), 2, 1},
		"502 and a list that lags for long":  {after(forge.BadGateway("", "")), 3, 2},
		"reset after it took effect":         {after(reset()), 0, 1},
		"hang after it took effect":          {after(forge.Fault{Hang: true}), 0, 1},
		"502 before it took effect":          {forge.BadGateway("POST", create), 0, 2},
		"reset before it took effect":        {reset().On("POST", create), 0, 2},
		"a replica that does not know of it": {forge.UnknownNode().On("POST", create), 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := ready(t, impatientWith(tt.fault))
			if tt.lag > 0 {
				if err := w.hub.HideNew(repo, tt.lag); err != nil {
					t.Fatal(err)
				}
			}
			w.hub.Fault(tt.fault)
			p, err := w.Open(t.Context(), opening)
			if err != nil {
				t.Fatal(err)
			}
			if p.Number != 1 || p.State != remediate.Open || len(w.pulls(t)) != 1 {
				t.Errorf("got #%d %s of %d", p.Number, p.State, len(w.pulls(t)))
			}
			if got := w.count("POST /pulls"); got != tt.posts {
				t.Errorf("%d POSTs, want %d", got, tt.posts)
			}
		})
	}
}

// cutter leaves the answer of the first POST only some bytes, or puts other
// ones in its place.
type cutter struct {
	http.RoundTripper
	instead string
	once    sync.Once
}

func (c *cutter) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	if err == nil && r.Method == http.MethodPost {
		c.once.Do(func() {
			resp.Body = struct {
				io.Reader
				io.Closer
			}{io.LimitReader(resp.Body, 40), resp.Body}
			if c.instead != "" {
				resp.Body = io.NopCloser(strings.NewReader(c.instead))
			}
		})
	}
	return resp, err
}

func TestHalfAnAnswerToOpenLeavesOnePullRequest(t *testing.T) {
	for _, instead := range []string{"", "{}", "<html>"} {
		w := ready(t, func(o *github.Options) { o.Transport = &cutter{RoundTripper: &http.Transport{}, instead: instead} })
		p, err := w.Open(t.Context(), opening)
		if err != nil || p.Number != 1 || w.count("POST /pulls") != 1 {
			t.Errorf("%q: got #%d, %v after %d POSTs", instead, p.Number, err, w.count("POST /pulls"))
		}
	}
}

func TestALostAnswerFindsWhatAPersonClosedAtOnce(t *testing.T) {
	w := ready(t)
	old, err := w.Open(t.Context(), opening)
	if err != nil {
		t.Fatal(err)
	}
	w.backend().Close(t, old.Number)
	fault := forge.BadGateway("POST", "/pulls$")
	fault.AfterEffect = true
	w.hub.Fault(fault)
	w.hub.Fault(forge.Fault{Method: "GET", Path: "/pulls$", After: 1, Before: func() { w.backend().Close(t, 2) }})
	p, err := w.Open(t.Context(), opening)
	if err != nil || p.Number != 2 || p.State != remediate.Closed || w.count("POST /pulls") != 2 {
		t.Errorf("got #%d %s, %v after %d POSTs", p.Number, p.State, err, w.count("POST /pulls"))
	}
}

func TestOpenAdoptsWhatAListDidNotShow(t *testing.T) {
	w := ready(t)
	if err := w.hub.HideNew(repo, 2); err != nil {
		t.Fatal(err)
	}
	first, err := w.Open(t.Context(), opening)
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.Open(t.Context(), opening) // the list hides it, GitHub says it exists
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(first, second); d != "" {
		t.Error(d)
	}
}

func TestAPullRequestThatExistsButIsNeverListedMayShowLater(t *testing.T) {
	w := ready(t)
	if err := w.hub.HideNew(repo, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Open(t.Context(), opening); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Open(t.Context(), opening); err == nil || kspec.IsTerminal(err) || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("got %v", err)
	}
}

func TestAnOutageIsAnErrorThatMayPass(t *testing.T) {
	w := ready(t)
	fault := forge.BadGateway("POST", "/pulls$")
	fault.Times = -1
	w.hub.Fault(fault)
	_, err := w.Open(t.Context(), opening)
	if err == nil || kspec.IsTerminal(err) || !strings.Contains(err.Error(), "open a pull request from kspec/render/web to main in acme/config: GitHub answers 502") {
		t.Errorf("got %v", err)
	}
	if got := w.count("POST /pulls"); got != 2 {
		t.Errorf("%d POSTs, want 2", got)
	}
	w.hub.Heal()
	if _, err := w.Open(t.Context(), opening); err != nil || len(w.pulls(t)) != 1 {
		t.Errorf("afterwards: %v, %d pull requests", err, len(w.pulls(t)))
	}
}

func TestReadingIsTriedAgain(t *testing.T) {
	for name, fault := range map[string]forge.Fault{
		"502": forge.BadGateway("GET", ""), "reset": reset().On("GET", ""),
		"429 for a second": forge.TooManyRequests(time.Second).On("GET", ""),
		"hang":             {Method: "GET", Hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, impatientWith(fault))
			w.hub.Fault(fault)
			if _, err := w.List(t.Context(), "main", "kspec/"); err != nil {
				t.Error(err)
			}
			if w.requests.Load() != 2 {
				t.Errorf("%d requests, want 2", w.requests.Load())
			}
		})
	}
	t.Run("not for ever", func(t *testing.T) {
		w := start(t)
		fault := forge.BadGateway("GET", "")
		fault.Times = -1
		w.hub.Fault(fault)
		if _, err := w.List(t.Context(), "main", "kspec/"); err == nil || kspec.IsTerminal(err) || w.requests.Load() != 4 {
			t.Errorf("got %v after %d requests", err, w.requests.Load())
		}
	})
}

func TestALimitSaysWhenToComeBackAndSilencesTheClient(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	clock := func(o *github.Options) { o.Now = func() time.Time { return now } }
	hostile := forge.TooManyRequests(0)
	hostile.Header.Set("Retry-After", "999999999999")
	for name, tt := range map[string]struct {
		fault forge.Fault
		want  time.Duration
	}{
		"secondary":                {forge.SecondaryLimit(90 * time.Second), 90 * time.Second},
		"secondary without a time": {forge.SecondaryLimit(0), time.Minute},
		"primary":                  {forge.PrimaryLimit(now.Add(20 * time.Minute)), 20 * time.Minute},
		"429":                      {forge.TooManyRequests(2 * time.Minute), 2 * time.Minute},
		"429 without a time":       {forge.TooManyRequests(0), time.Minute},
		"a header that would park kspec for ever": {hostile, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			w := ready(t, clock)
			w.hub.Fault(tt.fault.On("POST", "/pulls$"))
			_, err := w.Open(t.Context(), opening)
			var retry *remediate.RetryError
			if !errors.As(err, &retry) || kspec.IsTerminal(err) {
				t.Fatalf("got %v, want a RetryError", err)
			}
			if got := retry.At.Sub(now); got != tt.want {
				t.Errorf("come back after %v, want %v", got, tt.want)
			}
			before := w.requests.Load()
			if _, err := w.List(t.Context(), "main", ""); !errors.As(err, &retry) || w.requests.Load() != before {
				t.Errorf("meanwhile: %v, and %d requests", err, w.requests.Load()-before)
			}
			if len(w.pulls(t)) != 0 {
				t.Error("a pull request was opened")
			}
		})
	}
}

func TestEveryWordingOfALimitIsUnderstood(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	reset := func(d time.Duration) string { return fmt.Sprint(now.Add(d).Unix()) }
	const none = time.Duration(-1)
	for name, tt := range map[string]struct {
		status int
		header http.Header
		body   string
		want   time.Duration
	}{
		"abuse detection":       {403, header(), `{"message":"You have triggered an abuse detection mechanism."}`, time.Minute},
		"422 with code abuse":   {422, header(), `{"message":"Validation Failed","errors":[{"code":"abuse"}]}`, time.Minute},
		"a date":                {429, header("Retry-After", now.Add(5*time.Minute).Format(http.TimeFormat)), `{}`, 5 * time.Minute},
		"a date in the past":    {429, header("Retry-After", now.Add(-time.Hour).Format(http.TimeFormat), "X-RateLimit-Remaining", "0"), `{}`, 0},
		"a reset":               {429, header("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", reset(7*time.Minute)), `{}`, 7 * time.Minute},
		"a reset next year":     {403, header("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", reset(9000*time.Hour)), `{}`, time.Hour},
		"spent, without a time": {403, header("X-RateLimit-Remaining", "0"), `{}`, time.Minute},
		"403 with a time":       {403, header("Retry-After", "30"), `{}`, 30 * time.Second},
		"a plain 403":           {403, header("X-RateLimit-Remaining", "17"), `{"message":"no"}`, none},
		"a plain 422":           {422, header(), `{"message":"abused"}`, none},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				maps.Copy(w.Header(), tt.header)
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			}))
			defer srv.Close()
			f, err := github.New(github.Options{
				BaseURL: srv.URL, Owner: "acme", Repo: "config", Backoff: time.Millisecond, Now: func() time.Time { return now },
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.List(t.Context(), "main", "")
			got := none
			if retry, ok := errors.AsType[*remediate.RetryError](err); ok {
				got = retry.At.Sub(now)
			}
			if got != tt.want || err == nil {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestWhatOnlyAPersonCanMendIsTerminalAndHinted(t *testing.T) {
	archived := func(w *world) error { return w.hub.Archive(repo) }
	fault := func(f forge.Fault) func(*world) error {
		f.Times = -1
		return func(w *world) error { w.hub.Fault(f); return nil }
	}
	for name, tt := range map[string]struct {
		arrange    func(*world) error
		want, hint string
	}{
		"token expired": {fault(forge.BadCredentials()), "401", "expired"},
		"token expired between": {
			fault(forge.BadCredentials().On("POST", "")), "401", "expired",
		},
		"scope":    {fault(forge.NotAccessible().On("POST", "")), "403", `"pull requests" with write access to acme/config`},
		"archived": {archived, "403", "unarchive acme/config"},
		"not found": {
			fault(forge.Fault{Status: 404, Body: `{"message":"Not Found"}`, Header: http.Header{"Content-Type": {"application/json"}}}),
			"404", "does not exist",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := ready(t)
			if err := tt.arrange(w); err != nil {
				t.Fatal(err)
			}
			_, err := w.Open(t.Context(), opening)
			if !kspec.IsTerminal(err) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(kspec.HintOf(err), tt.hint) {
				t.Errorf("got %v, hint %q", err, kspec.HintOf(err))
			}
		})
	}
}

func TestErrorsNeverHoldTheToken(t *testing.T) {
	echo := forge.Fault{
		Status: 422, Header: http.Header{"Content-Type": {"application/json"}}, Times: -1,
		Body: `{"documentation_url":"","message":"bad Bearer ` + canary + `","errors":[{"code":"custom","message":"` + canary + `\u001b[31m"}]}`,
	}
	limited := forge.SecondaryLimit(time.Hour)
	limited.Body = strings.Replace(limited.Body, "Please", canary, 1)
	for name, f := range map[string]forge.Fault{"refusal": echo, "limit": limited, "reset": {Reset: true, Times: -1}} {
		t.Run(name, func(t *testing.T) {
			w := ready(t)
			w.hub.Fault(f)
			_, err := w.Open(t.Context(), opening)
			if err == nil {
				t.Fatal("no error")
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				if text := fmt.Sprintf("%v %+v %#v %s", e, e, e, kspec.HintOf(e)); strings.Contains(text, canary) || strings.Contains(text, "\x1b") {
					t.Errorf("%T: %s", e, text)
				}
			}
		})
	}
}

func TestTheTokenStaysWithItsHost(t *testing.T) {
	var stolen atomic.Bool
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request) { stolen.Store(true) }))
	defer thief.Close()
	w := ready(t)
	for _, method := range []string{"GET", "POST"} {
		w.hub.Heal()
		w.hub.Fault(forge.Fault{Method: method, Status: 307, Times: -1, Header: http.Header{"Location": {thief.URL + "/api/v3/"}}})
		_, err := w.Open(t.Context(), opening)
		if err == nil || !kspec.IsTerminal(err) || !strings.Contains(err.Error(), "another host") {
			t.Errorf("%s: got %v", method, err)
		}
	}
	if stolen.Load() {
		t.Error("the other host was asked")
	}
}

func TestARenamedRepositoryIsReadButNotChanged(t *testing.T) {
	w := ready(t)
	moved := http.Header{"Location": {"/api/v3/repos/" + repo + "/pulls"}}
	w.hub.Fault(forge.Fault{Method: "GET", Status: 301, Header: moved})
	if _, err := w.List(t.Context(), "main", ""); err != nil {
		t.Errorf("read: %v", err)
	}
	w.hub.Fault(forge.Fault{Method: "POST", Status: 301, Header: moved, Times: -1})
	if _, err := w.Open(t.Context(), opening); !kspec.IsTerminal(err) || !strings.Contains(err.Error(), "renamed") {
		t.Errorf("write: %v", err)
	}
	if got := w.count("POST /pulls"); got != 1 {
		t.Errorf("%d POSTs, want 1", got)
	}
}

// statuses notes the status of every answer.
type statuses struct {
	http.RoundTripper
	mu   sync.Mutex
	seen []int
}

func (s *statuses) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if err == nil {
		s.mu.Lock()
		s.seen = append(s.seen, resp.StatusCode)
		s.mu.Unlock()
	}
	return resp, err
}

func TestAnUnchangedListIsFree(t *testing.T) {
	answers := &statuses{RoundTripper: &http.Transport{}}
	w := ready(t, func(o *github.Options) { o.Transport = answers })
	if _, err := w.Open(t.Context(), opening); err != nil {
		t.Fatal(err)
	}
	answers.seen = nil
	list := func(title string) {
		t.Helper()
		list, err := w.List(t.Context(), "main", "kspec/")
		if err != nil || len(list) != 1 || list[0].Title != title {
			t.Fatalf("got %+v, %v", list, err)
		}
	}
	list(opening.Title)
	list(opening.Title)
	if err := w.Edit(t.Context(), 1, "Newer", "b"); err != nil {
		t.Fatal(err)
	}
	list("Newer")
	if d := cmp.Diff([]int{200, 304, 200, 200}, answers.seen); d != "" {
		t.Errorf("statuses of list, list, edit, list (-want +got):\n%s", d)
	}
}

func TestChangesKeepApart(t *testing.T) {
	const pause = 50 * time.Millisecond
	w := ready(t, func(o *github.Options) { o.Pause = pause })
	if _, err := w.Open(t.Context(), opening); err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			if err := w.Edit(t.Context(), 1, fmt.Sprintf("Title %d", i), "b"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if took := time.Since(from); took < 4*pause {
		t.Errorf("four changes took %v", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), pause/5)
	defer cancel()
	if err := w.Edit(ctx, 1, "Late", "b"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller who leaves: %v", err)
	}
}

func TestAnAnswerWithoutEndIsCut(t *testing.T) {
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for line := strings.Repeat(" ", 1<<20); r.Context().Err() == nil; {
			if _, err := w.Write([]byte(line)); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	f, err := github.New(github.Options{BaseURL: endless.URL + "/api/v3/", Owner: "acme", Repo: "config", Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.List(t.Context(), "main", ""); err == nil || !strings.Contains(err.Error(), "more than 16777216 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestADeadForgeIsNotAskedToChangeTwice(t *testing.T) {
	w := ready(t)
	f, err := github.New(github.Options{BaseURL: "http://127.0.0.1:1/api/v3/", Owner: "acme", Repo: "config", Pause: -1, Backoff: time.Millisecond, Token: kspec.NewSecret(canary)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Open(t.Context(), opening)
	if err == nil || kspec.IsTerminal(err) || !strings.Contains(err.Error(), "cannot reach 127.0.0.1:1") {
		t.Errorf("got %v", err)
	}
	if err := f.Comment(t.Context(), 1, "k", "b"); err == nil {
		t.Error("no error")
	}
	if len(w.pulls(t)) != 0 {
		t.Error("a pull request was opened")
	}
}

func TestALostCommentIsNotWrittenTwice(t *testing.T) {
	for _, afterEffect := range []bool{true, false} {
		w := ready(t)
		if _, err := w.Open(t.Context(), opening); err != nil {
			t.Fatal(err)
		}
		fault := forge.BadGateway("POST", "/comments$")
		fault.AfterEffect = afterEffect
		w.hub.Fault(fault)
		if err := w.Comment(t.Context(), 1, "closed", "the drift is gone"); err != nil {
			t.Fatal(err)
		}
		if got := w.pulls(t)[0].Comments; len(got) != 1 {
			t.Errorf("after effect %v: %d comments", afterEffect, len(got))
		}
	}
}

func TestACommentOfAnotherThatLooksLikeOursIsPassedOver(t *testing.T) {
	w := ready(t)
	if _, err := w.Open(t.Context(), opening); err != nil {
		t.Fatal(err)
	}
	if err := w.hub.Comment(repo, 1, "<!-- kspec:closed -->\nnothing to see here"); err != nil {
		t.Fatal(err)
	}
	w.hub.Fault(forge.NotAccessible().On("PATCH", "/comments/"))
	if err := w.Comment(t.Context(), 1, "closed", "the drift is gone"); err != nil {
		t.Fatal(err)
	}
	if got := w.pulls(t)[0].Comments; len(got) != 2 || !strings.HasSuffix(got[1].Body, "the drift is gone") {
		t.Errorf("comments: %+v", got)
	}
}

func TestAnnotateMakesLabelsWithAColourAndKeepsGoing(t *testing.T) {
	w := ready(t)
	if _, err := w.Open(t.Context(), opening); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 60)
	warnings, err := w.Annotate(t.Context(), 1, []string{"kspec", long}, []string{"eve", "ada", "kspec-bot"})
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 3 || !strings.Contains(warnings[0], "too long") || !strings.Contains(warnings[1], "eve") || !strings.Contains(warnings[2], "kspec-bot") {
		t.Errorf("warnings: %q", warnings)
	}
	p := w.pulls(t)[0]
	if !slices.Equal(p.Labels, []string{"kspec"}) || !slices.Equal(p.Reviewers, []string{"ada"}) {
		t.Errorf("labels %q, reviewers %q", p.Labels, p.Reviewers)
	}
	if w.count("POST /labels") != 2 {
		t.Errorf("%d labels were asked to be made, want 2", w.count("POST /labels"))
	}
}

func TestAnnotateIsPatientWithWhatIsNewAndReturnsAnOutage(t *testing.T) {
	w := ready(t)
	if _, err := w.Open(t.Context(), opening); err != nil {
		t.Fatal(err)
	}
	gone := forge.Fault{Status: 404, Times: 2, Body: `{"message":"Not Found"}`, Header: http.Header{"Content-Type": {"application/json"}}}
	w.hub.Fault(gone.On("GET", "/pulls/1$"))
	if _, err := w.Annotate(t.Context(), 1, []string{"kspec"}, nil); err != nil {
		t.Errorf("a pull request that is new: %v", err)
	}
	outage := forge.BadGateway("POST", "requested_reviewers")
	outage.Times = -1
	w.hub.Fault(outage)
	if _, err := w.Annotate(t.Context(), 1, nil, []string{"ada"}); err == nil || kspec.IsTerminal(err) {
		t.Errorf("an outage: %v", err)
	}
}

func TestListReadsAtMostThreePages(t *testing.T) {
	page := func(n int) string {
		one := func(i int) string {
			return fmt.Sprintf(`{"number":%d,"state":"open","base":{"ref":"main"},"head":{"ref":"kspec/%d","repo":{"full_name":"Acme/Config"}}}`, i, i)
		}
		fork := `{"number":1000,"base":{"ref":"main"},"head":{"ref":"kspec/x","repo":{"full_name":"eve/config"}}}`
		gone := `{"number":1001,"base":{"ref":"main"},"head":{"ref":"kspec/x","repo":null}}`
		other := `{"number":1002,"base":{"ref":"release"},"head":{"ref":"kspec/x","repo":{"full_name":"acme/config"}}}`
		return "[" + strings.Join([]string{one(n), fork, gone, other, one(7)}, ",") + "]"
	}
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		n := len(asked)
		w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?page=%d>; rel="next"`, r.Host, r.URL.Path, n+1))
		_, _ = w.Write([]byte(page(n)))
	}))
	defer srv.Close()
	f, err := github.New(github.Options{BaseURL: srv.URL, Owner: "acme", Repo: "config"})
	if err != nil {
		t.Fatal(err)
	}
	list, err := f.List(t.Context(), "main", "kspec/")
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for _, p := range list {
		numbers = append(numbers, p.Number)
	}
	if d := cmp.Diff([]int{7, 3, 2, 1}, numbers); d != "" {
		t.Error(d)
	}
	want := []string{
		"base=main&direction=desc&per_page=100&sort=updated&state=all",
		"base=main&direction=desc&page=2&per_page=100&sort=updated&state=all",
		"base=main&direction=desc&page=3&per_page=100&sort=updated&state=all",
	}
	if d := cmp.Diff(want, asked); d != "" {
		t.Error(d)
	}
}

func TestNewRefusesWhatCannotBeMeant(t *testing.T) {
	for name, o := range map[string]github.Options{
		"owner that leaves the path": {Owner: "..", Repo: "config"},
		"repo that leaves the path":  {Owner: "acme", Repo: ".."},
		"escaped slash":              {Owner: "acme", Repo: "a%2Fb"},
		"empty":                      {},
		"no TLS":                     {Owner: "acme", Repo: "config", BaseURL: "http://github.example.com/api/v3/"},
		"password in the URL":        {Owner: "acme", Repo: "config", BaseURL: "https://x:" + canary + "@github.example.com/"},
		"not a URL":                  {Owner: "acme", Repo: "config", BaseURL: "://" + canary},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := github.New(o)
			if !kspec.IsTerminal(err) || strings.Contains(err.Error(), canary) {
				t.Errorf("got %v", err)
			}
		})
	}
}
