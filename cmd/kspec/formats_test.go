package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/report"
	"github.com/cloudcwfranck/kspec/test/kube"
)

// definitions returns the CustomResourceDefinitions of openreports.io, as its
// own module ships them, and the same under the older group and names: the API
// was wgpolicyk8s.io before it moved.
func definitions(t *testing.T) string {
	t.Helper()
	module, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/openreports/reports-api").Output()
	if err != nil {
		t.Fatal(err)
	}
	older := strings.NewReplacer(
		"openreports.io", "wgpolicyk8s.io", "v1alpha1", "v1alpha2", "ClusterReport", "ClusterPolicyReport", "clusterreport", "clusterpolicyreport",
		"kind: Report", "kind: PolicyReport", "ReportList", "PolicyReportList", "plural: reports", "plural: policyreports",
		"name: reports.", "name: policyreports.", "singular: report", "singular: policyreport",
		"- reps", "- polrs", "- creps", "- cpolrs",
	)
	dir := t.TempDir()
	for _, name := range []string{"reports", "clusterreports"} {
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(module)), "config/crd", v1alpha1.GroupName+"_"+name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{name: string(text), "older-" + name: older.Replace(string(text))} {
			if err := os.WriteFile(filepath.Join(dir, file+".yaml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// TestAPIServersTakePolicyReports creates what kspec writes for dashboards in
// a cluster that refuses unknown fields.
func TestAPIServersTakePolicyReports(t *testing.T) {
	cluster := kube.Shared(t)
	if _, err := envtest.InstallCRDs(cluster.Config, envtest.CRDInstallOptions{Paths: []string{definitions(t)}, ErrorIfPathMissing: true}); err != nil {
		t.Fatal(err)
	}
	waiver := "migration"
	rep := kspec.Report{
		Target: "Prod_EU", Cluster: "prod", StartedAt: time.Now(), Coverage: kspec.Coverage{Objects: 7},
		Unknown: []kspec.Unknown{{Reason: "list: forbidden"}},
	}.With(
		kspec.Finding{
			Type: kspec.TypeConfiguration, Verdict: kspec.Changed, Severity: kspec.High, Message: "replicas is 5, Git says 3",
			Object: kspec.ObjectID{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "default", Name: "web"},
			Fields: []kspec.Field{{Path: "/spec/replicas", Desired: 3, Live: 5}}, Hint: "commit it",
		},
		kspec.Finding{
			Type: kspec.TypePolicy, Verdict: kspec.Missing, Severity: kspec.Critical, Message: "gone", WaivedBy: &waiver,
			Object: kspec.ObjectID{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicy", Name: "x"},
		},
	)
	cl := cluster.Client(t)
	for _, format := range []string{"policyreport", "openreports"} {
		var text bytes.Buffer
		if err := report.Write(&text, format, []kspec.Report{rep}, report.Options{}); err != nil {
			t.Fatal(err)
		}
		dec := yaml.NewYAMLOrJSONDecoder(&text, 4096)
		n := 0
		for ; ; n++ {
			u := &unstructured.Unstructured{}
			if err := dec.Decode(&u.Object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if err := cl.Create(t.Context(), u, client.FieldValidation("Strict")); err != nil {
				t.Errorf("%s: %v", format, err)
			}
			results, _, _ := unstructured.NestedSlice(u.Object, "results")
			if len(results) == 0 {
				t.Errorf("%s %s has no results", u.GetKind(), u.GetName())
			}
		}
		if n != 2 {
			t.Errorf("%s: %d documents, want one of the namespace and one of the cluster", format, n)
		}
	}
}
