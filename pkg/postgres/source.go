package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fluxnex/fluxnex/pkg/record"
)

// Block is a time in which a tenant's source could not be asked.
type Block struct {
	Tenant  record.TenantID
	App     string
	Since   time.Time
	Until   time.Time // zero: it lasts
	RetryAt time.Time // while it lasts
	Code    string
	Detail  string
}

// keptBlocks is longer than anything waits that is not blocked.
const keptBlocks = "90 days"

// Block notes that a source cannot be asked before retryAfter has passed, and
// opens the notification n; one that lasts is prolonged and tells nobody again.
func (f *Fetches) Block(ctx context.Context, tenant record.TenantID, app, code, detail string, retryAfter time.Duration, n *record.Notification) error {
	args, err := notificationArgs(n)
	if err != nil {
		return err
	}
	err = f.db.inTx(ctx, func(tx pgx.Tx) error {
		var begins bool
		err := tx.QueryRow(ctx, `
			INSERT INTO source_block AS b (tenant_id, source_app, since, retry_at, code, detail) VALUES ($1, $2, now(), now() + $3, $4, $5)
			ON CONFLICT (tenant_id, source_app) WHERE until IS NULL DO UPDATE SET retry_at = EXCLUDED.retry_at, code = EXCLUDED.code, detail = EXCLUDED.detail
			RETURNING since = now()`, string(tenant), app, retryAfter, code, clip(detail)).Scan(&begins)
		if err != nil || !begins {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM source_block WHERE until < now() - interval '`+keptBlocks+`'`); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, openNotification, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("postgres: block source: %w", err)
	}
	return nil
}

// Unblock ends the block of a source that answered, closes its notification,
// and lets what was put back be asked for at once. It reports whether there was
// a block.
func (f *Fetches) Unblock(ctx context.Context, tenant record.TenantID, app, target, fingerprint string) (bool, error) {
	ended := false
	err := f.db.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE source_block SET until = now() WHERE tenant_id = $1 AND source_app = $2 AND until IS NULL`, string(tenant), app)
		if ended = tag.RowsAffected() > 0; err != nil || !ended {
			return err
		}
		if err := release(ctx, tx, tenant, app); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE notification SET resolved_at = now() WHERE tenant_id = $1 AND record_id = '' AND target = $2 AND fingerprint = $3 AND resolved_at IS NULL`,
			string(tenant), target, fingerprint)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("postgres: unblock source: %w", err)
	}
	return ended, nil
}

// release makes fetches that were put back due.
func release(ctx context.Context, tx pgx.Tx, tenant record.TenantID, app string) error {
	_, err := tx.Exec(ctx, `UPDATE fetch_lease SET next_at = now() WHERE tenant_id = $1 AND source_app = $2 AND put_back AND next_at > now()`, string(tenant), app)
	return err
}

// Blocks lists the blocks that last and those of the past that are kept.
func (f *Fetches) Blocks(ctx context.Context) ([]Block, error) {
	rows, err := f.db.pool.Query(ctx, `SELECT tenant_id, source_app, since, until, retry_at, code, detail FROM source_block ORDER BY since`)
	if err != nil {
		return nil, fmt.Errorf("postgres: source blocks: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (b Block, err error) {
		var until *time.Time
		err = row.Scan(&b.Tenant, &b.App, &b.Since, &until, &b.RetryAt, &b.Code, &b.Detail)
		if until != nil {
			b.Until = *until
		}
		return b, err
	})
	if err != nil {
		return nil, fmt.Errorf("postgres: source blocks: %w", err)
	}
	return list, nil
}

// Standstill is when sources could not be asked, by tenant and app.
type Standstill map[sourceOf][]Block

type sourceOf struct {
	tenant record.TenantID
	app    string
}

// NewStandstill sorts blocks by their source.
func NewStandstill(blocks []Block) Standstill {
	s := make(Standstill, len(blocks))
	for _, b := range blocks {
		of := sourceOf{b.Tenant, b.App}
		s[of] = append(s[of], b)
	}
	return s
}

// Stood is for how long of the time since then a source could not be asked.
func (s Standstill) Stood(tenant record.TenantID, app string, since, now time.Time) time.Duration {
	var stood time.Duration
	for _, b := range s[sourceOf{tenant, app}] {
		from, to := b.Since, b.Until
		if to.IsZero() || to.After(now) {
			to = now
		}
		if from.Before(since) {
			from = since
		}
		if to.After(from) {
			stood += to.Sub(from)
		}
	}
	return stood
}

// SourcePoll is one connection to ask for removals.
type SourcePoll struct {
	Tenant     record.TenantID
	Connection string
	Cursors    map[string]time.Time // by object; none: never asked

	epoch, seq int64
}

// ExpectPolls makes sure that each connection has its row; a new one is due at
// once.
func (f *Fetches) ExpectPolls(ctx context.Context, tenants []record.TenantID, connections []string) error {
	ids := make([]string, len(tenants))
	for i, t := range tenants {
		ids[i] = string(t)
	}
	_, err := f.db.pool.Exec(ctx, `
		INSERT INTO source_poll (tenant_id, connection, next_at) SELECT t, c, now() FROM unnest($1::text[], $2::text[]) AS u(t, c) ORDER BY 1, 2
		ON CONFLICT DO NOTHING`, ids, connections)
	if err != nil {
		return fmt.Errorf("postgres: expect polls: %w", err)
	}
	return nil
}

// ClaimPoll takes the connection that is due longest, for nobody else to poll
// while the lease runs; nil if none is due.
func (f *Fetches) ClaimPoll(ctx context.Context, lease time.Duration) (*SourcePoll, error) {
	var p SourcePoll
	err := f.db.pool.QueryRow(ctx, `
		WITH due AS MATERIALIZED (SELECT tenant_id, connection FROM source_poll WHERE next_at <= now() ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED)
		UPDATE source_poll p SET epoch = p.epoch + 1, leased = true, next_at = now() + $1 FROM due WHERE p.tenant_id = due.tenant_id AND p.connection = due.connection
		RETURNING p.tenant_id, p.connection, p.cursors, p.epoch, p.seq`, lease).Scan(&p.Tenant, &p.Connection, &p.Cursors, &p.epoch, &p.seq)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("postgres: claim poll: %w", err)
	}
	return &p, nil
}

// FinishPoll ends a poll; it is polled again after next, or at once if somebody
// asked meanwhile. code is "" where all went well.
func (f *Fetches) FinishPoll(ctx context.Context, p *SourcePoll, found int, next time.Duration, code, detail string) error {
	_, err := f.db.pool.Exec(ctx, `
		UPDATE source_poll SET cursors = $4, found = $5, polled_at = now(), leased = false, done = $6, code = $8, detail = $9,
			next_at = CASE WHEN seq > $6 THEN now() ELSE now() + $7::interval END
		WHERE tenant_id = $1 AND connection = $2 AND epoch = $3`,
		string(p.Tenant), p.Connection, p.epoch, p.Cursors, found, p.seq, next, code, clip(detail))
	if err != nil {
		return fmt.Errorf("postgres: finish poll: %w", err)
	}
	return nil
}

// DropPoll forgets a connection that is no more.
func (f *Fetches) DropPoll(ctx context.Context, p *SourcePoll) error {
	_, err := f.db.pool.Exec(ctx, `DELETE FROM source_poll WHERE tenant_id = $1 AND connection = $2 AND epoch = $3`, string(p.Tenant), p.Connection, p.epoch)
	if err != nil {
		return fmt.Errorf("postgres: drop poll: %w", err)
	}
	return nil
}

// AskPoll wants a connection polled now, and what waits for its source asked
// for now. The answer is for [Fetches.Polled].
func (f *Fetches) AskPoll(ctx context.Context, tenant record.TenantID, app, connection string) (seq int64, err error) {
	err = f.db.inTx(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			INSERT INTO source_poll AS p (tenant_id, connection, next_at, seq) VALUES ($1, $2, now(), 1)
			ON CONFLICT (tenant_id, connection) DO UPDATE SET seq = p.seq + 1, next_at = CASE WHEN p.leased THEN p.next_at ELSE now() END
			RETURNING seq`, string(tenant), connection).Scan(&seq)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE source_block SET retry_at = now() WHERE tenant_id = $1 AND source_app = $2 AND until IS NULL`, string(tenant), app); err != nil {
			return err
		}
		return release(ctx, tx, tenant, app)
	})
	if err != nil {
		return 0, fmt.Errorf("postgres: ask for a poll: %w", err)
	}
	return seq, nil
}

// PollState is what the last poll of a connection came to.
type PollState struct {
	Done   int64 // requests up to this one are answered
	At     time.Time
	Found  int
	Code   string // "" where all went well
	Detail string
}

// Polled tells what the last poll came to.
func (f *Fetches) Polled(ctx context.Context, tenant record.TenantID, connection string) (PollState, error) {
	var s PollState
	var at *time.Time
	err := f.db.pool.QueryRow(ctx, `SELECT done, polled_at, found, code, detail FROM source_poll WHERE tenant_id = $1 AND connection = $2`,
		string(tenant), connection).Scan(&s.Done, &at, &s.Found, &s.Code, &s.Detail)
	if err != nil {
		return s, fmt.Errorf("postgres: poll of %s: %w", connection, err)
	}
	if at != nil {
		s.At = *at
	}
	return s, nil
}

// Asked is how the fetch of a missing record goes.
type Asked struct {
	Tenant    record.TenantID
	RecordID  record.ID
	Requested time.Time
	Attempt   int
	NextAt    time.Time // while asked for right now: when the lease ends
	Code      string    // of the last try; "" before
	Detail    string
}

// Asked lists the fetches under way of some records.
func (f *Fetches) Asked(ctx context.Context, tenants []record.TenantID, ids []record.ID) ([]Asked, error) {
	t, r := make([]string, len(tenants)), make([]string, len(ids))
	for i := range tenants {
		t[i], r[i] = string(tenants[i]), string(ids[i])
	}
	rows, err := f.db.pool.Query(ctx, `
		SELECT l.tenant_id, l.record_id, l.requested, l.attempt, l.next_at, l.code, l.detail
		FROM fetch_lease l JOIN (SELECT DISTINCT t, r FROM unnest($1::text[], $2::text[]) AS x(t, r)) u ON l.tenant_id = u.t AND l.record_id = u.r`, t, r)
	if err != nil {
		return nil, fmt.Errorf("postgres: fetches under way: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a Asked, err error) {
		err = row.Scan(&a.Tenant, &a.RecordID, &a.Requested, &a.Attempt, &a.NextAt, &a.Code, &a.Detail)
		return a, err
	})
	if err != nil {
		return nil, fmt.Errorf("postgres: fetches under way: %w", err)
	}
	return list, nil
}
