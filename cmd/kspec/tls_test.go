package main

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cloudcwfranck/kspec/test/kube"
)

// A forge with a private certificate authority is trusted, for Git and for its
// API, when --git-ca-file names the authority, and not otherwise.
func TestRemediateTrustsThePrivateAuthorityOfTheForge(t *testing.T) {
	p := newPlace(t)
	// Its policies were never rendered, so there is something to open.
	config := fstest.MapFS{"spec.yaml": {Data: []byte(`apiVersion: kspec.io/v1alpha1
kind: ClusterSpec
metadata: {name: tls}
spec:
  delivery: {engine: flux, path: policies}
  enforcement: {enabled: true, mode: audit}
  policyTemplate: {name: security-baseline}
`)}}
	if err := p.forge.Create("acme/tls", "main", config); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewTLSServer(p.forge)
	t.Cleanup(srv.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))

	remediate := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "kspec", append([]string{
			"drift", "remediate", "--repo", srv.URL + "/acme/tls.git", "--forge-url", srv.URL + "/api/v3/",
			"--kubeconfig", kube.Shared(t).WriteKubeconfig(t),
		}, args...)...)
		cmd.Env = append(os.Environ(), "KSPEC_FORGE_TOKEN="+forgeToken)
		out, _ := cmd.CombinedOutput() // drift is found either way
		return string(out)
	}
	if out := remediate(); !strings.Contains(out, "certificate") {
		t.Errorf("an unknown authority is no error:\n%s", out)
	}
	if out := remediate("--git-ca-file", ca); !strings.Contains(out, "opened pull request #1") {
		t.Errorf("no pull request:\n%s", out)
	}
	if pulls, err := p.forge.Pulls("acme/tls"); err != nil || len(pulls) != 1 {
		t.Errorf("%d pull requests, %v", len(pulls), err)
	}
}
