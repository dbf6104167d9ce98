package render_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/test/kube"
)

// withKyverno starts a cluster of its own with the CustomResourceDefinitions of
// the Kyverno that test/kyverno pins, from its Go module.
func withKyverno(t *testing.T) *kube.Cluster {
	t.Helper()
	download := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "github.com/kyverno/kyverno")
	download.Dir = filepath.FromSlash("../test/kyverno")
	out, err := download.Output()
	var module struct{ Dir string }
	if err == nil {
		err = json.Unmarshal(out, &module)
	}
	if err != nil {
		t.Fatalf("find the module of Kyverno: %v\n%s", err, out)
	}
	dir := filepath.Join(module.Dir, "config", "crds")
	cluster, err := kube.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Stop() })
	if _, err := envtest.InstallCRDs(cluster.Config, envtest.CRDInstallOptions{ErrorIfPathMissing: true, Paths: []string{
		filepath.Join(dir, "policies.kyverno.io", "policies.kyverno.io_validatingpolicies.yaml"),
		filepath.Join(dir, "kyverno", "kyverno.io_clusterpolicies.yaml"),
	}}); err != nil {
		t.Fatal(err)
	}
	return cluster
}

// What every built-in rule becomes for Kyverno is what Kyverno's own schemas
// know: no field is unknown, wrong or dropped.
func TestKyvernoTakesWhatIsRenderedForIt(t *testing.T) {
	c := client.WithFieldValidation(withKyverno(t).Client(t), metav1.FieldValidationStrict)
	for engine, kind := range map[kspec.PolicyEngine]string{kspec.Kyverno: "ValidatingPolicy", kspec.KyvernoLegacy: "ClusterPolicy"} {
		for _, mode := range []kspec.Enforcement{kspec.Audit, kspec.Enforce} {
			t.Run(kind+"/"+string(mode), func(t *testing.T) {
				target := kspec.Target{
					Name: "kyverno-" + string(mode), Enforcement: mode, Delivery: kspec.Delivery{Policies: engine, FieldManager: "kubectl"},
					Scope:   kspec.Scope{Exclude: []string{"web"}, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "front"}}},
					Waiving: []kspec.Exemption{{Name: "e", Reason: "r", Approver: "a", ExpiresAt: time.Now().Add(time.Hour), Namespaces: []string{"shop"}}},
					Templates: []kspec.TemplateUse{
						{Name: "security-baseline"},
						{Name: "compliance-strict", Parameters: map[string]any{"requireDigests": true}},
						{Name: "pod-security-restricted"},
					},
				}
				created := 0
				for _, o := range mustRender(t, target, fstest.MapFS{}).Objects {
					if o.GetKind() != kind {
						t.Errorf("%s is rendered besides", o.ID())
						continue
					}
					got := o.DeepCopy()
					if err := c.Create(t.Context(), got); err != nil {
						t.Errorf("create %s: %v", o.ID(), err)
						continue
					}
					created++
					for _, field := range []string{"spec", "metadata"} {
						if lost := lacks(got.Object[field], o.Object[field]); lost != "" {
							t.Errorf("%s: the API server keeps %s otherwise: %s", o.ID(), field, lost)
						}
					}
				}
				if created < 20 {
					t.Errorf("%d policies were created", created)
				}
			})
		}
	}
	wrong := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "policies.kyverno.io/v1", "kind": "ValidatingPolicy", "metadata": map[string]any{"name": "wrong"},
		"spec": map[string]any{"validationAction": []any{"Deny"}},
	}}
	if err := c.Create(t.Context(), wrong); err == nil {
		t.Error("a field that Kyverno does not know is taken: this test proves nothing")
	}
}

// lacks returns how have differs from want where want says something.
func lacks(have, want any) string {
	switch w := want.(type) {
	case map[string]any:
		h, _ := have.(map[string]any)
		for key := range w {
			if diff := lacks(h[key], w[key]); diff != "" {
				return key + ": " + diff
			}
		}
		return ""
	case []any:
		h, _ := have.([]any)
		if len(h) != len(w) {
			return cmp.Diff(want, have)
		}
		for i := range w {
			if diff := lacks(h[i], w[i]); diff != "" {
				return fmt.Sprint(i, ": ", diff)
			}
		}
		return ""
	default:
		return cmp.Diff(want, have)
	}
}
