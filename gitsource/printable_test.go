package gitsource

import (
	"strings"
	"testing"
	"unicode"
)

func TestPrintableEscapesWhatMisleads(t *testing.T) {
	for in, want := range map[string]string{
		"apps/web.yaml":   "apps/web.yaml",
		"über naïve.yaml": "über naïve.yaml",
		"a\nb":            `a\nb`,
		"\x1b[31m":        `\x1b[31m`,
		`say "hi"`:        `say "hi"`,
		"\xff":            `\xff`,
		"x\u202ey":        `x\u202ey`,
	} {
		if got := printable(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := printable(strings.Repeat("x", 10_000)); len(got) > 600 {
		t.Errorf("%d bytes", len(got))
	}
}

// FuzzAddress makes sure that no address crashes the parser, and that neither
// an address nor an error prints a password or a control character.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"https://example.com/a.git", "git@example.com:a", "ssh://x:canary@h/p", "ext::sh", "-x", "https://canary@h/p\x00", "[::1]:a", "C:\\x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, repo string) {
		a, err := parseAddress(repo)
		said := a.String()
		if err != nil {
			said = err.Error()
		}
		if strings.ContainsFunc(said, unicode.IsControl) {
			t.Errorf("%q holds control characters", said)
		}
		user, _, ok := strings.Cut(repo, ":canary@")
		if _, after, ok := strings.Cut(user, "://"); ok {
			user = after
		}
		if ok && !strings.Contains(user, "/") && a.scheme != "" && strings.Contains(said, "canary") {
			t.Errorf("%q prints the password", said)
		}
	})
}
