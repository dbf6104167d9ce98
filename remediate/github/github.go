// Package github opens and keeps pull requests on GitHub and GitHub
// Enterprise Server. It implements [remediate.Forge] with go-github.
//
// The token needs "contents" and "pull requests" with write access to the one
// repository, no more; a classic token the scope "repo". It travels in the
// Authorization header of requests to the host of the API, and nowhere else.
//
// See docs/decisions/0006-forges.md.
package github

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/go-github/v57/github"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/remediate"
)

// Options say which repository, and as whom.
type Options struct {
	// BaseURL is where the API is: https://api.github.com/ when empty,
	// https://host/api/v3/ for GitHub Enterprise Server; see [Parse]. Without
	// TLS only the machine itself may be meant.
	BaseURL     string
	Owner, Repo string
	Token       kspec.Secret
	// Transport carries the requests; http.DefaultTransport when nil.
	Transport http.RoundTripper
	// Log hears of requests that are tried again; nil discards it.
	Log *slog.Logger
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Pause is the least time between two requests that change something, as
	// GitHub asks for: a second when 0, none when negative.
	Pause time.Duration
	// Backoff is the first wait before a request is tried again, which then
	// doubles: half a second when 0.
	Backoff time.Duration
	// Timeout bounds one request: half a minute when 0.
	Timeout time.Duration
}

// Forge is one repository on GitHub. It is safe for concurrent use; requests
// that change something run one at a time.
type Forge struct {
	owner, repo string
	client      *github.Client
	transport   *transport
}

var _ remediate.Forge = (*Forge)(nil)

const (
	perPage  = 100
	maxPages = 3  // of pull requests: the 300 that changed last
	maxLists = 10 // pages of comments and labels
	lookups  = 3  // how often a lost answer is looked for
)

// New returns the forge of one repository. No request is made. Keep it for as
// long as the process lives: what it knows about limits and ETags is in it.
func New(o Options) (*Forge, error) {
	base, err := baseURL(o.BaseURL)
	if err != nil {
		return nil, err
	}
	if err := validRepository(o.Owner, o.Repo); err != nil {
		return nil, err
	}
	t := newTransport(base, o)
	client := github.NewClient(&http.Client{Transport: t, CheckRedirect: t.redirect})
	client.BaseURL = base
	client.UserAgent = "kspec"
	return &Forge{owner: o.Owner, repo: o.Repo, client: client, transport: t}, nil
}

func baseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(cmp.Or(raw, "https://api.github.com/"))
	if err != nil || u.Host == "" || u.User != nil {
		return nil, kspec.Terminal(errors.New("the address of GitHub's API is not an absolute URL without a user"))
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		return nil, kspec.Terminal(fmt.Errorf("the API at %s would get the token without TLS: use https", u.Host))
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	return u, nil
}

// List implements [remediate.Forge]. It looks at the 300 pull requests to base
// that changed last.
func (f *Forge) List(ctx context.Context, base, prefix string) ([]remediate.PullRequest, error) {
	if err := validBranch(base); err != nil {
		return nil, err
	}
	pulls, err := f.list(ctx, &github.PullRequestListOptions{State: "all", Base: base, Sort: "updated", Direction: "desc"})
	if err != nil {
		return nil, err
	}
	pulls = slices.DeleteFunc(pulls, func(p *github.PullRequest) bool {
		return !f.own(p, base) || !strings.HasPrefix(p.GetHead().GetRef(), prefix)
	})
	return newestFirst(pulls), nil
}

// list reads pages of pull requests.
func (f *Forge) list(ctx context.Context, o *github.PullRequestListOptions) ([]*github.PullRequest, error) {
	return pages(&o.ListOptions, maxPages, func() ([]*github.PullRequest, *github.Response, error) {
		pulls, resp, err := f.client.PullRequests.List(ctx, f.owner, f.repo, o)
		return pulls, resp, f.explain("list pull requests", err)
	})
}

// pages calls get for one page after the other.
func pages[T any](o *github.ListOptions, most int, get func() ([]T, *github.Response, error)) ([]T, error) {
	o.PerPage = perPage
	var all []T
	for range most {
		page, resp, err := get()
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if resp.NextPage == 0 {
			break
		}
		o.Page = resp.NextPage
	}
	return all, nil
}

// own reports whether p is from a branch of this repository to base. GitHub
// ignores filters that it does not understand, so that each is checked here.
func (f *Forge) own(p *github.PullRequest, base string) bool {
	return p.GetBase().GetRef() == base && p.GetHead().GetRepo() != nil &&
		strings.EqualFold(p.GetHead().GetRepo().GetFullName(), f.owner+"/"+f.repo)
}

func newestFirst(pulls []*github.PullRequest) []remediate.PullRequest {
	out := make([]remediate.PullRequest, len(pulls))
	for i, p := range pulls {
		out[i] = pullRequest(p)
	}
	slices.SortFunc(out, func(a, b remediate.PullRequest) int { return cmp.Compare(b.Number, a.Number) })
	return slices.CompactFunc(out, func(a, b remediate.PullRequest) bool { return a.Number == b.Number })
}

func pullRequest(p *github.PullRequest) remediate.PullRequest {
	state := remediate.Open
	switch {
	case p.MergedAt != nil:
		state = remediate.Merged
	case p.GetState() == "closed":
		state = remediate.Closed
	}
	return remediate.PullRequest{
		Number: p.GetNumber(), URL: p.GetHTMLURL(), State: state,
		Title: p.GetTitle(), Body: p.GetBody(), Base: p.GetBase().GetRef(),
		Head: p.GetHead().GetRef(), HeadSHA: p.GetHead().GetSHA(), CreatedAt: p.GetCreatedAt().UTC(),
	}
}

// Edit implements [remediate.Forge].
func (f *Forge) Edit(ctx context.Context, number int, title, body string) error {
	_, _, err := f.client.PullRequests.Edit(ctx, f.owner, f.repo, number, &github.PullRequest{Title: &title, Body: &body})
	return f.explain(fmt.Sprintf("edit pull request %d", number), err)
}

// Close implements [remediate.Forge].
func (f *Forge) Close(ctx context.Context, number int) error {
	closed := "closed"
	_, _, err := f.client.PullRequests.Edit(ctx, f.owner, f.repo, number, &github.PullRequest{State: &closed})
	return f.explain(fmt.Sprintf("close pull request %d", number), err)
}
