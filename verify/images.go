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
