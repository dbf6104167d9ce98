package main

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
)

// settled asks the cluster of a target what rules become there, where that is
// for the cluster to say. When it cannot be asked, nothing is rendered: policies
// are not to change their kind because a cluster is away.
type settled struct {
	kspec.Renderer
	clusters compare.Clusters
}

// Render implements [kspec.Renderer].
func (s settled) Render(ctx context.Context, t kspec.Target, tree kspec.Tree) (kspec.Desired, error) {
	if t.Delivery.Policies == kspec.AutoPolicies && len(t.Templates) > 0 {
		kyverno, err := s.kyverno(ctx, t)
		if err != nil {
			return kspec.Desired{}, &kspec.StageError{Stage: kspec.StageCompare, Target: t.Name, Err: fmt.Errorf("delivery.policies is auto: %w", err)}
		}
		t.Delivery.Policies = kspec.VAP
		if kyverno {
			t.Delivery.Policies = kspec.Kyverno
		}
	}
	return s.Renderer.Render(ctx, t, tree)
}

func (s settled) kyverno(ctx context.Context, t kspec.Target) (bool, error) {
	cluster, err := s.clusters.Cluster(ctx, t)
	if err != nil {
		return false, err
	}
	return cluster.Serves(ctx, schema.GroupVersionKind{Group: "policies.kyverno.io", Version: "v1", Kind: "ValidatingPolicy"})
}
