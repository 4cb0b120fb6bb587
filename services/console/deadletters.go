package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/schemas"
)

// DeadLetters reads the dead-letter topic, and sends what it holds again.
type DeadLetters struct {
	Kafka    kafka.Config
	Reader   *kafka.Reader
	Producer *kafka.Producer
	Codecs   *schemas.Codecs
}

// Letter is one dead letter and where it lies.
type Letter struct {
	ID string `json:"id"` // "partition:offset" of the dead-letter topic
	record.DeadLetter
}

// List hands over the letters of a tenant ("" = all), oldest first within a
// partition.
func (d *DeadLetters) List(ctx context.Context, tenant record.TenantID, limit int) ([]Letter, error) {
	topic := d.Kafka.Topics().DeadLetter()
	starts, err := d.Reader.StartOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	ends, err := d.Reader.StableOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	var out []Letter
	full := errors.New("full")
	for p, end := range ends {
		err := d.Reader.Range(ctx, topic, p, starts[p], end, func(page []kafka.Record, _ int64) error {
			for _, r := range page {
				l, err := d.Codecs.DeadLetter.Decode(ctx, r.Value)
				if err != nil {
					return fmt.Errorf("dead letter %d:%d: %w", r.Partition, r.Offset, err)
				}
				if tenant != "" && l.TenantID != tenant {
					continue
				}
				out = append(out, Letter{kafka.Position{Partition: r.Partition, Offset: r.Offset}.String(), *l})
				if len(out) >= limit {
					return full
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, full) {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b Letter) int { return a.At.Compare(b.At) })
	return out, nil
}

// Get reads one letter by its id; false if there is none.
func (d *DeadLetters) Get(ctx context.Context, id string) (Letter, bool, error) {
	var p kafka.Position
	if _, err := fmt.Sscanf(id, "%d:%d", &p.Partition, &p.Offset); err != nil || p.String() != id {
		return Letter{}, false, fmt.Errorf("%q is not a dead letter's id: it is partition:offset, as `fluxnex dead-letter list` prints it", id)
	}
	rec, ok, err := d.Reader.At(ctx, d.Kafka.Topics().DeadLetter(), p.Partition, p.Offset)
	if err != nil || !ok {
		return Letter{}, false, err
	}
	l, err := d.Codecs.DeadLetter.Decode(ctx, rec.Value)
	if err != nil {
		return Letter{}, false, err
	}
	return Letter{id, *l}, true, nil
}

// Redrive sends a letter's original bytes again. Everything re-enters through
// the gateway topic: a letter of a later stage asks for its record's current
// state to be processed again, because its own bytes may be old by now.
func (d *DeadLetters) Redrive(ctx context.Context, l Letter, now time.Time) (kafka.Position, error) {
	topics := d.Kafka.Topics()
	msg := kafka.Message{Topic: topics.Gateway(), Key: l.Key, Value: l.Value}
	if l.Topic != topics.Gateway() {
		event, err := wake(l.DeadLetter, now)
		if err != nil {
			return kafka.Position{}, err
		}
		value, err := d.Codecs.Gateway.Append(nil, &event)
		if err != nil {
			return kafka.Position{}, err
		}
		msg.Key, msg.Value = []byte(event.Key()), value
	}
	positions, err := d.Producer.Send(ctx, msg)
	if err != nil {
		return kafka.Position{}, err
	}
	return positions[0], nil
}

// wake is the event that has a dead letter's record processed again.
func wake(l record.DeadLetter, now time.Time) (record.GatewayEvent, error) {
	tenant, id, err := record.Key(l.Key).Parse()
	if err != nil {
		return record.GatewayEvent{}, fmt.Errorf("the dead letter does not say which record it belongs to: %w", err)
	}
	return record.GatewayEvent{
		TenantID: tenant, RecordID: id, SourceApp: id.App(), GatewayID: "gw-" + uuid.NewString(),
		Origin: record.OriginWake, Outcome: record.OutcomeNone, ReceivedAt: now, Detail: "redrive",
	}, nil
}
