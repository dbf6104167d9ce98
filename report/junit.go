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
// looked at, a test that passes for each requirement that holds, and one when
// there is nothing else. No two tests have one name, for CI systems show only
// one of them.

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Time     string       `xml:"time,attr"`
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
	var took time.Duration
	for _, rep := range reports {
		s := junitSuiteOf(rep, o)
		all.Tests, all.Failures, all.Errors, all.Skipped = all.Tests+s.Tests, all.Failures+s.Failures, all.Errors+s.Errors, all.Skipped+s.Skipped
		all.Suites = append(all.Suites, s)
		took += rep.Duration
	}
	all.Time = seconds(took)
	b, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, err
	}
	return []byte(xml.Header + string(b) + "\n"), nil
}

func junitSuiteOf(rep kspec.Report, o Options) junitSuite {
	s := junitSuite{
		Name: clean(rep.Target), Time: seconds(rep.Duration),
		Timestamp: rep.StartedAt.UTC().Format("2006-01-02T15:04:05"),
		Properties: []junitProperty{
			{"cluster", clean(rep.Cluster)},
			{"revision", clean(rep.Revision.String())},
			{"objects", fmt.Sprint(rep.Coverage.Objects)},
			{"complete", fmt.Sprint(rep.Complete())},
		},
	}
	if score := scoreOf(rep); score != "" {
		s.Properties = append(s.Properties, junitProperty{"score", score})
	}
	names := map[string]int{}
	add := func(c junitCase, src kspec.Source) {
		if names[c.Name]++; names[c.Name] > 1 {
			c.Name += fmt.Sprintf(" #%d", names[c.Name])
		}
		c.Class, c.File, c.Line, c.Time = s.Name, clean(src.File), src.Line, seconds(0)
		s.Cases = append(s.Cases, c)
	}
	for _, f := range rep.Findings {
		c := junitCase{Name: clean(f.Object.String()) + ": " + ruleOf(f)}
		if f.WaivedBy != nil {
			s.Skipped++
			c.Skipped = &junitMessage{Message: clean(f.Message) + aside(waived(f))}
		} else {
			s.Failures++
			c.Failure = &junitMessage{Message: clean(f.Message), Type: string(f.Severity), Text: junitText(f, o.now(rep))}
		}
		add(c, f.Source)
	}
	for _, u := range rep.Unknown {
		s.Errors++
		add(junitCase{Name: nameOf(u) + ": Unknown", Error: &junitMessage{Message: clean(reasonOf(u)), Type: "Unknown"}}, u.Source)
	}
	for _, c := range rep.Checks {
		if c.Status == kspec.CheckPass {
			add(junitCase{Name: c.Name + " holds"}, kspec.Source{})
		}
	}
	if len(s.Cases) == 0 {
		add(junitCase{Name: plural(rep.Coverage.Objects, "object") + " in sync"}, kspec.Source{})
	}
	s.Tests = len(s.Cases)
	return s
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

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
