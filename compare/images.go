package compare

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
)

// RunningImages returns the images of the Pods that have not ended: of
// containers, init and ephemeral containers and image volumes, with the digest
// where the kubelet reports one. Without namespaces it looks at all of them.
// Images are said to be of the workload that made the Pod, at their place in
// its template, so that its replicas are one. The result is sorted by object
// and then in the order of the Pod.
func (c *Cluster) RunningImages(ctx context.Context, namespaces ...string) ([]kspec.Image, error) {
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	var images []kspec.Image
	for _, ns := range namespaces {
		found, err := c.imagesIn(ctx, endpoint{corev1.SchemeGroupVersion.WithResource("pods"), ns})
		if err != nil {
			return nil, fmt.Errorf("list pods of cluster %s: %w", c.name, err)
		}
		images = append(images, found...)
	}
	c.nameCronJobs(ctx, images)
	slices.SortStableFunc(images, func(a, b kspec.Image) int { return a.Object.Compare(b.Object) })
	return images, nil
}

// nameCronJobs says of images of Jobs that a CronJob makes that they are its.
func (c *Cluster) nameCronJobs(ctx context.Context, images []kspec.Image) {
	makers := makers{walk: c.Walk()}
	for i := range images {
		o := &images[i]
		if maker := makers.of(ctx, o.Object); maker != o.Object {
			o.Object, o.Container = maker, "/spec/jobTemplate"+o.Container
		}
	}
}

func (c *Cluster) imagesIn(ctx context.Context, at endpoint) ([]kspec.Image, error) {
	const limit, restarts = 500, 3
	var images []kspec.Image
	for token, tries := "", 0; ; {
		page, err := c.page(ctx, at, limit, token)
		if apierrors.IsResourceExpired(err) && tries < restarts {
			images, token, tries = nil, "", tries+1
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, item := range page.Items {
			var pod corev1.Pod
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &pod); err != nil {
				return nil, fmt.Errorf("read pod %s/%s: %w", item.GetNamespace(), item.GetName(), err)
			}
			images = append(images, imagesOf(&pod)...)
		}
		if token = page.GetContinue(); token == "" {
			return images, nil
		}
	}
}

// imagesOf returns the images of a Pod that has not ended.
func imagesOf(pod *corev1.Pod) []kspec.Image {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return nil
	}
	id, spec := workloadOf(pod)
	var images []kspec.Image
	add := func(field, name, ref, imageID string) {
		if ref != "" {
			images = append(images, kspec.Image{
				Ref: ref, Digest: digestOf(imageID), Object: id, Running: true,
				Container: spec + "/" + field + "/[name=" + name + "]",
			})
		}
	}
	running, volumes := digests(pod)
	for _, c := range pod.Spec.InitContainers {
		add("initContainers", c.Name, c.Image, running[c.Name])
	}
	for _, c := range pod.Spec.Containers {
		add("containers", c.Name, c.Image, running[c.Name])
	}
	for _, c := range pod.Spec.EphemeralContainers {
		add("ephemeralContainers", c.Name, c.Image, running[c.Name])
	}
	for _, v := range pod.Spec.Volumes {
		if v.Image != nil {
			add("volumes", v.Name, v.Image.Reference, volumes[v.Name])
		}
	}
	return images
}

// workloadOf returns the object that made a Pod, and where that holds the Pod's
// spec. A Deployment is found behind its ReplicaSet, which is called after it
// and a hash that the Pod tells.
func workloadOf(pod *corev1.Pod) (id kspec.ObjectID, spec string) {
	owner := metav1.GetControllerOf(pod)
	if owner == nil || owner.Kind == "Node" { // which mirrors a file of its own
		return kspec.ObjectID{Version: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name}, "/spec"
	}
	gvk := schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind)
	id = kspec.ObjectID{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: pod.Namespace, Name: owner.Name}
	hash := pod.Labels["pod-template-hash"]
	if name, ok := strings.CutSuffix(owner.Name, "-"+hash); ok && hash != "" && owner.Kind == "ReplicaSet" {
		id.Kind, id.Name = "Deployment", name
	}
	return id, "/spec/template/spec"
}

// digests returns what the kubelet reports to run, by container and by volume.
func digests(pod *corev1.Pod) (containers, volumes map[string]string) {
	containers, volumes = map[string]string{}, map[string]string{}
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses) {
		containers[s.Name] = s.ImageID
		for _, m := range s.VolumeMounts {
			if m.VolumeStatus != nil && m.VolumeStatus.Image != nil {
				volumes[m.Name] = m.VolumeStatus.Image.ImageRef
			}
		}
	}
	return containers, volumes
}

// digestOf returns the manifest digest in an image ID of the kubelet. An ID
// without a repository is of something local that no registry knows.
func digestOf(imageID string) string {
	_, digest, ok := strings.Cut(imageID, "@")
	if !ok || !strings.HasPrefix(digest, "sha256:") {
		return ""
	}
	return digest
}
