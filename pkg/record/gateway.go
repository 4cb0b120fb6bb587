package record

import "time"

// Origin says who put an event on the gateway topic.
type Origin string

const (
	OriginWebhook     Origin = "webhook"     // the source app told us
	OriginFetch       Origin = "fetch"       // the fetcher asked the source app
	OriginBackfill    Origin = "backfill"    // bulk read of a source app
	OriginWake        Origin = "wake"        // process the current state again: a parent changed
	OriginResync      Origin = "resync"      // process the current state again: an operator asked
	OriginDestination Origin = "destination" // a record as the destination app has it
)

// Outcome is what an event says about the record.
type Outcome string

const (
	OutcomePayload Outcome = "payload" // Payload holds what the app sent
	OutcomeAbsent  Outcome = "absent"  // the app says there is no such record (404, deleted)
	OutcomeFailed  Outcome = "failed"  // asking the app failed for good; Detail says why
	OutcomeNone    Outcome = "none"    // wake and resync carry no data
)

// GatewayEvent is one event about one record, as it arrived. Payload is
// verbatim except that credentials inside it are stripped.
type GatewayEvent struct {
	TenantID   TenantID  `avro:"tenant_id"`
	SourceApp  string    `avro:"source_app"`
	RecordID   ID        `avro:"record_id"`
	GatewayID  string    `avro:"gateway_id"`
	Origin     Origin    `avro:"origin"`
	ReceivedAt time.Time `avro:"received_at"`
	// Format names the parser of Payload inside the source app's integration
	// ("outbound-message", "outbound-message-json", "accounting-event", "rest").
	// "" means the gateway could not split the body: it is stored whole.
	Format      string   `avro:"format"`
	ContentType string   `avro:"content_type"`
	Headers     []Header `avro:"headers"`
	Outcome     Outcome  `avro:"outcome"`
	Detail      string   `avro:"detail"`
	// Version is the source's version of an outcome without payload (a fetch
	// that found the record deleted); "" if unknown.
	Version string `avro:"version"`
	Payload []byte `avro:"payload"`
	// ConfigVersion is the control plane version a stage must have reached
	// before it handles this event; 0 asks for nothing.
	ConfigVersion int64 `avro:"config_version"`
	// Depth of a fetched record is how many steps it is away from a record that
	// was sent: the load of an invoice 1, the load's customer 2.
	Depth int32 `avro:"depth"`
}

// Key is the record's key on every data topic.
func (e *GatewayEvent) Key() Key { return KeyOf(e.TenantID, e.RecordID) }

// Header is one selected HTTP header of a webhook.
type Header struct {
	Name  string `avro:"name"`
	Value string `avro:"value"`
}
