package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fluxnex/fluxnex/pkg/record"
)

// searchLimit bounds an answer: "Acme" may be the name of thousands.
const searchLimit = 100

// Find lists the records of a tenant that a destination id, document number or
// name belongs to, exactly but for case; at most 100, in no order.
func (d *Deliveries) Find(ctx context.Context, tenant record.TenantID, text string) ([]record.ID, error) {
	rows, err := d.db.pool.Query(ctx, `
		SELECT DISTINCT r.record_id
		FROM delivery_search s
		JOIN delivery_row r ON r.id = s.row_id
		JOIN delivery_lane l ON l.id = s.lane_id
		WHERE l.tenant_id = $1
		  AND (s.destination_id = $2 AND s.destination_id <> ''
		    OR lower(s.document_number) = lower($2) AND s.document_number <> ''
		    OR lower(s.name) = lower($2) AND s.name <> '')
		LIMIT $3`, string(tenant), text, searchLimit)
	if err != nil {
		return nil, fmt.Errorf("search delivery rows: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[record.ID])
	if err != nil {
		return nil, fmt.Errorf("search delivery rows: %w", err)
	}
	return ids, nil
}

// Standing is one delivery row as people look at it.
type Standing struct {
	Target             string          `json:"target"`
	App                string          `json:"app"`
	RemoteAccount      string          `json:"remote_account"`
	RecordID           record.ID       `json:"record_id"`
	Object             string          `json:"object"`
	Type               string          `json:"type"`
	Verb               record.Verb     `json:"verb"`
	Status             Status          `json:"status"`
	Blocked            bool            `json:"blocked"` // its connection needs re-authorisation
	Attempt            int32           `json:"attempt"`
	NextAt             time.Time       `json:"next_at"`
	Class              string          `json:"class,omitempty"`
	Code               string          `json:"code,omitempty"`
	Detail             string          `json:"detail,omitempty"`
	WaitingSince       time.Time       `json:"waiting_since,omitzero"`
	WaitsFor           []string        `json:"waits_for,omitempty"` // "Customer of revenova:001…"
	Name               string          `json:"name,omitempty"`
	DocumentNumber     string          `json:"document_number,omitempty"`
	GatewayID          string          `json:"gateway_id"`
	Desired            record.Revision `json:"desired"`
	OutboundOffset     int64           `json:"outbound_offset"`
	Applied            record.Revision `json:"applied,omitzero"`
	AppliedAt          time.Time       `json:"applied_at,omitzero"`
	DestinationID      string          `json:"destination_id,omitempty"`
	DestinationVersion string          `json:"destination_version,omitempty"`
	DestinationActive  bool            `json:"destination_active"`
	Lineage            record.Lineage  `json:"lineage"`
}

const standingQuery = `
	SELECT r.target_name, l.app, l.remote_account, r.record_id, r.object, s.type, s.verb, r.status,
	       l.blocked_at IS NOT NULL, r.attempt, r.next_at, r.class, r.code, r.detail, r.waiting_since,
	       COALESCE((SELECT array_agg(w.object || ' of ' || w.record_id ORDER BY 1) FROM delivery_wait w WHERE w.row_id = r.id), '{}'),
	       s.name, s.document_number, s.gateway_id, r.desired_generation, r.desired_offset, r.desired_source,
	       r.applied_generation, r.applied_offset, r.applied_at,
	       r.destination_id, r.destination_version, r.destination_active, s.lineage
	FROM delivery_row r
	JOIN delivery_lane l ON l.id = r.lane_id
	JOIN delivery_state s ON s.row_id = r.id AND s.slot = r.desired_slot `

// Of lists the delivery rows of one record, by target and object.
func (d *Deliveries) Of(ctx context.Context, tenant record.TenantID, id record.ID) ([]Standing, error) {
	return d.standings(ctx, standingQuery+`WHERE l.tenant_id = $1 AND r.record_id = $2 ORDER BY r.target_name, r.object`, string(tenant), string(id))
}

// Waiting lists the rows that wait for a reference, oldest first; "" is every
// tenant.
func (d *Deliveries) Waiting(ctx context.Context, tenant record.TenantID) ([]Standing, error) {
	return d.standings(ctx, standingQuery+`WHERE r.status = 'waiting' AND ($1 = '' OR l.tenant_id = $1) ORDER BY r.waiting_since LIMIT 1000`, string(tenant))
}

func (d *Deliveries) standings(ctx context.Context, query string, args ...any) ([]Standing, error) {
	rows, err := d.db.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read delivery rows: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Standing, error) {
		var s Standing
		var waitingSince, appliedAt *time.Time
		var lineage []byte
		err := row.Scan(&s.Target, &s.App, &s.RemoteAccount, &s.RecordID, &s.Object, &s.Type, &s.Verb, &s.Status,
			&s.Blocked, &s.Attempt, &s.NextAt, &s.Class, &s.Code, &s.Detail, &waitingSince,
			&s.WaitsFor, &s.Name, &s.DocumentNumber, &s.GatewayID, &s.Desired.Generation, &s.Desired.Offset, &s.OutboundOffset,
			&s.Applied.Generation, &s.Applied.Offset, &appliedAt,
			&s.DestinationID, &s.DestinationVersion, &s.DestinationActive, &lineage)
		if err != nil {
			return s, err
		}
		if waitingSince != nil {
			s.WaitingSince = *waitingSince
		}
		if appliedAt != nil {
			s.AppliedAt = *appliedAt
		}
		return s, json.Unmarshal(lineage, &s.Lineage)
	})
	if err != nil {
		return nil, fmt.Errorf("read delivery rows: %w", err)
	}
	return list, nil
}

// Notice is a notification as people look at it.
type Notice struct {
	ID          int64           `json:"id"`
	Tenant      record.TenantID `json:"tenant"`
	RecordID    record.ID       `json:"record_id,omitempty"`
	Audience    record.Audience `json:"audience"`
	Stage       string          `json:"stage"`
	Class       string          `json:"class"`
	Code        string          `json:"code"`
	Message     string          `json:"message"`
	Remedy      string          `json:"remedy,omitempty"`
	Target      string          `json:"target,omitempty"`
	Object      string          `json:"object,omitempty"`
	Fingerprint string          `json:"fingerprint"`
	Revision    record.Revision `json:"revision"`
	Seen        int64           `json:"seen"`
	First       time.Time       `json:"first"`
	Last        time.Time       `json:"last"`
	Resolved    time.Time       `json:"resolved,omitzero"`
}

// NoticeFilter chooses notifications; zero fields choose all.
type NoticeFilter struct {
	Tenant   record.TenantID
	RecordID record.ID
	Audience record.Audience
	Resolved bool // also those that closed themselves
	Limit    int  // 0 = 1000
}

// Notices lists notifications, newest first.
func (d *Deliveries) Notices(ctx context.Context, f NoticeFilter) ([]Notice, error) {
	if f.Limit <= 0 {
		f.Limit = 1000
	}
	rows, err := d.db.pool.Query(ctx, `
		SELECT id, tenant_id, record_id, audience, stage, class, code, message, remedy, target, object, fingerprint,
		       revision_generation, revision_offset, seen, first_at, last_at, resolved_at
		FROM notification
		WHERE ($1 = '' OR tenant_id = $1) AND ($2 = '' OR record_id = $2) AND ($3 = '' OR audience = $3)
		  AND ($4 OR resolved_at IS NULL)
		ORDER BY last_at DESC, id DESC LIMIT $5`,
		string(f.Tenant), string(f.RecordID), string(f.Audience), f.Resolved, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("read notifications: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Notice, error) {
		var n Notice
		var resolved *time.Time
		err := row.Scan(&n.ID, &n.Tenant, &n.RecordID, &n.Audience, &n.Stage, &n.Class, &n.Code, &n.Message, &n.Remedy, &n.Target,
			&n.Object, &n.Fingerprint, &n.Revision.Generation, &n.Revision.Offset, &n.Seen, &n.First, &n.Last, &resolved)
		if resolved != nil {
			n.Resolved = *resolved
		}
		return n, err
	})
	if err != nil {
		return nil, fmt.Errorf("read notifications: %w", err)
	}
	return list, nil
}
