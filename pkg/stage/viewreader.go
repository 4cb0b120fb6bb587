package stage

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/redis"
)

// ErrNotReady says that a view is not complete: nothing is known about any key
// of it, which is not the same as a key being absent.
var ErrNotReady = errors.New("the view is not ready: its owner has not read its topic yet")

// ViewReader reads one view of another stage, as of now. It is for checks after
// a commit and for people; a stage's own computation reads through its runner.
type ViewReader struct {
	view       View
	topic      string
	partitions int32
	reader     *kafka.Reader
	views      *redis.Views

	mu sync.Mutex
	id string // the topic's; found at the first read
}

// NewViewReader does not connect. topic is the one the view is derived from.
func NewViewReader(view View, topic string, cfg kafka.Config, reader *kafka.Reader, views *redis.Views) *ViewReader {
	return &ViewReader{view: view, topic: topic, partitions: cfg.PartitionCount(), reader: reader, views: views}
}

func (v *ViewReader) topicID(ctx context.Context) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.id != "" {
		return v.id, nil
	}
	id, err := v.reader.TopicID(ctx, v.topic)
	if err == nil {
		v.id = id
	}
	return id, err
}

// Get reads keys in one round trip; keys the view does not have are left out.
// ErrNotReady, if any of the partitions is not.
func (v *ViewReader) Get(ctx context.Context, keys []record.Key) (map[record.Key][]byte, error) {
	id, err := v.topicID(ctx)
	if err != nil {
		return nil, err
	}
	byPartition := map[int32]*redis.Question{}
	for _, k := range keys {
		p := kafka.Partition([]byte(k), v.partitions)
		q := byPartition[p]
		if q == nil {
			q = &redis.Question{ID: redis.ViewID{View: string(v.view), TopicID: id, Partition: p}}
			byPartition[p] = q
		}
		q.Keys = append(q.Keys, string(k))
	}
	questions := make([]redis.Question, 0, len(byPartition))
	for _, q := range byPartition {
		questions = append(questions, *q)
	}
	answers, err := v.views.Read(ctx, questions)
	if err != nil {
		return nil, err
	}
	out := make(map[record.Key][]byte, len(keys))
	for i, a := range answers {
		if a.Checkpoint == redis.NoCheckpoint {
			return nil, fmt.Errorf("%s partition %d: %w", v.view, questions[i].ID.Partition, ErrNotReady)
		}
		for j, value := range a.Values {
			if value != nil {
				out[record.Key(questions[i].Keys[j])] = value
			}
		}
	}
	return out, nil
}
