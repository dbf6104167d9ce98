package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/policy"
	"github.com/cloudcwfranck/kspec/policy/cel"
)

// scanFiles evaluates the rules that t would deliver on objects in files.
// Whether they are delivered to deny makes no difference, and what exemptions
// waive is found like everything else, and marked.
func (w *wiring) scanFiles(ctx context.Context, t kspec.Target, path string) (kspec.Report, error) {
	start := time.Now()
	objects, err := readManifests(path)
	if err != nil {
		return kspec.Report{}, fmt.Errorf("--manifests: %w", err)
	}
	if len(t.Templates) == 0 {
		return kspec.Report{}, kspec.WithHint(fmt.Errorf("ClusterSpec %s has no rules", t.Name),
			"name a policyTemplate in it, or choose other ClusterSpecs by --spec")
	}
	delivered := t
	delivered.Overlays, delivered.Enforcement, delivered.Waiving = nil, kspec.Audit, nil
	want, err := w.renderer.Render(ctx, delivered, w.checkout.tree)
	if err != nil {
		return kspec.Report{}, err
	}
	policies := make([]*unstructured.Unstructured, len(want.Objects))
	for i, o := range want.Objects {
		policies[i] = o.Unstructured
	}
	set, err := cel.New().Compile(policies...)
	if err != nil {
		return kspec.Report{}, err
	}
	decide, err := policy.Of(t)
	if err != nil {
		return kspec.Report{}, err
	}
	rep := kspec.Report{
		Target: t.Name, Cluster: path, Revision: t.Revision, StartedAt: start, Unknown: want.Unknown,
		Coverage: kspec.Coverage{Objects: len(objects)}, Notes: want.Assumed,
	}
	labels := labelsOfNamespaces(objects)
	for _, o := range objects {
		// A Namespace lies in itself, and what lies in none needs no labels.
		about := policy.Object{ID: o.ID(), Labels: labelsOf(o), NamespaceLabels: labels[cmp.Or(o.GetNamespace(), o.GetName())]}
		d := decide.Decide(about, start)
		if d.Assumed != "" {
			rep.Notes = append(rep.Notes, d.Assumed)
		}
		for _, r := range set.Evaluate(ctx, o.Unstructured, about.NamespaceLabels) {
			switch {
			case r.Verdict == cel.Fail:
				rep.Findings = append(rep.Findings, broken(o, r))
			case r.Verdict != cel.Pass && d.InScope && d.WaivedBy == "":
				rep.Unknown = append(rep.Unknown, kspec.Unknown{Object: o.ID(), Source: o.Source, Reason: "rule " + r.Rule + ": " + r.Reason, Lasting: true})
			}
		}
	}
	slices.Sort(rep.Notes)
	rep.Notes = slices.Compact(rep.Notes)
	rep.Duration = time.Since(start)
	return w.reconciler.Waiver.Waive(t, kspec.Desired{}, rep.Treated(t).With())
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

// mostManifest bounds a file of manifests.
const mostManifest = 16 << 20

// readManifests returns the objects in a file, or in the YAML and JSON files of
// a folder and those below, in order.
func readManifests(path string) ([]kspec.Object, error) {
	var objects []kspec.Object
	err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !entry.Type().IsRegular(), name != path && !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)):
			return nil
		}
		found, err := readManifest(name)
		objects = append(objects, found...)
		return err
	})
	if err == nil && len(objects) == 0 {
		err = fmt.Errorf("there are no objects in %s", path)
	}
	return objects, err
}

func readManifest(name string) ([]kspec.Object, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(file, mostManifest+1))
	if err != nil {
		return nil, err
	}
	if len(data) > mostManifest {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, mostManifest)
	}
	var objects []kspec.Object
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		u := &unstructured.Unstructured{}
		err := decoder.Decode(&u.Object)
		switch {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		found, err := flatten(u, name)
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
	}
}

// flatten returns what a document holds: an object, the items of a list, or
// nothing.
func flatten(u *unstructured.Unstructured, name string) ([]kspec.Object, error) {
	if len(u.Object) == 0 {
		return nil, nil
	}
	if u.GetKind() == "" || u.GetAPIVersion() == "" {
		return nil, fmt.Errorf("%s holds a document without apiVersion and kind", name)
	}
	if !strings.HasSuffix(u.GetKind(), "List") || !u.IsList() {
		return []kspec.Object{{Unstructured: u, Source: kspec.Source{File: filepath.ToSlash(name)}}}, nil
	}
	var objects []kspec.Object
	err := u.EachListItem(func(item runtime.Object) error {
		one, ok := item.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("%s holds a list of what is no object", name)
		}
		found, err := flatten(one, name)
		objects = append(objects, found...)
		return err
	})
	return objects, err
}
