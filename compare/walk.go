package compare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
)

// Walk reads whole kinds of objects of a cluster, a page in memory at a time,
// and counts its requests. It is for one look.
type Walk struct {
	*Cluster
	lists, gets atomic.Int64
}

// Walk returns a walk through the cluster. Nothing is read yet.
func (c *Cluster) Walk() *Walk { return &Walk{Cluster: c} }

// Requests counts what was asked so far.
func (w *Walk) Requests() kspec.Requests {
	return kspec.Requests{List: int(w.lists.Load()), Get: int(w.gets.Load())}
}

// walkTimeout bounds one request of a walk, and what a look does not bound
// itself.
const walkTimeout = 30 * time.Second

// Version is what the API server says of itself, such as "v1.34.1-gke.7". An
// error that the server itself answered with is an [apierrors.APIStatus].
func (w *Walk) Version(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, walkTimeout)
	defer cancel()
	w.gets.Add(1)
	data, err := w.discovery.RESTClient().Get().AbsPath("/version").DoRaw(ctx)
	if err != nil {
		return "", fmt.Errorf("reach cluster %s: %w", w.name, err)
	}
	var said struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := json.Unmarshal(data, &said); err != nil {
		return "", fmt.Errorf("read the version of cluster %s: %w", w.name, err)
	}
	return said.GitVersion, nil
}

// Each visits all objects of a kind that a label selector selects, in JSON that
// is valid during the visit. A kind that the cluster does not have is a
// [meta.NoKindMatchError]. An error of visit ends it. A list that takes so long
// that the server forgets it goes on with what is there then: no object that
// stays is visited twice, and none is left out.
func (w *Walk) Each(ctx context.Context, kind schema.GroupKind, selector string, visit func(object []byte) error) error {
	mapping, err := w.mapper.RESTMapping(kind)
	if meta.IsNoMatchError(err) {
		return err
	}
	if err != nil {
		return w.failed(kind.Group, kind, err)
	}
	at := endpoint{gvr: mapping.Resource}
	for o := (metav1.ListOptions{Limit: 500, LabelSelector: selector}); ; {
		p, err := w.turn(ctx, at, o)
		switch next := continueOf(err); {
		case errors.Is(err, errTooLong) && o.Limit > 1:
			o.Limit = max(1, o.Limit/8)
			continue
		case next != "":
			o.Continue = next
			continue
		case err != nil:
			return w.failed(mapping.Resource.GroupResource().String(), kind, err)
		}
		for _, object := range p.items {
			if err := visit(object); err != nil {
				return err
			}
		}
		if o.Continue = p.token; o.Continue == "" {
			return nil
		}
	}
}

// turn reads one page.
func (w *Walk) turn(ctx context.Context, at endpoint, o metav1.ListOptions) (page, error) {
	ctx, cancel := context.WithTimeout(ctx, walkTimeout)
	defer cancel()
	w.lists.Add(1)
	data, err := w.list(ctx, at, o)
	if err != nil {
		return page{}, err
	}
	return takeApart(data)
}

// continueOf returns where a list that expired goes on.
func continueOf(err error) string {
	status := apierrors.APIStatus(nil)
	if !apierrors.IsResourceExpired(err) || !errors.As(err, &status) {
		return ""
	}
	return status.Status().Continue
}

// failed says why a kind could not be listed, without any value, and what right
// to the resource kspec lacks.
func (w *Walk) failed(resource string, kind schema.GroupKind, err error) error {
	said := errors.New(reason("list "+kind.String(), kspec.ObjectID{Group: kind.Group, Kind: kind.Kind}, err))
	if !apierrors.IsForbidden(err) {
		return said
	}
	return kspec.WithHint(said, "let kspec list "+resource+", as deploy/access does or by a ClusterRole with the label kspec.io/aggregate-to-kspec")
}

// Pods visits all Pods, each with the object that made it: what made the
// ReplicaSet, for a Deployment, and what made the Job, for a CronJob.
func (w *Walk) Pods(ctx context.Context, visit func(workload kspec.ObjectID, pod *corev1.Pod) error) error {
	makers := makers{walk: w}
	return w.Each(ctx, schema.GroupKind{Kind: "Pod"}, "", func(object []byte) error {
		pod, err := podOf(object)
		if err != nil {
			return err
		}
		workload, _ := workloadOf(pod)
		return visit(makers.of(ctx, workload), pod)
	})
}

// makers knows which CronJobs made Jobs, whose names are others at each run. It
// asks the cluster once, for the first Job that comes by.
type makers struct {
	walk *Walk
	// cronJobs are by Job; nil before the cluster was asked.
	cronJobs map[kspec.ObjectID]kspec.ObjectID
}

// of returns the CronJob that made a Job, and any other workload as it is: also
// a Job of which nobody may know who made it.
func (m *makers) of(ctx context.Context, workload kspec.ObjectID) kspec.ObjectID {
	if workload.Group != batchv1.GroupName || workload.Kind != "Job" {
		return workload
	}
	if m.cronJobs == nil {
		m.cronJobs = map[kspec.ObjectID]kspec.ObjectID{}
		_ = m.walk.Each(ctx, schema.GroupKind{Group: batchv1.GroupName, Kind: "Job"}, "", m.learn)
	}
	if maker, ok := m.cronJobs[workload]; ok {
		return maker
	}
	return workload
}

func (m *makers) learn(object []byte) error {
	var job metav1.PartialObjectMetadata
	if err := json.Unmarshal(object, &job); err != nil {
		return fmt.Errorf("read a Job: %w", err)
	}
	if owner := metav1.GetControllerOf(&job); owner != nil && owner.Kind == "CronJob" {
		id := kspec.ObjectID{Group: batchv1.GroupName, Version: "v1", Kind: "Job", Namespace: job.Namespace, Name: job.Name}
		maker := id
		maker.Kind, maker.Name = "CronJob", owner.Name
		m.cronJobs[id] = maker
	}
	return nil
}

// podOf decodes what the requirements look at of a Pod.
func podOf(object []byte) (*corev1.Pod, error) {
	var p struct {
		Metadata struct {
			Name            string                  `json:"name"`
			Namespace       string                  `json:"namespace"`
			Labels          map[string]string       `json:"labels"`
			Annotations     map[string]string       `json:"annotations"`
			OwnerReferences []metav1.OwnerReference `json:"ownerReferences"`
		} `json:"metadata"`
		Spec   corev1.PodSpec `json:"spec"`
		Status struct {
			Phase corev1.PodPhase `json:"phase"`
		} `json:"status"`
	}
	if err := json.Unmarshal(object, &p); err != nil {
		return nil, fmt.Errorf("read a Pod: %w", err)
	}
	pod := &corev1.Pod{Spec: p.Spec}
	pod.Name, pod.Namespace, pod.Labels, pod.Annotations = p.Metadata.Name, p.Metadata.Namespace, p.Metadata.Labels, p.Metadata.Annotations
	pod.OwnerReferences, pod.Status.Phase = p.Metadata.OwnerReferences, p.Status.Phase
	return pod, nil
}
