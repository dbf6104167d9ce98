package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/cosign/v2/pkg/types"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	sigverify "github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
)

// verdict is what is known of one digest under some rules.
type verdict struct {
	digest string
	signed bool
	// by names the authorities whose signature was found, sorted.
	by []string
	// found counts signatures, whoever made them.
	found   int
	reasons []string
	demand  string
}

// summary says on one line why there is no better verdict.
func (v verdict) summary() string {
	switch {
	case v.found == 0:
		return "no signature found, want one by " + v.demand
	case len(v.by) > 0:
		return fmt.Sprintf("signed by %s, want %s", strings.Join(v.by, ", "), v.demand)
	case v.found == 1:
		return "the signature found is not by " + v.demand
	default:
		return fmt.Sprintf("none of %d signatures found is by %s", v.found, v.demand)
	}
}

func (v verdict) why() []string {
	if v.signed {
		return nil
	}
	return append([]string{v.summary()}, v.reasons...)
}

// evidence is one signature as it was fetched, of either format.
type evidence struct {
	// name tells it from the others in reasons.
	name string
	// check returns nil when key made the signature, for that digest.
	check func(ctx context.Context, key signature.Verifier, digest v1.Hash) error
	// err is set instead when it could not be had.
	err error
	// broken is set when it was had and can be no signature.
	broken error
}

// examine looks for signatures of both formats until the rules are satisfied.
// An attestation or a bad signature in one format never hides a good one in
// the other. exists says that the image itself was seen.
func (v *Verifier) examine(ctx context.Context, ref reference, rules ruleSet, exists bool) (verdict, error) {
	digest, err := v1.NewHash(ref.digest)
	if err != nil {
		return verdict{}, err
	}
	tally := newTally(rules)
	var errs []error
	for _, fetch := range []func(context.Context, reference, func(evidence) bool) error{
		v.registry.signatures, v.registry.bundles,
	} {
		err := fetch(ctx, ref, func(e evidence) bool {
			if e.err != nil {
				errs = append(errs, e.err)
				return true
			}
			tally.count(ctx, e, digest)
			return !tally.done()
		})
		if tally.done() {
			return tally.verdict(ref.digest), nil
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return verdict{}, err
	}
	if ctx.Err() != nil {
		return verdict{}, ctx.Err()
	}
	if tally.found == 0 && !exists {
		// A registry that hides an image says that its signatures do not exist.
		if err := v.registry.exists(ctx, ref); err != nil {
			return verdict{}, err
		}
	}
	return tally.verdict(ref.digest), nil
}

// tally counts who signed.
type tally struct {
	rules   ruleSet
	signed  map[string]bool
	by      []string
	found   int
	reasons []string
}

func newTally(rules ruleSet) *tally { return &tally{rules: rules, signed: map[string]bool{}} }

func (t *tally) done() bool { return t.rules.satisfied(t.signed) }

func (t *tally) verdict(digest string) verdict {
	slices.Sort(t.by)
	return verdict{
		digest: digest, signed: t.done(), by: slices.Compact(t.by),
		found: t.found, reasons: t.reasons, demand: t.rules.demand(),
	}
}

// count tries the keys of every authority that has not signed yet. A key that
// several rules name counts for each of them.
func (t *tally) count(ctx context.Context, e evidence, digest v1.Hash) {
	t.found++
	if e.broken != nil {
		t.reason(e, e.broken)
		return
	}
	var last error
	counted := false
	for _, a := range t.rules.authorities() {
		if t.signed[a.id] {
			continue
		}
		for _, key := range a.keys {
			last = guarded(ctx, func() error { return e.check(ctx, key, digest) })
			if last == nil {
				t.signed[a.id] = true
				t.by = append(t.by, a.name)
				counted = true
				break
			}
		}
	}
	if last != nil && !counted {
		t.reason(e, last)
	}
}

func (t *tally) reason(e evidence, err error) {
	t.reasons = append(t.reasons, e.name+": "+printable(err.Error()))
}

// guarded runs check in a goroutine of its own, so that neither a panic nor a
// hang in it is ours.
func guarded(ctx context.Context, check func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("verification panicked: %v", p)
			}
		}()
		done <- check()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// simpleSigning is evidence in the format of the ".sig" tag. Its annotations
// other than the signature are dropped: a key needs no certificate, chain or
// log entry, and what is not parsed cannot do harm.
func simpleSigning(name string, payload []byte, b64sig string) evidence {
	sig, err := static.NewSignature(payload, b64sig)
	if err != nil {
		return evidence{name: name, broken: err}
	}
	return evidence{name: name, check: func(ctx context.Context, key signature.Verifier, digest v1.Hash) error {
		_, err := cosign.VerifyImageSignature(ctx, sig, digest, &cosign.CheckOpts{
			SigVerifier: key,
			// Without it, a signature of any other image would do.
			ClaimVerifier: cosign.SimpleClaimVerifier,
			IgnoreTlog:    true,
			Offline:       true,
		})
		return err
	}}
}

// bundled is evidence in the format of a Sigstore bundle. A bundle may attest
// anything about an image; only one that says "signed" is a signature.
func bundled(ctx context.Context, name string, data []byte) evidence {
	b := &bundle.Bundle{}
	if err := guarded(ctx, func() error { return b.UnmarshalJSON(data) }); err != nil {
		return evidence{name: name, broken: fmt.Errorf("read bundle: %w", err)}
	}
	if !b.MinVersion("v0.3") {
		return evidence{name: name, broken: errors.New("read bundle: older than v0.3")}
	}
	return evidence{name: name, check: func(_ context.Context, key signature.Verifier, digest v1.Hash) error {
		return checkBundle(b, key, digest)
	}}
}

func checkBundle(b *bundle.Bundle, key signature.Verifier, digest v1.Hash) error {
	trusted := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
		return root.NewExpiringKey(key, time.Time{}, time.Time{}), nil
	})
	verifier, err := sigverify.NewVerifier(trusted, sigverify.WithNoObserverTimestamps())
	if err != nil {
		return err
	}
	sum, err := hexBytes(digest)
	if err != nil {
		return err
	}
	result, err := verifier.Verify(b, sigverify.NewPolicy(sigverify.WithArtifactDigest(digest.Algorithm, sum), sigverify.WithKey()))
	if err != nil {
		return err
	}
	if result.Statement == nil || result.Statement.GetPredicateType() != types.CosignSignPredicateType {
		return errors.New("it attests something else than a signature")
	}
	return nil
}

// printable spells out what a terminal might obey.
func printable(s string) string {
	const most = 300
	if len(s) > most {
		s = s[:most] + "…"
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
