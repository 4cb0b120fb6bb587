package schemas

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/hamba/avro/v2"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/schemas/compat"
)

// Codes of the failures of a codec.
const (
	CodeHeader       = "avro_header"       // no Confluent header
	CodeBytes        = "avro_bytes"        // bytes that the schema does not allow
	CodeTooLarge     = "avro_too_large"    // over the limit, not looked at
	CodeIncompatible = "avro_incompatible" // written with a schema that ours cannot read
	// CodeUnknownSchema: the registry answered that it has no such schema. It
	// is retryable, because registries answer so while they catch up; callers
	// give up after a minute.
	CodeUnknownSchema = "registry_unknown_schema"
	// CodeUnavailable: the registry could not be asked. Never a reason to drop.
	CodeUnavailable = "registry_unavailable"
)

const (
	magic      = 0
	headerSize = 5
)

// Codec turns values of T into the bytes of their topic and back. It is safe
// for concurrent use.
type Codec[T any] struct {
	layout   layout[T]
	limit    int
	registry Registry
	library  avro.API
	schema   *avro.RecordSchema
	header   [headerSize]byte
	ours     map[uint32]bool // ids under which the current text is registered

	writers sync.Pool
	mu      sync.Mutex
	others  sync.Map // uint32 → *writerSchema
}

// layout writes and reads T field by field in the order of the current schema.
// Reflection over the schema costs three times as much on the hot topics; a
// property test holds both against each other.
type layout[T any] struct {
	write func(*writer, *T)
	read  func(*reader, *T)
}

// writerSchema is how to read what another version wrote; err is why nobody can.
type writerSchema struct {
	evolution *evolution
	err       *fault.Error
}

func newCodec[T any](library avro.API, registry Registry, text string, limit int, l layout[T], ids ...int) (*Codec[T], error) {
	schema, err := compat.Parse(text)
	if err != nil {
		return nil, err
	}
	c := &Codec[T]{layout: l, limit: limit, registry: registry, library: library, schema: schema, ours: map[uint32]bool{}}
	for _, id := range ids {
		c.ours[uint32(id)] = true //nolint:gosec // ids of the registry are 32 bits
	}
	binary.BigEndian.PutUint32(c.header[1:], uint32(ids[0])) //nolint:gosec // as above
	c.writers.New = func() any { return &writer{b: make([]byte, 0, 4096)} }
	return c, nil
}

// Append appends v in Confluent's wire format to dst. dst may be nil or reused:
// with room in it nothing is allocated.
func (c *Codec[T]) Append(dst []byte, v *T) ([]byte, error) {
	w := c.writers.Get().(*writer) //nolint:forcetypeassert // the pool holds nothing else
	defer c.writers.Put(w)
	w.b, w.Error = append(w.b[:0], c.header[:]...), nil
	c.layout.write(w, v)
	if w.Error != nil {
		return dst, fault.Unreadable(CodeBytes, w.Error)
	}
	if n := len(w.b); n > c.limit {
		return dst, fault.Unreadable(CodeTooLarge, fmt.Errorf("value of %d bytes, the limit is %d", n, c.limit))
	}
	return append(dst, w.b...), nil
}

// Decode reads a value that any registered version of the schema wrote. The
// result shares no memory with value. Absent arrays and bytes are nil.
func (c *Codec[T]) Decode(ctx context.Context, value []byte) (*T, error) {
	return c.decode(ctx, value, reader{})
}

// Borrow is Decode without copies: the result's strings and bytes are parts of
// value, which must never be changed, and its fields are in room.
func (c *Codec[T]) Borrow(ctx context.Context, value []byte, room *Room) (*T, error) {
	return c.decode(ctx, value, reader{borrowed: true, room: room})
}

func (c *Codec[T]) decode(ctx context.Context, value []byte, r reader) (*T, error) {
	if len(value) > c.limit {
		return nil, fault.Unreadable(CodeTooLarge, fmt.Errorf("value of %d bytes, the limit is %d", len(value), c.limit))
	}
	if len(value) < headerSize || value[0] != magic {
		return nil, fault.Unreadable(CodeHeader, fmt.Errorf("value of %d bytes does not begin with a zero byte and a schema id", len(value)))
	}
	id := binary.BigEndian.Uint32(value[1:headerSize])
	if c.ours[id] {
		return c.read(value[headerSize:], r)
	}
	other, err := c.writer(ctx, id)
	if err != nil {
		return nil, err
	}
	if other.err != nil {
		return nil, other.err
	}
	body, err := other.evolution.apply(value[headerSize:])
	if err != nil {
		return nil, fault.Unreadable(CodeBytes, fmt.Errorf("schema id %d: %w", id, err))
	}
	return c.read(body, r)
}

// read decodes all of body; what it leaves is an error, because a value that
// another schema wrote often reads well by accident.
func (c *Codec[T]) read(body []byte, r reader) (*T, error) {
	if r.borrowed {
		r.text = unsafe.String(unsafe.SliceData(body), len(body)) //nolint:gosec // as long as the slice
	} else {
		r.text = string(body)
	}
	v := new(T)
	c.layout.read(&r, v)
	if r.Error != nil {
		return nil, fault.Unreadable(CodeBytes, r.Error)
	}
	if r.at < len(r.text) {
		return nil, fault.Unreadable(CodeBytes, errors.New("bytes after the end of the value"))
	}
	return v, nil
}

// writer finds out how to read what was written under id, once per id.
func (c *Codec[T]) writer(ctx context.Context, id uint32) (*writerSchema, error) {
	if w, ok := c.others.Load(id); ok {
		return w.(*writerSchema), nil //nolint:forcetypeassert // the map holds nothing else
	}
	c.mu.Lock() // one question to the registry, however many records wait
	defer c.mu.Unlock()
	if w, ok := c.others.Load(id); ok {
		return w.(*writerSchema), nil //nolint:forcetypeassert // the map holds nothing else
	}
	text, err := c.registry.SchemaByID(ctx, int(id))
	switch {
	case errors.Is(err, ErrUnknownID):
		return nil, fault.Retry(CodeUnknownSchema, 0, fmt.Errorf("schema id %d: %w", id, err))
	case err != nil:
		return nil, unavailable(fmt.Errorf("schema id %d: %w", id, err))
	}
	w := &writerSchema{}
	if w.evolution, err = evolve(c.library, c.schema, text); err != nil {
		w.err = fault.Unreadable(CodeIncompatible, fmt.Errorf("schema id %d: %w", id, err))
	}
	c.others.Store(id, w)
	return w, nil
}

// unavailable keeps the registry client's own wait.
func unavailable(err error) *fault.Error {
	return fault.Retry(CodeUnavailable, fault.Of(err).After, err)
}
