package podfield_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/cloudcwfranck/kspec/internal/podfield"
)

func parse(t testing.TB, key string) podfield.Path {
	t.Helper()
	p, err := podfield.Parse(key)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWhoHasAField(t *testing.T) {
	for key, want := range map[string][2]bool{
		"image":                                                 {true, false},
		"securityContext.privileged":                            {true, false},
		"securityContext.runAsNonRoot":                          {true, true},
		"securityContext.fsGroup":                               {false, true},
		"securityContext.seccompProfile.type":                   {true, true},
		"resources.limits.memory":                               {true, true},
		"resources.requests.ephemeral-storage":                  {true, true},
		"resources.limits.nvidia.com/gpu":                       {true, true},
		"resources.limits.hugepages-2Mi":                        {true, true},
		"hostNetwork":                                           {false, true},
		"automountServiceAccountToken":                          {false, true},
		"nodeSelector.kubernetes.io/os":                         {false, true},
		"livenessProbe.httpGet.path":                            {true, false},
		"lifecycle.preStop.sleep.seconds":                       {true, false},
		"securityContext.capabilities.drop":                     {true, false},
		"affinity.nodeAffinity":                                 {false, true},
		"securityContext.seLinuxOptions.level":                  {true, true},
		"terminationMessagePolicy":                              {true, false},
		"securityContext.appArmorProfile.type":                  {true, true},
		"securityContext.windowsOptions.gmsaCredentialSpecName": {true, true},
	} {
		p := parse(t, key)
		if got := [2]bool{p.InContainer, p.InPod}; got != want {
			t.Errorf("%s: container and pod %v, want %v", key, got, want)
		}
	}
}

func TestParseRefusesWhatNobodyHas(t *testing.T) {
	for key, want := range map[string]string{
		"":                                "no container and no pod has such a field",
		"spec.hostNetwork":                "no container and no pod has such a field",
		"securityContext.":                "no container and no pod has such a field",
		"securityContext..privileged":     "no container and no pod has such a field",
		"containers.name":                 "is a list",
		"ports.hostPort":                  "ports is a list",
		"resources.limits":                "",
		"resources.limits.":               "no resource",
		"resources.limits.memory.x":       "no resource",
		"resources.limits./gpu":           "no resource",
		"image.tag":                       "image has no fields",
		"nodeSelector.":                   "the key is empty",
		"securityContext.runAsNonRoot.no": "has no fields",
	} {
		_, err := podfield.Parse(key)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", key, err, want)
		}
	}
}

func TestOf(t *testing.T) {
	var pod corev1.PodSpec
	if err := yaml.UnmarshalStrict([]byte(`
hostPID: true
securityContext: {runAsNonRoot: true, runAsUser: 0}
nodeSelector: {disk: ssd}
containers:
- name: a
  image: web
  securityContext: {runAsNonRoot: false, privileged: false, capabilities: {drop: [ALL]}}
  resources: {limits: {memory: 0}}
- name: b
`), &pod); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string][2]any{
		"securityContext.runAsNonRoot":      {false, true},
		"securityContext.runAsUser":         {int64(0), int64(0)},
		"securityContext.privileged":        {false, nil},
		"securityContext.capabilities.drop": {[]corev1.Capability{"ALL"}, nil},
		"resources.limits.memory":           {resource.MustParse("0"), nil},
		"resources.limits.cpu":              {nil, nil},
		"hostPID":                           {true, true},
		"hostIPC":                           {nil, nil},
		"nodeSelector.disk":                 {"ssd", "ssd"},
		"nodeSelector.cpu":                  {nil, nil},
		"image":                             {"web", nil},
		"lifecycle.preStop.sleep.seconds":   {nil, nil},
	} {
		p := parse(t, key)
		for i, want := range want {
			got, set := p.Of(&pod.Containers[i], &pod)
			if diff := cmp.Diff(want, got); diff != "" || set != (want != nil) {
				t.Errorf("%s of container %d: set %t (-want +got):\n%s", key, i, set, diff)
			}
		}
	}
}

func TestIs(t *testing.T) {
	for _, tt := range []struct {
		key   string
		value any
		text  string
		want  bool
	}{
		{"hostNetwork", true, "true", true},
		{"hostNetwork", true, "false", false},
		{"securityContext.runAsUser", int64(0), "0", true},
		{"resources.limits.memory", resource.MustParse("1Gi"), "1024Mi", true},
		{"resources.limits.memory", resource.MustParse("1Gi"), "1G", false},
		{"resources.limits.memory", resource.MustParse("1Gi"), "much", false},
		{"securityContext.capabilities.drop", []corev1.Capability{"A", "B"}, "B", true},
		{"securityContext.capabilities.drop", []corev1.Capability{"A", "B"}, "C", false},
		{"securityContext.capabilities.drop", []corev1.Capability{"ALL"}, "NET_RAW", true},
		{"securityContext.capabilities.add", []corev1.Capability{"sys_admin"}, "SYS_ADMIN", true},
		{"imagePullPolicy", corev1.PullAlways, "Always", true},
	} {
		p := parse(t, tt.key)
		if err := p.Check(tt.text); err != nil && tt.text != "much" {
			t.Errorf("%s cannot be %s: %v", tt.key, tt.text, err)
		}
		if got := p.Is(tt.value, tt.text); got != tt.want {
			t.Errorf("%s %v is %s: %t", tt.key, tt.value, tt.text, got)
		}
	}
}

func TestShowTellsWhatIsNoSecret(t *testing.T) {
	for key, tt := range map[string]struct{ value, want any }{
		"hostNetwork":                         {true, true},
		"securityContext.runAsUser":           {int64(7), int64(7)},
		"resources.limits.memory":             {resource.MustParse("1Gi"), "1Gi"},
		"imagePullPolicy":                     {corev1.PullAlways, "Always"},
		"workingDir":                          {"/s3cr3t", "set"},
		"command":                             {[]string{"s3cr3t"}, "set"},
		"securityContext.seccompProfile.type": {corev1.SeccompProfileTypeRuntimeDefault, "RuntimeDefault"},
	} {
		if got := parse(t, key).Show(tt.value, true); got != tt.want {
			t.Errorf("%s: shown as %v, want %v", key, got, tt.want)
		}
	}
	if got := parse(t, "workingDir").Show("", false); got != nil {
		t.Errorf("what is not set is shown as %v", got)
	}
}

func TestDefault(t *testing.T) {
	for key, want := range map[string]any{
		"securityContext.allowPrivilegeEscalation": true,
		"automountServiceAccountToken":             true,
		"securityContext.privileged":               false,
		"hostNetwork":                              false,
		"securityContext.procMount":                "Default",
		"securityContext.runAsUser":                nil,
		"resources.limits.memory":                  nil,
	} {
		if got := parse(t, key).Default(); got != want {
			t.Errorf("%s is %v where nobody says so, want %v", key, got, want)
		}
	}
}

func TestFieldsThatAnOperatingSystemDoesNotHave(t *testing.T) {
	for key, want := range map[string]corev1.OSName{
		"securityContext.capabilities.drop":          corev1.Windows,
		"securityContext.runAsUser":                  corev1.Windows,
		"hostPID":                                    corev1.Windows,
		"securityContext.windowsOptions.hostProcess": corev1.Linux,
		"securityContext.runAsNonRoot":               "",
		"hostNetwork":                                "",
		"resources.limits.memory":                    "",
	} {
		for _, system := range []corev1.OSName{corev1.Linux, corev1.Windows, ""} {
			if got := parse(t, key).RefusedOn(system); got != (system == want && want != "") {
				t.Errorf("%s is refused on %q: %t", key, system, got)
			}
		}
	}
}

func TestNear(t *testing.T) {
	near := podfield.Near("securityContext.runasNonRoot")
	if !slices.Contains(near, "securityContext.runAsNonRoot") || !slices.Contains(near, "securityContext.fsGroup") || slices.Contains(near, "image") {
		t.Errorf("got %v", near)
	}
	if near := podfield.Near("hostNetwrk"); !slices.Contains(near, "hostNetwork") || !slices.Contains(near, "image") {
		t.Errorf("got %v", near)
	}
	if near := podfield.Near("image.tag"); len(near) != 0 {
		t.Errorf("got %v", near)
	}
}

// No key, however hostile, breaks anything.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"hostNetwork", "securityContext.capabilities.drop", "resources.limits.memory", "....", "nodeSelector.a.b/c"} {
		f.Add(seed)
	}
	pod := corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}}}
	f.Fuzz(func(t *testing.T, key string) {
		p, err := podfield.Parse(key)
		_ = podfield.Near(key)
		if err != nil {
			return
		}
		value, set := p.Of(&pod.Containers[0], &pod)
		p.Show(value, set)
		if p.Check("true") == nil && set {
			p.Is(value, "true")
		}
		if p.First() != strings.Split(key, ".")[0] {
			t.Errorf("%q begins with %q", key, p.First())
		}
	})
}
