package report

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
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

// Bounds of a document: etcd takes objects of 1.5 MiB. What is past them goes
// into a further document, or is counted.
const (
	reportSize   = 1 << 20
	reportText   = 2048 // characters of a message or property
	reportFields = 32   // of a finding
)

// policyReportsOf returns the documents of a report by namespace. What has
// none, or no object, or one that no document can be put into, is in the first,
// which is always there.
func policyReportsOf(rep kspec.Report, kinds reportKinds) []policyReport {
	results := map[string][]policyResult{"": nil}
	gone := absent(rep)
	add := func(id kspec.ObjectID, r policyResult) {
		r.Source, r.Policy, r.Scored = "kspec", clean(rep.Target), true
		r.Timestamp = resultTime{rep.StartedAt.Unix(), int32(rep.StartedAt.Nanosecond())}
		r.Message = clip(clean(r.Message), reportText)
		if id != (kspec.ObjectID{}) {
			r.Resources = []resultObject{{id.GVK().GroupVersion().String(), id.Kind, id.Namespace, id.Name}}
		}
		namespace := id.Namespace
		if gone[namespace] || len(validation.NameIsDNSLabel(namespace, false)) > 0 {
			namespace = ""
		}
		results[namespace] = append(results[namespace], r)
	}
	for _, f := range rep.Findings {
		add(f.Object, policyResultOf(f))
	}
	for _, u := range rep.Unknown {
		add(u.Object, policyResult{Rule: "Unknown", Result: "error", Message: u.Reason})
	}
	var docs []policyReport
	for _, namespace := range slices.Sorted(maps.Keys(results)) {
		for i, part := range parts(results[namespace]) {
			docs = append(docs, policyReportOf(rep, kinds, namespace, i, part))
		}
	}
	docs[0].Summary["pass"] = passed(rep)
	if score := scoreOf(rep); score != "" {
		docs[0].Metadata.Annotations["kspec.io/score"] = score
	}
	return docs
}

// policyReportOf returns the document number i of a namespace.
func policyReportOf(rep kspec.Report, kinds reportKinds, namespace string, i int, results []policyResult) policyReport {
	doc := policyReport{
		APIVersion: kinds.apiVersion, Kind: kinds.namespaced, Results: append([]policyResult{}, results...),
		Metadata: reportMeta{
			Name: "kspec-" + nameLike(rep.Target, 240), Namespace: namespace,
			Labels:      map[string]string{"app.kubernetes.io/managed-by": "kspec", "kspec.io/target": nameLike(rep.Target, 63)},
			Annotations: map[string]string{"kspec.io/revision": rep.Revision.String(), "kspec.io/cluster": rep.Cluster},
		},
		Summary: map[string]int{"pass": 0, "fail": 0, "warn": 0, "error": 0, "skip": 0},
	}
	if namespace == "" {
		doc.Kind = kinds.cluster
	}
	if i > 0 {
		doc.Metadata.Name += fmt.Sprintf("-%d", i+1)
	}
	for _, r := range results {
		doc.Summary[r.Result]++
	}
	return doc
}

// parts divides results so that each part fits into a document; there is at
// least one.
func parts(results []policyResult) [][]policyResult {
	var all [][]policyResult
	size, begin := 0, 0
	for i, r := range results {
		text, _ := encode(r) // texts and numbers only: cannot fail
		if size += len(text); size > reportSize && i > begin {
			all = append(all, results[begin:i])
			begin, size = i, len(text)
		}
	}
	return append(all, results[begin:])
}

// absent names the namespaces that the cluster does not have.
func absent(rep kspec.Report) map[string]bool {
	names := map[string]bool{}
	for _, f := range rep.Findings {
		if f.Verdict == kspec.Missing && f.Object.Kind == "Namespace" && f.Object.Group == "" {
			names[f.Object.Name] = true
		}
	}
	return names
}

func policyResultOf(f kspec.Finding) policyResult {
	r := policyResult{
		Rule: ruleOf(f), Category: string(f.Type), Severity: f.Severity, Result: "fail", Message: f.Message,
		Properties: map[string]string{"fingerprint": f.Fingerprint},
	}
	switch {
	case f.Notice:
		r.Result = "warn"
	case f.WaivedBy != nil:
		r.Result, r.Properties["waivedBy"] = "skip", clip(clean(*f.WaivedBy), reportText)
	}
	for key, value := range map[string]string{"hint": f.Hint, "file": place(f.Source), "controls": strings.Join(f.Controls, ", ")} {
		if value != "" {
			r.Properties[key] = clip(clean(value), reportText)
		}
	}
	for i, d := range f.Fields[:min(len(f.Fields), reportFields)] {
		r.Properties[fmt.Sprintf("field%d", i+1)] = clip(change(d), reportText)
	}
	if more := len(f.Fields) - reportFields; more > 0 {
		r.Properties["moreFields"] = fmt.Sprint(more)
	}
	return r
}

// passed counts the objects of Git that nothing is wrong with and that were
// looked at.
func passed(rep kspec.Report) int {
	bad := map[kspec.ObjectID]bool{}
	for _, f := range rep.Findings {
		if f.Verdict != kspec.ExtraObject && f.Object.Kind != "ClusterSpec" { // which stands for the whole cluster
			bad[f.Object] = true
		}
	}
	for _, u := range rep.Unknown {
		if u.Object != (kspec.ObjectID{}) {
			bad[u.Object] = true
		}
	}
	return max(0, rep.Coverage.Objects-len(bad))
}

// nameLike makes a name of a Kubernetes object of s, at most so long. What is
// no such name gets a hash, so that no two become one.
func nameLike(s string, most int) string {
	if len(s) <= most && len(validation.NameIsDNSSubdomain(s, false)) == 0 {
		return s
	}
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(s)))[:8]
	name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(s), "-"), "-")
	return strings.TrimLeft(strings.TrimRight(name[:min(len(name), most-len(hash)-1)], "-")+"-"+hash, "-")
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)
