package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/fluxnex/fluxnex/pkg/record"
)

// keepNotice stores a notification that another stage published. One that is
// older than what closed it stays closed: the topic is read at least once, and
// a notification that was read again must not open again.
const keepNotice = `
INSERT INTO notification AS n (tenant_id, source_app, record_id, audience, stage, class, code, message, remedy, target, object, fingerprint,
	revision_generation, revision_offset, first_at, last_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15)
ON CONFLICT (tenant_id, record_id, target, fingerprint) DO UPDATE SET
	seen = n.seen + 1, last_at = EXCLUDED.last_at, message = EXCLUDED.message, remedy = EXCLUDED.remedy,
	revision_generation = EXCLUDED.revision_generation, revision_offset = EXCLUDED.revision_offset, resolved_at = NULL
WHERE (n.revision_generation, n.revision_offset) < (EXCLUDED.revision_generation, EXCLUDED.revision_offset)`

const closeNotice = `
UPDATE notification SET resolved_at = $7
WHERE tenant_id = $1 AND record_id = $2 AND target = $3 AND ($4 = '' OR object = $4) AND resolved_at IS NULL
  AND (revision_generation, revision_offset) <= ($5, $6)`

// closeFormer closes what a stage said of a record's former states: above the
// targets a record stands in one place, and so has one problem at a time.
const closeFormer = `
UPDATE notification SET resolved_at = $8
WHERE tenant_id = $1 AND record_id = $2 AND record_id <> '' AND target = '' AND stage = $3 AND audience = $4 AND fingerprint <> $5
  AND resolved_at IS NULL AND (revision_generation, revision_offset) < ($6, $7)`

// KeepNotices stores what stages published, in order. Delivery's own are left
// out: they are written with the rows they belong to.
func (d *Deliveries) KeepNotices(ctx context.Context, list []record.Notification) error {
	own := func(n record.Notification) bool { return n.Stage == "delivery" }
	list = slices.DeleteFunc(slices.Clone(list), own)
	if len(list) == 0 {
		return nil
	}
	err := d.db.inTx(ctx, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		for i := range list {
			n := &list[i]
			if n.Resolved {
				batch.Queue(closeNotice, string(n.TenantID), string(n.RecordID), n.Target, n.Object, n.Revision.Generation, n.Revision.Offset, n.At)
				continue
			}
			args, err := notificationArgs(n)
			if err != nil {
				return err
			}
			batch.Queue(keepNotice, args[:len(args)-1]...)
			if n.Target == "" {
				batch.Queue(closeFormer, string(n.TenantID), string(n.RecordID), n.Stage, string(n.Audience), n.Fingerprint, n.Revision.Generation, n.Revision.Offset, n.At)
			}
		}
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return fmt.Errorf("store notifications: %w", err)
	}
	return nil
}
