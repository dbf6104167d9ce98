package v1alpha1_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
)

func TestTargetHasDefaults(t *testing.T) {
	src := kspec.Source{File: "clusters/a/clusterspec.yaml", Line: 3}
	rev := kspec.Revision{Branch: "main", Commit: "4f0c"}
	spec := &v1alpha1.ClusterSpec{}
	spec.Name = "a"
	got, err := spec.Target(src, rev)
	if err != nil {
		t.Fatal(err)
	}
	want := kspec.Target{
		Name: "a", Source: src, Revision: rev, Interval: 5 * time.Minute,
		Enforcement: kspec.Monitor,
		Delivery:    kspec.Delivery{Engine: kspec.NoEngine, FieldManager: "kubectl", Policies: kspec.VAP},
		Merge:       kspec.Merge,
		Drift:       kspec.DriftRules{Confirm: kspec.Confirm{Observations: 2}},
		Remediation: kspec.RemediationRules{
			Mode: kspec.ModePullRequest, Strategy: kspec.StrategyAuto,
			Limits: kspec.Limits{OpenPullRequests: 10, PerHour: 4},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("target (-want +got):\n%s", diff)
	}
}

func TestTargetHoldsEveryField(t *testing.T) {
	data, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	docs, errs := v1alpha1.Decode("full.yaml", data)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	src := docs[0].Source
	spec := docs[0].Object.(*v1alpha1.ClusterSpec)
	got, err := spec.Target(src, kspec.Revision{})
	if err != nil {
		t.Fatal(err)
	}
	want := kspec.Target{
		Name: "prod-eu", Source: src, Cluster: "prod-eu", Interval: 2 * time.Minute,
		Enforcement: kspec.Audit,
		Scope: kspec.Scope{
			Include: []string{"web", "api"}, Exclude: []string{"kube-system"},
			Selector: &metav1.LabelSelector{
				MatchLabels:      map[string]string{"tier": "front"},
				MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team", Operator: metav1.LabelSelectorOpIn, Values: []string{"shop", "pay"}}},
			},
		},
		Activation: &kspec.Activation{
			Zone: "Europe/Berlin", Schedule: "* 8-17 * * mon-fri", Outside: kspec.Off,
			Periods: []kspec.Period{{
				Start: 22 * time.Hour, End: 6 * time.Hour, Days: []time.Weekday{time.Friday, time.Saturday},
				First: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), Last: time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC),
			}},
		},
		Exemptions: []kspec.Exemption{{
			Name: "legacy-web", Reason: "the vendor ships no other image before March", Approver: "octocat",
			ExpiresAt: time.Date(2030, 3, 30, 22, 0, 0, 0, time.UTC), Namespaces: []string{"web"},
			Resources: []kspec.ExemptResource{{
				Kind: "Deployment", Name: "legacy", Namespace: "web",
				Labels: &metav1.LabelSelector{
					MatchLabels:      map[string]string{"tier": "front"},
					MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"core"}}},
				},
			}},
		}},
		Templates: []kspec.TemplateUse{
			{Name: "security-baseline", Parameters: map[string]any{"level": "restricted"}},
			{Name: "require-limits", Parameters: map[string]any{"maxMemory": "2Gi", "exempt": []any{"kube-system"}}},
		},
		Overlays: []kspec.Overlay{{Path: "apps/overlays/prod", FieldManager: "team-controller", Namespace: "web", Unit: kspec.UnitRef{Namespace: "team-flux", Name: "apps"}}},
		Delivery: kspec.Delivery{
			Engine: kspec.Flux, Path: "clusters/prod-eu/policies", FieldManager: "kustomize-controller",
			Unit: kspec.UnitRef{Namespace: "flux-system", Name: "policies"}, Policies: kspec.Kyverno,
		},
		Merge: kspec.Override,
		Images: kspec.ImageRules{RequireSignatures: true, DenyOnError: true, Signatures: []kspec.SignatureRule{{
			Match: []string{"ghcr.io/acme/**"}, All: true,
			Authorities: []kspec.Authority{{Name: "release", Keys: []string{publicKey}}},
		}}},
		Drift: kspec.DriftRules{
			Ignore: []kspec.IgnoreRule{{
				Paths: []string{"/spec/replicas", "/spec/template/spec/containers/[name=app]/resources"},
				Selector: kspec.Selector{
					Group: "apps", Kind: "Deployment", Namespace: "web", Name: "web", Labels: map[string]string{"tier": "front"},
				},
				Manager: "vpa", Reason: "the autoscaler sets them",
				ExpiresAt: time.Date(2030, 1, 31, 11, 0, 0, 0, time.UTC), Source: src,
			}},
			Severity: []kspec.SeverityRule{{
				Places: kspec.Places{Paths: []string{"/spec/replicas"}, Selector: kspec.Selector{
					Group: "apps", Kind: "Deployment", Namespace: "web", Name: "web", Labels: map[string]string{"tier": "front"},
				}}, Severity: kspec.High,
			}},
			Secrets: []kspec.Places{{Paths: []string{"/spec/license"}, Selector: kspec.Selector{
				Group: "example.com", Kind: "License", Namespace: "web", Name: "web", Labels: map[string]string{"tier": "front"},
			}}},
			Confirm: kspec.Confirm{Observations: 3, For: 90 * time.Second},
		},
		Remediation: kspec.RemediationRules{
			Mode: kspec.ModePullRequest, Strategy: kspec.StrategyAdopt, Limits: kspec.Limits{OpenPullRequests: 2, PerHour: 1},
			Labels: []string{"kspec", "drift"}, Reviewers: []string{"octocat"}, Draft: true,
		},
		Requirements: kspec.Requirements{
			Kubernetes: kspec.KubernetesRules{MinVersion: "1.30", MaxVersion: "1.34.2", ExcludedVersions: []string{"1.31", "1.32.1"}},
			PodSecurity: kspec.PodSecurityRules{
				Enforce: kspec.Baseline, Audit: kspec.Restricted, Warn: kspec.Restricted, Version: "v1.34",
				Exemptions: []kspec.PodSecurityExemption{{Namespace: "storage", Level: kspec.Privileged, Reason: "the driver mounts disks"}},
			},
			Network: kspec.NetworkRules{
				DefaultDeny: true, RequiredPolicies: []kspec.NamedPolicy{{Name: "allow-dns", Description: "pods may ask the cluster DNS"}},
				ServiceTypes: []string{"ClusterIP", "LoadBalancer"}, DisallowedPorts: []int32{23, 8080},
			},
			Containers: kspec.ContainerRules{
				Required: []kspec.FieldDemand{
					{Key: "securityContext.runAsNonRoot", Value: new("true")},
					{Key: "resources.limits.memory", Exists: new(true)},
				},
				Forbidden: []kspec.FieldDemand{{Key: "hostNetwork"}, {Key: "securityContext.privileged", Value: new("true"), Exists: new(true)}},
			},
			Registries: kspec.RegistryRules{
				Allowed: []string{"ghcr.io/acme", "*.example.com"}, Blocked: []string{"docker.io"}, RequireDigests: true,
			},
			RBAC: kspec.AccessRules{
				Minimum:   []kspec.AccessRule{{Resource: "pods", Verbs: []string{"get", "list"}}},
				Forbidden: []kspec.AccessRule{{APIGroup: "*", Resource: "*", Verbs: []string{"*"}}},
			},
			Admission: kspec.AdmissionRules{
				Required:    []kspec.AdmissionDemand{{Kind: "ValidatingWebhookConfiguration", NamePattern: "^kyverno-", MinCount: 1}},
				MinPolicies: 3, RequiredPolicies: []kspec.NamedPolicy{{Name: "no-latest-tag", Description: "images have a version"}},
			},
			Observability: kspec.ObservabilityRules{
				RequireMetrics: true, MetricsProviders: []string{"prometheus"}, RequireAuditLog: true, MinRetentionDays: 30,
			},
			Frameworks: []kspec.Framework{{Name: "NIST-800-53", Revision: "rev5", Controls: []kspec.Control{
				{ID: "AC-6", Title: "Least privilege", Checks: []string{"rbac.rules", "workloads.containers"}},
			}}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("target (-want +got):\n%s", diff)
	}
}

func TestTargetFieldManagers(t *testing.T) {
	tests := []struct{ engine, delivery, manifest, want string }{
		{"", "", "", "kubectl"},
		{"none", "", "", "kubectl"},
		{"flux", "", "", "kustomize-controller"},
		{"argocd", "", "", "argocd-controller"},
		{"flux", "custom", "", "custom"},
		{"flux", "custom", "own", "own"},
	}
	for _, tt := range tests {
		spec := &v1alpha1.ClusterSpec{Spec: v1alpha1.ClusterSpecSpec{
			Delivery:  v1alpha1.Delivery{Engine: tt.engine, FieldManager: tt.delivery},
			Manifests: []v1alpha1.Manifest{{Path: "apps", FieldManager: tt.manifest}},
		}}
		got, err := spec.Target(kspec.Source{}, kspec.Revision{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Overlays[0].FieldManager != tt.want {
			t.Errorf("%+v: field manager %q", tt, got.Overlays[0].FieldManager)
		}
	}
}

func TestTargetEnforcement(t *testing.T) {
	tests := []struct {
		rule v1alpha1.Enforcement
		want kspec.Enforcement
	}{
		{v1alpha1.Enforcement{}, kspec.Monitor},
		{v1alpha1.Enforcement{Mode: "enforce"}, kspec.Monitor},
		{v1alpha1.Enforcement{Enabled: true}, kspec.Monitor},
		{v1alpha1.Enforcement{Enabled: true, Mode: "audit"}, kspec.Audit},
		{v1alpha1.Enforcement{Enabled: true, Mode: "enforce"}, kspec.Enforce},
	}
	for _, tt := range tests {
		spec := &v1alpha1.ClusterSpec{Spec: v1alpha1.ClusterSpecSpec{Enforcement: tt.rule}}
		got, err := spec.Target(kspec.Source{}, kspec.Revision{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Enforcement != tt.want {
			t.Errorf("%+v: got %s, want %s", tt.rule, got.Enforcement, tt.want)
		}
	}
}

func TestTargetRefusesWhatDecodeWouldNotReturn(t *testing.T) {
	bad := v1alpha1.PolicyTemplateUse{Name: "t", Parameters: map[string]apiextensionsv1.JSON{"a": {Raw: []byte("{")}}}
	for path, s := range map[string]v1alpha1.ClusterSpecSpec{
		"spec.policyTemplate.parameters.a":     {PolicyTemplate: &bad},
		"spec.policyTemplates[0].parameters.a": {PolicyTemplates: []v1alpha1.PolicyTemplateUse{bad}},
	} {
		_, err := (&v1alpha1.ClusterSpec{Spec: s}).Target(kspec.Source{File: "f.yaml"}, kspec.Revision{})
		var e *v1alpha1.FieldError
		if !errors.As(err, &e) || e.Path != path || e.File != "f.yaml" {
			t.Errorf("got %v, want an error at %s", err, path)
		}
	}
}

func TestAddToScheme(t *testing.T) {
	s := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"ClusterSpec", "ClusterTarget", "AlertConfig", "PolicyTemplate", "ClusterSpecList"} {
		if !s.Recognizes(v1alpha1.GroupVersion.WithKind(kind)) {
			t.Errorf("%s is not known", kind)
		}
	}
}
