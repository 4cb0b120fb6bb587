package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

const (
	probeTimeout = 10 * time.Second
	probeLease   = 2 * probeTimeout
	// rampSteps bounds the ramp where the account has no rate: 1, 2, 4 … calls in
	// each second.
	rampSteps = 8
)

// unblock asks, for each blocked lane whose connection was re-authorised, with
// one call whether the new credentials serve, and opens it.
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
		// One process at a time asks, and none waits for the answer here.
		duty := fmt.Sprintf("probe/%d", l.ID)
		mine, err := s.deps.Rows.TakeDuty(ctx, duty, s.deps.Owner, probeLease)
		if err != nil {
			return err
		}
		if !mine || !s.startProbe(l.ID) {
			continue
		}
		s.probes.Go(func() {
			defer s.endProbe(l.ID)
			if err := s.probe(ctx, l, connection, version); err != nil && ctx.Err() == nil {
				s.log.Warn("blocked connection not opened, trying again", slog.Any("tenant", l.Tenant),
					slog.Any("connection", connection.Name), slog.String("error", err.Error()))
			}
			// Best effort: the duty ends by itself.
			_ = s.deps.Rows.DropDuty(context.WithoutCancel(ctx), duty, s.deps.Owner)
		})
	}
	return nil
}

func (s *Service) startProbe(lane int32) bool {
	s.probingMu.Lock()
	defer s.probingMu.Unlock()
	if s.probing[lane] {
		return false
	}
	s.probing[lane] = true
	return true
}

func (s *Service) endProbe(lane int32) {
	s.probingMu.Lock()
	defer s.probingMu.Unlock()
	delete(s.probing, lane)
}

// probe makes one call with the new credentials.
func (s *Service) probe(ctx context.Context, l postgres.BlockedLane, connection *controlplane.Connection, version int64) error {
	row := &postgres.Row{Lane: l.ID, Tenant: l.Tenant, App: l.App, RemoteAccount: l.RemoteAccount, TargetName: connection.Name, SourceApp: l.App}
	a := s.newAttempt(row, s.deps.Snapshots.Current(), connection, time.Now().Add(probeTimeout))
	if a.deliver == nil {
		return nil
	}
	a.probing = true
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	remote, err := a.deliver.Probe(ctx, a.caller(), a.op.Account)
	if err == nil {
		err = sameAccount(connection, remote)
	}
	if err != nil {
		f := fault.Of(err)
		if f.Class != fault.Auth {
			return err
		}
		// These do not serve either: still blocked, until there are others.
		return s.deps.Rows.StillBlocked(ctx, l.ID, version, f.Code, a.connectionNotice(f, "auth"))
	}
	if err := s.deps.Rows.Unblock(ctx, l.ID, connection.Name, version); err != nil {
		return err
	}
	s.log.Info("connection open again", slog.Any("tenant", l.Tenant),
		slog.Any("connection", connection.Name), slog.String("blocked", s.deps.Clock().Sub(l.Since).Round(time.Second).String()))
	s.nudge()
	return nil
}

// connectionNotice is about the connection, not about a record of it.
func (a *attempt) connectionNotice(f *fault.Error, what string) *record.Notification {
	n := a.notification(record.AudienceSupport, f)
	n.RecordID, n.Object, n.Revision, n.Lineage = "", "", record.Revision{}, record.Lineage{}
	n.SourceApp, n.Target = a.row.App, a.connection.Name
	n.Fingerprint = fingerprint("", a.connection.Name, "", what)
	return n
}

// ramp is the rate at which a lane that was opened since is drained: one call
// in the first second, twice as many in each further one, up to the account's
// own rate. ok is false where there is no ramp, or no longer.
func ramp(opened time.Duration, limit float64) (rate float64, ok bool) {
	if opened < 0 {
		return 0, false
	}
	step := math.Floor(opened.Seconds())
	if step >= rampSteps {
		return 0, false
	}
	rate = math.Exp2(step)
	return rate, limit == 0 || rate < limit
}
