// Package deliver carries one message to one receiver over HTTP, and says of a
// delivery that failed what can be done about it. It holds what every receiver
// below notify shares: the [Message], the one-method [Receiver], the [Error]
// with its [Class], and the [Client], which alone decides where a request may
// go, how often it is tried and what an error may say.
//
// No error of this package holds anything that a server sent or a secret said:
// neither addresses, which may be credentials, nor bodies, which may echo them.
package deliver

import (
	"context"
	"time"

	"github.com/cloudcwfranck/kspec"
)

// Receiver is somebody whom kspec tells something.
type Receiver interface {
	// Send delivers m. It returns nil only when the receiver has taken it; a
	// failure is an [*Error], and holds no secret.
	Send(ctx context.Context, m Message) error
}

// ReceiverFunc lets a function be a [Receiver].
type ReceiverFunc func(context.Context, Message) error

// Send implements [Receiver].
func (f ReceiverFunc) Send(ctx context.Context, m Message) error { return f(ctx, m) }

// Checker is a [Receiver] that can tell beforehand whether it has what it
// needs, such as its secrets.
type Checker interface {
	// Check sends nothing.
	Check(ctx context.Context) error
}

var _ Receiver = ReceiverFunc(nil)

// Reason says why a message is sent.
type Reason string

// The reasons.
const (
	New      Reason = "new"      // it began
	Changed  Reason = "changed"  // it is not the same any more
	Repeated Reason = "repeated" // it was told long ago and is still so
	Ended    Reason = "resolved" // it is over
)

// Message is an event on its way to one receiver.
type Message struct {
	// ID is the same whenever the same news goes to the same receiver, also
	// when it is tried again, so that the receiver can tell a repetition.
	ID    string
	Event kspec.Event
	// Reason says why the event is told now.
	Reason Reason
	// Since is when the event began.
	Since time.Time
	// Labels are those of the event and "config", the name of the AlertConfig;
	// every reserved label is present, and empty when it is not known.
	Labels map[string]string
}
