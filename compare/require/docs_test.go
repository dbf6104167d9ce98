package require_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
)

// The account that deploy/access makes may read whatever the checks read.
func TestTheAccountMayReadWhatIsRead(t *testing.T) {
	data, err := os.ReadFile("../../deploy/access/clusterrole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	role, _, _ := strings.Cut(string(data), "\n---\n")
	var granted rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict([]byte(role), &granted); err != nil {
		t.Fatal(err)
	}
	m := cluster(t, namespaces("web"), "{apiVersion: policies.kyverno.io/v1, kind: ValidatingPolicy, metadata: {name: a}}")
	m.asked = map[schema.GroupKind]bool{}
	look(t, m, everything+", policyTemplate: {name: security-baseline}}")
	for kind := range m.asked {
		resource, _ := meta.UnsafeGuessKindToResource(kind.WithVersion("v1"))
		if kind.Kind == "NodeMetrics" {
			resource.Resource = "nodes"
		}
		if !slices.ContainsFunc(granted.Rules, func(r rbacv1.PolicyRule) bool {
			return slices.Contains(r.APIGroups, kind.Group) && slices.Contains(r.Verbs, "list") &&
				(slices.Contains(r.Resources, resource.Resource) || slices.Contains(r.Resources, "*"))
		}) {
			t.Errorf("the account may not list %s", resource.GroupResource())
		}
	}
	if len(m.asked) < 15 {
		t.Errorf("only %d kinds were read", len(m.asked))
	}
}

// The example demands something of every check, and the text tells of each.
func TestTheDocsShowEveryCheck(t *testing.T) {
	data, err := os.ReadFile("../../docs/requirements.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	example := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(text)
	docs, errs := v1alpha1.Decode("example.yaml", []byte(example[1]))
	if len(errs) > 0 || len(docs) != 1 {
		t.Fatal(errs)
	}
	target, err := docs[0].Object.(*v1alpha1.ClusterSpec).Target(docs[0].Source, kspec.Revision{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(checks(), target.Requirements.Checks()); diff != "" {
		t.Errorf("the example demands (-want +got):\n%s", diff)
	}
	for _, name := range kspec.CheckNames() {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("the text does not name %s", name)
		}
	}
}
