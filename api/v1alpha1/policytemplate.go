package v1alpha1

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

func (v *validator) policyTemplate(s *PolicyTemplateSpec) {
	for _, name := range slices.Sorted(maps.Keys(s.Parameters)) {
		p, at := s.Parameters[name], join("spec.parameters", name)
		v.checkf(!parameterName.MatchString(name), at, "a parameter is named by letters, digits and _")
		p.check(v, at)
	}
	names := map[string]int{}
	for i, r := range s.Rules {
		at := fmt.Sprintf("spec.rules[%d]", i)
		first, twice := names[r.Name]
		v.checkf(twice, at+".name", "rule %q stands also in spec.rules[%d]", r.Name, first)
		names[r.Name] = i
		v.rule(at, r)
	}
	for i, file := range s.Resources {
		v.check(fmt.Sprintf("spec.resources[%d]", i), checkPath(file))
	}
}

// subject is pods, or group/resource.
var subject = regexp.MustCompile(`^(pods|[a-z0-9.-]+/[a-z]([-a-z0-9]*[a-z0-9])?)$`)

func (v *validator) rule(at string, r TemplateRule) {
	wrong := validation.IsDNS1123Subdomain(r.Name)
	v.checkf(len(wrong) > 0, at+".name", "%q is no name of a rule: %s", r.Name, strings.Join(wrong, "; "))
	for i, one := range r.Subjects {
		path := fmt.Sprintf("%s.subjects[%d]", at, i)
		v.checkf(!subject.MatchString(one), path, "%q is neither pods nor group/resource, such as core/services or apps/deployments", one)
		v.checkf(one == "pods" && len(r.Subjects) > 1, path, "pods stand alone: only of them is there a podSpec")
		v.checkf(slices.Contains(r.Subjects[:i], one), path, "%q stands here twice", one)
	}
	for i, control := range r.Controls {
		v.checkf(control == "" || strings.ContainsAny(control, ",\n"), fmt.Sprintf("%s.controls[%d]", at, i), "want a name without commas")
	}
	v.checkf(strings.Contains(r.Expression, "{{"), at+".expression", "{{ does not stand in an expression: write params.x for the parameter x")
	v.checkf(strings.Contains(r.Message, "\n"), at+".message", "want one line: the API server drops a message of several")
}

// Line returns the line of a field, such as spec.rules[0].message, or of what
// holds it.
func (d *Document) Line(path string) int { return d.fieldError(path, errors.New("")).Line }
