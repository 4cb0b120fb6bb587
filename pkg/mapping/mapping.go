package mapping

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// Mapping is a tenant's overrides of one entity's fields at one app.
type Mapping struct {
	Required []string // destination paths that must not be empty
	Version  int64

	model  *model
	entity canonical.Entity
	fields []override
}

type override struct {
	path    string
	program cel.Program
}

// FieldError says which field's expression failed on a record.
type FieldError struct {
	Field string
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

func (e *FieldError) Unwrap() error { return e.Err }

func (c *Compiler) compile(m *controlplane.Mapping, schemas []integration.ObjectSchema) (*Mapping, error) {
	env, ok := c.envs[m.Entity]
	if !ok {
		return nil, fmt.Errorf("mapping to %s: there is no entity %q; expected one of %s", m.App, m.Entity, entityNames())
	}
	schemas = slices.DeleteFunc(slices.Clone(schemas), func(s integration.ObjectSchema) bool { return !slices.Contains(s.Entities, m.Entity) })
	if len(schemas) == 0 {
		return nil, fmt.Errorf("mapping of %s: %s has no object for it", m.Entity, m.App)
	}
	out := &Mapping{Required: m.Required, Version: m.Version, model: c.model, entity: m.Entity}
	var errs []error
	for _, path := range slices.Sorted(maps.Keys(m.Fields)) {
		if err := checkPath(path, schemas); err != nil {
			errs = append(errs, fmt.Errorf("fields.%s: %w", path, err))
			continue
		}
		p, typ, err := program(env, m.Entity, m.Fields[path])
		if err == nil {
			err = checkResult(typ)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("fields.%s: %w", path, err))
			continue
		}
		out.fields = append(out.fields, override{path, p})
	}
	for _, path := range m.Required {
		if err := checkPath(path, schemas); err != nil {
			errs = append(errs, fmt.Errorf("required: %s: %w", path, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("mapping of %s to %s: %w", m.Entity, m.App, err)
	}
	return out, nil
}

// checkPath finds paths that cannot be meant.
func checkPath(path string, schemas []integration.ObjectSchema) error {
	for part := range strings.SplitSeq(path, ".") {
		if part == "" || strings.ContainsAny(part, " \t\n[]()\"'") {
			return errors.New("not a field path; expected names joined by dots, like BillAddr.City")
		}
	}
	head, _, _ := strings.Cut(path, ".")
	near := ""
	for _, s := range schemas {
		for _, f := range s.Fields {
			known, _, _ := strings.Cut(f.Path, ".")
			if f.Path == path || known == head {
				return nil
			}
			if closeTo(known, head) {
				near = known
			}
		}
	}
	switch open := slices.ContainsFunc(schemas, func(s integration.ObjectSchema) bool { return s.Open }); {
	case near != "" && (!open || strings.EqualFold(near, head)):
		return fmt.Errorf("%s has no such field; expected %s", schemas[0].Object, near)
	case open:
		return nil
	}
	var known []string
	for _, f := range schemas[0].Fields {
		name, _, _ := strings.Cut(f.Path, ".")
		if !slices.Contains(known, name) {
			known = append(known, name)
		}
	}
	slices.Sort(known)
	return fmt.Errorf("%s has no such field; expected one of %s", schemas[0].Object, strings.Join(known, ", "))
}

// closeTo reports names that differ by case or by two letters at most.
func closeTo(a, b string) bool {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if a == b {
		return true
	}
	if len(a) < 4 || len(b) > 100 || max(len(a)-len(b), len(b)-len(a)) > 2 {
		return false
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)] <= 2
}

// checkResult refuses types no destination field can hold.
func checkResult(t *cel.Type) error {
	name := cel.FormatCELType(t)
	switch t.Kind() {
	case types.DoubleKind:
		return errors.New("line 1, column 1: the expression gives a double, expected money(), an int or text")
	case types.TimestampKind, types.DurationKind, types.BytesKind, types.TypeKind:
		return fmt.Errorf("line 1, column 1: the expression gives a %s, expected text: string(…)", name)
	case types.StructKind:
		if name != moneyType().TypeName() {
			return fmt.Errorf("line 1, column 1: the expression gives a whole %s, expected one of its fields", name)
		}
	case types.DynKind, types.AnyKind, types.BoolKind, types.IntKind, types.ListKind, types.MapKind, types.NullTypeKind, types.StringKind,
		types.UintKind, types.OpaqueKind, types.ErrorKind, types.TypeParamKind, types.UnknownKind, types.UnspecifiedKind:
	}
	return nil
}

// Apply sets the overridden fields of an object from the entity this mapping
// is for. Where a field is overridden, no reference is resolved into it. An
// error is a *FieldError: the record's data do not suit the expression.
func (m *Mapping) Apply(ctx context.Context, o *integration.Object, in integration.Source) error {
	if len(m.fields) == 0 {
		return nil
	}
	i := slices.IndexFunc(in.Entities, func(e integration.Entity) bool { return e.Entity == m.entity })
	if i < 0 {
		return nil
	}
	entity, err := m.model.value(in.Entities[i].Value)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	vars := map[string]any{"entity": entity, "source": source{in.Fields}}
	for _, f := range m.fields {
		out, _, err := f.program.ContextEval(ctx, vars)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("mapping of %s: %w", f.path, ctx.Err()) // says nothing about the record
		case err != nil:
			return &FieldError{f.path, err}
		}
		v, err := native(out, 0)
		if err != nil {
			return &FieldError{f.path, err}
		}
		if err := integration.Set(o.Payload, f.path, v); err != nil {
			return &FieldError{f.path, err}
		}
		o.References = slices.DeleteFunc(o.References, func(r record.Reference) bool {
			return r.Path == f.path || strings.HasPrefix(r.Path, f.path+".")
		})
	}
	return nil
}

// native turns a result into what a payload holds.
func native(v ref.Val, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("the result is nested too deep")
	}
	switch t := v.(type) {
	case types.Null:
		return nil, nil
	case types.String:
		return string(t), nil
	case types.Bool:
		return bool(t), nil
	case types.Int:
		return json.Number(fmt.Sprint(int64(t))), nil
	case types.Uint:
		return json.Number(fmt.Sprint(uint64(t))), nil
	case money:
		return json.Number(t.m.String()), nil
	case traits.Mapper:
		out := map[string]any{}
		for it := t.Iterator(); it.HasNext() == types.True; {
			k := it.Next()
			name, ok := k.(types.String)
			if !ok {
				return nil, errors.New("the result has a key that is not text")
			}
			e, err := native(t.Get(k), depth+1)
			if err != nil {
				return nil, err
			}
			out[string(name)] = e
		}
		return out, nil
	case traits.Lister:
		out := []any{}
		for it := t.Iterator(); it.HasNext() == types.True; {
			e, err := native(it.Next(), depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, e)
		}
		return out, nil
	}
	return nil, fmt.Errorf("the expression gave a %s, expected text, money, a whole number, true or false", v.Type().TypeName())
}

// Filter is the condition of a route.
type Filter struct {
	model   *model
	program cel.Program
}

// Match reports whether a record's entity passes. A *FieldError means that the
// record's data do not suit the condition.
func (f *Filter) Match(ctx context.Context, e integration.Entity, fields []record.Field) (bool, error) {
	entity, err := f.model.value(e.Value)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	out, _, err := f.program.ContextEval(ctx, map[string]any{"entity": entity, "source": source{fields}})
	switch {
	case ctx.Err() != nil:
		return false, fmt.Errorf("condition of a route: %w", ctx.Err())
	case err != nil:
		return false, &FieldError{"when", err}
	}
	return out == types.True, nil
}
