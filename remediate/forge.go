package remediate

import (
	"context"
	"errors"
	"time"
)

// ErrNoCommits is what [Forge.Open] fails with when the head holds nothing that
// the base does not hold already: there is nothing to merge.
var ErrNoCommits = errors.New("no commits between base and head")

// Forge is what remediation needs of a code host. Every method can be called
// again after an unknown outcome. Errors never hold a token. An error that
// trying again later may mend is returned as it is; one that only other input
// can mend is marked by [kspec.Terminal]; one that says when to come back
// wraps a [*RetryError].
type Forge interface {
	// List returns the pull requests to base whose head branch begins with
	// prefix, in any state, newest first. Only branches of the repository
	// itself count, never those of a fork.
	List(ctx context.Context, base, prefix string) ([]PullRequest, error)
	// Open opens a pull request. When one from that head to that base is open
	// already, it returns that one and changes nothing.
	Open(ctx context.Context, n NewPullRequest) (PullRequest, error)
	// Edit sets title and body.
	Edit(ctx context.Context, number int, title, body string) error
	// Comment creates the comment that carries the hidden marker of key, or
	// replaces its text when it says something else.
	Comment(ctx context.Context, number int, key, body string) error
	// Annotate adds labels, made when the repository has none of that name,
	// and asks for reviews. Only a failure of all of it is an error of the
	// first kind; what the forge refuses is returned as warnings.
	Annotate(ctx context.Context, number int, labels, reviewers []string) (warnings []string, err error)
	// Close closes the pull request without merging it.
	Close(ctx context.Context, number int) error
}

// PullRequestState is the state of a pull request.
type PullRequestState string

// The states of a pull request.
const (
	Open   PullRequestState = "open"
	Closed PullRequestState = "closed" // without having been merged
	Merged PullRequestState = "merged"
)

// PullRequest is a pull request of the forge.
type PullRequest struct {
	Number int
	URL    string
	State  PullRequestState
	Title  string
	Body   string
	Base   string
	// Head is the name of the head branch and HeadSHA its commit.
	Head      string
	HeadSHA   string
	CreatedAt time.Time
}

// NewPullRequest is what a pull request is opened from.
type NewPullRequest struct {
	Base, Head  string
	Title, Body string
	Draft       bool
}

// RetryError says that the forge wants to be left alone until a time.
type RetryError struct {
	At  time.Time
	Err error
}

// Error implements error.
func (e *RetryError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *RetryError) Unwrap() error { return e.Err }
