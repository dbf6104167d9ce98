// Package slack tells a Slack channel, through an incoming webhook. The
// address of such a webhook is a credential; it comes from a secret, is read
// anew for each message and never appears in an error.
package slack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/notify/deliver"
)

// Receiver is a Slack channel.
type Receiver struct {
	config  v1alpha1.Slack
	secrets kspec.Secrets
	client  *deliver.Client
}

var (
	_ deliver.Receiver = (*Receiver)(nil)
	_ deliver.Checker  = (*Receiver)(nil)
)

// New returns the channel behind the webhook that config names. It reads no
// secret yet; an error names the field of config.
func New(config v1alpha1.Slack, secrets kspec.Secrets, client *deliver.Client) (*Receiver, error) {
	if config.WebhookURL.SecretRef.Name == "" {
		return nil, kspec.WithHint(errors.New("webhookURL.secretRef.name is empty"),
			"put the address of the incoming webhook into a secret of kspec's operator and name that secret")
	}
	return &Receiver{config: config, secrets: secrets, client: client}, nil
}

// Check implements [deliver.Checker]: the secret can be read and is an address
// that may be sent to.
func (r *Receiver) Check(ctx context.Context) error {
	address, err := r.address(ctx)
	if err != nil {
		return err
	}
	if _, err := r.client.CheckURL(address.Reveal()); err != nil {
		return fmt.Errorf("secret %s: %w", r.ref(), err)
	}
	return nil
}

// Send implements [deliver.Receiver].
func (r *Receiver) Send(ctx context.Context, m deliver.Message) error {
	address, err := r.address(ctx)
	if err != nil {
		return err
	}
	body, err := Payload(m, r.config.Channel)
	if err != nil {
		return &deliver.Error{Class: deliver.Payload, Reason: "the event cannot be written as JSON"}
	}
	return r.client.Send(ctx, deliver.Request{
		URL:     address,
		Header:  http.Header{"Content-Type": {"application/json; charset=utf-8"}},
		Body:    body,
		Accept:  accept,
		Explain: explain,
	})
}

func (r *Receiver) ref() kspec.SecretRef {
	return kspec.SecretRef{Name: r.config.WebhookURL.SecretRef.Name, Key: r.config.WebhookURL.SecretRef.Key}
}

func (r *Receiver) address(ctx context.Context) (kspec.Secret, error) {
	if r.secrets == nil {
		return kspec.Secret{}, fmt.Errorf("read secret %s: kspec was given no secrets", r.ref())
	}
	address, err := r.secrets.Resolve(ctx, r.ref(), kspec.SecretUse{Field: "slack.webhookURL", HostOf: hostOf})
	if err != nil {
		return kspec.Secret{}, fmt.Errorf("read secret %s: %w", r.ref(), err)
	}
	return address, nil
}

// hostOf returns the host of an address, or an error that does not repeat it.
func hostOf(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "", errors.New("want an absolute https address")
	}
	return u.Host, nil
}

// accept judges a 2xx answer: Slack says "ok" and nothing else. A proxy or a
// login page says something else, with the same status.
func accept(status int, body []byte) error {
	if status != http.StatusOK || string(body) == "ok" {
		return nil
	}
	return &deliver.Error{
		Class: deliver.Destination, Status: status,
		Reason: "the body is not the ok that Slack answers with",
	}
}

// explain repeats the errors that Slack documents, and no other text.
func explain(_ int, body []byte) string {
	words := []string{
		"action_prohibited", "channel_is_archived", "channel_not_found", "invalid_blocks", "invalid_payload",
		"invalid_token", "msg_blocks_too_long", "no_active_hooks", "no_service", "no_service_id", "no_team", "no_text",
		"posting_to_general_channel_denied", "rate_limited", "rollup_error", "team_disabled",
		"too_many_attachments", "user_not_found",
	}
	if i := slices.Index(words, string(body)); i >= 0 {
		return words[i]
	}
	return ""
}
