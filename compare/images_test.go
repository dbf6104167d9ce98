package compare_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cloudcwfranck/kspec"
)

func TestRunningImages(t *testing.T) {
	w := newWorld(t)
	w.namespace("images")
	w.namespace("images-too")
	digest := "sha256:" + strings.Repeat("a", 64)
	pods := decode(t, `
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: images}
spec:
  automountServiceAccountToken: false
  initContainers: [{name: migrate, image: "registry.example/migrate:1"}]
  containers:
  - {name: app, image: "registry.example/web:1"}
  - {name: side, image: "registry.example/side:1"}
  volumes: [{name: model, image: {reference: "registry.example/model:3"}}]
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: images}
spec: {automountServiceAccountToken: false, containers: [{name: app, image: "registry.example/web:2"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: done, namespace: images}
spec: {automountServiceAccountToken: false, containers: [{name: app, image: "registry.example/job:1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: c, namespace: images-too}
spec: {automountServiceAccountToken: false, containers: [{name: app, image: "registry.example/web:3"}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: d
  namespace: images-too
  ownerReferences: [{apiVersion: batch/v1, kind: Job, name: backup-1, uid: 0-1, controller: true}]
spec: {automountServiceAccountToken: false, containers: [{name: app, image: "registry.example/backup:1"}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: e
  namespace: images-too
  ownerReferences: [{apiVersion: v1, kind: Node, name: node, uid: 0-1, controller: true}]
spec: {automountServiceAccountToken: false, containers: [{name: app, image: "registry.example/static:1"}]}
`)
	w.do("test", "create", `
apiVersion: batch/v1
kind: Job
metadata:
  name: backup-1
  namespace: images-too
  ownerReferences: [{apiVersion: batch/v1, kind: CronJob, name: backup, uid: 0-2, controller: true}]
spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: app, image: a}]}}}
`)
	statuses := []string{
		`{"initContainerStatuses":[{"name":"migrate","image":"x","imageID":"docker-pullable://registry.example/migrate@` + digest + `","ready":true,"restartCount":0}],
		  "containerStatuses":[{"name":"app","image":"x","imageID":"registry.example/web@` + digest + `","ready":true,"restartCount":0},
		                       {"name":"side","image":"x","imageID":"` + digest + `","ready":true,"restartCount":0}]}`,
		`{}`, `{"phase":"Succeeded"}`, `{"phase":"Running"}`, `{}`, `{}`,
	}
	for i, pod := range pods {
		w.do("test", "apply", "{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: "+pod.GetNamespace()+"}}")
		if err := w.one("kubelet", "create", pod.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		_, err := w.at(pod).Patch(t.Context(), pod.GetName(), types.MergePatchType, []byte(`{"status":`+statuses[i]+`}`), metav1.PatchOptions{}, "status")
		if err != nil {
			t.Fatal(err)
		}
	}
	var expired atomic.Int64
	c := clusterOf(t, func(next http.RoundTripper) http.RoundTripper {
		return faulty{next, func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/pods") && expired.Add(1) == 1 {
				return answer(r, 410, "Expired"), nil
			}
			return nil, nil
		}}
	})
	image := func(ns, name, path, ref, digest string) kspec.Image {
		return kspec.Image{
			Ref: ref, Digest: digest, Container: path, Running: true,
			Object: kspec.ObjectID{Version: "v1", Kind: "Pod", Namespace: ns, Name: name},
		}
	}
	want := []kspec.Image{
		image("images", "a", "/spec/initContainers/[name=migrate]", "registry.example/migrate:1", digest),
		image("images", "a", "/spec/containers/[name=app]", "registry.example/web:1", digest),
		image("images", "a", "/spec/containers/[name=side]", "registry.example/side:1", ""),
		image("images", "a", "/spec/volumes/[name=model]", "registry.example/model:3", ""),
		image("images", "b", "/spec/containers/[name=app]", "registry.example/web:2", ""),
		image("images-too", "c", "/spec/containers/[name=app]", "registry.example/web:3", ""),
		image("images-too", "e", "/spec/containers/[name=app]", "registry.example/static:1", ""),
		image("images-too", "backup", "/spec/jobTemplate/spec/template/spec/containers/[name=app]", "registry.example/backup:1", ""),
	}
	want[len(want)-1].Object = kspec.ObjectID{Group: "batch", Version: "v1", Kind: "CronJob", Namespace: "images-too", Name: "backup"}
	got, err := c.RunningImages(t.Context(), "images-too", "images")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if all, err := c.RunningImages(t.Context()); err != nil || len(all) < len(want) {
		t.Errorf("everywhere there are %d images, error %v", len(all), err)
	}
	down := clusterOf(t, func(next http.RoundTripper) http.RoundTripper {
		return faulty{next, func(r *http.Request) (*http.Response, error) { return answer(r, 500, "InternalError"), nil }}
	})
	if _, err := down.RunningImages(t.Context()); err == nil || !strings.Contains(err.Error(), "list pods of cluster test") {
		t.Errorf("error is %v", err)
	}
	if c.Name() != "test" {
		t.Errorf("name is %q", c.Name())
	}
}
