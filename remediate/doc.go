// Package remediate puts right what a report says, by pull requests. [Decide]
// makes a plan of a report without touching anything; [Remediator] makes the
// plan true: commit, branch, pull request, and keeps it true until it is
// merged. It never force-pushes, never overwrites what a person pushed and
// never opens again what a person closed, until the drift itself changes.
//
// Each forge has its own folder below this one and implements [Forge].
package remediate
