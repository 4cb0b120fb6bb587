package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/record"
)

const (
	// The buffers are the back pressure: with the broker away they fill within
	// seconds and every further Send fails at once.
	maxBufferedRecords = 20_000
	maxBufferedBytes   = 64 << 20

	// recordDeliveryTimeout ends the life of a record nobody waits for any more.
	recordDeliveryTimeout = 30 * time.Second

	// sendDeadline bounds Send where the caller's context does not.
	sendDeadline = 30 * time.Second
)

// Inbox writes the gateway topic: for the gateway, the fetcher, wakes, re-syncs
// and destination records. Nobody else writes it.
type Inbox struct {
	cl     *kgo.Client
	topic  string
	encode func(dst []byte, e *record.GatewayEvent) ([]byte, error)
}

// NewInbox does not connect. encode appends an event in the wire format.
func NewInbox(cfg Config, encode func(dst []byte, e *record.GatewayEvent) ([]byte, error), log *slog.Logger) (*Inbox, error) {
	cl, err := cfg.client("inbox", log, producing(0)...)
	if err != nil {
		return nil, err
	}
	return &Inbox{cl: cl, topic: cfg.Topics().Gateway(), encode: encode}, nil
}

func producing(linger time.Duration) []kgo.Opt {
	return []kgo.Opt{
		kgo.ProducerLinger(linger),
		kgo.MaxBufferedRecords(maxBufferedRecords),
		kgo.MaxBufferedBytes(maxBufferedBytes),
		kgo.RecordDeliveryTimeout(recordDeliveryTimeout),
		kgo.ProducerBatchMaxBytes(maxMessageBytes - 64<<10),
	}
}

// Send appends events, all with the same headers, and returns their positions
// once every one of them is acknowledged by all in-sync replicas.
//
// It returns when ctx ends without waiting for the client library, which
// overstays deadlines by seconds. The error is then Unknown: some events may
// have been written, or may still be. Events of one record keep their order.
func (b *Inbox) Send(ctx context.Context, events []record.GatewayEvent, headers []Header) ([]Position, error) {
	msgs := make([]*kgo.Record, len(events))
	for i := range events {
		e := &events[i]
		value, err := b.encode(make([]byte, 0, len(e.Payload)+512), e)
		if err != nil {
			return nil, fmt.Errorf("encode gateway event %s: %w", e.GatewayID, err)
		}
		m := Message{Topic: b.topic, Key: []byte(e.Key()), Value: value, Headers: headers}
		msgs[i] = m.kgo()
	}
	if err := produce(ctx, b.cl, msgs); err != nil {
		return nil, err
	}
	out := make([]Position, len(msgs))
	for i, r := range msgs {
		out[i] = Position{Partition: r.Partition, Offset: r.Offset}
	}
	return out, nil
}

// Close gives up what is still buffered.
func (b *Inbox) Close() { b.cl.Close() }

// produce hands records to the client and waits for all acknowledgements, but
// no longer than ctx. The client gets a context of its own: a caller that goes
// away must not take records with it that it has already promised to others.
// On an error the records still belong to the client: do not read them.
func produce(ctx context.Context, cl *kgo.Client, msgs []*kgo.Record) error {
	if len(msgs) == 0 {
		return nil
	}
	var left atomic.Int64
	left.Store(int64(len(msgs)))
	var first atomic.Pointer[error]
	done := make(chan struct{})
	promise := func(_ *kgo.Record, err error) {
		if err != nil {
			first.CompareAndSwap(nil, &err)
		}
		if left.Add(-1) == 0 {
			close(done)
		}
	}
	detached := context.WithoutCancel(ctx)
	for _, m := range msgs {
		cl.TryProduce(detached, m, promise)
	}
	timer := time.NewTimer(sendDeadline)
	defer timer.Stop()
	var cause error
	select {
	case <-done:
		if err := first.Load(); err != nil {
			return unacked(*err)
		}
		return nil
	case <-ctx.Done():
		cause = context.Cause(ctx)
	case <-timer.C:
		cause = fmt.Errorf("no acknowledgement within %s", sendDeadline)
	}
	return unacked(cause)
}

// unacked is Unknown because an unacknowledged record may still appear.
func unacked(err error) error {
	return &fault.Error{
		Class: fault.Retryable, Code: "kafka_unacknowledged", Unknown: true,
		Remedy: "send it again; check that the Kafka brokers are reachable and have enough in-sync replicas",
		Err:    fmt.Errorf("the broker did not acknowledge: %w", err),
	}
}
