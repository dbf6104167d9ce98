package podfield_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func BenchmarkOf(b *testing.B) {
	b.ReportAllocs()
	path := parse(b, "securityContext.capabilities.drop")
	pod := corev1.PodSpec{Containers: []corev1.Container{{SecurityContext: &corev1.SecurityContext{
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}}}}
	for b.Loop() {
		path.Of(&pod.Containers[0], &pod)
	}
}
