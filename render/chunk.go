package render

import (
	"hash/fnv"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/api/types"

	"github.com/cloudcwfranck/kspec"
)

// A run of Kustomize takes time that grows with the square of its objects:
// each one that is added is compared with all before it, and each may refer to
// any other. divide.go finds out when an overlay can be built in chunks, each
// by a run of its own over a part of the objects, with the same result. Why
// that is so:
//
//   - Only fields that change objects one by one are allowed. None of them
//     changes a name, so that a reference by name has nothing to follow.
//   - A reference that also holds a namespace can change with the object it
//     refers to; and a patch without target, and an entry of replicas, want
//     their object to be there. Objects that depend on each other so are tied:
//     they go to the same chunk.
//   - Two objects of the same identity are found when the chunks are put
//     together. Objects vanish only by patches that find theirs by its name,
//     and all objects of that name are in the chunk.
//   - Whatever else goes wrong in a chunk, the overlay is built whole, and that
//     result counts.

// chunkObjects is about how many objects a chunk has. An overlay of twice as
// many is built whole, because there is nothing to win.
const chunkObjects = 64

// atom is what is in one chunk or in another: one document of a file, or a file
// that cannot be divided.
type atom struct {
	file string
	part int // of the file; -1 for the whole of it
	docs []document
	// places are the entries of kustomizations that name the file.
	places []entryOf
}

// entryOf is an entry of the resources of a kustomization.
type entryOf struct {
	file  string
	entry int
}

// plan says how an overlay is divided.
type plan struct {
	atoms  []atom
	chunks [][]int // of atoms
	// parents are the entries that name a base, by its file.
	parents map[string][]entryOf
	// anchors say for a patch or an entry of replicas to which atom it belongs.
	anchors map[anchored]int
	parts   map[string][]string // texts of files that are divided
}

// anchored is an entry of a list of a kustomization.
type anchored struct {
	file, list string
	entry      int
}

// cut makes the chunks. Where one ends depends on what is there and not on what
// comes before, so that a change of one object leaves most chunks as they are.
func (p *planner) cut() {
	groups := map[int][]int{}
	var order []int
	for i := range p.atoms {
		head := p.head(i)
		if groups[head] == nil {
			order = append(order, head)
		}
		groups[head] = append(groups[head], i)
	}
	var chunk []int
	objects := 0
	end := func() {
		if len(chunk) > 0 {
			slices.Sort(chunk)
			p.plan.chunks = append(p.plan.chunks, chunk)
		}
		chunk, objects = nil, 0
	}
	for _, head := range order {
		chunk = append(chunk, groups[head]...)
		for _, i := range groups[head] {
			objects += len(p.atoms[i].docs) * len(p.atoms[i].places)
		}
		if objects >= 2*p.chunk || objects >= p.chunk/2 && p.isBorder(p.atoms[head]) {
			end()
		}
	}
	end()
}

func (p *planner) isBorder(a atom) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(a.file)) // a hash: cannot fail
	for _, d := range a.docs {
		_, _ = h.Write([]byte("\x00" + nameOf(d.node)))
	}
	return h.Sum32()%uint32(max(p.chunk/2, 1)) == 0
}

// serve returns the kustomizations and files that one chunk consists of, as
// Kustomize may see them. All are in the map; those that read as they stand in
// the tree with nil.
func (p *plan) serve(found map[string]*kustomization, chunk []int) map[string]any {
	entries := map[string]map[int]bool{}
	parts := map[string][]string{}
	in := make(map[int]bool, len(chunk))
	served := map[string]any{}
	var include func(at entryOf)
	include = func(at entryOf) {
		seen := entries[at.file]
		if seen == nil {
			seen = map[int]bool{}
			entries[at.file] = seen
			for _, parent := range p.parents[at.file] {
				include(parent)
			}
		}
		seen[at.entry] = true
	}
	for _, i := range chunk {
		a := p.atoms[i]
		in[i] = true
		served[a.file] = nil
		if a.part >= 0 {
			parts[a.file] = append(parts[a.file], p.parts[a.file][a.part])
		}
		for _, at := range a.places {
			include(at)
		}
	}
	for file, texts := range parts {
		if len(texts) < len(p.parts[file]) {
			served[file] = []byte(strings.Join(texts, "---\n"))
		}
	}
	for file, used := range entries {
		k := p.reduce(found[file], used, in)
		for _, patch := range k.Patches {
			if patch.Path != "" {
				served[path.Join(path.Dir(file), patch.Path)] = nil
			}
		}
		served[file] = k
	}
	return served
}

// reduce returns a kustomization with what concerns the atoms of a chunk.
func (p *plan) reduce(k *kustomization, used map[int]bool, in map[int]bool) types.Kustomization {
	out := quiet(k.Kustomization)
	belongs := func(list string, entry int) bool {
		anchor, bound := p.anchors[anchored{k.file, list, entry}]
		return !bound || in[anchor]
	}
	resources, patches, replicas := out.Resources, out.Patches, out.Replicas
	out.Resources, out.Patches, out.Replicas = nil, nil, nil
	for _, i := range slices.Sorted(maps.Keys(used)) {
		out.Resources = append(out.Resources, resources[i])
	}
	for i, patch := range patches {
		if belongs("patches", i) {
			out.Patches = append(out.Patches, patch)
		}
	}
	for i, r := range replicas {
		if belongs("replicas", i) {
			out.Replicas = append(out.Replicas, r)
		}
	}
	return out
}

// declared returns where the objects of a chunk are declared, by their kind and
// name, which a chunk does not change; nil if another object of the chunk, or
// of one of its files, has the same.
func (s *scanner) declared(p *plan, chunk []int) map[[2]string]kspec.Source {
	places := map[[2]string]kspec.Source{}
	for _, i := range chunk {
		a := p.atoms[i]
		for _, d := range a.docs {
			key := [2]string{text(field(d.node, "kind")), nameOf(d.node)}
			if _, twice := places[key]; twice || len(s.namesakes(a.file, key[0], key[1])) > 1 {
				return nil
			}
			places[key] = kspec.Source{File: a.file, Line: d.line}
		}
	}
	return places
}

// prepareChunk returns what a chunk consists of where that is not as it stands
// in the tree, and a sum of all that the result depends on.
func (s *scanner) prepareChunk(p *plan, chunk []int, dir string, origins bool) (prepared map[string][]byte, sum string, err error) {
	prepared = map[string][]byte{}
	served := p.serve(s.found, chunk)
	values := []string{"chunk", dir, strconv.FormatBool(origins)}
	for _, name := range slices.Sorted(maps.Keys(served)) {
		var data []byte
		switch as := served[name].(type) {
		case []byte:
			data, prepared[name] = as, as
		case types.Kustomization:
			if data, err = marshal(as, origins && path.Dir(name) == dir); err != nil {
				return nil, "", at(name, 1, err)
			}
			prepared[name] = data
		default:
			if data, err = s.v.file(name); err != nil {
				return nil, "", err
			}
		}
		values = append(values, name, strconv.Itoa(len(data)), string(data))
	}
	for _, i := range chunk {
		if a := p.atoms[i]; a.part >= 0 {
			values = append(values, strconv.Itoa(a.docs[0].line))
		}
	}
	return prepared, sumOf(values...), nil
}
