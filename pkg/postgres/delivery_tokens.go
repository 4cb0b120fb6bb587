package postgres

import (
	"context"

	"github.com/fluxnex/fluxnex/pkg/httpapi/token"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// Tokens is the vault as the token source uses it.
type Tokens struct{ vault *Vault }

// Tokens lets a token source read and replace secrets of v.
func (v *Vault) Tokens() *Tokens { return &Tokens{vault: v} }

// Secrets implements [token.Store].
func (t *Tokens) Secrets(ctx context.Context, tenant record.TenantID, connection string) (map[string]token.Secret, error) {
	stored, err := t.vault.plane.Credentials(ctx, tenant, connection)
	if err != nil {
		return nil, err
	}
	return t.open(tenant, connection, stored)
}

func (t *Tokens) open(tenant record.TenantID, connection string, stored []Credential) (map[string]token.Secret, error) {
	out := make(map[string]token.Secret, len(stored))
	for _, c := range stored {
		text, err := t.vault.Open(tenant, connection, c)
		if err != nil {
			return nil, err
		}
		out[c.Field] = token.Secret{Text: text, ExpiresAt: c.ExpiresAt}
	}
	return out, nil
}

// Refresh implements [token.Store].
func (t *Tokens) Refresh(ctx context.Context, tenant record.TenantID, connection string, fn func(ctx context.Context, stored map[string]token.Secret) (map[string]token.Secret, error)) error {
	return t.vault.plane.RefreshCredentials(ctx, tenant, connection, func(ctx context.Context, stored []Credential) ([]Credential, error) {
		clear, err := t.open(tenant, connection, stored)
		if err != nil {
			return nil, err
		}
		replaced, err := fn(ctx, clear)
		if err != nil {
			return nil, err
		}
		out := make([]Credential, 0, len(replaced))
		for field, s := range replaced {
			sealed, err := t.vault.Seal(tenant, connection, field, s.Text, s.ExpiresAt)
			if err != nil {
				return nil, err
			}
			out = append(out, sealed)
		}
		return out, nil
	})
}
