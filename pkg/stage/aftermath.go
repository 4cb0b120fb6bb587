package stage

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/redis"
)

// aftermath is what follows a commit: the views are moved on, then the stage's
// checks are made, then the settled cursor is moved. It overlaps with polling
// and decoding the next batch.
type aftermath struct {
	applied chan struct{} // closed when the views are written or given up
	done    chan struct{}
	refused []int32 // partitions whose view was not where it must be; read after applied
	crash   error   // read after done
}

// follow starts the aftermath of a commit.
func (m *member) follow(outputs []Output, positions []Position) {
	if m.cfg.Changelog == "" {
		return
	}
	batches := make(map[int32]*redis.Batch)
	changes := make([]Change, 0, len(outputs))
	for i := range outputs {
		o, at := &outputs[i], positions[i]
		if o.Topic != m.cfg.Changelog {
			continue
		}
		b := batches[at.Partition]
		if b == nil {
			b = &redis.Batch{ID: m.viewID(m.cfg.ChangelogView, at.Partition), From: m.next[at.Partition]}
			batches[at.Partition] = b
		}
		key := record.Key(o.Key)
		b.Entries = append(b.Entries, redis.Entry{Key: string(key), Value: o.Value, Offset: at.Offset})
		b.To = at.Offset + 1
		m.recent.put(key, o.Value)
		changes = append(changes, Change{Key: key, Value: o.Value, Partition: at.Partition, Offset: at.Offset})
	}
	if len(changes) == 0 {
		return
	}
	list := make([]redis.Batch, 0, len(batches))
	for p, b := range batches {
		m.next[p] = b.To
		list = append(list, *b)
	}
	a := &aftermath{applied: make(chan struct{}), done: make(chan struct{})}
	m.after = a
	go m.carryOut(m.epochCtx, a, list, changes)
}

func (m *member) carryOut(ctx context.Context, a *aftermath, batches []redis.Batch, changes []Change) {
	defer close(a.done)
	ok := m.applyAll(ctx, a, batches)
	refused := slices.Clone(a.refused)
	close(a.applied)
	if !ok {
		return // whoever owns the partitions next folds them and repeats the checks
	}
	// Partitions whose view was refused are folded, and their checks made then.
	// Those of the others are made here: the next success moves their cursors past
	// these changes, and nobody would make them later.
	if len(refused) > 0 {
		changes = slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return slices.Contains(refused, c.Partition) })
		batches = slices.DeleteFunc(slices.Clone(batches), func(b redis.Batch) bool { return slices.Contains(refused, b.ID.Partition) })
	}
	if a.crash = m.at("applied"); a.crash != nil {
		m.wake()
		return
	}
	err := m.untilDone(ctx, "the checks after a commit", func() error { return m.stage.Settle(ctx, newestOf(changes)) })
	if err != nil {
		return
	}
	if a.crash = m.at("settled"); a.crash != nil {
		m.wake()
		return
	}
	upTo := make(map[redis.ViewID]int64, len(batches))
	for _, b := range batches {
		upTo[b.ID] = b.To
	}
	// Where this fails, the next success or the next owner makes up for it.
	if err := m.views.Settled(ctx, upTo); err != nil && ctx.Err() == nil {
		m.deps.Log.Warn("settled cursor not moved, checks may be repeated", slog.String("stage", m.cfg.Name), slog.String("error", err.Error()))
	}
}

func (m *member) applyAll(ctx context.Context, a *aftermath, batches []redis.Batch) bool {
	var stands []bool
	err := m.untilDone(ctx, "redis", func() (err error) {
		stands, err = m.views.Apply(ctx, batches)
		return err
	})
	if err != nil {
		return false
	}
	for i, ok := range stands {
		if !ok {
			a.refused = append(a.refused, batches[i].ID.Partition)
		}
	}
	return true
}

// awaitApplied waits until the last commit is in the views.
func (m *member) awaitApplied() error {
	if m.after == nil {
		return nil
	}
	select {
	case <-m.after.applied:
	case <-m.epochCtx.Done():
		return fmt.Errorf("the assignment changed: %w", m.epochCtx.Err())
	}
	if refused := m.after.refused; len(refused) > 0 {
		m.after.refused = nil
		return &lostViewError{refused}
	}
	return nil
}

// settled waits until the checks of the last commit are made or given up; it
// reports whether the wait was not cut short.
func (a *aftermath) settled(ctx context.Context) bool {
	if a == nil {
		return true
	}
	select {
	case <-a.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// crashed is the failure of a failpoint.
func (a *aftermath) crashed() error {
	if a == nil {
		return nil
	}
	select {
	case <-a.done:
		return a.crash
	default:
		return nil
	}
}

// newestOf keeps the last change of each key: an older state needs no check of
// its own, because checks look at the current one.
func newestOf(changes []Change) []Change {
	last := make(map[record.Key]int, len(changes))
	for i, c := range changes {
		last[c.Key] = i
	}
	if len(last) == len(changes) {
		return changes
	}
	out := make([]Change, 0, len(last))
	for i, c := range changes {
		if last[c.Key] == i {
			out = append(out, c)
		}
	}
	return out
}
