package report

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation"

	"github.com/cloudcwfranck/kspec"
)

// This file writes the reports that policy dashboards read from a cluster: a
// PolicyReport of wgpolicyk8s.io/v1alpha2, or a Report of
// openreports.io/v1alpha1, for each namespace, and one for what has none. They
// are YAML documents for "kubectl apply"; kspec itself never writes them.

// reportKinds are the names by which the two APIs go.
type reportKinds struct{ apiVersion, namespaced, cluster string }

func writePolicyReport(reports []kspec.Report, _ Options) ([]byte, error) {
	return writeReports(reports, reportKinds{"wgpolicyk8s.io/v1alpha2", "PolicyReport", "ClusterPolicyReport"})
}

func writeOpenReports(reports []kspec.Report, _ Options) ([]byte, error) {
	return writeReports(reports, reportKinds{"openreports.io/v1alpha1", "Report", "ClusterReport"})
}

type policyReport struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   reportMeta     `json:"metadata"`
	Summary    map[string]int `json:"summary"`
	Results    []policyResult `json:"results"`
}

type reportMeta struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace,omitempty"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

type policyResult struct {
	Source     string            `json:"source"`
	Policy     string            `json:"policy"`
	Rule       string            `json:"rule"`
	Category   string            `json:"category,omitempty"`
	Severity   kspec.Severity    `json:"severity,omitempty"`
	Result     string            `json:"result"`
	Scored     bool              `json:"scored"`
	Message    string            `json:"message"`
	Resources  []resultObject    `json:"resources,omitempty"`
	Timestamp  resultTime        `json:"timestamp"`
	Properties map[string]string `json:"properties,omitempty"`
}

type resultObject struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
}

type resultTime struct {
	Seconds int64 `json:"seconds"`
	Nanos   int32 `json:"nanos"`
}

func writeReports(reports []kspec.Report, kinds reportKinds) ([]byte, error) {
	var b bytes.Buffer
	for _, rep := range reports {
		for _, doc := range policyReportsOf(rep, kinds) {
			text, err := marshalYAML(doc)
			if err != nil {
				return nil, err
			}
			b.WriteString("---\n")
			b.Write(text)
		}
	}
	return b.Bytes(), nil
}

// policyReportsOf returns the documents of a report by namespace. What has
// none, or no object, is in the first, which is always there: a dashboard then
// sees that what it showed before is over.
func policyReportsOf(rep kspec.Report, kinds reportKinds) []policyReport {
	results := map[string][]policyResult{"": nil}
	add := func(id kspec.ObjectID, r policyResult) {
		r.Source, r.Policy, r.Scored = "kspec", rep.Target, true
		r.Timestamp = resultTime{rep.StartedAt.Unix(), int32(rep.StartedAt.Nanosecond())}
		if id != (kspec.ObjectID{}) {
			r.Resources = []resultObject{{id.GVK().GroupVersion().String(), id.Kind, id.Namespace, id.Name}}
		}
		results[id.Namespace] = append(results[id.Namespace], r)
	}
	for _, f := range rep.Findings {
		add(f.Object, policyResultOf(f))
	}
	for _, u := range rep.Unknown {
		add(u.Object, policyResult{Rule: "Unknown", Result: "error", Message: u.Reason})
	}
	var docs []policyReport
	for namespace, list := range results {
		doc := policyReport{
			APIVersion: kinds.apiVersion, Kind: kinds.namespaced, Results: append([]policyResult{}, list...),
			Metadata: reportMeta{
				Name: reportName(rep.Target), Namespace: namespace,
				Labels:      map[string]string{"app.kubernetes.io/managed-by": "kspec"},
				Annotations: map[string]string{"kspec.io/revision": rep.Revision.String(), "kspec.io/cluster": rep.Cluster},
			},
			Summary: map[string]int{"pass": 0, "fail": 0, "warn": 0, "error": 0, "skip": 0},
		}
		if namespace == "" {
			doc.Kind = kinds.cluster
			doc.Summary["pass"] = passed(rep)
		}
		for _, r := range list {
			doc.Summary[r.Result]++
		}
		docs = append(docs, doc)
	}
	slices.SortFunc(docs, func(a, b policyReport) int { return cmp.Compare(a.Metadata.Namespace, b.Metadata.Namespace) })
	return docs
}

func policyResultOf(f kspec.Finding) policyResult {
	r := policyResult{
		Rule: string(f.Verdict), Category: string(f.Type), Severity: f.Severity, Result: "fail", Message: f.Message,
		Properties: map[string]string{"fingerprint": f.Fingerprint},
	}
	if f.WaivedBy != nil {
		r.Result, r.Properties["waivedBy"] = "skip", *f.WaivedBy
	}
	for key, value := range map[string]string{"hint": f.Hint, "file": place(f.Source), "controls": strings.Join(f.Controls, ", ")} {
		if value != "" {
			r.Properties[key] = value
		}
	}
	for i, d := range f.Fields {
		r.Properties[fmt.Sprintf("field%d", i+1)] = change(d)
	}
	return r
}

// passed counts the objects that nothing is wrong with and that were looked at.
func passed(rep kspec.Report) int {
	bad := map[kspec.ObjectID]bool{}
	for _, f := range rep.Findings {
		bad[f.Object] = true
	}
	for _, u := range rep.Unknown {
		bad[u.Object] = true
	}
	return max(0, rep.Coverage.Objects-len(bad))
}

// reportName makes the name of a target one of an object.
func reportName(target string) string {
	name := "kspec-" + notInNames.ReplaceAllString(strings.ToLower(target), "-")
	name = strings.TrimRight(name[:min(len(name), 253)], "-.")
	if len(validation.NameIsDNSSubdomain(name, false)) > 0 {
		return "kspec"
	}
	return name
}

var notInNames = regexp.MustCompile(`[^a-z0-9.-]+`)
