package main

import (
	"context"
	"slices"

	"github.com/cloudcwfranck/kspec"
)

// claim tells the detector what each target wants that shares its cluster with
// another, before the first is looked at: an object that two want differently
// is unknown to both. A cluster with one ClusterSpec costs nothing. What cannot
// be rendered is said when its target is looked at.
func (w *wiring) claim(ctx context.Context, repo repoFlags) {
	selected, _ := repo.selected(w.checkout) // those that are missing are told of when they are looked at
	for _, t := range neighbours(w.checkout.targets, selected) {
		tree, err := w.source.Fetch(ctx, t)
		if err != nil {
			continue
		}
		if want, err := w.reconciler.Renderer.Render(ctx, t, tree); err == nil {
			w.detector.Claim(t, want)
		}
	}
}

// neighbours returns those of all targets that are meant for a cluster that one
// of the selected is meant for, where they are two or more. Targets that name no
// cluster may be meant for any, unless they are selected together.
func neighbours(all, selected []kspec.Target) []kspec.Target {
	count := map[string]int{}
	wanted := func(t kspec.Target) bool {
		same := func(s kspec.Target) bool { return s.Name == t.Name || t.Cluster != "" && s.Cluster == t.Cluster }
		return !t.Suspend && slices.ContainsFunc(selected, same)
	}
	for _, t := range all {
		if wanted(t) {
			count[t.Cluster]++
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(t kspec.Target) bool { return !wanted(t) || count[t.Cluster] < 2 })
}
