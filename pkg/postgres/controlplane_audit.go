package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// AuditEntry is one thing that somebody did.
type AuditEntry struct {
	Seq        int64
	At         time.Time
	Actor      string
	Action     string
	TenantID   string
	Object     string
	BeforeHash string
	AfterHash  string
	Result     string
	Detail     string
}

// link is the entry's hash: of the one before it and of all its fields, each
// preceded by its length.
func (e *AuditEntry) link(previous []byte) []byte {
	h := sha256.New()
	write := func(b []byte) {
		_ = binary.Write(h, binary.BigEndian, uint32(len(b))) // #nosec G115 -- a hash never fails, fields are short
		h.Write(b)
	}
	write(previous)
	write(binary.BigEndian.AppendUint64(nil, uint64(e.Seq)))            // #nosec G115 -- positive
	write(binary.BigEndian.AppendUint64(nil, uint64(e.At.UnixMicro()))) // #nosec G115 -- after 1970
	for _, text := range []string{e.Actor, e.Action, e.TenantID, e.Object, e.BeforeHash, e.AfterHash, e.Result, e.Detail} {
		write([]byte(text))
	}
	return h.Sum(nil)
}

// appendAudit chains entries in the caller's transaction: what cannot be
// audited does not happen.
func appendAudit(ctx context.Context, tx pgx.Tx, entries []AuditEntry) error {
	var (
		seq      int64
		previous []byte
		now      time.Time
	)
	if err := tx.QueryRow(ctx, "SELECT seq, hash, clock_timestamp() FROM audit_head FOR UPDATE").Scan(&seq, &previous, &now); err != nil {
		return err
	}
	batch := &pgx.Batch{}
	for i := range entries {
		e := &entries[i]
		seq++
		e.Seq, e.At = seq, now.UTC().Truncate(time.Microsecond)
		hash := e.link(previous)
		batch.Queue(`INSERT INTO audit (seq, at, actor, action, tenant_id, object, before_hash, after_hash, result, detail, prev_hash, hash)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			e.Seq, e.At, e.Actor, e.Action, e.TenantID, e.Object, e.BeforeHash, e.AfterHash, e.Result, e.Detail, previous, hash)
		previous = hash
	}
	batch.Queue("UPDATE audit_head SET seq = $1, hash = $2", seq, previous)
	return tx.SendBatch(ctx, batch).Close()
}

// Audit writes entries of their own, for what is not a change of configuration.
func (p *ControlPlane) Audit(ctx context.Context, entries ...AuditEntry) error {
	if err := p.db.inTx(ctx, func(tx pgx.Tx) error { return appendAudit(ctx, tx, entries) }); err != nil {
		return fmt.Errorf("postgres: audit: %w", err)
	}
	return nil
}

// VerifyAudit walks the whole chain and reports the first entry that is
// missing or was changed; it returns how many entries there are.
func (p *ControlPlane) VerifyAudit(ctx context.Context) (int64, error) {
	var count int64
	err := pgx.BeginTxFunc(ctx, p.db.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		var headSeq int64
		var headHash []byte
		if err := tx.QueryRow(ctx, "SELECT seq, hash FROM audit_head").Scan(&headSeq, &headHash); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT seq, at, actor, action, tenant_id, object, before_hash, after_hash, result, detail, hash FROM audit ORDER BY seq`)
		if err != nil {
			return err
		}
		defer rows.Close()
		var previous []byte
		for rows.Next() {
			var e AuditEntry
			var hash []byte
			if err := rows.Scan(&e.Seq, &e.At, &e.Actor, &e.Action, &e.TenantID, &e.Object, &e.BeforeHash, &e.AfterHash, &e.Result, &e.Detail, &hash); err != nil {
				return err
			}
			if e.Seq != count+1 {
				return fmt.Errorf("the audit has a gap: entry %d is missing", count+1)
			}
			if string(e.link(previous)) != string(hash) {
				return fmt.Errorf("audit entry %d was changed", e.Seq)
			}
			previous, count = hash, e.Seq
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if count != headSeq || string(previous) != string(headHash) {
			return fmt.Errorf("the audit ends at entry %d, but %d were written", count, headSeq)
		}
		return nil
	})
	return count, err
}
