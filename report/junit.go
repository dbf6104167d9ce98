package report

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	"github.com/cloudcwfranck/kspec"
)

// This file writes JUnit XML, which CI systems show as test results: a suite
// for each report; a failure for each finding, an error for what could not be
// looked at, and one test that passes when there is neither.

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	File    string        `xml:"file,attr,omitempty"`
	Line    int           `xml:"line,attr,omitempty"`
	Time    string        `xml:"time,attr"`
	Failure *junitMessage `xml:"failure"`
	Error   *junitMessage `xml:"error"`
	Skipped *junitMessage `xml:"skipped"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",cdata"`
}

func writeJUnit(reports []kspec.Report, o Options) ([]byte, error) {
	all := junitSuites{Name: "kspec"}
	for _, rep := range reports {
		s := junitSuiteOf(rep, o)
		all.Tests, all.Failures, all.Errors, all.Skipped = all.Tests+s.Tests, all.Failures+s.Failures, all.Errors+s.Errors, all.Skipped+s.Skipped
		all.Suites = append(all.Suites, s)
	}
	b, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, err
	}
	return []byte(xml.Header + string(b) + "\n"), nil
}

func junitSuiteOf(rep kspec.Report, o Options) junitSuite {
	s := junitSuite{
		Name: clean(rep.Target), Time: fmt.Sprintf("%.3f", rep.Duration.Seconds()),
		Timestamp: rep.StartedAt.UTC().Format("2006-01-02T15:04:05"),
		Properties: []junitProperty{
			{"cluster", clean(rep.Cluster)},
			{"revision", clean(rep.Revision.String())},
			{"objects", fmt.Sprint(rep.Coverage.Objects)},
			{"complete", fmt.Sprint(rep.Complete())},
		},
	}
	for _, f := range rep.Findings {
		c := junitCaseOf(rep, f.Object, f.Source, string(f.Verdict))
		if f.WaivedBy != nil {
			s.Skipped++
			c.Skipped = &junitMessage{Message: "waived by " + clean(*f.WaivedBy)}
		} else {
			s.Failures++
			c.Failure = &junitMessage{Message: clean(f.Message), Type: string(f.Severity), Text: junitText(f, o.now(rep))}
		}
		s.Cases = append(s.Cases, c)
	}
	for _, u := range rep.Unknown {
		s.Errors++
		c := junitCaseOf(rep, u.Object, u.Source, "Unknown")
		c.Error = &junitMessage{Message: clean(u.Reason), Type: "Unknown"}
		s.Cases = append(s.Cases, c)
	}
	if len(s.Cases) == 0 {
		s.Cases = []junitCase{{Name: plural(rep.Coverage.Objects, "object") + " in sync", Class: s.Name, Time: s.Time}}
	}
	s.Tests = len(s.Cases)
	return s
}

func junitCaseOf(rep kspec.Report, id kspec.ObjectID, src kspec.Source, what string) junitCase {
	name := clean(id.String())
	if id == (kspec.ObjectID{}) {
		name = place(src)
	}
	return junitCase{Name: name + ": " + what, Class: clean(rep.Target), File: clean(src.File), Line: src.Line, Time: "0.000"}
}

// junitText tells the fields of a finding, a line each.
func junitText(f kspec.Finding, now time.Time) string {
	var b strings.Builder
	for _, d := range f.Fields {
		b.WriteString("\n" + change(d))
		if by := who(d, now); by != "" {
			b.WriteString(", " + by)
		}
	}
	if at := place(f.Source); at != "" {
		b.WriteString("\nin Git: " + at)
	}
	if f.Hint != "" {
		b.WriteString("\nhint: " + clean(f.Hint))
	}
	return b.String() + "\n"
}
