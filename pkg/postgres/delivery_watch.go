package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fluxnex/fluxnex/pkg/record"
)

// WakeWaiting makes ready every row whose references have destination ids now,
// one that never will (the waiting row has to say so), or whose delay is over: a
// look at everything, because a wake-up sent by one transaction can miss the
// other that begins to wait at that moment. So does a row that was sent without
// a reference that is there now. It returns how many rows it woke.
func (d *Deliveries) WakeWaiting(ctx context.Context) (int64, error) {
	stopped, err := d.db.pool.Exec(ctx, `
		WITH due AS (
			SELECT r.id FROM delivery_row r
			LEFT JOIN LATERAL (
				SELECT bool_and(t.id IS NOT NULL AND t.destination_id <> ''
						AND (t.destination_active OR t.desired_verb = 'upsert' AND t.status IN ('done', 'failed'))) AS there,
					bool_or(t.id IS NOT NULL AND (t.status = 'withdrawn' OR (t.destination_id = '' AND t.status = 'failed')
						OR (t.desired_verb = 'delete' AND NOT t.destination_active AND t.status IN ('done', 'failed')))) AS never
				FROM delivery_wait w
				LEFT JOIN delivery_row t ON t.lane_id = w.lane_id AND t.record_id = w.record_id AND t.object = w.object
				WHERE w.row_id = r.id
			) refs ON true
			WHERE r.status IN ('waiting', 'failed') AND (refs.there OR (r.status = 'waiting' AND (refs.never OR r.next_at <= now())))
			FOR UPDATE OF r SKIP LOCKED
		), gone AS (
			DELETE FROM delivery_wait w USING due WHERE w.row_id = due.id
		)
		UPDATE delivery_row r SET status = 'ready', next_at = now() FROM due WHERE r.id = due.id`)
	if err != nil {
		return 0, fmt.Errorf("postgres: wake waiting rows: %w", err)
	}
	// What was sent without a reference that could be left out.
	lacking, err := d.db.pool.Exec(ctx, `
		WITH there AS (
			SELECT w.row_id FROM delivery_wait w
			JOIN delivery_row r ON r.id = w.row_id AND r.status = 'done'
			LEFT JOIN delivery_row t ON t.lane_id = w.lane_id AND t.record_id = w.record_id AND t.object = w.object
			GROUP BY w.row_id
			HAVING bool_or(t.destination_active)
		), due AS (
			SELECT r.id FROM delivery_row r JOIN there ON there.row_id = r.id WHERE r.status = 'done' FOR UPDATE OF r SKIP LOCKED
		), gone AS (
			DELETE FROM delivery_wait w USING due WHERE w.row_id = due.id
		)
		UPDATE delivery_row r SET status = 'ready', next_at = now() FROM due WHERE r.id = due.id`)
	if err != nil {
		return 0, fmt.Errorf("postgres: wake rows that lack a reference: %w", err)
	}
	return stopped.RowsAffected() + lacking.RowsAffected(), nil
}

// BacklogPart counts the rows of one target in one standing.
type BacklogPart struct {
	Tenant record.TenantID
	Target string
	// Status is a row's, except that ready, sending and backoff are one:
	// "pending", and rows of a blocked lane are "blocked".
	Status string
	Rows   int64
	// Oldest is when the oldest change not yet applied was received; zero if unknown.
	Oldest time.Time
}

// Backlog counts all rows that are neither done nor withdrawn.
func (d *Deliveries) Backlog(ctx context.Context) ([]BacklogPart, error) {
	rows, err := d.db.pool.Query(ctx, `
		SELECT l.tenant_id, r.target_name,
			CASE WHEN r.status IN ('waiting', 'failed') THEN r.status WHEN l.blocked_at IS NOT NULL THEN 'blocked' ELSE 'pending' END AS standing,
			count(*), min(r.undelivered_since)
		FROM delivery_row r JOIN delivery_lane l ON l.id = r.lane_id
		WHERE r.status IN ('ready', 'sending', 'backoff') OR r.status IN ('waiting', 'failed')
		GROUP BY 1, 2, 3`)
	if err != nil {
		return nil, fmt.Errorf("postgres: standings: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (s BacklogPart, err error) {
		var oldest *time.Time
		err = row.Scan(&s.Tenant, &s.Target, &s.Status, &s.Rows, &oldest)
		if oldest != nil {
			s.Oldest = *oldest
		}
		return s, err
	})
}

// SetAside publishes a dead letter and opens its notification.
func (d *Deliveries) SetAside(ctx context.Context, letter *record.DeadLetter, n *record.Notification) error {
	letters, err := appendJSON(nil, letter)
	if err != nil {
		return err
	}
	args, err := notificationArgs(n)
	if err != nil {
		return err
	}
	return d.db.inTx(ctx, func(tx pgx.Tx) error {
		if err := appendOutbox(ctx, tx, OutboxDeadLetter, letters); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, openNotification, args...); err != nil {
			return fmt.Errorf("postgres: notification: %w", err)
		}
		return nil
	})
}
