package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/kafka/kafkatest"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/tests/parts"
)

const outbound = "fluxnex.outbound.shop"

// message is a command as the outbound topic has it.
func (r *rig) message(topic string, cmd *record.OutboundCommand) kafka.Message {
	r.t.Helper()
	value, err := r.codecs.Outbound.Append(nil, cmd)
	if err != nil {
		r.t.Fatal(err)
	}
	return kafka.Message{Topic: topic, Key: []byte(cmd.Key()), Value: value}
}

func (r *rig) record(offset int64, cmd *record.OutboundCommand) kafka.Record {
	m := r.message(outbound, cmd)
	return kafka.Record{Topic: outbound, Offset: offset, Key: m.Key, Value: m.Value, Timestamp: time.Now()}
}

func (r *rig) storedOffset() int64 {
	r.t.Helper()
	starts, err := r.rows.StartOffsets(context.Background(), outbound, []int32{0})
	if err != nil {
		r.t.Fatal(err)
	}
	return starts[0]
}

// After a rebalance two consumers may hold the same records: one moves the
// offset, the other finds that it moved.
func TestTwoConsumersOfOnePartitionDoNotBothAdvance(t *testing.T) {
	r := newRig(t)
	one, other := r.service().consumer, r.service().consumer
	for _, c := range []*consumer{one, other} {
		if _, err := c.startOffsets(t.Context(), outbound, []int32{0}); err != nil {
			t.Fatal(err)
		}
	}
	batch := []kafka.Record{r.record(0, command("envoy", "A", 1, record.VerbUpsert)), r.record(1, command("envoy", "A", 2, record.VerbUpsert))}
	if err := one.handle(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	// The other one comes late with the same and one more.
	batch = append(batch, r.record(5, command("envoy", "B", 1, record.VerbUpsert)))
	if err := other.handle(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if got := r.storedOffset(); got != 6 {
		t.Errorf("the stored offset is %d, want 6", got)
	}
	if err := one.handle(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if got := r.storedOffset(); got != 6 {
		t.Errorf("the stored offset went to %d", got)
	}
}

// A consumer that was slow stores its batch after another one took its partition
// and went on.
func TestALateConsumerDoesNotTakeTheOffsetBack(t *testing.T) {
	r := newRig(t)
	late, other := r.service().consumer, r.service().consumer
	batch := func(from, to int) (out []kafka.Record) {
		for i := from; i < to; i++ {
			out = append(out, r.record(int64(i), command("envoy", "A", i+1, record.VerbUpsert)))
		}
		return out
	}
	if err := other.handle(t.Context(), batch(0, 2)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*consumer{late, other} {
		if _, err := c.startOffsets(t.Context(), outbound, []int32{0}); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.handle(t.Context(), batch(2, 9)); err != nil {
		t.Fatal(err)
	}
	if err := late.handle(t.Context(), batch(2, 4)); err != nil {
		t.Fatal(err)
	}
	if got := r.storedOffset(); got != 9 {
		t.Errorf("the late consumer took the offset from 9 to %d", got)
	}
}

func TestARestoredDatabaseIsReadAgainFromItsOffset(t *testing.T) {
	r := newRig(t)
	c := r.service().consumer
	if _, err := c.startOffsets(t.Context(), outbound, []int32{0}); err != nil {
		t.Fatal(err)
	}
	if err := c.handle(t.Context(), []kafka.Record{r.record(10, command("envoy", "A", 1, record.VerbUpsert))}); err != nil {
		t.Fatal(err)
	}
	c.next[partition{outbound, 0}] = 99 // what it wrote before the restore
	err := c.handle(t.Context(), []kafka.Record{r.record(99, command("envoy", "A", 2, record.VerbUpsert))})
	if !errors.Is(err, postgres.ErrRewound) {
		t.Fatalf("got %v, want ErrRewound", err)
	}
	if got := r.storedOffset(); got != 11 {
		t.Errorf("the stored offset is %d, want 11", got)
	}
}

func TestWhatCannotBecomeARowIsSetAsideAndItsNeighboursGoOn(t *testing.T) {
	r := newRig(t)
	stranger := command("envoy", "S", 1, record.VerbUpsert)
	stranger.TargetName = "No such connection"
	bad := r.record(1, command("envoy", "X", 1, record.VerbUpsert))
	bad.Value = bad.Value[:len(bad.Value)/2]
	c := r.service().consumer
	if _, err := c.startOffsets(t.Context(), outbound, []int32{0}); err != nil {
		t.Fatal(err)
	}
	batch := []kafka.Record{r.record(0, command("envoy", "A", 1, record.VerbUpsert)), bad, r.record(2, stranger), r.record(3, command("envoy", "B", 1, record.VerbUpsert))}
	if err := c.handle(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.atShop("A", 1)
	r.atShop("B", 1)
	r.eventually("two dead letters and two notifications", func() (bool, string) {
		letters := published(r, record.Topics{}.DeadLetter(), r.codecs.DeadLetter)
		notes := r.notifications()
		return len(letters) == 2 && len(notes) == 2 && letters[0].Offset == 1 && letters[0].RecordID == "revenova:X" && letters[1].Code == "target_unknown",
			fmt.Sprintf("%+v, %+v", letters, notes)
	})
	if got := r.storedOffset(); got != 4 {
		t.Errorf("the stored offset is %d, want 4", got)
	}
}

// From the topic to the destination, by two services, while one of them comes
// and goes.
func TestCommandsOfATopicEndAtTheDestination(t *testing.T) {
	parts.EachKafka(t, func(t *testing.T, cluster parts.Cluster) {
		r := newRig(t)
		k := kafkatest.On(t, kafka.Config{Brokers: cluster.Brokers, Prefix: cluster.Prefix, Partitions: 4, ReplicationFactor: 1}, "shop")
		topic := k.Config.Topics().Outbound("shop")
		r.tune = func(_ *Config, d *Deps) {
			d.Source = func(start StartOffsets) (Source, error) {
				return kafka.NewConsumer(kafka.ConsumerConfig{Kafka: k.Config, Group: "delivery", Topics: []string{topic}, MaxBatch: 100, StartOffsets: start}, slog.New(slog.DiscardHandler))
			}
		}
		stop := r.start()
		r.start()
		const records, versions = 40, 6
		for v := 1; v <= versions; v++ {
			var msgs []kafka.Message
			for i := range records {
				msgs = append(msgs, r.message(topic, command("envoy", fmt.Sprint("R", i), v, record.VerbUpsert)))
			}
			k.Produce(topic, msgs...)
			if v == 3 {
				stop()
			}
		}
		for i := range records {
			r.atShop(fmt.Sprint("R", i), versions)
		}
		r.inOrder()
	})
}
