package replica

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/stage"
)

// poison keeps an event that can never be processed, tells support, and asks
// the source for the record if there is one: what was lost may have been a
// partial update. Neighbours are not touched.
func (b *batch) poison(i int, in *input, prev *record.Replica, why *fault.Error) error {
	now := b.s.deps.Now()
	tenant, id := b.named(in)
	letter := &record.DeadLetter{
		TenantID: tenant, SourceApp: id.App(), RecordID: id,
		Topic: in.raw.Topic, Partition: in.raw.Partition, Offset: in.raw.Offset, Key: in.raw.Key, Value: in.raw.Value,
		Stage: Name, Class: fault.Poison.String(), Code: why.Code, Error: why.Error(), At: now,
	}
	for _, h := range in.raw.Headers {
		letter.Headers = append(letter.Headers, record.Header{Name: h.Key, Value: string(h.Value)})
	}
	value, err := b.s.deps.Codecs.DeadLetter.Append(nil, letter)
	if err != nil {
		return err
	}
	note, err := b.s.deps.Codecs.Notification.Append(nil, &record.Notification{
		TenantID: tenant, SourceApp: id.App(), RecordID: id, Audience: record.AudienceSupport,
		Stage: Name, Class: fault.Poison.String(), Code: why.Code, Message: why.Error(),
		Remedy:      "The bytes are kept as a dead letter; nothing else was held up. Send them again with `fluxnex dead-letter redrive` once the cause is fixed.",
		Fingerprint: fingerprint(string(in.key), Name, why.Code),
		Revision:    record.Revision{Generation: b.s.cfg.Generation, Offset: in.raw.Offset},
		At:          now, Lineage: b.poisonLineage(in),
	})
	if err != nil {
		return err
	}
	topics := b.s.cfg.Topics
	b.result.Outputs = append(b.result.Outputs,
		stage.Output{Topic: topics.DeadLetter(), Key: in.raw.Key, Value: value, Input: i},
		stage.Output{Topic: topics.Notification(), Key: in.raw.Key, Value: note, Input: i},
	)
	b.settle(in, "dead_letter", why)
	if prev != nil && in.event != nil {
		return b.fetch(i, in, prev, record.FetchRepair)
	}
	return nil
}

// named is whose bytes these are: as the event says, else as the key does.
func (b *batch) named(in *input) (record.TenantID, record.ID) {
	if in.event != nil {
		return in.event.TenantID, in.event.RecordID
	}
	tenant, id, err := in.key.Parse()
	if err != nil {
		return "", ""
	}
	return tenant, id
}

func (b *batch) poisonLineage(in *input) record.Lineage {
	if in.event != nil {
		return b.lineage(in, nil)
	}
	return record.Lineage{
		GatewayTopic: in.raw.Topic, Partition: in.raw.Partition, Offset: in.raw.Offset, ReceivedAt: in.raw.Timestamp,
	}
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
