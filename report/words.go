package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cloudcwfranck/kspec"
)

// clean spells out what would not be seen or would be obeyed: control
// characters, escape sequences, bidirectional overrides, broken UTF-8, and the
// marks that make CI runners take a line for a command.
func clean(s string) string {
	if utf8.ValidString(s) && printable(s) && !strings.Contains(s, "##") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
		i += n
	}
	return commands.Replace(b.String())
}

var commands = strings.NewReplacer("##[", `#\x23[`, "##vso[", `#\x23vso[`)

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) })
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// ago says in words how long before now t was, and the day when that is long.
func ago(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case d < time.Minute:
		return "just now"
	case d < 30*24*time.Hour:
		return long(d) + " ago"
	default:
		return "on " + t.UTC().Format(time.DateOnly)
	}
}

// long says a duration in words, in its largest unit.
func long(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return plural(int(d/time.Second), "second")
	case d < time.Hour:
		return plural(int(d/time.Minute), "minute")
	case d < 2*day:
		return plural(int(d/time.Hour), "hour")
	default:
		return plural(int(d/day), "day")
	}
}

// who says in words who wrote a field and when, or "" when nobody knows.
func who(f kspec.Field, now time.Time) string {
	s := writer(f)
	if s == "" {
		return ""
	}
	if !f.Time.IsZero() {
		s = ago(f.Time, now) + " " + s
	}
	if f.AppliedAfter {
		s += "; the applier has written since, and left it"
	}
	return s
}

// writer names the account that wrote a field, the tool, or both.
func writer(f kspec.Field) string {
	var s string
	switch {
	case f.Principal != "" && f.Manager != "":
		s = "by " + clean(f.Principal) + " with " + clean(f.Manager)
	case f.Principal != "":
		s = "by " + clean(f.Principal)
	case f.Manager == "":
		return ""
	case f.ByPerson:
		s = "by " + clean(f.Manager) + " (a person's tool)"
	default:
		s = "by " + clean(f.Manager)
	}
	if f.Subresource != "" {
		s += " through /" + clean(f.Subresource)
	}
	return s
}

// deleted says in words who deleted a missing object and when, or "".
func deleted(f kspec.Finding, now time.Time) string {
	switch {
	case f.DeletedBy == "":
		return ""
	case f.DeletedAt.IsZero():
		return "deleted by " + clean(f.DeletedBy)
	default:
		return "deleted " + ago(f.DeletedAt, now) + " by " + clean(f.DeletedBy)
	}
}

// standing says for how long a finding has stood, or "" when nobody remembers.
func standing(f kspec.Finding, now time.Time) string {
	switch {
	case f.Seen == 0 || f.FirstSeen.IsZero():
		return ""
	case f.Seen == 1:
		return "new"
	default:
		return "for " + long(max(now.Sub(f.FirstSeen), 0)) + ", seen " + plural(f.Seen, "time")
	}
}

// place returns "file:line", "file" or "".
func place(s kspec.Source) string {
	switch {
	case s.File == "" && s.Template != "":
		return "template " + clean(s.Template)
	case s.File == "" || s.Line == 0:
		return clean(s.File)
	default:
		return clean(s.File) + ":" + strconv.Itoa(s.Line)
	}
}

// headline says in one sentence what is wrong. Where the fields say it
// themselves, counting them is enough.
func headline(f kspec.Finding) string {
	n := len(f.Fields)
	switch {
	case n > 0 && f.Verdict == kspec.Changed:
		return plural2(n, "field differs from Git", "fields differ from Git")
	case n > 0 && f.Verdict == kspec.ExtraField:
		return plural(n, "field") + " that Git does not set"
	default:
		return f.Message
	}
}

// ruleOf names what a finding breaks: a requirement, the rule of a policy, or
// else its verdict.
func ruleOf(f kspec.Finding) string {
	rule, _ := f.Evidence["rule"].(string)
	return cmp.Or(clean(f.Check), clean(rule), string(f.Verdict))
}

// waived says why a finding is not open, or "".
func waived(f kspec.Finding) string {
	switch {
	case f.WaivedBy == nil:
		return ""
	case f.Notice:
		return "a notice, nothing is wrong yet"
	default:
		return "waived by " + clean(*f.WaivedBy)
	}
}

// change tells a difference in one line.
func change(d kspec.Field) string {
	was, is := valuesOf(d)
	if d.Desired == nil {
		was = "(not in Git)"
	}
	if d.Live == nil {
		is = "(gone)"
	}
	return clean(pathOf(d)) + ": " + was + " -> " + is
}

// nameOf names what could not be looked at: an object, a place in Git, or all.
func nameOf(u kspec.Unknown) string {
	if u.Object != (kspec.ObjectID{}) {
		return clean(u.Object.String())
	}
	return cmp.Or(place(u.Source), "the target")
}

// reasonOf says why u could not be looked at, without the place that [nameOf]
// tells.
func reasonOf(u kspec.Unknown) string {
	return strings.TrimPrefix(u.Reason, place(u.Source)+": ")
}

func cleanAll(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = clean(l)
	}
	return out
}

// heading names target, cluster and revision.
func heading(rep kspec.Report) string {
	s := clean(rep.Target)
	if rep.Cluster != "" {
		s += " · cluster " + clean(rep.Cluster)
	}
	return s + " · " + short(rep.Revision)
}

func short(r kspec.Revision) string {
	commit := r.Commit
	if len(commit) > 10 {
		commit = commit[:10]
	}
	switch {
	case commit == "":
		return "worktree"
	case r.Branch == "":
		return clean(commit)
	default:
		return clean(r.Branch + "@" + commit)
	}
}

// round makes a duration short to read.
func round(d time.Duration) time.Duration {
	if d >= time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}

// verdict says in one sentence what the look came to.
func verdict(rep kspec.Report) string {
	objects := plural(rep.Coverage.Objects, "object")
	alone := rep.Coverage.DecidedBy == nil && len(rep.Checks) > 0 // nothing was compared
	if alone {
		objects = plural(len(rep.Checks), "check")
	}
	if rep.InSync() && alone {
		return "all requirements hold"
	}
	if rep.InSync() {
		return "in sync: " + objects
	}
	open := rep.Open()
	if len(open) == 0 {
		return fmt.Sprintf("nothing found wrong in %s, but the look was not complete", objects)
	}
	what, n := wrong(rep, open)
	if n == len(open) {
		return what + ": " + severities(open)
	}
	return what + ": " + severities(open) + " findings" // more than one of an object
}

// wrong names what is wrong, and counts it.
func wrong(rep kspec.Report, open []kspec.Finding) (what string, n int) {
	drifted := map[kspec.ObjectID]bool{}
	all := rep.Coverage.Objects // of Git; others that drifted come on top
	var violations, unsigned int
	for _, f := range open {
		if f.Verdict == kspec.ExtraObject {
			all++
		}
		switch f.Verdict {
		case kspec.Violation:
			violations++
		case kspec.Unsigned:
			unsigned++
		case kspec.Missing, kspec.Changed, kspec.ExtraField, kspec.ExtraObject, kspec.OwnerConflict:
			drifted[f.Object] = true
		}
	}
	var parts []string
	if n := len(drifted); n > 0 {
		parts = append(parts, fmt.Sprintf("%s drifted of %d", plural(n, "object"), all))
	}
	if violations > 0 {
		parts = append(parts, plural(violations, "violation"))
	}
	if unsigned > 0 {
		parts = append(parts, plural(unsigned, "unsigned image"))
	}
	return strings.Join(parts, ", "), len(drifted) + violations + unsigned
}

// severities counts findings, the gravest first.
func severities(open []kspec.Finding) string {
	counts := map[kspec.Severity]int{}
	for _, f := range open {
		counts[f.Severity]++
	}
	var parts []string
	for _, s := range slices.Backward(kspec.Severities()) {
		if n := counts[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	return strings.Join(parts, ", ")
}

// cost says how old the look is, what it left out and what it took.
func cost(rep kspec.Report) string {
	c := rep.Coverage
	var parts []string
	if age := rep.StartedAt.Sub(rep.ObservedAt); !rep.ObservedAt.IsZero() && age >= time.Second {
		parts = append(parts, "up to "+long(age)+" old")
	}
	parts = append(parts, strconv.Itoa(len(rep.Unknown))+" unknown")
	if c.Suppressed > 0 {
		parts = append(parts, strconv.Itoa(c.Suppressed)+" suppressed")
	}
	if c.Waived > 0 {
		parts = append(parts, strconv.Itoa(c.Waived)+" waived")
	}
	if c.CrossChecked > 0 {
		parts = append(parts, strconv.Itoa(c.CrossChecked)+" cross-checked")
	}
	if c.Disagreed > 0 {
		parts = append(parts, strconv.Itoa(c.Disagreed)+" of them in disagreement")
	}
	return fmt.Sprintf("%s; %s, %s, %s in %s", strings.Join(parts, ", "),
		plural(c.Requests.List, "list"), plural(c.Requests.Get, "get"), plural2(c.Requests.Patch, "patch", "patches"),
		round(rep.Duration))
}

func plural2(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
