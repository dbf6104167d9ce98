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
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	plugin "k8s.io/apiserver/pkg/admission/plugin/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// This file is all that touches the API server's CEL plug-in, whose Go API has
// no promise of staying as it is.

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
	errs  []CompileError
	needs needs

	conditions, validations, messages plugin.ConditionEvaluator
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

func (c *Compiler) compile(spec *admissionv1.ValidatingAdmissionPolicySpec) (*program, error) {
	compiler, err := plugin.NewCompositedCompiler(c.base)
	if err != nil {
		return nil, err
	}
	p := &program{spec: spec}
	decls := plugin.OptionalVariableDeclarations{HasParams: spec.ParamKind != nil, HasAuthorizer: true}
	variables, conditions, validations, messages := expressionsOf(spec)
	for _, v := range variables {
		result := compiler.CompileAndStoreVariable(v, decls, environment.StoredExpressions)
		if result.Error != nil {
			p.errs = append(p.errs, compileErrors(v, result.Error)...)
		}
	}
	condition := func(all []*expression, decls plugin.OptionalVariableDeclarations) plugin.ConditionEvaluator {
		accessors := make([]plugin.ExpressionAccessor, len(all))
		for i, e := range all {
			if e.text == "" {
				continue // the plug-in passes over nil
			}
			accessors[i] = e
		}
		evaluator := compiler.CompileCondition(accessors, decls, environment.StoredExpressions)
		for i := 0; i < len(all) && len(evaluator.CompilationErrors()) > 0; i++ { // which do not say of which expression they are
			if result := compiler.CompileCELExpression(all[i], decls, environment.StoredExpressions); result.Error != nil && all[i].text != "" {
				p.errs = append(p.errs, compileErrors(all[i], result.Error)...)
			}
		}
		return evaluator
	}
	p.conditions = condition(conditions, decls)
	p.validations = condition(validations, decls)
	p.messages = condition(messages, plugin.OptionalVariableDeclarations{HasParams: decls.HasParams})
	p.needs = needsOf(c.base.StoredExpressionsEnv(), variables, conditions, validations)
	return p, nil
}

// expressionsOf lists the expressions of a policy by what they are for.
func expressionsOf(spec *admissionv1.ValidatingAdmissionPolicySpec) (variables, conditions, validations, messages []*expression) {
	boolean, text := []*cel.Type{cel.BoolType}, []*cel.Type{cel.StringType}
	for i, v := range spec.Variables {
		variables = append(variables, &expression{v.Name, v.Expression, fmt.Sprintf("spec.variables[%d].expression", i), []*cel.Type{cel.AnyType, cel.DynType}})
	}
	for i, m := range spec.MatchConditions {
		conditions = append(conditions, &expression{m.Name, m.Expression, fmt.Sprintf("spec.matchConditions[%d].expression", i), boolean})
	}
	for i, v := range spec.Validations {
		at := fmt.Sprintf("spec.validations[%d].", i)
		validations = append(validations, &expression{"", v.Expression, at + "expression", boolean})
		messages = append(messages, &expression{"", v.MessageExpression, at + "messageExpression", text})
	}
	return variables, conditions, validations, messages
}

// compileErrors lists the mistakes of an expression, each with its place.
func compileErrors(e *expression, err *apiservercel.Error) []CompileError {
	var compilation *apiservercel.CompilationError
	if !errors.As(err.Cause, &compilation) {
		return []CompileError{{Field: e.field, Line: 1, Column: 1, Msg: err.Detail}}
	}
	var all []CompileError
	for _, issue := range compilation.Issues.Errors() {
		all = append(all, CompileError{
			Field: e.field, Line: issue.Location.Line(), Column: issue.Location.Column() + 1, Msg: issue.Message,
		})
	}
	return all
}

// run evaluates a policy that compiles and is for the object.
func (p *program) run(ctx context.Context, r *request) Result {
	conditions, _, err := p.conditions.ForInput(ctx, r.attributes, r.review, plugin.OptionalVariableBindings{}, nil, celconfig.RuntimeCELCostBudgetMatchConditions)
	if err != nil {
		return Result{Verdict: Error, Reason: err.Error()}
	}
	failed := Result{Verdict: Pass}
	for i, c := range conditions {
		switch {
		case c.Error != nil:
			failed = Result{Verdict: Error, Reason: c.Error.Error()}
		case c.EvalResult != celtypes.True: // before an error of another, as in the API server
			return Result{Verdict: Skip, Reason: fmt.Sprintf("the match condition %q does not hold", p.spec.MatchConditions[i].Name)}
		}
	}
	if failed.Verdict == Error {
		return failed
	}
	validations, budget, err := p.validations.ForInput(ctx, r.attributes, r.review, plugin.OptionalVariableBindings{}, r.namespace, celconfig.RuntimeCELCostBudget)
	if err != nil {
		return Result{Verdict: Error, Reason: err.Error()}
	}
	messages, _, err := p.messages.ForInput(ctx, r.attributes, r.review, plugin.OptionalVariableBindings{}, r.namespace, budget)
	if errors.Is(err, apiservercel.ErrOutOfBudget) {
		return Result{Verdict: Error, Reason: "messageExpression: " + err.Error()}
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
	return worst
}

// validation is what one of the validations says.
func (p *program) validation(i int, v, message plugin.EvaluationResult, r *request) Result {
	why := p.needs.validations[i]
	if why == "" && p.needs.namespace[i] && r.namespace == nil {
		why = "needs the namespace, which nobody knows here"
	}
	switch {
	case why != "":
		return Result{Verdict: Skip, Reason: why}
	case v.Error != nil:
		return Result{Verdict: Error, Reason: v.Error.Error()}
	case v.EvalResult == celtypes.True:
		return Result{Verdict: Pass}
	}
	said := p.spec.Validations[i]
	return Result{Verdict: Fail, Message: cmp.Or(
		spoken(message), strings.TrimSpace(said.Message), "failed expression: "+strings.TrimSpace(said.Expression))}
}

// spoken is the text of a message expression, "" where the API server drops it.
func spoken(message plugin.EvaluationResult) string {
	if message.Error != nil || message.EvalResult == nil {
		return ""
	}
	text, _ := message.EvalResult.Value().(string)
	text = strings.TrimSpace(text)
	if len(text) > celconfig.MaxEvaluatedMessageExpressionSizeBytes || strings.Contains(text, "\n") {
		return ""
	}
	return text
}
