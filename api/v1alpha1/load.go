package v1alpha1

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

// maxFile bounds the files that are read. A larger one that holds documents of
// ours is an error, any other is passed over.
const maxFile = 1 << 20

// Sourced is a document and the place in Git that it was read from.
//
// +kubebuilder:object:generate=false
type Sourced[T Object] struct {
	Doc    T
	Source kspec.Source

	document Document
}

// At returns err as a *[FieldError] of a field of the document, written as
// "spec.policyTemplates[0]".
func (s Sourced[T]) At(path string, err error) error { return s.document.fieldError(path, err) }

// Set holds the documents of a config repo, each list sorted by name. No two
// documents of one kind have the same name.
//
// +kubebuilder:object:generate=false
type Set struct {
	Specs     []Sourced[*ClusterSpec]
	Targets   []Sourced[*ClusterTarget]
	Alerts    []Sourced[*AlertConfig]
	Templates []Sourced[*PolicyTemplate]
}

// Load reads every document of group kspec.io in a tree, wherever it lies. Only
// regular files named *.yaml, *.yml and *.json are read, symbolic links are not
// followed, and .git is left out.
//
// Each mistake is a *[FieldError]; it keeps its own document out of the Set and
// no other. Two documents of one kind and name keep each other out. The Set is
// never nil, and equal trees give equal results in the same order.
func Load(fsys fs.FS) (*Set, []error) {
	docs, errs := read(fsys)
	docs, twice := unique(docs)
	set := sorted(docs)
	return set, slices.Concat(errs, twice, set.bind())
}

func read(fsys fs.FS) (docs []Document, errs []error) {
	_ = fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			errs = append(errs, unreadable(name, err))
			return nil // the error is told, and the others are read
		case entry.IsDir() && entry.Name() == ".git":
			return fs.SkipDir
		case !entry.Type().IsRegular() || !slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(name)):
			return nil
		}
		d, e := readFile(fsys, name)
		docs, errs = append(docs, d...), append(errs, e...)
		return nil
	})
	return docs, errs
}

func readFile(fsys fs.FS, name string) ([]Document, []error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, []error{unreadable(name, err)}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, []error{unreadable(name, err)}
	case len(data) <= maxFile:
		return Decode(name, data)
	case claims(data):
		return nil, []error{&FieldError{File: name, Msg: fmt.Sprintf("larger than %d bytes, and not read", maxFile)}}
	default:
		return nil, nil
	}
}

// unreadable says that a file cannot be read; its name is told by the place.
func unreadable(name string, err error) *FieldError {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return &FieldError{File: name, Msg: "cannot be read: " + err.Error()}
}

func (d Document) kind() string { return d.Object.GetObjectKind().GroupVersionKind().Kind }

func (d Document) place() string { return fmt.Sprintf("%s:%d", d.Source.File, d.Source.Line) }

// unique drops the documents that share kind and name with another.
func unique(docs []Document) (kept []Document, errs []error) {
	type key struct{ kind, name string }
	byName := map[key][]Document{}
	for _, d := range docs {
		k := key{d.kind(), d.Object.GetName()}
		byName[k] = append(byName[k], d)
	}
	for _, d := range docs {
		same := byName[key{d.kind(), d.Object.GetName()}]
		if len(same) == 1 {
			kept = append(kept, d)
			continue
		}
		var others []string
		for _, o := range same {
			if o.Source != d.Source {
				others = append(others, o.place())
			}
		}
		errs = append(errs, d.fieldError("metadata.name",
			fmt.Errorf("%s %q stands also in %s; neither is used", d.kind(), d.Object.GetName(), strings.Join(others, ", "))))
	}
	return kept, errs
}

func sorted(docs []Document) *Set {
	slices.SortFunc(docs, func(a, b Document) int {
		return cmp.Or(strings.Compare(a.kind(), b.kind()), strings.Compare(a.Object.GetName(), b.Object.GetName()))
	})
	set := new(Set)
	for _, d := range docs {
		switch o := d.Object.(type) {
		case *ClusterSpec:
			set.Specs = append(set.Specs, Sourced[*ClusterSpec]{o, d.Source, d})
		case *ClusterTarget:
			set.Targets = append(set.Targets, Sourced[*ClusterTarget]{o, d.Source, d})
		case *AlertConfig:
			set.Alerts = append(set.Alerts, Sourced[*AlertConfig]{o, d.Source, d})
		case *PolicyTemplate:
			set.Templates = append(set.Templates, Sourced[*PolicyTemplate]{o, d.Source, d})
		}
	}
	return set
}

// bind checks what documents say of each other and drops the specs that name
// what is not there.
func (s *Set) bind() (errs []error) {
	var targets []string
	for _, t := range s.Targets {
		targets = append(targets, t.Doc.Name)
	}
	all := slices.Clone(s.Specs)
	s.Specs = slices.DeleteFunc(s.Specs, func(spec Sourced[*ClusterSpec]) bool {
		err := spec.clusterError(targets)
		if err == nil {
			err = spec.deliveryError(all)
		}
		if err != nil {
			errs = append(errs, err)
		}
		return err != nil
	})
	return append(errs, s.bases()...)
}

// clusterError tells of a cluster that no ClusterTarget describes. A repo
// without any leaves the clusters to the command line.
func (s Sourced[T]) clusterError(targets []string) error {
	spec, _ := any(s.Doc).(*ClusterSpec)
	if spec.Spec.ClusterRef == nil || len(targets) == 0 || slices.Contains(targets, spec.Spec.ClusterRef.Name) {
		return nil
	}
	return s.document.fieldError("spec.clusterRef.name", fmt.Errorf("no ClusterTarget is named %q, there are: %s%s",
		spec.Spec.ClusterRef.Name, strings.Join(targets, ", "), didYouMean(spec.Spec.ClusterRef.Name, targets)))
}

// deliveryError tells of another spec that writes to the same folder, where
// each would remove what the other rendered.
func (s Sourced[T]) deliveryError(all []Sourced[*ClusterSpec]) error {
	spec, _ := any(s.Doc).(*ClusterSpec)
	dir := spec.Spec.Delivery.Path
	for _, other := range all {
		theirs := other.Doc.Spec.Delivery.Path
		if other.Doc == spec || dir == "" || theirs == "" || !within(dir, theirs) && !within(theirs, dir) {
			continue
		}
		return s.document.fieldError("spec.delivery.path", fmt.Errorf(
			"%s is shared with %s of ClusterSpec %q in %s; neither is used", dir, theirs, other.Doc.Name, other.document.place()))
	}
	return nil
}
