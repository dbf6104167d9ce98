package compare

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

// longAnnotation is the length in bytes beyond which an annotation may hold
// anything, also a copy of a Secret.
const longAnnotation = 256

// secretName matches names that people give to secret values.
var secretName = regexp.MustCompile(`(?i)(passw(or)?d|passphrase|token|secret|credential|key)`)

// secretField matches fields that hold a secret wherever they stand.
var secretField = regexp.MustCompile(`(?i)(passw(or)?d|passphrase|token|(client|api|access|private|secret)[-_]?(secret|key)|(^|[-_.])secret)$`)

// secretText matches values that hold a secret whatever they are called: an
// address with a password, and a private key.
var secretText = regexp.MustCompile(`://[^\s/?#@:]*:[^\s/?#@]+@|-----BEGIN [A-Z ]*PRIVATE KEY-----`)

// redactor replaces what may be secret by a tag that is equal for equal values
// and tells nothing else, not even a length.
type redactor struct{ key []byte }

func (r redactor) tag(v any) string {
	b, _ := json.Marshal(v) // a JSON value: cannot fail
	mac := hmac.New(sha256.New, r.key)
	mac.Write(b)
	return "[redacted " + hex.EncodeToString(mac.Sum(nil))[:8] + "]"
}

// value returns v, which stands at path in an object, with what may be secret
// replaced, and whether anything was. Parent is the map that holds v.
func (r redactor) value(id kspec.ObjectID, path kspec.Path, parent, v any) (any, bool) {
	switch w := v.(type) {
	case nil, bool:
		return v, false
	case map[string]any:
		return r.fields(id, path, w)
	case []any:
		return r.items(id, path, w)
	}
	if !sensitive(id, path, parent, v) {
		return v, false
	}
	return r.tag(v), true
}

func (r redactor) fields(id kspec.ObjectID, path kspec.Path, m map[string]any) (any, bool) {
	out, hidden := make(map[string]any, len(m)), false
	for k, v := range m {
		w, redacted := r.value(id, append(slices.Clip(path), kspec.Step{Field: k}), m, v)
		out[k], hidden = w, hidden || redacted
	}
	return out, hidden
}

func (r redactor) items(id kspec.ObjectID, path kspec.Path, l []any) (any, bool) {
	out, hidden := make([]any, 0, len(l)), false
	for i, v := range l {
		w, redacted := r.value(id, path, nil, v)
		if _, isText := v.(string); isText && i > 0 && isSecretFlag(l[i-1]) {
			w, redacted = r.tag(v), true
		}
		out, hidden = append(out, w), hidden || redacted
	}
	return out, hidden
}

// isSecretFlag reports whether v is an argument of a command, such as
// --password, after which the secret follows.
func isSecretFlag(v any) bool {
	s, _ := v.(string)
	return strings.HasPrefix(s, "-") && secretField.MatchString(s)
}

// keys returns path with the values of list keys replaced that may be secret,
// and whether any was.
func (r redactor) keys(path kspec.Path) (kspec.Path, bool) {
	out, hidden := slices.Clone(path), false
	for i, s := range path {
		out[i].Keys = slices.Clone(s.Keys)
		for n, k := range s.Keys {
			if field := cmp.Or(k.Name, path[max(i-1, 0)].Field); secretField.MatchString(field) || isSecretText(k.Value) {
				out[i].Keys[n].Value, hidden = r.tag(k.Value), true
			}
		}
	}
	return out, hidden
}

// sensitive reports whether the plain value v at path may be secret.
func sensitive(id kspec.ObjectID, path kspec.Path, parent, v any) bool {
	if len(path) == 0 {
		return false
	}
	last := path[len(path)-1].Field
	s, isText := v.(string)
	if len(path) > 1 && isText && last == "" { // an item of a list of plain values
		last = path[len(path)-2].Field
	}
	switch {
	case isSecret(id) && (path[0].Field == "data" || path[0].Field == "stringData"):
		return true
	case within(path, "metadata", "annotations"):
		return last == lastApplied || len(s) > longAnnotation || secretField.MatchString(last) || isSecretText(s)
	case within(path, "metadata", "labels"):
		return false
	case last == "value" && isSecretEnv(parent):
		return true
	}
	return isText && (secretField.MatchString(last) || isSecretText(s))
}

// isSecretText reports whether the text holds a secret itself, or says which it
// is, as in --password=x.
func isSecretText(s string) bool {
	name, _, assigned := strings.Cut(s, "=")
	return assigned && secretField.MatchString(name) || secretText.MatchString(s)
}

// isSecretEnv reports whether the map is a variable with a name that people
// give to a secret.
func isSecretEnv(parent any) bool {
	m, _ := parent.(map[string]any)
	name, _ := m["name"].(string)
	return secretName.MatchString(name)
}

// within reports whether path leads through outer/inner to something below.
func within(path kspec.Path, outer, inner string) bool {
	for i := range len(path) - 2 {
		if path[i].Field == outer && path[i+1].Field == inner {
			return true
		}
	}
	return false
}
