package require_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
)

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
