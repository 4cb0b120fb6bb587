package delivery

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
)

const (
	batchWriters = 2
	batchMax     = 256
	// A writer that finds few items waits for more: one write of fifty costs the
	// database less than ten of five. It waits longer where the write before it
	// was no small one: then more are coming, and rows claimed ahead keep the
	// slots busy meanwhile.
	batchFew        = 60
	batchLinger     = 2 * time.Millisecond
	batchLingerBusy = 12 * time.Millisecond

	retryMin = 50 * time.Millisecond
	retryMax = 2 * time.Second
)

// batcher turns many small writes into few: whoever comes while a write is
// under way goes with the next one.
type batcher[T, R any] struct {
	name  string
	write func(context.Context, []T) ([]R, error)
	queue chan batchItem[T, R]
	sizes prometheus.Observer
	log   *slog.Logger

	gathering sync.Mutex // one writer at a time: two would share what one could write
	last      int        // size of the batch before
}

type batchItem[T, R any] struct {
	value T
	hurry bool
	done  chan batchAnswer[R]
}

type batchAnswer[R any] struct {
	value R
	err   error
}

func newBatcher[T, R any](name string, write func(context.Context, []T) ([]R, error), m *metrics, log *slog.Logger) *batcher[T, R] {
	return &batcher[T, R]{name: name, write: write, queue: make(chan batchItem[T, R], batchMax), sizes: m.writes.WithLabelValues(name), log: log}
}

// do returns once the value is written; one in a hurry does not wait long for
// others. A database that is away is waited for, until ctx ends.
func (b *batcher[T, R]) do(ctx context.Context, v T, hurry bool) (R, error) {
	item := batchItem[T, R]{value: v, hurry: hurry, done: make(chan batchAnswer[R], 1)}
	var zero R
	select {
	case b.queue <- item:
	case <-ctx.Done():
		return zero, context.Cause(ctx)
	}
	select {
	case a := <-item.done:
		return a.value, a.err
	case <-ctx.Done():
		return zero, context.Cause(ctx)
	}
}

func (b *batcher[T, R]) run(ctx context.Context) error {
	for {
		items := b.gather(ctx)
		if items == nil {
			return nil
		}
		values := make([]T, len(items))
		for i := range items {
			values[i] = items[i].value
		}
		b.sizes.Observe(float64(len(values)))
		answers, err := b.persist(ctx, values)
		for i := range items {
			if err != nil {
				items[i].done <- batchAnswer[R]{err: err}
				continue
			}
			items[i].done <- batchAnswer[R]{value: answers[i]}
		}
	}
}

// gather is the next batch; nil when ctx ends.
func (b *batcher[T, R]) gather(ctx context.Context) []batchItem[T, R] {
	b.gathering.Lock()
	defer b.gathering.Unlock()
	items := make([]batchItem[T, R], 0, batchFew)
	select {
	case first := <-b.queue:
		items = append(items, first)
	case <-ctx.Done():
		return nil
	}
	busy := b.last >= batchFew/4
	linger := batchLinger
	if busy {
		linger = batchLingerBusy
	}
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for waiting := true; len(items) < batchMax; {
		if busy && items[len(items)-1].hurry {
			busy = false
			timer.Reset(batchLinger)
		}
		select {
		case next := <-b.queue:
			items = append(items, next)
			continue
		default:
		}
		if !waiting || len(items) >= batchFew {
			break
		}
		select {
		case next := <-b.queue:
			items = append(items, next)
		case <-timer.C:
			waiting = false
		}
	}
	b.last = len(items)
	return items
}

// persist repeats a write until the database takes or refuses it.
func (b *batcher[T, R]) persist(ctx context.Context, values []T) ([]R, error) {
	for backoff := retryMin; ; backoff = min(2*backoff, retryMax) {
		answers, err := b.write(ctx, values)
		if err == nil || !postgres.Temporary(err) {
			return answers, err
		}
		if ctx.Err() != nil {
			return nil, err
		}
		b.log.Warn("delivery rows cannot be written, trying again", slog.String("write", b.name), slog.Int("rows", len(values)), slog.String("error", err.Error()))
		kafka.Wait(ctx, backoff)
	}
}
