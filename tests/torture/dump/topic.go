package dump

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// silence is how long a broker may say nothing of offsets it says it has.
const silence = 30 * time.Second

// read hands over everything of a topic from its first offset to its end, with
// control records, and says which offsets there were. What it has removed is
// not waited for: the end of a partition is reached with its last offset, and
// where that one is gone too, after a silence.
func read(ctx context.Context, brokers []string, topic string, committed bool, each func(*kgo.Record)) ([]torture.Topic, error) {
	opts := []kgo.Opt{kgo.SeedBrokers(brokers...), kgo.KeepControlRecords(), kgo.MetadataMinAge(100 * time.Millisecond), kgo.FetchMaxWait(250 * time.Millisecond)}
	if committed {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err := errors.Join(err, starts.Error()); err != nil {
		return nil, fmt.Errorf("starts of %s: %w", topic, err)
	}
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err := errors.Join(err, ends.Error()); err != nil {
		return nil, fmt.Errorf("ends of %s: %w", topic, err)
	}
	parts := make([]torture.Topic, len(ends[topic]))
	next := make([]int64, len(parts))
	from := map[int32]kgo.Offset{}
	left := 0
	for p, end := range ends[topic] {
		parts[p] = torture.Topic{Name: topic, Partition: p, Start: starts[topic][p].Offset, End: end.Offset}
		next[p] = parts[p].Start
		if next[p] < end.Offset {
			from[p] = kgo.NewOffset().At(next[p])
			left++
		}
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	for left > 0 {
		waited, cancel := context.WithTimeout(ctx, silence)
		fetches := cl.PollFetches(waited)
		cancel()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if fetches.Empty() && errors.Is(fetches.Err0(), context.DeadlineExceeded) {
			break
		}
		fetches.EachRecord(func(r *kgo.Record) {
			part := &parts[r.Partition]
			if r.Offset >= part.End {
				return // written since
			}
			if r.Offset > next[r.Partition] {
				part.Gaps = append(part.Gaps, torture.Span{From: next[r.Partition], To: r.Offset})
			}
			next[r.Partition] = r.Offset + 1
			if next[r.Partition] == part.End {
				left--
			}
			if r.Attrs.IsControl() {
				part.Markers++
				return
			}
			part.Records++
			each(r)
		})
	}
	for p := range parts {
		if next[p] < parts[p].End {
			parts[p].Gaps = append(parts[p].Gaps, torture.Span{From: next[p], To: parts[p].End})
		}
	}
	return parts, nil
}

// Topics reads every offset of these topics; compacted ones may lack what a
// newer record replaced.
func Topics(ctx context.Context, brokers []string, plain, compacted []string) ([]torture.Topic, error) {
	var out []torture.Topic
	for i, topic := range append(append([]string(nil), plain...), compacted...) {
		parts, err := read(ctx, brokers, topic, false, func(*kgo.Record) {})
		if err != nil {
			return nil, err
		}
		for p := range parts {
			parts[p].Compacted = i >= len(plain)
		}
		out = append(out, parts...)
	}
	return out, nil
}
