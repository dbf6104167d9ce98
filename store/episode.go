package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	kjson "k8s.io/apimachinery/pkg/util/json"

	"github.com/cloudcwfranck/kspec"
)

// State chooses episodes by whether they are over.
type State string

// The states of episodes.
const (
	AnyState State = ""
	IsOpen   State = "open"
	IsClosed State = "closed"
)

// Filter chooses episodes; the zero Filter chooses all.
type Filter struct {
	// Since leaves out what was over before.
	Since time.Time
	// Targets, when there are any, are those wanted.
	Targets []string
	// Severity leaves out what is milder.
	Severity kspec.Severity
	// Object is part of "Deployment.apps shop/web", "Deployment/web" or
	// "Deployment/shop/web", in capitals or not.
	Object   string
	State    State
	Fighting bool
}

// Episodes returns the episodes that the filter chooses, the newest first.
func (s *Store) Episodes(ctx context.Context, f Filter) ([]kspec.Episode, error) {
	rows, err := s.db.QueryContext(ctx, `
		SELECT t.name, t.cluster, e.revision, e.finding, e.first_seen, e.last_seen, e.seen, e.flaps, e.closed, e.why, e.fight
		FROM episodes e JOIN targets t ON t.id = e.target
		WHERE (e.closed = 0 OR e.closed >= ?) AND e.severity >= ? AND (? = '' OR (e.closed = 0) = (? = 'open')) AND (NOT ? OR e.fight IS NOT NULL)`,
		nanos(f.Since), f.Severity.Rank(), f.State, f.State, f.Fighting)
	if err != nil {
		return nil, s.explain("read", err)
	}
	defer func() { _ = rows.Close() }() // the error is that of rows.Err
	var all []kspec.Episode
	for rows.Next() {
		var e kspec.Episode
		var finding, fight []byte
		var first, last, closed int64
		if err := rows.Scan(&e.Target, &e.Cluster, &e.Revision, &finding, &first, &last, &e.Seen, &e.Flaps, &closed, &e.ClosedWhy, &fight); err != nil {
			return nil, s.explain("read", err)
		}
		e.FirstSeen, e.LastSeen, e.ClosedAt = moment(first), moment(last), moment(closed)
		e.Finding, e.Fight = decodeFinding(finding), decodeFight(fight)
		e.Actor = actorOf(e.Finding)
		if f.matches(e) {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, newestFirst)
	return all, s.explain("read", rows.Err())
}

func newestFirst(a, b kspec.Episode) int {
	return cmp.Or(
		b.FirstSeen.Compare(a.FirstSeen),
		strings.Compare(a.Target, b.Target),
		a.Finding.Object.Compare(b.Finding.Object),
		strings.Compare(a.Cluster, b.Cluster),
		strings.Compare(a.Finding.Fingerprint, b.Finding.Fingerprint),
		b.LastSeen.Compare(a.LastSeen),
	)
}

// matches decides what the database was not asked for.
func (f Filter) matches(e kspec.Episode) bool {
	if len(f.Targets) > 0 && !slices.Contains(f.Targets, e.Target) {
		return false
	}
	id, want := e.Finding.Object, strings.ToLower(f.Object)
	return slices.ContainsFunc([]string{
		id.String(), id.Kind + "/" + id.Name, id.Kind + "/" + id.Namespace + "/" + id.Name,
	}, func(form string) bool { return strings.Contains(strings.ToLower(form), want) })
}

// actorOf returns who made a finding: a person before a machine, and of equals
// the one who wrote last.
func actorOf(f kspec.Finding) kspec.Actor {
	var last kspec.Field
	for _, d := range f.Fields {
		switch {
		case d.Manager == "" && d.Principal == "":
		case last.Manager == "" && last.Principal == "", d.ByPerson && !last.ByPerson,
			d.ByPerson == last.ByPerson && d.Time.After(last.Time):
			last = d
		}
	}
	return kspec.Actor{Manager: last.Manager, Operation: last.Operation, Principal: last.Principal, ByPerson: last.ByPerson}
}

// Longer values and longer lists of fields are not kept.
const (
	mostValue  = 4 << 10
	mostFields = 100
)

// encodeFinding returns what is kept of a finding.
func encodeFinding(f kspec.Finding) []byte {
	f.FirstSeen, f.Seen = time.Time{}, 0
	f.Fields = slices.Clone(f.Fields[:min(mostFields, len(f.Fields))])
	for i := range f.Fields {
		f.Fields[i].Desired, f.Fields[i].Live = short(f.Fields[i].Desired), short(f.Fields[i].Live)
	}
	b, _ := json.Marshal(f) // JSON values and strings only: cannot fail
	return b
}

// short returns v, or words about it when it is long.
func short(v any) any {
	b, err := json.Marshal(v)
	if err == nil && len(b) <= mostValue {
		return v
	}
	return "[" + strconv.Itoa(len(b)) + " bytes of JSON]"
}

// decodeFinding is the inverse of encodeFinding. Numbers are int64 or float64,
// as in an object that was read from a cluster.
func decodeFinding(b []byte) kspec.Finding {
	var f kspec.Finding
	_ = unmarshal(b, &f) // what cannot be read is shown as empty
	restoreNumbers(f)
	return f
}

func unmarshal(b []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return dec.Decode(into)
}

func restoreNumbers(f kspec.Finding) {
	for i := range f.Fields {
		_ = kjson.ConvertInterfaceNumbers(&f.Fields[i].Desired, 0) // fails for a depth that JSON was refused for
		_ = kjson.ConvertInterfaceNumbers(&f.Fields[i].Live, 0)
	}
}

// nanos and moment turn a time into what is kept of it, and back.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func moment(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
