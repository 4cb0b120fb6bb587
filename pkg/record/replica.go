package record

// FieldKind says how the source wrote a value. Values keep the source's own
// bytes: "1000.0", "04001" and "2017-05-02T11:53:53.000Z" survive as they are.
type FieldKind string

const (
	KindText   FieldKind = "text"   // a string
	KindNumber FieldKind = "number" // a JSON number, literal text kept
	KindBool   FieldKind = "bool"   // "true" or "false"
	KindNull   FieldKind = "null"   // explicitly null (xsi:nil, JSON null); Value is ""
	KindJSON   FieldKind = "json"   // an object or array, verbatim
)

// Field is one field of a source record.
type Field struct {
	Name  string    `avro:"name"`
	Kind  FieldKind `avro:"kind"`
	Value string    `avro:"value"`
	// Version is the source version this value was seen at, where it differs
	// from the record's own; "" means the record's.
	Version string `avro:"version"`
}

// Presence says whether the source has the record.
type Presence string

const (
	PresenceLive    Presence = "live"
	PresenceDeleted Presence = "deleted" // the source said it deleted it
	PresenceAbsent  Presence = "absent"  // the source says there is none
	PresenceFailed  Presence = "failed"  // asking the source failed for good
)

// Replica is all we know of one source record: the value of the replica topic.
type Replica struct {
	TenantID   TenantID `avro:"tenant_id"`
	SourceApp  string   `avro:"source_app"`
	RecordID   ID       `avro:"record_id"`
	EntityType string   `avro:"entity_type"` // "sf_account"; "" while only absence is known
	Presence   Presence `avro:"presence"`
	Detail     string   `avro:"detail"` // why absent or failed
	// Version is the newest source version folded in. Versions of one source
	// order bytewise; "" is older than all others.
	Version string `avro:"version"`
	// Fields are sorted by name, each name once.
	Fields        []Field  `avro:"fields"`
	ParserVersion int32    `avro:"parser_version"`
	Revision      Revision `avro:"revision"`
	ConfigVersion int64    `avro:"config_version"`
	Lineage       Lineage  `avro:"lineage"`
	// Complete is the newest source version at which every field was seen: a
	// field that is not among Fields did not exist then. "" if never.
	Complete string `avro:"complete"`
	// Depth is 0 for a record that the source sent, else how many steps the
	// record that was sent is away for whose sake this one was fetched.
	Depth int32 `avro:"depth"`
}

// Key is the record's key on every data topic.
func (r *Replica) Key() Key { return KeyOf(r.TenantID, r.RecordID) }

// Live reports whether the source has the record as far as we know.
func (r *Replica) Live() bool { return r != nil && r.Presence == PresenceLive }

// Field finds a field by its exact name.
func (r *Replica) Field(name string) (Field, bool) {
	if r == nil {
		return Field{}, false
	}
	low, high := 0, len(r.Fields)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if r.Fields[middle].Name < name {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == len(r.Fields) || r.Fields[low].Name != name {
		return Field{}, false
	}
	return r.Fields[low], true
}

// Text is the field's value, or "" where the field is missing or null.
func (r *Replica) Text(name string) string {
	f, _ := r.Field(name)
	return f.Value
}
