package remediate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cloudcwfranck/kspec"
)

// survey knows who uses what in the repository: a folder that another overlay
// or another ClusterSpec builds on must not be changed for this target's sake.
type survey struct {
	tree   fs.FS
	target kspec.Target
	// kustomizations are the kustomization files by their folder.
	kustomizations map[string]string
	// users are, for a file or folder, the folders of the kustomizations that
	// name it.
	users map[string][]string
	// specs are, for a folder, the other ClusterSpecs that deploy it, and
	// engines the documents by which Flux or Argo CD do.
	specs, engines map[string][]string
}

// maxSurveyed bounds the files that a survey reads.
const maxSurveyed = 1 << 20

func takeSurvey(tree fs.FS, t kspec.Target) (*survey, error) {
	s := &survey{tree: tree, target: t, kustomizations: map[string]string{}, users: map[string][]string{}, specs: map[string][]string{}, engines: map[string][]string{}}
	err := fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		base := path.Base(name)
		isKustomization := slices.Contains([]string{"kustomization.yaml", "kustomization.yml", "Kustomization"}, base)
		if !isKustomization && !isYAML(name) {
			return nil
		}
		info, err := e.Info()
		if err != nil || info.Size() > maxSurveyed {
			return err
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		if isKustomization {
			s.kustomization(name, text)
		} else if deploys.Match(text) {
			s.deployers(name, text)
		}
		return nil
	})
	return s, err
}

// kustomization notes what a kustomization builds on. What cannot be read
// names nothing; rendering tells what is wrong with it.
func (s *survey) kustomization(name string, text []byte) {
	dir := path.Dir(name)
	s.kustomizations[dir] = name
	var k struct{ Resources, Bases, Components []string }
	if yaml.Unmarshal(text, &k) != nil {
		return
	}
	for _, r := range slices.Concat(k.Resources, k.Bases, k.Components) {
		at := path.Join(dir, r)
		s.users[at] = append(s.users[at], dir)
	}
}

// deploys finds the files that may say what is deployed to a cluster.
var deploys = regexp.MustCompile(`kspec\.io|kustomize\.toolkit\.fluxcd\.io|argoproj\.io`)

// deployers notes the folders that another ClusterSpec, Flux or Argo CD
// deploys.
func (s *survey) deployers(name string, text []byte) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var doc struct {
			APIVersion string `yaml:"apiVersion"`
			Kind       string
			Metadata   struct{ Name string }
			Spec       struct {
				Manifests []folder
				folder    `yaml:",inline"` // of Flux
				Source    folder           // of Argo CD
				Sources   []folder
			}
		}
		var odd *yaml.TypeError // it is of some other kind
		if err := dec.Decode(&doc); err != nil && !errors.As(err, &odd) {
			return
		}
		group, _, _ := strings.Cut(doc.APIVersion, "/")
		switch {
		case group == "kspec.io" && strings.HasPrefix(doc.Kind, "ClusterSpec") && doc.Metadata.Name != s.target.Name:
			note(s.specs, doc.Metadata.Name, doc.Spec.Manifests...)
		case group == "kustomize.toolkit.fluxcd.io" && doc.Kind == "Kustomization":
			note(s.engines, name, doc.Spec.folder)
		case group == "argoproj.io" && doc.Kind == "Application":
			note(s.engines, name, append(doc.Spec.Sources, doc.Spec.Source)...)
		}
	}
}

// folder is a place in the repository that a document names.
type folder struct{ Path string }

func note(deployers map[string][]string, who string, folders ...folder) {
	for _, f := range folders {
		if f.Path != "" {
			at := path.Clean(f.Path)
			deployers[at] = append(deployers[at], who)
		}
	}
}

// owner returns the folder of the kustomization that builds the object last,
// or "" when its file is deployed as it is.
func (s *survey) owner(src kspec.Source) string {
	overlay := path.Clean(src.Overlay)
	if s.kustomizations[overlay] != "" {
		return overlay
	}
	owner := ""
	for dir := path.Dir(src.File); dir != overlay && strings.HasPrefix(dir+"/", overlay+"/"); dir = path.Dir(dir) {
		if s.kustomizations[dir] != "" {
			owner = dir
		}
	}
	return owner
}

// mayWrite says why nothing may be written for the object, or "".
func (s *survey) mayWrite(o kspec.Object) string {
	overlay := path.Clean(o.Source.Overlay)
	if by := s.engines[overlay]; len(by) > 1 {
		return fmt.Sprintf("%s is deployed more than once, which the change would reach: by %s", overlay, strings.Join(by, ", "))
	}
	for dir := overlay; ; dir = path.Dir(dir) {
		if names := s.specs[dir]; len(names) > 0 && (dir == overlay || s.kustomizations[dir] == "") {
			return fmt.Sprintf("%s is deployed by ClusterSpec %s too, which the change would reach", dir, strings.Join(slices.Sorted(slices.Values(names)), ", "))
		}
		if dir == "." || dir == "/" {
			break
		}
	}
	if owner := s.owner(o.Source); owner != "" && len(s.users[owner]) > 0 {
		return fmt.Sprintf("%s is built on by %s too, which the change would reach", owner, s.users[owner][0])
	}
	return ""
}

// alone reports whether the file that declares the object serves this target
// only: it is deployed as it is, or named by its owner alone and lies in the
// owner's folder.
func (s *survey) alone(o kspec.Object) bool {
	src := o.Source
	owner := s.owner(src)
	users := s.users[path.Clean(src.File)]
	if owner == "" {
		return len(users) == 0
	}
	return strings.HasPrefix(src.File, owner+"/") && len(users) == 1 && users[0] == owner || owner == "." && len(users) == 1 && users[0] == owner
}

// ways lists how a field of the adoption may be written, the smallest change first.
func (s *survey) ways(a *adoption) []way {
	owner := s.owner(a.object.Source)
	var ways []way
	k := s.kustomizations[owner]
	if owner != "" {
		ways = append(ways, way{"replicas", replicasWay(k)}, way{"images", imagesWay(k)})
	}
	if s.alone(a.object) {
		ways = append(ways, way{"file", fileWay})
	}
	if owner != "" {
		ways = append(ways, way{"merge patch", mergeWay(k)}, way{"JSON patch", jsonWay(k)})
	}
	return ways
}

// workspace is the repository with the edits made so far.
type workspace struct {
	tree  fs.FS
	files map[string]*draft
	// undo holds what atomically must put back.
	undo map[string]*draft
	// patches are the entries to add to kustomization files, in order.
	patches map[string][]map[string]any
}

// draft is one file of a workspace.
type draft struct {
	before []byte // nil: a new file
	after  []byte
}

func newWorkspace(tree fs.FS) *workspace {
	return &workspace{tree: tree, files: map[string]*draft{}, patches: map[string][]map[string]any{}}
}

// read returns a file as it is now; fs.ErrNotExist says that there is none.
func (w *workspace) read(name string) ([]byte, error) {
	if d, ok := w.files[name]; ok {
		return d.after, nil
	}
	return fs.ReadFile(w.tree, name)
}

func (w *workspace) write(name string, text []byte) error {
	old := w.files[name]
	d := &draft{after: text}
	if old != nil {
		d.before = old.before
	} else if before, err := fs.ReadFile(w.tree, name); err == nil {
		d.before = before
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, ok := w.undo[name]; !ok && w.undo != nil {
		w.undo[name] = old
	}
	w.files[name] = d
	return nil
}

// atomically calls f and, when it fails, undoes what it wrote and returns the
// reason as text.
func (w *workspace) atomically(f func() error) string {
	w.undo = map[string]*draft{}
	patches := maps.Clone(w.patches)
	defer func() { w.undo = nil }()
	err := f()
	if err == nil {
		return ""
	}
	for name, d := range w.undo {
		if d == nil {
			delete(w.files, name)
		} else {
			w.files[name] = d
		}
	}
	w.patches = patches
	return err.Error()
}

// contents returns the files that were written.
func (w *workspace) contents() map[string][]byte {
	m := map[string][]byte{}
	for name, d := range w.files {
		m[name] = d.after
	}
	return m
}

// edits returns what was changed, by path.
func (w *workspace) edits() []kspec.Edit {
	var edits []kspec.Edit
	for _, name := range slices.Sorted(maps.Keys(w.files)) {
		if d := w.files[name]; d.before == nil || !bytes.Equal(d.before, d.after) {
			edits = append(edits, newEdit(name, d.before, d.after))
		}
	}
	return edits
}
