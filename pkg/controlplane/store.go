package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// StoredObject is one object as Postgres has it.
type StoredObject struct {
	Key     Key
	Spec    []byte // the declared form as JSON
	Version int64  // in which it last changed
}

// Stored is the whole control plane at one version.
type Stored struct {
	Version    int64
	At         time.Time
	Objects    []StoredObject
	Tombstones []string // tenant ids that are never used again
}

// Action is what a change does.
type Action string

const (
	ActionCreate Action = "create"
	ActionUpdate Action = "update"
	ActionDelete Action = "delete"
)

// Change is one object's change.
type Change struct {
	Action Action
	Key    Key
	Before []byte // declared form as JSON; nil for a creation
	After  []byte // nil for a deletion
	// Secrets names the stored secrets that are replaced.
	Secrets []string
}

// SealedSecret is one secret to store.
type SealedSecret struct {
	Connection Key
	Field      string
	Ciphertext []byte
	// Declared is the same secret under another field name: it is compared with
	// what is applied next, and never replaced by a refreshed token.
	Declared []byte
}

// Commit is a change of the control plane that happens whole or not at all.
type Commit struct {
	Base    int64 // the version it was made for
	Actor   string
	Changes []Change
	Secrets []SealedSecret
	// Dropped are stored secrets that are declared no longer.
	Dropped []SealedSecret
}

// ErrChanged reports that somebody else changed the control plane meanwhile.
var ErrChanged = errors.New("the configuration was changed by somebody else meanwhile: look at it again and repeat")

// Reader is what services need of the store.
type Reader interface {
	ConfigVersion(ctx context.Context) (int64, error)
	LoadConfig(ctx context.Context) (Stored, error)
}

// Store keeps the control plane.
type Store interface {
	Reader
	// DeclaredSecrets returns what was declared for a connection, sealed.
	DeclaredSecrets(ctx context.Context, connection Key) (map[string][]byte, error)
	// CommitConfig applies a commit, audits it and returns the new version, or
	// [ErrChanged] if Base is no longer the newest.
	CommitConfig(ctx context.Context, c Commit) (int64, error)
}

// decode reads the stored declared form.
func (o StoredObject) decode() (Spec, error) {
	spec, ok := newSpec(o.Key.Kind)
	if !ok {
		return nil, fmt.Errorf("stored %s: no such kind", o.Key)
	}
	if err := json.Unmarshal(o.Spec, spec); err != nil {
		return nil, fmt.Errorf("stored %s: %w", o.Key, err)
	}
	return spec, nil
}

// Snapshot indexes the stored objects for services.
func (s Stored) Snapshot() (*Snapshot, error) {
	var (
		tenants     []Tenant
		connections []Connection
		routes      []Route
		mappings    []Mapping
	)
	for _, o := range s.Objects {
		spec, err := o.decode()
		if err != nil {
			return nil, err
		}
		switch spec := spec.(type) {
		case *TenantSpec:
			tenants = append(tenants, spec.model())
		case *ConnectionSpec:
			connections = append(connections, spec.model(o.Version))
		case *RouteSpec:
			routes = append(routes, spec.model())
		case *MappingSpec:
			mappings = append(mappings, spec.model(o.Version))
		}
	}
	return NewSnapshot(s.Version, s.At, tenants, connections, routes, mappings), nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// DeclaredField is the owner field of a secret's declared copy: the two
// ciphertexts of one credential cannot be exchanged.
func DeclaredField(field string) string { return "declared:" + field }

// Declared is the object as a YAML file would declare it, in JSON and in the
// order of its fields; it can be applied again.
func (o StoredObject) Declared() ([]byte, error) {
	spec, err := o.decode()
	if err != nil {
		return nil, err
	}
	return json.Marshal(spec)
}

// Summary is one short line about the object.
func (o StoredObject) Summary() string {
	spec, err := o.decode()
	if err != nil {
		return err.Error()
	}
	switch s := spec.(type) {
	case *TenantSpec:
		if s.Disabled {
			return "slug " + s.Slug + ", disabled"
		}
		return "slug " + s.Slug
	case *ConnectionSpec:
		return s.App + " account " + s.RemoteAccount
	case *RouteSpec:
		if s.When != "" {
			return "when " + s.When
		}
		return "always"
	case *MappingSpec:
		return fmt.Sprintf("%d fields, %d required", len(s.Fields), len(s.Required))
	}
	return ""
}
