package record

import (
	"cmp"
	"strconv"
	"time"
)

// Revision says how new a state of a record is: the position of the last
// gateway event that was folded into it. It grows per key by construction and
// needs no counter; a migration to a new gateway topic bumps Generation.
type Revision struct {
	Generation int32 `avro:"generation" json:"generation"`
	Offset     int64 `avro:"offset" json:"offset"`
}

// Compare orders revisions of one record: -1, 0 or +1.
func (r Revision) Compare(o Revision) int {
	if c := cmp.Compare(r.Generation, o.Generation); c != 0 {
		return c
	}
	return cmp.Compare(r.Offset, o.Offset)
}

// String is "generation.offset".
func (r Revision) String() string {
	var room [32]byte
	text := append(strconv.AppendInt(room[:0], int64(r.Generation), 10), '.')
	return string(strconv.AppendInt(text, r.Offset, 10))
}

// Hop is the moment one stage finished computing a state.
type Hop struct {
	Stage string    `avro:"stage" json:"stage"`
	At    time.Time `avro:"at" json:"at"`
}

// RecentOffsets is how many gateway offsets a Lineage remembers.
const RecentOffsets = 20

// Lineage makes "where is this record and what caused it" one look-up: the
// gateway event that caused a state and when each layer handled it. The topic
// is always the gateway topic and the partition is the record's own.
type Lineage struct {
	GatewayTopic string    `avro:"gateway_topic" json:"gateway_topic"`
	Partition    int32     `avro:"partition" json:"partition"`
	Offset       int64     `avro:"offset" json:"offset"`
	GatewayID    string    `avro:"gateway_id" json:"gateway_id"`
	Origin       Origin    `avro:"origin" json:"origin"`
	ReceivedAt   time.Time `avro:"received_at" json:"received_at"`
	Hops         []Hop     `avro:"hops" json:"hops"`
	// Recent holds the newest RecentOffsets gateway offsets folded into this
	// state, oldest first.
	Recent []int64 `avro:"recent" json:"recent"`
}

// WithHop returns a copy with one more hop; the receiver's Hops are not shared.
func (l Lineage) WithHop(stage string, at time.Time) Lineage {
	hops := make([]Hop, 0, len(l.Hops)+1)
	l.Hops = append(append(hops, l.Hops...), Hop{Stage: stage, At: at})
	return l
}
