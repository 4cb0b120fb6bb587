package mapping

import (
	"fmt"
	"reflect"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/fluxnex/fluxnex/pkg/canonical"
)

// model describes the canonical types to CEL by their JSON names.
type model struct {
	*types.Registry
	structs map[string]*structure
	byType  map[reflect.Type]*structure
}

type structure struct {
	name   string
	typ    *cel.Type
	fields map[string]*field
	names  []string
	zero   reflect.Value
}

type field struct {
	index []int
	typ   *cel.Type
	// of is the structure of a struct, a pointer to one or a list of them.
	of *structure
}

func newModel() (*model, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	m := &model{Registry: registry, structs: map[string]*structure{}, byType: map[reflect.Type]*structure{}}
	for _, e := range canonical.All() {
		v, err := canonical.Decode(e, []byte("{}"))
		if err != nil {
			return nil, err
		}
		m.add(reflect.TypeOf(v).Elem())
	}
	return m, nil
}

// add describes a struct and all it holds.
func (m *model) add(t reflect.Type) *structure {
	if s, ok := m.byType[t]; ok {
		return s
	}
	name := "tms." + t.Name()
	s := &structure{name: name, typ: cel.ObjectType(name), fields: map[string]*field{}, zero: reflect.Zero(t)}
	m.structs[name], m.byType[t] = s, s
	for _, f := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || tag == "" || tag == "-" {
			continue
		}
		typ, of := m.typeOf(f.Type)
		s.fields[tag] = &field{index: f.Index, typ: typ, of: of}
		s.names = append(s.names, tag)
	}
	return s
}

func (m *model) typeOf(t reflect.Type) (*cel.Type, *structure) {
	switch {
	case t == reflect.TypeFor[canonical.Money]():
		return moneyType(), nil
	case t == reflect.TypeFor[*canonical.Money]():
		return cel.NullableType(moneyType()), nil
	case t.Kind() == reflect.Pointer:
		return m.typeOf(t.Elem())
	case t.Kind() == reflect.Struct:
		s := m.add(t)
		return s.typ, s
	case t.Kind() == reflect.Slice:
		typ, s := m.typeOf(t.Elem())
		return cel.ListType(typ), s
	}
	return cel.StringType, nil
}

func (m *model) FindStructType(name string) (*types.Type, bool) {
	if s, ok := m.structs[name]; ok {
		return types.NewTypeTypeWithParam(s.typ), true
	}
	return m.Registry.FindStructType(name)
}

func (m *model) FindStructFieldNames(name string) ([]string, bool) {
	if s, ok := m.structs[name]; ok {
		return s.names, true
	}
	return m.Registry.FindStructFieldNames(name)
}

func (m *model) FindStructFieldType(name, fieldName string) (*types.FieldType, bool) {
	s, ok := m.structs[name]
	if !ok {
		return m.Registry.FindStructFieldType(name, fieldName)
	}
	f, ok := s.fields[fieldName]
	if !ok {
		return nil, false
	}
	return &types.FieldType{
		Type: f.typ,
		IsSet: func(target any) bool {
			o, ok := target.(object)
			return ok && !o.v.FieldByIndex(f.index).IsZero()
		},
		GetFrom: func(target any) (any, error) {
			o, ok := target.(object)
			if !ok {
				return nil, fmt.Errorf("%T has no field %s", target, fieldName)
			}
			return o.get(f), nil
		},
	}, true
}

// NewValue refuses: expressions read canonical values, they do not make them.
func (m *model) NewValue(name string, fields map[string]ref.Val) ref.Val {
	if _, ok := m.structs[name]; ok {
		return types.NewErr("%s cannot be made in an expression", name)
	}
	return m.Registry.NewValue(name, fields)
}

// value wraps *canonical.Vendor and the like.
func (m *model) value(v any) (object, error) {
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Pointer || r.IsNil() {
		return object{}, fmt.Errorf("%T is not a canonical entity", v)
	}
	s, ok := m.byType[r.Type().Elem()]
	if !ok {
		return object{}, fmt.Errorf("%T is not a canonical entity", v)
	}
	return object{s: s, v: r.Elem()}, nil
}

// object is a canonical value inside an expression.
type object struct {
	s *structure
	v reflect.Value
}

// get reads a field; what is not there is empty.
func (o object) get(f *field) ref.Val { return wrap(o.v.FieldByIndex(f.index), f.of) }

func wrap(v reflect.Value, of *structure) ref.Val {
	switch {
	case v.Type() == reflect.TypeFor[canonical.Money]():
		return money{v.Interface().(canonical.Money)} //nolint:forcetypeassert // just checked
	case v.Type() == reflect.TypeFor[*canonical.Money]():
		if v.IsNil() {
			return types.NullValue
		}
		return money{v.Elem().Interface().(canonical.Money)} //nolint:forcetypeassert // just checked
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			return object{s: of, v: of.zero}
		}
		return object{s: of, v: v.Elem()}
	case v.Kind() == reflect.Struct:
		return object{s: of, v: v}
	case v.Kind() == reflect.Slice:
		list := make([]ref.Val, v.Len())
		for i := range list {
			list[i] = wrap(v.Index(i), of)
		}
		return types.DefaultTypeAdapter.NativeToValue(list)
	}
	return types.String(v.String())
}

func (o object) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("%s is not a %v", o.s.name, t)
}

func (o object) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return o.s.typ
	}
	return types.NewErr("%s does not convert to %s", o.s.name, t.TypeName())
}

func (o object) Equal(other ref.Val) ref.Val {
	p, ok := other.(object)
	return types.Bool(ok && o.s == p.s && reflect.DeepEqual(o.v.Interface(), p.v.Interface()))
}

func (o object) Type() ref.Type { return o.s.typ }

func (o object) Value() any { return o }
