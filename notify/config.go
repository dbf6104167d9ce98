package notify

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/notify/deliver"
	"github.com/cloudcwfranck/kspec/notify/slack"
	"github.com/cloudcwfranck/kspec/notify/webhook"
)

const (
	defaultRepeat       = 4 * time.Hour
	defaultResolveAfter = 2
)

// config is one AlertConfig made ready. It does not change.
type config struct {
	name      string // namespace/name
	label     string // metadata.name
	spec      v1alpha1.AlertConfigSpec
	rules     rules
	routing   routing
	notifiers map[string]*notifier
}

// identity is what c is called in errors, and known by.
func identity(c v1alpha1.AlertConfig) string {
	return strings.TrimPrefix(c.Namespace+"/"+c.Name, "/")
}

// compile checks all of c and makes its receivers. An error names the field.
func (d *Dispatcher) compile(c v1alpha1.AlertConfig) (*config, error) {
	out := &config{
		name: identity(c), label: c.Name, spec: *c.Spec.DeepCopy(),
		rules:     rules{defaultRepeat, defaultResolveAfter},
		routing:   routing{routes: c.Spec.Routes, otherwise: c.Spec.DefaultNotifiers, events: map[string][]string{}, on: map[string]bool{}},
		notifiers: map[string]*notifier{},
	}
	if c.Name == "" {
		return nil, errors.New("metadata.name is empty")
	}
	if r := c.Spec.Defaults.RepeatInterval; r != nil {
		out.rules.repeat = r.Duration
	}
	if n := c.Spec.Defaults.ResolveAfter; n != nil {
		out.rules.resolveAfter = *n
	}
	if out.rules.resolveAfter < 1 {
		return nil, fmt.Errorf("spec.defaults.resolveAfter: %d is less than 1", out.rules.resolveAfter)
	}
	if err := d.addReceivers(out, c.Spec); err != nil {
		return nil, err
	}
	if c.Spec.DefaultNotifiers == nil {
		return nil, kspec.WithHint(errors.New("spec.defaultNotifiers is missing"),
			"name who gets what no route matches, or write defaultNotifiers: [] to tell nobody")
	}
	if err := out.known("spec.defaultNotifiers", c.Spec.DefaultNotifiers); err != nil {
		return nil, err
	}
	for i, r := range c.Spec.Routes {
		if len(r.Notifiers) == 0 {
			return nil, fmt.Errorf("spec.routes[%d].notifiers is empty", i)
		}
		if err := out.known(fmt.Sprintf("spec.routes[%d].notifiers", i), r.Notifiers); err != nil {
			return nil, err
		}
	}
	return out, checkRoutes(c.Spec.Routes)
}

// addReceivers is the one place that knows every kind of receiver.
func (d *Dispatcher) addReceivers(c *config, spec v1alpha1.AlertConfigSpec) error {
	if s := spec.Slack; s != nil {
		r, err := slack.New(*s, d.secrets, d.client)
		if err := c.add("spec.slack", "slack", s.Enabled, s.Events, r, err); err != nil {
			return err
		}
	}
	for i, w := range spec.Webhooks {
		field := fmt.Sprintf("spec.webhooks[%d]", i)
		if w.Name == "" || slices.Contains([]string{"slack", "pagerduty", "alertmanager"}, w.Name) {
			return fmt.Errorf("%s.name: %q is empty or reserved", field, w.Name)
		}
		r, err := webhook.New(w, d.secrets, d.client)
		if err := c.add(field, w.Name, w.Enabled, w.Events, r, err); err != nil {
			return err
		}
	}
	return nil
}

func (c *config) add(field, name string, enabled *bool, events []string, r deliver.Receiver, err error) error {
	if err != nil {
		return fmt.Errorf("%s.%w", field, err)
	}
	if _, ok := c.routing.on[name]; ok {
		return fmt.Errorf("%s.name: there are two notifiers %q", field, name)
	}
	for i, e := range events {
		if err := checkType(e); err != nil {
			return fmt.Errorf("%s.events[%d]: %w", field, i, err)
		}
	}
	c.routing.on[name] = enabled == nil || *enabled
	c.routing.events[name] = events
	c.notifiers[name] = &notifier{name: name, receiver: r}
	return nil
}

func (c *config) known(field string, names []string) error {
	for i, n := range names {
		if _, ok := c.routing.on[n]; !ok {
			return fmt.Errorf("%s[%d]: there is no notifier %q", field, i, n)
		}
	}
	return nil
}

// active reports whether there is a notifier of that name and it is enabled.
func (c *config) active(name string) bool { return c.routing.on[name] }

// ready returns whether a notifier may be sent to now.
func (c *config) ready(now time.Time) func(name string) bool {
	return func(name string) bool {
		n, ok := c.notifiers[name]
		return !ok || n.held(now) <= 0
	}
}

// sorted returns the notifiers by name.
func (c *config) sorted() []*notifier {
	return slices.SortedFunc(maps.Values(c.notifiers), func(a, b *notifier) int { return strings.Compare(a.name, b.name) })
}

// tasks groups what is due by notifier, and keeps its order.
func (c *config) tasks(key Key, due []telling) []*task {
	var tasks []*task
	for _, n := range c.sorted() {
		mine := slices.DeleteFunc(slices.Clone(due), func(t telling) bool { return t.notifier != n.name })
		if len(mine) > 0 {
			tasks = append(tasks, &task{config: c, notifier: n, key: key, due: mine, errs: make([]error, len(mine))})
		}
	}
	return tasks
}
