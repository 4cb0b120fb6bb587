package kafka

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	readMaxWait  = 250 * time.Millisecond
	readMaxBytes = 4 << 20
	peekBytes    = 16 << 10 // a broker sends the first batch whole, whatever its size

	// emptyReads in a row, below the last stable offset, are the proof that
	// compaction left nothing there. One alone may be a throttled answer.
	emptyReads = 3
)

// ErrBeyondEnd reports a position after the end of its partition: the topic is
// not the one the position was taken from.
var ErrBeyondEnd = errors.New("position is beyond the end of the partition")

// Reader reads ranges of a topic by offset, committed records only. It always
// knows its exact position, also where a range ends in transaction markers or
// in what compaction removed, and so never waits for a record that will not
// come. It is safe for concurrent use.
type Reader struct {
	cl  *kgo.Client
	adm *kadm.Client

	mu     sync.Mutex
	topics map[string]topicMeta
}

type topicMeta struct {
	id      [16]byte
	leaders map[int32]int32
}

// NewReader does not connect.
func NewReader(cfg Config, log *slog.Logger) (*Reader, error) {
	cl, err := cfg.client("reader", log)
	if err != nil {
		return nil, err
	}
	return &Reader{cl: cl, adm: kadm.NewClient(cl), topics: make(map[string]topicMeta)}, nil
}

// Close ends the connections.
func (r *Reader) Close() { r.cl.Close() }

// TopicID is Kafka's id of a topic: another one after it was deleted and
// created again. Old clusters have none; then it is the topic's name.
func (r *Reader) TopicID(ctx context.Context, topic string) (string, error) {
	m, err := r.meta(ctx, topic, true)
	if err != nil {
		return "", err
	}
	if m.id == [16]byte{} {
		return topic, nil
	}
	return hex.EncodeToString(m.id[:]), nil
}

func (r *Reader) meta(ctx context.Context, topic string, fresh bool) (topicMeta, error) {
	r.mu.Lock()
	m, ok := r.topics[topic]
	r.mu.Unlock()
	if ok && !fresh {
		return m, nil
	}
	md, err := r.adm.Metadata(ctx, topic)
	if err != nil {
		return m, fmt.Errorf("ask Kafka about topic %s: %w", topic, err)
	}
	d, ok := md.Topics[topic]
	if !ok || d.Err != nil {
		return m, fmt.Errorf("topic %s is not there; run `fluxnex topics apply`: %w", topic, errors.Join(d.Err))
	}
	m = topicMeta{id: d.ID, leaders: make(map[int32]int32, len(d.Partitions))}
	for p, pd := range d.Partitions {
		m.leaders[p] = pd.Leader
	}
	r.mu.Lock()
	r.topics[topic] = m
	r.mu.Unlock()
	return m, nil
}

// HighWatermarks are the ends of the partitions, open transactions included.
func (r *Reader) HighWatermarks(ctx context.Context, topic string) (map[int32]int64, error) {
	return listed(r.adm.ListEndOffsets(ctx, topic))(topic)
}

// StableOffsets are the ends of what committed readers see.
func (r *Reader) StableOffsets(ctx context.Context, topic string) (map[int32]int64, error) {
	return listed(r.adm.ListCommittedOffsets(ctx, topic))(topic)
}

// StartOffsets are the first offsets that still exist.
func (r *Reader) StartOffsets(ctx context.Context, topic string) (map[int32]int64, error) {
	return listed(r.adm.ListStartOffsets(ctx, topic))(topic)
}

// OffsetsAfter are the first offsets with a timestamp at or after t; the end
// where there is none.
func (r *Reader) OffsetsAfter(ctx context.Context, topic string, t time.Time) (map[int32]int64, error) {
	return listed(r.adm.ListOffsetsAfterMilli(ctx, t.UnixMilli(), topic))(topic)
}

func listed(l kadm.ListedOffsets, err error) func(topic string) (map[int32]int64, error) {
	return func(topic string) (map[int32]int64, error) {
		if err == nil {
			err = l.Error()
		}
		if err != nil {
			return nil, fmt.Errorf("list offsets of %s: %w", topic, err)
		}
		out := make(map[int32]int64, len(l[topic]))
		for p, o := range l[topic] {
			out[p] = o.Offset
		}
		return out, nil
	}
}

// At reads the one record at an offset; false if there is none (a marker,
// compacted away, aborted, or not yet there).
func (r *Reader) At(ctx context.Context, topic string, partition int32, offset int64) (Record, bool, error) {
	page, err := r.read(ctx, topic, partition, offset, peekBytes, 0)
	if err != nil {
		return Record{}, false, err
	}
	for _, rec := range page.records {
		if rec.Offset == offset {
			return rec, true, nil
		}
	}
	return Record{}, false, nil
}

// Range hands over the committed records of [from, to) in order, page by page,
// with the position reached after each. Where an open transaction stands in the
// way it waits for its end. A from below the first existing offset is moved up.
func (r *Reader) Range(ctx context.Context, topic string, partition int32, from, to int64, fn func(page []Record, next int64) error) error {
	empty := 0
	for from < to {
		page, err := r.read(ctx, topic, partition, from, readMaxBytes, readMaxWait)
		if errors.Is(err, kerr.OffsetOutOfRange) {
			if from, err = r.moveUp(ctx, topic, partition, from); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if page.next == from {
			if page.stable >= to && !page.throttled {
				if empty++; empty == emptyReads {
					return fn(nil, to)
				}
			}
			continue
		}
		empty = 0
		from = page.next
		recs := page.records
		for len(recs) > 0 && recs[len(recs)-1].Offset >= to {
			recs = recs[:len(recs)-1]
		}
		if err := fn(recs, from); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) moveUp(ctx context.Context, topic string, partition int32, from int64) (int64, error) {
	starts, err := r.StartOffsets(ctx, topic)
	if err != nil {
		return from, err
	}
	if start := starts[partition]; from < start {
		return start, nil
	}
	return from, fmt.Errorf("%s partition %d offset %d: %w", topic, partition, from, ErrBeyondEnd)
}

type page struct {
	records   []Record
	next      int64 // position after everything in the answer
	stable    int64
	throttled bool
}

// read is one fetch, repeated on transient failures until ctx ends.
func (r *Reader) read(ctx context.Context, topic string, partition int32, offset int64, size int32, wait time.Duration) (page, error) {
	backoff := backoffMin
	fresh := false
	for {
		pg, err := r.fetch(ctx, topic, partition, offset, size, wait, fresh)
		if err == nil || errors.Is(err, kerr.OffsetOutOfRange) || ctx.Err() != nil {
			return pg, err
		}
		if ke := (*kerr.Error)(nil); errors.As(err, &ke) && !ke.Retriable {
			return pg, err
		}
		fresh = true
		Wait(ctx, backoff)
		backoff = min(2*backoff, backoffMax)
	}
}

func (r *Reader) fetch(ctx context.Context, topic string, partition int32, offset int64, size int32, wait time.Duration, fresh bool) (page, error) {
	m, err := r.meta(ctx, topic, fresh)
	if err != nil {
		return page{}, err
	}
	leader, ok := m.leaders[partition]
	if !ok {
		return page{}, fmt.Errorf("topic %s has no partition %d", topic, partition)
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = int32(wait.Milliseconds()) //nolint:gosec // seconds
	req.MinBytes = 1
	req.MaxBytes = size
	req.IsolationLevel = 1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = topic, m.id
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = partition, offset, size
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)

	kresp, err := r.cl.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return page{}, fmt.Errorf("read %s partition %d at %d: %w", topic, partition, offset, err)
	}
	resp, ok := kresp.(*kmsg.FetchResponse)
	if !ok {
		return page{}, fmt.Errorf("read %s: unexpected answer %T", topic, kresp)
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return page{}, fmt.Errorf("read %s partition %d at %d: %w", topic, partition, offset, err)
	}
	for ti := range resp.Topics {
		for pi := range resp.Topics[ti].Partitions {
			p := &resp.Topics[ti].Partitions[pi]
			if p.Partition != partition {
				continue
			}
			fp, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
				Offset: offset, IsolationLevel: kgo.ReadCommitted(), Topic: topic, Partition: partition,
			}, p, kgo.DefaultDecompressor(), nil)
			if fp.Err != nil {
				return page{}, fmt.Errorf("read %s partition %d at %d: %w", topic, partition, offset, fp.Err)
			}
			out := page{next: next, stable: p.LastStableOffset, throttled: resp.ThrottleMillis > 0}
			out.records = make([]Record, len(fp.Records))
			for i, rec := range fp.Records {
				out.records[i] = fromKgo(rec)
			}
			return out, nil
		}
	}
	return page{}, fmt.Errorf("read %s partition %d: not in the answer", topic, partition)
}
