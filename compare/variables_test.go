package compare_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const variables = `
apiVersion: v1
kind: ConfigMap
metadata: {name: env}
data:
  domain: ${domain}
  url: https://${app:=web}.${domain}/x
  script: echo ${HOME}
---
apiVersion: v1
kind: Secret
metadata: {name: db}
stringData: {url: "postgres://${user}:${password}@db"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: app, image: "registry.example/web:1", args: [serve, "--domain=${domain}"]}]
`

// TestVariablesThatTheApplierFillsInAreUnknown has what Flux's
// postBuild.substitute and envsubst do: their values are not in the folder that
// kspec renders.
func TestVariablesThatTheApplierFillsInAreUnknown(t *testing.T) {
	const say = ": Git has a variable there, and kspec does not know the value that the applier puts in its place"
	filled := strings.NewReplacer("${domain}", "prod.example", "${app:=web}", "web", "${user}:${password}", "u:hunter2")
	deliver := func(t *testing.T, name string) (world, string) {
		t.Helper()
		w := newWorld(t)
		w.namespace(name)
		w.deliver(desired(t, name, filled.Replace(variables)))
		return w, name
	}
	t.Run("nothing else is wrong", func(t *testing.T) {
		_, ns := deliver(t, "variables")
		rep := detect(t, desired(t, ns, variables))
		if diff := cmp.Diff([]string{
			"Unknown ConfigMap: data.domain and others" + say,
			"Unknown Secret: data.url" + say,
			"Unknown Deployment: spec.template.spec.containers[app].args" + say,
		}, lines(rep)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if rep.Complete() || !rep.Settled() {
			t.Error("want a report that is settled and not complete")
		}
	})
	t.Run("without the variables it is in sync", func(t *testing.T) {
		_, ns := deliver(t, "variables-none")
		if got := lines(detect(t, desired(t, ns, filled.Replace(variables)))); got != nil {
			t.Errorf("got %v", got)
		}
	})
	t.Run("a person changed another field, and what a variable stands for", func(t *testing.T) {
		w, ns := deliver(t, "variables-drift")
		want := desired(t, ns, variables)
		w.raw("kubectl-edit", want.Objects[0].Unstructured, `[{"op":"replace","path":"/data/script","value":"rm -rf /"},
			{"op":"replace","path":"/data/domain","value":"evil.example"}]`)
		want.Objects = want.Objects[:1]
		if diff := cmp.Diff([]string{
			"Changed /data/domain ${domain} -> evil.example kubectl-edit",
			"Changed /data/script echo ${HOME} -> rm -rf / kubectl-edit",
			"Unknown ConfigMap: data.url" + say,
		}, lines(detect(t, want))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("Git moved on around the variable", func(t *testing.T) {
		_, ns := deliver(t, "variables-moved")
		want := desired(t, ns, strings.Replace(variables, "}/x", "}/y", 1))
		want.Objects = want.Objects[:1]
		if diff := cmp.Diff([]string{
			"Changed /data/url https://${app:=web}.${domain}/y -> https://web.prod.example/x kustomize-controller",
			"Unknown ConfigMap: data.domain" + say,
		}, lines(detect(t, want))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("a value that is no text, which the server does not dry-run", func(t *testing.T) {
		w, ns := deliver(t, "variables-typed")
		want := desired(t, ns, strings.Replace(deployment, "{name: web}", "{name: replicated}", 1))
		w.deliver(want)
		want.Objects[0].Object["spec"].(map[string]any)["replicas"] = "${replicas}"
		got := lines(detect(t, want))
		if len(got) != 1 || !strings.HasPrefix(got[0], "Unknown Deployment: dry-run: internal error: failed to create typed patch object") {
			t.Errorf("got %v", got)
		}
	})
	t.Run("a name", func(t *testing.T) {
		_, ns := deliver(t, "variables-name")
		want := desired(t, ns, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"web-${env}\"}\n")
		if diff := cmp.Diff([]string{"Unknown ConfigMap: Git has a variable in its name or namespace, and kspec does not know the value that the applier puts in its place"}, lines(detect(t, want))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
