package compare

import (
	"slices"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/cloudcwfranck/kspec"
)

// DefaultPeople returns the field managers under which tools write that people
// use by hand. A name that ends in * stands for all that begin so.
func DefaultPeople() []string {
	return []string{
		"kubectl",                   // apply --server-side, and plugins
		"kubectl-annotate",          //
		"kubectl-autoscale",         //
		"kubectl-client-side-apply", // apply
		"kubectl-create",            //
		"kubectl-edit",              //
		"kubectl-expose",            //
		"kubectl-label",             //
		"kubectl-patch",             //
		"kubectl-replace",           //
		"kubectl-rollout",           // undo, pause, restart
		"kubectl-run",               //
		"kubectl-scale",             //
		"kubectl-set",               // image, env, resources
		"kubectl-taint",             //
		"argocd-server",             // the live editor of Argo CD's UI
		"curl",                      // by hand, against the API
		"dashboard",                 // Kubernetes Dashboard
		"dashboard-api",             // Kubernetes Dashboard 7
		"freelens*",                 // Freelens
		"headlamp*",                 // Headlamp, on the desktop and in the cluster
		"k9s",                       //
		"lens*",                     // Lens
		"Lens*",                     // Lens
		"Mozilla",                   // a browser: the OpenShift console and other UIs
		"node-fetch",                // Lens before version 6
		"oc*",                       // OpenShift's kubectl
		"octant",                    //
		"openlens*",                 // OpenLens
		"rancher",                   // Rancher's UI
		"steve",                     // Rancher's UI
	}
}

// benignKeys are labels and annotations that tools leave behind and that say
// nothing about what is configured. A key that ends in / stands for its domain.
func benignKeys() []string {
	return []string{
		lastApplied,                         // kubectl apply's own notes
		"kubectl.kubernetes.io/restartedAt", // kubectl rollout restart
		"deployment.kubernetes.io/",         // revision, counted by a controller
		"deprecated.daemonset.template.generation",
		"kubernetes.io/change-cause",  // kubectl --record
		"kubernetes.io/metadata.name", // on Namespaces, by the API server
		"control-plane.alpha.kubernetes.io/leader",
		"autoscaling.alpha.kubernetes.io/",      // v2 fields seen through HPA v1
		"pv.kubernetes.io/",                     // binding of volumes
		"volume.kubernetes.io/",                 //
		"volume.beta.kubernetes.io/",            //
		"batch.kubernetes.io/job-tracking",      //
		"field.cattle.io/",                      // Rancher's notes about endpoints
		"cattle.io/",                            //
		"kustomize.toolkit.fluxcd.io/name",      // Flux's marks of ownership
		"kustomize.toolkit.fluxcd.io/namespace", //
		"kustomize.toolkit.fluxcd.io/checksum",  // and of Flux before 0.15
		"helm.toolkit.fluxcd.io/name",           //
		"helm.toolkit.fluxcd.io/namespace",      //
		"reconcile.fluxcd.io/",                  // requests to Flux
		"meta.helm.sh/",                         // Helm's marks of ownership
		"argocd.argoproj.io/tracking-id",        // Argo CD's marks of ownership
		"argocd.argoproj.io/installation-id",    //
		"argocd.argoproj.io/refresh",            // requests to Argo CD
		"argocd.argoproj.io/hydrate",            //
		"config.kubernetes.io/",                 // where Kustomize got it from
		"config.k8s.io/",                        //
		"kapp.k14s.io/",                         //
		"applyset.kubernetes.io/",               // kubectl apply --applyset
	}
}

// benign reports whether a field that Git does not set may be there without
// anyone having changed the configuration.
func benign(want kspec.Object, path fieldpath.Path) bool {
	fields := make([]string, len(path))
	for i, pe := range path {
		fields[i] = step(pe).Field
	}
	return benignAt(want, fields)
}

// benignAt is benign for a place given by its fields, "" for a list item.
func benignAt(want kspec.Object, p []string) bool {
	switch {
	case len(p) == 0 || p[0] == "status":
		return true
	case p[len(p)-1] == "caBundle": // injected
		return true
	case p[0] == "rules" && isAggregated(want.Unstructured):
		return true
	}
	i := slices.IndexFunc(p, func(field string) bool { return field == "labels" || field == "annotations" })
	if i < 1 || i+1 >= len(p) || p[i-1] != "metadata" {
		return false
	}
	return benignKey(p[i+1], want.FieldManager)
}

func benignKey(key, applier string) bool {
	if key == "app.kubernetes.io/instance" && strings.HasPrefix(applier, "argocd") {
		return true // Argo CD's mark of ownership, unless it uses annotations
	}
	return slices.ContainsFunc(benignKeys(), func(k string) bool {
		return k == key || strings.HasSuffix(k, "/") && strings.HasPrefix(key, k)
	})
}
