package verify

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/sigstore/cosign/v2/pkg/types"

	"github.com/cloudcwfranck/kspec"
)

// Bounds on what a registry may make kspec fetch.
const (
	maxManifest   = 4 << 20
	maxPayload    = 8 << 20
	maxSignatures = 32
	maxReferrers  = 64
	// perRegistry is how many images of one registry are checked at a time.
	perRegistry = 4
	// A registry that was silent so often is left alone for so long, or one
	// that hangs would take its time for each of a thousand images.
	maxSilent = 3
	silentFor = 30 * time.Second
	// clientLife is how long tokens and connections are reused.
	clientLife = 10 * time.Minute
)

const (
	signatureAnnotation = "dev.cosignproject.cosign/signature"
	predicateAnnotation = "dev.sigstore.bundle.predicateType"
	bundleMediaType     = "application/vnd.dev.sigstore.bundle"
	emptyMediaType      = "application/vnd.oci.empty.v1+json"
)

// registry fetches signatures, in bounded pieces.
type registry struct {
	keychain  authn.Keychain
	transport *guard
	now       func() time.Time

	mu     sync.Mutex
	puller *remote.Puller
	made   time.Time
	hosts  map[string]*host
}

// host is what is known of one registry.
type host struct {
	seats chan struct{}
	// silent counts how often in a row it did not answer in time; after a few
	// it is left alone until rest is over.
	silent int
	rest   time.Time
}

func newRegistry(o Options) *registry {
	keychain := o.Keychain
	if keychain == nil {
		keychain = authn.DefaultKeychain
	}
	return &registry{keychain: keychain, transport: newGuard(o), now: o.Now, hosts: map[string]*host{}}
}

// enter waits for a turn at a registry. The caller must leave with the error
// that it met there, if any.
func (r *registry) enter(ctx context.Context, name string) (leave func(error), err error) {
	r.mu.Lock()
	h, ok := r.hosts[name]
	if !ok {
		h = &host{seats: make(chan struct{}, perRegistry)}
		r.hosts[name] = h
	}
	r.mu.Unlock()
	select {
	case h.seats <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now().Before(h.rest) {
		<-h.seats
		return nil, errors.New("the registry did not answer in time, and is left alone for a while")
	}
	return func(err error) { r.leave(h, err) }, nil
}

func (r *registry) leave(h *host, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	<-h.seats
	if !errors.Is(err, context.DeadlineExceeded) {
		h.silent = 0
		return
	}
	if h.silent++; h.silent >= maxSilent {
		h.silent, h.rest = 0, r.now().Add(silentFor)
	}
}

// client returns what holds the tokens. It is made anew from time to time, as
// it never forgets a repository.
func (r *registry) client() (*remote.Puller, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.puller != nil && r.now().Sub(r.made) < clientLife {
		return r.puller, nil
	}
	puller, err := remote.NewPuller(
		remote.WithAuthFromKeychain(r.keychain),
		remote.WithTransport(r.transport),
		remote.WithUserAgent("kspec"),
		// The guard retries, once for all kinds of request.
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
		remote.WithRetryPredicate(func(error) bool { return false }),
		remote.WithRetryStatusCodes(),
	)
	if err != nil {
		return nil, fmt.Errorf("make registry client: %w", err)
	}
	r.puller, r.made = puller, r.now()
	return puller, nil
}

func (r *registry) at(ref reference) (*remote.Puller, name.Repository, error) {
	repository, err := ref.named(r.transport.allowsHTTP(ref.host))
	if err != nil {
		return nil, repository, err
	}
	puller, err := r.client()
	return puller, repository, err
}

// resolve returns the digest that a tag points at.
func (r *registry) resolve(ctx context.Context, ref reference) (string, error) {
	puller, repository, err := r.at(ref)
	if err != nil {
		return "", err
	}
	d, err := puller.Head(ctx, repository.Tag(ref.tag))
	if err != nil {
		return "", err
	}
	return d.Digest.String(), nil
}

// exists returns an error when the image cannot be seen.
func (r *registry) exists(ctx context.Context, ref reference) error {
	puller, repository, err := r.at(ref)
	if err != nil {
		return err
	}
	_, err = puller.Head(ctx, repository.Digest(ref.digest))
	return err
}

// signatures calls yield with what hangs at the ".sig" tag, the newest first,
// until yield returns false.
func (r *registry) signatures(ctx context.Context, ref reference, yield func(evidence) bool) error {
	puller, repository, err := r.at(ref)
	if err != nil {
		return err
	}
	tag := repository.Tag(strings.Replace(ref.digest, ":", "-", 1) + ".sig")
	d, err := puller.Get(ctx, tag)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("fetch signatures: %w", err)
	}
	m, err := v1.ParseManifest(strings.NewReader(string(d.Manifest)))
	if err != nil {
		return fmt.Errorf("read manifest of signatures: %w", err)
	}
	layers := slices.Clone(m.Layers)
	slices.Reverse(layers) // cosign appends
	for i, layer := range layers {
		if i == maxSignatures {
			return fmt.Errorf("%d signatures, of which kspec looks at the newest %d", len(layers), maxSignatures)
		}
		if !yield(r.signature(ctx, puller, repository, layer)) {
			return nil
		}
	}
	return nil
}

func (r *registry) signature(ctx context.Context, puller *remote.Puller, repository name.Repository, layer v1.Descriptor) evidence {
	name := "signature " + short(layer.Digest)
	b64sig := layer.Annotations[signatureAnnotation]
	if b64sig == "" {
		return evidence{name: name, broken: errors.New("it has no signature annotation")}
	}
	payload, err := r.blob(ctx, puller, repository, layer)
	if err != nil {
		return evidence{name: name, err: fmt.Errorf("fetch %s: %w", name, err)}
	}
	return simpleSigning(name, payload, b64sig)
}

// bundles calls yield with the Sigstore bundles that refer to the image until
// yield returns false. Those that call themselves signatures come first, which
// decides nothing but saves requests.
func (r *registry) bundles(ctx context.Context, ref reference, yield func(evidence) bool) error {
	puller, repository, err := r.at(ref)
	if err != nil {
		return err
	}
	index, err := remote.Referrers(repository.Digest(ref.digest), remote.Reuse(puller), remote.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("list referrers: %w", err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		return fmt.Errorf("read referrers: %w", err)
	}
	candidates := slices.DeleteFunc(slices.Clone(m.Manifests), func(d v1.Descriptor) bool {
		return !strings.HasPrefix(d.ArtifactType, bundleMediaType) && d.ArtifactType != emptyMediaType && d.ArtifactType != ""
	})
	slices.SortStableFunc(candidates, func(a, b v1.Descriptor) int { return preference(a) - preference(b) })
	for i, d := range candidates {
		if i == maxReferrers {
			return fmt.Errorf("%d referrers, of which kspec looks at %d", len(candidates), maxReferrers)
		}
		e, ok := r.bundle(ctx, puller, repository, d)
		if ok && !yield(e) {
			return nil
		}
	}
	return nil
}

func preference(d v1.Descriptor) int {
	if d.Annotations[predicateAnnotation] == types.CosignSignPredicateType {
		return 0
	}
	return 1
}

// bundle returns the bundle that a referrer holds, and false when it holds
// something else.
func (r *registry) bundle(ctx context.Context, puller *remote.Puller, repository name.Repository, d v1.Descriptor) (evidence, bool) {
	name := "bundle " + short(d.Digest)
	fetched, err := puller.Get(ctx, repository.Digest(d.Digest.String()))
	if err != nil {
		return evidence{name: name, err: fmt.Errorf("fetch %s: %w", name, err)}, true
	}
	m, err := v1.ParseManifest(strings.NewReader(string(fetched.Manifest)))
	if err != nil || len(m.Layers) != 1 || !strings.HasPrefix(string(m.Layers[0].MediaType), bundleMediaType) {
		return evidence{}, false
	}
	data, err := r.blob(ctx, puller, repository, m.Layers[0])
	if err != nil {
		return evidence{name: name, err: fmt.Errorf("fetch %s: %w", name, err)}, true
	}
	return bundled(ctx, name, data), true
}

// blob returns a small blob as it is stored; the client checks its digest.
func (r *registry) blob(ctx context.Context, puller *remote.Puller, repository name.Repository, d v1.Descriptor) ([]byte, error) {
	if d.Size > maxPayload {
		return nil, tooLarge("blob", maxPayload)
	}
	layer, err := puller.Layer(ctx, repository.Digest(d.Digest.String()))
	if err != nil {
		return nil, err
	}
	body, err := layer.Compressed()
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	return io.ReadAll(body)
}

func isNotFound(err error) bool {
	var te *transport.Error
	return errors.As(err, &te) && te.StatusCode == http.StatusNotFound
}

// explain returns err in words that hold nothing of what the registry wrote,
// and no address with a token in it.
func explain(err error) error {
	if err == nil {
		return nil
	}
	hint := kspec.HintOf(err)
	var answer *transport.Error
	var address *url.Error
	var refusal *refusedError
	switch {
	case errors.As(err, &refusal):
		err = refusal
	case errors.Is(err, context.DeadlineExceeded):
		err = errors.New("the registry did not answer in time")
	case errors.As(err, &answer):
		return explainAnswer(answer.StatusCode)
	case errors.As(err, &address):
		err = address.Err
	}
	return kspec.WithHint(errors.New(printable(err.Error())), hint)
}

func explainAnswer(status int) error {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return kspec.WithHint(fmt.Errorf("the registry refuses access (%d)", status), "give kspec a pull secret for it")
	case http.StatusNotFound:
		return kspec.WithHint(errors.New("the registry has no such image, or hides it"), "see whether kspec may pull it")
	default:
		return fmt.Errorf("the registry answered %d %s", status, http.StatusText(status))
	}
}

func short(h v1.Hash) string { return h.Algorithm + ":" + h.Hex[:min(len(h.Hex), 12)] }

func hexBytes(h v1.Hash) ([]byte, error) { return hex.DecodeString(h.Hex) }
