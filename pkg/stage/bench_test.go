package stage

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/kafka/kafkatest"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/redis"
	"github.com/fluxnex/fluxnex/pkg/secret"
	"github.com/fluxnex/fluxnex/tests/parts"
)

// copies keeps the last 1 KB value of each key: the least a stage with state can do.
type copies struct{ topic string }

func (c *copies) Begin(_ context.Context, batch []Record) (Work, error) {
	return &copyWork{c, batch}, nil
}
func (c *copies) Settle(context.Context, []Change) error { return nil }

type copyWork struct {
	c     *copies
	batch []Record
}

func (w *copyWork) Lookups(Views) []Lookup {
	out := make([]Lookup, len(w.batch))
	for i := range w.batch {
		out[i] = Lookup{View: "sums", Key: record.Key(w.batch[i].Key)}
	}
	return out
}

func (w *copyWork) Compute(_ context.Context, found Views) (Result, error) {
	var res Result
	for i := range w.batch {
		r := &w.batch[i]
		_ = found.Get("sums", record.Key(r.Key))
		res.Outputs = append(res.Outputs, Output{Topic: w.c.topic, Key: r.Key, Value: r.Value, Input: i})
		res.Settled = append(res.Settled, Settled{Key: record.Key(r.Key), Input: Position{Partition: r.Partition, Offset: r.Offset}, Outcome: "applied"})
	}
	return res, nil
}

// BenchmarkStage is one stage with a view in real Redis, a backlog of 1 KB
// records over 20,000 keys, and the embedded broker in the same process.
func BenchmarkStage(b *testing.B) {
	c := kafkatest.New(b, 12)
	client, err := redis.Open(redis.Config{URL: secret.Secret(parts.Redis(b))}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // a test's connections
	topics := c.Config.Topics()
	value := bytes.Repeat([]byte("abcdefgh01234567"), 64)
	var msgs []kafka.Message
	for i := range b.N {
		msgs = append(msgs, kafka.Message{Key: fmt.Appendf(nil, "acme/app:%d", i%20_000), Value: value})
		if len(msgs) == 5_000 || i == b.N-1 {
			c.Produce(topics.Gateway(), msgs...)
			msgs = msgs[:0]
		}
	}
	r, err := New(Config{
		Name: "copies", Group: "copies", TransactionalIDPrefix: "copies", Input: topics.Gateway(),
		Changelog: topics.Replica(), ChangelogView: "sums", Kafka: c.Config,
	}, &copies{topics.Replica()}, Deps{
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Registerer: prometheus.NewRegistry(), Redis: client,
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	b.ResetTimer()
	go func() { done <- r.Run(ctx) }()
	c.WaitLag("copies", topics.Gateway())
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	cancel()
	<-done
}
