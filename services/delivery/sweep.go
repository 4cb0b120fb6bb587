package delivery

import (
	"context"
	"time"

	"github.com/fluxnex/fluxnex/pkg/postgres"
)

const (
	sweepEvery  = time.Second
	gaugesEvery = 15 // sweeps
)

// sweep looks again, each second: rows whose references came, lanes whose
// connection was re-authorised.
func (s *Service) sweep(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for n := 0; ; n++ {
		if err := s.look(ctx, n%gaugesEvery == 0); err != nil && ctx.Err() == nil {
			s.log.Warn("waiting rows not looked at, trying again", "error", err.Error())
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Service) look(ctx context.Context, gauges bool) error {
	woken, err := s.deps.Rows.WakeWaiting(ctx)
	if err != nil {
		return err
	}
	if woken > 0 {
		s.nudge()
	}
	if err := s.unblock(ctx); err != nil {
		return err
	}
	if gauges {
		return s.gauges(ctx)
	}
	return nil
}

func (s *Service) unblock(ctx context.Context) error {
	blocked, err := s.deps.Rows.Blocked(ctx)
	if err != nil {
		return err
	}
	for _, l := range blocked {
		connection := laneConnection(s.deps.Snapshots.Current(), l.LaneKey)
		if connection == nil {
			continue
		}
		version, err := s.deps.Credentials.Version(ctx, connection)
		if err != nil {
			return err
		}
		if version <= l.Version {
			continue
		}
		if err := s.deps.Rows.Unblock(ctx, l.ID, connection.Name); err != nil {
			return err
		}
		s.log.Info("connection open again", "tenant", l.Tenant, "connection", connection.Name, "blocked", s.deps.Clock().Sub(l.Since).Round(time.Second).String())
		s.nudge()
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
