// Package stage runs replica, normalizer and router: poll, read state,
// compute, one Kafka transaction {outputs, offsets}, apply views, settle. A
// stage itself is a pure function over a batch; everything about transactions,
// rebalances, views and retries is the runner's. DESIGN.md beside this file
// says why each step stands where it stands.
package stage

import (
	"context"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// Record is one consumed message. Its slices belong to the runner and are
// valid until the batch is settled.
type Record = kafka.Record

// Header is one message header.
type Header = kafka.Header

// Output is one message to produce in the batch's transaction. The partition
// follows from the key.
type Output struct {
	Topic   string
	Key     []byte
	Value   []byte
	Headers []Header // trace context is added by the runner
	// Input is the index, in the batch, of the record that caused this output:
	// its trace context goes on with it, and a record that is isolated after a
	// panic takes its outputs along.
	Input int
}

// View names a view that a stage reads.
type View string

const (
	ViewReplica   View = "replica"   // record key → encoded Replica
	ViewCanonical View = "canonical" // record key → encoded Canonical
)

// Lookup names one entry of a view.
type Lookup struct {
	View View
	Key  record.Key
}

// Views answers what was asked by Lookups, as of the state before this batch: a
// key that comes twice in one batch must see its own first result, so Compute
// keeps an overlay of what it has computed.
type Views interface {
	// Get returns the encoded value; nil if the view has none. A view that is
	// not ready never answers: the runner holds the batch back instead.
	Get(v View, k record.Key) []byte
}

// Result is what a batch becomes.
type Result struct {
	Outputs []Output
	Settled []Settled // one for each input record, in order
}

// Settled is the one line that is logged and counted for each record.
type Settled struct {
	Key      record.Key
	Input    Position
	Outcome  string // "applied", "unchanged", "ignored", "waiting", "dead_letter", …
	Class    fault.Class
	Code     string
	Received time.Time // the lineage's received_at
}

// Position is a place in a topic.
type Position = kafka.Position

// Change is one committed record of the stage's changelog.
type Change struct {
	Key       record.Key
	Value     []byte
	Partition int32
	Offset    int64
}

// Stage is the logic of one layer.
type Stage interface {
	// Begin decodes a batch, which may span partitions; records of one
	// partition are in offset order. One batch is computed at a time: what the
	// last one was decoded into may be used again. It reports undecodable
	// records as dead letters in Compute, never as an error. An error means a
	// dependency is away (the registry): the runner pauses and asks again.
	Begin(ctx context.Context, batch []Record) (Work, error)
	// Settle repeats the checks that follow a commit (register dependents, wake
	// children). It is idempotent, and is called again for the same changes
	// after a crash. Of each key it gets the newest change only. An error is
	// retried until it succeeds or the partition is lost.
	Settle(ctx context.Context, changes []Change) error
}

// Work is one batch being computed.
type Work interface {
	// Lookups names what Compute reads. It is called until it returns nothing
	// new, with what was found so far, so parents of parents can be asked for.
	Lookups(found Views) []Lookup
	// Compute is pure but for reading the clock.
	Compute(ctx context.Context, found Views) (Result, error)
}
