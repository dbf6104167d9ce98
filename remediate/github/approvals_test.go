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

// story is what people do to a repository.
type story struct {
	*world
	t *testing.T
}

func (s *story) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// commit makes a file the content of a branch.
func (s *story) commit(branch, file, text string) {
	s.t.Helper()
	s.must(s.hub.Push(repo, branch, "Change "+file, fstest.MapFS{file: {Data: []byte(text)}}))
}

// commits changes something else in spec.yaml, time and again.
func (s *story) commits(n int) {
	s.t.Helper()
	var stream strings.Builder
	from := "from refs/heads/main^0\n"
	for i := range n {
		text := fmt.Sprintf("%smore: %d\n", exempt, i)
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter Ada <ada@example.com> %d +0000\ndata 4\nMore\n%sM 100644 inline spec.yaml\ndata %d\n%s\n",
			time.Now().Unix(), from, len(text), text)
		from = ""
	}
	cmd := exec.CommandContext(s.t.Context(), "git", "-C", filepath.Join(s.root, repo+".git"), "fast-import", "--quiet")
	cmd.Stdin = strings.NewReader(stream.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("git fast-import: %v: %s", err, out)
	}
}

// open opens a pull request from a branch.
func (s *story) open(login, branch string) int {
	s.t.Helper()
	number, err := s.hub.Open(repo, login, branch, "Change "+branch)
	s.must(err)
	return number
}

// propose opens a pull request that makes spec.yaml say text.
func (s *story) propose(login, text string) int {
	s.t.Helper()
	branch := fmt.Sprintf("change-%d", len(s.pulls(s.t))+1)
	s.commit(branch, "spec.yaml", text)
	return s.open(login, branch)
}

func (s *story) review(number int, login, state string) {
	s.t.Helper()
	s.must(s.hub.Review(repo, number, login, state))
}

func (s *story) dismiss(number int, login string) {
	s.t.Helper()
	s.must(s.hub.Dismiss(repo, number, login))
}

func (s *story) merge(number int) {
	s.t.Helper()
	s.must(s.hub.Merge(repo, number))
}

// passage is the exemption as main has it now.
func (w *world) passage(t *testing.T) kspec.Passage {
	t.Helper()
	branches, err := w.hub.Branches(repo)
	if err != nil {
		t.Fatal(err)
	}
	return kspec.Passage{
		File: "spec.yaml", Revision: kspec.Revision{Branch: "main", Commit: branches["main"]}, Approver: "ada",
		In: func(version []byte) bool { return strings.Contains(string(version), exempt) },
	}
}

func TestWhatCountsAsApproved(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(s *story)
		want string // "" is approved
	}{
		{"a pull request that its approver approved", func(s *story) {
			n := s.propose("grace", exempt)
			s.review(n, "ada", "APPROVED")
			s.merge(n)
		}, ""},
		{"one that was squashed", func(s *story) {
			n := s.propose("grace", exempt)
			s.review(n, "ada", "APPROVED")
			s.must(s.hub.Squash(repo, n))
		}, ""},
		{"one that was approved after it was merged", func(s *story) {
			n := s.propose("grace", exempt)
			s.merge(n)
			s.review(n, "ada", "APPROVED")
		}, ""},
		{"a comment after the approval", func(s *story) {
			n := s.propose("grace", exempt)
			s.review(n, "ada", "APPROVED")
			s.review(n, "ada", "COMMENTED")
			s.merge(n)
		}, ""},
		{"a change of something else in the file", func(s *story) {
			n := s.propose("grace", exempt)
			s.review(n, "ada", "APPROVED")
			s.merge(n)
			s.commit("main", "spec.yaml", exempt+"more: 1\n")
		}, ""},
		{"no review", func(s *story) {
			s.merge(s.propose("grace", exempt))
		}, "ada did not approve pull request 1"},
		{"the approval of another", func(s *story) {
			n := s.propose("grace", exempt)
			s.review(n, "linus", "APPROVED")
			s.merge(n)
		}, "ada did not approve pull request 1"},
		{"a comment", func(s *story) {
			n := s.propose("grace", exempt)
			s.review(n, "ada", "COMMENTED")
			s.merge(n)
		}, "ada did not approve pull request 1"},
		{"a pull request of the approver", func(s *story) {
			n := s.propose("ada", exempt)
			s.review(n, "grace", "APPROVED")
			s.merge(n)
		}, "ada opened pull request 1"},
		{"a review that was dismissed", func(s *story) {
			n := s.propose("grace", exempt)
			s.review(n, "ada", "APPROVED")
			s.dismiss(n, "ada")
			s.merge(n)
		}, "the review of pull request 1 by ada was dismissed"},
		{"changes requested after the approval", func(s *story) {
			n := s.propose("grace", exempt)
			s.review(n, "ada", "APPROVED")
			s.review(n, "ada", "CHANGES_REQUESTED")
			s.merge(n)
		}, "ada did not approve pull request 1"},
		{"a push after the approval", func(s *story) {
			n := s.propose("grace", exempt)
			s.review(n, "ada", "APPROVED")
			s.commit("change-1", "spec.yaml", exempt+"more: 1\n")
			s.merge(n)
		}, "pull request 1 was changed after ada approved it"},
		{"a push to the branch", func(s *story) {
			s.commit("main", "spec.yaml", exempt)
		}, "to main without a pull request"},
		{"a text that was changed after the approval", func(s *story) {
			n := s.propose("grace", "exempt: web\n")
			s.review(n, "ada", "APPROVED")
			s.merge(n)
			s.commit("main", "spec.yaml", exempt)
		}, "to main without a pull request"},
		{"a text that was changed by a pull request", func(s *story) {
			n := s.propose("grace", "exempt: web\n")
			s.review(n, "ada", "APPROVED")
			s.merge(n)
			s.merge(s.propose("grace", exempt))
		}, "ada did not approve pull request 2"},
		{"a text that was taken out and brought back", func(s *story) {
			n := s.propose("grace", exempt)
			s.review(n, "ada", "APPROVED")
			s.merge(n)
			s.commit("main", "spec.yaml", "nothing\n")
			s.commit("main", "spec.yaml", exempt)
		}, "to main without a pull request"},
		{"a file of another name", func(s *story) {
			s.commit("change-1", "old.yaml", exempt)
			n := s.open("grace", "change-1")
			s.review(n, "ada", "APPROVED")
			s.merge(n)
			s.commit("main", "spec.yaml", exempt)
		}, "to main without a pull request"},
		{"a pull request from a branch that had been merged without an approval", func(s *story) {
			s.commit("change-1", "spec.yaml", exempt)
			s.merge(s.open("grace", "change-1"))
			s.commit("change-1", "spec.yaml", exempt+"more: 1\n")
			n := s.open("grace", "change-1")
			s.review(n, "ada", "APPROVED")
			s.merge(n)
		}, "ada did not approve pull request 1"},
		{"a pull request that takes it out and puts it back, so that its diff does not show it", func(s *story) {
			s.commit("main", "spec.yaml", exempt)
			s.commit("change-1", "spec.yaml", "nothing\n")
			s.commit("change-1", "spec.yaml", exempt+"more: 1\n")
			n := s.open("grace", "change-1")
			s.review(n, "ada", "APPROVED")
			s.merge(n)
		}, "pull request 1 did not show it as it is now"},
		{"too long ago", func(s *story) {
			n := s.propose("grace", exempt)
			s.review(n, "ada", "APPROVED")
			s.merge(n)
			s.commits(30)
		}, "it is older than the last 30 changes of spec.yaml"},
		{"a text that the forge does not have", func(s *story) {
			s.commit("main", "spec.yaml", "nothing\n")
		}, "GitHub does not show it in spec.yaml"},
		{"a file that the forge does not have", func(*story) {}, "GitHub knows no commit of spec.yaml"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := start(t)
			tc.do(&story{w, t})
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

// approved is a world with an exemption that ada approved.
func approved(t *testing.T) *world {
	t.Helper()
	s := &story{start(t), t}
	n := s.propose("grace", exempt)
	s.review(n, "ada", "APPROVED")
	s.review(n, "mallory", "APPROVED")
	s.merge(n)
	return s.world
}

func TestApproversAreKnownWithoutRegardToCase(t *testing.T) {
	w := approved(t)
	p := w.passage(t)
	p.Approver = "Ada"
	if why, err := w.Unapproved(t.Context(), p); err != nil || why != "" {
		t.Errorf("%q, %v", why, err)
	}
}

func TestAnApproverIsAUserName(t *testing.T) {
	w := approved(t)
	before := len(w.log)
	for _, who := range []string{"ada@example.com", "../ada", "ada/permission?", "a team", "ada\x1b[0m", ""} {
		p := w.passage(t)
		p.Approver = who
		if why, err := w.Unapproved(t.Context(), p); err != nil || why != fmt.Sprintf("%q is no user name of GitHub", who) {
			t.Errorf("%q, %v", why, err)
		}
	}
	if len(w.log) != before {
		t.Errorf("GitHub was asked: %v", w.log[before:])
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
