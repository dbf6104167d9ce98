package slack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/notify/deliver"
)

// Slack's limits, in UTF-16 units, which no count of characters exceeds.
const (
	maxHeader  = 150
	maxSection = 3000
	maxContext = 2000
	maxText    = 4000
	// maxFindings and maxFields keep a message short enough to be read, and
	// far from the size at which Slack refuses it.
	maxFindings = 5
	maxFields   = 3
	maxMessage  = 600
	maxValue    = 60
	maxName     = 200
)

type payload struct {
	Channel     string       `json:"channel,omitempty"`
	Text        string       `json:"text"`
	Blocks      []block      `json:"blocks"`
	Attachments []attachment `json:"attachments"`
}

type attachment struct {
	Color    string  `json:"color"`
	Fallback string  `json:"fallback"`
	Blocks   []block `json:"blocks"`
}

type block struct {
	Type     string `json:"type"`
	Text     *text  `json:"text,omitempty"`
	Elements []text `json:"elements,omitempty"`
}

type text struct {
	Type string `json:"type"`
	Text string `json:"text"`
	// Emoji false keeps ":name:" as it is, Verbatim true keeps names and
	// addresses from becoming links.
	Emoji    *bool `json:"emoji,omitempty"`
	Verbatim bool  `json:"verbatim,omitempty"`
}

// Payload returns the body that tells m: a header, then, beside a bar of
// colour, the findings with who changed what and when, the link to the pull
// request, and where all this is. Text from clusters and from Git can neither
// mention anyone nor make a link. The channel may be "".
func Payload(m deliver.Message, channel string) ([]byte, error) {
	title := m.Event.Title
	p := payload{
		Channel: channel,
		Text:    escape(look(m).sign+" "+title, maxText),
		Blocks:  []block{header(look(m).sign + " " + title)},
		Attachments: []attachment{{
			Color:    look(m).color,
			Fallback: cut(clean(title), maxText),
			Blocks:   details(m),
		}},
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(p)
	return bytes.TrimSpace(b.Bytes()), err
}

type style struct{ sign, color string }

func look(m deliver.Message) style {
	switch {
	case m.Event.Status == kspec.Resolved:
		return style{"✅", "#2eb67d"}
	case m.Event.Level == kspec.Urgent:
		return style{"🔴", "#e01e5a"}
	case m.Event.Level == kspec.Warning:
		return style{"🟠", "#ecb22e"}
	default:
		return style{"🔵", "#36c5f0"}
	}
}

func details(m deliver.Message) []block {
	var blocks []block
	for i, f := range m.Event.Findings {
		if i == maxFindings {
			blocks = append(blocks, section(fmt.Sprintf("_and %d more_", len(m.Event.Findings)-i)))
			break
		}
		blocks = append(blocks, section(finding(f)))
	}
	if len(blocks) == 0 && m.Event.Description != "" {
		blocks = append(blocks, section(escape(m.Event.Description, maxSection)))
	}
	if l := link(m.Event.Link); l != "" {
		blocks = append(blocks, section(l))
	}
	return append(blocks, where(m))
}

// finding says what is wrong with which object, then for each field what it
// should be, what it is, who made it so and when.
func finding(f kspec.Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%s* %s", escape(string(f.Verdict), maxName), code(f.Object.String(), maxName))
	if len(f.Fields) == 0 {
		fmt.Fprintf(&b, "\n%s", escape(f.Message, maxMessage))
	}
	for i, d := range f.Fields {
		if i == maxFields {
			fmt.Fprintf(&b, "\n_and %d more fields_", len(f.Fields)-i)
			break
		}
		fmt.Fprintf(&b, "\n%s  %s → %s%s", code(d.KeyedPath, maxName), value(d.Desired), value(d.Live), who(d))
	}
	return b.String()
}

func who(f kspec.Field) string {
	if f.Manager == "" {
		return ""
	}
	by := "\nby " + code(f.Manager, maxValue)
	if !f.Time.IsZero() {
		by += ", " + f.Time.UTC().Format(time.DateTime) + " UTC"
	}
	return by
}

func value(v any) string {
	if v == nil {
		return "_absent_"
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "_unreadable_"
	}
	return code(strings.TrimSuffix(b.String(), "\n"), maxValue)
}

func where(m deliver.Message) block {
	parts := []string{code(m.Event.Source(), maxName)}
	if m.Event.Cluster != "" {
		parts = append(parts, "cluster "+code(m.Event.Cluster, maxName))
	}
	if r := m.Event.Revision; r.Commit != "" {
		parts = append(parts, "revision "+code(strings.TrimPrefix(r.Branch+"@", "@")+r.Commit[:min(len(r.Commit), 12)], maxName))
	}
	switch since := m.Event.Time.Sub(m.Since); {
	case m.Since.IsZero() || since < time.Second:
	case m.Event.Status == kspec.Resolved:
		parts = append(parts, "after "+since.Round(time.Second).String())
	default:
		parts = append(parts, "for "+since.Round(time.Second).String())
	}
	if !m.Event.Time.IsZero() {
		parts = append(parts, m.Event.Time.UTC().Format(time.DateTime)+" UTC")
	}
	return block{Type: "context", Elements: []text{{Type: "mrkdwn", Text: cut(strings.Join(parts, " · "), maxContext), Verbatim: true}}}
}

func header(s string) block {
	s = strings.ReplaceAll(clean(s), "\n", " ")
	return block{Type: "header", Text: &text{Type: "plain_text", Text: cut(s, maxHeader), Emoji: new(bool)}}
}

// section takes mrkdwn that is escaped already and, by the limits of its
// parts, no longer than Slack allows.
func section(mrkdwn string) block {
	return block{Type: "section", Text: &text{Type: "mrkdwn", Text: mrkdwn, Verbatim: true}}
}

// link returns a link to a web page, named after what its path says it is, and
// "" for anything else.
func link(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	name := "Open"
	if n, err := strconv.Atoi(path.Base(u.Path)); err == nil {
		name = fmt.Sprintf("Pull request #%d", n)
	}
	safe := strings.NewReplacer("<", "%3C", ">", "%3E", "|", "%7C", "&", "&amp;").Replace(u.String())
	return "<" + safe + "|" + name + ">"
}
