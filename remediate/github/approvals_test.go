package github_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/fixtures/forge"
)

const exempt = "exempt: shop\n"

// commit makes a file, besides those of the template, the content of a branch
// and returns the commit.
func (w *world) commit(t *testing.T, branch, file, text string) string {
	t.Helper()
	if err := w.hub.Push(repo, branch, "Change "+file, fstest.MapFS{file: {Data: []byte(text)}}); err != nil {
		t.Fatal(err)
	}
	return w.branch(t, branch)
}

// commits changes something else in spec.yaml, time and again.
func (w *world) commits(t *testing.T, n int) {
	t.Helper()
	var stream strings.Builder
	from := "from refs/heads/main^0\n"
	for i := range n {
		text := fmt.Sprintf("%smore: %d\n", exempt, i)
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter Ada <ada@example.com> %d +0000\ndata 4\nMore\n%sM 100644 inline spec.yaml\ndata %d\n%s\n",
			time.Now().Unix(), from, len(text), text)
		from = ""
	}
	cmd := exec.CommandContext(t.Context(), "git", "-C", filepath.Join(w.root, repo+".git"), "fast-import", "--quiet")
	cmd.Stdin = strings.NewReader(stream.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git fast-import: %v: %s", err, out)
	}
}

func (w *world) branch(t *testing.T, name string) string {
	t.Helper()
	branches, err := w.hub.Branches(repo)
	if err != nil {
		t.Fatal(err)
	}
	return branches[name]
}

// propose opens a pull request of login that makes spec.yaml say text.
func (w *world) propose(t *testing.T, login, text string) int {
	t.Helper()
	branch := fmt.Sprintf("change-%d", len(w.pulls(t))+1)
	w.commit(t, branch, "spec.yaml", text)
	number, err := w.hub.Open(repo, login, branch, "Change spec.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return number
}

func (w *world) must(t *testing.T) func(error) {
	return func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// passage is the exemption as main has it now.
func (w *world) passage(t *testing.T) kspec.Passage {
	t.Helper()
	return kspec.Passage{
		File: "spec.yaml", Revision: kspec.Revision{Branch: "main", Commit: w.branch(t, "main")}, Approver: "ada",
		In: func(version []byte) bool { return strings.Contains(string(version), exempt) },
	}
}

func TestWhatCountsAsApproved(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(t *testing.T, w *world, must func(error))
		want string // "" is approved
	}{
		{"a pull request that its approver approved", func(t *testing.T, w *world, must func(error)) {
			n := w.propose(t, "grace", exempt)
			must(w.hub.Review(repo, n, "ada", "APPROVED"))
			must(w.hub.Merge(repo, n))
		}, ""},
		{"one that was squashed", func(t *testing.T, w *world, must func(error)) {
			n := w.propose(t, "grace", exempt)
			must(w.hub.Review(repo, n, "ada", "APPROVED"))
			must(w.hub.Squash(repo, n))
		}, ""},
		{"one that was approved after it was merged", func(t *testing.T, w *world, must func(error)) {
			n := w.propose(t, "grace", exempt)
			must(w.hub.Merge(repo, n))
			must(w.hub.Review(repo, n, "ada", "APPROVED"))
		}, ""},
		{"a comment after the approval", func(t *testing.T, w *world, must func(error)) {
			n := w.propose(t, "grace", exempt)
			must(w.hub.Review(repo, n, "ada", "APPROVED"))
			must(w.hub.Review(repo, n, "ada", "COMMENTED"))
			must(w.hub.Merge(repo, n))
		}, ""},
		{"a change of something else in the file", func(t *testing.T, w *world, must func(error)) {
			n := w.propose(t, "grace", exempt)
			must(w.hub.Review(repo, n, "ada", "APPROVED"))
			must(w.hub.Merge(repo, n))
			w.commit(t, "main", "spec.yaml", exempt+"more: 1\n")
		}, ""},
		{"no review", func(t *testing.T, w *world, must func(error)) {
			must(w.hub.Merge(repo, w.propose(t, "grace", exempt)))
		}, "ada did not approve pull request 1"},
		{"the approval of another", func(t *testing.T, w *world, must func(error)) {
			n := w.propose(t, "grace", exempt)
			must(w.hub.Review(repo, n, "linus", "APPROVED"))
			must(w.hub.Merge(repo, n))
		}, "ada did not approve pull request 1"},
		{"a comment", func(t *testing.T, w *world, must func(error)) {
			n := w.propose(t, "grace", exempt)
			must(w.hub.Review(repo, n, "ada", "COMMENTED"))
			must(w.hub.Merge(repo, n))
		}, "ada did not approve pull request 1"},
		{"a pull request of the approver", func(t *testing.T, w *world, must func(error)) {
			n := w.propose(t, "ada", exempt)
			must(w.hub.Review(repo, n, "grace", "APPROVED"))
			must(w.hub.Merge(repo, n))
		}, "ada opened pull request 1"},
		{"a review that was dismissed", func(t *testing.T, w *world, must func(error)) {
			n := w.propose(t, "grace", exempt)
			must(w.hub.Review(repo, n, "ada", "APPROVED"))
			must(w.hub.Dismiss(repo, n, "ada"))
			must(w.hub.Merge(repo, n))
		}, "the review of pull request 1 by ada was dismissed"},
		{"changes requested after the approval", func(t *testing.T, w *world, must func(error)) {
			n := w.propose(t, "grace", exempt)
			must(w.hub.Review(repo, n, "ada", "APPROVED"))
			must(w.hub.Review(repo, n, "ada", "CHANGES_REQUESTED"))
			must(w.hub.Merge(repo, n))
		}, "ada did not approve pull request 1"},
		{"a push after the approval", func(t *testing.T, w *world, must func(error)) {
			n := w.propose(t, "grace", exempt)
			must(w.hub.Review(repo, n, "ada", "APPROVED"))
			w.commit(t, "change-1", "spec.yaml", exempt+"more: 1\n")
			must(w.hub.Merge(repo, n))
		}, "pull request 1 was changed after ada approved it"},
		{"a push to the branch", func(t *testing.T, w *world, _ func(error)) {
			w.commit(t, "main", "spec.yaml", exempt)
		}, "to main without a pull request"},
		{"a text that was changed after the approval", func(t *testing.T, w *world, must func(error)) {
			n := w.propose(t, "grace", "exempt: web\n")
			must(w.hub.Review(repo, n, "ada", "APPROVED"))
			must(w.hub.Merge(repo, n))
			w.commit(t, "main", "spec.yaml", exempt)
		}, "to main without a pull request"},
		{"a text that was changed by a pull request", func(t *testing.T, w *world, must func(error)) {
			n := w.propose(t, "grace", "exempt: web\n")
			must(w.hub.Review(repo, n, "ada", "APPROVED"))
			must(w.hub.Merge(repo, n))
			must(w.hub.Merge(repo, w.propose(t, "grace", exempt)))
		}, "ada did not approve pull request 2"},
		{"a text that was taken out and brought back", func(t *testing.T, w *world, must func(error)) {
			n := w.propose(t, "grace", exempt)
			must(w.hub.Review(repo, n, "ada", "APPROVED"))
			must(w.hub.Merge(repo, n))
			w.commit(t, "main", "spec.yaml", "nothing\n")
			w.commit(t, "main", "spec.yaml", exempt)
		}, "to main without a pull request"},
		{"a file of another name", func(t *testing.T, w *world, must func(error)) {
			w.commit(t, "change-1", "old.yaml", exempt)
			n, err := w.hub.Open(repo, "grace", "change-1", "Exempt shop")
			must(err)
			must(w.hub.Review(repo, n, "ada", "APPROVED"))
			must(w.hub.Merge(repo, n))
			w.commit(t, "main", "spec.yaml", exempt)
		}, "to main without a pull request"},
		{"a pull request from a branch that had been merged without an approval", func(t *testing.T, w *world, must func(error)) {
			w.commit(t, "change-1", "spec.yaml", exempt)
			must(w.hub.Merge(repo, w.open(t, "grace", "change-1")))
			w.commit(t, "change-1", "spec.yaml", exempt+"more: 1\n")
			n := w.open(t, "grace", "change-1")
			must(w.hub.Review(repo, n, "ada", "APPROVED"))
			must(w.hub.Merge(repo, n))
		}, "ada did not approve pull request 1"},
		{"too long ago", func(t *testing.T, w *world, must func(error)) {
			n := w.propose(t, "grace", exempt)
			must(w.hub.Review(repo, n, "ada", "APPROVED"))
			must(w.hub.Merge(repo, n))
			w.commits(t, 30)
		}, "it is older than the last 30 changes of spec.yaml"},
		{"a text that the forge does not have", func(t *testing.T, w *world, _ func(error)) {
			w.commit(t, "main", "spec.yaml", "nothing\n")
		}, "GitHub does not show it in spec.yaml"},
		{"a file that the forge does not have", func(*testing.T, *world, func(error)) {
		}, "GitHub knows no commit of spec.yaml"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := start(t)
			tc.do(t, w, w.must(t))
			got, err := w.Unapproved(t.Context(), w.passage(t))
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want && (tc.want == "" || !strings.HasSuffix(got, tc.want)) {
				t.Errorf("why it is not approved: %q, want %q", got, tc.want)
			}
		})
	}
}

// open opens a pull request from a branch that is there.
func (w *world) open(t *testing.T, login, branch string) int {
	t.Helper()
	number, err := w.hub.Open(repo, login, branch, "Change "+branch)
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// approved is a world with an exemption that ada approved.
func approved(t *testing.T) *world {
	t.Helper()
	w := start(t)
	must := w.must(t)
	n := w.propose(t, "grace", exempt)
	must(w.hub.Review(repo, n, "ada", "APPROVED"))
	must(w.hub.Review(repo, n, "mallory", "APPROVED"))
	must(w.hub.Merge(repo, n))
	return w
}

func TestApproversAreKnownWithoutRegardToCase(t *testing.T) {
	w := approved(t)
	p := w.passage(t)
	p.Approver = "Ada"
	if why, err := w.Unapproved(t.Context(), p); err != nil || why != "" {
		t.Errorf("%q, %v", why, err)
	}
}

func TestWhoMayNotWriteApprovesNothing(t *testing.T) {
	w := approved(t)
	p := w.passage(t)
	p.Approver = "mallory"
	if why, err := w.Unapproved(t.Context(), p); err != nil || why != "mallory may not write to acme/config" {
		t.Errorf("%q, %v", why, err)
	}
}

func TestOnlyTheBranchThatIsReadCounts(t *testing.T) {
	w := approved(t)
	for branch, want := range map[string]string{"release": "to release without a pull request", "": "it was read at a commit of no known branch"} {
		p := w.passage(t)
		p.Revision.Branch = branch
		if why, err := w.Unapproved(t.Context(), p); err != nil || !strings.HasSuffix(why, want) {
			t.Errorf("branch %q: %q, %v", branch, why, err)
		}
	}
}

func TestAForgeThatDoesNotAnswerProvesNothing(t *testing.T) {
	for _, path := range []string{"/commits$", "/contents/", "/commits/.*/pulls$", "/compare/", "/reviews$", "/permission$"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			w := approved(t)
			p := w.passage(t)
			for _, fault := range []forge.Fault{forge.BadGateway("", ""), forge.BadCredentials(), forge.NotAccessible(), forge.SecondaryLimit(0)} {
				fault.Times = -1
				w.hub.Fault(fault.On("GET", path))
				if why, err := w.Unapproved(t.Context(), p); err == nil || why != "" {
					t.Errorf("%s: %q, %v", fault.Body, why, err)
				}
				w.hub.Heal()
			}
		})
	}
}

func TestAProofOnlyReadsAndTakesFewRequests(t *testing.T) {
	w := approved(t)
	if why, err := w.Unapproved(t.Context(), w.passage(t)); why != "" || err != nil {
		t.Fatal(why, err)
	}
	reads := slices.Clone(w.log)
	if len(reads) > 8 || slices.ContainsFunc(reads, func(r string) bool { return !strings.HasPrefix(r, "GET ") }) {
		t.Errorf("one proof took %d requests: %v", len(reads), reads)
	}
}
