package notifytest

import (
	"context"
	"fmt"

	"github.com/cloudcwfranck/kspec"
)

// Secrets is an operator's list of secrets by "name/key". It refuses, as the
// real list does, to give a secret for another field or another host than it
// is bound to.
type Secrets map[string]Bound

// Bound is a secret and where it may go.
type Bound struct {
	Value kspec.Secret
	// Field and Host are what the secret is bound to.
	Field string
	Host  string
}

var _ kspec.Secrets = Secrets(nil)

// Resolve implements [kspec.Secrets].
func (s Secrets) Resolve(_ context.Context, ref kspec.SecretRef, use kspec.SecretUse) (kspec.Secret, error) {
	b, ok := s[ref.String()]
	if !ok {
		return kspec.Secret{}, fmt.Errorf("there is no secret %s", ref)
	}
	host := use.Host
	if use.HostOf != nil {
		var err error
		if host, err = use.HostOf(b.Value.Reveal()); err != nil {
			return kspec.Secret{}, fmt.Errorf("host of secret %s: %w", ref, err)
		}
	}
	if use.Field != b.Field || host != b.Host {
		return kspec.Secret{}, fmt.Errorf("secret %s is not meant for %s at %s", ref, use.Field, host)
	}
	return b.Value, nil
}
