package notify

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cloudcwfranck/kspec/notify/deliver"
)

const (
	// After a delivery failed, its notifier is left alone for a while: longer
	// each time, so that one that is down costs a look little.
	minHold = time.Second
	maxHold = 15 * time.Minute
)

// notifier is a receiver by its name in an AlertConfig, and how it fares.
type notifier struct {
	name     string
	receiver deliver.Receiver

	mu       sync.Mutex
	failures int
	until    time.Time
}

// send delivers m unless the notifier is to be left alone.
func (n *notifier) send(ctx context.Context, m deliver.Message, now func() time.Time) error {
	if wait := n.held(now()); wait > 0 {
		return &deliver.Error{
			Class:  deliver.RetryAfter,
			After:  wait,
			Reason: fmt.Sprintf("not tried: its last delivery failed, the next may begin in %s", wait.Round(time.Second)),
		}
	}
	err := n.receiver.Send(ctx, m)
	if ctx.Err() == nil {
		n.learn(err, now())
	}
	return err
}

func (n *notifier) held(now time.Time) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.until.Sub(now)
}

// learn takes from the outcome of a delivery when the next may begin.
func (n *notifier) learn(err error, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil || deliver.ClassOf(err) == deliver.Payload {
		n.failures, n.until = 0, time.Time{}
		return
	}
	hold := min(minHold<<min(n.failures, 16), maxHold)
	if deliver.ClassOf(err) == deliver.Destination {
		hold = maxHold
	}
	n.failures++
	n.until = now.Add(max(hold, deliver.AfterOf(err)))
}
