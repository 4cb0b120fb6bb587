package replica

import (
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/stage"
)

// absentGrace is how much later than a live record's newest event an unversioned
// "there is none" must come to be believed. A fetch that was asked before the
// record was made can be answered after its webhook arrived; asking again
// settles it.
const absentGrace = time.Minute

// batch collects what a batch becomes. states is the overlay: a key that comes
// twice sees its own first result.
type batch struct {
	s        *Stage
	states   map[record.Key]*record.Replica
	fetching map[record.Key]bool // asked for in this batch
	observed []record.Field      // room for those of the event at hand
	result   stage.Result
}

// apply handles one event.
func (b *batch) apply(i int, in *input, prev *record.Replica) error {
	e := in.event
	switch e.Outcome {
	case record.OutcomeNone:
		if prev == nil {
			b.settle(in, "unknown", nil)
			return nil
		}
		next := *prev
		return b.emit(i, in, &next, "refreshed")
	case record.OutcomeAbsent:
		return b.absent(i, in, prev)
	case record.OutcomeFailed:
		if prev.Live() {
			// What we know stays true; the fetcher has told why it could not ask.
			b.settle(in, "fetch_failed", nil)
			return nil
		}
		if prev != nil && prev.Presence == record.PresenceDeleted {
			b.settle(in, "outdated", nil)
			return nil
		}
		next := replicaOf(prev, e)
		next.Presence, next.Detail = record.PresenceFailed, e.Detail
		return b.emit(i, in, next, "failed")
	case record.OutcomePayload:
		return b.payload(i, in, prev)
	}
	return b.poison(i, in, prev, fault.New(fault.Poison, "unknown_outcome", "outcome %q", e.Outcome))
}

// replicaOf copies prev, or begins the event's record.
func replicaOf(prev *record.Replica, e *record.GatewayEvent) *record.Replica {
	if prev != nil {
		next := *prev
		return &next
	}
	return &record.Replica{TenantID: e.TenantID, SourceApp: e.SourceApp, RecordID: e.RecordID}
}

func (b *batch) absent(i int, in *input, prev *record.Replica) error {
	e := in.event
	if prev != nil && e.Version != "" && e.Version < prev.Version {
		b.settle(in, "outdated", nil)
		return nil
	}
	if prev.Live() && e.Version == "" && e.ReceivedAt.Before(prev.Lineage.ReceivedAt.Add(absentGrace)) {
		b.settle(in, "absence_doubted", nil)
		return b.fetch(i, in, prev, record.FetchRepair)
	}
	next := replicaOf(prev, e)
	next.Presence, next.Detail = record.PresenceAbsent, e.Detail
	if prev != nil && prev.Presence == record.PresenceDeleted {
		next.Presence = record.PresenceDeleted // deleted says more than absent
	}
	if e.Version > next.Version {
		m := merged{next: *next}
		m.raise(e.Version)
		next = &m.next
	}
	return b.emit(i, in, next, "absent")
}

func (b *batch) payload(i int, in *input, prev *record.Replica) error {
	e := in.event
	if e.Format == "" {
		return b.poison(i, in, prev, fault.New(fault.Poison, "unreadable_body", "%s", orElse(e.Detail, "the body could not be split into records")))
	}
	app, ok := b.s.deps.Integrations(e.SourceApp)
	if !ok || app.Replicate == nil {
		return b.poison(i, in, prev, fault.New(fault.Poison, "unknown_source", "no integration reads payloads of %q", e.SourceApp))
	}
	o, err := app.Replicate.Observe(e.Format, e.ContentType, e.Payload, b.observed)
	b.observed = o.Fields[:0]
	if o.EntityType == "" && e.Origin == record.OriginDestination {
		o.EntityType = destinationType(e.RecordID)
	}
	if err == nil && o.EntityType == "" && (prev == nil || prev.EntityType == "") {
		err = fault.New(fault.Poison, "unknown_entity_type", "neither the payload nor anything before it says what kind of record this is")
	}
	if err != nil {
		return b.poison(i, in, prev, fault.Of(err))
	}
	asked := e.Origin == record.OriginFetch || e.Origin == record.OriginBackfill || e.Origin == record.OriginDestination
	m := merge(prev, o, asked, app.Replicate.Version(), &b.s.room)
	m.next.TenantID, m.next.SourceApp, m.next.RecordID = e.TenantID, e.SourceApp, e.RecordID

	reason := record.FetchReason("")
	switch hollow := len(o.Fields) <= 1 && !o.Deleted; {
	case asked:
	case o.Version == "" && !o.Deleted && (m.changed || m.ignored || hollow):
		reason = record.FetchUnversion
	case m.tie:
		reason = record.FetchTie
	}
	switch {
	case m.changed, asked && !m.older:
		outcome := "applied"
		if m.next.Presence == record.PresenceDeleted {
			outcome = "deleted"
		}
		if err := b.emit(i, in, &m.next, outcome); err != nil {
			return err
		}
	case m.older:
		b.settle(in, "outdated", nil)
	default:
		b.settle(in, "unchanged", nil)
	}
	if reason == "" {
		return nil
	}
	return b.fetch(i, in, &m.next, reason)
}

// destinationType is the entity type of a destination's own record, which its id
// names: quickbooks:Vendor:56 is a quickbooks_vendor.
func destinationType(id record.ID) string {
	kind, _, ok := strings.Cut(id.Local(), ":")
	if !ok || kind == "" {
		return ""
	}
	return id.App() + "_" + strings.ToLower(kind)
}

// emit writes the record's next state.
func (b *batch) emit(i int, in *input, next *record.Replica, outcome string) error {
	e, prev := in.event, b.states[in.key]
	next.Revision = record.Revision{Generation: b.s.cfg.Generation, Offset: in.raw.Offset}
	next.Depth = depthOf(prev, e)
	next.ConfigVersion = max(next.ConfigVersion, e.ConfigVersion)
	next.Lineage = b.lineage(in, prev)
	value, err := b.s.deps.Codecs.Replica.Append(nil, next)
	if err != nil {
		// Too large, for example: the event is kept, the state stays as it was.
		return b.poison(i, in, prev, fault.Of(err))
	}
	b.states[in.key] = next
	b.result.Outputs = append(b.result.Outputs, stage.Output{
		Topic: b.s.topic, Key: in.raw.Key, Value: value, Input: i,
	})
	b.settle(in, outcome, nil)
	return nil
}

// depthOf is how far a record is from one that was sent, by the shortest way
// known: chains of fetches end by it.
func depthOf(prev *record.Replica, e *record.GatewayEvent) int32 {
	switch {
	case e.Origin == record.OriginWebhook:
		return 0
	case prev != nil && (e.Outcome == record.OutcomeNone || e.Origin != record.OriginFetch):
		return prev.Depth
	case prev != nil:
		return min(prev.Depth, e.Depth)
	}
	return e.Depth
}

func (b *batch) lineage(in *input, prev *record.Replica) record.Lineage {
	e := in.event
	l := record.Lineage{
		GatewayTopic: in.raw.Topic, Partition: in.raw.Partition, Offset: in.raw.Offset,
		GatewayID: e.GatewayID, Origin: e.Origin, ReceivedAt: e.ReceivedAt,
	}
	if prev != nil {
		l.Recent = append(b.s.room.Longs(len(prev.Lineage.Recent)+1), prev.Lineage.Recent...)
	}
	if e.Outcome != record.OutcomeNone { // a wake adds nothing to a state
		l.Recent = append(l.Recent, in.raw.Offset)
	}
	if n := len(l.Recent) - record.RecentOffsets; n > 0 {
		l.Recent = l.Recent[n:]
	}
	l.Hops = append(b.s.room.Hops(2), record.Hop{Stage: "gateway", At: e.ReceivedAt}, record.Hop{Stage: Name, At: b.s.deps.Now()})
	return l
}

// fetch asks for the record once per batch, where its source can be asked.
func (b *batch) fetch(i int, in *input, state *record.Replica, reason record.FetchReason) error {
	e := in.event
	app, ok := b.s.deps.Integrations(e.SourceApp)
	if !ok || app.Fetch == nil || app.Normalize == nil || b.fetching[in.key] {
		return nil
	}
	if _, fetchable := app.Normalize.Fetchable(state.EntityType); !fetchable {
		return nil
	}
	b.fetching[in.key] = true
	value, err := b.s.deps.Codecs.FetchRequest.Append(nil, &record.FetchRequest{
		TenantID: e.TenantID, SourceApp: e.SourceApp, RecordID: e.RecordID, EntityType: state.EntityType,
		Reason: reason, NeededBy: e.RecordID, Requested: b.s.deps.Now(), Lineage: b.lineage(in, nil),
	})
	if err != nil {
		return err
	}
	b.result.Outputs = append(b.result.Outputs, stage.Output{
		Topic: b.s.cfg.Topics.FetchRequest(), Key: in.raw.Key, Value: value, Input: i,
	})
	return nil
}

func (b *batch) settle(in *input, outcome string, f *fault.Error) {
	s := stage.Settled{Key: in.key, Input: stage.Position{Partition: in.raw.Partition, Offset: in.raw.Offset}, Outcome: outcome}
	if f != nil {
		s.Class, s.Code = f.Class, f.Code
	}
	if in.event != nil {
		s.Received = in.event.ReceivedAt
	}
	b.result.Settled = append(b.result.Settled, s)
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
