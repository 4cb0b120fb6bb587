package normalizer

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/stage"
)

// other is a record that the input's record names.
func (b *batch) other(r *record.Replica, p integration.Parent) *record.Replica {
	return b.work.record(b.found, record.KeyOf(r.TenantID, p.RecordID))
}

// ask requests the records among these that are worth asking for.
func (b *batch) ask(i int, in *input, ps []integration.Parent) error {
	for _, p := range ps {
		if !worthAsking(in.replica, b.other(in.replica, p)) {
			continue
		}
		if err := b.fetch(i, in, p); err != nil {
			return err
		}
	}
	return nil
}

// worthAsking reports a record that nobody knows, one that was given up at the
// end of a longer chain than this, and, where an operator had the child
// processed again, one that the source did not give before.
func worthAsking(child, other *record.Replica) bool {
	switch {
	case other == nil:
		return true
	case other.Presence == record.PresenceFailed && other.Depth > child.Depth+1:
		return true
	}
	again := child.Lineage.Origin == record.OriginResync
	return again && (other.Presence == record.PresenceFailed || other.Presence == record.PresenceAbsent)
}

// fetch asks for a record that nobody knows, once per batch, where its source
// can be asked. The fetcher makes one call of many requests.
func (b *batch) fetch(i int, in *input, p integration.Parent) error {
	r := in.replica
	key := record.KeyOf(r.TenantID, p.RecordID)
	if b.fetching[key] || in.app.Fetch == nil {
		return nil
	}
	if _, ok := in.app.Normalize.Fetchable(p.EntityType); !ok {
		return nil
	}
	b.fetching[key] = true
	value, err := b.s.deps.Codecs.FetchRequest.Append(nil, &record.FetchRequest{
		TenantID: r.TenantID, SourceApp: p.RecordID.App(), RecordID: p.RecordID, EntityType: p.EntityType,
		Reason: record.FetchMissing, NeededBy: r.RecordID, Depth: r.Depth + 1, Requested: b.now,
		Lineage: r.Lineage.WithHop(Name, b.now),
	})
	if err != nil {
		return err
	}
	b.result.Outputs = append(b.result.Outputs, stage.Output{
		Topic: b.s.cfg.Topics.FetchRequest(), Key: []byte(key), Value: value, Input: i,
	})
	return nil
}

// tell notifies the customer of a problem when it begins or becomes another
// one, and closes it when the record goes on.
func (b *batch) tell(i int, in *input, prev, next *record.Canonical, problem *integration.Problem) error {
	failed := prev.Status == record.StatusFailed
	switch {
	case problem == nil && (!failed || next.Status == record.StatusFailed):
		return nil
	case problem != nil && failed && prev.Code == next.Code && prev.Detail == next.Detail:
		return nil
	}
	r := in.replica
	note := &record.Notification{
		TenantID: r.TenantID, SourceApp: r.SourceApp, RecordID: r.RecordID,
		Audience: record.AudienceCustomer, Stage: Name, Revision: r.Revision, At: b.now, Lineage: next.Lineage,
		Resolved: problem == nil,
	}
	if problem != nil {
		note.Class, note.Code, note.Message, note.Remedy = fault.Business.String(), problem.Code, problem.Message, problem.Remedy
		note.Fingerprint = fingerprint(string(in.key), Name, problem.Code, problem.Field)
	}
	value, err := b.s.deps.Codecs.Notification.Append(nil, note)
	if err != nil {
		return err
	}
	b.result.Outputs = append(b.result.Outputs, stage.Output{
		Topic: b.s.cfg.Topics.Notification(), Key: in.raw.Key, Value: value, Input: i,
	})
	return nil
}

// poison keeps a replica record that cannot be processed and tells support.
func (b *batch) poison(i int, in *input) error {
	tenant, id, err := in.key.Parse()
	if err != nil {
		tenant, id = "", ""
	}
	letter := &record.DeadLetter{
		TenantID: tenant, SourceApp: id.App(), RecordID: id,
		Topic: in.raw.Topic, Partition: in.raw.Partition, Offset: in.raw.Offset, Key: in.raw.Key, Value: in.raw.Value,
		Stage: Name, Class: fault.Poison.String(), Code: in.err.Code, Error: in.err.Error(), At: b.now,
	}
	for _, h := range in.raw.Headers {
		letter.Headers = append(letter.Headers, record.Header{Name: h.Key, Value: string(h.Value)})
	}
	value, err := b.s.deps.Codecs.DeadLetter.Append(nil, letter)
	if err != nil {
		return err
	}
	note := &record.Notification{
		TenantID: tenant, SourceApp: id.App(), RecordID: id, Audience: record.AudienceSupport,
		Stage: Name, Class: fault.Poison.String(), Code: in.err.Code, Message: in.err.Error(),
		Remedy:      "The bytes are kept as a dead letter. Once the cause is fixed, re-sync the record.",
		Fingerprint: fingerprint(string(in.key), Name, in.err.Code),
		At:          b.now,
	}
	if in.replica != nil {
		note.Revision, note.Lineage = in.replica.Revision, in.replica.Lineage
	}
	text, err := b.s.deps.Codecs.Notification.Append(nil, note)
	if err != nil {
		return err
	}
	b.result.Outputs = append(b.result.Outputs,
		stage.Output{Topic: b.s.cfg.Topics.DeadLetter(), Key: in.raw.Key, Value: value, Input: i},
		stage.Output{Topic: b.s.cfg.Topics.Notification(), Key: in.raw.Key, Value: text, Input: i},
	)
	b.settle(in, "dead_letter", in.err)
	return nil
}

func (b *batch) settle(in *input, outcome string, f *fault.Error) {
	s := stage.Settled{Key: in.key, Input: stage.Position{Partition: in.raw.Partition, Offset: in.raw.Offset}, Outcome: outcome}
	if f != nil {
		s.Class, s.Code = f.Class, f.Code
	}
	if in.replica != nil {
		s.Received = in.replica.Lineage.ReceivedAt
	}
	b.result.Settled = append(b.result.Settled, s)
}

// fingerprint is equal for equal problems.
func fingerprint(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}
