package mapping

import (
	"fmt"
	"reflect"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/fluxnex/fluxnex/pkg/canonical"
)

func moneyType() *cel.Type {
	return cel.ObjectType("money", traits.AdderType|traits.SubtractorType|traits.NegatorType|traits.ComparerType)
}

// money is an amount inside an expression.
type money struct{ m canonical.Money }

func (v money) ConvertToNative(t reflect.Type) (any, error) {
	if t == reflect.TypeFor[canonical.Money]() {
		return v.m, nil
	}
	return nil, fmt.Errorf("money is not a %v", t)
}

func (v money) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.StringType:
		return types.String(v.m.String())
	case types.TypeType:
		return moneyType()
	}
	return types.NewErr("money does not convert to %s", t.TypeName())
}

func (v money) Equal(o ref.Val) ref.Val {
	w, ok := o.(money)
	return types.Bool(ok && v.m.Cmp(w.m) == 0)
}

func (v money) Type() ref.Type { return moneyType() }

func (v money) Value() any { return v }

func (v money) Add(o ref.Val) ref.Val { return v.with(o, canonical.Money.Add) }

func (v money) Subtract(o ref.Val) ref.Val { return v.with(o, canonical.Money.Sub) }

func (v money) Negate() ref.Val { return money{v.m.Neg()} }

func (v money) Compare(o ref.Val) ref.Val {
	w, ok := o.(money)
	if !ok {
		return types.MaybeNoSuchOverloadErr(o)
	}
	return types.Int(v.m.Cmp(w.m))
}

func (v money) with(o ref.Val, f func(a, b canonical.Money) canonical.Money) ref.Val {
	w, ok := o.(money)
	if !ok {
		return types.MaybeNoSuchOverloadErr(o)
	}
	return money{f(v.m, w.m)}
}

// moneyFunctions declares what expressions can do with money. The operators
// run by the value's own methods.
func moneyFunctions() []cel.EnvOption {
	m := moneyType()
	two := []*cel.Type{m, m}
	comparison := func(op string) cel.EnvOption {
		return cel.Function(op, cel.Overload("money"+op+"money", two, cel.BoolType))
	}
	return []cel.EnvOption{
		cel.Function(operators.Add, cel.Overload("add_money_money", two, m)),
		cel.Function(operators.Subtract, cel.Overload("subtract_money_money", two, m)),
		cel.Function(operators.Negate, cel.Overload("negate_money", []*cel.Type{m}, m)),
		comparison(operators.Less), comparison(operators.LessEquals),
		comparison(operators.Greater), comparison(operators.GreaterEquals),
		cel.Function("add", cel.MemberOverload("money_add", two, m, cel.BinaryBinding(func(a, b ref.Val) ref.Val { return a.(money).Add(b) }))),                       //nolint:forcetypeassert // checked by the overload
		cel.Function("sub", cel.MemberOverload("money_sub", two, m, cel.BinaryBinding(func(a, b ref.Val) ref.Val { return a.(money).Subtract(b) }))),                  //nolint:forcetypeassert // checked by the overload
		cel.Function("compare", cel.MemberOverload("money_compare", two, cel.IntType, cel.BinaryBinding(func(a, b ref.Val) ref.Val { return a.(money).Compare(b) }))), //nolint:forcetypeassert // checked by the overload
		cel.Function("neg", cel.MemberOverload("money_neg", []*cel.Type{m}, m, cel.UnaryBinding(func(a ref.Val) ref.Val { return a.(money).Negate() }))),              //nolint:forcetypeassert // checked by the overload
		cel.Function("round", cel.MemberOverload("money_round", []*cel.Type{m, cel.IntType}, m, cel.BinaryBinding(round))),
		cel.Function("money",
			cel.Overload("money_string", []*cel.Type{cel.StringType}, m, cel.UnaryBinding(parse)),
			cel.Overload("money_int", []*cel.Type{cel.IntType}, m, cel.UnaryBinding(parse))),
		cel.Function("string", cel.Overload("string_money", []*cel.Type{m}, cel.StringType, cel.UnaryBinding(func(a ref.Val) ref.Val {
			return a.ConvertToType(types.StringType)
		}))),
	}
}

func round(a, places ref.Val) ref.Val {
	p, ok := places.(types.Int)
	if !ok || p < 0 || p > 10 {
		return types.NewErr("round takes 0 to 10 decimal places")
	}
	return money{a.(money).m.Round(int32(p))} //nolint:forcetypeassert // checked by the overload
}

func parse(a ref.Val) ref.Val {
	s, ok := a.ConvertToType(types.StringType).(types.String)
	if !ok {
		return types.NewErr("not an amount of money")
	}
	m, err := canonical.ParseMoney(string(s))
	if err != nil {
		return types.NewErr("%v", err)
	}
	return money{m}
}
