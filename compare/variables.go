package compare

import (
	"encoding/base64"
	"regexp"
	"strings"

	"github.com/cloudcwfranck/kspec"
)

// This file is about variables such as ${domain} that an applier puts values in
// place of after the build: Flux's postBuild, envsubst in a pipeline. Their
// values are not in the files that kspec reads. So what the applier itself
// wrote where Git has a variable is neither drift nor known to be right.

// variable matches one, also when it is escaped with a second dollar sign.
var variable = regexp.MustCompile(`\$?\$\{[A-Za-z_][^{}]*\}`)

// filledIn reports whether live could be want with values in place of its
// variables. It is false when want has none.
func filledIn(want, live any) bool {
	filled := false
	return fills(want, live, &filled) && filled
}

// isFilledIn reports whether the applier put values in place of variables.
func (v *view) isFilledIn(d difference) bool {
	want, live := d.want, d.live
	if isSecret(v.Want.ID()) {
		want, live = decoded(want), decoded(live)
	}
	byApplier := d.owner.applies(v.Want.FieldManager) || d.owner.manager == "" // stringData leaves no owner
	return byApplier && filledIn(want, live)
}

// decoded returns what a value of a Secret stands for.
func decoded(v any) any {
	s, _ := v.(string)
	if b, err := base64.StdEncoding.DecodeString(s); err == nil && s != "" {
		return string(b)
	}
	return v
}

// fills reports whether live could be want, and sets filled where it has a
// value in place of a variable. Live may hold more fields: defaults.
func fills(want, live any, filled *bool) bool {
	switch want := want.(type) {
	case map[string]any:
		live, ok := live.(map[string]any)
		for k, v := range want {
			ok = ok && fills(v, live[k], filled)
		}
		return ok
	case []any:
		live, ok := live.([]any)
		if !ok || len(live) != len(want) {
			return false
		}
		for i, v := range want {
			ok = ok && fills(v, live[i], filled)
		}
		return ok
	case string:
		live, ok := live.(string)
		if !ok || live == want {
			return ok
		}
		*filled = true
		return variable.MatchString(want) && pattern(want).MatchString(live)
	}
	return same(want, live) || equivalent(want, live)
}

// pattern matches text with any values in place of its variables.
func pattern(text string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	end := 0
	for _, at := range variable.FindAllStringIndex(text, -1) {
		b.WriteString(regexp.QuoteMeta(text[end:at[0]]) + ".*")
		end = at[1]
	}
	return regexp.MustCompile(b.String() + regexp.QuoteMeta(text[end:]) + `\z`)
}

// isNamedByVariable reports whether the name of an object is not known.
func isNamedByVariable(id kspec.ObjectID) bool {
	hasVariable := func(s string) bool { return strings.Contains(s, "$") && variable.MatchString(s) }
	return hasVariable(id.Name) || hasVariable(id.Namespace)
}

// unknownVariables says why there is no verdict about the places.
func unknownVariables(places []string) string {
	said := spell(places[0])
	if len(places) > 1 {
		said += " and others"
	}
	return said + ": Git has a variable there, and kspec does not know the value that the applier puts in its place"
}
