package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestServeLooksWhenAnExemptionEnds(t *testing.T) {
	p := newPlace(t)
	end := time.Now().Add(12 * time.Second).Truncate(time.Second)
	spec := fmt.Sprintf(`apiVersion: kspec.io/v1alpha1
kind: ClusterSpec
metadata: {name: ending}
spec:
  interval: 24h
  policyExemptions:
  - {name: legacy, reason: it ends soon, approver: octocat, namespaces: [shop], expiresAt: %s}
  - {name: vendor, reason: a week is near, approver: octocat, namespaces: [shop], expiresAt: %s}
---
apiVersion: kspec.io/v1alpha1
kind: AlertConfig
metadata: {name: team}
spec:
  defaultNotifiers: [slack]
  slack:
    webhookURL: {secretRef: {name: slack-hook, key: url}}
    events: [ExemptionEnding]
`, end.UTC().Format(time.RFC3339), end.Add(7*24*time.Hour-4*time.Second).UTC().Format(time.RFC3339))
	if err := p.forge.Create("acme/ending", "main", fstest.MapFS{"spec.yaml": {Data: []byte(spec)}}); err != nil {
		t.Fatal(err)
	}
	d := p.serve(t, "--repo", p.forgeURL+"/acme/ending.git", "--read-only", "--leader-elect=false")
	eventually(t, d, "the first look", func() bool { return strings.Contains(d.text(), `"msg":"looked"`) })
	// It looks every 24 hours, and nothing changes: only the end wakes it.
	eventually(t, d, "the finding", func() bool {
		_, text := get(t, "http://"+d.metrics+"/metrics")
		return strings.Contains(text, `kspec_findings{severity="medium",target="ending",verdict="Violation"} 1`)
	})
	if time.Now().Before(end) {
		t.Errorf("found before %s:\n%s", end, d.text())
	}
	var told []string
	for _, m := range p.slack.Messages() {
		told = append(told, m.String())
	}
	if len(told) != 2 || !strings.Contains(told[0], "2 exemptions end soon") || !strings.Contains(told[0], "in less than a day") ||
		!strings.Contains(told[0], "in less than 14 days") || !strings.Contains(told[1], "in less than 7 days") {
		t.Errorf("want two alerts, and none when an exemption has ended:\n%s", strings.Join(told, "\n"))
	}
	d.stop(t)
	checkLog(t, d.text())
}

func TestServeProvesApprovals(t *testing.T) {
	p := newPlace(t)
	const spec = `apiVersion: kspec.io/v1alpha1
kind: ClusterSpec
metadata: {name: claiming}
spec:
  policyExemptions:
  - {name: legacy, reason: nobody looked, approver: ada, namespaces: [shop], expiresAt: 2099-01-01T00:00:00Z}
`
	if err := p.forge.Create("acme/claiming", "main", fstest.MapFS{"spec.yaml": {Data: []byte(spec)}}); err != nil {
		t.Fatal(err)
	}
	d := p.serve(t, "--repo", p.forgeURL+"/acme/claiming.git", "--read-only", "--leader-elect=false", "--prove-approvals")
	eventually(t, d, "the finding", func() bool {
		_, text := get(t, "http://"+d.metrics+"/metrics")
		return strings.Contains(text, `kspec_findings{severity="medium",target="claiming",verdict="Violation"} 1`)
	})
	if want := "brought it to main without a pull request"; !strings.Contains(d.text(), want) {
		t.Errorf("the log does not say that a commit %s:\n%s", want, d.text())
	}
	d.stop(t)
	checkLog(t, d.text())
}
