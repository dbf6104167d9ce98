package remediate

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/cloudcwfranck/kspec"
)

// expectation is a tree of the fields of one object that may change, and of
// what each must become. A nil expectation allows no change.
type expectation struct {
	field *adopted // at a leaf
	steps []kspec.Step
	below []*expectation
}

func (e *expectation) expect(p kspec.Path, f *adopted) {
	if len(p) == 0 {
		e.field = f
		return
	}
	for i, s := range e.steps {
		if s.String() == p[0].String() {
			e.below[i].expect(p[1:], f)
			return
		}
	}
	next := &expectation{}
	e.steps, e.below = append(e.steps, p[0]), append(e.below, next)
	next.expect(p[1:], f)
}

// check compares an object as it was with what it became. It returns the
// fields that did not become what they must, and whether all else is equal.
func (e *expectation) check(before, after any) (bad []*adopted, equal bool) {
	if e == nil {
		return nil, equalValues(before, after)
	}
	if e.field != nil {
		if !equalValues(e.field.live, after) {
			return []*adopted{e.field}, false
		}
		return nil, true
	}
	restBefore, partsBefore := e.take(before)
	restAfter, partsAfter := e.take(after)
	equal = equalValues(restBefore, restAfter)
	for i, sub := range e.below {
		b, ok := sub.check(partsBefore[i], partsAfter[i])
		bad = append(bad, b...)
		equal = equal && ok
	}
	if !equal && len(bad) == 0 && !equalValues(restBefore, restAfter) {
		bad = e.fields() // a neighbour changed: blame those who came near
	}
	return bad, equal
}

func (e *expectation) fields() []*adopted {
	if e.field != nil {
		return []*adopted{e.field}
	}
	var all []*adopted
	for _, sub := range e.below {
		all = append(all, sub.fields()...)
	}
	return all
}

// take splits a value into the parts that the steps name and the rest. An
// empty or absent collection has the same rest as none at all.
func (e *expectation) take(v any) (rest any, parts []any) {
	parts = make([]any, len(e.steps))
	switch v := v.(type) {
	case map[string]any:
		left := make(map[string]any, len(v))
		for k, x := range v {
			if i := slices.IndexFunc(e.steps, func(s kspec.Step) bool { return len(s.Keys) == 0 && s.Field == k }); i >= 0 {
				parts[i] = x
			} else {
				left[k] = x
			}
		}
		if len(left) == 0 {
			return nil, parts
		}
		return left, parts
	case []any:
		var left []any
		for n, x := range v {
			i := slices.IndexFunc(e.steps, func(s kspec.Step) bool { return names(s, n, x) })
			if i >= 0 && parts[i] == nil {
				parts[i] = x
			} else {
				left = append(left, x)
			}
		}
		if len(left) == 0 {
			return nil, parts
		}
		return left, parts
	case nil:
		return nil, parts
	}
	return v, parts
}

// names reports whether the step names the item x at index n of a list.
func names(s kspec.Step, n int, x any) bool {
	if len(s.Keys) == 0 {
		return s.Field == strconv.Itoa(n)
	}
	agree := 0
	for _, k := range s.Keys {
		if k.Name == "" {
			return fmt.Sprint(x) == k.Value
		}
		m, ok := x.(map[string]any)
		if !ok {
			return false
		}
		if v, ok := m[k.Name]; ok {
			if fmt.Sprint(v) != k.Value {
				return false
			}
			agree++
		}
	}
	return agree > 0
}

// equalValues compares two JSON values; numbers are equal by value.
func equalValues(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k := range x {
			if v, ok := y[k]; !ok || !equalValues(x[k], v) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, equalValues)
	}
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y
	}
	return reflect.DeepEqual(a, b)
}

func number(v any) (float64, bool) {
	switch v := reflect.ValueOf(v); {
	case !v.IsValid():
		return 0, false
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanFloat():
		return v.Float(), true
	}
	return 0, false
}
