package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
	"github.com/cloudcwfranck/kspec/test/kube"
)

// reflected is the mirrors of a namespace, and what they show.
type reflected struct {
	*place
	*mirrors
	namespace string
}

func newReflected(t *testing.T, namespace string) *reflected {
	t.Helper()
	r := &reflected{place: newPlace(t), namespace: namespace}
	r.installKinds(t, "clusterspecs", "clustertargets")
	if err := r.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.mirrors, err = newMirrors(kube.Shared(t).Config, namespace, slog.New(slog.NewTextHandler(t.Output(), nil))); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *reflected) object(kind, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"authMode": "kubeconfig"}}}
	u.SetAPIVersion("kspec.io/v1alpha1")
	u.SetKind(kind)
	u.SetNamespace(r.namespace)
	u.SetName(name)
	return u
}

func (r *reflected) create(t *testing.T, kind, name string) {
	t.Helper()
	eventually(t, &daemon{}, "the kind", func() bool { return r.client.Create(t.Context(), r.object(kind, name)) == nil })
}

// shown returns the status and message of the condition Ready, and at which
// version of the object.
func (r *reflected) shown(t *testing.T, kind, name string) (text, version string) {
	t.Helper()
	u := r.object(kind, name)
	if err := r.client.Get(t.Context(), client.ObjectKeyFromObject(u), u); err != nil {
		t.Fatal(err)
	}
	all, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range all {
		if m := c.(map[string]any); m["type"] == "Ready" {
			text = m["status"].(string) + " " + m["message"].(string)
		}
	}
	return text, u.GetResourceVersion()
}

func TestMirrorsOfClusterSpecs(t *testing.T) {
	r := newReflected(t, "mirror-specs")
	target := kspec.Target{Name: "prod", Interval: time.Hour}
	look := func(err error) { r.looked(t.Context(), target, kspec.Report{}, kspec.Outcome{}, err) }
	expect := func(what, want string) (version string) {
		t.Helper()
		text, version := r.shown(t, "ClusterSpec", "prod")
		if text != want {
			t.Errorf("%s: the status is %q, want %q", what, text, want)
		}
		return version
	}
	look(errors.New("before there is one"))
	r.create(t, "ClusterSpec", "prod")
	look(errors.New("read from port 1"))
	before := expect("made after the first look", "False read from port 1")
	look(errors.New("read from port 22"))
	if after := expect("another number", "False read from port 1"); after != before {
		t.Error("the object changed without news")
	}
	look(errors.New("no route"))
	expect("other words", "False no route")

	if err := r.client.Delete(t.Context(), r.object("ClusterSpec", "prod")); err != nil {
		t.Fatal(err)
	}
	look(errors.New("while it is gone"))
	r.create(t, "ClusterSpec", "prod")
	look(errors.New("while it is gone"))
	expect("made anew", "False while it is gone")

	target.Suspend = true
	r.adopt(t.Context(), []kspec.Target{target})
	look(nil) // of a run that was under way
	expect("suspended", "Unknown spec.suspend is true: kspec looks away")
}

func TestAClusterThatIsAwayIsAskedOnceAnInterval(t *testing.T) {
	r := newReflected(t, "mirror-clusters")
	asked, away := 0, errors.New("no route")
	ask := func(rep kspec.Report, err error) (asks int) {
		before := asked
		r.cluster(t.Context(), kspec.Target{Name: "prod", Cluster: "edge", Interval: time.Hour},
			compare.ClustersFunc(func(context.Context, kspec.Target) (*compare.Cluster, error) {
				if asked++; away != nil {
					return nil, away
				}
				return compare.NewCluster(kube.Shared(t).Config, "edge")
			}), rep, err)
		return asked - before
	}
	silent := &kspec.StageError{Stage: kspec.StageCompare, Err: away}
	blind := &kspec.StageError{Stage: kspec.StageSource, Err: errors.New("no Git")}
	seen := kspec.Report{StartedAt: time.Now()}
	if n := ask(kspec.Report{}, silent); n != 0 {
		t.Errorf("nothing bears the answer, and it was asked %d times", n)
	}
	r.create(t, "ClusterTarget", "edge")
	for i, want := range []int{1, 0, 0} {
		if n := ask(kspec.Report{}, silent); n != want {
			t.Errorf("look %d that failed: asked %d times, want %d", i, n, want)
		}
	}
	if n := ask(kspec.Report{}, blind); n != 0 {
		t.Errorf("Git failed, which says nothing of the cluster: asked %d times", n)
	}
	if text, _ := r.shown(t, "ClusterTarget", "edge"); text != "False no route" {
		t.Errorf("the status is %q", text)
	}
	away = nil
	for i, want := range []int{1, 0} {
		if n := ask(seen, nil); n != want {
			t.Errorf("look %d that worked: asked %d times, want %d", i, n, want)
		}
	}
	if text, _ := r.shown(t, "ClusterTarget", "edge"); text == "False no route" {
		t.Error("the status does not tell that the cluster is back")
	}
}

// mute takes requests and never answers.
type mute struct{}

func (mute) RoundTrip(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

func TestAnAPIServerThatHangsHoldsNoLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := newMirrors(&rest.Config{Host: "https://hung.example", Transport: mute{}}, "kspec-system", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		m.looked(t.Context(), kspec.Target{Name: "prod", Interval: time.Hour}, kspec.Report{}, kspec.Outcome{}, nil)
		if took := time.Since(begin); took > mirrorTimeout {
			t.Errorf("a look waited %s for its status", took)
		}
	})
}
