package require

import (
	"fmt"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/internal/kubeversion"
)

func (l *look) version(text string, err error) {
	c := l.demands(kspec.CheckVersion)
	if c == nil {
		return
	}
	if err == nil {
		c.Looked = 1
		err = l.compareVersion(text)
	}
	if err != nil {
		l.doubt(kspec.CheckVersion, err.Error(), false)
	}
}

func (l *look) compareVersion(text string) error {
	is, err := kubeversion.Parse(text)
	if err != nil {
		return fmt.Errorf("the API server tells no version: %w", err)
	}
	wrong, err := wrongVersion(l.target.Requirements.Kubernetes, is)
	if err != nil || wrong == "" {
		return err
	}
	l.found(kspec.CheckVersion, kspec.Finding{
		Severity: kspec.Critical, Message: fmt.Sprintf("the cluster runs Kubernetes %s, %s", is, wrong),
		Hint:     "upgrade the control plane, or change spec.kubernetes",
		Evidence: map[string]any{"version": text},
	})
	return nil
}

// wrongVersion says what is wrong with a version, "" for nothing.
func wrongVersion(rules kspec.KubernetesRules, is kubeversion.Version) (string, error) {
	bounds := []struct {
		text  string
		wrong func(kubeversion.Version) bool
		says  string
	}{
		{rules.MinVersion, func(b kubeversion.Version) bool { return is.Compare(b) < 0 }, "which is older than minVersion "},
		{rules.MaxVersion, func(b kubeversion.Version) bool { return is.Compare(b) > 0 }, "which is newer than maxVersion "},
	}
	for _, text := range rules.ExcludedVersions {
		bounds = append(bounds, struct {
			text  string
			wrong func(kubeversion.Version) bool
			says  string
		}{text, is.Is, "which excludedVersions excludes by "})
	}
	for _, b := range bounds {
		if b.text == "" {
			continue
		}
		bound, err := kubeversion.Parse(b.text)
		if err != nil {
			return "", err
		}
		if b.wrong(bound) {
			return b.says + b.text, nil
		}
	}
	return "", nil
}
