package compare_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
)

const applier = "kustomize-controller"

// desired returns the objects of a YAML stream as Git would have them, in the
// namespace where they name none and are not clustered.
func desired(t testing.TB, namespace, text string) kspec.Desired {
	t.Helper()
	var want kspec.Desired
	for _, u := range decode(t, text) {
		if u.GetNamespace() == "" && !strings.HasPrefix(u.GetKind(), "Cluster") && !clustered[u.GetKind()] {
			u.SetNamespace(namespace)
		}
		want.Objects = append(want.Objects, kspec.Object{Unstructured: u, FieldManager: applier})
	}
	kspec.SortObjects(want.Objects)
	return want
}

var clustered = map[string]bool{
	"Namespace": true, "CustomResourceDefinition": true,
	"ValidatingWebhookConfiguration": true, "MutatingWebhookConfiguration": true,
	"ValidatingAdmissionPolicy": true, "ValidatingAdmissionPolicyBinding": true,
}

// deliver applies what Git has, as Flux does: without what only kspec has to
// cope with.
func (w world) deliver(want kspec.Desired) {
	w.Helper()
	for _, o := range want.Objects {
		u := o.DeepCopy()
		unstructured.RemoveNestedField(u.Object, "metadata", "managedFields")
		unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
		unstructured.RemoveNestedField(u.Object, "metadata", "resourceVersion")
		unstructured.RemoveNestedField(u.Object, "metadata", "uid")
		unstructured.RemoveNestedField(u.Object, "status")
		if err := w.one(applier, "apply", u); err != nil {
			w.Fatalf("deliver %s: %v", o.ID(), err)
		}
	}
}

// clientSide creates what Git has, the way of client-side apply.
func (w world) clientSide(manager string, o kspec.Object) {
	w.Helper()
	u := o.DeepCopy()
	notes, err := u.MarshalJSON()
	if err != nil {
		w.Fatal(err)
	}
	u.SetAnnotations(with(u.GetAnnotations(), "kubectl.kubernetes.io/last-applied-configuration", string(notes)))
	if err := w.one(manager, "create", u); err != nil {
		w.Fatal(err)
	}
}

// lines writes a report in few words, a line for each field, and one for each
// Unknown.
func lines(rep kspec.Report) []string {
	var all []string
	for _, f := range rep.Findings {
		if len(f.Fields) == 0 {
			all = append(all, fmt.Sprintf("%s %s", f.Verdict, f.Object.Kind))
		}
		for _, d := range f.Fields {
			all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %v -> %v %s", f.Verdict, d.KeyedPath, d.Desired, d.Live, d.Manager)))
		}
	}
	for _, u := range rep.Unknown {
		all = append(all, "Unknown "+u.Object.Kind+": "+u.Reason)
	}
	return all
}

// lookWith looks at the cluster with the options.
func lookWith(t testing.TB, c *compare.Cluster, o compare.Options, target kspec.Target, want kspec.Desired) kspec.Report {
	t.Helper()
	o.Key, o.Now = kspec.NewSecret("test"), func() time.Time { return noon }
	d := compare.New(compare.ClustersFunc(func(context.Context, kspec.Target) (*compare.Cluster, error) { return c, nil }), o)
	rep, err := d.Detect(t.Context(), target, want)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// readAlone looks without dry runs, and holds that none is sent.
func readAlone(t testing.TB, target kspec.Target, want kspec.Desired) kspec.Report {
	t.Helper()
	c := clusterOf(t, func(next http.RoundTripper) http.RoundTripper {
		return faulty{next, func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodGet {
				t.Errorf("%s %s without a dry run", r.Method, r.URL)
			}
			return nil, nil
		}}
	})
	return lookWith(t, c, compare.Options{NoDryRun: true}, target, want)
}

// detect is detectAs for a target that says nothing of its own.
func detect(t testing.TB, want kspec.Desired) kspec.Report {
	t.Helper()
	return detectAs(t, kspec.Target{Name: "test"}, want)
}

// detectAs looks in each way that there is, and holds that they agree: what is in
// sync by fields is so by a dry run, and what is found by reading alone is
// found by a dry run, too.
func detectAs(t testing.TB, target kspec.Target, want kspec.Desired) kspec.Report {
	t.Helper()
	rep := lookWith(t, clusterOf(t, nil), compare.Options{CrossCheckEvery: -1}, target, want)
	tried := lookWith(t, clusterOf(t, nil), compare.Options{CrossCheckEvery: 1}, target, want)
	if diff := cmp.Diff(lines(tried), lines(rep)); diff != "" || tried.Coverage.Disagreed > 0 {
		t.Errorf("fields and dry runs disagree (-dry run +fields):\n%s", diff)
	}
	read := readAlone(t, target, want)
	places := func(rep kspec.Report) (all []string) {
		for _, f := range rep.Findings {
			all = append(all, fmt.Sprintf("%s %s", f.Verdict, f.Object))
			for _, d := range f.Fields {
				all = append(all, fmt.Sprintf("%s %s %s", f.Verdict, f.Object, d.KeyedPath))
			}
		}
		return all
	}
	for _, place := range places(read) {
		if rep.Complete() && !slices.Contains(places(rep), place) {
			t.Errorf("reading alone finds %s, a dry run does not", place)
		}
	}
	if read.InSync() && len(rep.Findings) > 0 {
		t.Errorf("reading alone finds nothing, a dry run %v", lines(rep))
	}
	t.Logf("decided by %v; reading alone: %v", rep.Coverage.DecidedBy, lines(read))
	return rep
}

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: app
        image: registry.example/web:1
`

const side = "      - {name: side, image: registry.example/side:1}\n"

// ignoring returns a target with an ignore rule for the paths, if there are any.
func ignoring(paths []string) kspec.Target {
	t := kspec.Target{Name: "test"}
	if paths != nil {
		t.Drift.Ignore = []kspec.IgnoreRule{{Paths: paths, Reason: "test", ExpiresAt: noon.Add(time.Hour)}}
	}
	return t
}

// TestEveryClassHasACase holds that no class of what other tools get wrong is
// without a case that names it and who was bitten.
func TestEveryClassHasACase(t *testing.T) {
	var cases string
	for _, file := range []string{"classes_test.go", "webhook_test.go", "engine_test.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		cases += string(text)
	}
	for class, n := range map[string]int{"FP": 18, "FN": 3} {
		for i := range n {
			if !regexp.MustCompile(fmt.Sprintf(`"[^"]*\b%s%d\b[^"]*#\d+[^"]*": `, class, i+1)).MatchString(cases) {
				t.Errorf("no case has %s%d and an issue in its name", class, i+1)
			}
		}
	}
}

// httpRoutes and externalSecrets define kinds with the defaults, and the lists
// without keys, that Gateway API and External Secrets have.
const (
	httpRoutes = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: httproutes.gateway.networking.test}
spec:
  group: gateway.networking.test
  scope: Namespaced
  names: {kind: HTTPRoute, plural: httproutes}
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
              hostnames: {type: array, x-kubernetes-list-type: atomic, items: {type: string}}
              parentRefs:
                type: array
                x-kubernetes-list-type: atomic
                items:
                  type: object
                  properties:
                    group: {type: string, default: gateway.networking.test}
                    kind: {type: string, default: Gateway}
                    name: {type: string}
              rules:
                type: array
                x-kubernetes-list-type: atomic
                default: [{matches: [{path: {type: PathPrefix, value: /}}]}]
                items:
                  type: object
                  properties:
                    matches:
                      type: array
                      x-kubernetes-list-type: atomic
                      items:
                        type: object
                        properties:
                          path: {type: object, properties: {type: {type: string, default: PathPrefix}, value: {type: string, default: /}}}
                    backendRefs:
                      type: array
                      x-kubernetes-list-type: atomic
                      items:
                        type: object
                        properties:
                          group: {type: string, default: ""}
                          kind: {type: string, default: Service}
                          name: {type: string}
                          port: {type: integer}
                          weight: {type: integer, default: 1}
`
	externalSecrets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: externalsecrets.external-secrets.test}
spec:
  group: external-secrets.test
  scope: Namespaced
  names: {kind: ExternalSecret, plural: externalsecrets}
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
              refreshInterval: {type: string, default: 1h0m0s}
              secretStoreRef: {type: object, properties: {name: {type: string}, kind: {type: string, default: SecretStore}}}
              target:
                type: object
                default: {creationPolicy: Owner, deletionPolicy: Retain}
                properties:
                  name: {type: string}
                  creationPolicy: {type: string, default: Owner}
                  deletionPolicy: {type: string, default: Retain}
              data:
                type: array
                items:
                  type: object
                  properties:
                    secretKey: {type: string}
                    remoteRef:
                      type: object
                      properties: &remote
                        key: {type: string}
                        conversionStrategy: {type: string, default: Default}
                        decodingStrategy: {type: string, default: None}
                        metadataPolicy: {type: string, default: None}
                        nullBytePolicy: {type: string, default: Ignore}
              dataFrom:
                type: array
                items: {type: object, properties: {extract: {type: object, properties: *remote}}}
`
)

// TestWhatIsNotDrift has the differences that other tools were reported to
// call drift, and that are none.
func TestWhatIsNotDrift(t *testing.T) {
	tests := map[string]struct {
		git string
		// by counts the objects that each tier decides.
		by string
		// live is done after the delivery.
		live func(world, kspec.Desired)
		// instead is done in place of the delivery.
		instead func(world, kspec.Desired)
		ignore  []string
	}{
		"FP1 quantities in other forms (argo-cd#21135, #1615, #12463)": {by: "dry-run:1", git: `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: app
        image: registry.example/web:1
        resources:
          limits: {cpu: 1000m, memory: 3072Mi, ephemeral-storage: 1000M}
          requests: {cpu: 0.5, memory: 1024Mi}
      - name: side
        image: registry.example/side:1
        resources:
          limits: {cpu: 1, memory: "1073741824"}
`},
		"FP2 zero values that the server leaves out (argo-cd#22546, #5116)": {by: "dry-run:1", git: `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  paused: false
  minReadySeconds: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      hostNetwork: false
      hostPID: false
      containers:
      - name: app
        image: registry.example/web:1
        stdin: false
        readinessProbe: {httpGet: {path: /, port: 80}, initialDelaySeconds: 0}
`},
		"FP3 and FP4 empty and null objects (argo-cd#18213, #13004, traefik-helm-chart#1019)": {by: "dry-run:1 fields:1", git: `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, annotations: null, labels: {}}
spec:
  strategy: null
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {}}
    spec:
      securityContext: {}
      nodeSelector: {}
      tolerations: []
      volumes: null
      containers:
      - name: app
        image: registry.example/web:1
        resources: {}
        env: []
        args: null
---
apiVersion: v1
kind: Secret
metadata: {name: empty}
data: null
`},
		"FP5 what only the server writes, in Git (flux2#2514, #2404)": {by: "fields:1", git: `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  creationTimestamp: null
  generation: 7
  resourceVersion: "1"
  uid: 0c1d2e3f-0000-0000-0000-000000000000
  managedFields: [{manager: kubectl, operation: Update, apiVersion: apps/v1, fieldsType: FieldsV1, fieldsV1: {}}]
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, creationTimestamp: null}
    spec:
      containers:
      - {name: app, image: "registry.example/web:1"}
status: {replicas: 4}
`},
		"FP6 ports: default protocol, TCP and UDP on one number (structured-merge-diff#130, kubernetes#113482)": {by: "fields:2", git: `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: app
        image: registry.example/web:1
        ports:
        - {name: tcp, containerPort: 53}
        - {name: udp, containerPort: 53, protocol: UDP}
---
apiVersion: v1
kind: Service
metadata: {name: dns}
spec:
  selector: {app: web}
  ports:
  - {name: tcp, port: 53}
  - {name: udp, port: 53, protocol: UDP}
`},
		"FP7 replicas that Git leaves to an autoscaler (flux2#2514)": {by: "fields:1", git: deployment, live: func(w world, want kspec.Desired) {
			u := want.Objects[0].Unstructured
			_, err := w.at(u).Patch(w.Context(), u.GetName(), types.MergePatchType, []byte(`{"spec":{"replicas":7}}`),
				metav1.PatchOptions{FieldManager: "kube-controller-manager"}, "scale")
			if err != nil {
				w.Fatal(err)
			}
		}},
		"replicas that a person scaled and Git leaves open": {by: "fields:1", git: deployment, live: func(w world, want kspec.Desired) {
			u := want.Objects[0].Unstructured
			_, err := w.at(u).Patch(w.Context(), u.GetName(), types.MergePatchType, []byte(`{"spec":{"replicas":7}}`),
				metav1.PatchOptions{FieldManager: "kubectl"}, "scale")
			if err != nil {
				w.Fatal(err)
			}
		}},
		"FP8 a CA bundle that is injected (argo-cd#1487, cert-manager#4838)": {by: "dry-run:1", git: `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: not-drift-ca-bundle}
webhooks:
- name: a.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Ignore
  clientConfig: {caBundle: Cg==, service: {name: hook, namespace: nowhere}}
  rules:
  - {apiGroups: [example.com], apiVersions: [v1], operations: [CREATE], resources: [things]}
`, instead: func(w world, want kspec.Desired) {
			u := want.Objects[0].DeepCopy()
			hooks := u.Object["webhooks"].([]any)
			delete(hooks[0].(map[string]any)["clientConfig"].(map[string]any), "caBundle")
			if err := w.one(applier, "apply", u); err != nil {
				w.Fatal(err)
			}
			w.raw("cainjector", u, `[{"op":"add","path":"/webhooks/0/clientConfig/caBundle","value":"`+caBundle+`"}]`)
		}},
		"FP9 what a HTTPRoute leaves to its definition (argo-helm#3538, kubecost#4819)": {by: "dry-run:1 fields:1", git: httpRoutes + `---
apiVersion: gateway.networking.test/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{name: public}]
  hostnames: [web.example]
  rules:
  - matches: [{path: {value: /api}}]
    backendRefs: [{name: web, port: 80}]
`},
		"FP9 what an ExternalSecret leaves to its definition (external-secrets#6797)": {by: "dry-run:1 fields:1", git: externalSecrets + `---
apiVersion: external-secrets.test/v1
kind: ExternalSecret
metadata: {name: db}
spec:
  secretStoreRef: {name: vault}
  target: {name: db}
  data:
  - {secretKey: password, remoteRef: {key: db/password}}
  dataFrom:
  - {extract: {key: db}}
`},
		"FP10 volume claim templates with their defaults (argo-cd#11143, #16707)": {by: "dry-run:1", git: `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
      - {name: db, image: "registry.example/db:1"}
  volumeClaimTemplates:
  - metadata: {name: data, creationTimestamp: null}
    spec:
      accessModes: [ReadWriteOnce]
      resources: {requests: {storage: 1024Mi}}
    status: {}
`},
		"FP11 addresses and node ports that were assigned (argo-cd#18764)": {by: "fields:1", git: `
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  selector: {app: web}
  ports:
  - {port: 80}
`},
		"FP13 rules that a controller gathers (kapp#140)": {by: "fields:1", git: `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: not-drift-aggregated}
aggregationRule: {clusterRoleSelectors: [{matchLabels: {aggregate-to: not-drift}}]}
rules: []
`, live: func(w world, want kspec.Desired) {
			u := want.Objects[0].DeepCopy()
			u.Object["rules"] = []any{map[string]any{"apiGroups": []any{""}, "resources": []any{"pods"}, "verbs": []any{"get"}}}
			if err := w.one("clusterrole-aggregation-controller", "apply", u); err != nil {
				w.Fatal(err)
			}
		}},
		"FP13 rules: null (argo-cd docs)": {by: "dry-run:1", git: `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: nothing}
rules: null
`},
		"FP15 objects that people created and Flux took over (kubernetes#99003, gitops-engine#727)": {by: "dry-run:1", git: deployment, instead: func(w world, want kspec.Desired) {
			for _, o := range want.Objects {
				if err := w.one("kubectl-client-side-apply", "create", o.DeepCopy()); err != nil {
					w.Fatal(err)
				}
			}
			w.deliver(want)
		}},
		"a Service that a person created": {by: "dry-run:1", git: `
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports:
  - {port: 80}
`, instead: func(w world, want kspec.Desired) {
			if err := w.one("kubectl-create", "create", want.Objects[0].DeepCopy()); err != nil {
				w.Fatal(err)
			}
			w.deliver(want)
		}},
		"FP9 a definition that a person installed (kapp#395)": {by: "dry-run:1", git: `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: relics.installed.example}
spec:
  group: installed.example
  scope: Namespaced
  names: {kind: Relic, plural: relics}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object}}
`, instead: func(w world, want kspec.Desired) {
			if err := w.one("kubectl-client-side-apply", "create", want.Objects[0].DeepCopy()); err != nil {
				w.Fatal(err)
			}
		}},
		"FP7 metrics of an autoscaler in another order (kubernetes#74099)": {by: "dry-run:1", git: `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  maxReplicas: 5
  metrics:
  - {type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 1024Mi}}}
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}
`},
		"FP14 a token that a controller fills in (kapp#49)": {by: "fields:1", git: `
apiVersion: v1
kind: Secret
metadata: {name: token, annotations: {kubernetes.io/service-account.name: default}}
type: kubernetes.io/service-account-token
`, live: func(w world, want kspec.Desired) {
			w.raw("kube-controller-manager", want.Objects[0].Unstructured, `[{"op":"add","path":"/data","value":{"token":"eA=="}},
				{"op":"add","path":"/metadata/annotations/kubernetes.io~1service-account.uid","value":"u"}]`)
		}},
		"FP16 Git moved to another version of the definition (flux2#5715)": {by: "dry-run:1 fields:1", git: `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: engines.moved.example}
spec:
  group: moved.example
  scope: Namespaced
  names: {kind: Engine, plural: engines, singular: engine, listKind: EngineList}
  conversion: {strategy: None}
  versions:
  - {name: v1, served: true, storage: false, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {power: {type: integer}}}}}}}
  - {name: v2, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {power: {type: integer}, fuel: {type: string}}}}}}}
---
apiVersion: moved.example/v2
kind: Engine
metadata: {name: v8}
spec: {power: 300}
`, instead: func(w world, want kspec.Desired) {
			for _, o := range want.Objects {
				u := o.DeepCopy()
				if u.GetKind() == "Engine" {
					u.SetAPIVersion("moved.example/v1")
				}
				if err := w.one(applier, "apply", u); err != nil {
					w.Fatal(err)
				}
			}
		}},
		"FP17 an item that is ignored by its key, wherever it is moved (argo-cd#17694, #16651)": {
			by: "dry-run:1", git: deployment + side, ignore: []string{"/spec/template/spec/containers/[name=side]/image"},
			live: func(w world, want kspec.Desired) {
				w.raw("kubectl-edit", want.Objects[0].Unstructured, `[{"op":"move","from":"/spec/template/spec/containers/1","path":"/spec/template/spec/containers/0"},
					{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"registry.example/side:2"}]`)
			},
		},
		"FP18 an annotation of another controller (mmalyska/home-ops#5164)": {by: "fields:1", git: deployment, live: func(w world, want kspec.Desired) {
			w.raw("external-secrets", want.Objects[0].Unstructured, `[{"op":"add","path":"/metadata/annotations","value":{"argocd.argoproj.io/tracking-id":"a:b/C:d/e"}}]`)
		}},
		"delivered by Argo CD's client-side apply": {by: "fields:1", git: deployment, instead: func(w world, want kspec.Desired) {
			w.clientSide("argocd-controller", want.Objects[0])
			want.Objects[0].FieldManager = "argocd-controller"
		}},
		"delivered by kubectl apply": {by: "fields:1", git: deployment, instead: func(w world, want kspec.Desired) {
			w.clientSide("kubectl-client-side-apply", want.Objects[0])
			want.Objects[0].FieldManager = "kubectl-client-side-apply"
		}},
		"metadata that a team sets": {by: "fields:1", git: `
apiVersion: v1
kind: ConfigMap
metadata:
  name: a
  labels: {team: shop}
  annotations: {note: "1"}
  finalizers: [example.com/b, example.com/a]
  ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: other, uid: 0c1d2e3f-0000-0000-0000-000000000000}]
`, live: func(w world, want kspec.Desired) {
			w.raw("operator", want.Objects[0].Unstructured, `[{"op":"add","path":"/metadata/finalizers/-","value":"example.com/mine"}]`)
		}},
		"a rollout restarted by hand": {by: "fields:1", git: deployment, live: func(w world, want kspec.Desired) {
			w.raw("kubectl-rollout", want.Objects[0].Unstructured, `[{"op":"add","path":"/spec/template/metadata/annotations","value":{"kubectl.kubernetes.io/restartedAt":"2026-11-22T11:00:00Z"}}]`)
		}},
		"marks that the engine and its tools leave": {by: "fields:1", git: deployment, instead: func(w world, want kspec.Desired) {
			u := want.Objects[0].DeepCopy()
			u.SetLabels(map[string]string{"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"})
			u.SetAnnotations(map[string]string{"deployment.kubernetes.io/revision": "3", "kubectl.kubernetes.io/last-applied-configuration": "{}"})
			if err := w.one(applier, "apply", u); err != nil {
				w.Fatal(err)
			}
		}},
		"a status that a person wrote": {by: "fields:1", git: deployment, live: func(w world, want kspec.Desired) {
			u := want.Objects[0].Unstructured
			_, err := w.at(u).Patch(w.Context(), u.GetName(), types.MergePatchType, []byte(`{"status":{"observedGeneration":9}}`),
				metav1.PatchOptions{FieldManager: "kubectl-edit"}, "status")
			if err != nil {
				w.Fatal(err)
			}
		}},
		"a Secret with stringData": {by: "dry-run:1", git: `
apiVersion: v1
kind: Secret
metadata: {name: db}
data: {user: d2Vi}
stringData: {password: hunter2}
`},
		"a policy with defaults": {by: "fields:2", git: `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: not-drift-policy}
spec:
  paramKind: {apiVersion: v1, kind: ConfigMap}
  matchConstraints:
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}
    excludeResourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments], resourceNames: [x]}
  matchConditions:
  - {name: b, expression: "true"}
  - {name: a, expression: "true"}
  variables:
  - {name: z, expression: "object.metadata.name"}
  validations:
  - {expression: "variables.z != ''", message: must have a name}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: not-drift-policy}
spec:
  policyName: not-drift-policy
  validationActions: [Warn, Audit]
  paramRef: {name: params, namespace: nowhere, parameterNotFoundAction: Allow}
  matchResources: {namespaceSelector: {matchLabels: {nowhere: "true"}}}
`},
		"a policy with defaults that a person created": {by: "fields:1", git: `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: not-drift-binding}
spec:
  policyName: not-drift-policy
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {nowhere: "true"}}}
`, instead: func(w world, want kspec.Desired) {
			if err := w.one("kubectl-create", "create", want.Objects[0].DeepCopy()); err != nil {
				w.Fatal(err)
			}
			w.deliver(want)
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ns := strings.Trim(strings.ToLower(notName.ReplaceAllString("not-drift-"+name, "-")), "-")
			ns = strings.Trim(ns[:min(len(ns), 50)], "-")
			w.namespace(ns)
			want := desired(t, ns, tt.git)
			before := want.Objects[0].DeepCopy()
			if tt.instead != nil {
				tt.instead(w, want)
			} else {
				w.deliver(want)
			}
			if tt.live != nil {
				tt.live(w, want)
			}
			rep := detectAs(t, ignoring(tt.ignore), want)
			if diff := cmp.Diff([]string(nil), lines(rep)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !rep.InSync() {
				t.Error("not in sync")
			}
			if by := strings.Trim(fmt.Sprint(rep.Coverage.DecidedBy), "map[]"); by != tt.by {
				t.Errorf("decided by %s, want %s", by, tt.by)
			}
			if diff := cmp.Diff(before.Object, want.Objects[0].Object); diff != "" {
				t.Errorf("Detect changed what it was given:\n%s", diff)
			}
		})
	}
}

const widgets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.compare.example}
spec:
  group: compare.example
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
              size: {type: integer, default: 3}
              weight: {type: number}
              mode: {type: string, default: fast}
              limits: {type: object, additionalProperties: {x-kubernetes-int-or-string: true}}
              parts:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name, side]
                items:
                  type: object
                  required: [name]
                  properties:
                    name: {type: string}
                    side: {type: string, default: left}
                    color: {type: string, default: red}
              tags: {type: array, x-kubernetes-list-type: set, items: {type: string}}
              steps: {type: array, items: {type: object, properties: {run: {type: string}, when: {type: string, default: all}}}}
`

// TestCustomResources has what structured lists, defaults and pruning of a
// CustomResourceDefinition do (kubecost#4819, ESO#6797, flux2#5715).
func TestCustomResources(t *testing.T) {
	w := newWorld(t)
	w.namespace("custom-resources")
	w.do(applier, "apply", widgets)
	const git = `
apiVersion: compare.example/v1
kind: Widget
metadata: {name: NAME}
spec:
  weight: 0.5
  limits: {cpu: 1, memory: "1"}
  parts:
  - {name: wheel}
  - {name: wheel, side: right, color: blue}
  tags: [b, a]
  steps: [{run: x}]
`
	tests := map[string]struct {
		git, patch string
		want       []string
	}{
		"in sync": {},
		"a default changed by a person": {
			patch: `[{"op":"replace","path":"/spec/mode","value":"slow"}]`,
			want:  []string{"ExtraField /spec/mode <nil> -> slow kubectl-edit"},
		},
		"a default written out by a person": {
			patch: `[{"op":"replace","path":"/spec/mode","value":"slow"},{"op":"replace","path":"/spec/mode","value":"fast"}]`,
		},
		"a key that is defaulted": {
			patch: `[{"op":"replace","path":"/spec/parts/1/color","value":"green"}]`,
			want:  []string{"Changed /spec/parts/[name=wheel,side=right]/color blue -> green kubectl-edit"},
		},
		"an item of a set gone": {
			patch: `[{"op":"replace","path":"/spec/tags","value":["a","c"]}]`,
			want:  []string{"Changed /spec/tags [b a] -> [a c] kubectl-edit"},
		},
		"an item of a set taken out": {
			patch: `[{"op":"replace","path":"/spec/tags","value":["a"]}]`,
			want:  []string{"Changed /spec/tags [b a] -> [a]"},
		},
		"an item of a set added": {
			patch: `[{"op":"add","path":"/spec/tags/-","value":"c"}]`,
			want:  []string{"ExtraField /spec/tags/[=c] <nil> -> c kubectl-edit"},
		},
		"an atomic list": {
			patch: `[{"op":"add","path":"/spec/steps/-","value":{"run":"y"}}]`,
			want:  []string{"Changed /spec/steps [map[run:x]] -> [map[run:x when:all] map[run:y when:all]] kubectl-edit"},
		},
		"a float": {
			patch: `[{"op":"replace","path":"/spec/weight","value":0.25}]`,
			want:  []string{"Changed /spec/weight 0.5 -> 0.25 kubectl-edit"},
		},
		"a field that the schema does not have": {
			git:  strings.Replace(git, "weight: 0.5", "wieght: 0.5", 1),
			want: []string{"Unknown Widget: dry-run: internal error: failed to create typed patch object (custom-resources/a-field-that-the-schema-does-not-have; compare.example/v1, Kind=Widget): .spec.wieght: field not declared in schema"},
		},
		"an item twice (k8s#118725)": {
			git:  strings.Replace(git, "- {name: wheel}\n", "- {name: wheel}\n  - {name: wheel}\n", 1),
			want: []string{`Unknown Widget: dry-run: internal error: failed to create typed patch object (custom-resources/an-item-twice-k8s-118725; compare.example/v1, Kind=Widget): .spec.parts: duplicate entries for key [name="wheel",side="left"]`},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := world{t, w.client, w.mapper}
			name := strings.ToLower(notName.ReplaceAllString(name, "-"))
			want := desired(t, "custom-resources", strings.Replace(git, "NAME", name, 1))
			want.Objects[0].SetName(strings.TrimSuffix(name, "-") + strings.Repeat("x", strings.Count(name, "(")))
			w.deliver(want)
			if tt.patch != "" {
				w.raw("kubectl-edit", want.Objects[0].Unstructured, tt.patch)
			}
			if tt.git != "" {
				n := want.Objects[0].GetName()
				want = desired(t, "custom-resources", tt.git)
				want.Objects[0].SetName(n)
			}
			if diff := cmp.Diff(tt.want, lines(detect(t, want))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestWhatIsDrift has what other tools were reported to miss.
func TestWhatIsDrift(t *testing.T) {
	edit := func(patch string) func(world, kspec.Desired) {
		return func(w world, want kspec.Desired) { w.raw("kubectl-edit", want.Objects[0].Unstructured, patch) }
	}
	tests := map[string]struct {
		git    string
		live   func(world, kspec.Desired)
		ignore []string
		want   []string
	}{
		"FP17 an item that is ignored by its key hides no other (argo-cd#25284, #11876, #23283)": {
			git: deployment + side, ignore: []string{"/spec/template/spec/containers/[name=side]/image"},
			live: edit(`[{"op":"move","from":"/spec/template/spec/containers/1","path":"/spec/template/spec/containers/0"},
				{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"registry.example/side:2"},
				{"op":"replace","path":"/spec/template/spec/containers/1/image","value":"registry.example/web:2"}]`),
			want: []string{"Changed /spec/template/spec/containers/[name=app]/image registry.example/web:1 -> registry.example/web:2 kubectl-edit"},
		},
		"FP15 a field that Git dropped and the engine has not (kubernetes#112826)": {
			git: deployment,
			live: func(w world, want kspec.Desired) {
				u := want.Objects[0].DeepCopy()
				_ = unstructured.SetNestedField(u.Object, int64(77), "spec", "progressDeadlineSeconds")
				_ = unstructured.SetNestedField(u.Object, "old", "metadata", "annotations", "note")
				if err := w.one(applier, "apply", u); err != nil {
					w.Fatal(err)
				}
			},
			want: []string{
				"ExtraField /metadata/annotations/note <nil> -> old kustomize-controller",
				"ExtraField /spec/progressDeadlineSeconds <nil> -> 77 kustomize-controller",
			},
		},
		"what Git dropped and Argo CD's client-side apply has not": {
			git: deployment,
			live: func(w world, want kspec.Desired) {
				u := want.Objects[0].DeepCopy()
				if err := w.one("kubectl", "delete", u.DeepCopy()); err != nil {
					w.Fatal(err)
				}
				_ = unstructured.SetNestedField(u.Object, int64(77), "spec", "progressDeadlineSeconds")
				_ = unstructured.SetNestedField(u.Object, int64(10), "spec", "revisionHistoryLimit") // the default
				u.SetLabels(map[string]string{"old": "1"})
				notes, err := u.MarshalJSON()
				if err != nil {
					w.Fatal(err)
				}
				u.SetAnnotations(map[string]string{"kubectl.kubernetes.io/last-applied-configuration": string(notes), "injected.example/by": "a webhook"})
				if err := w.one("argocd-controller", "create", u); err != nil {
					w.Fatal(err)
				}
				want.Objects[0].FieldManager = "argocd-controller"
			},
			want: []string{
				"ExtraField /metadata/labels/old <nil> -> 1 argocd-controller",
				"ExtraField /spec/progressDeadlineSeconds <nil> -> 77 argocd-controller",
			},
		},
		"FN1 a label and an annotation that a person added (flux2#2099, argo-cd#8767)": {
			git: deployment,
			live: edit(`[{"op":"add","path":"/metadata/labels","value":{"x":"1"}},
				{"op":"add","path":"/metadata/annotations","value":{"a.example/b":"2"}}]`),
			want: []string{
				"ExtraField /metadata/annotations/a.example~1b <nil> -> 2 kubectl-edit",
				"ExtraField /metadata/labels/x <nil> -> 1 kubectl-edit",
			},
		},
		"a security context that a person added": {
			git:  deployment,
			live: edit(`[{"op":"add","path":"/spec/template/spec/containers/0/securityContext","value":{"privileged":true,"runAsUser":0}}]`),
			want: []string{
				"ExtraField /spec/template/spec/containers/[name=app]/securityContext/privileged <nil> -> true kubectl-edit",
				"ExtraField /spec/template/spec/containers/[name=app]/securityContext/runAsUser <nil> -> 0 kubectl-edit",
			},
		},
		"a volume switched, which cannot be taken away alone": {
			git: deployment + "      volumes: [{name: v, emptyDir: {}}]\n",
			live: edit(`[{"op":"remove","path":"/spec/template/spec/volumes/0/emptyDir"},
				{"op":"add","path":"/spec/template/spec/volumes/0/hostPath","value":{"path":"/"}},
				{"op":"add","path":"/spec/template/spec/hostPID","value":true}]`),
			want: []string{
				"ExtraField /spec/template/spec/hostPID <nil> -> true kubectl-edit",
				"ExtraField /spec/template/spec/volumes/[name=v]/hostPath/path <nil> -> / kubectl-edit",
				"Unknown Deployment: dry-run: invalid: Deployment.apps \"web\" is invalid: spec.template.spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
			},
		},
		"a port moved while its node port stays, over which the server stumbles": {
			git:  "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {type: NodePort, ports: [{port: 80, nodePort: 30444}]}\n",
			live: edit(`[{"op":"replace","path":"/spec/ports/0/port","value":81}]`),
			want: []string{
				"ExtraField /spec/ports/[port=81,protocol=TCP] <nil> -> map[nodePort:30444 port:81 protocol:TCP targetPort:80] kubectl-edit",
				"Unknown Service: dry-run: internal error: duplicate nodePort: [redacted]",
			},
		},
		"a label and an annotation that Git sets are others": {
			git:  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {l: x}, annotations: {note: x}}\n",
			live: edit(`[{"op":"replace","path":"/metadata/labels/l","value":"y"},{"op":"remove","path":"/metadata/annotations/note"}]`),
			want: []string{"Changed /metadata/annotations map[note:x] -> <nil>", "Changed /metadata/labels/l x -> y kubectl-edit"},
		},
		"an owner that Git sets is gone": {
			git:  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: o, uid: 0c1d2e3f-0000-0000-0000-000000000000}]}\n",
			live: edit(`[{"op":"remove","path":"/metadata/ownerReferences"}]`),
			want: []string{"Changed /metadata/ownerReferences [map[apiVersion:v1 kind:ConfigMap name:o uid:0c1d2e3f-0000-0000-0000-000000000000]] -> <nil>"},
		},
		"FN1 a field that a person added to what Argo CD applied (argo-cd#8767)": {
			git: deployment,
			live: func(w world, want kspec.Desired) {
				if err := w.one("kubectl", "delete", want.Objects[0].DeepCopy()); err != nil {
					w.Fatal(err)
				}
				w.clientSide("argocd-controller", want.Objects[0])
				want.Objects[0].FieldManager = "argocd-controller"
				w.raw("kubectl-edit", want.Objects[0].Unstructured, `[{"op":"add","path":"/spec/template/spec/hostPID","value":true}]`)
			},
			want: []string{hostPID},
		},
		"FP16 a definition with a default that the version of the last apply does not have (flux2#5715)": {
			git: strings.NewReplacer("widgets.compare.example", "pumps.moved.example", "compare.example", "moved.example", "Widget", "Pump", "widget", "pump", ", default: fast", "").Replace(widgets) +
				"  - {name: v0, served: true, storage: false, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {weight: {type: number}}}}}}}\n" +
				"---\napiVersion: moved.example/v0\nkind: Pump\nmetadata: {name: a}\nspec: {weight: 1}\n",
			live: func(_ world, want kspec.Desired) { want.Objects[1].SetAPIVersion("moved.example/v1") },
			want: []string{"Unknown Pump: dry-run: internal error: .spec.size: field not declared in schema"},
		},
		"FN2 an object that is not there, by its name (kustomize-controller#1510)": {
			git: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
			live: func(w world, want kspec.Desired) {
				if err := w.one("kubectl", "delete", want.Objects[0].DeepCopy()); err != nil {
					w.Fatal(err)
				}
			},
			want: []string{"Missing ConfigMap"},
		},
		"a finalizer that Git sets is gone": {
			git:  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, finalizers: [example.com/guard]}\n",
			live: edit(`[{"op":"remove","path":"/metadata/finalizers"}]`),
			want: []string{"Changed /metadata/finalizers [example.com/guard] -> <nil>"},
		},
		"another engine took a field over": {
			git: deployment + "      priorityClassName: low\n",
			live: func(w world, want kspec.Desired) {
				u := want.Objects[0].DeepCopy()
				_ = unstructured.SetNestedField(u.Object, "high", "spec", "template", "spec", "priorityClassName")
				if err := w.one("argocd-controller", "apply", u); err != nil {
					w.Fatal(err)
				}
			},
			want: []string{"OwnerConflict /spec/template/spec/priorityClassName low -> high argocd-controller"},
		},
		"Git moved on": {
			git: deployment,
			live: func(w world, want kspec.Desired) {
				_ = unstructured.SetNestedField(want.Objects[0].Object, int64(4), "spec", "replicas")
			},
			want: []string{"Changed /spec/replicas 4 -> 1"},
		},
		"an immutable field": {
			git: deployment,
			live: func(w world, want kspec.Desired) {
				u := want.Objects[0].Object
				_ = unstructured.SetNestedField(u, "other", "spec", "selector", "matchLabels", "app")
				_ = unstructured.SetNestedField(u, "other", "spec", "template", "metadata", "labels", "app")
			},
			want: []string{
				"Changed /spec/selector/matchLabels/app other -> web kustomize-controller",
				"Changed /spec/template/metadata/labels/app other -> web kustomize-controller",
			},
		},
		"immutable claim templates": {
			git: `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers: [{name: db, image: "registry.example/db:1", resources: {limits: {memory: 1024Mi}}}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1024Mi}}}
`,
			live: func(_ world, want kspec.Desired) {
				claim := want.Objects[0].Object["spec"].(map[string]any)["volumeClaimTemplates"].([]any)[0].(map[string]any)
				_ = unstructured.SetNestedField(claim, "2Gi", "spec", "resources", "requests", "storage")
			},
			want: []string{"Changed /spec/volumeClaimTemplates/0/spec/resources/requests/storage 2Gi -> 1Gi kustomize-controller"},
		},
		"an invalid manifest": {
			git: deployment,
			live: func(_ world, want kspec.Desired) {
				_ = unstructured.SetNestedField(want.Objects[0].Object, int64(-3), "spec", "replicas")
			},
			want: []string{"Unknown Deployment: dry-run: invalid: Deployment.apps \"web\" is invalid: spec.replicas: Invalid value: [redacted]: must be greater than or equal to 0"},
		},
		"a kind that nobody knows": {
			git:  "apiVersion: unknown.example/v1\nkind: Thing\nmetadata: {name: a}\n",
			live: func(world, kspec.Desired) {},
			want: []string{"Unknown Thing: the cluster does not know the kind unknown.example/v1 Thing"},
		},
		"no namespace": {
			git:  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: no-namespace}\n",
			live: func(_ world, want kspec.Desired) { want.Objects[0].SetNamespace("") },
			want: []string{"Unknown ConfigMap: a ConfigMap needs a namespace and has none"},
		},
		"a SOPS file": {
			git:  "apiVersion: v1\nkind: Secret\nmetadata: {name: sops}\ndata: {a: eA==}\n",
			live: func(_ world, want kspec.Desired) { want.Objects[0].Object["sops"] = map[string]any{"mac": "x"} },
			want: []string{"Unknown Secret: encrypted with SOPS: kspec has no key and cannot compare it"},
		},
		"an object that waits for its finalizer": {
			git: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: going, finalizers: [example.com/guard]}\n",
			live: func(w world, want kspec.Desired) {
				if err := w.one("kubectl", "delete", want.Objects[0].Unstructured); err != nil {
					w.Fatal(err)
				}
			},
			want: []string{"Missing ConfigMap"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ns := strings.ToLower(notName.ReplaceAllString("drift-"+name, "-"))
			ns = strings.Trim(ns[:min(len(ns), 50)], "-")
			w.namespace(ns)
			want := desired(t, ns, tt.git)
			if !strings.HasPrefix(name, "a kind") {
				w.deliver(want)
			}
			tt.live(w, want)
			rep := detectAs(t, ignoring(tt.ignore), want)
			if diff := cmp.Diff(tt.want, lines(rep)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if rep.InSync() {
				t.Error("in sync")
			}
		})
	}
}

func TestObjectsOfATerminatingNamespaceAreMissing(t *testing.T) {
	w := newWorld(t)
	w.namespace("terminating")
	want := desired(t, "terminating", "{apiVersion: v1, kind: Namespace, metadata: {name: terminating}}\n---\n"+deployment)
	// Without a namespace controller the namespace stays Terminating.
	w.do("kubectl", "delete", "{apiVersion: v1, kind: Namespace, metadata: {name: terminating}}")
	rep := detect(t, want)
	if diff := cmp.Diff([]string{"Missing Namespace", "Missing Deployment"}, lines(rep)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := rep.Findings[1].Message; !strings.Contains(got, "its namespace is being deleted") {
		t.Errorf("message is %q", got)
	}
}

func TestListingAndFetchingSeeTheSame(t *testing.T) {
	w := newWorld(t)
	w.namespace("many")
	var text strings.Builder
	for i := range 12 {
		fmt.Fprintf(&text, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%02d}\ndata: {v: \"%d\"}\n---\n", i, i)
		fmt.Fprintf(&text, "apiVersion: v1\nkind: Secret\nmetadata: {name: s%02d}\nstringData: {v: \"%d\"}\n---\n", i, i)
	}
	want := desired(t, "many", text.String())
	w.deliver(want)
	w.do("kubectl", "delete", "{apiVersion: v1, kind: ConfigMap, metadata: {name: c03, namespace: many}}")
	w.raw("kubectl-edit", want.Objects[7].Unstructured, `[{"op":"replace","path":"/data/v","value":"x"}]`)
	d := compare.New(
		compare.ClustersFunc(func(context.Context, kspec.Target) (*compare.Cluster, error) { return clusterOf(t, nil), nil }),
		compare.Options{PageSize: 5},
	)
	rep, err := d.Detect(t.Context(), kspec.Target{Name: "many", Cluster: "named"}, want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Missing ConfigMap", "Changed /data/v 7 -> x kubectl-edit"}, lines(rep)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	requests := kspec.Requests{List: 3, Get: 12 + 1, Patch: 1 + 12} // Secrets have stringData
	if diff := cmp.Diff(requests, rep.Coverage.Requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if rep.Cluster != "named" || rep.Coverage.Objects != 24 {
		t.Errorf("report is of %q with %d objects", rep.Cluster, rep.Coverage.Objects)
	}
}

// caBundle is a certificate, as an injector would put it.
const caBundle = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSURBVENDQWVtZ0F3SUJBZ0lVWnBhZVJiTnMycU5WZGFPSDRNcDYzQ2ZoTWxzd0RRWUpLb1pJaHZjTkFRRUwKQlFBd0R6RU5NQXNHQTFVRUF3d0VkR1Z6ZERBZ0Z3MHlOakV4TWpJeU1ESTBOVEJhR0E4eU1USTJNVEF5T1RJdwpNalExTUZvd0R6RU5NQXNHQTFVRUF3d0VkR1Z6ZERDQ0FTSXdEUVlKS29aSWh2Y05BUUVCQlFBRGdnRVBBRENDCkFRb0NnZ0VCQUlhVEU5amxhc0VTeXRBbTQyUFhqbTNjY3lSWlBWaE9EQjR2WEFCYVd1clZ6N0V6TFVXc0JYNncKNk9Qdy9BMXk1bTlUMnRrQlk2eHIzTWFZZG5UaldpYXVUTzByYmsxeFBrandqRzVJd1VGU1dzY2xqcjQyNm9tUgpZaVZobnZyc0Qxa0xnMmdya052NTl4Mzd2OUt0ODBBQmpNWEN5cDV3V2pCdlRlREI3a0luQlhVQkI2RDNsUU95Cjh1eEhpV0NJWncxTzZaNlNZRHlxVHBlMDJQb2E4VmxXWDNvYm9qRklNZFhTRVE1RFU4L3dBblJKblVSYWtZRkkKWG9sQUVmSHNidGE2ZzB1SUp4MjBzWjVhL1ExVVE4c1hNQzNyTnp0U0diRFY3SlcyblJaenQrQS9rWkppWUNnOQpGYUZJOHVPbjloMG5XVkt2WHc1SzM1TjB2T3d0amhNQ0F3RUFBYU5UTUZFd0hRWURWUjBPQkJZRUZBMnlTUGh5CktsdEpUTkljRnlKT1JLOGxqRVF5TUI4R0ExVWRJd1FZTUJhQUZBMnlTUGh5S2x0SlROSWNGeUpPUks4bGpFUXkKTUE4R0ExVWRFd0VCL3dRRk1BTUJBZjh3RFFZSktvWklodmNOQVFFTEJRQURnZ0VCQUZrTmZZS1RaZUVCTjB2Qgo2d0tWVXpUcFo1ejR1NGFPRGdvd0NIeThwcVJwT3QrbDZaQVZNYWtZYmJXUjB2TmtUQUZDcERnVXRIWXJZMXN1CldQMTNveExOV1ZmMjlDZTJha3J5cGg0bTVFcEwza2hPaEdLT0hJSHEwcmFIVEFLekJwa240azRlRHZ2Q281UVMKR0FhclJuU0kwemtPbUJpbHdwK1hkRkVYSEpqUjZSWmpML2ViOUR6OGk1YmY5cUxOSWRZa2ZXNTJKZytsZk04aQo2bG9McXdEa21SL1lhSnJzZmUrcnNEbml2NUMvZnRrZ2ZFY3ZIbnBRbkJwODZYWHBjeElwOERJK0NtK2s3OWQ0CkNiNWVPemlSNlgvY3lFRUtNaWhjVHRQenN3YnNDYzBWTWs3UHE5RjVxejF4Z01RV3g4L2pCaGNqRnVuUVp1T3EKZXpBdkRUST0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo="

func TestAKindThatGoesAwayBetweenLooksIsMissing(t *testing.T) {
	w := newWorld(t)
	w.namespace("going-kind")
	crd := strings.NewReplacer("widgets.compare.example", "gadgets.going.example", "compare.example", "going.example", "Widget", "Gadget", "widget", "gadget").Replace(widgets)
	want := desired(t, "going-kind", crd+"---\napiVersion: going.example/v1\nkind: Gadget\nmetadata: {name: a}\nspec: {weight: 1}\n")
	for _, o := range want.Objects { // the definition sorts first
		if err := w.one(applier, "apply", o.DeepCopy()); err != nil {
			t.Fatal(err)
		}
	}
	d := detector(clusterOf(t, nil))
	look := func() []string {
		rep, err := d.Detect(t.Context(), kspec.Target{Name: "test"}, want)
		if err != nil {
			t.Fatal(err)
		}
		return lines(rep)
	}
	if got := look(); got != nil {
		t.Fatalf("before: %v", got)
	}
	w.do("kubectl", "delete", crd)
	wanted := []string{"Missing CustomResourceDefinition", "Missing Gadget"}
	got := look()
	for deadline := time.Now().Add(30 * time.Second); !cmp.Equal(wanted, got) && time.Now().Before(deadline); got = look() {
		if slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, "Changed") }) {
			break
		}
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheApplierIsNoPersonEvenUnderAPersonsName(t *testing.T) {
	w := newWorld(t)
	w.namespace("applied-by-kubectl")
	want := desired(t, "applied-by-kubectl", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: old}\n")
	if err := w.one("kubectl", "apply", want.Objects[0].DeepCopy()); err != nil {
		t.Fatal(err)
	}
	want.Objects[0].FieldManager = "kubectl"
	want.Objects[0].Object["data"] = map[string]any{"k": "new"}
	rep := detect(t, want)
	if len(rep.Findings) != 1 || rep.Findings[0].Fields[0].ByPerson || rep.Findings[0].Hint != "Git moved on and kubectl has not applied it yet" {
		t.Errorf("got %+v", rep.Findings)
	}
}

func TestANamespaceOnAKindThatHasNoneIsLeftOut(t *testing.T) {
	w := newWorld(t)
	want := desired(t, "", "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: no-namespace}\nrules: []\n")
	w.deliver(want)
	want.Objects[0].SetNamespace("web")
	if got := lines(detect(t, want)); got != nil {
		t.Errorf("got %v", got)
	}
}
