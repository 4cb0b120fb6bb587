package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

const (
	// deadRows is when a table is worth vacuuming: that many dead rows, and a
	// quarter of those that live.
	deadRows = 20_000
	// vacuumLargest is the table that is left to the server: cleaning it would
	// take longer than a statement may, again and again for nothing.
	vacuumLargest = 1 << 30
)

// Vacuum cleans the delivery tables that need it, as the server does by itself
// once a minute. Under load that is too seldom: each delivery leaves some dead
// rows, claiming reads over those of its index (seen: 3 ms instead of 0.1), and
// in a minute they take more room than what lives. A role that does not own the
// tables cleans nothing.
func (d *Deliveries) Vacuum(ctx context.Context) error {
	rows, err := d.db.pool.Query(ctx, `
		SELECT quote_ident(relname) FROM pg_stat_user_tables
		WHERE relid = ANY(ARRAY['delivery_row', 'delivery_state', 'delivery_request', 'delivery_outbox']::regclass[])
			AND n_dead_tup > greatest($1, n_live_tup / 4) AND pg_total_relation_size(relid) < $2`, deadRows, int64(vacuumLargest))
	if err != nil {
		return fmt.Errorf("postgres: dead rows: %w", err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("postgres: dead rows: %w", err)
	}
	if len(tables) == 0 {
		return nil
	}
	// A table that another process or the server cleans just now is left to it.
	if _, err := d.db.pool.Exec(ctx, `VACUUM (SKIP_LOCKED, TRUNCATE false) `+strings.Join(tables, ", ")); err != nil {
		return fmt.Errorf("postgres: vacuum: %w", err)
	}
	return nil
}
