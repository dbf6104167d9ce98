package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/gitsource"
	"github.com/cloudcwfranck/kspec/policy"
)

// repoFlags say where the config repo is and which of its specs are meant. They
// mean the same for every verb.
type repoFlags struct {
	repo, branch, revision string
	given                  func() bool // whether --repo was given
	worktree               bool
	specs                  []string
	cacheDir               string
	timeout                time.Duration
	tokenFile              string
	sshKeyFile, knownHosts string
	caFile                 string
	// These are of the verbs that know exemptions.
	forge          forgeFlags
	proveApprovals string
	signers        string
}

func (f *repoFlags) bind(cmd *cobra.Command) {
	f.bindSource(cmd)
	cmd.Flags().StringSliceVar(&f.specs, "spec", nil, "name of a ClusterSpec (default: all)")
}

// bindSource binds the flags that say where the config repo is.
func (f *repoFlags) bindSource(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.repo, "repo", ".", "config repo: an https or ssh URL, the path of a clone, or of a folder in one that is then the root (default: the clone around the current folder)")
	flags.Lookup("repo").DefValue = ""
	f.given = func() bool { return flags.Changed("repo") }
	flags.StringVar(&f.branch, "branch", "", "branch to read (default: HEAD of the clone, or the default branch of the URL)")
	flags.StringVar(&f.revision, "revision", "", "commit to read instead of the head of the branch")
	flags.BoolVar(&f.worktree, "worktree", false, "read what is not committed yet; --repo must be a clone")
	flags.StringVar(&f.cacheDir, "cache-dir", "", "folder to keep fetched commits and built overlays in, as they are, Secrets included; only its owner may read it (default: memory)")
	flags.DurationVar(&f.timeout, "git-timeout", time.Minute, "longest time for one exchange with the Git server")
	flags.StringVar(&f.tokenFile, "token-file", "", "file with the token for Git and the forge (default: $KSPEC_FORGE_TOKEN)")
	flags.StringVar(&f.sshKeyFile, "ssh-key-file", "", "file with the private key for an ssh URL")
	flags.StringVar(&f.knownHosts, "ssh-known-hosts-file", "", "file with the host keys that are trusted for an ssh URL")
	flags.StringVar(&f.caFile, "git-ca-file", "", "PEM file with further certificate authorities of the Git server and the forge")
}

// auth reads the credentials that the flags name.
func (f *repoFlags) auth() (gitsource.Auth, error) {
	var auth gitsource.Auth
	token, err := readToken(f.tokenFile)
	if err != nil {
		return auth, err
	}
	auth.Token = token
	key, err := readFlag("--ssh-key-file", f.sshKeyFile)
	if err != nil {
		return auth, err
	}
	auth.SSHKey = kspec.NewSecret(string(key))
	if auth.KnownHosts, err = readFlag("--ssh-known-hosts-file", f.knownHosts); err != nil {
		return auth, err
	}
	auth.CABundle, err = readFlag("--git-ca-file", f.caFile)
	return auth, err
}

// readFlag reads the file that a flag names, if it names one.
func readFlag(flag, file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return data, nil
}

// transport returns what carries requests to the forge: one that trusts the
// authorities of --git-ca-file besides those of the machine, nil without any.
func transport(auth gitsource.Auth) (http.RoundTripper, error) {
	if len(auth.CABundle) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	if !pool.AppendCertsFromPEM(auth.CABundle) {
		return nil, errors.New("--git-ca-file holds no certificate in PEM form")
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}

// configRepo is the config repo, rooted where its documents take it to be.
type configRepo struct {
	*gitsource.Source
	// root is the folder of the repository that is the root of the config
	// repo; "." is all of it.
	root string
}

var _ kspec.Fetcher = configRepo{}

// Head is that of the source, below the root.
func (r configRepo) Head(ctx context.Context) (kspec.Tree, error) { return r.below(r.Source.Head(ctx)) }

// Fetch implements [kspec.Fetcher].
func (r configRepo) Fetch(ctx context.Context, t kspec.Target) (kspec.Tree, error) {
	return r.below(r.Source.Fetch(ctx, t))
}

func (r configRepo) below(tree kspec.Tree, err error) (kspec.Tree, error) {
	if err != nil || r.root == "." {
		return tree, err
	}
	if _, err := fs.Stat(tree.FS, r.root); err != nil {
		return tree, kspec.WithHint(fmt.Errorf("folder %s is not in %s: %w", r.root, tree.Revision, err), "commit it, or read it with --worktree")
	}
	tree.FS, err = fs.Sub(tree.FS, r.root)
	return tree, err
}

// dir returns the folder of this machine that is the root of the config repo,
// and "" when the repo is on a server.
func (r configRepo) dir() string {
	if r.Dir() == "" {
		return ""
	}
	return filepath.Join(r.Dir(), filepath.FromSlash(r.root))
}

// open opens the repo without reading it.
func (f *repoFlags) open(a *app) (configRepo, error) {
	auth, err := f.auth()
	if err != nil {
		return configRepo{}, err
	}
	source, err := gitsource.New(f.repo, gitsource.Options{
		Branch: f.branch, Revision: f.revision, Worktree: f.worktree, CacheDir: f.cacheDir,
		Auth: auth, Timeout: f.timeout, Log: a.log,
	})
	if err != nil {
		return configRepo{}, err
	}
	r := configRepo{source, "."}
	if source.Dir() != "" && f.given() {
		r.root, err = relative(source.Dir(), f.repo)
	}
	return r, err
}

// relative returns where in the clone a folder lies, with slashes.
func relative(clone, folder string) (string, error) {
	clone, err := realPath(clone)
	if err != nil {
		return "", err
	}
	folder, err = realPath(folder)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(clone, folder)
	return filepath.ToSlash(rel), err
}

func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// checkout is the config repo at one revision, decoded.
type checkout struct {
	source  configRepo
	tree    kspec.Tree
	set     *v1alpha1.Set
	targets []kspec.Target
	// errs are of the documents that could not be used.
	errs []error
}

// read fetches the head of the repo and decodes its documents.
func (f *repoFlags) read(ctx context.Context, source configRepo) (*checkout, error) {
	tree, err := source.Head(ctx)
	if err != nil {
		return nil, err
	}
	c := decoded(tree)
	c.source = source
	return c, nil
}

// decoded reads the documents of a tree.
func decoded(tree kspec.Tree) *checkout {
	c := &checkout{tree: tree}
	c.set, c.errs = v1alpha1.Load(tree.FS)
	targets, errs := c.set.Resolve(tree.Revision)
	c.targets, c.errs = targets, append(c.errs, errs...)
	return c
}

// keep takes over from last the documents that cannot be read any more, so
// that a slip of the pen does not make kspec look away. Of a document that
// cannot be read only the file is known: what stood in the files that have
// errors, and is nowhere now, stays as it was when it was last right.
func (c *checkout) keep(last *checkout) {
	broken := map[string]bool{}
	for _, err := range c.errs {
		if e, ok := errors.AsType[*v1alpha1.FieldError](err); ok {
			broken[e.File] = true
		}
	}
	c.set.Targets = keepBroken(c.set.Targets, last.set.Targets, broken)
	c.set.Alerts = keepBroken(c.set.Alerts, last.set.Alerts, broken)
	for _, t := range last.targets {
		same := func(now kspec.Target) bool { return now.Name == t.Name }
		if broken[t.Source.File] && !slices.ContainsFunc(c.targets, same) {
			t.Revision = c.tree.Revision
			c.targets = append(c.targets, t)
		}
	}
}

func keepBroken[T v1alpha1.Object](now, last []v1alpha1.Sourced[T], broken map[string]bool) []v1alpha1.Sourced[T] {
	for _, d := range last {
		same := func(n v1alpha1.Sourced[T]) bool { return n.Doc.GetName() == d.Doc.GetName() }
		if broken[d.Source.File] && !slices.ContainsFunc(now, same) {
			now = append(now, d)
		}
	}
	return now
}

// selected returns the targets that --spec names, or all. A name that is not
// there is an error, and so is a repo without any; the others are returned
// nevertheless.
func (f *repoFlags) selected(c *checkout) ([]kspec.Target, error) {
	var known []string
	for _, t := range c.targets {
		known = append(known, t.Name)
	}
	if len(known) == 0 && len(c.errs) == 0 {
		return nil, kspec.WithHint(fmt.Errorf("no ClusterSpec in %s at %s", f.repo, c.tree.Revision),
			"add a document with apiVersion: kspec.io/v1alpha1 and kind: ClusterSpec anywhere in the repo")
	}
	if len(f.specs) == 0 {
		return c.targets, nil
	}
	var targets []kspec.Target
	var errs []error
	for n, name := range f.specs {
		if slices.Contains(f.specs[:n], name) {
			continue
		}
		if i := slices.Index(known, name); i >= 0 {
			targets = append(targets, c.targets[i])
			continue
		}
		hint := "known are: " + strings.Join(known, ", ")
		if len(c.errs) > 0 {
			hint += "; some documents could not be read, see \"kspec validate\""
		}
		errs = append(errs, kspec.WithHint(fmt.Errorf("no ClusterSpec %q in %s at %s", name, f.repo, c.tree.Revision), hint))
	}
	return targets, errors.Join(errs...)
}

// documents prints the documents that could not be used. It returns
// errIncomplete when there are any and no --spec says that they do not matter.
func (f *repoFlags) documents(a *app, c *checkout) error {
	for _, err := range c.errs {
		a.fail(err)
	}
	if len(c.errs) > 0 && len(f.specs) == 0 {
		return errIncomplete
	}
	return nil
}

// each calls do for every selected target, with its policies in the form that
// they have now, prints what failed and goes on. The result is the gravest of
// what happened: drift before failure, so that a finding is never hidden by a
// cluster that could not be reached.
func (f *repoFlags) each(ctx context.Context, a *app, c *checkout, do func(kspec.Target) error) error {
	targets, err := f.selected(c)
	if err != nil {
		return err
	}
	prover, err := f.prover(a, c.source)
	if err != nil {
		return err
	}
	worst := f.documents(a, c)
	for _, t := range targets {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if t.Suspend {
			a.log.WarnContext(ctx, "suspended, and left out", "target", t)
			continue
		}
		t, err := policy.At(prover.prove(ctx, t), time.Now())
		if err == nil {
			err = do(t)
		}
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errDrift):
			worst = errDrift
		case !errors.Is(worst, errDrift):
			worst = errIncomplete
			fallthrough
		default:
			if !errors.Is(err, errIncomplete) {
				a.fail(err)
			}
		}
	}
	return worst
}
