package migrate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec/api/migrate"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
)

const head = "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\nmetadata: {name: a}\n"

func TestWhatCannotBeRewrittenStaysAndIsTold(t *testing.T) {
	alert := "apiVersion: kspec.io/v1alpha1\nkind: AlertConfig\nmetadata: {name: a}\nspec:\n"
	target := "apiVersion: kspec.io/v1alpha1\nkind: ClusterTarget\nmetadata: {name: a}\nspec:\n"
	for _, tc := range []struct{ name, doc, want string }{
		{"unknown field", head + "spec: {kubernetes: {minVersoin: 1}}", `f.yaml:6: spec.kubernetes.minVersoin: unknown field (did you mean "minVersion"?)`},
		{"wrong type", head + "spec: {podSecurity: [1]}", "f.yaml:6: spec.podSecurity: want a map, not a list"},
		{"unknown level", head + "spec:\n  podSecurity:\n    enforce: strict", `f.yaml:8: spec.podSecurity.enforce: "strict" is not one of`},
		{"bad name", strings.Replace(head, "name: a", "name: My Cluster", 1) + "spec: {}", `f.yaml:5: metadata.name: "My Cluster" does not match`},
		{"bad version", head + "spec: {kubernetes: {minVersion: latest}}", "f.yaml:6: spec.kubernetes.minVersion: "},
		{"unknown key of a container", head + "spec: {workloads: {containers: {required: [{key: securityContext.runAsRoot}]}}}", "f.yaml:6: spec.workloads.containers.required[0].key: "},
		{"bad zone", head + "spec:\n  timeBasedActivation:\n    enabled: true\n    timezone: Mars/Phobos\n    activePeriods: [{startTime: '09:00'}]", "f.yaml:9: spec.timeBasedActivation.timezone: "},
		{"never active", head + "spec: {timeBasedActivation: {enabled: true}}", "f.yaml:6: spec.timeBasedActivation: the policies would never act"},
		{"no spec", head, "f.yaml:3: spec: required, but absent"},
		{"tab", head + "spec:\n\tkubernetes: {}", "f.yaml:7: not YAML: a tab in the indentation: use spaces"},
		{"broken", head + "spec: {kubernetes", "not YAML"},
		{"alias", head + "spec: {kubernetes: {minVersion: &v '1.28', maxVersion: *v}}", "f.yaml:6: anchors and aliases are not rewritten"},
		{"merge key", head + "spec:\n  <<: {a: 1}", "f.yaml:7: want plain keys"},
		{"tag", head + "spec: {kubernetes: {minVersion: !x 1}}", "f.yaml:6: the tag !x is not read"},
		{"twice", head + "spec:\n  kubernetes: {}\n  kubernetes: {}", "f.yaml:8: duplicate key kubernetes"},
		{"deep", head + "spec: " + strings.Repeat("[", 70) + strings.Repeat("]", 70), "nested more than 64 deep"},
		{"unknown kind", strings.Replace(head, "ClusterSpecification", "ClusterSpecifikation", 1), "f.yaml:4: kind: kspec v0.3 had no such kind"},
		{"list", "kind: List\nitems:\n- apiVersion: kspec.io/v1alpha1\n  kind: AlertConfig", "in a list are not read"},
		{"list of the file's kind", "- apiVersion: kspec.dev/v1\n  kind: ClusterSpecification", "in a list are not read"},
		{"another version", strings.Replace(head, "kspec.dev/v1", "kspec.dev/v2", 1) + "spec: {}", `f.yaml:3: apiVersion: "kspec.dev/v2" is unknown: kspec v0.3 had kspec.dev/v1`},
		{"tag of the whole", "!!map\n" + head + "spec: {}", "f.yaml:3: the tag !!map is not read"},
		{"anchor of the whole", "&a\n" + head + "spec: {}", "f.yaml:3: anchors and aliases are not rewritten"},
		{"two without a separator", head + "spec: {}\n...\n# more\n" + head, "f.yaml:"},
		{"line ends of the first Macs", strings.ReplaceAll(head, "\n", "\r") + "spec: {}", "f.yaml:2: the file cannot be edited in place: it holds an unusual line break"},
		{"not UTF-8", head + "spec: {} # caf\xe9", "f.yaml:2: not YAML: "},
		{"exempt by a * in the name", head + "spec: {policyExemptions: [{name: x, reason: r, approver: ada, expiresAt: '2027-01-01T00:00:00Z', namespaces: ['*']}]}", "f.yaml:6: spec.policyExemptions[0].namespaces[0]: * is no name"},
		{"plain http", alert + "  webhooks:\n  - {name: a, url: 'http://a.example'}", `f.yaml:8: spec.webhooks[0].url: the scheme is "http", want https`},
		{"password in an address", alert + "  webhooks:\n  - {name: a, url: 'https://u:canary@a.example'}", "f.yaml:8: spec.webhooks[0].url: holds a user name or password"},
		{"bad name of a webhook", alert + "  webhooks:\n  - {name: On Call, url: 'https://a.example'}", "f.yaml:8: spec.webhooks[0].name: "},
		{"attempts that are no number", alert + "  webhooks:\n  - {name: a, url: 'https://a.example', retryAttempts: many}", "f.yaml:8: spec.webhooks[0].retryAttempts: "},
		{"timeout that is no number", alert + "  webhooks:\n  - {name: a, url: 'https://a.example', timeoutSeconds: 1s}", "f.yaml:8: spec.webhooks[0].timeoutSeconds: "},
		{"plain http to a cluster", target + "  {authMode: token, apiServerURL: 'http://a.example', tokenSecretRef: {name: a, namespace: b}}", `spec.apiServerURL: the scheme is "http"`},
		{"no secret", target + "  {authMode: token, apiServerURL: 'https://a.example', allowEnforcement: true}", "spec.tokenSecretRef: required, because authMode is token"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := "# first\n---\n" + strings.TrimSuffix(tc.doc, "\n") + "\n---\n" + head + "spec: {}\n"
			r := migrate.File("f.yaml", []byte(text))
			if len(r.Errs) == 0 {
				t.Fatalf("no error, but\n%s", r.Text)
			}
			if got := r.Errs[0].Error(); !strings.Contains(got, tc.want) || !strings.HasPrefix(got, "f.yaml:") {
				t.Errorf("error %q, want one with %q", got, tc.want)
			}
			for _, err := range r.Errs {
				if strings.Contains(err.Error(), "canary") {
					t.Errorf("the error shows a credential: %v", err)
				}
			}
			want := strings.TrimSuffix(text, head+"spec: {}\n") +
				"apiVersion: kspec.io/v1alpha1\nkind: ClusterSpec\nmetadata: {name: a}\nspec: {}\n"
			if diff := cmp.Diff(want, string(r.Text)); diff != "" {
				t.Errorf("only the good document is rewritten (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsNotOfV03StaysByteForByte(t *testing.T) {
	for _, text := range []string{
		"", "\n", "---\n", "just text", "{{ .Values.x }}\n", "\uFEFF# a comment",
		"apiVersion: v1\nkind: ConfigMap\nmetadata:   {name: a}\n",
		"apiVersion: {{ .x }}\nkind: [",
		"apiVersion: kspec.io/v1alpha1\nkind:   ClusterSpec\nmetadata: {name: a}\nspec: {oops: 1}\n",
		"apiVersion: kspec.io/v1alpha1\nkind:   PolicyTemplate\nmetadata: {name: a}\nspec: {}\n",
		"apiVersion: kspec.io/v1alpha1\nkind:   AlertConfig\nmetadata: {name: a}\nspec: {defaultNotifiers: []}\r\n",
		"apiVersion: kspec.io/v2\nkind: ClusterSpecification\n",
	} {
		r := migrate.File("f.yaml", []byte(text))
		if r.Changed || string(r.Text) != text || len(r.Errs)+len(r.Notes) > 0 {
			t.Errorf("%q: %+v", text, r)
		}
	}
}

func TestUTF16IsTold(t *testing.T) {
	text := []byte("\xff\xfe")
	for _, c := range []byte(head) {
		text = append(text, c, 0)
	}
	r := migrate.File("f.yaml", text)
	if len(r.Errs) != 1 || r.Changed || !strings.Contains(r.Errs[0].Error(), "f.yaml:1: the file is UTF-16: save it as UTF-8") {
		t.Errorf("%+v", r)
	}
}

func TestNoCommentIsLostUntold(t *testing.T) {
	alert := "apiVersion: kspec.io/v1alpha1\nkind: AlertConfig\nmetadata: {name: a}\nspec:\n"
	for _, tc := range []struct {
		name, doc string
		want      []string // in the text
		told      []string // in the notes
	}{
		{
			"of what is removed", head + "spec:\n  # above\n  webhooks: # beside\n    enabled: true # inner\n    # last\n  # below\n  network: {} # other\n",
			[]string{"  # above\n", "  # beside\n", "  # inner\n", "# last\n", "  # below\n", "network: {} # other"},
			nil,
		},
		{
			"of the only field", head + "spec:\n  webhooks: # beside\n    enabled: true # inner\n",
			[]string{"spec: {}", "  # beside\n  # inner\n"},
			nil,
		},
		{
			"of an item", head + "spec:\n  policyExemptions:\n  # first\n  - name: x # why\n    namespaces: [a]\n  kubernetes: {}\n",
			[]string{"# first\n", "  # why\n"},
			nil,
		},
		{
			"of a secret", alert + "  slack:\n    webhookURL: https://hooks.slack.com/services/x # ask ops\n",
			[]string{"webhookURL: # ask ops\n"},
			nil,
		},
		{
			"within brackets", head + "spec: {webhooks: {enabled: true, # within\n  }, network: {}}\n",
			nil,
			[]string{"4 : removed: the comment went with what it stood in: # within"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := migrate.File("f.yaml", []byte(tc.doc))
			if len(r.Errs) > 0 {
				t.Fatal(r.Errs)
			}
			for _, want := range tc.want {
				if !strings.Contains(string(r.Text), want) {
					t.Errorf("want %q in\n%s", want, r.Text)
				}
			}
			for _, want := range tc.told {
				if !strings.Contains(notes(r), want) {
					t.Errorf("want %q in\n%s", want, notes(r))
				}
			}
			if len(tc.told) == 0 && strings.Contains(notes(r), "the comment") {
				t.Errorf("a comment was lost:\n%s", notes(r))
			}
		})
	}
}

func TestDetailsOfTheMigration(t *testing.T) {
	alert := "apiVersion: kspec.io/v1alpha1\nkind: AlertConfig\nmetadata: {name: a}\nspec: "
	exempt := head + "spec: {policyExemptions: [{name: x, reason: r, approver: ada, expiresAt: '2027-01-01T00:00:00Z', "
	period := func(p string) string {
		return head + "spec: {timeBasedActivation: {enabled: true, timezone: Europe/Berlin, activePeriods: [" + p + "]}}"
	}
	for _, tc := range []struct{ name, doc, want string }{
		{"line ends of Windows", strings.ReplaceAll(head, "\n", "\r\n") + "spec: {}\r\n", "kind: ClusterSpec\r\n"},
		{"a mark of the byte order", "\uFEFF" + head + "spec: {}", "\uFEFFapiVersion: kspec.io/v1alpha1"},
		{"JSON stays JSON", `{"apiVersion": "kspec.dev/v1", "kind": "ClusterSpecification", "metadata": {"name": "a", "version": "1"}, "spec": {}}`, `"annotations": {"kspec.io/v0.3-metadata.version":"\"1\""}`},
		{"exemptions of the documents", head + "spec: {podSecurity: {enforce: baseline, exemptions: {namespaces: [a]}}}", `kspec.io/v0.3-spec.podSecurity.exemptions: "{\"namespaces\":[\"a\"]}"`},
		{"fields of the documents", head + "spec: {network: {requireNetworkPolicies: true, defaultDeny: true}}", "spec: {network: {defaultDeny: true}}"},
		{"the API of the site", head + "spec: {targetClusterRef: {name: a}, driftDetection: {enabled: true}}", "spec: {}"},
		{"signatures that are named are no news", head + "spec: {workloads: {images: {requireSignatures: false}}}", "requireSignatures: false"},
		{"a base that is none", head + "spec: {policyInheritance: {mergeStrategy: merge}}", "spec: {}"},
		{"a selector stays one", exempt + "resources: [{labelSelector: {matchLabels: {a: b}}}]}]}", "labelSelector: {matchLabels: {a: b}}"},
		{"a label that is called as a field of today", exempt + "resources: [{labelSelector: {a: b, c: d}}]}]}", `labelSelector: {matchLabels: {a: b, c: d}}`},
		{"everything of a namespace", exempt + "namespaces: [a], resources: [{kind: Pod}, {labelSelector: {}}]}]}", "namespaces: [a]}]"},
		{"everything everywhere", exempt + "resources: [{kind: ''}]}]}", "policyExemptions: []"},
		{"nothing at all", exempt + "resources: []}]}", "policyExemptions: []"},
		{"a boolean that exists", head + "spec: {workloads: {containers: {required: [{key: securityContext.runAsNonRoot, exists: true}]}}}", `{key: securityContext.runAsNonRoot, value: "true"}`},
		{"a forbidden boolean that exists", head + "spec: {workloads: {containers: {forbidden: [{key: hostNetwork, exists: true}]}}}", `{key: hostNetwork, value: "true"}`},
		{"an amount that exists", head + "spec: {workloads: {containers: {required: [{key: resources.limits.memory, exists: true}]}}}", `{key: resources.limits.memory, exists: true}`},
		{"what init of v0.3 wrote", head + "spec: {workloads: {containers: {required: [{key: securityContext.capabilities.drop, value: ALL}]}}}", `{key: securityContext.capabilities.drop, value: ALL}`},
		{"a kind over lines", "apiVersion: >-\n  kspec.dev/v1\nkind: |-\n  ClusterSpecification\nmetadata: {name: a}\nspec: {}\n", "apiVersion: kspec.io/v1alpha1\nkind: ClusterSpec\n"},
		{"slack as it is today", alert + "{enabled: true, slack: {webhookURL: {secretRef: {name: b, key: url}}}}", "slack: {webhookURL: {secretRef: {name: b, key: url}}}"},
		{"off, and no times", head + "spec: {timeBasedActivation: {enabled: false}}", "spec: {}"},
		{"a day begins in its zone", period("{startDate: '2026-03-01T23:30:00Z'}"), "startDate: '2026-03-02'"},
		{"an end at midnight is the day before", period("{endDate: '2026-03-31T22:00:00Z'}"), "endDate: '2026-03-31'"},
		{"an end within a day is that day", period("{endDate: '2026-03-31T12:00:00Z'}"), "endDate: '2026-03-31'"},
		{"a day stays", period("{endDate: '2026-03-31'}"), "endDate: '2026-03-31'"},
		{"parameters of others stay", head + "spec: {policyTemplate: {name: own, parameters: {x: 'true'}}}", "x: 'true'"},
		{"a parameter that is no boolean stays", head + "spec: {policyTemplate: {name: security-baseline, parameters: {x: 'yes'}}}", "x: 'yes'"},
		{"slack without an address", alert + "{enabled: true, slack: {enabled: true}}", `kspec.io/v0.3-spec.slack: "{\"enabled\":true}"`},
		{"the copy that kubectl keeps", strings.Replace(alert, "{name: a}", `{name: a, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"spec":{"slack":{"webhookURL":"canary"}}}'}}`, 1) + "{}", "annotations: {}"},
		{"nobody is left", alert + "{slack: {enabled: true}}", "defaultNotifiers: []"},
		{"a name of an operator's secret stays", alert + "{webhooks: [{name: b, url: 'https://a.example', headers: {Authorization: 'Bearer ${X}'}}]}", "Authorization: 'Bearer ${X}'"},
		{"a long opaque value is a secret", alert + "{webhooks: [{name: b, url: 'https://a.example', headers: {X-Id: 0123456789abcdef0123456789abcdef}}]}", `X-Id: "${B_X_ID}"`},
		{"most attempts", alert + "{webhooks: [{name: b, url: 'https://a.example', retryAttempts: 10}]}", "attempts: 10"},
		{"an address that is a credential", alert + "{webhooks: [{name: b, url: 'https://hooks.slack.com/services/canary'}]}", `kspec.io/v0.3-spec.webhooks.0: "{\"name\":\"b\"}"`},
		{"a token in an address", alert + "{webhooks: [{name: b, url: 'https://a.example/?access_token=canary'}]}", "webhooks: []"},
		{"off together", alert + "{enabled: false, webhooks: [{name: b, url: 'https://a.example'}]}", "enabled: false"},
		{"an amount that is not true", head + "spec: {workloads: {containers: {required: [{key: resources.limits.memory, value: 1}]}}}", `value: "1"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := migrate.File("f.yaml", []byte(tc.doc))
			if len(r.Errs) > 0 || !r.Changed {
				t.Fatalf("not migrated: %v", r.Errs)
			}
			if !strings.Contains(string(r.Text), tc.want) {
				t.Errorf("want %s in\n%s", tc.want, r.Text)
			}
			if strings.Contains(string(r.Text)+notes(r), "canary") {
				t.Errorf("a credential is still there:\n%s%s", r.Text, notes(r))
			}
			if _, errs := v1alpha1.Decode("f.yaml", r.Text); len(errs) > 0 {
				t.Errorf("not valid today: %v", errs)
			}
		})
	}
}

func FuzzFile(f *testing.F) {
	for _, name := range []string{"file", "crd", "targets", "alerts", "mixed"} {
		f.Add(old(f, name))
	}
	for _, spec := range []string{
		"spec: {a: &a [*a]}",
		"spec:\n  # above\n  webhooks: # beside\n    enabled: true # inner\n  network: {} # other\n",
		"spec:\n  policyExemptions:\n  - name: x # why\n    namespaces: [a]\n  - {name: y, resources: [{}]}\n",
		"spec:\r\n  workloads:\r\n    resources: {a: 1} # one\r\n    containers: {required: [{key: hostPID, exists: true}]}\r\n",
		"spec: {webhooks: {enabled: true, # within\n  }, compliance: {frameworks: [a]}}\n",
		"status:\n  a: 'x # y'\nspec:\n  enforcement:\n    autoRemediate: |\n      a # b\n\n    mode: audit\n",
	} {
		f.Add([]byte(head + spec))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := migrate.File("f.yaml", data)
		if r.Changed != (string(r.Text) != string(data)) {
			t.Error("it does not say whether it changed the file")
		}
		for _, comment := range lost(data, r) {
			t.Errorf("the comment %q was lost", comment)
		}
		_, errs := v1alpha1.Decode("f.yaml", r.Text)
		for _, err := range errs {
			if len(r.Errs) == 0 && strings.Contains(err.Error(), "is of kspec v0.3") {
				t.Errorf("it was left out, and nobody was told: %v", err)
			}
		}
		again := migrate.File("f.yaml", r.Text)
		if again.Changed {
			t.Errorf("migrating twice is not migrating once:\n%s", cmp.Diff(string(r.Text), string(again.Text)))
		}
	})
}

// lost returns the comments on lines of their own that a migration lost and did
// not tell of.
func lost(before []byte, r migrate.Result) (comments []string) {
	for line := range strings.Lines(string(before)) {
		text := strings.TrimSpace(line)
		if strings.HasPrefix(text, "# ") && !strings.Contains(string(r.Text), text) && !strings.Contains(notes(r), text) {
			comments = append(comments, text)
		}
	}
	return comments
}
