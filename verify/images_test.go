package verify_test

import (
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
		"every kind of container": {
			`
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
			},
		},
		"CronJob": {
			`
apiVersion: batch/v1
kind: CronJob
metadata: {name: c}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: app, image: a/app}]}}}}}`,
			[]string{"/spec/jobTemplate/spec/template/spec/containers/[name=app] a/app"},
		},
		"custom resource": {
			`
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
			},
		},
		"PodTemplate": {
			`
apiVersion: v1
kind: PodTemplate
metadata: {name: t}
template: {spec: {containers: [{name: app, image: a/app}]}}`,
			[]string{"/template/spec/containers/[name=app] a/app"},
		},
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
