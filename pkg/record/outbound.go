package record

import "time"

// Verb is what a target must do about one destination object of a record.
type Verb string

const (
	VerbUpsert   Verb = "upsert"
	VerbDelete   Verb = "delete"   // deactivate, void or archive, as the app allows
	VerbWithdraw Verb = "withdraw" // do not send what was not sent; leave what was
)

// Reference is an id of the destination that is resolved just in time: the
// payload needs, at Path, the destination id of another record's object.
type Reference struct {
	Path     string `avro:"path"`      // "CustomerRef.value"
	RecordID ID     `avro:"record_id"` // of the same tenant
	Object   string `avro:"object"`    // "Customer"
	Optional bool   `avro:"optional"`  // send without it if it can never be
}

// OutboundCommand is what one target must do: the value of outbound.<app>.
type OutboundCommand struct {
	TenantID   TenantID `avro:"tenant_id"`
	SourceApp  string   `avro:"source_app"`
	RecordID   ID       `avro:"record_id"`
	GatewayID  string   `avro:"gateway_id"`  // "gw-qb-…", derived from lineage, target and object
	TargetName string   `avro:"target_name"` // the connection's name
	App        string   `avro:"app"`
	Entities   []string `avro:"entities"` // canonical entities that became this object
	// Object identifies the row together with app, account and record
	// ("Invoice"); Type is what it is now ("CreditMemo" while negative).
	Object string `avro:"object"`
	Type   string `avro:"type"`
	Verb   Verb   `avro:"verb"`
	Reason string `avro:"reason"` // of a withdrawal or deletion
	// Payload is the destination's own JSON without ids that References name.
	Payload        []byte      `avro:"payload"`
	References     []Reference `avro:"references"`
	Name           string      `avro:"name"`            // for searching
	DocumentNumber string      `avro:"document_number"` // for searching
	Revision       Revision    `avro:"revision"`
	MappingVersion int64       `avro:"mapping_version"`
	ConfigVersion  int64       `avro:"config_version"`
	Lineage        Lineage     `avro:"lineage"`
}

// Key is the record's key on every data topic.
func (c *OutboundCommand) Key() Key { return KeyOf(c.TenantID, c.RecordID) }

// DeliveryResult tells what became of a command; the topic holds the newest
// one of every row of the entity map.
type DeliveryResult struct {
	TenantID           TenantID  `avro:"tenant_id"`
	SourceApp          string    `avro:"source_app"`
	RecordID           ID        `avro:"record_id"`
	App                string    `avro:"app"`
	RemoteAccount      string    `avro:"remote_account"`
	TargetName         string    `avro:"target_name"`
	Object             string    `avro:"object"`
	Type               string    `avro:"type"`
	Verb               Verb      `avro:"verb"`
	Outcome            string    `avro:"outcome"` // applied, unchanged, withdrawn, failed, waiting, retrying
	DestinationID      string    `avro:"destination_id"`
	DestinationVersion string    `avro:"destination_version"`
	Attempts           int32     `avro:"attempts"`
	LatencyMillis      int64     `avro:"latency_millis"` // from received_at to this result
	Class              string    `avro:"class"`
	Code               string    `avro:"code"`
	Detail             string    `avro:"detail"`
	At                 time.Time `avro:"at"`
	Revision           Revision  `avro:"revision"`
	Lineage            Lineage   `avro:"lineage"`
}

// Audience is who can do something about a notification.
type Audience string

const (
	AudienceCustomer Audience = "customer" // the tenant's people: data, mapping, destination
	AudienceSupport  Audience = "support"  // ours: credentials, bytes nobody can read
)

// Notification tells a person what stopped and what to do. It is open while no
// greater revision of the record passed at that target.
type Notification struct {
	TenantID  TenantID `avro:"tenant_id"`
	SourceApp string   `avro:"source_app"`
	RecordID  ID       `avro:"record_id"` // "" for a connection's own
	Audience  Audience `avro:"audience"`
	Stage     string   `avro:"stage"`
	Class     string   `avro:"class"`
	Code      string   `avro:"code"`
	Message   string   `avro:"message"`
	Remedy    string   `avro:"remedy"`
	Target    string   `avro:"target"` // connection name; "" above the router
	Object    string   `avro:"object"`
	// Fingerprint is equal for equal problems of one (record, target): one
	// notification however often it is seen.
	Fingerprint string `avro:"fingerprint"`
	// Resolved closes every open notification of (record, target) with a
	// smaller or equal revision; Code and Message are then empty.
	Resolved bool      `avro:"resolved"`
	Revision Revision  `avro:"revision"`
	At       time.Time `avro:"at"`
	Lineage  Lineage   `avro:"lineage"`
}

// DeadLetter keeps bytes that cannot be processed, with all that is needed to
// send them again.
type DeadLetter struct {
	TenantID  TenantID  `avro:"tenant_id"` // "" where the bytes do not tell
	SourceApp string    `avro:"source_app"`
	RecordID  ID        `avro:"record_id"`
	Topic     string    `avro:"topic"`
	Partition int32     `avro:"partition"`
	Offset    int64     `avro:"offset"`
	Key       []byte    `avro:"key"`
	Value     []byte    `avro:"value"`
	Headers   []Header  `avro:"headers"`
	Stage     string    `avro:"stage"`
	Class     string    `avro:"class"`
	Code      string    `avro:"code"`
	Error     string    `avro:"error"`
	At        time.Time `avro:"at"`
}
