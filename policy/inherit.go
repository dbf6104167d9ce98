package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

// deepest is how many bases may build on one another.
const deepest = 8

// Layer is what one ClusterSpec says of templates.
type Layer struct {
	Bases     []string
	Strategy  kspec.MergeStrategy
	Templates []kspec.TemplateUse
}

// BaseError says which of the bases of a layer cannot be used.
type BaseError struct {
	Index int
	Err   error
}

// Error implements error.
func (e *BaseError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *BaseError) Unwrap() error { return e.Err }

// Inherit returns the templates that a layer uses, with those of its bases:
// in the order in which they are first named, and each with its origins. A base
// is another layer or, failing that, a template by itself.
//
// What is later wins, by the strategy of the layer that names both, and what
// the layer says itself is last. But no base wins over a layer that builds on
// it, by whatever way it is reached. Each template comes with how every layer
// below uses it. The error is a [BaseError] when it is about a base.
func Inherit(name string, layers map[string]Layer, isTemplate func(string) bool) ([]kspec.TemplateUse, error) {
	h := heritage{layers: layers, isTemplate: isTemplate, known: map[string]flat{}}
	f, err := h.flatten(name, nil)
	if err != nil {
		return nil, err
	}
	var out []kspec.TemplateUse
	for _, u := range f.uses {
		n := u.noun()
		n.Inherited = h.inherited(name, u.template)
		out = append(out, n)
	}
	return out, nil
}

// inherited returns how the layers that one builds on use a template. A
// template that is a base by itself is no layer.
func (h heritage) inherited(name, template string) []kspec.TemplateUse {
	var out []kspec.TemplateUse
	for _, below := range slices.Sorted(maps.Keys(h.known)) {
		if _, isLayer := h.layers[below]; !isLayer || below == name {
			continue
		}
		for _, u := range h.known[below].uses {
			if u.template == template {
				out = append(out, u.noun())
			}
		}
	}
	return out
}

// heritage is one call of Inherit.
type heritage struct {
	layers     map[string]Layer
	isTemplate func(string) bool
	known      map[string]flat
}

// flat is a layer with all its bases.
type flat struct {
	uses []use
	// height counts the bases that build on one another.
	height int
	// holds names the layer and all that it builds on.
	holds map[string]bool
}

// use is how a template is used, and by which layers.
type use struct {
	template   string
	layers     []string // that named it, the last of them decides
	parameters map[string]setting
}

type setting struct {
	value any
	layer string
}

func (u use) last() string { return u.layers[len(u.layers)-1] }

// noun returns u with its origins.
func (u use) noun() kspec.TemplateUse {
	out := kspec.TemplateUse{Name: u.template}
	for _, layer := range u.layers {
		o := kspec.Origin{Layer: layer, Template: u.template}
		for _, name := range slices.Sorted(maps.Keys(u.parameters)) {
			if u.parameters[name].layer == layer {
				o.Parameters = append(o.Parameters, name)
			}
		}
		out.Origins = append(out.Origins, o)
	}
	for name, p := range u.parameters {
		if out.Parameters == nil {
			out.Parameters = map[string]any{}
		}
		out.Parameters[name] = p.value
	}
	return out
}

// flatten returns what a layer says with all its bases. The path leads from the
// layer that was asked for to this one.
func (h heritage) flatten(name string, path []string) (flat, error) {
	if err := h.check(name, path); err != nil {
		return flat{}, err
	}
	if f, ok := h.known[name]; ok {
		return f, nil
	}
	layer, ok := h.layers[name]
	if twice := twice(layer.Templates); twice != "" {
		return flat{}, fmt.Errorf("%s uses template %q twice, so that nothing says which of the two is inherited", name, twice)
	}
	if !ok {
		layer = Layer{Strategy: kspec.Merge, Templates: []kspec.TemplateUse{{Name: name}}}
	}
	f := flat{holds: map[string]bool{name: true}}
	for i, base := range layer.Bases {
		inherited, err := h.flatten(base, append(slices.Clip(path), name))
		if err == nil {
			f.height = max(f.height, inherited.height+1)
			maps.Copy(f.holds, inherited.holds)
			f.uses, err = h.combine(layer.Strategy, f.uses, inherited.uses)
		}
		if err != nil {
			return flat{}, &BaseError{i, within(base, err)}
		}
	}
	h.known[name] = f // before it is compared with its bases
	var err error
	f.uses, err = h.combine(layer.Strategy, f.uses, own(name, layer.Templates))
	h.known[name] = f
	return f, err
}

// check refuses a name that cannot stand where the path leads.
func (h heritage) check(name string, path []string) error {
	_, isLayer := h.layers[name]
	switch known := h.known[name]; {
	case slices.Contains(path, name):
		return fmt.Errorf("it builds on itself: %s", strings.Join(append(path, name), " → "))
	case len(path)+known.height > deepest:
		return fmt.Errorf("more than %d bases build on one another: %s", deepest, strings.Join(append(path, name), " → "))
	case !isLayer && !h.isTemplate(name):
		return fmt.Errorf("no ClusterSpec and no template is named %q", name)
	case isLayer && h.isTemplate(name) && len(path) > 0:
		return fmt.Errorf("%q is a ClusterSpec and a template: rename one", name)
	}
	return nil
}

// within tells of an error about a base of a base which of the two it is.
func within(base string, err error) error {
	if e, ok := errors.AsType[*BaseError](err); ok {
		return fmt.Errorf("%s: %w", base, e.Err)
	}
	return err
}

// twice returns the name of a template that is used twice, "" for none.
func twice(uses []kspec.TemplateUse) string {
	seen := map[string]bool{}
	for _, u := range uses {
		if seen[u.Name] {
			return u.Name
		}
		seen[u.Name] = true
	}
	return ""
}

func own(layer string, templates []kspec.TemplateUse) []use {
	var uses []use
	for _, t := range templates {
		u := use{template: t.Name, layers: []string{layer}, parameters: map[string]setting{}}
		for name, value := range t.Parameters {
			u.parameters[name] = setting{value, layer}
		}
		uses = append(uses, u)
	}
	return uses
}

func (h heritage) combine(s kspec.MergeStrategy, before, after []use) ([]use, error) {
	all := slices.Clone(before)
	for _, u := range after {
		i := slices.IndexFunc(all, func(o use) bool { return o.template == u.template })
		switch {
		case i < 0:
			all = append(all, u)
		case s == kspec.Merge:
			all[i] = h.merge(all[i], u)
		case all[i].last() == u.last():
			// One layer that is reached by two ways says it once.
		case s == kspec.Append:
			return nil, fmt.Errorf("mergeStrategy is append, and template %q is used by both %s and %s", u.template, all[i].last(), u.last())
		case h.wins(u.last(), all[i].last()):
			all[i] = u
		}
	}
	return all, nil
}

func (h heritage) merge(a, b use) use {
	out := use{template: a.template, layers: slices.Clone(a.layers), parameters: maps.Clone(a.parameters)}
	for _, layer := range b.layers {
		if !slices.Contains(out.layers, layer) {
			out.layers = append(out.layers, layer)
		}
	}
	for name, p := range b.parameters {
		if old, ok := a.parameters[name]; !ok || h.wins(p.layer, old.layer) {
			out.parameters[name] = p
		}
	}
	return out
}

// wins reports whether what the later layer says goes before what the earlier
// one says: unless that one is it, or builds on it.
func (h heritage) wins(later, earlier string) bool { return !h.buildsOn(earlier, later) }

func (h heritage) buildsOn(layer, base string) bool { return h.known[layer].holds[base] }
