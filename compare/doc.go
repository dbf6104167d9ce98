// Package compare finds out how a live cluster differs from what Git says it
// must be, and who made it so.
//
// [Detector.Detect] decides about each object by the cheapest of three tiers
// that can. What was decided before holds while nothing that it follows from
// has changed. Else the fields of the live object and their owners may prove
// that it is as Git says. Else the API server is asked, by a server-side-apply
// dry-run, what applying it would change, and [Diff], which is pure, compares
// the answer with the object. Three rules hold:
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
//
// # The way through the files
//
// A look begins in detect.go and is led by sweep.go, through a [Cluster]
// (cluster.go, limiter.go):
//
//   - read.go and plan.go read what Git declares, decode.go takes it apart, and
//     clean.go makes Git's version comparable.
//   - recall.go, epoch.go and stillness.go are the first tier; watcher.go,
//     watch.go and overhear.go tell it what was heard between looks.
//   - fields.go and keys.go are the second tier, readonly.go what it says where
//     kspec may not dry-run.
//   - judge.go and probe.go are the third; they ask the server, and diff.go,
//     conflict.go and owners.go compare. tree.go and local.go are about fields
//     and their places, surroundings.go about other objects.
//   - engine*.go, ruling.go and jq.go read what Flux or Argo CD is told to leave
//     alone; marks.go, strays.go and acquaintances.go find what is gone from Git;
//     demands.go knows what other targets want; variables.go knows that appliers
//     fill in values.
//   - benign.go, ignore.go, places.go, severity.go and people.go hold what is
//     known of tools and of what teams allow; audit.go joins accounts.
//   - redact.go and secrets.go hide secrets, message.go and reason.go find words.
//   - images.go and walk.go read what Git does not declare, for others.
package compare
