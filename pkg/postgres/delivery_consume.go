package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fluxnex/fluxnex/pkg/record"
)

// Desired is one command as it came from the outbound topic.
type Desired struct {
	Command       *record.OutboundCommand
	RemoteAccount string
	Offset        int64 // on the outbound topic
}

func (d *Desired) version() Version {
	return Version{Revision: d.Command.Revision, Source: d.Offset}
}

// Cursor moves one partition's offset: from what the consumer read or wrote
// last, to the first offset that is not part of the batch.
type Cursor struct {
	Partition int32
	Expected  int64 // 0 where StartOffsets had none
	Next      int64
}

// Consume stores the commands' states and moves the offsets, all or nothing.
// Of several states of a row the newest stays. It returns false, and changes
// nothing, where another consumer moved an offset since: the caller reads the
// offsets again and drops what was consumed meanwhile. now is the commands'
// time of arrival for results that are final at once.
func (d *Deliveries) Consume(ctx context.Context, topic string, cursors []Cursor, desired []Desired, now time.Time) (bool, error) {
	lanes := map[LaneKey]int32{}
	for i := range desired {
		lanes[desired[i].lane()] = 0
	}
	if err := d.laneIDs(ctx, lanes); err != nil {
		return false, err
	}
	in := newDesiredColumns(conflate(desired, lanes))
	err := d.db.inTxWith(ctx, func(batch *pgx.Batch) {
		queueOffsets(batch, topic, cursors)
	}, func(tx pgx.Tx) error {
		if len(in.rows) == 0 {
			return nil
		}
		stopped, err := in.upsert(ctx, tx)
		if err != nil {
			return err
		}
		var results [][]byte
		for _, n := range stopped {
			value, err := json.Marshal(withdrawnResult(&in.rows[n].Desired, now))
			if err != nil {
				return err
			}
			results = append(results, value)
		}
		return appendOutbox(ctx, tx, OutboxResult, results)
	})
	if errors.Is(err, errOffsetMoved) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("postgres: consume: %w", err)
	}
	return true, nil
}

func (d *Desired) lane() LaneKey {
	return LaneKey{Tenant: d.Command.TenantID, App: d.Command.App, RemoteAccount: d.RemoteAccount}
}

var errOffsetMoved = errors.New("another consumer moved the offset")

// queueOffsets moves the offsets; where one is not the expected one the batch
// ends with errOffsetMoved.
func queueOffsets(batch *pgx.Batch, topic string, cursors []Cursor) {
	slices.SortFunc(cursors, func(a, b Cursor) int { return cmp.Compare(a.Partition, b.Partition) })
	for _, c := range cursors {
		var move *pgx.QueuedQuery
		if c.Expected == 0 {
			move = batch.Queue(`
				INSERT INTO delivery_offset AS o (topic, partition, next_offset) VALUES ($1, $2, $3)
				ON CONFLICT (topic, partition) DO UPDATE SET next_offset = $3 WHERE o.next_offset = 0`, topic, c.Partition, c.Next)
		} else {
			move = batch.Queue(`
				UPDATE delivery_offset SET next_offset = $4 WHERE topic = $1 AND partition = $2 AND next_offset = $3`,
				topic, c.Partition, c.Expected, c.Next)
		}
		move.Exec(func(tag pgconn.CommandTag) error {
			if tag.RowsAffected() == 0 {
				return errOffsetMoved
			}
			return nil
		})
	}
}

type laneDesired struct {
	Desired
	lane int32
}

func (a laneDesired) compareRow(b laneDesired) int {
	return cmp.Or(cmp.Compare(a.lane, b.lane),
		cmp.Compare(a.Command.RecordID, b.Command.RecordID),
		cmp.Compare(a.Command.Object, b.Command.Object))
}

// conflate keeps the newest state of each row, sorted as every writer of many
// rows locks them.
func conflate(desired []Desired, lanes map[LaneKey]int32) []laneDesired {
	all := make([]laneDesired, len(desired))
	for i := range desired {
		all[i] = laneDesired{Desired: desired[i], lane: lanes[desired[i].lane()]}
	}
	slices.SortStableFunc(all, func(a, b laneDesired) int {
		if c := a.compareRow(b); c != 0 {
			return c
		}
		switch av, bv := a.version(), b.version(); {
		case bv.Less(av):
			return -1
		case av.Less(bv):
			return 1
		}
		return 0
	})
	return slices.CompactFunc(all, func(a, b laneDesired) bool { return a.compareRow(b) == 0 })
}

// desiredColumns is a batch turned on its side for unnest.
type desiredColumns struct {
	rows []laneDesired
	args []any
	err  error
}

func newDesiredColumns(rows []laneDesired) *desiredColumns {
	n := len(rows)
	c := &desiredColumns{rows: rows}
	lane, generation := make([]int32, n), make([]int32, n)
	offset, source, mapping, config := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	received := make([]time.Time, n)
	payload, refs, lineage := make([][]byte, n), make([][]byte, n), make([][]byte, n)
	texts := make([][]string, 10)
	for i := range texts {
		texts[i] = make([]string, n)
	}
	for i := range rows {
		cmd := rows[i].Command
		lane[i], generation[i], offset[i], source[i] = rows[i].lane, cmd.Revision.Generation, cmd.Revision.Offset, rows[i].Offset
		mapping[i], config[i] = cmd.MappingVersion, cmd.ConfigVersion
		received[i] = cmd.Lineage.ReceivedAt
		payload[i] = cmd.Payload
		if payload[i] == nil {
			payload[i] = []byte{}
		}
		var err error
		if len(cmd.References) > 0 {
			if refs[i], err = json.Marshal(cmd.References); err != nil {
				c.err = err
			}
		}
		if lineage[i], err = json.Marshal(cmd.Lineage); err != nil {
			c.err = err
		}
		for j, s := range []string{
			string(cmd.RecordID), cmd.Object, cmd.SourceApp, cmd.TargetName, string(cmd.Verb),
			cmd.Type, cmd.Reason, cmd.GatewayID, cmd.Name, cmd.DocumentNumber,
		} {
			texts[j][i] = s
		}
	}
	c.args = []any{
		lane, texts[0], texts[1], texts[2], texts[3], generation, offset, source, texts[4], received,
		texts[5], texts[6], texts[7], payload, jsonTexts(refs), texts[8], texts[9], mapping, config, jsonTexts(lineage),
	}
	return c
}

// jsonTexts hands JSON to the driver as it is; nil stays NULL.
func jsonTexts(values [][]byte) []*string {
	out := make([]*string, len(values))
	for i, v := range values {
		if v != nil {
			s := string(v)
			out[i] = &s
		}
	}
	return out
}

// A slot that is applied or in flight is never written to: the new state takes
// one of the others. In flight and in doubt keep their standing, so that a
// withdrawal or a newer state never hides a call whose outcome is unknown.
const upsertDesired = `
WITH input AS MATERIALIZED (
	SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::bigint[], $8::bigint[], $9::text[], $10::timestamptz[],
		$11::text[], $12::text[], $13::text[], $14::bytea[], $15::text[], $16::text[], $17::text[], $18::bigint[], $19::bigint[], $20::text[])
	WITH ORDINALITY AS t(lane_id, record_id, object, source_app, target_name, generation, revision_offset, source, verb, received_at,
		type, reason, gateway_id, payload, refs, name, document_number, mapping_version, config_version, lineage, n)
), up AS (
	INSERT INTO delivery_row AS r (lane_id, record_id, object, source_app, target_name,
		desired_generation, desired_offset, desired_source, desired_slot, desired_verb, desired_at, status, next_at, undelivered_since)
	SELECT lane_id, record_id, object, source_app, target_name, generation, revision_offset, source, 0, verb, received_at,
		CASE WHEN verb = 'withdraw' THEN 'withdrawn' ELSE 'ready' END, now(), CASE WHEN verb = 'withdraw' THEN NULL ELSE received_at END
	FROM input ORDER BY n
	ON CONFLICT (lane_id, record_id, object) DO UPDATE SET
		source_app = EXCLUDED.source_app, target_name = EXCLUDED.target_name,
		desired_generation = EXCLUDED.desired_generation, desired_offset = EXCLUDED.desired_offset, desired_source = EXCLUDED.desired_source,
		desired_verb = EXCLUDED.desired_verb, desired_at = EXCLUDED.desired_at,
		desired_slot = CASE WHEN r.applied_slot IS DISTINCT FROM 0 AND r.inflight_slot IS DISTINCT FROM 0 THEN 0
			WHEN r.applied_slot IS DISTINCT FROM 1 AND r.inflight_slot IS DISTINCT FROM 1 THEN 1 ELSE 2 END,
		status = CASE
			WHEN r.status = 'sending' THEN r.status
			WHEN r.inflight_slot IS NOT NULL THEN CASE WHEN r.status = 'backoff' THEN 'backoff' ELSE 'ready' END
			WHEN EXCLUDED.desired_verb = 'withdraw' THEN 'withdrawn'
			WHEN r.status = 'backoff' THEN r.status
			ELSE 'ready' END,
		next_at = CASE WHEN r.status IN ('sending', 'backoff') THEN r.next_at ELSE now() END,
		attempt = CASE WHEN r.status IN ('sending', 'backoff') THEN r.attempt ELSE 0 END,
		class = CASE WHEN r.status IN ('sending', 'backoff') THEN r.class ELSE '' END,
		code = CASE WHEN r.status IN ('sending', 'backoff') THEN r.code ELSE '' END,
		detail = CASE WHEN r.status IN ('sending', 'backoff') THEN r.detail ELSE '' END,
		waiting_since = NULL,
		undelivered_since = CASE
			WHEN EXCLUDED.desired_verb = 'withdraw' AND r.inflight_slot IS NULL THEN NULL
			ELSE coalesce(r.undelivered_since, EXCLUDED.desired_at) END,
		newer_since = CASE WHEN r.inflight_slot IS NULL THEN NULL ELSE coalesce(r.newer_since, EXCLUDED.desired_at) END
	WHERE (EXCLUDED.desired_generation, EXCLUDED.desired_offset, EXCLUDED.desired_source) > (r.desired_generation, r.desired_offset, r.desired_source)
	RETURNING r.id, r.lane_id, r.record_id, r.object, r.desired_slot, r.status
), state AS (
	INSERT INTO delivery_state AS s (row_id, slot, verb, type, reason, gateway_id, payload, refs, name, document_number, mapping_version, config_version, lineage)
	SELECT up.id, up.desired_slot, i.verb, i.type, i.reason, i.gateway_id, i.payload, i.refs::json, i.name, i.document_number, i.mapping_version, i.config_version, i.lineage::json
	FROM up JOIN input i USING (lane_id, record_id, object)
	ON CONFLICT (row_id, slot) DO UPDATE SET verb = EXCLUDED.verb, type = EXCLUDED.type, reason = EXCLUDED.reason, gateway_id = EXCLUDED.gateway_id,
		payload = EXCLUDED.payload, sent = NULL, refs = EXCLUDED.refs, name = EXCLUDED.name, document_number = EXCLUDED.document_number,
		mapping_version = EXCLUDED.mapping_version, config_version = EXCLUDED.config_version, lineage = EXCLUDED.lineage
), search AS (
	INSERT INTO delivery_search AS s (row_id, lane_id, name, document_number)
	SELECT up.id, up.lane_id, i.name, i.document_number FROM up JOIN input i USING (lane_id, record_id, object)
	WHERE i.verb <> 'withdraw' AND (i.name <> '' OR i.document_number <> '')
	ON CONFLICT (row_id) DO UPDATE SET name = EXCLUDED.name, document_number = EXCLUDED.document_number
	WHERE s.name <> EXCLUDED.name OR s.document_number <> EXCLUDED.document_number
), unwaited AS (
	DELETE FROM delivery_wait w USING up WHERE w.row_id = up.id
)
SELECT i.n FROM up JOIN input i USING (lane_id, record_id, object) WHERE up.status = 'withdrawn'`

// upsert returns the indices of the rows that are withdrawn and thereby settled.
func (c *desiredColumns) upsert(ctx context.Context, tx pgx.Tx) ([]int, error) {
	if c.err != nil {
		return nil, c.err
	}
	rows, err := tx.Query(ctx, upsertDesired, c.args...)
	if err != nil {
		return nil, err
	}
	ordinals, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, err
	}
	out := make([]int, len(ordinals))
	for i, n := range ordinals {
		out[i] = int(n) - 1
	}
	return out, nil
}

func withdrawnResult(d *Desired, now time.Time) *record.DeliveryResult {
	cmd := d.Command
	return &record.DeliveryResult{
		TenantID: cmd.TenantID, SourceApp: cmd.SourceApp, RecordID: cmd.RecordID, App: cmd.App, RemoteAccount: d.RemoteAccount,
		TargetName: cmd.TargetName, Object: cmd.Object, Type: cmd.Type, Verb: cmd.Verb, Outcome: "withdrawn",
		Detail: cmd.Reason, At: now, Revision: cmd.Revision, Lineage: cmd.Lineage,
		LatencyMillis: now.Sub(cmd.Lineage.ReceivedAt).Milliseconds(),
	}
}
