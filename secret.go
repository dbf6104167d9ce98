package kspec

import (
	"context"
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a value that must not be printed. Every way of formatting it gives
// "[redacted]"; only [Secret.Reveal] gives the value.
type Secret struct {
	// value is behind a pointer, because package fmt asks no method of a
	// Secret in an unexported field of another struct: it then prints the
	// address.
	value *string
}

// NewSecret returns value as a Secret.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal returns the value, for the one place that sends it.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether there is no value.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// Format implements [fmt.Formatter] for every verb and flag.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText implements [encoding.TextMarshaler], and with it JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// SecretRef names a secret that kspec's operator provides. A document in Git
// holds the name, never the value.
type SecretRef struct {
	Name string
	Key  string
}

// String returns "name/key".
func (r SecretRef) String() string { return r.Name + "/" + r.Key }

// SecretUse says what a secret is wanted for.
type SecretUse struct {
	// Field is the field that the value goes to, such as "slack.webhookURL"
	// or "header:Authorization".
	Field string
	// Host is where the value will be sent, as "host" or "host:port". When
	// the value itself names the host, as a webhook URL does, Host is empty
	// and HostOf derives it.
	Host   string
	HostOf func(value string) (string, error)
}

// Secrets resolves references through the list of its operator, who binds each
// secret to the fields and hosts it may be used for. An error never holds a
// value.
type Secrets interface {
	Resolve(ctx context.Context, ref SecretRef, use SecretUse) (Secret, error)
}
