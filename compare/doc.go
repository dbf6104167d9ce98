// Package compare finds out how a live cluster differs from what Git says it
// must be, and who made it so.
//
// [Detector.Detect] reads every desired object from the cluster, asks the API
// server by a server-side-apply dry-run what applying it would change, and
// hands both to [Diff], which is pure and decides. Three rules hold:
//
//   - A request that failed is an Unknown, never drift and never in sync.
//   - The dry-run's reply and the observation must carry the same
//     resourceVersion, or the object is looked at again.
//   - Nothing is written: [Cluster] lets no request through but reads and dry
//     runs.
//
// Which fields Git sets, and who owns the others, is read from managedFields;
// no schema is needed, and custom resources are treated like built-in ones.
// docs/drift.md describes the verdicts for users.
package compare
