package github

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

// Parse returns where the API of a repository's host is, and the repository's
// owner and name. It takes what git clone takes: https and ssh URLs and
// git@host:owner/name. A host that is not GitHub's own is taken for GitHub
// Enterprise Server. Errors hold no part
// of the URL, which may hold a password.
func Parse(repoURL string) (apiURL, owner, name string, err error) {
	u, err := parseURL(repoURL)
	if err != nil {
		return "", "", "", badAddress(err)
	}
	path := strings.TrimSuffix(strings.Trim(u.Path, "/"), ".git")
	owner, name, _ = strings.Cut(path, "/")
	if validRepository(owner, name) != nil { // whose text may hold a password
		return "", "", "", badAddress(errors.New("the address of the repository does not end in the owner and name of a GitHub repository"))
	}
	return apiOf(u), owner, name, nil
}

func badAddress(err error) error {
	return kspec.Terminal(kspec.WithHint(err, "give an address such as https://github.com/acme/config or git@github.com:acme/config.git"))
}

var scpLike = regexp.MustCompile(`^(?:[\w.-]+@)?([\w.-]+):([^/].*)$`)

func parseURL(raw string) (*url.URL, error) {
	if m := scpLike.FindStringSubmatch(raw); m != nil && !strings.Contains(raw, "://") {
		return &url.URL{Scheme: "ssh", Host: m[1], Path: "/" + m[2]}, nil
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "":
		return nil, errors.New("the address of the repository is not a URL")
	case u.Scheme != "https" && u.Scheme != "ssh" && !(u.Scheme == "http" && loopback(u.Hostname())):
		return nil, errors.New("the address of the repository is neither an https nor an ssh URL")
	}
	return u, nil
}

func apiOf(u *url.URL) string {
	host := strings.ToLower(u.Hostname())
	switch {
	case host == "github.com", host == "www.github.com", host == "ssh.github.com":
		return "https://api.github.com/"
	case strings.HasSuffix(host, ".ghe.com"):
		return "https://api." + host + "/"
	case u.Scheme == "ssh": // the port is of ssh
		return "https://" + bracketed(host) + "/api/v3/"
	default:
		return u.Scheme + "://" + strings.ToLower(u.Host) + "/api/v3/"
	}
}

func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

var (
	ownerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$`)
	repoName  = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)
	badBranch = regexp.MustCompile(`[\x00-\x20\x7f~^:?*\[\\]|\.\.|//|@\{|^[-/.]|/\.|[/.]$|\.lock(?:/|$)|^@$|^$`)
)

func validRepository(owner, name string) error {
	if !ownerName.MatchString(owner) || !repoName.MatchString(name) || name == "." || name == ".." {
		return kspec.Terminal(fmt.Errorf("%q is not the owner and name of a GitHub repository", owner+"/"+name))
	}
	return nil
}

func validBranches(names ...string) error {
	for _, name := range names {
		if err := validBranch(name); err != nil {
			return err
		}
	}
	return nil
}

func validBranch(name string) error {
	if badBranch.MatchString(name) || len(name) > 255 {
		return kspec.Terminal(fmt.Errorf("%q is not the name of a branch", name))
	}
	return nil
}
