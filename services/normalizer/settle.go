package normalizer

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/fluxnex/fluxnex/pkg/failpoint"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/redis"
	"github.com/fluxnex/fluxnex/pkg/stage"
)

const (
	// overdueBatch bounds the wakes of one round.
	overdueBatch = 1000
	// wakeChunk keeps one call far below what the inbox buffers.
	wakeChunk = 2000
)

// Settle registers each record with its parents and only then looks at the
// parents again: one that changed in between finds the child registered, or is
// seen here. The replica stage does the same in the other order.
func (s *Stage) Settle(ctx context.Context, changes []stage.Change) error {
	var uses []redis.Use
	var waits []redis.Wait
	done := make([]redis.Wait, 0, len(changes))
	parents := map[record.Key]bool{}
	for i := range changes {
		key, change := changes[i].Key, &changes[i]
		if change.Value == nil {
			continue
		}
		c, err := s.deps.Codecs.CanonicalState.Borrow(ctx, change.Value, nil)
		if err != nil {
			return fmt.Errorf("canonical record %s: %w", key, err)
		}
		w := redis.Wait{Partition: change.Partition, Key: key, Since: c.WaitingSince}
		if c.Status == record.StatusWaiting {
			waits = append(waits, w)
		} else {
			done = append(done, w)
		}
		// The entry of a parent that the record uses no more stays. It costs a
		// spurious wake; taking it away could come after a later owner registered the
		// pair again, and then a wake would be lost.
		for _, d := range c.Dependencies {
			parent := record.KeyOf(c.TenantID, d.RecordID)
			uses = append(uses, redis.Use{Parent: parent, Child: key, Digest: d.Digest})
			parents[parent] = true
		}
	}
	if err := s.deps.Dependents.SetWaiting(ctx, waits); err != nil {
		return err
	}
	if err := s.deps.Dependents.ClearWaiting(ctx, done); err != nil {
		return err
	}
	if len(uses) == 0 {
		return nil
	}
	if err := s.deps.Dependents.Add(ctx, uses); err != nil {
		return err
	}
	failpoint.Hit("registered")
	now, err := s.deps.Replicas.Replicas(ctx, slices.Collect(maps.Keys(parents)))
	if err != nil {
		return fmt.Errorf("look at the parents again: %w", err)
	}
	stale := map[record.Key]string{}
	for _, u := range uses {
		if s.digest(now[u.Parent]) != u.Digest {
			stale[u.Child] = string(u.Parent) + " changed"
		}
	}
	return s.wake(ctx, stale)
}

// digest is what a dependent would see of a parent now.
func (s *Stage) digest(parent *record.Replica) string {
	var used []string
	if parent != nil {
		if app, ok := s.deps.Integrations(parent.SourceApp); ok && app.Normalize != nil {
			used = app.Normalize.Used(parent.EntityType)
		}
	}
	return record.Digest(parent, used)
}

// WakeOverdue wakes the records of these partitions that have waited longer than
// the TTL by their own clocks; the stage then makes them failed. It is called by
// the partitions' owner, every ten seconds.
func (s *Stage) WakeOverdue(ctx context.Context, partitions []int32) error {
	if err := s.refreshClock(ctx); err != nil {
		return err
	}
	overdue := map[record.Key]string{}
	now := s.deps.Now()
	for _, p := range partitions {
		// Those of a blocked source wait longest and are not due: look past them.
		for skip := int64(0); len(overdue) < overdueBatch; skip += overdueBatch {
			waits, err := s.deps.Dependents.Waiting(ctx, p, now.Add(-s.cfg.WaitTTL), skip, overdueBatch)
			if err != nil {
				return err
			}
			for _, w := range waits {
				tenant, id, err := w.Key.Parse()
				if err == nil && s.waited(tenant, id.App(), w.Since, now) >= s.cfg.WaitTTL {
					overdue[w.Key] = "has waited too long"
				}
			}
			if len(waits) < overdueBatch {
				break
			}
		}
	}
	return s.wake(ctx, overdue)
}

// wake sends each record an event that makes its current state be processed
// again.
func (s *Stage) wake(ctx context.Context, why map[record.Key]string) error {
	events := make([]record.GatewayEvent, 0, len(why))
	for key, detail := range why {
		tenant, id, err := key.Parse()
		if err != nil {
			continue // not a key that anybody can be woken by
		}
		events = append(events, record.GatewayEvent{
			TenantID: tenant, SourceApp: id.App(), RecordID: id,
			GatewayID: "gw-" + uuid.NewString(), Origin: record.OriginWake, ReceivedAt: s.deps.Now(),
			Outcome: record.OutcomeNone, Detail: detail,
		})
	}
	for chunk := range slices.Chunk(events, wakeChunk) {
		if _, err := s.deps.Inbox.Send(ctx, chunk, nil); err != nil {
			return fmt.Errorf("wake %d records: %w", len(events), err)
		}
	}
	return nil
}
