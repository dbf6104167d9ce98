package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/google/go-github/v57/github"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/remediate"
)

// explain says what could not be done and why, marks what only other input can
// mend by [kspec.Terminal], and adds a hint. GitHub's own words are cut and
// hold no token.
func (f *Forge) explain(what string, err error) error {
	if err == nil {
		return nil
	}
	if spent, ok := errors.AsType[*github.RateLimitError](err); ok {
		err = &remediate.RetryError{At: spent.Rate.Reset.UTC(), Err: errors.New("the rate limit is spent")}
	}
	no, ok := errors.AsType[*github.ErrorResponse](err)
	if !ok {
		return fmt.Errorf("%s in %s/%s: %w", what, f.owner, f.repo, f.unwrapped(err))
	}
	code := no.Response.StatusCode
	said := fmt.Errorf("%s in %s/%s: GitHub answers %d: %s", what, f.owner, f.repo, code, f.transport.clean(message(no)))
	if code >= http.StatusInternalServerError || code == http.StatusRequestTimeout || lagging(err) {
		return said
	}
	return kspec.Terminal(kspec.WithHint(said, f.hint(no)))
}

// unwrapped drops the wrapping of net/http, whose text repeats the method and
// the whole URL.
func (f *Forge) unwrapped(err error) error {
	if retry, ok := errors.AsType[*remediate.RetryError](err); ok {
		return retry
	}
	if known, ok := errors.AsType[*requestError](err); ok {
		return known
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return errors.New(f.transport.clean(err.Error()))
}

// message returns what GitHub said, in one line.
func message(e *github.ErrorResponse) string {
	parts := []string{e.Message}
	if e.Message == "" {
		parts[0] = http.StatusText(e.Response.StatusCode)
	}
	for _, detail := range e.Errors {
		switch {
		case detail.Message != "":
			parts = append(parts, detail.Message)
		case detail.Field != "":
			parts = append(parts, detail.Field+" "+detail.Code)
		}
	}
	return strings.Join(parts, ": ")
}

func (f *Forge) hint(e *github.ErrorResponse) string {
	repo := f.owner + "/" + f.repo
	header := e.Response.Header
	switch e.Response.StatusCode {
	case http.StatusUnauthorized:
		return "the token is wrong or has expired: give kspec a new one"
	case http.StatusNotFound:
		return fmt.Sprintf("%s does not exist, or the token may not see it: it needs \"contents\" and \"pull requests\" with write access", repo)
	case http.StatusForbidden:
		switch {
		case says(e, "archived"):
			return fmt.Sprintf("unarchive %s, or point kspec at another repository", repo)
		case header.Get("X-GitHub-SSO") != "":
			return "authorize the token for the organization's single sign-on"
		}
		return fmt.Sprintf("the token needs \"contents\" and \"pull requests\" with write access to %s; a classic token needs the scope \"repo\"", repo)
	default:
		if says(e, "draft pull requests are not supported") {
			return "set draft to false in the remediation of the ClusterSpec"
		}
		return ""
	}
}

// says reports whether GitHub's refusal holds some words, in any case.
func says(err error, words string) bool {
	no, ok := errors.AsType[*github.ErrorResponse](err)
	if !ok {
		return false
	}
	holds := func(text string) bool { return strings.Contains(strings.ToLower(text), words) }
	return holds(message(no)) || slices.ContainsFunc(no.Errors, func(e github.Error) bool { return holds(e.Code) })
}

// lagging is the answer when one part of GitHub has not heard yet of what was
// just pushed or created, while another has.
func lagging(err error) bool {
	return says(err, "could not resolve to a node") || says(err, "head invalid") || says(err, "a pull request already exists")
}

// missing reports whether GitHub says that there is no such thing.
func missing(err error) bool {
	return status(err) == http.StatusNotFound
}

// refused reports whether GitHub will not let this token change something.
func refused(err error) bool {
	return status(err) == http.StatusForbidden || missing(err)
}

// status returns the status of GitHub's refusal, or 0 when there is none.
func status(err error) int {
	no, ok := errors.AsType[*github.ErrorResponse](err)
	if !ok {
		return 0
	}
	return no.Response.StatusCode
}

// lost reports whether a request may have been carried out although no answer
// says so.
func lost(ctx context.Context, err error) bool {
	_, limited := errors.AsType[*remediate.RetryError](err)
	_, spent := errors.AsType[*github.RateLimitError](err)
	switch {
	case err == nil, ctx.Err() != nil, limited, spent:
		return false
	case status(err) != 0:
		return status(err) >= http.StatusInternalServerError || lagging(err)
	default:
		return !notSent(err)
	}
}

// clean makes a text of the outside world fit to be printed: one short line
// of printable characters, without the token.
func (t *transport) clean(text string) string {
	const most = 300
	if !t.token.IsZero() {
		text = strings.ReplaceAll(text, t.token.Reveal(), "[redacted]")
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == ' ' }), " ")
	if cut := []rune(text); len(cut) > most {
		text = string(cut[:most]) + "…"
	}
	return text
}

// limited returns when to come back, if resp says that too much was asked. It
// is an hour from now at most: no header parks kspec for a day.
func limited(resp *http.Response, body []byte, now time.Time) (time.Time, bool) {
	spent := resp.Header.Get("X-RateLimit-Remaining") == "0"
	words := strings.ToLower(string(body))
	secondary := strings.Contains(words, "secondary rate limit") || strings.Contains(words, "abuse detection")
	switch resp.StatusCode {
	case http.StatusTooManyRequests:
	case http.StatusForbidden:
		if !spent && !secondary && resp.Header.Get("Retry-After") == "" {
			return time.Time{}, false
		}
	case http.StatusUnprocessableEntity:
		if !strings.Contains(words, `"abuse"`) {
			return time.Time{}, false
		}
	default:
		return time.Time{}, false
	}
	at := retryAfter(resp.Header, now)
	if reset, err := strconv.ParseInt(resp.Header.Get("X-RateLimit-Reset"), 10, 64); at.IsZero() && spent && err == nil {
		at = time.Unix(reset, 0).UTC()
	}
	if at.IsZero() {
		at = now.Add(time.Minute)
	}
	return within(at, now), true
}

// within returns at, but no time before now and none more than maxPark away.
func within(at, now time.Time) time.Time {
	return now.Add(min(max(at.Sub(now), 0), maxPark))
}
