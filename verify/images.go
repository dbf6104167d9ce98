package verify

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
)

// maxDepth bounds how deep an object is searched for pod templates.
const maxDepth = 64

// Images returns the images of every pod template in o, in a fixed order. A
// pod template is found by its shape, wherever it stands and whatever the
// kind: init, main and ephemeral containers, and volumes that mount an image.
func Images(o kspec.Object) []kspec.Image {
	if o.Unstructured == nil {
		return nil
	}
	var images []kspec.Image
	id := o.ID()
	walk(o.Object, nil, func(at kspec.Path, ref string) {
		images = append(images, kspec.Image{Ref: ref, Container: at.String(), Object: id, Source: o.Source})
	})
	slices.SortStableFunc(images, func(a, b kspec.Image) int {
		return cmp.Or(strings.Compare(a.Container, b.Container), strings.Compare(a.Ref, b.Ref))
	})
	return images
}

// walk calls found for each image below value. What the cluster reports about
// itself, the status, is not desired.
func walk(value any, at kspec.Path, found func(kspec.Path, string)) {
	if len(at) > maxDepth {
		return
	}
	switch value := value.(type) {
	case map[string]any:
		for name, child := range value {
			if len(at) == 0 && (name == "status" || name == "metadata") {
				continue
			}
			walk(child, step(at, kspec.Step{Field: name}), found)
		}
	case []any:
		for i, item := range value {
			walkItem(item, i, at, found)
		}
	}
}

func walkItem(item any, i int, at kspec.Path, found func(kspec.Path, string)) {
	here := kspec.Step{Field: strconv.Itoa(i)}
	if m, ok := item.(map[string]any); ok {
		if name, ok := m["name"].(string); ok {
			here = kspec.Step{Keys: []kspec.Key{{Name: "name", Value: name}}}
		}
		if ref := imageOf(m, at); ref != "" {
			found(step(at, here), ref)
		}
	}
	walk(item, step(at, here), found)
}

// imageOf returns the image of an item of the list at that path, if the list
// is one of a pod template.
func imageOf(item map[string]any, list kspec.Path) string {
	switch list[len(list)-1].Field {
	case "containers", "initContainers", "ephemeralContainers":
		ref, _ := item["image"].(string)
		return ref
	case "volumes":
		ref, _, _ := unstructured.NestedString(item, "image", "reference")
		return ref
	}
	return ""
}

// step returns at with s after it and shares no memory with it.
func step(at kspec.Path, s kspec.Step) kspec.Path {
	return append(slices.Clip(at), s)
}

// PodImages returns the images that a live Pod runs, with the digests that its
// kubelet reports. They are said to be of the workload that made the Pod, at
// the place of the container in its template, so that the replicas of one
// workload are one.
func PodImages(pod *unstructured.Unstructured) []kspec.Image {
	owner, prefix := ownerOf(pod)
	running := digests(pod)
	images := Images(kspec.Object{Unstructured: pod})
	for i := range images {
		image := &images[i]
		image.Running = true
		image.Object = owner
		image.Digest = running[image.Container]
		image.Container = prefix + image.Container
	}
	return images
}

// ownerOf returns the workload that made a Pod, and where it holds the pod
// template. The ReplicaSet of a Deployment carries a hash in its name that the
// Pod tells.
func ownerOf(pod *unstructured.Unstructured) (kspec.ObjectID, string) {
	for _, o := range pod.GetOwnerReferences() {
		if o.Controller == nil || !*o.Controller {
			continue
		}
		group, version, found := strings.Cut(o.APIVersion, "/")
		if !found {
			group, version = "", o.APIVersion
		}
		id := kspec.ObjectID{Group: group, Version: version, Kind: o.Kind, Namespace: pod.GetNamespace(), Name: o.Name}
		hash := pod.GetLabels()["pod-template-hash"]
		if name, ok := strings.CutSuffix(o.Name, "-"+hash); ok && hash != "" && o.Kind == "ReplicaSet" {
			id.Kind, id.Name = "Deployment", name
		}
		return id, "/spec/template"
	}
	return kspec.IDOf(pod), ""
}

// digests returns, by the place of the container in the Pod, the digest that
// the kubelet reports.
func digests(pod *unstructured.Unstructured) map[string]string {
	found := map[string]string{}
	for status, list := range map[string]string{
		"containerStatuses":          "containers",
		"initContainerStatuses":      "initContainers",
		"ephemeralContainerStatuses": "ephemeralContainers",
	} {
		items, _, _ := unstructured.NestedSlice(pod.Object, "status", status)
		for _, item := range items {
			m, _ := item.(map[string]any)
			name, _ := m["name"].(string)
			id, _ := m["imageID"].(string)
			at := kspec.Path{{Field: "spec"}, {Field: list}, {Keys: []kspec.Key{{Name: "name", Value: name}}}}
			found[at.String()] = digestOf(id)
		}
	}
	return found
}

// digestOf returns the digest of an imageID that names a repository too. A
// bare digest is that of a configuration, which nobody signs.
func digestOf(imageID string) string {
	_, id, found := strings.Cut(imageID, "://") // docker-pullable://…
	if !found {
		id = imageID
	}
	repository, digest, found := strings.Cut(id, "@")
	if !found || repository == "" {
		return ""
	}
	return digest
}
