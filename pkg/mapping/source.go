package mapping

import (
	"fmt"
	"reflect"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/fluxnex/fluxnex/pkg/record"
)

// sourceType gives text or null for every name.
func sourceType() *cel.Type {
	return cel.MapType(cel.StringType, cel.NullableType(cel.StringType))
}

// source is a record's fields inside an expression. It answers for every name,
// so that a field the source stopped sending is null and not an error.
type source struct{ fields []record.Field }

var _ traits.Mapper = source{}

func (s source) find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return types.NullValue, false
	}
	for i := range s.fields {
		if f := &s.fields[i]; f.Name == string(name) && f.Kind != record.KindNull {
			return types.String(f.Value), true
		}
	}
	return types.NullValue, false
}

func (s source) Find(key ref.Val) (ref.Val, bool) {
	v, _ := s.find(key)
	return v, true
}

func (s source) Get(key ref.Val) ref.Val {
	v, _ := s.find(key)
	return v
}

func (s source) Contains(key ref.Val) ref.Val {
	_, ok := s.find(key)
	return types.Bool(ok)
}

func (s source) Size() ref.Val { return types.Int(len(s.fields)) }

func (s source) Iterator() traits.Iterator {
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.Name
	}
	return types.DefaultTypeAdapter.NativeToValue(names).(traits.Lister).Iterator() //nolint:forcetypeassert // a list is one
}

func (s source) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("source is not a %v", t)
}

func (s source) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.MapType:
		return s
	case types.TypeType:
		return types.MapType
	}
	return types.NewErr("source does not convert to %s", t.TypeName())
}

func (s source) Equal(ref.Val) ref.Val { return types.False }

func (s source) Type() ref.Type { return types.MapType }

func (s source) Value() any { return s }
