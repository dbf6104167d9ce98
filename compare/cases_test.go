package compare_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/cloudcwfranck/kspec"
	v1alpha1 "github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/compare"
	"github.com/cloudcwfranck/kspec/fixtures"
	"github.com/cloudcwfranck/kspec/render"
	"github.com/cloudcwfranck/kspec/report"
)

// noon is when every look of a test takes place.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func detector(c *compare.Cluster) *compare.Detector {
	return compare.New(
		compare.ClustersFunc(func(context.Context, kspec.Target) (*compare.Cluster, error) { return c, nil }),
		compare.Options{Key: kspec.NewSecret("test"), Now: func() time.Time { return noon }},
	)
}

// targetOf returns the one target of a case.
func targetOf(t testing.TB, c fixtures.Case) kspec.Target {
	t.Helper()
	set, errs := v1alpha1.Load(c.FS("repo"))
	if len(errs) > 0 || len(set.Specs) != 1 {
		t.Fatalf("want one ClusterSpec, got %d and errors %v", len(set.Specs), errs)
	}
	target, err := set.Specs[0].Doc.Target(set.Specs[0].Source, kspec.Revision{})
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// desiredOf returns what must be, as render says.
func desiredOf(t testing.TB, c fixtures.Case, target kspec.Target) kspec.Desired {
	t.Helper()
	want, err := render.New(render.Options{}).Render(t.Context(), target, kspec.Tree{FS: c.FS("repo")})
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// json returns a report as kspec prints it, with every time set to noon.
func json(t testing.TB, rep kspec.Report) string {
	t.Helper()
	for i := range rep.Findings {
		for j := range rep.Findings[i].Fields {
			if f := &rep.Findings[i].Fields[j]; !f.Time.IsZero() {
				f.Time = noon
			}
		}
	}
	var b bytes.Buffer
	if err := report.Write(&b, "json", []kspec.Report{rep}, report.Options{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// canary is in every value of the cases that must not be seen.
const canary = "CANARY"

func TestEveryCaseReportsWhatItWants(t *testing.T) {
	for _, c := range fixtures.Cases(t) {
		t.Run(c.Name, func(t *testing.T) {
			newWorld(t).replay(c)
			target := targetOf(t, c)
			rep, err := detector(clusterOf(t, nil)).Detect(t.Context(), target, desiredOf(t, c, target))
			if err != nil {
				t.Fatal(err)
			}
			got := json(t, rep)
			if strings.Contains(got, canary) || strings.Contains(got, "Q0FOQVJZ") {
				t.Errorf("the report holds a secret:\n%s", got)
			}
			c.Golden(t, "want/report.json", got)
		})
	}
}
