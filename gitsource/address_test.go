package gitsource_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/gitsource"
)

func TestAddressesThatAreRefused(t *testing.T) {
	const canary = "s3cr3t-canary"
	tests := []struct{ repo, text, hint string }{
		{"", "no repository is named", "https://"},
		{"file:///srv/config.git", "file:// URLs are not supported", "path of the clone"},
		{"git://example.com/config.git", `scheme "git" is not supported`, "https://"},
		{"ftp://example.com/config.git", `scheme "ftp"`, "https://"},
		{"ext::sh -c touch% /tmp/pwned", `remote helpers such as "ext::"`, "https://"},
		{"fd::17", `remote helpers such as "fd::"`, ""},
		{"-oProxyCommand=touch /tmp/pwned", "looks like an option", ""},
		{"--upload-pack=touch /tmp/pwned", "looks like an option", ""},
		{"ssh://-oProxyCommand=x/config.git", "cannot be a user, a host or a path", ""},
		{"ssh://-x@example.com/config.git", "cannot be a user", ""},
		{"ssh://git@example.com/-x", "cannot be a user", ""},
		{"git@-oProxyCommand=x:config.git", "cannot be a user", ""},
		{"ssh://git@example.com", "cannot be a user", ""},
		{"https://user:" + canary + "@example.com/config.git", "the URL for example.com holds credentials", "in a file"},
		{"https://" + canary + "@example.com/config.git", "holds credentials", "in a file"},
		{"ssh://git:" + canary + "@example.com/config.git", "holds credentials", "in a file"},
		{"user:" + canary + "@example.com:config.git", "holds credentials", "in a file"},
		{"https://example.com/config.git?token=" + canary, "holds a query", ""},
		{"https://example.com/config.git#" + canary, "holds a query or a fragment", ""},
		{"https://user:" + canary + "@exa mple.com/%zz", "cannot be parsed", ""},
		{"https://example.com", "names no host or no repository", ""},
		{"https:///config.git", "names no host or no repository", ""},
		{"https://example.com:0/config.git", "port", ""},
		{"http://example.com/config.git", "plain http", "use https"},
		{"http://127.0.0.1.example.com/config.git", "plain http", "use https"},
		{"https://example.com/a\x1b[31m.git", "control characters", ""},
		{"/does/not/exist", "/does/not/exist", "https://"},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.repo, "/", "_"), func(t *testing.T) {
			_, err := gitsource.New(tt.repo, gitsource.Options{Auth: sshAuth(t)})
			fails(t, err, nil, tt.text, tt.hint)
			if strings.Contains(err.Error()+kspec.HintOf(err), canary) {
				t.Errorf("%q prints the secret", err)
			}
		})
	}
	if _, err := os.Stat("/tmp/pwned"); err == nil {
		t.Error("a program was run")
	}
}

func TestAddressesThatAreUnderstood(t *testing.T) {
	for repo, want := range map[string]string{
		"https://example.com/acme/config.git":     "https://example.com/acme/config.git",
		"HTTPS://example.com:8443/config":         "https://example.com:8443/config",
		"https://[2001:db8::1]:8443/config.git":   "https://[2001:db8::1]:8443/config.git",
		"http://localhost:3000/config.git":        "http://localhost:3000/config.git",
		"http://[::1]/config.git":                 "http://[::1]/config.git",
		"ssh://deploy@example.com:2222/config":    "ssh://deploy@example.com:2222/config",
		"ssh://example.com/config":                "ssh://git@example.com/config",
		"git@github.com:acme/config.git":          "ssh://git@github.com/acme/config.git",
		"github.com:acme/config.git":              "ssh://git@github.com/acme/config.git",
		"git@[2001:db8::1]:acme/config.git":       "ssh://git@[2001:db8::1]/acme/config.git",
		"https://example.com/acme/with space.git": "https://example.com/acme/with space.git",
	} {
		s, err := gitsource.New(repo, gitsource.Options{Auth: sshAuth(t)})
		if err != nil {
			t.Errorf("%s: %v", repo, err)
			continue
		}
		if s.String() != want {
			t.Errorf("%s: got %s, want %s", repo, s, want)
		}
	}
}

func TestOptionsThatAreRefused(t *testing.T) {
	clone := newClone(t, someFiles)
	bare := newOrigin(t, someFiles)
	tests := []struct {
		name, repo string
		o          gitsource.Options
		text       string
	}{
		{"a branch that none can be", clone, gitsource.Options{Branch: "a..b"}, `branch "a..b"`},
		{"a branch with a newline", clone, gitsource.Options{Branch: "a\nb"}, `branch "a\nb"`},
		{"an option as branch", clone, gitsource.Options{Branch: "--upload-pack=x"}, "no branch can have this name"},
		{"an option as revision", clone, gitsource.Options{Revision: "-x"}, `revision "-x"`},
		{"a worktree of a server", bare.url, gitsource.Options{Worktree: true}, "not a local clone"},
		{"a worktree at a revision", clone, gitsource.Options{Worktree: true, Revision: "v1"}, "revision is named as well"},
		{"a worktree of a bare repository", filepath.Join(bare.Root, repoName), gitsource.Options{Worktree: true}, "bare repository"},
		{"a bundle without certificates", bare.url, gitsource.Options{Auth: gitsource.Auth{CABundle: []byte("x")}}, "no certificate"},
		{"a cache in a file", bare.url, gitsource.Options{CacheDir: filepath.Join(clone, "README.md")}, "make cache"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := gitsource.New(tt.repo, tt.o)
			fails(t, err, nil, tt.text, "")
		})
	}
}
