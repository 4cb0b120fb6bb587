package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// Deliveries are the delivery rows: the global entity map and the delivery
// queue in one. All methods take batches: one row at a time is twenty times
// slower. Due times and leases follow the database's clock, so processes whose
// clocks disagree still agree about who holds a row.
type Deliveries struct {
	db *DB

	mu    sync.Mutex
	lanes map[LaneKey]int32 // rows of delivery_lane are never deleted or renamed
}

// Deliveries opens the delivery rows of a migrated database.
func (db *DB) Deliveries() *Deliveries {
	return &Deliveries{db: db, lanes: map[LaneKey]int32{}}
}

// LaneKey names a lane: one tenant's share of one remote account. Limits hold
// for the account, credentials and fairness for the lane.
type LaneKey struct {
	Tenant        record.TenantID
	App           string
	RemoteAccount string
}

// Status is where a row stands.
type Status string

// The standings of a row; services/delivery/DESIGN.md draws the machine.
const (
	StatusReady     Status = "ready"     // to be sent now
	StatusSending   Status = "sending"   // somebody holds its lease
	StatusBackoff   Status = "backoff"   // to be sent again later
	StatusWaiting   Status = "waiting"   // for the destination id of another record
	StatusFailed    Status = "failed"    // a person must act
	StatusDone      Status = "done"      // the destination has the newest state
	StatusWithdrawn Status = "withdrawn" // what was not sent is not to be sent
)

// Version orders the states of one row: revision, then outbound offset.
type Version struct {
	Revision record.Revision
	Source   int64
}

// Less reports whether v is older than o.
func (v Version) Less(o Version) bool {
	if c := v.Revision.Compare(o.Revision); c != 0 {
		return c < 0
	}
	return v.Source < o.Source
}

// Row is one claimed row: what is in flight, and what the destination has.
type Row struct {
	ID    int64
	Lane  int32
	Epoch int64 // of this claim; every later write names it

	Tenant        record.TenantID
	App           string
	RemoteAccount string
	RecordID      record.ID
	Object        string
	SourceApp     string
	TargetName    string

	Verb           record.Verb
	Type           string
	Reason         string
	GatewayID      string
	Payload        []byte
	References     []record.Reference
	Name           string
	DocumentNumber string
	MappingVersion int64
	ConfigVersion  int64
	Lineage        record.Lineage
	Version        Version // of the state in flight
	Desired        Version // of the newest state; a newer one is sent after this
	DesiredVerb    record.Verb

	Applied        *integration.Remote // nil: never created
	AppliedPayload []byte
	AppliedDigest  []byte
	AppliedVersion record.Revision

	Attempt      int32
	Resend       int32 // this claim settles resends up to here
	ResendDone   int32
	WaitingSince time.Time

	// Doubt is the request whose outcome nobody knows; it is resolved before
	// anything else is sent.
	Doubt *Request
}

// Superseded reports whether a newer state than the one in flight is wanted.
func (r *Row) Superseded() bool { return r.Version.Less(r.Desired) }

// Key is the record's key on every data topic.
func (r *Row) Key() record.Key { return record.KeyOf(r.Tenant, r.RecordID) }

// Request is one stored call to a destination.
type Request struct {
	ID      string
	Step    int
	Final   bool
	Call    integration.Request
	Base    *integration.Remote // what it was made against
	Payload []byte              // what it was made of; nil: the row's payload
}

// laneIDs finds or creates the lanes; most calls answer from memory.
func (d *Deliveries) laneIDs(ctx context.Context, keys map[LaneKey]int32) error {
	var missing []LaneKey
	d.mu.Lock()
	for k := range keys {
		id, ok := d.lanes[k]
		if !ok {
			missing = append(missing, k)
			continue
		}
		keys[k] = id
	}
	d.mu.Unlock()
	for _, k := range missing {
		var id int32
		// The no-op update makes RETURNING answer for an existing lane too.
		err := d.db.pool.QueryRow(ctx, `
			INSERT INTO delivery_lane AS l (tenant_id, app, remote_account) VALUES ($1, $2, $3)
			ON CONFLICT (tenant_id, app, remote_account) DO UPDATE SET blocked_code = l.blocked_code
			RETURNING id`, string(k.Tenant), k.App, k.RemoteAccount).Scan(&id)
		if err != nil {
			return fmt.Errorf("postgres: lane of %s at %s %s: %w", k.Tenant, k.App, k.RemoteAccount, err)
		}
		keys[k] = id
		d.mu.Lock()
		d.lanes[k] = id
		d.mu.Unlock()
	}
	return nil
}

// ErrRewound reports a stored offset smaller than the one this consumer wrote:
// the database was restored from an older copy. The consumer has to start again
// from [Deliveries.StartOffsets], so that what the copy lacks is read again.
var ErrRewound = errors.New("the stored outbound offset went back: PostgreSQL was restored from an older copy; consuming again from there")

// StartOffsets says where to start reading; a partition that is not in the
// answer starts at its beginning.
func (d *Deliveries) StartOffsets(ctx context.Context, topic string, partitions []int32) (map[int32]int64, error) {
	rows, err := d.db.pool.Query(ctx, `SELECT partition, next_offset FROM delivery_offset WHERE topic = $1 AND partition = ANY($2)`, topic, partitions)
	if err != nil {
		return nil, fmt.Errorf("postgres: start offsets: %w", err)
	}
	defer rows.Close()
	out := make(map[int32]int64, len(partitions))
	for rows.Next() {
		var p int32
		var next int64
		if err := rows.Scan(&p, &next); err != nil {
			return nil, fmt.Errorf("postgres: start offsets: %w", err)
		}
		out[p] = next
	}
	return out, rows.Err()
}
