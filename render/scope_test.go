package render_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/test/kube"
)

func TestScopeOfEveryKindIsWhatTheAPIServerSays(t *testing.T) {
	dc, err := discovery.NewDiscoveryClientForConfig(kube.Shared(t).Config)
	if err != nil {
		t.Fatal(err)
	}
	_, lists, err := dc.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list.APIResources {
			gvk := gv.WithKind(r.Kind)
			if strings.Contains(r.Name, "/") {
				continue // a subresource
			}
			u := &unstructured.Unstructured{}
			u.SetGroupVersionKind(gvk)
			u.SetName("some")
			data, err := yaml.Marshal(u.Object)
			if err != nil {
				t.Fatal(err)
			}
			want := mustRender(t, kspec.Target{Overlays: []kspec.Overlay{{Path: "all", Namespace: "team"}}},
				fstest.MapFS{"all/object.yaml": &fstest.MapFile{Data: data}})
			if got := want.Objects[0].GetNamespace() == "team"; got != r.Namespaced {
				t.Errorf("%s: namespaced %v, the API server says %v", gvk, got, r.Namespaced)
			}
			checked++
		}
	}
	if checked < 50 {
		t.Errorf("only %d kinds were checked", checked)
	}
}
