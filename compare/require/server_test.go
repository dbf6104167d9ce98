package require_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
	"github.com/cloudcwfranck/kspec/compare/require"
	"github.com/cloudcwfranck/kspec/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Main(m)) }

var _ require.Reader = (*compare.Walk)(nil)

func walk(t testing.TB, user string) *compare.Walk {
	t.Helper()
	cfg := rest.CopyConfig(kube.Shared(t).Config)
	cfg.Impersonate.UserName = user
	c, err := compare.NewCluster(cfg, "real")
	if err != nil {
		t.Fatal(err)
	}
	return c.Walk()
}

// create makes the objects of m in the real cluster, several at a time.
func create(t testing.TB, objects []*unstructured.Unstructured) {
	t.Helper()
	cl := kube.Shared(t).Client(t)
	kinds := []string{"Namespace", "ClusterRole", "Role", "ServiceAccount", ""}
	for _, kind := range kinds {
		var g errgroup.Group
		g.SetLimit(32)
		for _, o := range objects {
			if o.GetKind() == kind || kind == "" && !slices.Contains(kinds, o.GetKind()) {
				g.Go(func() error { return cl.Create(t.Context(), o) })
			}
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}

// scanReal looks at the real cluster as a user.
func scanReal(t testing.TB, user, spec string) kspec.Report {
	t.Helper()
	readers := require.ReadersFunc(func(context.Context, kspec.Target) (require.Reader, error) { return walk(t, user), nil })
	rep, err := require.New(nil, readers, nil).Look(t.Context(), targetOf(t, spec))
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

const realSpec = `{
	namespaceScope: {namespaceSelector: {matchLabels: {test: require}}},
	kubernetes: {minVersion: '1.30'}, podSecurity: {enforce: baseline, warn: baseline},
	network: {defaultDeny: true, allowedServiceTypes: [ClusterIP], disallowedPorts: [23]},
	workloads: {
		containers: {required: [{key: securityContext.runAsNonRoot, value: 'true'}], forbidden: [{key: hostNetwork}]},
		images: {allowedRegistries: [ghcr.io/acme], requireDigests: true}},
	rbac: {forbiddenRules: [{apiGroup: '', resource: secrets, verbs: [list]}, {apiGroup: '*', resource: '*', verbs: ['*']}]},
	admission: {required: [{type: ValidatingAdmissionPolicy, namePattern: ^require-test, minCount: 1}]},
	observability: {metrics: {required: true, providers: [require-test-prometheus]}, logging: {auditLog: {required: true}}}}`

// jobOf is a Job that a CronJob made, if there is one.
func jobOf(name, cronJob string) string {
	owner := ""
	if cronJob != "" {
		owner = ", ownerReferences: [{apiVersion: batch/v1, kind: CronJob, name: " + cronJob + ", uid: 0-2, controller: true}]"
	}
	return "{apiVersion: batch/v1, kind: Job, metadata: {name: " + name + ", namespace: require-bad" + owner +
		"}, spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: c, image: a}]}}}}"
}

// podOf is a Pod of an owner that breaks one rule.
func podOf(kind, owner string) string {
	group := map[string]string{"Job": "batch/v1", "Node": "v1"}[kind]
	return "{apiVersion: v1, kind: Pod, metadata: {name: of-" + owner + ", namespace: require-bad, ownerReferences: [{apiVersion: " + group + ", kind: " + kind +
		", name: " + owner + ", uid: 0-3, controller: true}]}, spec: {hostNetwork: true, securityContext: {runAsNonRoot: true}," +
		" containers: [{name: c, image: 'ghcr.io/acme/web@sha256:" + strings.Repeat("0", 64) + "'}]}}"
}

// A real API server fills in defaults, and brings roles of its own.
func TestTheRealAPIServer(t *testing.T) {
	create(t, cluster(t,
		"{apiVersion: v1, kind: Namespace, metadata: {name: require-good, labels: {test: require, pod-security.kubernetes.io/enforce: restricted}}}",
		"{apiVersion: v1, kind: Namespace, metadata: {name: require-bad, labels: {test: require}}}",
		"{apiVersion: v1, kind: Namespace, metadata: {name: require-out}}",
		"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: require-good}, spec: {podSelector: {}, policyTypes: [Ingress, Egress]}}",
		"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: require-bad}, spec: {podSelector: {}}}",
		"{apiVersion: v1, kind: Service, metadata: {name: telnet, namespace: require-bad}, spec: {type: NodePort, ports: [{port: 23}]}}",
		"{apiVersion: v1, kind: Service, metadata: {name: telnet, namespace: require-out}, spec: {type: NodePort, ports: [{port: 23}]}}",
		"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: require-reader}, rules: [{apiGroups: [''], resources: ['*'], verbs: [get, list]}]}",
		"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: require-reader}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: require-reader}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: bob}]}",
		"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: require-admin}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: bob}]}",
		"{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: require-test}, spec: {matchConstraints: {resourceRules: [{apiGroups: [example.com], apiVersions: [v1], resources: [nothing], operations: [CREATE]}]}, validations: [{expression: 'true'}]}}",
		jobOf("backup-1", "backup"), jobOf("backup-2", "backup"), jobOf("once", ""),
		podOf("Job", "backup-1"), podOf("Job", "backup-2"), podOf("Job", "once"), podOf("Node", "n1"), podOf("Node", "n2"),
		`{apiVersion: v1, kind: Pod, metadata: {name: web-6c8f-x, namespace: require-bad, labels: {app: require-test-prometheus, pod-template-hash: 6c8f},
		ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-6c8f, uid: 0-1, controller: true}]}, spec: {hostNetwork: true, containers: [{name: c, image: nginx, ports: [{containerPort: 23}]}]}}`,
	).objects)
	rep := scanReal(t, "", realSpec)
	want := []string{
		"high ClusterRole.rbac.authorization.k8s.io require-reader: grants list on secrets, which rbac.forbiddenRules forbids",
		"high ClusterRoleBinding.rbac.authorization.k8s.io require-admin: gives ClusterRole cluster-admin to User bob: it grants * on *.*, which rbac.forbiddenRules forbids",
		"high ClusterRoleBinding.rbac.authorization.k8s.io require-admin: gives ClusterRole cluster-admin to User bob: it grants list on secrets, which rbac.forbiddenRules forbids",
		"high ClusterSpec.kspec.io prod: 0 ValidatingAdmissionPolicy match \"^require-test\", want 1 or more",
		"high Namespace require-bad: has no label pod-security.kubernetes.io/enforce, want baseline",
		"medium Namespace require-bad: has no label pod-security.kubernetes.io/warn, want baseline",
		"high Namespace require-bad: nothing denies egress by default",
		"high Service require-bad/telnet: is of type NodePort, want ClusterIP",
		"high Service require-bad/telnet: opens port 23, which network.disallowedPorts names",
		"high CronJob.batch require-bad/backup: hostNetwork must not be set",
		"high Job.batch require-bad/once: hostNetwork must not be set",
		"high Pod require-bad/of-n1: hostNetwork must not be set",
		"high Pod require-bad/of-n2: hostNetwork must not be set",
		"high Deployment.apps require-bad/web: hostNetwork must not be set",
		"high Deployment.apps require-bad/web: opens port 23 of the host, which network.disallowedPorts names: container c",
		"high Deployment.apps require-bad/web: runs images from registries that are not among those allowed: nginx",
		"medium Deployment.apps require-bad/web: runs images that are not named by digest: nginx",
		"high Deployment.apps require-bad/web: securityContext.runAsNonRoot must be true: container c",
		"unknown: observability.auditlog: the API server runs where its arguments cannot be seen; ask whoever runs it",
	}
	slices.Sort(want)
	got := lines(rep)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if score, ok := rep.Score(); score != 22 || !ok { // two of nine, and one is not known
		t.Errorf("score %d, %+v", score, rep.Checks)
	}
	again := scanReal(t, "", realSpec)
	if diff := cmp.Diff(rep.Findings, again.Findings); diff != "" {
		t.Errorf("another look finds something else:\n%s", diff)
	}
}

// Nobody without rights sees a cluster that is good or bad.
func TestWhoMayReadNothingKnowsNothing(t *testing.T) {
	rep := scanReal(t, "nobody", realSpec)
	var got []string
	for _, c := range rep.Checks {
		got = append(got, c.Name+" "+string(c.Status))
	}
	if u := rep.Unknown[1]; !strings.HasPrefix(u.Reason, kspec.CheckNetwork+": list NetworkPolicy.networking.k8s.io: forbidden: ") ||
		!strings.Contains(u.Reason, "(let kspec list networkpolicies.networking.k8s.io, ") {
		t.Errorf("the report does not tell what right is missing: %s", u.Reason)
	}
	want := []string{kspec.CheckVersion + " pass"}
	for _, name := range checks()[1:] {
		want = append(want, name+" unknown")
	}
	if diff := cmp.Diff(want, got); diff != "" || len(rep.Findings) > 0 {
		t.Errorf("findings %v (-want +got):\n%s", lines(rep), diff)
	}
}

func TestWalkGoesThroughAllPages(t *testing.T) {
	const many = 1203
	objects := cluster(t, namespaces("require-pages")).objects
	for i := range many {
		objects = append(objects, cluster(t, fmt.Sprintf(
			"{apiVersion: v1, kind: ConfigMap, metadata: {name: c%d, namespace: require-pages, labels: {require-pages: '%t'}}}", i, i%2 == 0)).objects...)
	}
	create(t, objects)
	w := walk(t, "")
	seen := map[string]bool{}
	visit := func(object []byte) error { seen[string(object)] = true; return nil }
	kind := schema.GroupKind{Kind: "ConfigMap"}
	if err := w.Each(t.Context(), kind, "require-pages", visit); err != nil || len(seen) != many || w.Requests().List != 3 {
		t.Errorf("%v: %d objects by %d lists", err, len(seen), w.Requests().List)
	}
	clear(seen)
	if err := w.Each(t.Context(), kind, "require-pages=true", visit); err != nil || len(seen) != (many+1)/2 {
		t.Errorf("%v: %d objects", err, len(seen))
	}
	stop := fmt.Errorf("enough")
	if err := w.Each(t.Context(), kind, "", func([]byte) error { return stop }); err != stop { //nolint:errorlint // the very error
		t.Errorf("got %v", err)
	}
	if err := w.Each(t.Context(), schema.GroupKind{Group: "kyverno.io", Kind: "ClusterPolicy"}, "", visit); !meta.IsNoMatchError(err) {
		t.Errorf("a kind that is not served: %v", err)
	}
	if err := walk(t, "nobody").Each(t.Context(), kind, "", visit); err == nil || !strings.Contains(err.Error(), "list ConfigMap: forbidden") {
		t.Errorf("a kind that may not be read: %v", err)
	}
	if version, err := w.Version(t.Context()); err != nil || version != "v"+kube.Version {
		t.Errorf("version %q, %v", version, err)
	}
}

// BenchmarkScan looks at clusters of a size, on a real API server:
//
//	go test ./compare/require -run '^$' -bench Scan -benchtime 3x
func BenchmarkScan(b *testing.B) {
	const pods, inNamespaces, more = 10_000, 500, 9_500
	b.Run(fmt.Sprintf("pods=%d/namespaces=%d", pods, inNamespaces), func(b *testing.B) {
		populate(b, pods, inNamespaces)
		measure(b)
	})
	b.Run(fmt.Sprintf("pods=%d/namespaces=%d", pods, inNamespaces+more), func(b *testing.B) {
		var objects []*unstructured.Unstructured
		for i := range more {
			objects = append(objects, named("v1", "Namespace", "", fmt.Sprintf("bench-more-%d", i)))
		}
		create(b, objects)
		measure(b)
	})
}

func named(apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind}}
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

// populate makes pods, ten to a Deployment, of which one in a hundred uses the
// network of its host.
func populate(b *testing.B, pods, namespaces int) {
	b.Helper()
	cl := kube.Shared(b).Client(b)
	var objects []*unstructured.Unstructured
	for i := range namespaces {
		objects = append(objects, named("v1", "Namespace", "", fmt.Sprintf("bench-%d", i)))
	}
	create(b, objects)
	objects = nil
	for i := range pods {
		workload := i / 10
		u := named("v1", "Pod", fmt.Sprintf("bench-%d", workload%namespaces), fmt.Sprintf("web-%d-6c8f-%d", workload, i))
		u.SetLabels(map[string]string{"app": "web", "pod-template-hash": "6c8f"})
		u.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: fmt.Sprintf("web-%d-6c8f", workload), UID: "0-1", Controller: new(true)}})
		u.Object["spec"] = map[string]any{
			"hostNetwork": workload%100 == 0,
			"containers": []any{
				map[string]any{
					"name": "web", "image": "ghcr.io/acme/web:1.4.2", "args": []any{"--listen=:8080", "--log=json"},
					"env":       []any{map[string]any{"name": "A", "value": "b"}, map[string]any{"name": "C", "value": "d"}},
					"resources": map[string]any{"limits": map[string]any{"memory": "1Gi"}, "requests": map[string]any{"cpu": "100m"}},
				},
				map[string]any{"name": "proxy", "image": "ghcr.io/acme/proxy:2", "securityContext": map[string]any{"runAsNonRoot": true}},
			},
		}
		objects = append(objects, u)
	}
	var g errgroup.Group
	g.SetLimit(32)
	for _, o := range objects {
		g.Go(func() error { return client.IgnoreAlreadyExists(cl.Create(b.Context(), o)) })
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
}

func measure(b *testing.B) {
	b.Helper()
	b.ReportAllocs()
	spec := strings.Replace(realSpec, "namespaceScope: {namespaceSelector: {matchLabels: {test: require}}},", "", 1)
	var rep kspec.Report
	var peak atomic.Uint64
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	ctx, stop := context.WithCancel(b.Context())
	go func() { // how much of the heap is in use, besides what was before
		for ctx.Err() == nil {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.HeapInuse))
			time.Sleep(50 * time.Millisecond)
		}
	}()
	for b.Loop() {
		rep = scanReal(b, "", spec)
	}
	stop()
	b.ReportMetric(float64(rep.Coverage.Requests.List+rep.Coverage.Requests.Get), "requests/op")
	b.ReportMetric(float64(len(rep.Findings)), "findings/op")
	b.ReportMetric(float64(peak.Load()-min(peak.Load(), before.HeapInuse))/(1<<20), "peak-MiB")
}
