package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/stage"
	"github.com/fluxnex/fluxnex/schemas"
)

// Tracer finds records and says where they are.
type Tracer struct {
	Kafka        kafka.Config
	Reader       *kafka.Reader
	Replicas     *stage.ViewReader
	Canonicals   *stage.ViewReader
	Deliveries   *postgres.Deliveries
	Codecs       *schemas.Codecs
	Integrations []integration.Integration
}

// Place is where a state lies in Kafka.
type Place struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// Journey is everything known about one record.
type Journey struct {
	Tenant        record.TenantID      `json:"tenant"`
	RecordID      record.ID            `json:"record_id"`
	Key           record.Key           `json:"key"`
	Gateway       Place                `json:"gateway"`
	Lineage       record.Lineage       `json:"lineage"`
	Replica       *ReplicaStep         `json:"replica,omitempty"`
	Canonical     *CanonicalStep       `json:"canonical,omitempty"`
	Targets       []TargetStep         `json:"targets"`
	Notifications []postgres.Notice    `json:"notifications"`
	Raw           *record.GatewayEvent `json:"-"`
}

// ReplicaStep is the record as the source has it.
type ReplicaStep struct {
	Place      *Place          `json:"place,omitempty"`
	EntityType string          `json:"entity_type"`
	Presence   record.Presence `json:"presence"`
	Detail     string          `json:"detail,omitempty"`
	Version    string          `json:"version"`
	Fields     int             `json:"fields"`
	Revision   record.Revision `json:"revision"`
	At         time.Time       `json:"at"`
}

// CanonicalStep is what the record means.
type CanonicalStep struct {
	Place        *Place              `json:"place,omitempty"`
	Status       record.Status       `json:"status"`
	Code         string              `json:"code,omitempty"`
	Detail       string              `json:"detail,omitempty"`
	Entities     []EntityStep        `json:"entities"`
	Dependencies []record.Dependency `json:"dependencies,omitempty"`
	WaitingSince time.Time           `json:"waiting_since,omitzero"`
	Revision     record.Revision     `json:"revision"`
	At           time.Time           `json:"at"`
}

// EntityStep is one canonical entity.
type EntityStep struct {
	Entity      string             `json:"entity"`
	CanonicalID string             `json:"canonical_id"`
	State       record.EntityState `json:"state"`
	Reason      string             `json:"reason,omitempty"`
}

// TargetStep is one delivery row.
type TargetStep struct {
	postgres.Standing
	Place Place `json:"place"`
}

// Search finds the records that text may mean: a source id (15 or 18
// characters), a record id, a destination id, a document number or a name.
func (t *Tracer) Search(ctx context.Context, tenant record.TenantID, text string) ([]record.ID, error) {
	var candidates []record.ID
	if strings.Contains(text, ":") {
		candidates = append(candidates, record.ID(text))
	}
	for _, i := range t.Integrations {
		if i.Webhook == nil {
			continue
		}
		local := text
		if i.LocalID != nil {
			local = i.LocalID(text)
		}
		candidates = append(candidates, record.NewID(i.App, local))
	}
	var found []record.ID
	for _, id := range candidates {
		known, err := t.known(ctx, tenant, id)
		if err != nil {
			return nil, err
		}
		if known {
			found = append(found, id)
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	ids, err := t.Deliveries.Find(ctx, tenant, text)
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	return ids, nil
}

func (t *Tracer) known(ctx context.Context, tenant record.TenantID, id record.ID) (bool, error) {
	value, err := view(ctx, t.Replicas, record.KeyOf(tenant, id))
	return value != nil, err
}

// view reads one entry; nil where the view has none or is not ready.
func view(ctx context.Context, v *stage.ViewReader, key record.Key) ([]byte, error) {
	found, err := v.Get(ctx, []record.Key{key})
	if errors.Is(err, stage.ErrNotReady) {
		return nil, nil
	}
	return found[key], err
}

// Trace is the journey of one record; nil if nobody knows it.
func (t *Tracer) Trace(ctx context.Context, tenant record.TenantID, id record.ID) (*Journey, error) {
	key := record.KeyOf(tenant, id)
	j := &Journey{Tenant: tenant, RecordID: id, Key: key}
	topics := t.Kafka.Topics()
	value, err := view(ctx, t.Replicas, key)
	if err != nil {
		return nil, err
	}
	if value != nil {
		r, err := t.Codecs.Replica.Decode(ctx, value)
		if err != nil {
			return nil, err
		}
		j.Lineage = r.Lineage
		j.Replica = &ReplicaStep{
			EntityType: r.EntityType, Presence: r.Presence, Detail: r.Detail, Version: r.Version,
			Fields: len(r.Fields), Revision: r.Revision, At: hopAt(r.Lineage, "replica"),
		}
		if j.Replica.Place, err = t.locate(ctx, topics.Replica(), key, j.Replica.At, value); err != nil {
			return nil, err
		}
	}
	if value, err = view(ctx, t.Canonicals, key); err != nil {
		return nil, err
	}
	if value != nil {
		c, err := t.Codecs.Canonical.Decode(ctx, value)
		if err != nil {
			return nil, err
		}
		step := &CanonicalStep{
			Status: c.Status, Code: c.Code, Detail: c.Detail, Dependencies: c.Dependencies,
			WaitingSince: c.WaitingSince, Revision: c.Revision, At: hopAt(c.Lineage, "normalizer"),
		}
		for _, e := range c.Entities {
			step.Entities = append(step.Entities, EntityStep{e.Entity, e.CanonicalID, e.State, e.Reason})
		}
		if step.Place, err = t.locate(ctx, topics.Canonical(), key, step.At, value); err != nil {
			return nil, err
		}
		j.Canonical = step
	}
	if err := t.targets(ctx, j); err != nil {
		return nil, err
	}
	if j.Replica == nil && j.Canonical == nil && len(j.Targets) == 0 {
		return nil, nil
	}
	j.Gateway = Place{j.Lineage.GatewayTopic, j.Lineage.Partition, j.Lineage.Offset}
	if j.Notifications, err = t.Deliveries.Notices(ctx, postgres.NoticeFilter{Tenant: tenant, RecordID: id, Resolved: true}); err != nil {
		return nil, err
	}
	return j, nil
}

func (t *Tracer) targets(ctx context.Context, j *Journey) error {
	rows, err := t.Deliveries.Of(ctx, j.Tenant, j.RecordID)
	if err != nil {
		return err
	}
	partition := kafka.Partition([]byte(j.Key), t.Kafka.PartitionCount())
	for _, s := range rows {
		j.Targets = append(j.Targets, TargetStep{s, Place{t.Kafka.Topics().Outbound(s.App), partition, s.OutboundOffset}})
		if j.Lineage.GatewayID == "" {
			j.Lineage = s.Lineage
		}
	}
	return nil
}

// Payload reads the gateway event that caused the record's newest state.
func (t *Tracer) Payload(ctx context.Context, p Place) (*record.GatewayEvent, error) {
	rec, ok, err := t.Reader.At(ctx, p.Topic, p.Partition, p.Offset)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%s %d:%d is no longer there: the gateway topic keeps 30 days", p.Topic, p.Partition, p.Offset)
	}
	return t.Codecs.Gateway.Decode(ctx, rec.Value)
}

// locateLimit bounds how many records are looked at for one place.
const locateLimit = 50_000

var errFound = errors.New("found")

// locate finds where a state lies on its compacted topic: messages are stamped
// when they are produced, which is just after the state was computed. nil if it
// is not found within reach.
func (t *Tracer) locate(ctx context.Context, topic string, key record.Key, at time.Time, value []byte) (*Place, error) {
	if at.IsZero() {
		return nil, nil
	}
	partition := kafka.Partition([]byte(key), t.Kafka.PartitionCount())
	from, err := t.Reader.OffsetsAfter(ctx, topic, at.Add(-time.Second))
	if err != nil {
		return nil, err
	}
	to, err := t.Reader.StableOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	var place *Place
	end := min(to[partition], from[partition]+locateLimit)
	err = t.Reader.Range(ctx, topic, partition, from[partition], end, func(page []kafka.Record, _ int64) error {
		for _, r := range page {
			if string(r.Key) == string(key) && bytes.Equal(r.Value, value) {
				place = &Place{topic, partition, r.Offset}
				return errFound
			}
		}
		return nil
	})
	if err != nil && place == nil {
		return nil, err
	}
	return place, nil
}

func hopAt(l record.Lineage, stageName string) time.Time {
	for _, h := range slices.Backward(l.Hops) {
		if h.Stage == stageName {
			return h.At
		}
	}
	return time.Time{}
}
