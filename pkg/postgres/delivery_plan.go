package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// byIndex begins a transaction whose statements reach each row of a batch
// through an index. The tables turn over within seconds, faster than their
// statistics; left to these, PostgreSQL reads a whole table for a batch of a
// hundred rows now and then (seen: 22 ms instead of 3). One plan fits every size
// of batch, so planning is done once for each connection.
const byIndex = `BEGIN; SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; ` +
	`SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off`

// inTxByIndex is inTx with that.
func (db *DB) inTxByIndex(ctx context.Context, fn func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, db.pool, pgx.TxOptions{BeginQuery: byIndex}, fn)
}
