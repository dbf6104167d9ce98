package verify

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
)

func TestParseReferenceFoldsSpellings(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0a", 32)
	for in, want := range map[string]string{
		"nginx":                             "docker.io/library/nginx:latest",
		"nginx:1.27":                        "docker.io/library/nginx:1.27",
		"acme/web":                          "docker.io/acme/web:latest",
		"docker.io/nginx":                   "docker.io/library/nginx:latest",
		"index.docker.io/nginx":             "docker.io/library/nginx:latest",
		"registry-1.docker.io/acme/web":     "docker.io/acme/web:latest",
		"Docker.IO./library/nginx":          "docker.io/library/nginx:latest",
		"GHCR.io/acme/web:1":                "ghcr.io/acme/web:1",
		"ghcr.io./acme/web:1":               "ghcr.io/acme/web:1",
		"ghcr.io:443/acme/web:1":            "ghcr.io/acme/web:1",
		"ghcr.io.:443/acme/web:1":           "ghcr.io/acme/web:1",
		"ghcr.io.:5000/acme/web:1":          "ghcr.io:5000/acme/web:1",
		"localhost/web":                     "localhost/web:latest",
		"localhost:5000/web:1":              "localhost:5000/web:1",
		"[::1]:5000/web:1":                  "[::1]:5000/web:1",
		"[::1]:443/web:1":                   "[::1]/web:1",
		"ghcr.io/acme/web@" + digest:        "ghcr.io/acme/web@" + digest,
		"ghcr.io/acme/web:1@" + digest:      "ghcr.io/acme/web:1@" + digest,
		"ghcr.io/acme/a.b_c__d-e/f:V1.0_x-": "ghcr.io/acme/a.b_c__d-e/f:V1.0_x-",
	} {
		got, err := parseReference(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if got.String() != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		again, err := parseReference(got.String())
		if err != nil || again != got {
			t.Errorf("%q: read again it is %q, %v", in, again, err)
		}
		if _, err := got.named(false); err != nil {
			t.Errorf("%q: the registry client refuses it: %v", in, err)
		}
	}
}

func TestParseReferenceRefusesWhatCanBeReadInTwoWays(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("0a", 32)
	for _, in := range []string{
		"", "/", ":", "@", "a:", "a@", "a//b", "a/../b", "a/./b", "./a", "../a", "/a", "a/", "A/b", "acme/Web", "GHCR/a",
		"ghcr.io..//a", "ghcr.io../a", ".ghcr.io/a", "ghcr.io:0443/a", "ghcr.io:/a", "ghcr.io:99999999/a", "ghcr.io:443:443/a",
		"user@ghcr.io/a", "user:pass@ghcr.io/a", "https://ghcr.io/a", "ghcr.io/a?b", "ghcr.io/a#b", "ghcr.io/a%2fb",
		"ghcr.io/a b", "ghcr.io/a\nb", "ghcr.io/a\x00", "ghcr.io/\u202ea", "ghcr.iо/a" /* a Cyrillic o */, "ghcr.io/a:" + strings.Repeat("x", 129),
		"ghcr.io/a@sha256:abc", "ghcr.io/a@sha512:" + strings.Repeat("0", 128), "ghcr.io/a@md5:" + strings.Repeat("0", 32),
		"ghcr.io/a@sha256:" + strings.Repeat("0A", 32), "a" + digest + digest, strings.Repeat("a/", 200) + "a", strings.Repeat("a", 2000),
	} {
		if got, err := parseReference(in); err == nil {
			t.Errorf("%q is read as %q", in, got)
		}
	}
}

func TestGlobs(t *testing.T) {
	for _, c := range []struct {
		glob, repository string
		want             bool
	}{
		{"**", "ghcr.io/acme/web", true},
		{"ghcr.io/**", "ghcr.io/acme/web", true},
		{"ghcr.io/**", "ghcr.io.evil.example/acme/web", false},
		{"ghcr.io/**", "evil.example/ghcr.io/web", false},
		{"ghcr.io/acme/*", "ghcr.io/acme/web", true},
		{"ghcr.io/acme/*", "ghcr.io/acme/web/api", false},
		{"ghcr.io/acme/**", "ghcr.io/acme/web/api", true},
		{"ghcr.io/acme/**", "ghcr.io/acmeevil/web", false},
		{"ghcr.io/acme/**", "ghcr.io/acme", false},
		{"ghcr.io/acme/web", "ghcr.io/acme/web", true},
		{"ghcr.io/acme/web", "ghcr.io/acme/web2", false},
		{"ghcr.io/*/web-*", "ghcr.io/acme/web-api", true},
		{"ghcr.io/**/web", "ghcr.io/a/b/web", true},
		{"GHCR.io.:443/acme/*", "ghcr.io/acme/web", true},
		{"ghcrxio/acme/web", "ghcr.io/acme/web", false},
		{"gh.r.io/acme/web", "ghcr.io/acme/web", false},
		{"nginx", "docker.io/library/nginx", true},
		{"acme/*", "docker.io/acme/web", true},
		{"index.docker.io/acme/*", "docker.io/acme/web", true},
		{"docker.io/library/*", "docker.io/library/nginx", true},
		{"docker.io/nginx", "docker.io/library/nginx", true},
		{"*.example.com/**", "r.example.com/a/b", true},
		{"*.example.com/**", "r.example.com.evil.example/a", false},
		{"*/acme/web", "ghcr.io/acme/web", true},
		{"*", "docker.io/library/nginx", false},
		{"localhost:5000/**", "localhost:5000/a", true},
	} {
		re, err := compileGlob(c.glob)
		if err != nil {
			t.Errorf("%q: %v", c.glob, err)
			continue
		}
		if got := re.MatchString(c.repository); got != c.want {
			t.Errorf("%q matches %q: %t, want %t", c.glob, c.repository, got, c.want)
		}
	}
}

// What kspec reads, the registry client must read as the same repository, or a
// rule for one image would be applied to another.
func FuzzReferenceMeansTheSameToTheRegistryClient(f *testing.F) {
	for _, s := range []string{"nginx", "ghcr.io:443/a/b:1", "a@sha256:" + strings.Repeat("0", 64), "[::1]:5/a", "localhost/a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseReference(s)
		if err != nil {
			return
		}
		repository, err := r.named(false)
		if err != nil {
			return
		}
		host := repository.RegistryStr()
		if host == name.DefaultRegistry {
			host = hub
		}
		if host+"/"+repository.RepositoryStr() != r.repository() {
			t.Errorf("%q: kspec reads %q, the client %q", s, r.repository(), repository.Name())
		}
	})
}
