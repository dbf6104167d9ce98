package render

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/cloudcwfranck/kspec"
	where "github.com/cloudcwfranck/kspec/policy"
)

// templates renders the policies of the target. It adds their objects to
// j.objects and returns the files that deliver them.
func (j *job) templates(ctx context.Context) []kspec.File {
	broken := len(j.unknown) > 0
	j.engine()
	if err := j.scope(); err != nil {
		j.fail(kspec.Source{File: j.target.Source.File, Line: j.target.Source.Line}, err)
		return nil
	}
	var rendered []policy
	var demands []demand
	for _, use := range j.target.Templates {
		policies, d, err := j.use(ctx, use)
		if err != nil {
			j.fail(kspec.Source{File: j.target.Source.File, Line: j.target.Source.Line, Template: use.Name}, err)
			broken = true
			continue
		}
		rendered, demands = append(rendered, policies...), append(demands, d)
	}
	slices.Sort(j.assumed)
	if len(demands) == len(j.target.Templates) { // or a rule may build on one that is missing
		policies, err := j.rules(ctx, demands)
		if err != nil {
			j.fail(kspec.Source{File: j.target.Source.File, Line: j.target.Source.Line}, err)
			broken = true
		}
		rendered = append(rendered, policies...)
	}
	if !j.delivers() {
		rendered = nil
	}
	j.rename(rendered)
	rendered, repeated := distinct(rendered)
	rendered = j.undeclared(rendered)
	broken = broken || repeated
	files, err := j.deliver(rendered)
	if err != nil {
		j.fail(kspec.Source{File: j.target.Source.File, Line: j.target.Source.Line}, err)
		return nil
	}
	if broken {
		return nil // what is missing here must not be deleted there
	}
	return files
}

// distinct returns the policies without those that repeat an earlier one word
// for word, as templates do that label a namespace alike, and reports whether
// two that are left are one object all the same.
func distinct(policies []policy) (all []policy, repeated bool) {
	seen := map[kspec.ObjectID]policy{}
	for _, p := range policies {
		id := inAnyVersion(p.Unstructured)
		before, twice := seen[id]
		switch {
		case !twice:
			seen[id] = p
			all = append(all, p)
		case !equality.Semantic.DeepEqual(before.Object, p.Object):
			repeated = true
			all = append(all, p)
		}
	}
	return all, repeated
}

// policy is one object of a template, with its parameters in place.
type policy struct {
	*unstructured.Unstructured
	template template
	// origin tells where it comes from; "" when the target inherits nothing and
	// it is no rule.
	origin string
}

// delivers reports whether policies are delivered at all.
func (j *job) delivers() bool {
	return j.target.Enforcement == kspec.Audit || j.target.Enforcement == kspec.Enforce
}

// use renders the objects of one template with its parameters, once per
// namespace where one asks for it, and returns its rules. Everything is checked,
// also in mode monitor.
func (j *job) use(ctx context.Context, use kspec.TemplateUse) ([]policy, demand, error) {
	t, err := j.template(use.Name)
	if err != nil {
		return nil, demand{}, err
	}
	policies, d, err := j.useOf(ctx, t, use)
	if p := (*placeError)(nil); err != nil && !errors.As(err, &p) {
		err = fmt.Errorf("template %q: %w", use.Name, err)
	}
	return policies, d, err
}

func (j *job) useOf(ctx context.Context, t template, use kspec.TemplateUse) ([]policy, demand, error) {
	values, err := parameters(t.Spec.Parameters, use.Parameters)
	if err != nil {
		return nil, demand{}, err
	}
	d, err := j.demandOf(t, use, values)
	if err != nil {
		return nil, demand{}, err
	}
	objects, err := j.build(ctx, t)
	if err != nil {
		return nil, demand{}, err
	}
	var policies []policy
	for _, o := range objects {
		more, err := j.instances(o.object, values)
		if err != nil {
			return nil, demand{}, t.objectError(o, err)
		}
		for _, u := range more {
			if err := j.compiles(u); err != nil {
				return nil, demand{}, t.objectError(o, err)
			}
			policies = append(policies, policy{u, t, origin(use.Origins)})
		}
	}
	forNone := j.delivers() && len(policies)+len(d.rules)+len(j.namespaces) == 0
	if forNone && slices.ContainsFunc(objects, func(o made) bool { return mentions(o.object.Object, namespaceName) }) {
		j.assumed = append(j.assumed, fmt.Sprintf("template %s is for no namespace: namespaceScope.includeNamespaces names none", t.Name))
	}
	return policies, d, nil
}

// namespaceName stands for the name of an included namespace.
const namespaceName = "{{kspec.namespace}}"

// compiles tells the first mistake in the CEL of a policy that a template has
// written out, if there is a compiler.
func (j *job) compiles(u *unstructured.Unstructured) error {
	if j.check == nil || u.GetKind() != "ValidatingAdmissionPolicy" {
		return nil
	}
	all := j.check(u)
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("%s: column %d of line %d: %s", all[0].Field, all[0].Column, all[0].Line, all[0].Msg)
}

// objectError places an error at an object of a template.
func (t template) objectError(o made, err error) error {
	err = fmt.Errorf("%s %q: %w", o.object.GetKind(), o.object.GetName(), err)
	if t.file == "" {
		return err
	}
	return at(o.file, o.line, fmt.Errorf("template %q: %w", t.Name, err))
}

// instances returns an object once, or once per namespace when it mentions
// {{kspec.namespace}}, without those whose conditions do not hold.
func (j *job) instances(u *unstructured.Unstructured, values map[string]value) ([]*unstructured.Unstructured, error) {
	all := j.reserved(values)
	namespaces := []string{""}
	if mentions(u.Object, namespaceName) {
		namespaces = j.namespaces
		if len(namespaces) == 0 {
			namespaces = []string{"none"} // to find its mistakes all the same
		}
	}
	var made []*unstructured.Unstructured
	for _, ns := range namespaces {
		all["kspec.namespace"] = value{"string", ns}
		object, err := substitute(u.Object, all)
		if err != nil {
			return nil, err
		}
		out := &unstructured.Unstructured{Object: object}
		keep, err := j.conditions(out)
		if err != nil {
			return nil, err
		}
		if keep && (ns != "none" || len(j.namespaces) > 0) {
			made = append(made, out)
		}
	}
	return made, nil
}

// The annotations of template objects that say when they are delivered.
const (
	whenMode      = "kspec.io/enforcement"
	whenParameter = "kspec.io/when"
)

// conditions removes the annotations with conditions from an object and reports
// whether they hold.
func (j *job) conditions(u *unstructured.Unstructured) (bool, error) {
	annotations, _, _ := unstructured.NestedMap(u.Object, "metadata", "annotations")
	if annotations == nil {
		return true, nil
	}
	keep := true
	if mode, ok := annotations[whenMode]; ok {
		if mode != string(kspec.Audit) && mode != string(kspec.Enforce) {
			return false, fmt.Errorf("annotation %s: want audit or enforce", whenMode)
		}
		keep = mode == string(j.target.Enforcement)
	}
	if when, ok := annotations[whenParameter]; ok {
		yes, isBool := when.(bool)
		if !isBool {
			return false, fmt.Errorf("annotation %s: want a parameter of type bool", whenParameter)
		}
		keep = keep && yes
	}
	delete(annotations, whenMode)
	delete(annotations, whenParameter)
	if len(annotations) == 0 {
		unstructured.RemoveNestedField(u.Object, "metadata", "annotations")
		return keep, nil
	}
	return keep, unstructured.SetNestedMap(u.Object, annotations, "metadata", "annotations")
}

// reserved returns the values with those that kspec itself provides.
func (j *job) reserved(values map[string]value) map[string]value {
	selector, _ := runtime.DefaultUnstructuredConverter.ToUnstructured(where.Selector(j.target.Scope)) // texts and lists of texts
	all := map[string]value{
		"kspec.target":            {"string", j.target.Name},
		"kspec.validationActions": {"list", validationActions(j.target.Enforcement)},
		"kspec.namespaceSelector": {"map", selector},
	}
	maps.Copy(all, values)
	return all
}

// validationActions returns what a ValidatingAdmissionPolicy does about an
// object that breaks it.
func validationActions(e kspec.Enforcement) []any {
	if e == kspec.Enforce {
		return []any{"Deny", "Audit"}
	}
	return []any{"Warn", "Audit"}
}

// scope finds the namespaces that the scope names and holds. Of their labels it
// knows those in Git.
func (j *job) scope() error {
	p, err := where.Of(j.target)
	if err != nil || len(j.target.Templates) == 0 {
		return err
	}
	for _, name := range j.target.Scope.Include {
		d := p.Decide(where.Object{
			ID: kspec.ObjectID{Version: "v1", Kind: "Namespace", Name: name}, NamespaceLabels: j.namespaceLabels(name),
		}, time.Time{}) // the scope is the same at any time
		if d.InScope {
			j.namespaces = append(j.namespaces, name)
		}
		if d.Assumed != "" {
			j.assumed = append(j.assumed, d.Assumed)
		}
	}
	slices.Sort(j.namespaces)
	j.namespaces = slices.Compact(j.namespaces)
	slices.Sort(j.assumed)
	j.assumed = slices.Compact(j.assumed)
	return nil
}

// namespaceLabels returns the labels of a namespace that an overlay declares,
// nil for one that none does.
func (j *job) namespaceLabels(name string) map[string]string {
	for _, o := range j.objects {
		if o.GetAPIVersion() == "v1" && o.GetKind() == "Namespace" && o.GetName() == name {
			labels := o.GetLabels()
			if labels == nil {
				labels = map[string]string{}
			}
			return labels
		}
	}
	return nil
}
