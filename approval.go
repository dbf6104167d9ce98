package kspec

import "context"

// Passage is a part of a file of the config repo that somebody is said to have
// approved.
type Passage struct {
	// File is slash-separated and relative to the root of the repository, and
	// Revision the commit that it was read at, with its branch.
	File     string
	Revision Revision
	// Approver is a name that whoever proves approvals knows.
	Approver string
	// In reports whether a version of the file says just the same.
	In func(version []byte) bool
}

// Approvals proves that what stands in the config repo was approved.
type Approvals interface {
	// Unapproved says why p does not count as approved by its approver, and
	// nothing when it does. An error means that it could not be found out.
	Unapproved(ctx context.Context, p Passage) (why string, err error)
}
