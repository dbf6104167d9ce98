package cel

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	celtypes "github.com/google/cel-go/common/types"
	admissionreview "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	plugin "k8s.io/apiserver/pkg/admission/plugin/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// This file and match.go are all that touches the API server's packages, whose Go
// API has no promise of staying as it is.

// Compiler compiles policies, and remembers those that it compiled. It is safe
// for concurrent use.
type Compiler struct {
	base  *environment.EnvSet
	kinds *runtime.Scheme

	mu    sync.Mutex
	known map[[sha256.Size]byte]*program
}

// mostKnown is how many policies a Compiler remembers.
const mostKnown = 4096

// New returns a Compiler.
func New() *Compiler {
	return &Compiler{
		base:  environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()),
		kinds: kinds(),
		known: map[[sha256.Size]byte]*program{},
	}
}

// program is a compiled policy, without its name.
type program struct {
	spec *admissionv1.ValidatingAdmissionPolicySpec
	// errs are of the expressions that do not compile.
	errs []CompileError

	conditions, validations, audits stage
	messages                        plugin.ConditionEvaluator
}

// stage is a number of expressions that are evaluated one after the other.
type stage struct {
	plugin.ConditionEvaluator
	asks []asks
}

// expression is one of a policy, as the plug-in wants to see it.
type expression struct {
	name, text string
	field      string
	types      []*cel.Type
}

func (e *expression) GetName() string          { return e.name }
func (e *expression) GetExpression() string    { return e.text }
func (e *expression) ReturnTypes() []*cel.Type { return e.types }

// program compiles a policy, or remembers that it did, whatever the name was.
func (c *Compiler) program(policy *admissionv1.ValidatingAdmissionPolicy) (*program, error) {
	data, err := json.Marshal(policy.Spec)
	if err != nil {
		return nil, fmt.Errorf("read policy %s: %w", policy.Name, err)
	}
	key := sha256.Sum256(data)
	c.mu.Lock()
	p := c.known[key]
	c.mu.Unlock()
	if p != nil {
		return p, nil
	}
	if p, err = c.compile(&policy.Spec); err != nil {
		return nil, fmt.Errorf("compile policy %s: %w", policy.Name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= mostKnown {
		clear(c.known)
	}
	c.known[key] = p
	return p, nil
}

// compile compiles as the API server does for a policy that is new to it, and may
// not have what only its latest version knows.
func (c *Compiler) compile(spec *admissionv1.ValidatingAdmissionPolicySpec) (*program, error) {
	compiler, err := plugin.NewCompositedCompiler(c.base)
	if err != nil {
		return nil, err
	}
	p := &program{spec: spec}
	decls := plugin.OptionalVariableDeclarations{HasParams: spec.ParamKind != nil, HasAuthorizer: true}
	all := expressionsOf(spec)
	for _, v := range all.variables {
		result := compiler.CompileAndStoreVariable(v, decls, environment.NewExpressions)
		if result.Error != nil {
			p.errs = append(p.errs, compileErrors(v, result.Error)...)
		}
	}
	condition := func(all []*expression, decls plugin.OptionalVariableDeclarations) plugin.ConditionEvaluator {
		var accessors []plugin.ExpressionAccessor
		for i, e := range all {
			if e.text == "" {
				continue // the plug-in passes over nil, and has nothing to do without any
			}
			accessors = append(accessors, make([]plugin.ExpressionAccessor, i+1-len(accessors))...)
			accessors[i] = e
		}
		evaluator := compiler.CompileCondition(accessors, decls, environment.NewExpressions)
		for i := 0; i < len(all) && len(evaluator.CompilationErrors()) > 0; i++ { // which do not say of which expression they are
			if result := compiler.CompileCELExpression(all[i], decls, environment.NewExpressions); result.Error != nil && all[i].text != "" {
				p.errs = append(p.errs, compileErrors(all[i], result.Error)...)
			}
		}
		return evaluator
	}
	asker := newAsker(c.base.NewExpressionsEnv(), all.variables)
	p.conditions = stage{condition(all.conditions, decls), asker.all(all.conditions)}
	p.validations = stage{condition(all.validations, decls), asker.all(all.validations)}
	p.audits = stage{condition(all.audits, decls), asker.all(all.audits)}
	p.messages = condition(all.messages, plugin.OptionalVariableDeclarations{HasParams: decls.HasParams})
	return p, nil
}

// expressions are those of a policy, by what they are for.
type expressions struct{ variables, conditions, validations, messages, audits []*expression }

func expressionsOf(spec *admissionv1.ValidatingAdmissionPolicySpec) expressions {
	var all expressions
	boolean, text := []*cel.Type{cel.BoolType}, []*cel.Type{cel.StringType}
	for i, v := range spec.Variables {
		all.variables = append(all.variables, &expression{v.Name, v.Expression, fmt.Sprintf("spec.variables[%d].expression", i), []*cel.Type{cel.AnyType, cel.DynType}})
	}
	for i, m := range spec.MatchConditions {
		all.conditions = append(all.conditions, &expression{m.Name, m.Expression, fmt.Sprintf("spec.matchConditions[%d].expression", i), boolean})
	}
	for i, v := range spec.Validations {
		at := fmt.Sprintf("spec.validations[%d].", i)
		all.validations = append(all.validations, &expression{"", v.Expression, at + "expression", boolean})
		all.messages = append(all.messages, &expression{"", v.MessageExpression, at + "messageExpression", text})
	}
	for i, a := range spec.AuditAnnotations {
		all.audits = append(all.audits, &expression{a.Key, a.ValueExpression, fmt.Sprintf("spec.auditAnnotations[%d].valueExpression", i), []*cel.Type{cel.StringType, cel.NullType}})
	}
	return all
}

// compileErrors lists the mistakes of an expression, each with its place.
func compileErrors(e *expression, err *apiservercel.Error) []CompileError {
	var compilation *apiservercel.CompilationError
	if !errors.As(err.Cause, &compilation) {
		return []CompileError{{Field: e.field, Line: 1, Column: 1, Msg: err.Detail}}
	}
	var all []CompileError
	for _, issue := range compilation.Issues.Errors() {
		all = append(all, CompileError{ // what is about the whole has no place
			Field: e.field, Line: max(1, issue.Location.Line()), Column: max(1, issue.Location.Column()+1), Msg: issue.Message,
		})
	}
	return all
}

// run evaluates a policy that compiles and is for the object, and reports
// whether its match conditions let it say anything.
func (p *program) run(ctx context.Context, r *request) (Result, bool) {
	before, applies := p.condition(ctx, r)
	if !applies || before.Verdict != Pass {
		return before, applies
	}
	validations, budget, err := r.evaluate(ctx, p.validations, celconfig.RuntimeCELCostBudget)
	if err != nil {
		return Result{Verdict: Error, Reason: err.Error()}, true
	}
	messages, _, err := r.evaluate(ctx, p.messages, budget)
	if errors.Is(err, apiservercel.ErrOutOfBudget) {
		return Result{Verdict: Error, Reason: "messageExpression: " + err.Error()}, true
	}
	worst := Result{Verdict: Pass}
	for i, v := range validations {
		var message plugin.EvaluationResult
		if i < len(messages) {
			message = messages[i]
		}
		one := p.validation(i, v, message, r)
		if one.Verdict == Fail && worst.Verdict == Fail {
			worst.Message += "; " + one.Message
		} else if one.Verdict.rank() > worst.Verdict.rank() {
			worst = one
		}
	}
	if audit := p.audit(ctx, r); audit.Verdict.rank() > worst.Verdict.rank() {
		worst = audit
	}
	return worst, true
}

// evaluator is a [stage] or what is in it.
type evaluator interface {
	ForInput(context.Context, *admission.VersionedAttributes, *admissionreview.AdmissionRequest, plugin.OptionalVariableBindings, *corev1.Namespace, int64) ([]plugin.EvaluationResult, int64, error)
}

// evaluate evaluates expressions, and returns what is left of a budget.
func (r *request) evaluate(ctx context.Context, e evaluator, budget int64) ([]plugin.EvaluationResult, int64, error) {
	return e.ForInput(ctx, r.attributes, r.review, plugin.OptionalVariableBindings{}, r.namespace, budget)
}

// condition evaluates the match conditions. One that does not hold counts before
// an error of another, as in the API server, which does not show them the
// namespace.
func (p *program) condition(ctx context.Context, r *request) (Result, bool) {
	results, _, err := p.conditions.ForInput(ctx, r.attributes, r.review, plugin.OptionalVariableBindings{}, nil, celconfig.RuntimeCELCostBudgetMatchConditions)
	if err != nil {
		return Result{Verdict: Error, Reason: err.Error()}, true
	}
	worst := Result{Verdict: Pass}
	for i, c := range results {
		one := Result{Verdict: Pass}
		switch why := p.conditions.asks[i].context; {
		case why != "":
			one = Result{Verdict: Skip, Reason: why}
		case c.Error != nil:
			one = Result{Verdict: Error, Reason: r.reason(c)}
		case c.EvalResult != celtypes.True:
			return Result{}, false
		}
		if one.Verdict.rank() > worst.Verdict.rank() {
			worst = one
		}
	}
	return worst, true
}

// validation is what one of the validations says.
func (p *program) validation(i int, v, message plugin.EvaluationResult, r *request) Result {
	why := p.validations.asks[i].context
	if why == "" && p.validations.asks[i].namespace && r.namespace == nil {
		why = "needs the namespace, which nobody knows here"
	}
	switch {
	case why != "":
		return Result{Verdict: Skip, Reason: why}
	case v.Error != nil:
		return Result{Verdict: Error, Reason: r.reason(v)}
	case v.EvalResult == celtypes.True:
		return Result{Verdict: Pass}
	}
	said := p.spec.Validations[i]
	return Result{Verdict: Fail, Message: cmp.Or(
		r.spoken(message), strings.TrimSpace(said.Message), "failed expression: "+strings.TrimSpace(said.Expression))}
}

// audit evaluates the audit annotations, whose errors deny as those of
// validations do. One that needs more than the object only records it.
func (p *program) audit(ctx context.Context, r *request) Result {
	results, _, err := r.evaluate(ctx, p.audits, celconfig.RuntimeCELCostBudget)
	if err != nil {
		return Result{Verdict: Error, Reason: "auditAnnotations: " + err.Error()}
	}
	for i, a := range results {
		if asks := p.audits.asks[i]; asks.context != "" || asks.namespace && r.namespace == nil {
			continue
		}
		if a.Error != nil {
			return Result{Verdict: Error, Reason: fmt.Sprintf("auditAnnotations[%d]: %s", i, r.reason(a))}
		}
	}
	return Result{Verdict: Pass}
}

// reason says why an expression fails, without the expression. Of Secrets it does
// not: the functions of CEL repeat in their errors what they were given.
func (r *request) reason(e plugin.EvaluationResult) string {
	text := e.Error.Error()
	_, reason, found := strings.Cut(text, fmt.Sprintf("expression '%v' resulted in error: ", e.ExpressionAccessor.GetExpression()))
	switch {
	case !found:
		return text
	case r.isSecret():
		return "an expression fails, and of a Secret it is not told how"
	}
	return reason
}

// spoken is the text of a message expression, "" where the API server drops it,
// and for Secrets.
func (r *request) spoken(message plugin.EvaluationResult) string {
	if message.Error != nil || message.EvalResult == nil || r.isSecret() {
		return ""
	}
	text, _ := message.EvalResult.Value().(string)
	text = strings.TrimSpace(text)
	if len(text) > celconfig.MaxEvaluatedMessageExpressionSizeBytes || strings.Contains(text, "\n") {
		return ""
	}
	return text
}
