package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"

	"sigs.k8s.io/kustomize/api/types"
)

// prepare returns the kustomizations in the form that Kustomize may see. With
// origins, the one of the overlay asks for origin annotations.
func (s *scanner) prepare(dir string, origins bool) (map[string][]byte, error) {
	prepared := map[string][]byte{}
	exact := false // which transformers ran, and on what, can be seen
	for _, k := range s.found {
		exact = exact || len(k.Configurations) > 0 || slices.Contains(k.BuildMetadata, types.TransformerAnnotations)
	}
	for file, k := range s.found {
		served := k.Kustomization
		if !exact {
			served = quiet(served)
		}
		data, err := marshal(served, origins && path.Dir(file) == dir)
		if err != nil {
			return nil, at(file, 1, err)
		}
		prepared[file] = data
	}
	return prepared, nil
}

// marshal prints a kustomization, with origin annotations asked for if wanted.
func marshal(k types.Kustomization, origins bool) ([]byte, error) {
	if origins && !slices.Contains(k.BuildMetadata, types.OriginAnnotations) {
		k.BuildMetadata = append(slices.Clone(k.BuildMetadata), types.OriginAnnotations)
	}
	return json.Marshal(k)
}

// quiet says the same as k by the field of which Kustomize does not warn on
// standard error.
//
//nolint:staticcheck // The deprecated field is the point.
func quiet(k types.Kustomization) types.Kustomization {
	if len(k.CommonLabels) > 0 {
		k.Labels = append(slices.Clone(k.Labels), types.Label{Pairs: k.CommonLabels, IncludeSelectors: true})
		k.CommonLabels = nil
	}
	return k
}

// deprecated tells of the fields that Kustomize is going to drop.
//
//nolint:staticcheck // The deprecated fields are the point.
func (s *scanner) deprecated() (notes []string) {
	for _, file := range slices.Sorted(maps.Keys(s.found)) {
		k := s.found[file]
		for _, old := range []struct {
			name, instead string
			there         bool
		}{
			{"bases", "resources", field(k.node, "bases") != nil},
			{"commonLabels", "labels", len(k.CommonLabels) > 0},
			{"imageTags", "images", field(k.node, "imageTags") != nil},
			{"patchesJson6902", "patches", len(k.PatchesJson6902) > 0},
			{"patchesStrategicMerge", "patches", len(k.PatchesStrategicMerge) > 0},
			{"vars", "replacements", len(k.Vars) > 0},
		} {
			if old.there {
				notes = append(notes, fmt.Sprintf("%s:%d: Kustomize is going to drop %s: use %s", file, k.line(old.name, ""), old.name, old.instead))
			}
		}
	}
	return notes
}

// touchesAnnotations reports whether the origin annotations could change what
// is built: something reads or patches annotations by path.
func (s *scanner) touchesAnnotations() bool {
	if s.annotated == nil {
		found := false
		for _, data := range s.v.files {
			for _, mark := range []string{"metadata/annotations", "metadata.annotations"} {
				found = found || bytes.Contains(data, []byte(mark))
			}
		}
		s.annotated = &found
	}
	return *s.annotated
}
