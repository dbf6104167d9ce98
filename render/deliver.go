package render

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec"
	where "github.com/cloudcwfranck/kspec/policy"
)

// originAnnotation is on every policy that a rule became, and on every object of
// a template that a ClusterSpec inherits; its value says where it comes from.
const originAnnotation = "kspec.io/origin"

const (
	longestName = 253
	header      = kspec.RenderedMark + " from "
)

// rename gives the objects of a template names that say whose they are, and
// makes them safe to deliver.
func (j *job) rename(policies []policy) {
	renamed := map[string]string{}
	for _, p := range policies {
		if p.GetKind() == "ValidatingAdmissionPolicy" {
			renamed[p.GetName()] = j.name(p.GetName())
			if annotations := p.GetAnnotations(); annotations[where.RuleAnnotation] == "" {
				p.SetAnnotations(labels.Merge(annotations, labels.Set{where.RuleAnnotation: p.GetName()}))
			}
		}
	}
	for _, p := range policies {
		switch p.GetKind() {
		case "ValidatingAdmissionPolicyBinding":
			of, _, _ := unstructured.NestedString(p.Object, "spec", "policyName")
			if name, ok := renamed[of]; ok {
				_ = unstructured.SetNestedField(p.Object, name, "spec", "policyName") // spec is a map: it held policyName
			}
			p.SetName(j.name(p.GetName()))
		case "ValidatingAdmissionPolicy", "ValidatingPolicy", "ClusterPolicy", "NetworkPolicy", "ResourceQuota", "LimitRange":
			p.SetName(j.name(p.GetName()))
		case "Namespace":
			j.tame(p.Unstructured)
		}
	}
}

// name returns kspec-<target>-<rule>, cut with a hash where it is too long.
func (j *job) name(rule string) string {
	return kspec.Shorten("kspec-"+j.target.Name+"-"+rule, longestName)
}

// tame removes from a Namespace the labels that make Pod Security deny, unless
// the target enforces.
func (j *job) tame(u *unstructured.Unstructured) {
	if j.target.Enforcement == kspec.Enforce {
		return
	}
	labels := u.GetLabels()
	delete(labels, "pod-security.kubernetes.io/enforce")
	delete(labels, "pod-security.kubernetes.io/enforce-version")
	u.SetLabels(labels)
}

// own marks an object as kspec's, and a Namespace as one that must outlive the
// file that declares it: the engines delete what is gone from Git, and with a
// Namespace all that is in it.
func (j *job) own(u policy) {
	labels := u.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[kspec.OwnerLabel] = j.target.Owner()
	u.SetLabels(labels)
	annotations := u.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	if u.origin != "" {
		annotations[originAnnotation] = u.origin
	}
	if u.GetKind() == "Namespace" {
		annotations["kustomize.toolkit.fluxcd.io/prune"] = "disabled"
		annotations["argocd.argoproj.io/sync-options"] = "Prune=false"
	}
	if len(annotations) > 0 {
		u.SetAnnotations(annotations)
	}
}

// origin writes origins as "company (runAsNonRoot); prod": who said so and what
// parameters have the value that they gave.
func origin(origins []kspec.Origin) string {
	var all []string
	for _, o := range origins {
		text := o.Layer
		if len(o.Parameters) > 0 {
			text += " (" + strings.Join(o.Parameters, ", ") + ")"
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// undeclared returns the policies that no overlay declares. An overlay that
// says all that a template says is enough; one that says less is told so,
// because two declarations of one object undo each other.
func (j *job) undeclared(policies []policy) []policy {
	declared := map[kspec.ObjectID]item{}
	for _, o := range j.objects {
		declared[inAnyVersion(o.Unstructured)] = o
	}
	var rest []policy
	for _, p := range policies {
		o, ok := declared[inAnyVersion(p.Unstructured)]
		if !ok {
			rest = append(rest, p)
			continue
		}
		if j.delivered(o.Source.File) {
			rest = append(rest, p)
			j.dropDelivered(o)
			continue
		}
		if lacks := missing(o.Unstructured.Object, p.Object); lacks != nil {
			j.unknown = append(j.unknown, kspec.Unknown{
				Object: o.ID(), Source: o.Source,
				Reason: fmt.Sprintf("%s: template %s demands more of this object: add\n%s", place(o.Source), p.template.Name, asYAML(lacks)),
			})
		}
	}
	return rest
}

// delivered reports whether a file lies where kspec delivers policies.
func (j *job) delivered(file string) bool {
	return j.target.Delivery.Path != "" && inside(file, path.Clean(j.target.Delivery.Path))
}

// dropDelivered removes from the objects of an overlay one that it takes from
// the delivery path.
func (j *job) dropDelivered(o item) {
	j.objects = slices.DeleteFunc(j.objects, func(other item) bool { return other.Unstructured == o.Unstructured })
	if slices.ContainsFunc(j.unknown, func(u kspec.Unknown) bool {
		return j.delivered(u.Source.File) && u.Source.Overlay == o.Source.Overlay
	}) {
		return // said already
	}
	j.unknown = append(j.unknown, kspec.Unknown{
		Source: o.Source,
		Reason: fmt.Sprintf("%s: manifests path %q reaches into delivery.path %q, which kspec compares already: take it out",
			place(o.Source), o.Source.Overlay, j.target.Delivery.Path),
	})
}

// missing returns the part of want that have lacks, nil for none.
func missing(have, want any) any {
	w, ok := want.(map[string]any)
	h, also := have.(map[string]any)
	if !ok || !also {
		if equality.Semantic.DeepEqual(have, want) {
			return nil
		}
		return want
	}
	lacks := map[string]any{}
	for key := range w {
		if part := missing(h[key], w[key]); part != nil {
			lacks[key] = part
		}
	}
	if len(lacks) == 0 {
		return nil
	}
	return lacks
}

func asYAML(v any) string {
	data, err := yaml.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data))
}

// deliver adds policies to j.objects and returns them as files under the
// delivery path; nil when nothing is or was delivered there.
func (j *job) deliver(policies []policy) ([]kspec.File, error) {
	dir := j.target.Delivery.Path
	if dir != "" {
		if dir = path.Clean(dir); !fs.ValidPath(dir) {
			return nil, fmt.Errorf("delivery.path %q: want a path within the repo, without a leading slash", j.target.Delivery.Path)
		}
	}
	var files []kspec.File
	var names []string
	var templates []string
	file := fileNames(policies)
	for i, p := range policies {
		j.own(p)
		if err := j.exempt(p.Unstructured); err != nil {
			return nil, err
		}
		src := kspec.Source{Template: p.template.Name, File: p.template.file, Line: p.template.line}
		if dir != "" {
			name := file[i]
			content, err := j.deliveryFile(p)
			if err != nil {
				return nil, err
			}
			src.File, src.Line = path.Join(dir, name), 2
			files = append(files, kspec.File{Path: src.File, Content: content})
			names = append(names, name)
		}
		templates = append(templates, p.template.Name)
		j.objects = append(j.objects, item{body: kspec.BodyDigest(p.Unstructured), Object: kspec.Object{
			Unstructured: p.Unstructured, Source: src, FieldManager: j.target.Delivery.FieldManager, Unit: j.target.Delivery.Unit,
		}})
	}
	if dir == "" || len(files) == 0 && !j.wasDelivered("") {
		return nil, nil
	}
	slices.Sort(templates)
	slices.Sort(names)
	index, err := deliveryIndex(j.target.Name, slices.Compact(templates), slices.Compact(names))
	if err != nil {
		return nil, err
	}
	files = append(files, kspec.File{Path: path.Join(dir, "kustomization.yaml"), Content: index})
	slices.SortFunc(files, func(a, b kspec.File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

// fileNames returns the names of the files of objects: kind-name.yaml, with the
// namespace between when there is one, and a digest behind where that would name
// two files. Whatever an object is called, it is the name of a file and no path.
func fileNames(policies []policy) []string {
	const longest = longestName - len(".yaml")
	var names []string
	count := map[string]int{}
	for _, p := range policies {
		parts := []string{p.GetKind(), p.GetNamespace(), p.GetName()}
		parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
		name := strings.ToLower(strings.Join(parts, "-"))
		name = kspec.Shorten(strings.NewReplacer(":", "-", "/", "-", `\`, "-").Replace(name), longest)
		names = append(names, name)
		count[name]++
	}
	for i, name := range names {
		if count[name] > 1 {
			p := policies[i]
			sum := sha256.Sum256([]byte(strings.Join([]string{p.GetAPIVersion(), p.GetKind(), p.GetNamespace(), p.GetName()}, "/")))
			names[i] = kspec.Shorten(name, longest-9) + "-" + hex.EncodeToString(sum[:4])
		}
		names[i] += ".yaml"
	}
	return names
}

// fluxVariable is what Flux replaces after a build, if a Kustomization says so.
var fluxVariable = regexp.MustCompile(`\$[{$]`)

// deliveryFile prints a policy. Flux leaves alone what it would else take for a
// variable of its own.
func (j *job) deliveryFile(p policy) ([]byte, error) {
	data, err := yaml.Marshal(p.Object)
	if err == nil && j.target.Delivery.Engine == kspec.Flux && fluxVariable.Match(data) {
		p.SetAnnotations(labels.Merge(p.GetAnnotations(), labels.Set{"kustomize.toolkit.fluxcd.io/substitute": "disabled"}))
		data, err = yaml.Marshal(p.Object)
	}
	if err != nil {
		return nil, fmt.Errorf("print an object of template %s: %w", p.template.Name, err)
	}
	return slices.Concat([]byte(header+"template "+p.template.Name+"; changes are overwritten.\n"), data), nil
}

// engine settles what rules become when that was left to the cluster and nobody
// asked it: what the repo declares the cluster to have, what stands in the
// delivery path, or what every cluster has.
func (j *job) engine() {
	if j.target.Delivery.Policies != kspec.AutoPolicies {
		return
	}
	kyverno := schema.GroupKind{Group: "policies.kyverno.io", Kind: "ValidatingPolicy"}
	if slices.ContainsFunc(j.objects, func(o item) bool { kind, _, _ := crdScope(o.Unstructured); return kind == kyverno }) {
		j.target.Delivery.Policies = kspec.Kyverno
		return
	}
	j.target.Delivery.Policies = kspec.VAP
	serves := "does not serve"
	if j.wasDelivered(strings.ToLower(kyverno.Kind) + "-") {
		j.target.Delivery.Policies = kspec.Kyverno
		serves = "serves"
	}
	if len(j.target.Templates) > 0 {
		j.assumed = append(j.assumed, fmt.Sprintf("delivery.policies is auto, and the cluster %s the ValidatingPolicies of Kyverno", serves))
	}
}

// deliveryIndex lists the files. Without any it has a name, because Kustomize
// refuses a kustomization that says nothing, and an engine deletes only what an
// existing folder no longer declares.
func deliveryIndex(target string, templates, names []string) ([]byte, error) {
	index := map[string]any{"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": names}
	from := "template " + strings.Join(templates, ", ")
	if len(names) == 0 {
		delete(index, "resources")
		index["metadata"] = map[string]any{"name": "nothing-delivered"}
		from = "ClusterSpec " + target
	}
	data, err := yaml.Marshal(index)
	if err != nil {
		return nil, err
	}
	return slices.Concat([]byte(header+from+"; changes are overwritten.\n"), data), nil
}

// wasDelivered reports whether the delivery path holds policies that kspec
// delivered before, in files whose names begin so.
func (j *job) wasDelivered(prefix string) bool {
	if j.target.Delivery.Path == "" {
		return false
	}
	dir := path.Clean(j.target.Delivery.Path)
	entries, err := fs.ReadDir(j.tree, dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if e.IsDir() || !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		if data, err := fs.ReadFile(j.tree, path.Join(dir, e.Name())); err == nil && bytes.HasPrefix(data, []byte(header)) {
			return true
		}
	}
	return false
}
