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

// Lane is a lane with rows that are due.
type Lane struct {
	ID int32
	LaneKey
	// Opened is how long ago it was opened after having been blocked; negative
	// where it never was.
	Opened  time.Duration
	Breaker Breaker
}

// DueLanes lists the lanes that have due rows, are not blocked and whose
// account is not paused; those whose breaker is open too.
func (d *Deliveries) DueLanes(ctx context.Context) ([]Lane, error) {
	rows, err := d.db.pool.Query(ctx, `
		SELECT l.id, l.tenant_id, l.app, l.remote_account, coalesce(now() - l.opened_at, interval '-1 second'), `+breakerColumns+` FROM delivery_lane l
		LEFT JOIN delivery_account a ON a.app = l.app AND a.remote_account = l.remote_account AND a.paused_until > now()
		CROSS JOIN LATERAL (
			SELECT FROM delivery_row r WHERE r.lane_id = l.id AND r.status IN ('ready', 'backoff', 'sending') AND r.next_at <= now() LIMIT 1
		) due
		WHERE l.blocked_at IS NULL AND a.app IS NULL`)
	if err != nil {
		return nil, fmt.Errorf("postgres: due lanes: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (l Lane, err error) {
		var since *time.Time
		err = row.Scan(append([]any{&l.ID, &l.Tenant, &l.App, &l.RemoteAccount, &l.Opened}, l.Breaker.columns(&since)...)...)
		return l, err
	})
}

// Quota is how many rows of a lane may be claimed.
type Quota struct {
	Lane  int32
	Limit int32
	Trial bool // the caller has the lane's trial call: its breaker is half open
}

// Claim takes due rows under a lease: nobody else is handed them before it
// ends. Rows whose lease ended without a finish are due as well; those with a
// stored request come back with Doubt set. Blocked lanes, paused accounts and,
// but for a trial, lanes whose breaker is not closed give nothing, whatever the
// quota says.
func (d *Deliveries) Claim(ctx context.Context, quotas []Quota, lease time.Duration) ([]*Row, error) {
	lanes, limits, trials := make([]int32, len(quotas)), make([]int32, len(quotas)), make([]bool, len(quotas))
	for i, q := range quotas {
		lanes[i], limits[i], trials[i] = q.Lane, q.Limit, q.Trial
	}
	var claimed []*Row
	// Two statements, because each sees what was committed before it began: a
	// payload that was consumed while the first waited for a row is seen by the
	// second, and the row, now ours, cannot move on.
	err := d.db.inTxByIndex(ctx, func(batch *pgx.Batch) {
		batch.Queue(claimRows, lanes, limits, lease, trials).Query(func(rows pgx.Rows) (err error) {
			claimed, err = pgx.CollectRows(rows, scanClaimed)
			return err
		})
	}, func(tx pgx.Tx) error {
		if len(claimed) == 0 {
			return nil
		}
		return loadStates(ctx, tx, claimed)
	})
	if err != nil {
		return nil, fmt.Errorf("postgres: claim: %w", err)
	}
	return claimed, nil
}

// A row that nobody finished keeps its slot: what was in flight is settled
// before anything newer is sent.
const claimRows = `
WITH picked AS MATERIALIZED (
	SELECT due.id FROM unnest($1::int[], $2::int[], $4::bool[]) AS q(lane_id, quota, trial)
	JOIN delivery_lane l ON l.id = q.lane_id AND l.blocked_at IS NULL AND (l.breaker_openings = 0 OR q.trial)
	LEFT JOIN delivery_account a ON a.app = l.app AND a.remote_account = l.remote_account AND a.paused_until > now()
	CROSS JOIN LATERAL (
		SELECT r.id FROM delivery_row r
		WHERE r.lane_id = q.lane_id AND r.status IN ('ready', 'backoff', 'sending') AND r.next_at <= now()
		ORDER BY r.next_at LIMIT q.quota FOR UPDATE SKIP LOCKED
	) due
	WHERE a.app IS NULL
), claimed AS (
	UPDATE delivery_row r SET status = 'sending', epoch = r.epoch + 1, next_at = now() + $3,
		inflight_slot = coalesce(r.inflight_slot, r.desired_slot),
		inflight_generation = CASE WHEN r.inflight_slot IS NULL THEN r.desired_generation ELSE r.inflight_generation END,
		inflight_offset = CASE WHEN r.inflight_slot IS NULL THEN r.desired_offset ELSE r.inflight_offset END,
		inflight_source = CASE WHEN r.inflight_slot IS NULL THEN r.desired_source ELSE r.inflight_source END
	FROM picked WHERE r.id = picked.id
	RETURNING r.*
)
SELECT c.id, c.lane_id, c.epoch, l.tenant_id, l.app, l.remote_account, c.record_id, c.object, c.source_app, c.target_name,
	c.inflight_generation, c.inflight_offset, c.inflight_source, c.desired_generation, c.desired_offset, c.desired_source, c.desired_verb,
	c.applied_generation, c.applied_offset, c.applied_digest, c.destination_id, c.destination_type, c.destination_version, c.destination_active,
	c.attempt, c.resend_wanted, c.resend_done, c.waiting_since
FROM claimed c JOIN delivery_lane l ON l.id = c.lane_id`

func scanClaimed(row pgx.CollectableRow) (*Row, error) {
	var r Row
	var remote integration.Remote
	var waiting *time.Time
	err := row.Scan(&r.ID, &r.Lane, &r.Epoch, &r.Tenant, &r.App, &r.RemoteAccount, &r.RecordID, &r.Object, &r.SourceApp, &r.TargetName,
		&r.Version.Revision.Generation, &r.Version.Revision.Offset, &r.Version.Source,
		&r.Desired.Revision.Generation, &r.Desired.Revision.Offset, &r.Desired.Source, &r.DesiredVerb,
		&r.AppliedVersion.Generation, &r.AppliedVersion.Offset, &r.AppliedDigest,
		&remote.ID, &remote.Type, &remote.Version, &remote.Active,
		&r.Attempt, &r.Resend, &r.ResendDone, &waiting)
	if remote.ID != "" {
		r.Applied = &remote
	}
	if waiting != nil {
		r.WaitingSince = *waiting
	}
	return &r, err
}

const loadStatesQuery = `
	SELECT r.id, s.verb, s.type, s.reason, s.gateway_id, s.payload, s.refs::text, s.name, s.document_number, s.mapping_version, s.config_version, s.lineage::text,
		coalesce(a.sent, a.payload),
		q.request_id, q.step, q.final, q.head::text, q.body, q.base::text, q.payload
	FROM delivery_row r
	JOIN delivery_state s ON s.row_id = r.id AND s.slot = r.inflight_slot
	LEFT JOIN delivery_state a ON a.row_id = r.id AND a.slot = r.applied_slot
	LEFT JOIN delivery_request q ON q.row_id = r.id
	WHERE r.id = ANY($1)`

// loadStates adds payloads and, for rows in doubt, the stored request.
func loadStates(ctx context.Context, tx pgx.Tx, claimed []*Row) error {
	ids := make([]int64, len(claimed))
	byID := make(map[int64]*Row, len(claimed))
	for i, r := range claimed {
		ids[i], byID[r.ID] = r.ID, r
	}
	rows, err := tx.Query(ctx, loadStatesQuery, ids)
	if err != nil {
		return err
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		if err := scanState(rows, byID); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if n != len(claimed) {
		return fmt.Errorf("%d of %d claimed rows have no state: the tables delivery_row and delivery_state do not belong together", len(claimed)-n, len(claimed))
	}
	return nil
}

func scanState(rows pgx.Rows, byID map[int64]*Row) error {
	var id int64
	var in Row
	var lineage string
	var refs, requestID, head, base *string
	var step *int
	var final *bool
	var body, payload []byte
	err := rows.Scan(&id, &in.Verb, &in.Type, &in.Reason, &in.GatewayID, &in.Payload, &refs, &in.Name, &in.DocumentNumber,
		&in.MappingVersion, &in.ConfigVersion, &lineage, &in.AppliedPayload,
		&requestID, &step, &final, &head, &body, &base, &payload)
	if err != nil {
		return err
	}
	r, ok := byID[id]
	if !ok {
		return fmt.Errorf("row %d was not claimed", id)
	}
	r.Verb, r.Type, r.Reason, r.GatewayID, r.Payload = in.Verb, in.Type, in.Reason, in.GatewayID, in.Payload
	r.Name, r.DocumentNumber, r.MappingVersion, r.ConfigVersion = in.Name, in.DocumentNumber, in.MappingVersion, in.ConfigVersion
	r.AppliedPayload = in.AppliedPayload
	if err := json.Unmarshal([]byte(lineage), &r.Lineage); err != nil {
		return fmt.Errorf("row %d: lineage: %w", id, err)
	}
	if refs != nil {
		if err := json.Unmarshal([]byte(*refs), &r.References); err != nil {
			return fmt.Errorf("row %d: references: %w", id, err)
		}
	}
	if requestID == nil {
		return nil
	}
	q := &Request{ID: *requestID, Step: *step, Final: *final, Payload: payload}
	if err := json.Unmarshal([]byte(*head), &q.Call); err != nil {
		return fmt.Errorf("row %d: request: %w", id, err)
	}
	q.Call.Body = body
	if base != nil {
		q.Base = &integration.Remote{}
		if err := json.Unmarshal([]byte(*base), q.Base); err != nil {
			return fmt.Errorf("row %d: base: %w", id, err)
		}
	}
	r.Doubt = q
	return nil
}

// Stored is a request about to be sent for a claimed row.
type Stored struct {
	Row     *Row
	Request Request
	// Remote is the outcome of the step before, where an operation has several.
	Remote *integration.Remote
}

// Store writes requests before they are sent. The answer says for each whether
// it may be sent: false where the lease is gone.
func (d *Deliveries) Store(ctx context.Context, stored []Stored) ([]bool, error) {
	n := len(stored)
	ids, epochs, steps := make([]int64, n), make([]int64, n), make([]int32, n)
	requestIDs, finals := make([]string, n), make([]bool, n)
	heads, bases, bodies, payloads := make([]string, n), make([][]byte, n), make([][]byte, n), make([][]byte, n)
	progress := make([]*integration.Remote, n)
	for i, s := range stored {
		ids[i], epochs[i], steps[i] = s.Row.ID, s.Row.Epoch, int32(s.Request.Step) // #nosec G115 -- bounded by the operation
		requestIDs[i], finals[i] = s.Request.ID, s.Request.Final
		bodies[i], payloads[i] = s.Request.Call.Body, s.Request.Payload
		head := s.Request.Call
		head.Body = nil
		raw, err := json.Marshal(head)
		if err != nil {
			return nil, fmt.Errorf("postgres: store request: %w", err)
		}
		heads[i] = string(raw)
		if s.Request.Base != nil {
			if bases[i], err = json.Marshal(s.Request.Base); err != nil {
				return nil, fmt.Errorf("postgres: store request: %w", err)
			}
		}
		progress[i] = s.Remote
	}
	held := make(map[int64]bool, n)
	err := d.db.inTxByIndex(ctx, func(batch *pgx.Batch) {
		queueProgress(batch, ids, epochs, progress)
		// FOR SHARE: a claim that takes the row over waits until this request is
		// visible to it.
		batch.Queue(`
			INSERT INTO delivery_request AS q (row_id, epoch, request_id, step, final, head, body, base, payload, stored_at)
			SELECT r.id, r.epoch, u.request_id, u.step, u.final, u.head::json, u.body, u.base::json, u.payload, now()
			FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::int[], $5::bool[], $6::text[], $7::bytea[], $8::text[], $9::bytea[])
				AS u(id, epoch, request_id, step, final, head, body, base, payload)
			JOIN delivery_row r ON r.id = u.id AND r.epoch = u.epoch AND r.status = 'sending' AND r.next_at > now()
			FOR SHARE OF r
			ON CONFLICT (row_id) DO UPDATE SET epoch = EXCLUDED.epoch, request_id = EXCLUDED.request_id, step = EXCLUDED.step, final = EXCLUDED.final,
				head = EXCLUDED.head, body = EXCLUDED.body, base = EXCLUDED.base, payload = EXCLUDED.payload, stored_at = EXCLUDED.stored_at
			RETURNING row_id`, ids, epochs, requestIDs, steps, finals, heads, bodies, jsonTexts(bases), payloads).Query(func(rows pgx.Rows) error {
			written, err := pgx.CollectRows(rows, pgx.RowTo[int64])
			for _, id := range written {
				held[id] = true
			}
			return err
		})
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("postgres: store request: %w", err)
	}
	out := make([]bool, n)
	for i, id := range ids {
		out[i] = held[id]
	}
	return out, nil
}

// queueProgress records the outcome of steps that are not the last.
func queueProgress(batch *pgx.Batch, ids, epochs []int64, progress []*integration.Remote) {
	var id, epoch []int64
	var remotes []*integration.Remote
	for i, r := range progress {
		if r != nil {
			id, epoch, remotes = append(id, ids[i]), append(epoch, epochs[i]), append(remotes, r)
		}
	}
	if len(id) == 0 {
		return
	}
	c := remoteColumns(remotes)
	batch.Queue(`
		UPDATE delivery_row r SET destination_id = u.id, destination_type = u.type, destination_version = u.version, destination_active = u.active
		FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bool[]) AS u(row_id, epoch, id, type, version, active)
		WHERE r.id = u.row_id AND r.epoch = u.epoch AND r.status = 'sending'`, id, epoch, c.ids, c.types, c.versions, c.active)
}

type remoteArrays struct {
	ids, types, versions []string
	active               []bool
}

func remoteColumns(remotes []*integration.Remote) remoteArrays {
	n := len(remotes)
	c := remoteArrays{ids: make([]string, n), types: make([]string, n), versions: make([]string, n), active: make([]bool, n)}
	for i, r := range remotes {
		if r != nil {
			c.ids[i], c.types[i], c.versions[i], c.active[i] = r.ID, r.Type, r.Version, r.Active
		}
	}
	return c
}

// Reference names an object of the same lane.
type Reference struct {
	Lane     int32
	RecordID record.ID
	Object   string
}

// Referenced is what is known of a referenced object.
type Referenced struct {
	ID     string // at the destination; "" if it was never created
	Active bool
	Verb   record.Verb // of its newest state
	Status Status
	Code   string
}

// Usable reports whether it can be referred to. One that was removed and is
// wanted again is not, until it is back; [Deliveries.WakeWaiting] says the same.
func (r Referenced) Usable() bool {
	settled := r.Status == StatusDone || r.Status == StatusFailed
	return r.ID != "" && (r.Active || r.Verb == record.VerbUpsert && settled)
}

// Referenced looks up the destination ids of references; one that nobody routed
// to the lane is not in the answer.
func (d *Deliveries) Referenced(ctx context.Context, refs []Reference) (map[Reference]Referenced, error) {
	lanes, records, objects := make([]int32, len(refs)), make([]string, len(refs)), make([]string, len(refs))
	for i, r := range refs {
		lanes[i], records[i], objects[i] = r.Lane, string(r.RecordID), r.Object
	}
	rows, err := d.db.pool.Query(ctx, `
		SELECT r.lane_id, r.record_id, r.object, r.destination_id, r.destination_active, r.desired_verb, r.status, r.code
		FROM unnest($1::int[], $2::text[], $3::text[]) AS u(lane_id, record_id, object)
		JOIN delivery_row r ON r.lane_id = u.lane_id AND r.record_id = u.record_id AND r.object = u.object`, lanes, records, objects)
	if err != nil {
		return nil, fmt.Errorf("postgres: references: %w", err)
	}
	defer rows.Close()
	out := make(map[Reference]Referenced, len(refs))
	for rows.Next() {
		var k Reference
		var v Referenced
		if err := rows.Scan(&k.Lane, &k.RecordID, &k.Object, &v.ID, &v.Active, &v.Verb, &v.Status, &v.Code); err != nil {
			return nil, fmt.Errorf("postgres: references: %w", err)
		}
		out[k] = v
	}
	return out, rows.Err()
}
