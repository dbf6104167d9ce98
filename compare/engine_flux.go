package compare

import (
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/cloudcwfranck/kspec"
)

// Marks of Flux, on labels or annotations.
const (
	fluxName      = "kustomize.toolkit.fluxcd.io/name"
	fluxNamespace = "kustomize.toolkit.fluxcd.io/namespace"
	fluxReconcile = "kustomize.toolkit.fluxcd.io/reconcile"
	fluxSSA       = "kustomize.toolkit.fluxcd.io/ssa"
	fluxPrune     = "kustomize.toolkit.fluxcd.io/prune"
)

func (u *unit) readKustomization(o map[string]any) {
	spec := mapIn(o, "spec")
	u.paths = []string{folder(textIn(spec, "path"))}
	u.suspended, u.prunes = boolIn(spec, "suspend"), boolIn(spec, "prune")
	u.whole = true
	for _, field := range []string{"components", "namePrefix", "nameSuffix", "targetNamespace", "kubeConfig"} {
		if spec[field] != nil && spec[field] != "" {
			u.whole = false // objects that the folder does not have, or under other names
		}
	}
	kind := textIn(spec, "sourceRef", "kind")
	u.whole = u.whole && (kind == "GitRepository" || kind == "ExternalArtifact")
	for _, v := range mapsIn(listIn(spec, mostExceptions, "ignore")) {
		e, err := fluxException(v)
		if err != nil {
			u.blind = u.String() + " has a rule in spec.ignore that cannot be read"
			continue
		}
		u.exceptions = append(u.exceptions, e)
	}
	for _, v := range mapsIn(listIn(o, mostHeld, "status", "inventory", "entries")) {
		if id, ok := inventoried(textIn(v, "id")); ok {
			id.Version = textIn(v, "v")
			u.holds = append(u.holds, id)
		}
	}
}

// inventoried reads the id of an object in an inventory:
// namespace_name_group_kind, with two underscores for a colon in the name. One
// without a name or a kind is of an object that was skipped, and says nothing.
func inventoried(id string) (kspec.ObjectID, bool) {
	parts := strings.Split(id, "_")
	if len(parts) < 4 {
		return kspec.ObjectID{}, false
	}
	n := len(parts)
	o := kspec.ObjectID{Namespace: parts[0], Group: parts[n-2], Kind: parts[n-1]}
	o.Name = strings.ReplaceAll(strings.Join(parts[1:n-2], "_"), "__", ":")
	return o, strings.Trim(o.Name, ":_") != "" && o.Kind != ""
}

// fluxException reads a rule of spec.ignore.
func fluxException(rule map[string]any) (exception, error) {
	e := exception{text: text(rule), pointers: pointersIn(rule, "paths")}
	target := mapIn(rule, "target")
	match := make([]*regexp.Regexp, 0, 5)
	for _, field := range []string{"group", "version", "kind", "namespace", "name"} {
		re, err := regexp.Compile("^(?:" + textIn(target, field) + ")$")
		if err != nil {
			return e, err
		}
		match = append(match, re)
	}
	byLabel, err := labels.Parse(textIn(target, "labelSelector"))
	if err != nil {
		return e, err
	}
	byAnnotation, err := labels.Parse(textIn(target, "annotationSelector"))
	if err != nil {
		return e, err
	}
	e.matches = func(id kspec.ObjectID, want kspec.Object) bool {
		for i, v := range []string{id.Group, id.Version, id.Kind, id.Namespace, id.Name} {
			if match[i].String() != "^(?:)$" && !match[i].MatchString(v) {
				return false
			}
		}
		return byLabel.Matches(labels.Set(want.GetLabels())) && byAnnotation.Matches(labels.Set(want.GetAnnotations()))
	}
	return e, nil
}

// fluxSetting returns what a label or annotation tells Flux, in lower case, as
// Flux reads it.
func fluxSetting(labels, annotations map[string]string, key string) []string {
	return slices.DeleteFunc([]string{strings.ToLower(labels[key]), strings.ToLower(annotations[key])}, func(s string) bool { return s == "" })
}
