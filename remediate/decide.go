package remediate

import (
	"fmt"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

// Input is all that a decision depends on.
type Input struct {
	Target  kspec.Target
	Desired kspec.Desired
	Report  kspec.Report
	// Base is the branch that pull requests are for; empty means the branch
	// that Desired was read from.
	Base string
	// Render renders the target from another tree. It proves that an edit does
	// what it should, and nothing else.
	Render func(kspec.Tree) (kspec.Desired, error)
}

// Decide says what should be done about a report: one plan for each strategy
// that has something to change, first the policies to deliver, then what to
// adopt. The Reasons of every plan name the findings that none of them covers;
// when there are only such findings, the one plan has the strategy report. No
// plan means that there is nothing to do. Decide is deterministic and changes
// nothing. An error means that the tree could not be read.
func Decide(in Input) ([]kspec.Plan, error) {
	if in.Base == "" {
		in.Base = in.Desired.Tree.Revision.Branch
	}
	d := decision{in: in}
	if in.Target.Remediation.Mode != kspec.ModeReport {
		if err := d.render(); err != nil {
			return nil, fmt.Errorf("plan the delivery of policies: %w", err)
		}
	}
	if err := d.adopt(); err != nil {
		return nil, fmt.Errorf("plan to adopt live values: %w", err)
	}
	if len(d.plans) == 0 && len(d.reasons) > 0 {
		d.plans = []kspec.Plan{{
			Target: in.Target.Name, Strategy: kspec.StrategyReport, Base: in.Base,
			Revision: in.Desired.Tree.Revision, Edits: []kspec.Edit{},
		}}
	}
	for i := range d.plans {
		d.plans[i].Reasons = d.reasons
	}
	return d.plans, nil
}

// decision collects plans and reasons.
type decision struct {
	in      Input
	plans   []kspec.Plan
	reasons []kspec.Reason
}

func (d *decision) because(f kspec.Finding, why string) {
	r := kspec.Reason{Object: f.Object, Why: why}
	if len(f.Fields) > 0 {
		r.Path = f.Fields[0].KeyedPath
	}
	d.reasons = append(d.reasons, r)
}

// propose makes a plan of edits that put the findings right.
func (d *decision) propose(s kspec.Strategy, edits []kspec.Edit, findings []kspec.Finding) {
	t := d.in.Target
	p := kspec.Plan{
		Target: t.Name, Strategy: s, Base: d.in.Base, Revision: d.in.Desired.Tree.Revision,
		Branch: branchOf(t, d.in.Base, s), Edits: edits,
		Labels: t.Remediation.Labels, Reviewers: t.Remediation.Reviewers, Draft: t.Remediation.Draft,
		Fingerprint: kspec.DriftFingerprint(findings),
	}
	if len(findings) == 0 {
		p.Fingerprint = contentOf(edits)
	}
	w := words{target: t, strategy: s, edits: edits, findings: findings, objects: len(d.in.Desired.Objects)}
	p.Title, p.Body = w.title(), w.body()
	p.Commit = w.commit(p.Fingerprint)
	d.plans = append(d.plans, p)
}

// why says why a finding cannot be adopted by what is known without looking
// at its files, or "".
func (d *decision) why(f kspec.Finding) string {
	t := d.in.Target
	switch {
	case t.Remediation.Mode == kspec.ModeReport:
		return "spec.remediation.mode is report"
	case f.Verdict == kspec.Missing:
		return "the object is not in the cluster: " + restore(t, f)
	case f.Verdict == kspec.Violation && f.Hint != "":
		return fmt.Sprintf("it is for a person: %s: %s", f.Message, f.Hint)
	case f.Verdict != kspec.Changed && f.Verdict != kspec.ExtraField:
		return fmt.Sprintf("a change in Git does not mend the verdict %s", f.Verdict)
	case f.Source.Template != "":
		return "a policy template makes the object: change its parameters, or " + restore(t, f)
	case t.Remediation.Strategy == kspec.StrategyRestore:
		return "spec.remediation.strategy is restore: " + restore(t, f)
	case t.Remediation.Strategy != kspec.StrategyAdopt && t.Delivery.Engine != kspec.NoEngine:
		return fmt.Sprintf("%s will put Git back; if it does not, %s", engineName(t.Delivery.Engine), restore(t, f))
	case f.Object.Kind == "Secret" && f.Object.Group == "":
		return "values of Secrets are never written to Git"
	}
	for _, field := range f.Fields {
		if why := whyNot(field); why != "" {
			return why
		}
	}
	if len(f.Fields) == 0 {
		return "the report names no field"
	}
	return ""
}

// whyNot says why the value of a field must not be written to Git, or "".
func whyNot(f kspec.Field) string {
	switch {
	case f.Redacted:
		return f.KeyedPath + " is secret and never written to Git"
	case tellsEngine(f.KeyedPath):
		return f.KeyedPath + " tells the delivery engine to look away: who wants that in Git writes it there"
	case isServerPath(f.KeyedPath):
		return f.KeyedPath + " belongs to the API server, not to Git"
	case holdsLastApplied(f.Live):
		return f.KeyedPath + " holds what kubectl remembers, which is not for Git"
	case f.Manager == "" && !f.ByPerson:
		return "nobody owns " + f.KeyedPath + ", so that it is not known who changed it"
	case !f.ByPerson:
		return fmt.Sprintf("%s was changed by %s, which is not a tool that people use by hand", f.KeyedPath, f.Manager)
	}
	return ""
}

// tellsEngine reports whether the place is a mark by which a delivery engine is
// told what to do with the object.
func tellsEngine(path string) bool {
	for _, field := range []string{"labels", "annotations"} {
		for _, domain := range []string{"kustomize.toolkit.fluxcd.io", "argocd.argoproj.io"} {
			if strings.HasPrefix(path, "/metadata/"+field+"/"+domain+"~1") {
				return true
			}
		}
	}
	return false
}

func holdsLastApplied(v any) bool {
	m, _ := v.(map[string]any)
	_, ok := m["kubectl.kubernetes.io/last-applied-configuration"]
	return ok
}

// isServerPath reports whether path is one that no manifest sets, or that
// makes an object another one.
func isServerPath(path string) bool {
	for _, p := range []string{
		"/apiVersion", "/kind", "/status", "/metadata/name", "/metadata/namespace", "/metadata/managedFields",
		"/metadata/uid", "/metadata/resourceVersion", "/metadata/generation", "/metadata/creationTimestamp",
		"/metadata/deletionTimestamp", "/metadata/deletionGracePeriodSeconds", "/metadata/selfLink",
		"/metadata/ownerReferences", "/metadata/generateName",
		"/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
	} {
		if path == p || strings.HasPrefix(path, p+"/") {
			return true
		}
	}
	return path == "" || path == "/metadata" || path == "/spec"
}

// restore returns the command by which a person makes Git win.
func restore(t kspec.Target, f kspec.Finding) string {
	where := f.Source.Overlay
	if f.Source.Template != "" || where == "" {
		where = t.Delivery.Path
	}
	switch t.Delivery.Engine {
	case kspec.Flux:
		return fmt.Sprintf("run: flux reconcile kustomization NAME --with-source (NAME deploys %s)", where)
	case kspec.ArgoCD:
		id := f.Object
		return fmt.Sprintf("run: argocd app sync NAME --resource %s:%s:%s (NAME deploys %s)",
			id.Group, id.Kind, strings.TrimPrefix(id.Namespace+"/"+id.Name, "/"), where)
	default:
		return fmt.Sprintf("run: kubectl apply --server-side --force-conflicts --field-manager=%s -k %s", t.Delivery.FieldManager, where)
	}
}

func engineName(e kspec.Engine) string {
	switch e {
	case kspec.Flux:
		return "Flux"
	case kspec.ArgoCD:
		return "Argo CD"
	default:
		return "whoever applies the repository"
	}
}
