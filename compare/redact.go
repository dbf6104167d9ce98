package compare

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/cloudcwfranck/kspec"
)

// This file replaces what may be secret by tags, before a [kspec.Field] exists.

// shortestSecret is from how many bytes on a value is searched for in others. A
// shorter one stands in them by chance.
const shortestSecret = 6

// redactor replaces what may be secret by a tag that is equal for equal values
// and tells nothing else, not even a length.
type redactor struct {
	key []byte
	// places are those that the team named, for one object.
	places []kspec.Path
	// known are secrets of the object, to be found wherever else they stand.
	known []string
	// texts and fields remember which of them hold a secret: the same come
	// again and again.
	texts, fields map[string]bool
}

// redactor returns the one for an object, of which these are what is known.
func (r Rules) redactor(want kspec.Object, roots ...map[string]any) *redactor {
	hide := &redactor{key: r.Key, places: r.secretPlaces(want), texts: map[string]bool{}, fields: map[string]bool{}}
	for _, root := range roots {
		if len(hide.places) > 0 || holdsSecret(root) {
			hide.learn(trail{}, root, false)
		}
	}
	return hide
}

// scrub returns text with tags in place of what may be secret in objects like
// want, of which these are what is known.
func (r *redactor) scrub(text string, roots ...map[string]any) string {
	for _, root := range roots {
		r.learn(trail{}, root, true)
	}
	slices.SortFunc(r.known, func(a, b string) int { // the longest first: one may hold another
		return cmp.Or(len(b)-len(a), strings.Compare(a, b))
	})
	for _, secret := range slices.Compact(r.known) {
		text = strings.ReplaceAll(text, secret, r.tag(secret))
	}
	return text
}

// secretPlaces returns the places that the team named for objects like want.
func (r Rules) secretPlaces(want kspec.Object) []kspec.Path {
	var places []kspec.Path
	for _, p := range r.Secrets {
		if !p.Selector.Matches(want.ID(), want.GetLabels()) {
			continue
		}
		for _, text := range p.Paths {
			if path, err := kspec.ParsePath(text); err == nil { // others are refused when the ClusterSpec is read
				places = append(places, path)
			}
		}
	}
	return places
}

// trail is the way from an object to a value in it.
type trail struct {
	at kspec.Path
	// parent is the map that holds the value, nil in a list.
	parent map[string]any
	// certain is true inside of the data of a Secret.
	certain bool
}

// field returns the trail to a field of m.
func (t trail) field(m map[string]any, name string) trail {
	return trail{append(slices.Clip(t.at), kspec.Step{Field: name}), m, t.certain || isSecretData(m, name)}
}

// item returns the trail to an item of a list.
func (r *redactor) item(t trail, index int, v any) trail {
	return trail{append(slices.Clip(t.at), r.itemStep(index, v)), nil, t.certain}
}

// itemStep is the step to an item. Its keys matter to the places that the team
// named; without any, one that is empty tells that it is an item.
func (r *redactor) itemStep(index int, v any) kspec.Step {
	if len(r.places) == 0 {
		return kspec.Step{Field: strconv.Itoa(index), Keys: make([]kspec.Key, 1)}
	}
	return itemStep(index, v)
}

// trailTo returns the trail through root. What root does not have is on it, too.
func (r *redactor) trailTo(root any, path fieldpath.Path) trail {
	t := trail{at: make(kspec.Path, 0, len(path)+1)}
	for _, pe := range path {
		next, index, ok := child(root, pe)
		m, _ := root.(map[string]any)
		switch {
		case pe.FieldName != nil:
			t = trail{append(t.at, kspec.Step{Field: *pe.FieldName}), m, t.certain || isSecretData(m, *pe.FieldName)}
		case ok:
			t = trail{append(t.at, r.itemStep(index, next)), nil, t.certain}
		default:
			t = trail{append(t.at, step(pe)), nil, t.certain}
		}
		root = next
	}
	return t
}

// learn keeps the values in v that are secret for certain, or that may be.
func (r *redactor) learn(t trail, v any, maybe bool) {
	switch w := v.(type) {
	case map[string]any:
		for name, v := range w {
			r.learn(t.field(w, name), v, maybe)
		}
	case []any:
		for i, v := range w {
			r.learn(r.item(t, i, v), v, maybe)
			if s, isText := v.(string); maybe && isText && i > 0 && isSecretFlag(w[i-1]) {
				r.keep(s)
			}
		}
	case string:
		if t.certain || r.named(t.at) || maybe && r.sensitive(t, w) {
			r.keep(w)
			plain, _ := decoded(w).(string)
			r.keep(plain)
			r.keep(base64.StdEncoding.EncodeToString([]byte(w)))
		}
	}
}

// keep remembers a secret, and the password in it when it is an address.
func (r *redactor) keep(secret string) {
	if secret = strings.TrimSpace(secret); len(secret) < shortestSecret || !utf8.ValidString(secret) {
		return
	}
	r.known = append(r.known, secret)
	if at, err := url.Parse(secret); err == nil {
		if password, ok := at.User.Password(); ok && len(password) >= shortestSecret {
			r.known = append(r.known, password)
		}
	}
}

// tag stands for a secret value.
func (r *redactor) tag(v any) string {
	b, _ := json.Marshal(v) // a JSON value: cannot fail
	mac := hmac.New(sha256.New, r.key)
	mac.Write(b)
	return "[redacted " + hex.EncodeToString(mac.Sum(nil))[:8] + "]"
}

// named reports whether the place is one that the team named, or below one.
func (r *redactor) named(at kspec.Path) bool {
	return slices.ContainsFunc(r.places, func(p kspec.Path) bool {
		return len(p) <= len(at) && slices.EqualFunc(p, at[:len(p)], agrees)
	})
}

// value returns v without what may be secret in it, and whether anything was.
func (r *redactor) value(t trail, v any) (any, bool) {
	switch w := v.(type) {
	case nil:
		return nil, false
	case map[string]any:
		if !r.named(t.at) {
			return r.maps(t, w)
		}
	case []any:
		if !r.named(t.at) {
			return r.lists(t, w)
		}
	}
	if !t.certain && !r.named(t.at) && !r.sensitive(t, v) {
		return v, false
	}
	return r.tag(v), true
}

func (r *redactor) maps(t trail, m map[string]any) (any, bool) {
	out, hidden := make(map[string]any, len(m)), false
	for name, v := range m {
		w, redacted := r.value(t.field(m, name), v)
		out[name], hidden = w, hidden || redacted
	}
	return out, hidden
}

func (r *redactor) lists(t trail, l []any) (any, bool) {
	out, hidden := make([]any, 0, len(l)), false
	for i, v := range l {
		w, redacted := r.value(r.item(t, i, v), v)
		if _, isText := v.(string); isText && i > 0 && isSecretFlag(l[i-1]) {
			w, redacted = r.tag(v), true
		}
		out, hidden = append(out, w), hidden || redacted
	}
	return out, hidden
}

// sensitive reports whether the plain value may be secret.
func (r *redactor) sensitive(t trail, v any) bool {
	if _, isBool := v.(bool); isBool || len(t.at) == 0 {
		return false
	}
	last := fieldOf(t.at)
	s, isText := v.(string)
	switch {
	case slices.ContainsFunc(r.known, func(secret string) bool { return strings.Contains(s, secret) }):
		return true
	case within(t.at, "metadata", "annotations") && (isCopy(last) || len(s) > longAnnotation):
		return true
	case within(t.at, "metadata", "labels"):
		return false
	case isValue(last) && (isSecretVariable(t.parent) || r.isSecretField(fieldOf(t.at[:len(t.at)-1]))):
		return true
	}
	return r.isSecretField(last) || isText && r.isSecretText(s)
}

// fieldOf returns the name of the field that a path leads to, or that holds the
// list of plain values which it leads into.
func fieldOf(at kspec.Path) string {
	for i, s := range slices.Backward(at) {
		if len(s.Keys) == 0 {
			return at[i].Field
		}
	}
	return ""
}

// isSecretField reports whether a field of that name holds a secret.
func (r *redactor) isSecretField(name string) bool {
	secret, ok := r.fields[name]
	if !ok {
		secret = secretField.MatchString(name)
		r.fields[name] = secret
	}
	return secret
}

// isSecretText reports whether the text holds a secret itself, says which it is,
// or is one of these in base64.
func (r *redactor) isSecretText(s string) bool {
	secret, ok := r.texts[s]
	if !ok {
		secret = showsSecret(s)
		if inner, _ := decoded(s).(string); !secret && inner != s {
			secret = showsSecret(inner)
		}
		r.texts[s] = secret
	}
	return secret
}

// within reports whether path leads through outer/inner to something below.
func within(path kspec.Path, outer, inner string) bool {
	for i := range len(path) - 2 {
		if path[i].Field == outer && path[i+1].Field == inner {
			return true
		}
	}
	return false
}

// keys returns path with the values of list keys replaced that may be secret,
// and whether any was. Place is the same path through an object.
func (r *redactor) keys(path kspec.Path, t trail) (kspec.Path, bool) {
	out, hidden := slices.Clone(path), false
	for i, s := range path {
		out[i].Keys = slices.Clone(s.Keys)
		for n, k := range s.Keys {
			if r.secretKey(t.at[:i+1], k) {
				out[i].Keys[n].Value, hidden = r.tag(k.Value), true
			}
		}
	}
	return out, hidden
}

// secretKey reports whether the key that tells the item at a place from others
// may be secret.
func (r *redactor) secretKey(at kspec.Path, k kspec.Key) bool {
	field := at
	if k.Name != "" {
		field = append(slices.Clip(at), kspec.Step{Field: k.Name})
	}
	return r.named(field) || r.sensitive(trail{at: field}, k.Value)
}

// redact writes both values and the paths of a difference into f, without what
// may be secret. A place that holds a secret in Git, or in the cluster, holds
// one in both.
func (r *redactor) redact(f *kspec.Field, d difference, place kspec.Path, roots ...map[string]any) {
	path := keyed(d.path)
	f.Desired, f.Live = d.want, d.live
	for _, root := range roots {
		t := r.trailTo(root, d.path)
		want, inGit := r.value(t, d.want)
		live, inCluster := r.value(t, d.live)
		if inGit {
			f.Desired = want
		}
		if inCluster {
			f.Live = live
		}
		var inPath bool
		if hidden, ok := r.keys(path, t); ok {
			path, inPath = hidden, true
		}
		if hidden, ok := r.keys(place, t); ok {
			place, inPath = hidden, true
		}
		f.Redacted = f.Redacted || inGit || inCluster || inPath
	}
	f.Path, f.KeyedPath = place.String(), path.String()
}
