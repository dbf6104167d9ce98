package kspec

import (
	"context"
	"time"
)

// Decision is what was found out about one desired object, and all that it
// follows from. As long as that stays the same, so does what was found.
type Decision struct {
	Object ObjectID
	// Want is the digest of the desired object, Epoch of everything else that
	// the judgement depends on: rules, definitions, webhooks, kspec itself.
	Want, Epoch Digest
	// UID and ResourceVersion are of the live object. An object that was not
	// there is never remembered.
	UID, ResourceVersion string
	// At is when it was decided.
	At time.Time
	// Findings are what is wrong with the object; usually none.
	Findings []Finding
	// Suppressed names for each difference that was removed the ignore rule, by
	// its place in the list of the target, or is [SuppressedByEngine].
	Suppressed []int
	// Unknown is set when the object cannot be decided until Git changes.
	Unknown string
}

// SuppressedByEngine stands in for an ignore rule where the delivery engine is
// told to leave a difference alone.
const SuppressedByEngine = -1

// Memory keeps decisions, also beyond the end of the process, so that what did
// not change is not decided again. It may forget at any time.
type Memory interface {
	// Recall returns the decisions about the objects of a target, in any order.
	Recall(ctx context.Context, target string) ([]Decision, error)
	// Remember replaces the decisions about the objects in changed, and drops
	// those about the objects in gone.
	Remember(ctx context.Context, target string, changed []Decision, gone []ObjectID) error
}

// Recorder keeps the history of what was found.
type Recorder interface {
	// Record takes note of a report of t and returns it with FirstSeen and
	// Seen of its findings set. A report that is not settled ends no episode.
	Record(ctx context.Context, t Target, rep Report) (Report, error)
}
