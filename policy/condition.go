package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cloudcwfranck/kspec"
)

// Condition is a match condition of a ValidatingAdmissionPolicy, in CEL: true
// for every request but those about an object that one of the exemptions
// covers. It is "" when there are none. Whatever an exemption holds stays text
// in it.
//
// In a cluster an object has the labels that whoever writes it gives it.
func Condition(exemptions []kspec.Exemption) string {
	var covered []string
	for _, e := range exemptions {
		covered = append(covered, coveredBy(e))
	}
	if len(covered) == 0 {
		return ""
	}
	return "!(" + strings.Join(covered, " || ") + ")"
}

// What a request is about. It has no namespace for what lies in none, and no name
// before the API server gives one.
const (
	requestKind      = "request.kind.kind"
	requestName      = `request.?name.orValue("")`
	requestNamespace = `request.?namespace.orValue("")`
)

// coveredBy is what [exemption.covers] says, in CEL.
func coveredBy(e kspec.Exemption) string {
	var all, some []string
	if len(e.Namespaces) > 0 {
		all = append(all, requestNamespace+" in "+literal(e.Namespaces))
	}
	for _, r := range e.Resources {
		some = append(some, matches(r))
	}
	if len(some) > 0 {
		all = append(all, "("+strings.Join(some, " || ")+")")
	}
	return "(" + strings.Join(all, " && ") + ")"
}

func matches(r kspec.ExemptResource) string {
	var all []string
	for _, field := range []struct{ name, want string }{
		{requestKind, r.Kind}, {requestName, r.Name}, {requestNamespace, r.Namespace},
	} {
		if field.want != "" {
			all = append(all, field.name+" == "+literal(field.want))
		}
	}
	if r.Labels != nil {
		for _, key := range slices.Sorted(maps.Keys(r.Labels.MatchLabels)) {
			all = append(all, labelled(key, metav1.LabelSelectorOpIn, []string{r.Labels.MatchLabels[key]}))
		}
		for _, e := range r.Labels.MatchExpressions {
			all = append(all, labelled(e.Key, e.Operator, e.Values))
		}
	}
	return "(" + strings.Join(all, " && ") + ")"
}

// labelled is one requirement of the labels, also of an object that has none.
func labelled(key string, operator metav1.LabelSelectorOperator, values []string) string {
	const labels = "(object != null ? object : oldObject).metadata.?labels.orValue({})"
	there := literal(key) + " in " + labels
	one := fmt.Sprintf("(%s && %s[%s] in %s)", there, labels, literal(key), literal(values))
	switch operator {
	case metav1.LabelSelectorOpIn:
		return one
	case metav1.LabelSelectorOpNotIn:
		return "!" + one
	case metav1.LabelSelectorOpDoesNotExist:
		return "!(" + there + ")"
	default:
		return there
	}
}

// literal returns a text, or a list of texts, as JSON, which CEL reads alike. It
// holds nothing that Kyverno or Flux takes for a variable of its own.
func literal(v any) string {
	data, _ := json.Marshal(v) // texts cannot fail
	return strings.NewReplacer("{{", `{\u007b`, "$", `\u0024`).Replace(string(data))
}
