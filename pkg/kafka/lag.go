package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// PartitionLag is how far a group is behind in one partition.
type PartitionLag struct {
	Group     string // without the installation's prefix
	Topic     string
	Partition int32
	Committed int64 // -1 = never
	End       int64 // of what committed readers see
	Records   int64 // records not yet consumed
}

// Lag is the lag of groups in all partitions of the topics they read; groups
// maps a group's name to its topics.
//
// An idle tail of transaction markers counts 0: "end minus committed" alone
// would stay at 1 per partition for ever, so what lies between is looked at.
func Lag(ctx context.Context, cfg Config, groups map[string][]string, log *slog.Logger) ([]PartitionLag, error) {
	r, err := NewReader(cfg, log)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var out []PartitionLag
	for group, topics := range groups {
		offsets, err := r.groupOffsets(ctx, GroupName(cfg, group))
		if err != nil {
			return nil, fmt.Errorf("ask for the offsets of group %s: %w", group, err)
		}
		for _, topic := range topics {
			ends, err := r.StableOffsets(ctx, topic)
			if err != nil {
				return nil, err
			}
			starts, err := r.StartOffsets(ctx, topic)
			if err != nil {
				return nil, err
			}
			for p, end := range ends {
				lag := PartitionLag{Group: group, Topic: topic, Partition: p, Committed: committedAt(offsets, topic, p), End: end}
				if lag.Records, err = r.unread(ctx, topic, p, max(lag.Committed, starts[p]), end); err != nil {
					return nil, err
				}
				out = append(out, lag)
			}
		}
	}
	slices.SortFunc(out, func(a, b PartitionLag) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return out, nil
}

// lagTries bounds how often a coordinator that is not there yet is asked again:
// a new cluster makes its offsets topic at the first question.
const lagTries = 20

// groupOffsets are a group's offsets; none if nobody has joined it yet.
func (r *Reader) groupOffsets(ctx context.Context, group string) (kadm.OffsetResponses, error) {
	for try := 1; ; try++ {
		offsets, err := r.adm.FetchOffsets(ctx, group)
		switch {
		case errors.Is(err, kerr.GroupIDNotFound):
			return kadm.OffsetResponses{}, nil
		case err == nil || !kerr.IsRetriable(err) || try == lagTries || ctx.Err() != nil:
			return offsets, err
		}
		Wait(ctx, backoffMin)
	}
}

func committedAt(offsets kadm.OffsetResponses, topic string, p int32) int64 {
	if o, ok := offsets.Lookup(topic, p); ok && o.Err == nil {
		return o.At
	}
	return -1
}

// unread counts exactly where one read reaches the end, and takes the distance
// otherwise: a marker more or less does not matter in a long tail.
func (r *Reader) unread(ctx context.Context, topic string, p int32, from, end int64) (int64, error) {
	if from >= end {
		return 0, nil
	}
	pg, err := r.read(ctx, topic, p, from, peekBytes, 0)
	if err != nil {
		return 0, err
	}
	if pg.next >= end || pg.next == from {
		return int64(len(pg.records)), nil
	}
	return end - from, nil
}
