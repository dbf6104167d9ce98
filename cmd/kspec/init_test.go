package main

import (
	"strings"
	"testing"
)

func TestRegistryOfAnImage(t *testing.T) {
	for image, want := range map[string]string{
		"nginx":                       "docker.io",
		"library/nginx:1":             "docker.io",
		"ghcr.io/acme/web@sha256:0":   "ghcr.io",
		"localhost/web":               "localhost",
		"registry:5000/web":           "registry:5000",
		"registry.example.com/a/b:1":  "registry.example.com",
		"a.b], x: [\n- {key: y}]/web": "a.b], x: [\n- {key: y}]",
	} {
		got := registryOf(image)
		if got != want {
			t.Errorf("%q: %q, want %q", image, got, want)
		}
		if plain := !strings.ContainsAny(want, "[]\n"); registryHost.MatchString(got) != plain {
			t.Errorf("%q: taken for a registry: %t", got, !plain)
		}
	}
}

func TestVersionsWithoutPatchAndVendor(t *testing.T) {
	for version, want := range map[string]string{"v1.34.1-gke.7": "1.34", "v1.37.2": "1.37", "v1.30+": "1.30", "v1.27.4+k3s1": "1.27", "v1": "1", "": ""} {
		if got := minorOf(version); got != want {
			t.Errorf("%q: %q, want %q", version, got, want)
		}
	}
}

func TestLongFindingsAreShortened(t *testing.T) {
	if got := shortened(strings.Repeat("ä", 500)); got != strings.Repeat("ä", 160)+"…" {
		t.Errorf("%d bytes: %s", len(got), got)
	}
	if got := shortened("short"); got != "short" {
		t.Errorf("%q", got)
	}
}
