package verify

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/cloudcwfranck/kspec"
)

const hub = "docker.io"

// reference is an image reference in one spelling, so that no other spelling
// of a repository escapes the rule that is meant for it.
type reference struct {
	// host is lower case, without a trailing dot and the default port.
	host string
	path string
	tag  string
	// digest is "sha256:…" or empty; then the tag is not.
	digest string
}

var (
	hostForm   = regexp.MustCompile(`^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:]+\])(?::[1-9][0-9]{0,4})?$`)
	pathForm   = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagForm    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// parseReference reads a reference as container runtimes do, and refuses what
// they may read in two ways.
func parseReference(s string) (reference, error) {
	var r reference
	if len(s) > 1024 {
		return r, fmt.Errorf("read image reference: longer than 1024 characters")
	}
	rest, digest, pinned := strings.Cut(s, "@")
	if pinned && !digestForm.MatchString(digest) {
		return r, fmt.Errorf("read image reference %q: want a digest of the form sha256:<64 hex digits>", s)
	}
	r.digest = digest
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, '/') {
		if r.tag = rest[i+1:]; !tagForm.MatchString(r.tag) {
			return r, fmt.Errorf("read image reference %q: bad tag", s)
		}
		rest = rest[:i]
	}
	if r.tag == "" && r.digest == "" {
		r.tag = "latest"
	}
	r.host, r.path = splitHost(rest)
	if r.host == hub && !strings.Contains(r.path, "/") {
		r.path = "library/" + r.path
	}
	if !hostForm.MatchString(r.host) || !pathForm.MatchString(r.path) || len(r.host)+len(r.path) > 255 {
		return r, fmt.Errorf("read image reference %q: bad repository", s)
	}
	return r, nil
}

// splitHost tells the registry from the rest the way Docker does: the first
// element is a host when it looks like one.
func splitHost(repository string) (host, path string) {
	first, rest, found := strings.Cut(repository, "/")
	if !found || !strings.ContainsAny(first, ".:") && first != "localhost" {
		return hub, repository
	}
	return normalHost(first), rest
}

// normalHost folds the spellings of one registry into one.
func normalHost(host string) string {
	host = strings.ToLower(host)
	end := strings.IndexByte(host, ']') + 1 // of an IPv6 address, else 0
	name, port, found := strings.Cut(host[end:], ":")
	host = host[:end] + strings.TrimSuffix(name, ".")
	if found && port != "443" {
		host += ":" + port
	}
	switch host {
	case "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com", "www.docker.io":
		return hub
	}
	return host
}

// repository returns "host/path", which rules are matched against.
func (r reference) repository() string { return r.host + "/" + r.path }

// String returns the reference with its digest when it is known, else its tag.
func (r reference) String() string {
	s := r.repository()
	if r.tag != "" {
		s += ":" + r.tag
	}
	if r.digest != "" {
		s += "@" + r.digest
	}
	return s
}

// pinned returns the reference by its digest alone, or the tag when there is
// no digest.
func (r reference) pinned() string {
	if r.digest == "" {
		return r.String()
	}
	return r.repository() + "@" + r.digest
}

// pin makes r name what a kubelet reports to run.
func (r *reference) pin(digest string) error {
	if digest == "" {
		return errors.New("the kubelet does not tell which digest runs")
	}
	if !digestForm.MatchString(digest) {
		return fmt.Errorf("the kubelet reports the digest %q, want sha256:<64 hex digits>", digest)
	}
	r.digest = digest
	return nil
}

// named returns r for the registry client.
func (r reference) named(allowHTTP bool) (name.Repository, error) {
	options := []name.Option{name.StrictValidation}
	if allowHTTP {
		options = append(options, name.Insecure)
	}
	host := r.host
	if host == hub {
		host = name.DefaultRegistry
	}
	return name.NewRepository(host+"/"+r.path, options...)
}

// compileGlob makes a matcher of repositories: "*" stands for anything within
// one element of the path, "**" for anything. A pattern without a registry is
// of Docker Hub, unless it begins with a star.
func compileGlob(glob string) (*regexp.Regexp, error) {
	if glob == "" || strings.ContainsAny(glob, "@ \t\n") {
		return nil, kspec.WithHint(fmt.Errorf("read glob %q: it must be a repository", glob),
			"write registry and path without tag and digest: ghcr.io/acme/**")
	}
	first, rest, found := strings.Cut(glob, "/")
	switch {
	case strings.Contains(first, "*") && found:
		glob = normalHost(first) + "/" + rest
	case !strings.Contains(first, "*"):
		host, path := splitHost(glob)
		if host == hub && !strings.Contains(path, "/") && !strings.Contains(path, "*") {
			path = "library/" + path
		}
		glob = host + "/" + path
	}
	var b strings.Builder
	for i, part := range strings.Split(glob, "**") {
		if i > 0 {
			b.WriteString(".*")
		}
		b.WriteString(strings.ReplaceAll(regexp.QuoteMeta(part), `\*`, `[^/]*`))
	}
	return regexp.Compile(`^(?:` + b.String() + `)$`)
}
