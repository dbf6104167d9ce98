package report_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec/fixtures"
	"github.com/cloudcwfranck/kspec/report"
)

// What the other stages' tests hold as reports must be what Write writes, and
// every difference of it must be told to people, too.
func TestCasesInEveryFormat(t *testing.T) {
	for _, c := range fixtures.Cases(t, "want/report.json") {
		t.Run(c.Name, func(t *testing.T) {
			reports, err := report.Parse([]byte(c.Section("want/report.json")))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.Section("want/report.json"), write(t, "json", report.Options{}, reports...)); diff != "" {
				t.Errorf("written again, it differs (-want +got):\n%s", diff)
			}
			text := write(t, "text", report.Options{}, reports...)
			markdown := write(t, "markdown", report.Options{}, reports...)
			for _, f := range reports[0].Findings {
				if !strings.Contains(text, f.Object.String()) || !strings.Contains(markdown, f.Object.String()) {
					t.Errorf("%s is missing:\n%s\n%s", f.Object, text, markdown)
				}
				for _, d := range f.Fields {
					if !strings.Contains(text, d.KeyedPath) || !strings.Contains(markdown, d.KeyedPath) {
						t.Errorf("%s is missing:\n%s\n%s", d.KeyedPath, text, markdown)
					}
				}
			}
		})
	}
}
