package compare

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cloudcwfranck/kspec"
)

// Options tune a [Detector]. The zero Options work.
type Options struct {
	// Workers is the number of requests at a time, 8 when 0.
	Workers int
	// PageSize is the number of objects of one page of a list, 500 when 0.
	PageSize int
	// Retries is how often an object that changes under the look is looked at
	// again, 3 when 0.
	Retries int
	// Timeout bounds each request, 30 s when 0.
	Timeout time.Duration
	// People are the field managers of tools that people use by hand; nil
	// means [DefaultPeople]. A name that ends in * stands for all that begin
	// so.
	People []string
	// Machines are names of accounts, and of field managers, that are no
	// people's; nil means [DefaultMachines]. Of two names that match, of People
	// and of these, the longer one counts.
	Machines []string
	// Audit tells which accounts made changes; nil when nobody knows.
	Audit Audit
	// Key makes the tags that stand for secret values. With the zero Secret
	// the tags, and the fingerprints of findings that hold one, are others in
	// each process.
	Key kspec.Secret
	// Memory keeps what was decided; nil means that every look starts anew.
	Memory kspec.Memory
	// MaxAge is how long a decision holds while nothing seems to change, a day
	// when 0.
	MaxAge time.Duration
	// Watch, when set, listens to the clusters between looks, so that what did
	// not change need not be read. It serves one Detector, which has a Memory.
	Watch *Watcher
	// NoDryRun keeps to what can be told by reading.
	NoDryRun bool
	// CrossCheckEvery is after how many objects that are in sync by their fields
	// one is dry-run as well, 1000 when 0, never when negative.
	CrossCheckEvery int
	// Progress, when set, is told during a look how many objects of how many
	// have a verdict. It is called by several goroutines.
	Progress func(done, total int)
	// Now is time.Now when nil.
	Now func() time.Time
	// Log is silent when nil.
	Log *slog.Logger
}

// Detector compares clusters with what Git says. It implements
// [kspec.Detector] and may be used by several goroutines.
type Detector struct {
	Options
	clusters Clusters
	people   people
	key      []byte
	memories memories
	checks   []check
	inSync   atomic.Int64 // objects that were in sync by their fields

	demands       demands
	acquaintances acquaintances
	stillnesses   stillnesses
}

var _ kspec.Detector = (*Detector)(nil)

// New returns a Detector for the clusters.
func New(clusters Clusters, o Options) *Detector {
	o.Workers = cmp.Or(o.Workers, 8)
	o.PageSize = cmp.Or(o.PageSize, 500)
	o.Retries = cmp.Or(o.Retries, 3)
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	o.CrossCheckEvery = cmp.Or(o.CrossCheckEvery, 1000)
	o.MaxAge = cmp.Or(o.MaxAge, 24*time.Hour)
	if o.People == nil {
		o.People = DefaultPeople()
	}
	if o.Machines == nil {
		o.Machines = DefaultMachines()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	key := []byte(o.Key.Reveal())
	if o.Key.IsZero() {
		key = []byte(rand.Text())
	}
	return &Detector{Options: o, clusters: clusters, people: people{o.People, o.Machines}, key: key, checks: checks()}
}

// Detect implements [kspec.Detector]. It fails when the cluster does not
// answer; a request that fails after that makes one object Unknown.
func (d *Detector) Detect(ctx context.Context, t kspec.Target, want kspec.Desired) (kspec.Report, error) {
	start := d.Now()
	c, err := d.clusters.Cluster(ctx, t)
	if err != nil {
		return kspec.Report{}, err
	}
	rules := Rules{ByPerson: d.people.tool, Ignore: t.Drift.Ignore, Severity: t.Drift.Severity, Secrets: t.Drift.Secrets, Key: d.key, Now: start}
	s := &sweep{Detector: d, cluster: c, target: t, rules: rules}
	s.partial = slices.ContainsFunc(want.Unknown, func(u kspec.Unknown) bool { return u.Object == kspec.ObjectID{} })
	rep, ok := s.repeat(want)
	if !ok {
		if err := s.run(ctx, want); err != nil {
			return kspec.Report{}, err
		}
		rep = s.report(d.writes(ctx, t))
		s.still(rep)
	}
	rep.Target, rep.Cluster, rep.Revision = t.Name, cmp.Or(t.Cluster, c.name), want.Tree.Revision
	rep.StartedAt, rep.Duration = start, d.Now().Sub(start)
	rep.ObservedAt = s.observedAt()
	rep.Unknown = slices.Concat(rep.Unknown, want.Unknown)
	sortUnknown(rep.Unknown)
	rep = rep.With(expired(t, start)...)
	d.Log.DebugContext(ctx, "cluster compared", "target", t, "report", rep)
	return rep, nil
}

// report gathers what the sweep found, in a fixed order.
func (s *sweep) report(w *Writes) kspec.Report {
	rep := kspec.Report{Coverage: kspec.Coverage{
		Objects: len(s.subjects), DecidedBy: map[kspec.Tier]int{}, Requests: s.requests(),
	}}
	suppressed := map[int]int{}
	for _, o := range s.subjects {
		rep.Findings = append(rep.Findings, s.attributed(o, w)...)
		for _, rule := range o.suppressed {
			suppressed[rule]++
		}
		if o.crossChecked {
			rep.Coverage.CrossChecked++
		}
		if o.disagreed {
			rep.Coverage.Disagreed++
		}
		if o.tier != "" {
			rep.Coverage.DecidedBy[o.tier]++
		}
		if o.unknown != "" {
			rep.Unknown = append(rep.Unknown, kspec.Unknown{Object: o.id, Source: o.want.Source, Reason: o.unknown, Lasting: o.lasting})
		}
	}
	rep.Coverage.Suppressed, rep.Coverage.SuppressedBy = byRule(suppressed, s.rules.Ignore)
	rep.Findings = append(rep.Findings, s.strayed...)
	rep.Unknown = append(rep.Unknown, s.engine.unknown...)
	kspec.SortFindings(rep.Findings)
	return rep
}

// byRule tells of counts by the number of a rule how many there are, and of
// which rule.
func byRule(counts map[int]int, rules []kspec.IgnoreRule) (all int, by []kspec.Suppression) {
	for _, i := range slices.Sorted(maps.Keys(counts)) {
		s := kspec.Suppression{Reason: "the delivery engine is told to leave it alone", Count: counts[i]}
		if i >= 0 && i < len(rules) {
			s.Paths, s.Reason = rules[i].Paths, rules[i].Reason
		}
		all, by = all+s.Count, append(by, s)
	}
	return all, by
}

func sortUnknown(u []kspec.Unknown) {
	slices.SortStableFunc(u, func(a, b kspec.Unknown) int {
		return cmp.Or(a.Object.Compare(b.Object), strings.Compare(a.Source.File, b.Source.File), strings.Compare(a.Reason, b.Reason))
	})
}

// missing is the finding of an object that is not in the cluster.
func (r Rules) missing(want kspec.Object, why string) kspec.Finding {
	return r.found(kspec.Finding{
		Verdict: kspec.Missing, DecidedBy: kspec.TierFields, Message: why,
		Hint: fmt.Sprintf("%s creates it when it applies Git; if it should be gone, remove it from Git", want.FieldManager),
	}, want)
}
