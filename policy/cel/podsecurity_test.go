package cel_test

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec/policy/cel"
)

// pinned is the version of the standards that the templates are of.
func pinned() psa.Version { return psa.MajorMinorVersion(1, 37) }

// controls maps the checks of Kubernetes' evaluator to our rules.
func controls() map[policy.CheckID]string {
	return map[policy.CheckID]string{
		"allowPrivilegeEscalation": "pss-privilege-escalation", "appArmorProfile": "pss-app-armor",
		"capabilities_baseline": "pss-capabilities", "capabilities_restricted": "pss-capabilities-restricted",
		"hostNamespaces": "pss-host-namespaces", "hostPathVolumes": "pss-host-path-volumes", "hostPorts": "pss-host-ports",
		"hostProbesAndHostLifecycle": "pss-host-probes", "privileged": "pss-privileged",
		"procMount": "pss-proc-mount", "procMount_restricted": "pss-proc-mount-restricted", "restrictedVolumes": "pss-volume-types",
		"runAsNonRoot": "pss-run-as-non-root", "runAsUser": "pss-run-as-user", "seLinuxOptions": "pss-selinux",
		"seccompProfile_baseline": "pss-seccomp", "seccompProfile_restricted": "pss-seccomp-restricted",
		"sysctls": "pss-sysctls", "windowsHostProcess": "pss-windows-host-process",
	}
}

// judge compares a template with Kubernetes' own evaluator, rule by rule and as
// a whole.
type judge struct {
	level psa.Level
	set   *cel.Set
	whole policy.Evaluator
	rules map[string]policy.Evaluator
}

func judges(t *testing.T) []judge {
	t.Helper()
	whole, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []judge
	for _, level := range []psa.Level{psa.LevelBaseline, psa.LevelRestricted} {
		s := suite(t, "pod-security-"+string(level))
		set, err := cel.New().Compile(s.Policies...)
		if err != nil {
			t.Fatal(err)
		}
		j := judge{level: level, set: set, whole: whole, rules: map[string]policy.Evaluator{}}
		ours := map[string]bool{}
		for _, p := range s.Policies {
			ours[p.GetAnnotations()["kspec.io/rule"]] = true
		}
		overridden := map[policy.CheckID]bool{}
		for _, c := range policy.DefaultChecks() {
			for _, v := range c.Versions {
				for _, id := range v.OverrideCheckIDs {
					overridden[id] = true
				}
			}
		}
		for _, c := range policy.DefaultChecks() {
			if level == psa.LevelBaseline && c.Level == psa.LevelRestricted || level == psa.LevelRestricted && overridden[c.ID] {
				continue
			}
			rule := controls()[c.ID]
			if !ours[rule] {
				t.Errorf("%s: no rule for the check %s", level, c.ID)
			}
			if j.rules[rule], err = policy.NewEvaluator([]policy.Check{c}, nil); err != nil {
				t.Fatal(err)
			}
		}
		if len(j.rules) != len(ours) {
			t.Errorf("%s: %d rules for %d checks", level, len(ours), len(j.rules))
		}
		all = append(all, j)
	}
	return all
}

func allowed(e policy.Evaluator, level psa.Level, pod *corev1.Pod) bool {
	results := e.EvaluatePod(psa.LevelVersion{Level: level, Version: pinned()}, &pod.ObjectMeta, &pod.Spec)
	return policy.AggregateCheckResults(results).Allowed
}

// agrees fails when we say anything else of the pod, given as it is or in an
// object that makes it. It returns the rules that Kubernetes says it breaks.
func (j judge) agrees(t *testing.T, name string, pod *corev1.Pod, object *unstructured.Unstructured) map[string]bool {
	t.Helper()
	want := map[string]bool{}
	for rule, e := range j.rules {
		if !allowed(e, j.level, pod) {
			want[rule] = true
		}
	}
	got := failed(t, j.set, object)
	if diff := cmp.Diff(want, got); diff != "" {
		text, _ := yaml.Marshal(object)
		t.Errorf("%s, %s: Kubernetes (-) and kspec (+):\n%s%s", name, j.level, diff, text)
	}
	if allowed(j.whole, j.level, pod) != (len(got) == 0) {
		t.Errorf("%s, %s: as a whole Kubernetes allows %v", name, j.level, !allowed(j.whole, j.level, pod))
	}
	return want
}

func asUnstructured(t testing.TB, object runtime.Object) *unstructured.Unstructured {
	t.Helper()
	data, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: data}
}

// upstream returns the fixtures that come with Kubernetes' evaluator, each once.
func upstream(t *testing.T) map[string]*corev1.Pod {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/pod-security-admission").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(strings.TrimSpace(string(out)), "test", "testdata")
	pods, seen := map[string]*corev1.Pod{}, map[string]bool{}
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(file) != ".yaml" {
			return err
		}
		data, err := os.ReadFile(file)
		if err != nil || seen[string(data)] {
			return err
		}
		seen[string(data)] = true
		pod := &corev1.Pod{}
		pods[strings.TrimPrefix(file, root)] = pod
		return yaml.UnmarshalStrict(data, pod)
	})
	if err != nil {
		t.Fatal(err)
	}
	return pods
}

func TestPodSecurityTemplatesSayWhatKubernetesSaysOfItsFixtures(t *testing.T) {
	pods := upstream(t)
	if len(pods) < 100 {
		t.Fatalf("found %d fixtures only", len(pods))
	}
	for _, j := range judges(t) {
		refused := 0
		for _, name := range slices.Sorted(maps.Keys(pods)) {
			pod := pods[name]
			j.agrees(t, name, pod, asUnstructured(t, pod))
			if !allowed(j.whole, j.level, pod) {
				refused++
			}
		}
		if refused == 0 || refused == len(pods) {
			t.Errorf("%s: Kubernetes refuses %d of %d fixtures, which tells nothing", j.level, refused, len(pods))
		}
	}
}

func TestPodSecurityTemplatesSayWhatKubernetesSaysOfGeneratedPods(t *testing.T) {
	pods := 1000
	if text := os.Getenv("KSPEC_PODS"); text != "" { // for a longer look
		var err error
		if pods, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(7, 37)) // the same pods each time
	all := judges(t)
	verdicts := map[string]int{}
	for i := range pods {
		pod := generate(r)
		object := asUnstructured(t, pod)
		if i%3 == 0 {
			object = inController(object, r)
		}
		for _, j := range all {
			broken := j.agrees(t, fmt.Sprintf("pod %d", i), pod, object)
			for rule := range j.rules {
				verdicts[fmt.Sprintf("%s %v", rule, !broken[rule])]++
			}
		}
		if t.Failed() {
			return
		}
	}
	for _, rule := range controls() {
		if verdicts[rule+" true"] == 0 || verdicts[rule+" false"] == 0 {
			t.Errorf("no generated pod tells of %s: %v", rule, verdicts)
		}
	}
}

func one[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// maybe returns a pointer to one of the values, or none, mostly none.
func maybe[T any](r *rand.Rand, of ...T) *T {
	if r.IntN(4) > 0 {
		return nil
	}
	v := one(r, of...)
	return &v
}

// generate makes a pod with fields that the standards are about, most of them
// not set.
func generate(r *rand.Rand) *corev1.Pod {
	pod := &corev1.Pod{}
	pod.APIVersion, pod.Kind, pod.Name = "v1", "Pod", "generated"
	if r.IntN(5) == 0 {
		key := one(r, "container.apparmor.security.beta.kubernetes.io/a", "container.apparmor.security.beta.kubernetes.io/",
			"seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/a", "container.apparmor.security.beta.kubernetes.iox")
		pod.Annotations = map[string]string{key: one(r, "", "unconfined", "runtime/default", "localhost/x", "localhost/", "localhost")}
	}
	s := &pod.Spec
	s.HostNetwork, s.HostPID, s.HostIPC = r.IntN(12) == 0, r.IntN(12) == 0, r.IntN(12) == 0
	s.HostUsers = maybe(r, true, false)
	if os := maybe(r, corev1.Linux, corev1.Windows); os != nil {
		s.OS = &corev1.PodOS{Name: *os}
	}
	if r.IntN(3) > 0 {
		s.SecurityContext = &corev1.PodSecurityContext{
			RunAsNonRoot: one(r, nil, new(true), new(true), new(false)), RunAsUser: maybe[int64](r, 0, 1, 1000),
			SeccompProfile: profile(r), AppArmorProfile: armor(r), SELinuxOptions: selinux(r), WindowsOptions: windows(r),
		}
		if name := maybe(r, sysctls()...); name != nil {
			s.SecurityContext.Sysctls = []corev1.Sysctl{{Name: *name, Value: "1"}, {Name: "kernel.shm_rmid_forced", Value: "1"}}
		}
	}
	for range r.IntN(3) {
		s.Volumes = append(s.Volumes, corev1.Volume{Name: "v", VolumeSource: volume(r)})
	}
	for range 1 + r.IntN(2) {
		s.Containers = append(s.Containers, container(r))
	}
	for range r.IntN(2) {
		s.InitContainers = append(s.InitContainers, container(r))
	}
	for range r.IntN(2) {
		s.EphemeralContainers = append(s.EphemeralContainers, corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon(container(r))})
	}
	return pod
}

// sysctls are those that some version of the standards allows, and some others.
func sysctls() []string {
	return []string{
		"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies",
		"net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
		"net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
		"net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_notsent_lowat", "kernel.msgmax", "net.core.somaxconn", "net/ipv4/tcp_rmem", "",
	}
}

// capabilities are those that baseline allows, and some others.
func capabilities() []corev1.Capability {
	return []corev1.Capability{
		"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP",
		"SETUID", "SYS_CHROOT", "SYS_ADMIN", "NET_RAW", "ALL", "all", "CAP_CHOWN", "",
	}
}

func profile(r *rand.Rand) *corev1.SeccompProfile {
	if p := maybe(r, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeLocalhost, corev1.SeccompProfileTypeUnconfined, ""); p != nil {
		return &corev1.SeccompProfile{Type: *p}
	}
	return nil
}

func armor(r *rand.Rand) *corev1.AppArmorProfile {
	if p := maybe(r, corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeLocalhost, corev1.AppArmorProfileTypeUnconfined); p != nil {
		return &corev1.AppArmorProfile{Type: *p}
	}
	return nil
}

func selinux(r *rand.Rand) *corev1.SELinuxOptions {
	return maybe(r, corev1.SELinuxOptions{}, corev1.SELinuxOptions{Type: "container_engine_t"}, corev1.SELinuxOptions{Type: "spc_t"}, corev1.SELinuxOptions{Type: "container_t"},
		corev1.SELinuxOptions{Type: "container_init_t"}, corev1.SELinuxOptions{Type: "container_kvm_t"}, corev1.SELinuxOptions{Type: "container_kvm_t", Role: "r"},
		corev1.SELinuxOptions{User: "system_u"}, corev1.SELinuxOptions{Role: "system_r"}, corev1.SELinuxOptions{Level: "s0:c1"})
}

func windows(r *rand.Rand) *corev1.WindowsSecurityContextOptions {
	return maybe(r, corev1.WindowsSecurityContextOptions{}, corev1.WindowsSecurityContextOptions{HostProcess: new(true)}, corev1.WindowsSecurityContextOptions{HostProcess: new(false)})
}

func volume(r *rand.Rand) corev1.VolumeSource {
	return one(r,
		corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}, corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}},
		corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}, corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{}},
		corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "a"}}, corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{}},
		corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}, corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{}},
		corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{}}, corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}},
		corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{}}, corev1.VolumeSource{},
		corev1.VolumeSource{AWSElasticBlockStore: &corev1.AWSElasticBlockStoreVolumeSource{}}, corev1.VolumeSource{GitRepo: &corev1.GitRepoVolumeSource{}},
		corev1.VolumeSource{ISCSI: &corev1.ISCSIVolumeSource{}}, corev1.VolumeSource{FC: &corev1.FCVolumeSource{}}, corev1.VolumeSource{RBD: &corev1.RBDVolumeSource{}},
		corev1.VolumeSource{AzureFile: &corev1.AzureFileVolumeSource{}}, corev1.VolumeSource{FlexVolume: &corev1.FlexVolumeSource{}})
}

func container(r *rand.Rand) corev1.Container {
	c := corev1.Container{Name: "a", Image: "b"}
	if r.IntN(4) == 0 {
		c.Ports = []corev1.ContainerPort{{ContainerPort: 1}, {ContainerPort: 2, HostPort: one[int32](r, 0, 2)}}
	}
	if r.IntN(6) == 0 {
		c.LivenessProbe, c.StartupProbe = &corev1.Probe{ProbeHandler: handler(r)}, &corev1.Probe{ProbeHandler: handler(r)}
	}
	if r.IntN(6) == 0 {
		c.ReadinessProbe = &corev1.Probe{ProbeHandler: handler(r)}
		h := handler(r)
		c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{HTTPGet: h.HTTPGet, TCPSocket: h.TCPSocket}}
		if h = handler(r); r.IntN(2) == 0 {
			c.Lifecycle.PostStart = &corev1.LifecycleHandler{HTTPGet: h.HTTPGet, TCPSocket: h.TCPSocket}
		}
	}
	if r.IntN(4) == 0 {
		return c
	}
	c.SecurityContext = &corev1.SecurityContext{
		Privileged: maybe(r, true, false), AllowPrivilegeEscalation: one(r, nil, new(false), new(false), new(true)),
		ProcMount: maybe(r, corev1.DefaultProcMount, corev1.UnmaskedProcMount), RunAsNonRoot: maybe(r, true, false),
		RunAsUser: maybe[int64](r, 0, 1), SeccompProfile: profile(r), AppArmorProfile: armor(r), SELinuxOptions: selinux(r), WindowsOptions: windows(r),
	}
	if r.IntN(3) > 0 {
		c.SecurityContext.Capabilities = &corev1.Capabilities{
			Add: one(r, nil, nil, []corev1.Capability{"NET_BIND_SERVICE"}, []corev1.Capability{"CHOWN"}, []corev1.Capability{one(r, capabilities()...), one(r, capabilities()...)}), Drop: one(r, []corev1.Capability{"ALL"}, []corev1.Capability{"ALL", "KILL"}, []corev1.Capability{one(r, capabilities()...)}, nil),
		}
	}
	return c
}

func handler(r *rand.Rand) corev1.ProbeHandler {
	return one(r, corev1.ProbeHandler{}, corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(1)}},
		corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Host: "h"}}, corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Host: "h"}})
}

// inController puts a pod into an object that makes it.
func inController(pod *unstructured.Unstructured, r *rand.Rand) *unstructured.Unstructured {
	metadata := map[string]any{}
	if a := pod.GetAnnotations(); a != nil {
		metadata["annotations"], _, _ = unstructured.NestedMap(pod.Object, "metadata", "annotations")
	}
	template := map[string]any{"metadata": metadata, "spec": pod.Object["spec"]}
	made := func(apiVersion, kind string, rest map[string]any) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: rest}
		u.SetAPIVersion(apiVersion)
		u.SetKind(kind)
		u.SetName("generated")
		return u
	}
	kind := one(r, "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob", "PodTemplate")
	switch kind {
	case "PodTemplate":
		return made("v1", kind, map[string]any{"template": template})
	case "ReplicationController":
		return made("v1", kind, map[string]any{"spec": map[string]any{"template": template}})
	case "Job":
		return made("batch/v1", kind, map[string]any{"spec": map[string]any{"template": template}})
	case "CronJob":
		return made("batch/v1", kind, map[string]any{"spec": map[string]any{"jobTemplate": map[string]any{"spec": map[string]any{"template": template}}}})
	default:
		return made("apps/v1", kind, map[string]any{"spec": map[string]any{"template": template}})
	}
}
