package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fluxnex/fluxnex/pkg/failpoint"
)

// A transaction must end before its owner is thrown out of the group: else a
// new owner would wait for a transaction that nobody can end any more.
const (
	DefaultTransactionTimeout = 10 * time.Second
	DefaultSessionTimeout     = 15 * time.Second
)

const (
	rebalanceTimeout = 30 * time.Second
	// heartbeatInterval is how long a member may not know of a rebalance.
	heartbeatInterval = time.Second

	// fetchMaxWait bounds what a fetch parked at the broker can cost: now and then
	// one is not answered when records arrive, and the next one waits behind it
	// on the same connection (seen on real Kafka: p99 of an idle stage 530 ms
	// with 500 ms, 37 ms with 100 ms).
	fetchMaxWait = 100 * time.Millisecond

	// drainGrace is how long a batch in hand may take after the stop signal.
	drainGrace = 10 * time.Second

	backoffMin = 100 * time.Millisecond
	backoffMax = 5 * time.Second

	// commitAgain is how soon an idle consumer repairs what Kafka says of it.
	commitAgain = time.Second
)

// ConsumerConfig is a group consumer whose handler is safe to repeat.
type ConsumerConfig struct {
	Kafka    Config
	Group    string // without the installation's prefix
	Topics   []string
	MaxBatch int
	// StartOffsets, if set, says where to begin in each newly assigned partition;
	// a partition it leaves out begins at the start. Nothing of the partitions
	// is read before it has answered; it is asked again after an error. Then the
	// offsets in Kafka are for monitoring only.
	StartOffsets func(ctx context.Context, topic string, partitions []int32) (map[int32]int64, error)
}

// Consumer hands records over in batches, one batch at a time.
type Consumer struct {
	cfg ConsumerConfig
	log *slog.Logger

	mu sync.Mutex
	// started is where the partitions of the last assignment were begun, until
	// Kafka knows: a crash or an unanswered commit leaves it an older offset, and
	// an idle partition would look behind for ever.
	started *starts
}

type starts map[string]map[int32]kgo.EpochOffset

// NewConsumer does not connect.
func NewConsumer(cfg ConsumerConfig, log *slog.Logger) (*Consumer, error) {
	if err := cfg.Kafka.Validate(); err != nil {
		return nil, err
	}
	if cfg.Group == "" || len(cfg.Topics) == 0 || cfg.MaxBatch <= 0 {
		return nil, errors.New("consumer: group, topics and batch size are required")
	}
	return &Consumer{cfg: cfg, log: log}, nil
}

// Run joins the group and calls handle until ctx ends; then the batch in hand
// is finished, its offsets are committed, and the group is left. It ends with
// [ErrSuperseded] when another process has joined under this one's name.
//
// Records of one partition come in order. After an error of handle the same
// records come again, after a pause, unless another member owns them by then. A
// partition is not given up while handle runs on its records.
func (c *Consumer) Run(ctx context.Context, handle func(ctx context.Context, batch []Record) error) error {
	opts := append(c.cfg.Kafka.member(c.cfg.Group, DefaultSessionTimeout),
		kgo.ConsumeTopics(c.cfg.Topics...),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.FetchMaxWait(500*time.Millisecond),
	)
	if c.cfg.StartOffsets != nil {
		opts = append(opts, kgo.AdjustFetchOffsetsFn(c.startOffsets))
	}
	life, abandon := context.WithCancel(context.WithoutCancel(ctx))
	cl, err := c.cfg.Kafka.client(c.cfg.Group, c.log, append(opts, kgo.WithContext(life))...)
	if err != nil {
		abandon()
		return err
	}
	m := membership{cl: cl, cfg: c.cfg.Kafka, group: GroupName(c.cfg.Kafka, c.cfg.Group), abandon: abandon}
	superseded := false
	defer func() {
		if superseded {
			m.close()
			return
		}
		m.leave(ctx)
	}()

	work, stop := drain(ctx)
	defer stop()
	backoff := backoffMin
	for ctx.Err() == nil {
		idle, wake := context.WithTimeout(ctx, commitAgain)
		fetches := cl.PollRecords(idle, c.cfg.MaxBatch)
		wake()
		if fetches.IsClientClosed() {
			return nil
		}
		fetches.EachError(func(topic string, p int32, err error) {
			switch {
			case errors.Is(err, kerr.FencedInstanceID):
				superseded = true
			case !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded):
				c.log.Warn("cannot read", slog.String("topic", topic), slog.Int("partition", int(p)), slog.String("error", err.Error()))
			}
		})
		if superseded {
			return m.superseded()
		}
		records := fetches.Records()
		if len(records) == 0 {
			if ctx.Err() == nil {
				c.commitIdle(work, cl)
			}
			cl.AllowRebalance()
			continue
		}
		batch := make([]Record, len(records))
		for i, r := range records {
			batch[i] = fromKgo(r)
		}
		if err := handle(work, batch); err != nil {
			// No rebalance can happen between the poll and AllowRebalance, so these
			// partitions are still ours to rewind.
			cl.SetOffsets(firstOffsets(batch))
			cl.AllowRebalance()
			if ctx.Err() != nil {
				return nil
			}
			c.log.Warn("batch not handled, trying again", slog.Int("records", len(batch)), slog.String("wait", backoff.String()), slog.String("error", err.Error()))
			Wait(ctx, backoff)
			backoff = min(2*backoff, backoffMax)
			continue
		}
		backoff = backoffMin
		failpoint.Hit("handled")
		if err := cl.CommitRecords(work, records...); err != nil {
			c.log.Warn("offsets not committed, records may come again", slog.String("error", err.Error()))
		}
		cl.AllowRebalance()
	}
	return nil
}

// commitIdle tells Kafka what it was not told, where nothing new comes that
// would. No rebalance can happen meanwhile.
func (c *Consumer) commitIdle(ctx context.Context, cl *kgo.Client) {
	c.mu.Lock()
	started := c.started
	c.mu.Unlock()
	if started != nil && cl.CommittedOffsets() != nil && c.commitStarts(ctx, cl, *started) {
		c.mu.Lock()
		if c.started == started { // else there is a newer assignment
			c.started = nil
		}
		c.mu.Unlock()
	}
	if len(cl.UncommittedOffsets()) > 0 {
		if err := cl.CommitUncommittedOffsets(ctx); err != nil {
			c.log.Warn("offsets not committed", slog.String("error", err.Error()))
		}
	}
}

// commitStarts leaves out what is not ours any more, and what has gone on since.
func (c *Consumer) commitStarts(ctx context.Context, cl *kgo.Client, started starts) (done bool) {
	owned, behind := cl.CommittedOffsets(), starts{}
	for topic, ps := range started {
		behind[topic] = maps.Clone(ps)
		maps.DeleteFunc(behind[topic], func(p int32, at kgo.EpochOffset) bool {
			committed, mine := owned[topic][p]
			return !mine || committed.Offset > at.Offset
		})
	}
	cl.CommitOffsetsSync(ctx, behind, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, _ *kmsg.OffsetCommitResponse, err error) {
		done = err == nil
	})
	return done
}

// startOffsets runs between the assignment and the first fetch; heartbeats go on.
func (c *Consumer) startOffsets(ctx context.Context, committed map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	out := make(map[string]map[int32]kgo.Offset, len(committed))
	started := make(starts, len(committed))
	for topic, ps := range committed {
		partitions := make([]int32, 0, len(ps))
		for p := range ps {
			partitions = append(partitions, p)
		}
		backoff := backoffMin
		for {
			starts, err := c.cfg.StartOffsets(ctx, topic, partitions)
			if err == nil {
				out[topic] = make(map[int32]kgo.Offset, len(ps))
				started[topic] = make(map[int32]kgo.EpochOffset, len(ps))
				for _, p := range partitions {
					if at, ok := starts[p]; ok {
						out[topic][p] = kgo.NewOffset().At(at)
						started[topic][p] = kgo.EpochOffset{Epoch: -1, Offset: at}
					} else {
						out[topic][p] = kgo.NewOffset().AtStart()
					}
				}
				break
			}
			if ctx.Err() != nil {
				return nil, fmt.Errorf("ask for start offsets of %s: %w", topic, err)
			}
			c.log.Warn("start offsets unknown, partitions wait", slog.String("topic", topic), slog.String("wait", backoff.String()), slog.String("error", err.Error()))
			Wait(ctx, backoff)
			backoff = min(2*backoff, backoffMax)
		}
	}
	c.mu.Lock()
	c.started = &started
	c.mu.Unlock()
	return out, nil
}

// GroupName is a consumer group's name in the installation.
func GroupName(cfg Config, group string) string {
	topics := cfg.Topics()
	prefix := topics.Prefix
	if prefix == "" {
		prefix = "fluxnex"
	}
	return prefix + "." + group
}

func firstOffsets(batch []Record) map[string]map[int32]kgo.EpochOffset {
	out := make(map[string]map[int32]kgo.EpochOffset)
	for i := range batch {
		r := &batch[i]
		if out[r.Topic] == nil {
			out[r.Topic] = make(map[int32]kgo.EpochOffset)
		}
		if _, ok := out[r.Topic][r.Partition]; !ok {
			out[r.Topic][r.Partition] = kgo.EpochOffset{Epoch: -1, Offset: r.Offset}
		}
	}
	return out
}

// drain returns a context that outlives ctx by drainGrace.
func drain(ctx context.Context) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(drainGrace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-work.Done():
		}
	})
	return work, func() { stop(); cancel() }
}

// Wait returns after d or when ctx ends, whichever is first.
func Wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
