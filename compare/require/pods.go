package require

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/cloudcwfranck/kspec"
)

// pods looks at all Pods once, for all checks that are about them. A pod that
// has ended runs nothing.
func (l *look) pods(ctx context.Context) {
	about := []string{kspec.CheckContainers, kspec.CheckImages, kspec.CheckServices, kspec.CheckMetrics, kspec.CheckAuditLog}
	about = slices.DeleteFunc(about, func(name string) bool {
		return l.demands(name) == nil || name == kspec.CheckServices && len(l.target.Requirements.Network.DisallowedPorts) == 0
	})
	scoped := slices.ContainsFunc(about, func(name string) bool {
		return slices.Contains([]string{kspec.CheckContainers, kspec.CheckImages, kspec.CheckServices}, name)
	})
	if len(about) == 0 {
		return
	}
	blind := scoped && l.blind(kspec.CheckContainers, kspec.CheckImages)
	s, err := newSurvey(l.target.Requirements)
	if err == nil {
		err = l.Pods(ctx, func(workload kspec.ObjectID, pod *corev1.Pod) error {
			if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
				return nil
			}
			s.watch(pod)
			switch {
			case blind:
			case isSystem(pod.Namespace):
				s.apart[pod.Namespace] = true
			case l.inScope(pod.Namespace):
				s.judge(workload, pod)
			}
			return nil
		})
	}
	l.survey = s
	if err != nil {
		l.doubtAll(err, about...)
		l.survey = nil
		return
	}
	for _, name := range []string{kspec.CheckContainers, kspec.CheckImages} {
		if c := l.demands(name); c != nil {
			c.Looked, c.Apart = len(s.workloads), slices.Sorted(maps.Keys(s.apart))
		}
	}
	for _, p := range s.sorted() {
		if l.demands(p.check) != nil {
			l.found(p.check, p.finding())
		}
	}
}

// survey is what is learned of the Pods while they pass by. It grows with the
// workloads and with what is wrong of them, not with the Pods.
type survey struct {
	rules     kspec.Requirements
	demands   []demand
	problems  map[problemKey]*problem
	workloads map[kspec.ObjectID]bool
	apart     map[string]bool
	// providers are where something was seen that carries the name of a
	// provider of metrics.
	providers map[string]string
	// apiServers are the arguments of those whose pods can be seen, by pod.
	apiServers map[string][]string
}

func newSurvey(rules kspec.Requirements) (*survey, error) {
	s := &survey{
		rules: rules, problems: map[problemKey]*problem{}, workloads: map[kspec.ObjectID]bool{}, apart: map[string]bool{},
		providers: map[string]string{}, apiServers: map[string][]string{},
	}
	var err error
	s.demands, err = demandsOf(rules.Containers)
	return s, err
}

// problem is one thing that is wrong with a workload, in some containers.
type problem struct {
	problemKey
	severity kspec.Severity
	// labels are those that all of its Pods have that are wrong, so that an
	// exemption of one of them waives nothing of the others.
	labels map[string]string
	hint   string
	// where are the containers or images, and what was found there.
	where    map[string]any
	evidence map[string]any
}

type problemKey struct {
	workload kspec.ObjectID
	check    string
	what     string
}

// note adds a place to a problem, of one Pod.
func (s *survey) note(p problem, where string, found any) {
	known := s.problems[p.problemKey]
	if known == nil {
		p.where, p.labels = map[string]any{}, maps.Clone(p.labels)
		known = &p
		s.problems[p.problemKey] = known
	}
	known.where[where] = found
	maps.DeleteFunc(known.labels, func(key, value string) bool { return p.labels[key] != value })
}

func (s *survey) sorted() []*problem {
	return slices.SortedFunc(maps.Values(s.problems), func(a, b *problem) int {
		if c := a.workload.Compare(b.workload); c != 0 {
			return c
		}
		return strings.Compare(a.what, b.what)
	})
}

func (p *problem) finding() kspec.Finding {
	places := slices.Sorted(maps.Keys(p.where))
	evidence := maps.Clone(p.evidence)
	if evidence == nil {
		evidence = map[string]any{}
	}
	f := kspec.Finding{
		Severity: p.severity, Object: p.workload, Labels: p.labels, Message: p.what, Hint: p.hint, Evidence: evidence,
	}
	if slices.Equal(places, []string{""}) { // the Pod as a whole
		evidence["found"] = p.where[""]
		return f
	}
	f.Message += ": " + inWords(places)
	evidence["places"] = places
	if found := maps.Clone(p.where); slices.ContainsFunc(slices.Collect(maps.Values(found)), func(v any) bool { return v != nil }) {
		evidence["found"] = found
	}
	return f
}

// judge looks at one Pod.
func (s *survey) judge(workload kspec.ObjectID, pod *corev1.Pod) {
	s.workloads[workload] = true
	about := problem{problemKey: problemKey{workload: workload}, labels: pod.Labels}
	for _, d := range s.demands {
		d.judge(s, about, pod)
	}
	s.judgeImages(about, pod)
	s.judgePorts(about, pod)
}

// judgePorts looks at the ports of the host that a Pod opens.
func (s *survey) judgePorts(about problem, pod *corev1.Pod) {
	if len(s.rules.Network.DisallowedPorts) == 0 {
		return
	}
	about.check, about.severity = kspec.CheckServices, kspec.High
	about.hint = "take the hostPort away where the workload is declared"
	for _, c := range containersOf(pod) {
		var open []int32
		for _, p := range c.Ports {
			open = append(open, p.HostPort)
		}
		if bad := common(open, s.rules.Network.DisallowedPorts); len(bad) > 0 {
			about.what = "opens " + portsInWords(bad) + " of the host, which network.disallowedPorts names"
			about.evidence = map[string]any{"ports": bad}
			s.note(about, c.where, nil)
		}
	}
}

// container is one of a Pod, of whatever sort.
type container struct {
	*corev1.Container
	// where is its name in words.
	where string
	// starts is true for an init container that must end before others begin,
	// passing for an ephemeral one.
	starts, passing bool
}

// containersOf returns all containers of a Pod: init, ordinary and ephemeral.
func containersOf(pod *corev1.Pod) []container {
	all := make([]container, 0, len(pod.Spec.InitContainers)+len(pod.Spec.Containers)+len(pod.Spec.EphemeralContainers))
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		sidecar := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		all = append(all, container{c, "init container " + c.Name, !sidecar, false})
	}
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		all = append(all, container{c, "container " + c.Name, false, false})
	}
	for i := range pod.Spec.EphemeralContainers {
		c := corev1.Container(pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		all = append(all, container{&c, "ephemeral container " + c.Name, false, true})
	}
	return all
}

// watch learns what the Pod tells about metrics and the audit log.
func (s *survey) watch(pod *corev1.Pod) {
	for _, key := range []string{"app.kubernetes.io/name", "k8s-app", "app"} {
		if name := pod.Labels[key]; name != "" && s.providers[name] == "" {
			s.providers[name] = fmt.Sprintf("Pod %s/%s", pod.Namespace, pod.Name)
		}
	}
	mirror := pod.Annotations[corev1.MirrorPodAnnotationKey] != ""
	if !mirror || pod.Namespace != "kube-system" || pod.Labels["component"] != "kube-apiserver" {
		return
	}
	for _, c := range pod.Spec.Containers {
		if c.Name == "kube-apiserver" {
			s.apiServers[pod.Name] = slices.Concat(c.Command, c.Args)
		}
	}
}
