package compare

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/cloudcwfranck/kspec"
)

// most is how many characters of a value a message shows.
const most = 80

// text writes a JSON value for a person, on one line.
func text(v any) string {
	s, ok := v.(string)
	if !ok {
		b, _ := json.Marshal(v) // a JSON value: cannot fail
		return string(b)
	}
	return s
}

// show is text, quoted where it could be misread and cut where it is long.
func show(v any) string {
	s := text(v)
	if _, ok := v.(string); ok && !plain.MatchString(s) {
		b, _ := json.Marshal(s) // a string: cannot fail
		s = string(b)
	}
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	return s
}

// plain matches strings that need no quotes.
var plain = regexp.MustCompile(`^[A-Za-z0-9._:/@+=*-]+$|^\[redacted [0-9a-f]{8}\]$`)

// spell writes a path the way people speak of it: spec.containers[app].image.
func spell(keyedPath string) string {
	p, err := kspec.ParsePath(keyedPath)
	if err != nil {
		return keyedPath
	}
	var b strings.Builder
	for i, s := range p {
		switch {
		case len(s.Keys) == 1:
			fmt.Fprintf(&b, "[%s]", s.Keys[0].Value)
		case len(s.Keys) > 1:
			b.WriteString(s.String())
		case isIndex(s.Field) || strings.ContainsAny(s.Field, "./ "):
			fmt.Fprintf(&b, "[%s]", s.Field)
		case i > 0:
			b.WriteString("." + s.Field)
		default:
			b.WriteString(s.Field)
		}
	}
	return b.String()
}

func isIndex(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// sentence says what the fields of a finding differ in.
func sentence(v kspec.Verdict, fields []kspec.Field) string {
	f := fields[0]
	said := spell(f.KeyedPath) + " "
	switch {
	case isMultiline(f.Live) && f.Desired != nil, isMultiline(f.Desired) && f.Live != nil:
		said += "differs from Git"
	case v == kspec.ExtraField && f.Desired == nil:
		said += fmt.Sprintf("is %s, Git does not set it", show(f.Live))
	case f.Live == nil:
		said += fmt.Sprintf("is gone, Git says %s", show(f.Desired))
	case f.Desired == nil:
		said += fmt.Sprintf("is %s, Git does not have it", show(f.Live))
	default:
		said += fmt.Sprintf("is %s, Git says %s", show(f.Live), show(f.Desired))
	}
	switch more := len(fields) - 1; more {
	case 0:
		return said
	case 1:
		return said + "; 1 more field differs"
	default:
		return said + fmt.Sprintf("; %d more fields differ", more)
	}
}

func isMultiline(v any) bool {
	s, ok := v.(string)
	return ok && strings.Contains(s, "\n")
}

// advice says what to do about the fields of a finding.
func advice(v kspec.Verdict, want kspec.Object, fields []kspec.Field) string {
	who := person(fields)
	switch {
	case v == kspec.ExtraField && who != "":
		return fmt.Sprintf("set %s: add it to Git if it should stay, remove it from the cluster if not", who)
	case v == kspec.ExtraField && fields[0].Manager != "" && fields[0].Manager != want.FieldManager:
		return fmt.Sprintf("%s set it, and no apply takes it away: add it to Git if it should stay, remove it from the cluster if not", fields[0].Manager)
	case v == kspec.ExtraField:
		return fmt.Sprintf("Git does not set it any more: it goes when %s applies again", want.FieldManager)
	case who != "":
		return fmt.Sprintf("changed %s: commit it to Git if it should stay, let %s apply Git again if not", who, want.FieldManager)
	case fields[0].Manager == want.FieldManager:
		return fmt.Sprintf("Git moved on and %s has not applied it yet", want.FieldManager)
	case fields[0].Manager != "":
		return fmt.Sprintf("%s changed it: if that is its job, stop setting the field in Git or add an ignore rule", fields[0].Manager)
	default:
		return fmt.Sprintf("%s puts it back when it applies Git again", want.FieldManager)
	}
}

// person names the first person, or the tool of one, that wrote a field; "" when
// none did.
func person(fields []kspec.Field) string {
	for _, f := range fields {
		switch {
		case !f.ByPerson:
		case f.Principal != "":
			return "by " + f.Principal + " with " + f.Manager
		default:
			return "with " + f.Manager
		}
	}
	return ""
}
