package stage

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
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

// BenchmarkChain is three stages in a row, each with a view in real Redis, on a
// backlog of 1 KB records over 20,000 keys; broker and stages share the process.
// Compare with BenchmarkBareChain of the same run: absolute rates mean nothing.
func BenchmarkChain(b *testing.B) {
	c := kafkatest.New(b, 12)
	client, err := redis.Open(redis.Config{URL: secret.Secret(parts.Redis(b))}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	names := chain(c)
	backlog(b, c, names[0])
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	b.ResetTimer()
	for i := range 3 {
		r, err := New(Config{
			Name: fmt.Sprintf("copies%d", i), Group: fmt.Sprintf("copies%d", i), TransactionalIDPrefix: fmt.Sprintf("copies%d", i),
			Input: names[i], Changelog: names[i+1], ChangelogView: "sums", Kafka: c.Config,
		}, &copies{names[i+1]}, Deps{
			Log: slog.New(slog.DiscardHandler), Now: time.Now, Registerer: prometheus.NewRegistry(), Redis: client,
		})
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() { _ = r.Run(ctx) })
	}
	c.WaitCommitted(names[3], b.N)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	cancel()
	wg.Wait()
}

// BenchmarkBareChain copies through the same topics with the same guarantees
// and nothing else.
func BenchmarkBareChain(b *testing.B) {
	c := kafkatest.New(b, 12)
	names := chain(c)
	backlog(b, c, names[0])
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	b.ResetTimer()
	for i := range 3 {
		wg.Go(func() { c.Copy(ctx, fmt.Sprintf("bare%d", i), names[i], names[i+1], 10*time.Millisecond) })
	}
	c.WaitCommitted(names[3], b.N)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	cancel()
	wg.Wait()
}

func chain(c *kafkatest.Cluster) []string {
	t := c.Config.Topics()
	return []string{t.Gateway(), t.Replica(), t.Canonical(), t.FetchRequest()}
}

func backlog(b *testing.B, c *kafkatest.Cluster, topic string) {
	b.Helper()
	value := bytes.Repeat([]byte("abcdefgh01234567"), 64)
	var msgs []kafka.Message
	for i := range b.N {
		msgs = append(msgs, kafka.Message{Key: fmt.Appendf(nil, "acme/app:%d", i%20_000), Value: value})
		if len(msgs) == 5_000 || i == b.N-1 {
			c.Produce(topic, msgs...)
			msgs = msgs[:0]
		}
	}
}
