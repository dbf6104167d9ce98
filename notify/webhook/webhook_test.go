package webhook_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/fixtures/receivers"
	"github.com/cloudcwfranck/kspec/notify/deliver"
	"github.com/cloudcwfranck/kspec/notify/notifytest"
	"github.com/cloudcwfranck/kspec/notify/webhook"
)

func client() *deliver.Client {
	return deliver.NewClient(deliver.Options{
		Guard: deliver.Guard{AllowLoopbackHTTP: true}, MinWait: time.Millisecond, MaxWait: time.Second,
	})
}

// endpoint starts a webhook and returns it with its address.
func endpoint(t *testing.T) (*receivers.Webhook, string) {
	t.Helper()
	h := &receivers.Webhook{}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return h, srv.URL + "/kspec/alerts"
}

func host(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func TestExam(t *testing.T) {
	notifytest.Run(t, func(c *deliver.Client, address, secret string) (deliver.Receiver, error) {
		u, err := url.Parse(address)
		if err != nil {
			return nil, err
		}
		return webhook.New(v1alpha1.Webhook{
			Name: "hook", URL: address, Headers: map[string]string{"Authorization": "Bearer ${WEBHOOK_TOKEN}"},
		}, notifytest.Secrets{
			"WEBHOOK_TOKEN/": {Value: kspec.NewSecret(secret), Field: "header:Authorization", Host: u.Host},
		}, c)
	}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
}

func TestEveryKindOfYesIsTaken(t *testing.T) {
	for _, status := range []int{200, 201, 202, 204} {
		h, address := endpoint(t)
		h.Then(receivers.Status(status, ""))
		r, err := webhook.New(v1alpha1.Webhook{URL: address}, nil, client())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Send(t.Context(), notifytest.Message()); err != nil {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestHeadersCarryTheSecretsBoundToThem(t *testing.T) {
	h, address := endpoint(t)
	h.Authorization = "Bearer s3cret-${NOT_EXPANDED_AGAIN}"
	r, err := webhook.New(v1alpha1.Webhook{
		URL: address, Method: "PUT",
		Headers: map[string]string{
			"authorization": "Bearer ${WEBHOOK_TOKEN}", "X-Team": "platform $HOME", "X-Two": "${A}-${B_2}",
			"Content-Type": "application/json",
		},
	}, notifytest.Secrets{
		"WEBHOOK_TOKEN/": {Value: kspec.NewSecret("s3cret-${NOT_EXPANDED_AGAIN}"), Field: "header:Authorization", Host: host(t, address)},
		"A/":             {Value: kspec.NewSecret("a"), Field: "header:X-Two", Host: host(t, address)},
		"B_2/":           {Value: kspec.NewSecret("b"), Field: "header:X-Two", Host: host(t, address)},
	}, client())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
	if err := r.Send(t.Context(), notifytest.Message()); err != nil {
		t.Fatal(err)
	}
	got := h.Requests()[0]
	if got.Method != http.MethodPut || got.Path != "/kspec/alerts" {
		t.Errorf("%s %s, want PUT /kspec/alerts", got.Method, got.Path)
	}
	for name, want := range map[string]string{
		"X-Team": "platform $HOME", "X-Two": "a-b", "Content-Type": "application/json", "Idempotency-Key": "0123456789abcdef",
		"User-Agent": "kspec",
	} {
		if got := got.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestSecretsGoNowhereElse(t *testing.T) {
	_, address := endpoint(t)
	for _, tt := range []struct {
		name    string
		headers map[string]string
		secrets kspec.Secrets
		want    string
	}{
		{"unknown name, though the environment has it", map[string]string{"Authorization": "Bearer ${HOME}"}, notifytest.Secrets{}, "HOME"},
		{"no secrets at all", map[string]string{"Authorization": "Bearer ${TOKEN}"}, nil, "TOKEN"},
		{"another header", map[string]string{"X-Debug": "${TOKEN}"}, notifytest.Secrets{"TOKEN/": {Value: kspec.NewSecret("canary"), Field: "header:Authorization", Host: host(t, address)}}, "TOKEN"},
		{"another host", map[string]string{"Authorization": "${TOKEN}"}, notifytest.Secrets{"TOKEN/": {Value: kspec.NewSecret("canary"), Field: "header:Authorization", Host: "example.com"}}, "TOKEN"},
		{"line break in the value", map[string]string{"X-A": "${TOKEN}"}, notifytest.Secrets{"TOKEN/": {Value: kspec.NewSecret("canary\r\nX-Evil: 1"), Field: "header:X-A", Host: host(t, address)}}, "line break"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := webhook.New(v1alpha1.Webhook{URL: address, Headers: tt.headers}, tt.secrets, client())
			if err != nil {
				t.Fatal(err)
			}
			for _, err := range []error{r.Check(t.Context()), notifytest.LeaksNothing(t, r, "canary")} {
				if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "canary") {
					t.Errorf("error %v, want one with %q", err, tt.want)
				}
			}
		})
	}
}

func TestNewRefusesWhatIsUnsafe(t *testing.T) {
	attempts := func(n int) v1alpha1.Retry { return v1alpha1.Retry{Attempts: &n} }
	header := func(name, value string) map[string]string { return map[string]string{name: value} }
	const at = "https://example.com/hook"
	for _, tt := range []struct {
		name string
		hook v1alpha1.Webhook
		want string
	}{
		{"no address", v1alpha1.Webhook{}, "url: "},
		{"no host", v1alpha1.Webhook{URL: "https:///canary"}, "url: "},
		{"relative address", v1alpha1.Webhook{URL: "/canary"}, "url: "},
		{"unreadable address", v1alpha1.Webhook{URL: "https://canary:x:y/"}, "url: "},
		{"plain http", v1alpha1.Webhook{URL: "http://example.com/canary"}, "url: want an https address"},
		{"another scheme", v1alpha1.Webhook{URL: "file:///etc/canary"}, "url: "},
		{"password", v1alpha1.Webhook{URL: "https://user:canary@example.com/"}, "url: a user name"},
		{"fragment", v1alpha1.Webhook{URL: at + "#canary"}, "url: a fragment"},
		{"slack hook", v1alpha1.Webhook{URL: "https://hooks.slack.com/services/T0/B0/canary"}, "url: the address looks like a credential"},
		{"token in the address", v1alpha1.Webhook{URL: at + "?t=xoxb-canary"}, "url: the address looks like a credential"},
		{"reference in the address", v1alpha1.Webhook{URL: at + "/${TOKEN}"}, "url: ${…}"},
		{"metadata service", v1alpha1.Webhook{URL: "https://169.254.169.254/latest"}, "url: the receiver is at 169.254.169.254"},
		{"private address", v1alpha1.Webhook{URL: "https://[fd00::1]/"}, "url: the receiver is at fd00::1"},
		{"method", v1alpha1.Webhook{URL: at, Method: "GET"}, `method: "GET"`},
		{"header with a space", v1alpha1.Webhook{URL: at, Headers: header("X Y", "1")}, `headers."X Y"`},
		{"header with a line break", v1alpha1.Webhook{URL: at, Headers: header("X-A", "1\r\nX-B: 2")}, `headers."X-A": the value holds a line break`},
		{"host header", v1alpha1.Webhook{URL: at, Headers: header("host", "internal")}, `headers."host"`},
		{"length header", v1alpha1.Webhook{URL: at, Headers: header("Content-Length", "0")}, `headers."Content-Length"`},
		{"pasted authorization", v1alpha1.Webhook{URL: at, Headers: header("Authorization", "Bearer canary")}, `headers."Authorization": the value looks like a credential`},
		{"pasted token", v1alpha1.Webhook{URL: at, Headers: header("X-Token", "xoxb-1-canary")}, `headers."X-Token": the value looks like a credential`},
		{"small letters", v1alpha1.Webhook{URL: at, Headers: header("X-A", "${token}")}, "want ${NAME}"},
		{"nested", v1alpha1.Webhook{URL: at, Headers: header("X-A", "${A${B}}")}, "want ${NAME}"},
		{"open end", v1alpha1.Webhook{URL: at, Headers: header("X-A", "${TOKEN")}, "want ${NAME}"},
		{"no attempt", v1alpha1.Webhook{URL: at, Retry: attempts(0)}, "retry.attempts"},
		{"too many attempts", v1alpha1.Webhook{URL: at, Retry: attempts(11)}, "retry.attempts"},
		{"token in the template", v1alpha1.Webhook{URL: at, Template: `{"t": "xoxb-canary"}`}, "the template looks like"},
		{"template that is not JSON", v1alpha1.Webhook{URL: at, Template: `alert={{ .Title }}`}, "template: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := webhook.New(tt.hook, nil, deliver.NewClient(deliver.Options{}))
			text := errorText(err)
			if err == nil || !strings.Contains(text, tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if strings.Contains(text, "canary") {
				t.Errorf("the error repeats what may be a secret: %v", err)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestBodyIsTheEvent(t *testing.T) {
	m := notifytest.Message()
	m.Labels["config"] = "production"
	body, err := webhook.Body(m)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	findings := got["findings"].([]any)
	delete(got, "findings")
	want := map[string]any{
		"id": "0123456789abcdef", "type": "DriftDetected", "status": "firing", "reason": "new", "level": "critical",
		"title": "prod: drift in 1 object <!channel>", "source": "ClusterSpec/prod", "cluster": "prod-eu",
		"revision": "main@sha1:4f0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4", "timestamp": "2026-11-22T10:00:00Z",
		"since": "2026-11-22T10:00:00Z", "link": "https://forge.example/acme/config/pull/7", "fingerprint": "f1",
		"findingsTotal": float64(1),
		"labels": map[string]any{
			"severity": "critical", "type": "DriftDetected", "source": "ClusterSpec/prod", "cluster": "prod-eu",
			"namespace": "web", "config": "production",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if len(findings) != 1 || findings[0].(map[string]any)["verdict"] != "Changed" {
		t.Errorf("findings %v", findings)
	}
}

func TestBodyIsBounded(t *testing.T) {
	m := notifytest.Message()
	f := m.Event.Findings[0]
	f.Message = strings.Repeat("x", 20_000)
	m.Event.Findings = nil
	for range 1000 {
		m.Event.Findings = append(m.Event.Findings, f)
	}
	body, err := webhook.Body(m)
	if err != nil || len(body) > 256<<10 {
		t.Fatalf("%d bytes, %v", len(body), err)
	}
	var got struct {
		FindingsTotal int
		Findings      []any
	}
	if err := json.Unmarshal(body, &got); err != nil || got.FindingsTotal != 1000 || len(got.Findings) == 0 {
		t.Errorf("%d of %d findings, %v", len(got.Findings), got.FindingsTotal, err)
	}
}

func TestRetryIsTheDocuments(t *testing.T) {
	h, address := endpoint(t)
	one := 1
	r, err := webhook.New(v1alpha1.Webhook{URL: address, Retry: v1alpha1.Retry{
		Attempts: &one, Timeout: &v1alpha1.Duration{Duration: 50 * time.Millisecond},
	}}, nil, client())
	if err != nil {
		t.Fatal(err)
	}
	h.Then(receivers.Stall())
	start := time.Now()
	var e *deliver.Error
	if err := r.Send(t.Context(), notifytest.Message()); !errors.As(err, &e) || e.Class != deliver.Retry {
		t.Errorf("error %v, want one of class %s", err, deliver.Retry)
	}
	if took := time.Since(start); took > 2*time.Second || h.Left() != 0 {
		t.Errorf("took %s, %d requests left", took, h.Left())
	}
}

func TestTemplateIsSent(t *testing.T) {
	h, address := endpoint(t)
	r, err := webhook.New(v1alpha1.Webhook{URL: address, Template: `
	{"alert": "{{ .Title }}", "level": "{{ .Level }}", "source": "{{ .Source }}", "timestamp": "{{ .Timestamp }}"}`}, nil, client())
	if err != nil {
		t.Fatal(err)
	}
	m := notifytest.Message()
	m.Event.Title = "say \"hi\"\nand , \"level\": \"info"
	if err := r.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal(h.Requests()[0].Body, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"alert": "say \"hi\"\nand , \"level\": \"info", "level": "critical", "source": "ClusterSpec/prod",
		"timestamp": "2026-11-22T10:00:00Z",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}
