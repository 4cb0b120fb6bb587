package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// OutboxKind says which topic a message is for.
type OutboxKind string

// The kinds of outbox messages; values are JSON of the record type.
const (
	OutboxResult       OutboxKind = "result"       // record.DeliveryResult
	OutboxNotification OutboxKind = "notification" // record.Notification
	OutboxDeadLetter   OutboxKind = "dead_letter"  // record.DeadLetter
	OutboxGateway      OutboxKind = "gateway"      // record.GatewayEvent
)

// OutboxMessage is one message to publish. Messages of one row have ascending
// ids, because they are written under the row's lock.
type OutboxMessage struct {
	ID    int64
	Kind  OutboxKind
	Value []byte
}

const insertOutbox = `INSERT INTO delivery_outbox (kind, value) SELECT $1, v FROM unnest($2::bytea[]) WITH ORDINALITY AS u(v, n) ORDER BY n`

func queueOutbox(batch *pgx.Batch, kind OutboxKind, values [][]byte) {
	if len(values) > 0 {
		batch.Queue(insertOutbox, string(kind), values)
	}
}

func appendOutbox(ctx context.Context, tx pgx.Tx, kind OutboxKind, values [][]byte) error {
	if len(values) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, insertOutbox, string(kind), values); err != nil {
		return fmt.Errorf("postgres: outbox: %w", err)
	}
	return nil
}

// TakeDuty makes owner the only one who may do the named work for a while, or
// keeps it so. It returns false while somebody else has it.
func (d *Deliveries) TakeDuty(ctx context.Context, name, owner string, lease time.Duration) (bool, error) {
	tag, err := d.db.pool.Exec(ctx, `
		INSERT INTO delivery_duty AS d (name, owner, until) VALUES ($1, $2, now() + $3)
		ON CONFLICT (name) DO UPDATE SET owner = $2, until = now() + $3 WHERE d.owner = $2 OR d.until < now()`, name, owner, lease)
	if err != nil {
		return false, fmt.Errorf("postgres: duty %s: %w", name, err)
	}
	return tag.RowsAffected() == 1, nil
}

// DropDuty lets others take over at once.
func (d *Deliveries) DropDuty(ctx context.Context, name, owner string) error {
	if _, err := d.db.pool.Exec(ctx, `DELETE FROM delivery_duty WHERE name = $1 AND owner = $2`, name, owner); err != nil {
		return fmt.Errorf("postgres: duty %s: %w", name, err)
	}
	return nil
}

// Outbox reads the oldest unpublished messages.
func (d *Deliveries) Outbox(ctx context.Context, limit int) ([]OutboxMessage, error) {
	rows, err := d.db.pool.Query(ctx, `SELECT id, kind, value FROM delivery_outbox ORDER BY id LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("postgres: outbox: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (m OutboxMessage, err error) {
		err = row.Scan(&m.ID, &m.Kind, &m.Value)
		return m, err
	})
}

// Published removes messages that are on their topic.
func (d *Deliveries) Published(ctx context.Context, ids []int64) error {
	if _, err := d.db.pool.Exec(ctx, `DELETE FROM delivery_outbox WHERE id = ANY($1)`, ids); err != nil {
		return fmt.Errorf("postgres: outbox: %w", err)
	}
	return nil
}
