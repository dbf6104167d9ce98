package compare

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/itchyny/gojq"

	"github.com/cloudcwfranck/kspec"
)

// This file reads jq expressions that stand in an Application of Argo CD, which
// anyone who may write one chose. They are only ever asked for the places that
// they name. What defines functions, loops or makes large values is refused
// before it runs, the rest has little time.

const (
	longestQuery = 4 << 10
	queryTime    = 200 * time.Millisecond
	mostPlaces   = 10_000
)

// query is a jq expression that names places.
type query struct {
	text string
	code *gojq.Code
}

// compileQuery returns the expression ready to run.
func compileQuery(text string) (*query, error) {
	if len(text) > longestQuery {
		return nil, fmt.Errorf("jq expression of more than %d characters", longestQuery)
	}
	parsed, err := gojq.Parse("path(" + text + ")")
	if err != nil {
		return nil, errors.New("jq expression that cannot be read")
	}
	if !tame(parsed) {
		return nil, errors.New("jq expression with definitions, loops or functions that kspec does not run")
	}
	code, err := gojq.Compile(parsed)
	if err != nil {
		return nil, errors.New("jq expression that cannot be compiled")
	}
	return &query{text, code}, nil
}

// errSlow says that an expression took too long or named too much.
var errSlow = errors.New("jq expression that takes too long")

// places returns the places in doc, which must be of [plainJSON], that q names.
// An expression that does not fit the object, such as one that iterates over
// what is not there, names none: so it is for Argo CD.
func (q *query) places(ctx context.Context, doc any) ([]kspec.Path, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	var all []kspec.Path
	for it := q.code.RunWithContext(ctx, doc); ; {
		v, ok := it.Next()
		if !ok {
			return all, nil
		}
		if ctx.Err() != nil || len(all) >= mostPlaces {
			return nil, errSlow
		}
		if _, failed := v.(error); failed {
			return nil, nil
		}
		if p, ok := pathOf(v); ok {
			all = append(all, p)
		}
	}
}

func pathOf(v any) (kspec.Path, bool) {
	steps, ok := v.([]any)
	p := make(kspec.Path, 0, len(steps))
	for _, s := range steps {
		switch s := s.(type) {
		case string:
			p = append(p, kspec.Step{Field: s})
		case int:
			p = append(p, kspec.Step{Field: strconv.Itoa(s)})
		default: // a slice of a list: no one place
			return nil, false
		}
	}
	return p, ok
}

// plainJSON returns a copy of a JSON value with the types of numbers that jq
// knows.
func plainJSON(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, field := range v {
			m[k] = plainJSON(field)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, item := range v {
			l[i] = plainJSON(item)
		}
		return l
	case int64:
		return int(v)
	case nil, bool, string, int, float64:
		return v
	}
	return fmt.Sprint(v)
}

// harmless are the functions that an expression may call.
func harmless() []string {
	return []string{
		"path", "select", "not", "empty", "true", "false", "null", "any", "all", "has", "in", "contains", "inside",
		"length", "type", "keys", "keys_unsorted", "values", "nulls", "strings", "numbers", "booleans", "arrays", "objects",
		"scalars", "iterables", "startswith", "endswith", "test", "index", "ascii_downcase", "ascii_upcase",
		"tostring", "tonumber", "first", "last", "recurse", "getpath", "map", "IN", "ltrimstr", "rtrimstr",
		"to_entries", "split", "min", "max", "unique", "sort", "error",
	}
}

// tame reports whether nothing in the expression defines, loops or multiplies.
func tame(q *gojq.Query) bool {
	if q == nil {
		return true
	}
	if q.Meta != nil || len(q.Imports)+len(q.FuncDefs)+len(q.Patterns) > 0 || !tame(q.Left) || !tame(q.Right) || !tameTerm(q.Term) {
		return false
	}
	switch q.Op {
	case 0, gojq.OpPipe, gojq.OpComma, gojq.OpEq, gojq.OpNe, gojq.OpGt, gojq.OpLt, gojq.OpGe, gojq.OpLe, gojq.OpAnd, gojq.OpOr, gojq.OpAlt:
		return true
	default:
		return false
	}
}

func tameTerm(t *gojq.Term) bool {
	switch {
	case t == nil:
		return true
	case t.Reduce != nil, t.Foreach != nil, t.Label != nil, t.Break != "", t.Object != nil, t.Unary != nil:
		return false
	case t.Format != "", !tameString(t.Str), !tameIndex(t.Index), !tame(t.Query):
		return false
	case t.Func != nil && !tameCall(t.Func),
		t.Array != nil && !tame(t.Array.Query),
		t.Try != nil && (!tame(t.Try.Body) || !tame(t.Try.Catch)):
		return false
	}
	return tameIf(t.If) && !slices.ContainsFunc(t.SuffixList, func(s *gojq.Suffix) bool { return !tameIndex(s.Index) })
}

func tameIf(i *gojq.If) bool {
	return i == nil || tame(i.Cond) && tame(i.Then) && tame(i.Else) &&
		!slices.ContainsFunc(i.Elif, func(e *gojq.IfElif) bool { return !tame(e.Cond) || !tame(e.Then) })
}

func tameCall(f *gojq.Func) bool {
	if f.Name == "recurse" && len(f.Args) > 0 {
		return false // may go on for ever
	}
	return slices.Contains(harmless(), f.Name) && !slices.ContainsFunc(f.Args, func(q *gojq.Query) bool { return !tame(q) })
}

func tameIndex(i *gojq.Index) bool {
	return i == nil || tameString(i.Str) && tame(i.Start) && tame(i.End)
}

// tameString reports whether a string has nothing to be filled in.
func tameString(s *gojq.String) bool { return s == nil || len(s.Queries) == 0 }
