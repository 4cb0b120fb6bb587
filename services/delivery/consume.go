package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// consumer turns commands into rows. The offsets that count are in Postgres.
type consumer struct {
	s *Service

	mu   sync.Mutex
	next map[partition]int64 // what Postgres had when this process last looked or wrote
}

type partition struct {
	topic string
	id    int32
}

func newConsumer(s *Service) *consumer {
	return &consumer{s: s, next: map[partition]int64{}}
}

func (c *consumer) run(ctx context.Context) error {
	source, err := c.s.deps.Source(c.startOffsets)
	if err != nil {
		return err
	}
	for {
		session, restart := context.WithCancelCause(ctx)
		err := source.Run(session, func(ctx context.Context, batch []kafka.Record) error {
			err := c.handle(ctx, batch)
			if errors.Is(err, postgres.ErrRewound) {
				restart(err)
			}
			return err
		})
		rewound := errors.Is(context.Cause(session), postgres.ErrRewound)
		restart(nil)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was told to stop
		case rewound:
			c.s.log.Warn("outbound offsets were reset, reading again", slog.String("error", postgres.ErrRewound.Error()))
		case err != nil:
			return fmt.Errorf("delivery: consume: %w", err)
		}
	}
}

func (c *consumer) startOffsets(ctx context.Context, topic string, partitions []int32) (map[int32]int64, error) {
	starts, err := c.s.deps.Rows.StartOffsets(ctx, topic, partitions)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range partitions {
		c.next[partition{topic, p}] = starts[p]
	}
	return starts, nil
}

// handle stores one batch. An error hands the same records in again.
func (c *consumer) handle(ctx context.Context, batch []kafka.Record) error {
	byTopic := map[string][]kafka.Record{}
	for _, r := range batch {
		byTopic[r.Topic] = append(byTopic[r.Topic], r)
	}
	for topic, records := range byTopic {
		if err := c.topic(ctx, topic, records); err != nil {
			return err
		}
	}
	c.s.nudge()
	return nil
}

func (c *consumer) topic(ctx context.Context, topic string, records []kafka.Record) error {
	desired := make([]*postgres.Desired, len(records))
	for i := range records {
		d, err := c.read(ctx, &records[i])
		if err != nil {
			return err
		}
		desired[i] = d
	}
	for {
		cursors, rows := c.fresh(topic, records, desired)
		if len(cursors) == 0 {
			return nil
		}
		began := c.s.deps.Clock()
		moved, err := c.s.deps.Rows.Consume(ctx, topic, cursors, rows, began)
		if err != nil {
			return err
		}
		if moved {
			c.advance(topic, cursors)
			c.s.metrics.consumed.Add(float64(len(rows)))
			c.s.metrics.consumeDelay.Set(max(0, began.Sub(records[len(records)-1].Timestamp).Seconds()))
			c.s.metrics.consumeSeconds.Observe(c.s.deps.Clock().Sub(began).Seconds())
			return nil
		}
		// Another consumer had the partition meanwhile: what it stored is stored.
		if err := c.reload(ctx, topic, cursors); err != nil {
			return err
		}
	}
}

// fresh keeps the records Postgres does not have yet.
func (c *consumer) fresh(topic string, records []kafka.Record, desired []*postgres.Desired) ([]postgres.Cursor, []postgres.Desired) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cursors := map[int32]*postgres.Cursor{}
	var rows []postgres.Desired
	for i := range records {
		r := &records[i]
		expected := c.next[partition{topic, r.Partition}]
		if r.Offset < expected {
			continue
		}
		cursor := cursors[r.Partition]
		if cursor == nil {
			cursor = &postgres.Cursor{Partition: r.Partition, Expected: expected}
			cursors[r.Partition] = cursor
		}
		cursor.Next = r.Offset + 1
		if desired[i] != nil {
			rows = append(rows, *desired[i])
		}
	}
	out := make([]postgres.Cursor, 0, len(cursors))
	for _, cursor := range cursors {
		out = append(out, *cursor)
	}
	return out, rows
}

func (c *consumer) advance(topic string, cursors []postgres.Cursor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cursor := range cursors {
		c.next[partition{topic, cursor.Partition}] = cursor.Next
	}
}

func (c *consumer) reload(ctx context.Context, topic string, cursors []postgres.Cursor) error {
	partitions := make([]int32, len(cursors))
	for i := range cursors {
		partitions[i] = cursors[i].Partition
	}
	stored, err := c.s.deps.Rows.StartOffsets(ctx, topic, partitions)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cursor := range cursors {
		if stored[cursor.Partition] < cursor.Expected {
			return postgres.ErrRewound
		}
		c.next[partition{topic, cursor.Partition}] = stored[cursor.Partition]
	}
	return nil
}

// read decodes one command and finds its account. nil without an error: the
// record was set aside and is told about.
func (c *consumer) read(ctx context.Context, r *kafka.Record) (*postgres.Desired, error) {
	cmd, err := c.s.deps.Codecs.Outbound.Decode(ctx, r.Value)
	if err != nil {
		if f := fault.Of(err); f.Class != fault.Poison {
			return nil, err // the registry is away: the batch waits
		}
		return nil, c.setAside(ctx, r, nil, fault.Of(err))
	}
	connection, err := c.connection(ctx, cmd)
	if err != nil {
		return nil, err
	}
	if connection == nil {
		return nil, c.setAside(ctx, r, cmd, fault.Refused("target_unknown", "declare the connection again, or delete the routes that name it",
			fmt.Errorf("tenant %s has no connection %q of app %s", cmd.TenantID, cmd.TargetName, cmd.App)))
	}
	return &postgres.Desired{Command: cmd, RemoteAccount: connection.RemoteAccount, Offset: r.Offset}, nil
}

func (c *consumer) connection(ctx context.Context, cmd *record.OutboundCommand) (*controlplane.Connection, error) {
	find := func() *controlplane.Connection {
		found, ok := c.s.deps.Snapshots.Current().Connection(cmd.TenantID, cmd.TargetName)
		if !ok || found.App != cmd.App {
			return nil
		}
		return found
	}
	if found := find(); found != nil {
		return found, nil
	}
	if err := c.s.deps.Snapshots.Refresh(ctx, cmd.ConfigVersion); err != nil {
		return nil, fmt.Errorf("delivery: configuration %d: %w", cmd.ConfigVersion, err)
	}
	return find(), nil
}

// setAside puts a command that cannot become a row into the outbox. It may be
// written twice if the batch comes again: the dead letter names its offset.
func (c *consumer) setAside(ctx context.Context, r *kafka.Record, cmd *record.OutboundCommand, f *fault.Error) error {
	now := c.s.deps.Clock()
	letter := &record.DeadLetter{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value,
		Stage: "delivery", Class: f.Class.String(), Code: f.Code, Error: f.Error(), At: now,
	}
	for _, h := range r.Headers {
		letter.Headers = append(letter.Headers, record.Header{Name: h.Key, Value: string(h.Value)})
	}
	n := &record.Notification{
		Audience: record.AudienceSupport, Stage: "delivery", Class: f.Class.String(), Code: f.Code, Message: f.Error(),
		Remedy: f.Remedy, At: now,
	}
	if tenant, id, err := record.Key(r.Key).Parse(); err == nil {
		letter.TenantID, letter.RecordID = tenant, id
		n.TenantID, n.RecordID = tenant, id
	}
	if cmd != nil {
		letter.SourceApp, n.SourceApp, n.Target, n.Object = cmd.SourceApp, cmd.SourceApp, cmd.TargetName, cmd.Object
		n.Revision, n.Lineage = cmd.Revision, cmd.Lineage
	}
	if n.Remedy == "" {
		n.Remedy = fmt.Sprintf("fluxnex dead-letter show, then redrive: %s partition %d offset %d", r.Topic, r.Partition, r.Offset)
	}
	n.Fingerprint = fingerprint(n.RecordID, n.Target, n.Object, n.Code)
	c.s.metrics.attempts.WithLabelValues("", "dead_letter", f.Class.String(), f.Code).Inc()
	c.s.log.Warn("record.settled", slog.Any("tenant", n.TenantID), slog.Any("record", n.RecordID), slog.Any("topic", r.Topic), slog.Any("partition", r.Partition),
		slog.Any("offset", r.Offset), slog.String("outcome", "dead_letter"), slog.String("class", f.Class.String()), slog.Any("code", f.Code), slog.String("error", f.Error()), slog.String("waited", now.Sub(r.Timestamp).Round(time.Millisecond).String()))
	return c.s.deps.Rows.SetAside(ctx, letter, n)
}
