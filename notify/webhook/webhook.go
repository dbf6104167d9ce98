// Package webhook tells an HTTP endpoint, in JSON: the event as [Body] has it,
// or what a [Template] makes of it.
//
// A header may hold ${NAME}, which stands for a secret that kspec's operator
// bound to this host and this header. Nothing else of a document in Git is
// ever expanded, and no environment variable or file is read because a
// document names it.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/notify/deliver"
)

// Receiver is an HTTP endpoint.
type Receiver struct {
	config   v1alpha1.Webhook
	url      *url.URL
	template *Template
	secrets  kspec.Secrets
	client   *deliver.Client
}

var (
	_ deliver.Receiver = (*Receiver)(nil)
	_ deliver.Checker  = (*Receiver)(nil)
)

// New returns the endpoint of config. It reads no secret yet; an error names
// the field of config and never its value.
func New(config v1alpha1.Webhook, secrets kspec.Secrets, client *deliver.Client) (*Receiver, error) {
	r := &Receiver{config: config, secrets: secrets, client: client}
	var err error
	if r.url, err = checkURL(config.URL, client); err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	switch config.Method {
	case "", http.MethodPost, http.MethodPut, http.MethodPatch:
	default:
		return nil, fmt.Errorf("method: %q is not POST, PUT or PATCH", config.Method)
	}
	for _, name := range slices.Sorted(maps.Keys(config.Headers)) {
		if err := checkHeader(name, config.Headers[name]); err != nil {
			return nil, fmt.Errorf("headers.%q: %w", name, err)
		}
	}
	if n := config.Retry.Attempts; n != nil && (*n < 1 || *n > 10) {
		return nil, fmt.Errorf("retry.attempts: %d is not between 1 and 10", *n)
	}
	if config.Template == "" {
		return r, nil
	}
	if inlineSecret.MatchString(config.Template) {
		return nil, inlineError("template")
	}
	if r.template, err = Parse(config.Template); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	return r, nil
}

// Check implements [deliver.Checker]: every secret can be read.
func (r *Receiver) Check(ctx context.Context) error {
	_, err := r.headers(ctx)
	return err
}

// Send implements [deliver.Receiver].
func (r *Receiver) Send(ctx context.Context, m deliver.Message) error {
	body, err := r.body(m)
	if err != nil {
		return &deliver.Error{Class: deliver.Payload, Reason: err.Error()}
	}
	header, err := r.headers(ctx)
	if err != nil {
		return err
	}
	if m.ID != "" {
		header.Set("Idempotency-Key", m.ID)
	}
	req := deliver.Request{Method: r.config.Method, URL: kspec.NewSecret(r.url.String()), Header: header, Body: body}
	if r.config.Retry.Attempts != nil {
		req.Attempts = *r.config.Retry.Attempts
	}
	if r.config.Retry.Timeout != nil {
		req.Timeout = r.config.Retry.Timeout.Duration
	}
	return r.client.Send(ctx, req)
}

func (r *Receiver) body(m deliver.Message) ([]byte, error) {
	if r.template == nil {
		return Body(m)
	}
	return r.template.Execute(m)
}

// headers resolves the secrets that the headers name.
func (r *Receiver) headers(ctx context.Context) (http.Header, error) {
	h := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	for _, name := range slices.Sorted(maps.Keys(r.config.Headers)) {
		value, err := r.expand(ctx, http.CanonicalHeaderKey(name), r.config.Headers[name])
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", name, err)
		}
		h.Set(name, value)
	}
	return h, nil
}

// expand replaces each ${NAME} by its secret, once: what a secret holds is not
// looked at again.
func (r *Receiver) expand(ctx context.Context, header, value string) (string, error) {
	var errs []error
	expanded := reference.ReplaceAllStringFunc(value, func(token string) string {
		ref := kspec.SecretRef{Name: token[2 : len(token)-1]}
		if r.secrets == nil {
			errs = append(errs, fmt.Errorf("read secret %s: kspec was given no secrets", ref.Name))
			return ""
		}
		s, err := r.secrets.Resolve(ctx, ref, kspec.SecretUse{Field: "header:" + header, Host: r.url.Host})
		if err != nil {
			errs = append(errs, fmt.Errorf("read secret %s: %w", ref.Name, err))
		} else if !validValue(s.Reveal()) {
			errs = append(errs, fmt.Errorf("secret %s holds a line break or another character that a header cannot carry", ref.Name))
		}
		return s.Reveal()
	})
	return expanded, errors.Join(errs...)
}

var (
	reference = regexp.MustCompile(`\$\{[A-Z_][A-Z0-9_]*\}`)
	token     = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
	// inlineSecret is what credentials look like that people paste by mistake.
	inlineSecret = regexp.MustCompile(`hooks\.slack(-gov)?\.com/(services|workflows|triggers)/|\bxox[a-z]-|\bgh[opsu]_[A-Za-z0-9]{20}|\bglpat-|\bwhsec_`)
)

func checkURL(raw string, client *deliver.Client) (*url.URL, error) {
	if inlineSecret.MatchString(raw) {
		return nil, inlineError("address")
	}
	if strings.Contains(raw, "${") {
		return nil, errors.New("${…} stands for a secret in headers only")
	}
	return client.CheckURL(raw)
}

func checkHeader(name, value string) error {
	if !token.MatchString(name) {
		return errors.New("this is not the name of a header")
	}
	switch http.CanonicalHeaderKey(name) {
	case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Te", "Trailer", "Upgrade",
		"Proxy-Authorization", "Proxy-Connection", "Expect":
		return errors.New("this header is kspec's to set")
	case "Authorization", "Cookie":
		if !reference.MatchString(value) {
			return inlineError("value")
		}
	}
	switch rest := reference.ReplaceAllLiteralString(value, ""); {
	case !validValue(value):
		return errors.New("the value holds a line break or another character that a header cannot carry")
	case inlineSecret.MatchString(rest):
		return inlineError("value")
	case strings.Contains(rest, "${"):
		return errors.New("the value holds ${ without the name of a secret: want ${NAME} of capitals, digits and _")
	}
	return nil
}

func inlineError(what string) error {
	return kspec.WithHint(fmt.Errorf("the %s looks like a credential, which must not be in Git", what),
		"revoke it, put the new one into a secret of kspec's operator, and name that secret: a header takes ${NAME}, and spec.slack.webhookURL a secretRef")
}

// validValue reports whether s may stand in a header.
func validValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}
