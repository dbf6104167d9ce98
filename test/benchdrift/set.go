package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec"
)

const (
	applier    = "kustomize-controller"
	namespaces = 10
)

// crd defines the custom kind of the set, with a default as most have.
const crd = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.bench.example}
spec:
  group: bench.example
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer}
              colour: {type: string, default: red}
              ports:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties: {name: {type: string}, port: {type: integer}}
`

// kinds are what the set is made of, ten objects in turn: the kinds of a
// usual folder, with about as many fields.
func kinds() []string {
	return []string{
		deployment, configMap, service, deployment, configMap, networkPolicy, deployment, configMap, role, widget,
	}
}

const (
	deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: $name, namespace: $ns, labels: {app.kubernetes.io/name: $name}}
spec:
  replicas: 2
  selector: {matchLabels: {app.kubernetes.io/name: $name}}
  template:
    metadata: {labels: {app.kubernetes.io/name: $name}}
    spec:
      securityContext: {runAsNonRoot: true}
      containers:
      - name: app
        image: registry.example/$name:1.4.2
        args: [--listen=:8080]
        env: [{name: MODE, value: production}, {name: CACHE, value: 64Mi}]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /ready, port: http}}
        resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 256Mi}}
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true}
        volumeMounts: [{name: config, mountPath: /etc/app}]
      volumes: [{name: config, configMap: {name: $name}}]
`
	configMap = `
apiVersion: v1
kind: ConfigMap
metadata: {name: $name, namespace: $ns, labels: {app.kubernetes.io/name: $name}}
data:
  app.yaml: |
    listen: ":8080"
    database: {host: db.$ns.svc, pool: 20}
  mode: production
`
	service = `
apiVersion: v1
kind: Service
metadata: {name: $name, namespace: $ns, labels: {app.kubernetes.io/name: $name}}
spec:
  selector: {app.kubernetes.io/name: $name}
  clusterIP: None
  ports: [{name: http, port: 80, targetPort: http}]
`
	networkPolicy = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: $name, namespace: $ns, labels: {app.kubernetes.io/name: $name}}
spec:
  podSelector: {matchLabels: {app.kubernetes.io/name: $name}}
  policyTypes: [Ingress]
  ingress: [{from: [{podSelector: {}}], ports: [{port: 8080}]}]
`
	role = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: $name, namespace: $ns, labels: {app.kubernetes.io/name: $name}}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get, list]}]
`
	widget = `
apiVersion: bench.example/v1
kind: Widget
metadata: {name: $name, namespace: $ns, labels: {app.kubernetes.io/name: $name}}
spec: {size: 3, ports: [{name: http, port: 80}]}
`
)

func namespaceOf(i int) string { return fmt.Sprintf("bench-%d", i%namespaces) }

// manifests returns n objects as YAML.
func manifests(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = strings.NewReplacer("$name", fmt.Sprintf("app-%05d", i), "$ns", namespaceOf(i/len(kinds()))).Replace(kinds()[i%len(kinds())])
	}
	return all
}

// decode returns the objects of the manifests as Git has them.
func decode(manifests []string) (kspec.Desired, error) {
	var want kspec.Desired
	for _, text := range manifests {
		data, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			return want, err
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(data); err != nil {
			return want, err
		}
		want.Objects = append(want.Objects, kspec.Object{Unstructured: u, FieldManager: applier})
	}
	kspec.SortObjects(want.Objects)
	return want, nil
}

// deliver applies everything as the engine does.
func deliver(ctx context.Context, c client.Client, want kspec.Desired) error {
	before := []string{crd}
	for i := range namespaces {
		before = append(before, "{apiVersion: v1, kind: Namespace, metadata: {name: "+namespaceOf(i)+"}}")
	}
	base, err := decode(before)
	if err != nil {
		return err
	}
	if err := applyAll(ctx, c, base); err != nil {
		return err
	}
	probe := &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "bench.example/v1", "kind": "WidgetList"}}
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		return c.List(ctx, probe) == nil, nil // until the kind is served
	})
	if err != nil {
		return err
	}
	return applyAll(ctx, c, want)
}

func applyAll(ctx context.Context, c client.Client, want kspec.Desired) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for _, o := range want.Objects {
		g.Go(func() error {
			return c.Apply(ctx, client.ApplyConfigurationFromUnstructured(o.DeepCopy()), client.FieldOwner(applier), client.ForceOwnership)
		})
	}
	return g.Wait()
}

// edit changes an object by hand, as kubectl edit does.
func edit(ctx context.Context, c client.Client, u *unstructured.Unstructured) error {
	path, value := "/metadata/labels/app.kubernetes.io~1name", `"by-hand"`
	switch u.GetKind() {
	case "Deployment":
		path, value = "/spec/replicas", "5"
	case "ConfigMap":
		path, value = "/data/mode", `"debug"`
	}
	patch := client.RawPatch(types.JSONPatchType, []byte(`[{"op":"replace","path":"`+path+`","value":`+value+`}]`))
	return c.Patch(ctx, u.DeepCopy(), patch, client.FieldOwner("kubectl-edit"))
}

// drift returns so many percent of the objects, spread over kinds and
// namespaces. More percents hold what fewer do.
func drift(all []kspec.Object, percent int) []kspec.Object {
	var some []kspec.Object
	for i, o := range all {
		if i*7919%100 < percent {
			some = append(some, o)
		}
	}
	return some
}
