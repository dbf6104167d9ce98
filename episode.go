package kspec

import (
	"strconv"
	"strings"
	"time"
)

// Episode is one finding about one target, from when it was first seen until
// it was gone. What comes back within a day is the same episode.
type Episode struct {
	Target  string `json:"target"`
	Cluster string `json:"cluster,omitempty"`
	// Revision is the commit against which it was seen last.
	Revision string `json:"revision"`
	// Finding is as it was seen last. Of long values only the length is kept.
	Finding Finding `json:"finding"`
	// Actor is who made the difference, as far as anything tells.
	Actor     Actor     `json:"actor,omitzero"`
	FirstSeen time.Time `json:"firstSeen"`
	LastSeen  time.Time `json:"lastSeen"`
	// Seen counts the looks that saw it, Flaps how often it came back.
	Seen  int `json:"seen"`
	Flaps int `json:"flaps"`
	// ClosedAt is when the look began that did not see it any more, and zero
	// while the episode is open.
	ClosedAt  time.Time `json:"closedAt,omitzero"`
	ClosedWhy End       `json:"closedWhy,omitempty"`
	// Fight is set when somebody kept undoing it and somebody else kept doing
	// it again: now, or when it was closed.
	Fight *Fight `json:"fight,omitempty"`
}

// Open reports whether the episode goes on.
func (e Episode) Open() bool { return e.ClosedAt.IsZero() }

// Actor is who wrote a field.
type Actor struct {
	Manager   string `json:"manager,omitempty"`
	Operation string `json:"operation,omitempty"`
	// Principal is the account, when an audit log told.
	Principal string `json:"principal,omitempty"`
	// ByPerson is true when Manager is a tool that people use by hand.
	ByPerson bool `json:"byPerson,omitempty"`
}

// End says why an episode is over.
type End string

// The ends of episodes. Only what is known is claimed: after Git moved, nobody
// can tell whether the cluster gave in or Git did.
const (
	EndGone           End = "gone"            // not found any more, and Git did not move
	EndGitMoved       End = "git-moved"       // not found any more, and Git moved meanwhile
	EndGitChanged     End = "git-changed"     // Git wants another value in the same field now
	EndSuperseded     End = "superseded"      // the same field differs in another way now
	EndWaived         End = "waived"          // an exemption covers it
	EndClusterChanged End = "cluster-changed" // its ClusterSpec is about another cluster now
	EndSpecRemoved    End = "spec-removed"    // its ClusterSpec is gone
	EndAbandoned      End = "abandoned"       // its target has not been looked at for long
)

// Fight says who keeps overwriting whom.
type Fight struct {
	// Between are the field managers, sorted. One that nobody knows is left
	// out.
	Between []string `json:"between"`
	// Times counts how often since Since the drift came back.
	Times int       `json:"times"`
	Since time.Time `json:"since"`
}

// String says it in words.
func (f Fight) String() string {
	who := "somebody keeps changing it back and forth"
	switch len(f.Between) {
	case 0:
	case 1:
		who = f.Between[0] + " keeps overwriting it"
	default:
		who = strings.Join(f.Between, " and ") + " keep overwriting each other"
	}
	return who + ": " + strconv.Itoa(f.Times) + " times since " + f.Since.UTC().Format(time.RFC3339)
}
