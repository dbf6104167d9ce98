package compare_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
)

// ear is a Detector with a Watcher, and the targets that were told of.
type ear struct {
	*compare.Detector
	watcher *compare.Watcher
	changed chan string
	stop    func()
}

// overhear watches the shared cluster. The transport is wrapped when wrap is not
// nil.
func overhear(t testing.TB, wrap func(http.RoundTripper) http.RoundTripper) *ear {
	t.Helper()
	c := clusterOf(t, wrap)
	e := &ear{changed: make(chan string, 10_000)}
	e.watcher = compare.NewWatcher(compare.WatchOptions{Changed: func(target string) { e.changed <- target }})
	e.Detector = compare.New(
		compare.ClustersFunc(func(context.Context, kspec.Target) (*compare.Cluster, error) { return c, nil }),
		compare.Options{Key: kspec.NewSecret("test"), Memory: compare.NoMemory(), Watch: e.watcher},
	)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = e.watcher.Run(ctx) }()
	e.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(e.stop)
	return e
}

func (e *ear) look(t testing.TB, target string, want kspec.Desired) kspec.Report {
	t.Helper()
	if len(want.Objects) > 0 && want.Objects[0].Digest.IsZero() { // renderers fill it in
		want.Objects = slices.Clone(want.Objects)
		for i, o := range want.Objects {
			want.Objects[i].Digest = kspec.DigestOf(o)
		}
	}
	rep, err := e.Detect(t.Context(), kspec.Target{Name: target}, want)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// settled looks until a look costs no request.
func (e *ear) settled(t testing.TB, target string, want kspec.Desired) kspec.Report {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		rep := e.look(t, target, want)
		if rep.Coverage.Requests == (kspec.Requests{}) {
			e.quiet()
			return rep
		}
		if time.Now().After(deadline) {
			t.Fatalf("looks never cease to cost requests: %+v, unknown %v, watches %+v", rep.Coverage, rep.Unknown, e.watcher.Stats())
		}
	}
}

// quiet waits for half a second in which no target is told of.
func (e *ear) quiet() {
	for {
		select {
		case <-e.changed:
		case <-time.After(600 * time.Millisecond):
			return
		}
	}
}

// told waits until the target is told of, and returns how long that took.
func (e *ear) told(t testing.TB, target string) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		select {
		case got := <-e.changed:
			if got == target {
				return time.Since(start)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s was not told of; watches: %+v", target, e.watcher.Stats())
		}
	}
}

// untold fails when a target is told of within a while.
func (e *ear) untold(t testing.TB) {
	t.Helper()
	select {
	case got := <-e.changed:
		t.Errorf("%s was told of, want nobody", got)
	case <-time.After(500 * time.Millisecond):
	}
}

// inNamespace delivers the text to a new namespace.
func inNamespace(t testing.TB, w world, namespace, text string) kspec.Desired {
	t.Helper()
	w.namespace(namespace)
	want := desired(t, namespace, text)
	w.deliver(want)
	return want
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%d}\ndata: {v: x}\n", i)
	}
	return b.String()
}

func TestAChangeIsToldOfAndReadAlone(t *testing.T) {
	w := newWorld(t)
	want := inNamespace(t, w, "watch-change", deployment+numbered(60))
	e := overhear(t, nil)
	e.look(t, "prod", want)
	e.settled(t, "prod", want)

	start := time.Now()
	w.do("kubectl-edit", "patch", "{apiVersion: v1, kind: ConfigMap, metadata: {name: c7, namespace: watch-change}, data: {v: changed}}")
	e.told(t, "prod")
	rep := e.look(t, "prod", want)
	t.Logf("from change to finding: %s", time.Since(start))
	if len(rep.Findings) != 1 || rep.Findings[0].Object.Name != "c7" || rep.Findings[0].Verdict != kspec.Changed {
		t.Errorf("found %v, want that c7 changed", rep.Findings)
	}
	if r := rep.Coverage.Requests; r.List != 0 || r.Get != 1 {
		t.Errorf("the look cost %+v, want one get and no list", r)
	}
	if rep := e.settled(t, "prod", want); len(rep.Findings) != 1 {
		t.Errorf("a look that reads nothing finds %v, want the same as before", rep.Findings)
	}
}

func TestAWriteToTheStatusIsToldToNobody(t *testing.T) {
	w := newWorld(t)
	want := inNamespace(t, w, "watch-status", deployment+`---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, minReplicas: 1, maxReplicas: 3}
`)
	e := overhear(t, nil)
	e.look(t, "prod", want)
	e.settled(t, "prod", want)
	status := func(n int) {
		t.Helper()
		for _, o := range want.Objects {
			body := fmt.Sprintf(`{"status":{"observedGeneration":1,"replicas":%d}}`, n)
			if o.GetKind() == "HorizontalPodAutoscaler" {
				body = fmt.Sprintf(`{"status":{"desiredReplicas":%d}}`, n)
			}
			_, err := w.at(o.Unstructured).Patch(t.Context(), o.GetName(), types.MergePatchType, []byte(body),
				metav1.PatchOptions{FieldManager: "kube-controller-manager"}, "status")
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	status(1) // the first may tell: nothing of a status was known
	time.Sleep(1100 * time.Millisecond)
	e.settled(t, "prod", want)
	before := e.watcher.Stats()
	for n := 2; n < 5; n++ {
		status(n)
		time.Sleep(1100 * time.Millisecond) // managed fields have seconds
	}
	e.untold(t)
	if after := e.watcher.Stats(); after.Relevant != before.Relevant || after.Dropped-before.Dropped < 6 {
		t.Errorf("events went from %+v to %+v, want 6 more dropped and none relevant", before, after)
	}
	if r := e.look(t, "prod", want).Coverage; r.Requests != (kspec.Requests{}) || r.DecidedBy[kspec.TierCache] != 2 {
		t.Errorf("the look after it cost %+v", r)
	}
}

func TestADeletedObjectIsMissingOnceAGetHasSaidSo(t *testing.T) {
	w := newWorld(t)
	want := inNamespace(t, w, "watch-delete", numbered(5))
	e := overhear(t, nil)
	e.look(t, "prod", want)
	e.settled(t, "prod", want)
	w.do("", "delete", "{apiVersion: v1, kind: ConfigMap, metadata: {name: c3, namespace: watch-delete}}")
	e.told(t, "prod")
	rep := e.look(t, "prod", want)
	if len(rep.Findings) != 1 || rep.Findings[0].Verdict != kspec.Missing || rep.Coverage.Requests.Get != 1 {
		t.Errorf("found %v at the cost of %+v, want c3 missing after one get", rep.Findings, rep.Coverage.Requests)
	}
	w.deliver(want)
	e.told(t, "prod")
	if rep := e.settled(t, "prod", want); !rep.InSync() {
		t.Errorf("it came again, but: %v %v", rep.Findings, rep.Unknown)
	}
}

func TestOnlyTheTargetThatDeclaresAnObjectIsToldOfIt(t *testing.T) {
	w := newWorld(t)
	all := inNamespace(t, w, "watch-share", numbered(10))
	one, two := all, all
	one.Objects, two.Objects = all.Objects[:5], all.Objects[5:]
	e := overhear(t, nil)
	e.look(t, "one", one)
	e.look(t, "two", two)
	e.settled(t, "one", one)
	e.settled(t, "two", two)
	watches := e.watcher.Stats().Watches
	w.do("kubectl-edit", "patch", "{apiVersion: v1, kind: ConfigMap, metadata: {name: c8, namespace: watch-share}, data: {v: changed}}")
	w.do("kubectl", "create", "{apiVersion: v1, kind: ConfigMap, metadata: {name: stranger, namespace: watch-share}}")
	if got := <-e.changed; got != "two" {
		t.Errorf("%s was told of, want two", got)
	}
	e.untold(t)

	e.Forget([]string{"one"})
	w.do("kubectl-edit", "patch", "{apiVersion: v1, kind: ConfigMap, metadata: {name: c8, namespace: watch-share}, data: {v: again}}")
	e.untold(t)
	if got := e.watcher.Stats().Watches; !cmp.Equal(got, watches) {
		t.Errorf("watches are %v, want %v: the place is shared", got, watches)
	}
	e.Forget(nil)
	waitFor(t, "no watch is left", func() bool { return len(e.watcher.Stats().Watches) == 0 })
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to be that %s", what)
		}
	}
}

func TestAnObjectThatGitGainsIsHeardOfFromThenOn(t *testing.T) {
	w := newWorld(t)
	want := inNamespace(t, w, "watch-gain", numbered(8))
	less := want
	less.Objects = want.Objects[:4]
	e := overhear(t, nil)
	e.look(t, "prod", less)
	e.settled(t, "prod", less)
	if r := e.look(t, "prod", want).Coverage.Requests; r.Get+r.List == 0 {
		t.Errorf("new objects were not read: %+v", r)
	}
	if r := e.look(t, "prod", want).Coverage.Requests; r != (kspec.Requests{}) {
		t.Errorf("the second look at them cost %+v, want nothing", r)
	}
	w.do("kubectl-edit", "patch", "{apiVersion: v1, kind: ConfigMap, metadata: {name: c6, namespace: watch-gain}, data: {v: changed}}")
	e.told(t, "prod")
	if rep := e.look(t, "prod", want); len(rep.Findings) != 1 {
		t.Errorf("found %v, want that c6 changed", rep.Findings)
	}
}

func TestAPolicyThatMutatesWakesEveryTarget(t *testing.T) {
	w := newWorld(t)
	want := inNamespace(t, w, "watch-epoch", numbered(4))
	e := overhear(t, nil)
	e.look(t, "prod", want)
	e.settled(t, "prod", want)
	const hook = `{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: watch-epoch}, webhooks: [{
		name: a.example.com, clientConfig: {url: "https://127.0.0.1:1/"}, sideEffects: None, admissionReviewVersions: [v1], failurePolicy: Ignore,
		rules: [{apiGroups: [none.example.com], apiVersions: [v1], operations: [CREATE], resources: [nothings]}]}]}`
	w.do("kubectl", "create", hook)
	e.told(t, "prod")
	if rep := e.look(t, "prod", want); rep.Coverage.DecidedBy[kspec.TierCache] != 0 || !rep.InSync() {
		t.Errorf("the look after it decided by %v, want none by what was decided before", rep.Coverage.DecidedBy)
	}
	w.do("", "delete", hook)
	e.told(t, "prod")
}

func TestASecretIsWatchedByItsNameAndItsDataNeverAskedFor(t *testing.T) {
	w := newWorld(t)
	want := inNamespace(t, w, "watch-secret", "{apiVersion: v1, kind: Secret, metadata: {name: db}, stringData: {a: b}}")
	var mu sync.Mutex
	var asked []string
	e := overhear(t, func(next http.RoundTripper) http.RoundTripper {
		return faulty{next, func(req *http.Request) (*http.Response, error) {
			if q := req.URL.Query(); q.Has("watch") && strings.HasSuffix(req.URL.Path, "/secrets") {
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, fmt.Sprint(q.Get("fieldSelector"), " ", strings.Count(req.Header.Get("Accept"), "as=PartialObjectMetadata")))
			}
			return nil, nil
		}}
	})
	e.look(t, "prod", want)
	e.settled(t, "prod", want)
	mu.Lock()
	defer mu.Unlock()
	if len(asked) == 0 || slices.ContainsFunc(asked, func(s string) bool { return s != "metadata.name=db 2" }) {
		t.Errorf("watches of Secrets were %q, want them for metadata of db alone", asked)
	}
	w.do("kubectl-edit", "patch", "{apiVersion: v1, kind: Secret, metadata: {name: db, namespace: watch-secret}, stringData: {a: c}}")
	e.told(t, "prod")
	if rep := e.look(t, "prod", want); len(rep.Findings) != 1 {
		t.Errorf("found %v, want that it changed", rep.Findings)
	}
}

func TestAWatchThatIsForbiddenIsReadAtEachLook(t *testing.T) {
	w := newWorld(t)
	want := inNamespace(t, w, "watch-forbidden", deployment+numbered(5))
	e := overhear(t, func(next http.RoundTripper) http.RoundTripper {
		return faulty{next, func(req *http.Request) (*http.Response, error) {
			if req.URL.Query().Has("watch") && strings.HasSuffix(req.URL.Path, "/configmaps") {
				return answer(req, 403, "Forbidden"), nil
			}
			return nil, nil
		}}
	})
	e.look(t, "prod", want)
	waitFor(t, "the others are healthy", func() bool {
		s := e.watcher.Stats().Watches
		return s["forbidden"] == 1 && s["healthy"] == 5
	})
	w.do("kubectl-edit", "patch", "{apiVersion: v1, kind: ConfigMap, metadata: {name: c1, namespace: watch-forbidden}, data: {v: changed}}")
	rep := e.look(t, "prod", want)
	if len(rep.Findings) != 1 || rep.Coverage.Requests.List != 1 {
		t.Errorf("found %v at the cost of %+v, want c1 after a list of metadata", rep.Findings, rep.Coverage.Requests)
	}
}

// wires let a test cut the streams of watches, and hold them back.
type wires struct {
	next http.RoundTripper

	mu      sync.Mutex
	down    bool
	cuts    []context.CancelFunc
	expired bool
	opened  []string // the resource versions that watches began from
}

// RoundTrip implements [http.RoundTripper].
func (l *wires) RoundTrip(req *http.Request) (*http.Response, error) {
	if !req.URL.Query().Has("watch") {
		return l.next.RoundTrip(req)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	q := req.URL.Query()
	switch {
	case l.down:
		return nil, syscall.ECONNREFUSED
	case l.expired && !q.Has("sendInitialEvents"):
		return answer(req, 410, "Expired"), nil
	}
	if strings.HasSuffix(req.URL.Path, "/configmaps") {
		l.opened = append(l.opened, q.Get("resourceVersion")+" "+q.Get("sendInitialEvents"))
	}
	ctx, cut := context.WithCancel(req.Context())
	l.cuts = append(l.cuts, cut)
	resp, err := l.next.RoundTrip(req.WithContext(ctx))
	if err == nil {
		resp.Body = cleanEnd{resp.Body}
	}
	return resp, err
}

// cleanEnd ends as a server does that closes the connection.
type cleanEnd struct{ io.ReadCloser }

func (c cleanEnd) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err != nil {
		err = io.EOF
	}
	return n, err
}

func (l *wires) set(down, expired bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down, l.expired = down, expired
	if down || expired {
		for _, cut := range l.cuts {
			cut()
		}
		l.cuts = nil
	}
}

func TestALostWatchResumesOrListsAgainAndMissesNothing(t *testing.T) {
	for name, expired := range map[string]bool{"resumed": false, "listed again after a 410": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			namespace := "watch-lost-" + strings.Fields(name)[0]
			want := inNamespace(t, w, namespace, numbered(30))
			l := &wires{}
			e := overhear(t, func(next http.RoundTripper) http.RoundTripper { l.next = next; return l })
			e.look(t, "prod", want)
			e.settled(t, "prod", want)

			l.set(true, false)
			waitFor(t, "all watches are broken", func() bool { return e.watcher.Stats().Watches["healthy"] == 0 })
			w.do("kubectl-edit", "patch", "{apiVersion: v1, kind: ConfigMap, metadata: {name: c9, namespace: "+namespace+"}, data: {v: changed}}")
			rep := e.look(t, "prod", want)
			if len(rep.Findings) != 1 || rep.Coverage.Requests.List == 0 {
				t.Errorf("without watches: found %v at the cost of %+v, want c9, by reading", rep.Findings, rep.Coverage.Requests)
			}
			w.do("kubectl-edit", "patch", "{apiVersion: v1, kind: ConfigMap, metadata: {name: c4, namespace: "+namespace+"}, data: {v: changed}}")
			l.set(false, expired)
			e.told(t, "prod")
			l.set(false, false)
			if rep := e.settled(t, "prod", want); len(rep.Findings) != 2 {
				t.Errorf("found %v, want c4, which changed meanwhile, and c9", rep.Findings)
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			if again := strings.HasSuffix(l.opened[len(l.opened)-1], "true"); again != expired {
				t.Errorf("watches were opened at %q, want a new list: %v", l.opened, expired)
			}
		})
	}
}

// TestNoStaleDecisionCounts edits at random while looks go on. Whatever a look
// says after the last edit was heard of, a look without any memory says, too.
func TestNoStaleDecisionCounts(t *testing.T) {
	w := newWorld(t)
	want := inNamespace(t, w, "watch-race", deployment+numbered(12))
	l := &wires{}
	e := overhear(t, func(next http.RoundTripper) http.RoundTripper { l.next = next; return l })
	e.look(t, "prod", want)
	random := rand.New(rand.NewPCG(seed(t), 5))
	for round := range 100 {
		var editing sync.WaitGroup
		editing.Go(func() {
			for range 1 + random.IntN(4) {
				randomEdit(w, want, random, round)
			}
		})
		e.look(t, "prod", want)
		if round%20 == 7 {
			l.set(true, false)
			e.look(t, "prod", want)
			l.set(false, round%40 == 7)
		}
		editing.Wait()
		cold := summary(coldLook(t, want))
		waitFor(t, fmt.Sprintf("the look of round %d is as a cold one:\n%v", round, cold), func() bool {
			return cmp.Equal(summary(e.look(t, "prod", want)), cold)
		})
		l.set(false, false)
	}
}

// randomEdit does something to one of the objects, or to its status.
func randomEdit(w world, want kspec.Desired, random *rand.Rand, round int) {
	o := want.Objects[random.IntN(len(want.Objects))]
	u := o.DeepCopy()
	switch random.IntN(6) {
	case 0:
		_ = w.at(u).Delete(w.Context(), u.GetName(), deleteNow)
	case 1, 2:
		_ = w.one(applier, "apply", u)
	case 3:
		u.SetLabels(map[string]string{"round": fmt.Sprint(round)})
		_ = w.one("kubectl-label", "patch", u)
	case 4:
		body := fmt.Sprintf(`{"status":{"replicas":%d}}`, round)
		_, _ = w.at(u).Patch(w.Context(), u.GetName(), types.MergePatchType, []byte(body), metav1.PatchOptions{FieldManager: "controller"}, "status")
	default:
		body := fmt.Sprintf(`{"data":{"v":"%d"},"spec":{"replicas":%d}}`, round, round)
		_, _ = w.at(u).Patch(w.Context(), u.GetName(), types.MergePatchType, []byte(body), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	}
}

// TestWhatTheEngineIsToldIsHeardOf has an Application that is not read while
// nothing is said of it, and what ends a stillness.
func TestWhatTheEngineIsToldIsHeardOf(t *testing.T) {
	w := under(t, kspec.ArgoCD, argoUnit, true, settings)
	for i, o := range w.want.Objects {
		w.want.Objects[i].Digest = kspec.DigestOf(o)
	}
	w.do("kubectl-edit", "patch", asText(t, edited(w.object("settings", ""), "red")))
	e := overhear(t, nil)
	still := func(why string, findings int) {
		t.Helper()
		waitFor(t, why, func() bool {
			rep := w.detectBy(e.Detector)
			return len(rep.Findings) == findings && rep.Coverage.Requests == kspec.Requests{}
		})
	}
	still("a difference that nothing excuses", 1)
	w.unit("{spec: {source: {repoURL: r, path: apps/web}, ignoreDifferences: [{kind: ConfigMap, jsonPointers: [/data/colour]}]}}")
	still("the Application excuses it", 0)
	w.unit(argoUnit)
	still("the Application excuses nothing", 1)
	w.target.Drift.Ignore = []kspec.IgnoreRule{{Paths: []string{"/data/colour"}, ExpiresAt: time.Now().Add(2 * time.Second)}}
	still("a rule of the target excuses it", 0)
	still("the rule has expired, which is a finding of its own", 2)
	w.want.Objects[0].Unstructured = edited(w.want.Objects[0].DeepCopy(), "red")
	w.want.Objects[0].Digest = kspec.DigestOf(w.want.Objects[0])
	still("Git has what a person wrote", 1)
	e.Claim(kspec.Target{Name: "rival"}, desired(t, w.ns, settings))
	if rep := w.detectBy(e.Detector); len(rep.Unknown) != 1 {
		t.Errorf("want a rival's claim to count, got %v", lines(rep))
	}
}

// TestAClaimDuringALookCountsAtTheNext has a rival that comes after the look has
// asked for rivals, in the last look before nothing happens any more.
func TestAClaimDuringALookCountsAtTheNext(t *testing.T) {
	w := under(t, kspec.ArgoCD, argoUnit, true, settings)
	for i, o := range w.want.Objects {
		w.want.Objects[i].Digest = kspec.DigestOf(o)
	}
	rival, theirs := kspec.Target{Name: "rival"}, desired(t, w.ns, strings.Replace(settings, "blue", "red", 1))
	var e *ear
	var claims atomic.Bool
	e = overhear(t, func(next http.RoundTripper) http.RoundTripper {
		return faulty{next, func(req *http.Request) (*http.Response, error) {
			if claims.Load() && strings.HasSuffix(req.URL.Path, "/applications/"+w.ns) {
				e.Claim(rival, theirs)
			}
			return nil, nil
		}}
	})
	look := func() kspec.Requests { return w.detectBy(e.Detector).Coverage.Requests }
	waitFor(t, "a look costs nothing", func() bool { return look() == kspec.Requests{} })
	claims.Store(true)
	w.target.Interval++ // nothing follows from it, but it is looked anew
	if got := look(); got != (kspec.Requests{Get: 1}) {
		t.Fatalf("want the Application read, and nothing else, got %+v", got)
	}
	if rep := w.detectBy(e.Detector); len(rep.Unknown) != 1 {
		t.Errorf("want the rival's claim to count, got %v", lines(rep))
	}
}

// coldLook looks without any memory.
func coldLook(t testing.TB, want kspec.Desired) kspec.Report {
	t.Helper()
	rep, err := detector(clusterOf(t, nil)).Detect(t.Context(), kspec.Target{Name: "prod"}, want)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// summary is what a report says, but for who and when.
func summary(rep kspec.Report) []string {
	all := []string{}
	for _, f := range rep.Findings {
		line := string(f.Verdict) + " " + f.Object.String()
		for _, at := range f.Fields {
			line += fmt.Sprint(" ", at.Path, "=", at.Live)
		}
		all = append(all, line)
	}
	for _, u := range rep.Unknown {
		all = append(all, "Unknown "+u.Object.String()+": "+u.Reason)
	}
	return all
}

func TestNothingRunsOnceAWatcherHasStopped(t *testing.T) {
	w := newWorld(t)
	want := inNamespace(t, w, "watch-stop", deployment+numbered(5))
	before := runtime.NumGoroutine()
	e := overhear(t, nil)
	e.look(t, "prod", want)
	e.settled(t, "prod", want)
	e.stop()
	if got := e.watcher.Stats().Watches["healthy"]; got != 0 {
		t.Errorf("%d watches are healthy, want none", got)
	}
	if rep := e.look(t, "prod", want); !rep.InSync() || rep.Coverage.Requests.List+rep.Coverage.Requests.Get == 0 {
		t.Errorf("a look without watches found %v at the cost of %+v, want it to read", rep.Findings, rep.Coverage.Requests)
	}
	waitFor(t, "no goroutine of a watch is left", func() bool {
		buf := make([]byte, 1<<20)
		text := string(buf[:runtime.Stack(buf, true)])
		return !strings.Contains(text, "compare.(*watch)") && !strings.Contains(text, "StreamWatcher") && runtime.NumGoroutine() <= before+4
	})
}
