package compare_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/compare"
)

// entry is one of managedFields.
func entry(manager, operation, set string) string {
	return fmt.Sprintf(`{manager: %s, operation: %s, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: %s}`, manager, operation, set)
}

// TestFieldsSayInSyncOrNothing has objects of which reading tells enough, and
// those of which it does not.
func TestFieldsSayInSyncOrNothing(t *testing.T) {
	const git = `
apiVersion: v1
kind: Thing
metadata: {name: a, namespace: b, labels: {team: x}}
spec:
  num: 1
  whole: [{a: 1}]
  empty: {}
  ports: [{port: 80, name: http}, {port: 53, protocol: UDP}]
  tags: [b, a]
`
	const ports = `f:ports: {'k:{"port":80,"protocol":"TCP"}': {.: {}, f:port: {}, f:name: {}}, 'k:{"port":53,"protocol":"UDP"}': {.: {}, f:port: {}, f:protocol: {}}}`
	const set = `{f:metadata: {f:labels: {f:team: {}}}, f:spec: {f:num: {}, f:whole: {}, f:empty: {}, ` + ports + `, f:tags: {'v:"a"': {}, 'v:"b"': {}}}}`
	const live = `
  num: 1.0
  whole: [{a: 1}]
  empty: {}
  ports: [{port: 53, protocol: UDP}, {port: 80, protocol: TCP, name: http, nodePort: 30000}]
  tags: [a, b, injected]
  defaulted: true
`
	ours := entry(applier, "Apply", set)
	person := func(set string) string { return entry("kubectl-edit", "Update", set) }
	tests := map[string]struct {
		git, live string
		// labels and annotations are of the live object.
		labels, annotations string
		entries             []string
		manager             string
		want                bool
	}{
		"in sync, with more around":             {entries: []string{ours}, want: true},
		"a status by a person":                  {entries: []string{ours, `{manager: kubectl-edit, operation: Update, apiVersion: v1, subresource: status, fieldsV1: 7}`}, want: true},
		"an unreadable entry of a controller":   {entries: []string{ours, `{manager: x, operation: Update, fieldsV1: 7}`}, want: true},
		"a person wrote what Git says":          {entries: []string{ours, person(`{f:spec: {f:num: {}, ` + ports + `}}`)}, want: true},
		"a person wrote what is gone":           {entries: []string{ours, person(`{f:spec: {f:gone: {}, f:ports: {'k:{"port":1,"protocol":"TCP"}': {.: {}, f:port: {}}}}}`)}, want: true},
		"a person restarted it":                 {annotations: "kubectl.kubernetes.io/restartedAt: x", entries: []string{ours, person(`{f:metadata: {f:annotations: {.: {}, f:kubectl.kubernetes.io/restartedAt: {}}}}`)}, want: true},
		"marks of the engine":                   {labels: ", kustomize.toolkit.fluxcd.io/name: a", entries: []string{entry(applier, "Apply", strings.Replace(set, "f:team: {}", "f:team: {}, f:kustomize.toolkit.fluxcd.io/name: {}", 1))}, want: true},
		"updated, not applied, without notes":   {manager: "argocd-controller", entries: []string{entry("argocd-controller", "Update", set)}, want: true},
		"updated, with notes of the same":       {manager: "argocd-controller", annotations: `kubectl.kubernetes.io/last-applied-configuration: '{"spec":{"num":1}}'`, entries: []string{entry("argocd-controller", "Update", strings.Replace(set, "f:num:", "f:defaulted: {}, f:num:", 1))}, want: true},
		"applied by kubectl, with notes":        {manager: "kubectl-client-side-apply", annotations: `kubectl.kubernetes.io/last-applied-configuration: '{"spec":{"num":1}}'`, entries: []string{entry("kubectl-client-side-apply", "Update", strings.Replace(set, "f:num:", "f:defaulted: {}, f:num:", 1))}, want: true},
		"applied by kubectl, without notes":     {manager: "kubectl-client-side-apply", entries: []string{entry("kubectl-client-side-apply", "Update", strings.Replace(set, "f:num:", "f:defaulted: {}, f:num:", 1))}},
		"updated, with notes of more":           {manager: "argocd-controller", annotations: `kubectl.kubernetes.io/last-applied-configuration: '{"spec":{"defaulted":true}}'`, entries: []string{entry("argocd-controller", "Update", strings.Replace(set, "f:num:", "f:defaulted: {}, f:num:", 1))}},
		"updated, with notes that are none":     {manager: "argocd-controller", annotations: `kubectl.kubernetes.io/last-applied-configuration: '{'`, entries: []string{entry("argocd-controller", "Update", set)}},
		"updated by two entries":                {manager: "argocd-controller", entries: []string{entry("argocd-controller", "Update", set), entry("argocd-controller", "Update", set)}},
		"applied twice":                         {entries: []string{ours, ours}},
		"nobody owns anything":                  {},
		"another applied it":                    {entries: []string{entry("helm", "Apply", set)}},
		"another version":                       {entries: []string{strings.Replace(ours, "apiVersion: v1", "apiVersion: v2", 1)}},
		"another form":                          {entries: []string{strings.Replace(ours, "FieldsV1,", "FieldsV2,", 1)}},
		"an entry without fields":               {entries: []string{`{manager: ` + applier + `, operation: Apply, apiVersion: v1}`}},
		"an unreadable entry of a person":       {entries: []string{ours, person("7")}},
		"an unreadable place of a person":       {entries: []string{ours, person(`{f:spec: {x: {}}}`)}},
		"an unreadable field of a person":       {entries: []string{ours, person(`{f:spec: {f:defaulted: 7}}`)}},
		"a person's index":                      {entries: []string{ours, person(`{f:spec: {f:whole: {'i:0': {}}}}`)}},
		"a person owns parts of what is whole":  {entries: []string{ours, person(`{f:spec: {f:whole: {'k:{"a":1}': {.: {}, f:a: {}}}}}`)}},
		"a person added a field":                {entries: []string{ours, person(`{f:spec: {f:defaulted: {}}}`)}},
		"a person added to an item":             {entries: []string{ours, person(`{f:spec: {f:ports: {'k:{"port":80,"protocol":"TCP"}': {f:nodePort: {}}}}}`)}},
		"a person added to a set":               {entries: []string{ours, person(`{f:spec: {f:tags: {'v:"injected"': {}}}}`)}},
		"Git dropped a field":                   {entries: []string{entry(applier, "Apply", strings.Replace(set, "f:num:", "f:defaulted: {}, f:num:", 1))}},
		"Git dropped an item of a set":          {entries: []string{entry(applier, "Apply", strings.Replace(set, `'v:"a"'`, `'v:"injected"': {}, 'v:"a"'`, 1))}},
		"Git dropped a label":                   {labels: ", old: x", entries: []string{entry(applier, "Apply", strings.Replace(set, "f:team:", "f:old: {}, f:team:", 1))}},
		"the applier lost a field":              {entries: []string{entry(applier, "Apply", strings.Replace(set, "f:num: {},", "", 1))}},
		"the applier lost metadata":             {entries: []string{entry(applier, "Apply", strings.Replace(set, "f:metadata: {f:labels: {f:team: {}}},", "", 1))}},
		"a value differs":                       {live: strings.Replace(live, "num: 1.0", "num: 2", 1), entries: []string{ours}},
		"a value is gone":                       {live: strings.Replace(live, "  num: 1.0\n", "", 1), entries: []string{ours}},
		"a value of another type":               {live: strings.Replace(live, "num: 1.0", `num: "1"`, 1), entries: []string{ours}},
		"more inside of what is whole":          {live: strings.Replace(live, "{a: 1}", "{a: 1, b: 2}", 1), entries: []string{ours}},
		"an item is gone":                       {live: strings.Replace(live, "{port: 53, protocol: UDP}, ", "", 1), entries: []string{ours}},
		"an item twice":                         {live: strings.Replace(live, "{port: 53, protocol: UDP}, ", "{port: 53, protocol: UDP}, {port: 53, protocol: UDP}, ", 1), entries: []string{ours}},
		"an item of Git twice":                  {git: strings.Replace(git, "{port: 80, name: http}, ", "{port: 80, name: http}, {port: 80, name: http}, ", 1), entries: []string{ours}},
		"an item that differs":                  {live: strings.Replace(live, "name: http", "name: web", 1), entries: []string{ours}},
		"an item of a set is gone":              {live: strings.Replace(live, "tags: [a, b, ", "tags: [a, ", 1), entries: []string{ours}},
		"a list that is none":                   {live: strings.Replace(live, "tags: [a, b, injected]", "tags: a", 1), entries: []string{ours}},
		"a map that is none":                    {git: strings.Replace(git, "tags: [b, a]", "tags: {a: b}", 1), entries: []string{ours}},
		"a key that is written in several ways": {git: strings.Replace(git, "tags: [b, a]", `tags: ["<"]`, 1), live: strings.Replace(live, "injected", `"<"`, 1), entries: []string{entry(applier, "Apply", strings.Replace(set, `'v:"a"': {}, 'v:"b"': {}`, `'v:"<"': {}`, 1))}},
		"keys that are no text":                 {git: strings.Replace(git, "tags: [b, a]", "tags: [1, true]", 1), live: strings.Replace(live, "injected", "1, true", 1), entries: []string{entry(applier, "Apply", strings.Replace(set, `'v:"a"': {}, 'v:"b"': {}`, `'v:1': {}, 'v:true': {}`, 1))}, want: true},
		"keys that are fractions":               {git: strings.Replace(git, "tags: [b, a]", "tags: [1.5]", 1), live: strings.Replace(live, "injected", "1.5", 1), entries: []string{entry(applier, "Apply", strings.Replace(set, `'v:"a"': {}, 'v:"b"': {}`, `'v:1.5': {}`, 1))}},
		"a list that is neither":                {entries: []string{entry(applier, "Apply", strings.Replace(set, `'v:"a"': {}, 'v:"b"'`, `f:a`, 1))}},
		"a list with broken keys":               {entries: []string{entry(applier, "Apply", strings.Replace(set, `'v:"a"': {}, 'v:"b"'`, `'k:{'`, 1))}},
		"something instead of metadata":         {git: strings.Replace(git, "{name: a, namespace: b, labels: {team: x}}", "{name: a, namespace: b, labels: x}", 1), entries: []string{ours}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			object := func(text string) *unstructured.Unstructured { return decode(t, text)[0] }
			or := func(s, otherwise string) string {
				if s == "" {
					return otherwise
				}
				return s
			}
			alive := object("{apiVersion: v1, kind: Thing, metadata: {name: a, namespace: b, uid: u, labels: {team: x" + tt.labels +
				"}, annotations: {" + tt.annotations + "}, managedFields: [" + strings.Join(tt.entries, ", ") + "]}}")
			alive.Object["spec"] = object("spec:" + or(tt.live, live)).Object["spec"]
			want := kspec.Object{Unstructured: object(or(tt.git, git)), FieldManager: or(tt.manager, applier)}
			byPerson := func(m string) bool { return strings.HasPrefix(m, "kubectl") }
			if got := compare.InSync(want, alive, compare.Rules{ByPerson: byPerson}); got != tt.want {
				t.Errorf("in sync: %t, want %t", got, tt.want)
			}
		})
	}
}

// What a dry run says counts, and that the fields said otherwise is told.
func TestADisagreementOfFieldsAndDryRunIsTold(t *testing.T) {
	w := newWorld(t)
	w.namespace("disagree")
	want := desired(t, "disagree", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}}\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: b}, data: {k: v}}")
	w.deliver(want)
	w.raw("kubectl-edit", want.Objects[0].Unstructured, `[{"op":"add","path":"/metadata/labels","value":{"by":"hand"}}]`)
	var logged bytes.Buffer
	c := clusterOf(t, nil)
	look := func(every int) kspec.Report {
		d := compare.New(compare.ClustersFunc(func(context.Context, kspec.Target) (*compare.Cluster, error) { return c, nil }),
			compare.Options{CrossCheckEvery: every, Log: slog.New(slog.NewTextHandler(&logged, nil))})
		d.Break("does not ask what people did")
		rep, err := d.Detect(t.Context(), kspec.Target{Name: "test"}, want)
		if err != nil {
			t.Fatal(err)
		}
		return rep
	}
	for every, asked := range map[int]int{0: 0, -1: 0, 2: 1} {
		if rep := look(every); rep.Coverage.CrossChecked != asked || rep.Coverage.Requests.Patch != asked {
			t.Errorf("every %d: cross-checked %d with %d dry runs, want %d", every, rep.Coverage.CrossChecked, rep.Coverage.Requests.Patch, asked)
		}
	}
	logged.Reset()
	rep := look(1)
	if rep.Coverage.CrossChecked != 2 || rep.Coverage.Disagreed != 1 || len(rep.Findings) != 1 {
		t.Errorf("got %+v with %v", rep.Coverage, lines(rep))
	}
	if s := logged.String(); !strings.Contains(s, "level=ERROR") || !strings.Contains(s, "ConfigMap disagree/a") {
		t.Errorf("logged %q", s)
	}
}

// BenchmarkFields is the tier on objects as the API server has them.
func BenchmarkFields(b *testing.B) {
	w := newWorld(b)
	w.namespace("bench-fields")
	w.do(applier, "apply", parcels)
	rules := compare.Rules{ByPerson: func(m string) bool { return strings.HasPrefix(m, "kubectl") }}
	for _, u := range decode(b, kinds) {
		u.SetNamespace("bench-fields")
		marked := u.DeepCopy()
		marked.SetLabels(with(marked.GetLabels(), "kustomize.toolkit.fluxcd.io/name", "apps"))
		if err := w.one(applier, "apply", marked); err != nil {
			b.Fatal(err)
		}
		live, err := w.at(u).Get(b.Context(), u.GetName(), metav1.GetOptions{})
		if err != nil {
			b.Fatal(err)
		}
		want := compare.Clean(kspec.Object{Unstructured: u, FieldManager: applier})
		b.Run(u.GetKind(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !compare.InSync(want, live, rules) {
					b.Fatal("not in sync")
				}
			}
		})
	}
}
