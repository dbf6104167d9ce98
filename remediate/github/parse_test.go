package github_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/remediate/github"
)

func TestParse(t *testing.T) {
	for in, want := range map[string][3]string{
		"https://github.com/acme/config":                   {"https://api.github.com/", "acme", "config"},
		"https://github.com/acme/config.git":               {"https://api.github.com/", "acme", "config"},
		"https://x:" + canary + "@GitHub.com/acme/config/": {"https://api.github.com/", "acme", "config"},
		"ssh://git@github.com/acme/config.git":             {"https://api.github.com/", "acme", "config"},
		"ssh://git@ssh.github.com:443/acme/config.git":     {"https://api.github.com/", "acme", "config"},
		"git@github.com:acme/config.git":                   {"https://api.github.com/", "acme", "config"},
		"github.com:acme/config":                           {"https://api.github.com/", "acme", "config"},
		"https://acme.ghe.com/acme/config":                 {"https://api.acme.ghe.com/", "acme", "config"},
		"https://git.example.com:8443/acme/config.js.git":  {"https://git.example.com:8443/api/v3/", "acme", "config.js"},
		"ssh://git@git.example.com:2222/acme/config":       {"https://git.example.com/api/v3/", "acme", "config"},
		"git@git.example.com:acme/config":                  {"https://git.example.com/api/v3/", "acme", "config"},
		"http://127.0.0.1:8080/acme/config.git":            {"http://127.0.0.1:8080/api/v3/", "acme", "config"},
		"http://[::1]:8080/acme/config.git":                {"http://[::1]:8080/api/v3/", "acme", "config"},
	} {
		api, owner, name, err := github.Parse(in)
		if got := [3]string{api, owner, name}; err != nil || got != want {
			t.Errorf("%s: got %q, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"", "config", "/srv/git/config.git", "file:///srv/config.git", "http://git.example.com/acme/config",
		"https://github.com/acme", "https://github.com/acme/config/tree/main", "https://github.com/../config",
		"https://github.com/acme/..", "https://x:" + canary + "@github.com/a b/c", "https://x:" + canary + "@git hub.com/acme/config",
		"git@github.com:acme", "x:" + canary + "@github.com/acme/config", "ftp://github.com/acme/config",
	} {
		if _, _, _, err := github.Parse(in); !kspec.IsTerminal(err) || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: got %v", in, err)
		}
	}
}

// FuzzParse looks for a URL whose parts would leave their place in the path of
// a request, whose API would get the token in the clear, or whose password
// ends up in an error.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"https://github.com/acme/config", "git@github.com:acme/config.git", "ssh://git@[::1]:22/acme/config",
		"https://x:SECRET@github.com/acme/%2e%2e", "http://127.0.0.1/a/b", "a:b/c", "x:SECRET@github.com/acme/config", "https://acme.ghe.com/a/b?c#d",
	} {
		f.Add(seed)
	}
	part := regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
	f.Fuzz(func(t *testing.T, in string) {
		api, owner, name, err := github.Parse(in)
		if err != nil {
			if strings.Contains(in, "SECRET@") && strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%q: %v", in, err)
			}
			return
		}
		if !part.MatchString(owner) || !part.MatchString(name) || strings.Trim(name, ".") == "" {
			t.Errorf("%q: owner %q, name %q", in, owner, name)
		}
		u, err := url.Parse(api)
		if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !strings.HasSuffix(u.Path, "/") {
			t.Errorf("%q: API %q, %v", in, api, err)
		}
		if _, err := github.New(github.Options{BaseURL: api, Owner: owner, Repo: name}); err != nil {
			t.Errorf("%q: %v", in, err)
		}
	})
}
