// Package require finds out whether a live cluster is what the requirements of
// a ClusterSpec demand: its version, the Pod Security of its namespaces, its
// network policies, what its containers and images are like, who has which
// rights, and what admits and watches.
//
// Each check is a pure function over what a [Reader] reads. Three rules hold:
//
//   - What cannot be read is Unknown: the check has neither passed nor failed.
//   - Package policy decides which namespaces are meant, here as elsewhere.
//   - Pods come from one listing, a page in memory at a time, and replicas of
//     a workload are one finding.
//
// docs/requirements.md describes the checks for users.
package require
