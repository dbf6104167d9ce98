package verify_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/verify"
)

func TestImagesFindsPodTemplatesByTheirShape(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"every kind of container": {`
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  initContainers: [{name: migrate, image: a/init}]
  containers: [{name: app, image: a/app}, {name: side, image: a/side}]
  ephemeralContainers: [{name: debug, image: a/debug}]
  volumes: [{name: model, image: {reference: a/model}}, {name: tmp, emptyDir: {}}]
status:
  containers: [{name: x, image: not/desired}]`,
			[]string{
				"/spec/containers/[name=app] a/app", "/spec/containers/[name=side] a/side",
				"/spec/ephemeralContainers/[name=debug] a/debug", "/spec/initContainers/[name=migrate] a/init",
				"/spec/volumes/[name=model] a/model",
			}},
		"CronJob": {`
apiVersion: batch/v1
kind: CronJob
metadata: {name: c}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: app, image: a/app}]}}}}}`,
			[]string{"/spec/jobTemplate/spec/template/spec/containers/[name=app] a/app"}},
		"custom resource": {`
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: r}
spec:
  workers:
  - name: big
    template: {spec: {initContainers: [{image: a/nameless}], containers: [{name: app, image: a/app}]}}`,
			[]string{
				"/spec/workers/[name=big]/template/spec/containers/[name=app] a/app",
				"/spec/workers/[name=big]/template/spec/initContainers/0 a/nameless",
			}},
		"PodTemplate": {`
apiVersion: v1
kind: PodTemplate
metadata: {name: t}
template: {spec: {containers: [{name: app, image: a/app}]}}`,
			[]string{"/template/spec/containers/[name=app] a/app"}},
		"nothing that runs": {`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: x, annotations: {containers: "image"}}
spec: {containers: {properties: {image: {type: string}}}, image: a/app, volumes: ["x", {image: "x"}], initContainers: [1, [2]]}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := object(t, c.text)
			var got []string
			for _, i := range verify.Images(o) {
				got = append(got, i.Container+" "+i.Ref)
				if i.Object != o.ID() || i.Source != o.Source || i.Running {
					t.Errorf("image %+v is not of its object", i)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
		})
	}
}

func TestImagesEndsInDeepAndEmptyObjects(t *testing.T) {
	deep := map[string]any{"containers": []any{map[string]any{"image": "a/app"}}}
	for range 10_000 {
		deep = map[string]any{"x": deep}
	}
	if got := verify.Images(kspec.Object{Unstructured: &unstructured.Unstructured{Object: deep}}); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	if got := verify.Images(kspec.Object{}); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestPodImagesNameTheWorkloadAndWhatRuns(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	pod := object(t, `
apiVersion: v1
kind: Pod
metadata:
  name: web-5d9f8-abcde
  namespace: shop
  labels: {pod-template-hash: 5d9f8}
  ownerReferences: [{apiVersion: v1, kind: Other, name: x}, {apiVersion: apps/v1, kind: ReplicaSet, name: web-5d9f8, controller: true}]
spec:
  initContainers: [{name: migrate, image: a/init:1}]
  containers: [{name: app, image: a/app:1}, {name: side, image: a/side}, {name: kind, image: a/kind}]
status:
  initContainerStatuses: [{name: migrate, imageID: "docker-pullable://a/init@`+digest+`"}]
  containerStatuses:
  - {name: app, imageID: "docker.io/a/app@`+digest+`"}
  - {name: side, imageID: ""}
  - {name: kind, imageID: "`+digest+`"}
`)
	got := verify.PodImages(pod.Unstructured)
	owner := kspec.ObjectID{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "shop", Name: "web"}
	at := func(list, name string) string { return "/spec/template/spec/" + list + "/[name=" + name + "]" }
	want := []kspec.Image{
		{Ref: "a/app:1", Digest: digest, Container: at("containers", "app"), Object: owner, Running: true},
		{Ref: "a/kind", Container: at("containers", "kind"), Object: owner, Running: true},
		{Ref: "a/side", Container: at("containers", "side"), Object: owner, Running: true},
		{Ref: "a/init:1", Digest: digest, Container: at("initContainers", "migrate"), Object: owner, Running: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

func TestPodImagesOfOtherOwners(t *testing.T) {
	for name, c := range map[string]struct {
		meta      string
		want      kspec.ObjectID
		container string
	}{
		"none": {
			`{name: p, namespace: ns}`,
			kspec.ObjectID{Version: "v1", Kind: "Pod", Namespace: "ns", Name: "p"}, "/spec/containers/[name=app]",
		},
		"StatefulSet": {
			`{name: p, namespace: ns, ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: db, controller: true}]}`,
			kspec.ObjectID{Group: "apps", Version: "v1", Kind: "StatefulSet", Namespace: "ns", Name: "db"}, "/spec/template/spec/containers/[name=app]",
		},
		"a ReplicaSet of its own": {
			`{name: p, namespace: ns, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: rs, controller: true}]}`,
			kspec.ObjectID{Group: "apps", Version: "v1", Kind: "ReplicaSet", Namespace: "ns", Name: "rs"}, "/spec/template/spec/containers/[name=app]",
		},
		"ReplicationController": {
			`{name: p, namespace: ns, ownerReferences: [{apiVersion: v1, kind: ReplicationController, name: rc, controller: true}]}`,
			kspec.ObjectID{Version: "v1", Kind: "ReplicationController", Namespace: "ns", Name: "rc"}, "/spec/template/spec/containers/[name=app]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			pod := object(t, "apiVersion: v1\nkind: Pod\nmetadata: "+c.meta+"\nspec: {containers: [{name: app, image: a}]}")
			got := verify.PodImages(pod.Unstructured)
			if len(got) != 1 || got[0].Object != c.want || got[0].Container != c.container {
				t.Errorf("got %+v, want %v at %s", got, c.want, c.container)
			}
		})
	}
}
