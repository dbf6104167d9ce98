package migrate_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/cloudcwfranck/kspec/api/migrate"
	"github.com/cloudcwfranck/kspec/docs/schemas"
	"github.com/cloudcwfranck/kspec/fixtures"
)

// Where a field of v0.3 went, if not to another field.
const (
	kept       = "kept"       // the same field, the same value
	text       = "text"       // the same field, the value as text
	annotation = "annotation" // as JSON
	removed    = "removed"
)

// TestEveryFieldOfV03HasAFate names each field that kspec v0.3 had, or told of,
// and where it is now.
func TestEveryFieldOfV03HasAFate(t *testing.T) {
	for _, doc := range []struct {
		file   string
		index  int
		fields map[string]string
	}{
		{"file", 0, map[string]string{
			"apiVersion":                                                  "apiVersion",
			"kind":                                                        "kind",
			"metadata.name":                                               kept,
			"metadata.version":                                            annotation,
			"metadata.description":                                        annotation,
			"metadata.labels.team":                                        kept,
			"metadata.labels.tier":                                        text,
			"spec.kubernetes.minVersion":                                  text,
			"spec.kubernetes.maxVersion":                                  kept,
			"spec.kubernetes.excludedVersions[0]":                         kept,
			"spec.kubernetes.excludedVersions[1]":                         text,
			"spec.podSecurity":                                            kept,
			"spec.network":                                                kept,
			"spec.workloads.containers.required[0].key":                   kept,
			"spec.workloads.containers.required[0].value":                 text,
			"spec.workloads.containers.required[1]":                       kept,
			"spec.workloads.containers.required[2].key":                   kept,
			"spec.workloads.containers.required[2].value":                 "spec.workloads.containers.required[2].exists",
			"spec.workloads.containers.forbidden":                         kept,
			"spec.workloads.images":                                       kept,
			"spec.rbac":                                                   kept,
			"spec.admission.required[0]":                                  kept,
			"spec.admission.required[1]":                                  kept,
			"spec.admission.required[2]":                                  annotation,
			"spec.admission.policies":                                     kept,
			"spec.observability":                                          kept,
			"spec.compliance.frameworks[0].name":                          kept,
			"spec.compliance.frameworks[0].revision":                      text,
			"spec.compliance.frameworks[0].controls[0].id":                text,
			"spec.compliance.frameworks[0].controls[0].title":             kept,
			"spec.compliance.frameworks[0].controls[0].mappings[0]":       kept,
			"spec.compliance.frameworks[0].controls[0].mappings[1].check": "spec.compliance.frameworks[0].controls[0].mappings[2].check",
			"spec.compliance.frameworks[0].controls[1].id":                kept,
			"spec.compliance.frameworks[0].controls[1].title":             kept,
			"spec.compliance.frameworks[0].controls[1].mappings[0]":       kept,
			"spec.compliance.frameworks[0].controls[1].mappings[1].check": "spec.compliance.frameworks[0].controls[1].mappings[1].check",
			"spec.compliance.frameworks[0].controls[1].mappings[2].check": "spec.compliance.frameworks[0].controls[1].mappings[3].check",
			"spec.compliance.frameworks[0].controls[1].mappings[3]":       annotation,
			"spec.compliance.frameworks[1]":                               "spec.compliance.frameworks[1].name",
		}},
		{"crd", 0, map[string]string{
			"apiVersion":                 kept,
			"kind":                       "kind",
			"metadata.name":              kept,
			"metadata.uid":               removed,
			"metadata.resourceVersion":   removed,
			"metadata.generation":        removed,
			"metadata.creationTimestamp": removed,
			"metadata.finalizers":        removed,
			"metadata.annotations.owner": kept,
			`metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`: removed,
			"spec.clusterRef.name":                   kept,
			"spec.clusterRef.namespace":              annotation,
			"spec.kubernetes":                        kept,
			"spec.enforcement.enabled":               kept,
			"spec.enforcement.mode":                  kept,
			"spec.enforcement.autoRemediate":         annotation,
			"spec.webhooks":                          annotation,
			"spec.policyTemplate.name":               kept,
			"spec.policyTemplate.parameters":         "spec.policyTemplate.parameters",
			"spec.policyInheritance":                 kept,
			"spec.namespaceScope":                    kept,
			"spec.timeBasedActivation.enabled":       kept,
			"spec.timeBasedActivation.schedule":      kept,
			"spec.timeBasedActivation.timezone":      kept,
			"spec.timeBasedActivation.activePeriods": "spec.timeBasedActivation.activePeriods",
			"spec.policyExemptions[0].name":          kept,
			"spec.policyExemptions[0].reason":        kept,
			"spec.policyExemptions[0].approver":      kept,
			"spec.policyExemptions[0].expiresAt":     kept,
			"spec.policyExemptions[0].namespaces":    kept,
			"spec.policyExemptions[0].resources":     "spec.policyExemptions[0].resources[0].labelSelector.matchLabels.vendor",
			"spec.policyExemptions[1]":               kept,
			"spec.policyExemptions[2]":               annotation,
			"status":                                 removed,
		}},
		{"targets", 0, map[string]string{
			"apiVersion": kept, "kind": kept, "metadata.name": kept, "metadata.namespace": kept,
			"spec.apiServerURL":             kept,
			"spec.authMode":                 kept,
			"spec.tokenSecretRef.name":      kept,
			"spec.tokenSecretRef.namespace": annotation,
			"spec.tokenSecretRef.key":       kept,
			"spec.serviceAccountSecretRef":  annotation,
			"spec.insecureSkipTLSVerify":    annotation,
			"spec.proxyURL":                 kept,
			"spec.allowEnforcement":         kept,
			"spec.scanInterval":             kept,
			"status":                        removed,
		}},
		{"targets", 1, map[string]string{
			"apiVersion": kept, "kind": kept, "metadata.name": kept,
			"spec.apiServerURL":                  kept,
			"spec.authMode":                      kept,
			"spec.kubeconfigSecretRef.name":      kept,
			"spec.kubeconfigSecretRef.namespace": annotation,
		}},
		{"targets", 2, map[string]string{
			"apiVersion": kept, "kind": kept, "metadata.name": kept,
			"spec.apiServerURL":                      kept,
			"spec.authMode":                          kept,
			"spec.serviceAccountSecretRef.name":      kept,
			"spec.serviceAccountSecretRef.namespace": annotation,
			"spec.serviceAccountSecretRef.key":       kept,
			"spec.caData":                            kept,
		}},
		{"alerts", 0, map[string]string{
			"apiVersion": kept, "kind": kept, "metadata.name": kept, "metadata.namespace": kept,
			"spec.enabled":                           removed,
			"spec.defaultSeverity":                   annotation,
			"spec.slack.enabled":                     kept,
			"spec.slack.webhookURL":                  "spec.slack.webhookURL.secretRef.name",
			"spec.slack.channel":                     kept,
			"spec.slack.username":                    annotation,
			"spec.slack.iconEmoji":                   annotation,
			"spec.slack.events":                      annotation,
			"spec.webhooks[0].name":                  kept,
			"spec.webhooks[0].url":                   kept,
			"spec.webhooks[0].method":                kept,
			"spec.webhooks[0].headers.X-Team":        kept,
			"spec.webhooks[0].headers.Authorization": "spec.webhooks[0].headers.Authorization",
			"spec.webhooks[0].headers.X-Api-Token":   "spec.webhooks[0].headers.X-Api-Token",
			"spec.webhooks[0].template":              "spec.webhooks[0].template",
			"spec.webhooks[0].events":                kept,
			"spec.webhooks[0].retryAttempts":         "spec.webhooks[0].retry.attempts",
			"spec.webhooks[0].timeoutSeconds":        "spec.webhooks[0].retry.timeout",
			"spec.webhooks[1].name":                  "metadata.annotations.kspec.io/v0.3-spec.webhooks.1",
			"spec.webhooks[1].urlSecretRef":          "metadata.annotations.kspec.io/v0.3-spec.webhooks.1",
			"spec.webhooks[1].headers":               "metadata.annotations.kspec.io/v0.3-spec.webhooks.1",
			"spec.webhooks[1].headersSecretRef":      "metadata.annotations.kspec.io/v0.3-spec.webhooks.1",
			"spec.webhooks[2].name":                  "spec.webhooks[1].name",
			"spec.webhooks[2].url":                   "spec.webhooks[1].url",
			"spec.webhooks[2].method":                annotation,
			"spec.webhooks[2].headersSecretRef":      annotation,
			"spec.webhooks[2].retryAttempts":         "spec.webhooks[1].retry.attempts",
			"spec.webhooks[2].events":                annotation,
			"spec.routes[0].match.severity":          kept,
			"spec.routes[0].match.spec":              "spec.routes[0].match.source",
			"spec.routes[0].notifiers":               kept,
			"spec.routes[0].continue":                kept,
			"spec.routes[1]":                         annotation,
			"spec.routes[2]":                         annotation,
			"spec.routes[3]":                         annotation,
			"status":                                 removed,
		}},
		{"alerts", 1, map[string]string{
			"apiVersion": kept, "kind": kept, "metadata.name": kept,
			"spec.enabled":                             annotation,
			"spec.slack.enabled":                       "spec.slack.enabled",
			"spec.slack.webhookURL":                    removed,
			"spec.slack.webhookURLSecretRef.name":      "spec.slack.webhookURL.secretRef.name",
			"spec.slack.webhookURLSecretRef.namespace": annotation,
		}},
	} {
		t.Run(fmt.Sprint(doc.file, doc.index), func(t *testing.T) {
			before := decode(t, old(t, doc.file))[doc.index]
			after := decode(t, migrate.File("x.yaml", old(t, doc.file)).Text)[doc.index]
			for _, leaf := range leaves("", before) {
				if !slices.ContainsFunc(fieldsOf(doc.fields), func(f string) bool { return covers(f, leaf) }) {
					t.Errorf("%s has no row", leaf)
				}
			}
			for field, fate := range doc.fields {
				was, ok := find(before, field)
				if !ok {
					t.Errorf("%s is not in the document of v0.3", field)
					continue
				}
				if wrong := fateOf(after, field, fate, was); wrong != "" {
					t.Errorf("%s: %s", field, wrong)
				}
			}
		})
	}
}

// TestWhatIsAnnotatedHasNoPlace fails when a document of today gets a field that
// is still taken out of those of v0.3.
func TestWhatIsAnnotatedHasNoPlace(t *testing.T) {
	docs, err := os.ReadFile(filepath.Join(fixtures.Dir(), "..", "docs", "migration.md"))
	if err != nil {
		t.Fatal(err)
	}
	for kind, fields := range map[string][]string{
		"clusterspec":   {"spec.webhooks", "spec.clusterRef.namespace", "spec.enforcement.autoRemediate", "spec.workloads.resources", "spec.policies"},
		"clustertarget": {"spec.tokenSecretRef.namespace", "spec.insecureSkipTLSVerify"},
		"alertconfig": {
			"spec.enabled", "spec.defaultSeverity", "spec.slack.username", "spec.slack.iconEmoji",
			"spec.webhooks.items.urlSecretRef", "spec.webhooks.items.headersSecretRef", "spec.webhooks.items.retryAttempts",
		},
	} {
		data, err := schemas.FS.ReadFile(kind + "-v1alpha1.json")
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range fields {
			var at map[string]any
			if err := json.Unmarshal(data, &at); err != nil {
				t.Fatal(err)
			}
			steps := strings.Split(field, ".")
			for _, step := range steps[:len(steps)-1] {
				if step == "items" {
					at = at["items"].(map[string]any)
					continue
				}
				at = at["properties"].(map[string]any)[step].(map[string]any)
			}
			last := steps[len(steps)-1]
			if _, there := at["properties"].(map[string]any)[last]; there {
				t.Errorf("%s of %s has a place now: migrate to it", field, kind)
			}
			if !strings.Contains(string(docs), last) {
				t.Errorf("docs/migration.md does not tell of %s", field)
			}
		}
	}
}

// fateOf says what is wrong with where a field went.
func fateOf(after any, field, fate string, was any) string {
	is, there := find(after, field)
	switch fate {
	case kept:
		return cmp.Diff(was, is)
	case text:
		if s, ok := is.(string); !ok || s == "" {
			return fmt.Sprintf("%#v is no text", is)
		}
	case removed:
		if there && cmp.Equal(was, is) {
			return "is still there"
		}
	case annotation:
		name := "metadata.annotations.kspec.io/v0.3-" + strings.NewReplacer("[", ".", "]", "").Replace(field)
		note, _ := find(after, name)
		var v any
		if err := json.Unmarshal([]byte(fmt.Sprint(note)), &v); err != nil {
			return fmt.Sprintf("annotation %v: %v", note, err)
		}
		want, _ := json.Marshal(was)
		got, _ := json.Marshal(v)
		return cmp.Diff(string(want), string(got))
	default:
		if _, ok := find(after, fate); !ok {
			return "is not at " + fate
		}
	}
	return ""
}

func decode(t *testing.T, data []byte) []any {
	t.Helper()
	var docs []any
	for dec := yaml.NewDecoder(strings.NewReader(string(data))); ; {
		var v any
		if err := dec.Decode(&v); err != nil {
			return docs
		}
		docs = append(docs, v)
	}
}

func fieldsOf(m map[string]string) []string {
	var all []string
	for f := range m {
		all = append(all, f)
	}
	return all
}

// covers reports whether a row for field is about leaf.
func covers(field, leaf string) bool {
	rest, ok := strings.CutPrefix(leaf, field)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

func leaves(at string, v any) []string {
	var all []string
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			key := k
			switch {
			case strings.ContainsAny(k, "./"):
				key = fmt.Sprintf("%s[%q]", at, k)
			case at != "":
				key = at + "." + k
			}
			all = append(all, leaves(key, child)...)
		}
	case []any:
		for i, child := range v {
			all = append(all, leaves(fmt.Sprintf("%s[%d]", at, i), child)...)
		}
	default:
		return []string{at}
	}
	return all
}

var step = regexp.MustCompile(`^\.?(?:\["([^"]+)"\]|\[(\d+)\]|(kspec\.io/.*)|([^.\[]+))`)

func find(v any, field string) (any, bool) {
	for field != "" {
		m := step.FindStringSubmatch(field)
		if m == nil {
			return nil, false
		}
		field = field[len(m[0]):]
		if m[2] != "" {
			list, _ := v.([]any)
			i, _ := strconv.Atoi(m[2])
			if i >= len(list) {
				return nil, false
			}
			v = list[i]
			continue
		}
		object, _ := v.(map[string]any)
		child, ok := object[m[1]+m[3]+m[4]]
		if !ok {
			return nil, false
		}
		v = child
	}
	return v, true
}
