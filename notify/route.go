package notify

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cloudcwfranck/kspec"
	"github.com/cloudcwfranck/kspec/api/v1alpha1"
)

// routing is where an AlertConfig sends what.
type routing struct {
	routes    []v1alpha1.Route
	otherwise []string
	// events holds, by notifier, the types it is told; absent means all.
	events map[string][]string
	on     map[string]bool
}

// lead returns the notifiers for an event with these labels, sorted and each
// once. Routes are tried in order; the first that matches ends the search
// unless it says continue, and where none matches it is otherwise's turn. Then
// each notifier's own filter of events has its say.
func (r routing) lead(labels map[string]string) []string {
	var names []string
	matched := false
	for _, route := range r.routes {
		if !matches(route.Match, labels) {
			continue
		}
		matched = true
		names = append(names, route.Notifiers...)
		if !route.Continue {
			break
		}
	}
	if !matched {
		names = slices.Clone(r.otherwise)
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(n string) bool {
		events := r.events[n]
		return !r.on[n] || len(events) > 0 && !slices.Contains(events, labels["type"])
	})
}

// matches reports whether all labels of match are equal; a label that is
// absent equals "".
func matches(match, labels map[string]string) bool {
	for k, v := range match {
		if labels[k] != v {
			return false
		}
	}
	return true
}

// reserved are the labels that every event has.
func reserved() []string {
	return []string{"severity", "type", "source", "cluster", "namespace", "config"}
}

// labelsOf returns the labels of e for an AlertConfig; every reserved label is
// there.
func labelsOf(e kspec.Event, config string) map[string]string {
	labels := make(map[string]string, len(reserved()))
	for _, l := range reserved() {
		labels[l] = ""
	}
	maps.Copy(labels, e.Labels())
	labels["config"] = config
	return labels
}

// checkRoutes returns an error for a route that can never be taken.
func checkRoutes(routes []v1alpha1.Route) error {
	for i, route := range routes {
		field := fmt.Sprintf("spec.routes[%d]", i)
		if err := checkMatch(route.Match); err != nil {
			return fmt.Errorf("%s.match.%w", field, err)
		}
		for j, before := range routes[:i] {
			if !before.Continue && matches(before.Match, route.Match) && subset(before.Match, route.Match) {
				return kspec.WithHint(
					fmt.Errorf("%s is never reached: spec.routes[%d] takes everything that it would match", field, j),
					"put the narrower route first, or say continue: true in the wider one")
			}
		}
	}
	return nil
}

func subset(small, large map[string]string) bool {
	for k := range small {
		if _, ok := large[k]; !ok {
			return false
		}
	}
	return true
}

func checkMatch(match map[string]string) error {
	for _, k := range slices.Sorted(maps.Keys(match)) {
		if !slices.Contains(reserved(), k) {
			return fmt.Errorf("%s: no event has this label: want one of %s", k, strings.Join(reserved(), ", "))
		}
		if k == "severity" && !slices.Contains(levels(), match[k]) {
			return fmt.Errorf("severity: %q is not a level of events: want one of %s", match[k], strings.Join(levels(), ", "))
		}
		if k == "type" {
			if err := checkType(match[k]); err != nil {
				return fmt.Errorf("type: %w", err)
			}
		}
	}
	return nil
}

func levels() []string {
	return []string{string(kspec.Info), string(kspec.Warning), string(kspec.Urgent)}
}

func checkType(typ string) error {
	if slices.Contains(kspec.EventTypes(), kspec.EventType(typ)) {
		return nil
	}
	var names []string
	for _, t := range kspec.EventTypes() {
		names = append(names, string(t))
	}
	return fmt.Errorf("%q is not a type of event: want one of %s", typ, strings.Join(names, ", "))
}
