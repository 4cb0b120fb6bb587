package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// arrivesWithin bounds the wait for records that must come.
const arrivesWithin = 3 * time.Minute

// source fills topics.
type source struct{ cl *kgo.Client }

func newSource(brokers string) (*source, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.MetadataMinAge(metadataMinAge),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerLinger(time.Millisecond), kgo.MaxBufferedRecords(20_000))
	if err != nil {
		return nil, err
	}
	return &source{cl}, nil
}

// fill returns when all is acknowledged.
func (s *source) fill(ctx context.Context, topic string, ms []message) error {
	var first atomic.Pointer[error]
	for i := range ms {
		s.cl.Produce(ctx, &kgo.Record{Topic: topic, Key: ms[i].key, Value: ms[i].value}, func(_ *kgo.Record, err error) {
			if err != nil {
				first.CompareAndSwap(nil, &err)
			}
		})
	}
	if err := s.cl.Flush(ctx); err != nil {
		return err
	}
	if err := first.Load(); err != nil {
		return fmt.Errorf("fill %s: %w", topic, *err)
	}
	return nil
}

// sink reads topics from their ends on, committed records only.
type sink struct{ cl *kgo.Client }

func newSink(ctx context.Context, brokers string, partitions int32, topics ...string) (*sink, error) {
	assigned := make(map[string]map[int32]kgo.Offset, len(topics))
	for _, t := range topics {
		assigned[t] = make(map[int32]kgo.Offset, partitions)
		for p := range partitions {
			assigned[t][p] = kgo.NewOffset().AtEnd()
		}
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.MetadataMinAge(metadataMinAge),
		kgo.ConsumePartitions(assigned), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	s := &sink{cl}
	// Where the end is, is asked with the first poll: nothing may be written
	// before that.
	settle, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s.cl.PollFetches(settle)
	return s, ctx.Err()
}

// await reads until it has seen n records, each handed to see, which may be
// nil.
func (s *sink) await(ctx context.Context, n int, see func(r *kgo.Record)) error {
	ctx, cancel := context.WithTimeout(ctx, arrivesWithin)
	defer cancel()
	for seen := 0; seen < n; {
		fetches := s.cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("saw %d of %d records: %w", seen, n, err)
		}
		seen += fetches.NumRecords()
		if see != nil {
			fetches.EachRecord(see)
		}
	}
	return nil
}

// dropTopics gives the broker its memory back; a topic that stays costs the
// next measure a little and is no error.
func dropTopics(brokers, prefix string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...))
	if err != nil {
		return
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return
	}
	var ours []string
	for _, name := range topics.Names() {
		if strings.HasPrefix(name, prefix) {
			ours = append(ours, name)
		}
	}
	_, _ = admin.DeleteTopics(ctx, ours...)
}
