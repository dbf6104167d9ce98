package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/cloudcwfranck/kspec"
)

// Fetching asks for one commit at depth 1: its tree and nothing before it. When
// an earlier commit is at hand the server is told so and leaves out what that
// one has. The answer is unpacked into a layer of its own, on top of those of
// the earlier commit; nothing that a server names is ever used as the name of
// a file or ref, and nothing that is fetched is ever merged into what was
// there. A commit counts only when all of its tree is there; should a server
// have left out too much, it is fetched again from nothing.

const (
	// maxLayers is how many fetches may build on each other before the next
	// one starts anew, so that what old commits left behind is let go.
	maxLayers = 16
	// maxCommits is how far back the search for an ancestor goes.
	maxCommits = 1000
)

// dialer opens a session with the server.
type dialer func(context.Context) (transport.UploadPackSession, error)

// remote is a repository on a server.
type remote struct {
	dial     dialer
	branch   string // what was asked for; empty for the default
	revision string
	limits   Limits
	store    store
	known    func(plumbing.Hash) *snapshot
	rewrite  func(context.Context, *Rewrite) error
	log      *slog.Logger

	last    map[string]*snapshot // by branch
	pending *snapshot            // fetched, and perhaps not followed
	past    fetched              // the last history, if anybody asked for one
}

// fetched is a commit with all that came before it.
type fetched struct {
	commit plumbing.Hash
	chain  chain
}

// open dials the server and hears what it has.
func (r *remote) open(ctx context.Context) (transport.UploadPackSession, *packp.AdvRefs, error) {
	session, err := r.dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	refs, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		_ = session.Close() // what it said counts
		return nil, nil, err
	}
	return session, refs, nil
}

// head asks the server for the commit of the branch, and fetches it unless it
// is known.
func (r *remote) head(ctx context.Context) (*snapshot, string, error) {
	if plumbing.IsHash(r.revision) { // which can never move
		if s := r.known(plumbing.NewHash(r.revision)); s != nil {
			return s, r.branch, nil
		}
	}
	session, refs, err := r.open(ctx)
	if err != nil {
		return nil, "", err
	}
	defer session.Close()
	branch, want, err := r.resolve(refs)
	if err != nil {
		return nil, "", err
	}
	base := r.base(branch)
	if base != nil && base.commit == want {
		return base, branch, nil
	}
	s := r.known(want)
	if s == nil && r.pending != nil && r.pending.commit == want {
		s = r.pending
	}
	if s == nil {
		if s, err = r.fetch(ctx, session, refs, want, base); err != nil {
			return nil, "", err
		}
		r.pending = s
	}
	if err := r.follow(ctx, refs, branch, base, s); err != nil {
		return nil, "", err
	}
	r.last[branch], r.pending = s, nil
	if err := r.store.keep(branch, s); err != nil {
		r.log.WarnContext(ctx, "cache not written", "error", err)
	}
	return s, branch, nil
}

// at fetches one commit by its name.
func (r *remote) at(ctx context.Context, want plumbing.Hash) (*snapshot, error) {
	session, refs, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	if err := obtainable(refs, want); err != nil {
		return nil, err
	}
	return r.fetch(ctx, session, refs, want, r.base(r.branch))
}

// history fetches a commit with all that came before it: what is new since the
// last one, or everything.
func (r *remote) history(ctx context.Context, want plumbing.Hash) (chain, error) {
	if r.past.commit == want {
		return r.past.chain, nil
	}
	base := r.past
	if len(base.chain) >= maxLayers {
		base = fetched{}
	}
	all, err := r.since(ctx, want, base)
	if err != nil && base.chain != nil && ctx.Err() == nil {
		all, err = r.since(ctx, want, fetched{})
	}
	if err == nil {
		r.past = fetched{want, all}
	}
	return all, err
}

// since fetches a commit with what came before it and is not in base.
func (r *remote) since(ctx context.Context, want plumbing.Hash, base fetched) (chain, error) {
	session, refs, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	if err := obtainable(refs, want); err != nil {
		return nil, err
	}
	req := packp.NewUploadPackRequestFromCapabilities(refs.Capabilities)
	req.Wants = []plumbing.Hash{want}
	if base.chain != nil {
		req.Haves = []plumbing.Hash{base.commit}
	}
	pack, err := r.ask(ctx, session, req, r.limits.ofHistory())
	if err != nil {
		return nil, err
	}
	l, err := inMemory{}.add(pack, base.chain)
	if err != nil {
		return nil, err
	}
	return append(slices.Clip(base.chain), l), nil
}

// base returns the commit that the next fetch of the branch can build on.
func (r *remote) base(branch string) *snapshot {
	if s, ok := r.last[branch]; ok {
		return s
	}
	commit, layers, err := r.store.load(branch)
	if err != nil {
		r.log.Warn("cache discarded", "error", err)
		return nil
	}
	if layers == nil {
		return nil
	}
	s, err := layers.snapshot(commit, r.limits, nil)
	if err != nil {
		r.log.Warn("cache discarded", "error", err)
		return nil
	}
	r.last[branch] = s
	return s
}

// fetch gets the commit want, on top of base when that is possible.
func (r *remote) fetch(ctx context.Context, session transport.UploadPackSession, refs *packp.AdvRefs, want plumbing.Hash, base *snapshot) (*snapshot, error) {
	if base != nil && len(base.chain) >= maxLayers {
		base = nil
	}
	s, err := r.complete(ctx, session, refs, want, base)
	if base == nil || err == nil || ctx.Err() != nil {
		return s, err
	}
	r.log.WarnContext(ctx, "incremental fetch failed, fetching anew", "commit", want.String(), "error", err)
	again, refs, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	defer again.Close()
	return r.complete(ctx, again, refs, want, nil)
}

// complete gets the commit want and makes sure that nothing of it is missing.
func (r *remote) complete(ctx context.Context, session transport.UploadPackSession, refs *packp.AdvRefs, want plumbing.Hash, base *snapshot) (*snapshot, error) {
	req, err := request(refs, want, base)
	if err != nil {
		return nil, err
	}
	req.Depth = packp.DepthCommits(1)
	if base != nil {
		// Only for a thin pack does Git look at what the shallow base holds.
		if err := req.Capabilities.Set(capability.ThinPack); err != nil {
			return nil, err
		}
	}
	pack, err := r.ask(ctx, session, req, r.limits)
	if err != nil {
		return nil, err
	}
	var layers chain
	if base != nil {
		layers = base.chain
	}
	l, err := r.store.add(pack, layers)
	if err != nil {
		return nil, err
	}
	return append(slices.Clip(layers), l).snapshot(want, r.limits, base)
}

// request asks for want, and says that base is at hand, without its history.
func request(refs *packp.AdvRefs, want plumbing.Hash, base *snapshot) (*packp.UploadPackRequest, error) {
	if !refs.Capabilities.Supports(capability.Shallow) {
		return nil, errors.New("the server cannot send a commit without its history")
	}
	req := packp.NewUploadPackRequestFromCapabilities(refs.Capabilities)
	req.Wants = []plumbing.Hash{want}
	if base != nil {
		req.Haves, req.Shallows = []plumbing.Hash{base.commit}, []plumbing.Hash{base.commit}
	}
	return req, req.Capabilities.Set(capability.Shallow)
}

// ask sends the request and returns the pack, checked against the limits.
func (r *remote) ask(ctx context.Context, session transport.UploadPackSession, req *packp.UploadPackRequest, limits Limits) ([]byte, error) {
	resp, err := session.UploadPack(ctx, req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Close() }()
	var content io.Reader = resp
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		content = sideband.NewDemuxer(sideband.Sideband64k, resp)
	case req.Capabilities.Supports(capability.Sideband):
		content = sideband.NewDemuxer(sideband.Sideband, resp)
	}
	return readPack(ctx, content, limits)
}

// follow asks whether a branch that moved may be followed, when it was not
// simply committed to.
func (r *remote) follow(ctx context.Context, refs *packp.AdvRefs, branch string, from, to *snapshot) error {
	if from == nil || r.revision != "" || from.commit == to.commit || slices.Contains(to.parents, from.commit) {
		return nil
	}
	descends, err := r.descends(ctx, refs, from, to)
	if err != nil {
		r.log.WarnContext(ctx, "cannot tell whether history was rewritten", "branch", branch, "from", from.commit.String(), "to", to.commit.String(), "error", err)
		return nil
	}
	if descends {
		return nil
	}
	return r.rewrite(ctx, &Rewrite{Branch: branch, From: from.commit.String(), To: to.commit.String()})
}

// descends reports whether from is an ancestor of to, by asking for the
// commits between them, without their trees.
func (r *remote) descends(ctx context.Context, refs *packp.AdvRefs, from, to *snapshot) (bool, error) {
	if !refs.Capabilities.Supports(capability.Filter) {
		return false, errors.New("the server cannot send commits alone")
	}
	req, err := request(refs, to.commit, from)
	if err != nil {
		return false, err
	}
	req.Depth, req.Filter = packp.DepthCommits(maxCommits), packp.FilterTreeDepth(0)
	if err := req.Capabilities.Set(capability.Filter); err != nil {
		return false, err
	}
	session, _, err := r.open(ctx)
	if err != nil {
		return false, err
	}
	defer session.Close()
	pack, err := r.ask(ctx, session, req, r.limits)
	if err != nil {
		return false, err
	}
	return hasChildOf(pack, from.commit)
}

// hasChildOf reports whether one of the commits in a pack has parent h.
func hasChildOf(pack []byte, h plumbing.Hash) (found bool, err error) {
	m, err := unpack(pack, nil)
	if err != nil {
		return false, err
	}
	for _, o := range m.Commits {
		c, err := object.DecodeCommit(nil, o)
		if err != nil {
			return false, err
		}
		if slices.Contains(c.ParentHashes, h) {
			return true, nil
		}
	}
	return false, nil
}

// resolve finds the commit that is asked for among the refs of the server.
func (r *remote) resolve(refs *packp.AdvRefs) (branch string, commit plumbing.Hash, err error) {
	switch {
	case plumbing.IsHash(r.revision):
		h := plumbing.NewHash(r.revision)
		return r.branch, h, obtainable(refs, h)
	case r.revision != "":
		for _, name := range []string{"refs/tags/" + r.revision, "refs/heads/" + r.revision, r.revision} {
			if h, ok := peeled(refs, name); ok {
				return r.branch, h, nil
			}
		}
		return "", commit, noRevision(r.revision, refs.References)
	case r.branch != "":
		if h, ok := peeled(refs, "refs/heads/"+r.branch); ok {
			return r.branch, h, nil
		}
		return "", commit, noBranch(r.branch, refs.References)
	default:
		return defaultBranch(refs)
	}
}

// peeled returns the commit of a ref, through an annotated tag.
func peeled(refs *packp.AdvRefs, name string) (plumbing.Hash, bool) {
	if h, ok := refs.Peeled[name]; ok {
		return h, true
	}
	h, ok := refs.References[name]
	return h, ok
}

// defaultBranch returns the branch that HEAD of the server points to.
func defaultBranch(refs *packp.AdvRefs) (string, plumbing.Hash, error) {
	for _, link := range refs.Capabilities.Get(capability.SymRef) {
		name, target, _ := strings.Cut(link, ":")
		if name != "HEAD" {
			continue
		}
		if h, ok := refs.References[target]; ok {
			return strings.TrimPrefix(target, "refs/heads/"), h, nil
		}
	}
	if refs.Head != nil {
		return "", *refs.Head, nil
	}
	return "", plumbing.ZeroHash, kspec.WithHint(
		fmt.Errorf("%w: the default branch has no commit", ErrNoRevision),
		"name a branch; there are: "+branches(refs.References))
}

// obtainable returns an error when the server will not hand out the commit.
func obtainable(refs *packp.AdvRefs, h plumbing.Hash) error {
	if refs.Capabilities.Supports(capability.AllowReachableSHA1InWant) || refs.Head != nil && *refs.Head == h {
		return nil
	}
	for name := range refs.References {
		if got, _ := peeled(refs, name); got == h {
			return nil
		}
	}
	return kspec.WithHint(fmt.Errorf("%w: commit %s is no branch or tag, and the server hands out nothing else", ErrNoRevision, h),
		"name a branch or a tag, or use a local clone")
}

func noBranch[T any](name string, refs map[string]T) error {
	return kspec.WithHint(fmt.Errorf("%w: branch %s", ErrNoRevision, printable(name)), "there are: "+branches(refs))
}

func noRevision[T any](name string, refs map[string]T) error {
	return kspec.WithHint(fmt.Errorf("%w: %s", ErrNoRevision, printable(name)),
		"name a tag, a branch or a commit with all its 40 digits; branches are: "+branches(refs))
}

// branches lists the first few branches among refs.
func branches[T any](refs map[string]T) string {
	const most = 10
	var names []string
	for name := range refs {
		if b, ok := strings.CutPrefix(name, "refs/heads/"); ok {
			names = append(names, printable(b))
		}
	}
	slices.Sort(names)
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > most:
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
