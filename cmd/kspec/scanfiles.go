package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/policy"
	"github.com/cloudcwfranck/kspec/policy/cel"
	"github.com/cloudcwfranck/kspec/render"
)

// manifests are objects that are looked at without a cluster.
type manifests struct {
	path     string
	objects  []kspec.Object
	unknown  []kspec.Unknown
	compiler *cel.Compiler
}

// scanFiles evaluates the rules of t on objects in files. Whether they are
// delivered to deny, and for which engine, makes no difference, and what
// exemptions waive is found like everything else, and marked.
func (w *wiring) scanFiles(ctx context.Context, t kspec.Target, m *manifests) (kspec.Report, error) {
	start := time.Now()
	rep := kspec.Report{
		Target: t.Name, Cluster: m.path, Revision: t.Revision, StartedAt: start,
		Coverage: kspec.Coverage{Objects: len(m.objects)}, Unknown: slices.Clone(m.unknown),
	}
	set, err := w.rules(ctx, t, m, &rep)
	if err != nil {
		return kspec.Report{}, err
	}
	decide, err := policy.Of(t)
	if err != nil {
		return kspec.Report{}, err
	}
	labels := labelsOfNamespaces(m.objects)
	for _, o := range m.objects {
		if err := ctx.Err(); err != nil {
			return kspec.Report{}, err
		}
		// A Namespace lies in itself, and what lies in none needs no labels.
		about := policy.Object{ID: o.ID(), Labels: labelsOf(o), NamespaceLabels: labels[cmp.Or(o.GetNamespace(), o.GetName())]}
		d := decide.Decide(about, start)
		results := set.Evaluate(ctx, o.Unstructured, about.NamespaceLabels)
		if d.Assumed != "" && len(results) > 0 {
			rep.Notes = append(rep.Notes, d.Assumed)
		}
		for _, r := range results {
			switch {
			case r.Verdict == cel.Fail:
				rep.Findings = append(rep.Findings, broken(o, r))
			case r.Verdict != cel.Pass && d.InScope && d.WaivedBy == "":
				rep.Unknown = append(rep.Unknown, kspec.Unknown{Object: o.ID(), Source: o.Source, Reason: "rule " + r.Rule + ": " + r.Reason, Lasting: true})
			}
		}
	}
	rep.Notes = few(rep.Notes)
	rep.Duration = time.Since(start)
	return w.reconciler.Waiver.Waive(t, kspec.Desired{}, rep.Treated(t).With())
}

// few returns notes sorted, and of many only the first: there may be one for
// each namespace.
func few(notes []string) []string {
	const most = 10
	slices.Sort(notes)
	notes = slices.Compact(notes)
	if more := len(notes) - most; more > 0 {
		notes = append(notes[:most:most], fmt.Sprintf("and %d more such", more))
	}
	return notes
}

// rules renders and compiles the policies of t. It adds to rep what of them
// cannot be evaluated.
func (w *wiring) rules(ctx context.Context, t kspec.Target, m *manifests, rep *kspec.Report) (*cel.Set, error) {
	t.Overlays, t.Waiving, t.Delivery.Policies = nil, nil, kspec.VAP
	if t.Enforcement != kspec.Audit {
		t.Enforcement = kspec.Enforce
	}
	want, err := w.renderer.Render(ctx, t, w.checkout.tree)
	if err != nil {
		return nil, err
	}
	rep.Unknown = append(rep.Unknown, want.Unknown...)
	var all []*unstructured.Unstructured
	for _, o := range slices.Concat(want.Objects, ofKind(m.objects, "CustomResourceDefinition")) {
		all = append(all, o.Unstructured)
	}
	set, err := m.compiler.Compile(all...)
	if err != nil {
		return nil, err
	}
	others := foreign(want.Objects)
	for _, o := range others {
		rep.Unknown = append(rep.Unknown, kspec.Unknown{
			Object: o.ID(), Source: o.Source, Reason: "a policy of another engine, which only that can evaluate", Lasting: true,
		})
	}
	if len(set.Rules())+len(others)+len(want.Unknown) == 0 {
		return nil, kspec.WithHint(fmt.Errorf("ClusterSpec %s has no rules", t.Name),
			"name a policyTemplate with rules in it, or choose other ClusterSpecs by --spec")
	}
	return set, nil
}

// foreign returns the policies of engines that are not the API server.
func foreign(objects []kspec.Object) []kspec.Object {
	var policies []kspec.Object
	for _, o := range objects {
		group := o.ID().Group
		if group == "kyverno.io" || strings.HasSuffix(group, ".kyverno.io") || strings.HasSuffix(group, ".gatekeeper.sh") {
			policies = append(policies, o)
		}
	}
	return policies
}

func ofKind(objects []kspec.Object, kind string) []kspec.Object {
	return slices.DeleteFunc(slices.Clone(objects), func(o kspec.Object) bool { return o.GetKind() != kind })
}

// broken is the finding of an object that breaks a rule.
func broken(o kspec.Object, r cel.Result) kspec.Finding {
	severity := r.Severity
	if severity.Rank() == 0 {
		severity = kspec.Medium
	}
	return kspec.Finding{
		Type: kspec.TypeCompliance, Verdict: kspec.Violation, Severity: severity, Object: o.ID(), Labels: labelsOf(o), Source: o.Source,
		Message: r.Message, Hint: "the rule is " + r.Rule + ", of policy " + r.Policy, Controls: append([]string{}, r.Controls...),
		Evidence: map[string]any{"policy": r.Policy, "rule": r.Rule},
	}.Fingerprinted()
}

func labelsOf(o kspec.Object) map[string]string {
	if labels := o.GetLabels(); labels != nil {
		return labels
	}
	return map[string]string{}
}

// labelsOfNamespaces returns the labels of the Namespaces among objects.
func labelsOfNamespaces(objects []kspec.Object) map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, o := range objects {
		if id := o.ID(); id.Kind == "Namespace" && id.Group == "" {
			all[id.Name] = labelsOf(o)
		}
	}
	return all
}

// mostManifest bounds a file of manifests, and mostNodes what one document of it
// holds: a list may be all that a cluster has.
const (
	mostManifest = 64 << 20
	mostNodes    = 10 << 20
)

// readManifests returns the objects in a file, in the YAML and JSON files of a
// folder and those below, or in what is read of standard input for "-". Hidden
// files and kustomizations are passed over.
func (a *app) readManifests(path string) (*manifests, error) {
	m := &manifests{path: path, compiler: cel.New()}
	err := m.walk(a, path)
	if err == nil && len(m.objects)+len(m.unknown) == 0 {
		err = fmt.Errorf("there are no objects in %s", m.path)
	}
	return m, err
}

func (m *manifests) walk(a *app, path string) error {
	if path == "-" {
		m.path = "stdin"
		return m.read(a.in, m.path)
	}
	return filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == path && !entry.IsDir():
			return m.open(name)
		case name != path && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.Type().IsRegular() && isManifest(entry.Name()):
			return m.open(name)
		}
		return nil
	})
}

// isManifest reports whether a file of a folder may hold objects.
func isManifest(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) &&
		!slices.Contains([]string{"kustomization.yaml", "kustomization.yml"}, name)
}

func (m *manifests) open(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read
	return m.read(file, filepath.ToSlash(name))
}

func (m *manifests) read(from io.Reader, name string) error {
	data, err := io.ReadAll(io.LimitReader(from, mostManifest+1))
	if err != nil {
		return err
	}
	if len(data) > mostManifest {
		return fmt.Errorf("%s is larger than %d bytes", name, mostManifest)
	}
	objects, unknown := render.Manifests(name, data, render.Limits{Nodes: mostNodes})
	m.objects, m.unknown = append(m.objects, objects...), append(m.unknown, unknown...)
	return nil
}
