package main

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/render"
)

// gauges are kspec's own metrics; docs/metrics.md explains them. Labels hold
// names of targets, never of objects, users or images, so that their number is
// bounded by the config repo.
type gauges struct {
	duration  *prometheus.HistogramVec
	findings  *prometheus.GaugeVec
	unknown   *prometheus.GaugeVec
	objects   *prometheus.GaugeVec
	lastLook  *prometheus.GaugeVec
	score     *prometheus.GaugeVec
	policies  *prometheus.GaugeVec
	decided   *prometheus.CounterVec
	checked   *prometheus.CounterVec
	disagreed *prometheus.CounterVec
	requests  *prometheus.CounterVec
	pulls     *prometheus.CounterVec
	fetch     *prometheus.HistogramVec
	documents *prometheus.GaugeVec
	suspended *prometheus.GaugeVec

	// known are the targets that there are: a look that was under way when its
	// target went away leaves nothing behind.
	mu    sync.Mutex
	known map[string]bool
}

func newGauges(reg prometheus.Registerer) *gauges {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "kspec", Name: name, Help: help}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "kspec", Name: name, Help: help}, labels)
	}
	seconds := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "kspec", Name: name, Help: help,
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
		}, labels)
	}
	g := &gauges{
		duration:  seconds("reconcile_duration_seconds", "Time of one run of a target, by result: success or error.", "target", "result"),
		findings:  gauge("findings", "Open findings of the last look, by verdict and severity.", "target", "verdict", "severity"),
		unknown:   gauge("unknown", "Objects that the last look could not look at.", "target"),
		objects:   gauge("objects", "Desired objects of the last look.", "target"),
		lastLook:  gauge("last_complete_look_timestamp_seconds", "When the last complete look ended, as Unix time.", "target"),
		score:     gauge("compliance_score", "Checks of the last look that hold, of a hundred that could be looked at.", "target"),
		policies:  gauge("policies", "Policies of the target that are in its cluster, by mode: enforce or audit.", "target", "mode"),
		decided:   counter("objects_decided_total", "Objects decided, by tier: cache, fields, dry-run.", "target", "tier"),
		checked:   counter("drift_cross_checks_total", "Objects in sync by fields that were dry-run, too.", "target"),
		disagreed: counter("drift_disagreements_total", "Objects in sync by fields of which a dry run said something else.", "target"),
		requests:  counter("kubernetes_requests_total", "Requests to the Kubernetes API, by verb.", "target", "verb"),
		pulls:     counter("remediations_total", "Outcomes of remediation, by action.", "target", "action"),
		fetch:     seconds("git_fetch_duration_seconds", "Time to read the config repo, by result: success or error.", "result"),
		documents: gauge("documents", "Documents of the config repo, by state: target or invalid.", "state"),
		suspended: gauge("suspended", "Whether kspec looks away from a target: 1 or 0.", "target"),
	}
	reg.MustRegister(g.duration, g.findings, g.unknown, g.objects, g.lastLook, g.score, g.policies, g.decided, g.checked, g.disagreed, g.requests, g.pulls, g.fetch, g.documents, g.suspended)
	return g
}

// rendered counts what a renderer remembered and what it built.
func rendered(reg prometheus.Registerer, stats func() render.Stats) {
	for result, value := range map[string]func() int64{
		"hit":  func() int64 { return stats().Known },
		"miss": func() int64 { return stats().Built },
	} {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: "kspec", Name: "render_cache_total", ConstLabels: prometheus.Labels{"result": result},
			Help: "Files, overlays and chunks of overlays, by whether they were remembered: hit or miss.",
		}, func() float64 { return float64(value()) }))
	}
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "kspec", Name: "render_cache_bytes", Help: "Memory of what is remembered of renderings.",
	}, func() float64 { return float64(stats().Bytes) }))
}

// done counts a run of the loop.
func (g *gauges) done(t kspec.Target, took time.Duration, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.known[t.Name] {
		g.duration.WithLabelValues(t.Name, result(err)).Observe(took.Seconds())
	}
}

// fetched counts a read of the repo.
func (g *gauges) fetched(took time.Duration, err error) {
	g.fetch.WithLabelValues(result(err)).Observe(took.Seconds())
}

// specs tells how many documents are good and bad, and forgets the targets
// that are gone.
func (g *gauges) specs(targets []kspec.Target, invalid int) {
	g.documents.WithLabelValues("target").Set(float64(len(targets)))
	g.documents.WithLabelValues("invalid").Set(float64(invalid))
	g.mu.Lock()
	defer g.mu.Unlock()
	known := map[string]bool{}
	for _, t := range targets {
		known[t.Name] = true
		g.suspended.WithLabelValues(t.Name).Set(0)
		if t.Suspend {
			g.suspended.WithLabelValues(t.Name).Set(1)
		}
	}
	for name := range g.known {
		if !known[name] {
			g.forget(name)
		}
	}
	g.known = known
}

func (g *gauges) forget(target string) {
	for _, vec := range []interface {
		DeletePartialMatch(labels prometheus.Labels) int
	}{g.duration, g.findings, g.unknown, g.objects, g.lastLook, g.score, g.policies, g.decided, g.checked, g.disagreed, g.requests, g.pulls, g.suspended} {
		vec.DeletePartialMatch(prometheus.Labels{"target": target})
	}
}

// looked takes over what a look found.
func (g *gauges) looked(rep kspec.Report, out kspec.Outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.known[rep.Target] {
		return
	}
	g.findings.DeletePartialMatch(prometheus.Labels{"target": rep.Target})
	for _, f := range rep.Open() {
		g.findings.WithLabelValues(rep.Target, string(f.Verdict), string(f.Severity)).Inc()
	}
	g.unknown.WithLabelValues(rep.Target).Set(float64(len(rep.Unknown)))
	g.objects.WithLabelValues(rep.Target).Set(float64(rep.Coverage.Objects))
	if rep.Settled() {
		g.lastLook.WithLabelValues(rep.Target).Set(float64(rep.StartedAt.Add(rep.Duration).Unix()))
	}
	g.required(rep)
	for tier, n := range rep.Coverage.DecidedBy {
		g.decided.WithLabelValues(rep.Target, string(tier)).Add(float64(n))
	}
	g.checked.WithLabelValues(rep.Target).Add(float64(rep.Coverage.CrossChecked))
	g.disagreed.WithLabelValues(rep.Target).Add(float64(rep.Coverage.Disagreed))
	for verb, n := range map[string]int{
		"list": rep.Coverage.Requests.List, "get": rep.Coverage.Requests.Get, "patch": rep.Coverage.Requests.Patch,
	} {
		g.requests.WithLabelValues(rep.Target, verb).Add(float64(n))
	}
	if out.Action != "" {
		g.pulls.WithLabelValues(rep.Target, string(out.Action)).Inc()
	}
}

// required takes over what became of the requirements and policies. What nobody
// knows has no value.
func (g *gauges) required(rep kspec.Report) {
	g.score.DeleteLabelValues(rep.Target)
	if score, ok := rep.Score(); ok {
		g.score.WithLabelValues(rep.Target).Set(float64(score))
	}
	g.policies.DeletePartialMatch(prometheus.Labels{"target": rep.Target})
	if p := rep.Policies; p != nil {
		g.policies.WithLabelValues(rep.Target, "enforce").Set(float64(p.Enforced))
		g.policies.WithLabelValues(rep.Target, "audit").Set(float64(p.Audited))
	}
}

func result(err error) string {
	if err != nil {
		return "error"
	}
	return "success"
}
