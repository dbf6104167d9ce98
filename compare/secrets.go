package compare

import (
	"regexp"
	"slices"
	"strings"
)

// This file knows what secrets look like. In doubt a value is taken for one.

// longAnnotation is the length in bytes beyond which an annotation may hold
// anything, also a copy of a Secret.
const longAnnotation = 256

var (
	// secretName matches names that people give to variables with secrets.
	secretName = regexp.MustCompile(`(?i)(passw(or)?d|pwd|passphrase|token|secret|credential|key|auth([^o]|$)|dsn|cookie)`)

	// secretField matches fields that hold a secret wherever they stand.
	secretField = regexp.MustCompile(`(?i)(passw(or)?ds?|pwd|passphrases?|tokens?|credentials?|connection[-_.]?string|dsn` +
		`|(client|api|app|access|private|secret|account|shared|signing|encryption|master|license|ssh|hmac|jwt|session|webhook)[-_.]?(secret|keys?)` +
		`|(^|[-_.])(secret|pass|auth|authorization|cookie|htpasswd|dockerconfigjson|kubeconfig|netrc|id_rsa|tls\.key)` +
		`|(?-i:[a-z]Pass))$`)

	// secretText matches values that hold a secret whatever they are called.
	secretText = regexp.MustCompile(strings.Join([]string{
		`://[^\s/?#@:]*:[^\s/?#@]+@`,                                 // an address with a password
		`://[^\s/?#@:]{16,}@`,                                        // or with a token
		`-----BEGIN [A-Z ]*PRIVATE KEY`,                              //
		`\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.`,                             // a JSON Web Token
		`\bENC\[[A-Z0-9_]+,`,                                         // a value encrypted by SOPS
		`(?i:\b(bearer|basic)\s+[\w+/.~-]{8,})`,                      // a header
		`(?i:[?&](sig|signature|x-amz-signature|x-goog-signature)=)`, // a signed address
		`hooks\.slack\.com/services/\w`,                              //
		`\b(gh[opsur]_|github_pat_|glpat-|xox[a-z]-|[rs]k_live_|AKIA|ASIA|AIza|npm_|hvs\.|dop_v1_|SG\.)[\w.-]{10,}`,
		`\$(1|5|6|2[abxy]?|apr1|y|argon2\w*)\$[\w./=,$+-]{8,}`, // a hash of a password
	}, "|"))

	// assignment matches texts that say which secret they hold, as in
	// --password=x, password: x and "auth":"x".
	assignment = regexp.MustCompile(`(?i)(passw(or)?d|pwd|passphrase|token|secret|credentials?|"auth|connection[-_.]?string` +
		`|(client|api|access|private|secret|account|shared|signing|encryption|master)[-_. ]?(access[-_.]?)?key)` +
		`(\\*["'])?\s*[=:]\s*(\\*["'])?[^\s"',;&{}\\]` +
		`|(^|\s)--?[\w.-]*(passw(or)?d|passphrase|token|secret|api-?key)\s+[^-\s]`)

	// manifest matches texts that hold a Secret, such as a copy that a tool
	// keeps of what it applied.
	manifest = regexp.MustCompile(`(?m)\\*"?\bkind\\*"?\s*:\s*\\*"?Secret\b`)
)

// holdsSecret reports whether v is a Secret or has one in it.
func holdsSecret(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		if v["kind"] == "Secret" {
			return true
		}
		for _, field := range v {
			if holdsSecret(field) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, holdsSecret)
	}
	return false
}

// isSecretData reports whether the field of m is the data of a Secret.
func isSecretData(m map[string]any, name string) bool {
	return (name == "data" || name == "stringData") && m["kind"] == "Secret"
}

// isSecretFlag reports whether v is an argument of a command, such as
// --password, after which the secret follows.
func isSecretFlag(v any) bool {
	s, _ := v.(string)
	return strings.HasPrefix(s, "-") && secretField.MatchString(s)
}

// isValue reports whether a field of that name holds what another one names.
func isValue(name string) bool {
	switch name {
	case "value", "values", "plainText", "plaintext", "literal", "content", "text", "stringValue", "default":
		return true
	}
	return false
}

// isSecretVariable reports whether the map is a variable or a parameter with a
// name that people give to a secret.
func isSecretVariable(m map[string]any) bool {
	for _, field := range []string{"name", "key"} {
		if name, _ := m[field].(string); secretName.MatchString(name) {
			return true
		}
	}
	return false
}

// isCopy reports whether tools keep a copy of the whole object in an annotation
// of that name.
func isCopy(annotation string) bool {
	switch annotation {
	case lastApplied, "kapp.k14s.io/original", "objectset.rio.cattle.io/applied", "banzaicloud.com/last-applied":
		return true
	}
	return strings.HasSuffix(annotation, "last-applied") || strings.HasSuffix(annotation, "last-applied-configuration")
}

func showsSecret(s string) bool {
	const word = 20
	if len(s) < word && !strings.ContainsFunc(s, isSign) {
		return false // a word or a number
	}
	return secretText.MatchString(s) || strings.ContainsAny(s, "=:-") && assignment.MatchString(s) ||
		strings.Contains(s, "Secret") && manifest.MatchString(s)
}

// isSign reports whether r is neither a letter nor a digit of ASCII.
func isSign(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}
