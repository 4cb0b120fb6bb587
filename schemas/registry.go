package schemas

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/fluxnex/fluxnex/schemas/compat"
)

// Registry is what the codecs need of a schema registry.
type Registry interface {
	// Register is idempotent and returns the id of the schema, under which
	// any subject's readers find it. It wraps ErrIncompatible where the
	// subject's earlier versions forbid the schema.
	Register(ctx context.Context, subject, schema string) (id int, err error)
	// SchemaByID wraps ErrUnknownID where the registry answered that it has no
	// such schema; every other error means that it could not be asked.
	SchemaByID(ctx context.Context, id int) (schema string, err error)
	SetCompatibility(ctx context.Context, subject, level string) error
}

// ErrUnknownID reports that the registry answered, and has no schema of this id.
var ErrUnknownID = errors.New("the schema registry has no schema of this id")

// ErrIncompatible reports a schema that the versions before it forbid.
var ErrIncompatible = errors.New("the schema is incompatible with the versions before it")

// Compatibility is the level of every subject.
const Compatibility = "FULL_TRANSITIVE"

// MemoryRegistry is a registry inside this process that compares as a real one
// does: equal texts share one id, incompatible ones are refused.
type MemoryRegistry struct {
	mu       sync.Mutex
	texts    []string // id - 1
	subjects map[string][]int
}

// NewMemoryRegistry is an empty registry.
func NewMemoryRegistry() *MemoryRegistry {
	return &MemoryRegistry{subjects: map[string][]int{}}
}

// Register implements Registry.
func (m *MemoryRegistry) Register(_ context.Context, subject, schema string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var before []string
	for _, id := range m.subjects[subject] {
		text := m.texts[id-1]
		if text == schema {
			return id, nil
		}
		before = append(before, text)
	}
	if err := compat.FullTransitive(schema, before); err != nil {
		return 0, fmt.Errorf("subject %s: %w: %w", subject, ErrIncompatible, err)
	}
	id := 0
	for i, text := range m.texts {
		if text == schema {
			id = i + 1
		}
	}
	if id == 0 {
		m.texts = append(m.texts, schema)
		id = len(m.texts)
	}
	m.subjects[subject] = append(m.subjects[subject], id)
	return id, nil
}

// SchemaByID implements Registry.
func (m *MemoryRegistry) SchemaByID(_ context.Context, id int) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id < 1 || id > len(m.texts) {
		return "", fmt.Errorf("id %d: %w", id, ErrUnknownID)
	}
	return m.texts[id-1], nil
}

// SetCompatibility implements Registry; every subject is FULL_TRANSITIVE here.
func (m *MemoryRegistry) SetCompatibility(_ context.Context, subject, level string) error {
	if level != Compatibility {
		return fmt.Errorf("subject %s: level %s, this registry knows %s only", subject, level, Compatibility)
	}
	return nil
}
