package kspec

import (
	"fmt"
	"time"
)

// EventType names what happened.
type EventType string

// The events. Each is firing until the same event of the same target and
// cluster is resolved; what [EventType.Once] says happens once and never
// resolves.
const (
	DriftDetected      EventType = "DriftDetected"
	PolicyViolation    EventType = "PolicyViolation"
	ImageUnsigned      EventType = "ImageUnsigned"
	SourceFailed       EventType = "SourceFailed"
	ClusterUnreachable EventType = "ClusterUnreachable"
	RemediationOpened  EventType = "RemediationOpened"
	RemediationClosed  EventType = "RemediationClosed"
	RemediationRefused EventType = "RemediationRefused"
	RemediationFailed  EventType = "RemediationFailed"
	ExemptionEnding    EventType = "ExemptionEnding"
)

// EventTypes lists every type of event.
func EventTypes() []EventType {
	return []EventType{
		DriftDetected, PolicyViolation, ImageUnsigned, SourceFailed, ClusterUnreachable,
		RemediationOpened, RemediationClosed, RemediationRefused, RemediationFailed, ExemptionEnding,
	}
}

// Once reports whether events of the type happen and are over.
func (t EventType) Once() bool {
	switch t {
	case RemediationOpened, RemediationClosed, RemediationRefused, ExemptionEnding:
		return true
	default:
		return false
	}
}

// Level says how loud an event is.
type Level string

// The levels, from quiet to loud.
const (
	Info    Level = "info"
	Warning Level = "warning"
	Urgent  Level = "critical"
)

// Status says whether an event began or ended.
type Status string

// The states of an event.
const (
	Firing   Status = "firing"
	Resolved Status = "resolved"
)

// Event is what the world is told.
type Event struct {
	Type   EventType `json:"type"`
	Status Status    `json:"status"`
	Level  Level     `json:"level"`
	Target string    `json:"target"`
	// Cluster is the name of the cluster, or "" for the one kspec was
	// pointed at.
	Cluster  string    `json:"cluster"`
	Revision Revision  `json:"-"`
	Time     time.Time `json:"time"`
	Title    string    `json:"title"`
	// Description is plain text of one line or more.
	Description string `json:"description,omitempty"`
	// Findings are those that the event is about.
	Findings []Finding `json:"findings,omitempty"`
	// Fingerprint changes when what the event says changes in substance, and
	// with it a repetition becomes news.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Link leads to the pull request, when there is one.
	Link string `json:"link,omitempty"`
}

// Source returns "ClusterSpec/<target>", the name that alerts carry.
func (e Event) Source() string { return "ClusterSpec/" + e.Target }

// Labels returns the labels that routes match on: severity, type, source,
// cluster and namespace are reserved. The namespace is set when all findings
// share one.
func (e Event) Labels() map[string]string {
	l := map[string]string{
		"severity": string(e.Level),
		"type":     string(e.Type),
		"source":   e.Source(),
		"cluster":  e.Cluster,
	}
	for i, f := range e.Findings {
		if i > 0 && l["namespace"] != f.Object.Namespace {
			delete(l, "namespace")
			break
		}
		l["namespace"] = f.Object.Namespace
	}
	return l
}

// Level maps the severity of a finding onto the level of an event.
func (s Severity) Level() Level {
	switch s {
	case Critical, High:
		return Urgent
	case Medium:
		return Warning
	default:
		return Info
	}
}

// Events derives from a report and its outcome what the world should hear:
// what fires because it was found, and what is resolved because a settled look
// did not find it. Any other look resolves nothing. The result has a fixed
// order.
func Events(t Target, rep Report, out Outcome) []Event {
	byType := map[EventType][]Finding{}
	for _, f := range rep.Open() {
		typ := eventOf(f)
		byType[typ] = append(byType[typ], f)
	}
	blank := Event{
		Level: Info, Target: t.Name, Cluster: rep.Cluster,
		Revision: rep.Revision, Time: rep.StartedAt.Add(rep.Duration), Link: out.URL,
	}
	var events []Event
	for _, typ := range []EventType{DriftDetected, PolicyViolation, ImageUnsigned} {
		if found := byType[typ]; len(found) > 0 {
			events = append(events, blank.firing(typ, found))
		} else if rep.Settled() {
			events = append(events, blank.resolved(typ))
		}
	}
	if ending := rep.notices(); len(ending) > 0 {
		events = append(events, blank.ending(ending))
	}
	for _, o := range append([]Outcome{out}, out.Others...) {
		if e, ok := blank.happened(o); ok {
			events = append(events, e)
		}
	}
	return events
}

// firing returns e as the event that findings were made.
func (e Event) firing(typ EventType, found []Finding) Event {
	e.Type, e.Status, e.Level = typ, Firing, levelOf(typ, found)
	e.Findings, e.Fingerprint = found, DriftFingerprint(found)
	e.Title, e.Description = title(typ, e.Target, found), describe(found)
	return e
}

// resolved returns e as the event that there are no findings of a type.
func (e Event) resolved(typ EventType) Event {
	e.Type, e.Status = typ, Resolved
	e.Title = fmt.Sprintf("%s: %s resolved", e.Target, words(typ))
	e.Description = "A complete look found nothing wrong any more."
	return e
}

// ending returns e as the event that exemptions are near their end. It is
// another one when one of them comes nearer.
func (e Event) ending(found []Finding) Event {
	e.Type, e.Status, e.Level, e.Link = ExemptionEnding, Firing, Warning, ""
	e.Title = fmt.Sprintf("%s: %d exemptions end soon", e.Target, len(found))
	if len(found) == 1 {
		e.Title = fmt.Sprintf("%s: exemption %s ends soon", e.Target, *found[0].WaivedBy)
	}
	e.Findings, e.Fingerprint, e.Description = found, DriftFingerprint(found), describe(found)
	return e
}

// happened returns e as the event of what became of a pull request, if that is
// worth telling.
func (e Event) happened(o Outcome) (Event, bool) {
	switch o.Action {
	case ActionOpened:
		e.Type = RemediationOpened
	case ActionClosed:
		e.Type = RemediationClosed
	case ActionRefused:
		e.Type = RemediationRefused
	default:
		return e, false
	}
	e.Status, e.Link = Firing, o.URL
	e.Title = fmt.Sprintf("%s: pull request #%d %s", e.Target, o.Number, o.Action)
	e.Description = o.Why
	e.Fingerprint = fmt.Sprintf("%d/%s", o.Number, o.Plan.Fingerprint)
	return e, true
}

func eventOf(f Finding) EventType {
	switch f.Type {
	case TypeImage:
		return ImageUnsigned
	case TypeCompliance:
		return PolicyViolation
	case TypePolicy, TypeConfiguration:
		return DriftDetected
	}
	return DriftDetected
}

// levelOf gives drift the level of its worst finding but never less than
// warning: an event of level info wakes nobody.
func levelOf(typ EventType, findings []Finding) Level {
	worst := Report{Findings: findings}.Worst().Level()
	if worst == Info && typ != PolicyViolation {
		return Warning
	}
	return worst
}

func words(typ EventType) string {
	switch typ {
	case DriftDetected:
		return "drift"
	case PolicyViolation:
		return "policy violation"
	case ImageUnsigned:
		return "unsigned image"
	default:
		return string(typ)
	}
}

func title(typ EventType, target string, findings []Finding) string {
	objects := map[ObjectID]bool{}
	for _, f := range findings {
		objects[f.Object] = true
	}
	noun := "objects"
	if len(objects) == 1 {
		noun = "object"
	}
	return fmt.Sprintf("%s: %s in %d %s", target, words(typ), len(objects), noun)
}

// describe names the first few findings, one a line.
func describe(findings []Finding) string {
	const most = 10
	text := ""
	for i, f := range findings {
		if i == most {
			return text + fmt.Sprintf("… and %d more\n", len(findings)-most)
		}
		text += f.Object.String() + ": " + f.Message + "\n"
	}
	return text
}
