package compare

import (
	"path"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

// Marks of Argo CD; the instance label is used by others, too.
const (
	argoTracking = "argocd.argoproj.io/tracking-id"
	argoInstance = "app.kubernetes.io/instance"
	argoSync     = "argocd.argoproj.io/sync-options"
	argoCompare  = "argocd.argoproj.io/compare-options"
	argoHook     = "argocd.argoproj.io/hook"
	helmHook     = "helm.sh/hook"
)

func (u *unit) readApplication(o map[string]any) {
	spec := mapIn(o, "spec")
	sources := mapsIn(listIn(spec, mostUnits, "sources"))
	if source := mapIn(spec, "source"); source != nil && len(sources) == 0 {
		sources = []map[string]any{source}
	}
	repos := map[string]bool{}
	u.whole = len(sources) > 0
	for _, source := range sources {
		switch {
		case source["chart"] != nil, source["helm"] != nil, source["plugin"] != nil, textIn(source, "directory", "jsonnet") != "":
			u.whole = false
		case source["path"] == nil && source["ref"] != nil:
			continue // files for another source
		}
		if k := mapIn(source, "kustomize"); k["namePrefix"] != nil || k["nameSuffix"] != nil || k["namespace"] != nil || k["components"] != nil {
			u.whole = false
		}
		repos[textIn(source, "repoURL")] = true
		u.paths = append(u.paths, folder(textIn(source, "path")))
	}
	u.whole = u.whole && len(repos) == 1
	u.prunes = boolIn(spec, "syncPolicy", "automated", "prune")
	for _, rule := range mapsIn(listIn(spec, mostExceptions, "ignoreDifferences")) {
		e, err := argoException(rule)
		if err != nil {
			u.blind = u.String() + ", spec.ignoreDifferences: " + err.Error()
			continue
		}
		u.exceptions = append(u.exceptions, e)
	}
	for _, v := range mapsIn(listIn(o, mostHeld, "status", "resources")) {
		id := kspec.ObjectID{
			Group: textIn(v, "group"), Version: textIn(v, "version"), Kind: textIn(v, "kind"),
			Namespace: textIn(v, "namespace"), Name: textIn(v, "name"),
		}
		if id.Name != "" && id.Kind != "" && !boolIn(v, "hook") {
			u.holds = append(u.holds, id)
		}
	}
}

// argoException reads an item of spec.ignoreDifferences.
func argoException(rule map[string]any) (exception, error) {
	e := exception{text: text(rule), pointers: pointersIn(rule, "jsonPointers"), managers: textsIn(rule, "managedFieldsManagers")}
	for _, expression := range textsIn(rule, "jqPathExpressions") {
		q, err := compileQuery(expression)
		if err != nil {
			return e, err
		}
		e.queries = append(e.queries, q)
	}
	group, kind, namespace, name := textIn(rule, "group"), textIn(rule, "kind"), textIn(rule, "namespace"), textIn(rule, "name")
	e.matches = func(id kspec.ObjectID, _ kspec.Object) bool {
		return glob(group, id.Group) && glob(kind, id.Kind) &&
			(namespace == "" || namespace == id.Namespace) && (name == "" || name == id.Name)
	}
	return e, nil
}

func glob(pattern, s string) bool {
	ok, err := path.Match(pattern, s)
	return err == nil && ok
}

// tracked reads a tracking-id: application:group/kind:namespace/name. It returns
// false when it names another object: who copies an object copies its mark.
func tracked(mark string, id kspec.ObjectID) (app kspec.UnitRef, ok bool) {
	owner, rest, _ := strings.Cut(mark, ":")
	kind, name, _ := strings.Cut(rest, ":")
	namespace, name, _ := strings.Cut(name, "/")
	if owner == "" || kind != id.Group+"/"+id.Kind || name != id.Name || id.Namespace != "" && namespace != id.Namespace {
		return kspec.UnitRef{}, false
	}
	return application(owner), true
}

// application reads the name of an Application as marks have it, with the
// namespace before it when that is not Argo CD's own.
func application(name string) kspec.UnitRef {
	if namespace, name, ok := strings.Cut(name, "_"); ok {
		return kspec.UnitRef{Namespace: namespace, Name: name}
	}
	return kspec.UnitRef{Name: name}
}

// isHook reports whether Argo CD runs the object at some moment of a sync, and
// does not compare it.
func isHook(annotations map[string]string) bool {
	return annotations[argoHook] != "" || annotations[helmHook] != ""
}
