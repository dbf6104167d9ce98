// Package report writes what a look found, in the format that its reader
// needs: text for a person, JSON and YAML for programs, Markdown for pull
// requests and job summaries, SARIF for code scanning, JUnit for CI, OSCAL for
// auditors, policy reports for dashboards. Its functions are pure: equal
// reports give equal bytes.
//
// Live objects are hostile input. No format lets a value from the cluster or
// from Git drive a terminal, a CI runner or a forge.
//
// The JSON document is a contract; see docs/reports.md.
package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cloudcwfranck/kspec"
)

// Options say how to write. The zero value works.
type Options struct {
	// Color asks for ANSI colours; only text has them.
	Color bool
	// Now is what "3 minutes ago" counts from; zero means the end of the look.
	Now time.Time
	// Width is the number of columns that text tries to keep to; 0 means 100.
	Width int
}

func (o Options) width() int {
	if o.Width <= 0 {
		return 100
	}
	return max(o.Width, 40)
}

func (o Options) now(rep kspec.Report) time.Time {
	if o.Now.IsZero() {
		return rep.StartedAt.Add(rep.Duration)
	}
	return o.Now
}

// format is a way to write; each has a file of its own.
type format struct {
	name  string
	write func(reports []kspec.Report, o Options) ([]byte, error)
}

func formats() []format {
	return []format{
		{"text", writeText},
		{"json", writeJSON},
		{"yaml", writeYAML},
		{"markdown", writeMarkdown},
		{"sarif", writeSARIF},
		{"junit", writeJUnit},
		{"oscal", writeOSCAL},
		{"policyreport", writePolicyReport},
		{"openreports", writeOpenReports},
	}
}

// Formats returns the names that Write knows, the one for people first.
func Formats() []string {
	var names []string
	for _, f := range formats() {
		names = append(names, f.name)
	}
	return names
}

// Write writes the reports to w in the named format. It writes nothing when
// it cannot write all.
func Write(w io.Writer, name string, reports []kspec.Report, o Options) error {
	for _, f := range formats() {
		if f.name != name {
			continue
		}
		out, err := f.write(reports, o)
		if err != nil {
			return fmt.Errorf("write report as %s: %w", name, err)
		}
		if _, err := w.Write(out); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		return nil
	}
	return kspec.WithHint(fmt.Errorf("write report: unknown format %q", name),
		"use one of "+strings.Join(Formats(), ", "))
}

// Marshal writes v, which has JSON tags, as "json" or "yaml" the way reports
// are: indented, and without characters that a terminal would obey.
func Marshal(format string, v any) ([]byte, error) {
	switch format {
	case "json":
		return marshal(v)
	case "yaml":
		return marshalYAML(v)
	default:
		return nil, fmt.Errorf("no document can be written as %q", format)
	}
}
