package compare_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/cloudcwfranck/kspec/compare"
	"github.com/cloudcwfranck/kspec/fixtures"
	"github.com/cloudcwfranck/kspec/test/kube"
)

// world writes to the cluster of a test as people and controllers do.
type world struct {
	testing.TB
	client dynamic.Interface
	mapper meta.RESTMapper
}

func newWorld(t testing.TB) world {
	t.Helper()
	cfg := rest.CopyConfig(kube.Shared(t).Config)
	cfg.WarningHandler = rest.NoWarnings{}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	http, err := rest.HTTPClientFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mapper, err := apiutil.NewDynamicRESTMapper(cfg, http)
	if err != nil {
		t.Fatal(err)
	}
	return world{t, client, mapper}
}

// clusterOf returns the shared cluster as compare sees it, with the transport
// wrapped when wrap is not nil.
func clusterOf(t testing.TB, wrap func(http.RoundTripper) http.RoundTripper) *compare.Cluster {
	t.Helper()
	cfg := rest.CopyConfig(kube.Shared(t).Config)
	if wrap != nil {
		cfg.Wrap(wrap)
	}
	c, err := compare.NewCluster(cfg, "test")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// decode returns the objects of a YAML stream.
func decode(t testing.TB, text string) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	dec := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		u := &unstructured.Unstructured{}
		err := dec.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("decode: %v in:\n%s", err, text)
		}
		if u.Object != nil {
			all = append(all, u)
		}
	}
}

// replay does to the cluster what the steps of a case say.
func (w world) replay(c fixtures.Case) {
	w.Helper()
	for _, name := range c.Names("live/") {
		part := strings.Split(strings.TrimSuffix(path.Base(name), ".yaml"), ".")
		w.do(strings.Join(part[1:len(part)-1], "."), part[len(part)-1], c.Section(name))
	}
}

// do writes the objects under the manager: verb is apply, create, update,
// patch, or delete.
func (w world) do(manager, verb, text string) {
	w.Helper()
	for _, u := range decode(w, text) {
		if err := w.one(manager, verb, u); err != nil {
			w.Fatalf("%s %s as %s: %v", verb, u.GetName(), manager, err)
		}
	}
}

func (w world) one(manager, verb string, u *unstructured.Unstructured) error {
	ctx, at := w.Context(), w.at(u)
	data, err := u.MarshalJSON()
	if err != nil {
		return err
	}
	switch verb {
	case "apply":
		_, err = at.Patch(ctx, u.GetName(), types.ApplyPatchType, data, metav1.PatchOptions{FieldManager: manager, Force: new(true)})
	case "create":
		_, err = at.Create(ctx, u, metav1.CreateOptions{FieldManager: manager})
	case "update":
		var live *unstructured.Unstructured
		if live, err = at.Get(ctx, u.GetName(), metav1.GetOptions{}); err == nil {
			u.SetResourceVersion(live.GetResourceVersion())
			_, err = at.Update(ctx, u, metav1.UpdateOptions{FieldManager: manager})
		}
	case "patch":
		form := types.MergePatchType
		if scheme.Scheme.Recognizes(u.GroupVersionKind()) {
			form = types.StrategicMergePatchType
		}
		_, err = at.Patch(ctx, u.GetName(), form, data, metav1.PatchOptions{FieldManager: manager})
	case "delete":
		err = at.Delete(ctx, u.GetName(), metav1.DeleteOptions{})
	default:
		err = errors.New("no such verb")
	}
	return err
}

// at waits until the kind of u is served, for a CRD may just have come.
func (w world) at(u *unstructured.Unstructured) dynamic.ResourceInterface {
	w.Helper()
	var m *meta.RESTMapping
	gvk := u.GroupVersionKind()
	err := wait.PollUntilContextTimeout(w.Context(), 50*time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) {
		var err error
		m, err = w.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		return err == nil, nil
	})
	if err != nil {
		w.Fatalf("find %s: %v", gvk, err)
	}
	if m.Scope.Name() == meta.RESTScopeNameRoot {
		return w.client.Resource(m.Resource)
	}
	return w.client.Resource(m.Resource).Namespace(u.GetNamespace())
}

// namespace makes a namespace of that name.
func (w world) namespace(name string) {
	w.Helper()
	w.do("test", "apply", "{apiVersion: v1, kind: Namespace, metadata: {name: "+name+"}}")
}

// raw sends a JSON patch, as kubectl edit does for lists.
func (w world) raw(manager string, u *unstructured.Unstructured, jsonPatch string) {
	w.Helper()
	_, err := w.at(u).Patch(w.Context(), u.GetName(), types.JSONPatchType, bytes.TrimSpace([]byte(jsonPatch)), metav1.PatchOptions{FieldManager: manager})
	if err != nil {
		w.Fatalf("patch %s as %s: %v", u.GetName(), manager, err)
	}
}

// deleteNow deletes without grace.
var deleteNow = metav1.DeleteOptions{GracePeriodSeconds: new(int64)}

// notName matches what a name may not hold.
var notName = regexp.MustCompile(`[^a-z0-9]+`)
