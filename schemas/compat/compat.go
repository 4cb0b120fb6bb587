package compat

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hamba/avro/v2"
)

// FullTransitive reports why a reader of any text in before could not read
// what next writes, or the other way round; every reason, not the first one.
func FullTransitive(next string, before []string) error {
	n, err := Parse(next)
	if err != nil {
		return fmt.Errorf("new text: %w", err)
	}
	var errs []error
	for i, text := range before {
		b, err := Parse(text)
		if err != nil {
			return fmt.Errorf("version %d: %w", i+1, err)
		}
		if err := errors.Join(problems(n, b)...); err != nil {
			errs = append(errs, fmt.Errorf("against version %d: %w", i+1, err))
		}
	}
	return errors.Join(errs...)
}

// Parse reads a schema that our decoders may be given: a record without
// recursion (a few bytes would nest it as deep as the stack) and without
// arrays of nothing (a few bytes would ask for billions of elements).
func Parse(text string) (*avro.RecordSchema, error) {
	// A cache of its own: schemas of different subjects define the same names.
	s, err := avro.ParseWithCache(text, "", &avro.SchemaCache{})
	if err != nil {
		return nil, fmt.Errorf("parse schema: %w", err)
	}
	r, ok := s.(*avro.RecordSchema)
	if !ok {
		return nil, fmt.Errorf("a topic's value is a record, this is %s", s.Type())
	}
	if err := bounded(r, r.FullName(), map[string]bool{}); err != nil {
		return nil, err
	}
	return r, nil
}

// bounded walks the schema; open holds the records around s.
func bounded(s avro.Schema, path string, open map[string]bool) error {
	switch s := s.(type) {
	case *avro.RefSchema:
		return bounded(s.Schema(), path, open)
	case *avro.RecordSchema:
		if open[s.FullName()] {
			return fmt.Errorf("%s: %s contains itself; recursive schemas are refused", path, s.FullName())
		}
		open[s.FullName()] = true
		defer delete(open, s.FullName())
		for _, f := range s.Fields() {
			if err := bounded(f.Type(), path+"."+f.Name(), open); err != nil {
				return err
			}
		}
	case *avro.ArraySchema:
		if empty(s.Items()) {
			return fmt.Errorf("%s: elements of an array must take at least one byte", path)
		}
		return bounded(s.Items(), path+"[]", open)
	case *avro.MapSchema:
		return bounded(s.Values(), path+"{}", open)
	case *avro.UnionSchema:
		for _, t := range s.Types() {
			if err := bounded(t, path, open); err != nil {
				return err
			}
		}
	}
	return nil
}

// empty reports types whose values take no byte.
func empty(s avro.Schema) bool {
	switch s := s.(type) {
	case *avro.RefSchema:
		return empty(s.Schema())
	case *avro.NullSchema:
		return true
	case *avro.FixedSchema:
		return s.Size() == 0
	case *avro.RecordSchema:
		for _, f := range s.Fields() {
			if !empty(f.Type()) {
				return false
			}
		}
		return true
	}
	return false
}

// problems compares both ways. Our own walk first, because it names the field
// and what to do; the library's rules after it, for what we do not use today.
func problems(next, before *avro.RecordSchema) []error {
	errs := records(next, before, next.Name())
	if len(errs) > 0 {
		return errs
	}
	c := avro.NewSchemaCompatibility()
	if err := c.Compatible(next, before); err != nil {
		errs = append(errs, fmt.Errorf("new code cannot read old values: %w", err))
	}
	if err := c.Compatible(before, next); err != nil {
		errs = append(errs, fmt.Errorf("old code cannot read new values: %w", err))
	}
	return errs
}

func records(next, before *avro.RecordSchema, path string) []error {
	var errs []error
	if next.FullName() != before.FullName() {
		errs = append(errs, fmt.Errorf("%s: was named %s; a record keeps its name", path, before.FullName()))
	}
	old := fieldsByName(before)
	for _, f := range next.Fields() {
		o, ok := old[f.Name()]
		if !ok {
			if !f.HasDefault() {
				errs = append(errs, fmt.Errorf("%s.%s: a new field needs a default, else new code cannot read old values", path, f.Name()))
			}
			continue
		}
		delete(old, f.Name())
		errs = append(errs, types(f.Type(), o.Type(), path+"."+f.Name())...)
	}
	for name, o := range old {
		if !o.HasDefault() {
			errs = append(errs, fmt.Errorf("%s.%s: a removed field must have had a default, else old code cannot read new values (an alias does not help old readers: fields are never renamed)", path, name))
		}
	}
	return errs
}

func fieldsByName(r *avro.RecordSchema) map[string]*avro.Field {
	m := make(map[string]*avro.Field, len(r.Fields()))
	for _, f := range r.Fields() {
		m[f.Name()] = f
	}
	return m
}

// types refuses every change of type: promotions hold in one direction only.
func types(next, before avro.Schema, path string) []error {
	next, before = deref(next), deref(before)
	switch n := next.(type) {
	case *avro.RecordSchema:
		if b, ok := before.(*avro.RecordSchema); ok {
			return records(n, b, path)
		}
	case *avro.ArraySchema:
		if b, ok := before.(*avro.ArraySchema); ok {
			return types(n.Items(), b.Items(), path+"[]")
		}
	case *avro.MapSchema:
		if b, ok := before.(*avro.MapSchema); ok {
			return types(n.Values(), b.Values(), path+"{}")
		}
	default:
		if Kind(next) == Kind(before) {
			return nil
		}
	}
	return []error{fmt.Errorf("%s: was %s and is %s; a field keeps its type, add another field instead", path, Kind(before), Kind(next))}
}

func deref(s avro.Schema) avro.Schema {
	if r, ok := s.(*avro.RefSchema); ok {
		return r.Schema()
	}
	return s
}

// Kind is the type with its logical type, which the library's comparison
// ignores: micros read as millis are a wrong time, not an error.
func Kind(s avro.Schema) string {
	k := string(s.Type())
	if p, ok := s.(avro.LogicalTypeSchema); ok && p.Logical() != nil {
		k += " (" + string(p.Logical().Type()) + ")"
	}
	if u, ok := s.(*avro.UnionSchema); ok {
		names := make([]string, 0, len(u.Types()))
		for _, t := range u.Types() {
			names = append(names, Kind(t))
		}
		k += " of " + strings.Join(names, ", ")
	}
	return k
}
