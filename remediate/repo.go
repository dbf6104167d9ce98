package remediate

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"github.com/go-git/go-git/v5/storage/memory"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/internal/pack"
)

// This is the only file of kspec that writes to Git. Its rules:
//
//   - There is no force. A push names what the ref must hold before, and the
//     server compares; for a new ref it must hold nothing.
//   - A push is never sent twice. Whatever the answer was, the ref is read
//     again, and only what stands there counts.
//   - Only what a commit adds is sent: the new commit, trees and blobs. What
//     is needed of the old ones is fetched at depth 1, without files where the
//     server can leave them out.
//   - A commit depends on its input only, its time included, so that two
//     replicas and a second run make the same commit.
//   - A path is checked against the tree it goes into: no link, no submodule,
//     nothing that Git or the forge would run.

// GitOptions say where the config repo is and how to write to it.
type GitOptions struct {
	// URL is https://…, ssh://… or the short ssh form git@host:path. Plain
	// http is for the machine itself only.
	URL string
	// Username goes with Token; "x-access-token", which every forge takes,
	// when empty.
	Username string
	Token    kspec.Secret
	// SSHKey is a private key in PEM or OpenSSH form, and KnownHosts the lines
	// of a known_hosts file; both are required for ssh.
	SSHKey     kspec.Secret
	KnownHosts []byte
	// AuthorName and AuthorEmail sign the commits; "kspec" and
	// "kspec@localhost" when empty.
	AuthorName, AuthorEmail string
	// Transport carries https requests, such as one that trusts a private
	// certificate authority; http.DefaultTransport when nil.
	Transport http.RoundTripper
	// Timeout bounds each exchange with the server; two minutes when 0.
	Timeout time.Duration
}

// Repo writes branches of one repository. It is safe for concurrent use.
type Repo struct {
	endpoint *transport.Endpoint
	client   transport.Transport
	auth     transport.AuthMethod
	author   object.Signature
	timeout  time.Duration
}

// errMoved says that a ref held something else than expected.
var errMoved = errors.New("the branch was moved by somebody else")

// fetchLimits bound what one fetch may cost, as much as is read of a config
// repo.
func fetchLimits() pack.Limits {
	return pack.Limits{Bytes: 100 << 20, Objects: 100_000, ObjectBytes: 64 << 20, TotalBytes: 512 << 20}
}

// NewRepo returns the repository at o.URL. It does not connect yet.
func NewRepo(o GitOptions) (*Repo, error) {
	r := &Repo{
		timeout: cmp.Or(o.Timeout, 2*time.Minute),
		author:  object.Signature{Name: cmp.Or(o.AuthorName, "kspec"), Email: cmp.Or(o.AuthorEmail, "kspec@localhost")},
	}
	var err error
	if r.endpoint, err = transport.NewEndpoint(o.URL); err != nil {
		return nil, errors.New("read the address of the repository: it is not a URL")
	}
	switch {
	case r.endpoint.Protocol == "ssh":
		r.client = gitssh.DefaultClient
		r.auth, err = sshAuth(o, r.endpoint.User)
		return r, err
	case r.endpoint.Password != "" || r.endpoint.User != "":
		return nil, kspec.WithHint(errors.New("the address of the repository holds a password"), "give the token in a file")
	case r.endpoint.Protocol == "https", r.endpoint.Protocol == "http" && isLoopback(r.endpoint.Host):
		r.client = githttp.NewClient(&http.Client{Transport: cmp.Or(o.Transport, http.DefaultTransport), CheckRedirect: sameHost})
		if !o.Token.IsZero() {
			r.auth = &githttp.BasicAuth{Username: cmp.Or(o.Username, "x-access-token"), Password: o.Token.Reveal()}
		}
		return r, nil
	}
	return nil, kspec.WithHint(fmt.Errorf("cannot push to a repository at %s://", r.endpoint.Protocol),
		"use https:// or ssh://; http:// is for the machine itself only")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// sameHost lets a server redirect to itself only, because the token would go
// along.
func sameHost(req *http.Request, via []*http.Request) error {
	if len(via) > 5 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
		return fmt.Errorf("the Git server redirects to another host: %s", (&url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host}).String())
	}
	return nil
}

func sshAuth(o GitOptions, user string) (transport.AuthMethod, error) {
	if o.SSHKey.IsZero() || len(bytes.TrimSpace(o.KnownHosts)) == 0 {
		return nil, kspec.WithHint(errors.New("ssh needs a private key and known hosts"), "give both in files")
	}
	keys, err := gitssh.NewPublicKeys(cmp.Or(user, "git"), []byte(o.SSHKey.Reveal()), "")
	if err != nil {
		return nil, fmt.Errorf("read the ssh key: %w", err)
	}
	f, err := os.CreateTemp("", "kspec-known-hosts-") // the package reads files only
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(o.KnownHosts)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if keys.HostKeyCallback, err = knownhosts.New(f.Name()); err != nil {
		return nil, errors.New("read the known hosts: they are not in the form of known_hosts")
	}
	return keys, nil
}

// open opens a session. Over ssh this talks to the server already, without any
// bound on the time: a server that is silent must not hold kspec up.
func open[S io.Closer](ctx context.Context, dial func(*transport.Endpoint, transport.AuthMethod) (S, error), to *transport.Endpoint, auth transport.AuthMethod) (S, error) {
	type result struct {
		session S
		err     error
	}
	done := make(chan result, 1)
	go func() {
		session, err := dial(to, auth)
		done <- result{session, err}
	}()
	select {
	case r := <-done:
		return r.session, r.err
	case <-ctx.Done():
		go func() {
			if late := <-done; late.err == nil {
				_ = late.session.Close()
			}
		}()
		var none S
		return none, fmt.Errorf("the server did not answer in time: %w", ctx.Err())
	}
}

// refs lists the branches of the server, by name without refs/heads/.
func (r *Repo) refs(ctx context.Context) (map[string]plumbing.Hash, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	session, err := open(ctx, r.client.NewUploadPackSession, r.endpoint, r.auth)
	if err != nil {
		return nil, gitError("list the branches", err)
	}
	defer session.Close()
	adv, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return nil, gitError("list the branches", err)
	}
	refs := map[string]plumbing.Hash{}
	for name, hash := range adv.References {
		if branch, ok := strings.CutPrefix(name, "refs/heads/"); ok {
			refs[branch] = hash
		}
	}
	return refs, nil
}

// fetch gets commits with their trees, without their history.
func (r *Repo) fetch(ctx context.Context, commits ...plumbing.Hash) (*memory.Storage, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	session, err := open(ctx, r.client.NewUploadPackSession, r.endpoint, r.auth)
	if err != nil {
		return nil, gitError("fetch", err)
	}
	defer session.Close()
	adv, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return nil, gitError("fetch", err)
	}
	req := packp.NewUploadPackRequestFromCapabilities(adv.Capabilities)
	req.Wants, req.Depth = commits, packp.DepthCommits(1)
	err = req.Capabilities.Set(capability.Shallow)
	if adv.Capabilities.Supports(capability.Filter) {
		req.Filter = packp.FilterBlobNone()
		err = errors.Join(err, req.Capabilities.Set(capability.Filter))
	}
	if err != nil {
		return nil, gitError("fetch", err)
	}
	resp, err := session.UploadPack(ctx, req)
	if err != nil {
		return nil, gitError("fetch", err)
	}
	defer func() { _ = resp.Close() }()
	store := memory.NewStorage()
	content, err := pack.Read(ctx, demux(req.Capabilities, resp), fetchLimits())
	if err != nil {
		return nil, gitError("fetch", err)
	}
	if err := packfile.UpdateObjectStorage(store, bytes.NewReader(content)); err != nil {
		return nil, gitError("fetch", err)
	}
	return store, nil
}

func demux(c *capability.List, resp io.Reader) io.Reader {
	switch {
	case c.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, resp)
	case c.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, resp)
	default:
		return resp
	}
}

// push moves a branch from old to new, either of which may be zero, and reads
// it back. The error wraps errMoved when somebody else was faster.
func (r *Repo) push(ctx context.Context, branch string, old plumbing.Hash, c commit) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	sent := r.send(ctx, branch, old, c)
	refs, err := r.refs(ctx)
	switch {
	case err != nil:
		return errors.Join(sent, err)
	case refs[branch] == c.hash:
		return nil
	case refs[branch] != old:
		return fmt.Errorf("push %s: %w", branch, errMoved)
	case sent != nil:
		return gitError("push "+branch, sent)
	default:
		return fmt.Errorf("push %s: the server said yes, but the branch did not move", branch)
	}
}

func (r *Repo) send(ctx context.Context, branch string, old plumbing.Hash, c commit) error {
	session, err := open(ctx, r.client.NewReceivePackSession, r.endpoint, r.auth)
	if err != nil {
		return err
	}
	defer session.Close()
	adv, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return err
	}
	if adv.References["refs/heads/"+branch] != old {
		return errMoved
	}
	req := packp.NewReferenceUpdateRequestFromCapabilities(adv.Capabilities)
	req.Commands = []*packp.Command{{Name: plumbing.NewBranchReferenceName(branch), Old: old, New: c.hash}}
	if c.hash.IsZero() {
		if err := req.Capabilities.Set(capability.DeleteRefs); err != nil {
			return err
		}
	} else {
		var content bytes.Buffer
		if _, err := packfile.NewEncoder(&content, c.store, false).Encode(c.objects, 0); err != nil {
			return err
		}
		req.Packfile = io.NopCloser(&content)
	}
	_, err = session.ReceivePack(ctx, req)
	return err
}

// gitError says what was tried, and marks what only other input can mend.
func gitError(what string, err error) error {
	wrapped := fmt.Errorf("%s: %w", what, err)
	switch {
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed):
		return kspec.Terminal(kspec.WithHint(wrapped, "the token must be allowed to write to the repository"))
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return kspec.Terminal(kspec.WithHint(wrapped, "check the address, and that the token may see the repository"))
	}
	return wrapped
}

// commit is a new commit and the objects that it adds. The zero commit stands
// for no branch.
type commit struct {
	hash    plumbing.Hash
	objects []plumbing.Hash
	store   *memory.Storage
}

// commit makes a commit of the edits on top of the tree of base, which store
// must hold. It is stamped with the time of base.
func (r *Repo) commit(store *memory.Storage, base plumbing.Hash, parents []plumbing.Hash, edits []kspec.Edit, message string) (commit, error) {
	c := commit{store: store}
	on, err := object.GetCommit(store, base)
	if err != nil {
		return c, fmt.Errorf("read commit %s: %w", base, err)
	}
	root, err := c.tree(on.TreeHash, "", edits)
	if err != nil {
		return c, err
	}
	author := r.author
	author.When = on.Committer.When.UTC()
	made := &object.Commit{Author: author, Committer: author, Message: message, TreeHash: root, ParentHashes: parents}
	c.hash, err = c.put(made.Encode)
	return c, err
}

// put stores an object that is new.
func (c *commit) put(encode func(plumbing.EncodedObject) error) (plumbing.Hash, error) {
	o := c.store.NewEncodedObject()
	if err := encode(o); err != nil {
		return plumbing.ZeroHash, err
	}
	h, err := c.store.SetEncodedObject(o)
	if err == nil && !slices.Contains(c.objects, h) {
		c.objects = append(c.objects, h)
	}
	return h, err
}

// tree returns the tree with the edits below dir made, all of which lie there;
// zero when nothing is left of it.
func (c *commit) tree(old plumbing.Hash, dir string, edits []kspec.Edit) (plumbing.Hash, error) {
	t := &object.Tree{}
	if !old.IsZero() {
		have, err := object.GetTree(c.store, old)
		if err != nil {
			return old, fmt.Errorf("read folder %q: %w", dir, err)
		}
		t.Entries = slices.Clone(have.Entries)
	}
	for len(edits) > 0 {
		name, group := firstName(dir, edits)
		edits = edits[len(group):]
		if err := c.entry(t, dir, name, group); err != nil {
			return old, err
		}
	}
	if len(t.Entries) == 0 && dir != "" {
		return plumbing.ZeroHash, nil
	}
	slices.SortFunc(t.Entries, func(a, b object.TreeEntry) int { return strings.Compare(sortName(a), sortName(b)) })
	return c.put(t.Encode)
}

// sortName is the name by which Git sorts a tree.
func sortName(e object.TreeEntry) string {
	if e.Mode == filemode.Dir {
		return e.Name + "/"
	}
	return e.Name
}

// firstName returns the first name below dir and the edits of that name, which
// stand together because edits are sorted.
func firstName(dir string, edits []kspec.Edit) (string, []kspec.Edit) {
	below := func(e kspec.Edit) (string, bool) {
		return cutFirst(strings.TrimPrefix(e.Path, dir))
	}
	name, isDir := below(edits[0])
	n := slices.IndexFunc(edits, func(e kspec.Edit) bool {
		other, otherDir := below(e)
		return other != name || otherDir != isDir
	})
	if n < 0 {
		n = len(edits)
	}
	return name, edits[:n]
}

func cutFirst(p string) (string, bool) {
	name, _, isDir := strings.Cut(p, "/")
	return name, isDir
}

// entry changes one entry of a tree.
func (c *commit) entry(t *object.Tree, dir, name string, edits []kspec.Edit) error {
	i := slices.IndexFunc(t.Entries, func(e object.TreeEntry) bool { return e.Name == name })
	var old object.TreeEntry
	if i >= 0 {
		old = t.Entries[i]
		t.Entries = slices.Delete(t.Entries, i, i+1)
	}
	if _, isDir := cutFirst(strings.TrimPrefix(edits[0].Path, dir)); isDir {
		if i >= 0 && old.Mode != filemode.Dir {
			return fmt.Errorf("%s%s is not a folder", dir, name)
		}
		h, err := c.tree(old.Hash, dir+name+"/", edits)
		if err == nil && !h.IsZero() {
			t.Entries = append(t.Entries, object.TreeEntry{Name: name, Mode: filemode.Dir, Hash: h})
		}
		return err
	}
	mode := filemode.Regular
	if i >= 0 {
		if mode = old.Mode; mode != filemode.Regular && mode != filemode.Executable {
			return fmt.Errorf("%s%s is not a plain file", dir, name)
		}
	}
	if edits[0].After == nil {
		return nil
	}
	h, err := c.put(func(o plumbing.EncodedObject) error {
		o.SetType(plumbing.BlobObject)
		w, err := o.Writer()
		if err != nil {
			return err
		}
		_, err = w.Write(edits[0].After)
		return errors.Join(err, w.Close())
	})
	t.Entries = append(t.Entries, object.TreeEntry{Name: name, Mode: mode, Hash: h})
	return err
}

// checkPaths refuses to write where Git or a forge keeps what it runs.
func checkPaths(edits []kspec.Edit) error {
	for i, e := range edits {
		bad := path.Clean(e.Path) != e.Path || path.IsAbs(e.Path) || e.Path == ".." || strings.HasPrefix(e.Path, "../")
		for name := range strings.SplitSeq(strings.ToLower(e.Path), "/") {
			bad = bad || strings.HasPrefix(name, ".git") || name == ".gitea" || name == ".forgejo" || strings.ContainsAny(name, "\x00\\")
		}
		if bad {
			return kspec.Terminal(fmt.Errorf("kspec does not write to %q", e.Path))
		}
		if i > 0 && edits[i-1].Path >= e.Path {
			return fmt.Errorf("the edits are not sorted at %q", e.Path)
		}
	}
	return nil
}

// blobAt returns the blob at a path below a commit, zero when there is none.
func blobAt(store *memory.Storage, at plumbing.Hash, name string) (plumbing.Hash, error) {
	c, err := object.GetCommit(store, at)
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("read commit %s: %w", at, err)
	}
	t, err := object.GetTree(store, c.TreeHash)
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("read the tree of %s: %w", at, err)
	}
	e, err := t.FindEntry(name)
	switch {
	case errors.Is(err, object.ErrEntryNotFound), errors.Is(err, object.ErrDirectoryNotFound):
		return plumbing.ZeroHash, nil
	case err != nil:
		return plumbing.ZeroHash, fmt.Errorf("read %s: %w", name, err)
	}
	return e.Hash, nil
}

// messageOf returns who committed and with which message.
func messageOf(store *memory.Storage, at plumbing.Hash) (email, message string, err error) {
	c, err := object.GetCommit(store, at)
	if err != nil {
		return "", "", fmt.Errorf("read commit %s: %w", at, err)
	}
	return c.Committer.Email, c.Message, nil
}
