package gitsource

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/cloudcwfranck/kspec"
)

// Signed proves approvals by who signed the commits of a repository. A passage
// is approved when every commit that wrote it as it stands is signed by its
// approver. A commit wrote it when it has it and none of its parents does, or
// when it is a merge that brings back what was taken out on one of its sides.
// Other merges, and whoever signed them, say nothing.
type Signed struct {
	Source  *Source
	Signers Signers
	// Root is the folder of the repository that the files of passages are
	// relative to; empty is all of it.
	Root string
}

var _ kspec.Approvals = Signed{}

// maxPast is how many commits the history of a repository may have.
const maxPast = 200_000

// Unapproved implements [kspec.Approvals]. It reads the whole history, which
// a clone must hold and of which a server is asked only what is new.
func (s Signed) Unapproved(ctx context.Context, p kspec.Passage) (string, error) {
	by, ok := s.Signers[p.Approver]
	switch {
	case !ok:
		return fmt.Sprintf("no key of %q is known", p.Approver), nil
	case !plumbing.IsHash(p.Revision.Commit):
		return "it is not committed", nil
	}
	head := plumbing.NewHash(p.Revision.Commit)
	objects, err := s.Source.history(ctx, head)
	if err != nil {
		return "", err
	}
	past := &past{
		chain: objects, passage: p, path: strings.Split(path.Join(s.Root, p.File), "/"), by: by,
		limit: s.Source.limits.FileBytes, files: map[plumbing.Hash]plumbing.Hash{}, holding: map[plumbing.Hash]bool{},
	}
	at, err := past.of(ctx, head)
	switch {
	case errors.Is(err, plumbing.ErrObjectNotFound):
		return "", kspec.WithHint(fmt.Errorf("read the history of %s: %w", s.Source, err), "fetch all of it into the clone: git fetch --unshallow")
	case err != nil:
		return "", fmt.Errorf("read the history of %s: %w", s.Source, err)
	case !at.holds:
		return "it is not in the commit", nil
	default:
		return at.why, nil
	}
}

// past judges the commits of a history.
type past struct {
	chain
	passage kspec.Passage
	path    []string
	by      signer
	limit   int64
	// files are the blobs at path by the root tree, and holding whether a blob
	// holds the passage.
	files   map[plumbing.Hash]plumbing.Hash
	holding map[plumbing.Hash]bool
}

// standing is what is known of the passage at a commit.
type standing struct {
	// holds is true when it is there, and ever when it was, at some time.
	holds, ever bool
	// why it is not approved, when it is there.
	why string
}

// of judges a commit, after all that came before it.
func (p *past) of(ctx context.Context, head plumbing.Hash) (standing, error) {
	known := map[plumbing.Hash]standing{}
	for todo := []plumbing.Hash{head}; len(todo) > 0; {
		if err := ctx.Err(); err != nil {
			return standing{}, err
		}
		if len(known)+len(todo) > maxPast {
			return standing{}, &LimitError{Limit: "commits", Max: maxPast}
		}
		h := todo[len(todo)-1]
		if _, ok := known[h]; ok {
			todo = todo[:len(todo)-1]
			continue
		}
		var c object.Commit
		if err := p.decode(h, plumbing.CommitObject, &c); err != nil {
			return standing{}, err
		}
		var before []standing
		for _, parent := range c.ParentHashes {
			if s, ok := known[parent]; ok {
				before = append(before, s)
			} else {
				todo = append(todo, parent)
			}
		}
		if len(before) < len(c.ParentHashes) {
			continue
		}
		s, err := p.judge(&c, before)
		if err != nil {
			return standing{}, err
		}
		known[h], todo = s, todo[:len(todo)-1]
	}
	return known[head], nil
}

// judge judges a commit by its parents.
func (p *past) judge(c *object.Commit, before []standing) (standing, error) {
	holds, err := p.held(c.TreeHash)
	if err != nil {
		return standing{}, err
	}
	is := standing{holds: holds, ever: holds}
	var carried, takenOut bool
	for _, b := range before {
		is.ever = is.ever || b.ever
		carried = carried || b.holds
		takenOut = takenOut || b.ever && !b.holds
	}
	if !holds {
		return is, nil
	}
	if !carried || takenOut {
		if err := p.by.signed(c); err != nil {
			is.why = fmt.Sprintf("commit %.12s wrote it and is not signed by %s: %v", c.Hash, p.passage.Approver, err)
		}
		return is, nil
	}
	for _, b := range before {
		if is.why == "" {
			is.why = b.why
		}
	}
	return is, nil
}

// held reports whether the file in a root tree holds the passage.
func (p *past) held(root plumbing.Hash) (bool, error) {
	blob, ok := p.files[root]
	if !ok {
		var err error
		if blob, err = p.file(root); err != nil {
			return false, err
		}
		p.files[root] = blob
	}
	holds, ok := p.holding[blob]
	if ok || blob.IsZero() {
		return holds, nil
	}
	size, err := p.size(blob)
	if err == nil && size <= p.limit {
		var text []byte
		text, err = p.read(blob)
		holds = err == nil && p.passage.In(text)
	}
	p.holding[blob] = holds
	return holds, err
}

// file returns the blob at the path below a root tree, the zero Hash when
// there is no file.
func (p *past) file(root plumbing.Hash) (plumbing.Hash, error) {
	at := root
	for i, name := range p.path {
		var tree object.Tree
		if err := p.decode(at, plumbing.TreeObject, &tree); err != nil {
			return plumbing.ZeroHash, err
		}
		at = plumbing.ZeroHash
		for _, e := range tree.Entries {
			isDir := e.Mode == filemode.Dir
			isFile := e.Mode == filemode.Regular || e.Mode == filemode.Executable || e.Mode == filemode.Deprecated
			if last := i == len(p.path)-1; e.Name == name && (isDir && !last || isFile && last) {
				at = e.Hash
			}
		}
		if at.IsZero() {
			break
		}
	}
	return at, nil
}
