package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/secret"
)

// ErrNoCredential reports a field that nothing is stored for.
var ErrNoCredential = errors.New("no such credential is stored: apply the connection with it")

// ErrCredentialsReplaced reports that other secrets were applied while a token
// was refreshed with the old ones; the refreshed one is not stored.
var ErrCredentialsReplaced = errors.New("the connection's secrets were replaced while its token was refreshed")

func putSecrets(ctx context.Context, tx pgx.Tx, c controlplane.Commit) error {
	for _, s := range c.Secrets {
		tenant, name, _ := strings.Cut(s.Connection.Name, "/")
		_, err := tx.Exec(ctx, `INSERT INTO credential AS c (tenant_id, connection, field, ciphertext, declared) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (tenant_id, connection, field) DO UPDATE SET ciphertext = EXCLUDED.ciphertext, declared = EXCLUDED.declared,
				expires_at = NULL, version = c.version + 1, updated_at = now()`,
			tenant, name, s.Field, s.Ciphertext, s.Declared)
		if err != nil {
			return fmt.Errorf("%s: secret %s: %w", s.Connection, s.Field, err)
		}
	}
	for _, s := range c.Dropped {
		tenant, name, _ := strings.Cut(s.Connection.Name, "/")
		if _, err := tx.Exec(ctx, "DELETE FROM credential WHERE tenant_id = $1 AND connection = $2 AND field = $3", tenant, name, s.Field); err != nil {
			return fmt.Errorf("%s: secret %s: %w", s.Connection, s.Field, err)
		}
	}
	// A token that was fetched with the replaced secrets is no longer theirs.
	seen := map[controlplane.Key]bool{}
	for _, s := range append(c.Secrets, c.Dropped...) {
		if seen[s.Connection] {
			continue
		}
		seen[s.Connection] = true
		tenant, name, _ := strings.Cut(s.Connection.Name, "/")
		if _, err := tx.Exec(ctx, "DELETE FROM credential WHERE tenant_id = $1 AND connection = $2 AND declared IS NULL", tenant, name); err != nil {
			return fmt.Errorf("%s: fetched tokens: %w", s.Connection, err)
		}
	}
	return nil
}

// DeclaredSecrets returns what was last applied for a connection, sealed.
func (p *ControlPlane) DeclaredSecrets(ctx context.Context, connection controlplane.Key) (map[string][]byte, error) {
	tenant, name, _ := strings.Cut(connection.Name, "/")
	rows, err := p.db.pool.Query(ctx, "SELECT field, declared FROM credential WHERE tenant_id = $1 AND connection = $2 AND declared IS NOT NULL", tenant, name)
	if err != nil {
		return nil, fmt.Errorf("postgres: secrets of %s: %w", connection, err)
	}
	out := map[string][]byte{}
	var field string
	var sealed []byte
	_, err = pgx.ForEachRow(rows, []any{&field, &sealed}, func() error {
		out[field] = append([]byte(nil), sealed...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("postgres: secrets of %s: %w", connection, err)
	}
	return out, nil
}

// Credential is one stored secret of a connection, sealed.
type Credential struct {
	Field      string
	Ciphertext []byte
	ExpiresAt  time.Time // zero: it does not expire
	Version    int64     // grows with each replacement
}

// Credentials reads all stored secrets of a connection.
func (p *ControlPlane) Credentials(ctx context.Context, tenant record.TenantID, connection string) ([]Credential, error) {
	return readCredentials(ctx, p.db.pool, tenant, connection, "")
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func readCredentials(ctx context.Context, q querier, tenant record.TenantID, connection, lock string) ([]Credential, error) {
	rows, err := q.Query(ctx, "SELECT field, ciphertext, coalesce(expires_at, 'epoch'), version FROM credential WHERE tenant_id = $1 AND connection = $2 ORDER BY field "+lock, string(tenant), connection)
	if err != nil {
		return nil, fmt.Errorf("postgres: credentials of %q: %w", connection, err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Credential, error) {
		var c Credential
		if err := row.Scan(&c.Field, &c.Ciphertext, &c.ExpiresAt, &c.Version); err != nil {
			return c, err
		}
		if c.ExpiresAt.Unix() == 0 {
			c.ExpiresAt = time.Time{}
		}
		return c, nil
	})
	if err != nil {
		return nil, fmt.Errorf("postgres: credentials of %q: %w", connection, err)
	}
	return list, nil
}

// RefreshCredentials lets one process at a time replace a connection's
// secrets: it holds a lock over all processes, hands fn what is stored now and
// stores what fn returns. What is returned is durable when it returns nil, and
// must not be used before. Nothing is stored if fn returns nothing.
//
// fn asks a token endpoint while the lock is held. The lock is a session's, not
// a transaction's, so no row and no transaction waits for the other side.
func (p *ControlPlane) RefreshCredentials(ctx context.Context, tenant record.TenantID, connection string, fn func(ctx context.Context, stored []Credential) ([]Credential, error)) error {
	session, err := p.db.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("postgres: credentials of %q: %w", connection, err)
	}
	defer session.Release()
	key := "credential/" + string(record.KeyOf(tenant, record.ID(connection)))
	if _, err := session.Exec(ctx, "SELECT pg_advisory_lock(hashtextextended($1, 0))", key); err != nil {
		return fmt.Errorf("postgres: waiting for another process that refreshes %q: %w", connection, err)
	}
	defer func() {
		// Also when ctx is over: the session goes back to the pool.
		unlock, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
		defer cancel()
		if _, err := session.Exec(unlock, "SELECT pg_advisory_unlock(hashtextextended($1, 0))", key); err != nil {
			_ = session.Conn().Close(unlock) // ends the session, and its lock with it
		}
	}()
	stored, err := readCredentials(ctx, session, tenant, connection, "")
	if err != nil {
		return err
	}
	replaced, err := fn(ctx, stored)
	if err != nil || len(replaced) == 0 {
		return err
	}
	// The other side may have rotated already: giving up now would lose it.
	durable, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
	defer cancel()
	err = pgx.BeginFunc(durable, session, func(tx pgx.Tx) error {
		// Somebody may have applied other secrets meanwhile: theirs are newer.
		now, err := readCredentials(durable, tx, tenant, connection, "FOR UPDATE")
		if err != nil {
			return err
		}
		if !slices.EqualFunc(stored, now, func(a, b Credential) bool { return a.Field == b.Field && a.Version == b.Version }) {
			return ErrCredentialsReplaced
		}
		for _, c := range replaced {
			var expires *time.Time
			if !c.ExpiresAt.IsZero() {
				expires = &c.ExpiresAt
			}
			_, err := tx.Exec(durable, `INSERT INTO credential AS c (tenant_id, connection, field, ciphertext, expires_at) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (tenant_id, connection, field) DO UPDATE SET ciphertext = EXCLUDED.ciphertext, expires_at = EXCLUDED.expires_at,
					version = c.version + 1, updated_at = now()`, string(tenant), connection, c.Field, c.Ciphertext, expires)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("postgres: store refreshed credentials of %q: %w", connection, err)
	}
	return nil
}

// CheckKeyset refuses a key set that is not the one this database's secrets
// are encrypted with. The first process to ask decides which that is.
func (p *ControlPlane) CheckKeyset(ctx context.Context, keys *secret.Keyring) error {
	const known = "fluxnex"
	owner := secret.Owner{Field: "keyset_check"}
	sealed, err := keys.Encrypt(known, owner)
	if err != nil {
		return err
	}
	if _, err := p.db.pool.Exec(ctx, "INSERT INTO keyset_check (ciphertext) VALUES ($1) ON CONFLICT DO NOTHING", sealed); err != nil {
		return fmt.Errorf("postgres: key set: %w", err)
	}
	if err := p.db.pool.QueryRow(ctx, "SELECT ciphertext FROM keyset_check").Scan(&sealed); err != nil {
		return fmt.Errorf("postgres: key set: %w", err)
	}
	if text, err := keys.Decrypt(sealed, owner); err != nil || text.Reveal() != known {
		return errors.New("this is not the key set that the database's credentials are encrypted with: set FLUXNEX_KEYSET_FILE to the right one, or restore it from its backup")
	}
	return nil
}

// Reencrypt seals everything that is not yet under the newest key again, and
// returns how many values it changed. Services go on meanwhile.
func (p *ControlPlane) Reencrypt(ctx context.Context, keys *secret.Keyring) (int, error) {
	changed := 0
	rows, err := p.db.pool.Query(ctx, "SELECT tenant_id, connection, field, ciphertext, declared, version FROM credential")
	if err != nil {
		return 0, fmt.Errorf("postgres: re-encrypt: %w", err)
	}
	type stored struct {
		owner      secret.Owner
		ciphertext []byte
		declared   []byte
		version    int64
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (stored, error) {
		var s stored
		err := row.Scan(&s.owner.Tenant, &s.owner.Connection, &s.owner.Field, &s.ciphertext, &s.declared, &s.version)
		return s, err
	})
	if err != nil {
		return 0, fmt.Errorf("postgres: re-encrypt: %w", err)
	}
	for _, s := range list {
		if keys.Newest(s.ciphertext) && (s.declared == nil || keys.Newest(s.declared)) {
			continue
		}
		ciphertext, err := reseal(keys, s.ciphertext, s.owner)
		if err != nil {
			return changed, err
		}
		declaredOwner := s.owner
		declaredOwner.Field = controlplane.DeclaredField(s.owner.Field)
		declared, err := reseal(keys, s.declared, declaredOwner)
		if err != nil {
			return changed, err
		}
		// A refresh that came between has written with the newest key itself.
		tag, err := p.db.pool.Exec(ctx, "UPDATE credential SET ciphertext = $4, declared = $5 WHERE tenant_id = $1 AND connection = $2 AND field = $3 AND version = $6",
			s.owner.Tenant, s.owner.Connection, s.owner.Field, ciphertext, declared, s.version)
		if err != nil {
			return changed, fmt.Errorf("postgres: re-encrypt: %w", err)
		}
		changed += int(tag.RowsAffected())
	}
	owner := secret.Owner{Field: "keyset_check"}
	var check []byte
	if err := p.db.pool.QueryRow(ctx, "SELECT ciphertext FROM keyset_check").Scan(&check); err != nil {
		if errors.Is(err, pgx.ErrNoRows) {
			return changed, nil
		}
		return changed, fmt.Errorf("postgres: re-encrypt: %w", err)
	}
	if check, err = reseal(keys, check, owner); err != nil {
		return changed, err
	}
	if _, err := p.db.pool.Exec(ctx, "UPDATE keyset_check SET ciphertext = $1", check); err != nil {
		return changed, fmt.Errorf("postgres: re-encrypt: %w", err)
	}
	return changed, nil
}

func reseal(keys *secret.Keyring, sealed []byte, owner secret.Owner) ([]byte, error) {
	if sealed == nil || keys.Newest(sealed) {
		return sealed, nil
	}
	text, err := keys.Decrypt(sealed, owner)
	if err != nil {
		return nil, fmt.Errorf("secret %s of connection %q of tenant %s: %w", owner.Field, owner.Connection, owner.Tenant, err)
	}
	return keys.Encrypt(text, owner)
}

// Vault reads connections' secrets in the clear, for gateway, delivery and
// fetcher.
type Vault struct {
	plane *ControlPlane
	keys  *secret.Keyring
}

// NewVault opens the secrets of p with keys.
func NewVault(p *ControlPlane, keys *secret.Keyring) *Vault { return &Vault{p, keys} }

// Secrets decrypts all stored secrets of a connection by field. The snapshot's
// Connection.Version grows whenever somebody applied other ones.
func (v *Vault) Secrets(ctx context.Context, tenant record.TenantID, connection string) (map[string]secret.Secret, error) {
	stored, err := v.plane.Credentials(ctx, tenant, connection)
	if err != nil {
		return nil, err
	}
	out := make(map[string]secret.Secret, len(stored))
	for _, c := range stored {
		text, err := v.Open(tenant, connection, c)
		if err != nil {
			return nil, err
		}
		out[c.Field] = text
	}
	return out, nil
}

// Open decrypts one credential.
func (v *Vault) Open(tenant record.TenantID, connection string, c Credential) (secret.Secret, error) {
	text, err := v.keys.Decrypt(c.Ciphertext, secret.Owner{Tenant: string(tenant), Connection: connection, Field: c.Field})
	if err != nil {
		return "", fmt.Errorf("credential %s of connection %q of tenant %s: %w", c.Field, connection, tenant, err)
	}
	return text, nil
}

// Seal encrypts one credential, for [ControlPlane.RefreshCredentials].
func (v *Vault) Seal(tenant record.TenantID, connection, field string, text secret.Secret, expires time.Time) (Credential, error) {
	sealed, err := v.keys.Encrypt(text, secret.Owner{Tenant: string(tenant), Connection: connection, Field: field})
	if err != nil {
		return Credential{}, err
	}
	return Credential{Field: field, Ciphertext: sealed, ExpiresAt: expires}, nil
}

// SigningSecret reads one secret that signed webhooks are verified with.
func (v *Vault) SigningSecret(ctx context.Context, tenant record.TenantID, connection, field string) (secret.Secret, error) {
	all, err := v.Secrets(ctx, tenant, connection)
	if err != nil {
		return "", err
	}
	text, ok := all[field]
	if !ok {
		return "", ErrNoCredential
	}
	return text, nil
}
