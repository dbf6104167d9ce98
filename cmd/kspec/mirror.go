package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/compare"
)

// mirrors write what kspec saw into the statuses of its own documents, in its
// own namespace of the cluster that it runs in.
type mirrors struct {
	specs    mirror[v1alpha1.ClusterSpecStatus]
	clusters mirror[v1alpha1.ClusterTargetStatus]
	log      *slog.Logger
}

func newMirrors(cfg *rest.Config, namespace string, log *slog.Logger) (*mirrors, error) {
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("set up the mirrors of statuses: %w", err)
	}
	m := &mirrors{log: log}
	m.specs = newMirror(client, namespace, "ClusterSpec", "clusterspecs", func(s v1alpha1.ClusterSpecStatus) v1alpha1.ClusterSpecStatus {
		s.LastCompleteLook = nil
		return s
	})
	m.clusters = newMirror(client, namespace, "ClusterTarget", "clustertargets", func(s v1alpha1.ClusterTargetStatus) v1alpha1.ClusterTargetStatus {
		s.LastChecked = nil
		return s
	})
	return m, nil
}

// suspended writes that kspec looks away from t.
func (m *mirrors) suspended(ctx context.Context, t kspec.Target) {
	m.warn(ctx, t, m.specs.write(ctx, t.Name, t.Interval, v1alpha1.ClusterSpecStatus.Suspended))
}

// looked writes what came of a run of t.
func (m *mirrors) looked(ctx context.Context, t kspec.Target, rep kspec.Report, out kspec.Outcome, err error) {
	m.warn(ctx, t, m.specs.write(ctx, t.Name, t.Interval, func(s v1alpha1.ClusterSpecStatus, now time.Time) v1alpha1.ClusterSpecStatus {
		return s.Looked(rep, out, err, now)
	}))
}

// cluster asks the cluster of t, when it has a name, what it is, and writes it:
// once an interval, and after a look that failed.
func (m *mirrors) cluster(ctx context.Context, t kspec.Target, of compare.Clusters, failed bool) {
	if t.Cluster == "" || !failed && !m.clusters.due(t.Cluster, t.Interval) {
		return
	}
	about, err := askCluster(ctx, of, t)
	m.warn(ctx, t, m.clusters.write(ctx, t.Cluster, t.Interval, func(s v1alpha1.ClusterTargetStatus, now time.Time) v1alpha1.ClusterTargetStatus {
		return clusterStatus(s, about, err, now)
	}))
}

// warn logs a status that could not be written: that is no failure of the look.
func (m *mirrors) warn(ctx context.Context, t kspec.Target, err error) {
	if err != nil && ctx.Err() == nil {
		m.log.WarnContext(ctx, "status not written", "target", t, "error", err)
	}
}

// askCluster asks the cluster of t what it is, for ten seconds at most.
func askCluster(ctx context.Context, of compare.Clusters, t kspec.Target) (compare.About, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cluster, err := of.Cluster(ctx, t)
	if err != nil {
		return compare.About{}, err
	}
	return cluster.About(ctx)
}

func clusterStatus(s v1alpha1.ClusterTargetStatus, about compare.About, err error, now time.Time) v1alpha1.ClusterTargetStatus {
	if err != nil {
		return s.Unreachable(err, now)
	}
	return s.Answered(about.Version, about.UID, about.Platform, about.Nodes, now)
}

// mirror writes the statuses of one kind, where there is an object to bear
// them.
type mirror[S any] struct {
	kind    string
	objects dynamic.ResourceInterface
	// undated leaves out of a status what alone is no news.
	undated func(S) S

	mu    *sync.Mutex
	known map[string]mirrored[S]
}

// mirrored is a status and when it was written; never, if it was only read.
type mirrored[S any] struct {
	status S
	at     time.Time
}

func newMirror[S any](client dynamic.Interface, namespace, kind, resource string, undated func(S) S) mirror[S] {
	return mirror[S]{
		kind: kind, objects: client.Resource(v1alpha1.GroupVersion.WithResource(resource)).Namespace(namespace), undated: undated,
		mu: &sync.Mutex{}, known: map[string]mirrored[S]{},
	}
}

// due reports whether an interval has passed since the status was written.
func (m mirror[S]) due(name string, interval time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Since(m.known[name].at) >= interval
}

// write writes what next makes of the status until now, when that is news or
// an interval has passed.
func (m mirror[S]) write(ctx context.Context, name string, interval time.Duration, next func(S, time.Time) S) error {
	was, err := m.last(ctx, name)
	if err != nil {
		return err
	}
	now := time.Now()
	is := next(was.status, now)
	if now.Sub(was.at) < interval && equality.Semantic.DeepEqual(m.undated(was.status), m.undated(is)) {
		return nil
	}
	if err := m.apply(ctx, name, is); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[name] = mirrored[S]{is, now}
	return nil
}

// last returns the status as kspec wrote it, or else found it.
func (m mirror[S]) last(ctx context.Context, name string) (was mirrored[S], err error) {
	m.mu.Lock()
	was, ok := m.known[name]
	m.mu.Unlock()
	if ok {
		return was, nil
	}
	found, err := m.objects.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return was, nil
	}
	if err != nil {
		return was, err
	}
	status, _, _ := unstructured.NestedMap(found.Object, "status")
	err = runtime.DefaultUnstructuredConverter.FromUnstructured(status, &was.status)
	return was, err
}

func (m mirror[S]) apply(ctx context.Context, name string, status S) error {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&status)
	if err != nil {
		return err
	}
	object := &unstructured.Unstructured{Object: map[string]any{"status": fields}}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(m.kind))
	object.SetName(name)
	_, err = m.objects.ApplyStatus(ctx, name, object, metav1.ApplyOptions{FieldManager: "kspec", Force: true})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
