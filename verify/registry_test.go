package verify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	ociremote "github.com/sigstore/cosign/v2/pkg/oci/remote"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	sigsign "github.com/sigstore/sigstore-go/pkg/sign"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/fixtures/registry"
	"github.com/cloudcwfranck/kspec/verify"
)

const signType = "https://sigstore.dev/cosign/sign/v1"

// server is a registry and the test that talks to it.
type server struct {
	*registry.Server
	t testing.TB
}

func newServer(t testing.TB) *server {
	t.Helper()
	return &server{registry.New(t), t}
}

// bundle attaches a bundle of that predicate type, about claim, and returns
// the public key that made it.
func (s *server) bundle(ref, claim name.Digest, predicateType string) string {
	s.t.Helper()
	key, err := sigsign.NewEphemeralKeypair(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	statement, err := json.Marshal(map[string]any{
		"_type":         "https://in-toto.io/Statement/v1",
		"predicateType": predicateType,
		"subject": []any{map[string]any{
			"name": "", "digest": map[string]any{"sha256": strings.TrimPrefix(claim.DigestStr(), "sha256:")},
		}},
		"predicate": map[string]any{},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	pb, err := sigsign.Bundle(&sigsign.DSSEData{Data: statement, PayloadType: "application/vnd.in-toto+json"}, key, sigsign.BundleOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	b, err := bundle.NewBundle(pb)
	if err != nil {
		s.t.Fatal(err)
	}
	data, err := b.MarshalJSON()
	if err != nil {
		s.t.Fatal(err)
	}
	s.rawBundle(ref, data, predicateType)
	pem, err := key.GetPublicKeyPem()
	if err != nil {
		s.t.Fatal(err)
	}
	return pem
}

func (s *server) rawBundle(ref name.Digest, data []byte, predicateType string) {
	s.t.Helper()
	if err := ociremote.WriteAttestationNewBundleFormat(ref, data, predicateType); err != nil {
		s.t.Fatal(err)
	}
}

// signatureManifest serves a manifest at the ".sig" tag of ref.
func (s *server) signatureManifest(ref name.Digest, layers []v1.Descriptor) {
	s.t.Helper()
	raw, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: "application/vnd.oci.image.manifest.v1+json",
		Config: v1.Descriptor{MediaType: "application/vnd.oci.image.config.v1+json", Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}},
		Layers: layers,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	tag := strings.Replace(ref.DigestStr(), ":", "-", 1) + ".sig"
	s.SetFault(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/manifests/"+tag) {
			return false
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		_, _ = w.Write(raw)
		return true
	})
}

// demand returns rules by which one of the keys must have signed everything.
func demand(keys ...string) kspec.ImageRules {
	return kspec.ImageRules{RequireSignatures: true, Signatures: []kspec.SignatureRule{{
		Match: []string{"**"}, Authorities: []kspec.Authority{{Name: "team", Keys: keys}},
	}}}
}

func (s *server) options() verify.Options {
	return verify.Options{AllowHTTP: []string{s.Host}, Log: slog.New(slog.DiscardHandler)}
}

func (s *server) check(ref string, rules kspec.ImageRules) (verify.Result, error) {
	s.t.Helper()
	return verify.New(nil, s.options()).Image(s.t.Context(), ref, rules)
}

// want fails the test unless the image is signed or not, as told.
func (s *server) want(signed bool, ref string, rules kspec.ImageRules) verify.Result {
	s.t.Helper()
	result, err := s.check(ref, rules)
	if err != nil {
		s.t.Fatalf("check %s: %v", ref, err)
	}
	if result.Signed != signed {
		s.t.Errorf("got %q, want signed %t", result, signed)
	}
	return result
}

func status(code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(code)
		_, _ = fmt.Fprint(w, `{"errors":[{"code":"X","message":"\u001b[31mcanary-of-the-registry"}]}`)
		return true
	}
}

// running returns a Running that always gives those images.
func running(images ...kspec.Image) verify.Running {
	return verify.RunningFunc(func(context.Context, kspec.Target) ([]kspec.Image, error) { return images, nil })
}

// layers returns the layers of the ".sig" manifest of ref.
func (s *server) layers(ref name.Digest) []v1.Descriptor {
	s.t.Helper()
	d, err := remote.Get(ref.Context().Tag(strings.Replace(ref.DigestStr(), ":", "-", 1)+".sig"), remote.WithContext(s.t.Context()))
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := v1.ParseManifest(bytes.NewReader(d.Manifest))
	if err != nil {
		s.t.Fatal(err)
	}
	return m.Layers
}
