// Package gitsource reads the config repo: it hands out one commit of a Git
// repository as a read-only tree, and checks nothing out.
//
// A [Source] is a repository on a server (https or ssh) or a clone on this
// machine. [Source.Head] says where the branch is and gives the tree of its
// commit; [Source.Fetch] gives the tree that a target was read from, without
// asking the server again. A server is asked for one commit without its
// history, and after that only for what is new.
//
// [Signed] reads the history as well, and says whether what stands in a file
// was written by somebody who signed it.
//
// # What can be trusted
//
// The content of a repository is written by whoever can push, so the tree is
// built to be read without care. Every object is named by the hash of its
// content. Symbolic links and submodules are listed and refused when opened,
// so that one in a corner does not stop the rest. So are names with control
// characters in them. A commit with an entry that no Git would make, such as
// ".." or ".git" in any spelling, is refused whole. [Limits] bound the sizes
// of everything, before it is unpacked.
//
// Credentials go to the host of the URL and nowhere else: never in a URL,
// never to the target of a redirect, never into an error or a log.
//
// Why it is built like this is told in docs/decisions/0002-go-git.md.
package gitsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/cloudcwfranck/kspec"
)

// Options say what of a repository is read, and how. The zero value reads the
// default branch without credentials into memory.
type Options struct {
	// Branch is the branch to follow; empty means the server's default, or
	// what a local clone has checked out.
	Branch string
	// Revision names a commit, a tag or another branch to read instead of the
	// head of Branch. A commit of a server needs all its 40 digits; a local
	// clone understands what git rev-parse does.
	Revision string
	// Worktree reads the files of a local clone as they are on disk, committed
	// or not, without those that Git ignores.
	Worktree bool
	// CacheDir is a folder in which fetched commits outlive the process;
	// processes may share it. Empty means memory.
	CacheDir string
	Auth     Auth
	Limits   Limits
	// Timeout bounds each call that asks the server. Zero means a minute.
	Timeout time.Duration
	// OnRewrite is asked before a branch is followed whose history was
	// rewritten by a forced push; an error keeps Head from following and is
	// returned by it, again and again until the branch is put back or another
	// Source is made. Nil follows. A warning is logged in any case.
	OnRewrite func(*Rewrite) error
	// Log gets what is worth knowing but no error. Nil means slog.Default.
	Log *slog.Logger
}

// Auth holds the credentials for a server. Those that the URL has no use for
// are ignored.
type Auth struct {
	// Username goes with Token; most forges look at the token alone.
	Username string
	// Token is the password over https.
	Token kspec.Secret
	// SSHKey is a private key in PEM or OpenSSH form, required for ssh.
	SSHKey        kspec.Secret
	SSHPassphrase kspec.Secret
	// KnownHosts are lines of a known_hosts file, required for ssh.
	KnownHosts []byte
	// CABundle holds certificates in PEM form that are trusted besides those
	// of the system.
	CABundle []byte
}

// Source is one repository. It is safe for concurrent use; calls that need the
// server wait for each other.
type Source struct {
	repo    address
	auth    Auth
	timeout time.Duration
	limits  Limits
	reader  reader
	turn    chan struct{} // holds one value while someone reads

	mu     sync.Mutex
	branch string
	recent []*snapshot // last used last
}

// reader is one way to read a repository; it is used by one call at a time.
type reader interface {
	// head returns the commit that the options name, and its branch.
	head(ctx context.Context) (*snapshot, string, error)
	// at returns a commit.
	at(ctx context.Context, h plumbing.Hash) (*snapshot, error)
	// history returns a store of a commit and all that came before it.
	history(ctx context.Context, h plumbing.Hash) (chain, error)
}

var _ kspec.Fetcher = (*Source)(nil)

// maxRecent is how many commits a Source holds ready.
const maxRecent = 8

// New checks repo and options and returns the source. It does not ask the
// server yet. repo is an https or ssh URL, git@host:path, or a path in a local
// clone; plain http is for servers on this machine only.
func New(repo string, o Options) (*Source, error) {
	a, err := parseAddress(repo)
	if err != nil {
		return nil, err
	}
	if err := o.check(a); err != nil {
		return nil, err
	}
	s := &Source{
		repo: a, auth: o.Auth, timeout: cmp.Or(o.Timeout, time.Minute), limits: o.Limits.withDefaults(),
		turn: make(chan struct{}, 1), branch: o.Branch,
	}
	o.Log = cmp.Or(o.Log, slog.Default()).With("repo", a.String())
	if a.scheme == "" {
		s.reader, err = newLocal(a.path, o)
	} else {
		s.reader, err = s.newRemote(o)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (o Options) check(a address) error {
	if o.Branch != "" && plumbing.NewBranchReferenceName(o.Branch).Validate() != nil {
		return fmt.Errorf("branch \"%s\": no branch can have this name", printable(o.Branch))
	}
	if odd(o.Revision) || o.Revision != "" && o.Revision[0] == '-' {
		return fmt.Errorf("revision \"%s\": no revision can have this name", printable(o.Revision))
	}
	switch {
	case o.Worktree && a.scheme != "":
		return kspec.WithHint(errors.New("worktree: "+a.String()+" is not a local clone"), "give the path of a clone, or read a commit")
	case o.Worktree && (o.Revision != "" || o.Branch != ""):
		return kspec.WithHint(errors.New("worktree: a branch or revision is named as well"), "the files on disk are of no revision; choose one or the other")
	}
	return nil
}

func (s *Source) newRemote(o Options) (reader, error) {
	limits := o.Limits.withDefaults()
	var dial dialer
	var err error
	if s.repo.scheme == "ssh" {
		dial, err = newSSH(s.repo, o.Auth)
	} else {
		dial, err = newHTTP(s.repo, o.Auth, limits)
	}
	if err != nil {
		return nil, err
	}
	var st store = inMemory{}
	if o.CacheDir != "" {
		if st, err = newOnDisk(o.CacheDir, s.repo); err != nil {
			return nil, err
		}
	}
	return &remote{
		dial: dial, branch: o.Branch, revision: o.Revision, limits: limits, store: st, log: o.Log,
		known: s.known, last: map[string]*snapshot{},
		rewrite: func(ctx context.Context, r *Rewrite) error {
			o.Log.WarnContext(ctx, "history was rewritten", "branch", r.Branch, "from", r.From, "to", r.To)
			if o.OnRewrite == nil {
				return nil
			}
			return o.OnRewrite(r)
		},
	}, nil
}

// Head returns the tree that the options name as it is now: it asks the server
// where the branch is, and fetches only what it does not have. The last good
// tree stays available from [Source.Fetch] when it fails.
func (s *Source) Head(ctx context.Context) (kspec.Tree, error) {
	return s.read(ctx, func(ctx context.Context) (*snapshot, string, error) { return s.reader.head(ctx) })
}

// Fetch implements [kspec.Fetcher]: it returns the tree at the revision of t,
// from the store when it is there. A worktree is read anew.
func (s *Source) Fetch(ctx context.Context, t kspec.Target) (kspec.Tree, error) {
	commit := t.Revision.Commit
	if commit == "" {
		if _, ok := s.reader.(*worktree); ok {
			return s.Head(ctx)
		}
		return kspec.Tree{}, fmt.Errorf("read %s: target %s names no commit", s.repo, t.Name)
	}
	if !plumbing.IsHash(commit) {
		return kspec.Tree{}, fmt.Errorf("read %s: \"%s\" is no commit", s.repo, printable(commit))
	}
	h := plumbing.NewHash(commit)
	if found := s.known(h); found != nil {
		return found.tree(t.Revision.Branch), nil
	}
	return s.read(ctx, func(ctx context.Context) (*snapshot, string, error) {
		if found := s.known(h); found != nil {
			return found, t.Revision.Branch, nil
		}
		found, err := s.reader.at(ctx, h)
		return found, t.Revision.Branch, err
	})
}

// Branch returns the branch that is followed. Before the first Head it is what
// the options say; after it, the default branch has its name.
func (s *Source) Branch() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.branch
}

// Dir returns the folder of the clone that is read, and "" for a repository on
// a server.
func (s *Source) Dir() string {
	switch r := s.reader.(type) {
	case *local:
		return r.dir
	case *worktree:
		return r.dir
	default:
		return ""
	}
}

// String returns the address of the repository, without credentials.
func (s *Source) String() string { return s.repo.String() }

// Close lets go of what is open. Trees that were handed out must not be read
// any more.
func (s *Source) Close() error {
	if w, ok := s.reader.(*worktree); ok {
		return w.root.Close()
	}
	return nil
}

// history returns a store of a commit and all that came before it.
func (s *Source) history(ctx context.Context, h plumbing.Hash) (objects chain, err error) {
	err = s.inTurn(ctx, func(ctx context.Context) error {
		objects, err = s.reader.history(ctx, h)
		return err
	})
	return objects, err
}

// read reads a commit when it is its turn.
func (s *Source) read(ctx context.Context, f func(context.Context) (*snapshot, string, error)) (kspec.Tree, error) {
	var found *snapshot
	var branch string
	err := s.inTurn(ctx, func(ctx context.Context) (err error) {
		found, branch, err = f(ctx)
		return err
	})
	if err != nil {
		return kspec.Tree{}, err
	}
	s.remember(found, branch)
	return found.tree(branch), nil
}

// inTurn runs f when it is its turn, within the timeout.
func (s *Source) inTurn(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, ErrTimeout)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return explain(context.Cause(ctx), s.repo, s.auth, s.timeout)
	}
	err := f(ctx)
	if err == nil {
		return nil
	}
	// Some libraries say only that reading failed, when it was the time.
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return explain(err, s.repo, s.auth, s.timeout)
}

// known returns the commit h if it is at hand.
func (s *Source) known(h plumbing.Hash) *snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.recent {
		if r.commit == h {
			return r
		}
	}
	return nil
}

// remember keeps the commit at hand, and lets go of the one that was not used
// for longest.
func (s *Source) remember(found *snapshot, branch string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.branch = cmp.Or(branch, s.branch)
	if found.commit.IsZero() {
		return
	}
	s.recent = slices.DeleteFunc(s.recent, func(r *snapshot) bool { return r.commit == found.commit })
	if s.recent = append(s.recent, found); len(s.recent) > maxRecent {
		s.recent = slices.Clone(s.recent[1:])
	}
}

func (s *snapshot) tree(branch string) kspec.Tree {
	rev := kspec.Revision{Branch: branch, Time: s.fs.time}
	if !s.commit.IsZero() {
		rev.Commit = s.commit.String()
	}
	return kspec.Tree{Revision: rev, FS: s.fs}
}
