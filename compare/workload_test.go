package compare

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cloudcwfranck/kspec"
)

func TestImagesAreOfTheWorkloadThatMadeThePod(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	owned := func(apiVersion, kind, name string) []metav1.OwnerReference {
		yes := true
		return []metav1.OwnerReference{{APIVersion: "v1", Kind: "Other", Name: "x"}, {APIVersion: apiVersion, Kind: kind, Name: name, Controller: &yes}}
	}
	for name, c := range map[string]struct {
		owners []metav1.OwnerReference
		want   kspec.ObjectID
		at     string
	}{
		"a Pod alone":             {nil, kspec.ObjectID{Version: "v1", Kind: "Pod", Namespace: "ns", Name: "p"}, "/spec"},
		"a Deployment":            {owned("apps/v1", "ReplicaSet", "web-5d9f8"), kspec.ObjectID{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "ns", Name: "web"}, "/spec/template/spec"},
		"a ReplicaSet of its own": {owned("apps/v1", "ReplicaSet", "web"), kspec.ObjectID{Group: "apps", Version: "v1", Kind: "ReplicaSet", Namespace: "ns", Name: "web"}, "/spec/template/spec"},
		"a StatefulSet":           {owned("apps/v1", "StatefulSet", "db-5d9f8"), kspec.ObjectID{Group: "apps", Version: "v1", Kind: "StatefulSet", Namespace: "ns", Name: "db-5d9f8"}, "/spec/template/spec"},
		"of the core group":       {owned("v1", "ReplicationController", "rc"), kspec.ObjectID{Version: "v1", Kind: "ReplicationController", Namespace: "ns", Name: "rc"}, "/spec/template/spec"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", OwnerReferences: c.owners, Labels: map[string]string{"pod-template-hash": "5d9f8"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "a/app:1"}, {Name: "local", Image: "a/local"}}},
				Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{
					{Name: "app", ImageID: "docker-pullable://a/app@" + digest}, {Name: "local", ImageID: digest},
				}},
			}
			want := []kspec.Image{
				{Ref: "a/app:1", Digest: digest, Container: c.at + "/containers/[name=app]", Object: c.want, Running: true},
				{Ref: "a/local", Container: c.at + "/containers/[name=local]", Object: c.want, Running: true},
			}
			if diff := cmp.Diff(want, imagesOf(pod)); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
		})
	}
}
