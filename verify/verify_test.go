package verify_test

import (
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/fixtures/registry"
	"github.com/cloudcwfranck/kspec/verify"
)

// object reads one YAML document as a desired object.
func object(t testing.TB, text string) kspec.Object {
	t.Helper()
	var u unstructured.Unstructured
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return kspec.Object{Unstructured: &u, Source: kspec.Source{File: "app.yaml", Line: 1}}
}

func deployment(t testing.TB, name, image string) kspec.Object {
	t.Helper()
	return object(t, fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s, namespace: shop}
spec: {template: {spec: {containers: [{name: app, image: %q}]}}}`, name, image))
}

func desired(objects ...kspec.Object) kspec.Desired { return kspec.Desired{Objects: objects} }

// said is what a finding says, without what other tests look at.
func said(findings []kspec.Finding) []string {
	var all []string
	for _, f := range findings {
		all = append(all, fmt.Sprintf("%s %s %s %s: %s", f.Type, f.Verdict, f.Severity, f.Object, f.Message))
	}
	return all
}

func reasons(unknown []kspec.Unknown) []string {
	var all []string
	for _, u := range unknown {
		all = append(all, u.Object.String()+": "+u.Reason)
	}
	return all
}

func TestVerifyAsksNobodyUnlessSignaturesAreRequired(t *testing.T) {
	s := newServer(t)
	asked := verify.RunningFunc(func(context.Context, kspec.Target) ([]kspec.Image, error) {
		t.Error("the cluster was asked")
		return nil, nil
	})
	findings, unknown, err := verify.New(asked, s.options()).Verify(t.Context(), kspec.Target{}, desired(deployment(t, "web", s.Host+"/app:1")))
	if err != nil || len(findings)+len(unknown) != 0 || len(s.Requests()) != 0 {
		t.Errorf("got %v, %v, %v", findings, unknown, err)
	}
}

func TestVerifyTellsOfEveryImage(t *testing.T) {
	key, pem := registry.NewKey(t, elliptic.P256())
	s := newServer(t)
	signed, unsigned, live := s.Push("app", "1"), s.Push("app", "2"), s.Push("app", "3")
	s.Sign(key, signed, signed)
	rules := demand(pem)
	rules.Signatures[0].Match = []string{s.Host + "/**"}
	at := func(d name.Digest) string { return strings.TrimPrefix(d.String(), s.Host+"/app@") }
	web := kspec.IDOf(deployment(t, "web", "").Unstructured)

	frameworks := kspec.Requirements{Frameworks: []kspec.Framework{{Name: "NIST-800-53", Revision: "rev5", Controls: []kspec.Control{
		{ID: "SI-7", Checks: []string{kspec.CheckSignatures}}, {ID: "AC-6", Checks: []string{kspec.CheckRBAC}},
	}}}}
	run := verify.RunningFunc(func(context.Context, kspec.Target) ([]kspec.Image, error) {
		image := func(ref, digest, container string) kspec.Image {
			return kspec.Image{Ref: ref, Digest: digest, Running: true, Object: web, Container: "/spec/template/spec/containers/[name=" + container + "]"}
		}
		return []kspec.Image{
			image(s.Host+"/app:2", at(unsigned), "app"), // what Git wants, too
			image(s.Host+"/app:2", at(live), "sidecar"), // the tag has moved since
			image(s.Host+"/app:1", "", "early"),
			image(s.Host+"/app:1", "sha512:00", "odd"),
			image(s.Host+"/app:1", "sha256:"+strings.Repeat("c", 64), "config"), // a digest that the registry does not know
			image("docker.io/nginx", at(live), "foreign"),
		}, nil
	})
	findings, unknown, err := verify.New(run, s.options()).Verify(t.Context(), kspec.Target{Name: "prod", Images: rules, Requirements: frameworks}, desired(
		deployment(t, "good", s.Host+"/app:1"),
		deployment(t, "web", s.Host+"/app:2"),
		deployment(t, "other", "GHCR.io:443/acme/x"),
		deployment(t, "broken", "a//b"),
	))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"image Unsigned high Deployment.apps shop/other: /spec/template/spec/containers/[name=app]: image ghcr.io/acme/x:latest: no signature rule matches it",
		"image Unsigned critical Deployment.apps shop/web: /spec/template/spec/containers/[name=app]: image HOST/app:2@UNSIGNED is not signed as demanded: no signature found, want one by team",
		"image Unsigned critical Deployment.apps shop/web: /spec/template/spec/containers/[name=foreign]: image docker.io/library/nginx:latest: no signature rule matches it",
		"image Unsigned critical Deployment.apps shop/web: /spec/template/spec/containers/[name=sidecar]: image HOST/app:2@LIVE is not signed as demanded: no signature found, want one by team",
	}
	names := strings.NewReplacer(s.Host, "HOST", at(unsigned), "UNSIGNED", at(live), "LIVE", strings.Repeat("c", 64), "CONFIG")
	got := said(findings)
	for i := range got {
		got[i] = names.Replace(got[i])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	wantUnknown := []string{
		`Deployment.apps shop/broken: /spec/template/spec/containers/[name=app]: read image reference "a//b": bad repository`,
		`Deployment.apps shop/web: /spec/template/spec/containers/[name=config]: image HOST/app:1@sha256:CONFIG: the registry has no such image, or hides it (see whether kspec may pull it)`,
		`Deployment.apps shop/web: /spec/template/spec/containers/[name=early]: image HOST/app:1: the kubelet does not tell which digest runs`,
		`Deployment.apps shop/web: /spec/template/spec/containers/[name=odd]: image HOST/app:1: the kubelet reports the digest "sha512:00", want sha256:<64 hex digits>`,
	}
	gotUnknown := reasons(unknown)
	for i := range gotUnknown {
		gotUnknown[i] = names.Replace(gotUnknown[i])
	}
	if diff := cmp.Diff(wantUnknown, gotUnknown); diff != "" {
		t.Errorf("unknown (-want +got):\n%s", diff)
	}
	for _, f := range findings {
		if f.Fingerprint == "" || f.Hint == "" || f.Check != kspec.CheckSignatures || !slices.Equal(f.Controls, []string{"NIST-800-53 rev5/SI-7"}) {
			t.Errorf("finding lacks fingerprint, hint, check or controls: %+v", f)
		}
	}
	evidence := map[string]any{"image": s.Host + "/app:2", "container": "/spec/template/spec/containers/[name=app]", "runs": at(unsigned)}
	if diff := cmp.Diff(evidence, findings[1].Evidence); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
	if findings[1].Source.File != "app.yaml" || !strings.Contains(findings[1].Hint, unsigned.DigestStr()) {
		t.Errorf("a finding about what Git wants and the cluster runs: source %v, hint %q", findings[1].Source, findings[1].Hint)
	}
}

func TestVerifySaysTheSameAgain(t *testing.T) {
	_, pem := registry.NewKey(t, elliptic.P256())
	s := newServer(t)
	var objects []kspec.Object
	for i := range 20 {
		ref := s.Push("app", fmt.Sprint(i))
		objects = append(objects, deployment(t, fmt.Sprint("a", i), ref.String()), deployment(t, fmt.Sprint("b", i), fmt.Sprintf("%s/app:%d", s.Host, i)))
	}
	var first []kspec.Finding
	for i := range 3 {
		got, unknown, err := verify.New(nil, s.options()).Verify(t.Context(), kspec.Target{Images: demand(pem)}, desired(objects...))
		if err != nil || len(unknown) != 0 || len(got) != 40 {
			t.Fatalf("got %d findings, %v, %v", len(got), unknown, err)
		}
		if i == 0 {
			first = got
		}
		if diff := cmp.Diff(first, got); diff != "" {
			t.Errorf("look %d differs:\n%s", i, diff)
		}
	}
}

func TestVerifyChecksADigestOnceForAllWhoUseIt(t *testing.T) {
	key, pem := registry.NewKey(t, elliptic.P256())
	s := newServer(t)
	ref := s.Push("app", "1")
	s.Sign(key, ref, ref)
	var objects []kspec.Object
	for i := range 100 {
		objects = append(objects, deployment(t, fmt.Sprint("web", i), ref.String()))
	}
	s.Requests()
	findings, unknown, err := verify.New(nil, s.options()).Verify(t.Context(), kspec.Target{Images: demand(pem)}, desired(objects...))
	if err != nil || len(findings)+len(unknown) != 0 {
		t.Fatalf("got %v, %v, %v", findings, unknown, err)
	}
	if n := len(s.Requests()); n > 3 {
		t.Errorf("%d requests for one digest", n)
	}
}

func TestVerifyErrorsAreUnknownOrDenied(t *testing.T) {
	_, pem := registry.NewKey(t, elliptic.P256())
	s := newServer(t)
	s.SetFault(status(http.StatusForbidden))
	target := kspec.Target{Images: demand(pem)}
	web := desired(deployment(t, "web", s.Host+"/app:1"))

	findings, unknown, err := verify.New(nil, s.options()).Verify(t.Context(), target, web)
	if err != nil || len(findings) != 0 || len(unknown) != 1 || unknown[0].Source.File != "app.yaml" {
		t.Errorf("unknown: got %v, %v, %v", findings, unknown, err)
	}
	target.Images.DenyOnError = true
	findings, unknown, err = verify.New(nil, s.options()).Verify(t.Context(), target, web)
	if err != nil || len(unknown) != 0 || len(findings) != 1 || findings[0].Verdict != kspec.Unsigned || !strings.Contains(findings[0].Message, "could not be checked") {
		t.Errorf("deny: got %v, %v, %v", findings, unknown, err)
	}
}

func TestVerifyStillChecksGitWhenTheClusterCannotBeRead(t *testing.T) {
	_, pem := registry.NewKey(t, elliptic.P256())
	s := newServer(t)
	ref := s.Push("app", "1")
	down := verify.RunningFunc(func(context.Context, kspec.Target) ([]kspec.Image, error) {
		return nil, errors.New("pods is forbidden")
	})
	findings, unknown, err := verify.New(down, s.options()).Verify(t.Context(), kspec.Target{Images: demand(pem)}, desired(deployment(t, "web", ref.String())))
	if err != nil || len(findings) != 1 || len(unknown) != 1 || unknown[0].Reason != "list running images: pods is forbidden" {
		t.Errorf("got %v, %v, %v", findings, unknown, err)
	}
}

// One registry that hangs must not take the time of the others.
func TestVerifyIsBoundedPerRegistry(t *testing.T) {
	_, pem := registry.NewKey(t, elliptic.P256())
	s, slow := newServer(t), newServer(t)
	var now, most atomic.Int32
	slow.SetFault(func(http.ResponseWriter, *http.Request) bool {
		most.Store(max(most.Load(), now.Add(1)))
		time.Sleep(5 * time.Millisecond)
		now.Add(-1)
		return false
	})
	var objects []kspec.Object
	for i := range 12 {
		ref := slow.Push("app", fmt.Sprint(i))
		objects = append(objects, deployment(t, fmt.Sprint("slow", i), ref.String()))
	}
	most.Store(0)
	objects = append(objects, deployment(t, "fast", s.Push("app", "1").String()))
	o := s.options()
	o.AllowHTTP = append(o.AllowHTTP, slow.Host)
	findings, unknown, err := verify.New(nil, o).Verify(t.Context(), kspec.Target{Images: demand(pem)}, desired(objects...))
	if err != nil || len(findings) != 13 || len(unknown) != 0 {
		t.Fatalf("got %d findings, %v, %v", len(findings), unknown, err)
	}
	if n := most.Load(); n > 4 {
		t.Errorf("%d requests at a time at one registry, want at most 4", n)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Whoever runs Pods chooses the registries of their images. However many of
// them hang, what Git names is checked, and the look comes to an end.
func TestVerifyEndsHoweverManyRegistriesHang(t *testing.T) {
	_, pem := registry.NewKey(t, elliptic.P256())
	s := newServer(t)
	ref := s.Push("app", "1")
	var running []kspec.Image
	for i := range 100 {
		running = append(running, kspec.Image{
			Ref: fmt.Sprintf("a%d.evil.example/app:1", i), Digest: "sha256:" + strings.Repeat("a", 64), Running: true,
			Object: kspec.ObjectID{Version: "v1", Kind: "Pod", Namespace: "evil", Name: fmt.Sprint("p", i)}, Container: "/spec/containers/[name=app]",
		})
	}
	cluster := verify.RunningFunc(func(context.Context, kspec.Target) ([]kspec.Image, error) { return running, nil })
	o := s.options()
	o.Budget = 300 * time.Millisecond
	o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Host == s.Host {
			return http.DefaultTransport.RoundTrip(r)
		}
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	start := time.Now()
	findings, unknown, err := verify.New(cluster, o).Verify(t.Context(), kspec.Target{Images: demand(pem)}, desired(deployment(t, "web", ref.String())))
	if err != nil || len(findings) != 1 || len(unknown) != len(running) {
		t.Errorf("got %v, %d unknown, %v", said(findings), len(unknown), err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestBlobsMayComeFromAllowedHostsOnly(t *testing.T) {
	key, pem := registry.NewKey(t, elliptic.P256())
	s := newServer(t)
	ref := s.Push("app", "1")
	s.Sign(key, ref, ref)
	cdn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("a credential went to another host")
		}
		http.Error(w, "redirect back is not needed: "+r.URL.Path, http.StatusTeapot)
	}))
	t.Cleanup(cdn.Close)
	s.SetFault(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		http.Redirect(w, r, cdn.URL+r.URL.Path, http.StatusTemporaryRedirect)
		return true
	})
	if _, err := s.check(ref.String(), demand(pem)); err == nil || !strings.Contains(err.Error(), "redirect") || kspec.HintOf(err) == "" {
		t.Errorf("not allowed: got error %v", err)
	}
	o := s.options()
	o.AllowRedirects = []string{"127.0.0.*"}
	if _, err := verify.New(nil, o).Image(t.Context(), ref.String(), demand(pem)); err == nil || !strings.Contains(err.Error(), "not allowed") {
		t.Errorf("allowed, but by plain HTTP: got error %v", err)
	}
	o.AllowHTTP = append(o.AllowHTTP, strings.TrimPrefix(cdn.URL, "http://"))
	if _, err := verify.New(nil, o).Image(t.Context(), ref.String(), demand(pem)); err == nil || !strings.Contains(err.Error(), "418") {
		t.Errorf("allowed: got error %v, want that of the other host", err)
	}
}

func BenchmarkImage(b *testing.B) {
	key, pem := registry.NewKey(b, elliptic.P256())
	s := newServer(b)
	refs := make([]string, 64)
	for i := range refs {
		ref := s.Push("app", fmt.Sprint(i))
		s.Sign(key, ref, ref)
		refs[i] = ref.String()
	}
	rules := demand(pem)
	run := func(b *testing.B, verifier func(i int) *verify.Verifier) {
		b.Helper()
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			got, err := verifier(i).Image(b.Context(), refs[i%len(refs)], rules)
			if err != nil || !got.Signed {
				b.Fatalf("got %q and error %v", got, err)
			}
			i++
		}
	}
	b.Run("cold", func(b *testing.B) {
		run(b, func(int) *verify.Verifier { return verify.New(nil, s.options()) })
	})
	b.Run("new-digest", func(b *testing.B) {
		var v *verify.Verifier
		run(b, func(i int) *verify.Verifier {
			if i%len(refs) == 0 { // forget the verdicts
				v = verify.New(nil, s.options())
			}
			return v
		})
	})
	b.Run("remembered", func(b *testing.B) {
		v := verify.New(nil, s.options())
		for _, ref := range refs {
			if _, err := v.Image(b.Context(), ref, rules); err != nil {
				b.Fatal(err)
			}
		}
		s.Requests()
		run(b, func(int) *verify.Verifier { return v })
		if n := len(s.Requests()); n != 0 {
			b.Errorf("%d requests for verdicts that were remembered", n)
		}
	})
}
