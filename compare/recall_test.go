package compare_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
	"github.com/cloudcwfranck/kspec/test/kube"
)

// notebook is a Memory that outlives a Detector.
type notebook struct {
	mu    sync.Mutex
	notes map[string]map[kspec.ObjectID]kspec.Decision
}

func (n *notebook) Recall(_ context.Context, target string) ([]kspec.Decision, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Values(n.notes[target])), nil
}

func (n *notebook) Remember(_ context.Context, target string, changed []kspec.Decision, gone []kspec.ObjectID) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.notes == nil {
		n.notes = map[string]map[kspec.ObjectID]kspec.Decision{}
	}
	if n.notes[target] == nil {
		n.notes[target] = map[kspec.ObjectID]kspec.Decision{}
	}
	for _, d := range changed {
		n.notes[target][d.Object] = d
	}
	for _, id := range gone {
		delete(n.notes[target], id)
	}
	return nil
}

// again is a second look, in a new process.
type again struct {
	world
	namespace string
	target    kspec.Target
	options   compare.Options
	want      kspec.Desired
	wrap      func(http.RoundTripper) http.RoundTripper
	address   string
	undo      func()
}

func (a *again) look(t *testing.T) kspec.Report {
	t.Helper()
	cfg := rest.CopyConfig(kube.Shared(t).Config)
	cfg.Host += a.address
	if a.wrap != nil {
		cfg.Wrap(a.wrap)
	}
	c, err := compare.NewCluster(cfg, "test")
	if err != nil {
		t.Fatal(err)
	}
	d := compare.New(compare.ClustersFunc(func(context.Context, kspec.Target) (*compare.Cluster, error) { return c, nil }), a.options)
	rep, err := d.Detect(t.Context(), a.target, a.want)
	if err != nil || !rep.Complete() {
		t.Fatal(err, rep.Unknown)
	}
	return rep
}

func TestWhatWasDecidedHoldsUntilSomethingItFollowsFromChanges(t *testing.T) {
	const all, clean = 7, 6 // ConfigMaps, one of them changed by hand
	for name, c := range map[string]struct {
		change func(*testing.T, *again)
		cached int
	}{
		"nothing": {func(*testing.T, *again) {}, all},
		"a live object": {func(_ *testing.T, a *again) {
			a.raw("kubectl-edit", a.want.Objects[3].Unstructured, `[{"op":"replace","path":"/data/v","value":"y"}]`)
		}, all - 1},
		"an object in Git": {func(_ *testing.T, a *again) {
			a.want.Objects[2].Unstructured = a.want.Objects[2].DeepCopy()
			a.want.Objects[2].Object["data"] = map[string]any{"v": "z"}
		}, all - 1},
		"an object that is gone from the cluster": {func(_ *testing.T, a *again) {
			a.do("kubectl", "delete", "{apiVersion: v1, kind: ConfigMap, metadata: {name: c2, namespace: "+a.namespace+"}}")
		}, all - 1},
		"an ignore rule": {func(_ *testing.T, a *again) {
			a.target.Drift.Ignore = []kspec.IgnoreRule{{Paths: []string{"/data/other"}, Reason: "test", ExpiresAt: noon.Add(time.Hour)}}
		}, 0},
		"the people's list": {func(_ *testing.T, a *again) { a.options.People = []string{"someone"} }, 0},
		"the key, upon which only findings follow": {func(_ *testing.T, a *again) {
			a.options.Key = kspec.NewSecret("another key of the test")
		}, clean},
		"no key: one at random in each process": {func(_ *testing.T, a *again) { a.options.Key = kspec.Secret{} }, clean},
		"a mutating webhook": {func(_ *testing.T, a *again) {
			hook := `{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: recall}}`
			a.do("kubectl", "create", hook)
			a.undo = func() { a.do("kubectl", "delete", hook) }
		}, 0},
		"the delivery engine, of which marks in Git may speak": {func(_ *testing.T, a *again) {
			a.target.Delivery.Engine = kspec.Flux
		}, 0},
		"the address of the cluster, which may be a copy": {func(_ *testing.T, a *again) { a.address = "/" }, 0},
		"webhooks that cannot be listed for the moment": {func(_ *testing.T, a *again) {
			a.wrap = func(next http.RoundTripper) http.RoundTripper {
				return faulty{next, func(req *http.Request) (*http.Response, error) {
					if !strings.HasSuffix(req.URL.Path, "/mutatingwebhookconfigurations") {
						return nil, nil
					}
					return answer(req, http.StatusInternalServerError, "InternalError"), nil
				}}
			}
		}, 0},
		"a day later":        {func(_ *testing.T, a *again) { a.options.Now = func() time.Time { return noon.Add(25 * time.Hour) } }, 0},
		"less than half one": {func(_ *testing.T, a *again) { a.options.Now = func() time.Time { return noon.Add(11 * time.Hour) } }, all},
		"a clock set back":   {func(_ *testing.T, a *again) { a.options.Now = func() time.Time { return noon.Add(-time.Hour) } }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			a := &again{world: newWorld(t), namespace: "recall-" + strings.Trim(strings.NewReplacer(" ", "-", ",", "", ":", "", "'", "").Replace(strings.ToLower(name)), "-")}
			a.namespace = strings.Trim(a.namespace[:min(len(a.namespace), 40)], "-")
			a.world.namespace(a.namespace)
			var text strings.Builder
			for i := range all {
				fmt.Fprintf(&text, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%d}\ndata: {v: x}\n", i)
			}
			a.want = desired(t, a.namespace, text.String())
			a.deliver(a.want)
			a.raw("kubectl-edit", a.want.Objects[0].Unstructured, `[{"op":"replace","path":"/data/v","value":"by hand"}]`)
			a.target = kspec.Target{Name: "recall"}
			a.options = compare.Options{Key: kspec.NewSecret("test"), Memory: &notebook{}, Now: func() time.Time { return noon }}

			first := a.look(t)
			c.change(t, a)
			second := a.look(t)
			if a.undo != nil {
				a.undo()
			}
			if got := second.Coverage.DecidedBy[kspec.TierCache]; got != c.cached {
				t.Errorf("%d of %d objects by cache, want %d: %+v", got, all, c.cached, second.Coverage)
			}
			if c.cached < all {
				return
			}
			if diff := cmp.Diff(lines(first), lines(second)); diff != "" {
				t.Errorf("the second look says otherwise (-first +second):\n%s", diff)
			}
			if r := second.Coverage.Requests; r.Patch != 0 || r.Get != 0 {
				t.Errorf("requests %+v, want lists of metadata alone", r)
			}
		})
	}
}

func TestAForgottenTargetIsRecalledFromItsMemory(t *testing.T) {
	want := configMaps(t, "recall-forget", 5)
	c := clusterOf(t, nil)
	d := compare.New(compare.ClustersFunc(func(context.Context, kspec.Target) (*compare.Cluster, error) { return c, nil }),
		compare.Options{Memory: compare.NoMemory()})
	cached := func() int {
		rep, err := d.Detect(t.Context(), kspec.Target{Name: "kept"}, want)
		if err != nil {
			t.Fatal(err)
		}
		return rep.Coverage.DecidedBy[kspec.TierCache]
	}
	first, second := cached(), cached()
	d.Forget([]string{"another"})
	if third := cached(); first != 0 || second != 6 || third != 0 {
		t.Errorf("by cache %d, %d, and %d after forgetting; want 0, 6, 0", first, second, third)
	}
}
