package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// Why rows are withdrawn that no route names any more, as a code and in words.
const (
	ReasonRouteRemoved = "route_removed"
	RouteRemoved       = "no route sends this there any more; declare the route again and re-sync to bring it back"
)

// Routing is what the routes of one configuration send where.
type Routing struct {
	Version int64   // of the configuration
	Lanes   []int32 // of which this knows everything
	Objects []LaneObject
}

// LaneObject is a kind of destination object that some route makes in a lane.
type LaneObject struct {
	Lane   int32
	Object string
}

func (r Routing) columns() (lanes []int32, objects []string) {
	lanes, objects = make([]int32, len(r.Objects)), make([]string, len(r.Objects))
	for i, o := range r.Objects {
		lanes[i], objects[i] = o.Lane, o.Object
	}
	return lanes, objects
}

// AllLanes lists every lane there is.
func (d *Deliveries) AllLanes(ctx context.Context) ([]Lane, error) {
	rows, err := d.db.pool.Query(ctx, `SELECT id, tenant_id, app, remote_account FROM delivery_lane`)
	if err != nil {
		return nil, fmt.Errorf("postgres: lanes: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (l Lane, err error) {
		err = row.Scan(&l.ID, &l.Tenant, &l.App, &l.RemoteAccount)
		return l, err
	})
}

// unrouted are rows with something to send that no route names. A state that
// was made under a newer configuration is left alone: its route may be new. So
// is what is in flight or in doubt: that is settled first. Rows are looked
// through by themselves: joined with their states at once, all payloads would be
// read to find none.
const unrouted = `
	WITH nowhere AS MATERIALIZED (
		SELECT r.id, r.desired_slot FROM delivery_row r
		WHERE r.lane_id = ANY($1) AND r.status IN ('ready', 'backoff', 'waiting', 'failed') AND r.inflight_slot IS NULL AND r.desired_verb <> 'withdraw'
			AND NOT EXISTS (SELECT FROM unnest($2::int[], $3::text[]) AS x(lane_id, object) WHERE x.lane_id = r.lane_id AND x.object = r.object)
	)`

// unroutedKnown keeps those that the configuration knows of, as they are when locked.
const unroutedKnown = `
	FROM nowhere n JOIN delivery_row r ON r.id = n.id AND r.desired_slot = n.desired_slot
	JOIN delivery_state s ON s.row_id = n.id AND s.slot = n.desired_slot
	WHERE s.config_version <= $4 AND r.status IN ('ready', 'backoff', 'waiting', 'failed') AND r.inflight_slot IS NULL AND r.desired_verb <> 'withdraw'`

// Unrouted counts the rows that [Deliveries.WithdrawUnrouted] would withdraw.
func (d *Deliveries) Unrouted(ctx context.Context, routing Routing) (n int64, err error) {
	lanes, objects := routing.columns()
	if err := d.db.pool.QueryRow(ctx, unrouted+` SELECT count(*)`+unroutedKnown, routing.Lanes, lanes, objects, routing.Version).Scan(&n); err != nil {
		return 0, fmt.Errorf("postgres: unrouted rows: %w", err)
	}
	return n, nil
}

// withdrawChunk bounds one transaction.
const withdrawChunk = 1000

// WithdrawUnrouted withdraws what is queued for targets that no route names,
// tells that it did, and closes what was told about it. What was delivered
// stays as it is. It returns how many rows it withdrew.
func (d *Deliveries) WithdrawUnrouted(ctx context.Context, routing Routing, now time.Time) (int, error) {
	lanes, objects := routing.columns()
	total := 0
	for {
		n := 0
		err := d.db.inTx(ctx, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, unrouted+`, gone AS MATERIALIZED (
					SELECT r.id, r.desired_slot`+unroutedKnown+` ORDER BY r.lane_id, r.record_id, r.object LIMIT $5 FOR NO KEY UPDATE OF r
				), waits AS (
					DELETE FROM delivery_wait w USING gone WHERE w.row_id = gone.id
				), states AS (
					UPDATE delivery_state s SET verb = 'withdraw', reason = $6 FROM gone JOIN delivery_row r ON r.id = gone.id
					WHERE s.row_id = gone.id AND s.slot = gone.desired_slot AND r.applied_slot IS DISTINCT FROM s.slot
				)
				UPDATE delivery_row r SET status = 'withdrawn', desired_verb = 'withdraw', attempt = 0, class = '', code = $6, detail = $7,
					next_at = now(), waiting_since = NULL, undelivered_since = NULL, newer_since = NULL
				FROM gone WHERE r.id = gone.id RETURNING r.id`,
				routing.Lanes, lanes, objects, routing.Version, withdrawChunk, ReasonRouteRemoved, RouteRemoved)
			if err != nil {
				return err
			}
			ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
			if n = len(ids); err != nil || n == 0 {
				return err
			}
			return tellWithdrawn(ctx, tx, ids, now)
		})
		if err != nil {
			return total, fmt.Errorf("postgres: withdraw unrouted rows: %w", err)
		}
		if total += n; n < withdrawChunk {
			return total, nil
		}
	}
}

// tellWithdrawn publishes withdrawals that follow from no command.
func tellWithdrawn(ctx context.Context, tx pgx.Tx, ids []int64, now time.Time) error {
	rows, err := tx.Query(ctx, `
		SELECT l.tenant_id, l.app, l.remote_account, r.record_id, r.object, r.source_app, r.target_name, r.desired_generation, r.desired_offset,
			r.destination_id, r.destination_version, s.type, s.lineage::text
		FROM delivery_row r JOIN delivery_lane l ON l.id = r.lane_id JOIN delivery_state s ON s.row_id = r.id AND s.slot = r.desired_slot
		WHERE r.id = ANY($1) ORDER BY r.id`, ids)
	if err != nil {
		return err
	}
	withdrawn, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Row, error) {
		r := Row{Applied: &integration.Remote{}}
		var lineage string
		err := row.Scan(&r.Tenant, &r.App, &r.RemoteAccount, &r.RecordID, &r.Object, &r.SourceApp, &r.TargetName, &r.Version.Revision.Generation, &r.Version.Revision.Offset,
			&r.Applied.ID, &r.Applied.Version, &r.Type, &lineage)
		if err != nil {
			return nil, err
		}
		return &r, json.Unmarshal([]byte(lineage), &r.Lineage)
	})
	if err != nil {
		return err
	}
	var results [][]byte
	closing := make([]*Finished, len(withdrawn))
	for i, r := range withdrawn {
		closing[i] = &Finished{Row: r, Ending: EndApplied} // nobody need do anything about it any more
		results, err = appendJSON(results, &record.DeliveryResult{
			TenantID: r.Tenant, SourceApp: r.SourceApp, RecordID: r.RecordID, App: r.App, RemoteAccount: r.RemoteAccount, TargetName: r.TargetName,
			Object: r.Object, Type: r.Type, Verb: record.VerbWithdraw, Outcome: "withdrawn", Code: ReasonRouteRemoved, Detail: RouteRemoved,
			DestinationID: r.Applied.ID, DestinationVersion: r.Applied.Version, At: now, Revision: r.Version.Revision, Lineage: r.Lineage,
			LatencyMillis: now.Sub(r.Lineage.ReceivedAt).Milliseconds(),
		})
		if err != nil {
			return err
		}
	}
	batch := &pgx.Batch{}
	queueOutbox(batch, OutboxResult, results)
	resolved := queueClose(batch, closing)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	return tellClosed(ctx, tx, closing, *resolved)
}

// TakeBack makes the newest state of a claimed row a withdrawal, because no
// route names its target any more. Released, the row is then withdrawn. A newer
// state that came since the claim stands.
func (d *Deliveries) TakeBack(ctx context.Context, r *Row) error {
	_, err := d.db.pool.Exec(ctx, `
		WITH taken AS (
			UPDATE delivery_row SET desired_verb = 'withdraw', undelivered_since = NULL
			WHERE id = $1 AND epoch = $2 AND status = 'sending' AND (desired_generation, desired_offset, desired_source) = ($3, $4, $5)
			RETURNING id, desired_slot, applied_slot
		)
		UPDATE delivery_state s SET verb = 'withdraw', reason = $6 FROM taken t
		WHERE s.row_id = t.id AND s.slot = t.desired_slot AND t.applied_slot IS DISTINCT FROM s.slot`,
		r.ID, r.Epoch, r.Desired.Revision.Generation, r.Desired.Revision.Offset, r.Desired.Source, ReasonRouteRemoved)
	if err != nil {
		return fmt.Errorf("postgres: take back: %w", err)
	}
	return nil
}
