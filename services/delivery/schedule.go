package delivery

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
)

const (
	// claimMin is how many rows are worth a claim while others are in flight.
	claimMin = 50
	// claimPace is how soon after a claim of fewer the next one is made: attempts
	// end by the dozen, and each of them is a hint that rows are due.
	claimPace = 5 * time.Millisecond
)

// schedule claims due rows and starts an attempt for each, until ctx ends; it
// returns when the last attempt has.
func (s *Service) schedule(ctx, work context.Context) error {
	crew := newCrew()
	defer crew.end()
	for ctx.Err() == nil {
		// However little room there is, a lane that holds nothing may need it: what
		// is worth a claim is decided account by account.
		room := s.accounts.room()
		if room < 1 {
			s.idle(ctx)
			continue
		}
		began := time.Now()
		claimed, err := s.claim(ctx, room)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			s.log.Warn("cannot claim due rows, trying again", slog.String("error", err.Error()))
			kafka.Wait(ctx, s.cfg.Poll)
			continue
		}
		for _, a := range claimed {
			crew.do(func() {
				defer func() {
					s.accounts.give(a.account())
					s.nudge()
				}()
				if !a.trial.IsZero() {
					s.try(ctx, work, a)
					return
				}
				a.run(ctx, work)
			})
		}
		if len(claimed) < claimMin {
			s.idle(ctx)
			kafka.Wait(ctx, claimPace-time.Since(began))
		}
	}
	return nil
}

// idle waits for a hint that rows are due, or for the next look.
func (s *Service) idle(ctx context.Context) {
	timer := time.NewTimer(s.cfg.Poll)
	defer timer.Stop()
	select {
	case <-s.wake:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// claim takes up to room rows, fairly. Lanes nobody may deliver for (a disabled
// tenant, a connection that is gone) keep their rows.
func (s *Service) claim(ctx context.Context, room int) ([]*attempt, error) {
	lanes, err := s.lanes(ctx)
	if err != nil {
		return nil, err
	}
	snapshot := s.deps.Snapshots.Current()
	connections := map[int32]*controlplane.Connection{}
	opened := map[int32]time.Duration{}
	open := lanes[:0]
	var halfOpen []postgres.Lane
	for _, l := range lanes {
		if l.Breaker.Open() {
			continue
		}
		c := laneConnection(snapshot, l.LaneKey)
		if c == nil {
			continue
		}
		if _, ok := s.deps.Integrations(c.App); !ok {
			continue
		}
		connections[l.ID], opened[l.ID] = c, l.Opened
		hold := s.mayHold(c)
		rate, _ := bucket(s.limits(c))
		if slow, ok := ramp(l.Opened, rate); ok && (hold == 0 || int(slow) < hold) {
			hold = int(slow)
		}
		s.accounts.limit(account{l.App, l.RemoteAccount}, hold)
		if l.Breaker.HalfOpen() {
			halfOpen = append(halfOpen, l)
			continue
		}
		open = append(open, l)
	}
	trials, err := s.trials(ctx, halfOpen)
	defer func() {
		for lane, trial := range trials {
			s.dropTrial(ctx, lane, trial)
		}
	}()
	if err != nil {
		return nil, err
	}
	quotas := s.accounts.quotas(open, room-len(trials), s.deps.Clock())
	for lane := range trials {
		quotas = append(quotas, postgres.Quota{Lane: lane, Limit: 1, Trial: true})
	}
	if len(quotas) == 0 {
		return nil, nil
	}
	// The lease is counted from before the claim: it may only look shorter to us
	// than it is.
	began := time.Now()
	rows, err := s.deps.Rows.Claim(ctx, quotas, s.cfg.Lease)
	if err != nil {
		return nil, err
	}
	asked := 0
	for _, q := range quotas {
		asked += int(q.Limit)
	}
	s.due.more = len(rows) == asked && asked >= claimMin
	if len(rows) == 0 {
		return nil, nil
	}
	s.metrics.claims.Observe(float64(len(rows)))
	attempts := make([]*attempt, len(rows))
	for i, r := range rows {
		attempts[i] = s.newAttempt(r, snapshot, connections[r.Lane], began.Add(s.cfg.Lease-s.cfg.Margin))
		attempts[i].openedFor = opened[r.Lane]
		attempts[i].trial = trials[r.Lane]
		delete(trials, r.Lane)
		s.accounts.take(attempts[i].account(), 1)
	}
	return attempts, s.resolveReferences(ctx, attempts)
}

// lanesAge is how long the lanes that were found due are taken for due, while
// each claim is a large one and gets all it asks for. Looking costs about as
// much as claiming, and a lane that has just become due waits as long.
const lanesAge = 10 * time.Millisecond

// dueLanes is what the scheduler knows of the lanes.
type dueLanes struct {
	lanes []postgres.Lane
	at    time.Time
	more  bool // the last claim got all it asked for, and it was worth it
}

// lanes are those with due rows. What was found a moment ago is as good as a
// new look while there is more of it: blocked lanes, paused accounts and open
// breakers give nothing to a claim anyway.
func (s *Service) lanes(ctx context.Context) ([]postgres.Lane, error) {
	d := &s.due
	if d.more && time.Since(d.at) < lanesAge {
		return slices.DeleteFunc(slices.Clone(d.lanes), func(l postgres.Lane) bool {
			return l.Breaker.Openings > 0 || s.breakers.shut(l.ID)
		}), nil
	}
	began := time.Now()
	lanes, err := s.deps.Rows.DueLanes(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range lanes {
		s.breakers.learn(l.ID, l.Breaker.Openings)
	}
	d.lanes, d.at = slices.Clone(lanes), began
	return lanes, nil
}

// laneConnection finds a connection of the tenant to the lane's account. Its
// name plays no part: a rename changes nothing.
func laneConnection(s *controlplane.Snapshot, k postgres.LaneKey) *controlplane.Connection {
	tenant, ok := s.Tenant(k.Tenant)
	if !ok || tenant.Disabled {
		return nil
	}
	var found *controlplane.Connection
	for _, c := range s.ConnectionsOf(k.Tenant, k.App) {
		if c.RemoteAccount == k.RemoteAccount && (found == nil || c.Name < found.Name) {
			found = c
		}
	}
	return found
}

// resolveReferences looks up, in one query, what the claimed rows refer to.
func (s *Service) resolveReferences(ctx context.Context, attempts []*attempt) error {
	var refs []postgres.Reference
	for _, a := range attempts {
		for _, r := range a.row.References {
			refs = append(refs, postgres.Reference{Lane: a.row.Lane, RecordID: r.RecordID, Object: r.Object})
		}
	}
	if len(refs) == 0 {
		return nil
	}
	known, err := s.deps.Rows.Referenced(ctx, refs)
	if err != nil {
		for _, a := range attempts {
			s.accounts.give(a.account())
		}
		// Nothing was tried; the leases end by themselves.
		return errors.Join(errors.New("delivery: the claimed rows wait for the end of their lease"), err)
	}
	unheard := s.unheard(ctx, attempts, known)
	for _, a := range attempts {
		a.known, a.unheard = known, unheard
	}
	return nil
}
