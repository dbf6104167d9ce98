package notifytest_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/notify/deliver"
	"github.com/cloudcwfranck/kspec/notify/notifytest"
)

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

type open struct{ token string }

func (open) Send(context.Context, deliver.Message) error { return nil }

func TestEveryWayOfLeakingIsFound(t *testing.T) {
	fails := func(err error) deliver.Receiver {
		return deliver.ReceiverFunc(func(context.Context, deliver.Message) error { return err })
	}
	const s = notifytest.Canary
	for name, r := range map[string]deliver.Receiver{
		"plain":         fails(errors.New("POST https://example.com/" + s)),
		"query":         fails(errors.New(url.QueryEscape(s))),
		"path":          fails(errors.New(url.PathEscape(s))),
		"base64":        fails(errors.New(base64.StdEncoding.EncodeToString([]byte(s)))),
		"hex":           fails(fmt.Errorf("%x", s)),
		"wrapped":       fails(fmt.Errorf("failed: %w", &url.Error{Op: "Post", URL: s, Err: errors.New("x")})),
		"hidden cause":  fails(deepError{errors.New(s)}),
		"the receiver":  open{s},
		"by a pointer":  &open{s},
		"in the reason": fails(&deliver.Error{Class: deliver.Retry, Reason: s}),
	} {
		t.Run(name, func(t *testing.T) {
			rec := &recorder{TB: t}
			_ = notifytest.LeaksNothing(rec, r, s)
			if len(rec.failures) == 0 {
				t.Error("the leak was not found")
			}
		})
	}
	rec := &recorder{TB: t}
	if err := notifytest.LeaksNothing(rec, fails(errors.New("nothing to see")), s); err == nil || len(rec.failures) > 0 {
		t.Errorf("a clean error: %v, %q", err, rec.failures)
	}
}

// deepError shows its cause to those who unwrap it only.
type deepError struct{ cause error }

func (e deepError) Error() string                { return "failed" }
func (e deepError) Unwrap() error                { return e.cause }
func (e deepError) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte("failed")) }
func (e deepError) MarshalText() ([]byte, error) { return []byte("failed"), nil }

func TestSecretsAreGivenForTheirUseOnly(t *testing.T) {
	list := notifytest.Secrets{"a/k": {Value: kspec.NewSecret("https://x.example/canary"), Field: "slack.webhookURL", Host: "x.example"}}
	hostOf := func(v string) (string, error) {
		u, err := url.Parse(v)
		return u.Host, err
	}
	ref := kspec.SecretRef{Name: "a", Key: "k"}
	if s, err := list.Resolve(t.Context(), ref, kspec.SecretUse{Field: "slack.webhookURL", HostOf: hostOf}); err != nil || s.Reveal() != "https://x.example/canary" {
		t.Errorf("%v, %v", s, err)
	}
	for _, use := range []kspec.SecretUse{
		{Field: "slack.webhookURL", Host: "y.example"},
		{Field: "header:X", HostOf: hostOf},
		{Field: "slack.webhookURL", HostOf: func(string) (string, error) { return "", errors.New("no host") }},
	} {
		if _, err := list.Resolve(t.Context(), ref, use); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%+v: %v", use, err)
		}
	}
}
