package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/fluxnex/fluxnex/pkg/failpoint"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

const (
	publishDuty  = "outbox"
	publishLease = 10 * time.Second
	publishBatch = 500
	publishEvery = 100 * time.Millisecond
)

// publish moves the outbox to its topics, in order, in one process at a time.
// After a crash between produce and removal a message comes twice; readers of
// results go by revision, of notifications by fingerprint.
func (s *Service) publish(ctx context.Context) error {
	defer func() {
		// Best effort: the duty ends by itself.
		_ = s.deps.Rows.DropDuty(context.WithoutCancel(ctx), publishDuty, s.deps.Owner)
	}()
	for ctx.Err() == nil {
		n, err := s.publishSome(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("results not published, trying again", slog.String("error", err.Error()))
			kafka.Wait(ctx, time.Second)
			continue
		}
		if n < publishBatch {
			kafka.Wait(ctx, publishEvery)
		}
	}
	return nil
}

func (s *Service) publishSome(ctx context.Context) (int, error) {
	mine, err := s.deps.Rows.TakeDuty(ctx, publishDuty, s.deps.Owner, publishLease)
	if err != nil || !mine {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, publishLease/2)
	defer cancel()
	messages, err := s.deps.Rows.Outbox(ctx, publishBatch)
	if err != nil || len(messages) == 0 {
		return 0, err
	}
	out := make([]kafka.Message, 0, len(messages))
	var found []record.GatewayEvent
	ids := make([]int64, len(messages))
	for i, m := range messages {
		ids[i] = m.ID
		var msg kafka.Message
		var err error
		if m.Kind == postgres.OutboxGateway {
			var e *record.GatewayEvent
			if e, err = decodeOutbox[record.GatewayEvent](m); err == nil {
				found = append(found, *e)
				continue
			}
		} else {
			msg, err = s.message(m)
		}
		if err != nil {
			// It would stand before all others for ever; the row itself has what it told.
			s.log.Error("outbox message dropped", slog.Any("id", m.ID), slog.String("kind", string(m.Kind)), slog.String("error", err.Error()))
			continue
		}
		out = append(out, msg)
	}
	if _, err := s.deps.Producer.Send(ctx, out...); err != nil {
		return 0, fmt.Errorf("delivery: publish: %w", err)
	}
	failpoint.Hit("outbox-sent")
	if len(found) > 0 && s.deps.Inbox != nil {
		if _, err := s.deps.Inbox.Send(ctx, found, nil); err != nil {
			return 0, fmt.Errorf("delivery: publish what destinations hold: %w", err)
		}
	}
	failpoint.Hit("outbox-published")
	if err := s.deps.Rows.Published(ctx, ids); err != nil {
		return 0, err
	}
	for _, m := range messages {
		s.metrics.published.WithLabelValues(string(m.Kind)).Inc()
	}
	return len(messages), nil
}

func (s *Service) message(m postgres.OutboxMessage) (kafka.Message, error) {
	switch m.Kind {
	case postgres.OutboxResult:
		r, err := decodeOutbox[record.DeliveryResult](m)
		if err != nil {
			return kafka.Message{}, err
		}
		value, err := s.deps.Codecs.Delivery.Append(nil, r)
		return kafka.Message{Topic: s.deps.Topics.Delivery(), Key: RowKey(r), Value: value}, err
	case postgres.OutboxNotification:
		n, err := decodeOutbox[record.Notification](m)
		if err != nil {
			return kafka.Message{}, err
		}
		value, err := s.deps.Codecs.Notification.Append(nil, n)
		return kafka.Message{Topic: s.deps.Topics.Notification(), Key: []byte(record.KeyOf(n.TenantID, n.RecordID)), Value: value}, err
	case postgres.OutboxDeadLetter:
		l, err := decodeOutbox[record.DeadLetter](m)
		if err != nil {
			return kafka.Message{}, err
		}
		value, err := s.deps.Codecs.DeadLetter.Append(nil, l)
		return kafka.Message{Topic: s.deps.Topics.DeadLetter(), Key: l.Key, Value: value}, err
	case postgres.OutboxGateway: // goes through the inbox
	}
	return kafka.Message{}, fmt.Errorf("delivery: outbox message %d has the unknown kind %q", m.ID, m.Kind)
}

func decodeOutbox[T any](m postgres.OutboxMessage) (*T, error) {
	var v T
	if err := json.Unmarshal(m.Value, &v); err != nil {
		return nil, fmt.Errorf("delivery: outbox message %d: %w", m.ID, err)
	}
	return &v, nil
}

// RowKey is the key of a row on the delivery topic: the record's key, then app,
// account and object, each escaped as in a record key.
func RowKey(r *record.DeliveryResult) []byte {
	key := record.KeyOf(r.TenantID, r.RecordID)
	tail := record.KeyOf(record.TenantID(r.App), record.ID(r.RemoteAccount)) + record.KeyOf("", record.ID(r.Object))
	return []byte(string(key) + "/" + string(tail))
}
