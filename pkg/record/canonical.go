package record

import "time"

// Status is where a canonical record stands.
type Status string

const (
	StatusReady   Status = "ready"   // its entities may be routed
	StatusWaiting Status = "waiting" // a parent's fields are missing
	StatusFailed  Status = "failed"  // a person must act; Code says what
	StatusIgnored Status = "ignored" // no canonical entity (a lead, a prospect, a destination's own record)
)

// EntityState says what a canonical entity of a record is now.
type EntityState string

const (
	EntityReady     EntityState = "ready"     // Body is current
	EntityWithdrawn EntityState = "withdrawn" // no longer one (role removed, on hold, cancelled): take back what was not sent; Reason says why
	EntityDeleted   EntityState = "deleted"   // the source record is gone: remove it at the destinations
)

// CanonicalEntity is one canonical entity that a source record is or was.
type CanonicalEntity struct {
	Entity      string      `avro:"entity"`       // "TMS_VENDOR", see package canonical
	CanonicalID string      `avro:"canonical_id"` // "norm-<uuid>", derived, so re-runs agree
	State       EntityState `avro:"state"`
	Reason      string      `avro:"reason"`
	// Body is the typed value of package canonical as JSON; kept from the last
	// ready state where State is withdrawn or deleted.
	Body []byte `avro:"body"`
}

// MissingParent is the digest of a parent that is not known.
const MissingParent = ""

// Dependency is a parent whose fields were used.
type Dependency struct {
	RecordID ID     `avro:"record_id"`
	Digest   string `avro:"digest"` // of the used fields; MissingParent if unknown
}

// Canonical is all canonical entities of one source record: the value of the
// canonical topic.
type Canonical struct {
	TenantID     TenantID          `avro:"tenant_id"`
	SourceApp    string            `avro:"source_app"`
	RecordID     ID                `avro:"record_id"`
	EntityType   string            `avro:"entity_type"`
	Status       Status            `avro:"status"`
	Code         string            `avro:"code"`   // why waiting or failed: a stable label
	Detail       string            `avro:"detail"` // the same for a person
	Entities     []CanonicalEntity `avro:"entities"`
	Dependencies []Dependency      `avro:"dependencies"`
	// WaitingSince is when the record began to wait; the zero time if it does not.
	WaitingSince time.Time `avro:"waiting_since"`
	// SourceFields are the replica's fields, for mappings that name them.
	SourceFields  []Field  `avro:"source_fields"`
	Revision      Revision `avro:"revision"`
	ConfigVersion int64    `avro:"config_version"`
	Lineage       Lineage  `avro:"lineage"`
}

// Key is the record's key on every data topic.
func (c *Canonical) Key() Key { return KeyOf(c.TenantID, c.RecordID) }

// FetchReason says why a record is asked for.
type FetchReason string

const (
	FetchMissing   FetchReason = "missing"   // somebody needs it and nobody knows it
	FetchTie       FetchReason = "tie"       // two values at one source version: only the source knows
	FetchUnversion FetchReason = "unversion" // the source sent no version
	FetchRepair    FetchReason = "repair"    // a partial update could not be read
)

// FetchRequest asks the fetcher for one record; its key is that record's key.
type FetchRequest struct {
	TenantID   TenantID    `avro:"tenant_id"`
	SourceApp  string      `avro:"source_app"`
	RecordID   ID          `avro:"record_id"`
	EntityType string      `avro:"entity_type"` // what the asker believes it is
	Reason     FetchReason `avro:"reason"`
	NeededBy   ID          `avro:"needed_by"`
	Depth      int32       `avro:"depth"`
	Attempt    int32       `avro:"attempt"`
	Requested  time.Time   `avro:"requested"`
	Lineage    Lineage     `avro:"lineage"`
}

// Key is the key of the record that is asked for.
func (f *FetchRequest) Key() Key { return KeyOf(f.TenantID, f.RecordID) }
