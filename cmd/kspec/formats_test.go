package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/fixtures"
	"github.com/cloudcwfranck/kspec/report"
	"github.com/cloudcwfranck/kspec/test/kube"
)

// dashboards installs the definitions of policy reports as those who own the
// APIs publish them.
func dashboards(t *testing.T, cluster *kube.Cluster) {
	t.Helper()
	dir := t.TempDir()
	for _, file := range []struct{ module, name string }{
		{"github.com/openreports/reports-api", "config/crd/openreports.io_reports.yaml"},
		{"github.com/openreports/reports-api", "config/crd/openreports.io_clusterreports.yaml"},
		{"sigs.k8s.io/wg-policy-prototypes", "policy-report/crd/v1alpha2/wgpolicyk8s.io_policyreports.yaml"},
		{"sigs.k8s.io/wg-policy-prototypes", "policy-report/crd/v1alpha2/wgpolicyk8s.io_clusterpolicyreports.yaml"},
	} {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file.name)), fixtures.Published(t, file.module, file.name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := envtest.InstallCRDs(cluster.Config, envtest.CRDInstallOptions{Paths: []string{dir}, ErrorIfPathMissing: true}); err != nil {
		t.Fatal(err)
	}
}

// TestAPIServersTakePolicyReports applies what kspec writes for dashboards to a
// cluster that refuses unknown fields.
func TestAPIServersTakePolicyReports(t *testing.T) {
	cluster := kube.Shared(t)
	dashboards(t, cluster)
	waiver := "migration"
	evil := "a\x00\x1b[31m\u202e\n" + strings.Repeat("long ", 100_000)
	rep := kspec.Report{
		Target: "Prod_EU", Cluster: "prod", StartedAt: time.Now(), Coverage: kspec.Coverage{Objects: 20_000},
		Unknown: []kspec.Unknown{{Reason: "list: forbidden"}},
	}.With(
		kspec.Finding{
			Type: kspec.TypePolicy, Verdict: kspec.Missing, Severity: kspec.Critical, Message: "gone", WaivedBy: &waiver,
			Object: kspec.ObjectID{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicy", Name: "x"},
		},
		kspec.Finding{Verdict: kspec.Missing, Severity: kspec.High, Message: "gone", Object: kspec.ObjectID{Version: "v1", Kind: "Namespace", Name: "not-there"}},
		kspec.Finding{
			Verdict: kspec.Missing, Severity: kspec.High, Message: "gone, like its namespace",
			Object: kspec.ObjectID{Version: "v1", Kind: "Service", Namespace: "not-there", Name: "web"},
		},
		kspec.Finding{
			Verdict: kspec.Changed, Severity: kspec.Low, Message: evil, Hint: evil, WaivedBy: &evil, Controls: []string{evil}, Check: "x",
			Object: kspec.ObjectID{Version: "v1", Kind: "ConfigMap", Namespace: "No Namespace", Name: evil[:200]},
			Fields: []kspec.Field{{Path: evil, Desired: evil, Live: evil}},
		},
	)
	for i := range 10_000 {
		rep.Findings = append(rep.Findings, kspec.Finding{
			Type: kspec.TypeConfiguration, Verdict: kspec.Changed, Severity: kspec.High, Message: "1 field has another value than in Git",
			Object: kspec.ObjectID{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "default", Name: fmt.Sprint("web-", i)},
			Fields: []kspec.Field{{Path: "/spec/replicas", Desired: 3, Live: 5}}, Hint: "merge the pull request to keep the live value",
		}.Fingerprinted())
	}
	cl := cluster.Client(t)
	for _, format := range []string{"policyreport", "openreports"} {
		var text bytes.Buffer
		if err := report.Write(&text, format, []kspec.Report{rep}, report.Options{}); err != nil {
			t.Fatal(err)
		}
		results, passed := 0, int64(0)
		dec := yaml.NewYAMLOrJSONDecoder(&text, 4096)
		for {
			u := &unstructured.Unstructured{}
			if err := dec.Decode(&u.Object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if err := cl.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("kubectl"), client.ForceOwnership); err != nil {
				t.Errorf("%s: %v", format, err)
			}
			list, _, _ := unstructured.NestedSlice(u.Object, "results")
			pass, _, _ := unstructured.NestedInt64(u.Object, "summary", "pass")
			results, passed = results+len(list), passed+pass
		}
		bad := len(rep.Findings) // what could not be listed is no object that failed
		if want := bad + len(rep.Unknown); results != want || passed != 20_000-int64(bad) {
			t.Errorf("%s: %d results and %d passed, want %d and %d", format, results, passed, want, 20_000-bad)
		}
	}
}
