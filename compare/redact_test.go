package compare_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
	"github.com/cloudcwfranck/kspec/report"
)

// plant is a secret on its way into a report: GIT and LIVE stand for it in the
// two objects.
type plant struct {
	what string
	// kind and apiVersion are ConfigMap and v1 unless said.
	apiVersion, kind string
	// body follows the metadata; meta is in it.
	meta, body string
}

// inCRs are places of a custom kind whose fields kspec cannot know, and that
// the test names as drift.secrets.
func inCRs() []kspec.Places {
	return []kspec.Places{{
		Paths:    []string{"/spec/pin", "/spec/users/[name=root]/code", "/spec/nested", "/spec/allowed"},
		Selector: kspec.Selector{Group: "secrets.compare.example"},
	}}
}

const vaultCRD = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: vaults.secrets.compare.example}
spec:
  group: secrets.compare.example
  names: {kind: Vault, plural: vaults, singular: vault, listKind: VaultList}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              level: {type: string, pattern: '^[a-z]*$'}
              users:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items: {type: object, required: [name], properties: {name: {type: string}, code: {type: string}}}
              allowed: {type: array, x-kubernetes-list-type: set, items: {type: string}}
              nested: {type: object, x-kubernetes-preserve-unknown-fields: true}
            x-kubernetes-preserve-unknown-fields: true
`

func plants() []plant {
	const vault = "secrets.compare.example/v1"
	container := func(fields string) string {
		return "spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: app, image: a, " + fields + "}]}}}"
	}
	pod := func(what, fields string) plant { return plant{what, "apps/v1", "Deployment", "", container(fields)} }
	data := func(what, value string) plant { return plant{what, "", "", "", "data: {file: " + value + "}"} }
	annotation := func(what, name, value string) plant {
		return plant{what, "", "", "annotations: {" + name + ": " + value + "}", "data: {a: b}"}
	}
	cr := func(what, spec string) plant { return plant{what, vault, "Vault", "", "spec: {" + spec + "}"} }
	return []plant{
		{"stringData of a Secret", "v1", "Secret", "", "stringData: {k: GIT_LIVE}"},
		{"data of a Secret", "v1", "Secret", "", "data: {k: B64}"},
		{"a label of a Secret that repeats it", "v1", "Secret", "labels: {copy: GIT_LIVE}", "stringData: {k: GIT_LIVE}"},
		{"an annotation of a Secret that repeats it", "v1", "Secret", "annotations: {note: 'is GIT_LIVE now'}", "stringData: {k: GIT_LIVE}"},
		{"an annotation of a Secret that repeats its base64", "v1", "Secret", "annotations: {note: B64}", "stringData: {k: GIT_LIVE}"},
		annotation("a short copy of a tool", "kapp.k14s.io/original", `'{"data":{"x":"GIT_LIVE"}}'`),
		annotation("a Secret in an annotation", "backup", `'{"kind":"Secret","data":{"x":"GIT_LIVE"}}'`),
		annotation("a long annotation", "x", "GIT_LIVE"+strings.Repeat("x", 300)),
		annotation("an annotation with a name", "example.com/api-token", "GIT_LIVE"),
		pod("a variable", "env: [{name: DB_PASSWORD, value: GIT_LIVE}]"),
		pod("a variable of another name", "env: [{name: MYSQL_PWD, value: GIT_LIVE}]"),
		pod("an address in a variable", "env: [{name: DATABASE, value: 'postgres://u:GIT_LIVE@db/x'}]"),
		pod("a token as the user of an address", "env: [{name: REPO, value: 'https://GIT_LIVE_0123456789@git.example/x'}]"),
		pod("an argument", "args: [--admin-password=GIT_LIVE]"),
		pod("an argument in two words", "args: [--token, GIT_LIVE]"),
		pod("an argument of a shell", "args: [-c, 'mysql --password GIT_LIVE']"),
		pod("a header", "readinessProbe: {httpGet: {port: 80, httpHeaders: [{name: Authorization, value: 'Bearer GIT_LIVE'}]}}"),
		data("a connection string", "'Server=db;User Id=sa;Password=GIT_LIVE;'"),
		data("a YAML file", `"db:\n  host: a\n  password: GIT_LIVE\n"`),
		data("a JSON file", `'{"db":{"apiKey":"GIT_LIVE"}}'`),
		data("JSON in JSON", `'{"db":"{\"secret\":\"GIT_LIVE\"}"}'`),
		data("a docker config", `'{"auths":{"r":{"auth":"GIT_LIVE"}}}'`),
		data("a private key", `"-----BEGIN EC PRIVATE KEY-----\nGIT_LIVE\n-----END EC PRIVATE KEY-----\n"`),
		data("a private key in base64", "KEY64"),
		data("a JSON Web Token", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJHSVQifQ.GIT_LIVE"),
		data("a token of GitHub", "ghp_GIT_LIVE0123456789"),
		data("a chat hook", "https://hooks.slack.com/services/T0/B0/GIT_LIVE"),
		data("a signed address", "'https://b.example/x?X-Amz-Signature=GIT_LIVE'"),
		data("a hash of a password", "'admin:$2y$05$GIT_LIVEabcdefgh'"),
		data("a Secret in a file", `"kind: Secret\napiVersion: v1\ndata:\n  x: GIT_LIVE\n"`),
		data("an encrypted value", "'ENC[AES256_GCM,data:GIT_LIVE,type:str]'"),
		{"a key of data", "", "", "", "data: {tls.key: GIT_LIVE}"},
		cr("a password", "auth: {password: GIT_LIVE}"),
		cr("a list of passwords", "passwords: [GIT_LIVE]"),
		cr("a password one level down", "rootPassword: {value: GIT_LIVE}"),
		cr("a parameter", "parameters: [{key: dbPassword, value: GIT_LIVE}]"),
		cr("a Secret inside", "manifest: {apiVersion: v1, kind: Secret, stringData: {x: GIT_LIVE}}"),
		cr("a named place", "pin: GIT_LIVE"),
		cr("a named place by key", "users: [{name: other, code: ok}, {name: root, code: GIT_LIVE}]"),
		cr("all below a named place", "nested: {a: [{b: GIT_LIVE}]}"),
		cr("the keys of a list at a named place", "allowed: [GIT_LIVE]"),
	}
}

// object returns the YAML of the plant, with the secrets in place, and the
// secrets as they could be seen.
func (p plant) object(name, secret string) (text string, secrets []string) {
	b64 := base64.StdEncoding.EncodeToString([]byte(secret))
	key := "-----BEGIN PRIVATE KEY-----\n" + secret + "\n-----END PRIVATE KEY-----\n"
	key64 := base64.StdEncoding.EncodeToString([]byte(key))
	apiVersion, kind := "v1", "ConfigMap"
	if p.kind != "" {
		apiVersion, kind = p.apiVersion, p.kind
	}
	meta := "name: " + name
	if p.meta != "" {
		meta += ", " + p.meta
	}
	text = fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {%s}\n%s\n", apiVersion, kind, meta, p.body)
	text = strings.NewReplacer("GIT_LIVE", secret, "B64", b64, "KEY64", key64).Replace(text)
	return text, []string{secret, b64, key64}
}

// TestNoFormatShowsASecret plants a secret in every place, another one of Git's
// and of the cluster's, through the real API server, and searches whatever
// comes out.
func TestNoFormatShowsASecret(t *testing.T) {
	w := newWorld(t)
	w.namespace("plants")
	w.do("test", "apply", vaultCRD)
	var git, live strings.Builder
	canaries := map[string]string{}
	for i, p := range plants() {
		name := fmt.Sprintf("p%d", i)
		inGit, secrets := p.object(name, fmt.Sprintf("CanaryOfGit%dx", i))
		inLive, more := p.object(name, fmt.Sprintf("CanaryOfLife%dx", i))
		for _, s := range append(secrets, more...) {
			canaries[s] = p.what
		}
		git.WriteString("---\n" + inGit)
		live.WriteString("---\n" + inLive)
	}
	want := desired(t, "plants", git.String())
	w.deliver(want)
	w.deliver(desired(t, "plants", live.String()))

	var log bytes.Buffer
	d := compare.New(
		compare.ClustersFunc(func(context.Context, kspec.Target) (*compare.Cluster, error) { return clusterOf(t, nil), nil }),
		compare.Options{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))},
	)
	rep, err := d.Detect(t.Context(), kspec.Target{Name: "test", Drift: kspec.DriftRules{Secrets: inCRs()}}, want)
	if err != nil {
		t.Fatal(err)
	}
	drifted := map[string]bool{}
	for _, f := range rep.Findings {
		drifted[f.Object.Name] = true
	}
	for i, p := range plants() {
		if !drifted[fmt.Sprintf("p%d", i)] {
			t.Errorf("%s: no finding, so nothing was searched: %v", p.what, rep.Unknown)
		}
	}
	search := func(where, text string) {
		for secret, what := range canaries {
			if strings.Contains(text, secret) {
				t.Errorf("%s: %s shows %s", what, where, secret)
			}
		}
	}
	for _, format := range report.Formats() {
		var out bytes.Buffer
		if err := report.Write(&out, format, []kspec.Report{rep}, report.Options{Width: 400}); err != nil {
			t.Fatal(err)
		}
		search(format, out.String())
	}
	search("the log", log.String())
	search("the report", fmt.Sprintf("%+v", rep))
}

// What is no secret is still shown: a report of tags is of no use.
func TestWhatIsNoSecretIsShown(t *testing.T) {
	for name, tt := range map[string]struct{ path, git, live string }{
		"an image":                    {"image", "registry.example/app:1", "registry.example/app:2"},
		"a file of a token":           {"arg", "--token-file=/var/run/a", "--token-file=/var/run/b"},
		"a name of a Secret":          {"secretName", "a", "b"},
		"a reference":                 {"existingSecret", "a", "b"},
		"a URL":                       {"url", "https://a.example/x?y=1", "https://b.example/x?y=1"},
		"an e-mail":                   {"mail", "a@example.com", "b@example.com"},
		"a digest":                    {"digest", "sha256:9f2c1d0b8a7e6f5d4c3b2a19", "sha256:0f2c1d0b8a7e6f5d4c3b2a19"},
		"text":                        {"note", "basic auth is off", "basic auth is on"},
		"a certificate":               {"ca", "-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE----- "},
		"a number that looks encoded": {"id", "1234567890123456", "1234567890123457"},
	} {
		t.Run(name, func(t *testing.T) {
			text := func(v string) string {
				return fmt.Sprintf("apiVersion: v1\nkind: Thing\nmetadata: {name: a}\nspec: {%s: %q}\n", tt.path, v)
			}
			got, _ := diff(t, look(t, text(tt.git), text(tt.live), fmt.Sprintf(`{"f:spec":{"f:%s":{}}}`, tt.path), "{}"), rules())
			if len(got) != 1 || got[0].Fields[0].Redacted || got[0].Fields[0].Live != tt.live {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestReasonsShowNoSecret has the API server, and a webhook behind it, repeat
// values in their errors.
func TestReasonsShowNoSecret(t *testing.T) {
	w := newWorld(t)
	w.namespace("reasons")
	w.do("test", "apply", vaultCRD)
	const git = `
apiVersion: secrets.compare.example/v1
kind: Vault
metadata: {name: named}
spec: {level: ReasonCanary1}
---
apiVersion: secrets.compare.example/v1
kind: Vault
metadata: {name: password}
spec: {level: ReasonCanary2, password: ReasonCanary3}
---
apiVersion: v1
kind: Secret
metadata: {name: bad}
data: {k: ReasonCanary4!}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: denied}
data: {password: ReasonCanary5, url: 'https://u:ReasonCanary6@h/'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: leaky}
data: {a: b}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {replicas: ReasonCanary7, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: app, image: a}]}}}
`
	w.do(applier, "create", `
{apiVersion: secrets.compare.example/v1, kind: Vault, metadata: {name: named, namespace: reasons}, spec: {level: a}}
---
{apiVersion: secrets.compare.example/v1, kind: Vault, metadata: {name: password, namespace: reasons}, spec: {level: a}}
---
{apiVersion: v1, kind: Secret, metadata: {name: bad, namespace: reasons}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: denied, namespace: reasons}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: leaky, namespace: reasons}}
`)
	w.do(applier, "create", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: reasons}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: app, image: a}]}}}}")
	denied := func(req *http.Request) (*http.Response, error) {
		if req.Method != http.MethodPatch || !strings.Contains(req.URL.Path, "/configmaps/") {
			return nil, nil
		}
		said := "ReasonCanary5 is too weak for ReasonCanary6"
		if strings.HasSuffix(req.URL.Path, "leaky") {
			said = "Bearer ReasonCanary8 is no header"
		}
		body := `{"kind":"Status","apiVersion":"v1","status":"Failure","code":400,"reason":"BadRequest",` +
			`"message":"admission webhook \"x\" denied the request: ` + said + `"}`
		return &http.Response{
			StatusCode: http.StatusBadRequest, Status: "Bad Request", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
			Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}, nil
	}
	var log bytes.Buffer
	d := detectorWith(t, compare.Options{
		Timeout: 5 * time.Second, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, denied)
	target := kspec.Target{Name: "test", Drift: kspec.DriftRules{Secrets: []kspec.Places{
		{Paths: []string{"/spec/level"}, Selector: kspec.Selector{Kind: "Vault", Name: "named"}},
	}}}
	rep, err := d.Detect(t.Context(), target, desired(t, "reasons", git))
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Unknown) < 6 {
		t.Errorf("only %d reasons were searched: %+v", len(rep.Unknown), rep.Unknown)
	}
	if text := fmt.Sprintf("%+v", rep) + log.String(); strings.Contains(text, "ReasonCanary") {
		t.Errorf("a reason shows a secret:\n%s", text)
	}
	for _, u := range rep.Unknown {
		if u.Object.Name == "denied" && !strings.Contains(u.Reason, "denied the request") || u.Object.Name == "named" && !strings.Contains(u.Reason, "spec.level") {
			t.Errorf("too little is left of why: %s", u.Reason)
		}
	}
}
