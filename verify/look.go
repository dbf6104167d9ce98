package verify

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

const unmatched = "no signature rule matches it"

// job is one image to check, for all who use it.
type job struct {
	ref   reference
	rules ruleSet
	uses  []use

	verdict verdict
	err     error
}

// strange is 1 for an image that runs and that Git does not name.
func (j *job) strange() int {
	if slices.ContainsFunc(j.uses, func(u use) bool { return !u.Running }) {
		return 0
	}
	return 1
}

// use is one image that a workload desires or runs.
type use struct {
	kspec.Image
	ref reference
}

// look collects what one run of Verify says.
type look struct {
	denyOnError bool
	controls    []string
	findings    map[place]kspec.Finding
	unknown     []kspec.Unknown
}

// place tells uses of one image apart. A Deployment of Git and the Pods that
// it runs are one place, in which the running image speaks for both.
type place struct {
	object             kspec.ObjectID
	container, message string
}

func newLook(t kspec.Target) *look {
	return &look{
		denyOnError: t.Images.DenyOnError, controls: t.Requirements.ControlsOf(kspec.CheckSignatures),
		findings: map[place]kspec.Finding{},
	}
}

// plan returns one job for each image that is to be checked, however many use
// it, those that Git names first, and notes what needs no check.
func (l *look) plan(p policy, images []kspec.Image) []*job {
	jobs := map[string]*job{}
	for _, image := range images {
		ref, err := parseReference(image.Ref)
		if err != nil {
			l.couldNot(image, err)
			continue
		}
		rules := p.match(ref.repository())
		if len(rules) == 0 {
			l.add(image, fmt.Sprintf("image %s: %s", ref, unmatched),
				"add a rule for "+ref.repository()+" to spec.workloads.images.signatures")
			continue
		}
		if image.Running {
			if err := ref.pin(image.Digest); err != nil {
				l.couldNot(image, fmt.Errorf("image %s: %w", ref, err))
				continue
			}
		}
		key := ref.pinned()
		if jobs[key] == nil {
			jobs[key] = &job{ref: ref, rules: rules}
		}
		jobs[key].uses = append(jobs[key].uses, use{image, ref})
	}
	sorted := make([]*job, 0, len(jobs))
	for _, j := range jobs {
		sorted = append(sorted, j)
	}
	slices.SortFunc(sorted, func(a, b *job) int {
		return cmp.Or(a.strange()-b.strange(), strings.Compare(a.ref.pinned(), b.ref.pinned()))
	})
	return sorted
}

// results turns verdicts into findings and unknowns, both sorted.
func (l *look) results(jobs []*job) ([]kspec.Finding, []kspec.Unknown) {
	for _, j := range jobs {
		for _, u := range j.uses {
			l.judge(j, u)
		}
	}
	findings := make([]kspec.Finding, 0, len(l.findings))
	for _, f := range l.findings {
		findings = append(findings, f.Fingerprinted())
	}
	kspec.SortFindings(findings)
	compare := func(a, b kspec.Unknown) int {
		return cmp.Or(a.Object.Compare(b.Object), strings.Compare(a.Reason, b.Reason), strings.Compare(a.Source.File, b.Source.File))
	}
	slices.SortFunc(l.unknown, compare)
	return findings, slices.CompactFunc(l.unknown, func(a, b kspec.Unknown) bool {
		return a.Object == b.Object && a.Reason == b.Reason
	})
}

func (l *look) judge(j *job, u use) {
	switch {
	case j.err != nil:
		l.couldNot(u.Image, fmt.Errorf("image %s: %w", u.ref, j.err))
	case !j.verdict.signed:
		pinned := u.ref
		pinned.digest = j.verdict.digest
		hint := "sign it by cosign sign --key … " + pinned.pinned()
		if u.ref.digest == "" {
			hint += ", and write that reference into Git: a tag can be moved"
		}
		l.add(u.Image, fmt.Sprintf("image %s is not signed as demanded: %s", pinned, j.verdict.summary()), hint)
	}
}

// add notes a finding about the use of an image.
func (l *look) add(image kspec.Image, message, hint string) {
	severity := kspec.High
	if image.Running {
		severity = kspec.Critical
	}
	at := place{image.Object, image.Container, message}
	f, ok := l.findings[at]
	if !ok {
		f = kspec.Finding{
			Type: kspec.TypeImage, Verdict: kspec.Unsigned, Object: image.Object,
			Message: image.Container + ": " + message, Hint: hint, Check: kspec.CheckSignatures, Controls: l.controls,
			Evidence: map[string]any{"image": image.Ref, "container": image.Container},
		}
	}
	if f.Source == (kspec.Source{}) {
		f.Source = image.Source
	}
	if image.Digest != "" {
		f.Evidence["runs"] = image.Digest
	}
	if severity.Rank() > f.Severity.Rank() {
		f.Severity = severity
	}
	l.findings[at] = f
}

func (l *look) couldNot(image kspec.Image, err error) {
	reason := err.Error()
	if hint := kspec.HintOf(err); hint != "" {
		reason += " (" + hint + ")"
	}
	if l.denyOnError {
		l.add(image, "could not be checked, which the ClusterSpec denies: "+reason, "see why the registry cannot be read")
		return
	}
	l.unknown = append(l.unknown, kspec.Unknown{
		Object: image.Object, Source: image.Source, Reason: image.Container + ": " + reason,
	})
}
