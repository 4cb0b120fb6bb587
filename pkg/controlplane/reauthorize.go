package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fluxnex/fluxnex/pkg/secret"
)

// Reauthorize replaces secrets of a connection and bumps its version, which is
// what blocked services look for; nothing else of it changes. given is what
// somebody brought, by field; current what has become of it since, where a
// token was rotated by using it. What was given is what the next apply compares
// with.
func (p *Plane) Reauthorize(ctx context.Context, key Key, given, current map[string]secret.Secret, actor string) (int64, error) {
	if p.Keys == nil {
		return 0, errors.New("there is no key set to encrypt the credentials with: set FLUXNEX_KEYSET_FILE")
	}
	for attempt := 1; ; attempt++ {
		version, err := p.reauthorize(ctx, key, given, current, actor)
		if errors.Is(err, ErrChanged) && attempt < applyAttempts {
			continue
		}
		return version, err
	}
}

func (p *Plane) reauthorize(ctx context.Context, key Key, given, current map[string]secret.Secret, actor string) (int64, error) {
	stored, err := p.Store.LoadConfig(ctx)
	if err != nil {
		return 0, err
	}
	var found *StoredObject
	for i := range stored.Objects {
		if stored.Objects[i].Key == key {
			found = &stored.Objects[i]
		}
	}
	if found == nil {
		return 0, fmt.Errorf("there is no %s: %w", key, ErrNotFound)
	}
	spec, err := found.decode()
	if err != nil {
		return 0, err
	}
	c, ok := spec.(*ConnectionSpec)
	if !ok {
		return 0, fmt.Errorf("%s is no connection", key)
	}
	same, err := json.Marshal(spec)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", key, err)
	}
	change := Change{Action: ActionUpdate, Key: key, Before: same, After: same, Secrets: sortedKeys(given)}
	commit := Commit{Base: stored.Version, Actor: actor, Changes: []Change{change}}
	for _, field := range change.Secrets {
		owner := secret.Owner{Tenant: c.Tenant, Connection: c.Name, Field: field}
		sealed := SealedSecret{Connection: key, Field: field}
		text := given[field]
		if now, ok := current[field]; ok {
			text = now
		}
		if sealed.Ciphertext, err = p.Keys.Encrypt(text, owner); err != nil {
			return 0, err
		}
		owner.Field = DeclaredField(field)
		if sealed.Declared, err = p.Keys.Encrypt(given[field], owner); err != nil {
			return 0, err
		}
		commit.Secrets = append(commit.Secrets, sealed)
	}
	return p.Store.CommitConfig(ctx, commit)
}
