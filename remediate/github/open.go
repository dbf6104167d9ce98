package github

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/google/go-github/v57/github"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/remediate"
)

// Open implements [remediate.Forge]. An answer that is lost is looked for
// before anything is asked for again, so that there is never a second pull
// request. When the branches do not differ it returns
// [remediate.ErrNoCommits].
func (f *Forge) Open(ctx context.Context, n remediate.NewPullRequest) (remediate.PullRequest, error) {
	if err := validBranches(n.Base, n.Head); err != nil {
		return remediate.PullRequest{}, err
	}
	before, err := f.from(ctx, n)
	if err != nil {
		return remediate.PullRequest{}, err
	}
	if p, ok := firstOpen(before); ok {
		return p, nil
	}
	newest := 0
	if len(before) > 0 {
		newest = before[0].Number
	}
	return f.create(ctx, n, newest)
}

// create opens a pull request, or finds the one that is there after all: one
// that is open, or, because a person may be quick to close it, one that is
// newer than all that were there before.
func (f *Forge) create(ctx context.Context, n remediate.NewPullRequest, newest int) (remediate.PullRequest, error) {
	what := fmt.Sprintf("open a pull request from %s to %s", n.Head, n.Base)
	no := false
	in := &github.NewPullRequest{
		Title: &n.Title, Head: &n.Head, Base: &n.Base, Body: &n.Body,
		Draft: &n.Draft, MaintainerCanModify: &no,
	}
	var err error
	for range 2 {
		var made *github.PullRequest
		made, _, err = f.client.PullRequests.Create(ctx, f.owner, f.repo, in)
		if err == nil && made.GetNumber() == 0 {
			err = errors.New("the answer names no pull request")
		}
		switch {
		case err == nil:
			return pullRequest(made), nil
		case says(err, "no commits between"):
			return remediate.PullRequest{}, kspec.Terminal(fmt.Errorf("%s: %w", what, remediate.ErrNoCommits))
		case !lost(ctx, err):
			return remediate.PullRequest{}, f.explain(what, err)
		}
		p, found, lookErr := f.appeared(ctx, n, newest)
		if lookErr != nil || found {
			return p, lookErr
		}
	}
	return remediate.PullRequest{}, f.explain(what, err)
}

// appeared looks for what create may have made.
func (f *Forge) appeared(ctx context.Context, n remediate.NewPullRequest, newest int) (p remediate.PullRequest, found bool, err error) {
	found, err = f.look(ctx, func() (bool, error) {
		now, err := f.from(ctx, n)
		if err != nil {
			return false, err
		}
		if len(now) > 0 && now[0].Number > newest {
			p = now[0]
		}
		if open, ok := firstOpen(now); ok {
			p = open
		}
		return p.Number > 0, nil
	})
	return p, found, err
}

// look calls find a few times, because GitHub's lists lag behind.
func (f *Forge) look(ctx context.Context, find func() (bool, error)) (bool, error) {
	for i := range lookups {
		if err := f.transport.wait(ctx, i); err != nil {
			return false, err
		}
		if found, err := find(); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// settled calls get again while GitHub does not know yet of what was created a
// moment ago.
func (f *Forge) settled(ctx context.Context, get func() error) error {
	var err error
	_, waitErr := f.look(ctx, func() (bool, error) {
		err = get()
		return !missing(err), nil
	})
	return cmp.Or(waitErr, err)
}

// from lists the pull requests from one branch to another, newest first. A
// list that GitHub cut is still one of the newest.
func (f *Forge) from(ctx context.Context, n remediate.NewPullRequest) ([]remediate.PullRequest, error) {
	pulls, err := f.list(ctx, &github.PullRequestListOptions{
		State: "all", Head: f.owner + ":" + n.Head, Base: n.Base, Sort: "created", Direction: "desc",
	})
	if err != nil {
		return nil, err
	}
	var own []*github.PullRequest
	for _, p := range pulls {
		if f.own(p, n.Base) && p.GetHead().GetRef() == n.Head {
			own = append(own, p)
		}
	}
	return newestFirst(own), nil
}

func firstOpen(pulls []remediate.PullRequest) (remediate.PullRequest, bool) {
	for _, p := range pulls {
		if p.State == remediate.Open {
			return p, true
		}
	}
	return remediate.PullRequest{}, false
}
