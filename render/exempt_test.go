package render_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/policy"
	"github.com/cloudcwfranck/kspec/render"
	"github.com/cloudcwfranck/kspec/test/kube"
)

// exempting is a target that enforces in two namespaces, with exemptions of
// every form, one that has expired and one whose text looks like CEL.
func exempting(now time.Time) kspec.Target {
	selects := func(operator metav1.LabelSelectorOperator, values ...string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "example.com/tier", Operator: operator, Values: values}}}
	}
	exempt := func(name string, end time.Duration, namespaces []string, resources ...kspec.ExemptResource) kspec.Exemption {
		return kspec.Exemption{Name: name, Reason: "because", Approver: "octocat", ExpiresAt: now.Add(end), Namespaces: namespaces, Resources: resources}
	}
	type resource = kspec.ExemptResource
	return kspec.Target{
		Name: "exempting", Enforcement: kspec.Enforce, Delivery: kspec.Delivery{FieldManager: "kubectl"},
		Scope:     kspec.Scope{Include: []string{"exempt-a", "exempt-b"}},
		Templates: []kspec.TemplateUse{{Name: "security-baseline"}},
		Exemptions: []kspec.Exemption{
			exempt("jobs", time.Hour, []string{"exempt-a"}, resource{Kind: "Job"}),
			exempt("one", time.Hour, nil, resource{Kind: "Deployment", Namespace: "exempt-b", Name: "one"}, resource{Kind: "Pod", Name: "one"}),
			exempt("in", time.Hour, nil, resource{Kind: "StatefulSet", Labels: selects(metav1.LabelSelectorOpIn, "front", `q"`)}),
			exempt("none", time.Hour, []string{"exempt-b"}, resource{Kind: "DaemonSet", Labels: selects(metav1.LabelSelectorOpDoesNotExist)}),
			exempt("not", time.Hour, []string{"exempt-b"}, resource{Kind: "ReplicaSet", Labels: selects(metav1.LabelSelectorOpNotIn, "front")}),
			exempt("is", time.Hour, []string{"exempt-b"}, resource{Kind: "CronJob", Labels: &metav1.LabelSelector{MatchLabels: map[string]string{"example.com/tier": "front"}}}),
			exempt("expired", -time.Second, []string{"exempt-a", "exempt-b"}),
			exempt("text", time.Hour, nil, resource{Name: `") || true || ("`}),
		},
	}
}

// The API server lets pass exactly what is decided to be exempt.
func TestTheClusterExemptsWhatIsDecidedToBeExempt(t *testing.T) {
	c := kube.Shared(t).Client(t)
	now := time.Now()
	target, err := policy.At(exempting(now), now)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range target.Scope.Include {
		if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range mustRender(t, target, fstest.MapFS{}).Objects {
		if o.GetKind() == "Namespace" {
			continue // its labels would deny before the policies do
		}
		if err := c.Create(t.Context(), o.DeepCopy()); err != nil {
			t.Fatalf("create %s: %v", o.ID(), err)
		}
		t.Cleanup(func() { _ = c.Delete(context.WithoutCancel(t.Context()), o.Unstructured) })
	}
	p, err := policy.Of(target)
	if err != nil {
		t.Fatal(err)
	}
	spec := good()
	spec.HostNetwork = true
	waived, denied := 0, 0
	for _, namespace := range target.Scope.Include {
		for _, name := range []string{"one", "two"} {
			for _, tier := range []string{"", "front", "back"} {
				for kind, object := range makers(namespace, spec) {
					object.SetName(name)
					labels := map[string]string{}
					if tier != "" {
						labels["example.com/tier"] = tier
						object.SetLabels(labels)
					}
					d := p.Decide(policy.Object{
						ID: kspec.ObjectID{Kind: kind, Namespace: namespace, Name: name}, Labels: labels,
					}, now)
					eventually(t, fmt.Sprintf("%s %s/%s of tier %q", kind, namespace, name, tier), func() error {
						err := c.Create(t.Context(), object.DeepCopyObject().(client.Object), client.DryRunAll)
						switch isDenied := err != nil && strings.Contains(err.Error(), "'kspec-exempting-host-network'"); {
						case err != nil && !isDenied:
							return err
						case isDenied == (d.WaivedBy != ""):
							return fmt.Errorf("waived by %q, but denied is %t", d.WaivedBy, isDenied)
						}
						return nil
					})
					if d.WaivedBy == "" {
						denied++
					} else {
						waived++
					}
				}
			}
		}
	}
	if waived < 20 || denied < 20 {
		t.Errorf("hardly a test: %d waived, %d denied", waived, denied)
	}
}

func TestExemptionsOfAPolicyThatHasOtherConditions(t *testing.T) {
	const head = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: p}\nspec:\n  matchConditions: "
	now := time.Now()
	for conditions, want := range map[string]int{"[{name: own, expression: \"true\"}]": 2, "[]": 1, "{name: own}": 0} {
		target := exempting(now)
		target.Templates = []kspec.TemplateUse{{Name: "own"}}
		target, err := policy.At(target, now)
		if err != nil {
			t.Fatal(err)
		}
		got, err := render.New(render.Options{}).Render(t.Context(), target, kspec.Tree{FS: fstest.MapFS{
			"templates/own/kustomization.yaml": {Data: []byte("resources: [p.yaml]\n")},
			"templates/own/p.yaml":             {Data: []byte(head + conditions + "\n")},
			"templates/own/template.yaml":      {Data: []byte("apiVersion: kspec.io/v1alpha1\nkind: PolicyTemplate\nmetadata: {name: own}\nspec: {}\n")},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if want == 0 {
			if len(got.Unknown) != 1 || !strings.Contains(got.Unknown[0].Reason, "ValidatingAdmissionPolicy kspec-exempting-p") {
				t.Errorf("%s: unknown %+v", conditions, got.Unknown)
			}
			continue
		}
		spec, _ := got.Objects[0].Object["spec"].(map[string]any)
		if have, _ := spec["matchConditions"].([]any); len(have) != want || len(got.Unknown) > 0 {
			t.Errorf("%s: %d conditions, unknown %v", conditions, len(have), got.Unknown)
		}
	}
}
