package compare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/cloudcwfranck/kspec"
)

// This file tells what people put into an object from what the server puts there
// by itself: by dry runs that take it away.

// takeAway finds out which of the fields that people's tools own are more than
// defaults, and settles. It returns false when the object is not what was
// observed any more.
func (s *sweep) takeAway(ctx context.Context, o *subject, look Look) bool {
	v, err := open(look, s.rules)
	if err != nil {
		o.unknown = scrub(err.Error())
		return true
	}
	current, err := s.probe(ctx, o, v)
	if !current {
		return false
	}
	o.judged(v)
	if err != nil { // keep what is certain
		o.findings = slices.DeleteFunc(o.findings, func(f kspec.Finding) bool { return f.Verdict == kspec.ExtraField })
		s.unknown(o, "dry-run", err)
	}
	if errors.Is(err, errTooMany) {
		o.unknown = "dry-run: " + err.Error()
	}
	return true
}

// mostProbed bounds the dry runs about one object: whoever may write it could
// else keep kspec from looking at all others.
const mostProbed = 200

var errTooMany = fmt.Errorf("people own more than %d fields that Git does not set, and the server does not let them go at once", mostProbed)

// probe asks, by dry runs without them, which intrusions the server would put
// there by itself. It returns false when the object is not what was observed
// any more, and an error when the server did not answer.
func (s *sweep) probe(ctx context.Context, o *subject, v *view) (current bool, err error) {
	var paths []fieldpath.Path
	for _, d := range v.intruded() {
		if !neverDefault(d.path) {
			paths = append(paths, d.path)
		}
	}
	if len(paths) == 0 {
		return true, nil
	}
	reply, err := s.without(ctx, o, paths...)
	switch {
	case outdated(err) || err == nil && !sameVersion(reply, o.live):
		return false, nil
	case err != nil && (transient(err) || denied(err)):
		return true, err
	case err != nil && len(paths) > mostProbed:
		return true, errTooMany
	case err != nil:
		return s.oneByOne(ctx, o, v, paths)
	}
	v.Without = reply
	return true, nil
}

// oneByOne takes intrusions away one at a time, because the server refused all
// at once. One that it does not let go alone is none of its defaults.
func (s *sweep) oneByOne(ctx context.Context, o *subject, v *view, paths []fieldpath.Path) (current bool, err error) {
	v.Without = o.live
	for _, p := range paths {
		reply, err := s.without(ctx, o, p)
		if outer := emptied(o.live.Object, paths, p); apierrors.IsInvalid(err) && len(outer) < len(p) {
			reply, err = s.without(ctx, o, outer)
		}
		switch {
		case outdated(err) || err == nil && !sameVersion(reply, o.live):
			return false, nil
		case err != nil && (transient(err) || denied(err)):
			return true, err
		case err != nil || !sameAt(p, reply, o.live):
			v.Kept = append(v.Kept, p)
		}
	}
	return true, nil
}

// sameAt reports whether both objects have the same at the place.
func sameAt(p fieldpath.Path, a, b *unstructured.Unstructured) bool {
	x, inA := lookup(a.Object, p)
	y, inB := lookup(b.Object, p)
	return inA == inB && same(x, y)
}

// neverDefault reports whether no API server sets a field by default.
func neverDefault(p fieldpath.Path) bool { return startsWith(p, "metadata") }

func startsWith(p fieldpath.Path, field string) bool {
	return len(p) > 0 && p[0].FieldName != nil && *p[0].FieldName == field
}

// without asks what the object would be without the paths.
func (s *sweep) without(ctx context.Context, o *subject, paths ...fieldpath.Path) (*unstructured.Unstructured, error) {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value string `json:"value,omitempty"`
	}
	// Being told the version, the server refuses with a conflict when the
	// object has become another.
	operations := []operation{{"replace", "/metadata/resourceVersion", o.live.GetResourceVersion()}}
	var places []kspec.Path
	for _, p := range paths {
		places = append(places, pointer(o.live.Object, p))
	}
	slices.SortFunc(places, fromTheEnd) // so that no index shifts another
	for _, p := range places {
		operations = append(operations, operation{Op: "remove", Path: jsonPointer(p)})
	}
	body, err := json.Marshal(operations)
	if err != nil {
		return nil, err
	}
	return s.dryRun(ctx, o, patch{types.JSONPatchType, body, "kspec"})
}

// emptied returns the outermost map that would be left without any field if all
// paths were taken away, and p when there is none: an empty map is something to
// the server, and it may demand fields in it that it sets by default where
// there is none.
func emptied(live map[string]any, paths []fieldpath.Path, p fieldpath.Path) fieldpath.Path {
	taken := fieldpath.NewSet(paths...)
	for len(p) > 2 && p[len(p)-2].FieldName != nil && takes(taken, live, p[:len(p)-1]) {
		p = p[:len(p)-1]
		taken.Insert(p)
	}
	return p
}

// takes reports whether taken has every field of the map at the place.
func takes(taken *fieldpath.Set, live map[string]any, at fieldpath.Path) bool {
	v, _ := lookup(live, at)
	m, _ := v.(map[string]any)
	for k := range m {
		if !taken.Has(below(at, fieldpath.FieldNameElement(k))) {
			return false
		}
	}
	return len(m) > 0
}

// fromTheEnd orders paths so that later items of a list come first.
func fromTheEnd(a, b kspec.Path) int {
	for i := range min(len(a), len(b)) {
		x, errX := strconv.Atoi(a[i].Field)
		y, errY := strconv.Atoi(b[i].Field)
		switch {
		case errX == nil && errY == nil && x != y:
			return y - x
		case a[i].Field != b[i].Field:
			return strings.Compare(b[i].Field, a[i].Field)
		}
	}
	return len(b) - len(a)
}

// jsonPointer writes a path of fields and indexes strictly as RFC 6901 wants.
func jsonPointer(p kspec.Path) string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	var b strings.Builder
	for _, s := range p {
		b.WriteString("/" + escape.Replace(s.Field))
	}
	return b.String()
}
