// Package forgetest is the definition of a forge: an exam that every
// implementation of [remediate.Forge] passes.
package forgetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/remediate"
)

// Backend is the world behind a forge: the repository itself, and the people
// who work on it. Its default branch is "main" and has a commit.
type Backend interface {
	// Push commits content on top of a branch, which is made from main when it
	// is not there, and returns the commit.
	Push(t *testing.T, branch, content string) string
	// Merge and Close are done by a person.
	Merge(t *testing.T, number int)
	Close(t *testing.T, number int)
	// Look returns what the forge shows of a pull request.
	Look(t *testing.T, number int) Shown
	// Reviewer is a person who may be asked for a review.
	Reviewer() string
}

// Shown is what a forge shows of a pull request.
type Shown struct {
	Title, Body string
	Draft       bool
	Comments    []string
	Labels      []string
	Reviewers   []string
}

// Run examines a forge. The function makes a new one, over a repository of its
// own that has no pull request yet.
func Run(t *testing.T, start func(t *testing.T) (remediate.Forge, Backend)) {
	t.Helper()
	for _, question := range []struct {
		name string
		ask  func(*exam)
	}{
		{"opens a pull request and says what it is", opens},
		{"opening again returns the same one and changes nothing", opensAgain},
		{"opening finds what a person opened or merged out of the way", opensAfter},
		{"branches without a difference are refused by name", refusesNoCommits},
		{"input that cannot work is terminal", refusesBadInput},
		{"lists by base and prefix, newest first", lists},
		{"tells closed from merged", tellsStates},
		{"edits title and body", edits},
		{"comments once per key", comments},
		{"annotates, and warns of what is refused", annotates},
		{"closes, also twice", closes},
		{"text is kept as it is, however hostile", keepsText},
	} {
		t.Run(question.name, func(t *testing.T) {
			forge, world := start(t)
			question.ask(&exam{t, forge, world})
		})
	}
}

type exam struct {
	*testing.T
	forge remediate.Forge
	world Backend
}

const (
	base = "main"
	head = "kspec/render/web"
)

func (e *exam) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// open pushes a branch and opens a pull request from it.
func (e *exam) open(head string) remediate.PullRequest {
	e.Helper()
	e.world.Push(e.T, head, "replicas of "+head+"\n")
	p, err := e.forge.Open(e.Context(), request(head))
	e.must(err)
	return p
}

func request(head string) remediate.NewPullRequest {
	return remediate.NewPullRequest{Base: base, Head: head, Title: "Fix " + head, Body: "because of drift"}
}

func (e *exam) list(base, prefix string) []remediate.PullRequest {
	e.Helper()
	list, err := e.forge.List(e.Context(), base, prefix)
	e.must(err)
	return list
}

func (e *exam) numbers(prefix string) []int {
	e.Helper()
	numbers := []int{}
	for _, p := range e.list(base, prefix) {
		numbers = append(numbers, p.Number)
	}
	return numbers
}

func (e *exam) same(what string, want, got any) {
	e.Helper()
	if d := cmp.Diff(want, got); d != "" {
		e.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func opens(e *exam) {
	sha := e.world.Push(e.T, head, "replicas: 5\n")
	n := request(head)
	n.Draft = true
	p, err := e.forge.Open(e.Context(), n)
	e.must(err)
	if p.Number < 1 || !strings.Contains(p.URL, fmt.Sprint(p.Number)) || p.CreatedAt.IsZero() {
		e.Errorf("number %d, URL %q, created %v", p.Number, p.URL, p.CreatedAt)
	}
	e.same("opened", remediate.PullRequest{
		Number: p.Number, URL: p.URL, CreatedAt: p.CreatedAt,
		State: remediate.Open, Title: n.Title, Body: n.Body, Base: base, Head: head, HeadSHA: sha,
	}, p)
	e.same("listed", []remediate.PullRequest{p}, e.list(base, head))
	if !e.world.Look(e.T, p.Number).Draft {
		e.Error("it is no draft")
	}
}

func opensAgain(e *exam) {
	first := e.open(head)
	n := request(head)
	n.Title, n.Body = "Another title", "another body"
	second, err := e.forge.Open(e.Context(), n)
	e.must(err)
	e.same("opened again", first, second)
	e.same("numbers", []int{first.Number}, e.numbers(head))
}

func opensAfter(e *exam) {
	first := e.open(head)
	e.world.Close(e.T, first.Number)
	second, err := e.forge.Open(e.Context(), request(head))
	e.must(err)
	e.world.Merge(e.T, second.Number)
	e.world.Push(e.T, head, "replicas: 7\n")
	third, err := e.forge.Open(e.Context(), request(head))
	e.must(err)
	if first.Number >= second.Number || second.Number >= third.Number || third.State != remediate.Open {
		e.Errorf("numbers %d, %d, %d; the last is %s", first.Number, second.Number, third.Number, third.State)
	}
}

func refusesNoCommits(e *exam) {
	p := e.open(head)
	e.world.Merge(e.T, p.Number)
	_, err := e.forge.Open(e.Context(), request(head))
	if !errors.Is(err, remediate.ErrNoCommits) || !kspec.IsTerminal(err) {
		e.Errorf("got %v, want a terminal ErrNoCommits", err)
	}
}

func refusesBadInput(e *exam) {
	p := e.open(head)
	long := strings.Repeat("x", 70_000)
	_, noBase := e.forge.Open(e.Context(), remediate.NewPullRequest{Base: "nowhere", Head: head, Title: "t"})
	_, badHead := e.forge.Open(e.Context(), remediate.NewPullRequest{Base: base, Head: "a b..c", Title: "t"})
	_, badList := e.forge.List(e.Context(), "-main", "")
	for name, err := range map[string]error{
		"unknown base": noBase, "malformed head": badHead, "malformed base": badList,
		"long body":    e.forge.Edit(e.Context(), p.Number, "t", long),
		"long comment": e.forge.Comment(e.Context(), p.Number, "note", long),
		"unknown pull": e.forge.Edit(e.Context(), p.Number+99, "t", "b"),
		"bad key":      e.forge.Comment(e.Context(), p.Number, "x --> y", "text"),
	} {
		if !kspec.IsTerminal(err) {
			e.Errorf("%s: got %v, want a terminal error", name, err)
		}
	}
}

func lists(e *exam) {
	e.same("before any", []int{}, e.numbers("kspec/"))
	first, second := e.open("kspec/a"), e.open("kspec/b")
	e.open("feature")
	e.open("other/kspec/a")
	e.must(e.forge.Edit(e.Context(), first.Number, "Changed last", "but not the newest"))
	e.same("by prefix", []int{second.Number, first.Number}, e.numbers("kspec/"))
	e.same("by branch", []int{first.Number}, e.numbers("kspec/a"))
	e.same("another base", 0, len(e.list("release", "kspec/")))
}

func tellsStates(e *exam) {
	closed, merged, open := e.open("kspec/closed"), e.open("kspec/merged"), e.open("kspec/open")
	e.world.Close(e.T, closed.Number)
	e.world.Merge(e.T, merged.Number)
	got := map[int]remediate.PullRequestState{}
	for _, p := range e.list(base, "kspec/") {
		got[p.Number] = p.State
	}
	e.same("states", map[int]remediate.PullRequestState{
		closed.Number: remediate.Closed, merged.Number: remediate.Merged, open.Number: remediate.Open,
	}, got)
}

func edits(e *exam) {
	p := e.open(head)
	sha := e.world.Push(e.T, head, "replicas: 9\n")
	e.must(e.forge.Edit(e.Context(), p.Number, "New title", "new body"))
	p.Title, p.Body, p.HeadSHA = "New title", "new body", sha
	e.same("edited", []remediate.PullRequest{p}, e.list(base, head))
}

func comments(e *exam) {
	p := e.open(head)
	for _, c := range []struct{ key, text string }{
		{"frozen", "someone pushed"}, {"closed", "the drift is gone"}, {"frozen", "someone pushed"}, {"frozen", "someone pushed twice"},
	} {
		e.must(e.forge.Comment(e.Context(), p.Number, c.key, c.text))
	}
	got := e.world.Look(e.T, p.Number).Comments
	if len(got) != 2 {
		e.Fatalf("comments: %q", got)
	}
	for i, want := range []string{"someone pushed twice", "the drift is gone"} {
		if !strings.HasSuffix(strings.TrimSpace(got[i]), "\n"+want) {
			e.Errorf("comment %d: %q, want %q", i, got[i], want)
		}
	}
}

func annotates(e *exam) {
	p := e.open(head)
	ada := e.world.Reviewer()
	for range 2 {
		warnings, err := e.forge.Annotate(e.Context(), p.Number, []string{"kspec", "drift: high"}, []string{"no-such-person", ada})
		e.must(err)
		if len(warnings) != 1 || !strings.Contains(warnings[0], "no-such-person") {
			e.Errorf("warnings: %q", warnings)
		}
	}
	got := e.world.Look(e.T, p.Number)
	slices.Sort(got.Labels)
	e.same("labels", []string{"drift: high", "kspec"}, got.Labels)
	e.same("reviewers", []string{ada}, got.Reviewers)
	warnings, err := e.forge.Annotate(e.Context(), p.Number, nil, nil)
	if err != nil || len(warnings) > 0 {
		e.Errorf("nothing to add: %q, %v", warnings, err)
	}
}

func closes(e *exam) {
	p, merged := e.open("kspec/a"), e.open("kspec/b")
	e.world.Merge(e.T, merged.Number)
	for range 2 {
		e.must(e.forge.Close(e.Context(), p.Number))
	}
	e.same("state", remediate.Closed, e.list(base, "kspec/a")[0].State)
	e.must(e.forge.Close(e.Context(), merged.Number))
	e.same("state of the merged one", remediate.Merged, e.list(base, "kspec/b")[0].State)
}

func keepsText(e *exam) {
	e.world.Push(e.T, head, "replicas: 5\n")
	const title = "Fix `web` <script>alert(1)</script> \"&amp;\" ünïcode 🚦"
	body := strings.Join([]string{
		"<!-- kspec:v1:eyJ9 -->", "# not a heading?", "````", "```", "````", "<script>alert(1)</script>",
		"| a \\| b | c |", "&lt;b&gt; %00 %s ${x} {{.}}", "日本語 🚦",
	}, "\n")
	n := request(head)
	n.Title, n.Body = title, body
	p, err := e.forge.Open(e.Context(), n)
	e.must(err)
	e.must(e.forge.Comment(e.Context(), p.Number, "note", body))
	got := e.list(base, head)[0]
	e.same("title", title, got.Title)
	e.same("body", body, got.Body)
	shown := e.world.Look(e.T, p.Number)
	if len(shown.Comments) != 1 || !strings.HasSuffix(shown.Comments[0], body) {
		e.Errorf("comments: %q", shown.Comments)
	}
	e.must(e.forge.Comment(e.Context(), p.Number, "note", body))
	e.same("comments after the same again", 1, len(e.world.Look(e.T, p.Number).Comments))
}
