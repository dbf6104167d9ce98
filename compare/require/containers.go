package require

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/internal/podfield"
)

// demand is one of a field, ready to be asked of containers.
type demand struct {
	kspec.FieldDemand
	path      podfield.Path
	forbidden bool
}

func demandsOf(rules kspec.ContainerRules) ([]demand, error) {
	var all []demand
	for i, d := range slices.Concat(rules.Required, rules.Forbidden) {
		path, err := podfield.Parse(d.Key)
		if err != nil {
			return nil, err
		}
		all = append(all, demand{d, path, i >= len(rules.Required)})
	}
	return all, nil
}

// judge asks it of every container of a Pod, or of the Pod itself when only
// that has the field. Nothing is asked that the API server would refuse there.
func (d demand) judge(s *survey, about problem, pod *corev1.Pod) {
	if pod.Spec.OS != nil && d.path.RefusedOn(pod.Spec.OS.Name) {
		return
	}
	about.check, about.severity, about.what = kspec.CheckContainers, d.severity(), d.String()
	about.hint = "set it where the workload is declared"
	if d.forbidden {
		about.hint = "change it where the workload is declared"
	}
	about.evidence = map[string]any{"key": d.Key}
	if !d.path.InContainer {
		d.ask(s, about, "", nil, &pod.Spec)
		return
	}
	for _, c := range containersOf(pod) {
		if d.forbidden || c.mayHave(d.path.First()) {
			d.ask(s, about, c.where, c.Container, &pod.Spec)
		}
	}
}

func (d demand) ask(s *survey, about problem, where string, c *corev1.Container, pod *corev1.PodSpec) {
	value, set := d.path.Of(c, pod)
	effective := value
	switch {
	case set:
	case d.Key == "automountServiceAccountToken":
		effective = mountsToken(pod)
	default:
		effective = d.path.Default()
	}
	if d.holds(effective, set) == d.forbidden {
		s.note(about, where, d.path.Show(value, set))
	}
}

// mayHave reports whether the API server accepts a field in such a container.
func (c container) mayHave(field string) bool {
	atWork := []string{"lifecycle", "livenessProbe", "readinessProbe", "startupProbe"}
	if c.passing {
		return !slices.Contains(append(atWork, "ports", "resizePolicy", "resources"), field)
	}
	return !c.starts || !slices.Contains(atWork, field)
}

// mountsToken reports whether the API server gave a Pod a token of its
// ServiceAccount, as that account or the Pod says.
func mountsToken(pod *corev1.PodSpec) bool {
	const path = "/var/run/secrets/kubernetes.io/serviceaccount"
	return slices.ContainsFunc(pod.Containers, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == path })
	})
}

// holds reports whether a field is as the demand says. The value is what
// counts where the field is not set, nil for nobody knows.
func (d demand) holds(value any, set bool) bool {
	switch {
	case d.Value != nil && d.Exists == nil:
		return value != nil && d.path.Is(value, *d.Value)
	case d.Value != nil && *d.Exists:
		return set && d.path.Is(value, *d.Value)
	case d.Exists != nil:
		return set == *d.Exists
	default:
		return set && value != false
	}
}

// String says what must be, as a sentence about a workload.
func (d demand) String() string {
	must := "must"
	if d.forbidden {
		must = "must not"
	}
	switch {
	case d.Value != nil && (d.Exists == nil || *d.Exists):
		return fmt.Sprintf("%s %s be %s", d.Key, must, *d.Value)
	case d.Exists != nil && *d.Exists == d.forbidden:
		return d.Key + " must not be there"
	case d.Exists != nil:
		return d.Key + " must be there"
	default:
		return fmt.Sprintf("%s %s be set", d.Key, must)
	}
}

// severity is milder where a lack only harms the workload and its neighbours.
func (d demand) severity() kspec.Severity {
	if !d.forbidden && d.path.First() != "securityContext" {
		return kspec.Medium
	}
	return kspec.High
}
