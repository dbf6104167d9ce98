package cel

import (
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
)

// needs are what the expressions of a policy ask for that only a request has:
// "" for nothing, or a sentence that says what.
type needs struct {
	// conditions are the match conditions together, validations one by one.
	conditions  string
	validations []string
	// namespace tells which validations read the namespace object.
	namespace []bool
}

// asks is what one expression asks for, itself or by a variable.
type asks struct {
	context   string
	namespace bool
}

func (a asks) and(b asks) asks {
	if a.context == "" {
		a.context = b.context
	}
	a.namespace = a.namespace || b.namespace
	return a
}

func needsOf(env *cel.Env, variables, conditions, validations []*expression) needs {
	known := map[string]asks{}
	for _, v := range variables {
		known[v.name] = asksOf(env, v.text, known)
	}
	var n needs
	var all asks
	for _, e := range conditions {
		all = all.and(asksOf(env, e.text, known))
	}
	n.conditions = all.context
	for _, e := range validations {
		a := asksOf(env, e.text, known)
		n.validations = append(n.validations, a.context)
		n.namespace = append(n.namespace, a.namespace)
	}
	return n
}

// asksOf reads an expression. One that does not parse asks for nothing, and is
// told of elsewhere.
func asksOf(env *cel.Env, text string, variables map[string]asks) asks {
	parsed, issues := env.Parse(text)
	if issues.Err() != nil {
		return asks{}
	}
	var a asks
	ast.PreOrderVisit(parsed.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.IdentKind {
			a = a.and(asksOfName(e.AsIdent()))
		}
		if of, field := fieldOf(e); of != nil {
			a = a.and(asksOfField(of, field, variables))
		}
	}))
	return a
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
	field, _ := args[1].AsLiteral().Value().(string)
	return args[0], field
}

func asksOfName(name string) asks {
	switch name {
	case "authorizer":
		return asks{context: "needs the authorizer of an admission request"}
	case "namespaceObject":
		return asks{namespace: true}
	}
	return asks{}
}

func asksOfField(of ast.Expr, field string, variables map[string]asks) asks {
	if of.Kind() != ast.IdentKind {
		return asks{}
	}
	switch of.AsIdent() {
	case "variables":
		return variables[field]
	case "request":
		switch field {
		case "userInfo", "options", "dryRun":
			return asks{context: "needs request." + field + " of an admission request"}
		}
	}
	return asks{}
}
