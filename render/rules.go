package render

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/cloudcwfranck/kspec"
	v1alpha1 "github.com/cloudcwfranck/kspec/api/v1alpha1"
	where "github.com/cloudcwfranck/kspec/policy"
)

// Mistake is an expression that does not compile.
type Mistake struct {
	// Field is where in the policy the expression stands. Line and Column are
	// within it, and begin at 1.
	Field        string
	Line, Column int
	Msg          string
}

// demand is one use of a template, with its rules.
type demand struct {
	template template
	values   map[string]value
	// origins tell who uses the template, and whose parameters count.
	origins []kspec.Origin
	rules   []kspec.Rule
	// reads names the parameters that each rule reads.
	reads map[string][]string
}

// layer is who uses the template last.
func (d demand) layer() string { return d.origins[len(d.origins)-1].Layer }

// demandOf returns the rules of a template, with the parameters in their
// messages.
func (j *job) demandOf(t template, use kspec.TemplateUse, values map[string]value) (demand, error) {
	d := demand{template: t, values: values, origins: use.Origins, reads: map[string][]string{}}
	if len(d.origins) == 0 {
		d.origins = []kspec.Origin{{Layer: j.target.Name, Template: t.Name, Parameters: slices.Sorted(maps.Keys(use.Parameters))}}
	}
	for i, r := range t.Spec.Rules {
		message, err := substituteText("message", r.Message, values)
		if err != nil {
			return demand{}, t.ruleError(i, "message", err)
		}
		read, err := parametersOf(readExpression(r.Expression), values)
		if err != nil {
			return demand{}, t.ruleError(i, "expression", err)
		}
		if err := unchanged(t, r, use, read); err != nil {
			return demand{}, fmt.Errorf("rule %q is final: %w", r.Name, err)
		}
		d.reads[r.Name] = slices.Collect(maps.Keys(read))
		for _, m := range placeholder.FindAllStringSubmatch(r.Message, -1) {
			d.reads[r.Name] = append(d.reads[r.Name], m[1])
		}
		d.rules = append(d.rules, kspec.Rule{
			Name: r.Name, Subjects: r.Subjects, Severity: kspec.Severity(r.Severity), Final: r.Final, Controls: r.Controls,
			Expression: strings.TrimSpace(r.Expression), Reads: read, Message: oneLine(message),
			Source:  kspec.Source{Template: t.Name, File: t.file, Line: t.lineOf(i, "expression")},
			Origins: []kspec.Origin{{Layer: d.layer(), Template: t.Name}},
		})
	}
	return d, nil
}

// unchanged checks that what a final rule reads is as every layer below has it.
func unchanged(t template, r v1alpha1.TemplateRule, use kspec.TemplateUse, read map[string]any) error {
	if !r.Final {
		return nil
	}
	for _, below := range use.Inherited {
		for _, name := range slices.Sorted(maps.Keys(read)) {
			was, err := parameter(t.Spec.Parameters[name], below.Parameters, name)
			if err != nil || reflect.DeepEqual(was.celData(), read[name]) {
				continue // or the layer left it to those that build on it
			}
			return fmt.Errorf("its parameter %q is %s in %s, and may not become %s",
				name, literal(was.data), below.Origins[len(below.Origins)-1].Layer, literal(read[name]))
		}
	}
	return nil
}

// oneLine returns a message as one line, as the API server demands.
func oneLine(message any) string {
	text, ok := message.(string)
	if !ok {
		text = literal(message)
	}
	return strings.TrimSpace(strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), " "))
}

func (t template) lineOf(rule int, field string) int {
	if t.document == nil {
		return t.line
	}
	return t.document.Line(fmt.Sprintf("spec.rules[%d].%s", rule, field))
}

// ruleError places an error at a field of a rule.
func (t template) ruleError(rule int, field string, err error) error {
	return at(t.file, t.lineOf(rule, field), fmt.Errorf("template %q: rule %q: %s: %w", t.Name, t.Spec.Rules[rule].Name, field, err))
}

// rules makes the policies of the rules of all templates that the target uses.
// Rules of one name are one rule; what the target says itself is last.
func (j *job) rules(ctx context.Context, demands []demand) ([]policy, error) {
	ours := func(d demand) int {
		if d.layer() == j.target.Name {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(demands, func(a, b demand) int { return cmp.Compare(ours(a), ours(b)) })
	var layers [][]kspec.Rule
	of := map[string]demand{}
	for _, d := range demands {
		layers = append(layers, d.rules)
		of[d.template.Name] = d
	}
	merged, err := where.MergeRules(cmp.Or(j.target.Merge, kspec.Merge), layers...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, j.timeout, gaveUpError{fmt.Sprintf("the rules take longer than %s to compile", j.timeout)})
	defer cancel()
	var policies []policy
	for _, r := range merged {
		if ctx.Err() != nil {
			return nil, placed(r, fmt.Errorf("template %q: rule %q: %w", r.Source.Template, r.Name, context.Cause(ctx)))
		}
		made, err := j.rule(r, of)
		if err != nil {
			return nil, placed(r, fmt.Errorf("template %q: rule %q: %w", r.Source.Template, r.Name, err))
		}
		policies = append(policies, made...)
	}
	return policies, nil
}

// rule renders one rule.
func (j *job) rule(r kspec.Rule, demands map[string]demand) ([]policy, error) {
	r.Severity = cmp.Or(r.Severity, kspec.Medium)
	d := demands[expressedBy(r)]
	p, err := j.program(r, d)
	if err != nil {
		return nil, err
	}
	from := originOfRule(r, demands)
	if j.ruled != nil {
		j.ruled(r, from)
	}
	objects, err := p.objects(j.target)
	if err != nil {
		return nil, err
	}
	annotations := map[string]string{where.RuleAnnotation: r.Name, where.SeverityAnnotation: string(r.Severity)}
	if len(r.Controls) > 0 {
		annotations[where.ControlsAnnotation] = strings.Join(r.Controls, ",")
	}
	var policies []policy
	for _, u := range objects {
		u.SetAnnotations(maps.Clone(annotations))
		policies = append(policies, policy{u, d.template, from})
	}
	return policies, nil
}

// placed puts an error at the place of a rule, if that is in the repo.
func placed(r kspec.Rule, err error) error {
	if r.Source.File == "" {
		return err
	}
	return at(r.Source.File, r.Source.Line, err)
}

// expressedBy names the template that the expression of a rule is of.
func expressedBy(r kspec.Rule) string {
	for _, o := range r.Origins {
		if slices.Contains(o.Fields, "expression") {
			return o.Template
		}
	}
	return r.Source.Template
}

// originOfRule tells where a rule comes from: the templates, which fields are of
// which when there are several, and who uses them with what parameters that the
// rule reads.
func originOfRule(r kspec.Rule, demands map[string]demand) string {
	var all []string
	for _, o := range r.Origins {
		d := demands[o.Template]
		var by []kspec.Origin
		for _, layer := range d.origins {
			layer.Parameters = slices.DeleteFunc(slices.Clone(layer.Parameters), func(name string) bool {
				return !slices.Contains(d.reads[r.Name], name)
			})
			by = append(by, layer)
		}
		text := origin(by) + ", template " + o.Template
		if len(r.Origins) > 1 {
			text += " [" + strings.Join(o.Fields, ", ") + "]"
		}
		all = append(all, text)
	}
	return strings.Join(all, " + ")
}
