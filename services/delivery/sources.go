package delivery

import (
	"context"
	"log/slog"
	"time"

	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// Replicas tell what is known of source records.
type Replicas interface {
	Replicas(ctx context.Context, keys []record.Key) (map[record.Key]*record.Replica, error)
}

// lookAtSources reads when sources could not be asked.
func (s *Service) lookAtSources(ctx context.Context) error {
	if s.deps.Sources == nil {
		return nil
	}
	blocks, err := s.deps.Sources.Blocks(ctx)
	if err != nil {
		return err
	}
	stood := postgres.NewStandstill(blocks)
	s.stood.Store(&stood)
	return nil
}

// clock is how long the row has waited for a reference by its own clock. It
// stands while the source cannot be asked for what the target has not heard of:
// a quota or a dead authorisation there is nobody's fault here. Nobody's time is
// up before it is known when that was.
func (a *attempt) clock(ref record.Reference, found postgres.Referenced, ok bool) time.Duration {
	waited := a.waited()
	if a.s.deps.Sources == nil || waited == 0 || ok && found.Status != postgres.StatusWaiting {
		return waited
	}
	stood := a.s.stood.Load()
	if stood == nil {
		return 0
	}
	return waited - stood.Stood(a.row.Tenant, ref.RecordID.App(), a.row.WaitingSince, a.s.deps.Clock())
}

// unheard asks what is known of records that the claimed rows refer to and no
// target has heard of. A view that cannot be read says nothing: the rows wait.
func (s *Service) unheard(ctx context.Context, attempts []*attempt, known map[postgres.Reference]postgres.Referenced) map[record.Key]*record.Replica {
	if s.deps.Replicas == nil {
		return nil
	}
	asked := map[record.Key]bool{}
	var keys []record.Key
	for _, a := range attempts {
		for _, ref := range a.row.References {
			key := record.KeyOf(a.row.Tenant, ref.RecordID)
			if _, ok := known[a.reference(ref)]; !ok && !asked[key] {
				asked[key] = true
				keys = append(keys, key)
			}
		}
	}
	if len(keys) == 0 {
		return nil
	}
	replicas, err := s.deps.Replicas.Replicas(ctx, keys)
	if err != nil {
		s.log.Info("source records of references not looked at", slog.Int("records", len(keys)), slog.String("error", err.Error()))
		return nil
	}
	return replicas
}
