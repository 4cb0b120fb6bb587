package postgres

import "context"

// Size is what the delivery tables and their indexes take, in bytes.
func (d *Deliveries) Size(ctx context.Context) (n int64, err error) {
	err = d.db.pool.QueryRow(ctx, `SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relkind = 'r' AND relname LIKE 'delivery\_%'`).Scan(&n)
	return n, err
}
