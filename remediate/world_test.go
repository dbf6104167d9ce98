package remediate_test

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
	v1alpha1 "github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/fixtures/forge"
	"github.com/cloudcwfranck/kspec/fixtures/forge/openapi"
	"github.com/cloudcwfranck/kspec/gitsource"
	"github.com/cloudcwfranck/kspec/remediate"
	"github.com/cloudcwfranck/kspec/remediate/github"
	"github.com/cloudcwfranck/kspec/render"
)

const (
	repoName = "acme/config"
	canary   = "ghp_CANARY0123456789"
)

// configRepo is a config repo with one Deployment of 3 replicas.
func configRepo() fstest.MapFS {
	return fstest.MapFS{
		"clusters/prod/clusterspec.yaml": file(`apiVersion: kspec.io/v1alpha1
kind: ClusterSpec
metadata:
  name: prod
spec:
  manifests:
  - path: apps/web
  drift:
    confirm: {observations: 1}
  remediation:
    strategy: adopt
    labels: [drift]
    reviewers: [ada]
    limits: {openPullRequests: 2, perHour: 50}
`),
		"apps/web/kustomization.yaml": file("resources:\n- deployment.yaml\n- other.yaml\n"),
		"apps/web/deployment.yaml": file(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: web
spec:
  replicas: 3 # two were not enough
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: app
        image: registry.example/web:1.4.2
`),
		"apps/web/other.yaml": file("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other, namespace: web}\ndata: {a: \"1\"}\n"),
	}
}

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o644} }

// world is a forge with one repository, a cluster of which only the drift is
// known, and a Remediator between them.
type world struct {
	t     testing.TB
	hub   *forge.Forge
	url   string
	now   time.Time
	clock atomic.Int64 // now, for the server
	steps []string
	opts  remediate.Options
	r     *remediate.Remediator

	mu        sync.Mutex
	mutations []string // requests that change something
	requests  int
}

func newWorld(t *testing.T, change ...func(*remediate.Options)) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)}
	w.pass(0)
	var err error
	w.hub, err = forge.New(t.TempDir(), forge.Options{Token: canary, Now: w.time})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.hub.Create(repoName, "main", configRepo()); err != nil {
		t.Fatal(err)
	}
	checked := openapi.Checked(t, w.hub)
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.note(r)
		checked.ServeHTTP(rw, r)
	}))
	t.Cleanup(srv.Close)
	w.url = srv.URL
	w.opts = remediate.Options{
		Key: []byte("a key"), Now: w.time,
		Step: func(s string) { w.steps = append(w.steps, s) },
	}
	for _, c := range change {
		c(&w.opts)
	}
	w.restart()
	return w
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	w.clock.Store(w.now.UnixNano())
}

func (w *world) time() time.Time { return time.Unix(0, w.clock.Load()).UTC() }

func (w *world) note(r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests++
	read := r.Method == http.MethodGet || strings.HasSuffix(r.URL.Path, "git-upload-pack")
	if !read {
		w.mutations = append(w.mutations, r.Method+" "+r.URL.Path)
	}
}

// restart makes a new Remediator, which remembers nothing.
func (w *world) restart() { w.r = newRemediator(w.t, w.url, w.opts) }

func newRemediator(t testing.TB, url string, o remediate.Options) *remediate.Remediator {
	t.Helper()
	hub, err := github.New(github.Options{
		BaseURL: url + "/api/v3/", Owner: "acme", Repo: "config", Token: kspec.NewSecret(canary), Pause: -1, Now: o.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	repo, err := remediate.NewRepo(remediate.GitOptions{URL: url + "/acme/config.git", Token: kspec.NewSecret(canary)})
	if err != nil {
		t.Fatal(err)
	}
	return remediate.New(hub, repo, render.New(render.Options{}), o)
}

// drift is what people changed: the live values of fields of the Deployment.
type drift map[string]any

// look fetches and renders, and reports the drift.
func look(t testing.TB, url string, at time.Time, d drift) (kspec.Target, kspec.Desired, kspec.Report) {
	t.Helper()
	src, err := gitsource.New(url+"/acme/config.git", gitsource.Options{Auth: gitsource.Auth{Token: kspec.NewSecret(canary)}})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	tree, err := src.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	set, errs := v1alpha1.Load(tree.FS)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	target, err := set.Specs[0].Doc.Target(set.Specs[0].Source, tree.Revision)
	if err != nil {
		t.Fatal(err)
	}
	want, err := render.New(render.Options{}).Render(t.Context(), target, tree)
	if err != nil {
		t.Fatal(err)
	}
	rep := kspec.Report{Target: target.Name, Revision: tree.Revision, StartedAt: at}
	for _, o := range want.Objects {
		if o.GetKind() == "Deployment" {
			rep = rep.With(findings(t, o, d)...)
		}
	}
	return target, want, rep
}

// findings compares an object with the drift.
func findings(t testing.TB, o kspec.Object, d drift) []kspec.Finding {
	t.Helper()
	var found []kspec.Finding
	for path, live := range d {
		desired, _, err := unstructured.NestedFieldCopy(o.Object, strings.Split(path[1:], "/")...)
		if err != nil {
			t.Fatal(err)
		}
		if desired == live {
			continue
		}
		f := kspec.Finding{
			Type: kspec.TypeConfiguration, Verdict: kspec.Changed, Severity: kspec.Medium, Object: o.ID(), Source: o.Source,
			Message: path + " differs", Fields: []kspec.Field{{
				Path: path, KeyedPath: path, Desired: desired, Live: live, Manager: "kubectl-edit", Operation: "Update", ByPerson: true,
				Time: time.Date(2026, 11, 22, 9, 58, 11, 0, time.UTC),
			}},
		}
		if desired == nil {
			f.Verdict = kspec.ExtraField
		}
		found = append(found, f.Fingerprinted())
	}
	kspec.SortFindings(found)
	return found
}

// remediate looks once and remediates.
func (w *world) remediate(d drift) kspec.Outcome {
	w.t.Helper()
	out, err := w.try(d)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) try(d drift) (kspec.Outcome, error) {
	w.t.Helper()
	w.pass(time.Minute)
	t, want, rep := look(w.t, w.url, w.now, d)
	w.mu.Lock()
	w.mutations, w.requests = nil, 0
	w.mu.Unlock()
	w.steps = nil
	return w.r.Remediate(w.t.Context(), t, want, rep)
}

// want checks an action and how many requests changed something; -1 is any
// number.
func (w *world) want(out kspec.Outcome, action kspec.Action, mutations int) {
	w.t.Helper()
	if out.Action != action {
		w.t.Fatalf("the action is %s (%s), want %s", out.Action, out.Why, action)
	}
	if mutations >= 0 && len(w.mutations) != mutations {
		w.t.Errorf("%s took %d requests that change something: %v, want %d", action, len(w.mutations), w.mutations, mutations)
	}
}

// pulls returns the pull requests, and fails when there are not n.
func (w *world) pulls(n int) []forge.Pull {
	w.t.Helper()
	pulls, err := w.hub.Pulls(repoName)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(pulls) != n {
		w.t.Fatalf("there are %d pull requests, want %d: %+v", len(pulls), n, pulls)
	}
	return pulls
}

// branches returns the names of kspec's branches.
func (w *world) branches() []string {
	w.t.Helper()
	all, err := w.hub.Branches(repoName)
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for name := range all {
		if strings.HasPrefix(name, "kspec") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// diff returns the changed lines of a pull request.
func (w *world) diff(number int) string {
	w.t.Helper()
	text, err := w.hub.Diff(repoName, number)
	if err != nil {
		w.t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(text) {
		if (line[0] == '+' || line[0] == '-') && !strings.HasPrefix(line, "+++") && !strings.HasPrefix(line, "---") {
			lines = append(lines, strings.TrimSpace(line[:1]+" "+strings.TrimSpace(line[1:])))
		}
	}
	return strings.Join(lines, "\n")
}

// push commits to a branch as Ada, with one file changed.
func (w *world) push(branch, name, text string) {
	w.t.Helper()
	files := configRepo()
	if branch != "main" {
		files["apps/web/deployment.yaml"] = file(strings.Replace(string(files["apps/web/deployment.yaml"].Data), "replicas: 3", "replicas: 5", 1))
	}
	files[name] = file(text)
	if err := w.hub.Push(repoName, branch, "By hand", fs.FS(files)); err != nil {
		w.t.Fatal(err)
	}
}
