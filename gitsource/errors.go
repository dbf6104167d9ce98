package gitsource

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/cloudcwfranck/kspec"
)

// What happens when a repository cannot be read. They are wrapped; ask with
// errors.Is.
var (
	// ErrUnauthorized means that the server wants other credentials.
	ErrUnauthorized = errors.New("access denied")
	// ErrNotFound means that there is no such repository, or none that the
	// credentials may know of.
	ErrNotFound = errors.New("repository not found")
	// ErrEmpty means that the repository has no commit yet.
	ErrEmpty = errors.New("repository is empty")
	// ErrNoRevision means that the repository has no such branch, tag or
	// commit, or has it no more.
	ErrNoRevision = errors.New("no such revision")
	// ErrTimeout means that the server did not answer, or not to the end, in
	// the time allowed.
	ErrTimeout = errors.New("no complete answer in time")
	// ErrRedirect means that the server wants to send us to another host.
	ErrRedirect = errors.New("redirect to another host refused")
	// ErrHostKey means that the SSH server did not show a key that known_hosts
	// has for it.
	ErrHostKey = errors.New("host key not trusted")
)

// Rewrite says that a branch was moved to a commit that does not descend from
// the one it was at: someone forced a push.
type Rewrite struct {
	Branch   string
	From, To string
}

// Error implements error.
func (e *Rewrite) Error() string {
	return fmt.Sprintf("history of branch %s was rewritten: %s is not an ancestor of %s", printable(e.Branch), e.From, e.To)
}

// explain turns an error of go-git or of the network into one of ours, with a
// hint, and without anything secret that the server may have sent back.
func explain(err error, a address, auth Auth, timeout time.Duration) error {
	if err == nil {
		return nil
	}
	var opaque *plumbing.UnexpectedError // hides what it wraps
	for errors.As(err, &opaque) {
		err = opaque.Err
	}
	hint, cause := classify(err, a, timeout)
	err = &readError{repo: a.String(), cause: cause, err: err, secrets: auth.secrets()}
	if lasting(err) {
		err = kspec.Terminal(err)
	}
	if hint == "" || kspec.HintOf(err) != "" {
		return err
	}
	return kspec.WithHint(err, hint)
}

// lasting reports whether reading the same commit again is of no use.
func lasting(err error) bool {
	var l *LimitError
	return errors.As(err, &l) || errors.Is(err, errHostile) || errors.Is(err, errTwice)
}

// classify returns what to do about err, and the sentinel that says what it
// means, or nil.
func classify(err error, a address, timeout time.Duration) (hint string, cause error) {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return "", nil
	case errors.Is(err, ErrTimeout):
		return fmt.Sprintf("the limit is %s; see whether %s can be reached, or allow more time", timeout, a), ErrTimeout
	case errors.Is(err, context.DeadlineExceeded):
		return "see whether " + a.String() + " can be reached, or allow more time", ErrTimeout
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed):
		return "give a token that may read this repository, and see that it has not expired", ErrUnauthorized
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return "check the URL; a private repository looks missing without a token that may read it", ErrNotFound
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return "push a first commit", ErrEmpty
	case errors.As(err, &dns), errors.As(err, &op):
		return "see whether " + a.host + " can be reached from here, and whether a proxy is needed", nil
	case errors.Is(err, packfile.ErrMalformedPackFile), errors.Is(err, plumbing.ErrObjectNotFound):
		return "the server sent an incomplete answer; try again, and see whether git fsck finds the repository sound", nil
	}
	return "", nil
}

// readError is what Head and Fetch return. Its text holds no secret and no
// control character, whatever the server wrote.
type readError struct {
	repo    string
	cause   error
	err     error
	secrets []string
}

// Error implements error.
func (e *readError) Error() string {
	text := e.err.Error()
	if e.cause != nil && !errors.Is(e.err, e.cause) {
		// What the server writes about it is not to be trusted.
		text = e.cause.Error()
	}
	for _, s := range e.secrets {
		text = strings.ReplaceAll(text, s, "[redacted]")
	}
	return "read " + e.repo + ": " + printable(text)
}

// Unwrap returns what the error means and where it came from.
func (e *readError) Unwrap() []error {
	if e.cause == nil {
		return []error{e.err}
	}
	return []error{e.cause, e.err}
}

// secrets returns every form in which the credentials may come back.
func (a Auth) secrets() []string {
	var list []string
	for _, s := range []kspec.Secret{a.Token, a.SSHKey, a.SSHPassphrase} {
		if s.IsZero() {
			continue
		}
		list = append(list, s.Reveal(), base64.StdEncoding.EncodeToString([]byte(a.user()+":"+s.Reveal())))
	}
	return list
}
