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
)

// mirror writes what was seen of a target into the status of the ClusterSpec
// of its name, in kspec's own namespace of the cluster that it runs in. Where
// there is none, or not even the kind, it writes nothing.
type mirror struct {
	specs dynamic.ResourceInterface
	log   *slog.Logger

	mu    sync.Mutex
	known map[string]mirrored
}

// mirrored is a status and when it was written; never, if it was only read.
type mirrored struct {
	status v1alpha1.ClusterSpecStatus
	at     time.Time
}

func newMirror(cfg *rest.Config, namespace string, log *slog.Logger) (*mirror, error) {
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("set up the mirror of statuses: %w", err)
	}
	specs := client.Resource(v1alpha1.GroupVersion.WithResource("clusterspecs"))
	return &mirror{specs: specs.Namespace(namespace), log: log, known: map[string]mirrored{}}, nil
}

// write has change make the status of t what it is now, and writes it when that
// is news or an interval has passed. A failure is logged: it is none of the
// look.
func (m *mirror) write(ctx context.Context, t kspec.Target, change func(*v1alpha1.ClusterSpecStatus, time.Time)) {
	err := m.tryWrite(ctx, t, change)
	if err != nil && ctx.Err() == nil {
		m.log.WarnContext(ctx, "status not written", "target", t, "error", err)
	}
}

func (m *mirror) tryWrite(ctx context.Context, t kspec.Target, change func(*v1alpha1.ClusterSpecStatus, time.Time)) error {
	was, err := m.last(ctx, t.Name)
	if err != nil {
		return err
	}
	now := time.Now()
	is := *was.status.DeepCopy()
	change(&is, now)
	if now.Sub(was.at) < t.Interval && equality.Semantic.DeepEqual(undated(was.status), undated(is)) {
		return nil
	}
	if err := m.apply(ctx, t.Name, is); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[t.Name] = mirrored{is, now}
	return nil
}

// last returns what the ClusterSpec says, as kspec wrote or else found it.
func (m *mirror) last(ctx context.Context, name string) (mirrored, error) {
	m.mu.Lock()
	was, ok := m.known[name]
	m.mu.Unlock()
	if ok {
		return was, nil
	}
	found, err := m.specs.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return mirrored{}, nil
	}
	if err != nil {
		return mirrored{}, err
	}
	status, _, _ := unstructured.NestedMap(found.Object, "status")
	err = runtime.DefaultUnstructuredConverter.FromUnstructured(status, &was.status)
	return was, err
}

// apply writes a status where there is a ClusterSpec to bear it.
func (m *mirror) apply(ctx context.Context, name string, status v1alpha1.ClusterSpecStatus) error {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&status)
	if err != nil {
		return err
	}
	spec := &unstructured.Unstructured{Object: map[string]any{"status": fields}}
	spec.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ClusterSpec"))
	spec.SetName(name)
	_, err = m.specs.ApplyStatus(ctx, name, spec, metav1.ApplyOptions{FieldManager: "kspec", Force: true})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// undated returns s without the time of the last look, which alone is no news.
func undated(s v1alpha1.ClusterSpecStatus) v1alpha1.ClusterSpecStatus {
	s.LastCompleteLook = nil
	return s
}
