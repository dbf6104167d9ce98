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
	now      func() time.Time

	mu           sync.Mutex
	name         string
	began, drawn time.Time
	shown        bool
}

// newProgress shows progress in w, when that is a terminal that can.
func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{to: w, terminal: ok && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd())), now: time.Now}
}

// begin tells that a look at the target begins.
func (p *progress) begin(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	p.name, p.began = inertLine(target), p.now()
}

// tell tells how many objects of how many have a verdict.
func (p *progress) tell(done, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if !p.terminal || p.began.IsZero() || now.Sub(p.began) < patience || now.Sub(p.drawn) < redraw {
		return
	}
	p.shown, p.drawn = true, now
	_, _ = fmt.Fprintf(p.to, "%s%s: %d of %d objects…", erase, p.name, done, total)
}

// end removes what was shown.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
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
