package github

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/go-github/v57/github"

	"github.com/cloudcwfranck/kspec"
)

var _ kspec.Approvals = (*Forge)(nil)

// maxVersions is how many versions of a file are looked at.
const maxVersions = 30

// Unapproved implements [kspec.Approvals]. A passage is approved when the
// merged pull request that brought it to the branch was approved by its
// approver, who may write to the repository and did not open it, and what was
// approved is what was merged. It needs to read contents and pull requests.
func (f *Forge) Unapproved(ctx context.Context, p kspec.Passage) (string, error) {
	switch {
	case !ownerName.MatchString(p.Approver):
		return fmt.Sprintf("%q is no user name of GitHub", p.Approver), nil
	case p.Revision.Branch == "":
		return "it was read at a commit of no known branch", nil
	}
	commit, why, err := f.origin(ctx, p)
	if why != "" || err != nil {
		return why, err
	}
	pulls, err := f.merged(ctx, commit, p.Revision.Branch)
	if err != nil {
		return "", err
	}
	why = fmt.Sprintf("commit %.12s brought it to %s without a pull request", commit, p.Revision.Branch)
	for _, pull := range pulls {
		if why, err = f.unapprovedIn(ctx, p, pull); err != nil {
			return "", err
		}
		if why == "" {
			return f.powerless(ctx, p.Approver)
		}
	}
	return why, nil
}

// origin returns the commit since which the file holds the passage.
func (f *Forge) origin(ctx context.Context, p kspec.Passage) (commit, why string, err error) {
	o := &github.CommitsListOptions{SHA: p.Revision.Commit, Path: p.File, ListOptions: github.ListOptions{PerPage: maxVersions}}
	versions, resp, err := f.client.Repositories.ListCommits(ctx, f.owner, f.repo, o)
	if err != nil {
		return "", "", f.explain("list the commits of "+p.File, err)
	}
	for _, v := range versions {
		held, err := f.holds(ctx, p, v.GetSHA())
		switch {
		case err != nil:
			return "", "", err
		case !held && commit == "":
			return "", "GitHub does not show it in " + p.File, nil
		case !held:
			return commit, "", nil
		}
		commit = v.GetSHA()
	}
	switch {
	case commit == "":
		return "", "GitHub knows no commit of " + p.File, nil
	case resp.NextPage != 0:
		return "", fmt.Sprintf("it is older than the last %d changes of %s", maxVersions, p.File), nil
	default:
		return commit, "", nil
	}
}

// holds reports whether the file holds the passage at a commit.
func (f *Forge) holds(ctx context.Context, p kspec.Passage, commit string) (bool, error) {
	file, _, _, err := f.client.Repositories.GetContents(ctx, f.owner, f.repo, p.File, &github.RepositoryContentGetOptions{Ref: commit})
	if missing(err) || err == nil && file.GetType() != "file" {
		return false, nil
	}
	if err != nil {
		return false, f.explain("read "+p.File, err)
	}
	text, err := file.GetContent()
	if err != nil {
		return false, fmt.Errorf("read %s in %s/%s: %w", p.File, f.owner, f.repo, err)
	}
	return p.In([]byte(text)), nil
}

// merged lists the pull requests that brought a commit to a branch.
func (f *Forge) merged(ctx context.Context, commit, branch string) ([]*github.PullRequest, error) {
	o := &github.ListOptions{}
	all, err := pages(o, maxLists, func() ([]*github.PullRequest, *github.Response, error) {
		pulls, resp, err := f.client.PullRequests.ListPullRequestsWithCommit(ctx, f.owner, f.repo, commit, o)
		return pulls, resp, f.explain("list the pull requests of commit "+commit, err)
	})
	var merged []*github.PullRequest
	for _, p := range all {
		if p.MergedAt != nil && p.GetBase().GetRef() == branch && strings.EqualFold(p.GetBase().GetRepo().GetFullName(), f.owner+"/"+f.repo) {
			merged = append(merged, p)
		}
	}
	return merged, err
}

// unapprovedIn says why pull does not prove that p is approved.
func (f *Forge) unapprovedIn(ctx context.Context, p kspec.Passage, pull *github.PullRequest) (string, error) {
	name, head := fmt.Sprintf("pull request %d", pull.GetNumber()), pull.GetHead().GetSHA()
	if strings.EqualFold(pull.GetUser().GetLogin(), p.Approver) {
		return fmt.Sprintf("%s opened %s", p.Approver, name), nil
	}
	diff, _, err := f.client.Repositories.CompareCommits(ctx, f.owner, f.repo, pull.GetBase().GetSHA(), head, &github.ListOptions{PerPage: 1})
	if err != nil {
		return "", f.explain("compare the ends of "+name, err)
	}
	before, err := f.holds(ctx, p, diff.GetMergeBaseCommit().GetSHA())
	if err != nil {
		return "", err
	}
	after, err := f.holds(ctx, p, head)
	if err != nil {
		return "", err
	}
	if before || !after {
		return name + " did not show it as it is now", nil
	}
	review, err := f.opinion(ctx, pull.GetNumber(), p.Approver)
	if err != nil {
		return "", err
	}
	switch state := review.GetState(); {
	case state == "DISMISSED":
		return fmt.Sprintf("the review of %s by %s was dismissed", name, p.Approver), nil
	case state != "APPROVED":
		return fmt.Sprintf("%s did not approve %s", p.Approver, name), nil
	case review.GetCommitID() != head:
		return fmt.Sprintf("%s was changed after %s approved it", name, p.Approver), nil
	}
	return "", nil
}

// opinion returns the last review of a pull request by which somebody approved
// it or did not, nil for none.
func (f *Forge) opinion(ctx context.Context, number int, who string) (*github.PullRequestReview, error) {
	o := &github.ListOptions{}
	reviews, err := pages(o, maxLists, func() ([]*github.PullRequestReview, *github.Response, error) {
		page, resp, err := f.client.PullRequests.ListReviews(ctx, f.owner, f.repo, number, o)
		return page, resp, f.explain(fmt.Sprintf("list the reviews of pull request %d", number), err)
	})
	var last *github.PullRequestReview
	for _, r := range reviews {
		if strings.EqualFold(r.GetUser().GetLogin(), who) && r.GetState() != "COMMENTED" && r.GetState() != "PENDING" {
			last = r
		}
	}
	return last, err
}

// powerless says that somebody may not write to the repository: in one that is
// public, anybody can approve.
func (f *Forge) powerless(ctx context.Context, who string) (string, error) {
	level, _, err := f.client.Repositories.GetPermissionLevel(ctx, f.owner, f.repo, who)
	if err != nil && !missing(err) {
		return "", f.explain("ask what "+who+" may do", err)
	}
	switch level.GetPermission() {
	case "admin", "maintain", "write":
		return "", nil
	default:
		return fmt.Sprintf("%s may not write to %s/%s", who, f.owner, f.repo), nil
	}
}
