package kube_test

import (
	"os"
	"testing"

	"k8s.io/client-go/discovery"

	"github.com/cloudcwfranck/kspec/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Main(m)) }

func TestSharedIsTheVersionThatWasBuilt(t *testing.T) {
	c := kube.Shared(t)
	d, err := discovery.NewDiscoveryClientForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	v, err := d.ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if want := "v" + kube.Version; os.Getenv("KUBEBUILDER_ASSETS") == "" && v.GitVersion != want {
		t.Errorf("server says it is %s, want %s", v.GitVersion, want)
	}
	if kube.Shared(t) != c {
		t.Error("a second call started another cluster")
	}
}
