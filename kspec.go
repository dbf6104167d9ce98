// Package kspec is the vocabulary of kspec: the nouns that its stages hand to
// each other, the one-method interface of each stage, the [Reconciler] that
// calls the stages in order, and the [Loop] that decides when.
//
// The way of the data is
//
//	Git → gitsource → render → verify → compare → remediate → notify
//
// and every arrow is a type of this package: [Tree], [Desired], [Finding],
// [Report], [Outcome], [Event]. Stages live in the folders of those names and
// never import each other.
//
// Two promises hold everywhere. A finding is data and an error is not: drift,
// a violation or a bad signature are entries of the Report, and an error means
// that kspec could not look. And every effect can be repeated: running a stage
// again, or after a crash, leads to the same branch, the same pull request and
// the same alert.
//
// The architecture is described in docs/architecture.md.
package kspec

import (
	"cmp"
	"io/fs"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Revision names one commit of the config repo.
type Revision struct {
	// Branch is the branch that was asked for; empty for a detached commit.
	Branch string
	// Commit is the full hex object name, or empty for an uncommitted worktree.
	Commit string
	// Time is the committer time, in UTC.
	Time time.Time
}

// String returns the revision the way Flux writes it: "main@sha1:4f0c…".
func (r Revision) String() string {
	switch {
	case r.Commit == "":
		return "worktree"
	case r.Branch == "":
		return "sha1:" + r.Commit
	default:
		return r.Branch + "@sha1:" + r.Commit
	}
}

// Tree is the content of the config repo at one revision, read-only. Its file
// system never follows a symbolic link and never leaves the commit.
type Tree struct {
	Revision Revision
	FS       fs.FS
}

// Source is the place in Git that something was read from.
type Source struct {
	// File is slash-separated and relative to the root of the config repo.
	File string `json:"file,omitempty"`
	// Line counts from 1; 0 means unknown.
	Line int `json:"line,omitempty"`
	// Overlay is the folder of the overlay or plain folder that was rendered.
	Overlay string `json:"overlay,omitempty"`
	// Template is the policy template that made the object, if one did.
	Template string `json:"template,omitempty"`
}

// ObjectID names one Kubernetes object.
type ObjectID struct {
	Group     string `json:"group"`
	Version   string `json:"version"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// IDOf returns the identity of u.
func IDOf(u *unstructured.Unstructured) ObjectID {
	text := func(m map[string]any, key string) string {
		s, _ := m[key].(string)
		return s
	}
	group, version, ok := strings.Cut(text(u.Object, "apiVersion"), "/")
	if !ok {
		group, version = "", group
	}
	metadata, _ := u.Object["metadata"].(map[string]any)
	return ObjectID{group, version, text(u.Object, "kind"), text(metadata, "namespace"), text(metadata, "name")}
}

// GVK returns group, version and kind of the object.
func (id ObjectID) GVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: id.Group, Version: id.Version, Kind: id.Kind}
}

// String returns "Deployment.apps web/frontend", or "Namespace web" for an
// object of the core group without a namespace.
func (id ObjectID) String() string {
	s := id.Kind
	if id.Group != "" {
		s += "." + id.Group
	}
	if id.Namespace != "" {
		return s + " " + id.Namespace + "/" + id.Name
	}
	return s + " " + id.Name
}

// Compare orders by namespace, group, kind, name, then version, so that what
// belongs together stands together.
func (id ObjectID) Compare(o ObjectID) int {
	return cmp.Or(
		strings.Compare(id.Namespace, o.Namespace),
		strings.Compare(id.Group, o.Group),
		strings.Compare(id.Kind, o.Kind),
		strings.Compare(id.Name, o.Name),
		strings.Compare(id.Version, o.Version),
	)
}

// Object is one desired object, where it came from and who applies it.
type Object struct {
	*unstructured.Unstructured
	Source Source
	// FieldManager is the name under which the delivery engine applies the
	// object, and under which kspec dry-runs it.
	FieldManager string
	// Unit is what of the engine applies the object; zero when nobody said.
	Unit UnitRef
	// Digest, when it is not zero, is what [DigestOf] returns: equal for objects
	// that are equal in all of the above, and only for them. It saves work and
	// changes no result.
	Digest Digest
}

// Digest is the beginning of a SHA-256.
type Digest [16]byte

// IsZero reports whether there is no digest.
func (d Digest) IsZero() bool { return d == Digest{} }

// ID returns the identity of the object.
func (o Object) ID() ObjectID { return IDOf(o.Unstructured) }

// File is one file of the config repo as it should be.
type File struct {
	// Path is slash-separated and relative to the root of the config repo.
	Path    string
	Content []byte
}

// RenderedMark begins every file that kspec renders for delivery. A file with
// it may be rewritten and deleted; others are never touched.
const RenderedMark = "# Rendered by kspec"

// Desired is what one target must be, according to Git.
type Desired struct {
	// Tree is what the objects were rendered from.
	Tree Tree
	// Objects are sorted by [ObjectID.Compare] and hold no identity twice.
	Objects []Object
	// Delivery are the rendered policies as the files that must stand under
	// the delivery path, sorted by path; nil when nothing is delivered there.
	Delivery []File
	// Unknown tells what could not be rendered, and why; the rest is complete.
	Unknown []Unknown
	// Assumed tells what was taken for granted because only the cluster knows
	// it, sorted.
	Assumed []string
}

// Unknown is something that kspec could not look at. It is neither drift nor
// proof that there is none.
type Unknown struct {
	// Object is the zero ObjectID when a whole source could not be read.
	Object ObjectID `json:"object"`
	Source Source   `json:"source,omitzero"`
	Reason string   `json:"reason"`
	// Lasting is true when no further look can tell more until Git changes: a
	// file encrypted with SOPS, a variable that the engine fills in. It keeps a
	// report from being complete, but not from being settled.
	Lasting bool `json:"lasting,omitempty"`
}

// Image is one container image that a workload wants or runs.
type Image struct {
	// Ref is the reference as the workload spells it.
	Ref string
	// Digest is what the kubelet reports to run, "sha256:…"; empty when the
	// image is only desired or the kubelet does not tell.
	Digest string
	// Container is the path of the container in its object, with list keys:
	// "/spec/template/spec/initContainers/[name=migrate]".
	Container string
	Object    ObjectID
	Source    Source
	// Running is true for an image of a live Pod.
	Running bool
}

// SortObjects sorts in place by [ObjectID.Compare].
func SortObjects(objects []Object) {
	type keyed struct {
		id ObjectID
		Object
	}
	all := make([]keyed, len(objects))
	for i, o := range objects {
		all[i] = keyed{o.ID(), o}
	}
	slices.SortStableFunc(all, func(a, b keyed) int { return a.id.Compare(b.id) })
	for i, k := range all {
		objects[i] = k.Object
	}
}
