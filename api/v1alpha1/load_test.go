package v1alpha1_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec/api/v1alpha1"
)

func tree(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func doc(kind, name, spec string) string {
	return "apiVersion: kspec.io/v1alpha1\nkind: " + kind + "\nmetadata: {name: " + name + "}\nspec: " + spec + "\n"
}

const token = "{authMode: token, apiServerURL: https://k8s.example.com, tokenSecretRef: {name: t}}"

func texts(errs []error) []string {
	var out []string
	for _, err := range errs {
		out = append(out, err.Error())
	}
	return out
}

func names(set *v1alpha1.Set) []string {
	var out []string
	for _, d := range set.Specs {
		out = append(out, "spec "+d.Doc.Name+" "+d.Source.File)
	}
	for _, d := range set.Targets {
		out = append(out, "target "+d.Doc.Name+" "+d.Source.File)
	}
	for _, d := range set.Alerts {
		out = append(out, "alert "+d.Doc.Name+" "+d.Source.File)
	}
	for _, d := range set.Templates {
		out = append(out, "template "+d.Doc.Name+" "+d.Source.File)
	}
	return out
}

func TestLoadFindsDocumentsWhereverTheyLie(t *testing.T) {
	fsys := tree(map[string]string{
		"clusters/b/clusterspec.yaml": doc("ClusterSpec", "b", "{clusterRef: {name: b}}"),
		"clusters/b/target.yml":       doc("ClusterTarget", "b", token),
		"clusters/a/all.json":         `{"apiVersion":"kspec.io/v1alpha1","kind":"ClusterSpec","metadata":{"name":"a"},"spec":{}}`,
		"templates/x/template.yaml":   doc("PolicyTemplate", "x", "{}"),
		"alerts/prod.yaml":            doc("AlertConfig", "prod", "{defaultNotifiers: []}"),
		"chart/templates/x.yaml":      "{{- range .Values.kspec.io }}\n\tx",
		"README.md":                   doc("ClusterSpec", "readme", "{}"),
		".git/config.yaml":            doc("ClusterSpec", "git", "{}"),
		"vendor/.git":                 "gitdir: elsewhere",
	})
	fsys["link.yaml"] = &fstest.MapFile{Data: []byte(doc("ClusterSpec", "link", "{}")), Mode: fs.ModeSymlink}
	set, errs := v1alpha1.Load(fsys)
	if len(errs) > 0 {
		t.Error(errs)
	}
	want := []string{
		"spec a clusters/a/all.json", "spec b clusters/b/clusterspec.yaml", "target b clusters/b/target.yml",
		"alert prod alerts/prod.yaml", "template x templates/x/template.yaml",
	}
	if diff := cmp.Diff(want, names(set)); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
}

func TestLoadStallsOnlyWhatIsWrong(t *testing.T) {
	large := "# " + strings.Repeat("x", 1<<20) + "\n"
	tests := []struct {
		name       string
		files      map[string]string
		want, errs []string
	}{
		{"two of one name", map[string]string{
			"a.yaml": doc("ClusterSpec", "prod", "{}"),
			"b.yaml": "---\n" + doc("ClusterSpec", "prod", "{}") + "---\n" + doc("ClusterSpec", "other", "{}"),
			"c.yaml": doc("PolicyTemplate", "prod", "{}"),
		}, []string{"spec other b.yaml", "template prod c.yaml"}, []string{
			`a.yaml:3: metadata.name: ClusterSpec "prod" stands also in b.yaml:2; neither is used`,
			`b.yaml:4: metadata.name: ClusterSpec "prod" stands also in a.yaml:1; neither is used`,
		}},
		{"a cluster that is not there", map[string]string{
			"a.yaml": doc("ClusterSpec", "a", "\n  clusterRef:\n    name: prdo"),
			"b.yaml": doc("ClusterSpec", "b", "{clusterRef: {name: prod}}"),
			"t.yaml": doc("ClusterTarget", "prod", token) + "---\n" + doc("ClusterTarget", "stage", token),
		}, []string{"spec b b.yaml", "target prod t.yaml", "target stage t.yaml"}, []string{
			`a.yaml:6: spec.clusterRef.name: no ClusterTarget is named "prdo", there are: prod, stage (did you mean "prod"?)`,
		}},
		{"a repo that describes no cluster", map[string]string{
			"a.yaml": doc("ClusterSpec", "a", "{clusterRef: {name: prod}}"),
		}, []string{"spec a a.yaml"}, nil},
		{"a shared delivery path", map[string]string{
			"a.yaml": doc("ClusterSpec", "a", "{delivery: {path: x/policies}}"),
			"b.yaml": doc("ClusterSpec", "b", "{delivery: {path: x/policies/b}}"),
			"c.yaml": doc("ClusterSpec", "c", "{delivery: {path: x/policies-c}}"),
		}, []string{"spec c c.yaml"}, []string{
			`a.yaml:4: spec.delivery.path: x/policies is shared with x/policies/b of ClusterSpec "b" in b.yaml:1; neither is used`,
			`b.yaml:4: spec.delivery.path: x/policies/b is shared with x/policies of ClusterSpec "a" in a.yaml:1; neither is used`,
		}},
		{"too large", map[string]string{
			"a.yaml": doc("ClusterSpec", "a", "{}") + large,
			"b.yaml": "a: b\n" + large,
			"c.yaml": doc("ClusterSpec", "c", "{}"),
		}, []string{"spec c c.yaml"}, []string{"a.yaml: larger than 1048576 bytes, and not read"}},
		{"one bad file", map[string]string{
			"a.yaml": doc("ClusterSpec", "a", "{bogus: 1}"),
			"b.yaml": doc("ClusterSpec", "b", "{}"),
		}, []string{"spec b b.yaml"}, []string{"a.yaml:4: spec.bogus: unknown field"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, errs := v1alpha1.Load(tree(tt.files))
			if diff := cmp.Diff(tt.want, names(set)); diff != "" {
				t.Errorf("documents (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.errs, texts(errs)); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
			for _, err := range errs {
				if !errors.As(err, new(*v1alpha1.FieldError)) {
					t.Errorf("%v is not a FieldError", err)
				}
			}
		})
	}
}

// brokenFS cannot read one of its files.
type brokenFS struct {
	fs.FS
	bad string
}

func (f brokenFS) Open(name string) (fs.File, error) {
	if name == f.bad {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return f.FS.Open(name)
}

func TestLoadTellsOfFilesItCannotRead(t *testing.T) {
	files := tree(map[string]string{
		"a/x.yaml": doc("ClusterSpec", "a", "{}"),
		"b/x.yaml": doc("ClusterSpec", "b", "{}"),
	})
	for _, bad := range []string{"a", "a/x.yaml"} {
		set, errs := v1alpha1.Load(brokenFS{files, bad})
		if diff := cmp.Diff([]string{"spec b b/x.yaml"}, names(set)); diff != "" {
			t.Errorf("%s: documents (-want +got):\n%s", bad, diff)
		}
		if len(errs) != 1 || errs[0].Error() != bad+": cannot be read: permission denied" {
			t.Errorf("%s: errors %v, want one", bad, errs)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	fsys := fstest.MapFS{}
	for i := range 1000 {
		name := "apps/" + strings.Repeat("a", i%26+1) + "/" + string(rune('a'+i/26%26)) + strings.Repeat("b", i/676) + ".yaml"
		fsys[name] = &fstest.MapFile{Data: []byte("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n" + strings.Repeat("# filler\n", 100))}
	}
	fsys["clusters/a/clusterspec.yaml"] = &fstest.MapFile{Data: []byte(doc("ClusterSpec", "a", "{manifests: [{path: apps}]}"))}
	b.ReportAllocs()
	for b.Loop() {
		if set, errs := v1alpha1.Load(fsys); len(set.Specs) != 1 || len(errs) > 0 {
			b.Fatal(len(set.Specs), errs)
		}
	}
}

// Every mistake that the schema cannot see, in its document.
func TestDecodeValidates(t *testing.T) {
	type mistakes map[string]string // spec to error; "" for none
	tests := map[string]mistakes{
		"ClusterSpec": {
			"{suspend: yes}": `spec.suspend: yes is read as a boolean by some and as text by others: write true, false or "yes"`,
			"{policyTemplate: {name: t, parameters: {a: [off]}}}": `spec.policyTemplate.parameters.a[0]: off is read as a boolean by some and as text by others: write true, false or "off"`,
			"{interval: 10s}":            "",
			"{interval: 1d12h}":          "",
			"{interval: 9s}":             "spec.interval: 9s is less than 10s",
			"{interval: 0s}":             "spec.interval: 0s is less than 10s",
			"{interval: -5m}":            `spec.interval: duration "-5m": want a number with a unit, such as 90s, 5m, 4h or 7d`,
			"{interval: 1e9h}":           `spec.interval: duration "1e9h": want a number with a unit, such as 90s, 5m, 4h or 7d`,
			"{interval: abc}":            `spec.interval: duration "abc": want a number with a unit, such as 90s, 5m, 4h or 7d`,
			"{interval: 12h1d}":          `spec.interval: duration "12h1d": want a number with a unit, such as 90s, 5m, 4h or 7d`,
			"{interval: 999999h}":        "",
			"{interval: 99999999999h}":   `spec.interval: duration "99999999999h": more than a hundred years`,
			"{interval: 40000d}":         `spec.interval: duration "40000d": more than a hundred years`,
			"{interval: 36500d2562047h}": `spec.interval: duration "36500d2562047h": more than a hundred years`,
			"{interval: 5}":              `spec.interval: want a string, not a whole number: write "5"`,

			"{manifests: [{path: .}]}":                         "",
			"{manifests: [{path: a/b-c/d.e}]}":                 "",
			"{manifests: [{path: ../x}]}":                      `spec.manifests[0].path: "../x" has a .. and may leave the repo`,
			"{manifests: [{path: a/../../b}]}":                 `spec.manifests[0].path: "a/../../b" has a .. and may leave the repo`,
			"{manifests: [{path: /etc}]}":                      `spec.manifests[0].path: "/etc" is absolute: want a path from the root of the repo, without a leading slash`,
			"{manifests: [{path: 'a\\b'}]}":                    `spec.manifests[0].path: "a\\b" holds a backslash: want slashes`,
			"{manifests: [{path: ./a/}]}":                      `spec.manifests[0].path: "./a/": write "a"`,
			"{manifests: [{path: a//b}]}":                      `spec.manifests[0].path: "a//b": write "a/b"`,
			"{manifests: [{path: a/.GIT/hooks}]}":              `spec.manifests[0].path: "a/.GIT/hooks" is Git's own`,
			"{manifests: [{path: \"a\\nb\"}]}":                 `spec.manifests[0].path: "a\nb" holds a control character`,
			"{manifests: [{path: a, namespace: A}]}":           `spec.manifests[0].namespace: "A" is not a namespace: want at most 63 lower-case letters, digits and -, such as shop-eu`,
			"{delivery: {path: policies}}":                     "",
			"{delivery: {path: ../x}}":                         `spec.delivery.path: "../x" has a .. and may leave the repo`,
			"{delivery: {path: .}}":                            `spec.delivery.path: the root of the repo cannot be it: kspec removes what it did not render there`,
			"{delivery: {path: dir}}":                          `spec.delivery.path: dir holds this document, and kspec removes what it did not render there`,
			"{delivery: {path: di}}":                           "",
			"{delivery: {path: p}, manifests: [{path: p/x}]}":  `spec.manifests[0].path: p/x lies in delivery.path p, where kspec removes what it did not render`,
			"{delivery: {path: p}, manifests: [{path: px}]}":   "",
			"{namespaceScope: {includeNamespaces: [a, \"\"]}}": `spec.namespaceScope.includeNamespaces[1]: empty`,

			"{drift: {ignore: [{paths: [/spec/replicas], reason: r, expiresAt: 2030-01-01T00:00:00Z}]}}":                   "",
			"{drift: {ignore: [{paths: ['/c/[name=a]/i'], reason: r, expiresAt: 2030-01-01T00:00:00Z}]}}":                  "",
			"{drift: {ignore: [{paths: [spec], reason: r, expiresAt: 2030-01-01T00:00:00Z}]}}":                             `spec.drift.ignore[0].paths[0]: path "spec": want a / before "spec"`,
			"{drift: {ignore: [{paths: [''], reason: r, expiresAt: 2030-01-01T00:00:00Z}]}}":                               "spec.drift.ignore[0].paths[0]: the whole object cannot be ignored: name a field",
			"{drift: {ignore: [{paths: [/a], reason: r, expiresAt: 2030-13-01}]}}":                                         `spec.drift.ignore[0].expiresAt: "2030-13-01" is not a time such as 2030-01-31T12:00:00Z`,
			"{drift: {ignore: [{paths: [/a], reason: r}]}}":                                                                "spec.drift.ignore[0].expiresAt: required, but absent",
			"{drift: {ignore: [{paths: [/a], reason: '', expiresAt: 2030-01-01T00:00:00Z}]}}":                              "spec.drift.ignore[0].reason: required, but empty",
			"{drift: {ignore: [{paths: [], reason: r, expiresAt: 2030-01-01T00:00:00Z}]}}":                                 "spec.drift.ignore[0].paths: want at least 1",
			"{drift: {ignore: [{paths: [/a], reason: r, expiresAt: 2030-01-01T00:00:00Z, selector: {labels: {a: b c}}}]}}": `spec.drift.ignore[0].selector.labels.a: not a label: a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`,

			"{remediation: {labels: [kspec, 'two words'], reviewers: [octo-cat]}}": "",
			"{remediation: {labels: ['']}}":                                        `spec.remediation.labels[0]: "" is not a label: want 1 to 50 characters without spaces around them`,
			"{remediation: {reviewers: ['@all']}}":                                 `spec.remediation.reviewers[0]: "@all" is not a user name`,

			image("ghcr.io/acme/**", publicKey):                                    "",
			image("localhost:5000/*", publicKey):                                   "",
			image("**", publicKey):                                                 "",
			image("ghcr.io/acme/a**", publicKey):                                   `spec.workloads.images.signatures[0].match[0]: "ghcr.io/acme/a**": ** stands for whole path elements: want /**, or * within "a**"`,
			image("https://ghcr.io/acme", publicKey):                               `spec.workloads.images.signatures[0].match[0]: "https://ghcr.io/acme" is not a glob over repositories, such as ghcr.io/acme/** (lower case, no tag, no scheme)`,
			image("ghcr.io/Acme", publicKey):                                       `spec.workloads.images.signatures[0].match[0]: "ghcr.io/Acme" is not a glob over repositories, such as ghcr.io/acme/** (lower case, no tag, no scheme)`,
			image("ghcr.io/a@sha256:00", publicKey):                                `spec.workloads.images.signatures[0].match[0]: "ghcr.io/a@sha256:00" names a digest: want a repository, such as ghcr.io/acme/**`,
			image("ghcr.io/***", publicKey):                                        `spec.workloads.images.signatures[0].match[0]: "ghcr.io/***": want * or **`,
			image("a", "no key"):                                                   `spec.workloads.images.signatures[0].authorities[0].keys[0].pem: not PEM: want a block "-----BEGIN PUBLIC KEY-----" and its end`,
			image("a", strings.ReplaceAll(publicKey, "PUBLIC", "PRIVATE")):         "spec.workloads.images.signatures[0].authorities[0].keys[0].pem: a private key: take it out of the repo's history and make a new pair, then put the public key here",
			image("a", strings.ReplaceAll(publicKey, "PUBLIC KEY", "CERTIFICATE")): "spec.workloads.images.signatures[0].authorities[0].keys[0].pem: a CERTIFICATE: want a PUBLIC KEY in PKIX form",
			image("a", publicKey+publicKey):                                        "spec.workloads.images.signatures[0].authorities[0].keys[0].pem: more than one PEM block: give each key its own entry of keys",
			image("a", strings.Replace(publicKey, "MFkw", "AAAA", 1)):              "spec.workloads.images.signatures[0].authorities[0].keys[0].pem: not a public key in PKIX form: *",
		},
		"ClusterTarget": {
			token: "",
			"{authMode: kubeconfig, kubeconfigSecretRef: {name: k}}":                          "",
			"{authMode: kubeconfig, kubeconfigSecretRef: {name: k}, proxyURL: http://p:3128}": "",
			"{authMode: kubeconfig}":                                                      "spec.kubeconfigSecretRef: required, because authMode is kubeconfig",
			"{authMode: token, tokenSecretRef: {name: t}}":                                "spec.apiServerURL: required, because authMode is token",
			strings.Replace(token, "tokenS", "kubeconfigSecretRef: {name: k}, tokenS", 1): "spec.kubeconfigSecretRef: of no use, because authMode is token",
			strings.Replace(token, "https", "http", 1):                                    `spec.apiServerURL: the scheme is "http", want https`,
			strings.Replace(token, "https://", "https://u:canary@", 1):                    "spec.apiServerURL: holds a user name or password: a secret must not stand in Git",
			strings.Replace(token, "https://k8s.example.com", "k8s", 1):                   "spec.apiServerURL: not a URL such as https://host.example.com",
			strings.Replace(token, ".com", ".com/#x", 1):                                  "spec.apiServerURL: has a fragment (#…)",
			strings.Replace(token, "{", "{proxyURL: 'ftp://x', ", 1):                      `spec.proxyURL: the scheme is "ftp", want https or http or socks5`,
			strings.Replace(token, "{", "{caData: '%', ", 1):                              "spec.caData: not base64",
			strings.Replace(token, "{", "{caData: aGVsbG8=, ", 1):                         "spec.caData: holds no certificate in PEM",
			strings.Replace(token, "{", "{labels: {-a: b}, ", 1):                          `spec.labels["-a"]: not a label: *`,
			strings.Replace(token, "token,", "tokn,", 1):                                  `spec.authMode: "tokn" is not one of kubeconfig, serviceAccount, token (did you mean "token"?)`,
		},
		"AlertConfig": {
			"{defaultNotifiers: [slack, hook], slack: {webhookURL: {secretRef: {name: s}}}, webhooks: [{name: hook, url: 'https://example.com/x?y=z'}]}": "",
			"{defaultNotifiers: [slak], slack: {webhookURL: {secretRef: {name: s}}}}":                                                                    `spec.defaultNotifiers[0]: no notifier "slak", there are: slack (did you mean "slack"?)`,
			"{defaultNotifiers: [], slack: {webhookURL: https://hooks.slack.com/services/T0/B0/canary}}":                                                 "spec.slack.webhookURL: want a map, not a string",
			"{defaultNotifiers: [], slack: {events: [DriftDetcted], webhookURL: {secretRef: {name: s}}}}":                                                `spec.slack.events[0]: "DriftDetcted" is no event, there are: DriftDetected, PolicyViolation, ImageUnsigned, SourceFailed, ClusterUnreachable, RemediationOpened, RemediationClosed, RemediationRefused, RemediationFailed, ExemptionEnding (did you mean "DriftDetected"?)`,
			"{defaultNotifiers: [], routes: [{match: {severity: high}, notifiers: []}]}":                                                                 "spec.routes[0].notifiers: want at least 1",
			"{defaultNotifiers: [], routes: [{match: {severity: high}, notifiers: [a]}], webhooks: [{name: a, url: https://a.example}]}":                 `spec.routes[0].match.severity: "high" is no severity of an alert, there are: info, warning, critical`,
			"{defaultNotifiers: [], routes: [{match: {level: info}, notifiers: [a]}], webhooks: [{name: a, url: https://a.example}]}":                    `spec.routes[0].match.level: "level" is no label, there are: severity, type, source, cluster, namespace, config`,
			"{defaultNotifiers: [], routes: [{match: {type: Drift}, notifiers: [a]}], webhooks: [{name: a, url: https://a.example}]}":                    `spec.routes[0].match.type: "Drift" is no event, there are: *`,
			"{defaultNotifiers: [], webhooks: [{name: slack, url: https://a.example}]}":                                                                  `spec.webhooks[0].name: "slack" is reserved`,
			"{defaultNotifiers: [], webhooks: [{name: a, url: https://a.example}, {name: a, url: https://b.example}]}":                                   `spec.webhooks[1].name: another webhook is named "a"`,
			"{defaultNotifiers: [], webhooks: [{name: A b, url: https://a.example}]}":                                                                    `spec.webhooks[0].name: "A b" is not a name: want lower-case letters, digits and -`,
			"{defaultNotifiers: [], webhooks: [{name: a, url: http://169.254.169.254/}]}":                                                                `spec.webhooks[0].url: the scheme is "http", want https`,
			"{defaultNotifiers: [], webhooks: [{name: a, url: 'http://127.0.0.1:8080/x'}]}":                                                              "",
			"{defaultNotifiers: [], webhooks: [{name: a, url: https://a.example, headers: {Authorization: 'Bearer ${T}', X-Team: a}}]}":                  "",
			"{defaultNotifiers: [], webhooks: [{name: a, url: https://a.example, headers: {Authorization: Bearer canary}}]}":                             "spec.webhooks[0].headers.Authorization: a credential must not stand in Git: write ${NAME}, a name of the operator's list of secrets",
			"{defaultNotifiers: [], webhooks: [{name: a, url: https://a.example, headers: {X: \"a\\r\\nB: c\"}}]}":                                       "spec.webhooks[0].headers.X: the value holds a control character",
			"{defaultNotifiers: [], webhooks: [{name: a, url: https://a.example, headers: {'X Y': a}}]}":                                                 `spec.webhooks[0].headers["X Y"]: "X Y" is not the name of a header`,
			"{defaultNotifiers: [], webhooks: [{name: a, url: https://a.example, retry: {timeout: 0s}}]}":                                                "spec.webhooks[0].retry.timeout: want more than 0s",
			"{defaultNotifiers: [], webhooks: [{name: a, url: https://a.example, retry: {attempts: 11}}]}":                                               "spec.webhooks[0].retry.attempts: 11 is more than 10",
			"{}": "spec.defaultNotifiers: required, but absent",
		},
		"PolicyTemplate": {
			"{parameters: {a: {type: int, default: 3}, b: {type: array, default: []}, c: {type: quantity, default: 2Gi}, d: {type: duration, default: 5m}, e: {type: bool, default: false}, f: {type: string, default: x, allowed: [x, w]}, g: {type: quantity, default: 2}}}": "",
			"{parameters: {a: {type: int, default: 1.5}}}":                   "spec.parameters.a.default: 1.5 is not of type int",
			"{parameters: {a: {type: int, default: '1'}}}":                   `spec.parameters.a.default: "1" is not of type int`,
			"{parameters: {a: {type: bool, default: 'true'}}}":               `spec.parameters.a.default: "true" is not of type bool`,
			"{parameters: {a: {type: quantity, default: 2 GB}}}":             `spec.parameters.a.default: "2 GB" is not of type quantity`,
			"{parameters: {a: {type: duration, default: 5}}}":                "spec.parameters.a.default: 5 is not of type duration",
			"{parameters: {a: {type: string, default: z, allowed: [x, w]}}}": `spec.parameters.a.default: "z" is not allowed: want "x", "w"`,
			"{parameters: {a: {type: array, default: [[x]]}}}":               `spec.parameters.a.default: [["x"]] is not of type array`,
			"{parameters: {a: {type: array, default: [null]}}}":              `spec.parameters.a.default: [null] is not of type array`,
			"{parameters: {a: {type: quantity, default: 1.5}}}":              "",
			"{parameters: {a: {type: int, default: 9223372036854775807}}}":   "",
			"{parameters: {a: {type: int, default: 9223372036854775808}}}":   "spec.parameters.a.default: 9223372036854775808 is not a whole decimal number within 64 bits",
			"{parameters: {a: {type: int, required: true}}}":                 "",
			"{parameters: {a: {type: int, required: false, default: 1}}}":    "",
			"{parameters: {a: {type: int, required: true, default: 1}}}":     "spec.parameters.a.required: a parameter with a default is never required: drop one of the two",
			"{parameters: {a: {type: int, required: false}}}":                "spec.parameters.a.required: a parameter without a default is always required: give it a default",
			"{parameters: {a: {type: int, allowed: [x]}}}":                   `spec.parameters.a.allowed[0]: "x" is not of type int`,
			"{parameters: {a-b: {type: int}}}":                               "spec.parameters.a-b: a parameter is named by letters, digits and _",
			"{parameters: {a: {type: map}}}":                                 `spec.parameters.a.type: "map" is not one of string, int, bool, quantity, duration, array`,
		},
	}
	for kind, mistakes := range tests {
		for spec, want := range mistakes {
			docs, errs := v1alpha1.Decode("dir/f.yaml", []byte(doc(kind, "x", spec)))
			got := strings.Join(texts(errs), "\n")
			text, open := strings.CutSuffix(want, "*")
			text = "dir/f.yaml:4: " + text
			switch {
			case want == "" && len(docs) == 1 && len(errs) == 0:
			case want != "" && len(docs) == 0 && len(errs) == 1 && (got == text || open && strings.HasPrefix(got, text)):
			default:
				t.Errorf("%s %s:\n got %s\nwant %s", kind, spec, got, want)
			}
			if strings.Contains(got, "canary") {
				t.Errorf("%s %s: the error repeats a secret: %s", kind, spec, got)
			}
		}
	}
}

const publicKey = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEnmJmzIlkiJOvohOau+ZE22bCyQ9w
ZPHiYaTNGOMA9gXylgKBZAOSzBDEPukifdUxQ8g3rCuyBqzvgfjVMfY5OA==
-----END PUBLIC KEY-----
`

// image is a spec that demands signatures; it stays on one line.
func image(glob, key string) string {
	return "{workloads: {images: {signatures: [{match: ['" + glob + `'], authorities: [{keys: [{pem: "` +
		strings.ReplaceAll(key, "\n", `\n`) + `"}]}]}]}}}`
}

func TestErrorsOfADocumentAreInOrder(t *testing.T) {
	_, errs := v1alpha1.Decode("f.yaml", []byte(doc("ClusterSpec", "x", `
  remediation: {mode: magic}
  manifests:
  - path: a
    bogus: 1
  interval: 7 days
  bogus: 2`)))
	var lines []int
	for _, err := range errs {
		if e, ok := errors.AsType[*v1alpha1.FieldError](err); ok {
			lines = append(lines, e.Line)
		}
	}
	if want := []int{5, 8, 9, 10}; !slices.Equal(lines, want) {
		t.Errorf("lines %v, want %v: %v", lines, want, errs)
	}
}
