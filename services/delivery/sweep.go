package delivery

import (
	"context"
	"log/slog"
	"time"

	"github.com/fluxnex/fluxnex/pkg/postgres"
)

const (
	sweepEvery  = time.Second
	gaugesEvery = 15 // sweeps
)

// sweep looks again, each second: rows whose references came, lanes whose
// connection was re-authorised, routes that were removed.
func (s *Service) sweep(ctx context.Context) error {
	defer s.probes.Wait()
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for n := 0; ; n++ {
		if err := s.look(ctx, n%gaugesEvery == 0); err != nil && ctx.Err() == nil {
			s.log.Warn("waiting rows not looked at, trying again", slog.String("error", err.Error()))
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Service) look(ctx context.Context, gauges bool) error {
	if err := s.lookAtSources(ctx); err != nil {
		return err
	}
	if err := s.withdrawUnrouted(ctx, gauges); err != nil {
		return err
	}
	woken, err := s.deps.Rows.WakeWaiting(ctx)
	if err != nil {
		return err
	}
	if woken > 0 {
		s.nudge()
	}
	if err := s.lookAtBreakers(ctx); err != nil {
		return err
	}
	if err := s.unblock(ctx); err != nil {
		return err
	}
	if gauges {
		if err := s.quotas(ctx); err != nil {
			return err
		}
		return s.gauges(ctx)
	}
	return nil
}

// quotas closes what was told about quotas that are there again.
func (s *Service) quotas(ctx context.Context) error {
	told, err := s.deps.Rows.ConnectionNotices(ctx, noticeQuota)
	if err != nil || len(told) == 0 {
		return err
	}
	paused, err := s.deps.Rows.Paused(ctx)
	if err != nil {
		return err
	}
	snapshot := s.deps.Snapshots.Current()
	for _, n := range told {
		c, ok := snapshot.Connection(n.Tenant, n.Target)
		if ok && paused[postgres.AccountKey{App: c.App, RemoteAccount: c.RemoteAccount}] {
			continue
		}
		if err := s.deps.Rows.CloseNotice(ctx, n.ID); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) gauges(ctx context.Context) error {
	standings, err := s.deps.Rows.Backlog(ctx)
	if err != nil {
		return err
	}
	s.metrics.standing.Reset()
	s.metrics.oldest.Reset()
	for _, st := range standings {
		s.metrics.standing.WithLabelValues(string(st.Tenant), st.Target, st.Status).Set(float64(st.Rows))
		s.metrics.oldest.WithLabelValues(string(st.Tenant), st.Target, st.Status).Set(s.age(st))
	}
	return nil
}

func (s *Service) age(st postgres.BacklogPart) float64 {
	if st.Oldest.IsZero() {
		return 0
	}
	return max(0, s.deps.Clock().Sub(st.Oldest).Seconds())
}
