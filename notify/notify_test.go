package notify_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/fixtures/receivers"
	"github.com/cloudcwfranck/kspec/notify"
	"github.com/cloudcwfranck/kspec/notify/notifytest"
)

// world is a Slack, a webhook and a clock that stands still.
type world struct {
	t                testing.TB
	slack            *receivers.Slack
	hook             *receivers.Webhook
	slackURL, hookAt string
	secrets          notifytest.Secrets
	store            *notify.Memory

	mu  sync.Mutex
	now time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{
		t: t, slack: &receivers.Slack{}, hook: &receivers.Webhook{}, store: &notify.Memory{},
		now: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC),
	}
	s, h := httptest.NewServer(w.slack), httptest.NewServer(w.hook)
	t.Cleanup(s.Close)
	t.Cleanup(h.Close)
	w.slackURL, w.hookAt = s.URL+receivers.HookPath, h.URL+"/alerts"
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	w.secrets = notifytest.Secrets{
		"slack-hook/url": {Value: kspec.NewSecret(w.slackURL), Field: "slack.webhookURL", Host: u.Host},
	}
	return w
}

func (w *world) slackConfig() *v1alpha1.Slack {
	return &v1alpha1.Slack{WebhookURL: v1alpha1.SecretValue{SecretRef: v1alpha1.SecretKeyRef{Name: "slack-hook", Key: "url"}}}
}

func (w *world) webhook(name string) v1alpha1.Webhook {
	one := 1
	return v1alpha1.Webhook{
		Name: name, URL: w.hookAt + "/" + name, Template: `"{{ .Type }} {{ .Status }} {{ .Title }}"`,
		Retry: v1alpha1.Retry{Attempts: &one},
	}
}

func named(name string, spec v1alpha1.AlertConfigSpec) v1alpha1.AlertConfig {
	return v1alpha1.AlertConfig{ObjectMeta: metav1.ObjectMeta{Namespace: "kspec-system", Name: name}, Spec: spec}
}

func (w *world) options() notify.Options {
	return notify.Options{AllowLoopbackHTTP: true, Store: w.store, Now: w.clock, MinWait: time.Millisecond, MaxWait: 5 * time.Millisecond}
}

func (w *world) dispatcher(specs ...v1alpha1.AlertConfigSpec) *notify.Dispatcher {
	w.t.Helper()
	var configs []v1alpha1.AlertConfig
	for i, s := range specs {
		configs = append(configs, named(fmt.Sprintf("config-%d", i), s))
	}
	d, err := notify.New(configs, w.secrets, w.options())
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// took returns what the webhooks took since the last call, as "name: text",
// sorted.
func (w *world) took() func() []string {
	seen := 0
	return func() []string {
		all := w.hook.Requests()
		var got []string
		for _, r := range all[seen:] {
			got = append(got, strings.TrimPrefix(r.Path, "/alerts/")+": "+strings.Trim(string(r.Body), `"`))
		}
		seen = len(all)
		slices.Sort(got)
		return got
	}
}

func event(typ kspec.EventType, status kspec.Status, fingerprint string) kspec.Event {
	e := kspec.Event{
		Type: typ, Status: status, Level: kspec.Warning, Target: "prod", Cluster: "prod-eu", Title: fingerprint,
		Fingerprint: fingerprint, Time: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC),
	}
	if status == kspec.Resolved {
		e.Level, e.Fingerprint = kspec.Info, ""
	}
	return e
}

func firing(fingerprint string) kspec.Event {
	return event(kspec.DriftDetected, kspec.Firing, fingerprint)
}
func clean() kspec.Event { return event(kspec.DriftDetected, kspec.Resolved, "") }

func mustNotify(t *testing.T, d *notify.Dispatcher, events ...kspec.Event) {
	t.Helper()
	for _, e := range events {
		if err := d.Notify(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestOnlyNewsIsTold(t *testing.T) {
	w := newWorld(t)
	d := w.dispatcher(v1alpha1.AlertConfigSpec{Webhooks: []v1alpha1.Webhook{w.webhook("a")}, DefaultNotifiers: []string{"a"}})
	took := w.took()

	mustNotify(t, d, clean(), clean(), clean())
	expect(t, "nothing was ever wrong", took())
	mustNotify(t, d, firing("1"))
	expect(t, "it begins", took(), "a: DriftDetected firing 1")
	mustNotify(t, d, firing("1"), firing("1"))
	expect(t, "it goes on", took())
	mustNotify(t, d, firing("2"))
	expect(t, "it changes", took(), "a: DriftDetected firing 2")
	w.pass(4*time.Hour - time.Second)
	mustNotify(t, d, firing("2"))
	expect(t, "not long enough for a repetition", took())
	w.pass(time.Second)
	mustNotify(t, d, firing("2"), firing("2"))
	expect(t, "repeated after the interval", took(), "a: DriftDetected firing 2")
	mustNotify(t, d, clean())
	expect(t, "one clean look is not two", took())
	mustNotify(t, d, firing("2"), clean())
	expect(t, "clean looks count in a row", took())
	mustNotify(t, d, clean())
	expect(t, "it is over", took(), "a: DriftDetected resolved ")
	mustNotify(t, d, clean(), clean())
	expect(t, "the end is told once", took())
	if n := w.store.Len(); n != 0 {
		t.Errorf("%d states are remembered of nothing", n)
	}
	mustNotify(t, d, firing("2"))
	expect(t, "it begins again", took(), "a: DriftDetected firing 2")
}

func TestIntervalsAreTheDocuments(t *testing.T) {
	w := newWorld(t)
	one := 1
	d := w.dispatcher(v1alpha1.AlertConfigSpec{
		Defaults: v1alpha1.AlertDefaults{RepeatInterval: &v1alpha1.Duration{Duration: time.Minute}, ResolveAfter: &one},
		Webhooks: []v1alpha1.Webhook{w.webhook("a")}, DefaultNotifiers: []string{"a"},
	})
	took := w.took()
	mustNotify(t, d, firing("1"))
	w.pass(time.Minute)
	mustNotify(t, d, firing("1"), clean())
	expect(t, "told, repeated, over", took(), "a: DriftDetected firing 1", "a: DriftDetected firing 1", "a: DriftDetected resolved ")
}

func TestTargetsClustersTypesAndConfigsAreApart(t *testing.T) {
	w := newWorld(t)
	spec := v1alpha1.AlertConfigSpec{Webhooks: []v1alpha1.Webhook{w.webhook("a")}, DefaultNotifiers: []string{"a"}}
	d := w.dispatcher(spec, spec)
	took := w.took()
	other, elsewhere := firing("1"), firing("1")
	other.Target, elsewhere.Cluster = "staging", "prod-us"
	mustNotify(t, d, firing("1"), other, elsewhere, event(kspec.PolicyViolation, kspec.Firing, "1"))
	if got := len(took()); got != 8 {
		t.Errorf("%d messages, want 8: four for each config", got)
	}
}

func TestTheEndIsToldToThoseWhoKnowOfTheBeginning(t *testing.T) {
	w := newWorld(t)
	d := w.dispatcher(v1alpha1.AlertConfigSpec{
		Webhooks:         []v1alpha1.Webhook{w.webhook("a"), w.webhook("b"), w.webhook("c")},
		DefaultNotifiers: []string{"c"},
		Routes: []v1alpha1.Route{
			{Match: map[string]string{"severity": "warning"}, Notifiers: []string{"a"}},
			{Match: map[string]string{"severity": "critical"}, Notifiers: []string{"b"}},
		},
	})
	took := w.took()
	worse := firing("2")
	worse.Level = kspec.Urgent
	mustNotify(t, d, firing("1"), worse)
	expect(t, "beginning", took(), "a: DriftDetected firing 1", "b: DriftDetected firing 2")
	mustNotify(t, d, clean(), clean())
	expect(t, "end", took(), "a: DriftDetected resolved ", "b: DriftDetected resolved ")
}

func TestWhatHappensOnceIsToldOnce(t *testing.T) {
	w := newWorld(t)
	d := w.dispatcher(v1alpha1.AlertConfigSpec{Webhooks: []v1alpha1.Webhook{w.webhook("a")}, DefaultNotifiers: []string{"a"}})
	took := w.took()
	for _, typ := range []kspec.EventType{kspec.RemediationOpened, kspec.ExemptionEnding} {
		happened := func(fp string) kspec.Event { return event(typ, kspec.Firing, fp) }
		mustNotify(t, d, happened("1"), happened("1"), happened("2"))
		w.pass(24 * time.Hour)
		mustNotify(t, d, happened("1"), happened("2"))
		expect(t, "each once", took(), fmt.Sprintf("a: %s firing 1", typ), fmt.Sprintf("a: %s firing 2", typ))
	}
}

// Exemptions come near their end one by one, and go.
func TestLessOfWhatWasToldIsNoNews(t *testing.T) {
	w := newWorld(t)
	d := w.dispatcher(v1alpha1.AlertConfigSpec{Webhooks: []v1alpha1.Webhook{w.webhook("a")}, DefaultNotifiers: []string{"a"}})
	took := w.took()
	many := make([]string, 100) // more than are remembered of other events
	for i := range many {
		many[i] = fmt.Sprintf("print %d", i)
	}
	ending := func(title string, prints ...string) {
		e := event(kspec.ExemptionEnding, kspec.Firing, title)
		for _, p := range prints {
			e.Findings = append(e.Findings, kspec.Finding{Fingerprint: p})
		}
		mustNotify(t, d, e)
	}
	ending("all", many...)
	ending("fewer", many[1:]...)
	ending("fewer", many[:50]...)
	ending("one more", append(many, "another")...)
	ending("fewer", many...)
	ending("fewer", "another")
	expect(t, "what is news", took(), "a: ExemptionEnding firing all", "a: ExemptionEnding firing one more")
}

func TestWhatWasNotTakenIsTriedAtTheNextLook(t *testing.T) {
	w := newWorld(t)
	d := w.dispatcher(v1alpha1.AlertConfigSpec{Webhooks: []v1alpha1.Webhook{w.webhook("a")}, DefaultNotifiers: []string{"a"}})
	took := w.took()
	down := func() { w.hook.Then(receivers.Status(500, "")) }

	down()
	if err := d.Notify(t.Context(), firing("1")); err == nil || kspec.IsTerminal(err) {
		t.Errorf("error %v, want one that time mends", err)
	}
	down()
	w.pass(2 * time.Second)
	if err := d.Notify(t.Context(), event(kspec.RemediationOpened, kspec.Firing, "7")); err == nil {
		t.Error("no error")
	}
	expect(t, "all failed", took())
	w.pass(time.Minute)
	mustNotify(t, d, firing("1"))
	expect(t, "both are told", took(), "a: DriftDetected firing 1", "a: RemediationOpened firing 7")
	mustNotify(t, d, clean())
	down()
	if err := d.Notify(t.Context(), clean()); err == nil {
		t.Error("no error")
	}
	w.pass(time.Minute)
	mustNotify(t, d, clean(), clean())
	expect(t, "the end is told, once", took(), "a: DriftDetected resolved ")
}

func TestTheSameNewsKeepsItsID(t *testing.T) {
	w := newWorld(t)
	d := w.dispatcher(v1alpha1.AlertConfigSpec{Webhooks: []v1alpha1.Webhook{w.webhook("a")}, DefaultNotifiers: []string{"a"}})
	w.hook.Then(receivers.Reset()) // taken, but kspec cannot know
	if err := d.Notify(t.Context(), firing("1")); err == nil {
		t.Fatal("no error")
	}
	w.pass(time.Minute)
	mustNotify(t, d, firing("1"))
	w.pass(5 * time.Hour)
	mustNotify(t, d, firing("1"))
	var ids []string
	for _, r := range w.hook.Requests() {
		ids = append(ids, r.Header.Get("Idempotency-Key"))
	}
	if len(ids) != 3 || ids[0] != ids[1] || ids[1] == ids[2] || ids[0] == "" {
		t.Errorf("IDs %q, want the first two equal and the repetition another", ids)
	}
}

func TestANotifierThatFailsIsLeftAloneAndStopsNoOther(t *testing.T) {
	w := newWorld(t)
	d := w.dispatcher(v1alpha1.AlertConfigSpec{
		Slack: w.slackConfig(), Webhooks: []v1alpha1.Webhook{w.webhook("a")}, DefaultNotifiers: []string{"a", "slack"},
	})
	took := w.took()
	w.slack.Hooks = map[string]string{receivers.HookPath: "channel_is_archived"}
	err := d.Notify(t.Context(), firing("1"))
	if err == nil || !strings.Contains(err.Error(), "tell slack of DriftDetected: the receiver answered 410: channel_is_archived") || !kspec.IsTerminal(err) {
		t.Errorf("error %v, want a terminal one that names notifier and reason", err)
	}
	expect(t, "the other", took(), "a: DriftDetected firing 1")

	w.slack.Hooks = nil
	if err := d.Notify(t.Context(), firing("1")); err == nil || !strings.Contains(err.Error(), "not tried") {
		t.Errorf("error %v, want one that says that it was not tried", err)
	}
	w.pass(16 * time.Minute)
	mustNotify(t, d, firing("1"))
	if got := len(w.slack.Messages()); got != 1 {
		t.Errorf("%d messages in Slack, want 1", got)
	}
	expect(t, "nothing for the other", took())
}

func TestWhatIsRefusedIsNotTriedAgainUntilThereIsOtherNews(t *testing.T) {
	w := newWorld(t)
	d := w.dispatcher(v1alpha1.AlertConfigSpec{Webhooks: []v1alpha1.Webhook{w.webhook("a")}, DefaultNotifiers: []string{"a"}})
	took := w.took()
	w.hook.Then(receivers.Status(422, ""))
	if err := d.Notify(t.Context(), firing("1")); !kspec.IsTerminal(err) {
		t.Errorf("error %v, want a terminal one", err)
	}
	mustNotify(t, d, firing("1"), clean(), clean())
	expect(t, "neither again nor its end", took())
	w.hook.Then(receivers.Status(422, ""))
	if err := d.Notify(t.Context(), firing("1")); err == nil {
		t.Error("no error")
	}
	mustNotify(t, d, firing("2"), clean(), clean())
	expect(t, "other news", took(), "a: DriftDetected firing 2", "a: DriftDetected resolved ")
}

func TestWhatWaitsIsBounded(t *testing.T) {
	w := newWorld(t)
	d := w.dispatcher(v1alpha1.AlertConfigSpec{Webhooks: []v1alpha1.Webhook{w.webhook("a")}, DefaultNotifiers: []string{"a"}})
	w.hook.Then(receivers.TooMany("900"))
	var last error
	for i := range 40 {
		last = d.Notify(t.Context(), event(kspec.RemediationOpened, kspec.Firing, fmt.Sprint(i)))
	}
	if last == nil || !strings.Contains(last.Error(), "gave up on telling a of RemediationOpened") {
		t.Errorf("error %v, want one that says what was given up", last)
	}
	w.pass(time.Hour)
	took := w.took()
	mustNotify(t, d, clean())
	if got := took(); len(got) != 32 || got[0] != "a: RemediationOpened firing 10" {
		t.Errorf("%d messages told later, want 32: %q", len(got), got)
	}
}

func TestNotifiersAreToldSideBySide(t *testing.T) {
	w := newWorld(t)
	d := w.dispatcher(v1alpha1.AlertConfigSpec{
		Slack: w.slackConfig(), Webhooks: []v1alpha1.Webhook{w.webhook("a")}, DefaultNotifiers: []string{"a", "slack"},
	})
	w.slack.Then(receivers.Stall())
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := d.Notify(ctx, firing("1"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
	if got := len(w.hook.Requests()); got != 1 {
		t.Errorf("%d messages by the webhook while Slack hangs, want 1", got)
	}
	mustNotify(t, d, firing("1"))
	if got := len(w.slack.Messages()); got != 1 {
		t.Errorf("%d messages in Slack afterwards, want 1", got)
	}
}

func TestEventsOfOneTargetTakeTurns(t *testing.T) {
	w := newWorld(t)
	d := w.dispatcher(v1alpha1.AlertConfigSpec{Webhooks: []v1alpha1.Webhook{w.webhook("a")}, DefaultNotifiers: []string{"a"}})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := d.Notify(t.Context(), firing("1")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := len(w.hook.Requests()); got != 1 {
		t.Errorf("%d messages of eight equal events, want 1", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Notify(ctx, firing("2")); err == nil {
		t.Error("no error when the context is done")
	}
}

type brokenStore struct{ notify.Memory }

func (*brokenStore) Load(context.Context, notify.Key) (notify.State, error) {
	return notify.State{}, errors.New("disk is gone")
}

func TestABrokenStoreIsAnErrorAndNotAFlood(t *testing.T) {
	w := newWorld(t)
	o := w.options()
	o.Store = &brokenStore{}
	d, err := notify.New([]v1alpha1.AlertConfig{named("x", v1alpha1.AlertConfigSpec{
		Webhooks: []v1alpha1.Webhook{w.webhook("a")}, DefaultNotifiers: []string{"a"},
	})}, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Notify(t.Context(), firing("1")); err == nil || !strings.Contains(err.Error(), "disk is gone") {
		t.Errorf("error %v, want the store's", err)
	}
	if got := len(w.hook.Requests()); got != 0 {
		t.Errorf("%d messages, want none", got)
	}
}

func BenchmarkNotifyNothingNew(b *testing.B) {
	w := newWorld(b)
	d := w.dispatcher(v1alpha1.AlertConfigSpec{Webhooks: []v1alpha1.Webhook{w.webhook("a")}, DefaultNotifiers: []string{"a"}})
	if err := d.Notify(b.Context(), firing("1")); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Notify(b.Context(), firing("1")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNotifyTwoReceivers(b *testing.B) {
	w := newWorld(b)
	d := w.dispatcher(v1alpha1.AlertConfigSpec{
		Slack: w.slackConfig(), Webhooks: []v1alpha1.Webhook{w.webhook("a")}, DefaultNotifiers: []string{"a", "slack"},
	})
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		if err := d.Notify(b.Context(), firing(fmt.Sprint(n))); err != nil {
			b.Fatal(err)
		}
	}
}
