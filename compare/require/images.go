package require

import (
	"path"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/cloudcwfranck/kspec"
)

// judgeImages looks at where the images of a Pod come from.
func (s *survey) judgeImages(about problem, pod *corev1.Pod) {
	about.check = kspec.CheckImages
	refs := make([]string, 0, len(pod.Spec.Containers))
	for _, c := range containersOf(pod) {
		refs = append(refs, c.Image)
	}
	for _, v := range pod.Spec.Volumes {
		if v.Image != nil {
			refs = append(refs, v.Image.Reference)
		}
	}
	for _, ref := range refs {
		if ref == "" {
			continue
		}
		for _, wrong := range wrongImage(s.rules.Registries, ref) {
			about.what, about.severity, about.hint = wrong.what, wrong.severity, wrong.hint
			s.note(about, ref, nil)
		}
	}
}

var byDigest = regexp.MustCompile(`@(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)

// wrongImage says what is wrong with a reference. What is blocked is not asked
// whether it is allowed.
func wrongImage(rules kspec.RegistryRules, ref string) []problem {
	var all []problem
	wrong := func(severity kspec.Severity, what, hint string) {
		all = append(all, problem{problemKey: problemKey{what: what}, severity: severity, hint: hint})
	}
	matches := func(pattern string) bool { return comesFrom(ref, pattern) }
	switch {
	case slices.ContainsFunc(rules.Blocked, matches):
		wrong(kspec.High, "runs images from registries that are blocked", "take them from another registry")
	case len(rules.Allowed) > 0 && !slices.ContainsFunc(rules.Allowed, matches):
		wrong(kspec.High, "runs images from registries that are not among those allowed", "take them from one of workloads.images.allowedRegistries")
	}
	if rules.RequireDigests && !byDigest.MatchString(ref) {
		wrong(kspec.Medium, "runs images that are not named by digest", "name them by digest: name@sha256:…")
	}
	return all
}

// comesFrom reports whether an image is of a registry, or below a path in it.
// Both are compared by whole elements of their paths.
func comesFrom(ref, pattern string) bool {
	image, want := imagePath(ref), registryPath(pattern)
	const official = "library" // of Docker Hub, which nobody writes
	if image[0] == hub && len(image) == 2 {
		return begins(image, want) || begins([]string{hub, official, image[1]}, want)
	}
	return begins(image, want)
}

func begins(image, want []string) bool {
	if len(want) > len(image) {
		return false
	}
	for i, element := range want {
		if ok, err := path.Match(element, image[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

const hub = "docker.io"

// imagePath splits a reference, without tag and digest, into its registry and
// the elements of its path, as container runtimes do: the first element is a
// host when another one follows, and it cannot be a name on Docker Hub.
func imagePath(ref string) []string {
	ref, _, _ = strings.Cut(ref, "@")
	if i := strings.LastIndex(ref, ":"); i > strings.LastIndex(ref, "/") {
		ref = ref[:i]
	}
	parts := strings.Split(ref, "/")
	first := parts[0]
	if len(parts) > 1 && (first == "localhost" || strings.ContainsAny(first, ".:") || first != strings.ToLower(first)) {
		parts[0] = host(first)
		return parts
	}
	return append([]string{hub}, parts...)
}

// registryPath splits what people write of a registry. Without anything that
// makes it a host it is of Docker Hub.
func registryPath(pattern string) []string {
	parts := strings.Split(pattern, "/")
	if first := parts[0]; first == "localhost" || strings.ContainsAny(first, ".:*") {
		parts[0] = host(first)
		return parts
	}
	return append([]string{hub}, parts...)
}

// host returns the one name of a host that has several. Case does not count,
// nor does the port that is meant without one.
func host(name string) string {
	name = strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(name), ":443"), ".")
	if slices.Contains([]string{"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}, name) {
		return hub
	}
	return name
}
