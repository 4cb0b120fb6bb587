package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// How the statements that move delivery rows are planned. The tables turn over
// within seconds, faster than their statistics; left to these, PostgreSQL reads
// a whole table for a batch of a hundred rows now and then (seen: 22 ms instead
// of 3). What is right does not depend on them.
const (
	// byIndex: each row of a batch is reached through an index. One plan fits
	// every size of batch, so planning is done once for each connection.
	byIndex = `BEGIN; SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; ` +
		`SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off`
	// bySize: the batch is joined with itself, by hash. The one plan for every
	// size would be made for ten rows, and compare each of 500 with all others.
	bySize = `BEGIN; SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_seqscan = off`
)

// inPlannedTx is inTx with one of the above.
func (db *DB) inPlannedTx(ctx context.Context, begin string, fn func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, db.pool, pgx.TxOptions{BeginQuery: begin}, fn)
}
