package compare

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/cloudcwfranck/kspec/test/kube"
)

func TestAClusterSaysWhatItIs(t *testing.T) {
	shared := kube.Shared(t)
	admin := shared.Client(t)
	for _, name := range []string{"about-1", "about-2", "about-3"} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{ProviderID: "kind://docker/about/" + name}}
		if err := admin.Create(t.Context(), node); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = admin.Delete(context.WithoutCancel(t.Context()), node) })
	}
	about := func(change func(*rest.Config)) (About, error) {
		cfg := rest.CopyConfig(shared.Config)
		change(cfg)
		c, err := NewCluster(cfg, "it")
		if err != nil {
			t.Fatal(err)
		}
		return c.About(t.Context())
	}
	got, err := about(func(*rest.Config) {})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got.Version, "v1.") || len(got.UID) != 36 || got.Platform != "kind" || *got.Nodes != 3 {
		t.Errorf("About() = %+v", got)
	}

	t.Run("an account without rights is told the version", func(t *testing.T) {
		got, err := about(func(cfg *rest.Config) { cfg.Impersonate.UserName = "nobody" })
		if err != nil || got.Version == "" || got.UID != "" || got.Nodes != nil || got.Platform != "unknown" {
			t.Errorf("About() = %+v, %v", got, err)
		}
	})
	t.Run("a wrong token is an error", func(t *testing.T) {
		_, err := about(func(cfg *rest.Config) {
			cfg.CertData, cfg.KeyData, cfg.BearerToken = nil, nil, "wrong"
		})
		if !apierrors.IsUnauthorized(err) {
			t.Errorf("About() = %v, want unauthorized", err)
		}
	})
	t.Run("a web server is no cluster", func(t *testing.T) {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("<html>welcome</html>"))
		}))
		defer web.Close()
		_, err := about(func(cfg *rest.Config) { *cfg = rest.Config{Host: web.URL} })
		if err == nil || !strings.Contains(err.Error(), "no API server") {
			t.Errorf("About() = %v", err)
		}
	})
	t.Run("nothing listens", func(t *testing.T) {
		if _, err := about(func(cfg *rest.Config) { cfg.Host = "https://127.0.0.1:1" }); err == nil {
			t.Error("About() of a cluster that is not there worked")
		}
	})
}

func TestPlatformIsToldByVersionAndNode(t *testing.T) {
	node := func(id string, labels ...string) unstructured.Unstructured {
		u := unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"providerID": id}}}
		all := map[string]string{}
		for _, l := range labels {
			all[l] = ""
		}
		u.SetLabels(all)
		return u
	}
	for want, c := range map[string]struct {
		version string
		node    unstructured.Unstructured
	}{
		"eks":       {"v1.31.4-eks-2d5f260", node("aws:///eu-west-1a/i-0")},
		"gke":       {"v1.33.2-gke.1240000", node("gce://p/z/n")},
		"aks":       {"v1.32.4", node("azure:///subscriptions/0", "kubernetes.azure.com/cluster")},
		"openshift": {"v1.30.5", node("aws:///eu-west-1a/i-0", "node.openshift.io/os_id")},
		"k3s":       {"v1.32.1+k3s1", node("k3s://n")},
		"rke2":      {"v1.32.1+rke2r1", node("")},
		"aws":       {"v1.32.1", node("aws:///eu-west-1a/i-0")},
		"unknown":   {"v1.32.1", unstructured.Unstructured{}},
	} {
		if got := platform(c.version, c.node); got != want {
			t.Errorf("platform(%s) = %s, want %s", c.version, got, want)
		}
	}
}

func TestServes(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("<html>welcome</html>"))
	}))
	defer web.Close()
	for _, tt := range []struct {
		name, group, version, kind string
		host                       string
		want                       bool
		err                        string
	}{
		{name: "a kind that is there", group: "apps", version: "v1", kind: "Deployment", want: true},
		{name: "another version", group: "apps", version: "v1beta1", kind: "Deployment"},
		{name: "another kind of a group that is there", group: "apps", version: "v1", kind: "ValidatingPolicy"},
		{name: "a group that is not there", group: "nowhere.example.com", version: "v1", kind: "Nothing"},
		{name: "a web server", group: "apps", version: "v1", kind: "Deployment", host: web.URL, err: "ask cluster it for Deployment of apps/v1: "},
		{name: "nobody", group: "apps", version: "v1", kind: "Deployment", host: "http://127.0.0.1:1", err: "connection refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := kube.Shared(t).Config
			if tt.host != "" {
				cfg = &rest.Config{Host: tt.host}
			}
			c, err := NewCluster(cfg, "it")
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Serves(t.Context(), schema.GroupVersionKind{Group: tt.group, Version: tt.version, Kind: tt.kind})
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("Serves() = %t, %v, want %t, %q", got, err, tt.want, tt.err)
			}
		})
	}
}
