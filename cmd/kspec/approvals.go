package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/gitsource"
)

// The ways to prove approvals.
const (
	byForge  = "forge"
	bySigner = "signer"
)

// bindForge binds the flags of verbs for which it matters who approved an
// exemption.
func (f *repoFlags) bindForge(cmd *cobra.Command) {
	f.forge.bind(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.proveApprovals, "prove-approvals", "", `let an exemption waive only if its approver is proved to have approved it: as a user of the forge, by a review of the merged pull request that brought it as it stands ("forge"; --repo must be a URL), or by signing the commit that wrote it ("signer"; needs --signers)`)
	flags.Lookup("prove-approvals").NoOptDefVal = byForge
	flags.StringVar(&f.signers, "signers", "", "folder with the public keys of those who may approve, NAME.pub (SSH) or NAME.asc (OpenPGP), for --prove-approvals=signer")
}

// prover returns what proves approvals, nil when nobody asked for proofs.
func (f *repoFlags) prover(a *app, source configRepo) (*prover, error) {
	if f.signers != "" && f.proveApprovals != bySigner {
		return nil, errors.New("--signers is for --prove-approvals=signer")
	}
	p := newProver(nil, time.Now, a.log)
	var err error
	switch f.proveApprovals {
	case "":
		return nil, nil
	case byForge:
		p.approvals, err = f.approvingForge(a)
	case bySigner:
		p.approvals, err = f.signed(source)
		p.silence = "the history could not be read"
	default:
		err = fmt.Errorf("unknown --prove-approvals %q: want %s or %s", f.proveApprovals, byForge, bySigner)
	}
	return p, err
}

// signed proves approvals by the keys of --signers.
func (f *repoFlags) signed(source configRepo) (kspec.Approvals, error) {
	if f.signers == "" {
		return nil, kspec.WithHint(errors.New("--prove-approvals=signer: it is not said whose signatures count"), "give --signers a folder of public keys")
	}
	signers, err := gitsource.ReadSigners(os.DirFS(f.signers))
	if err != nil {
		return nil, fmt.Errorf("--signers %s: %w", f.signers, err)
	}
	return gitsource.Signed{Source: source.Source, Signers: signers, Root: source.root}, nil
}

// approvingForge proves approvals by the reviews of the forge.
func (f *repoFlags) approvingForge(a *app) (kspec.Approvals, error) {
	if err := f.forge.check(); err != nil {
		return nil, err
	}
	if isPath(f.repo) {
		return nil, kspec.WithHint(fmt.Errorf("--prove-approvals: --repo %s is a clone, and who approved is known to the forge", f.repo),
			"give --repo the URL of the repo, or prove approvals by signatures: --prove-approvals=signer")
	}
	auth, err := f.auth()
	if err != nil {
		return nil, err
	}
	transport, err := transport(auth)
	if err != nil {
		return nil, err
	}
	forge, err := f.forge.open(forgeAccess{f.repo, f.forge.url, auth.Token, transport, a.log})
	if err != nil {
		return nil, err
	}
	approvals, ok := forge.(kspec.Approvals)
	if !ok {
		return nil, fmt.Errorf("--prove-approvals: approvals cannot be proved with --forge %s", f.forge.forge)
	}
	return approvals, nil
}

// keepAnswers is how long the answer about an exemption holds, as long as the
// repo does not move: a review may be given, or dismissed, later.
const keepAnswers = 10 * time.Minute

// prover finds out which exemptions are approved. A nil one takes the word of
// them all. It is safe for concurrent use.
type prover struct {
	approvals kspec.Approvals
	now       func() time.Time
	log       *slog.Logger
	// silence says why nothing is proved when approvals do not answer.
	silence string

	mu      sync.Mutex
	answers map[question]answer
}

// question is an exemption at a commit.
type question struct {
	revision, file, spec, exemption string
}

type answer struct {
	why string
	at  time.Time
}

func newProver(approvals kspec.Approvals, now func() time.Time, log *slog.Logger) *prover {
	return &prover{approvals: approvals, now: now, log: log, silence: "the forge could not be asked", answers: map[question]answer{}}
}

// prove returns t with what is known of the approval of its exemptions. When
// nobody can be asked, the last answer about the same commit holds, and
// without one the exemption is not approved. One question that fails is
// enough for one look.
func (p *prover) prove(ctx context.Context, t kspec.Target) kspec.Target {
	if p == nil {
		return t
	}
	t.Exemptions = slices.Clone(t.Exemptions)
	down := false
	for i, e := range t.Exemptions {
		if !p.now().Before(e.ExpiresAt) { // it waives nothing, whoever approved it
			t.Exemptions[i].Unapproved = "is not proved to be approved: nobody asks about what has expired"
			continue
		}
		q := question{t.Revision.Commit, t.Source.File, t.Name, text(e)}
		known, ok := p.recall(q)
		if !down && p.now().Sub(known.at) >= keepAnswers {
			why, err := p.approvals.Unapproved(ctx, passage(t, e))
			if down = err != nil; down {
				p.log.WarnContext(ctx, "approval not proved", "target", t, "exemption", e.Name, "error", err, "hint", kspec.HintOf(err))
			} else {
				known, ok = p.keep(ctx, t, q, e, why), true
			}
		}
		if !ok {
			known.why = "is not proved to be approved: " + p.silence
		}
		t.Exemptions[i].Unapproved = known.why
	}
	return t
}

func (p *prover) recall(q question) (answer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := p.answers[q]
	return known, ok
}

// keep remembers an answer, and forgets those about other commits.
func (p *prover) keep(ctx context.Context, t kspec.Target, q question, e kspec.Exemption, why string) answer {
	if why != "" {
		why = "is not approved: " + why
		p.log.WarnContext(ctx, "exemption waives nothing", "target", t, "exemption", e.Name, "why", why)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.answers, func(old question, _ answer) bool { return old.revision != q.revision })
	p.answers[q] = answer{why, p.now()}
	return p.answers[q]
}

// passage is where e stands in Git. What counts is what it says, and not how
// it is written.
func passage(t kspec.Target, e kspec.Exemption) kspec.Passage {
	want := text(e)
	return kspec.Passage{
		File: t.Source.File, Revision: t.Revision, Approver: e.Approver,
		In: func(version []byte) bool {
			then := exemptionsIn(version, t.Source, t.Name)
			return slices.ContainsFunc(then, func(e kspec.Exemption) bool { return text(e) == want })
		},
	}
}

// exemptionsIn returns the exemptions of a ClusterSpec in a version of its
// file, none when it cannot be read.
func exemptionsIn(version []byte, source kspec.Source, name string) []kspec.Exemption {
	docs, _ := v1alpha1.Decode(source.File, version)
	var found []*v1alpha1.ClusterSpec
	for _, d := range docs {
		if spec, ok := d.Object.(*v1alpha1.ClusterSpec); ok && spec.Name == name {
			found = append(found, spec)
		}
	}
	if len(found) != 1 {
		return nil
	}
	t, err := found[0].Target(source, kspec.Revision{})
	if err != nil {
		return nil
	}
	return t.Exemptions
}

// text is equal for two exemptions exactly when they say the same.
func text(e kspec.Exemption) string {
	b, _ := json.Marshal(e) // names, times and selectors: cannot fail
	return string(b)
}
