package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hamba/avro/v2"

	"github.com/fluxnex/fluxnex/schemas/compat"
)

// evolution turns the bytes that one writer's schema gave into the bytes that
// ours would have given: fields in our order, unknown ones left out, missing
// ones with our default. The layouts read the result.
//
// It stands in place of the library's own resolution because that never ends
// on some inputs: its skipping of an array does not look at the end of the
// bytes (FuzzOtherVersion found it in seconds).
type evolution struct{ root *recordPlan }

// recordPlan is one record of the writer's schema: what becomes of its fields,
// and what stands in for the ones it lacks.
type recordPlan struct {
	fields   []fieldPlan // in the writer's order
	ours     int         // how many fields our record has
	defaults [][]byte    // by our index; nil where the writer has the field
}

type fieldPlan struct {
	theirs avro.Schema
	to     int         // our index; -1 skips
	record *recordPlan // of the field, or of its array's elements
}

// evolve plans the reading of what was written with the schema text.
func evolve(library avro.API, ours *avro.RecordSchema, text string) (*evolution, error) {
	theirs, err := compat.Parse(text)
	if err != nil {
		return nil, err
	}
	root, err := planRecord(library, ours, theirs, ours.Name())
	if err != nil {
		return nil, err
	}
	return &evolution{root}, nil
}

func planRecord(library avro.API, ours, theirs *avro.RecordSchema, path string) (*recordPlan, error) {
	if ours.FullName() != theirs.FullName() {
		return nil, fmt.Errorf("%s: written as %s", path, theirs.FullName())
	}
	p := &recordPlan{ours: len(ours.Fields()), defaults: make([][]byte, len(ours.Fields()))}
	index := make(map[string]int, p.ours)
	for i, f := range ours.Fields() {
		index[f.Name()] = i
	}
	found := make([]bool, p.ours)
	for _, f := range theirs.Fields() {
		plan := fieldPlan{theirs: deref(f.Type()), to: -1}
		if i, ok := index[f.Name()]; ok {
			var err error
			if plan.record, err = planValue(library, deref(ours.Fields()[i].Type()), plan.theirs, path+"."+f.Name()); err != nil {
				return nil, err
			}
			plan.to, found[i] = i, true
		}
		p.fields = append(p.fields, plan)
	}
	for i, f := range ours.Fields() {
		if found[i] {
			continue
		}
		if !f.HasDefault() {
			return nil, fmt.Errorf("%s.%s: not written, and has no default", path, f.Name())
		}
		b, err := library.Marshal(f.Type(), f.Default())
		if err != nil {
			return nil, fmt.Errorf("%s.%s: default: %w", path, f.Name(), err)
		}
		p.defaults[i] = b
	}
	return p, nil
}

// planValue refuses every difference of type. A value of plain type is copied.
func planValue(library avro.API, ours, theirs avro.Schema, path string) (*recordPlan, error) {
	switch o := ours.(type) {
	case *avro.RecordSchema:
		if t, ok := theirs.(*avro.RecordSchema); ok {
			return planRecord(library, o, t, path)
		}
	case *avro.ArraySchema:
		if t, ok := theirs.(*avro.ArraySchema); ok {
			return planValue(library, deref(o.Items()), deref(t.Items()), path+"[]")
		}
	default:
		if ours.Fingerprint() == theirs.Fingerprint() && compat.Kind(ours) == compat.Kind(theirs) {
			return nil, nil //nolint:nilnil // a plain value needs no plan
		}
	}
	return nil, fmt.Errorf("%s: written as %s, read as %s", path, compat.Kind(theirs), compat.Kind(ours))
}

func deref(s avro.Schema) avro.Schema {
	if r, ok := s.(*avro.RefSchema); ok {
		return r.Schema()
	}
	return s
}

// apply rewrites body, all of it.
func (e *evolution) apply(body []byte) ([]byte, error) {
	c := &cursor{b: body}
	out, err := e.root.apply(make([]byte, 0, len(body)+64), c)
	if err != nil {
		return nil, err
	}
	if len(c.b) > 0 {
		return nil, errors.New("bytes after the end of the value")
	}
	return out, nil
}

func (p *recordPlan) apply(dst []byte, c *cursor) ([]byte, error) {
	values := make([][]byte, p.ours)
	copy(values, p.defaults)
	for _, f := range p.fields {
		before := c.b
		switch {
		case f.to < 0 || f.record == nil:
			if err := c.skip(f.theirs); err != nil {
				return nil, err
			}
			if f.to >= 0 {
				values[f.to] = before[:len(before)-len(c.b)]
			}
		default:
			v, err := f.apply(c)
			if err != nil {
				return nil, err
			}
			values[f.to] = v
		}
	}
	for _, v := range values {
		dst = append(dst, v...)
	}
	return dst, nil
}

// apply rewrites a record, or an array of records as one block per block.
func (f *fieldPlan) apply(c *cursor) ([]byte, error) {
	array, ok := f.theirs.(*avro.ArraySchema)
	if !ok {
		return f.record.apply(nil, c)
	}
	if _, ok := deref(array.Items()).(*avro.RecordSchema); !ok {
		return nil, errors.New("arrays of arrays are not in any of our schemas")
	}
	var out []byte
	for {
		n, err := c.block()
		if err != nil {
			return nil, err
		}
		out = binary.AppendVarint(out, n)
		if n == 0 {
			return out, nil
		}
		for range n {
			if out, err = f.record.apply(out, c); err != nil {
				return nil, err
			}
		}
	}
}

// cursor reads as much Avro as finding the end of a value takes.
type cursor struct{ b []byte }

func (c *cursor) long() (int64, error) {
	n, size := binary.Varint(c.b) // Avro's zigzag is this one's
	if size <= 0 {
		return 0, errTruncated
	}
	c.b = c.b[size:]
	return n, nil
}

func (c *cursor) advance(n int64) error {
	if n < 0 || n > int64(len(c.b)) {
		return errTruncated
	}
	c.b = c.b[n:]
	return nil
}

// block is the count of the next block, without its optional size in bytes.
func (c *cursor) block() (int64, error) {
	n, err := c.long()
	if err != nil {
		return 0, err
	}
	if n < 0 {
		n = -n
		if _, err := c.long(); err != nil {
			return 0, err
		}
	}
	// Every element takes a byte or more (compat.Parse), so a count is a lie
	// beyond what is left; the smallest int64 stays negative.
	if n < 0 || n > int64(len(c.b)) {
		return 0, errTruncated
	}
	return n, nil
}

// blocks skips an array or a map.
func (c *cursor) blocks(element func() error) error {
	for {
		n, err := c.block()
		if err != nil || n == 0 {
			return err
		}
		for range n {
			if err := element(); err != nil {
				return err
			}
		}
	}
}

func (c *cursor) text() error {
	n, err := c.long()
	if err != nil {
		return err
	}
	return c.advance(n)
}

func (c *cursor) skip(s avro.Schema) error {
	switch s := deref(s).(type) {
	case *avro.RecordSchema:
		for _, f := range s.Fields() {
			if err := c.skip(f.Type()); err != nil {
				return err
			}
		}
		return nil
	case *avro.ArraySchema:
		return c.blocks(func() error { return c.skip(s.Items()) })
	case *avro.MapSchema:
		return c.blocks(func() error {
			if err := c.text(); err != nil {
				return err
			}
			return c.skip(s.Values())
		})
	case *avro.UnionSchema:
		i, err := c.long()
		if err != nil {
			return err
		}
		if i < 0 || i >= int64(len(s.Types())) {
			return fmt.Errorf("branch %d of a union of %d", i, len(s.Types()))
		}
		return c.skip(s.Types()[i])
	case *avro.FixedSchema:
		return c.advance(int64(s.Size()))
	case *avro.NullSchema:
		return nil
	default:
		return c.skipPlain(s.Type())
	}
}

func (c *cursor) skipPlain(t avro.Type) error {
	switch t { //nolint:exhaustive // composite types are skip's
	case avro.String, avro.Bytes:
		return c.text()
	case avro.Int, avro.Long, avro.Enum:
		_, err := c.long()
		return err
	case avro.Boolean:
		return c.advance(1)
	case avro.Float:
		return c.advance(4)
	case avro.Double:
		return c.advance(8)
	default:
		return fmt.Errorf("cannot skip %s", t)
	}
}
