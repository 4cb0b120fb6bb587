package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fluxnex/fluxnex/pkg/record"
)

// openNotification opens a notification, or counts one more sight of an open
// one; only the opening is published.
const openNotification = `
WITH old AS (
	SELECT resolved_at FROM notification WHERE tenant_id = $1 AND record_id = $3 AND target = $10 AND fingerprint = $12
), up AS (
	INSERT INTO notification AS n (tenant_id, source_app, record_id, audience, stage, class, code, message, remedy, target, object, fingerprint,
		revision_generation, revision_offset, first_at, last_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15)
	ON CONFLICT (tenant_id, record_id, target, fingerprint) DO UPDATE SET seen = n.seen + 1, last_at = EXCLUDED.last_at, message = EXCLUDED.message,
		revision_generation = EXCLUDED.revision_generation, revision_offset = EXCLUDED.revision_offset, resolved_at = NULL
)
INSERT INTO delivery_outbox (kind, value)
SELECT 'notification', $16::bytea WHERE NOT EXISTS (SELECT FROM old WHERE resolved_at IS NULL)`

func notificationArgs(n *record.Notification) ([]any, error) {
	value, err := json.Marshal(n)
	if err != nil {
		return nil, fmt.Errorf("postgres: notification: %w", err)
	}
	return []any{
		string(n.TenantID), n.SourceApp, string(n.RecordID), string(n.Audience), n.Stage, n.Class, n.Code, clip(n.Message), clip(n.Remedy),
		n.Target, n.Object, n.Fingerprint, n.Revision.Generation, n.Revision.Offset, n.At, value,
	}, nil
}

func queueNotification(batch *pgx.Batch, n *record.Notification) error {
	args, err := notificationArgs(n)
	if err != nil {
		return err
	}
	batch.Queue(openNotification, args...)
	return nil
}

const closeOpen = `
UPDATE notification n SET resolved_at = now()
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::bigint[]) AS u(tenant_id, record_id, target, object, generation, revision_offset)
WHERE n.tenant_id = u.tenant_id AND n.record_id = u.record_id AND n.target = u.target AND n.object IN ('', u.object)
	AND n.resolved_at IS NULL AND (n.revision_generation, n.revision_offset) <= (u.generation, u.revision_offset)
RETURNING n.tenant_id, n.source_app, n.record_id, n.audience, n.stage, n.class, n.target, n.object, n.fingerprint, n.resolved_at`

// queueClose closes what is open about (record, target) up to the applied
// revision, whichever stage opened it. What it closed is there once the batch
// is closed.
func queueClose(batch *pgx.Batch, kept []*Finished) *[]record.Notification {
	var tenants, records, targets, objects []string
	var generations []int32
	var offsets []int64
	for _, f := range kept {
		if f.Ending != EndApplied {
			continue
		}
		r := f.Row
		tenants, records = append(tenants, string(r.Tenant)), append(records, string(r.RecordID))
		targets, objects = append(targets, r.TargetName), append(objects, r.Object)
		generations, offsets = append(generations, r.Version.Revision.Generation), append(offsets, r.Version.Revision.Offset)
	}
	resolved := new([]record.Notification)
	if len(tenants) == 0 {
		return resolved
	}
	batch.Queue(closeOpen, tenants, records, targets, objects, generations, offsets).Query(func(rows pgx.Rows) (err error) {
		*resolved, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (n record.Notification, err error) {
			err = row.Scan(&n.TenantID, &n.SourceApp, &n.RecordID, &n.Audience, &n.Stage, &n.Class, &n.Target, &n.Object, &n.Fingerprint, &n.At)
			return n, err
		})
		return err
	})
	return resolved
}

// tellClosed publishes what was closed.
func tellClosed(ctx context.Context, tx pgx.Tx, kept []*Finished, resolved []record.Notification) error {
	var values [][]byte
	for i := range resolved {
		n := &resolved[i]
		n.Resolved = true
		for _, f := range kept {
			if f.Row.Tenant == n.TenantID && f.Row.RecordID == n.RecordID && f.Row.TargetName == n.Target {
				n.Revision, n.Lineage = f.Row.Version.Revision, f.Row.Lineage
			}
		}
		var err error
		if values, err = appendJSON(values, n); err != nil {
			return err
		}
	}
	return appendOutbox(ctx, tx, OutboxNotification, values)
}

// Notify opens a notification that belongs to no row (a connection's own).
func (d *Deliveries) Notify(ctx context.Context, n *record.Notification) error {
	args, err := notificationArgs(n)
	if err != nil {
		return err
	}
	err = d.db.inTx(ctx, func(tx pgx.Tx) error {
		// No row's lock keeps two calls that fail alike from opening it both, each
		// unseen by the other; the statement after this one sees what was opened.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, n.Fingerprint); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, openNotification, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("postgres: notification: %w", err)
	}
	return nil
}

// Block stops the claiming of a lane whose credential is dead, and opens the
// notification with it. version is the credential version that was refused:
// [Deliveries.Unblock] needs a greater one. It reports whether the lane was
// open before; one that was opened with a greater version stays open.
func (d *Deliveries) Block(ctx context.Context, lane int32, version int64, code string, n *record.Notification) (bool, error) {
	args, err := notificationArgs(n)
	if err != nil {
		return false, err
	}
	blocked := false
	err = d.db.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE delivery_lane SET blocked_at = now(), blocked_version = $2, blocked_code = $3 WHERE id = $1 AND blocked_at IS NULL AND blocked_version < $2`, lane, version, code)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		blocked = true
		_, err = tx.Exec(ctx, openNotification, args...)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("postgres: block lane: %w", err)
	}
	return blocked, nil
}

// BlockedLane is a lane that waits for re-authorisation.
type BlockedLane struct {
	Lane
	Version int64 // the credential version that was refused
	Since   time.Time
	Code    string
}

// Blocked lists the lanes that wait for re-authorisation.
func (d *Deliveries) Blocked(ctx context.Context) ([]BlockedLane, error) {
	rows, err := d.db.pool.Query(ctx, `SELECT id, tenant_id, app, remote_account, blocked_version, blocked_at, blocked_code FROM delivery_lane WHERE blocked_at IS NOT NULL`)
	if err != nil {
		return nil, fmt.Errorf("postgres: blocked lanes: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (l BlockedLane, err error) {
		err = row.Scan(&l.ID, &l.Tenant, &l.App, &l.RemoteAccount, &l.Version, &l.Since, &l.Code)
		return l, err
	})
}

// StillBlocked keeps a lane blocked because credentials of that version do not
// serve either.
func (d *Deliveries) StillBlocked(ctx context.Context, lane int32, version int64, code string, n *record.Notification) error {
	args, err := notificationArgs(n)
	if err != nil {
		return err
	}
	return d.db.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE delivery_lane SET blocked_version = $2, blocked_code = $3 WHERE id = $1 AND blocked_at IS NOT NULL AND blocked_version < $2`, lane, version, code)
		if err == nil && tag.RowsAffected() == 1 {
			_, err = tx.Exec(ctx, openNotification, args...)
		}
		if err != nil {
			return fmt.Errorf("postgres: blocked lane: %w", err)
		}
		return nil
	})
}

// Unblock opens a lane again with credentials of that version and closes its
// notification. For rows that wait for a reference the clock stood meanwhile.
func (d *Deliveries) Unblock(ctx context.Context, lane int32, target string, version int64) error {
	err := d.db.inTx(ctx, func(tx pgx.Tx) error {
		var tenant string
		var blocked *time.Duration
		err := tx.QueryRow(ctx, `
			WITH old AS (SELECT blocked_at FROM delivery_lane WHERE id = $1 FOR UPDATE)
			UPDATE delivery_lane l SET blocked_at = NULL, blocked_code = '', blocked_version = greatest(l.blocked_version, $2 - 1), opened_at = now()
			FROM old WHERE id = $1 RETURNING tenant_id, now() - old.blocked_at`, lane, version).Scan(&tenant, &blocked)
		if err != nil {
			return err
		}
		if blocked == nil {
			return nil // somebody else opened it
		}
		if _, err := tx.Exec(ctx, `
			UPDATE delivery_row SET waiting_since = waiting_since + least($2, now() - waiting_since), next_at = next_at + least($2, now() - waiting_since)
			WHERE lane_id = $1 AND status = 'waiting'`, lane, *blocked); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE notification SET resolved_at = now() WHERE tenant_id = $1 AND record_id = '' AND target = $2 AND class = 'auth' AND resolved_at IS NULL`, tenant, target)
		return err
	})
	if err != nil {
		return fmt.Errorf("postgres: unblock lane: %w", err)
	}
	return nil
}

// standsFrom is the shortest pause in which the clock of waiting rows stands.
const standsFrom = time.Minute

// Pause stops every lane of a remote account for a while; a shorter pause never
// cuts a longer one short. The clock of rows that wait for a reference stands
// in it, unless it is too short to matter.
func (d *Deliveries) Pause(ctx context.Context, app, remoteAccount string, pause time.Duration, reason string) error {
	err := d.db.inTx(ctx, func(tx pgx.Tx) error {
		// The row is locked first, so that of many who pause at once each sees what
		// the one before added.
		if _, err := tx.Exec(ctx, `
			INSERT INTO delivery_account (app, remote_account, paused_until, reason) VALUES ($1, $2, now(), $3)
			ON CONFLICT (app, remote_account) DO UPDATE SET reason = EXCLUDED.reason`, app, remoteAccount, reason); err != nil {
			return err
		}
		var added time.Duration
		err := tx.QueryRow(ctx, `
			WITH old AS (SELECT greatest(paused_until, now()) AS until FROM delivery_account WHERE app = $1 AND remote_account = $2)
			UPDATE delivery_account a SET paused_until = greatest(a.paused_until, now() + $3) FROM old
			WHERE app = $1 AND remote_account = $2 RETURNING a.paused_until - least(old.until, a.paused_until)`, app, remoteAccount, pause).Scan(&added)
		if err != nil || added < standsFrom {
			return err
		}
		_, err = tx.Exec(ctx, `
			UPDATE delivery_row r SET waiting_since = r.waiting_since + $3, next_at = r.next_at + $3 FROM delivery_lane l
			WHERE l.app = $1 AND l.remote_account = $2 AND r.lane_id = l.id AND r.status = 'waiting'`, app, remoteAccount, added)
		return err
	})
	if err != nil {
		return fmt.Errorf("postgres: pause account: %w", err)
	}
	return nil
}

// AccountKey names a remote account.
type AccountKey struct{ App, RemoteAccount string }

// Paused lists the accounts that rest now.
func (d *Deliveries) Paused(ctx context.Context) (map[AccountKey]bool, error) {
	rows, err := d.db.pool.Query(ctx, `SELECT app, remote_account FROM delivery_account WHERE paused_until > now()`)
	if err != nil {
		return nil, fmt.Errorf("postgres: paused accounts: %w", err)
	}
	out := map[AccountKey]bool{}
	var k AccountKey
	_, err = pgx.ForEachRow(rows, []any{&k.App, &k.RemoteAccount}, func() error {
		out[k] = true
		return nil
	})
	return out, err
}

// ConnectionNotice is an open notification about a connection.
type ConnectionNotice struct {
	ID     int64
	Tenant record.TenantID
	Target string
}

// ConnectionNotices lists delivery's open notifications about connections with that
// code.
func (d *Deliveries) ConnectionNotices(ctx context.Context, code string) ([]ConnectionNotice, error) {
	rows, err := d.db.pool.Query(ctx, `SELECT id, tenant_id, target FROM notification WHERE record_id = '' AND stage = 'delivery' AND code = $1 AND resolved_at IS NULL`, code)
	if err != nil {
		return nil, fmt.Errorf("postgres: notifications: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (n ConnectionNotice, err error) {
		err = row.Scan(&n.ID, &n.Tenant, &n.Target)
		return n, err
	})
}

// CloseNotice closes one notification.
func (d *Deliveries) CloseNotice(ctx context.Context, id int64) error {
	if _, err := d.db.pool.Exec(ctx, `UPDATE notification SET resolved_at = now() WHERE id = $1 AND resolved_at IS NULL`, id); err != nil {
		return fmt.Errorf("postgres: notification: %w", err)
	}
	return nil
}
