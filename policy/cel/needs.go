package cel

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
)

// asks is what an expression needs to know, itself or by a variable, beside the
// object.
type asks struct {
	// context says what only the request has, or the cluster; "" for nothing.
	context string
	// namespace is true when the name or the labels of the namespace count.
	namespace bool
}

func (a asks) and(b asks) asks {
	return asks{cmp.Or(a.context, b.context), a.namespace || b.namespace}
}

// asker finds out what the expressions of a policy ask for.
type asker struct {
	env       *cel.Env
	variables map[string]asks
}

func newAsker(env *cel.Env, variables []*expression) *asker {
	a := &asker{env, map[string]asks{}}
	for _, v := range variables {
		a.variables[v.name] = a.asks(v)
	}
	return a
}

func (a *asker) all(expressions []*expression) []asks {
	all := make([]asks, len(expressions))
	for i, e := range expressions {
		all[i] = a.asks(e)
	}
	return all
}

// asks reads an expression. One that does not parse asks for nothing, and is
// told of elsewhere.
func (a *asker) asks(e *expression) asks {
	parsed, issues := a.env.Parse(e.text)
	if issues.Err() != nil {
		return asks{}
	}
	var found asks
	within := map[int64]bool{} // what a longer path goes through
	ast.PreOrderVisit(parsed.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if within[e.ID()] {
			return
		}
		var path []string
		for of, field := fieldOf(e); of != nil; of, field = fieldOf(e) {
			path = append([]string{field}, path...)
			within[of.ID()] = true
			e = of
		}
		if e.Kind() == ast.IdentKind {
			found = found.and(a.asksOf(e.AsIdent(), path))
		}
	}))
	return found
}

// fieldOf returns what a.b, a.?b, a["b"] and a[?"b"] select from, and which
// field; nil for anything else.
func fieldOf(e ast.Expr) (ast.Expr, string) {
	if e.Kind() == ast.SelectKind {
		return e.AsSelect().Operand(), e.AsSelect().FieldName()
	}
	if e.Kind() != ast.CallKind || !slices.Contains([]string{operators.Index, operators.OptIndex, operators.OptSelect}, e.AsCall().FunctionName()) {
		return nil, ""
	}
	args := e.AsCall().Args()
	if len(args) != 2 || args[1].Kind() != ast.LiteralKind {
		return nil, ""
	}
	field, ok := args[1].AsLiteral().Value().(string)
	if !ok {
		return nil, ""
	}
	return args[0], field
}

// asksOf is what a name asks for, with the fields that are selected of it. What
// is used as a whole may be asked for anything that it has.
func (a *asker) asksOf(name string, path []string) asks {
	field := strings.Join(path, ".")
	switch name {
	case "authorizer":
		return asks{context: "needs the authorizer of an admission request"}
	case "request":
		if len(path) == 0 {
			return asks{context: "needs the whole of an admission request"}
		}
		if slices.Contains([]string{"userInfo", "options", "dryRun"}, path[0]) {
			return asks{context: "needs request." + path[0] + " of an admission request"}
		}
	case "namespaceObject":
		if field == "metadata.name" || field == "metadata.labels" || strings.HasPrefix(field, "metadata.labels.") {
			return asks{namespace: true}
		}
		return asks{context: "needs more of the namespace than its name and labels"}
	case "variables":
		if len(path) > 0 {
			return a.variables[path[0]]
		}
		var every asks
		for _, name := range slices.Sorted(maps.Keys(a.variables)) {
			every = every.and(a.variables[name])
		}
		return every
	}
	return asks{}
}
