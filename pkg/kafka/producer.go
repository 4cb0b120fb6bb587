package kafka

import (
	"context"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Producer writes plain, unbound to any transaction: delivery results and
// notifications of services that are not stages.
type Producer struct{ cl *kgo.Client }

const producerLinger = time.Millisecond

// NewProducer does not connect.
func NewProducer(cfg Config, log *slog.Logger) (*Producer, error) {
	cl, err := cfg.client("producer", log, producing(producerLinger)...)
	if err != nil {
		return nil, err
	}
	return &Producer{cl: cl}, nil
}

// Send returns once all messages are acknowledged by all in-sync replicas, or
// when ctx ends; then some may have been written, or may still be.
func (p *Producer) Send(ctx context.Context, msgs ...Message) ([]Position, error) {
	recs := make([]*kgo.Record, len(msgs))
	for i := range msgs {
		recs[i] = msgs[i].kgo()
	}
	if err := produce(ctx, p.cl, recs); err != nil {
		return nil, err
	}
	out := make([]Position, len(recs))
	for i, r := range recs {
		out[i] = Position{Partition: r.Partition, Offset: r.Offset}
	}
	return out, nil
}

// Close gives up what is still buffered.
func (p *Producer) Close() { p.cl.Close() }
