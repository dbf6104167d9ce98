package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/cloudcwfranck/kspec"
)

// local reads commits of a clone on this machine.
type local struct {
	dir      string
	branch   string
	revision string
	limits   Limits
}

// newLocal returns the reader of the clone that path lies in.
func newLocal(path string, o Options) (reader, error) {
	dir, err := findClone(path)
	if err != nil {
		return nil, err
	}
	l := &local{dir: dir, branch: o.Branch, revision: o.Revision, limits: o.Limits.withDefaults()}
	if _, err := l.open(); err != nil || !o.Worktree {
		return l, err
	}
	if !exists(filepath.Join(dir, ".git")) {
		return nil, kspec.WithHint(fmt.Errorf("worktree: %s is a bare repository", printable(dir)), "give the path of a clone with files, or read a commit")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("worktree: %w", err)
	}
	return &worktree{local: l, root: root}, nil
}

// findClone looks for a repository at path and above it, as git does.
func findClone(path string) (string, error) {
	if _, err := os.Stat(path); err != nil {
		return "", kspec.WithHint(fmt.Errorf("repository: %w", err), addressHint)
	}
	for dir := path; ; dir = filepath.Dir(dir) {
		if exists(filepath.Join(dir, ".git")) || bare(dir) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", kspec.WithHint(fmt.Errorf("repository: %s is not in a Git repository", printable(path)),
				"run git init and commit what is there, or give another path")
		}
	}
}

func bare(dir string) bool {
	return exists(filepath.Join(dir, "HEAD")) && exists(filepath.Join(dir, "objects")) && exists(filepath.Join(dir, "refs"))
}

// open opens the clone anew each time, because git may have packed and moved
// its objects since.
func (l *local) open() (*git.Repository, error) {
	repo, err := git.PlainOpenWithOptions(l.dir, &git.PlainOpenOptions{EnableDotGitCommonDir: true})
	if err != nil {
		return nil, kspec.WithHint(fmt.Errorf("open %s: %w", printable(l.dir), err),
			"repositories with SHA-256 names or reftables cannot be read; clone it anew in the usual format")
	}
	stored, ok := repo.Storer.(*filesystem.Storage)
	if !ok {
		return repo, nil
	}
	// A clone that borrows objects of another names its folder by an absolute path.
	return git.Open(filesystem.NewStorageWithOptions(stored.Filesystem(), cache.NewObjectLRU(16*cache.MiByte),
		filesystem.Options{AlternatesFS: osfs.New("/"), KeepDescriptors: true}), nil)
}

func (l *local) head(context.Context) (*snapshot, string, error) {
	repo, err := l.open()
	if err != nil {
		return nil, "", err
	}
	branch, h, err := l.resolve(repo)
	if err != nil {
		return nil, "", err
	}
	s, err := l.snapshot(repo, h)
	return s, branch, err
}

func (l *local) at(_ context.Context, h plumbing.Hash) (*snapshot, error) {
	repo, err := l.open()
	if err != nil {
		return nil, err
	}
	return l.snapshot(repo, h)
}

func (l *local) history(context.Context, plumbing.Hash) (chain, error) {
	repo, err := l.open()
	if err != nil {
		return nil, err
	}
	return chain{{s: repo.Storer}}, nil
}

func (l *local) snapshot(repo *git.Repository, h plumbing.Hash) (*snapshot, error) {
	s, err := chain{{s: repo.Storer}}.snapshot(h, l.limits, nil)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, kspec.WithHint(fmt.Errorf("%w: %w", ErrNoRevision, err),
			"the clone lacks this commit or a part of it; fetch it, or use a clone that is not partial")
	}
	return s, err
}

// resolve finds the commit that is asked for.
func (l *local) resolve(repo *git.Repository) (branch string, h plumbing.Hash, err error) {
	if l.revision != "" {
		found, err := repo.ResolveRevision(plumbing.Revision(l.revision))
		if err != nil {
			return "", h, noRevision(l.revision, localRefs(repo))
		}
		return l.branch, *found, nil
	}
	if l.branch != "" {
		for _, name := range []string{"refs/heads/", "refs/remotes/origin/"} {
			if ref, err := repo.Reference(plumbing.ReferenceName(name+l.branch), true); err == nil {
				return l.branch, ref.Hash(), nil
			}
		}
		return "", h, noBranch(l.branch, localRefs(repo))
	}
	ref, err := repo.Head()
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return "", h, kspec.WithHint(fmt.Errorf("%w: HEAD has no commit", ErrEmpty), "commit what is there, or read it with --worktree")
	}
	if err != nil {
		return "", h, err
	}
	if ref.Name().IsBranch() {
		branch = ref.Name().Short()
	}
	return branch, ref.Hash(), nil
}

// localRefs returns the refs of the clone, for hints.
func localRefs(repo *git.Repository) map[string]struct{} {
	refs := map[string]struct{}{}
	if all, err := repo.References(); err == nil {
		_ = all.ForEach(func(r *plumbing.Reference) error {
			refs[r.Name().String()] = struct{}{}
			return nil
		})
	}
	return refs
}

// worktree reads the files of a clone from disk.
type worktree struct {
	*local
	root *os.Root
}

// at refuses: what is on disk is of no commit.
func (w *worktree) at(_ context.Context, h plumbing.Hash) (*snapshot, error) {
	return nil, fmt.Errorf("%w: %s is asked of a worktree", ErrNoRevision, h)
}

// head lists the files that git would commit by "git add --all".
func (w *worktree) head(ctx context.Context) (*snapshot, string, error) {
	repo, err := w.open()
	if err != nil {
		return nil, "", err
	}
	tracked, err := tracked(repo)
	if err != nil {
		return nil, "", err
	}
	patterns, _ := gitignore.LoadGlobalPatterns(osfs.New("/"))
	l := &lister{ctx: ctx, root: w.root, tracked: tracked, builder: newBuilder(w.limits)}
	patterns = append(patterns, l.ignoreFile(".git/info/exclude", nil)...)
	if err := l.list(".", patterns, false); err != nil {
		return nil, "", err
	}
	return &snapshot{fs: l.fs(time.Time{}, w.readFile)}, "", nil
}

// tracked returns the paths in the index and the folders they lie in.
func tracked(repo *git.Repository) (map[string]bool, error) {
	index, err := repo.Storer.Index()
	if err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	paths := map[string]bool{}
	for _, e := range index.Entries {
		for p := e.Name; p != "." && !paths[p]; p = filepath.ToSlash(filepath.Dir(p)) {
			paths[p] = true
		}
	}
	return paths, nil
}

// readFile reads a file on disk; it may have changed since it was listed.
func (w *worktree) readFile(path string, _ *node) ([]byte, error) {
	info, err := w.root.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, ErrSymlink
	}
	f, err := w.root.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, w.limits.FileBytes+1))
	if err == nil && int64(len(b)) > w.limits.FileBytes {
		err = &LimitError{Limit: "FileBytes", Max: w.limits.FileBytes}
	}
	return b, err
}

// lister walks a worktree.
type lister struct {
	ctx     context.Context //nolint:containedctx // a lister lives for one call
	root    *os.Root
	tracked map[string]bool
	*builder
}

// list adds what lies in dir. Below an ignored folder only tracked files count.
func (l *lister) list(dir string, patterns []gitignore.Pattern, ignored bool) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	entries, err := fs.ReadDir(l.root.FS(), dir)
	if err != nil {
		return err
	}
	var domain []string
	if dir != "." {
		domain = strings.Split(dir, "/")
	}
	patterns = slices.Concat(patterns, l.ignoreFile(join(dir, ".gitignore"), domain))
	matcher := gitignore.NewMatcher(patterns)
	for _, e := range entries {
		path := join(dir, e.Name())
		hide := ignored || matcher.Match(append(slices.Clip(domain), e.Name()), e.IsDir())
		if isDotGit(e.Name()) || hide && !l.tracked[path] {
			continue
		}
		if err := l.entry(dir, e, patterns, hide); err != nil {
			return err
		}
	}
	l.done(dir)
	return nil
}

func (l *lister) entry(dir string, e fs.DirEntry, patterns []gitignore.Pattern, hide bool) error {
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // gone since it was listed
	}
	if err != nil {
		return err
	}
	n := &node{name: e.Name(), mode: info.Mode()}
	path := join(dir, e.Name())
	switch {
	case e.Type()&fs.ModeSymlink != 0:
		n.refused = ErrSymlink
	case e.IsDir():
		n.mode = fs.ModeDir | 0o555
		if _, err := l.root.Lstat(join(path, ".git")); err == nil {
			n.mode, n.refused = fs.ModeIrregular, ErrSubmodule
		}
	case e.Type().IsRegular():
		n.mode, n.size = 0o444, info.Size()
	default:
		return nil // sockets and the like, which git does not see either
	}
	path, err = l.add(dir, n)
	if err != nil || !n.mode.IsDir() {
		return err
	}
	if err := l.list(path, patterns, hide); err != nil {
		return err
	}
	if len(n.children) == 0 { // Git knows no empty folders
		parent := l.nodes[dir]
		parent.children = parent.children[:len(parent.children)-1]
		delete(l.nodes, path)
	}
	return nil
}

// ignoreFile reads the patterns of one file; there need not be one.
func (l *lister) ignoreFile(path string, domain []string) (patterns []gitignore.Pattern) {
	b, err := l.root.ReadFile(path)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
			patterns = append(patterns, gitignore.ParsePattern(line, domain))
		}
	}
	return patterns
}
