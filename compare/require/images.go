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
		if what, severity, hint := wrongImage(s.rules.Registries, ref); ref != "" && what != "" {
			about.what, about.severity, about.hint = what, severity, hint
			s.note(about, ref, nil)
		}
	}
}

var byDigest = regexp.MustCompile(`@(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)

// wrongImage says what is wrong with a reference, "" for nothing. What is
// blocked is not asked whether it is allowed.
func wrongImage(rules kspec.RegistryRules, ref string) (what string, severity kspec.Severity, hint string) {
	matches := func(pattern string) bool { return comesFrom(ref, pattern) }
	switch {
	case slices.ContainsFunc(rules.Blocked, matches):
		return "runs images from registries that are blocked", kspec.High, "take them from another registry"
	case len(rules.Allowed) > 0 && !slices.ContainsFunc(rules.Allowed, matches):
		return "runs images from registries that are not among those allowed", kspec.High, "take them from one of workloads.images.allowedRegistries"
	case rules.RequireDigests && !byDigest.MatchString(ref):
		return "runs images that are not named by digest", kspec.Medium, "name them by digest: name@sha256:…"
	}
	return "", "", ""
}

// comesFrom reports whether an image is of a registry, or below a path in it.
// Both are compared by whole elements of their paths.
func comesFrom(ref, pattern string) bool {
	image, want := elements(repository(ref)), elements(pattern)
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

// repository returns a reference without tag and digest.
func repository(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if i := strings.LastIndex(ref, ":"); i > strings.LastIndex(ref, "/") {
		ref = ref[:i]
	}
	return ref
}

const hub = "docker.io"

// elements splits a repository into its host and the elements of its path.
// Without a host it is of Docker Hub.
func elements(repository string) []string {
	parts := strings.Split(repository, "/")
	parts[0] = strings.ToLower(parts[0])
	switch host := parts[0]; {
	case host == "index.docker.io" || host == "registry-1.docker.io":
		parts[0] = hub
	case host != "localhost" && !strings.ContainsAny(host, ".:*"):
		parts = append([]string{hub}, parts...)
	}
	return parts
}
