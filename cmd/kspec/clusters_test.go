package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/compare"
)

// reach returns clusters with one token, one kubeconfig and what the operator
// lets them be used for.
func reach(t *testing.T) *clusters {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"bindings.yaml": `
- {secret: prod/token, fields: [clusterTarget.token], hosts: ["api.example.com:6443", "proxy.example.com:3128"]}
- {secret: prod/kubeconfig, fields: [clusterTarget.kubeconfig], hosts: ["api.example.com:6443", "proxy.example.com:3128"]}
`,
		"prod/token": "CANARY",
		"prod/kubeconfig": `
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://api.example.com:6443"}}]
users: [{name: u, user: {token: CANARY}}]
`,
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secrets, err := openSecrets(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	return &clusters{secrets: secrets}
}

// Whoever can write a ClusterTarget chooses host, authority and proxy. None of
// them may lead a secret where its operator did not send it.
func TestAClusterTargetCannotLeadASecretElsewhere(t *testing.T) {
	for _, mode := range []string{"token", "serviceAccount", "kubeconfig"} {
		spec := v1alpha1.ClusterTargetSpec{AuthMode: mode, APIServerURL: "https://api.example.com:6443", CAData: []byte("of the attacker")}
		ref := &v1alpha1.SecretKeyRef{Name: "prod"}
		switch mode {
		case "kubeconfig":
			spec.KubeconfigSecretRef = ref
		case "serviceAccount":
			spec.ServiceAccountSecretRef = ref
		default:
			spec.TokenSecretRef = ref
		}
		for _, test := range []struct{ server, proxy, want string }{
			{"https://api.example.com:6443", "", ""},
			{"https://api.example.com:6443", "http://proxy.example.com:3128", ""},
			{"https://api.example.com:6443", "http://evil.example.com:3128", "proxyURL: "},
			{"https://api.example.com:6443", "http://proxy.example.com:3129", "proxyURL: "},
			{"https://evil.example.com", "", "evil.example.com"},
			{"https://api.example.com:6443@evil.example.com", "", "evil.example.com"},
		} {
			spec.APIServerURL, spec.ProxyURL = test.server, test.proxy
			cfg, err := reach(t).remote(t.Context(), spec)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("%s %v: %v", mode, test, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error()+kspec.HintOf(err), "CANARY")):
				t.Errorf("%s %v: error is %v", mode, test, err)
			case test.want == "" && test.proxy != "":
				to, err := cfg.Proxy(&http.Request{})
				if err != nil || to.String() != test.proxy {
					t.Errorf("%s %v: the proxy is %v, %v", mode, test, to, err)
				}
			}
		}
	}
}

func TestATokenThatIsReplacedIsUsedFromTheNextLookOn(t *testing.T) {
	c := reach(t)
	target := &v1alpha1.ClusterTarget{Spec: v1alpha1.ClusterTargetSpec{
		AuthMode: "token", APIServerURL: "https://api.example.com:6443", TokenSecretRef: &v1alpha1.SecretKeyRef{Name: "prod"},
	}}
	target.Name = "prod"
	c.set([]v1alpha1.Sourced[*v1alpha1.ClusterTarget]{{Doc: target}})
	connect := func() *compare.Cluster {
		t.Helper()
		cluster, err := c.Cluster(t.Context(), kspec.Target{Name: "apps", Cluster: "prod"})
		if err != nil {
			t.Fatal(err)
		}
		return cluster
	}
	first := connect()
	if connect() != first {
		t.Error("it connects anew though nothing changed")
	}
	write(t, filepath.Join(c.secrets.(*secretDir).dir, "prod", "token"), "another")
	if connect() == first {
		t.Error("it goes on with the old token")
	}
}

func TestACommitDoesNotBreakConnectionsToClustersThatStay(t *testing.T) {
	c := reach(t)
	target := func(ca string) []v1alpha1.Sourced[*v1alpha1.ClusterTarget] {
		return []v1alpha1.Sourced[*v1alpha1.ClusterTarget]{{Doc: &v1alpha1.ClusterTarget{
			ObjectMeta: metav1.ObjectMeta{Name: "prod"},
			Spec: v1alpha1.ClusterTargetSpec{
				AuthMode: "token", APIServerURL: "https://api.example.com:6443", CAData: []byte(ca),
				TokenSecretRef: &v1alpha1.SecretKeyRef{Name: "prod"},
			},
		}}}
	}
	connect := func() *compare.Cluster {
		t.Helper()
		cluster, err := c.Cluster(t.Context(), kspec.Target{Name: "spec", Cluster: "prod"})
		if err != nil {
			t.Fatal(err)
		}
		return cluster
	}
	c.set(target(""))
	first := connect()
	c.set(target(""))
	if connect() != first {
		t.Error("an unchanged ClusterTarget was connected to anew")
	}
	c.set(nil)
	c.set(target(""))
	if connect() == first {
		t.Error("the connection outlived its ClusterTarget")
	}
}
