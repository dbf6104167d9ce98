package verify_test

import (
	"context"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/cosign/v2/pkg/oci/static"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/fixtures/registry"
	"github.com/cloudcwfranck/kspec/verify"
)

func TestImageSignedByCosignKeyPairCounts(t *testing.T) {
	s := newServer(t)
	pass := func(bool) ([]byte, error) { return []byte("secret"), nil }
	pair, err := cosign.GenerateKeyPair(pass)
	if err != nil {
		t.Fatal(err)
	}
	key, err := cosign.LoadPrivateKey(pair.PrivateBytes, []byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	ref := s.Push("acme/web", "1")
	s.Sign(key, ref, ref)
	got := s.want(true, ref.String(), demand(string(pair.PublicBytes)))
	if got.Digest != ref.DigestStr() || len(got.By) != 1 || got.By[0] != "team" || len(got.Reasons) != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestImageSignatures(t *testing.T) {
	good, goodPEM := registry.NewKey(t, elliptic.P256())
	other, otherPEM := registry.NewKey(t, elliptic.P256())
	strong, strongPEM := registry.NewKey(t, elliptic.P384())
	for _, c := range []struct {
		name    string
		rules   kspec.ImageRules
		prepare func(s *server) string
		signed  bool
		reason  string
	}{
		{name: "no signature", rules: demand(goodPEM), reason: "no signature found, want one by team", prepare: func(s *server) string {
			return s.Push("app", "1").String()
		}},
		{name: "the key", rules: demand(goodPEM), signed: true, prepare: func(s *server) string {
			ref := s.Push("app", "1")
			s.Sign(good, ref, ref)
			return ref.String()
		}},
		{name: "a stronger key", rules: demand(strongPEM), signed: true, prepare: func(s *server) string {
			ref := s.Push("app", "1")
			s.Sign(strong, ref, ref)
			return ref.String()
		}},
		{name: "another key", rules: demand(goodPEM), reason: "the signature found is not by team", prepare: func(s *server) string {
			ref := s.Push("app", "1")
			s.Sign(other, ref, ref)
			return ref.String()
		}},
		{name: "the old key of a rotated pair", rules: demand(otherPEM, goodPEM), signed: true, prepare: func(s *server) string {
			ref := s.Push("app", "1")
			s.Sign(good, ref, ref)
			return ref.String()
		}},
		{name: "copied from another image", rules: demand(goodPEM), reason: "invalid or missing digest in claim", prepare: func(s *server) string {
			ref, signed := s.Push("app", "1"), s.Push("app", "2")
			s.Sign(good, ref, signed)
			return ref.String()
		}},
		{name: "a forgery before the good one", rules: demand(goodPEM), signed: true, prepare: func(s *server) string {
			ref := s.Push("app", "1")
			s.Sign(other, ref, ref)
			s.Sign(good, ref, ref)
			s.Sign(other, ref, s.Push("app", "2"))
			return ref.String()
		}},
		{name: "garbage instead of base64", rules: demand(goodPEM), reason: "illegal base64", prepare: func(s *server) string {
			ref := s.Push("app", "1")
			s.Attach(ref, []byte(`{}`), "%%%")
			return ref.String()
		}},
		{name: "hostile payload in the reason", rules: demand(goodPEM), reason: `\x1b[2J`, prepare: func(s *server) string {
			ref := s.Push("app", "1")
			body := []byte(`{"critical":{"image":{"docker-manifest-digest":"\u001b[2J"}}}`)
			sig, err := good.SignMessage(strings.NewReader(string(body)))
			if err != nil {
				s.t.Fatal(err)
			}
			s.Attach(ref, body, base64.StdEncoding.EncodeToString(sig))
			return ref.String()
		}},
		{name: "annotations that crash cosign, on the good one", rules: demand(goodPEM), signed: true, prepare: func(s *server) string {
			ref := s.Push("app", "1")
			s.Sign(good, ref, ref, static.WithAnnotations(crashing()))
			if s.layers(ref)[0].Annotations["dev.sigstore.cosign/bundle"] == "" {
				s.t.Fatal("the annotations did not reach the registry")
			}
			return ref.String()
		}},
		{name: "annotations that crash cosign, on a forgery", rules: demand(goodPEM), signed: true, prepare: func(s *server) string {
			ref := s.Push("app", "1")
			s.Sign(good, ref, ref)
			s.Sign(other, ref, ref, static.WithAnnotations(crashing()))
			return ref.String()
		}},
		{name: "no rule", rules: kspec.ImageRules{}, reason: "no signature rule matches it", prepare: func(s *server) string {
			return s.Push("app", "1").String()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			got := s.want(c.signed, c.prepare(s), c.rules)
			if !strings.Contains(got.String(), c.reason) || strings.Contains(got.String(), "\x1b") {
				t.Errorf("got %q, want the reason %q", got, c.reason)
			}
		})
	}
}

// crashing returns what makes cosign's own verification of a log entry panic.
func crashing() map[string]string {
	return map[string]string{
		"dev.sigstore.cosign/bundle":      `{"SignedEntryTimestamp":"AA==","Payload":{"body":{"not":"a string"},"integratedTime":1,"logIndex":1,"logID":"x"}}`,
		"dev.sigstore.cosign/certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
		"dev.sigstore.cosign/chain":       strings.Repeat("-----BEGIN CERTIFICATE-----\n", 100),
	}
}

func TestImageBundles(t *testing.T) {
	_, wrongPEM := registry.NewKey(t, elliptic.P256())
	good, goodPEM := registry.NewKey(t, elliptic.P256())

	t.Run("a signature", func(t *testing.T) {
		s := newServer(t)
		ref := s.Push("app", "1")
		s.want(true, ref.String(), demand(s.bundle(ref, ref, signType)))
	})
	t.Run("another key", func(t *testing.T) {
		s := newServer(t)
		ref := s.Push("app", "1")
		s.bundle(ref, ref, signType)
		s.want(false, ref.String(), demand(wrongPEM))
	})
	t.Run("an SBOM is no signature", func(t *testing.T) {
		s := newServer(t)
		ref := s.Push("app", "1")
		got := s.want(false, ref.String(), demand(s.bundle(ref, ref, "https://spdx.dev/Document")))
		if !strings.Contains(got.String(), "attests something else") {
			t.Errorf("got %q", got)
		}
	})
	t.Run("about another image", func(t *testing.T) {
		s := newServer(t)
		ref := s.Push("app", "1")
		s.want(false, ref.String(), demand(s.bundle(ref, s.Push("app", "2"), signType)))
	})
	t.Run("a foreign bundle does not hide a signature of the other format", func(t *testing.T) {
		s := newServer(t)
		ref := s.Push("app", "1")
		s.bundle(ref, ref, "https://spdx.dev/Document")
		s.rawBundle(ref, []byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`), signType)
		s.Sign(good, ref, ref)
		s.want(true, ref.String(), demand(goodPEM))
	})
	t.Run("a foreign signature does not hide a bundle", func(t *testing.T) {
		s := newServer(t)
		ref := s.Push("app", "1")
		s.Sign(good, ref, ref)
		s.want(true, ref.String(), demand(s.bundle(ref, ref, signType)))
	})
	t.Run("one authority by each format", func(t *testing.T) {
		s := newServer(t)
		ref := s.Push("app", "1")
		s.Sign(good, ref, ref)
		rules := kspec.ImageRules{Signatures: []kspec.SignatureRule{{Match: []string{"**"}, All: true, Authorities: []kspec.Authority{
			{Name: "old", Keys: []string{goodPEM}}, {Name: "new", Keys: []string{s.bundle(ref, ref, signType)}},
		}}}}
		if got := s.want(true, ref.String(), rules); strings.Join(got.By, " ") != "new old" {
			t.Errorf("signed by %v", got.By)
		}
	})
	for name, data := range map[string]string{
		"no JSON": "nonsense", "empty": "{}", "old": `{"mediaType":"application/vnd.dev.sigstore.bundle+json;version=0.1"}`,
	} {
		t.Run("broken: "+name, func(t *testing.T) {
			s := newServer(t)
			ref := s.Push("app", "1")
			s.rawBundle(ref, []byte(data), signType)
			s.want(false, ref.String(), demand(goodPEM))
		})
	}
}

func TestImageAnyAndAllAuthorities(t *testing.T) {
	dev, devPEM := registry.NewKey(t, elliptic.P256())
	qa, qaPEM := registry.NewKey(t, elliptic.P256())
	devs, qas := kspec.Authority{Name: "dev", Keys: []string{devPEM}}, kspec.Authority{Name: "qa", Keys: []string{qaPEM}}
	rule := func(all bool, match string, a ...kspec.Authority) kspec.SignatureRule {
		return kspec.SignatureRule{Match: []string{match}, Authorities: a, All: all}
	}
	s := newServer(t)
	one, both := s.Push("app", "1"), s.Push("app", "2")
	s.Sign(dev, one, one)
	s.Sign(dev, both, both)
	s.Sign(qa, both, both)
	renamed := devs
	renamed.Name = "everyone"
	for name, c := range map[string]struct {
		rules     []kspec.SignatureRule
		one, both bool
	}{
		"any":                  {[]kspec.SignatureRule{rule(false, "**", devs, qas)}, true, true},
		"all":                  {[]kspec.SignatureRule{rule(true, "**", devs, qas)}, false, true},
		"every rule that hits": {[]kspec.SignatureRule{rule(false, "**", devs), rule(false, "**/app", qas)}, false, true},
		"no rule that misses":  {[]kspec.SignatureRule{rule(false, "**", devs), rule(false, "ghcr.io/**", qas)}, true, true},
		"one key in two rules": {[]kspec.SignatureRule{rule(false, "**", devs), rule(false, "**", renamed)}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			s.want(c.one, one.String(), kspec.ImageRules{Signatures: c.rules})
			s.want(c.both, both.String(), kspec.ImageRules{Signatures: c.rules})
		})
	}
}

func TestImageByTagIsPinned(t *testing.T) {
	key, pem := registry.NewKey(t, elliptic.P256())
	s := newServer(t)
	first := s.Push("app", "1")
	s.Sign(key, first, first)
	v := verify.New(nil, s.options())
	tag := s.Host + "/app:1"
	got, err := v.Image(t.Context(), tag, demand(pem))
	if err != nil {
		t.Fatal(err)
	}
	if !got.Signed || got.Pinned != first.String() {
		t.Errorf("got %+v, want %s pinned", got, first)
	}
	moved := s.Push("app", "1")
	got, err = v.Image(t.Context(), tag, demand(pem))
	if err != nil {
		t.Fatal(err)
	}
	if got.Signed || got.Digest != moved.DigestStr() {
		t.Errorf("after the tag moved got %+v, want %s unsigned", got, moved)
	}
}

func TestImageThatCannotBeCheckedIsAnError(t *testing.T) {
	key, pem := registry.NewKey(t, elliptic.P256())
	for _, c := range []struct {
		name  string
		fault func(w http.ResponseWriter, r *http.Request) bool
		want  string
	}{
		{"401", status(http.StatusUnauthorized), "refuses access (401)"},
		{"403", status(http.StatusForbidden), "refuses access (403)"},
		{"404 of all", status(http.StatusNotFound), "no such image"},
		{"500", status(http.StatusInternalServerError), "answered 500"},
		{"429", status(http.StatusTooManyRequests), "answered 429"},
		{"redirect to another host", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "https://evil.example"+r.URL.Path, http.StatusTemporaryRedirect)
			return true
		}, "redirect from"},
		{"redirect to the metadata service", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusTemporaryRedirect)
			return true
		}, "169.254.169.254: not allowed"},
		{"redirect in a circle", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
			return true
		}, ""}, // net/http stops after ten
		{"hang", func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		}, "in time"},
		{"endless manifest", func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/manifests/") {
				endless(w, r)
				return true
			}
			return false
		}, "more than 4 MiB"},
		{"endless payload", func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/blobs/") {
				endless(w, r)
				return true
			}
			return false
		}, "more than 8 MiB"},
		{"payload with another digest", func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/blobs/") {
				_, _ = w.Write([]byte("other"))
				return true
			}
			return false
		}, "checksum"},
		{"manifest that is none", func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, ".sig") {
				_, _ = w.Write([]byte(`[`))
				return true
			}
			return false
		}, "manifest of signatures"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			ref := s.Push("app", "1")
			s.Sign(key, ref, ref)
			s.SetFault(c.fault)
			o := s.options()
			o.Timeout = 3 * time.Second
			s.Requests()
			got, err := verify.New(nil, o).Image(t.Context(), ref.String(), demand(pem))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %q and error %v, want an error with %q", got, err, c.want)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the error repeats what the registry wrote: %v", err)
			}
			if n := len(s.Requests()); n > 24 {
				t.Errorf("%d requests for an image that cannot be checked", n)
			}
		})
	}
}

func endless(w http.ResponseWriter, r *http.Request) {
	chunk := make([]byte, 64<<10)
	for r.Context().Err() == nil {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

func TestImageIsNotUnsignedBecauseOneFormatFails(t *testing.T) {
	key, pem := registry.NewKey(t, elliptic.P256())
	s := newServer(t)
	signed, unsigned := s.Push("app", "1"), s.Push("app", "2")
	s.Sign(key, signed, signed)
	s.SetFault(func(w http.ResponseWriter, r *http.Request) bool {
		return strings.Contains(r.URL.Path, "/referrers/") && status(http.StatusForbidden)(w, r)
	})
	s.want(true, signed.String(), demand(pem))
	if got, err := s.check(unsigned.String(), demand(pem)); err == nil {
		t.Errorf("got %q, want an error: the other format was not seen", got)
	}
}

func TestImageWithTooManySignaturesIsAnErrorUnlessANewOneCounts(t *testing.T) {
	key, pem := registry.NewKey(t, elliptic.P256())
	other, _ := registry.NewKey(t, elliptic.P256())
	s := newServer(t)
	ref := s.Push("app", "1")
	s.Sign(other, ref, ref)
	s.Sign(key, ref, ref)
	layers := s.layers(ref)
	forged, good := layers[0], layers[1]

	many := make([]v1.Descriptor, 0, 10_001)
	for range 10_000 {
		many = append(many, forged)
	}
	s.signatureManifest(ref, many)
	s.Requests()
	if got, err := s.check(ref.String(), demand(pem)); err == nil || !strings.Contains(err.Error(), "newest 32") && !strings.Contains(err.Error(), "4 MiB") {
		t.Errorf("got %q and error %v, want one about the limit", got, err)
	}
	if n := len(s.Requests()); n > 50 {
		t.Errorf("%d requests for one image", n)
	}
	s.signatureManifest(ref, append(many[:100], good))
	s.want(true, ref.String(), demand(pem))
}

func TestImageWithHugePayloadIsNotFetched(t *testing.T) {
	_, pem := registry.NewKey(t, elliptic.P256())
	s := newServer(t)
	ref := s.Push("app", "1")
	s.signatureManifest(ref, []v1.Descriptor{{
		MediaType: "application/vnd.dev.cosign.simplesigning.v1+json", Size: 1 << 30,
		Digest:      v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("a", 64)},
		Annotations: map[string]string{"dev.cosignproject.cosign/signature": "AAAA"},
	}})
	if _, err := s.check(ref.String(), demand(pem)); err == nil || !strings.Contains(err.Error(), "8 MiB") {
		t.Errorf("got error %v", err)
	}
	for _, r := range s.Requests() {
		if strings.Contains(r, "/blobs/sha256:aaaa") {
			t.Errorf("fetched it: %s", r)
		}
	}
}

func TestRegistryIsRetriedAfterTheTimeItAsksFor(t *testing.T) {
	key, pem := registry.NewKey(t, elliptic.P256())
	s := newServer(t)
	ref := s.Push("app", "1")
	s.Sign(key, ref, ref)
	var asked atomic.Int32
	s.SetFault(func(w http.ResponseWriter, _ *http.Request) bool {
		if asked.Add(1) > 2 {
			return false
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	start := time.Now()
	s.want(true, ref.String(), demand(pem))
	if took := time.Since(start); took < 2*time.Second {
		t.Errorf("asked again after %s, want at least 2s", took)
	}
}

func TestPlainHTTPIsRefusedUnlessAllowed(t *testing.T) {
	_, pem := registry.NewKey(t, elliptic.P256())
	s := newServer(t)
	ref := s.Push("app", "1")
	s.Requests()
	_, err := verify.New(nil, verify.Options{}).Image(t.Context(), ref.String(), demand(pem))
	if err == nil || !strings.Contains(err.Error(), "plain HTTP is not allowed") || kspec.HintOf(err) == "" {
		t.Errorf("got error %v with hint %q", err, kspec.HintOf(err))
	}
	if got := s.Requests(); len(got) != 0 {
		t.Errorf("requests were made: %v", got)
	}
}

func TestLinkLocalAddressesAreNeverDialled(t *testing.T) {
	_, pem := registry.NewKey(t, elliptic.P256())
	for _, ref := range []string{"169.254.169.254/a/b:1", "[fe80::1]/a/b:1", "[::ffff:169.254.169.254]/a/b:1", "0.0.0.0:1/a/b:1"} {
		o := verify.Options{AllowHTTP: []string{"169.254.169.254", "0.0.0.0:1"}}
		_, err := verify.New(nil, o).Image(t.Context(), ref, demand(pem))
		if err == nil || !strings.Contains(err.Error(), "no registry is at such an address") && !strings.Contains(err.Error(), "bad repository") {
			t.Errorf("%s: got error %v", ref, err)
		}
	}
}

func TestRulesThatCannotBeReadAreTerminalErrors(t *testing.T) {
	_, pem := registry.NewKey(t, elliptic.P256())
	team := []kspec.Authority{{Name: "team", Keys: []string{pem}}}
	for name, rule := range map[string]kspec.SignatureRule{
		"no match":          {Authorities: team},
		"no authority":      {Match: []string{"**"}},
		"no key":            {Match: []string{"**"}, Authorities: []kspec.Authority{{Name: "x"}}},
		"no PEM":            {Match: []string{"**"}, Authorities: []kspec.Authority{{Keys: []string{"AAAA"}}}},
		"glob with a tag":   {Match: []string{"ghcr.io/a@b"}, Authorities: team},
		"empty glob":        {Match: []string{""}, Authorities: team},
		"key counted twice": {Match: []string{"**"}, All: true, Authorities: []kspec.Authority{team[0], {Name: "alias", Keys: []string{pem}}}},
		"weak key":          {Match: []string{"**"}, Authorities: []kspec.Authority{{Keys: []string{weakKey}}}},
	} {
		t.Run(name, func(t *testing.T) {
			rules := kspec.ImageRules{RequireSignatures: true, Signatures: []kspec.SignatureRule{rule}}
			if _, err := verify.New(nil, verify.Options{}).Image(t.Context(), "app", rules); !kspec.IsTerminal(err) {
				t.Errorf("Image: got error %v", err)
			}
			if _, _, err := verify.New(nil, verify.Options{}).Verify(t.Context(), kspec.Target{Images: rules}, kspec.Desired{}); !kspec.IsTerminal(err) {
				t.Errorf("Verify: got error %v", err)
			}
		})
	}
}

// weakKey is an RSA key of 1024 bits.
const weakKey = `-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDUsU/mk8mDxBimsp5nfo/qA17w
5p2j4HHDVyCCwU0uStj4mzeJKB2lBK5NE3jpnfdXCrDvQe9FhbZbQeSIhHIRHpJX
8mFVFnhZyeHcJCIPrpKq4Ne2wUVydUs55b8IGKzzuT0N/kGZMq+TwZUvfqNrEKz3
P6yqYg8oewczMmbkRwIDAQAB
-----END PUBLIC KEY-----
`

func TestVerdictsAreRememberedAndErrorsAreNot(t *testing.T) {
	key, pem := registry.NewKey(t, elliptic.P256())
	s := newServer(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	o := s.options()
	o.Now = func() time.Time { return now }
	v := verify.New(nil, o)
	look := func(ref fmt.Stringer, rules kspec.ImageRules) (bool, int) {
		t.Helper()
		s.Requests()
		got, err := v.Image(t.Context(), ref.String(), rules)
		if err != nil {
			t.Fatal(err)
		}
		return got.Signed, len(s.Requests())
	}
	ref := s.Push("app", "1")

	s.SetFault(status(http.StatusForbidden))
	if _, err := v.Image(t.Context(), ref.String(), demand(pem)); err == nil {
		t.Fatal("no error")
	}
	s.SetFault(nil)
	if signed, n := look(ref, demand(pem)); signed || n == 0 {
		t.Errorf("after an error: signed %t with %d requests, want a new look", signed, n)
	}
	s.Sign(key, ref, ref)
	if signed, n := look(ref, demand(pem)); signed || n != 0 {
		t.Errorf("at once after: signed %t with %d requests, want the remembered no", signed, n)
	}
	now = now.Add(time.Minute)
	if signed, n := look(ref, demand(pem)); !signed || n == 0 {
		t.Errorf("a minute later: signed %t with %d requests, want a new look", signed, n)
	}
	now = now.Add(1000 * time.Hour)
	if signed, n := look(ref, demand(pem)); !signed || n != 0 {
		t.Errorf("weeks later: signed %t with %d requests, want the remembered yes", signed, n)
	}
	_, otherPEM := registry.NewKey(t, elliptic.P256())
	if signed, n := look(ref, demand(otherPEM)); signed || n == 0 {
		t.Errorf("by other rules: signed %t with %d requests, want a new look", signed, n)
	}
}

func TestWarmDigestTakesTwoRequests(t *testing.T) {
	key, pem := registry.NewKey(t, elliptic.P256())
	s := newServer(t)
	first, second := s.Push("app", "1"), s.Push("app", "2")
	s.Sign(key, first, first)
	s.Sign(key, second, second)
	v := verify.New(nil, s.options())
	for _, ref := range []fmt.Stringer{first, second} {
		s.Requests()
		if _, err := v.Image(t.Context(), ref.String(), demand(pem)); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Requests(); len(got) != 2 {
		t.Errorf("requests: %v, want the manifest and the payload", got)
	}
}

func TestSilentRegistryIsLeftAlone(t *testing.T) {
	_, pem := registry.NewKey(t, elliptic.P256())
	s := newServer(t)
	s.SetFault(func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	})
	o := s.options()
	o.Timeout = 50 * time.Millisecond
	v := verify.New(nil, o)
	for range 3 {
		if _, err := v.Image(t.Context(), s.Host+"/app:1", demand(pem)); err == nil {
			t.Fatal("no error")
		}
	}
	s.Requests()
	_, err := v.Image(t.Context(), s.Host+"/app:1", demand(pem))
	if err == nil || !strings.Contains(err.Error(), "left alone") || len(s.Requests()) != 0 {
		t.Errorf("got error %v", err)
	}
}

func TestCancelledCheckEnds(t *testing.T) {
	_, pem := registry.NewKey(t, elliptic.P256())
	s := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.SetFault(func(_ http.ResponseWriter, r *http.Request) bool {
		cancel()
		<-r.Context().Done()
		return true
	})
	if _, _, err := verify.New(running(kspec.Image{Ref: s.Host + "/app:1", Running: true, Digest: "sha256:" + strings.Repeat("a", 64)}), s.options()).
		Verify(ctx, kspec.Target{Images: demand(pem)}, kspec.Desired{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled", err)
	}
}
