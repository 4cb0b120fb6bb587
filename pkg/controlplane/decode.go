package controlplane

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// decoder fills one object's spec from its YAML, collecting every problem and
// where each field stands.
type decoder struct {
	object   Object
	env      Lookup
	problems Problems
}

func at(n ast.Node) place {
	// A mapping's own token is its first colon: its first key is where it begins.
	switch m := n.(type) {
	case *ast.MappingNode:
		if len(m.Values) > 0 {
			return at(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return at(m.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return place{t.Position.Line, t.Position.Column}
	}
	return place{}
}

func (d *decoder) fail(n ast.Node, format string, args ...any) {
	p := at(n)
	d.problems = append(d.problems, Problem{File: d.object.File, Line: p.line, Column: p.column, Message: fmt.Sprintf(format, args...)})
}

func (d *decoder) document(body ast.Node) {
	d.object.start = at(body)
	entries, ok := mapping(body)
	if !ok {
		d.fail(body, "expected an object with a kind (%s), found %s", strings.Join(kindNames(), ", "), describe(body))
		return
	}
	for _, e := range entries {
		if keyText(e) != "kind" {
			continue
		}
		kind, isText := scalar(e.Value)
		spec, known := newSpec(Kind(kind))
		if !isText || !known {
			d.fail(e.Value, "there is no kind %q%s", kind, didYouMean(kind, kindNames()))
			return
		}
		d.object.Spec = spec
		d.value(body, reflect.ValueOf(spec).Elem(), "", false)
		return
	}
	d.fail(body, "the object has no kind; expected one of: %s", strings.Join(kindNames(), ", "))
}

// mapping lists the entries of a mapping; a mapping of one entry has a node
// type of its own.
func mapping(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	return nil, false
}

func keyText(e *ast.MappingValueNode) string {
	if s, ok := scalar(e.Key); ok {
		return s
	}
	return e.Key.String()
}

// scalar is a scalar's literal text: numbers keep their digits.
func scalar(n ast.Node) (string, bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		return s.Value.Value, true
	case *ast.IntegerNode:
		return s.Token.Value, true
	case *ast.FloatNode:
		return s.Token.Value, true
	case *ast.BoolNode:
		return s.Token.Value, true
	}
	return "", false
}

func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "a text"
	case *ast.IntegerNode, *ast.FloatNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.NullNode:
		return "nothing"
	case *ast.AnchorNode, *ast.AliasNode:
		return "an anchor or alias, which is not supported"
	}
	return strings.ToLower(n.Type().String())
}

func (d *decoder) value(n ast.Node, v reflect.Value, path string, expand bool) {
	d.object.fields[path] = at(n)
	if n.Type() == ast.NullType {
		return // as if it were not written; required fields are checked by their struct
	}
	if v.Type() == reflect.TypeFor[SecretRef]() {
		if _, isText := scalar(n); isText {
			// The text is not repeated: it is probably the secret itself.
			d.fail(n, "%s: a secret is never written into a file; write {env: NAME} or {file: path} and put it there", path)
			return
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), path, expand)
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Slice:
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			d.fail(n, "%s: expected a list, found %s", path, describe(n))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values)))
		for i, e := range list.Values {
			d.value(e, v.Index(i), fmt.Sprintf("%s.%d", path, i), expand)
		}
	case reflect.Map:
		d.dictionary(n, v, path)
	default:
		d.scalarValue(n, v, path, expand)
	}
}

func (d *decoder) structure(n ast.Node, v reflect.Value, path string) {
	entries, ok := mapping(n)
	if !ok {
		d.fail(n, "%s: expected a mapping with %s, found %s", path, strings.Join(fieldNames(v.Type()), ", "), describe(n))
		return
	}
	written := map[string]bool{}
	for _, e := range entries {
		name := keyText(e)
		field, known := fieldByName(v.Type(), name)
		if !known {
			where := "a " + string(d.object.Spec.Key().Kind)
			if path != "" {
				where = path
			}
			d.fail(e.Key, "%s has no field %q%s", where, name, didYouMean(name, fieldNames(v.Type())))
			continue
		}
		if written[name] {
			d.fail(e.Key, "the field %q is written twice", name)
			continue
		}
		written[name] = true
		checks := checksOf(field)
		d.value(e.Value, v.FieldByIndex(field.Index), join(path, name), checks.expand)
		d.object.fields[join(path, name)] = at(e.Key)
		if text := v.FieldByIndex(field.Index); len(checks.enum) > 0 && text.String() != "" && !slices.Contains(checks.enum, text.String()) {
			d.fail(e.Value, "%s: %q is not known%s", join(path, name), text.String(), didYouMean(text.String(), checks.enum))
		}
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if checksOf(field).required && v.Field(i).IsZero() && !d.failedAt(join(path, jsonName(field))) {
			d.fail(n, "%s is required", join(path, jsonName(field)))
		}
	}
}

// failedAt reports whether a field that is empty is so because of a problem
// that is told already.
func (d *decoder) failedAt(path string) bool {
	return slices.ContainsFunc(d.problems, func(p Problem) bool { return strings.HasPrefix(p.Message, path+":") })
}

func (d *decoder) dictionary(n ast.Node, v reflect.Value, path string) {
	entries, ok := mapping(n)
	if !ok {
		d.fail(n, "%s: expected a mapping, found %s", path, describe(n))
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(entries)))
	for _, e := range entries {
		name := keyText(e)
		element := reflect.New(v.Type().Elem()).Elem()
		if element.Kind() == reflect.Interface {
			var any any
			if err := yaml.NodeToValue(e.Value, &any); err != nil {
				d.fail(e.Value, "%s: not readable", join(path, name))
				continue
			}
			if any != nil {
				element.Set(reflect.ValueOf(any))
			}
		} else {
			d.value(e.Value, element, join(path, name), false)
		}
		v.SetMapIndex(reflect.ValueOf(name), element)
		d.object.fields[join(path, name)] = at(e.Key)
	}
}

func (d *decoder) scalarValue(n ast.Node, v reflect.Value, path string, expand bool) {
	text, ok := scalar(n)
	if !ok {
		d.fail(n, "%s: expected %s, found %s", path, expected(v), describe(n))
		return
	}
	var err error
	switch v.Kind() {
	case reflect.String:
		if expand {
			if text, err = expandEnvironment(text, d.env); err != nil {
				d.fail(n, "%s: %s", path, err)
				return
			}
		}
		v.SetString(text)
		return
	case reflect.Bool:
		var b bool
		if b, err = strconv.ParseBool(text); err == nil {
			v.SetBool(b)
		}
	case reflect.Int, reflect.Int64:
		var i int64
		if i, err = strconv.ParseInt(text, 10, 64); err == nil {
			v.SetInt(i)
		}
	case reflect.Float64:
		var f float64
		if f, err = strconv.ParseFloat(text, 64); err == nil {
			v.SetFloat(f)
		}
	default:
		err = fmt.Errorf("no decoder for %s", v.Kind())
	}
	if err != nil {
		d.fail(n, "%s: expected %s, found %q", path, expected(v), text)
	}
}

func expected(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	}
	return "a text"
}

type checks struct {
	required bool
	expand   bool
	enum     []string
}

func checksOf(f reflect.StructField) checks {
	var c checks
	for word := range strings.SplitSeq(f.Tag.Get("check"), ",") {
		switch {
		case word == "required":
			c.required = true
		case word == "expand":
			c.expand = true
		case strings.HasPrefix(word, "enum="):
			c.enum = strings.Split(strings.TrimPrefix(word, "enum="), "|")
		}
	}
	return c
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for field := range t.Fields() {
		names = append(names, jsonName(field))
	}
	return names
}

func fieldByName(t reflect.Type, name string) (reflect.StructField, bool) {
	for f := range t.Fields() {
		if jsonName(f) == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
