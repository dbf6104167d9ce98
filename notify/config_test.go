package notify_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/fixtures/receivers"
	"github.com/cloudcwfranck/kspec/notify"
	"github.com/cloudcwfranck/kspec/notify/notifytest"
)

func match(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

func TestRoutes(t *testing.T) {
	namespaced := firing("x")
	namespaced.Findings = []kspec.Finding{{Object: kspec.ObjectID{Namespace: "web"}}}
	urgent := firing("x")
	urgent.Level = kspec.Urgent
	nowhere := firing("x")
	nowhere.Cluster = ""
	violation := event(kspec.PolicyViolation, kspec.Firing, "x")
	to := func(m map[string]string, goOn bool, names ...string) v1alpha1.Route {
		return v1alpha1.Route{Match: m, Notifiers: names, Continue: goOn}
	}
	for _, tt := range []struct {
		name   string
		event  kspec.Event
		routes []v1alpha1.Route
		want   string
	}{
		{"no route: the default", firing("x"), nil, "c"},
		{"no match: the default", firing("x"), []v1alpha1.Route{to(match("severity", "info"), false, "a")}, "c"},
		{"the first match ends it", urgent, []v1alpha1.Route{to(match("severity", "critical"), false, "a"), to(nil, false, "b")}, "a"},
		{"continue goes on", urgent, []v1alpha1.Route{to(match("severity", "critical"), true, "a"), to(nil, false, "b")}, "a b"},
		{"continue at the end is no default", urgent, []v1alpha1.Route{to(match("severity", "critical"), true, "a")}, "a"},
		{"an empty match takes all", firing("x"), []v1alpha1.Route{to(match(), false, "b")}, "b"},
		{"all labels must agree", firing("x"), []v1alpha1.Route{to(match("severity", "warning", "type", "PolicyViolation"), false, "a"), to(match("severity", "warning", "type", "DriftDetected"), false, "b")}, "b"},
		{"source", firing("x"), []v1alpha1.Route{to(match("source", "ClusterSpec/prod"), false, "a")}, "a"},
		{"cluster", firing("x"), []v1alpha1.Route{to(match("cluster", "prod-us"), false, "a"), to(match("cluster", "prod-eu"), false, "b")}, "b"},
		{"namespace", namespaced, []v1alpha1.Route{to(match("namespace", "web"), false, "a")}, "a"},
		{"a missing label is empty", nowhere, []v1alpha1.Route{to(match("cluster", "", "namespace", ""), false, "a")}, "a"},
		{"config", firing("x"), []v1alpha1.Route{to(match("config", "config-0"), false, "a")}, "a"},
		{"each is told once", urgent, []v1alpha1.Route{to(match("severity", "critical"), true, "b", "a", "b"), to(nil, false, "a")}, "a b"},
		{"the filter of events comes after the route", violation, []v1alpha1.Route{to(nil, false, "drift-only", "a")}, "a"},
		{"a filter falls back on nobody", violation, []v1alpha1.Route{to(nil, false, "drift-only")}, ""},
		{"the filter lets through", firing("x"), []v1alpha1.Route{to(nil, false, "drift-only")}, "drift-only"},
		{"one that is off", firing("x"), []v1alpha1.Route{to(nil, false, "off", "a")}, "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			no := false
			off, driftOnly := w.webhook("off"), w.webhook("drift-only")
			off.Enabled, driftOnly.Events = &no, []string{"DriftDetected"}
			d := w.dispatcher(v1alpha1.AlertConfigSpec{
				Webhooks:         []v1alpha1.Webhook{w.webhook("a"), w.webhook("b"), w.webhook("c"), off, driftOnly},
				DefaultNotifiers: []string{"c"}, Routes: tt.routes,
			})
			took := w.took()
			mustNotify(t, d, tt.event)
			var got []string
			for _, text := range took() {
				name, _, _ := strings.Cut(text, ":")
				got = append(got, name)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("told %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAWrongConfigNamesTheField(t *testing.T) {
	w := newWorld(t)
	zero := 0
	edit := func(change func(*v1alpha1.AlertConfigSpec)) v1alpha1.AlertConfigSpec {
		s := v1alpha1.AlertConfigSpec{
			Slack: w.slackConfig(), Webhooks: []v1alpha1.Webhook{w.webhook("a")}, DefaultNotifiers: []string{"slack"},
			Routes: []v1alpha1.Route{{Match: match("severity", "critical"), Notifiers: []string{"a"}}},
		}
		change(&s)
		return s
	}
	for _, tt := range []struct {
		want   string
		change func(*v1alpha1.AlertConfigSpec)
	}{
		{"spec.defaultNotifiers is missing", func(s *v1alpha1.AlertConfigSpec) { s.DefaultNotifiers = nil }},
		{`spec.defaultNotifiers[1]: there is no notifier "pager"`, func(s *v1alpha1.AlertConfigSpec) { s.DefaultNotifiers = []string{"a", "pager"} }},
		{`spec.routes[0].notifiers[0]: there is no notifier "b"`, func(s *v1alpha1.AlertConfigSpec) { s.Routes[0].Notifiers = []string{"b"} }},
		{"spec.routes[0].notifiers is empty", func(s *v1alpha1.AlertConfigSpec) { s.Routes[0].Notifiers = nil }},
		{"spec.routes[0].match.team: no event has this label", func(s *v1alpha1.AlertConfigSpec) { s.Routes[0].Match = match("team", "x") }},
		{`spec.routes[0].match.severity: "high" is not a level`, func(s *v1alpha1.AlertConfigSpec) { s.Routes[0].Match = match("severity", "high") }},
		{`spec.routes[0].match.type: "Drift" is not a type of event`, func(s *v1alpha1.AlertConfigSpec) { s.Routes[0].Match = match("type", "Drift") }},
		{"spec.routes[1] is never reached: spec.routes[0]", func(s *v1alpha1.AlertConfigSpec) {
			s.Routes = append(s.Routes, v1alpha1.Route{Match: match("severity", "critical", "cluster", "x"), Notifiers: []string{"a"}})
		}},
		{"spec.routes[1] is never reached: spec.routes[0]", func(s *v1alpha1.AlertConfigSpec) {
			s.Routes = []v1alpha1.Route{{Notifiers: []string{"a"}}, {Match: match("cluster", ""), Notifiers: []string{"a"}}}
		}},
		{`spec.webhooks[1].name: there are two notifiers "a"`, func(s *v1alpha1.AlertConfigSpec) { s.Webhooks = append(s.Webhooks, w.webhook("a")) }},
		{`spec.webhooks[0].name: "slack" is empty or reserved`, func(s *v1alpha1.AlertConfigSpec) { s.Webhooks[0].Name = "slack" }},
		{`spec.webhooks[0].events[0]: "Drift" is not a type of event`, func(s *v1alpha1.AlertConfigSpec) { s.Webhooks[0].Events = []string{"Drift"} }},
		{"spec.webhooks[0].url: want an https address", func(s *v1alpha1.AlertConfigSpec) { s.Webhooks[0].URL = "http://example.com" }},
		{"spec.webhooks[0].template: ", func(s *v1alpha1.AlertConfigSpec) { s.Webhooks[0].Template = "{{" }},
		{"spec.slack.webhookURL.secretRef.name is empty", func(s *v1alpha1.AlertConfigSpec) { s.Slack.WebhookURL.SecretRef.Name = "" }},
		{"spec.slack.events[0]", func(s *v1alpha1.AlertConfigSpec) { s.Slack.Events = []string{"x"} }},
		{"spec.defaults.resolveAfter: 0", func(s *v1alpha1.AlertConfigSpec) { s.Defaults.ResolveAfter = &zero }},
	} {
		t.Run(tt.want, func(t *testing.T) {
			_, err := notify.New([]v1alpha1.AlertConfig{named("prod", edit(tt.change))}, w.secrets, w.options())
			if err == nil || !strings.Contains(err.Error(), "AlertConfig kspec-system/prod: "+tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	nowhere := named("prod", edit(func(s *v1alpha1.AlertConfigSpec) { s.DefaultNotifiers = nil }))
	nowhere.Namespace = ""
	if _, err := notify.New([]v1alpha1.AlertConfig{nowhere}, w.secrets, w.options()); err == nil || !strings.HasPrefix(err.Error(), "AlertConfig prod: ") {
		t.Errorf("without a namespace: error %v", err)
	}
	if _, err := notify.New([]v1alpha1.AlertConfig{named("prod", edit(func(*v1alpha1.AlertConfigSpec) {}))}, w.secrets, w.options()); err != nil {
		t.Errorf("the unchanged config is refused: %v", err)
	}
}

func TestSetKeepsTheLastGoodConfigAndTheOthersGoOn(t *testing.T) {
	w := newWorld(t)
	spec := func(names ...string) v1alpha1.AlertConfigSpec {
		s := v1alpha1.AlertConfigSpec{DefaultNotifiers: names}
		for _, n := range names {
			s.Webhooks = append(s.Webhooks, w.webhook(n))
		}
		return s
	}
	bad := spec("bad")
	bad.DefaultNotifiers = []string{"nobody"}
	d, err := notify.New(nil, w.secrets, w.options())
	if err != nil {
		t.Fatal(err)
	}
	took := w.took()
	if err := d.Set([]v1alpha1.AlertConfig{named("one", spec("a")), named("two", bad)}); err == nil || !strings.Contains(err.Error(), "kspec-system/two") {
		t.Errorf("error %v, want one that names the bad config", err)
	}
	mustNotify(t, d, firing("1"))
	expect(t, "the good one took effect", took(), "a: DriftDetected firing 1")
	if err := d.Set([]v1alpha1.AlertConfig{named("one", bad), named("two", spec("b"))}); err == nil {
		t.Error("no error")
	}
	mustNotify(t, d, firing("1"))
	expect(t, "what was told is remembered, the other is new", took(), "b: DriftDetected firing 1")
	if err := d.Set([]v1alpha1.AlertConfig{named("two", spec("b", "c")), named("two", spec("b"))}); err == nil || !strings.Contains(err.Error(), "two of this name") {
		t.Errorf("error %v, want one about the name", err)
	}
	mustNotify(t, d, firing("2"))
	expect(t, "one is gone, two is new", took(), "b: DriftDetected firing 2", "c: DriftDetected firing 2")
	if err := d.Set([]v1alpha1.AlertConfig{named("two", spec("b"))}); err != nil {
		t.Fatal(err)
	}
	mustNotify(t, d, clean(), clean())
	expect(t, "one that is gone is told nothing", took(), "b: DriftDetected resolved ")
}

func TestANewConfigForgivesANotifier(t *testing.T) {
	w := newWorld(t)
	hook := w.webhook("a")
	spec := v1alpha1.AlertConfigSpec{Webhooks: []v1alpha1.Webhook{hook}, DefaultNotifiers: []string{"a"}}
	d := w.dispatcher(spec)
	w.hook.Then(receivers.Status(404, ""))
	if err := d.Notify(t.Context(), firing("1")); err == nil {
		t.Fatal("no error")
	}
	if err := d.Set([]v1alpha1.AlertConfig{named("config-0", spec)}); err != nil {
		t.Fatal(err)
	}
	if err := d.Notify(t.Context(), firing("1")); err == nil {
		t.Error("the same config forgave")
	}
	spec.Webhooks = []v1alpha1.Webhook{hook}
	spec.Webhooks[0].URL += "/mended"
	if err := d.Set([]v1alpha1.AlertConfig{named("config-0", spec)}); err != nil {
		t.Fatal(err)
	}
	mustNotify(t, d, firing("1"))
	if got := len(w.hook.Requests()); got != 1 {
		t.Errorf("%d messages, want 1", got)
	}
}

func TestCheckNamesMissingSecretsOfEveryNotifierThatIsOn(t *testing.T) {
	w := newWorld(t)
	no := false
	hook, off := w.webhook("a"), w.webhook("off")
	hook.Headers, off.Headers, off.Enabled = match("Authorization", "Bearer ${A_TOKEN}"), match("Authorization", "Bearer ${OFF}"), &no
	d := w.dispatcher(v1alpha1.AlertConfigSpec{
		Slack: w.slackConfig(), Webhooks: []v1alpha1.Webhook{hook, off}, DefaultNotifiers: []string{"slack"},
	})
	err := d.Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "A_TOKEN") || strings.Contains(err.Error(), "OFF") || strings.Contains(err.Error(), "slack-hook") {
		t.Errorf("error %v, want one about A_TOKEN only", err)
	}
}

// The config of the user's guide is one that kspec takes, and does what the
// guide says.
func TestTheExampleOfTheGuideWorks(t *testing.T) {
	guide, err := os.ReadFile(filepath.FromSlash("../docs/alerts.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(apiVersion: kspec.io/v1alpha1\nkind: AlertConfig.*?)```").FindAllStringSubmatch(string(guide), -1)
	if len(blocks) == 0 {
		t.Fatal("the guide has no example")
	}
	for _, block := range blocks {
		docs, errs := v1alpha1.Decode("docs/alerts.md", []byte(block[1]))
		if len(errs) > 0 || len(docs) != 1 {
			t.Fatalf("%d documents, %v", len(docs), errs)
		}
		config := *docs[0].Object.(*v1alpha1.AlertConfig)
		d, err := notify.New([]v1alpha1.AlertConfig{config}, notifytest.Secrets{}, notify.Options{})
		if err != nil {
			t.Fatal(err)
		}
		// Both secrets that the guide names are asked for, under those names.
		if err := d.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "slack-hook/url") || !strings.Contains(err.Error(), "WEBHOOK_TOKEN") {
			t.Errorf("Check: %v", err)
		}
	}
}

func TestNoSecretLeavesTheDispatcher(t *testing.T) {
	const canary = "canary-of-the-hook"
	s := &receivers.Slack{Hooks: map[string]string{}}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	w := newWorld(t)
	b := w.secrets["slack-hook/url"]
	b.Value, b.Host = kspec.NewSecret(srv.URL+"/services/T0/B0/"+canary), strings.TrimPrefix(srv.URL, "http://")
	w.secrets["slack-hook/url"] = b
	d := w.dispatcher(v1alpha1.AlertConfigSpec{Slack: w.slackConfig(), DefaultNotifiers: []string{"slack"}})
	for i, f := range []receivers.Fault{nil, receivers.Echo(200), receivers.Echo(302), receivers.Echo(400), receivers.Echo(500), receivers.Refuse()} {
		s.Then(receivers.Times(3, f)...)
		err := d.Notify(t.Context(), firing(fmt.Sprint(i)))
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("error %v, want one without the secret", err)
		}
		for s.Left() > 0 {
			s.Next()
		}
		w.pass(16 * time.Minute)
	}
}
