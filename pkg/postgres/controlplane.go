package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
)

// ControlPlane stores declared objects, their secrets and the audit.
type ControlPlane struct{ db *DB }

// NewControlPlane is the control plane's tables of db.
func NewControlPlane(db *DB) *ControlPlane { return &ControlPlane{db} }

// configLock serialises commits; readers never wait for it.
const configLock int64 = 0x666c7578636667 // "fluxcfg"

// ConfigVersion is the newest version: one index look-up.
func (p *ControlPlane) ConfigVersion(ctx context.Context) (int64, error) {
	var version int64
	if err := p.db.pool.QueryRow(ctx, "SELECT max(version) FROM config_version").Scan(&version); err != nil {
		return 0, fmt.Errorf("postgres: configuration version: %w", err)
	}
	return version, nil
}

const selectObjects = `
SELECT 'Tenant', id, spec, version FROM tenant
UNION ALL SELECT 'Connection', tenant_id || '/' || name, spec, version FROM app_connection
UNION ALL SELECT 'Route', tenant_id || '/' || entity || '/' || target, spec, version FROM integration_route
UNION ALL SELECT 'Mapping', tenant_id || '/' || entity || '/' || app, spec, version FROM mapping
ORDER BY 1, 2`

// LoadConfig reads everything as of one moment.
func (p *ControlPlane) LoadConfig(ctx context.Context) (controlplane.Stored, error) {
	var s controlplane.Stored
	err := pgx.BeginTxFunc(ctx, p.db.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, "SELECT version, applied_at FROM config_version ORDER BY version DESC LIMIT 1").Scan(&s.Version, &s.At)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, selectObjects)
		if err != nil {
			return err
		}
		s.Objects, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (controlplane.StoredObject, error) {
			var o controlplane.StoredObject
			err := row.Scan(&o.Key.Kind, &o.Key.Name, &o.Spec, &o.Version)
			return o, err
		})
		if err != nil {
			return err
		}
		if rows, err = tx.Query(ctx, "SELECT id FROM tenant_tombstone"); err != nil {
			return err
		}
		s.Tombstones, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		return controlplane.Stored{}, fmt.Errorf("postgres: configuration: %w", err)
	}
	return s, nil
}

// CommitConfig applies a commit and audits each change in one transaction.
func (p *ControlPlane) CommitConfig(ctx context.Context, c controlplane.Commit) (int64, error) {
	version := c.Base + 1
	err := p.db.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", configLock); err != nil {
			return err
		}
		var newest int64
		if err := tx.QueryRow(ctx, "SELECT max(version) FROM config_version").Scan(&newest); err != nil {
			return err
		}
		if newest != c.Base {
			return controlplane.ErrChanged
		}
		for _, change := range c.Changes {
			var err error
			if change.Action == controlplane.ActionDelete {
				err = deleteObject(ctx, tx, change.Key, c.Actor)
			} else {
				err = putObject(ctx, tx, change, version)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", change.Key, err)
			}
		}
		if err := putSecrets(ctx, tx, c); err != nil {
			return err
		}
		if err := auditCommit(ctx, tx, c, version); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		_, err := tx.Exec(ctx, "INSERT INTO config_version (version, applied_by) VALUES ($1, $2)", version, c.Actor)
		return err
	})
	if errors.Is(err, controlplane.ErrChanged) {
		return 0, err
	}
	if err != nil {
		return 0, fmt.Errorf("postgres: commit configuration: %w", err)
	}
	return version, nil
}

func putObject(ctx context.Context, tx pgx.Tx, change controlplane.Change, version int64) error {
	// The columns beside spec are read from it, so they can never differ.
	var statement string
	switch change.Key.Kind {
	case controlplane.KindTenant:
		statement = `INSERT INTO tenant (id, slug, disabled, spec, version)
			SELECT s->>'id', s->>'slug', coalesce((s->>'disabled')::boolean, false), s, $2 FROM (SELECT $1::jsonb AS s) AS x
			ON CONFLICT (id) DO UPDATE SET slug = EXCLUDED.slug, disabled = EXCLUDED.disabled, spec = EXCLUDED.spec, version = EXCLUDED.version`
	case controlplane.KindConnection:
		statement = `INSERT INTO app_connection (tenant_id, name, app, remote_account, spec, version)
			SELECT s->>'tenant', s->>'name', s->>'app', s->>'remote_account', s, $2 FROM (SELECT $1::jsonb AS s) AS x
			ON CONFLICT (tenant_id, name) DO UPDATE SET app = EXCLUDED.app, remote_account = EXCLUDED.remote_account, spec = EXCLUDED.spec, version = EXCLUDED.version`
	case controlplane.KindRoute:
		statement = `INSERT INTO integration_route (tenant_id, entity, target, spec, version)
			SELECT s->>'tenant', s->>'entity', s->>'target', s, $2 FROM (SELECT $1::jsonb AS s) AS x
			ON CONFLICT (tenant_id, entity, target) DO UPDATE SET spec = EXCLUDED.spec, version = EXCLUDED.version`
	case controlplane.KindMapping:
		statement = `INSERT INTO mapping (tenant_id, entity, app, spec, version)
			SELECT s->>'tenant', s->>'entity', s->>'app', s, $2 FROM (SELECT $1::jsonb AS s) AS x
			ON CONFLICT (tenant_id, entity, app) DO UPDATE SET spec = EXCLUDED.spec, version = EXCLUDED.version`
	default:
		return fmt.Errorf("no table for kind %q", change.Key.Kind)
	}
	_, err := tx.Exec(ctx, statement, json.RawMessage(change.After), version)
	return err
}

func deleteObject(ctx context.Context, tx pgx.Tx, key controlplane.Key, actor string) error {
	parts := strings.SplitN(key.Name, "/", 3)
	args := make([]any, len(parts))
	for i, part := range parts {
		args[i] = part
	}
	var err error
	switch key.Kind {
	case controlplane.KindTenant:
		if _, err = tx.Exec(ctx, "DELETE FROM tenant WHERE id = $1", key.Name); err == nil {
			_, err = tx.Exec(ctx, "INSERT INTO tenant_tombstone (id, erased_by) VALUES ($1, $2)", key.Name, actor)
		}
	case controlplane.KindConnection:
		tenant, name, _ := strings.Cut(key.Name, "/")
		_, err = tx.Exec(ctx, "DELETE FROM app_connection WHERE tenant_id = $1 AND name = $2", tenant, name)
	case controlplane.KindRoute:
		_, err = tx.Exec(ctx, "DELETE FROM integration_route WHERE tenant_id = $1 AND entity = $2 AND target = $3", args...)
	case controlplane.KindMapping:
		_, err = tx.Exec(ctx, "DELETE FROM mapping WHERE tenant_id = $1 AND entity = $2 AND app = $3", args...)
	default:
		return fmt.Errorf("no table for kind %q", key.Kind)
	}
	return err
}

func auditCommit(ctx context.Context, tx pgx.Tx, c controlplane.Commit, version int64) error {
	entries := make([]AuditEntry, 0, len(c.Changes))
	for _, change := range c.Changes {
		e := AuditEntry{
			Actor: c.Actor, Action: string(change.Action), TenantID: string(change.Key.Tenant()), Object: change.Key.String(),
			BeforeHash: digest(change.Before), AfterHash: digest(change.After),
			Result: "applied", Detail: fmt.Sprintf("configuration version %d", version),
		}
		if len(change.Secrets) > 0 {
			e.Detail += "; secrets replaced: " + strings.Join(change.Secrets, ", ")
		}
		entries = append(entries, e)
	}
	return appendAudit(ctx, tx, entries)
}

func digest(b []byte) string {
	if b == nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
