package gitsource

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

// address is where a repository is.
type address struct {
	scheme string // "https", "http" or "ssh"; empty for a local path
	user   string // of ssh
	host   string // without port
	port   int    // 0 for the scheme's own
	path   string
}

// String returns the address as a URL. It never holds a secret.
func (a address) String() string {
	switch a.scheme {
	case "":
		return printable(a.path)
	case "ssh":
		return printable("ssh://" + a.user + "@" + a.hostPort() + a.path)
	default:
		return printable(a.scheme + "://" + a.hostPort() + a.path)
	}
}

func (a address) hostPort() string {
	host := a.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if a.port == 0 {
		return host
	}
	return host + ":" + strconv.Itoa(a.port)
}

var (
	schemeLike = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*)://`)
	helperLike = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9+.-]*)::`)
	scpLike    = regexp.MustCompile(`^(?:([^@:/\\]+)@)?(\[[0-9A-Fa-f:]+\]|[^@:/\\[]{2,}):(.*)$`)
)

const addressHint = "use an https:// or ssh:// URL, git@host:path, or the path of a local clone"

// parseAddress tells apart URLs, the short ssh form and local paths as Git
// does, and refuses everything that Git would run a program for.
func parseAddress(repo string) (address, error) {
	switch {
	case repo == "":
		return address{}, invalid("no repository is named")
	case strings.HasPrefix(repo, "-"):
		return address{}, invalid("\"%s\" looks like an option", printable(repo))
	case strings.ContainsFunc(repo, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return address{}, invalid("\"%s\" holds control characters", printable(repo))
	}
	if m := helperLike.FindStringSubmatch(repo); m != nil {
		return address{}, invalid("remote helpers such as %q are not supported", m[1]+"::")
	}
	if schemeLike.MatchString(repo) {
		return parseURL(repo)
	}
	if m := scpLike.FindStringSubmatch(repo); m != nil && !exists(repo) {
		if strings.Contains(m[3], "@") { // user:password@host was meant, more often than not
			return address{}, credentials("the short form")
		}
		return checkSSH(address{scheme: "ssh", user: m[1], host: strings.Trim(m[2], "[]"), path: m[3]})
	}
	path, err := filepath.Abs(repo)
	return address{path: path}, err
}

func parseURL(repo string) (address, error) {
	u, err := url.Parse(repo)
	if err != nil {
		// The error of url.Parse repeats the URL, with what secret it may hold.
		return address{}, invalid("the URL cannot be parsed")
	}
	if _, password := u.User.Password(); password || u.User != nil && u.Scheme != "ssh" {
		return address{}, credentials("the URL for " + printable(u.Host))
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return address{}, invalid("the URL for %s holds a query or a fragment", printable(u.Host))
	}
	port := 0
	if p := u.Port(); p != "" {
		if port, err = strconv.Atoi(p); err != nil || port < 1 || port > 65535 {
			return address{}, invalid("port \"%s\" is none", printable(p))
		}
	}
	a := address{scheme: strings.ToLower(u.Scheme), user: u.User.Username(), host: u.Hostname(), port: port, path: u.Path}
	switch a.scheme {
	case "ssh":
		return checkSSH(a)
	case "https":
		return checkHTTP(a)
	case "http":
		if !loopback(a.host) {
			return address{}, kspec.WithHint(fmt.Errorf("repository %s: plain http is readable and changeable on the way", a),
				"use https; http is only for a server on this machine")
		}
		return checkHTTP(a)
	case "file":
		return address{}, kspec.WithHint(errors.New("repository: file:// URLs are not supported"), "give the path of the clone by itself")
	default:
		return address{}, invalid("scheme \"%s\" is not supported", printable(u.Scheme))
	}
}

func checkHTTP(a address) (address, error) {
	if a.host == "" || strings.Trim(a.path, "/") == "" {
		return address{}, invalid("the URL names no host or no repository")
	}
	return a, nil
}

func checkSSH(a address) (address, error) {
	if a.user == "" {
		a.user = "git"
	}
	// A leading dash would be an option to whatever program gets the word.
	for _, word := range []string{a.user, a.host, strings.TrimLeft(a.path, "/")} {
		if word == "" || strings.HasPrefix(word, "-") {
			return address{}, invalid("\"%s\" cannot be a user, a host or a path", printable(word))
		}
	}
	if !strings.HasPrefix(a.path, "/") {
		a.path = "/" + a.path
	}
	return a, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func credentials(where string) error {
	return kspec.WithHint(errors.New("repository: "+where+" holds credentials"), "take them out and give the token in a file")
}

func invalid(format string, args ...any) error {
	return kspec.WithHint(fmt.Errorf("repository: "+format, args...), addressHint)
}
