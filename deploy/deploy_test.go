package deploy_test

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	kustomizetypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
	"github.com/cloudcwfranck/kspec/test/kube"
)

const (
	userName  = "system:serviceaccount:kspec-system:kspec"
	namespace = "kspec-system"
)

func TestMain(m *testing.M) { os.Exit(kube.Main(m)) }

// build runs Kustomize on a folder, on disk, and returns its objects.
func build(t *testing.T, fsys filesys.FileSystem, dir string) []*unstructured.Unstructured {
	t.Helper()
	options := krusty.MakeDefaultOptions()
	options.PluginConfig = kustomizetypes.DisabledPluginConfig()
	resources, err := krusty.MakeKustomizer(options).Run(fsys, dir)
	if err != nil {
		t.Fatalf("build %s: %v", dir, err)
	}
	var objects []*unstructured.Unstructured
	for _, r := range resources.Resources() {
		data, err := r.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		u := new(unstructured.Unstructured)
		if err := u.UnmarshalJSON(data); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, u)
	}
	if len(objects) == 0 {
		t.Fatalf("%s gives no object", dir)
	}
	return objects
}

// find returns the one object of a kind whose name begins so.
func find(t *testing.T, objects []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	t.Helper()
	i := slices.IndexFunc(objects, func(u *unstructured.Unstructured) bool {
		return u.GetKind() == kind && strings.HasPrefix(u.GetName(), name)
	})
	if i < 0 {
		t.Fatalf("no %s %s", kind, name)
	}
	return objects[i]
}

func TestEveryKustomizationBuilds(t *testing.T) {
	built := 0
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "kustomization.yaml" || strings.HasPrefix(path, "components/") {
			return err
		}
		built++
		build(t, filesys.MakeFsOnDisk(), filepath.Dir(path))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if built < 5 {
		t.Errorf("built %d folders, want at least 5", built)
	}
}

// overlay builds base with patches and components on top, as Flux and Argo CD
// do.
func overlay(t *testing.T, patches []any, components ...string) []*unstructured.Unstructured {
	t.Helper()
	k, err := yaml.Marshal(map[string]any{
		"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
		"resources": []string{"../base"}, "patches": patches, "components": components,
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "overlay"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay", "kustomization.yaml"), k, 0o644); err != nil {
		t.Fatal(err)
	}
	return build(t, filesys.MakeFsOnDisk(), filepath.Join(dir, "overlay"))
}

func TestExamplesNameTheConfigRepo(t *testing.T) {
	for dir, at := range map[string]struct {
		kind   string
		fields []string
	}{
		"flux":   {"Kustomization", []string{"spec", "patches"}},
		"argocd": {"Application", []string{"spec", "source", "kustomize", "patches"}},
	} {
		example := find(t, build(t, filesys.MakeFsOnDisk(), dir), at.kind, "kspec")
		patches, ok, err := unstructured.NestedSlice(example.Object, at.fields...)
		if !ok || err != nil {
			t.Fatalf("%s: no patches: %v", dir, err)
		}
		objects := overlay(t, patches)
		config := find(t, objects, "ConfigMap", "kspec-config-")
		repo, _, _ := unstructured.NestedString(config.Object, "data", "repo")
		if repo != "https://github.com/acme/config" {
			t.Errorf("%s: the repo is %q", dir, repo)
		}
		text, err := yaml.Marshal(find(t, objects, "Deployment", "kspec").Object)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), config.GetName()) {
			t.Errorf("%s: the Deployment does not read %s", dir, config.GetName())
		}
	}
}

func TestSecretsAreReadOnlyWhenAskedFor(t *testing.T) {
	grants := func(objects []*unstructured.Unstructured) bool {
		for _, u := range objects {
			var role rbacv1.ClusterRole
			if u.GetKind() != "ClusterRole" && u.GetKind() != "Role" {
				continue
			}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &role); err != nil {
				t.Fatal(err)
			}
			for _, rule := range role.Rules {
				core := slices.Contains(rule.APIGroups, "") || slices.Contains(rule.APIGroups, "*")
				if core && (slices.Contains(rule.Resources, "secrets") || slices.Contains(rule.Resources, "*")) {
					return true
				}
			}
		}
		return false
	}
	if grants(build(t, filesys.MakeFsOnDisk(), "base")) {
		t.Error("base grants Secrets")
	}
	if !grants(overlay(t, nil, "../components/secrets")) {
		t.Error("the component grants no Secrets")
	}
}

// Without the right to patch kspec reads the same kinds, and is told not to try
// a dry run.
func TestReadOnlyReadsTheSameAndPatchesNothing(t *testing.T) {
	rules := func(objects []*unstructured.Unstructured) (reads, patches []string) {
		var role rbacv1.ClusterRole
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(find(t, objects, "ClusterRole", "kspec-builtin").Object, &role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				name := strings.Join(rule.APIGroups, ",") + "/" + resource
				if slices.Contains(rule.Verbs, "get") {
					reads = append(reads, name)
				}
				if slices.ContainsFunc(rule.Verbs, func(verb string) bool { return !slices.Contains([]string{"get", "list", "watch"}, verb) }) {
					patches = append(patches, name)
				}
			}
		}
		return reads, patches
	}
	objects := overlay(t, nil, "../components/read-only")
	all, _ := rules(build(t, filesys.MakeFsOnDisk(), "base"))
	reads, patches := rules(objects)
	if diff := cmp.Diff(all, reads); diff != "" {
		t.Errorf("reads (-base +read-only):\n%s", diff)
	}
	own := []string{"kspec.io/alertconfigs/status", "kspec.io/clusterspecs/status", "kspec.io/clustertargets/status"}
	if diff := cmp.Diff(own, patches); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	text, err := yaml.Marshal(find(t, objects, "Deployment", "kspec").Object)
	if err != nil || !strings.Contains(string(text), "- --no-dry-run") {
		t.Errorf("kspec is not told (%v):\n%s", err, text)
	}
}

// install applies base with the Secrets component, as Flux would, and waits
// until the fence stands.
func install(t *testing.T) (admin client.Client, cfg *rest.Config) {
	t.Helper()
	cluster := kube.Shared(t)
	admin = cluster.Client(t)
	objects := overlay(t, nil, "../components/secrets")
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int { return order(a) - order(b) })
	for _, u := range objects {
		apply(t, admin, u)
	}
	cfg = rest.CopyConfig(cluster.Config)
	cfg.Impersonate = rest.ImpersonationConfig{
		UserName: userName,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
	as, err := client.New(cfg, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	probe := configMap("default", "fence-probe")
	apply(t, admin, probe.DeepCopy())
	eventually(t, "the fence stands", func() bool {
		err := as.Patch(t.Context(), probe.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"probed":"yes"}}}`)))
		return err != nil && strings.Contains(err.Error(), "kspec-fence")
	})
	return admin, cfg
}

func order(u *unstructured.Unstructured) int {
	return slices.Index([]string{"ConfigMap", "Deployment", "NetworkPolicy", "Service"}, u.GetKind())
}

func apply(t *testing.T, c client.Client, u *unstructured.Unstructured) {
	t.Helper()
	err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("kustomize-controller"))
	if err != nil {
		t.Fatalf("apply %s %s: %v", u.GetKind(), u.GetName(), err)
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 300 {
		if done() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("not within 30 s: %s", what)
}

func object(apiVersion, kind, namespace, name string, fields map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	maps.Copy(u.Object, fields)
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

func configMap(namespace, name string) *unstructured.Unstructured {
	return object("v1", "ConfigMap", namespace, name, map[string]any{"data": map[string]any{"a": "b"}})
}

func deployment(namespace, name string) *unstructured.Unstructured {
	labels := map[string]any{"app": name}
	return object("apps/v1", "Deployment", namespace, name, map[string]any{"spec": map[string]any{
		"selector": map[string]any{"matchLabels": labels},
		"template": map[string]any{
			"metadata": map[string]any{"labels": labels},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "a", "image": "a:1"}}},
		},
	}})
}

func networkPolicy(namespace, name string) *unstructured.Unstructured {
	return object("networking.k8s.io/v1", "NetworkPolicy", namespace, name,
		map[string]any{"spec": map[string]any{"podSelector": map[string]any{}}})
}

func secret(namespace, name string) *unstructured.Unstructured {
	return object("v1", "Secret", namespace, name, map[string]any{"stringData": map[string]any{"a": "b"}})
}

func policy(name string) *unstructured.Unstructured {
	return object("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "", name, map[string]any{"spec": map[string]any{
		"matchConstraints": map[string]any{"resourceRules": []any{map[string]any{
			"apiGroups": []any{""}, "apiVersions": []any{"v1"}, "operations": []any{"CREATE"}, "resources": []any{"pods"},
		}}},
		"validations": []any{map[string]any{"expression": "true"}},
	}})
}

func lease(namespace, name string) *unstructured.Unstructured {
	return object("coordination.k8s.io/v1", "Lease", namespace, name, map[string]any{"spec": map[string]any{"holderIdentity": "a"}})
}

func event(namespace, name string) *unstructured.Unstructured {
	return object("v1", "Event", namespace, name, map[string]any{
		"involvedObject": map[string]any{"kind": "Lease", "namespace": namespace, "name": "kspec"}, "reason": "LeaderElection", "type": "Normal",
	})
}

func clusterSpec(namespace, name string) *unstructured.Unstructured {
	return object("kspec.io/v1alpha1", "ClusterSpec", namespace, name, map[string]any{"spec": map[string]any{}})
}

// grantEverything gives kspec's account the rights of cluster-admin, so that
// only the fence stands between it and the cluster.
func grantEverything(t *testing.T, admin client.Client) {
	t.Helper()
	u := object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "", "kspec-everything", map[string]any{
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": "kspec", "namespace": namespace}},
	})
	apply(t, admin, u)
	t.Cleanup(func() {
		if err := admin.Delete(context.WithoutCancel(t.Context()), u); err != nil {
			t.Error(err)
		}
	})
}

func TestOnARealCluster(t *testing.T) {
	admin, cfg := install(t)
	account, err := client.New(cfg, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, admin, object("v1", "Namespace", "", "team", nil))
	live := []*unstructured.Unstructured{
		configMap("team", "live"), deployment("team", "live"), networkPolicy("team", "live"), secret("team", "live"),
		configMap(namespace, "live"), clusterSpec(namespace, "live"),
	}
	for _, u := range live {
		apply(t, admin, u.DeepCopy())
	}
	own := find(t, build(t, filesys.MakeFsOnDisk(), "base"), "Deployment", "kspec")

	t.Run("kspec looks and dry-runs", func(t *testing.T) {
		for _, u := range append(live, own) {
			got := u.DeepCopy()
			if err := account.Get(t.Context(), client.ObjectKeyFromObject(u), got); err != nil {
				t.Errorf("get %s: %v", u.GetKind(), err)
			}
			err := account.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u.DeepCopy()),
				client.FieldOwner("kustomize-controller"), client.ForceOwnership, client.DryRunAll)
			if err != nil {
				t.Errorf("dry-run of %s: %v", u.GetKind(), err)
			}
		}
	})

	t.Run("kspec finds drift", func(t *testing.T) { findDrift(t, admin, cfg) })

	t.Run("kspec has no right to write policies", func(t *testing.T) {
		apply := client.ApplyConfigurationFromUnstructured(policy("other"))
		for _, o := range []client.ApplyOption{client.DryRunAll, client.ForceOwnership} {
			err := account.Apply(t.Context(), apply, client.FieldOwner("a"), o)
			if !apierrors.IsForbidden(err) || strings.Contains(err.Error(), "kspec-fence") {
				t.Errorf("patch of a policy: %v, want RBAC to forbid it", err)
			}
		}
	})

	t.Run("kspec writes its own lease, events and status", func(t *testing.T) {
		for _, u := range []*unstructured.Unstructured{lease(namespace, "kspec"), event(namespace, "kspec.1")} {
			if err := account.Create(t.Context(), u); err != nil {
				t.Errorf("create %s: %v", u.GetKind(), err)
				continue
			}
			u.SetAnnotations(map[string]string{"renewed": "yes"})
			if err := account.Update(t.Context(), u); err != nil {
				t.Errorf("update %s: %v", u.GetKind(), err)
			}
		}
		spec := clusterSpec(namespace, "live")
		if err := account.Get(t.Context(), client.ObjectKeyFromObject(spec), spec); err != nil {
			t.Fatal(err)
		}
		spec.Object["status"] = map[string]any{"observedRevision": "main@sha1:0"}
		if err := account.Status().Update(t.Context(), spec); err != nil {
			t.Errorf("update status: %v", err)
		}
	})

	t.Run("nothing else, by the rights of base", func(t *testing.T) { denyWrites(t, account, live, own) })

	t.Run("others write", func(t *testing.T) {
		u := configMap("team", "by-admin")
		if err := admin.Create(t.Context(), u); err != nil {
			t.Error(err)
		}
		if err := admin.Delete(t.Context(), u); err != nil {
			t.Error(err)
		}
	})

	t.Run("nothing else, even by all rights", func(t *testing.T) {
		grantEverything(t, admin)
		eventually(t, "kspec has all rights", func() bool {
			return account.Create(t.Context(), deployment("team", "probe"), client.DryRunAll) == nil
		})
		denyWrites(t, account, live, own)
		t.Run("by the fence", func(t *testing.T) { fenced(t, account, cfg) })
	})
}

// findDrift changes a few objects by hand and lets the stage that compares
// look, by the rights of base.
func findDrift(t *testing.T, admin client.Client, cfg *rest.Config) {
	t.Helper()
	changes := map[*unstructured.Unstructured]string{
		deployment("team", "drift"):    `{"spec":{"replicas":5}}`,
		configMap("team", "drift"):     `{"data":{"a":"changed"}}`,
		networkPolicy("team", "drift"): `{"spec":{"podSelector":{"matchLabels":{"a":"b"}}}}`,
		secret("team", "drift"):        `{"data":{"a":"Y2hhbmdlZA=="}}`,
		policy("drift"):                `{"spec":{"validations":[{"expression":"1 == 1"}]}}`,
	}
	want := kspec.Desired{}
	var drifted []string
	for u, change := range changes {
		if u.GetKind() == "Deployment" {
			u.Object["spec"].(map[string]any)["replicas"] = int64(1)
		}
		for _, name := range []string{"drift", "same"} {
			object := u.DeepCopy()
			object.SetName(name)
			if object.GetKind() == "Secret" { // as Git holds it, but for stringData, which is not kept
				object.Object["data"] = map[string]any{"a": "Yg=="}
				delete(object.Object, "stringData")
			}
			apply(t, admin, object.DeepCopy())
			want.Objects = append(want.Objects, kspec.Object{Unstructured: object, FieldManager: "kustomize-controller"})
		}
		patch := client.RawPatch(types.MergePatchType, []byte(change))
		if err := admin.Patch(t.Context(), u.DeepCopy(), patch, client.FieldOwner("kubectl-edit")); err != nil {
			t.Fatal(err)
		}
		drifted = append(drifted, u.GetKind()+" drift")
	}
	kspec.SortObjects(want.Objects)
	cluster, err := compare.NewCluster(cfg, "test")
	if err != nil {
		t.Fatal(err)
	}
	detector := compare.New(compare.ClustersFunc(func(context.Context, kspec.Target) (*compare.Cluster, error) {
		return cluster, nil
	}), compare.Options{})
	rep, err := detector.Detect(t.Context(), kspec.Target{Name: "test"}, want)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range rep.Findings {
		found = append(found, f.Object.Kind+" "+f.Object.Name)
	}
	slices.Sort(drifted)
	slices.Sort(found)
	if diff := cmp.Diff(drifted, slices.Compact(found)); diff != "" {
		t.Errorf("drift (-want +found):\n%s", diff)
	}
	for _, u := range rep.Unknown {
		t.Errorf("not looked at: %s: %s", u.Object, u.Reason)
	}
}

// denyWrites tries every way to write to objects that are there, and to make
// new ones.
func denyWrites(t *testing.T, account client.Client, live []*unstructured.Unstructured, own *unstructured.Unstructured) {
	t.Helper()
	fresh := []*unstructured.Unstructured{
		configMap("team", "new"), deployment("team", "new"), networkPolicy("team", "new"), secret("team", "new"),
		configMap(namespace, "new"), clusterSpec(namespace, "new"), object("v1", "Namespace", "", "new", nil),
		lease(namespace, "other"), lease("team", "kspec"), event("team", "e"),
	}
	for _, u := range fresh {
		denied(t, "create", u, account.Create(t.Context(), u.DeepCopy()))
		denied(t, "apply", u, account.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u.DeepCopy()), client.FieldOwner("a")))
	}
	for _, u := range append(slices.Clone(live), own) {
		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"changed":"yes"}}}`))
		denied(t, "patch", u, account.Patch(t.Context(), u.DeepCopy(), patch))
		denied(t, "apply", u, account.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u.DeepCopy()),
			client.FieldOwner("kustomize-controller"), client.ForceOwnership))
		changed := u.DeepCopy()
		if err := account.Get(t.Context(), client.ObjectKeyFromObject(u), changed); err != nil {
			t.Errorf("get %s: %v", u.GetKind(), err)
		}
		changed.SetAnnotations(map[string]string{"changed": "yes"})
		denied(t, "update", u, account.Update(t.Context(), changed))
		denied(t, "delete", u, account.Delete(t.Context(), u.DeepCopy()))
		denied(t, "delete all", u, account.DeleteAllOf(t.Context(), u.DeepCopy(), client.InNamespace(u.GetNamespace())))
	}
}

func denied(t *testing.T, verb string, u *unstructured.Unstructured, err error) {
	t.Helper()
	if !apierrors.IsForbidden(err) {
		t.Errorf("%s of %s %s/%s: got %v, want Forbidden", verb, u.GetKind(), u.GetNamespace(), u.GetName(), err)
	}
}

// fenced tries what only a cluster-admin can.
func fenced(t *testing.T, account client.Client, cfg *rest.Config) {
	t.Helper()
	fence := func(what string, err error) {
		t.Helper()
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "kspec-fence") {
			t.Errorf("%s: got %v, want the fence to deny it", what, err)
		}
	}
	role := object("rbac.authorization.k8s.io/v1", "ClusterRole", "", "new", map[string]any{"rules": []any{}})
	fence("create a ClusterRole", account.Create(t.Context(), role))
	crd := object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "clusterspecs.kspec.io", nil)
	fence("delete its own CRD", account.Delete(t.Context(), crd))
	fence("delete its own lease", account.Delete(t.Context(), lease(namespace, "kspec")))
	scale := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":0}}`))
	fence("scale", account.SubResource("scale").Patch(t.Context(), deployment("team", "live"), scale))
	status := client.RawPatch(types.MergePatchType, []byte(`{"status":{"replicas":7}}`))
	fence("status of others", account.Status().Patch(t.Context(), deployment("team", "live"), status))

	set, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	pod := restricted("run")
	if _, err := set.CoreV1().Pods("team").Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{"All"}}); err != nil {
		t.Errorf("dry-run of a Pod: %v", err)
	}
	_, err = set.CoreV1().Pods("team").Create(t.Context(), pod, metav1.CreateOptions{})
	fence("run a Pod", err)
	err = set.CoreV1().RESTClient().Post().AbsPath("/api/v1/namespaces/kube-system/services/kubernetes/proxy").Do(t.Context()).Error()
	fence("proxy through a Service", err)
}

func restricted(name string) *corev1.Pod {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a:1"}}}}
	pod.Name = name
	return pod
}

// The Pod of the Deployment passes the level that its namespace enforces; a
// plain one does not, so the level is in force.
func TestPodIsRestricted(t *testing.T) {
	admin, _ := install(t)
	own := find(t, build(t, filesys.MakeFsOnDisk(), "base"), "Deployment", "kspec")
	template, ok, err := unstructured.NestedMap(own.Object, "spec", "template")
	if !ok || err != nil {
		t.Fatal("no template", err)
	}
	apply(t, admin, object("v1", "ServiceAccount", namespace, "kspec", nil))
	pod := &unstructured.Unstructured{Object: template}
	pod.SetAPIVersion("v1")
	pod.SetKind("Pod")
	pod.SetNamespace(namespace)
	pod.SetName("kspec-0")
	if err := admin.Create(t.Context(), pod, client.DryRunAll); err != nil {
		t.Errorf("the Pod is refused: %v", err)
	}
	plain := restricted("plain")
	plain.Namespace, plain.Spec.ServiceAccountName = namespace, "kspec"
	if err := admin.Create(t.Context(), plain, client.DryRunAll); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "PodSecurity") {
		t.Errorf("a plain Pod: got %v, want Pod Security to refuse it", err)
	}
}

// What is granted for dry-runs exists: a misspelt resource grants nothing.
func TestEveryGrantedKindExists(t *testing.T) {
	install(t)
	cluster := kube.Shared(t)
	set, err := kubernetes.NewForConfig(cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	_, lists, err := set.Discovery().ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	known := map[schema.GroupResource]bool{
		// Of the delivery engines, which are not installed here.
		{Group: "kustomize.toolkit.fluxcd.io", Resource: "kustomizations"}: true,
		{Group: "argoproj.io", Resource: "applications"}:                   true,
		// Of Kyverno, metrics-server and the operator of Prometheus, likewise.
		{Group: "kyverno.io", Resource: "clusterpolicies"}:                  true,
		{Group: "policies.kyverno.io", Resource: "imagevalidatingpolicies"}: true,
		{Group: "policies.kyverno.io", Resource: "mutatingpolicies"}:        true,
		{Group: "policies.kyverno.io", Resource: "validatingpolicies"}:      true,
		{Group: "metrics.k8s.io", Resource: "nodes"}:                        true,
		{Group: "monitoring.coreos.com", Resource: "prometheuses"}:          true,
	}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list.APIResources {
			known[schema.GroupResource{Group: gv.Group, Resource: r.Name}] = true
		}
	}
	roles := &rbacv1.ClusterRoleList{}
	if err := cluster.Client(t).List(t.Context(), roles); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, role := range roles.Items {
		if !strings.HasPrefix(role.Name, "kspec-") {
			continue
		}
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					checked++
					if resource != "*" && !known[schema.GroupResource{Group: group, Resource: resource}] {
						t.Errorf("ClusterRole %s grants %s of %q, which is nothing", role.Name, resource, group)
					}
				}
			}
		}
	}
	if checked == 0 {
		t.Error("no role was looked at")
	}
}

// The names in the fence are those of the account and the Lease that the
// Deployment uses.
func TestFenceIsAroundTheAccountOfTheDeployment(t *testing.T) {
	objects := build(t, filesys.MakeFsOnDisk(), "base")
	own := find(t, objects, "Deployment", "kspec")
	name, _, _ := unstructured.NestedString(own.Object, "spec", "template", "spec", "serviceAccountName")
	fence, err := yaml.Marshal(find(t, objects, "ValidatingAdmissionPolicy", "kspec-fence").Object)
	if err != nil {
		t.Fatal(err)
	}
	if want := "system:serviceaccount:" + own.GetNamespace() + ":" + name; !strings.Contains(string(fence), want) || want != userName {
		t.Errorf("the fence is not around %s", want)
	}
}

// What kspec may list it may also watch, or it would have to look at intervals.
func TestWhatMayBeListedMayBeWatched(t *testing.T) {
	listed := 0
	for _, u := range overlay(t, nil, "../components/secrets") {
		if u.GetKind() != "ClusterRole" {
			continue
		}
		var role rbacv1.ClusterRole
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			if !slices.Contains(rule.Verbs, "list") {
				continue
			}
			if listed++; !slices.Contains(rule.Verbs, "watch") {
				t.Errorf("%s: %v may be listed, but not watched", role.Name, rule.Resources)
			}
		}
	}
	if listed == 0 {
		t.Error("nothing may be listed")
	}
}
