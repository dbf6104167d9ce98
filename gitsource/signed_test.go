package gitsource_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/gitsource"
)

// signedRepo is a clone whose commits are signed by real keys of several
// people: ada and grace have SSH keys, linus one of OpenPGP, and the forge, of
// which kspec knows nothing, another of SSH.
type signedRepo struct {
	t       *testing.T
	dir     string
	keys    string
	signers gitsource.Signers
}

func newSignedRepo(t *testing.T) *signedRepo {
	t.Helper()
	r := &signedRepo{t: t, dir: filepath.Join(t.TempDir(), "clone"), keys: t.TempDir()}
	check(t, os.Mkdir(r.dir, 0o700))
	r.run("git", "init", "-q", "-b", "main")
	known := fstest.MapFS{}
	for who, kind := range map[string]string{"ada": "ed25519", "grace": "rsa", "forge": "ecdsa"} {
		r.run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", who, "-f", filepath.Join(r.keys, who))
		public, err := os.ReadFile(filepath.Join(r.keys, who+".pub"))
		check(t, err)
		if who != "forge" {
			known[who+".pub"] = &fstest.MapFile{Data: public}
		}
	}
	home, err := os.MkdirTemp("", "gpg") // the path of a socket must be short
	check(t, err)
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
		check(t, os.RemoveAll(home))
	})
	t.Setenv("GNUPGHOME", home)
	r.run("gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "", "--quick-gen-key", "linus@example.com", "ed25519", "sign", "never")
	known["linus.asc"] = &fstest.MapFile{Data: []byte(r.run("gpg", "--batch", "--armor", "--export", "linus@example.com"))}
	known["..data/linus.asc"] = known["linus.asc"] // as a mounted Secret has it
	r.signers, err = gitsource.ReadSigners(known)
	check(t, err)
	r.write("other", "nothing")
	r.commit("")
	return r
}

func (r *signedRepo) run(name string, args ...string) string {
	r.t.Helper()
	if name == "git" {
		return git(r.t, r.dir, "", args...)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

func (r *signedRepo) write(file, text string) {
	r.t.Helper()
	path := filepath.Join(r.dir, file)
	check(r.t, os.MkdirAll(filepath.Dir(path), 0o700))
	check(r.t, os.WriteFile(path, []byte(text), 0o600))
	r.run("git", "add", "-A")
}

// by returns what makes git sign as somebody, or as nobody.
func (r *signedRepo) by(who string) []string {
	switch who {
	case "":
		return []string{"-c", "commit.gpgsign=false"}
	case "linus":
		return []string{"-c", "commit.gpgsign=true", "-c", "user.signingkey=linus@example.com"}
	default:
		return []string{"-c", "commit.gpgsign=true", "-c", "gpg.format=ssh", "-c", "user.signingkey=" + filepath.Join(r.keys, who)}
	}
}

// commit commits what was written, signed.
func (r *signedRepo) commit(who string) {
	r.t.Helper()
	r.run("git", append(r.by(who), "commit", "-q", "--allow-empty", "-m", "by "+who)...)
}

func (r *signedRepo) merge(who, branch string, more ...string) {
	r.t.Helper()
	r.run("git", append(append(r.by(who), "merge", "-q", "--no-ff", "-m", "merge by "+who, branch), more...)...)
}

// legacy is the file with the passage that somebody approved, and changes of
// it that do not matter.
func legacy(more string) string { return "exempt: legacy\n" + more }

func passage(approver, commit string) kspec.Passage {
	return kspec.Passage{
		File: "clusters/prod.yaml", Revision: kspec.Revision{Commit: commit}, Approver: approver,
		In: func(version []byte) bool { return strings.Contains(string(version), "exempt: legacy\n") },
	}
}

func TestApprovedIsWhatItsApproverSigned(t *testing.T) {
	const file = "clusters/prod.yaml"
	tests := []struct {
		name, approver string
		make           func(r *signedRepo)
		want           string // "" for approved
	}{
		{"signed with a key of SSH", "ada", func(r *signedRepo) { r.write(file, legacy("")); r.commit("ada") }, ""},
		{"signed with one of RSA", "grace", func(r *signedRepo) { r.write(file, legacy("")); r.commit("grace") }, ""},
		{"signed with a key of OpenPGP", "linus", func(r *signedRepo) { r.write(file, legacy("")); r.commit("linus") }, ""},
		{"not signed", "ada", func(r *signedRepo) { r.write(file, legacy("")); r.commit("") }, "wrote it and is not signed by ada: it has no signature"},
		{"signed by somebody else", "ada", func(r *signedRepo) { r.write(file, legacy("")); r.commit("grace") }, "is not signed by ada: it is signed with another key"},
		{"signed by somebody else with a key of OpenPGP", "ada", func(r *signedRepo) { r.write(file, legacy("")); r.commit("linus") }, "its signature is none of SSH"},
		{"signed with a key of SSH, of one who has none", "linus", func(r *signedRepo) { r.write(file, legacy("")); r.commit("ada") }, "it is signed with another key"},
		{"by one whose key nobody knows", "forge", func(r *signedRepo) { r.write(file, legacy("")); r.commit("forge") }, `no key of "forge" is known`},
		{"the rest of the file changed since", "ada", func(r *signedRepo) {
			r.write(file, legacy(""))
			r.commit("ada")
			r.write(file, "# a comment\n"+legacy("more: true\n"))
			r.commit("")
			r.write("other", "something")
			r.commit("")
		}, ""},
		{"changed later by another person", "ada", func(r *signedRepo) {
			r.write(file, "exempt: narrow\n")
			r.commit("ada")
			r.write(file, legacy(""))
			r.commit("grace")
		}, "it is signed with another key"},
		{"changed later, and changed back", "ada", func(r *signedRepo) {
			r.write(file, legacy(""))
			r.commit("ada")
			r.write(file, "exempt: wide\n")
			r.commit("grace")
			r.write(file, legacy(""))
			r.commit("grace")
		}, "it is signed with another key"},
		{"taken out, and signed anew", "ada", func(r *signedRepo) {
			r.write(file, legacy(""))
			r.commit("")
			r.write(file, "exempt: nothing\n")
			r.commit("")
			r.write(file, legacy(""))
			r.commit("ada")
		}, ""},
		{"merged by the forge", "ada", func(r *signedRepo) {
			r.run("git", "switch", "-q", "-c", "topic")
			r.write(file, legacy(""))
			r.commit("ada")
			r.run("git", "switch", "-q", "main")
			r.write("other", "meanwhile")
			r.commit("")
			r.merge("forge", "topic")
		}, ""},
		{"not signed, and merged by the forge", "ada", func(r *signedRepo) {
			r.run("git", "switch", "-q", "-c", "topic")
			r.write(file, legacy(""))
			r.commit("")
			r.run("git", "switch", "-q", "main")
			r.merge("forge", "topic")
		}, "it has no signature"},
		{"not signed, and merged by the approver, which proves nothing", "ada", func(r *signedRepo) {
			r.run("git", "switch", "-q", "-c", "topic")
			r.write(file, legacy(""))
			r.commit("")
			r.run("git", "switch", "-q", "main")
			r.merge("ada", "topic")
		}, "it has no signature"},
		{"written by the merge itself", "ada", func(r *signedRepo) {
			r.run("git", "switch", "-q", "-c", "topic")
			r.write("other", "topic")
			r.commit("ada")
			r.run("git", "switch", "-q", "main")
			r.merge("", "topic", "--no-commit")
			r.write(file, legacy(""))
			r.commit("")
		}, "it has no signature"},
		{"merged into a branch that never had it", "ada", func(r *signedRepo) {
			r.run("git", "branch", "stale")
			r.write(file, legacy(""))
			r.commit("ada")
			r.run("git", "switch", "-q", "stale")
			r.write("other", "stale")
			r.commit("")
			r.merge("", "main")
		}, ""},
		{"on two sides, of which one is not signed", "ada", func(r *signedRepo) {
			r.run("git", "branch", "topic")
			r.write(file, legacy(""))
			r.commit("ada")
			r.run("git", "switch", "-q", "topic")
			r.write(file, legacy(""))
			r.commit("")
			r.run("git", "switch", "-q", "main")
			r.merge("ada", "topic")
		}, "it has no signature"},
		{"taken out, and brought back by an old branch", "ada", func(r *signedRepo) {
			broughtBack(r, file)
			r.run("git", "switch", "-q", "main")
			r.merge("grace", "old", "-s", "ours", "--no-commit")
			r.run("git", "checkout", "old", "--", file)
			r.commit("grace")
		}, "wrote it and is not signed by ada: it is signed with another key"},
		{"brought back by an old branch that main is merged into", "ada", func(r *signedRepo) {
			broughtBack(r, file)
			r.merge("", "main", "-s", "ours")
		}, "it has no signature"},
		{"brought back so by the approver", "ada", func(r *signedRepo) {
			broughtBack(r, file)
			r.merge("ada", "main", "-s", "ours")
		}, ""},
		{"a signature of another commit", "ada", func(r *signedRepo) {
			r.commit("ada")
			signed := r.run("git", "cat-file", "commit", "HEAD")
			r.write(file, legacy(""))
			tree := r.run("git", "write-tree")
			_, after, _ := strings.Cut(signed, "\n")
			r.forge("tree " + tree + "\n" + after + "\n")
		}, "is not signed by ada: ssh: signature did not verify"},
		{"a signature of OpenPGP of another commit", "linus", func(r *signedRepo) {
			r.commit("linus")
			signed := r.run("git", "cat-file", "commit", "HEAD")
			r.write(file, legacy(""))
			tree := r.run("git", "write-tree")
			_, after, _ := strings.Cut(signed, "\n")
			r.forge("tree " + tree + "\n" + after + "\n")
		}, "is not signed by linus: openpgp: invalid signature"},
		{"a signature of a file, and not of a commit", "ada", func(r *signedRepo) {
			r.write(file, legacy(""))
			text := "tree " + r.run("git", "write-tree") + "\nparent " + r.run("git", "rev-parse", "HEAD") +
				"\nauthor Ada <ada@example.com> 1764000000 +0000\ncommitter Ada <ada@example.com> 1764000000 +0000\n"
			unsigned := filepath.Join(r.keys, "commit")
			check(r.t, os.WriteFile(unsigned, []byte(text+"\nmessage\n"), 0o600))
			r.run("ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", filepath.Join(r.keys, "ada"), unsigned)
			signature, err := os.ReadFile(unsigned + ".sig")
			check(r.t, err)
			r.forge(text + "gpgsig " + strings.ReplaceAll(strings.TrimSpace(string(signature)), "\n", "\n ") + "\n\nmessage\n")
		}, `its signature is for "file" and not for git`},
		{"what is no signature", "ada", func(r *signedRepo) {
			r.write(file, legacy(""))
			r.forge("tree " + r.run("git", "write-tree") + "\nparent " + r.run("git", "rev-parse", "HEAD") +
				"\nauthor Ada <ada@example.com> 1764000000 +0000\ncommitter Ada <ada@example.com> 1764000000 +0000\n" +
				"gpgsig -----BEGIN SSH SIGNATURE-----\n U1NIU0lH\n -----END SSH SIGNATURE-----\n\nmessage\n")
		}, "its signature cannot be read"},
		{"a folder of that name", "ada", func(r *signedRepo) { r.write(file+"/a", legacy("")); r.commit("ada") }, "it is not in the commit"},
		{"not there any more", "ada", func(r *signedRepo) {
			r.write(file, legacy(""))
			r.commit("ada")
			r.write(file, "")
			r.commit("ada")
		}, "it is not in the commit"},
		{"in a file that moved", "ada", func(r *signedRepo) {
			r.write("prod.yaml", legacy(""))
			r.commit("ada")
			check(r.t, os.Mkdir(filepath.Join(r.dir, "clusters"), 0o700))
			r.run("git", "mv", "prod.yaml", file)
			r.commit("")
		}, "it has no signature"},
	}
	base := newSignedRepo(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &signedRepo{t: t, dir: filepath.Join(t.TempDir(), "clone"), keys: base.keys, signers: base.signers}
			check(t, os.CopyFS(r.dir, os.DirFS(base.dir)))
			tt.make(r)
			s, _ := open(t, r.dir, gitsource.Options{})
			why, err := gitsource.Signed{Source: s, Signers: r.signers}.Unapproved(t.Context(), passage(tt.approver, r.run("git", "rev-parse", "HEAD")))
			if err != nil || tt.want == "" && why != "" || !strings.Contains(why, tt.want) {
				t.Errorf("unapproved because %q (%v), want %q\n%s", why, err, tt.want, r.run("git", "log", "--graph", "--oneline"))
			}
		})
	}
}

// broughtBack makes main take out what the branch old, which is checked out,
// still has.
func broughtBack(r *signedRepo, file string) {
	r.write(file, legacy(""))
	r.commit("ada")
	r.run("git", "branch", "old")
	r.write(file, "exempt: nothing\n")
	r.commit("ada")
	r.run("git", "switch", "-q", "old")
	r.write("other", "old")
	r.commit("")
}

// forge makes HEAD a commit of these bytes.
func (r *signedRepo) forge(commit string) {
	r.t.Helper()
	r.run("git", "update-ref", "HEAD", git(r.t, r.dir, commit, "hash-object", "-t", "commit", "-w", "--stdin"))
}

func TestTheHistoryOfAServerIsReadAndThenWhatIsNew(t *testing.T) {
	r := newSignedRepo(t)
	o := newOrigin(t, nil)
	push := func() string {
		r.run("git", "push", "-q", filepath.Join(o.Root, repoName), "+HEAD:refs/heads/main")
		return r.run("git", "rev-parse", "HEAD")
	}
	s, _ := open(t, o.url, gitsource.Options{Branch: "main"})
	signed := gitsource.Signed{Source: s, Signers: r.signers, Root: "clusters"}
	ask := func(commit, want string) {
		t.Helper()
		p := passage("ada", commit)
		p.File = "prod.yaml"
		why, err := signed.Unapproved(t.Context(), p)
		if err != nil || want == "" && why != "" || !strings.Contains(why, want) {
			t.Errorf("unapproved because %q (%v), want %q", why, err, want)
		}
	}
	ask(push(), "it is not in the commit")
	for range 20 {
		r.write("clusters/prod.yaml", "exempt: little\n")
		r.commit("")
		r.write("clusters/prod.yaml", legacy(""))
		r.commit("ada")
		ask(push(), "")
		r.write("clusters/prod.yaml", "exempt: nothing\n")
		r.commit("")
		r.write("clusters/prod.yaml", legacy(""))
		r.commit("grace")
		ask(push(), "it is signed with another key")
	}
	last := r.run("git", "rev-parse", "HEAD")
	r.run("git", "reset", "-q", "--hard", "HEAD~2") // a forced push
	ask(push(), "")
	o.http.Close()
	ask(r.run("git", "rev-parse", "HEAD"), "") // is at hand
	if _, err := signed.Unapproved(t.Context(), passage("ada", last)); err == nil {
		t.Error("a history that cannot be read approves")
	}
}

func TestWhatIsNotCommittedOrNotThereApprovesNothing(t *testing.T) {
	r := newSignedRepo(t)
	r.write("clusters/prod.yaml", legacy(""))
	r.commit("ada")
	r.write("other", "later")
	r.commit("")
	s, _ := open(t, r.dir, gitsource.Options{Worktree: true})
	why, err := gitsource.Signed{Source: s, Signers: r.signers}.Unapproved(t.Context(), passage("ada", ""))
	if why != "it is not committed" || err != nil {
		t.Errorf("unapproved because %q, %v", why, err)
	}
	shallow := filepath.Join(t.TempDir(), "shallow")
	r.run("git", "clone", "-q", "--depth=1", "file://"+r.dir, shallow)
	s, _ = open(t, shallow, gitsource.Options{})
	_, err = gitsource.Signed{Source: s, Signers: r.signers}.Unapproved(t.Context(), passage("ada", r.run("git", "rev-parse", "HEAD")))
	fails(t, err, nil, "read the history of", "git fetch --unshallow")
}

func TestReadSignersRefusesWhatItDoesNotUnderstand(t *testing.T) {
	r := newSignedRepo(t)
	public, err := os.ReadFile(filepath.Join(r.keys, "ada.pub"))
	check(t, err)
	key := string(public)
	tests := []struct{ name, file, text, want, hint string }{
		{"nothing", "", "", "there are no keys", "NAME.pub"},
		{"another file", "README.md", "keys", "read README.md: it is no file of keys by its name", "NAME.asc"},
		{"nobody's", ".pub", key, "there are no keys", ""},
		{"a private key", "ada.pub", "-----BEGIN OPENSSH PRIVATE KEY-----\n", "read ada.pub: it holds what is no SSH key", ""},
		{"a line that is none", "ada.pub", key + "ssh-ed25519 AAAA\n", "it holds what is no SSH key", ""},
		{"an empty file", "ada.pub", "\n", "it holds no SSH key", ""},
		{"an option", "ada.pub", "cert-authority " + key, `a key has the option "cert-authority"`, ""},
		{"a key of two", "ada.pub", key, "is also of ", ""},
		{"no OpenPGP", "ada.asc", key, "read ada.asc: it holds no OpenPGP key in ASCII armor", "gpg --armor"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			folder := files()
			if tt.file != "" {
				folder[tt.file] = &fstest.MapFile{Data: []byte(tt.text)}
			}
			if tt.name == "a key of two" {
				folder["grace.pub"] = folder["ada.pub"]
			}
			_, err := gitsource.ReadSigners(folder)
			fails(t, err, nil, tt.want, tt.hint)
		})
	}
	if all, err := gitsource.ReadSigners(files("ada.pub", "# mine\n"+key+"\n", ".gitignore", "x")); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := gitsource.ReadSigners(os.DirFS(filepath.Join(r.keys, "nowhere"))); err == nil {
		t.Error("a folder that is not there is read")
	}
}
