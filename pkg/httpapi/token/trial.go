package token

import (
	"context"
	"maps"
	"sync"

	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/secret"
)

// Trial holds secrets that are tried before anybody stores them: one process
// and one connection, in memory. A refresh token that rotates is used up by
// that; [Trial.Texts] has its successor.
type Trial struct {
	mu      sync.Mutex
	secrets map[string]Secret
}

// NewTrial begins with these secrets.
func NewTrial(secrets map[string]secret.Secret) *Trial {
	t := &Trial{secrets: map[string]Secret{}}
	for field, text := range secrets {
		t.secrets[field] = Secret{Text: text}
	}
	return t
}

// Secrets implements [Store].
func (t *Trial) Secrets(context.Context, record.TenantID, string) (map[string]Secret, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.secrets), nil
}

// Refresh implements [Store].
func (t *Trial) Refresh(ctx context.Context, _ record.TenantID, _ string, fn func(ctx context.Context, stored map[string]Secret) (map[string]Secret, error)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	replaced, err := fn(ctx, maps.Clone(t.secrets))
	maps.Copy(t.secrets, replaced)
	return err
}

// Texts are the secrets as they are now.
func (t *Trial) Texts() map[string]secret.Secret {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[string]secret.Secret, len(t.secrets))
	for field, s := range t.secrets {
		out[field] = s.Text
	}
	return out
}
