package require_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/compare/require"
	"github.com/cloudcwfranck/kspec/policy"
)

// made is a cluster of objects. It has the kinds of which it holds an object,
// and those that every cluster has.
type made struct {
	host    string
	version string
	objects []*unstructured.Unstructured
	// broken are kinds that cannot be listed.
	broken map[string]bool
	lists  int
	asked  map[schema.GroupKind]bool
}

var _ require.Reader = (*made)(nil)

func (m *made) Name() string    { return "made" }
func (m *made) Address() string { return "https://" + m.host }

func (m *made) Version(context.Context) (string, error) {
	if m.broken["version"] {
		return "", errors.New("no answer")
	}
	return m.version, nil
}

func (m *made) Requests() kspec.Requests { return kspec.Requests{List: m.lists} }

func (m *made) Each(_ context.Context, kind schema.GroupKind, selector string, visit func([]byte) error) error {
	m.lists++
	if m.asked != nil {
		m.asked[kind] = true
	}
	if m.broken[kind.Kind] {
		return fmt.Errorf("list %s: forbidden", kind)
	}
	known := kind.Group == "" || strings.HasSuffix(kind.Group, ".k8s.io") && kind.Group != "metrics.k8s.io"
	for _, o := range m.objects {
		if o.GroupVersionKind().GroupKind() != kind {
			continue
		}
		known = true
		key, value, _ := strings.Cut(selector, "=")
		if selector != "" && o.GetLabels()[key] != value {
			continue
		}
		data, err := o.MarshalJSON()
		if err != nil {
			return err
		}
		if err := visit(data); err != nil {
			return err
		}
	}
	if !known {
		return &meta.NoKindMatchError{GroupKind: kind}
	}
	return nil
}

func (m *made) Pods(ctx context.Context, visit func(kspec.ObjectID, *corev1.Pod) error) error {
	return m.Each(ctx, schema.GroupKind{Kind: "Pod"}, "", func(data []byte) error {
		var pod corev1.Pod
		if err := json.Unmarshal(data, &pod); err != nil {
			return err
		}
		id := kspec.ObjectID{Version: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name}
		if owner := metav1.GetControllerOf(&pod); owner != nil {
			id.Kind, id.Name = owner.Kind, owner.Name
		}
		return visit(id, &pod)
	})
}

// cluster returns a cluster of the objects in YAML, those of a document without
// a kind being of the kind in its key "_".
func cluster(t testing.TB, texts ...string) *made {
	t.Helper()
	m := &made{version: "v1.34.1", broken: map[string]bool{}}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(strings.Join(texts, "\n---\n"))), 4096)
	for {
		u := &unstructured.Unstructured{}
		err := decoder.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			return m
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(u.Object) > 0 {
			m.objects = append(m.objects, u)
		}
	}
}

func namespaces(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "---\n{apiVersion: v1, kind: Namespace, metadata: {name: %s}}\n", name)
	}
	return b.String()
}

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// targetOf returns the target of a ClusterSpec with the spec.
func targetOf(t testing.TB, spec string) kspec.Target {
	t.Helper()
	docs, errs := v1alpha1.Decode("prod.yaml", []byte("apiVersion: kspec.io/v1alpha1\nkind: ClusterSpec\nmetadata: {name: prod}\nspec: "+spec+"\n"))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	target, err := docs[0].Object.(*v1alpha1.ClusterSpec).Target(docs[0].Source, kspec.Revision{})
	if err != nil {
		t.Fatal(err)
	}
	if target, err = policy.At(target, now); err != nil {
		t.Fatal(err)
	}
	return target
}

// look scans m for the spec, as it is at noon.
func look(t testing.TB, m *made, spec string) kspec.Report {
	t.Helper()
	readers := require.ReadersFunc(func(context.Context, kspec.Target) (require.Reader, error) { return m, nil })
	target := targetOf(t, spec)
	rep, err := require.New(nil, readers, func() time.Time { return now }).Look(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	if rep, err = (policy.Waiver{Now: func() time.Time { return now }}).Waive(target, kspec.Desired{}, rep); err != nil {
		t.Fatal(err)
	}
	return rep
}

// checks are those that this package makes.
func checks() []string {
	return slices.DeleteFunc(kspec.CheckNames(), func(name string) bool { return name == kspec.CheckSignatures })
}

// lines are what a report says, a line a finding.
func lines(rep kspec.Report) []string {
	var all []string
	for _, f := range rep.Findings {
		waived := ""
		if f.WaivedBy != nil {
			waived = " (waived by " + *f.WaivedBy + ")"
		}
		all = append(all, fmt.Sprintf("%s %s: %s%s", f.Severity, f.Object, f.Message, waived))
	}
	for _, u := range rep.Unknown {
		all = append(all, "unknown: "+u.Reason)
	}
	return all
}

func statusOf(t testing.TB, rep kspec.Report, check string) kspec.CheckStatus {
	t.Helper()
	for _, c := range rep.Checks {
		if c.Name == check {
			return c.Status
		}
	}
	t.Fatalf("check %s was not made: %+v", check, rep.Checks)
	return ""
}
