package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// patience is how long a look may take before its progress is shown, and redraw
// how long one state of it stands at least.
const (
	patience = time.Second
	redraw   = 100 * time.Millisecond
)

// erase clears the line that the cursor is in.
const erase = "\r\x1b[K"

// progress shows in one line of a terminal how far a look has come. Whatever
// else is written there must go through it. The zero progress without a
// terminal shows nothing. It may be used by several goroutines.
type progress struct {
	to io.Writer
	// terminal is true when to can redraw a line.
	terminal bool

	mu           sync.Mutex
	name         string
	began, drawn time.Time
	shown        bool
	// late shows a look of which nothing is told yet.
	late *time.Timer
}

// newProgress shows progress in w, when that is a terminal that can.
func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{to: w, terminal: ok && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))}
}

// begin tells that a look at the target begins.
func (p *progress) begin(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
	p.name, p.began = inertLine(target), time.Now()
	if p.terminal {
		p.late = time.AfterFunc(patience, p.wait)
	}
}

// wait tells that the look goes on.
func (p *progress) wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.began.IsZero() && !p.shown {
		p.draw("looking…")
	}
}

// tell tells how many objects of how many have a verdict.
func (p *progress) tell(done, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.terminal || p.began.IsZero() || time.Since(p.began) < patience || time.Since(p.drawn) < redraw {
		return
	}
	p.draw(fmt.Sprintf("%d of %d objects…", done, total))
}

func (p *progress) draw(state string) {
	p.shown, p.drawn = true, time.Now()
	_, _ = fmt.Fprintf(p.to, "%s%s: %s", erase, p.name, state)
}

// end removes what was shown.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
}

func (p *progress) stop() {
	if p.late != nil {
		p.late.Stop()
	}
	p.erase()
	p.began = time.Time{}
}

// Write writes what is not progress, such as a log.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	return p.to.Write(b)
}

func (p *progress) erase() {
	if p.shown {
		_, _ = io.WriteString(p.to, erase)
		p.shown, p.drawn = false, time.Time{}
	}
}
