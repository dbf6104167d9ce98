package render

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/cloudcwfranck/kspec"
	v1alpha1 "github.com/cloudcwfranck/kspec/api/v1alpha1"
	where "github.com/cloudcwfranck/kspec/policy"
)

// program is a rule as CEL that the API server takes.
type program struct {
	rule      kspec.Rule
	variables []any
	// pods is true when the rule is about pods, and authorized when it asks what
	// the user may do.
	pods, authorized bool
	expression       string
}

// helper is a variable that rules about pods can use.
type helper struct {
	name       string
	needs      []string
	expression string
}

// helpers are in an order in which each needs only those before it.
func helpers() []helper {
	return []helper{
		{"podSpec", nil, ofPod("object", "spec")},
		{"podMeta", nil, ofPod("object", "metadata")},
		{"allContainers", []string{"podSpec"}, "variables.podSpec.?containers.orValue([]) +\n" +
			"variables.podSpec.?initContainers.orValue([]) +\nvariables.podSpec.?ephemeralContainers.orValue([])"},
		{"images", []string{"podSpec", "allContainers"}, "variables.allContainers.map(c, c.?image.orValue('')) +\n" +
			"variables.podSpec.?volumes.orValue([]).filter(v, has(v.image)).map(v, v.image.?reference.orValue(''))"},
		{"samePods", []string{"podSpec"}, "request.operation == 'UPDATE' && variables.podSpec == (\n" + ofPod("oldObject", "spec") + ")"},
	}
}

// ofPod selects a field of the pod that an object is, or makes.
func ofPod(object, field string) string {
	return fmt.Sprintf(`%[1]s.kind == 'Pod' ? %[1]s.?%[2]s.orValue({}) :
%[1]s.kind == 'PodTemplate' ? %[1]s.?template.?%[2]s.orValue({}) :
%[1]s.kind == 'CronJob' ? %[1]s.?spec.?jobTemplate.?spec.?template.?%[2]s.orValue({}) :
%[1]s.?spec.?template.?%[2]s.orValue({})`, object, field)
}

// program makes the CEL of a rule.
func (j *job) program(r kspec.Rule, d demand) (*program, error) {
	switch {
	case r.Expression == "":
		return nil, fmt.Errorf("no expression: it builds on no rule of that name")
	case len(r.Subjects) == 0:
		return nil, fmt.Errorf("no subjects: it builds on no rule of that name")
	}
	e := readExpression(r.Expression)
	p := &program{rule: r, pods: slices.Contains(r.Subjects, "pods"), authorized: e.uses("authorizer")}
	parameters, err := parametersOf(e, d.values)
	if err != nil {
		return nil, err
	}
	var known []string
	if parameters != nil {
		p.variables = append(p.variables, variable("params", celMap(parameters)))
		known = append(known, "params")
	}
	if p.pods {
		known = append(known, p.help(e)...)
	}
	isKnown := func(text string) bool { return slices.Contains(known, text) }
	p.expression = e.qualified(isKnown)
	above := 0
	if p.pods && e.ofPods() {
		p.expression = "variables.samePods || (\n" + p.expression + "\n)"
		above = 1
	}
	return p, j.mistakes(p, e, isKnown, above)
}

// help adds the helpers that an expression needs, and returns their names.
func (p *program) help(e expression) []string {
	all := helpers()
	needed := map[string]bool{"samePods": e.ofPods()}
	for _, h := range slices.Backward(all) {
		if needed[h.name] = needed[h.name] || e.uses(h.name); needed[h.name] {
			for _, other := range h.needs {
				needed[other] = true
			}
		}
	}
	var known []string
	for _, h := range all {
		if !needed[h.name] {
			continue
		}
		if h.name == "samePods" && needed["podMeta"] {
			h.expression += sameMeta()
		}
		p.variables = append(p.variables, variable(h.name, h.expression))
		known = append(known, h.name)
	}
	return known
}

// sameMeta demands that what a rule can read of the metadata is the same, too.
func sameMeta() string {
	old := "(" + ofPod("oldObject", "metadata") + ")"
	return " &&\nvariables.podMeta.?annotations.orValue({}) == " + old + ".?annotations.orValue({}) &&\n" +
		"variables.podMeta.?labels.orValue({}) == " + old + ".?labels.orValue({})"
}

func variable(name, expression string) any {
	return map[string]any{"name": name, "expression": expression}
}

// celMap returns values by name as a literal of CEL, which would otherwise want
// them to be of one type.
func celMap(values map[string]any) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		text := literal(values[name])
		if list, ok := values[name].([]any); ok {
			var items []string
			for _, item := range list {
				items = append(items, "dyn("+literal(item)+")")
			}
			text = "[" + strings.Join(items, ", ") + "]"
		}
		all = append(all, literal(name)+": dyn("+text+")")
	}
	return "{" + strings.Join(all, ", ") + "}"
}

// parametersOf returns the parameters that an expression reads: all when it does
// not say which, nil for none.
func parametersOf(e expression, values map[string]value) (map[string]any, error) {
	var read map[string]any
	for _, n := range e.names {
		if n.text != "params" {
			continue
		}
		if read == nil {
			read = map[string]any{}
		}
		names := []string{n.field}
		if _, known := values[n.field]; !known && n.field != "" {
			return nil, fmt.Errorf("unknown parameter %q: the template has %s", n.field, cmp.Or(strings.Join(slices.Sorted(maps.Keys(values)), ", "), "none"))
		} else if n.field == "" {
			names = slices.Collect(maps.Keys(values))
		}
		for _, name := range names {
			read[name] = values[name].celData()
		}
	}
	return read, nil
}

// celData returns a value as CEL wants it: CEL has no days.
func (v value) celData() any {
	if text, ok := v.data.(string); ok && v.typ == "duration" {
		if d, err := v1alpha1.ParseDuration(text); err == nil {
			return d.String()
		}
	}
	return v.data
}

// mistakes compiles a rule, if there is a compiler, and tells the first mistake
// by its place in the template.
func (j *job) mistakes(p *program, e expression, isKnown func(string) bool, above int) error {
	if j.check == nil {
		return nil
	}
	all := j.check(p.vap(kspec.Enforce, nil)[0])
	if len(all) == 0 {
		return nil
	}
	m := all[0]
	if m.Field != "spec.validations[0].expression" {
		return fmt.Errorf("%s: column %d of line %d: %s", m.Field, m.Column, m.Line, m.Msg)
	}
	line, column := e.place(isKnown, m.Line-above, m.Column)
	return fmt.Errorf("expression: column %d of line %d: %s", column, line, m.Msg)
}

// objects renders a rule for the engine of the target.
func (p *program) objects(t kspec.Target) ([]*unstructured.Unstructured, error) {
	selector, err := runtime.DefaultUnstructuredConverter.ToUnstructured(where.Selector(t.Scope))
	if err != nil {
		return nil, err
	}
	switch t.Delivery.Policies {
	case kspec.Kyverno:
		return p.kyverno(t.Enforcement, selector)
	case kspec.KyvernoLegacy:
		return p.kyvernoLegacy(t.Enforcement, selector)
	default:
		return p.vap(t.Enforcement, selector), nil
	}
}

// vap renders ValidatingAdmissionPolicy and binding.
func (p *program) vap(mode kspec.Enforcement, selector map[string]any) []*unstructured.Unstructured {
	spec := map[string]any{
		"failurePolicy":    "Fail",
		"matchConstraints": map[string]any{"resourceRules": p.resourceRules()},
		"validations":      p.validations(),
	}
	if len(p.variables) > 0 {
		spec["variables"] = p.variables
	}
	return []*unstructured.Unstructured{
		object("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", p.rule.Name, spec),
		object("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", p.rule.Name, map[string]any{
			"policyName": p.rule.Name, "validationActions": validationActions(mode),
			"matchResources": map[string]any{"namespaceSelector": selector},
		}),
	}
}

func object(apiVersion, kind, name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": name}, "spec": spec,
	}}
}

func (p *program) validations() []any {
	return []any{map[string]any{
		"expression": p.expression,
		"message":    cmp.Or(p.rule.Message, fmt.Sprintf("rule %s of template %s is broken", p.rule.Name, p.rule.Source.Template)),
	}}
}

// podMaker is a kind that is a pod or makes them.
type podMaker struct{ group, resource, kind string }

func podMakers() []podMaker {
	return []podMaker{
		{"", "pods", "Pod"},
		{"", "pods/ephemeralcontainers", "Pod/ephemeralcontainers"},
		{"", "pods/resize", "Pod/resize"},
		{"", "podtemplates", "PodTemplate"},
		{"", "replicationcontrollers", "ReplicationController"},
		{"apps", "daemonsets", "DaemonSet"},
		{"apps", "deployments", "Deployment"},
		{"apps", "replicasets", "ReplicaSet"},
		{"apps", "statefulsets", "StatefulSet"},
		{"batch", "cronjobs", "CronJob"},
		{"batch", "jobs", "Job"},
	}
}

// resourceRules lists what the rule is about, by group.
func (p *program) resourceRules() []any {
	resources := map[string][]any{}
	for _, subject := range p.rule.Subjects {
		group, resource, _ := strings.Cut(subject, "/")
		switch {
		case subject == "pods":
			for _, m := range podMakers() {
				resources[m.group] = append(resources[m.group], m.resource)
			}
		case group == "core":
			resources[""] = append(resources[""], resource)
		default:
			resources[group] = append(resources[group], resource)
		}
	}
	versions := []any{"*"}
	if p.pods {
		versions = []any{"v1"}
	}
	var rules []any
	for _, group := range slices.Sorted(maps.Keys(resources)) {
		rules = append(rules, map[string]any{
			"apiGroups": []any{group}, "apiVersions": versions, "operations": []any{"CREATE", "UPDATE"}, "resources": resources[group],
		})
	}
	return rules
}
