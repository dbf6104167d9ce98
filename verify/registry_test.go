package verify_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sigstore/cosign/v2/pkg/oci/mutate"
	ociremote "github.com/sigstore/cosign/v2/pkg/oci/remote"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	sigsign "github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/payload"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/verify"
)

const signType = "https://sigstore.dev/cosign/sign/v1"

// server is a real registry whose answers a test can replace.
type server struct {
	t    testing.TB
	host string

	mu       sync.Mutex
	requests []string
	// fault answers a request itself when it returns true.
	fault func(w http.ResponseWriter, r *http.Request) bool
}

func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{t: t}
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	actual := registry.New(registry.WithReferrersSupport(true), registry.Logger(quiet))
	http := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.Path)
		fault := s.fault
		s.mu.Unlock()
		if fault == nil || !fault(w, r) {
			actual.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(http.Close)
	s.host = strings.TrimPrefix(http.URL, "http://")
	return s
}

func (s *server) setFault(fault func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// count returns the requests since the last call.
func (s *server) count() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.requests = nil }()
	return s.requests
}

// push stores a random image and returns its digest.
func (s *server) push(repository, tag string) name.Digest {
	s.t.Helper()
	image, err := random.Image(64, 1)
	if err != nil {
		s.t.Fatal(err)
	}
	ref, err := name.NewTag(s.host + "/" + repository + ":" + tag)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := remote.Write(ref, image, remote.WithContext(s.t.Context())); err != nil {
		s.t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		s.t.Fatal(err)
	}
	return ref.Context().Digest(digest.String())
}

// sign signs the image at ref the way cosign does, with a payload about claim.
func (s *server) sign(key signature.Signer, ref, claim name.Digest, options ...static.Option) {
	s.t.Helper()
	body, err := payload.Cosign{Image: claim}.MarshalJSON()
	if err != nil {
		s.t.Fatal(err)
	}
	sig, err := key.SignMessage(bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	s.attach(ref, body, base64.StdEncoding.EncodeToString(sig), options...)
}

// attach hangs a signature at ref as it is.
func (s *server) attach(ref name.Digest, body []byte, b64sig string, options ...static.Option) {
	s.t.Helper()
	sig, err := static.NewSignature(body, b64sig, options...)
	if err != nil {
		s.t.Fatal(err)
	}
	entity, err := mutate.AttachSignatureToEntity(ociremote.SignedUnknown(ref), sig)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := ociremote.WriteSignatures(ref.Context(), entity); err != nil {
		s.t.Fatal(err)
	}
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
	s.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/manifests/"+tag) {
			return false
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		_, _ = w.Write(raw)
		return true
	})
}

// newKey returns a signer and its public key in PEM.
func newKey(t testing.TB, curve elliptic.Curve) (signature.Signer, string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := signature.LoadECDSASigner(private, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := cryptoutils.MarshalPublicKeyToPEM(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return signer, string(pem)
}

// demand returns rules by which one of the keys must have signed everything.
func demand(keys ...string) kspec.ImageRules {
	return kspec.ImageRules{RequireSignatures: true, Signatures: []kspec.SignatureRule{{
		Match: []string{"**"}, Authorities: []kspec.Authority{{Name: "team", Keys: keys}},
	}}}
}

func (s *server) options() verify.Options {
	return verify.Options{AllowHTTP: []string{s.host}, Log: slog.New(slog.DiscardHandler)}
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
