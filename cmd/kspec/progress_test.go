package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
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

func TestProgressIsShownOnlyOfALongLook(t *testing.T) { synctest.Test(t, progressOfALongLook) }

func progressOfALongLook(t *testing.T) {
	var out bytes.Buffer
	p := &progress{to: &out, terminal: true}
	check := func(want string) {
		t.Helper()
		p.mu.Lock()
		defer p.mu.Unlock()
		if got := screen(out.String()); got != want {
			t.Errorf("shows %q, want %q", got, want)
		}
	}
	p.tell(1, 10)
	check("") // no look began
	p.begin("prod\x1b[31m")
	p.tell(1, 10)
	check("")
	pass(patience)
	check(`prod\x1b[31m: looking…`) // nothing is told yet
	pass(redraw)
	p.tell(5, 10)
	check(`prod\x1b[31m: 5 of 10 objects…`)
	p.tell(6, 10)
	check(`prod\x1b[31m: 5 of 10 objects…`) // too soon
	pass(redraw)
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
	pass(patience)
	p.tell(1, 2)
	p.end()
	check("level=WARN msg=careful\n")
	p.begin("quick")
	p.end()
	pass(patience)
	check("level=WARN msg=careful\n")
	p.tell(2, 2)
	check("level=WARN msg=careful\n")
}

// pass lets time pass in the bubble of a test.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestProgressIsForTerminals(t *testing.T) { synctest.Test(t, progressWithoutATerminal) }

func progressWithoutATerminal(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out)
	p.begin("prod")
	pass(time.Hour)
	p.tell(1, 2)
	p.end()
	if _, err := p.Write([]byte("log\n")); err != nil || out.String() != "log\n" {
		t.Errorf("wrote %q, %v", out.String(), err)
	}
}
