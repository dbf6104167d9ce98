package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// screen is what a terminal of one line shows after what was written.
func screen(written string) string {
	lines := strings.Split(written, "\n")
	for i, line := range lines {
		if at := strings.LastIndex(line, erase); at >= 0 {
			lines[i] = line[at+len(erase):]
		}
	}
	return strings.Join(lines, "\n")
}

func TestProgressIsShownOnlyOfALongLook(t *testing.T) {
	now := time.Unix(0, 0)
	var out bytes.Buffer
	p := &progress{to: &out, terminal: true, now: func() time.Time { return now }}
	check := func(want string) {
		t.Helper()
		if got := screen(out.String()); got != want {
			t.Errorf("shows %q, want %q", got, want)
		}
	}
	p.tell(1, 10)
	check("") // no look began
	p.begin("prod\x1b[31m")
	p.tell(1, 10)
	check("")
	now = now.Add(patience)
	p.tell(5, 10)
	check(`prod\x1b[31m: 5 of 10 objects…`)
	p.tell(6, 10)
	check(`prod\x1b[31m: 5 of 10 objects…`) // too soon
	now = now.Add(redraw)
	p.tell(7, 10)
	check(`prod\x1b[31m: 7 of 10 objects…`)

	slog.New(slog.NewTextHandler(p, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})).WarnContext(t.Context(), "careful")
	check("level=WARN msg=careful\n")
	p.tell(8, 10)
	check("level=WARN msg=careful\n" + `prod\x1b[31m: 8 of 10 objects…`)
	p.begin("staging")
	check("level=WARN msg=careful\n")
	now = now.Add(patience)
	p.tell(1, 2)
	p.end()
	check("level=WARN msg=careful\n")
	now = now.Add(patience)
	p.tell(2, 2)
	check("level=WARN msg=careful\n")
}

func TestProgressIsForTerminals(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out)
	now := time.Unix(0, 0)
	p.now = func() time.Time { return now }
	p.begin("prod")
	now = now.Add(time.Hour)
	p.tell(1, 2)
	p.end()
	if _, err := p.Write([]byte("log\n")); err != nil || out.String() != "log\n" {
		t.Errorf("wrote %q, %v", out.String(), err)
	}
}
