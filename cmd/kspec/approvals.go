package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
)

// bindForge binds the flags of verbs for which it matters who approved an
// exemption.
func (f *repoFlags) bindForge(cmd *cobra.Command) {
	f.forge.bind(cmd)
	cmd.Flags().BoolVar(&f.proveApprovals, "prove-approvals", false, "let an exemption waive only if its approver, a user of the forge, approved the merged pull request that brought it as it stands; --repo must be a URL")
}

// prover returns what proves approvals, nil when nobody asked for proofs.
func (f *repoFlags) prover(a *app) (*prover, error) {
	if !f.proveApprovals {
		return nil, nil
	}
	if err := f.forge.check(); err != nil {
		return nil, err
	}
	if isPath(f.repo) {
		return nil, kspec.WithHint(fmt.Errorf("--prove-approvals: --repo %s is a clone, and who approved is known to the forge", f.repo),
			"give --repo the URL of the repo")
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
	return newProver(approvals, time.Now, a.log), nil
}

// keepAnswers is how long the answer about an exemption holds, as long as the
// repo does not move: a review may be given, or dismissed, later.
const keepAnswers = 10 * time.Minute

// prover finds out which exemptions are approved. A nil one takes the word of
// them all. It is safe for concurrent use.
type prover struct {
	forge kspec.Approvals
	now   func() time.Time
	log   *slog.Logger

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

func newProver(forge kspec.Approvals, now func() time.Time, log *slog.Logger) *prover {
	return &prover{forge: forge, now: now, log: log, answers: map[question]answer{}}
}

// prove returns t with what is known of the approval of its exemptions. When
// the forge cannot be asked, the last answer about the same commit holds, and
// without one the exemption is not approved. One question that fails is
// enough for one look.
func (p *prover) prove(ctx context.Context, t kspec.Target) kspec.Target {
	if p == nil {
		return t
	}
	t.Exemptions = slices.Clone(t.Exemptions)
	down := false
	for i, e := range t.Exemptions {
		if !p.now().Before(e.ExpiresAt) {
			continue // it waives nothing, whoever approved it
		}
		q := question{t.Revision.Commit, t.Source.File, t.Name, text(e)}
		known, ok := p.recall(q)
		if !down && p.now().Sub(known.at) >= keepAnswers {
			why, err := p.forge.Unapproved(ctx, passage(t, e))
			if down = err != nil; down {
				p.log.WarnContext(ctx, "approval not proved", "target", t, "exemption", e.Name, "error", err, "hint", kspec.HintOf(err))
			} else {
				known, ok = p.keep(ctx, t, q, e, why), true
			}
		}
		if !ok {
			known.why = "is not proved to be approved: the forge could not be asked"
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
