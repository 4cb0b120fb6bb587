package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// LaneState is how one tenant's share of a remote account is doing.
type LaneState struct {
	LaneKey
	BlockedSince time.Time // zero: open
	BlockedCode  string
	OpenedAt     time.Time // zero: it never was blocked
	PausedUntil  time.Time // zero: not paused
	PauseReason  string
	Breaker      Breaker
	Rows         map[Status]int64
}

// Lanes lists all lanes with what stands in them.
func (d *Deliveries) Lanes(ctx context.Context) ([]LaneState, error) {
	rows, err := d.db.pool.Query(ctx, `
		SELECT l.tenant_id, l.app, l.remote_account, l.blocked_at, l.blocked_code, l.opened_at, a.paused_until, coalesce(a.reason, ''),
			`+breakerColumns+`,
			coalesce((SELECT json_object_agg(status, n) FROM (SELECT status, count(*) AS n FROM delivery_row r WHERE r.lane_id = l.id GROUP BY status) s), '{}')
		FROM delivery_lane l
		LEFT JOIN delivery_account a ON a.app = l.app AND a.remote_account = l.remote_account AND a.paused_until > now()
		ORDER BY 1, 2, 3`)
	if err != nil {
		return nil, fmt.Errorf("postgres: lanes: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (s LaneState, err error) {
		var blocked, opened, paused, broken *time.Time
		columns := append([]any{&s.Tenant, &s.App, &s.RemoteAccount, &blocked, &s.BlockedCode, &opened, &paused, &s.PauseReason}, s.Breaker.columns(&broken)...)
		err = row.Scan(append(columns, &s.Rows)...)
		for _, t := range []struct {
			from *time.Time
			to   *time.Time
		}{{blocked, &s.BlockedSince}, {opened, &s.OpenedAt}, {paused, &s.PausedUntil}, {broken, &s.Breaker.Since}} {
			if t.from != nil {
				*t.to = *t.from
			}
		}
		return s, err
	})
}
