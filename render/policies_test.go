package render_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/render"
	"github.com/cloudcwfranck/kspec/test/kube"
)

const digest = "registry.example/app@sha256:" + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// good is a pod that every rule of every template that comes with kspec lets
// through.
func good() corev1.PodSpec {
	container := corev1.Container{
		Name: "app", Image: digest,
		SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: new(bool)},
		Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("64Mi"),
		}},
	}
	prepare := *container.DeepCopy()
	prepare.Name = "prepare"
	return corev1.PodSpec{
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true)},
		InitContainers:  []corev1.Container{prepare},
		Containers:      []corev1.Container{container},
		RestartPolicy:   corev1.RestartPolicyAlways,
	}
}

// violations breaks each rule in each way that counts.
func violations() []violation {
	return []violation{
		{"privileged", "container", func(p *corev1.PodSpec) {
			p.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
		}},
		{"privileged", "init container", func(p *corev1.PodSpec) {
			p.InitContainers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
		}},
		{"host-network", "pod", func(p *corev1.PodSpec) { p.HostNetwork = true }},
		{"privilege-escalation", "unset", func(p *corev1.PodSpec) { p.Containers[0].SecurityContext = nil }},
		{"privilege-escalation", "init container", func(p *corev1.PodSpec) {
			p.InitContainers[0].SecurityContext.AllowPrivilegeEscalation = new(true)
		}},
		{"run-as-non-root", "unset", func(p *corev1.PodSpec) { p.SecurityContext = nil }},
		{"run-as-non-root", "container overrides pod", func(p *corev1.PodSpec) {
			p.Containers[0].SecurityContext.RunAsNonRoot = new(false)
		}},
		{"cpu-limits", "container", func(p *corev1.PodSpec) { delete(p.Containers[0].Resources.Limits, "cpu") }},
		{"memory-limits", "container", func(p *corev1.PodSpec) { delete(p.Containers[0].Resources.Limits, "memory") }},
		{"memory-limits", "init container", func(p *corev1.PodSpec) { delete(p.InitContainers[0].Resources.Limits, "memory") }},
		{"image-digests", "tag", func(p *corev1.PodSpec) { p.Containers[0].Image = "registry.example/app:1.2.3" }},
		{"image-digests", "init container", func(p *corev1.PodSpec) { p.InitContainers[0].Image = "registry.example/app" }},
	}
}

type violation struct {
	rule, how string
	apply     func(*corev1.PodSpec)
}

// makers wraps a pod into every kind that makes pods.
func makers(namespace string, spec corev1.PodSpec) map[string]client.Object {
	meta := metav1.ObjectMeta{Name: "app", Namespace: namespace}
	labels := map[string]string{"app": "app"}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	once := *template.DeepCopy()
	once.Spec.RestartPolicy = corev1.RestartPolicyNever
	job := batchv1.JobSpec{Template: once}
	return map[string]client.Object{
		"PodTemplate":           &corev1.PodTemplate{ObjectMeta: meta, Template: template},
		"Pod":                   &corev1.Pod{ObjectMeta: meta, Spec: spec},
		"ReplicationController": &corev1.ReplicationController{ObjectMeta: meta, Spec: corev1.ReplicationControllerSpec{Selector: labels, Template: &template}},
		"Deployment":            &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Selector: selector, Template: template}},
		"ReplicaSet":            &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Selector: selector, Template: template}},
		"DaemonSet":             &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}},
		"StatefulSet":           &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Selector: selector, Template: template}},
		"Job":                   &batchv1.Job{ObjectMeta: meta, Spec: job},
		"CronJob":               &batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{Schedule: "0 * * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: job}}},
	}
}

// deliver renders both templates for one namespace and applies them to the
// cluster, without the Namespace, whose labels would deny before they do.
func deliver(t *testing.T, c client.Client, namespace string, mode kspec.Enforcement, baseline map[string]any) {
	t.Helper()
	if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	want := mustRender(t, kspec.Target{
		Name: namespace, Enforcement: mode, Scope: kspec.Scope{Include: []string{namespace}},
		Templates: []kspec.TemplateUse{{Name: "security-baseline", Parameters: baseline}, {Name: "compliance-strict"}},
		Delivery:  kspec.Delivery{FieldManager: "kubectl"},
	}, fstest.MapFS{})
	for _, o := range want.Objects {
		if o.GetKind() == "Namespace" {
			continue
		}
		if err := c.Create(t.Context(), o.DeepCopy()); err != nil {
			t.Fatalf("create %s: %v", o.ID(), err)
		}
		t.Cleanup(func() { _ = c.Delete(context.WithoutCancel(t.Context()), o.Unstructured) })
	}
}

// mustRender renders without anything unknown.
func mustRender(t testing.TB, target kspec.Target, files fstest.MapFS) kspec.Desired {
	t.Helper()
	want, err := render.New(render.Options{}).Render(t.Context(), target, kspec.Tree{FS: files})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range want.Unknown {
		t.Fatalf("unknown: %s", u.Reason)
	}
	return want
}

// eventually waits until the API server has taken the policies in.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Errorf("%s: %v", what, err)
}

func TestEnforcedPoliciesDenyEveryViolationInEveryKindThatMakesPods(t *testing.T) {
	c := kube.Shared(t).Client(t)
	deliver(t, c, "enforced", kspec.Enforce, nil)
	// The API itself refuses a privileged container that may not escalate, so
	// that rule is seen alone only where escalation is allowed.
	deliver(t, c, "relaxed", kspec.Enforce, map[string]any{"allowPrivilegeEscalation": true})
	for _, v := range violations() {
		spec := good()
		v.apply(&spec)
		namespace := "enforced"
		if v.rule == "privileged" {
			namespace = "relaxed"
		}
		for kind, object := range makers(namespace, spec) {
			t.Run(v.rule+"/"+v.how+"/"+kind, func(t *testing.T) {
				eventually(t, "create", func() error {
					err := c.Create(t.Context(), object.DeepCopyObject().(client.Object), client.DryRunAll)
					if err == nil || !strings.Contains(err.Error(), "'kspec-"+namespace+"-"+v.rule+"'") {
						return fmt.Errorf("want a denial by %s, got: %w", v.rule, err)
					}
					return nil
				})
			})
		}
	}
	for kind, object := range makers("enforced", good()) {
		t.Run("good/"+kind, func(t *testing.T) {
			if err := c.Create(t.Context(), object, client.DryRunAll); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("ephemeral containers count", func(t *testing.T) {
		pod := makers("relaxed", good())["Pod"].(*corev1.Pod)
		if err := c.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		debug := corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: "debug", Image: digest, SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: new(bool)},
		}}
		allowed := pod.DeepCopy()
		allowed.Spec.EphemeralContainers = append(allowed.Spec.EphemeralContainers, debug)
		if err := c.SubResource("ephemeralcontainers").Update(t.Context(), allowed, &client.SubResourceUpdateOptions{UpdateOptions: client.UpdateOptions{DryRun: []string{metav1.DryRunAll}}}); err != nil {
			t.Errorf("a good ephemeral container is refused: %v", err)
		}
		debug.SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
		denied := pod.DeepCopy()
		denied.Spec.EphemeralContainers = append(denied.Spec.EphemeralContainers, debug)
		err := c.SubResource("ephemeralcontainers").Update(t.Context(), denied)
		if err == nil || !strings.Contains(err.Error(), "kspec-relaxed-privileged") {
			t.Errorf("want a privileged ephemeral container to be denied, got: %v", err)
		}
	})
}

func TestWhatRanBeforeThePolicyCanStillBeScaledAndDeleted(t *testing.T) {
	c := kube.Shared(t).Client(t)
	if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "old"}}); err != nil {
		t.Fatal(err)
	}
	spec := good()
	spec.HostNetwork = true
	old := makers("old", spec)["Deployment"].(*appsv1.Deployment)
	old.Finalizers = []string{"example.com/wait"}
	if err := c.Create(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	want := mustRender(t, kspec.Target{
		Name: "old", Enforcement: kspec.Enforce, Scope: kspec.Scope{Include: []string{"old"}},
		Templates: []kspec.TemplateUse{{Name: "security-baseline"}},
	}, fstest.MapFS{})
	for _, o := range want.Objects {
		if o.GetKind() != "Namespace" {
			if err := c.Create(t.Context(), o.Unstructured); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "a new violation", func() error {
		if err := c.Create(t.Context(), makers("old", spec)["Pod"], client.DryRunAll); err == nil {
			return fmt.Errorf("not denied yet")
		}
		return nil
	})
	old.Spec.Replicas = new(int32(0))
	old.Finalizers = nil
	if err := c.Update(t.Context(), old); err != nil {
		t.Errorf("scale down and drop a finalizer: %v", err)
	}
	old.Spec.Template.Spec.Containers[0].Image = digest[:len(digest)-1] + "0"
	if err := c.Update(t.Context(), old); err == nil {
		t.Error("a new version of the old violation is let through")
	}
}

// A rule that reads the object, and not its pods alone, holds on every change.
func TestARuleAboutTheObjectHoldsWhenThePodsStay(t *testing.T) {
	c := kube.Shared(t).Client(t)
	if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "owned"}}); err != nil {
		t.Fatal(err)
	}
	want := mustRender(t, kspec.Target{
		Name: "owned", Enforcement: kspec.Enforce, Scope: kspec.Scope{Include: []string{"owned"}},
		Templates: []kspec.TemplateUse{{Name: "own"}},
	}, tree(ruled("own", "{}", "  - name: team\n    subjects: [pods]\n    expression: size(allContainers) > 0 && object.metadata.?labels.?team.hasValue()\n")))
	for _, o := range want.Objects {
		if err := c.Create(t.Context(), o.Unstructured); err != nil {
			t.Fatal(err)
		}
	}
	web := makers("owned", good())["Deployment"].(*appsv1.Deployment)
	eventually(t, "no team", func() error {
		if err := c.Create(t.Context(), web.DeepCopy(), client.DryRunAll); err == nil {
			return fmt.Errorf("not denied yet")
		}
		return nil
	})
	web.Labels = map[string]string{"team": "shop"}
	if err := c.Create(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	web.Spec.Replicas = new(int32(0))
	if err := c.Update(t.Context(), web); err != nil {
		t.Errorf("scale it: %v", err)
	}
	web.Labels = nil
	if err := c.Update(t.Context(), web); err == nil || !strings.Contains(err.Error(), "'kspec-owned-team'") {
		t.Errorf("the team is taken away: %v", err)
	}
}

// What the API server serves and says to hold a pod must be a subject of rules
// about pods, also when a later version has more kinds.
func TestSubjectPodsIsEveryKindOfTheAPIServerThatMakesPods(t *testing.T) {
	discover, err := discovery.NewDiscoveryClientForConfig(kube.Shared(t).Config)
	if err != nil {
		t.Fatal(err)
	}
	document, err := discover.OpenAPISchema()
	if err != nil {
		t.Fatal(err)
	}
	refs := map[string][]string{}
	kinds := map[string]string{} // by the name of their schema
	for _, s := range document.GetDefinitions().GetAdditionalProperties() {
		for _, p := range s.GetValue().GetProperties().GetAdditionalProperties() {
			refs[s.GetName()] = append(refs[s.GetName()], p.GetValue().GetXRef())
		}
		for _, e := range s.GetValue().GetVendorExtension() {
			if e.GetName() != "x-kubernetes-group-version-kind" {
				continue
			}
			var all []metav1.GroupVersionKind
			if err := yaml.Unmarshal([]byte(e.GetValue().GetYaml()), &all); err != nil {
				t.Fatal(err)
			}
			if len(all) == 1 {
				kinds[s.GetName()] = all[0].Group + "/" + all[0].Version + "/" + all[0].Kind
			}
		}
	}
	var makes func(name string) bool
	makes = func(name string) bool {
		return slices.ContainsFunc(refs[name], func(ref string) bool {
			ref = strings.TrimPrefix(ref, "#/definitions/")
			return ref == "io.k8s.api.core.v1.PodSpec" || ref != name && makes(ref)
		})
	}
	var got []string
	for name, kind := range kinds {
		if makes(name) {
			got = append(got, kind)
		}
	}
	slices.Sort(got)
	want := []string{
		"/v1/Pod", "/v1/PodTemplate", "/v1/ReplicationController",
		"apps/v1/DaemonSet", "apps/v1/Deployment", "apps/v1/ReplicaSet", "apps/v1/StatefulSet", "batch/v1/CronJob", "batch/v1/Job",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("make the kinds subjects of rules about pods:\n%s", diff)
	}
	vap := find(t, mustRender(t, using("security-baseline", nil), fstest.MapFS{}), "ValidatingAdmissionPolicy", "kspec-prod-privileged")
	rules, _, _ := unstructured.NestedSlice(vap.Object, "spec", "matchConstraints", "resourceRules")
	count := 0
	for _, r := range rules {
		for _, resource := range r.(map[string]any)["resources"].([]any) {
			if !strings.Contains(resource.(string), "/") {
				count++
			}
		}
	}
	if count != len(want) {
		t.Errorf("the rules are about %d resources, want %d: %v", count, len(want), rules)
	}
}

// warnings collects what the API server warns of.
type warnings struct {
	sync.Mutex
	texts []string
}

func (w *warnings) HandleWarningHeader(_ int, _ string, text string) {
	w.Lock()
	defer w.Unlock()
	w.texts = append(w.texts, text)
}

func (w *warnings) take() string {
	w.Lock()
	defer w.Unlock()
	all := strings.Join(w.texts, "\n")
	w.texts = nil
	return all
}

func TestAuditedPoliciesWarnAndLetThrough(t *testing.T) {
	heard := &warnings{}
	cfg := rest.CopyConfig(kube.Shared(t).Config)
	cfg.WarningHandler = heard
	c, err := client.New(cfg, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, c, "audited", kspec.Audit, nil)
	for _, v := range violations() {
		spec := good()
		v.apply(&spec)
		for _, kind := range []string{"Pod", "Deployment"} {
			t.Run(v.rule+"/"+v.how+"/"+kind, func(t *testing.T) {
				eventually(t, "create", func() error {
					heard.take()
					if err := c.Create(t.Context(), makers("audited", spec)[kind], client.DryRunAll); err != nil {
						return err
					}
					if text := heard.take(); !strings.Contains(text, "'kspec-audited-"+v.rule+"'") {
						return fmt.Errorf("want a warning of %s, got %q", v.rule, text)
					}
					return nil
				})
			})
		}
	}
	if err := c.Create(t.Context(), makers("audited", good())["Pod"], client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	if text := heard.take(); strings.Contains(text, "kspec-") {
		t.Errorf("a good pod is warned of: %s", text)
	}
}

func TestTheAPIServerTakesTheNetworkSet(t *testing.T) {
	c := kube.Shared(t).Client(t)
	if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "isolated"}}); err != nil {
		t.Fatal(err)
	}
	target := kspec.Target{
		Name: "isolated", Enforcement: kspec.Enforce, Scope: kspec.Scope{Include: []string{"isolated"}},
		Templates: []kspec.TemplateUse{{Name: "network-isolation", Parameters: map[string]any{"sameNamespace": true, "pods": 7}}},
	}
	kinds := map[string]int{}
	for _, o := range mustRender(t, target, fstest.MapFS{}).Objects {
		kinds[o.GetKind()]++
		if err := c.Create(t.Context(), o.Unstructured); err != nil {
			t.Errorf("%s: %v", o.ID(), err)
		}
	}
	if diff := cmp.Diff(map[string]int{"NetworkPolicy": 3, "ResourceQuota": 1, "LimitRange": 1}, kinds); diff != "" {
		t.Error(diff)
	}
	quota := &corev1.ResourceQuota{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "isolated", Name: "kspec-isolated-quota"}, quota); err != nil {
		t.Fatal(err)
	}
	if pods := quota.Spec.Hard[corev1.ResourcePods]; pods.Value() != 7 {
		t.Errorf("the quota is for %s pods", pods.String())
	}
	target.Enforcement = kspec.Audit
	if want := mustRender(t, target, fstest.MapFS{}); len(want.Objects) != 0 {
		t.Errorf("in mode audit, which denies nothing, there is %v", places(want))
	}
}
