package remediate

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/cloudcwfranck/kspec"
)

// aligned is what became of a branch: its commit, or the action that ended the
// try, and why.
type aligned struct {
	commit string
	pushed bool
	action kspec.Action
	why    string
}

// align makes the branch hold the base as it is now with the edits of the plan.
// A branch that is there gets a commit on top; when the base has moved, that
// commit has the base as its second parent, which is a merge in which the plan
// says what every file becomes. A branch with the commit of somebody else is
// frozen.
func (c *change) align(ctx context.Context, head string) (aligned, error) {
	if err := checkPaths(c.plan.Edits); err != nil {
		return aligned{}, err
	}
	refs, err := c.r.repo.refs(ctx)
	if err != nil {
		return aligned{}, err
	}
	base, tip := refs[c.plan.Base], refs[head]
	if base.IsZero() {
		return aligned{action: kspec.ActionBlocked, why: fmt.Sprintf("there is no branch %s", c.plan.Base)}, nil
	}
	if _, ok := refs["kspec"]; ok {
		return aligned{action: kspec.ActionBlocked, why: "a branch named kspec is in the way of branches below kspec/: rename it"}, nil
	}
	wants := []plumbing.Hash{base}
	if !tip.IsZero() && tip != base {
		wants = append(wants, tip)
	}
	store, err := c.r.repo.fetch(ctx, wants...)
	if err != nil {
		return aligned{}, err
	}
	if res, err := c.fits(store, base); err != nil || res.action != "" {
		return res, err
	}
	parents := []plumbing.Hash{base}
	if !tip.IsZero() {
		mine, err := c.made(store, tip)
		if err != nil || !mine {
			return aligned{action: kspec.ActionFrozen, why: "somebody else pushed to " + head}, err
		}
		_, message, err := messageOf(store, tip)
		if err != nil {
			return aligned{}, err
		}
		said := trailers(message)
		if said[trailerContent] == contentOf(c.plan.Edits) {
			return aligned{commit: tip.String()}, nil
		}
		parents = []plumbing.Hash{tip}
		if said[trailerBase] != base.String() {
			parents = append(parents, base)
		}
	}
	made, err := c.r.repo.commit(store, base, parents, c.plan.Edits, c.plan.Commit+trailerBase+": "+base.String()+"\n")
	if err != nil {
		return aligned{}, fmt.Errorf("make the commit: %w", err)
	}
	c.r.o.Step("push")
	switch err := c.r.repo.push(ctx, head, tip, made); {
	case errors.Is(err, errMoved):
		return aligned{action: kspec.ActionWaiting, why: "somebody else was faster; kspec looks again"}, nil
	case err != nil:
		return aligned{}, err
	}
	return aligned{commit: made.hash.String(), pushed: true}, nil
}

// fits checks that the base still holds the files as the plan found them.
func (c *change) fits(store *memory.Storage, base plumbing.Hash) (aligned, error) {
	done := 0
	for _, e := range c.plan.Edits {
		have, err := blobAt(store, base, e.Path)
		switch {
		case err != nil:
			return aligned{}, err
		case have == blobID(e.Before):
		case have == blobID(e.After):
			done++
		default:
			return aligned{
				action: kspec.ActionWaiting,
				why:    fmt.Sprintf("%s has changed on %s since %s; kspec looks again", e.Path, c.plan.Base, c.plan.Revision),
			}, nil
		}
	}
	if done == len(c.plan.Edits) {
		return aligned{action: kspec.ActionNone, why: c.plan.Base + " says so already; kspec looks again"}, nil
	}
	return aligned{}, nil
}

// made reports whether kspec made the commit, for this target.
func (c *change) made(store *memory.Storage, at plumbing.Hash) (bool, error) {
	email, message, err := messageOf(store, at)
	return email == c.r.repo.author.Email && trailers(message)[trailerTarget] == plainText(c.in.Target.Name), err
}
