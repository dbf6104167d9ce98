package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/compare"
	"github.com/cloudcwfranck/kspec/compare/require"
	"github.com/cloudcwfranck/kspec/policy"
)

// clusterFacts are what is true of a cluster; the zero value is of none.
type clusterFacts struct {
	cluster, version string
	// namespaces are those that are not the system's or the engine's.
	namespaces []string
	// apart are the namespaces of the engines that are there.
	apart      []string
	engine     kspec.Engine
	engineNote string
	// units are what the engine deploys, as items of spec.manifests.
	units      []string
	registries []string

	// judge says why the cluster does not keep a ClusterSpec, "" when it does.
	// What holds because there is nothing to look at is errVacuous.
	judge func(ctx context.Context, spec string) (why string, err error)
}

var errVacuous = errors.New("there is nothing to look at")

// surveyCluster reads what a first ClusterSpec says. No cluster has no facts.
func surveyCluster(ctx context.Context, c *compare.Cluster) (*clusterFacts, error) {
	f := &clusterFacts{engine: kspec.NoEngine}
	if c == nil {
		return f, nil
	}
	walk := c.Walk()
	version, err := walk.Version(ctx)
	if err != nil {
		return nil, err
	}
	f.cluster, f.version = c.Name(), minorOf(version)
	if err := f.readEngine(ctx, walk); err != nil {
		return nil, err
	}
	err = walk.Each(ctx, schema.GroupKind{Kind: "Namespace"}, "", func(object []byte) error {
		var o metav1.PartialObjectMetadata
		if err := json.Unmarshal(object, &o); err != nil {
			return err
		}
		switch {
		case slices.Contains(engineNamespaces(), o.Name):
			f.apart = append(f.apart, o.Name)
		case !slices.Contains(policy.System(), o.Name):
			f.namespaces = append(f.namespaces, o.Name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the namespaces: %w", err)
	}
	if err := f.readRegistries(ctx, walk); err != nil {
		return nil, err
	}
	detector := require.New(nil, require.ReadersFunc(func(context.Context, kspec.Target) (require.Reader, error) { return c.Walk(), nil }), nil)
	f.judge = func(ctx context.Context, spec string) (string, error) { return judgeSpec(ctx, detector, spec) }
	return f, nil
}

// minorOf returns the version without patch and what a vendor added.
func minorOf(version string) string {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "+")
	parts := strings.Split(version, ".")
	return strings.Join(parts[:min(2, len(parts))], ".")
}

func engineNamespaces() []string { return []string{"argocd", "flux-system"} }

// readEngine finds out who applies what is merged, by the kinds that the
// cluster knows.
func (f *clusterFacts) readEngine(ctx context.Context, walk *compare.Walk) error {
	kinds := map[kspec.Engine]schema.GroupKind{
		kspec.Flux:   {Group: "kustomize.toolkit.fluxcd.io", Kind: "Kustomization"},
		kspec.ArgoCD: {Group: "argoproj.io", Kind: "Application"},
	}
	var found []kspec.Engine
	for _, engine := range []kspec.Engine{kspec.Flux, kspec.ArgoCD} {
		units, err := unitsOf(ctx, walk, kinds[engine])
		switch {
		case meta.IsNoMatchError(err):
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			f.engineNote = fmt.Sprintf("what %s deploys could not be read: %v", engine, err)
		}
		found, f.units = append(found, engine), append(f.units, units...)
	}
	switch len(found) {
	case 0:
	case 1:
		f.engine = found[0]
	default:
		f.engineNote = "the cluster knows Flux and Argo CD: choose flux or argocd"
	}
	return nil
}

// unitsOf returns the folders that an engine deploys, as items of
// spec.manifests, sorted.
func unitsOf(ctx context.Context, walk *compare.Walk, kind schema.GroupKind) ([]string, error) {
	var units []string
	err := walk.Each(ctx, kind, "", func(object []byte) error {
		var o struct {
			Metadata metav1.ObjectMeta `json:"metadata"`
			Spec     struct {
				Path   string `json:"path"`
				Source struct {
					Path string `json:"path"`
				} `json:"source"`
			} `json:"spec"`
		}
		if err := json.Unmarshal(object, &o); err != nil {
			return err
		}
		folder := strings.Trim(strings.TrimPrefix(o.Spec.Path+o.Spec.Source.Path, "./"), "/")
		if folder == "" {
			folder = "."
		}
		units = append(units, fmt.Sprintf("- {path: %q, ref: {name: %s, namespace: %s}}", folder, quoted(o.Metadata.Name), quoted(o.Metadata.Namespace)))
		return nil
	})
	slices.Sort(units)
	return units, err
}

// readRegistries collects the hosts that images come from, outside of the
// system's namespaces.
func (f *clusterFacts) readRegistries(ctx context.Context, walk *compare.Walk) error {
	hosts := map[string]bool{}
	note := func(image string) { hosts[registryOf(image)] = true }
	err := walk.Pods(ctx, func(_ kspec.ObjectID, pod *corev1.Pod) error {
		if !slices.Contains(f.namespaces, pod.Namespace) {
			return nil
		}
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			note(c.Image)
		}
		for _, c := range pod.Spec.EphemeralContainers {
			note(c.Image)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the Pods: %w", err)
	}
	f.registries = slices.Sorted(maps.Keys(hosts))
	if slices.ContainsFunc(f.registries, func(host string) bool { return !registryHost.MatchString(host) }) {
		f.registries = nil // nothing that could be allowed
	}
	return nil
}

// registryHost matches what is a registry. The API server takes any text for an
// image.
var registryHost = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$`)

// registryOf returns the host of an image, Docker Hub's without one.
func registryOf(image string) string {
	host, _, more := strings.Cut(image, "/")
	if more && (strings.ContainsAny(host, ".:") || host == "localhost") {
		return host
	}
	return "docker.io"
}

// judgeSpec checks the requirements of a ClusterSpec.
func judgeSpec(ctx context.Context, detector *require.Detector, text string) (string, error) {
	docs, errs := v1alpha1.Decode("", []byte(text))
	if len(errs) > 0 {
		return "", errors.Join(errs...)
	}
	spec := docs[0].Object.(*v1alpha1.ClusterSpec)
	target, err := spec.Target(docs[0].Source, kspec.Revision{})
	if err != nil || len(target.Requirements.Checks()) == 0 {
		return "", err
	}
	if target, err = policy.At(target, time.Now()); err != nil {
		return "", err
	}
	rep, err := detector.Look(ctx, target)
	if err != nil {
		return "", err
	}
	open := rep.Open()
	switch {
	case len(open) > 0:
		return fmt.Sprintf("%s, such as %s: %s", count(len(open), "finding"), open[0].Object, shortened(open[0].Message)), nil
	case len(rep.Unknown) > 0:
		return "nobody can say whether it holds: " + rep.Unknown[0].Reason, nil
	}
	for _, check := range rep.Checks {
		if check.Looked == 0 {
			return "", errVacuous
		}
	}
	return "", nil
}

// shortened is for one line of a comment.
func shortened(text string) string {
	const most = 160
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most]) + "…"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
