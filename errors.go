package kspec

import (
	"errors"
	"fmt"
	"slices"
)

// Stage names a step of the way from Git to the world.
type Stage string

// The stages, in order.
const (
	StageSource    Stage = "source"
	StageRender    Stage = "render"
	StageVerify    Stage = "verify"
	StageCompare   Stage = "compare"
	StageRemediate Stage = "remediate"
	StageNotify    Stage = "notify"
)

// StageError says which stage of which target could not do its work.
type StageError struct {
	Stage  Stage
	Target string
	Err    error
}

// Error implements error.
func (e *StageError) Error() string { return fmt.Sprintf("%s %s: %v", e.Stage, e.Target, e.Err) }

// Unwrap returns the cause.
func (e *StageError) Unwrap() error { return e.Err }

type terminalError struct{ err error }

func (e terminalError) Error() string { return e.err.Error() }
func (e terminalError) Unwrap() error { return e.err }

// Terminal marks err as one that trying again cannot mend: only other input
// can. The [Loop] then waits for a new revision instead of backing off.
// Terminal(nil) is nil.
func Terminal(err error) error {
	if err == nil {
		return nil
	}
	return terminalError{err}
}

// IsTerminal reports whether err, or an error it wraps, was marked by
// [Terminal]. Of errors that were joined, all must be.
func IsTerminal(err error) bool {
	for err != nil {
		switch e := err.(type) { //nolint:errorlint // walks the tree itself
		case terminalError:
			return true
		case interface{ Unwrap() []error }:
			return !slices.ContainsFunc(e.Unwrap(), func(err error) bool { return !IsTerminal(err) })
		default:
			err = errors.Unwrap(err)
		}
	}
	return false
}

type hintError struct {
	err  error
	hint string
}

func (e hintError) Error() string { return e.err.Error() }
func (e hintError) Unwrap() error { return e.err }

// WithHint returns err with a sentence that tells the user what to do about
// it. The hint is not part of the error text; see [HintOf].
func WithHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return hintError{err, hint}
}

// HintOf returns the outermost hint of err, or "".
func HintOf(err error) string {
	if h, ok := errors.AsType[hintError](err); ok {
		return h.hint
	}
	return ""
}
