package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fluxnex/fluxnex/pkg/record"
)

// Fetches are the records that fetchers ask sources for: one row for each,
// however many need it.
type Fetches struct{ db *DB }

// Fetches opens the fetch leases of a migrated database.
func (db *DB) Fetches() *Fetches { return &Fetches{db: db} }

// Fetch is one record to ask for.
type Fetch struct {
	Tenant     record.TenantID
	RecordID   record.ID
	SourceApp  string
	EntityType string
	Reason     record.FetchReason
	Depth      int32
	Requested  time.Time
	Attempt    int32

	epoch int64 // of the claim
	seq   int64 // requests up to this one are settled by its answer
}

// Key is the record's key on every data topic.
func (f *Fetch) Key() record.Key { return record.KeyOf(f.Tenant, f.RecordID) }

// Request stores requests; equal ones become one. A missing record is asked
// for after grace, because most arrive by themselves meanwhile; the other
// reasons ask at once, and outrank it.
func (f *Fetches) Request(ctx context.Context, requests []*record.FetchRequest, grace time.Duration) error {
	// Sorted and once each: ON CONFLICT cannot meet a row twice, and two
	// fetchers that lock in the same order cannot deadlock.
	unique := map[record.Key]*record.FetchRequest{}
	for _, r := range requests {
		if old := unique[r.Key()]; old == nil || (old.Reason == record.FetchMissing && r.Reason != record.FetchMissing) {
			unique[r.Key()] = r
		}
	}
	sorted := make([]*record.FetchRequest, 0, len(unique))
	for _, r := range unique {
		sorted = append(sorted, r)
	}
	slices.SortFunc(sorted, func(a, b *record.FetchRequest) int {
		return cmp.Or(cmp.Compare(a.TenantID, b.TenantID), cmp.Compare(a.RecordID, b.RecordID))
	})
	n := len(sorted)
	columns := make([][]string, 5)
	for i := range columns {
		columns[i] = make([]string, n)
	}
	depths, requested := make([]int32, n), make([]time.Time, n)
	for i, r := range sorted {
		for j, s := range []string{string(r.TenantID), string(r.RecordID), r.SourceApp, r.EntityType, string(r.Reason)} {
			columns[j][i] = s
		}
		depths[i], requested[i] = r.Depth, r.Requested
	}
	_, err := f.db.pool.Exec(ctx, `
		INSERT INTO fetch_lease AS l (tenant_id, record_id, source_app, entity_type, reason, depth, requested, next_at)
		SELECT tenant_id, record_id, source_app, entity_type, reason, depth, requested, now() + CASE WHEN reason = 'missing' THEN $8::interval ELSE interval '0' END
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::timestamptz[])
			WITH ORDINALITY AS u(tenant_id, record_id, source_app, entity_type, reason, depth, requested, n) ORDER BY n
		ON CONFLICT (tenant_id, record_id) DO UPDATE SET seq = l.seq + 1, depth = least(l.depth, EXCLUDED.depth),
			entity_type = CASE WHEN EXCLUDED.entity_type = '' THEN l.entity_type ELSE EXCLUDED.entity_type END,
			reason = CASE WHEN EXCLUDED.reason = 'missing' THEN l.reason ELSE EXCLUDED.reason END,
			-- A lease or a backoff that runs is not cut short; a grace period is.
			next_at = CASE WHEN l.epoch = 0 THEN least(l.next_at, EXCLUDED.next_at) ELSE l.next_at END`,
		columns[0], columns[1], columns[2], columns[3], columns[4], depths, requested, grace)
	if err != nil {
		return fmt.Errorf("postgres: store fetch requests: %w", err)
	}
	return nil
}

// Claim takes records that are due under a lease.
func (f *Fetches) Claim(ctx context.Context, limit int, lease time.Duration) ([]*Fetch, error) {
	rows, err := f.db.pool.Query(ctx, `
		WITH due AS MATERIALIZED (
			SELECT tenant_id, record_id FROM fetch_lease WHERE next_at <= now() ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED
		)
		UPDATE fetch_lease l SET epoch = l.epoch + 1, next_at = now() + $2, put_back = false
		FROM due WHERE l.tenant_id = due.tenant_id AND l.record_id = due.record_id
		RETURNING l.tenant_id, l.record_id, l.source_app, l.entity_type, l.reason, l.depth, l.requested, l.attempt, l.epoch, l.seq`, limit, lease)
	if err != nil {
		return nil, fmt.Errorf("postgres: claim fetches: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Fetch, error) {
		var x Fetch
		err := row.Scan(&x.Tenant, &x.RecordID, &x.SourceApp, &x.EntityType, &x.Reason, &x.Depth, &x.Requested, &x.Attempt, &x.epoch, &x.seq)
		return &x, err
	})
	if err != nil {
		return nil, fmt.Errorf("postgres: claim fetches: %w", err)
	}
	return out, nil
}

type fetchArrays struct {
	tenants, records []string
	epochs, seqs     []int64
}

func fetchColumns(fetches []*Fetch) fetchArrays {
	var c fetchArrays
	for _, x := range fetches {
		c.tenants, c.records = append(c.tenants, string(x.Tenant)), append(c.records, string(x.RecordID))
		c.epochs, c.seqs = append(c.epochs, x.epoch), append(c.seqs, x.seq)
	}
	return c
}

// Answered ends fetches whose answers are on the gateway topic. One that was
// requested again since the claim is due at once: the answer may be older than
// what that request was about.
func (f *Fetches) Answered(ctx context.Context, fetches []*Fetch) error {
	c := fetchColumns(fetches)
	err := f.db.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			UPDATE fetch_lease l SET next_at = now(), attempt = 0, epoch = 0, code = '', detail = ''
			FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS u(tenant_id, record_id, epoch, seq)
			WHERE l.tenant_id = u.tenant_id AND l.record_id = u.record_id AND l.epoch = u.epoch AND l.seq > u.seq`, c.tenants, c.records, c.epochs, c.seqs)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			DELETE FROM fetch_lease l USING unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS u(tenant_id, record_id, epoch, seq)
			WHERE l.tenant_id = u.tenant_id AND l.record_id = u.record_id AND l.epoch = u.epoch AND l.seq = u.seq`, c.tenants, c.records, c.epochs, c.seqs)
		return err
	})
	if err != nil {
		return fmt.Errorf("postgres: end fetches: %w", err)
	}
	return nil
}

// Again puts fetches back, to be asked for after delay. spend counts it as an
// attempt.
func (f *Fetches) Again(ctx context.Context, fetches []*Fetch, delay time.Duration, code, detail string, spend bool) error {
	c := fetchColumns(fetches)
	_, err := f.db.pool.Exec(ctx, `
		UPDATE fetch_lease l SET next_at = now() + $5, code = $6, detail = $8, put_back = true, attempt = l.attempt + CASE WHEN $7 THEN 1 ELSE 0 END
		FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS u(tenant_id, record_id, epoch, seq)
		WHERE l.tenant_id = u.tenant_id AND l.record_id = u.record_id AND l.epoch = u.epoch`, c.tenants, c.records, c.epochs, c.seqs, delay, code, spend, clip(detail))
	if err != nil {
		return fmt.Errorf("postgres: put fetches back: %w", err)
	}
	return nil
}

// Pending counts the records that are asked for.
func (f *Fetches) Pending(ctx context.Context) (rows int64, oldest time.Time, err error) {
	var first *time.Time
	if err := f.db.pool.QueryRow(ctx, `SELECT count(*), min(requested) FROM fetch_lease`).Scan(&rows, &first); err != nil {
		return 0, time.Time{}, fmt.Errorf("postgres: count fetches: %w", err)
	}
	if first != nil {
		oldest = *first
	}
	return rows, oldest, nil
}
