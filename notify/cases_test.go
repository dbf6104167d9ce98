package notify_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/fixtures"
	"github.com/cloudcwfranck/kspec/report"
)

// TestCases tells each case's drift to a Slack, which refuses what Slack
// refuses, and compares what arrived.
func TestCases(t *testing.T) {
	for _, c := range fixtures.Cases(t, "want/report.json") {
		t.Run(c.Name, func(t *testing.T) {
			reports, err := report.Parse([]byte(c.Section("want/report.json")))
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t)
			d := w.dispatcher(v1alpha1.AlertConfigSpec{Slack: w.slackConfig(), DefaultNotifiers: []string{"slack"}})
			drifted := false
			for _, rep := range reports {
				for _, e := range kspec.Events(kspec.Target{Name: rep.Target, Cluster: rep.Cluster}, rep, kspec.Outcome{}) {
					if e.Type != kspec.DriftDetected {
						continue
					}
					drifted = drifted || e.Status == kspec.Firing
					if err := d.Notify(t.Context(), e); err != nil {
						t.Fatal(err)
					}
				}
			}
			messages := w.slack.Messages()
			if !drifted {
				if len(messages) != 0 || c.Has("want/slack.json") {
					t.Errorf("%d messages about no drift", len(messages))
				}
				return
			}
			var got bytes.Buffer
			if err := json.Indent(&got, messages[0].Body, "", "  "); err != nil {
				t.Fatal(err)
			}
			c.Golden(t, "want/slack.json", got.String()+"\n")
		})
	}
}
