package github

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-github/v57/github"

	"github.com/cloudcwfranck/kspec"
)

var commentKey = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]*$`)

// Comment implements [remediate.Forge]. The marker is an HTML comment in the
// first line; it proves nothing about who wrote the comment, and a comment
// that this token may not edit is passed over.
func (f *Forge) Comment(ctx context.Context, number int, key, body string) error {
	if !commentKey.MatchString(key) || strings.Contains(key, "--") {
		return kspec.Terminal(fmt.Errorf("comment key %q may hold letters, digits and .-_/ only", key))
	}
	marker := "<!-- kspec:" + key + " -->"
	text := marker + "\n" + body
	what := fmt.Sprintf("comment on pull request %d", number)
	if done, err := f.updateComment(ctx, number, marker, text); err != nil || done {
		return err
	}
	var err error
	for range 2 {
		_, _, err = f.client.Issues.CreateComment(ctx, f.owner, f.repo, number, &github.IssueComment{Body: &text})
		if !lost(ctx, err) {
			break
		}
		found, lookErr := f.look(ctx, func() (bool, error) { return f.updateComment(ctx, number, marker, text) })
		if lookErr != nil || found {
			return lookErr
		}
	}
	return f.explain(what, err)
}

// updateComment makes the comment that begins with marker say text, and
// reports whether there is one.
func (f *Forge) updateComment(ctx context.Context, number int, marker, text string) (bool, error) {
	what := fmt.Sprintf("read the comments of pull request %d", number)
	o := &github.IssueListCommentsOptions{}
	comments, err := pages(&o.ListOptions, maxLists, func() ([]*github.IssueComment, *github.Response, error) {
		var list []*github.IssueComment
		var resp *github.Response
		err := f.settled(ctx, func() (err error) {
			list, resp, err = f.client.Issues.ListComments(ctx, f.owner, f.repo, number, o)
			return err
		})
		return list, resp, f.explain(what, err)
	})
	if err != nil {
		return false, err
	}
	for _, c := range comments {
		if !strings.HasPrefix(c.GetBody(), marker) {
			continue
		}
		if sameText(c.GetBody(), text) {
			return true, nil
		}
		_, _, err := f.client.Issues.EditComment(ctx, f.owner, f.repo, c.GetID(), &github.IssueComment{Body: &text})
		if !refused(err) {
			return true, f.explain(fmt.Sprintf("edit a comment of pull request %d", number), err)
		}
	}
	return false, nil
}

// sameText compares what was sent with what came back: forges rewrite line
// ends and cut white space at the end.
func sameText(a, b string) bool {
	clean := func(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }
	return clean(a) == clean(b)
}

const (
	labelColor = "5319e7"
	labelText  = "Set by kspec"
)

// Annotate implements [remediate.Forge]. People who were asked already are not
// asked again.
func (f *Forge) Annotate(ctx context.Context, number int, labels, reviewers []string) ([]string, error) {
	if len(labels) == 0 && len(reviewers) == 0 {
		return nil, nil
	}
	var p *github.PullRequest
	err := f.settled(ctx, func() (err error) {
		p, _, err = f.client.PullRequests.Get(ctx, f.owner, f.repo, number)
		return err
	})
	if err != nil {
		return nil, f.explain(fmt.Sprintf("read pull request %d", number), err)
	}
	var w warnings
	if err := f.addLabels(ctx, p, labels, &w); err != nil {
		return w, err
	}
	return w, f.requestReviews(ctx, p, reviewers, &w)
}

// warnings are what the forge refused.
type warnings []string

// add keeps err as a warning when it is a refusal, and returns it otherwise.
func (w *warnings) add(err error) error {
	if err == nil || !kspec.IsTerminal(err) {
		return err
	}
	*w = append(*w, err.Error())
	return nil
}

func (f *Forge) addLabels(ctx context.Context, p *github.PullRequest, labels []string, w *warnings) error {
	missing := without(labels, p.Labels, (*github.Label).GetName)
	if len(missing) == 0 {
		return nil
	}
	o := &github.ListOptions{}
	known, err := pages(o, maxLists, func() ([]*github.Label, *github.Response, error) {
		list, resp, err := f.client.Issues.ListLabels(ctx, f.owner, f.repo, o)
		return list, resp, f.explain("list labels", err)
	})
	if err != nil {
		return w.add(err)
	}
	for _, name := range without(missing, known, (*github.Label).GetName) {
		err := f.createLabel(ctx, name)
		if kspec.IsTerminal(err) {
			missing = slices.DeleteFunc(missing, func(m string) bool { return m == name })
		}
		if err := w.add(err); err != nil {
			return err
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return w.add(f.explain("add labels "+strings.Join(missing, ", "), f.postLabels(ctx, p.GetNumber(), missing)))
}

// without returns the names that no item of have has, whatever its case.
func without[T any](names []string, have []T, nameOf func(T) string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(have, func(item T) bool { return strings.EqualFold(nameOf(item), name) })
	})
}

// postLabels sends an object, which GitHub describes, where go-github sends a
// bare list, which it does not.
func (f *Forge) postLabels(ctx context.Context, number int, names []string) error {
	path := fmt.Sprintf("repos/%s/%s/issues/%d/labels", f.owner, f.repo, number)
	req, err := f.client.NewRequest(http.MethodPost, path, map[string][]string{"labels": names})
	if err != nil {
		return err
	}
	_, err = f.client.Do(ctx, req, nil)
	return err
}

func (f *Forge) createLabel(ctx context.Context, name string) error {
	color, text := labelColor, labelText
	_, _, err := f.client.Issues.CreateLabel(ctx, f.owner, f.repo, &github.Label{Name: &name, Color: &color, Description: &text})
	if says(err, "already_exists") {
		return nil
	}
	return f.explain(fmt.Sprintf("create label %q", name), err)
}

// requestReviews asks all at once and, since GitHub refuses all for the sake
// of one, then each for itself.
func (f *Forge) requestReviews(ctx context.Context, p *github.PullRequest, reviewers []string, w *warnings) error {
	missing := without(reviewers, p.RequestedReviewers, (*github.User).GetLogin)
	if len(missing) == 0 {
		return nil
	}
	ask := func(names ...string) error {
		_, _, err := f.client.PullRequests.RequestReviewers(ctx, f.owner, f.repo, p.GetNumber(), github.ReviewersRequest{Reviewers: names})
		return f.explain("ask "+strings.Join(names, ", ")+" for a review", err)
	}
	err := ask(missing...)
	if len(missing) == 1 || !kspec.IsTerminal(err) {
		return w.add(err)
	}
	for _, name := range missing {
		if err := w.add(ask(name)); err != nil {
			return err
		}
	}
	return nil
}
