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
// Between looks a [Watcher] may listen to what is declared: run it, give it to
// the Detector by [Options], and look at a target when it is told to have
// changed. What was not heard of is not read:
//
//	changed := make(chan string)
//	w := NewWatcher(WatchOptions{Changed: func(target string) { changed <- target }})
//	d := New(clusters, Options{Memory: NoMemory(), Watch: w})
//	go w.Run(ctx)
//	d.Detect(ctx, target, want) // reads everything, and starts the watches
//	<-changed                   // they have begun, or something has changed
//	d.Detect(ctx, target, want) // reads what changed
//
// docs/drift.md describes the verdicts for users.
package compare
