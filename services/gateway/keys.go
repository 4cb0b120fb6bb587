package gateway

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/record"
)

const (
	minSigningKeyBytes = 24 // of the Standard Webhooks specification
	// A store that is away is not asked for each request.
	keyRetryAfter  = time.Second
	keyReadTimeout = time.Second
)

// keyCache holds decrypted signing keys by connection version, so that signed
// webhooks are verified while Postgres is away.
type keyCache struct {
	secrets SigningSecrets
	now     func() time.Time

	mu      sync.Mutex
	entries map[keyOwner]*keyEntry
}

type keyOwner struct {
	tenant     record.TenantID
	connection string
}

type keyEntry struct {
	version int64
	keys    []*signingKey
	err     error
	retryAt time.Time
}

func newKeyCache(secrets SigningSecrets, now func() time.Time) *keyCache {
	return &keyCache{secrets: secrets, now: now, entries: map[keyOwner]*keyEntry{}}
}

// of returns the keys of a connection's signing secrets; none if it has none.
func (c *keyCache) of(ctx context.Context, connection *controlplane.Connection) ([]*signingKey, error) {
	if len(connection.Webhook.SigningSecrets) == 0 {
		return nil, nil
	}
	owner := keyOwner{connection.Tenant, connection.Name}
	c.mu.Lock()
	entry := c.entries[owner]
	c.mu.Unlock()
	if entry != nil && entry.version == connection.Version && (entry.err == nil || c.now().Before(entry.retryAt)) {
		return entry.keys, entry.err
	}
	entry = &keyEntry{version: connection.Version}
	if entry.keys, entry.err = c.read(ctx, connection); entry.err != nil {
		entry.retryAt = c.now().Add(keyRetryAfter)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries[owner] = entry
	return entry.keys, entry.err
}

func (c *keyCache) read(ctx context.Context, connection *controlplane.Connection) ([]*signingKey, error) {
	if c.secrets == nil {
		return nil, errors.New("signing secrets cannot be read by this process")
	}
	ctx, cancel := context.WithTimeout(ctx, keyReadTimeout)
	defer cancel()
	var keys []*signingKey
	for _, field := range connection.Webhook.SigningSecrets {
		text, err := c.secrets.SigningSecret(ctx, connection.Tenant, connection.Name, field)
		if err != nil {
			return nil, fmt.Errorf("signing secret %s of connection %q: %w", field, connection.Name, err)
		}
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text.Reveal(), "whsec_"))
		if err != nil || len(key) < minSigningKeyBytes {
			return nil, fmt.Errorf("signing secret %s of connection %q is not whsec_ and base64 of at least %d bytes; apply a new one", field, connection.Name, minSigningKeyBytes)
		}
		keys = append(keys, newSigningKey(key))
	}
	return keys, nil
}
