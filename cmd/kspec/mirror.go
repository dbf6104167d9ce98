package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

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
	specs    *mirror[v1alpha1.ClusterSpecStatus]
	clusters *mirror[v1alpha1.ClusterTargetStatus]
	log      *slog.Logger

	mu     sync.Mutex
	asleep map[string]bool // targets that are suspended
}

// mirrorTimeout bounds one request for a status, and the question to a cluster.
const mirrorTimeout = 10 * time.Second

func newMirrors(cfg *rest.Config, namespace string, log *slog.Logger) (*mirrors, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.Timeout = mirrorTimeout
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("set up the mirrors of statuses: %w", err)
	}
	m := &mirrors{log: log}
	m.specs = newMirror(client, namespace, "ClusterSpec", "clusterspecs", func(s v1alpha1.ClusterSpecStatus) v1alpha1.ClusterSpecStatus {
		s.LastCompleteLook, s.Conditions = nil, withoutNumbers(s.Conditions)
		return s
	})
	m.clusters = newMirror(client, namespace, "ClusterTarget", "clustertargets", func(s v1alpha1.ClusterTargetStatus) v1alpha1.ClusterTargetStatus {
		s.LastChecked, s.Conditions = nil, withoutNumbers(s.Conditions)
		return s
	})
	return m, nil
}

// adopt takes note of the targets that there are, and writes which of them
// kspec looks away from.
func (m *mirrors) adopt(ctx context.Context, targets []kspec.Target) {
	asleep := map[string]bool{}
	for _, t := range targets {
		asleep[t.Name] = t.Suspend
	}
	m.mu.Lock()
	m.asleep = asleep
	m.mu.Unlock()
	for _, t := range targets {
		if t.Suspend && ctx.Err() == nil {
			m.looked(ctx, t, kspec.Report{}, kspec.Outcome{}, nil)
		}
	}
}

// looked writes what came of a run of t, or that it is suspended by now.
func (m *mirrors) looked(ctx context.Context, t kspec.Target, rep kspec.Report, out kspec.Outcome, err error) {
	m.warn(ctx, t, m.specs.write(ctx, t, t.Name, func(s v1alpha1.ClusterSpecStatus, _ bool) v1alpha1.ClusterSpecStatus {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.asleep[t.Name] {
			return s.Suspended(time.Now())
		}
		return s.Looked(rep, out, err, time.Now())
	}))
}

// cluster asks the cluster of t, when it has a name, what it is, and writes it:
// once an interval, and when a run tells otherwise than the status.
func (m *mirrors) cluster(ctx context.Context, t kspec.Target, of compare.Clusters, rep kspec.Report, failure error) {
	if t.Cluster == "" {
		return
	}
	stage := &kspec.StageError{}
	answered := !rep.StartedAt.IsZero()
	silent := errors.As(failure, &stage) && stage.Stage == kspec.StageCompare
	m.warn(ctx, t, m.clusters.write(ctx, t, t.Cluster, func(s v1alpha1.ClusterTargetStatus, lately bool) v1alpha1.ClusterTargetStatus {
		if lately && !(answered && !s.Reachable) && !(silent && s.Reachable) {
			return s
		}
		about, err := askCluster(ctx, of, t)
		return clusterStatus(s, about, err, time.Now())
	}))
}

// warn logs a status that could not be written: that is no failure of the look.
func (m *mirrors) warn(ctx context.Context, t kspec.Target, err error) {
	if err != nil && ctx.Err() == nil {
		m.log.WarnContext(ctx, "status not written", "target", t, "error", err)
	}
}

// askCluster asks the cluster of t what it is.
func askCluster(ctx context.Context, of compare.Clusters, t kspec.Target) (compare.About, error) {
	ctx, cancel := context.WithTimeout(ctx, mirrorTimeout)
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
	// news leaves out of a status what alone is no news.
	news func(S) S

	mu    sync.Mutex
	known map[string]*mirrored[S]
}

// mirrored is the status of one object. Whoever uses it holds the lock.
type mirrored[S any] struct {
	sync.Mutex
	status S
	// at is when it was written, and known is false while it was not, nor read.
	at    time.Time
	known bool
}

func newMirror[S any](client dynamic.Interface, namespace, kind, resource string, news func(S) S) *mirror[S] {
	return &mirror[S]{
		kind: kind, objects: client.Resource(v1alpha1.GroupVersion.WithResource(resource)).Namespace(namespace), news: news,
		known: map[string]*mirrored[S]{},
	}
}

// write writes what next makes of the status until now, when that is news or
// an interval of t has passed. Lately tells next whether less has.
func (m *mirror[S]) write(ctx context.Context, t kspec.Target, name string, next func(was S, lately bool) S) error {
	m.mu.Lock()
	s := m.known[name]
	if s == nil {
		s = &mirrored[S]{}
		m.known[name] = s
	}
	m.mu.Unlock()
	s.Lock()
	defer s.Unlock()
	if found, err := m.read(ctx, name, s); !found {
		return err
	}
	const early = 10 // looks come earlier than the interval by up to a tenth
	lately := time.Since(s.at) < t.Interval-t.Interval/early
	is := next(s.status, lately)
	if lately && equality.Semantic.DeepEqual(m.news(s.status), m.news(is)) {
		return nil
	}
	err := m.apply(ctx, name, is)
	if s.known = err == nil; s.known {
		s.status, s.at = is, time.Now()
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// read makes s the status of the object unless it is known. Found is false when
// there is no object to bear one.
func (m *mirror[S]) read(ctx context.Context, name string, s *mirrored[S]) (found bool, err error) {
	if s.known {
		return true, nil
	}
	object, err := m.objects.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var status S
	fields, _, _ := unstructured.NestedMap(object.Object, "status")
	err = runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &status)
	s.status, s.at = status, time.Time{}
	return err == nil, err
}

// withoutNumbers leaves out of messages the numbers, such as the ports and
// seconds in those of errors: an object that kspec watches must not change
// because kspec looked at it.
func withoutNumbers(conditions []metav1.Condition) []metav1.Condition {
	conditions = slices.Clone(conditions)
	for i := range conditions {
		conditions[i].Message = strings.Map(func(r rune) rune {
			if unicode.IsDigit(r) {
				return -1
			}
			return r
		}, conditions[i].Message)
	}
	return conditions
}

func (m *mirror[S]) apply(ctx context.Context, name string, status S) error {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&status)
	if err != nil {
		return err
	}
	object := &unstructured.Unstructured{Object: map[string]any{"status": fields}}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(m.kind))
	object.SetName(name)
	_, err = m.objects.ApplyStatus(ctx, name, object, metav1.ApplyOptions{FieldManager: "kspec", Force: true})
	return err
}
