// Package verify checks that container images are signed as a ClusterSpec
// demands: those that Git desires and those that the cluster runs.
//
// It trusts public keys. A signature counts when it was made by one of the
// keys and names the digest of the image, in either of the two formats that
// cosign writes: a simple-signing payload under the ".sig" tag, or a bundle
// among the image's referrers. What a registry serves is hostile input, so
// kspec fetches it itself, in bounded pieces, and gives cosign one signature
// at a time.
//
// An image that carries no such signature is a finding. An image that could
// not be checked is an [kspec.Unknown], never "unsigned". See docs/images.md.
package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"golang.org/x/sync/errgroup"

	"github.com/cloudcwfranck/kspec"
)

// Running lists the images that live workloads of a target run.
type Running interface {
	// RunningImages returns images with Running set. Digest is empty where the
	// kubelet does not tell. Object is best the workload and not the Pod, and
	// Container the place in its template, so that replicas are one.
	RunningImages(ctx context.Context, t kspec.Target) ([]kspec.Image, error)
}

// RunningFunc lets a function be a [Running].
type RunningFunc func(ctx context.Context, t kspec.Target) ([]kspec.Image, error)

// RunningImages implements [Running].
func (f RunningFunc) RunningImages(ctx context.Context, t kspec.Target) ([]kspec.Image, error) {
	return f(ctx, t)
}

// Options say how registries are spoken to. The zero value works.
type Options struct {
	// Keychain gives the credentials of registries; nil means those of the
	// Docker configuration, and none where it has none.
	Keychain authn.Keychain
	// AllowHTTP names registries, as "host" or "host:port", that may be spoken
	// to without TLS. Anyone on the way can then replace what is fetched,
	// though not forge a signature.
	AllowHTTP []string
	// AllowRedirects are globs of hosts that a registry may send kspec to for
	// a blob, besides the content networks of the well-known registries.
	AllowRedirects []string
	// Transport is what requests go through; nil means one of this package's
	// own, which refuses to connect to link-local addresses.
	Transport http.RoundTripper
	// Timeout bounds the check of one image; 0 means 30 seconds.
	Timeout time.Duration
	// Budget bounds one Verify, so that registries that hang, which whoever
	// runs a Pod may name, do not keep kspec from looking at the cluster. What
	// was not checked by then is unknown; 0 means five minutes.
	Budget time.Duration
	// Log gets what people may wonder about; nil means slog.Default.
	Log *slog.Logger
	// Now is the clock of the cache; nil means time.Now.
	Now func() time.Time
}

// Verifier implements [kspec.Verifier]. It remembers verdicts and may be used
// by many goroutines.
type Verifier struct {
	running  Running
	registry *registry
	cache    *cache
	timeout  time.Duration
	budget   time.Duration
	log      *slog.Logger
}

var _ kspec.Verifier = (*Verifier)(nil)

// workers is how many images are checked at a time, of all registries.
const workers = 16

// New returns a Verifier. With a nil running it checks only what Git desires.
func New(running Running, o Options) *Verifier {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	return &Verifier{
		running:  running,
		registry: newRegistry(o),
		cache:    newCache(o.Now),
		timeout:  o.Timeout,
		budget:   cmp.Or(o.Budget, 5*time.Minute),
		log:      o.Log,
	}
}

// Verify implements [kspec.Verifier]. It makes no request when the target
// demands no signatures. The error tells of rules that cannot be understood.
func (v *Verifier) Verify(ctx context.Context, t kspec.Target, want kspec.Desired) ([]kspec.Finding, []kspec.Unknown, error) {
	if !t.Images.RequireSignatures {
		return nil, nil, nil
	}
	policy, err := compile(t.Images)
	if err != nil {
		return nil, nil, fmt.Errorf("read signature rules of %s: %w", t.Name, err)
	}
	look := newLook(t)
	images, err := v.runningImages(ctx, t)
	if err != nil {
		look.unknown = append(look.unknown, kspec.Unknown{Reason: "list running images: " + err.Error()})
	}
	for _, o := range want.Objects {
		images = append(images, Images(o)...)
	}
	jobs := look.plan(policy, images)
	if err := v.checkAll(ctx, jobs); err != nil {
		return nil, nil, fmt.Errorf("check images: %w", err)
	}
	findings, unknown := look.results(jobs)
	v.log.DebugContext(ctx, "images checked", "target", t, "images", len(jobs), "findings", len(findings), "unknown", len(unknown))
	return findings, unknown, nil
}

func (v *Verifier) runningImages(ctx context.Context, t kspec.Target) ([]kspec.Image, error) {
	if v.running == nil {
		return nil, nil
	}
	return v.running.RunningImages(ctx, t)
}

func (v *Verifier) checkAll(ctx context.Context, jobs []*job) error {
	inTime, cancel := context.WithTimeout(ctx, v.budget)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(workers)
	for _, j := range jobs {
		g.Go(func() error {
			if inTime.Err() == nil {
				j.verdict, j.err = v.check(inTime, j.ref, j.rules)
			} else {
				j.err = errors.New("other registries took all the time of this look")
			}
			return nil
		})
	}
	_ = g.Wait() // errors stay with their jobs
	return ctx.Err()
}

// check decides one image, within the timeout once it is its turn. The digest
// of the verdict is set also with an error, where it is known.
func (v *Verifier) check(ctx context.Context, ref reference, rules ruleSet) (verdict, error) {
	if found, ok := v.cache.get(ref, rules); ok {
		return found, nil
	}
	leave, err := v.registry.enter(ctx, ref.host)
	if err != nil {
		return verdict{}, explain(err)
	}
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	found, err := v.ask(ctx, ref, rules)
	leave(err)
	return found, explain(err)
}

// ask decides one image at its registry. Errors are never remembered.
func (v *Verifier) ask(ctx context.Context, ref reference, rules ruleSet) (verdict, error) {
	byTag := ref.digest == ""
	if byTag {
		var err error
		if ref.digest, err = v.registry.resolve(ctx, ref); err != nil {
			return verdict{}, fmt.Errorf("resolve tag %s: %w", ref.tag, err)
		}
		if found, ok := v.cache.get(ref, rules); ok {
			return found, nil
		}
	}
	found, err := v.examine(ctx, ref, rules, byTag)
	if err != nil {
		return verdict{digest: ref.digest}, err
	}
	v.cache.put(ref, rules, found)
	return found, nil
}

// Result is what is known of one image.
type Result struct {
	// Ref is the image as it was asked for.
	Ref string
	// Digest is what the tag pointed at when it was resolved, or what the
	// reference says.
	Digest string
	// Pinned is the reference to write into Git.
	Pinned string
	// Signed tells whether the rules are satisfied.
	Signed bool
	// By names the authorities whose signature was found, sorted.
	By []string
	// Reasons say why signatures that were found do not count.
	Reasons []string
}

// String returns the result on one line, and each reason on a line below it.
func (r Result) String() string {
	if r.Signed {
		return fmt.Sprintf("signed      %s by %s", r.Pinned, strings.Join(r.By, ", "))
	}
	var b strings.Builder
	b.WriteString("not signed  " + r.Pinned)
	for _, reason := range r.Reasons {
		b.WriteString("\n            " + reason)
	}
	return b.String()
}

// Image checks one image by the rules, whether or not they require
// signatures. The error says why it could not be checked.
func (v *Verifier) Image(ctx context.Context, ref string, rules kspec.ImageRules) (Result, error) {
	policy, err := compile(rules)
	if err != nil {
		return Result{}, fmt.Errorf("read signature rules: %w", err)
	}
	r, err := parseReference(ref)
	if err != nil {
		return Result{}, err
	}
	matched := policy.match(r.repository())
	if len(matched) == 0 {
		return Result{Ref: ref, Digest: r.digest, Pinned: r.String(), Reasons: []string{unmatched}}, nil
	}
	found, err := v.check(ctx, r, matched)
	if err != nil {
		return Result{Ref: ref, Digest: found.digest}, fmt.Errorf("check image %s: %w", r, err)
	}
	r.digest = found.digest
	return Result{
		Ref: ref, Digest: r.digest, Pinned: r.pinned(),
		Signed: found.signed, By: slices.Clone(found.by), Reasons: found.why(),
	}, nil
}
