package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cloudcwfranck/kspec"
)

// besides says, a line each, what a report tells besides its findings: how
// many requirements and controls hold, which policies are enforced, and what
// else the reader must know. Nothing in it is clean yet.
func besides(rep kspec.Report) []string {
	var lines []string
	if len(rep.Checks) > 0 {
		lines = append(lines, requirements(rep))
	}
	if len(rep.Controls) > 0 {
		lines = append(lines, controls(rep.Controls))
	}
	if p := rep.Policies; p != nil {
		lines = append(lines, fmt.Sprintf("policies in the cluster: %d enforced, %d that only warn or record", p.Enforced, p.Audited))
	}
	for _, s := range rep.Coverage.SuppressedBy {
		line := "suppressed: " + plural(s.Count, "difference")
		if len(s.Paths) > 0 {
			line += " at " + strings.Join(s.Paths, ", ")
		}
		lines = append(lines, line+": "+s.Reason)
	}
	if rep.InForce != nil {
		lines = append(lines, inForce(*rep.InForce))
	}
	for _, note := range rep.Notes {
		lines = append(lines, "note: "+note)
	}
	return lines
}

// inForce says what the policies are, why, and how long.
func inForce(p kspec.InForce) string {
	line := "policies in force: mode " + string(p.Mode)
	if p.Mode == kspec.Off {
		line = "policies in force: none"
	}
	if p.Outside {
		line += ", outside of the times at which they act"
	}
	if !p.Until.IsZero() {
		line += ", until " + p.Until.UTC().Format(time.RFC3339)
	}
	return line
}

// scoreOf returns how many of a hundred requirements hold, "" when none could be
// looked at.
func scoreOf(rep kspec.Report) string {
	score, ok := rep.Score()
	if !ok {
		return ""
	}
	return strconv.Itoa(score)
}

func requirements(rep kspec.Report) string {
	names := map[kspec.CheckStatus][]string{}
	for _, c := range rep.Checks {
		names[c.Status] = append(names[c.Status], c.Name)
	}
	line := fmt.Sprintf("requirements: %d of %s hold", len(names[kspec.CheckPass]), plural(len(rep.Checks), "check"))
	if score := scoreOf(rep); score != "" {
		line += ", score " + score
	}
	if failed := names[kspec.CheckFail]; len(failed) > 0 {
		line += "; failed: " + strings.Join(failed, ", ")
	}
	if unknown := names[kspec.CheckUnknown]; len(unknown) > 0 {
		line += "; unknown: " + strings.Join(unknown, ", ")
	}
	return line
}

func controls(all []kspec.ControlResult) string {
	count := map[kspec.CheckStatus]int{}
	for _, c := range all {
		count[c.Status]++
	}
	return fmt.Sprintf("controls: %d of %d met, %d not, %d unknown",
		count[kspec.CheckPass], len(all), count[kspec.CheckFail], count[kspec.CheckUnknown])
}
