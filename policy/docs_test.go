package policy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/policy"
)

// targetsOfTheDocs are those of each example in docs/policies.md.
func targetsOfTheDocs(t *testing.T) (text string, examples [][]kspec.Target) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "docs", "policies.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(data), -1) {
		example := m[1]
		if !strings.HasPrefix(example, "apiVersion:") {
			example = "apiVersion: kspec.io/v1alpha1\nkind: ClusterSpec\nmetadata: {name: prod}\n" + example
		}
		file := filepath.Join(t.TempDir(), "example.yaml")
		if err := os.WriteFile(file, []byte(example), 0o600); err != nil {
			t.Fatal(err)
		}
		set, errs := v1alpha1.Load(os.DirFS(filepath.Dir(file)))
		targets, more := set.Resolve(kspec.Revision{})
		if len(errs)+len(more) > 0 {
			t.Fatalf("%v %v in\n%s", errs, more, example)
		}
		examples = append(examples, targets)
	}
	return string(data), examples
}

func TestTheExamplesInTheDocsDoWhatTheySay(t *testing.T) {
	text, examples := targetsOfTheDocs(t)
	if len(examples) != 4 {
		t.Fatalf("%d examples", len(examples))
	}

	where := of(t, examples[0][0])
	for namespace, want := range map[string]bool{"shop": true, "web": true, "sandbox": false, "api": false} {
		o := policy.Object{ID: pod(namespace, "a"), NamespaceLabels: map[string]string{"tier": "front"}}
		if d := where.Decide(o, now); d.InScope != want {
			t.Errorf("namespace %s: %+v", namespace, d)
		}
	}

	when := of(t, examples[1][0])
	rows := regexp.MustCompile("(?m)^\\| `(\\d{4}-[^`]*)`[^|]*\\| (\\w+) \\|$").FindAllStringSubmatch(text, -1)
	if len(rows) != 6 {
		t.Errorf("%d rows", len(rows))
	}
	for _, row := range rows {
		if got := when.Mode(instant(row[1])); string(got) != row[2] {
			t.Errorf("at %s: %s, the docs say %s", row[1], got, row[2])
		}
	}

	whom := of(t, examples[2][0])
	checkout := policy.Object{ID: kspec.ObjectID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "checkout"}}
	for at, want := range map[string]string{"2027-03-30T23:59:59Z": "legacy-checkout", "2027-03-31T00:00:00Z": ""} {
		if d := whom.Decide(checkout, instant(at)); d.WaivedBy != want {
			t.Errorf("at %s: %+v", at, d)
		}
	}

	prod := examples[3][1]
	got := map[string]map[string]any{}
	for _, u := range prod.Templates {
		got[u.Name] = u.Parameters
	}
	want := map[string]map[string]any{
		"security-baseline": {"runAsNonRoot": false, "allowPrivilegeEscalation": false}, "compliance-strict": nil,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("templates of prod (-want +got):\n%s", diff)
	}
}

func TestTheHourThatComesTwiceInTheDocs(t *testing.T) {
	for window, minutes := range map[string]int{"02:00-02:30": 30, "01:00-03:00": 180} {
		p := of(t, during(t, "Europe/Berlin", window+" 2026-10-25..2026-10-25"))
		open := 0
		for at := instant("2026-10-24T12:00:00Z"); at.Before(instant("2026-10-26T12:00:00Z")); at = at.Add(60e9) {
			if p.Mode(at) == kspec.Enforce {
				open++
			}
		}
		if open != minutes {
			t.Errorf("%s is open for %d minutes, the docs say %d", window, open, minutes)
		}
	}
}
