// Package notify tells the world what is news. A [Dispatcher] is told of every
// state at every look; it leads each event through the routes of every
// AlertConfig, remembers what each notifier knows already, and sends the rest.
//
// What a notifier did not take is tried again at the next look, because what
// it should know still differs from what it was told: there is no queue that
// could grow or be lost, but a short one for events that happen once.
//
// Receivers have a folder each, and share the rules of package deliver. How an
// AlertConfig is written is told in docs/alerts.md.
package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
	"github.com/cloudcwfranck/kspec/notify/deliver"
)

// defaultConcurrency is how many deliveries of one event run at a time.
const defaultConcurrency = 8

// Options of a [Dispatcher]; the zero value works.
type Options struct {
	// AllowLoopbackHTTP allows receivers at plain http on the loopback
	// addresses of this machine. It is for tests and the demo.
	AllowLoopbackHTTP bool
	// AllowHosts are hosts, or "host:port", that may have private addresses.
	// Whoever may write AlertConfigs can make kspec send requests there.
	AllowHosts []string
	// Store remembers what was told; nil means a new [Memory].
	Store Store
	// Concurrency is how many deliveries of one event run at a time; 0 means 8.
	Concurrency int
	// MinWait and MaxWait bound the wait between two attempts of one delivery;
	// 0 means one second and ten seconds.
	MinWait, MaxWait time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Dispatcher routes events to notifiers. It is safe for concurrent use.
type Dispatcher struct {
	secrets kspec.Secrets
	client  *deliver.Client
	o       Options

	mu      sync.Mutex
	configs []*config                 // sorted by name
	busy    map[subject]chan struct{} // closed when the subject is free again
}

// subject is what one Notify at a time is about, so that an end never
// overtakes its beginning.
type subject struct{ target, cluster string }

var _ kspec.Notifier = (*Dispatcher)(nil)

// New returns a Dispatcher for configs, or an error that names each document
// and field that is wrong. A caller that rather goes on with the configs that
// are right starts with none and calls [Dispatcher.Set].
func New(configs []v1alpha1.AlertConfig, secrets kspec.Secrets, o Options) (*Dispatcher, error) {
	if o.Store == nil {
		o.Store = &Memory{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Concurrency = cmp.Or(o.Concurrency, defaultConcurrency)
	d := &Dispatcher{
		secrets: secrets, o: o, busy: map[subject]chan struct{}{},
		client: deliver.NewClient(deliver.Options{
			Guard:   deliver.Guard{AllowLoopbackHTTP: o.AllowLoopbackHTTP, AllowHosts: o.AllowHosts},
			MinWait: o.MinWait, MaxWait: o.MaxWait, Now: o.Now,
		}),
	}
	if err := d.Set(configs); err != nil {
		return nil, err
	}
	return d, nil
}

// Set replaces the configs, all at once. One that is wrong is in the error,
// with its field, and stays as it was when it was last right; the others take
// effect. What was told is remembered.
func (d *Dispatcher) Set(configs []v1alpha1.AlertConfig) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var (
		next []*config
		errs []error
	)
	for _, c := range configs {
		name := identity(c)
		if slices.ContainsFunc(next, func(n *config) bool { return n.name == name }) {
			errs = append(errs, fmt.Errorf("AlertConfig %s: there are two of this name", name))
			continue
		}
		compiled, err := d.reuse(c)
		if err != nil {
			errs = append(errs, fmt.Errorf("AlertConfig %s: %w", name, err))
			compiled = d.find(name)
		}
		if compiled != nil {
			next = append(next, compiled)
		}
	}
	slices.SortFunc(next, func(a, b *config) int { return strings.Compare(a.name, b.name) })
	d.configs = next
	return errors.Join(errs...)
}

// reuse returns the config as it stands when nothing in c changed, so that its
// notifiers keep what they learnt.
func (d *Dispatcher) reuse(c v1alpha1.AlertConfig) (*config, error) {
	if old := d.find(identity(c)); old != nil && reflect.DeepEqual(old.spec, c.Spec) {
		return old, nil
	}
	return d.compile(c)
}

func (d *Dispatcher) find(name string) *config {
	if i := slices.IndexFunc(d.configs, func(c *config) bool { return c.name == name }); i >= 0 {
		return d.configs[i]
	}
	return nil
}

// Check reports what would keep notifiers from being told, such as a secret
// that is not there. It sends nothing.
func (d *Dispatcher) Check(ctx context.Context) error {
	var errs []error
	for _, c := range d.current() {
		for _, n := range c.sorted() {
			if checker, ok := n.receiver.(deliver.Checker); ok && c.routing.on[n.name] {
				if err := checker.Check(ctx); err != nil {
					errs = append(errs, fmt.Errorf("AlertConfig %s: notifier %s: %w", c.name, n.name, err))
				}
			}
		}
	}
	return errors.Join(errs...)
}

func (d *Dispatcher) current() []*config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.configs
}

// Notify implements [kspec.Notifier]. It returns when all deliveries are done,
// with an error for each that failed; one that fails stops no other. The error
// is marked by [kspec.Terminal] when none of them would be mended by trying
// again.
func (d *Dispatcher) Notify(ctx context.Context, e kspec.Event) error {
	free, err := d.claim(ctx, subject{e.Target, e.Cluster})
	if err != nil {
		return err
	}
	defer free()

	tasks, err := d.plan(ctx, e)
	d.send(ctx, tasks)
	return report(err, tasks, d.settle(ctx, tasks))
}

// task is what one notifier is due to be told, in order, and what came of it.
type task struct {
	config   *config
	notifier *notifier
	key      Key
	due      []telling
	errs     []error // one for each of due, or nil
}

// plan finds out what is due because of e, and remembers that e was seen.
func (d *Dispatcher) plan(ctx context.Context, e kspec.Event) ([]*task, error) {
	var (
		tasks []*task
		errs  []error
	)
	for _, c := range d.current() {
		key := Key{c.name, e.Target, e.Cluster}
		state, err := d.o.Store.Load(ctx, key)
		if err != nil {
			errs = append(errs, fmt.Errorf("AlertConfig %s: read what was told: %w", c.name, err))
			continue
		}
		due := state.overdue(c.ready(d.o.Now()))
		due = append(due, state.observe(e, c.routing.lead(labelsOf(e, c.label)), c.rules, d.o.Now())...)
		due = state.forgetGone(due, c.active)
		if err := d.o.Store.Save(ctx, key, state); err != nil {
			errs = append(errs, fmt.Errorf("AlertConfig %s: remember what is to be told: %w", c.name, err))
			continue
		}
		tasks = append(tasks, c.tasks(key, due)...)
	}
	return tasks, errors.Join(errs...)
}

// send does the tasks side by side, and the messages of each in order.
func (d *Dispatcher) send(ctx context.Context, tasks []*task) {
	var group errgroup.Group
	group.SetLimit(d.o.Concurrency)
	for _, t := range tasks {
		group.Go(func() error {
			for i, due := range t.due {
				t.errs[i] = t.notifier.send(ctx, t.message(due), d.o.Now)
			}
			return nil
		})
	}
	_ = group.Wait() // errors are in the tasks
}

// settle remembers what became of the tasks, even when ctx is done.
func (d *Dispatcher) settle(ctx context.Context, tasks []*task) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for _, t := range tasks {
		state, err := d.o.Store.Load(ctx, t.key)
		for i, due := range t.due {
			err = errors.Join(err, state.settle(due, t.errs[i], d.o.Now()))
		}
		if err := errors.Join(err, d.o.Store.Save(ctx, t.key, state)); err != nil {
			errs = append(errs, fmt.Errorf("AlertConfig %s: remember what was told: %w", t.config.name, err))
		}
	}
	return errors.Join(errs...)
}

// report joins all errors, and marks them when time mends none of them.
func report(planning error, tasks []*task, settling error) error {
	errs := []error{planning}
	permanent := planning == nil && settling == nil
	for _, t := range tasks {
		for i, err := range t.errs {
			if err == nil {
				continue
			}
			permanent = permanent && deliver.ClassOf(err).Permanent()
			errs = append(errs, fmt.Errorf("AlertConfig %s: tell %s of %s: %w", t.config.name, t.notifier.name, t.due[i].event.Type, err))
		}
	}
	err := errors.Join(append(errs, settling)...)
	if permanent {
		return kspec.Terminal(err)
	}
	return err
}

func (t *task) message(due telling) deliver.Message {
	return deliver.Message{
		ID: due.id(t.key), Event: due.event, Reason: due.reason, Since: due.since,
		Labels: labelsOf(due.event, t.config.label),
	}
}

// claim waits until nobody else is telling of s, and returns what ends the
// claim.
func (d *Dispatcher) claim(ctx context.Context, s subject) (free func(), err error) {
	for {
		d.mu.Lock()
		taken, busy := d.busy[s]
		if !busy {
			mine := make(chan struct{})
			d.busy[s] = mine
			d.mu.Unlock()
			return func() {
				d.mu.Lock()
				delete(d.busy, s)
				d.mu.Unlock()
				close(mine)
			}, nil
		}
		d.mu.Unlock()
		select {
		case <-taken:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for an earlier event of %s: %w", s.target, context.Cause(ctx))
		}
	}
}
