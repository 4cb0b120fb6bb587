package replica

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/stage"
)

// wakeChunk keeps one call far below what the inbox buffers: a load can have any
// number of invoices.
const wakeChunk = 2000

// Settle wakes the records that used a changed parent's fields. The parent is in
// the view by now; the normalizer registers a child first and looks at the view
// then. In that order neither side can miss the other.
func (s *Stage) Settle(ctx context.Context, changes []stage.Change) error {
	parents := make([]record.Key, len(changes))
	for i := range changes {
		parents[i] = changes[i].Key
	}
	users, err := s.deps.Dependents.Of(ctx, parents)
	if err != nil {
		return fmt.Errorf("who uses the changed records: %w", err)
	}
	var wakes []record.GatewayEvent
	woken := map[record.Key]bool{}
	for i := range changes {
		key, value := changes[i].Key, changes[i].Value
		children := users[key]
		if len(children) == 0 || value == nil { // nil: its tenant is erased
			continue
		}
		parent, err := s.deps.Codecs.Replica.Decode(ctx, value)
		if err != nil {
			return fmt.Errorf("changed record %s: %w", key, err)
		}
		digest := record.Digest(parent, s.used(parent))
		for child, seen := range children {
			if seen == digest || woken[child] {
				continue
			}
			tenant, id, err := child.Parse()
			if err != nil {
				continue // not a key that anybody can be woken by
			}
			woken[child] = true
			wakes = append(wakes, record.GatewayEvent{
				TenantID: tenant, SourceApp: id.App(), RecordID: id,
				GatewayID: "gw-" + uuid.NewString(), Origin: record.OriginWake, ReceivedAt: s.deps.Now(),
				Outcome: record.OutcomeNone, Detail: string(parent.RecordID) + " changed",
			})
		}
	}
	for chunk := range slices.Chunk(wakes, wakeChunk) {
		if _, err := s.deps.Inbox.Send(ctx, chunk, nil); err != nil {
			return fmt.Errorf("wake %d dependents: %w", len(wakes), err)
		}
	}
	return nil
}

// used names the fields that dependents of a record use.
func (s *Stage) used(r *record.Replica) []string {
	app, ok := s.deps.Integrations(r.SourceApp)
	if !ok || app.Normalize == nil {
		return nil
	}
	return app.Normalize.Used(r.EntityType)
}
