package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/redis"
)

const (
	foldsAtOnce = 4
	// foldMargin on top of the transaction timeout is more than any open
	// transaction can hold a fold up.
	foldMargin = 15 * time.Second
)

// folded says that a partition's view contains the changelog up to next.
type folded struct {
	epoch     int64
	partition int32
	next      int64
}

// startFold brings views up to the changelog in the background and reports each
// partition on m.folded. It ends with the assignment and with ctx.
func (m *member) startFold(ctx context.Context, partitions []int32) {
	epoch, foldCtx := m.epoch, m.epochCtx
	foldCtx, cancel := context.WithCancel(foldCtx)
	stop := context.AfterFunc(ctx, cancel)
	todo := make(chan int32, len(partitions))
	for _, p := range partitions {
		m.folding[p] = true
		todo <- p
	}
	close(todo)
	go func() {
		defer cancel()
		defer stop()
		// The high watermark counts open transactions too: an old owner's commit
		// may be in flight, and the last stable offset would leave it out. It is
		// taken after the assignment, so nothing an old owner can still commit
		// lies above it.
		var ends map[int32]int64
		err := m.untilDone(foldCtx, "kafka", func() (err error) {
			ends, err = m.reader.HighWatermarks(foldCtx, m.cfg.Changelog)
			for _, p := range partitions {
				if _, ok := ends[p]; !ok && err == nil {
					err = fmt.Errorf("topic %s has no partition %d; run `fluxnex topics check`", m.cfg.Changelog, p)
				}
			}
			return err
		})
		if err != nil {
			return
		}
		var wg sync.WaitGroup
		for range min(foldsAtOnce, len(partitions)) {
			wg.Go(func() {
				for p := range todo {
					if !m.foldOne(foldCtx, epoch, p, ends[p]) {
						return
					}
				}
			})
		}
		wg.Wait()
	}()
}

func (m *member) foldOne(ctx context.Context, epoch int64, p int32, end int64) bool {
	began := m.deps.Now()
	limit := m.cfg.TransactionTimeout + foldMargin
	alarm := time.AfterFunc(limit, func() {
		m.metrics.stalls.Inc()
		m.deps.Log.Error("a partition's changelog is not read to its end; look for a hanging transaction "+
			"(kafka-transactions.sh find-hanging) or an unreachable broker", slog.Any("stage", m.cfg.Name), slog.Any("topic", m.cfg.Changelog),
			slog.Any("partition", p), slog.Any("end", end), slog.String("after", limit.String()))
	})
	defer alarm.Stop()
	err := m.untilDone(ctx, fmt.Sprintf("the changelog of partition %d", p), func() error { return m.fold(ctx, p, end) })
	if err != nil {
		return false
	}
	m.metrics.folds.Observe(m.deps.Now().Sub(began).Seconds())
	select {
	case m.folded <- folded{epoch: epoch, partition: p, next: end}:
	case <-ctx.Done():
		return false
	}
	m.wake()
	return true
}

// fold applies the changelog from the view's checkpoint to end, and repeats the
// stage's checks from the settled cursor.
func (m *member) fold(ctx context.Context, p int32, end int64) error {
	id := m.viewID(m.cfg.ChangelogView, p)
	cursors, err := m.views.Cursors(ctx, []redis.ViewID{id})
	if err != nil {
		return err
	}
	at, settled := cursors[0].Checkpoint, max(cursors[0].Settled, 0)
	if at > end {
		// A view of a future that this cluster does not have: Kafka was restored.
		m.deps.Log.Warn("view is ahead of its topic, building it again", slog.Any("stage", m.cfg.Name),
			slog.Any("partition", p), slog.Any("checkpoint", at), slog.Any("end", end))
		if err := m.views.Drop(ctx, id); err != nil {
			return err
		}
		at = redis.NoCheckpoint
	}
	if at == redis.NoCheckpoint {
		settled = 0 // dependents may be lost with the view
	}
	from := min(max(at, 0), settled)
	err = m.reader.Range(ctx, m.cfg.Changelog, p, from, end, func(page []Record, next int64) error {
		next = min(next, end)
		if next > at {
			if err := m.advance(ctx, id, &at, next, end, page); err != nil {
				return err
			}
		}
		return m.resettle(ctx, id, settled, next, page)
	})
	if err != nil {
		return err
	}
	if at == redis.NoCheckpoint || at < end {
		return m.advance(ctx, id, &at, end, end, nil)
	}
	return nil
}

func (m *member) advance(ctx context.Context, id redis.ViewID, at *int64, next, end int64, page []Record) error {
	b := redis.Batch{ID: id, From: *at, To: next, Building: next < end}
	for i := range page {
		if page[i].Offset >= *at {
			b.Entries = append(b.Entries, redis.Entry{Key: string(page[i].Key), Value: page[i].Value, Offset: page[i].Offset})
		}
	}
	stands, err := m.views.Apply(ctx, []redis.Batch{b})
	if err != nil {
		return err
	}
	if !stands[0] {
		return errors.New("another owner writes the view, or it was lost again")
	}
	*at = next
	return nil
}

func (m *member) resettle(ctx context.Context, id redis.ViewID, settled, next int64, page []Record) error {
	if next <= settled {
		return nil
	}
	var changes []Change
	for i := range page {
		if page[i].Offset >= settled {
			changes = append(changes, Change{Key: record.Key(page[i].Key), Value: page[i].Value, Partition: page[i].Partition, Offset: page[i].Offset})
		}
	}
	if len(changes) > 0 {
		if err := m.stage.Settle(ctx, newestOf(changes)); err != nil {
			return fmt.Errorf("repeat the checks after a commit: %w", err)
		}
	}
	return m.views.Settled(ctx, map[redis.ViewID]int64{id: next})
}
