// Package kube starts a real Kubernetes API for tests and the demo: a
// kube-apiserver with its etcd, built from source by "make controlplane" or
// taken from KUBEBUILDER_ASSETS.
package kube

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Version is the Kubernetes version that "make controlplane" builds, Etcd that
// of its store. The Makefile reads them from here.
const (
	Version = "1.37.2"
	Etcd    = "3.7.3"
)

// Cluster is a running Kubernetes API. Whoever holds its Config is
// cluster-admin.
type Cluster struct {
	Config *rest.Config
	// Kubeconfig is the content of a kubeconfig for Config.
	Kubeconfig []byte

	env *envtest.Environment
}

// Assets returns the folder that holds the binaries: KUBEBUILDER_ASSETS, or
// where "make controlplane" puts them.
func Assets() (string, error) {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		return dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "kspec", "controlplane-"+Version+"-etcd-"+Etcd), nil
}

// New starts a cluster; Stop ends it.
func New() (*Cluster, error) {
	dir, err := Assets()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, "kube-apiserver")); err != nil {
		return nil, fmt.Errorf("no control plane in %s: run \"make controlplane\", or set KUBEBUILDER_ASSETS: %w", dir, err)
	}
	env := &envtest.Environment{BinaryAssetsDirectory: dir}
	cfg, err := env.Start()
	if err != nil {
		return nil, fmt.Errorf("start control plane: %w", err)
	}
	cfg.QPS, cfg.Burst = -1, -1
	return &Cluster{Config: cfg, Kubeconfig: env.KubeConfig, env: env}, nil
}

// Stop ends the cluster and removes its data.
func (c *Cluster) Stop() error { return c.env.Stop() }

// Client returns a client that can do everything.
func (c *Cluster) Client(t testing.TB) client.Client {
	t.Helper()
	cl, err := client.New(c.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

// WriteKubeconfig writes the kubeconfig to a file of the test and returns its
// path.
func (c *Cluster) WriteKubeconfig(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, c.Kubeconfig, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

var shared struct {
	sync.Mutex
	cluster *Cluster
}

// Shared returns the one cluster of the test binary, which starts at the first
// call. Tests keep apart by namespace. A TestMain must end with [Main].
func Shared(t testing.TB) *Cluster {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil {
		c, err := New()
		if err != nil {
			t.Fatal(err)
		}
		shared.cluster = c
	}
	return shared.cluster
}

// Main runs the tests and ends the cluster that [Shared] started:
//
//	func TestMain(m *testing.M) { os.Exit(kube.Main(m)) }
func Main(m *testing.M) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster != nil {
		if err := shared.cluster.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop control plane:", err)
		}
	}
	return code
}
