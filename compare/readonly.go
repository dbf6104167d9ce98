package compare

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/cloudcwfranck/kspec"
)

// This file is for clusters in which kspec may only read. What fields leave
// open is then said as far as it is certain, and the rest is named: a value
// that a person's tool wrote is another one whatever the server defaults, but
// who knows what an admission webhook made of a value that the applier wrote.

// readOnly judges without a dry run an object that is not in sync for certain.
func (s *sweep) readOnly(o *subject) {
	v, err := open(Look{Want: o.want, Live: o.live, engine: o.engine}, s.rules)
	if err != nil {
		o.unknown, o.lasting = scrub(err.Error()), true
		return
	}
	if len(v.owners) == 0 {
		o.unknown, o.lasting = "needs a dry run: the object has no managedFields", true
		return
	}
	var findings []kspec.Finding
	var open []string
	var suppressed []int
	for _, found := range v.withoutDryRun() {
		fields, ignored := v.fields(found.certain)
		if suppressed = append(suppressed, ignored...); len(fields) > 0 {
			findings = append(findings, v.finding(found.verdict, fields))
		}
		fields, ignored = v.fields(found.open)
		suppressed = append(suppressed, ignored...)
		for _, f := range fields {
			open = append(open, spell(f.KeyedPath))
		}
	}
	o.decided(kspec.TierFields, suppressed, findings...)
	switch {
	case len(open) > 0:
		o.unknown, o.lasting = needsDryRun(open), true
	case len(v.variables) > 0:
		o.unknown, o.lasting = unknownVariables(v.variables), true
	}
}

// told are differences of one verdict: certain ones, and those that only a dry
// run can tell from defaults and from what webhooks do.
type told struct {
	verdict       kspec.Verdict
	certain, open []difference
}

// withoutDryRun returns the differences of a view without a reply.
func (v *view) withoutDryRun() []told {
	changed, conflict := told{verdict: kspec.Changed}, told{verdict: kspec.OwnerConflict, certain: v.foreignMarks()}
	rest, contested := v.contested(v.changed())
	for _, d := range contested {
		if !meansSame(v.Want.ID(), d) {
			conflict.certain = append(conflict.certain, d)
		}
	}
	for _, d := range rest {
		switch byApplier := d.owner.applies(v.Want.FieldManager); {
		case meansSame(v.Want.ID(), d):
		case d.live != nil && !byApplier && d.owner.manager != "" && v.ByPerson(d.owner.manager):
			changed.certain = append(changed.certain, d)
		default:
			changed.open = append(changed.open, d)
		}
	}
	extra := told{verdict: kspec.ExtraField}
	for _, d := range v.extra() {
		switch {
		case isKnownDefault(v.Want.ID(), d), isBuiltIn(v.Want.ID()) && isZero(d.live):
		case isPlain(v.Want.ID(), d.path):
			extra.certain = append(extra.certain, d)
		default:
			extra.open = append(extra.open, d)
		}
	}
	return []told{changed, conflict, extra}
}

// isPlain reports whether the server has nothing to do with what stands at a
// place: it neither defaults nor converts it.
func isPlain(id kspec.ObjectID, p fieldpath.Path) bool {
	switch {
	case neverDefault(p):
		return true
	case id.Group == "" && (id.Kind == "ConfigMap" || id.Kind == "Secret"):
		return startsWith(p, "data") || startsWith(p, "binaryData")
	case id.Group == "rbac.authorization.k8s.io":
		return startsWith(p, "rules")
	}
	return false
}

// meansSame reports whether Git and the cluster say the same in other words.
func meansSame(id kspec.ObjectID, d difference) bool {
	return isBuiltIn(id) && d.live == nil && isZero(d.want) ||
		d.want == nil && isKnownDefault(id, d) ||
		d.want != nil && d.live != nil && isQuantity(id, d.path) && equivalent(d.want, d.live)
}

// isBuiltIn reports whether the API server itself has the kind. It leaves out
// what is zero or empty in these.
func isBuiltIn(id kspec.ObjectID) bool {
	return id.Group == "" || !strings.Contains(id.Group, ".") || strings.HasSuffix(id.Group, ".k8s.io") &&
		slices.Contains([]string{
			"admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "certificates.k8s.io",
			"coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "flowcontrol.apiserver.k8s.io",
			"networking.k8s.io", "node.k8s.io", "rbac.authorization.k8s.io", "resource.k8s.io",
			"scheduling.k8s.io", "storage.k8s.io",
		}, id.Group)
}

func isZero(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	case string:
		return v == ""
	case bool:
		return !v
	case nil:
		return true
	}
	return same(v, int64(0))
}

// isQuantity reports whether a built-in kind has a quantity at the place.
func isQuantity(id kspec.ObjectID, p fieldpath.Path) bool {
	return isBuiltIn(id) && slices.ContainsFunc(p, func(pe fieldpath.PathElement) bool {
		return pe.FieldName != nil && slices.Contains(quantities(), *pe.FieldName)
	}) && !neverDefault(p)
}

// quantities are the fields of built-in kinds that hold quantities, or maps of
// them.
func quantities() []string {
	return []string{
		"limits", "requests", "capacity", "allocatable", "overhead", "hard", "sizeLimit", "storage",
		"max", "min", "default", "defaultRequest", "maxLimitRequestRatio", "averageValue", "divisor",
	}
}

// isKnownDefault reports whether the API server puts the live value there by
// itself where Git says nothing.
func isKnownDefault(id kspec.ObjectID, d difference) bool {
	if !isBuiltIn(id) || len(d.path) == 0 || neverDefault(d.path) {
		return false
	}
	last := d.path[len(d.path)-1].FieldName
	if last == nil {
		return false
	}
	return slices.ContainsFunc(knownDefaults(), func(k knownDefault) bool {
		return k.field == *last && (k.kind == "" || k.kind == id.Kind) && same(k.value, d.live)
	})
}

// knownDefault is a field of built-in kinds that the API server sets where it
// is absent.
type knownDefault struct {
	// kind is empty for a field that has the default wherever it stands.
	kind, field string
	value       any
}

func knownDefaults() []knownDefault {
	return []knownDefault{
		{field: "protocol", value: "TCP"},
		{field: "terminationMessagePath", value: "/dev/termination-log"},
		{field: "terminationMessagePolicy", value: "File"},
		{field: "dnsPolicy", value: "ClusterFirst"},
		{field: "schedulerName", value: "default-scheduler"},
		{field: "terminationGracePeriodSeconds", value: int64(30)},
		{field: "volumeMode", value: "Filesystem"},
		{field: "sessionAffinity", value: "None"},
		{field: "internalTrafficPolicy", value: "Cluster"},
		{kind: "Deployment", field: "restartPolicy", value: "Always"},
		{kind: "Deployment", field: "progressDeadlineSeconds", value: int64(600)},
		{kind: "Deployment", field: "revisionHistoryLimit", value: int64(10)},
		{kind: "StatefulSet", field: "restartPolicy", value: "Always"},
		{kind: "StatefulSet", field: "podManagementPolicy", value: "OrderedReady"},
		{kind: "StatefulSet", field: "revisionHistoryLimit", value: int64(10)},
		{kind: "DaemonSet", field: "restartPolicy", value: "Always"},
		{kind: "DaemonSet", field: "revisionHistoryLimit", value: int64(10)},
	}
}

// needsDryRun names what cannot be told without one.
func needsDryRun(places []string) string {
	const most = 3
	slices.Sort(places)
	places = slices.Compact(places)
	said := strings.Join(places[:min(most, len(places))], ", ")
	if more := len(places) - most; more > 0 {
		said += fmt.Sprintf(" and %d more", more)
	}
	return "needs a dry run: " + said + " may differ from Git, or hold what the cluster makes of it"
}

// equivalent reports whether two plain values mean the same quantity.
func equivalent(a, b any) bool {
	x, errX := resource.ParseQuantity(text(a))
	y, errY := resource.ParseQuantity(text(b))
	return errX == nil && errY == nil && x.Cmp(y) == 0
}
