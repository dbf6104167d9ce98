package webhook

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/notify/deliver"
)

// maxFindings bounds the findings of a [Body]; maxBody bounds any body.
const (
	maxFindings = 50
	maxBody     = 256 << 10
)

// body is the JSON of docs/alerts.md. Keys may be added, never changed.
type body struct {
	ID            string            `json:"id,omitempty"`
	Type          kspec.EventType   `json:"type"`
	Status        kspec.Status      `json:"status"`
	Reason        deliver.Reason    `json:"reason,omitempty"`
	Level         kspec.Level       `json:"level"`
	Title         string            `json:"title"`
	Description   string            `json:"description,omitempty"`
	Source        string            `json:"source"`
	Cluster       string            `json:"cluster,omitempty"`
	Revision      string            `json:"revision"`
	Timestamp     time.Time         `json:"timestamp"`
	Since         time.Time         `json:"since,omitzero"`
	Link          string            `json:"link,omitempty"`
	Fingerprint   string            `json:"fingerprint,omitempty"`
	Labels        map[string]string `json:"labels"`
	FindingsTotal int               `json:"findingsTotal"`
	Findings      []kspec.Finding   `json:"findings,omitempty"`
}

// Body returns m as the JSON that a webhook without a template is sent. It
// holds as many findings as fit, at most fifty; findingsTotal counts all.
func Body(m deliver.Message) ([]byte, error) {
	e := m.Event
	b := body{
		ID: m.ID, Type: e.Type, Status: e.Status, Reason: m.Reason, Level: e.Level, Title: e.Title,
		Description: e.Description, Source: e.Source(), Cluster: e.Cluster, Revision: e.Revision.String(),
		Timestamp: e.Time.UTC(), Since: m.Since.UTC(), Link: e.Link, Fingerprint: e.Fingerprint, Labels: m.Labels,
		FindingsTotal: len(e.Findings),
	}
	for n := min(len(e.Findings), maxFindings); ; n /= 2 {
		b.Findings = e.Findings[:n]
		out, err := marshal(b)
		if err != nil || len(out) <= maxBody || n == 0 {
			return out, err
		}
	}
}

// marshal writes JSON with <, > and & as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
