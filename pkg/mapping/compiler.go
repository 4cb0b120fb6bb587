package mapping

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// What one expression may use. A comparison costs about 1, so the limit is far
// above any mapping a person writes and far below what a batch would notice.
// Cost decides, because it is the same on every run; the time is a last resort
// that no cost-limited expression reaches on a machine that works.
const (
	maxExpression = 4096
	maxDepth      = 50
	maxCost       = 100_000
	maxTime       = 5 * time.Second
	checkEvery    = 100
	maxFilters    = 10_000
)

// Compiler compiles expressions and remembers the result for each version of a
// mapping. It is safe for concurrent use.
type Compiler struct {
	model *model
	envs  map[canonical.Entity]*cel.Env

	mu       sync.Mutex
	mappings map[mappingKey]compiled
	filters  map[filterKey]*Filter
}

type mappingKey struct {
	tenant record.TenantID
	entity canonical.Entity
	app    string
}

// compiled remembers refusals too: a mapping that does not compile must not
// cost a compilation for each record.
type compiled struct {
	source  *controlplane.Mapping
	mapping *Mapping
	err     error
}

type filterKey struct {
	entity canonical.Entity
	when   string
}

// NewCompiler prepares the types of all canonical entities.
func NewCompiler() (*Compiler, error) {
	m, err := newModel()
	if err != nil {
		return nil, fmt.Errorf("types of the canonical model: %w", err)
	}
	base, err := cel.NewEnv(append(moneyFunctions(),
		cel.CustomTypeProvider(m),
		cel.CustomTypeAdapter(m.Registry),
		cel.Variable("source", sourceType()),
		cel.Function("text", cel.Overload("text_string", []*cel.Type{cel.NullableType(cel.StringType)}, cel.StringType, cel.UnaryBinding(text))),
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.ParserRecursionLimit(maxDepth),
		ext.Strings(ext.StringsVersion(4)),
	)...)
	if err != nil {
		return nil, fmt.Errorf("CEL environment: %w", err)
	}
	c := &Compiler{model: m, envs: map[canonical.Entity]*cel.Env{}, mappings: map[mappingKey]compiled{}, filters: map[filterKey]*Filter{}}
	for _, e := range canonical.All() {
		v, err := canonical.Decode(e, []byte("{}"))
		if err != nil {
			return nil, err
		}
		o, err := m.value(v)
		if err != nil {
			return nil, err
		}
		if c.envs[e], err = base.Extend(cel.Variable("entity", o.s.typ)); err != nil {
			return nil, fmt.Errorf("CEL environment of %s: %w", e, err)
		}
	}
	return c, nil
}

// Compile checks one mapping against an app's objects, for whoever has no
// Compiler at hand.
func Compile(m *controlplane.Mapping, schemas []integration.ObjectSchema) (*Mapping, error) {
	c, err := NewCompiler()
	if err != nil {
		return nil, err
	}
	return c.compile(m, schemas)
}

// CompileFilter checks the condition of one route.
func CompileFilter(e canonical.Entity, when string) (*Filter, error) {
	c, err := NewCompiler()
	if err != nil {
		return nil, err
	}
	return c.filter(e, when)
}

// Mapping compiles a mapping once for each version.
func (c *Compiler) Mapping(m *controlplane.Mapping, schemas []integration.ObjectSchema) (*Mapping, error) {
	key := mappingKey{m.Tenant, m.Entity, m.App}
	c.mu.Lock()
	defer c.mu.Unlock()
	old, ok := c.mappings[key]
	if ok && old.source == m {
		return old.mapping, old.err
	}
	// A new snapshot holds the mapping at another address. The version alone
	// would not do: a restored database counts the same versions again.
	if ok && old.source.Version == m.Version && maps.Equal(old.source.Fields, m.Fields) && slices.Equal(old.source.Required, m.Required) {
		old.source = m
		c.mappings[key] = old
		return old.mapping, old.err
	}
	out, err := c.compile(m, schemas)
	c.mappings[key] = compiled{source: m, mapping: out, err: err}
	return out, err
}

// Filter compiles a route's condition once.
func (c *Compiler) Filter(e canonical.Entity, when string) (*Filter, error) {
	key := filterKey{e, when}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.filters[key]; ok {
		return f, nil
	}
	f, err := c.filter(e, when)
	if err != nil {
		return nil, err
	}
	if len(c.filters) >= maxFilters {
		clear(c.filters)
	}
	c.filters[key] = f
	return f, nil
}

func (c *Compiler) filter(e canonical.Entity, when string) (*Filter, error) {
	env, ok := c.envs[e]
	if !ok {
		return nil, fmt.Errorf("there is no entity %q; expected one of %s", e, entityNames())
	}
	p, out, err := program(env, e, when)
	if err != nil {
		return nil, fmt.Errorf("when: %w", err)
	}
	if !out.IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("when: line 1, column 1: the condition gives %s, expected true or false", cel.FormatCELType(out))
	}
	return &Filter{model: c.model, program: p}, nil
}

// program compiles one expression and says where it went wrong.
func program(env *cel.Env, e canonical.Entity, expression string) (cel.Program, *cel.Type, error) {
	checked, issues := env.Compile(expression)
	if issues != nil && len(issues.Errors()) > 0 {
		var errs []error
		for _, i := range issues.Errors() {
			errs = append(errs, fmt.Errorf("line %d, column %d: %s", i.Location.Line(), i.Location.Column()+1, explain(i.Message, e)))
		}
		return nil, nil, errors.Join(errs...)
	}
	if at := testsSource(checked.NativeRep()); at != "" {
		return nil, nil, fmt.Errorf("%s: has() on source is always true; expected source.Field != null", at)
	}
	p, err := env.Program(checked, cel.CostLimit(maxCost), cel.InterruptCheckFrequency(checkEvery), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, nil, fmt.Errorf("line 1, column 1: %w", err)
	}
	return p, checked.OutputType(), nil
}

// explain adds what was expected to the compiler's own words.
func explain(message string, e canonical.Entity) string {
	switch {
	case strings.HasPrefix(message, "undefined field"):
		return message + fmt.Sprintf("; expected a field of %s as the canonical model names it", e)
	case strings.HasPrefix(message, "undeclared reference"):
		return message + "; expected entity, source or a function"
	case strings.Contains(message, "money") && strings.Contains(message, "double"):
		return message + "; expected money: write money(\"1.05\") instead of a double"
	}
	return message
}

// testsSource finds has(source.Field), which could not tell a missing field.
func testsSource(a *ast.AST) string {
	at := ""
	ast.PostOrderVisit(a.Expr(), ast.NewExprVisitor(func(x ast.Expr) {
		if x.Kind() != ast.SelectKind || !x.AsSelect().IsTestOnly() {
			return
		}
		if on := x.AsSelect().Operand(); on.Kind() == ast.IdentKind && on.AsIdent() == "source" {
			l := a.SourceInfo().GetStartLocation(x.ID())
			at = fmt.Sprintf("line %d, column %d", l.Line(), l.Column()+1)
		}
	}))
	return at
}

func entityNames() string {
	var names []string
	for _, e := range canonical.All() {
		names = append(names, string(e))
	}
	return strings.Join(names, ", ")
}

func text(v ref.Val) ref.Val {
	if s, ok := v.(types.String); ok {
		return s
	}
	return types.String("")
}
