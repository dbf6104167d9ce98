package main

import (
	"regexp"
	"strconv"
	"strings"
)

// command matches what CI runners take for a command at the begin of a line.
var command = regexp.MustCompile(`(?m)^([ \t]*)(::|##\[)`)

// inert returns text in which everything that came from Git, a cluster or a
// server is only text: it spells out what a terminal would obey and what would
// turn the direction of writing around, and keeps lines from being commands of
// a CI runner.
func inert(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\n' || r == '\t' || strconv.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRuneToASCII(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return command.ReplaceAllString(b.String(), `$1\$2`)
}

// inertLine is inert for what must not begin a new line.
func inertLine(text string) string { return strings.ReplaceAll(inert(text), "\n", `\n`) }
