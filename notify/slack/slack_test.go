package slack_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/fixtures/receivers"
	"github.com/cloudcwfranck/kspec/notify/deliver"
	"github.com/cloudcwfranck/kspec/notify/notifytest"
	"github.com/cloudcwfranck/kspec/notify/slack"
)

var hook = v1alpha1.Slack{WebhookURL: v1alpha1.SecretValue{SecretRef: v1alpha1.SecretKeyRef{Name: "slack-hook", Key: "url"}}}

// at returns the channel whose webhook is at address.
func at(client *deliver.Client, address string) (deliver.Receiver, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	return slack.New(hook, notifytest.Secrets{
		"slack-hook/url": {Value: kspec.NewSecret(address), Field: "slack.webhookURL", Host: u.Host},
	}, client)
}

func client() *deliver.Client {
	return deliver.NewClient(deliver.Options{
		Guard: deliver.Guard{AllowLoopbackHTTP: true}, MinWait: time.Millisecond, MaxWait: time.Second,
	})
}

// workspace starts a Slack and returns it with the channel behind its webhook.
func workspace(t *testing.T) (*receivers.Slack, deliver.Receiver) {
	t.Helper()
	s := &receivers.Slack{}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	r, err := at(client(), srv.URL+receivers.HookPath)
	if err != nil {
		t.Fatal(err)
	}
	return s, r
}

func TestExam(t *testing.T) {
	notifytest.Run(t, func(c *deliver.Client, address, secret string) (deliver.Receiver, error) {
		return at(c, address+"/services/T0/B0/"+secret)
	}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
}

func TestClassesWhatSlackAnswers(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		want   deliver.Class
		reason string
	}{
		{200, "OK", deliver.Destination, "not the ok"},
		{200, "ok\n", deliver.Destination, "not the ok"},
		{200, "<html>Sign in to the proxy</html>", deliver.Destination, "not the ok"},
		{200, "", deliver.Destination, "not the ok"},
		{400, "invalid_payload", deliver.Payload, "invalid_payload"},
		{400, "invalid_blocks", deliver.Payload, "invalid_blocks"},
		{400, "no_text", deliver.Payload, "no_text"},
		{400, "too_many_attachments", deliver.Payload, "too_many_attachments"},
		{413, "", deliver.Payload, "413"},
		{403, "action_prohibited", deliver.Destination, "action_prohibited"},
		{403, "invalid_token", deliver.Destination, "invalid_token"},
		{404, "no_service", deliver.Destination, "no_service"},
		{404, "channel_not_found", deliver.Destination, "channel_not_found"},
		{410, "channel_is_archived", deliver.Destination, "channel_is_archived"},
		{500, "rollup_error", deliver.Retry, "rollup_error"},
		{408, "", deliver.Retry, "408"},
		{404, "a_word_of_its_own", deliver.Destination, "404 Not Found"},
	} {
		t.Run(tt.body, func(t *testing.T) {
			s, r := workspace(t)
			s.Then(receivers.Times(3, receivers.Status(tt.status, tt.body))...)
			err := notifytest.LeaksNothing(t, r, receivers.HookPath)
			if err == nil || deliver.ClassOf(err) != tt.want || !strings.Contains(err.Error(), tt.reason) {
				t.Errorf("error %v of class %s, want %s and %q", err, deliver.ClassOf(err), tt.want, tt.reason)
			}
		})
	}
}

func TestWhatSlackAnswersIsNotRepeated(t *testing.T) {
	s, r := workspace(t)
	s.Then(receivers.Status(404, "you_are_<!channel>_"+receivers.HookPath))
	if err := r.Send(t.Context(), notifytest.Message()); strings.Contains(err.Error(), "you_are") {
		t.Errorf("the error repeats the body: %v", err)
	}
}

func TestASlowYesIsNotTakenForOne(t *testing.T) {
	s := &receivers.Slack{}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	c := deliver.NewClient(deliver.Options{
		Guard: deliver.Guard{AllowLoopbackHTTP: true}, MinWait: time.Millisecond, Timeout: 100 * time.Millisecond,
	})
	r, err := at(c, srv.URL+receivers.HookPath)
	if err != nil {
		t.Fatal(err)
	}
	s.Then(receivers.Times(3, receivers.Drip(200, 20*time.Millisecond))...)
	if err := r.Send(t.Context(), notifytest.Message()); deliver.ClassOf(err) != deliver.Retry || err == nil {
		t.Errorf("error %v, want one of class %s", err, deliver.Retry)
	}
}

func TestRateLimitedMessagesArriveLater(t *testing.T) {
	s, r := workspace(t)
	s.Limited = true
	for range 4 {
		if err := r.Send(t.Context(), notifytest.Message()); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(s.Messages()); got != 4 {
		t.Errorf("%d messages, want 4", got)
	}
}

func TestUnknownOrMisboundSecretIsNamedAndNotTold(t *testing.T) {
	for name, secrets := range map[string]kspec.Secrets{
		"none at all":   nil,
		"unknown":       notifytest.Secrets{},
		"another host":  notifytest.Secrets{"slack-hook/url": {Value: kspec.NewSecret("https://hooks.slack.com/services/canary"), Field: "slack.webhookURL", Host: "evil.example"}},
		"another field": notifytest.Secrets{"slack-hook/url": {Value: kspec.NewSecret("https://hooks.slack.com/services/canary"), Field: "header:Authorization", Host: "hooks.slack.com"}},
		"no address":    notifytest.Secrets{"slack-hook/url": {Value: kspec.NewSecret("::canary"), Field: "slack.webhookURL"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := slack.New(hook, secrets, client())
			if err != nil {
				t.Fatal(err)
			}
			if err := notifytest.LeaksNothing(t, r, "canary"); err == nil || !strings.Contains(err.Error(), "slack-hook/url") {
				t.Errorf("Send: %v, want the name of the secret", err)
			}
			if err := r.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "slack-hook/url") {
				t.Errorf("Check: %v, want the name of the secret", err)
			}
		})
	}
}

func TestCheckRefusesPlainHTTP(t *testing.T) {
	r, err := at(deliver.NewClient(deliver.Options{}), "http://hooks.slack.com/services/canary")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.(deliver.Checker).Check(t.Context()); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("Check: %v, want an error without the address", err)
	}
	if err := notifytest.LeaksNothing(t, r, "canary"); deliver.ClassOf(err) != deliver.Destination {
		t.Errorf("Send: %v, want one of class %s", err, deliver.Destination)
	}
}

func TestASecretMustBeNamed(t *testing.T) {
	_, err := slack.New(v1alpha1.Slack{}, nil, client())
	if err == nil || !strings.Contains(err.Error(), "webhookURL.secretRef.name") || kspec.HintOf(err) == "" {
		t.Errorf("error %v, want the field and a hint", err)
	}
}

// shown sends m to a Slack and returns what it shows.
func shown(t *testing.T, m deliver.Message) string {
	t.Helper()
	s, r := workspace(t)
	if err := r.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return s.Messages()[0].String()
}

func TestMessageSaysWhoDidWhatWhenAndWhatToDo(t *testing.T) {
	text := shown(t, notifytest.Message())
	for _, want := range []string{
		"🔴 prod: drift in 1 object", "*Changed*", "`/spec/replicas`", "`3` → ", "by `kubectl-edit`, 2026-11-22 09:58:11 UTC",
		"<https://forge.example/acme/config/pull/7|Pull request #7>", "cluster `prod-eu`", "revision `main@4f0c1d2e3f40`",
		"2026-11-22 10:00:00 UTC", "`ClusterSpec/prod`",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
}

func TestResolvedSaysHowLongItLasted(t *testing.T) {
	m := notifytest.Message()
	m.Event = kspec.Event{
		Type: kspec.DriftDetected, Status: kspec.Resolved, Level: kspec.Info, Target: "prod", Time: m.Since.Add(12 * time.Minute),
		Title: "prod: drift resolved", Description: "A complete look found nothing wrong any more.",
	}
	text := shown(t, m)
	for _, want := range []string{"✅ prod: drift resolved", "A complete look found nothing wrong any more.", "after 12m0s"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
}

func TestNoNameCanMentionOrLinkOrBreakOut(t *testing.T) {
	hostile := []string{
		"<!channel>", "<!here|x>", "<@U012AB3CD>", "<#C012AB3CD>", "<https://evil.example|Pull request #7>", "`*bold*`",
		"\x1b[31mred\x1b[0m", "a\u202egnp.exe", "&lt;!channel&gt;", "line\nbreak", strings.Repeat("<&>", 2000), "\x00\xff\xfe", "👩‍👩‍👧‍👦",
	}
	for _, name := range hostile {
		m := notifytest.Message()
		e := &m.Event
		e.Title, e.Target, e.Cluster, e.Description = name, name, name, name
		e.Revision = kspec.Revision{Branch: name, Commit: name}
		e.Findings = []kspec.Finding{{
			Verdict: kspec.Verdict(name), Message: name,
			Object: kspec.ObjectID{Group: name, Kind: name, Namespace: name, Name: name},
			Fields: []kspec.Field{{KeyedPath: name, Desired: name, Live: map[string]any{name: name}, Manager: name, Time: e.Time}},
		}, {Message: name}}
		title, text, _ := strings.Cut(shown(t, m), "\n")
		if strings.ContainsAny(title, "\x1b\u202e\x00\ufffd") {
			t.Errorf("%q: in the header, which is plain text: %q", name, title)
		}
		for _, bad := range []string{"<!", "<@", "<#", "<https://evil", "\x1b", "\u202e", "\x00", "\ufffd"} {
			if strings.Contains(text, bad) {
				t.Errorf("%q: %q is in:\n%s", name, bad, text)
			}
		}
		for line := range strings.Lines(text) {
			if strings.Count(line, "`")%2 != 0 {
				t.Errorf("%q: a code span does not end in %q", name, line)
			}
		}
	}
}

func TestOnlyWebPagesAreLinked(t *testing.T) {
	for link, want := range map[string]string{
		"https://forge.example/a/pull/12":    "<https://forge.example/a/pull/12|Pull request #12>",
		"http://127.0.0.1:8080/a/pull/1":     "<http://127.0.0.1:8080/a/pull/1|Pull request #1>",
		"https://forge.example/a?b=1&c=2":    "<https://forge.example/a?b=1&amp;c=2|Open>",
		"https://forge.example/a|b>c":        "<https://forge.example/a%7Cb%3Ec|Open>",
		"javascript:alert(1)":                "",
		"https://user:word@forge.example/12": "",
		"::":                                 "",
		"":                                   "",
	} {
		m := notifytest.Message()
		m.Event.Link = link
		text := shown(t, m)
		if got := strings.Contains(text, "|Open>") || strings.Contains(text, "|Pull request"); got != (want != "") || !strings.Contains(text, want) {
			t.Errorf("%s: %q is not in:\n%s", link, want, text)
		}
	}
}

// Every text is made as long as it can be, from characters of every width; the
// Slack refuses what is too long.
func TestLongTextsAreCutWithinTheLimits(t *testing.T) {
	for _, long := range []string{
		strings.Repeat("x", 50_000), strings.Repeat("é", 50_000), strings.Repeat("🦀", 50_000), strings.Repeat("&", 50_000),
	} {
		m := notifytest.Message()
		e := &m.Event
		e.Title, e.Target, e.Cluster, e.Description, e.Link = long, long, long, long, ""
		f := kspec.Finding{Verdict: kspec.Changed, Message: long, Object: kspec.ObjectID{Kind: long, Namespace: long, Name: long}}
		for range 20 {
			f.Fields = append(f.Fields, kspec.Field{KeyedPath: long, Desired: long, Live: long, Manager: long, Time: e.Time})
		}
		e.Findings = nil
		for range 100 {
			e.Findings = append(e.Findings, f)
		}
		text := shown(t, m)
		if !utf8.ValidString(text) || !strings.Contains(text, "…") {
			t.Errorf("not cut on a character: %.80s", text)
		}
		if !strings.Contains(text, "and 95 more") || !strings.Contains(text, "and 17 more fields") {
			t.Errorf("does not say how much was left out: %.200s", text)
		}
		m.Event.Findings = nil
		if text := shown(t, m); !strings.Contains(text, "…") {
			t.Errorf("the description was not cut: %.80s", text)
		}
	}
}

func TestChannelIsSentOnlyWhenItIsAskedFor(t *testing.T) {
	for channel, want := range map[string]any{"": nil, "#kspec-alerts": "#kspec-alerts"} {
		body, err := slack.Payload(notifytest.Message(), channel)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if got["channel"] != want {
			t.Errorf("channel %v, want %v", got["channel"], want)
		}
	}
}

func BenchmarkPayload(b *testing.B) {
	m := notifytest.Message()
	for range 100 {
		m.Event.Findings = append(m.Event.Findings, m.Event.Findings[0])
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := slack.Payload(m, ""); err != nil {
			b.Fatal(err)
		}
	}
}
