package normalizer

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// Sources tells when sources could not be asked.
type Sources interface {
	Blocks(ctx context.Context) ([]postgres.Block, error)
}

// refreshClock reads when sources could not be asked. What was known before
// stays while Postgres is away.
func (s *Stage) refreshClock(ctx context.Context) error {
	blocks, err := s.deps.Sources.Blocks(ctx)
	if err != nil {
		if s.stood.Load() != nil {
			return nil
		}
		return fmt.Errorf("when sources could not be asked: %w", err)
	}
	stood := postgres.NewStandstill(blocks)
	s.stood.Store(&stood)
	return nil
}

// waited is how long a record has waited by its own clock, which stands while a
// quota or an authorisation is the cause. Nobody's time is up before it is
// known when sources could not be asked.
func (s *Stage) waited(tenant record.TenantID, app string, since, now time.Time) time.Duration {
	stood := s.stood.Load()
	if stood == nil {
		return 0
	}
	return now.Sub(since) - stood.Stood(tenant, app, since, now)
}
