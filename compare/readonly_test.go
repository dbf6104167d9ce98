package compare_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cloudcwfranck/kspec/compare"
)

// What kspec knows of defaults is what the API server does.
func TestKnownDefaultsAreThoseOfTheServer(t *testing.T) {
	w := newWorld(t)
	w.namespace("known-defaults")
	const spec = "{selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: a, ports: [{containerPort: 80}]}]}}}"
	var set []string
	for _, u := range decode(t, `
{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: `+spec+`}
---
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}, spec: `+spec+`}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: a}, spec: `+strings.Replace(spec, "{selector", "{volumeClaimTemplates: [{metadata: {name: v}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}], serviceName: a, selector", 1)+`}
---
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, spec: {podSelector: {}, ingress: [{ports: [{port: 80}]}]}}
`) {
		u.SetNamespace("known-defaults")
		if err := w.one(applier, "apply", u); err != nil {
			t.Fatal(err)
		}
		live, err := w.at(u).Get(t.Context(), "a", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		visit(live.Object, nil, func(path []string, v any, _ func(any)) {
			field := path[len(path)-1]
			set = append(set, fmt.Sprint(u.GetKind(), " ", field, " ", v), fmt.Sprint(" ", field, " ", v))
		})
	}
	for _, known := range compare.KnownDefaults() {
		if !slices.Contains(set, known) {
			t.Errorf("the server does not set %s", known)
		}
	}
}

// TestReadingAlone has what can be told without a dry run, and what is left.
func TestReadingAlone(t *testing.T) {
	tests := map[string]struct {
		git, patch string
		want       []string
	}{
		"a value by a person": {
			deployment, `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"evil"}]`,
			[]string{"Changed /spec/template/spec/containers/[name=app]/image registry.example/web:1 -> evil kubectl-edit"},
		},
		"a label by a person": {
			deployment, `[{"op":"add","path":"/metadata/labels","value":{"x":"1"}}]`,
			[]string{"ExtraField /metadata/labels/x <nil> -> 1 kubectl-edit"},
		},
		"data by a person": {
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n", `[{"op":"add","path":"/data/more","value":"w"}]`,
			[]string{"ExtraField /data/more <nil> -> w kubectl-edit"},
		},
		"a field by a person that may be a default": {
			deployment, `[{"op":"add","path":"/spec/template/spec/hostPID","value":true}]`,
			[]string{"Unknown Deployment: needs a dry run: spec.template.spec.hostPID may differ from Git, or hold what the cluster makes of it"},
		},
		"another form of a quantity": {
			deployment + "        resources: {limits: {cpu: 1000m, memory: 1024Mi}}\n", `[]`,
			nil,
		},
		"text that looks like a quantity": {
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: 1000m}\n", `[{"op":"replace","path":"/data/k","value":"1"}]`,
			[]string{"Changed /data/k 1000m -> 1 kubectl-edit"},
		},
		"a default inside of a list that is replaced as a whole": {
			"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{port: 80}]}]}\n", `[]`,
			nil,
		},
		"nobody owns anything": {
			deployment, `[{"op":"replace","path":"/metadata/managedFields","value":[{}]}]`,
			[]string{"Unknown Deployment: needs a dry run: the object has no managedFields"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ns := "reading-" + strings.Trim(notName.ReplaceAllString(strings.ToLower(name), "-"), "-")
			w.namespace(ns)
			want := desired(t, ns, tt.git)
			w.deliver(want)
			w.raw("kubectl-edit", want.Objects[0].Unstructured, tt.patch)
			rep := readAlone(t, ignoring(nil), want)
			if got := lines(rep); !slices.Equal(tt.want, got) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			for _, u := range rep.Unknown {
				if !u.Lasting {
					t.Errorf("another look would tell more: %s", u.Reason)
				}
			}
		})
	}
}
