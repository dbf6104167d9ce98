package kspec

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// OwnerLabel is on every object that kspec renders of a template. Its value is
// [Target.Owner].
const OwnerLabel = "kspec.io/owner"

// Owner is the name of the target, as a label can hold it.
func (t Target) Owner() string {
	const longestLabel = 63
	return Shorten(t.Name, longestLabel)
}

// Shorten returns a name as it is, or where it is longer than that the beginning
// of it and a digest of all, so that long names stay apart.
func Shorten(name string, longest int) string {
	if len(name) <= longest {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	digest := hex.EncodeToString(sum[:4])
	return strings.TrimRight(name[:longest-len(digest)-1], "-.") + "-" + digest
}
