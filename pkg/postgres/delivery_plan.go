package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// byIndex makes the statements of a transaction reach each row of a batch
// through an index. The tables turn over within seconds, faster than their
// statistics; left to these, PostgreSQL reads a whole table for a batch of a
// hundred rows now and then (seen: 22 ms instead of 3). One plan fits every size
// of batch, so planning is done once for each connection.
const byIndex = `SELECT set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true), ` +
	`set_config('enable_bitmapscan', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)`

// inTxByIndex is inTxWith with that.
func (db *DB) inTxByIndex(ctx context.Context, first func(*pgx.Batch), rest func(pgx.Tx) error) error {
	return db.inTxWith(ctx, func(batch *pgx.Batch) {
		batch.Queue(byIndex)
		first(batch)
	}, rest)
}
