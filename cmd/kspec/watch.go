package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
)

// changed has a target looked at because something that it declares changed.
func (s *server) changed(target string) { s.loop.Poke(target) }

// watchClusters has the manager run the watches, if there are to be any.
func (s *server) watchClusters(mgr manager.Manager, reg prometheus.Registerer) error {
	w := s.flags.look.watch
	if w == nil {
		return nil
	}
	reg.MustRegister(newWatches(w.Stats))
	return mgr.Add(manager.RunnableFunc(w.Run))
}

// awake returns the names of the targets that are looked at.
func awake(targets []kspec.Target) []string {
	var names []string
	for _, t := range targets {
		if !t.Suspend {
			names = append(names, t.Name)
		}
	}
	return names
}

// watches are the metrics of a Watcher, read when they are asked for.
type watches struct {
	stats               func() compare.WatchStats
	events, states, age *prometheus.Desc
}

var _ prometheus.Collector = (*watches)(nil)

func newWatches(stats func() compare.WatchStats) *watches {
	return &watches{
		stats:  stats,
		events: prometheus.NewDesc("kspec_watch_events_total", "Events of watches, by what they were: relevant or dropped.", []string{"event"}, nil),
		states: prometheus.NewDesc("kspec_watches", "Watches, by state: starting, healthy, broken, forbidden.", []string{"state"}, nil),
		age:    prometheus.NewDesc("kspec_watch_oldest_sign_of_life_seconds", "Longest time since a healthy watch was told something.", nil, nil),
	}
}

// Describe implements [prometheus.Collector].
func (w *watches) Describe(to chan<- *prometheus.Desc) {
	to <- w.events
	to <- w.states
	to <- w.age
}

// Collect implements [prometheus.Collector].
func (w *watches) Collect(to chan<- prometheus.Metric) {
	s := w.stats()
	to <- prometheus.MustNewConstMetric(w.events, prometheus.CounterValue, float64(s.Relevant), "relevant")
	to <- prometheus.MustNewConstMetric(w.events, prometheus.CounterValue, float64(s.Dropped), "dropped")
	for _, state := range []string{"starting", "healthy", "broken", "forbidden"} {
		to <- prometheus.MustNewConstMetric(w.states, prometheus.GaugeValue, float64(s.Watches[state]), state)
	}
	to <- prometheus.MustNewConstMetric(w.age, prometheus.GaugeValue, s.Oldest.Seconds())
}
