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
	gather *gathering
	topic  string
	encode func(dst []byte, e *record.GatewayEvent) ([]byte, error)
}

// NewInbox does not connect. encode appends an event in the wire format.
func NewInbox(cfg Config, encode func(dst []byte, e *record.GatewayEvent) ([]byte, error), log *slog.Logger) (*Inbox, error) {
	cl, err := cfg.client("inbox", log, producing(0)...)
	if err != nil {
		return nil, err
	}
	return &Inbox{cl: cl, gather: &gathering{produce: cl.TryProduce}, topic: cfg.Topics().Gateway(), encode: encode}, nil
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
	recs, err := b.records(events, headers)
	if err != nil {
		return nil, err
	}
	if err := produce(ctx, b.cl, recs); err != nil {
		return nil, err
	}
	out := make([]Position, len(recs))
	for i, r := range recs {
		out[i] = Position{Partition: r.Partition, Offset: r.Offset}
	}
	return out, nil
}

// Start is Send for a caller that keeps its own time: it never waits. done is
// called once, from another goroutine or from this one, with nil or an Unknown
// error when the last event is acknowledged or given up, which may be long after
// nobody wants to know any more. Of ctx only the values are used. The events'
// memory is the caller's again when Start returns.
func (b *Inbox) Start(ctx context.Context, events []record.GatewayEvent, headers []Header, done func(error)) {
	recs, err := b.records(events, headers)
	if err != nil {
		done(err)
		return
	}
	start(ctx, b.gather.bring, recs, func(err error) {
		if err != nil {
			err = unacked(err)
		}
		done(err)
	})
}

func (b *Inbox) records(events []record.GatewayEvent, headers []Header) ([]*kgo.Record, error) {
	out := make([]*kgo.Record, len(events))
	shared := kgoHeaders(headers)
	for i := range events {
		e := &events[i]
		key := e.Key()
		value, err := b.encode(make([]byte, 0, len(e.Payload)+usualRest+len(key)), e)
		if err != nil {
			return nil, fmt.Errorf("encode gateway event %s: %w", e.GatewayID, err)
		}
		n := len(value)
		both := append(value, key...) // the key lies behind the value: one piece of memory for both
		out[i] = &kgo.Record{Topic: b.topic, Key: both[n:], Value: both[:n:n], Headers: shared}
	}
	return out, nil
}

// usualRest is room for all of an event but its payload.
const usualRest = 512

// Close gives up what is still buffered, and says so to whoever waits for it.
func (b *Inbox) Close() {
	b.gather.hand()
	b.cl.Close()
}

// produce hands records to the client and waits for all acknowledgements, but
// no longer than ctx. On an error the records still belong to the client: do not
// read them.
func produce(ctx context.Context, cl *kgo.Client, recs []*kgo.Record) error {
	done := make(chan error, 1)
	start(ctx, atOnce(cl), recs, func(err error) { done <- err })
	timer := time.NewTimer(sendDeadline)
	defer timer.Stop()
	var cause error
	select {
	case err := <-done:
		if err != nil {
			return unacked(err)
		}
		return nil
	case <-ctx.Done():
		cause = context.Cause(ctx)
	case <-timer.C:
		cause = fmt.Errorf("no acknowledgement within %s", sendDeadline)
	}
	return unacked(cause)
}

// hand gives records to a client and never waits.
type hand func(ctx context.Context, recs []*kgo.Record, promise func(*kgo.Record, error))

func atOnce(cl *kgo.Client) hand {
	return func(ctx context.Context, recs []*kgo.Record, promise func(*kgo.Record, error)) {
		for _, r := range recs {
			cl.TryProduce(ctx, r, promise)
		}
	}
}

// start hands records to the client, which calls done with the first error once
// it is through with all of them. The client gets a context of its own: a caller
// that goes away must not take records with it that it has already promised to
// others.
func start(ctx context.Context, to hand, recs []*kgo.Record, done func(error)) {
	if len(recs) == 0 {
		done(nil)
		return
	}
	detached := context.WithoutCancel(ctx)
	to(detached, recs, promise(len(recs), done))
}

// promise calls done with the first error once n records are through.
func promise(n int, done func(error)) func(*kgo.Record, error) {
	if n == 1 { // as nearly always
		return func(_ *kgo.Record, err error) { done(err) }
	}
	var left atomic.Int64
	left.Store(int64(n))
	var first atomic.Pointer[error]
	return func(_ *kgo.Record, err error) {
		if err != nil {
			first.CompareAndSwap(nil, &err)
		}
		if left.Add(-1) > 0 {
			return
		}
		if failed := first.Load(); failed != nil {
			done(*failed)
			return
		}
		done(nil)
	}
}

// unacked is Unknown because an unacknowledged record may still appear.
func unacked(err error) error {
	return &fault.Error{
		Class: fault.Retryable, Code: "kafka_unacknowledged", Unknown: true,
		Remedy: "send it again; check that the Kafka brokers are reachable and have enough in-sync replicas",
		Err:    fmt.Errorf("the broker did not acknowledge: %w", err),
	}
}
