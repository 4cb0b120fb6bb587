package postgres

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// Ending is how an attempt ended.
type Ending string

// The endings of an attempt. Where a newer state is wanted than the one in
// flight, applied, failed and waiting end in ready (or withdrawn) instead.
const (
	EndApplied  Ending = "applied"  // the destination has the state in flight (also: had it already)
	EndRetry    Ending = "retry"    // again after Delay
	EndWaiting  Ending = "waiting"  // for References
	EndFailed   Ending = "failed"   // a person must act
	EndReleased Ending = "released" // nothing was tried: give the row back, spend no attempt
)

// Finished ends the claim of a row.
type Finished struct {
	Row    *Row
	Ending Ending
	// Sent: a call may have reached the destination. If the lease turns out to be
	// gone, the row's newest state is then sent again.
	Sent bool
	// Doubt: nobody knows whether the stored request had its effect. It stays
	// with the row and is resolved first.
	Doubt   bool
	Delay   time.Duration // EndRetry; EndWaiting: look again then, whatever came
	Remote  *integration.Remote
	Digest  []byte // of what was applied
	Payload []byte // that was sent, where it is not the row's own
	Class   string
	Code    string
	Detail  string
	// References the row waits for; EndApplied: was sent without, and is sent
	// again with once they are there.
	References []record.Reference

	Result       *record.DeliveryResult // to publish; nil = nothing worth telling
	Notification *record.Notification
	DeadLetter   *record.DeadLetter
	// Notice is opened after everything up to this revision was closed: it stays
	// until the next state passes.
	Notice *record.Notification
	// Found is what the destination was seen to hold, for the gateway topic.
	Found *record.GatewayEvent
}

// Finish ends claims, and writes in the same transaction what the world is
// told. The answer says for each whether the lease still held; where it did
// not and a call may have been made, the row is marked to send its newest state
// once more, because the late call may have put an old one there.
func (d *Deliveries) Finish(ctx context.Context, finished []Finished) ([]bool, error) {
	held := make(map[int64]bool, len(finished))
	var settled map[int64]standing
	err := d.db.inTxByIndex(ctx, func(batch *pgx.Batch) {
		settled = queueFinished(batch, finished)
	}, func(tx pgx.Tx) error {
		kept := make([]*Finished, 0, len(finished))
		var lost []int64
		for i := range finished {
			f := &finished[i]
			switch now, ok := settled[f.Row.ID]; {
			case ok:
				held[f.Row.ID] = true
				kept = append(kept, f)
				if now.status == StatusWithdrawn && f.Ending != EndApplied && f.Result != nil {
					f.Result.Outcome, f.Result.Verb, f.Result.Revision = "withdrawn", record.VerbWithdraw, now.desired
				} else if f.Ending == EndReleased {
					f.Result = nil // nothing happened
				}
			case f.Sent:
				lost = append(lost, f.Row.ID)
			}
		}
		if err := resend(ctx, tx, lost); err != nil {
			return err
		}
		return finishRest(ctx, tx, kept)
	})
	if err != nil {
		return nil, fmt.Errorf("postgres: finish: %w", err)
	}
	out := make([]bool, len(finished))
	for i := range finished {
		out[i] = held[finished[i].Row.ID]
	}
	return out, nil
}

// Locking in the order of Consume, in which the ids come, keeps the two from
// deadlocking.
const lockFinished = `SELECT FROM unnest($1::bigint[]) WITH ORDINALITY AS u(id, n) JOIN delivery_row r ON r.id = u.id ORDER BY u.n FOR NO KEY UPDATE OF r`

// lockOrder is the ids in the order of Consume.
func lockOrder(finished []Finished) []int64 {
	rows := make([]*Row, len(finished))
	for i := range finished {
		rows[i] = finished[i].Row
	}
	slices.SortFunc(rows, func(a, b *Row) int {
		return cmp.Or(cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.RecordID, b.RecordID), cmp.Compare(a.Object, b.Object))
	})
	ids := make([]int64, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	return ids
}

const newer = `((r.desired_generation, r.desired_offset, r.desired_source) > (r.inflight_generation, r.inflight_offset, r.inflight_source))`

const finishRows = `
UPDATE delivery_row r SET
	status = CASE
		WHEN f.doubt THEN CASE f.ending WHEN 'retry' THEN 'backoff' WHEN 'failed' THEN 'failed' ELSE 'ready' END
		WHEN f.ending = 'released' OR ` + newer + ` THEN CASE WHEN r.desired_verb = 'withdraw' THEN 'withdrawn' WHEN f.ending = 'retry' THEN 'backoff' ELSE 'ready' END
		WHEN f.ending = 'applied' THEN CASE WHEN r.resend_wanted > f.resend THEN 'ready' ELSE 'done' END
		WHEN f.ending = 'retry' THEN 'backoff'
		WHEN f.ending = 'waiting' THEN 'waiting'
		ELSE 'failed' END,
	next_at = now() + CASE WHEN f.ending = 'retry' OR (f.ending = 'waiting' AND NOT ` + newer + `) THEN f.delay ELSE interval '0' END,
	attempt = CASE
		WHEN f.ending = 'released' THEN r.attempt
		WHEN f.ending = 'retry' THEN r.attempt + 1
		ELSE 0 END,
	class = f.class, code = f.code, detail = f.detail,
	inflight_slot = CASE WHEN f.doubt THEN r.inflight_slot END,
	applied_slot = CASE WHEN f.applied THEN r.inflight_slot ELSE r.applied_slot END,
	applied_generation = CASE WHEN f.applied THEN r.inflight_generation ELSE r.applied_generation END,
	applied_offset = CASE WHEN f.applied THEN r.inflight_offset ELSE r.applied_offset END,
	applied_digest = CASE WHEN f.applied THEN f.digest ELSE r.applied_digest END,
	applied_at = CASE WHEN f.applied THEN now() ELSE r.applied_at END,
	destination_id = CASE WHEN f.remote THEN f.destination_id ELSE r.destination_id END,
	destination_type = CASE WHEN f.remote THEN f.destination_type ELSE r.destination_type END,
	destination_version = CASE WHEN f.remote THEN f.destination_version ELSE r.destination_version END,
	destination_active = CASE WHEN f.remote THEN f.destination_active ELSE r.destination_active END,
	resend_done = CASE WHEN f.applied THEN greatest(r.resend_done, f.resend) ELSE r.resend_done END,
	waiting_since = CASE WHEN f.ending = 'waiting' THEN coalesce(r.waiting_since, now()) END,
	undelivered_since = CASE
		WHEN f.doubt THEN r.undelivered_since
		WHEN ` + newer + ` AND r.desired_verb = 'withdraw' THEN NULL
		WHEN f.ending = 'applied' THEN r.newer_since
		ELSE r.undelivered_since END,
	newer_since = CASE WHEN f.doubt THEN r.newer_since END
FROM (
	SELECT u.*, u.ending = 'applied' AS applied
	FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bool[], $5::interval[], $6::text[], $7::text[], $8::text[],
		$9::bool[], $10::text[], $11::text[], $12::text[], $13::bool[], $14::bytea[], $15::int[])
		AS u(id, epoch, ending, doubt, delay, class, code, detail, remote, destination_id, destination_type, destination_version, destination_active, digest, resend)
) f
WHERE r.id = f.id AND r.epoch = f.epoch AND r.status = 'sending'
RETURNING r.id, r.status, r.desired_generation, r.desired_offset`

// standing is where a row is after its finish.
type standing struct {
	status  Status
	desired record.Revision
}

// queueFinished locks and updates the rows. Once the batch is closed the answer
// has those whose lease held.
func queueFinished(batch *pgx.Batch, finished []Finished) map[int64]standing {
	n := len(finished)
	ids, epochs := make([]int64, n), make([]int64, n)
	endings, classes, codes, details := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	doubts, changed := make([]bool, n), make([]bool, n)
	delays, resends := make([]time.Duration, n), make([]int32, n)
	digests, remotes := make([][]byte, n), make([]*integration.Remote, n)
	for i := range finished {
		f := &finished[i]
		ids[i], epochs[i], endings[i] = f.Row.ID, f.Row.Epoch, string(f.Ending)
		classes[i], codes[i], details[i] = f.Class, f.Code, clip(f.Detail)
		doubts[i], changed[i] = f.Doubt, f.Remote != nil
		delays[i], resends[i] = f.Delay, f.Row.Resend
		digests[i], remotes[i] = f.Digest, f.Remote
	}
	c := remoteColumns(remotes)
	// Two statements: the second sees what the locks waited for.
	batch.Queue(lockFinished, lockOrder(finished))
	settled := make(map[int64]standing, n)
	batch.Queue(finishRows, ids, epochs, endings, doubts, delays, classes, codes, details, changed, c.ids, c.types, c.versions, c.active, digests, resends).Query(func(rows pgx.Rows) error {
		var id int64
		var s standing
		_, err := pgx.ForEachRow(rows, []any{&id, &s.status, &s.desired.Generation, &s.desired.Offset}, func() error {
			settled[id] = s
			return nil
		})
		return err
	})
	return settled
}

const maxDetail = 2000

// clip keeps a destination's message readable and the row narrow. PostgreSQL
// takes neither NUL nor half a character.
func clip(s string) string {
	if len(s) > maxDetail {
		s = s[:maxDetail]
	}
	return string(bytes.ReplaceAll(bytes.ToValidUTF8([]byte(s), []byte("?")), []byte{0}, nil))
}

// resend marks rows whose late finish found the lease gone.
func resend(ctx context.Context, tx pgx.Tx, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
		UPDATE delivery_row SET resend_wanted = resend_wanted + 1,
			status = CASE WHEN status IN ('sending', 'backoff') OR (status = 'withdrawn' AND applied_slot IS NULL) THEN status ELSE 'ready' END,
			next_at = CASE WHEN status IN ('sending', 'backoff') THEN next_at ELSE now() END
		WHERE id = ANY($1)`, ids)
	if err != nil {
		return fmt.Errorf("postgres: resend: %w", err)
	}
	return nil
}

// finishRest writes what follows from the rows' new standing, on one trip.
func finishRest(ctx context.Context, tx pgx.Tx, kept []*Finished) error {
	batch := &pgx.Batch{}
	var settled, created []int64
	var lanes []int32
	var destinations []string
	var results, deadLetters, found [][]byte
	for _, f := range kept {
		if !f.Doubt {
			settled = append(settled, f.Row.ID)
		}
		if f.Ending == EndApplied && f.Payload != nil {
			batch.Queue(`UPDATE delivery_state s SET sent = $2 FROM delivery_row r WHERE r.id = $1 AND s.row_id = r.id AND s.slot = r.applied_slot`, f.Row.ID, f.Payload)
		}
		if f.Remote != nil && (f.Row.Applied == nil || f.Row.Applied.ID != f.Remote.ID) {
			created, lanes, destinations = append(created, f.Row.ID), append(lanes, f.Row.Lane), append(destinations, f.Remote.ID)
		}
		for _, ref := range f.References {
			batch.Queue(`INSERT INTO delivery_wait (row_id, lane_id, record_id, object) SELECT id, $2, $3, $4 FROM delivery_row WHERE id = $1 AND status IN ('waiting', 'failed', 'done')
				ON CONFLICT DO NOTHING`, f.Row.ID, f.Row.Lane, string(ref.RecordID), ref.Object)
		}
		var err error
		if results, err = appendJSON(results, f.Result); err != nil {
			return err
		}
		if deadLetters, err = appendJSON(deadLetters, f.DeadLetter); err != nil {
			return err
		}
		if found, err = appendJSON(found, f.Found); err != nil {
			return err
		}
		if f.Notification != nil {
			if err := queueNotification(batch, f.Notification); err != nil {
				return err
			}
		}
	}
	if len(settled) > 0 {
		batch.Queue(`DELETE FROM delivery_request WHERE row_id = ANY($1)`, settled)
	}
	if len(created) > 0 {
		batch.Queue(`INSERT INTO delivery_search (row_id, lane_id, destination_id) SELECT * FROM unnest($1::bigint[], $2::int[], $3::text[])
			ON CONFLICT (row_id) DO UPDATE SET destination_id = EXCLUDED.destination_id`, created, lanes, destinations)
	}
	queueOutbox(batch, OutboxResult, results)
	queueOutbox(batch, OutboxDeadLetter, deadLetters)
	queueOutbox(batch, OutboxGateway, found)
	resolved := queueClose(batch, kept)
	if batch.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	if err := tellClosed(ctx, tx, kept, *resolved); err != nil {
		return err
	}
	return openNotices(ctx, tx, kept)
}

func openNotices(ctx context.Context, tx pgx.Tx, kept []*Finished) error {
	for _, f := range kept {
		if f.Notice == nil {
			continue
		}
		args, err := notificationArgs(f.Notice)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, openNotification, args...); err != nil {
			return fmt.Errorf("postgres: notification: %w", err)
		}
	}
	return nil
}

func appendJSON[T any](values [][]byte, v *T) ([][]byte, error) {
	if v == nil {
		return values, nil
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("postgres: outbox: %w", err)
	}
	return append(values, raw), nil
}
