package delivery

import (
	"context"
	"log/slog"
	"time"
)

const vacuumEvery = 5 * time.Second

// vacuum keeps what finished rows leave behind small; the server does it too,
// only later. Apart from the sweep, which may not wait for it.
func (s *Service) vacuum(ctx context.Context) error {
	ticker := time.NewTicker(vacuumEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		if err := s.deps.Rows.Vacuum(ctx); err != nil && ctx.Err() == nil {
			s.log.Info("delivery tables not vacuumed, left to the server", slog.String("error", err.Error()))
		}
	}
}
